/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "consuld/cluster/member.h"

static struct str text_of(const struct value *v, const char *key)
{
    const struct value *x = value_get(v, str_of(key));
    return x && x->kind == V_STR ? x->s : STR("");
}

static bool bool_of(const struct value *v, const char *key)
{
    const struct value *x = value_get(v, str_of(key));
    return x && x->kind == V_BOOL && x->b;
}

static int64_t int_of(const struct value *v, const char *key)
{
    const struct value *x = value_get(v, str_of(key));
    int64_t n = 0;
    assert_true(x && x->kind == V_NUMBER && str_to_i64(x->s, &n));
    return n;
}

static struct dict dict_of(struct arena *a, const struct value *v)
{
    struct dict d = { 0 };
    for (size_t i = 0; v && v->kind == V_MAP && i < v->map.n; i++)
        dict_set_str(a, &d, v->map.v[i].key, v->map.v[i].value.s);
    return d;
}

static const struct value *entries(struct arena *a, const char *file)
{
    struct buf text = BUF_INIT(64u << 20);
    struct value *all = arena_new(a, struct value);
    struct error err;
    FILE *f = fopen(file, "rb");
    assert_non_null(f);
    for (uint8_t *p; (p = buf_reserve(&text, 65536));) {
        size_t n = fread(p, 1, 65536, f);
        text.n += n;
        if (n == 0) break;
    }
    fclose(f);
    struct str copy = str_dup(a, buf_str(&text));
    buf_deinit(&text);
    if (json_parse_whole(copy, a, all, &err) != 0) fail_msg("%s", err.text);
    return value_get(all, STR("entries"));
}

static bool same(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || str_eq(a, b));
}

static void recorded_tags_make_the_recorded_servers(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    const struct value *all = entries(&a, TESTS_DIR "/vectors/gossip/consul-server-tags.json");
    assert_true(all->list.n > 40);
    for (size_t i = 0; i < all->list.n; i++) {
        const struct value *v = value_get(&all->list.v[i], STR("data"));
        const struct value *want = value_get(v, STR("server"));
        struct dict tags = dict_of(&a, value_get(v, STR("tags")));
        struct consul_server s;
        struct str dc;
        bool is_server = consul_server_read(text_of(v, "name"), &tags, &s);
        if (is_server != bool_of(v, "is_server")) fail_msg("%.*s", STR_ARG(text_of(v, "what")));
        assert_int_equal(consul_client_read(&tags, &dc), bool_of(v, "is_client"));
        if (bool_of(v, "is_client")) assert_true(same(dc, text_of(v, "client_dc")));
        if (!is_server) continue;
        assert_true(same(s.short_name, text_of(want, "short_name")));
        assert_true(same(s.id, text_of(want, "id")));
        assert_true(same(s.datacenter, text_of(want, "datacenter")));
        assert_true(same(s.segment, text_of(want, "segment")));
        assert_true(same(s.acls, text_of(want, "acls")));
        assert_true(same(s.version, text_of(want, "build")));
        assert_int_equal(s.port, int_of(want, "port"));
        assert_int_equal(s.expect, int_of(want, "expect"));
        assert_int_equal(s.raft_version, int_of(want, "raft_version"));
        assert_int_equal(s.wan_join_port, int_of(want, "wan_join_port"));
        assert_int_equal(s.protocol, int_of(want, "version"));
        assert_int_equal(s.bootstrap, bool_of(want, "bootstrap"));
        assert_int_equal(s.use_tls, bool_of(want, "use_tls"));
        assert_int_equal(s.non_voter, bool_of(want, "non_voter"));
    }
    arena_free(&a);
}

static void recorded_pools_are_refused_with_the_recorded_texts(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    const struct value *all = entries(&a, TESTS_DIR "/vectors/gossip/consul-merge.json");
    assert_true(all->list.n > 20);
    for (size_t i = 0; i < all->list.n; i++) {
        const struct value *v = value_get(&all->list.v[i], STR("data"));
        const struct value *own = value_get(v, STR("local"));
        const struct value *list = value_get(v, STR("members"));
        struct merge_rules rules = { .wan = str_is(text_of(v, "pool"), "wan"),
            .name = text_of(own, "name"),
            .id = text_of(own, "id"),
            .datacenter = text_of(own, "dc"),
            .segment = text_of(own, "segment") };
        struct merge_member members[16];
        struct error err = { 0 };
        assert_true(list->list.n <= 16);
        for (size_t k = 0; k < list->list.n; k++) {
            const struct value *m = &list->list.v[k];
            members[k] = (struct merge_member){ text_of(m, "name"),
                dict_of(&a, value_get(m, STR("tags"))), bool_of(m, "left") };
        }
        int rc = consul_merge_check(&rules, members, list->list.n, &err);
        struct str want = text_of(v, "error");
        if (want.n == 0 ? rc != 0 : !str_is(want, err.text))
            fail_msg("%.*s: %s", STR_ARG(text_of(v, "what")), err.text);
    }
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_tags_make_the_recorded_servers),
        cmocka_unit_test(recorded_pools_are_refused_with_the_recorded_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
