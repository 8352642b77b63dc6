/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/base/map.h"
#include "consuld/wire/json.h"
#include "proxy.h"

/* What is known of what is watched, told piece by piece. */
static struct arena arena;
static struct map values;
static struct proxy_plan plan;
static struct node_service service;

static void *value(void *ctx, struct str id)
{
    (void)ctx;
    return map_get(&values, id);
}

static void *read_json(const struct type *t, const char *json)
{
    struct error err;
    void *out = arena_alloc(&arena, t->size);
    if (json_decode(str_of(json), &arena, t, out, 0, &err)) fail_msg("%s", err.text);
    return out;
}

static void given(const char *registration)
{
    service = *(struct node_service *)read_json(&type_node_service, registration);
}

static void known(const char *id, const struct type *t, const char *json)
{
    map_put(&values, str_of(id), read_json(t, json));
}

static void make(void)
{
    plan = (struct proxy_plan){ .arena = &arena,
        .service = &service,
        .token = STR("secret"),
        .datacenter = STR("dc1"),
        .node_name = STR("n1"),
        .domain = STR("consul."),
        .value = value };
    proxy_plan_make(&plan);
}

static const void *wanted(const char *id)
{
    for (size_t i = 0; i < plan.wants.n; i++) {
        const struct proxy_want *w = &LIST_AT(&plan.wants, struct proxy_want, i);
        if (str_is(w->id, id)) return w->args;
    }
    return NULL;
}

static void assert_wants(const char *ids)
{
    struct buf b = BUF_INIT(65536);
    for (size_t i = 0; i < plan.wants.n; i++) {
        if (i) buf_put_char(&b, ' ');
        buf_put_str(&b, LIST_AT(&plan.wants, struct proxy_want, i).id);
    }
    buf_put_char(&b, '\0');
    assert_string_equal(ids, buf_str(&b).p);
    buf_deinit(&b);
}

static int setup(void **state)
{
    (void)state;
    model_init();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    map_deinit(&values);
    values = (struct map)MAP_INIT;
    arena_free(&arena);
    arena = (struct arena)ARENA_INIT;
    return 0;
}

#define ROOTS "{\"ActiveRootID\":\"x\",\"TrustDomain\":\"td.consul\"}"
#define LEAF "{\"Service\":\"web\",\"PrivateKeyPEM\":\"private\"}"
#define SIDECAR(upstreams) \
    "{\"Kind\":\"connect-proxy\",\"ID\":\"p\",\"Service\":\"p\",\"Proxy\":{" \
    "\"DestinationServiceName\":\"web\",\"DestinationServiceID\":\"web1\"," upstreams "}}"
#define NODES(dc, address) \
    "{\"Nodes\":[{\"Node\":{\"Node\":\"n\",\"Datacenter\":\"" dc "\",\"Address\":\"" address \
    "\"},\"Service\":{\"ID\":\"i\",\"Port\":1}}]}"

/* --- connect-proxy --------------------------------------------------------------------------- */

static void a_sidecar_watches_roots_leaf_intentions_and_checks(void **state)
{
    (void)state;
    given(SIDECAR("\"Upstreams\":[]"));
    make();
    assert_wants("roots leaf intentions service-http-checks:web1");
    const struct proxy_leaf_args *leaf = wanted("leaf");
    assert_true(str_is(leaf->service, "web"));
    const struct intention_query_request *match = wanted("intentions");
    assert_true(str_is(match->token, "secret"));
    assert_true(str_is(match->match->type, "destination"));
    assert_true(
        str_is(LIST_AT(&match->match->entries, struct intention_match_entry, 0).name, "web"));
}

static void a_sidecar_is_valid_with_roots_and_leaf(void **state)
{
    (void)state;
    given(SIDECAR("\"Upstreams\":[]"));
    known("roots", &type_indexed_ca_roots, ROOTS);
    make();
    assert_false(plan.snapshot.valid);
    known("leaf", &type_issued_cert, LEAF);
    make();
    assert_true(plan.snapshot.valid);
    assert_true(str_is(plan.snapshot.connect->leaf->private_key_pem, "private"));
}

