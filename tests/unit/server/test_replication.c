/* SPDX-License-Identifier: Apache-2.0 */
/* A server of the primary datacenter and one of a secondary, each in virtual time; calls between
 * them go from one to the other, unless the test has cut that. */
#include <string.h>

#include "consuld/cluster/rpc_pool.h"
#include "consuld/fed/sync.h"
#include "consuld/raft.h"
#include "server.h"
#include "server_world.h"

static struct {
    struct fixture primary, secondary;
    bool cut;
    const char *refusal; /* of writing federation states in the primary; NULL: none */
    uint64_t rpc, term;
    size_t calls;
} n;

void rpc_pool_submit(struct rpc_pool *p, const struct rpc_target *to, struct rpc_call *call)
{
    const char *why = n.cut ? "rpc error getting client: failed to get conn: EOF" : NULL;
    (void)p;
    assert_true(str_is(to->datacenter, "dc1"));
    n.calls++;
    if (!why && strcmp(call->method, "FederationState.Apply") == 0) why = n.refusal;
    if (!why) {
        rpc_submit(server_rpc(n.primary.server), call);
        return;
    }
    call->code = error_set(call->err, ERR_IO, "%s", why);
    call->done(call);
}
void rpc_pool_server_failed(struct rpc_pool *p, struct str datacenter, struct str name)
{
    (void)p;
    (void)datacenter;
    (void)name;
}
bool rpc_pool_sent(const struct rpc_call *call)
{
    (void)call;
    return true;
}
void rpc_pool_cancel(struct rpc_pool *p, struct rpc_call *call)
{
    (void)p;
    rpc_cancel(server_rpc(n.primary.server), call);
}

/* --- words ---------------------------------------------------------------------------------- */

static void pass_ms(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 10) {
        fake_world_advance(&n.primary.world, 10);
        fake_world_advance(&n.secondary.world, 10);
    }
}

static bool eventually(bool (*holds)(void), uint64_t ms)
{
    for (uint64_t i = 0; i < ms && !holds(); i += 10)
        pass_ms(10);
    return holds();
}

/* The secondary's server hears of the primary's by gossip. */
static void hear_of_the_primary(void)
{
    struct arena a = ARENA_INIT;
    struct dict tags = { 0 };
    struct buf meta = BUF_INIT(512);
    struct error err;
    static const char *const pairs[][2] = { { "role", "consul" }, { "dc", "dc1" },
        { "port", "8300" }, { "id", "x" }, { "vsn", "2" }, { "vsn_min", "2" }, { "vsn_max", "3" },
        { "build", "1.8.6:" }, { "raft_vsn", "3" }, { "segment", "" },
        { "wan_join_port", "8302" } };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        dict_set_str(&a, &tags, str_of(pairs[i][0]), str_of(pairs[i][1]));
    assert_int_equal(serf_tags_encode(&tags, &meta, &err), 0);
    struct serf_member m = { .name = STR("s1.dc1"), .meta = buf_str(&meta) };
    assert_true(gossip_address_parse(&m.address, "10.0.0.1", 8302));
    server__routes_member(n.secondary.server, SERF_MEMBER_JOINED, &m);
    buf_deinit(&meta);
    arena_free(&a);
}

static int begin(void **state)
{
    (void)state;
    memset(&n, 0, sizeof n);
    model_init();
    build(&n.primary);
    elect(&n.primary);
    n.secondary.options.datacenter = STR("dc2");
    n.secondary.options.primary_datacenter = STR("dc1");
    n.secondary.options.rpc_pool = (struct rpc_pool *)(void *)&n;
    build(&n.secondary);
    hear_of_the_primary();
    elect(&n.secondary);
    return 0;
}

static int end(void **state)
{
    (void)state;
    take_down(&n.secondary);
    take_down(&n.primary);
    return 0;
}

