/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "consuld/lang/chain.h"
#include "consuld/model.h"
#include "consuld/wire/json.h"

struct fixture {
    struct arena a;
    struct error err;
    struct chain_source source;
    struct list entries; /* struct config_entry */
    struct chain_request req;
    struct compiled_discovery_chain chain;
};

static bool find(
    const struct chain_source *s, struct str kind, struct str name, struct config_entry *out)
{
    const struct fixture *f = container_of(s, struct fixture, source);
    for (size_t i = 0; i < f->entries.n; i++) {
        const struct config_entry *e = &LIST_AT(&f->entries, struct config_entry, i);
        struct config_entry_ref ref = config_entry_ref(e);
        if (!str_eq(ref.kind, kind) || !str_eq(*ref.name, name)) continue;
        *out = *e;
        return true;
    }
    return false;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    model_init();
    f->source.find = find;
    f->req = (struct chain_request){ .namespace = STR("default"),
        .datacenter = STR("dc1"),
        .trust_domain = STR("td.consul"),
        .use_in_datacenter = STR("dc1"),
        .entries = &f->source };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_free(&f->a);
    free(f);
    return 0;
}

/* An entry in JSON with ' for ". */
static void entry(struct fixture *f, const char *text)
{
    struct value v;
    struct str json = str_dup(&f->a, str_of(text));
    for (size_t i = 0; i < json.n; i++) {
        char *c = (char *)(uintptr_t)&json.p[i];
        if (*c == '\'') *c = '"';
    }
    struct config_entry *e = LIST_PUSH(&f->a, &f->entries, struct config_entry);
    if (json_parse(json, &f->a, &v, &f->err) || config_entry_read(&v, &f->a, e, &f->err))
        fail_msg("%s: %s", text, f->err.text);
}

static void compiles(struct fixture *f, const char *service)
{
    f->req.service = str_of(service);
    if (chain_compile(&f->req, &f->a, &f->chain, &f->err)) fail_msg("%s", f->err.text);
}

static void refused(struct fixture *f, const char *service, const char *why)
{
    f->req.service = str_of(service);
    assert_true(chain_compile(&f->req, &f->a, &f->chain, &f->err) < 0);
    assert_string_equal(f->err.text, why);
}

static const struct discovery_graph_node *node(struct fixture *f, const char *key)
{
    const struct discovery_graph_node *n =
        dict_get(&f->chain.nodes, &type_discovery_graph_node, str_of(key));
    if (!n) fail_msg("no node %s", key);
    return n;
}

static const struct discovery_target *target(struct fixture *f, const char *id)
{
    const struct discovery_target *t =
        dict_get(&f->chain.targets, &type_discovery_target, str_of(id));
    if (!t) fail_msg("no target %s", id);
    return t;
}

#define HTTP "{'Kind': 'proxy-defaults', 'Name': 'global', 'Config': {'protocol': 'http'}}"

static void service_without_entries_resolves_to_itself(void **state)
{
    struct fixture *f = *state;
    compiles(f, "web");
    assert_true(str_is(f->chain.protocol, "tcp"));
    assert_true(str_is(f->chain.start_node, "resolver:web.default.dc1"));
    const struct discovery_graph_node *n = node(f, "resolver:web.default.dc1");
    assert_true(n->resolver->is_default);
    assert_int_equal(n->resolver->connect_timeout, INT64_C(5000000000));
    const struct discovery_target *t = target(f, "web.default.dc1");
    assert_true(str_is(t->sni, "web.default.dc1.internal.td.consul"));
    assert_true(str_eq(t->sni, t->name));
    assert_int_equal(f->chain.nodes.n, 1);
    assert_int_equal(f->chain.targets.n, 1);
    assert_int_equal(f->chain.customization_hash.n, 0);
    refused(f, "", "serviceName is required");
}

static void router_ends_with_a_route_to_the_service(void **state)
{
    struct fixture *f = *state;
    entry(f, HTTP);
    entry(f, "{'Kind': 'service-resolver', 'Name': 'web', 'Subsets': {'v2': {}}}");
    entry(f, "{'Kind': 'service-router', 'Name': 'web', 'Routes': ["
             "{'Match': {'HTTP': {'PathPrefix': '/admin'}}, 'Destination': {'Service': 'admin'}},"
             "{'Match': {'HTTP': {'PathExact': '/v2'}}, 'Destination': {'ServiceSubset': 'v2'}},"
             "{'Match': {'HTTP': {'PathExact': '/own'}}}]}");
    compiles(f, "web");
    const struct discovery_graph_node *n = node(f, "router:web.default");
    static const char *const next[] = { "resolver:admin.default.dc1", "resolver:v2.web.default.dc1",
        "resolver:web.default.dc1", "resolver:web.default.dc1" };
    assert_int_equal(n->routes.n, 4);
    for (size_t i = 0; i < 4; i++)
        assert_true(str_is(LIST_AT(&n->routes, struct discovery_route, i).next_node, next[i]));
    const struct discovery_route *rest = &LIST_AT(&n->routes, struct discovery_route, 3);
    assert_true(str_is(rest->definition->match->http->path_prefix, "/"));
    assert_true(str_is(rest->definition->destination->service, "web"));
}