static void a_snapshot_to_be_shown_has_no_private_key(void **state)
{
    (void)state;
    given(SIDECAR("\"Upstreams\":[]"));
    known("leaf", &type_issued_cert, LEAF);
    make();
    plan.hide_keys = true;
    proxy_plan_make(&plan);
    assert_int_equal(plan.snapshot.connect->leaf->private_key_pem.n, 0);
}

static void a_chain_is_compiled_with_what_the_upstream_overrides(void **state)
{
    (void)state;
    given(SIDECAR("\"MeshGateway\":{\"Mode\":\"local\"},\"Upstreams\":["
                  "{\"DestinationName\":\"db\",\"Datacenter\":\"dc2\",\"LocalBindPort\":1,"
                  "\"Config\":{\"protocol\":\"http\",\"connect_timeout_ms\":\"1500\",\"x\":1}},"
                  "{\"DestinationName\":\"api\",\"MeshGateway\":{\"Mode\":\"none\"}}]"));
    make();
    const struct discovery_chain_request *db = wanted("discovery-chain:db?dc=dc2");
    assert_non_null(db);
    assert_true(str_is(db->name, "db"));
    assert_true(str_is(db->datacenter, "dc1"));
    assert_true(str_is(db->evaluate_in_datacenter, "dc2"));
    assert_true(str_is(db->evaluate_in_namespace, "default"));
    assert_true(str_is(db->override_mesh_gateway.mode, "local"));
    assert_true(str_is(db->override_protocol, "http"));
    assert_int_equal(db->override_connect_timeout, INT64_C(1500000000));
    const struct discovery_chain_request *api = wanted("discovery-chain:api");
    assert_true(str_is(api->override_mesh_gateway.mode, "none"));
    assert_int_equal(api->override_connect_timeout, 0);
}

static void each_target_of_a_chain_is_watched(void **state)
{
    (void)state;
    given(SIDECAR("\"Upstreams\":[{\"DestinationName\":\"db\"}]"));
    known("discovery-chain:db", &type_discovery_chain_response,
        "{\"Chain\":{\"Targets\":{"
        "\"v1.db.default.dc1\":{\"ID\":\"v1.db.default.dc1\",\"Service\":\"db\","
        "\"Datacenter\":\"dc1\",\"Subset\":{\"Filter\":\"Service.Meta.v == 1\"}},"
        "\"db.default.dc2\":{\"ID\":\"db.default.dc2\",\"Service\":\"db\","
        "\"Datacenter\":\"dc2\",\"MeshGateway\":{\"Mode\":\"remote\"}},"
        "\"db.default.dc3\":{\"ID\":\"db.default.dc3\",\"Service\":\"db\","
        "\"Datacenter\":\"dc3\",\"MeshGateway\":{\"Mode\":\"local\"}}}}}");
    known("upstream-target:db.default.dc2:db", &type_indexed_check_service_nodes,
        NODES("dc2", "10.0.0.1"));
    make();
    const struct service_specific_request *subset = wanted("upstream-target:v1.db.default.dc1:db");
    assert_true(str_is(subset->filter, "Service.Meta.v == 1"));
    assert_true(subset->connect);
    const struct service_specific_request *elsewhere = wanted("upstream-target:db.default.dc2:db");
    assert_true(str_is(elsewhere->datacenter, "dc2"));
    const struct service_dump_request *remote = wanted("mesh-gateway:dc2");
    assert_true(remote->use_service_kind && str_is(remote->service_kind, "mesh-gateway"));
    assert_non_null(wanted("mesh-gateway:dc1"));
    assert_null(wanted("mesh-gateway:dc3"));
    const struct proxy_upstream *u =
        &LIST_AT(&plan.snapshot.connect->upstreams, struct proxy_upstream, 0);
    assert_int_equal(u->targets.n, 1);
    assert_true(str_is(LIST_AT(&u->targets, struct proxy_endpoints, 0).name, "db.default.dc2"));
}

static void a_query_is_executed_every_half_minute(void **state)
{
    (void)state;
    given(SIDECAR(
        "\"Upstreams\":[{\"DestinationType\":\"prepared_query\",\"DestinationName\":\"q\"}]"));
    make();
    const struct prepared_query_execute_request *q = wanted("upstream:prepared_query:q");
    assert_true(q->connect);
    assert_int_equal(q->max_age, INT64_C(30000000000));
    assert_true(str_is(q->query_id_or_name, "q"));
    assert_null(wanted("discovery-chain:q"));
}