/* Another server says that it leads; then nobody is heard of, and ours is elected again. */
static bool leads(void)
{
    return server_ready(n.secondary.server);
}
static bool leads_not(void)
{
    return !leads();
}
static void lose_leadership_and_regain_it(void)
{
    n.term = raft_driver_state(n.secondary.raft).term + 1;
    struct raft_message m = { .type = RAFT_APPEND_ENTRIES,
        .rpc = ++n.rpc,
        .term = n.term,
        .append_entries = { .leader = STR("10.0.0.9:8300"), .heartbeat = true } };
    raft_driver_receive(n.secondary.raft, &m);
    assert_true(eventually(leads_not, 1000));
    assert_true(eventually(leads, 60000));
}

static struct server_sync_status status(const char *name)
{
    struct server_sync_status s;
    for (size_t i = 0; server_sync_status(n.secondary.server, i, &s); i++)
        if (strcmp(s.name, name) == 0) return s;
    fail_msg("no status of %s", name);
    return s;
}

static void entries_of(struct fixture *f, struct arena *a, struct list *out)
{
    *out = (struct list){ 0 };
    store_config_entries(store_read(f->store), NULL, STR_NIL, a, out);
}

/* The same entries, raft indexes aside. */
static bool entries_equal(void)
{
    struct arena a = ARENA_INIT;
    struct list here, there;
    struct fed_changes c;
    entries_of(&n.primary, &a, &there);
    entries_of(&n.secondary, &a, &here);
    fed_entry_changes(&here, &there, &a, &c);
    bool equal = c.deletes.n + c.upserts.n == 0;
    arena_free(&a);
    return equal;
}

static uint64_t last_log_index(void)
{
    return raft_driver_state(n.secondary.raft).last_log_index;
}

/* What the primary makes of it is its affair: what it refuses is not there. */
static void primary_applies(const char *method, struct config_entry_request *req)
{
    struct test_call c = { 0 };
    req->datacenter = STR("dc1");
    submit(&n.primary, &c, method, req);
    settle(&n.primary, &c);
    release(&c);
}

static void set_defaults(const char *name, const char *protocol)
{
    struct service_config_entry e = { .name = str_of(name), .protocol = str_of(protocol) };
    struct config_entry_request req = { .op = STR("upsert"), .entry.service_defaults = &e };
    primary_applies("ConfigEntry.Apply", &req);
}

/* --- federation states ---------------------------------------------------------------------- */

static bool own_state_in_the_primary(void)
{
    struct arena a = ARENA_INIT;
    struct federation_state *s = NULL;
    store_federation_state(store_read(n.primary.store), NULL, STR("dc2"), &a, &s);
    bool there = s && s->mesh_gateways.n == 1;
    arena_free(&a);
    return there;
}

static void register_a_gateway(void)
{
    struct node_service gateway = {
        .kind = STR("mesh-gateway"), .id = STR("gw"), .service = STR("gw"), .port = 443
    };
    struct register_request req = {
        .datacenter = STR("dc2"), .node = STR("g1"), .address = STR("10.2.0.1"), .service = &gateway
    };
    expect_ok(&n.secondary, "Catalog.Register", &req);
}

/* As a server that took part before it was restarted has it. */
static void some_state_is_stored(void)
{
    struct federation_state state = { .datacenter = STR("dc1") };
    struct federation_state_request req = { .op = STR("upsert"), .state = &state };
    server__propose_detached(
        n.secondary.server, COMMAND_FEDERATION_STATE, &req, "the state of before");
    pass_ms(1100);
}

static void W3_with_stored_states_the_own_gateways_are_told_at_once(void **state)
{
    (void)state;
    register_a_gateway();
    pass_ms(3000);
    assert_false(own_state_in_the_primary()); /* nobody knows whether all servers take part */
    some_state_is_stored();
    assert_true(eventually(own_state_in_the_primary, 2000));
}

static void W27_a_primary_that_does_not_take_our_state_is_seen(void **state)
{
    (void)state;
    n.refusal = "rpc error making call: Permission denied";
    some_state_is_stored();
    register_a_gateway();
    pass_ms(5000);
    struct server_sync_status s = status("federation_state");
    assert_false(own_state_in_the_primary());
    assert_string_equal(s.last_error, n.refusal);
    assert_true(s.failing_since_ns > 0 && s.last_error_ns >= s.failing_since_ns);
    assert_true(s.next_try_ms > 0);
    size_t calls = n.calls;
    pass_ms(60000);
    assert_in_range(n.calls - calls, 1, 300); /* replicators ask on, writes are spaced */
    n.refusal = NULL;
    assert_true(eventually(own_state_in_the_primary, 300000));
    pass_ms(100);
    assert_int_equal(status("federation_state").failing_since_ns, 0);
}

