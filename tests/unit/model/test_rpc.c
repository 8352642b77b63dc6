/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded RPC calls: every header and body decodes and encodes to the same bytes. */
#include "unit/model/vectors.h"

static const char *const files[] = { "ACL", "AutoConfig", "AutoEncrypt", "Catalog", "ConfigEntry",
    "ConnectCA", "Coordinate", "DiscoveryChain", "FederationState", "Forwarding", "Health",
    "Intention", "Internal", "KVS", "Operator", "PreparedQuery", "Session", "Status", "Txn",
    "agent-calls" };

/* Asked for by the recording client to see the refusal. */
static const char *const unknown[] = { "Status.Nope", "Foo.Bar", "Ping" };

static bool is_unknown(const char *method)
{
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        if (strcmp(unknown[i], method) == 0) return true;
    }
    return false;
}

static int check(struct arena *a, const char *call, const struct value *o, const char *side,
    const char *part, const struct type *t)
{
    const char *what = str_printf(a, "%s %s %s", call, side, part).p;
    return same_again(what, t, recorded_bytes(a, get(o, side), part)) ? 0 : 1;
}

static int check_call(const char *file, const struct value *o, int *calls)
{
    struct arena a = ARENA_INIT;
    const char *method = get_text(&a, o, "method");
    const struct method_types *m = method_find(str_of(method));
    int failed = 0;
    if (m) {
        const char *call = str_printf(&a, "%s %d %s", file, (int)get_number(o, "order"), method).p;
        failed += check(&a, call, o, "request", "header_", &type_request_header);
        failed += check(&a, call, o, "request", "body_", m->args);
        const struct value *response = get(o, "response");
        if (response && response->kind == V_MAP) {
            bool refused = *get_text(&a, get(response, "header"), "Error") != 0;
            failed += check(&a, call, o, "response", "header_", &type_response_header);
            failed += check(&a, call, o, "response", "body_", refused ? &type_nothing : m->reply);
        }
        ++*calls;
    } else if (!is_unknown(method)) {
        print_error("%s: no method %s\n", file, method);
        failed = 1;
    }
    arena_free(&a);
    return failed;
}

static void recorded_calls_survive_a_round_trip(void **state)
{
    (void)state;
    int failed = 0, calls = 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct arena a = ARENA_INIT;
        const char *path = str_printf(&a, VECTORS "rpc/%s.json", files[i]).p;
        struct value root = parse(&a, path, read_file(&a, path));
        const struct value *list = get(&root, "calls");
        assert_non_null(list);
        for (size_t n = 0; n < list->list.n; n++) {
            failed += check_call(files[i], &list->list.v[n], &calls);
        }
        arena_free(&a);
    }
    assert_int_equal(failed, 0);
    assert_int_equal(calls, 301);
}

/* wanfed/: what servers ask each other through mesh gateways. */
static void calls_through_gateways_survive_a_round_trip(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    const char *path = VECTORS "wanfed/rpc-through-gateways.json";
    struct value root = parse(&a, path, read_file(&a, path));
    const struct value *rpcs = get(&root, "rpcs");
    assert_true(rpcs->list.n > 30);
    int failed = 0;
    for (size_t i = 0; i < rpcs->list.n; i++) {
        const struct value *o = &rpcs->list.v[i], *reply = get(o, "response_body_hex");
        const struct method_types *m = method_find(str_of(get_text(&a, o, "method")));
        const char *what = str_printf(&a, "call %zu, %s", i, get_text(&a, o, "method")).p;
        assert_non_null(m);
        failed += !same_again(what, &type_request_header, recorded_bytes(&a, o, "request_header_"));
        failed += !same_again(what, m->args, recorded_bytes(&a, o, "request_body_"));
        if (reply && reply->kind == V_STR)
            failed += !same_again(what, m->reply, hex_bytes(&a, reply->s));
    }
    arena_free(&a);
    assert_int_equal(failed, 0);
}

static void methods_are_sorted_and_found_by_name(void **state)
{
    (void)state;
    assert_int_equal(method_count, 110);
    for (size_t i = 0; i < method_count; i++) {
        const struct method_types *m = &method_table[i];
        assert_true(i == 0 || strcmp(method_table[i - 1].method, m->method) < 0);
        assert_ptr_equal(method_find(str_of(m->method)), m);
    }
    assert_null(method_find(STR("Catalog.register")));
    assert_null(method_find(STR("")));
}

/* Malformed.json: unknown keys, nil for a text, the array form. */
static void odd_forms_of_arguments_are_understood(void **state)
{
    (void)state;
    static const char *const keys[] = { "app/one", "", "app/one" };
    struct arena a = ARENA_INIT;
    struct value root = parse(&a, "Malformed", read_file(&a, VECTORS "rpc/Malformed.json"));
    const struct value *calls = get(&root, "calls");
    for (size_t i = 0; i < 3; i++) {
        struct str body = recorded_bytes(&a, get(&calls->list.v[i], "request"), "body_");
        struct key_request r = { 0 };
        struct cursor c;
        cursor_init(&c, body.p, body.n, NULL);
        assert_int_equal(msgpack_decode(&c, &a, &type_key_request, &r), ERR_OK);
        assert_true(str_is(r.datacenter, "dc1"));
        assert_true(str_is(r.key, keys[i]));
    }
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_forms_of_arguments_are_understood),
        cmocka_unit_test(methods_are_sorted_and_found_by_name),
        cmocka_unit_test(recorded_calls_survive_a_round_trip),
        cmocka_unit_test(calls_through_gateways_survive_a_round_trip),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
