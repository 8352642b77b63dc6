/* SPDX-License-Identifier: Apache-2.0 */
#include "server_world.h"

static struct config_entry_request defaults(
    struct service_config_entry *e, const char *name, const char *protocol)
{
    *e = (struct service_config_entry){
        .kind = STR("service-defaults"), .name = str_of(name), .protocol = str_of(protocol)
    };
    return (struct config_entry_request){
        .datacenter = STR("dc1"), .op = STR("upsert"), .entry.service_defaults = e
    };
}

static void set_defaults(struct fixture *f, const char *name, const char *protocol)
{
    struct service_config_entry e;
    struct config_entry_request req = defaults(&e, name, protocol);
    expect_ok(f, "ConfigEntry.Apply", &req);
}

static bool apply(struct fixture *f, const struct config_entry_request *req)
{
    struct test_call c = { 0 };
    submit(f, &c, "ConfigEntry.Apply", req);
    settle(f, &c);
    if (c.rpc.code) fail_msg("%s", c.err.text);
    bool ok = *(bool *)c.rpc.reply->record;
    release(&c);
    return ok;
}

static void entries_are_normalized_and_found_again(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    set_defaults(f, "web", "HTTP");
    struct config_entry_query q = {
        .datacenter = STR("dc1"), .kind = STR("service-defaults"), .name = STR("web")
    };
    submit(f, &c, "ConfigEntry.Get", &q);
    settle(f, &c);
    const struct config_entry_response *r = c.rpc.reply->record;
    assert_true(str_is(r->entry.service_defaults->protocol, "http"));
    assert_int_equal(r->index, r->entry.service_defaults->modify_index);
    release(&c);
    q.kind = STR("odd");
    expect_error(f, "ConfigEntry.Get", &q, "invalid config entry kind: odd");
}

static void cas_takes_only_the_stored_index(void **state)
{
    struct fixture *f = *state;
    struct service_config_entry e;
    struct config_entry_request req = defaults(&e, "web", "http");
    req.op = STR("upsert-cas");
    assert_true(apply(f, &req));
    assert_false(apply(f, &req));
    req.op = STR("whatever");
    assert_true(apply(f, &req));
}

static void what_breaks_a_chain_is_refused(void **state)
{
    struct fixture *f = *state;
    struct service_config_entry e;
    struct service_splitter_config_entry splitter = { .kind = STR("service-splitter"),
        .name = STR("web") };
    struct config_entry_request req = {
        .datacenter = STR("dc1"), .op = STR("upsert"), .entry.service_splitter = &splitter
    };
    expect_error(f, "ConfigEntry.Apply", &req, "no splits configured");
    LIST_PUSH(&f->arena, &splitter.splits, struct service_split)->weight = 100;
    expect_error(f, "ConfigEntry.Apply", &req,
        "discovery chain \"web\" uses a protocol \"tcp\" that does not permit advanced routing or "
        "splitting behavior");
    set_defaults(f, "web", "http");
    expect_ok(f, "ConfigEntry.Apply", &req);
    struct config_entry_request gone = defaults(&e, "web", "");
    expect_error(f, "ConfigEntry.Delete", &gone,
        "discovery chain \"web\" uses a protocol \"tcp\" that does not permit advanced routing or "
        "splitting behavior");
    expect_ok(f, "ConfigEntry.Delete", &req);
    expect_ok(f, "ConfigEntry.Delete", &gone);
}

static void proxies_get_what_applies_to_them(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    struct proxy_config_entry global = { .kind = STR("proxy-defaults"),
        .name = STR("global"),
        .config = { .kind = V_MAP },
        .mesh_gateway.mode = STR("local") };
    struct config_entry_request req = {
        .datacenter = STR("dc1"), .op = STR("upsert"), .entry.proxy_defaults = &global
    };
    *value_map_add(&f->arena, &global.config, STR("protocol")) = value_of_str(STR("http"));
    *value_map_add(&f->arena, &global.config, STR("n")) = value_of_str(STR("1"));
    expect_ok(f, "ConfigEntry.Apply", &req);
    set_defaults(f, "db", "grpc");
    struct service_config_request ask = { .datacenter = STR("dc1"), .name = STR("db") };
    LIST_PUSH(&f->arena, &ask.upstream_ids, struct service_id)->id = STR("db");
    LIST_PUSH(&f->arena, &ask.upstream_ids, struct service_id)->id = STR("other");
    submit(f, &c, "ConfigEntry.ResolveServiceConfig", &ask);
    settle(f, &c);
    const struct service_config_response *r = c.rpc.reply->record;
    assert_true(str_is(value_get(&r->proxy_config, STR("protocol"))->s, "grpc"));
    assert_true(str_is(value_get(&r->proxy_config, STR("n"))->s, "1"));
    assert_true(str_is(r->mesh_gateway.mode, "local"));
    static const char *const want[] = { "grpc", "http" };
    assert_int_equal(r->upstream_id_configs.n, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct upstream_config *u =
            &LIST_AT(&r->upstream_id_configs, struct upstream_config, i);
        assert_true(str_is(value_get(&u->config, STR("protocol"))->s, want[i]));
    }
    release(&c);
    ask.upstreams = ask.upstream_ids;
    ask.upstream_ids = (struct list){ 0 };
    submit(f, &c, "ConfigEntry.ResolveServiceConfig", &ask);
    settle(f, &c);
    r = c.rpc.reply->record;
    assert_true(str_is(
        value_get(value_get(&r->upstream_configs, STR("other")), STR("protocol"))->s, "http"));
    release(&c);
}

static void chain_needs_a_trust_domain(void **state)
{
    struct fixture *f = *state;
    struct discovery_chain_request req = { .datacenter = STR("dc1") };
    expect_error(f, "DiscoveryChain.Get", &req, "Must provide service name");
    req.name = STR("web");
    expect_error(f, "DiscoveryChain.Get", &req, "no cluster ca config setup");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_on_server(entries_are_normalized_and_found_again),
        test_on_server(cas_takes_only_the_stored_index),
        test_on_server(what_breaks_a_chain_is_refused),
        test_on_server(proxies_get_what_applies_to_them),
        test_on_server(chain_needs_a_trust_domain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
