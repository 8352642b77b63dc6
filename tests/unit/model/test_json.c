/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded HTTP answers: read into their records and written again, they are the same text. */
#include "unit/model/vectors.h"

#define ONE(r) \
    { \
#r, &type_##r \
    }
#define LIST_OF(r) \
    { \
#r "_list", &type_##r##_list \
    }
#define MAP_OF(r) \
    { \
#r "_map", &type_##r##_map \
    }

static const struct {
    const char *name;
    const struct type *type;
} types[] = {
    ONE(acl_auth_method),
    LIST_OF(acl_auth_method_list_stub),
    LIST_OF(acl_authorization_response),
    ONE(acl_binding_rule),
    LIST_OF(acl_binding_rule),
    ONE(acl_bootstrap_reply),
    LIST_OF(acl),
    ONE(acl_policy),
    LIST_OF(acl_policy_list_stub),
    ONE(acl_replication_status),
    ONE(acl_role),
    LIST_OF(acl_role),
    ONE(acl_token),
    LIST_OF(acl_token_list_stub),
    LIST_OF(agent_member),
    ONE(agent_service),
    ONE(agent_service_checks),
    LIST_OF(agent_service_checks),
    MAP_OF(agent_service),
    ONE(api_health_reply),
    ONE(autopilot_config),
    ONE(ca_configuration),
    LIST_OF(check_service_node),
    { "check_service_node_map_list", &type_check_service_node_map_list },
    ONE(connect_authorize_reply),
    LIST_OF(coordinate),
    LIST_OF(datacenter_map),
    LIST_OF(dir_entry),
    ONE(discovery_chain_response),
    ONE(federation_state_response),
    LIST_OF(federation_state),
    LIST_OF(gateway_service),
    LIST_OF(health_check),
    MAP_OF(health_check),
    ONE(id_reply),
    ONE(indexed_ca_roots),
    ONE(ingress_gateway_config_entry),
    LIST_OF(ingress_gateway_config_entry),
    ONE(intention),
    LIST_OF(intention),
    { "intention_map_list", &type_intention_map_list },
    ONE(intention_query_check_response),
    ONE(issued_cert),
    LIST_OF(keyring_response),
    { "map_list_str", &type_map_list_str },
    ONE(node_info),
    LIST_OF(node_info),
    LIST_OF(node),
    ONE(node_service_listing),
    ONE(node_services),
    ONE(prepared_query_execute_response),
    ONE(prepared_query_explain_response),
    LIST_OF(prepared_query),
    ONE(proxy_config_entry),
    LIST_OF(proxy_config_entry),
    ONE(raft_configuration_response),
    ONE(service_config_entry),
    LIST_OF(service_config_entry),
    LIST_OF(service_node),
    ONE(service_resolver_config_entry),
    LIST_OF(service_resolver_config_entry),
    ONE(service_router_config_entry),
    LIST_OF(service_router_config_entry),
    ONE(service_splitter_config_entry),
    LIST_OF(service_splitter_config_entry),
    LIST_OF(service_summary),
    LIST_OF(session),
    ONE(terminating_gateway_config_entry),
    LIST_OF(terminating_gateway_config_entry),
    ONE(acl_login_params),
    LIST_OF(acl_authorization_request),
    ONE(agent_token),
    LIST_OF(api_txn_op),
    ONE(chain_overrides),
    ONE(check_definition),
    ONE(check_update),
    ONE(connect_authorize_request),
    ONE(coordinate_update_request),
    ONE(deregister_request),
    ONE(keyring_body),
    ONE(prepared_query),
    ONE(register_request),
    ONE(service_definition),
    ONE(session_create),
    ONE(txn_read_response),
    ONE(txn_response),
    ONE(user_event),
    LIST_OF(user_event),
};

static const struct type *type_named(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, name) == 0) return types[i].type;
    }
    return NULL;
}

struct tally {
    int seen, failed;
};

