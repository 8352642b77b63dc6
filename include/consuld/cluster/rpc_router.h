/* SPDX-License-Identifier: Apache-2.0 */
/* What a client agent answers its calls with: the servers of its datacenter, asked one at a time
 * through the pool (rpc.md 8.3, 9.2). The first of the list is used; a failure moves it to the end;
 * from time to time the list is shuffled, so that load spreads. Gossip tells who is there. */
#pragma once
#include "consuld/cluster/rpc_limit.h"
#include "consuld/cluster/rpc_pool.h"

#define RPC_ROUTER_SERVERS_MAX 256
#define RPC_ERR_NO_SERVERS "No known Consul servers"

struct rpc_router;

struct metrics;

struct rpc_router_options {
    struct world *world;
    struct rpc_pool *pool;
    uint64_t hold_timeout_ms; /* 0: 7 s. What may be tried again is, for so long */
    uint64_t early_ms;        /* so long after the creation calls wait for the first server */
    double rate;              /* calls per second; 0: any number */
    uint64_t burst;           /* 0: 1000 */
    /* Members of the LAN, for the time between shuffles; NULL: few. */
    size_t (*members)(void *ctx);
    void *ctx;
    struct metrics *metrics; /* failures are told there by server; NULL: nobody counts */
};

struct rpc_router *rpc_router_create(const struct rpc_router_options *o);
/* Ends calls with "rpc error: shutdown". Before the pool is closed. */
void rpc_router_destroy(struct rpc_router *r);
struct rpc_client *rpc_router_client(struct rpc_router *r);
/* Other limits from now on (reload). */
void rpc_router_limit(struct rpc_router *r, double rate, uint64_t burst);

/* A server joined or changed: added at the end, or replaced by name. Copied. ERR_FULL. */
int rpc_router_add(struct rpc_router *r, const struct rpc_target *server);
/* It failed or left. */
void rpc_router_remove(struct rpc_router *r, struct str name);
size_t rpc_router_servers(const struct rpc_router *r);
/* In the order of use; valid until the next change. */
const struct rpc_target *rpc_router_at(const struct rpc_router *r, size_t i);

struct rpc_router_counters {
    uint64_t calls;
    uint64_t retries;
    uint64_t rate_limited;
    uint64_t rotations;
    uint64_t rebalances;
};
struct rpc_router_counters rpc_router_counters(const struct rpc_router *r);

/* The arguments of a call that is made again, `waited_ms` after it was made: those of a blocking
 * query ask for what is left of its wait, or its caller would wait anew at every server. The copy
 * is the arena's. */
const void *rpc_args_again(
    const char *method, const void *args, struct arena *a, uint64_t waited_ms);
/* True for errors after which the same call may be made again (rpc.md 8.3). */
bool rpc_may_retry(const struct rpc_call *call, struct str text);