static void splitters_behind_splitters_are_flattened(void **state)
{
    struct fixture *f = *state;
    entry(f, HTTP);
    entry(f,
        "{'Kind': 'service-splitter', 'Name': 'web', 'Splits': [{'Weight': 60, 'Service': 'b'}, "
        "{'Weight': 40}]}");
    entry(f,
        "{'Kind': 'service-splitter', 'Name': 'b', 'Splits': [{'Weight': 33.33, 'Service': 'c'}, "
        "{'Weight': 66.67, 'Service': 'd'}]}");
    compiles(f, "web");
    const struct list *splits = &node(f, "splitter:web.default")->splits;
    assert_int_equal(splits->n, 3);
    assert_true(LIST_AT(splits, struct discovery_split, 0).weight == 20.0f);
    assert_true(LIST_AT(splits, struct discovery_split, 1).weight == 40.0f);
    assert_true(
        str_is(LIST_AT(splits, struct discovery_split, 1).next_node, "resolver:d.default.dc1"));
    assert_int_equal(f->chain.nodes.n, 4);
}

static void redirects_and_default_subsets_are_followed(void **state)
{
    struct fixture *f = *state;
    entry(f, "{'Kind': 'service-resolver', 'Name': 'a', 'Redirect': {'Service': 'b'}}");
    entry(f, "{'Kind': 'service-resolver', 'Name': 'b', 'DefaultSubset': 'v1', 'Subsets': {'v1': "
             "{'Filter': 'x', 'OnlyPassing': true}}, 'ConnectTimeout': '3s'}");
    compiles(f, "a");
    assert_true(str_is(f->chain.start_node, "resolver:v1.b.default.dc1"));
    assert_true(str_is(target(f, "v1.b.default.dc1")->subset.filter, "x"));
    assert_int_equal(
        node(f, "resolver:v1.b.default.dc1")->resolver->connect_timeout, INT64_C(3000000000));
    assert_int_equal(f->chain.targets.n, 1);
}

static void failover_targets_are_kept_without_their_nodes(void **state)
{
    struct fixture *f = *state;
    entry(f, "{'Kind': 'proxy-defaults', 'Name': 'global', 'MeshGateway': {'Mode': 'local'}}");
    entry(f,
        "{'Kind': 'service-resolver', 'Name': 'web', 'Failover': {'*': {'Datacenters': ['dc1', "
        "'dc2', 'dc3']}}}");
    compiles(f, "web");
    const struct discovery_resolver *r = node(f, "resolver:web.default.dc1")->resolver;
    assert_int_equal(r->failover->targets.n, 2);
    assert_true(str_is(LIST_AT(&r->failover->targets, struct str, 0), "web.default.dc2"));
    assert_int_equal(f->chain.nodes.n, 1);
    assert_int_equal(f->chain.targets.n, 3);
    assert_true(str_is(target(f, "web.default.dc2")->mesh_gateway.mode, "local"));
    assert_int_equal(target(f, "web.default.dc1")->mesh_gateway.mode.n, 0);
}

static void entries_that_contradict_each_other_are_refused(void **state)
{
    struct fixture *f = *state;
    entry(f, "{'Kind': 'service-splitter', 'Name': 'plain', 'Splits': [{'Weight': 100}]}");
    refused(f, "plain",
        "discovery chain \"plain\" uses a protocol \"tcp\" that does not permit advanced routing "
        "or splitting behavior");
    entry(f, "{'Kind': 'service-defaults', 'Name': 'h', 'Protocol': 'HTTP'}");
    entry(f, "{'Kind': 'service-splitter', 'Name': 'h', 'Splits': [{'Weight': 50}, {'Weight': 50, "
             "'Service': 'plain2'}]}");
    refused(f, "h",
        "discovery chain \"h\" uses inconsistent protocols; service \"plain2\" has \"tcp\" which "
        "is not \"http\"");
    entry(f, "{'Kind': 'service-resolver', 'Name': 'l1', 'Redirect': {'Service': 'l2'}}");
    entry(f, "{'Kind': 'service-resolver', 'Name': 'l2', 'Redirect': {'Service': 'l1'}}");
    refused(f, "l1",
        "detected circular resolver redirect: [l1.default.dc1 -> l2.default.dc1 -> "
        "l1.default.dc1]");
    entry(f, "{'Kind': 'service-resolver', 'Name': 's', 'Redirect': {'Service': 'x', "
             "'ServiceSubset': 'none'}}");
    refused(f, "s", "service \"x\" does not have a subset named \"none\"");
    entry(f, "{'Kind': 'service-defaults', 'Name': 'e', 'ExternalSNI': 'sni'}");
    entry(f, "{'Kind': 'service-resolver', 'Name': 'e', 'Subsets': {'v1': {}}}");
    refused(f, "e",
        "service \"e\" has an external SNI set; cannot define subsets for external services");
    entry(f, "{'Kind': 'service-defaults', 'Name': 'c1', 'Protocol': 'http'}");
    entry(f,
        "{'Kind': 'service-splitter', 'Name': 'c1', 'Splits': [{'Weight': 100, 'Service': 'c2'}]}");
    entry(f,
        "{'Kind': 'service-splitter', 'Name': 'c2', 'Splits': [{'Weight': 100, 'Service': 'c1'}]}");
    refused(f, "c1",
        "detected circular reference: [splitter:c1.default -> splitter:c2.default -> "
        "splitter:c1.default]");
}

