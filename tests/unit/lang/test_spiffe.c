/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consuld/lang/spiffe.h"

static void identities_are_taken_apart(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct spiffe_id id;
    assert_int_equal(
        spiffe_parse(STR("spiffe://td.consul/ns/default/dc/dc1/svc/a%2fb%20c"), &a, &id, NULL), 0);
    assert_int_equal(id.kind, SPIFFE_SERVICE);
    assert_true(str_is(id.host, "td.consul") && str_is(id.namespace, "default"));
    assert_true(str_is(id.datacenter, "dc1") && str_is(id.service, "a/b c"));
    assert_int_equal(
        spiffe_parse(STR("spiffe://td.consul/agent/client/dc/dc1/id/abc"), &a, &id, NULL), 0);
    assert_int_equal(id.kind, SPIFFE_AGENT);
    assert_true(str_is(id.agent, "abc") && str_is(id.datacenter, "dc1"));
    assert_int_equal(spiffe_parse(STR("spiffe://td.consul"), &a, &id, NULL), 0);
    assert_int_equal(id.kind, SPIFFE_SIGNING);
    arena_free(&a);
}

static void other_texts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "nonsense", "https://x/ns/a/dc/b/svc/c", "spiffe://x/y",
        "spiffe://x/ns/a/dc/b/svc/", "spiffe://x/ns/a/dc/b/svc/c/d", "spiffe://x/ns//dc/b/svc/c",
        "spiffe://x/ns/a/dc/b/svc/%2", "spiffe://x/ns/a/dc/b/svc/%zz", "spiffe://x/",
        "spiffe://x/a/b/c/d/e/f/g" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct arena a = ARENA_INIT;
        struct spiffe_id id;
        if (spiffe_parse(str_of(bad[i]), &a, &id, NULL) == 0) fail_msg("%s", bad[i]);
        arena_free(&a);
    }
}

static void expect_name(struct str service, const char *name)
{
    struct arena a = ARENA_INIT;
    struct spiffe_id id = { .kind = SPIFFE_SERVICE,
        .host = STR("11111111-2222-3333-4444-555555555555.consul"),
        .namespace = STR("default"),
        .datacenter = STR("dc1"),
        .service = service };
    assert_string_equal(str_c(&a, spiffe_common_name(&a, &id)), name);
    arena_free(&a);
}

static void common_names_are_short_and_plain(void **state)
{
    (void)state;
    expect_name(STR("Web_1"), "web1.svc.default.11111111.consul");
    expect_name(STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.svc.default.11111111.consul");
}

static void identities_become_uris_and_come_back(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct spiffe_id id = { .kind = SPIFFE_SERVICE,
        .host = spiffe_trust_domain(&a, STR("ABC")),
        .namespace = STR("default"),
        .datacenter = STR("dc1"),
        .service = STR("a b") };
    struct spiffe_id back;
    struct str uri = spiffe_uri(&a, &id);
    assert_string_equal(str_c(&a, uri), "spiffe://abc.consul/ns/default/dc/dc1/svc/a%20b");
    assert_int_equal(spiffe_parse(uri, &a, &back, NULL), 0);
    assert_true(str_eq(back.service, id.service));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identities_are_taken_apart),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(common_names_are_short_and_plain),
        cmocka_unit_test(identities_become_uris_and_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
