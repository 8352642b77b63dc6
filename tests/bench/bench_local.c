/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of the agent's local state, in CPU time: what a full comparison with the catalog costs
 * that agrees in everything, an identical registration, a change, and the memory of it all. ninja
 * -C build/release bench_local && build/release/bench_local */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "consuld/agent/local.h"
#define FAKE_TIMERS_MAX 8192
#include "world/fake_outside.h"
#include "world/fake_world.h"

#define SERVICES 2000
#define ROUNDS 20

/* What the node has in the catalog: all that was registered. */
struct catalog {
    struct rpc_client client;
    struct arena arena;
    struct node node;
    struct list services, checks;
    size_t calls;
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void take(struct catalog *c, const struct register_request *r)
{
    struct arena *a = &c->arena;
    if (!r->skip_node_update) {
        struct node n = { .id = r->id,
            .node = r->node,
            .address = r->address,
            .tagged_addresses = r->tagged_addresses,
            .meta = r->node_meta };
        record_copy(a, &type_node, &c->node, &n);
    }
    if (r->service)
        record_copy(
            a, &type_node_service, LIST_PUSH(a, &c->services, struct node_service), r->service);
    if (r->check)
        record_copy(a, &type_health_check, LIST_PUSH(a, &c->checks, struct health_check), r->check);
    for (size_t i = 0; i < r->checks.n; i++)
        record_copy(a, &type_health_check, LIST_PUSH(a, &c->checks, struct health_check),
            &LIST_AT(&r->checks, struct health_check, i));
}

static void submit(struct rpc_client *client, struct rpc_call *call)
{
    struct catalog *c = container_of(client, struct catalog, client);
    call->code = 0;
    if (str_is(str_of(call->method), "Catalog.Register")) {
        c->calls++;
        take(c, call->args);
    } else if (str_is(str_of(call->method), "Catalog.NodeServiceList")) {
        call->reply = rpc_reply_create(&type_indexed_node_service_list);
        struct indexed_node_service_list *out =
            arena_new(&call->reply->arena, struct indexed_node_service_list);
        out->node_services.node = &c->node;
        out->node_services.services = c->services;
        call->reply->record = out;
    } else {
        call->reply = rpc_reply_create(&type_indexed_health_checks);
        struct indexed_health_checks *out =
            arena_new(&call->reply->arena, struct indexed_health_checks);
        out->health_checks = c->checks;
        call->reply->record = out;
    }
    call->done(call);
}

static void cancel(struct rpc_client *client, struct rpc_call *call)
{
    (void)client;
    (void)call;
}

static void register_one(struct local *l, struct arena *a, size_t i, int64_t port)
{
    struct error err;
    struct service_definition def = { 0 };
    struct local_register_options o = { .source = LOCAL_FROM_API };
    struct str json = str_printf(a,
        "{\"Name\":\"service-%zu\",\"Port\":%lld,\"Tags\":[\"primary\",\"v1\"],\"Meta\":{"
        "\"version\":"
        "\"1.2.3\"},\"Checks\":[{\"TTL\":\"1h\"},{\"TTL\":\"2h\"}]}",
        i, (long long)port);
    ensure(json_decode(json, a, &type_service_definition, &def, 0, &err) == 0);
    ensure(local_service_register(l, &def, &o, &err) == 0);
    arena_reset(a);
}

static void show(const char *what, size_t n, double took)
{
    printf("%-52s %10.3f ms  %8.2f us each\n", what, took * 1e3, took / (double)n * 1e6);
}

int main(void)
{
    struct world world;
    struct catalog c = { .client = { submit, cancel } };
    struct arena a = ARENA_INIT;
    struct local *l;
    struct error err;
    model_init();
    log_set_level(LOG_ERROR);
    fake_world_init(&world);
    struct local_options o = { .world = &world,
        .rpc = &c.client,
        .datacenter = STR("dc1"),
        .node_name = STR("n1"),
        .node_id = STR("11111111-2222-3333-4444-555555555555"),
        .address = STR("127.0.0.1") };
    ensure(local_create(&o, &l, &err) == 0);
    local_start(l);
    fake_world_advance(&world, 20);
    size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < SERVICES; i++)
        register_one(l, &a, i, 80);
    printf("%-52s %10.1f MB\n", "memory of 2,000 services with 4,000 checks",
        (double)(mallinfo2().uordblks - before) / 1e6);
    double began = seconds();
    fake_world_turn(&world);
    show("first sync, writes answered at once", SERVICES, seconds() - began);
    size_t calls = c.calls;
    began = seconds();
    for (size_t k = 0; k < ROUNDS; k++) {
        local_sync_full(l, 1);
        fake_world_advance(&world, 2);
    }
    show("full comparison that finds nothing", ROUNDS, seconds() - began);
    ensure(c.calls == calls);
    began = seconds();
    for (size_t i = 0; i < SERVICES; i++) {
        register_one(l, &a, i, 80);
        fake_world_turn(&world);
    }
    show("identical registrations", SERVICES, seconds() - began);
    ensure(c.calls == calls);
    began = seconds();
    for (size_t i = 0; i < SERVICES; i++) {
        register_one(l, &a, i, 81);
        fake_world_turn(&world);
    }
    show("changes, each synced by its turn", SERVICES, seconds() - began);
    began = seconds();
    for (size_t i = 0; i < SERVICES; i++) {
        ensure(local_service_deregister(l, str_printf(&a, "service-%zu", i)) == 0);
        fake_world_turn(&world);
    }
    show("deregistrations, each synced by its turn", SERVICES, seconds() - began);
    local_destroy(l);
    arena_free(&a);
    arena_free(&c.arena);
    return 0;
}