static void overrides_count_only_where_they_change_something(void **state)
{
    struct fixture *f = *state;
    f->req.mesh_gateway_mode = STR("remote");
    compiles(f, "web");
    assert_int_equal(f->chain.customization_hash.n, 0);
    f->req.protocol = STR("http");
    f->req.connect_timeout = INT64_C(7000000000);
    compiles(f, "web");
    assert_true(str_is(f->chain.customization_hash, "89a4d3b7"));
    assert_true(str_is(f->chain.protocol, "http"));
    f->req.connect_timeout = INT64_C(5000000000);
    f->req.protocol = STR("tcp");
    compiles(f, "web");
    assert_int_equal(f->chain.customization_hash.n, 0);
    f->req.datacenter = STR("dc2");
    compiles(f, "web");
    assert_true(str_is(f->chain.customization_hash, "dd412229"));
    assert_true(str_is(target(f, "web.default.dc2")->mesh_gateway.mode, "remote"));
}

static void plain_protocol_override_passes_over_routers(void **state)
{
    struct fixture *f = *state;
    entry(f, HTTP);
    entry(f, "{'Kind': 'service-router', 'Name': 'web', 'Routes': []}");
    entry(f, "{'Kind': 'service-splitter', 'Name': 'web', 'Splits': [{'Weight': 100}]}");
    f->req.protocol = STR("tcp");
    compiles(f, "web");
    assert_true(str_is(f->chain.start_node, "resolver:web.default.dc1"));
    assert_int_equal(f->chain.customization_hash.n, 8);
}

static void customization_hash_has_the_recorded_values(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *mode, *protocol;
        int64_t timeout;
        const char *want;
    } rows[] = {
        { "local", "", 0, "c225dc1c" },
        { "remote", "", 1234000000, "d02a4c84" },
        { "", "grpc", INT64_C(66000000000), "a236e964" },
        { "remote", "", 0, "dd412229" },
        { "", "grpc", 1000000000, "87f05bfc" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_true(str_is(chain_customization_hash(str_of(rows[i].mode), str_of(rows[i].protocol),
                               rows[i].timeout, &f->a),
            rows[i].want));
}

static void endless_and_exploding_graphs_end(void **state)
{
    struct fixture *f = *state;
    entry(f, HTTP);
    for (int i = 0; i < 40; i++)
        entry(f, str_printf(&f->a,
                     "{'Kind': 'service-splitter', 'Name': 's%d', 'Splits': [{'Weight': 50, "
                     "'Service': 's%d'}, {'Weight': 50, 'Service': 's%d'}]}",
                     i, i + 1, i + 1)
                     .p);
    refused(f, "s0", "discovery chain \"s0\" has too many splits");
    for (int i = 0; i < CHAIN_DEPTH_MAX + 10; i++)
        entry(f, str_printf(&f->a,
                     "{'Kind': 'service-resolver', 'Name': 'r%d', 'Redirect': {'Service': 'r%d'}}",
                     i, i + 1)
                     .p);
    refused(f, "r0", "discovery chain \"r0\" follows too many redirects");
    for (int i = 0; i < CHAIN_DEPTH_MAX + 10; i++)
        entry(f, str_printf(&f->a,
                     "{'Kind': 'service-splitter', 'Name': 'd%d', 'Splits': [{'Weight': 100, "
                     "'Service': 'd%d'}]}",
                     i, i + 1)
                     .p);
    refused(f, "d0", "discovery chain \"d0\" is too deep");
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(service_without_entries_resolves_to_itself),
        test(router_ends_with_a_route_to_the_service),
        test(splitters_behind_splitters_are_flattened),
        test(redirects_and_default_subsets_are_followed),
        test(failover_targets_are_kept_without_their_nodes),
        test(entries_that_contradict_each_other_are_refused),
        test(overrides_count_only_where_they_change_something),
        test(plain_protocol_override_passes_over_routers),
        test(customization_hash_has_the_recorded_values),
        test(endless_and_exploding_graphs_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
