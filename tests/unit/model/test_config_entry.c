/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/model/vectors.h"

static struct config_entry read_entry(struct arena *a, const char *text)
{
    struct value v = parse(a, text, str_of(text));
    struct config_entry e;
    struct error err;
    if (config_entry_read(&v, a, &e, &err) != ERR_OK) fail_msg("%s: %s", text, err.text);
    return e;
}

static const char *refusal_of(struct arena *a, const char *text)
{
    struct value v = parse(a, text, str_of(text));
    struct config_entry e;
    struct error *err = arena_new(a, struct error);
    return config_entry_read(&v, a, &e, err) == ERR_OK ? "" : err->text;
}

static void kinds_are_sorted_and_have_a_type(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct str last = STR("");
    size_t n = 0;
    for (struct str kind; (kind = config_entry_kind_at(n)).p; n++) {
        struct config_entry e;
        assert_true(str_cmp(last, kind) < 0);
        last = kind;
        assert_true(config_entry_make(&a, kind, &e));
        struct config_entry_ref ref = config_entry_ref(&e);
        assert_ptr_equal(ref.type, config_entry_type(kind));
        assert_true(str_eq(ref.kind, kind));
        *ref.modify_index = 7;
        assert_int_equal(*config_entry_ref(&e).modify_index, 7);
    }
    assert_int_equal(n, 7);
    struct config_entry none;
    assert_false(config_entry_make(&a, STR("odd"), &none));
    assert_null(config_entry_type(STR("Service-Defaults")));
    arena_free(&a);
}

static void snake_case_reads_as_camel_case(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct config_entry camel = read_entry(&a,
        "{\"Kind\":\"service-router\",\"Name\":\"w\",\"Routes\":[{\"Match\":{\"HTTP\":{"
        "\"PathExact\":\"/e\",\"QueryParam\":[{\"Name\":\"a\",\"Regex\":\"b\"}]}},\"Destination\":{"
        "\"ServiceSubset\":\"v1\",\"RequestTimeout\":\"250ms\",\"NumRetries\":1,"
        "\"RetryOnConnectFailure\":true,\"RetryOnStatusCodes\":[1,2]}}]}");
    struct config_entry snake = read_entry(&a,
        "{\"kind\":\"service-router\",\"name\":\"w\",\"routes\":[{\"match\":{\"http\":{"
        "\"path_exact\":\"/"
        "e\",\"query_param\":[{\"name\":\"a\",\"regex\":\"b\"}]}},\"destination\":{"
        "\"service_subset\":\"v1\",\"request_timeout\":250000000,\"num_retries\":\"1\","
        "\"retry_on_connect_failure\":\"true\",\"retry_on_status_codes\":[\"1\",2]}}]}");
    assert_true(record_equal(&type_config_entry, &camel, &snake));
    const struct service_route *route = camel.service_router->routes.v;
    assert_int_equal(route->destination->request_timeout, 250000000);
    assert_true(route->destination->retry_on_connect_failure);
    assert_int_equal(route->destination->retry_on_status_codes.n, 2);
    arena_free(&a);
}

static void free_form_keys_are_left_alone(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct config_entry e = read_entry(&a,
        "{\"kind\":\"proxy-defaults\",\"name\":\"global\",\"config\":{\"local_port\":1,\"B\":[2]},"
        "\"meta\":{\"a_b\":\"c\"}}");
    assert_non_null(value_get(&e.proxy_defaults->config, STR("local_port")));
    assert_true(str_is(dict_str(&e.proxy_defaults->meta, STR("a_b")), "c"));
    arena_free(&a);
}

static void objects_in_one_element_lists_are_objects(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct config_entry e = read_entry(&a,
        "{\"kind\":\"service-defaults\",\"name\":\"w\",\"mesh_gateway\":[{\"mode\":\"local\"}],"
        "\"expose\":[{\"paths\":{\"path\":\"/x\"}}]}");
    assert_true(str_is(e.service_defaults->mesh_gateway.mode, "local"));
    assert_int_equal(e.service_defaults->expose.paths.n, 1);
    arena_free(&a);
}