/* The recorded text itself, not a rewriting of it: from the key to the closing brace. */
static struct str text_of(struct str line)
{
    ptrdiff_t at = str_find(line, STR("\"json\":"));
    assert_true(at >= 0);
    return str_slice(line, (size_t)at + 7, line.n - 1);
}

static bool same_text(struct arena *a, const char *what, const struct type *t, struct str text)
{
    struct error err = { 0 };
    struct buf out = BUF_INIT(1 << 20);
    void *obj = arena_alloc(a, t->size);
    bool same = false;
    if (json_decode(text, a, t, obj, 0, &err) != ERR_OK) {
        print_error("%s: %s\n", what, err.text);
    } else {
        json_encode(t, obj, false, &out);
        same = str_eq(buf_str(&out), text);
        if (!same) {
            print_error(
                "%s\n  had %.*s\n  got %.*s\n", what, STR_ARG(text), STR_ARG(buf_str(&out)));
        }
    }
    buf_deinit(&out);
    return same;
}

static void recorded_answers_are_written_as_they_were(void **state)
{
    (void)state;
    struct arena file = ARENA_INIT, a = ARENA_INIT;
    struct str rest = read_file(&file, VECTORS "api/samples.jsonl"), line;
    struct tally tally = { 0 };
    while (rest.n > 0) {
        str_cut(rest, '\n', &line, &rest);
        struct value v = parse(&a, "sample", line);
        const char *name = get_text(&a, &v, "type");
        const struct type *t = type_named(name);
        if (!t) fail_msg("no type %s", name);
        const char *what = str_printf(&a, "%s %s", name, get_text(&a, &v, "path")).p;
        tally.seen++;
        tally.failed += !same_text(&a, what, t, text_of(line));
        arena_reset(&a);
    }
    arena_free(&a);
    arena_free(&file);
    assert_int_equal(tally.failed, 0);
    assert_true(tally.seen > 100);
}

static void read_body(struct arena *a, const char *name, struct str body, struct error *err)
{
    const struct type *t = type_named(name);
    int code;
    if (strcmp(name, "config_entry") == 0) {
        struct value v = { 0 };
        struct config_entry e;
        code = json_parse(body, a, &v, err);
        if (code == ERR_OK) code = config_entry_read(&v, a, &e, err);
    } else if (t) {
        code = json_decode(body, a, t, arena_alloc(a, t->size), 0, err);
    } else {
        fail_msg("no type %s", name);
        return;
    }
    if (code == ERR_OK) err->text[0] = 0;
}

/* Every recorded request body is taken, or refused with the recorded words. */
static void recorded_bodies_are_read_or_refused(void **state)
{
    (void)state;
    struct arena file = ARENA_INIT, a = ARENA_INIT;
    struct str rest = read_file(&file, VECTORS "api/inputs.jsonl"), line;
    struct tally tally = { 0 };
    while (rest.n > 0) {
        str_cut(rest, '\n', &line, &rest);
        struct value v = parse(&a, "input", line);
        const char *name = get_text(&a, &v, "type"), *refusal = get_text(&a, &v, "error");
        struct error err = { 0 };
        read_body(&a, name, get(&v, "body")->s, &err);
        tally.seen++;
        if (strcmp(err.text, refusal) != 0) {
            print_error("%s %s\n  body %s\n  had '%s'\n  got '%s'\n", name,
                get_text(&a, &v, "path"), get_text(&a, &v, "body"), refusal, err.text);
            tally.failed++;
        }
        arena_reset(&a);
    }
    arena_free(&a);
    arena_free(&file);
    assert_int_equal(tally.failed, 0);
    assert_true(tally.seen > 100);
}

