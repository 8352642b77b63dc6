/* SPDX-License-Identifier: Apache-2.0 */
#include "../model/vectors.h"

#include "consuld/mux/rpc_frame.h"

static const char *const service_files[] = { "ACL", "AutoEncrypt", "Catalog", "ConfigEntry",
    "ConnectCA", "Coordinate", "DiscoveryChain", "FederationState", "Forwarding", "Health",
    "Intention", "Internal", "KVS", "Malformed", "Operator", "PreparedQuery", "Session", "Status",
    "Txn" };

/* Where the scan says that the values end, fed in pieces of `step`. */
static size_t end_of(struct str bytes, uint32_t values, size_t step)
{
    struct rpc_scan s;
    rpc_scan_init(&s, values, 1 << 20);
    for (size_t at = 0; at < bytes.n; at += step) {
        struct str piece = str_slice(bytes, at, at + step < bytes.n ? at + step : bytes.n);
        enum rpc_scan_result r = rpc_scan_take(&s, &piece);
        if (r == RPC_SCAN_BAD) return SIZE_MAX;
        if (r == RPC_SCAN_DONE) return s.size;
        assert_int_equal(piece.n, 0);
    }
    return SIZE_MAX - 1;
}

static enum rpc_scan_result scan(const char *hex, size_t size_max)
{
    struct arena a = ARENA_INIT;
    struct str in = hex_bytes(&a, str_of(hex));
    struct rpc_scan s;
    rpc_scan_init(&s, 1, size_max);
    enum rpc_scan_result r = rpc_scan_take(&s, &in);
    arena_free(&a);
    return r;
}

static void check_side(struct arena *a, const struct value *side, size_t *seen)
{
    if (!side || side->kind == V_NIL) return;
    struct buf both = BUF_INIT(1 << 20);
    struct str head = hex_bytes(a, get(side, "header_hex")->s);
    struct str body = hex_bytes(a, get(side, "body_hex")->s);
    buf_put_str(&both, head);
    buf_put_str(&both, body);
    size_t n = both.n;
    buf_put(&both, "\xc1\xc1", 2); /* the scan must not look behind the end */
    struct str all = buf_str(&both);
    assert_int_equal(end_of(all, 2, all.n), n);
    assert_int_equal(end_of(all, 2, 1), n);
    assert_int_equal(end_of(all, 2, 7), n);
    assert_int_equal(end_of(all, 1, 3), head.n);
    buf_deinit(&both);
    (*seen)++;
}

static void recorded_messages_end_where_they_were_recorded_to_end(void **state)
{
    (void)state;
    size_t seen = 0;
    for (size_t i = 0; i < sizeof service_files / sizeof service_files[0]; i++) {
        struct arena a = ARENA_INIT;
        struct str path = str_printf(&a, VECTORS "rpc/%s.json", service_files[i]);
        struct value v = parse(&a, path.p, read_file(&a, path.p));
        const struct value *calls = get(&v, "calls");
        for (size_t c = 0; c < calls->list.n; c++) {
            check_side(&a, get(&calls->list.v[c], "request"), &seen);
            check_side(&a, get(&calls->list.v[c], "response"), &seen);
        }
        arena_free(&a);
    }
    assert_true(seen > 400);
}

static void recorded_headers_read_and_write_the_same(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct value v = parse(&a, "Status", read_file(&a, VECTORS "rpc/Status.json"));
    const struct value *calls = get(&v, "calls");
    for (size_t i = 0; i < calls->list.n; i++) {
        struct buf out = BUF_INIT(4096);
        struct str bytes = hex_bytes(&a, get(get(&calls->list.v[i], "request"), "header_hex")->s);
        struct request_header q;
        assert_int_equal(rpc_read_request(bytes, &q), 0);
        rpc_write_request(&out, q.seq, q.service_method);
        assert_true(str_eq(buf_str(&out), bytes));
        buf_clear(&out);
        bytes = hex_bytes(&a, get(get(&calls->list.v[i], "response"), "header_hex")->s);
        struct response_header r;
        assert_int_equal(rpc_read_response(bytes, &r), 0);
        rpc_write_response(&out, r.error, r.seq, r.service_method);
        assert_true(str_eq(buf_str(&out), bytes));
        buf_deinit(&out);
    }
    arena_free(&a);
}

static void every_form_of_value_is_passed_over(void **state)
{
    (void)state;
    static const char *const whole[] = { "00", "7f", "ff", "e0", "c0", "c2", "c3", "a161", "80",
        "8101a0", "90", "92c0c0", "c40161", "c5000161", "c60000000161", "c70105ff", "c8000105ff",
        "c90000000105ff", "ca00000000", "cb0000000000000000", "cc01", "cd0001", "ce00000001",
        "cf0000000000000001", "d001", "d10001", "d200000001", "d30000000000000001", "d40501",
        "d5050102", "d60501020304", "d7050102030405060708", "d80501020304050607080102030405060708",
        "d90161", "da000161", "db0000000161", "dc0001c0", "dd00000001c0", "de000101c0",
        "df0000000101c0" };
    struct arena a = ARENA_INIT;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        struct str bytes = hex_bytes(&a, str_of(whole[i]));
        if (end_of(bytes, 1, 1) != bytes.n) fail_msg("%s", whole[i]);
        assert_int_equal(scan(whole[i], 100), RPC_SCAN_DONE);
        for (size_t cut = 0; cut < bytes.n; cut++)
            assert_int_equal(end_of(str_slice(bytes, 0, cut), 1, 1), SIZE_MAX - 1);
    }
    arena_free(&a);
}

static void claims_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(scan("c1", 100), RPC_SCAN_BAD);
    assert_int_equal(scan("db00000065", 100), RPC_SCAN_BAD);
    assert_int_equal(scan("db00000064", 100), RPC_SCAN_MORE);
    assert_int_equal(scan("ddffffffff", 100), RPC_SCAN_BAD);
    assert_int_equal(scan("dfffffffff", 100), RPC_SCAN_BAD);
    assert_int_equal(scan("9f", 100), RPC_SCAN_MORE);
    assert_int_equal(scan("93000000", 4), RPC_SCAN_DONE);
    assert_int_equal(scan("93000000", 3), RPC_SCAN_BAD);
}

static void unusable_headers_are_refused(void **state)
{
    (void)state;
    struct request_header h;
    assert_int_equal(rpc_read_request(STR("\x07"), &h), ERR_DECODE);
    assert_int_equal(rpc_read_request(STR("\x92\x01\x02"), &h), ERR_DECODE);
    assert_int_equal(rpc_read_request(STR("\x80"), &h), 0);
    assert_int_equal(h.service_method.n, 0);
    assert_int_equal(rpc_read_request(STR("\x92\x01\xa1x"), &h), 0);
    assert_int_equal(h.seq, 1);
}

static void the_service_is_what_stands_before_the_last_dot(void **state)
{
    (void)state;
    struct str service;
    assert_true(rpc_method_service(STR("a.b.c"), &service));
    assert_true(str_is(service, "a.b"));
    assert_true(rpc_method_service(STR("."), &service));
    assert_int_equal(service.n, 0);
    assert_false(rpc_method_service(STR("none"), &service));
    assert_false(rpc_method_service(STR(""), &service));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_messages_end_where_they_were_recorded_to_end),
        cmocka_unit_test(recorded_headers_read_and_write_the_same),
        cmocka_unit_test(every_form_of_value_is_passed_over),
        cmocka_unit_test(claims_are_bounded),
        cmocka_unit_test(unusable_headers_are_refused),
        cmocka_unit_test(the_service_is_what_stands_before_the_last_dot),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