static void put_state(const char *datacenter, const char *gateway)
{
    struct arena a = ARENA_INIT;
    struct federation_state state = { .datacenter = str_of(datacenter) };
    struct check_service_node *g = LIST_PUSH(&a, &state.mesh_gateways, struct check_service_node);
    g->node = arena_new(&a, struct node);
    g->node->node = str_of(gateway);
    g->service = arena_new(&a, struct node_service);
    struct federation_state_request req = {
        .datacenter = STR("dc1"), .op = STR("upsert"), .state = &state
    };
    expect_ok(&n.primary, "FederationState.Apply", &req);
    arena_free(&a);
}

static void W22_the_order_of_writing_does_not_show(void **state)
{
    static const char *const orders[][3] = { { "dc2", "dc5", "dc9" }, { "dc9", "dc2", "dc5" },
        { "dc5", "dc9", "dc2" } };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct test_call c = { 0 };
        struct dc_specific_request req = { .datacenter = STR("dc1") };
        for (size_t k = 0; k < 3; k++)
            put_state(orders[i][k], "g");
        submit(&n.primary, &c, "FederationState.ListMeshGateways", &req);
        settle(&n.primary, &c);
        const struct datacenter_indexed_check_service_nodes *r = c.rpc.reply->record;
        const struct dict *d = &r->datacenter_nodes;
        assert_int_equal(d->n, 3);
        for (size_t k = 0; k < 3; k++)
            assert_true(str_is(dict_key(d, &type_check_service_node_list, k), orders[0][k]));
        release(&c);
    }
}

/* --- configuration entries ------------------------------------------------------------------ */

static void W13_replication_goes_on_after_each_of_a_hundred_terms(void **state)
{
    char name[32];
    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "svc-%d", i);
        set_defaults(name, "http");
        assert_true(eventually(entries_equal, 10000));
        pass_ms(20);
        struct server_sync_status s = status("config_entry_replication");
        assert_true(s.running);
        assert_int_equal(
            s.last_index, store_index(store_read(n.primary.store), NULL, STR("config-entries")));
        lose_leadership_and_regain_it();
    }
}

static void W13_nothing_is_asked_by_one_that_does_not_lead(void **state)
{
    (void)state;
    struct raft_message m = { .type = RAFT_APPEND_ENTRIES,
        .term = raft_driver_state(n.secondary.raft).term + 1,
        .append_entries = { .leader = STR("10.0.0.9:8300"), .heartbeat = true } };
    pass_ms(1000);
    n.cut = true; /* an answer that comes late finds nobody */
    set_defaults("web", "http");
    m.rpc = ++n.rpc;
    raft_driver_receive(n.secondary.raft, &m);
    assert_true(eventually(leads_not, 1000));
    assert_false(status("config_entry_replication").running);
    size_t calls = n.calls;
    for (int i = 0; i < 20; i++) {
        m.rpc = ++n.rpc; /* it goes on leading */
        raft_driver_receive(n.secondary.raft, &m);
        pass_ms(100);
    }
    assert_int_equal(n.calls, calls);
}

static void W11_a_quiet_hour_writes_nothing(void **state)
{
    (void)state;
    set_defaults("web", "http");
    assert_true(eventually(entries_equal, 5000));
    pass_ms(5000);
    uint64_t before = last_log_index();
    pass_ms(3600000);
    assert_int_equal(last_log_index(), before);
}

static void a_cut_is_seen_and_mended(void **state)
{
    (void)state;
    pass_ms(1000);
    n.cut = true;
    set_defaults("web", "http"); /* wakes the call that waits, the next one fails */
    assert_true(eventually(entries_equal, 5000));
    set_defaults("api", "http");
    pass_ms(30000);
    struct server_sync_status s = status("config_entry_replication");
    assert_false(entries_equal());
    assert_true(s.failing_since_ns > 0 && s.next_try_ms > 0);
    assert_non_null(strstr(s.last_error, "failed to retrieve config entries: "));
    n.cut = false;
    assert_true(eventually(entries_equal, 130000));
    assert_int_equal(status("config_entry_replication").failing_since_ns, 0);
}