/* --- gateways -------------------------------------------------------------------------------- */

#define MESH(meta) \
    "{\"Kind\":\"mesh-gateway\",\"ID\":\"g\",\"Service\":\"gw\",\"Port\":443,\"Meta\":{" meta "}}"
#define FEDERATED "\"consul-wan-federation\":\"1\""

static void a_mesh_gateway_watches_services_and_other_datacenters(void **state)
{
    (void)state;
    given(MESH(""));
    make();
    assert_wants("roots service-list service-resolvers datacenters");
    known("roots", &type_indexed_ca_roots, ROOTS);
    known("service-list", &type_indexed_service_list,
        "{\"Services\":[{\"Name\":\"db\"},{\"Name\":\"gone\"}]}");
    known("service:db", &type_indexed_check_service_nodes, NODES("dc1", "10.0.0.1"));
    known("service:gone", &type_indexed_check_service_nodes, "{\"Nodes\":[]}");
    known("datacenters", &type_list_str, "[\"dc1\",\"dc2\",\"dc3\"]");
    known("mesh-gateway:dc2", &type_indexed_check_service_nodes, NODES("dc2", "gw.example"));
    make();
    assert_wants("roots service-list service-resolvers datacenters mesh-gateway:dc2 "
                 "mesh-gateway:dc3 service:db service:gone");
    assert_true(((const struct service_specific_request *)wanted("service:db"))->connect);
    const struct proxy_mesh *m = plan.snapshot.mesh;
    assert_true(plan.snapshot.valid);
    assert_int_equal(m->services.n, 1);
    assert_int_equal(m->datacenters.n, 1);
    assert_int_equal(LIST_AT(&m->datacenters, struct proxy_endpoints, 0).hostnames.n, 1);
}

static void a_federated_mesh_gateway_needs_servers(void **state)
{
    (void)state;
    given(MESH(FEDERATED));
    known("roots", &type_indexed_ca_roots, ROOTS);
    known("service-list", &type_indexed_service_list, "{\"Services\":[]}");
    make();
    assert_non_null(wanted("federation-state-list-mesh-gateways"));
    assert_false(plan.snapshot.valid);
    known("consul-server-list", &type_indexed_check_service_nodes, NODES("dc1", "10.0.0.1"));
    make();
    assert_true(plan.snapshot.valid);
}

static void gateways_of_a_datacenter_itself_count_more_than_federation_states(void **state)
{
    (void)state;
    given(MESH(FEDERATED));
    known("datacenters", &type_list_str, "[\"dc1\",\"dc2\"]");
    known("mesh-gateway:dc2", &type_indexed_check_service_nodes, NODES("dc2", "10.0.0.2"));
    known("federation-state-list-mesh-gateways", &type_datacenter_indexed_check_service_nodes,
        "{\"DatacenterNodes\":{\"dc1\":[],\"dc2\":[],\"dc3\":[{\"Node\":{\"Address\":\"10.0.0.3\","
        "\"Datacenter\":\"dc3\"},\"Service\":{\"Address\":\"10.0.0.3\",\"TaggedAddresses\":{"
        "\"wan\":{\"Address\":\"wan.example\",\"Port\":1}}}}]}}");
    make();
    const struct list *all = &plan.snapshot.mesh->datacenters;
    assert_int_equal(all->n, 3);
    assert_true(str_is(LIST_AT(all, struct proxy_endpoints, 0).name, "dc2"));
    assert_int_equal(LIST_AT(all, struct proxy_endpoints, 0).nodes.n, 1);
    assert_true(str_is(LIST_AT(all, struct proxy_endpoints, 1).name, "dc1"));
    assert_true(str_is(LIST_AT(all, struct proxy_endpoints, 2).name, "dc3"));
    assert_int_equal(LIST_AT(all, struct proxy_endpoints, 2).hostnames.n, 1);
}

