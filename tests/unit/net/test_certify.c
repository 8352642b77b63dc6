/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "consuld/net/tls.h"

#define NOW INT64_C(1800000000)

static struct arena a;
static struct error err;

static struct str new_key(const char *type, int64_t bits)
{
    struct str key = STR_NIL;
    assert_int_equal(net_certifier.key(&a, str_of(type), bits, &key, &err), 0);
    return key;
}

static struct str new_root(struct str key, uint64_t serial)
{
    struct str root = STR_NIL;
    struct cert_order o = { .key = key,
        .common_name = STR("pri-1.consul.ca.11111111.consul"),
        .uri = STR("spiffe://11111111.consul"),
        .serial = serial,
        .not_before_s = NOW,
        .not_after_s = NOW + INT64_C(3650) * 86400 };
    assert_int_equal(net_certifier.root(&a, &o, &root, &err), 0);
    return root;
}

static void a_leaf_has_the_names_asked_for_and_its_authority(void **state)
{
    (void)state;
    struct str key = new_key("ec", 256), root = new_root(key, 7), request, leaf;
    struct cert_uris uris;
    struct cert_order r = { .key = new_key("ec", 256),
        .common_name = STR("web.svc.default.11111111.consul"),
        .uri = STR("spiffe://11111111.consul/ns/default/dc/dc1/svc/web") };
    assert_int_equal(net_certifier.request(&a, &r, &request, &err), 0);
    assert_int_equal(net_certifier.request_uris(&a, request, &uris, &err), 0);
    assert_int_equal(uris.n, 1);
    assert_true(str_eq(uris.first, r.uri));
    struct cert_order o = { .request = request,
        .signer = root,
        .signer_key = key,
        .common_name = r.common_name,
        .serial = 300,
        .not_before_s = NOW - 60,
        .not_after_s = NOW + 3600 };
    assert_int_equal(net_certifier.leaf(&a, &o, &leaf, &err), 0);
    struct cert_facts of_root, of_leaf;
    assert_int_equal(net_certifier.facts(&a, root, &of_root, &err), 0);
    assert_int_equal(net_certifier.facts(&a, leaf, &of_leaf, &err), 0);
    assert_true(str_eq(of_leaf.authority_id, of_root.key_id));
    assert_true(str_eq(of_root.authority_id, of_root.key_id));
    assert_true(str_is(of_leaf.serial_text, "01:2c"));
    assert_int_equal(of_leaf.serial, 300);
    assert_int_equal(of_leaf.not_before_s, NOW - 60);
    assert_int_equal(of_leaf.not_after_s, NOW + 3600);
    arena_reset(&a);
}

static void a_cross_signed_root_keeps_its_key_and_names_the_other(void **state)
{
    (void)state;
    struct str old_key = new_key("ec", 384), old = new_root(old_key, 1);
    struct str root = new_root(new_key("rsa", 2048), 2), crossed;
    struct cert_order o = { .crossed = root,
        .signer = old,
        .signer_key = old_key,
        .serial = 3,
        .not_before_s = NOW,
        .not_after_s = NOW + 60 };
    assert_int_equal(net_certifier.cross_sign(&a, &o, &crossed, &err), 0);
    struct cert_facts of_old, of_root, of_crossed;
    assert_int_equal(net_certifier.facts(&a, old, &of_old, &err), 0);
    assert_int_equal(net_certifier.facts(&a, root, &of_root, &err), 0);
    assert_int_equal(net_certifier.facts(&a, crossed, &of_crossed, &err), 0);
    assert_true(str_eq(of_crossed.key_id, of_root.key_id));
    assert_true(str_eq(of_crossed.authority_id, of_old.key_id));
    assert_true(str_is(of_crossed.key_type, "rsa"));
    assert_int_equal(of_old.key_bits, 384);
    arena_reset(&a);
}

static void an_intermediate_signs_leaves_and_no_authority_more(void **state)
{
    (void)state;
    struct str root_key = new_key("rsa", 2048), root = new_root(root_key, 1), key, csr, made;
    struct cert_facts of_root, of_made;
    struct cert_order r = { .key = key = new_key("ec", 256),
        .common_name = STR("sec-1.consul.ca.11111111.consul"),
        .uri = STR("spiffe://11111111.consul"),
        .authority = true };
    assert_int_equal(net_certifier.request(&a, &r, &csr, &err), 0);
    int64_t now = time(NULL);
    struct cert_order o = { .request = csr,
        .signer = root,
        .signer_key = root_key,
        .serial = 9,
        .not_before_s = now - 60,
        .not_after_s = now + 3600 };
    assert_int_equal(net_certifier.intermediate(&a, &o, &made, &err), 0);
    assert_int_equal(net_certifier.facts(&a, root, &of_root, &err), 0);
    assert_int_equal(net_certifier.facts(&a, made, &of_made, &err), 0);
    assert_true(of_made.authority);
    assert_int_equal(of_made.uris.n, 1);
    assert_true(str_eq(of_made.uris.first, r.uri));
    assert_true(str_eq(of_made.authority_id, of_root.key_id));
    struct cert_order own = { .key = key }, other = { .key = root_key };
    assert_int_equal(net_certifier.check_issued(&own, made, &err), 0);
    assert_true(net_certifier.check_issued(&other, made, &err) < 0);
    assert_string_equal(err.text, "intermediate cert is for a different private key");
    own.signer = new_root(new_key("ec", 256), 1);
    assert_true(net_certifier.check_issued(&own, made, &err) < 0);
    assert_true(
        str_has_prefix(str_of(err.text), STR("could not verify intermediate cert against root: ")));
    arena_reset(&a);
}

static void an_authority_signs_with_its_own_key_alone(void **state)
{
    (void)state;
    struct str request, leaf;
    struct cert_order r = { .key = new_key("ec", 256),
        .common_name = STR("web.svc.default.11111111.consul"),
        .uri = STR("spiffe://11111111.consul/ns/default/dc/dc1/svc/web") };
    assert_int_equal(net_certifier.request(&a, &r, &request, &err), 0);
    struct cert_order o = { .request = request,
        .signer = new_root(new_key("ec", 256), 1),
        .signer_key = new_key("ec", 256),
        .common_name = r.common_name,
        .not_after_s = NOW };
    assert_true(net_certifier.leaf(&a, &o, &leaf, &err) < 0);
    assert_string_equal(err.text, "x509: provided PrivateKey doesn't match parent's PublicKey");
    arena_reset(&a);
}

static void what_is_no_request_is_refused(void **state)
{
    (void)state;
    struct cert_uris uris;
    assert_true(net_certifier.request_uris(&a, STR(""), &uris, &err) < 0);
    assert_string_equal(err.text, "no PEM-encoded data found");
    assert_true(net_certifier.request_uris(&a, new_root(new_key("ec", 256), 1), &uris, &err) < 0);
    arena_reset(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leaf_has_the_names_asked_for_and_its_authority),
        cmocka_unit_test(a_cross_signed_root_keeps_its_key_and_names_the_other),
        cmocka_unit_test(an_intermediate_signs_leaves_and_no_authority_more),
        cmocka_unit_test(an_authority_signs_with_its_own_key_alone),
        cmocka_unit_test(what_is_no_request_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&a);
    return failed;
}