static void refusals_name_the_path(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    assert_string_equal(
        refusal_of(&a, "{\"Kind\":\"service-defaults\",\"Z\":1,\"mesh_gateway\":{\"Bogus\":1}}"),
        "2 errors occurred:\n\t* invalid config key \"Z\"\n"
        "\t* invalid config key \"MeshGateway.Bogus\"\n\n");
    assert_string_equal(refusal_of(&a, "{\"Kind\":\"service-router\",\"Routes\":[{\"Destination\":{"
                                       "\"RequestTimeout\":\"5\"}}],\"Bogus\":1}"),
        "1 error(s) decoding:\n\n* error decoding 'Routes[0].Destination.RequestTimeout': "
        "time: missing unit in duration \"5\"");
    assert_string_equal(refusal_of(&a, "{\"Kind\":\"service-router\",\"Routes\":[{\"Destination\":{"
                                       "\"NumRetries\":-1}}]}"),
        "1 error(s) decoding:\n\n* cannot parse 'Routes[0].Destination.NumRetries', value "
        "overflows uint");
    assert_string_equal(refusal_of(&a, "3"), "'' expected a map, got 'float64'");
    assert_string_equal(
        refusal_of(&a, "null"), "Payload does not contain a kind/Kind key at the top level");
    arena_free(&a);
}

static int decode_request(struct arena *a, const void *p, size_t n, struct config_entry_request *r)
{
    struct cursor c;
    cursor_init(&c, p, n, NULL);
    return msgpack_decode(&c, a, &type_config_entry_request, r);
}

static void carriers_refuse_every_cut(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct buf out = BUF_INIT(4096);
    struct config_entry_request r = { .op = STR("upsert"), .datacenter = STR("dc1") }, back;
    r.entry =
        read_entry(&a, "{\"kind\":\"proxy-defaults\",\"name\":\"global\",\"config\":{\"a\":1}}");
    msgpack_encode(&type_config_entry_request, &r, &out);
    for (size_t n = 0; n < out.n; n++) {
        back = (struct config_entry_request){ 0 };
        assert_int_not_equal(decode_request(&a, out.p, n, &back), ERR_OK);
    }
    /* The same cut inside a whole raw is malformed, not short. */
    struct str content = { (const char *)out.p + 3, out.n - 3 };
    for (size_t n = 0; n < content.n; n++) {
        struct buf cut = BUF_INIT(4096);
        msgpack_put_str(&cut, str_slice(content, 0, n));
        back = (struct config_entry_request){ 0 };
        assert_int_equal(decode_request(&a, cut.p, cut.n, &back), ERR_DECODE);
        buf_deinit(&cut);
    }
    back = (struct config_entry_request){ 0 };
    assert_int_equal(decode_request(&a, out.p, out.n, &back), ERR_OK);
    assert_true(str_is(back.entry.proxy_defaults->name, "global"));
    assert_true(str_is(back.op, "upsert"));
    buf_deinit(&out);
    arena_free(&a);
}

static void unknown_kinds_on_the_wire_are_refused(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct buf out = BUF_INIT(4096), body = BUF_INIT(4096);
    struct config_entry_request back = { 0 };
    msgpack_put_str(&body, STR("odd"));
    msgpack_put_map(&body, 1);
    msgpack_put_str(&body, STR("Entry"));
    msgpack_put_map(&body, 0);
    msgpack_put_str(&out, buf_str(&body));
    assert_int_equal(decode_request(&a, out.p, out.n, &back), ERR_DECODE);
    buf_deinit(&out);
    buf_deinit(&body);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_sorted_and_have_a_type),
        cmocka_unit_test(snake_case_reads_as_camel_case),
        cmocka_unit_test(free_form_keys_are_left_alone),
        cmocka_unit_test(objects_in_one_element_lists_are_objects),
        cmocka_unit_test(refusals_name_the_path),
        cmocka_unit_test(carriers_refuse_every_cut),
        cmocka_unit_test(unknown_kinds_on_the_wire_are_refused),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
