/* SPDX-License-Identifier: Apache-2.0 */
/* Spreading clients over servers (rpc.md 9.2): a shuffled list takes the old one's place once its
 * first server has answered a ping. */
#include "consuld/model.h"
#include "rpc_router.h"

#define REBALANCE_MS 120000
#define REBALANCE_JITTER_MS 60000
/* Rebalances per second that all servers together should see. */
#define REBALANCES_PER_SERVER 64

static void ping_next(struct rpc_router *r);

static void schedule(struct rpc_router *r)
{
    uint64_t ms = REBALANCE_MS + world_random_below(r->opts.world, REBALANCE_JITTER_MS);
    size_t members = r->opts.members ? r->opts.members(r->opts.ctx) : 0;
    uint64_t servers = r->servers.n ? r->servers.n : 1;
    uint64_t spread = members * 1000 / (REBALANCES_PER_SERVER * servers);
    timer_start(&r->timer, ms > spread ? ms : spread);
}

static void round_over(struct rpc_router *r)
{
    r->order.n = 0;
    r->pinging = false;
    arena_reset(&r->ping_arena);
    schedule(r);
}

static void pinged(struct rpc_call *call)
{
    struct rpc_router *r = call->ctx;
    r->pinging = false;
    rpc_reply_unref(call->reply);
    if (call->code) {
        router_list_rotate(&r->order);
        r->pinged++;
        ping_next(r);
        return;
    }
    ensure(r->order.n == r->servers.n);
    r->servers = r->order;
    r->counters.rebalances++;
    round_over(r);
}

static void ping_next(struct rpc_router *r)
{
    static const struct nothing none;
    if (r->pinged >= r->order.n) {
        round_over(r);
        return;
    }
    arena_reset(&r->ping_arena);
    r->ping = (struct rpc_call){ .method = "Status.Ping",
        .args = &none,
        .arena = &r->ping_arena,
        .done = pinged,
        .ctx = r,
        .err = &r->ping_err };
    r->pinging = true;
    rpc_pool_submit(r->opts.pool, &r->order.at[0]->target, &r->ping);
}

static void rebalance(struct timer *t)
{
    struct rpc_router *r = container_of(t, struct rpc_router, timer);
    r->order = r->servers;
    for (size_t i = r->order.n; i > 1; i--) {
        size_t other = (size_t)world_random_below(r->opts.world, i);
        struct router_server *s = r->order.at[i - 1];
        r->order.at[i - 1] = r->order.at[other];
        r->order.at[other] = s;
    }
    r->pinged = 0;
    ping_next(r);
}

void rpc_router__balance_init(struct rpc_router *r)
{
    timer_init(&r->timer, r->opts.world, rebalance);
    timer_start(&r->timer, REBALANCE_MS);
}

void rpc_router__balance_deinit(struct rpc_router *r)
{
    timer_stop(&r->timer);
    if (r->pinging) rpc_pool_cancel(r->opts.pool, &r->ping);
    arena_free(&r->ping_arena);
}

void rpc_router__balance_added(struct rpc_router *r, struct router_server *s)
{
    if (r->pinging) r->order.at[r->order.n++] = s;
}

void rpc_router__balance_removed(struct rpc_router *r, const struct router_server *s)
{
    if (!r->pinging) return;
    if (r->order.at[0] == s) {
        rpc_pool_cancel(r->opts.pool, &r->ping);
        round_over(r);
        return;
    }
    router_list_remove(&r->order, s);
}
