/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that this server does not answer itself: they go to the leader (rpc.md 6.1, 9.2). What
 * fails because nobody leads, or because the leader could not be reached, is tried again after a
 * short random pause for as long as a call may be held. */
#include "consuld/cluster/rpc_router.h"
#include "forward_judge.h"
#include "server.h"

#define DIAL_FAILED "failed to get conn"
#define LAST_PART 16 /* of the time that a call may be held */

bool server__leader_target(struct server *s, struct arena *a, struct rpc_target *out)
{
    struct raft_driver_state state = raft_driver_state(s->raft);
    struct gossip_address address;
    struct list servers;
    if (state.leader_address.n == 0 || str_eq(state.leader_address, s->opts.raft_address)) {
        return false;
    }
    server__lan_servers(s, a, &servers);
    const struct lan_server *m = lan_server_by_address(&servers, state.leader_address);
    *out = (struct rpc_target){ .datacenter = s->opts.datacenter };
    if (m) {
        out->name = m->name;
        out->address = m->ip;
        out->port = m->port;
        return true;
    }
    /* Raft knows better than gossip who leads. */
    struct str host = state.leader_address;
    int64_t colon = -1;
    for (size_t i = 0; i < host.n; i++)
        if (host.p[i] == ':') colon = (int64_t)i;
    uint64_t port;
    if (colon < 0 || !str_to_u64(str_slice(host, (size_t)colon + 1, host.n), &port) || port == 0 ||
        port > UINT16_MAX)
        return false;
    host = str_slice(host, 0, (size_t)colon);
    if (host.n > 2 && host.p[0] == '[') host = str_slice(host, 1, host.n - 1);
    if (!gossip_address_parse(&address, str_c(a, host), (uint16_t)port)) return false;
    out->name = str_dup(a, state.leader_id);
    out->address = str_dup(a, host);
    out->port = (uint16_t)port;
    return true;
}

bool server__not_written(struct str why)
{
    return str_has_suffix(why, STR(RAFT_ERR_NOT_LEADER)) ||
           str_has_suffix(why, STR(RAFT_ERR_TRANSFERRING));
}

/* Before the answer came. */
static bool connection_lost(struct str why)
{
    static const char *const texts[] = { "EOF", "connection reset", "broken pipe",
        "session shutdown", "stream closed" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (str_has_suffix(why, str_of(texts[i]))) return true;
    return false;
}

/* What waited at the leader for long has not failed before. */
static void returned(struct pending *p)
{
    const struct server *s = p->server;
    timer_stop(&p->timer);
    link_remove(&p->link);
    p->forwarded = false;
    if (world_now_ms(s->world) - p->forwarded_ms > s->opts.rpc_hold_timeout_ms)
        p->held_since_ms = 0;
}

/* Before it is made again. */
static void shorten_wait(struct pending *p)
{
    const struct server *s = p->server;
    uint64_t waited = world_now_ms(s->world) - p->forwarded_ms;
    p->args = rpc_args_again(p->call->method, p->args, p->call->arena, waited);
}

static void answered(struct rpc_call *inner)
{
    struct pending *p = inner->ctx;
    struct rpc_call *call = p->call;
    struct str why = str_of(inner->err->text);
    returned(p);
    if (inner->code == 0) {
        server__finish(call, inner->reply);
        return;
    }
    shorten_wait(p);
    bool again = server__not_written(why) || str_find(why, STR(DIAL_FAILED)) >= 0 ||
                 rpc_may_retry(call, why) ||
                 (p->method->mode != MODE_WRITE && connection_lost(why));
    if (!p->server->leaving && again && server__hold_again(p)) return;
    server__fail(call, inner->code);
}

static uint64_t leader_hash(const struct server *s)
{
    struct raft_driver_state state = raft_driver_state(s->raft);
    return hash_bytes(state.leader_address.p, state.leader_address.n);
}

bool server__forward(struct pending *p)
{
    struct server *s = p->server;
    struct rpc_call *call = p->call;
    struct rpc_target leader;
    struct arena a = ARENA_INIT;
    if (!s->opts.rpc_pool || !server__leader_target(s, &a, &leader)) {
        arena_free(&a);
        return false;
    }
    s->stats.forwarded++;
    p->kind = PENDING_FORWARD;
    p->forwarded = true;
    p->forwarded_ms = world_now_ms(s->world);
    p->asked = leader_hash(s);
    p->inner = (struct rpc_call){ .method = call->method,
        .args = p->args,
        .arena = call->arena,
        .done = answered,
        .ctx = p,
        .err = call->err };
    link_remove(&p->link);
    link_push(&s->calls, &p->link);
    rpc_pool_submit(s->opts.rpc_pool, &leader, &p->inner);
    arena_free(&a);
    return true;
}

void server__forward_review(struct server *s)
{
    bool known = raft_driver_state(s->raft).leader_address.n > 0;
    uint64_t leader = leader_hash(s);
    struct link again;
    link_init(&again);
    link_each (it, &s->calls) {
        struct pending *p = container_of(it, struct pending, link);
        if (!p->forwarded) continue;
        struct forward_view v = { .asked_leads = known && p->asked == leader,
            .other_leads = known && p->asked != leader,
            .sent = rpc_pool_sent(&p->inner),
            .write = p->method->mode == MODE_WRITE };
        switch (server__forward_judge(&v)) {
        case FORWARD_WAIT:
            timer_stop(&p->timer);
            break;
        case FORWARD_DOUBT:
            timer_start(&p->timer, server__hold_left_ms(p));
            break;
        case FORWARD_LAST:
            timer_start(&p->timer, s->opts.rpc_hold_timeout_ms / LAST_PART);
            break;
        case FORWARD_AGAIN:
            rpc_pool_cancel(s->opts.rpc_pool, &p->inner);
            returned(p);
            shorten_wait(p);
            link_push(&again, &p->link);
            break;
        }
    }
    for (struct link *it; (it = link_pop(&again));)
        server__route(container_of(it, struct pending, link));
}