static const char *const services[] = { "a", "b", "c", "d" };

static struct str any_service(struct prng *r)
{
    return str_of(services[prng_below(r, 4)]);
}

/* Something about a service that others depend on or that depends on others. */
static void change_something(struct prng *r)
{
    static const char *const protocols[] = { "http", "http", "grpc", "tcp" };
    struct arena a = ARENA_INIT;
    struct config_entry_request req = { .op = STR("upsert") };
    struct service_config_entry defaults = { .protocol = str_of(protocols[prng_below(r, 4)]) };
    struct service_resolver_redirect redirect = { .service = any_service(r) };
    struct service_resolver_config_entry resolver = { .redirect = &redirect };
    struct service_splitter_config_entry splitter = { 0 };
    struct service_split *half = LIST_PUSH(&a, &splitter.splits, struct service_split);
    *half = (struct service_split){ .weight = 50, .service = any_service(r) };
    half = LIST_PUSH(&a, &splitter.splits, struct service_split);
    *half = (struct service_split){ .weight = 50, .service = any_service(r) };
    struct str name = any_service(r);
    defaults.name = resolver.name = splitter.name = name;
    switch (prng_below(r, 3)) {
    case 0:
        req.entry.service_defaults = &defaults;
        break;
    case 1:
        req.entry.service_resolver = &resolver;
        break;
    case 2:
        req.entry.service_splitter = &splitter;
        break;
    }
    primary_applies(prng_below(r, 3) == 0 ? "ConfigEntry.Delete" : "ConfigEntry.Apply", &req);
    arena_free(&a);
}

static void W12_dependent_entries_converge_in_any_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct prng r;
        prng_seed(&r, seed);
        n.cut = true;
        for (uint64_t i = 5 + prng_below(&r, 40); i > 0; i--)
            change_something(&r);
        n.cut = false;
        if (!eventually(entries_equal, 300000))
            fail_msg("seed %d: %s", (int)seed, status("config_entry_replication").last_error);
    }
}

static void split(const char *op, const char *name, const char *other)
{
    struct arena a = ARENA_INIT;
    struct service_splitter_config_entry splitter = { .name = str_of(name) };
    LIST_PUSH(&a, &splitter.splits, struct service_split)->weight = 50;
    struct service_split *half = LIST_PUSH(&a, &splitter.splits, struct service_split);
    *half = (struct service_split){ .weight = 50, .service = str_of(other) };
    struct config_entry_request req = { .op = str_of(op), .entry.service_splitter = &splitter };
    primary_applies(strcmp(op, "delete") == 0 ? "ConfigEntry.Delete" : "ConfigEntry.Apply", &req);
    arena_free(&a);
}

/* Each of them is refused as long as the other one is as it was. */
static void W12_what_no_order_leads_to_converges(void **state)
{
    (void)state;
    set_defaults("a", "http");
    set_defaults("b", "http");
    split("upsert", "a", "b");
    assert_true(eventually(entries_equal, 5000));
    n.cut = true;
    split("delete", "a", "b");
    set_defaults("a", "grpc");
    set_defaults("b", "grpc");
    split("upsert", "a", "b");
    n.cut = false;
    assert_false(entries_equal());
    if (!eventually(entries_equal, 60000))
        fail_msg("%s", status("config_entry_replication").last_error);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(W3_with_stored_states_the_own_gateways_are_told_at_once),
        CASE(W11_a_quiet_hour_writes_nothing),
        CASE(W12_dependent_entries_converge_in_any_order),
        CASE(W12_what_no_order_leads_to_converges),
        CASE(W13_replication_goes_on_after_each_of_a_hundred_terms),
        CASE(W13_nothing_is_asked_by_one_that_does_not_lead),
        CASE(W22_the_order_of_writing_does_not_show),
        CASE(W27_a_primary_that_does_not_take_our_state_is_seen),
        CASE(a_cut_is_seen_and_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
