/* SPDX-License-Identifier: Apache-2.0 */
/* What all procedures share: routing by datacenter and leader, holding without a leader,
 * consistency, query metadata, errors (rpc.md 6). */
#include <string.h>

#include "consuld/cluster/pool.h"
#include "consuld/cluster/rpc_pool.h"
#include "server.h"

#define HOLD_PAUSES 16 /* a pause is at most this part of the time a call may be held */
#define SILENCE_PAUSE_MS 100

void *server__field(const void *record, int offset)
{
    ensure(offset >= 0);
    return (char *)(uintptr_t)record + offset;
}

static bool flag(const struct pending *p, int offset)
{
    return offset >= 0 && *(const bool *)server__field(p->args, offset);
}

static const struct method *find_method(const char *name)
{
    size_t low = 0, high = server__method_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strcmp(name, server__methods[mid].name);
        if (order == 0) return &server__methods[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

static int offset_of(const struct type *t, const char *name)
{
    if (!t || t->kind != KIND_REC) return -1;
    const struct field *f = record_field(t->record, str_of(name));
    return f ? f->offset : -1;
}

void server__layouts_init(struct server *s)
{
    s->layouts = xcalloc(server__method_count, sizeof *s->layouts);
    for (size_t i = 0; i < server__method_count; i++) {
        const struct method *m = &server__methods[i];
        const struct method_types *t = method_find(str_of(m->name));
        struct method_layout *l = &s->layouts[i];
        ensure(t != NULL);
        l->args = t->args;
        l->reply = t->reply;
        l->datacenter =
            offset_of(t->args, m->flags & METHOD_TARGET_DC ? "TargetDatacenter" : "Datacenter");
        l->min_query_index = offset_of(t->args, "MinQueryIndex");
        l->max_query_time = offset_of(t->args, "MaxQueryTime");
        l->allow_stale = offset_of(t->args, "AllowStale");
        l->require_consistent = offset_of(t->args, "RequireConsistent");
        l->token = offset_of(t->args, "Token");
        l->index = offset_of(t->reply, "Index");
        l->last_contact = offset_of(t->reply, "LastContact");
        l->known_leader = offset_of(t->reply, "KnownLeader");
        /* RaftStats has a LastContact of another kind */
        if (l->known_leader < 0) l->last_contact = l->index = -1;
    }
}

/* --- ends ----------------------------------------------------------------------------------- */

void server__finish(struct rpc_call *call, struct rpc_reply *reply)
{
    call->impl = NULL;
    call->code = 0;
    call->reply = reply;
    call->done(call);
}

void server__fail(struct rpc_call *call, int code)
{
    ensure(code < 0);
    call->impl = NULL;
    call->code = code;
    call->reply = NULL;
    call->done(call);
}

struct raft_driver_request *server__request(
    struct pending *p, void (*done)(struct raft_driver_request *r), void *ctx)
{
    p->raft = arena_new(p->call->arena, struct raft_driver_request);
    p->raft->done = done;
    p->raft->ctx = ctx;
    return p->raft;
}

static void unlink_pending(struct pending *p)
{
    timer_stop(&p->timer);
    if (p->raft) raft_driver_forget(p->raft);
    if (p->gossip) pool_forget(p->gossip);
    server__remote_cancel(p);
    server__failover_cancel(p);
    if (p->abandon) p->abandon(p);
    if (p->forwarded) rpc_pool_cancel(p->server->opts.rpc_pool, &p->inner);
    p->forwarded = false;
    link_remove(&p->link);
}

static void fail_pending(struct pending *p, const char *text)
{
    unlink_pending(p);
    server__fail(p->call, error_set(p->call->err, ERR_INTERNAL, "%s", text));
}

/* --- reads ---------------------------------------------------------------------------------- */

static void set_meta(struct server *s, struct rpc_reply *r)
{
    if (raft_driver_is_leader(s->raft)) {
        r->known_leader = true;
        r->last_contact_ns = 0;
        return;
    }
    struct raft_driver_state state = raft_driver_state(s->raft);
    r->known_leader = state.leader_address.n > 0;
    r->last_contact_ns = (int64_t)state.last_contact_ms * 1000000;
}

static void copy_meta(const struct method_layout *l, struct rpc_reply *r)
{
    if (l->last_contact < 0) return;
    *(int64_t *)server__field(r->record, l->last_contact) = r->last_contact_ns;
    *(bool *)server__field(r->record, l->known_leader) = r->known_leader;
    *(uint64_t *)server__field(r->record, l->index) = r->index;
}

struct rpc_reply *server__evaluate(struct server *s, const struct method *m,
    const struct method_layout *layout, const void *args, struct watch_set *ws, struct error *err)
{
    struct rpc_reply *r = rpc_reply_create(layout->reply);
    r->record = arena_alloc(&r->arena, layout->reply->size);
    struct eval e = {
        .server = s,
        .method = m,
        .args = args,
        .reply = r,
        .ws = ws,
        .err = err,
        .rd = store_read(s->store),
    };
    uint64_t began = server__measured(s, m) ? server__measure_from(s) : 0;
    s->stats.evaluations++;
    set_meta(s, r);
    int rc = m->read(&e);
    server__measure_call(s, m, began);
    if (rc == 0 && store_read_failed(e.rd, err)) rc = ERR_IO;
    if (rc) {
        rpc_reply_unref(r);
        return NULL;
    }
    if ((m->flags & METHOD_BLOCKING) && r->index == 0) r->index = 1;
    copy_meta(layout, r);
    return r;
}

static bool is_blocking(const struct method *m, const struct method_layout *l, const void *args)
{
    return (m->flags & METHOD_BLOCKING) && l->min_query_index >= 0 &&
           *(const uint64_t *)server__field(args, l->min_query_index) > 0;
}

static void held_long(struct timer *t);

static struct pending *make_pending(struct server *s, struct rpc_call *call, const struct method *m,
    const struct method_layout *l, const void *args)
{
    size_t size = m->write ? sizeof(struct write) : sizeof(struct pending);
    struct pending *p = arena_alloc(call->arena, size);
    p->server = s;
    p->call = call;
    p->method = m;
    p->layout = l;
    p->args = args;
    link_init(&p->link);
    timer_init(&p->timer, s->world, held_long);
    call->impl = p;
    return p;
}

static void read_now(struct server *s, struct rpc_call *call, const struct method *m,
    const struct method_layout *l, const void *args)
{
    call->err->code = ERR_OK;
    struct rpc_reply *r = server__evaluate(s, m, l, args, NULL, call->err);
    if (!r)
        server__fail(call, call->err->code ? call->err->code : ERR_INTERNAL);
    else if (!m->more || !m->more(make_pending(s, call, m, l, args), r))
        server__finish(call, r);
}

static void read_pending(struct pending *p)
{
    unlink_pending(p);
    if (p->method->flags & METHOD_BLOCKING) p->server->stats.queries++;
    if (is_blocking(p->method, p->layout, p->args))
        server__block(p);
    else
        read_now(p->server, p->call, p->method, p->layout, p->args);
}

/* --- waiting -------------------------------------------------------------------------------- */

static void held_long(struct timer *t)
{
    struct pending *p = container_of(t, struct pending, timer);
    if (p->pausing) {
        p->pausing = false;
        server__route(p);
        return;
    }
    fail_pending(p, p->forwarded  ? FORWARD_ERR_DOUBT
                    : p->verified ? RPC_ERR_NOT_READY
                                  : RPC_ERR_NO_LEADER);
}

uint64_t server__hold_left_ms(struct pending *p)
{
    uint64_t now = world_now_ms(p->server->world), most = p->server->opts.rpc_hold_timeout_ms;
    if (!p->held_since_ms) p->held_since_ms = now ? now : 1;
    uint64_t waited = now > p->held_since_ms ? now - p->held_since_ms : 0;
    return waited < most ? most - waited : 0;
}

static void hold_for(struct pending *p, uint64_t ms)
{
    p->kind = PENDING_HELD;
    link_remove(&p->link);
    link_push(&p->server->calls, &p->link);
    timer_start(&p->timer, ms);
}

static void hold(struct pending *p)
{
    p->pausing = false;
    hold_for(p, server__hold_left_ms(p));
}

/* A leader that was not heard of for a while may be gone: what is sent to it now would be lost with
 * it. It speaks again, or another one does. */
static void hold_for_a_word(struct pending *p)
{
    uint64_t left = server__hold_left_ms(p);
    p->pausing = left > SILENCE_PAUSE_MS;
    hold_for(p, p->pausing ? SILENCE_PAUSE_MS : left);
}

bool server__hold_again(struct pending *p)
{
    uint64_t left = server__hold_left_ms(p);
    uint64_t pause =
        world_random_below(p->server->world, p->server->opts.rpc_hold_timeout_ms / HOLD_PAUSES + 1);
    if (left == 0) return false;
    p->pausing = true;
    hold_for(p, pause < left ? pause : left);
    return true;
}

static void verified(struct raft_driver_request *r)
{
    struct pending *p = r->ctx;
    if (r->code) {
        p->raft = NULL;
        if (!p->server->leaving && server__hold_again(p)) return;
        *p->call->err = r->err;
        unlink_pending(p);
        server__fail(p->call, r->code);
        return;
    }
    p->verified = true;
    server__measure(p->server, MEASURE_CONSISTENT_READ, p->began_us);
    server__route(p);
}

static void verify(struct pending *p)
{
    p->kind = PENDING_VERIFY;
    p->began_us = server__measure_from(p->server);
    link_remove(&p->link);
    link_push(&p->server->calls, &p->link);
    raft_driver_verify_leader(p->server->raft, server__request(p, verified, p));
}

/* --- routing -------------------------------------------------------------------------------- */

static bool served_stale(const struct server *s, const struct pending *p)
{
    if (p->method->mode != MODE_READ || !flag(p, p->layout->allow_stale)) return false;
    return raft_driver_is_leader(s->raft) || raft_driver_state(s->raft).contact_known;
}

/* One pass through the rules of rpc.md 6.1; called again when a held call may go on. */
void server__route(struct pending *p)
{
    struct server *s = p->server;
    bool consistent = p->method->mode == MODE_READ_CONSISTENT ||
                      (p->method->mode == MODE_READ && flag(p, p->layout->require_consistent));
    timer_stop(&p->timer);
    if (!served_stale(s, p)) {
        if (s->leaving) {
            fail_pending(p, RPC_ERR_NO_LEADER);
            return;
        }
        if (!raft_driver_is_leader(s->raft)) {
            p->verified = false;
            if (raft_driver_state(s->raft).leader_silent)
                hold_for_a_word(p);
            else if (!server__forward(p))
                hold(p);
            return;
        }
    }
    if (p->method->mode == MODE_WRITE)
        server__write(p);
    else if (consistent && !p->verified)
        verify(p);
    else if (consistent && !s->ready)
        hold(p);
    else
        read_pending(p);
}

void server__release_held(struct server *s)
{
    struct link ready;
    link_init(&ready);
    link_each (it, &s->calls) {
        struct pending *p = container_of(it, struct pending, link);
        if (p->kind != PENDING_HELD) continue;
        p->pausing = false;
        link_remove(it);
        link_push(&ready, it);
    }
    for (struct link *it; (it = link_pop(&ready));)
        server__route(container_of(it, struct pending, link));
}

/* Where the call belongs: the own datacenter or another. *args is what to go on with. */
static struct str datacenter_of(struct server *s, struct rpc_call *call, const struct method *m,
    const struct method_layout *l, const void **args)
{
    struct str own = s->opts.datacenter, primary = s->opts.primary_datacenter;
    *args = call->args;
    if (l->datacenter < 0 || (m->flags & METHOD_DC_IGNORED)) return own;
    struct str dc = *(const struct str *)server__field(call->args, l->datacenter);
    if ((m->flags & METHOD_DC_OPTIONAL) && dc.n == 0) return own;
    if (!(m->flags & METHOD_PRIMARY)) return dc;
    void *copy = arena_copy(call->arena, call->args, l->args->size);
    dc = primary.n ? primary : own;
    *(struct str *)server__field(copy, l->datacenter) = dc;
    *args = copy;
    return dc;
}

/* The common case, which needs no state of its own: a plain read of the leader. */
static bool at_once(
    const struct server *s, const struct method *m, const struct method_layout *l, const void *args)
{
    if (m->mode != MODE_READ || s->leaving || !s->ready) return false;
    if (!raft_driver_is_leader(s->raft)) return false;
    if (l->require_consistent >= 0 && *(const bool *)server__field(args, l->require_consistent)) {
        return false;
    }
    return !is_blocking(m, l, args);
}

void server__submit(struct rpc_client *client, struct rpc_call *call)
{
    struct server *s = container_of(client, struct server, client);
    const struct method *m = find_method(call->method);
    call->impl = NULL;
    s->stats.calls++;
    if (!m) {
        server__fail(
            call, error_set(call->err, ERR_INTERNAL, "rpc: can't find method %s", call->method));
        return;
    }
    const struct method_layout *l = &s->layouts[m - server__methods];
    const void *args;
    if (m->admit && m->admit(s, call->args, call->err)) {
        server__fail(call, call->err->code);
        return;
    }
    struct str dc = datacenter_of(s, call, m, l, &args);
    if (!str_eq(dc, s->opts.datacenter)) {
        server__remote(make_pending(s, call, m, l, args), dc);
        return;
    }
    if (m->part) {
        server__fail(call, error_set(call->err, ERR_INTERNAL,
                               "%s is not available in this build yet: %s", m->name, m->part));
        return;
    }
    if (m->mode == MODE_LOCAL && m->write) {
        server__write(make_pending(s, call, m, l, args));
        return;
    }
    if (m->mode == MODE_LOCAL) {
        read_now(s, call, m, l, args);
        return;
    }
    if (at_once(s, m, l, args)) {
        if (m->flags & METHOD_BLOCKING) s->stats.queries++;
        if (m->flags & METHOD_SHARED)
            server__read_shared(s, call, m, l, args);
        else
            read_now(s, call, m, l, args);
        return;
    }
    server__route(make_pending(s, call, m, l, args));
}

void server__submit_to(struct server *s, struct rpc_call *call, struct str datacenter)
{
    const struct method *m = find_method(call->method);
    ensure(m != NULL);
    server__remote(
        make_pending(s, call, m, &s->layouts[m - server__methods], call->args), datacenter);
}

void server__cancel(struct rpc_client *client, struct rpc_call *call)
{
    struct pending *p = call->impl;
    (void)client;
    if (!p) return;
    call->impl = NULL;
    if (p->kind == PENDING_PARKED) {
        server__unpark(p);
        return;
    }
    unlink_pending(p);
    if (p->kind == PENDING_WRITE) rpc_reply_unref(((struct write *)p)->reply);
}

void server__fail_calls(struct server *s, const char *why)
{
    for (struct link *it; (it = link_pop(&s->calls));) {
        struct pending *p = container_of(it, struct pending, link);
        if (p->kind == PENDING_WRITE) {
            rpc_reply_unref(((struct write *)p)->reply);
            ((struct write *)p)->reply = NULL;
        }
        fail_pending(p, why);
    }
}