static void a_terminating_gateway_watches_each_linked_service(void **state)
{
    (void)state;
    given("{\"Kind\":\"terminating-gateway\",\"ID\":\"t\",\"Service\":\"tg\"}");
    known("roots", &type_indexed_ca_roots, ROOTS);
    known("gateway-services", &type_indexed_gateway_services,
        "{\"Services\":[{\"Service\":{\"Name\":\"ext\"},\"CAFile\":\"/ca\"}]}");
    known("service:ext", &type_indexed_check_service_nodes, NODES("dc1", "ext.example"));
    known("service-resolvers", &type_indexed_config_entries, "{}");
    make();
    assert_wants("roots gateway-services service-resolvers service:ext intentions:ext leaf:ext");
    assert_false(((const struct service_specific_request *)wanted("service:ext"))->connect);
    assert_true(plan.snapshot.valid);
    const struct proxy_service *s =
        &LIST_AT(&plan.snapshot.terminating->services, struct proxy_service, 0);
    assert_true(str_is(s->link->ca_file, "/ca"));
    assert_null(s->leaf);
    assert_int_equal(s->endpoints.hostnames.n, 1);
}

#define INGRESS "{\"Kind\":\"ingress-gateway\",\"ID\":\"i\",\"Service\":\"ig\"}"
#define LINKED \
    "{\"Services\":[{\"Service\":{\"Name\":\"web\"},\"Port\":80,\"Protocol\":\"http\"," \
    "\"Hosts\":[\"a.example\"]}]}"

static void known_entry(bool tls)
{
    struct config_entry_response *r = arena_new(&arena, struct config_entry_response);
    r->entry.ingress_gateway = arena_new(&arena, struct ingress_gateway_config_entry);
    r->entry.ingress_gateway->tls.enabled = tls;
    map_put(&values, STR("gateway-config"), r);
}

static void an_ingress_gateway_gets_its_leaf_when_its_names_are_known(void **state)
{
    (void)state;
    given(INGRESS);
    known("gateway-services", &type_indexed_gateway_services, LINKED);
    make();
    assert_wants("roots gateway-config gateway-services discovery-chain:web");
    known_entry(false);
    make();
    assert_int_equal(((const struct proxy_leaf_args *)wanted("leaf"))->dns_names.n, 0);
    known_entry(true);
    make();
    const struct list *names = &((const struct proxy_leaf_args *)wanted("leaf"))->dns_names;
    assert_int_equal(names->n, 3);
    assert_true(str_is(LIST_AT(names, struct str, 0), "*.ingress.consul."));
    assert_true(str_is(LIST_AT(names, struct str, 1), "*.ingress.dc1.consul."));
    assert_true(str_is(LIST_AT(names, struct str, 2), "a.example"));
}

static void a_service_behind_an_ingress_gateway_is_an_upstream(void **state)
{
    (void)state;
    given(INGRESS);
    known("gateway-services", &type_indexed_gateway_services, LINKED);
    make();
    const struct discovery_chain_request *chain = wanted("discovery-chain:web");
    assert_int_equal(chain->override_protocol.n, 0);
    const struct proxy_upstream *u =
        &LIST_AT(&plan.snapshot.ingress->upstreams, struct proxy_upstream, 0);
    assert_int_equal(u->upstream.local_bind_port, 80);
    assert_true(str_is(value_get(&u->upstream.config, STR("protocol"))->s, "http"));
    assert_int_equal(u->upstream.ingress_hosts.n, 1);
}

static void other_services_are_not_planned_for(void **state)
{
    (void)state;
    assert_true(proxy_kind_known(STR("mesh-gateway")));
    assert_false(proxy_kind_known(STR("")));
    assert_false(proxy_kind_known(STR("other")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sidecar_watches_roots_leaf_intentions_and_checks),
        TEST(a_sidecar_is_valid_with_roots_and_leaf),
        TEST(a_snapshot_to_be_shown_has_no_private_key),
        TEST(a_chain_is_compiled_with_what_the_upstream_overrides),
        TEST(each_target_of_a_chain_is_watched),
        TEST(a_query_is_executed_every_half_minute),
        TEST(a_mesh_gateway_watches_services_and_other_datacenters),
        TEST(a_federated_mesh_gateway_needs_servers),
        TEST(gateways_of_a_datacenter_itself_count_more_than_federation_states),
        TEST(a_terminating_gateway_watches_each_linked_service),
        TEST(an_ingress_gateway_gets_its_leaf_when_its_names_are_known),
        TEST(a_service_behind_an_ingress_gateway_is_an_upstream),
        TEST(other_services_are_not_planned_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
