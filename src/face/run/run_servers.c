/* SPDX-License-Identifier: Apache-2.0 */
/* How an agent calls servers; and what a client agent asks: the servers that gossip tells of
 * (rpc.md 9.2). */
#include <stdlib.h>

#include "consuld/cluster/member.h"
#include "run.h"

#define EARLY_MS 1000 /* in which a client that was a member before is one again */

static size_t lan_members(void *ctx)
{
    const struct run *r = ctx;
    return r->lan ? serf_count(pool_serf(r->lan)) : 0;
}

static bool first_server(
    void *ctx, const struct snapshot_call *call, struct arena *a, struct rpc_target *out)
{
    (void)call; /* it passes on what is for another datacenter */
    const struct run *r = ctx;
    const struct rpc_target *first = rpc_router_at(r->router, 0);
    if (!first) return false;
    *out = (struct rpc_target){ .name = str_dup(a, first->name),
        .datacenter = str_dup(a, first->datacenter),
        .address = str_dup(a, first->address),
        .port = first->port };
    return true;
}

/* Servers are dialled from the address that their own calls would come in at, if it is one. */
static struct str source_address(struct run *r)
{
    struct config_addr addr;
    if (!config_addr_parse(r->config->rpc_bind_addr, &addr)) return STR_NIL;
    if (str_is(addr.host, "0.0.0.0") || str_is(addr.host, "::")) return STR_NIL;
    return str_dup(&r->arena, addr.host);
}

static const char *spool_dir(struct run *r)
{
    const char *other = getenv("TMPDIR");
    if (r->config->data_dir.n && !r->config->dev_mode) return str_c(&r->arena, r->config->data_dir);
    return other && *other ? other : "/tmp";
}

void run_calls_start(struct run *r)
{
    r->domain = str_dup(&r->arena, r->config->dns_domain);
    r->source = source_address(r);
    r->spool_dir = spool_dir(r);
    r->rpc_pool = rpc_pool_create(&(struct rpc_pool_options){ .world = r->world,
        .tls = r->tls,
        .gateways = r->gateways,
        .domain = r->domain,
        .datacenter = r->context.datacenter,
        .source = r->source });
}

void run_calls_limit(struct run *r)
{
    double rate = r->config->rpc_rate_limit;
    uint64_t burst = (uint64_t)r->config->rpc_max_burst;
    if (r->router)
        rpc_router_limit(r->router, rate, burst);
    else
        rpc_limit_set(&r->limit, rate, burst);
}

void run_servers_start(struct run *r)
{
    const struct agent_config *c = r->config;
    run_calls_start(r);
    r->router = rpc_router_create(&(struct rpc_router_options){ .world = r->world,
        .pool = r->rpc_pool,
        .hold_timeout_ms = (uint64_t)(c->rpc_hold_timeout / INT64_C(1000000)),
        .early_ms = EARLY_MS,
        .rate = c->rpc_rate_limit,
        .burst = (uint64_t)c->rpc_max_burst,
        .members = lan_members,
        .metrics = r->metrics,
        .ctx = r });
    r->snapshots = snapshot_remote_create(&(struct snapshot_remote_options){ .world = r->world,
        .target = first_server,
        .ctx = r,
        .unknown = RPC_ERR_NO_SERVERS,
        .tls = r->tls,
        .domain = r->domain,
        .source = r->source,
        .spool_dir = r->spool_dir });
    r->context.rpc = rpc_router_client(r->router);
    r->context.router = r->router;
    r->context.snapshots = snapshot_remote_client(r->snapshots);
}

void run_servers_stop(struct run *r, void (*stopped)(void *ctx))
{
    struct rpc_pool *pool = r->rpc_pool;
    if (!pool) {
        stopped(r);
        return;
    }
    snapshot_remote_destroy(r->snapshots);
    r->snapshots = NULL;
    r->context.router = NULL;
    if (r->router) rpc_router_destroy(r->router);
    r->router = NULL;
    r->rpc_pool = NULL;
    rpc_pool_close(pool, stopped, r);
}

void run_servers_member(struct run *r, enum serf_notice_type type, const struct serf_member *m)
{
    struct arena a = ARENA_INIT;
    struct dict tags;
    struct consul_server s;
    char ip[GOSSIP_ADDRESS_TEXT_MAX];
    bool server = r->router && serf_tags_decode(m->meta, &a, &tags, NULL) == 0 &&
                  consul_server_read(m->name, &tags, &s) && s.port > 0 && s.port <= UINT16_MAX &&
                  str_eq(s.datacenter, r->config->datacenter);
    if (server && (type == SERF_MEMBER_JOINED || type == SERF_MEMBER_UPDATED)) {
        struct rpc_target t = { .name = s.short_name,
            .datacenter = s.datacenter,
            .address = str_of(gossip_ip_text(&m->address, ip)),
            .port = (uint16_t)s.port };
        if (rpc_router_add(r->router, &t) != 0)
            log_warn("agent.client", "too many servers, one is left out", "server",
                str_c(&a, s.short_name));
    } else if (server) {
        rpc_router_remove(r->router, s.short_name);
        if (type == SERF_MEMBER_FAILED)
            rpc_pool_server_failed(r->rpc_pool, s.datacenter, s.short_name);
    }
    arena_free(&a);
}
