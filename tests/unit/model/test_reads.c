/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP reads recorded from the state of tests/vectors/fsm: what they say fits into the records,
 * nothing is lost, nothing is added. Their keys are sorted, so order is not looked at here. */
#include "unit/model/vectors.h"

/* First match counts. NULL: no record's answer. */
static const struct {
    const char *prefix;
    const struct type *type;
} reads[] = {
    { "catalog/datacenters", NULL },
    { "catalog/nodes", &type_node_list },
    { "catalog/node/", &type_node_services_ptr },
    { "catalog/node-services/", &type_node_service_listing },
    { "catalog/services", &type_map_list_str },
    { "catalog/service/", &type_service_node_list },
    { "catalog/connect/", &type_service_node_list },
    { "catalog/gateway-services/", &type_gateway_service_list },
    { "health/node/", &type_health_check_list },
    { "health/checks/", &type_health_check_list },
    { "health/state/", &type_health_check_list },
    { "health/", &type_check_service_node_list },
    { "kv/", &type_dir_entry_list },
    { "session/", &type_session_list },
    { "coordinate/", NULL }, /* small numbers were recorded in another notation */
    { "query", &type_prepared_query_list },
    { "connect/ca/roots", &type_indexed_ca_roots },
    { "connect/ca/configuration", &type_ca_configuration },
    { "connect/intentions/match", &type_intention_map_list },
    { "connect/intentions/check", &type_intention_query_check_response },
    { "connect/intentions/", &type_intention },
    { "connect/intentions", &type_intention_list },
    { "discovery-chain/", &type_discovery_chain_response },
    { "internal/federation-states", &type_federation_state_list },
    { "internal/ui/services", &type_service_summary_list },
    { "internal/ui/nodes", &type_node_info_list },
    { "internal/ui/node/", &type_node_info },
    { "operator/autopilot/configuration", &type_autopilot_config },
    { "acl/auth-methods", &type_acl_auth_method_list_stub_list },
    { "acl/auth-method/", &type_acl_auth_method },
    { "acl/binding-rules", &type_acl_binding_rule_list },
    { "acl/binding-rule/", &type_acl_binding_rule },
    { "acl/policies", &type_acl_policy_list_stub_list },
    { "acl/policy/", &type_acl_policy },
    { "acl/roles", &type_acl_role_list },
    { "acl/role/", &type_acl_role },
    { "acl/tokens", &type_acl_token_list_stub_list },
    { "acl/token/", &type_acl_token },
    { "acl/replication", &type_acl_replication_status },
    { "acl/list", &type_acl_list },
};

static const struct type *config_type(struct str path)
{
    struct str kind, name;
    if (!str_cut(path, '/', &kind, &name)) return NULL;
    return config_entry_type(kind);
}

static const struct type *type_of_read(struct str path)
{
    struct str rest = str_slice(path, strlen("/v1/"), path.n), query;
    str_cut(rest, '?', &rest, &query);
    if (str_has_prefix(rest, STR("config/"))) {
        return config_type(str_slice(rest, strlen("config/"), rest.n));
    }
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
        if (str_has_prefix(rest, str_of(reads[i].prefix))) return reads[i].type;
    }
    fail_msg("no type for %.*s", STR_ARG(path));
    return NULL;
}

struct tally {
    int seen, failed;
};

static void check_read(struct arena *a, const struct value *line, int number, void *arg)
{
    struct tally *tally = arg;
    const struct value *body = get(line, "body");
    struct str path = get(line, "path")->s;
    if (get_number(line, "status") != 200 || body->kind == V_STR) return;
    if (body->kind == V_LIST && (body->list.n == 0 || body->list.v[0].kind == V_STR)) return;
    const struct type *t = type_of_read(path);
    if (!t) return;
    struct error err = { 0 };
    struct buf out = BUF_INIT(1 << 20);
    void *obj = arena_alloc(a, t->size);
    tally->seen++;
    if (json_read(body, a, t, obj, 0, &err) != ERR_OK) {
        print_error("%d %.*s: %s\n", number, STR_ARG(path), err.text);
        tally->failed++;
        return;
    }
    json_encode(t, obj, false, &out);
    struct value back = parse(a, "answer", buf_str(&out));
    if (!value_equal(body, &back)) {
        print_error("%d %.*s: got %.*s\n", number, STR_ARG(path), STR_ARG(buf_str(&out)));
        tally->failed++;
    }
    buf_deinit(&out);
}

static void recorded_reads_fit_their_records(void **state)
{
    (void)state;
    struct tally tally = { 0 };
    each_line(VECTORS "fsm/catalog/reads.jsonl", check_read, &tally);
    each_line(VECTORS "fsm/acl/reads.jsonl", check_read, &tally);
    assert_int_equal(tally.failed, 0);
    assert_true(tally.seen > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(recorded_reads_fit_their_records) };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