static void snake_case_keys_fill_the_same_members(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct service_definition s = { 0 };
    struct str text = STR("{\"NAME\":\"a\",\"enable_tag_override\":true,"
                          "\"tagged_addresses\":{\"lan\":{\"address\":\"1.1.1.1\",\"Port\":1}},"
                          "\"connect\":{\"sidecar_service\":{\"port\":9}},"
                          "\"proxy\":{\"destination_service_name\":\"d\",\"Upstreams\":[{"
                          "\"local_bind_port\":5,\"mesh_gateway\":{\"mode\":\"none\"}}]},"
                          "\"check\":{\"args\":[\"x\"],\"interval\":5,"
                          "\"deregister_critical_service_after\":\"1m\"}}");
    if (json_decode(text, &a, &type_service_definition, &s, 0, &err) != ERR_OK) {
        fail_msg("%s", err.text);
    }
    assert_true(str_is(s.name, "a"));
    assert_true(s.enable_tag_override);
    const struct service_address *lan =
        dict_get(&s.tagged_addresses, &type_service_address, STR("lan"));
    assert_true(lan && str_is(lan->address, "1.1.1.1"));
    assert_int_equal(s.connect->sidecar_service->port, 9);
    assert_true(str_is(s.proxy->destination_service_name, "d"));
    const struct upstream *up = s.proxy->upstreams.v;
    assert_int_equal(up->local_bind_port, 5);
    assert_true(str_is(up->mesh_gateway.mode, "none"));
    assert_int_equal(s.check.script_args.n, 1);
    assert_int_equal(s.check.interval, 5);
    assert_int_equal(s.check.deregister_critical_service_after, 60 * SECOND_NS);
    arena_free(&a);
}

/* Reading goes on after a refusal; one in an inner type that reads itself ends it and names the
 * outer field alone; durations are looked at last. */
static void refusals_have_the_order_and_places_of_go(void **state)
{
    (void)state;
    static const struct {
        const char *body, *refusal;
    } cases[] = {
        { "{\"Name\":\"a\",\"enable_tag_override\":\"x\"}",
            "json: cannot unmarshal string into Go struct field .enable_tag_override of type "
            "bool" },
        { "{\"Name\":\"a\",\"Check\":{\"TTL\":\"10s\",\"TLSSkipVerify\":\"x\"}}",
            "json: cannot unmarshal string into Go struct field .Check of type bool" },
        { "{\"id\":5,\"Proxy\":{\"Upstreams\":[{\"LocalBindPort\":\"x\"}]}}",
            "json: cannot unmarshal string into Go struct field .Proxy of type int" },
        { "{\"id\":1.5,\"enable_tag_override\":\"x\"}",
            "json: cannot unmarshal number into Go struct field .ID of type string" },
        { "{\"Address\":[],\"Check\":{\"Interval\":\"\"}}", "time: invalid duration \"\"" },
        { "{\"Check\":{\"Interval\":\"10\",\"GRPCUseTLS\":1}}",
            "json: cannot unmarshal number into Go struct field .Check of type bool" },
        { "{\"Port\":\"80\",\"Checks\":[{\"ID\":\"c\"}]}", "json: unknown field \"ID\"" },
        { "{\"Check\":{\"TTL\":\"\",\"Timeout\":\"x\"}}", "time: invalid duration \"x\"" },
        { "{\"Check\":{\"checkid\":1.5}}",
            "json: cannot unmarshal number into Go struct field .Check of type types.CheckID" },
        { "{\"Check\":{\"ServiceID\":\"x\",\"service_id\":\"y\"}}", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena a = ARENA_INIT;
        struct error err = { 0 };
        struct service_definition s = { 0 };
        int rc = json_decode(str_of(cases[i].body), &a, &type_service_definition, &s, 0, &err);
        assert_int_equal(rc != 0, cases[i].refusal[0] != '\0');
        assert_string_equal(err.text, cases[i].refusal);
        arena_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_have_the_order_and_places_of_go),
        cmocka_unit_test(snake_case_keys_fill_the_same_members),
        cmocka_unit_test(recorded_bodies_are_read_or_refused),
        cmocka_unit_test(recorded_answers_are_written_as_they_were),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
