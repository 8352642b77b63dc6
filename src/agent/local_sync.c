/* SPDX-License-Identifier: Apache-2.0 */
/* Anti-entropy: a run makes the catalog agree with the local state. A full run first reads what the
 * catalog has and marks what differs; every run then sends what is marked, in phases: the node,
 * its services with their checks, the remaining checks (agent.md 6). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local_state.h"
#include "consuld/model.h"

#define IN_FLIGHT_MAX 64
#define INTERVAL_MS 60000
#define RETRY_MS 15000
#define READ_STALE_NS (INT64_C(2) * 1000000000)

enum phase { IDLE, READ_SERVICES, READ_CHECKS, SEND_NODE, SEND_SERVICES, SEND_CHECKS };

struct sync {
    struct local *local;
    enum phase phase;
    bool full;      /* of the running run */
    bool want_full; /* of the next */
    bool want;      /* something was marked */
    bool failed;
    bool stepping;
    unsigned paused;
    bool started;
    bool node_in_sync;
    struct link ops; /* in flight */
    size_t in_flight;
    struct link pushes;  /* served by the running run */
    struct link waiting; /* wait for the next */
    struct timer timer;  /* next full run */
    struct rpc_reply *services;
    struct link services_todo; /* of the running phase: struct local_service */
    struct link checks_todo;   /* struct local_check */
    struct link checks_going;  /* deleted ones, sent last */
};

/* One call in flight. */
struct op {
    struct link link;
    struct sync *sync;
    struct rpc_call call;
    struct error err; /* of call */
    struct arena arena;
    struct str service_id; /* what it carries; nil if none */
    uint64_t service_version;
    struct list checks; /* of struct sent_check */
    bool node;
    bool deregister;
};

struct sent_check {
    struct str id;
    uint64_t version;
};

static void step(struct sync *s);

static struct op *op_new(struct sync *s)
{
    struct op *op = xcalloc(1, sizeof *op);
    op->sync = s;
    op->call.arena = &op->arena;
    op->call.ctx = op;
    op->call.err = &op->err;
    link_push(&s->ops, &op->link);
    s->in_flight++;
    return op;
}

static void op_free(struct op *op)
{
    op->sync->in_flight--;
    link_remove(&op->link);
    if (op->call.reply) rpc_reply_unref(op->call.reply);
    arena_free(&op->arena);
    free(op);
}

static void op_submit(
    struct op *op, const char *method, const void *args, void (*done)(struct rpc_call *))
{
    op->call.method = method;
    op->call.args = args;
    op->call.done = done;
    rpc_submit(op->sync->local->opts.rpc, &op->call);
}

static struct str agent_token(const struct local *l)
{
    return l->opts.agent_token.n ? l->opts.agent_token : l->opts.default_token;
}

/* --- what a call's end means --------------------------------------------------------------------
 */

static bool blocked_by_acl(const struct error *err)
{
    return strstr(err->text, "Permission denied") || strstr(err->text, "ACL not found");
}

static bool already_gone(const struct op *op, const struct error *err)
{
    return op->deregister &&
           (strstr(err->text, "Unknown service") || strstr(err->text, "Unknown check"));
}

static void forget_deleted_checks(struct local *l, struct str service_id)
{
    struct local_group *g = local__group(l, service_id);
    if (!g) return;
    link_each (it, &g->checks) {
        struct local_check *c = container_of(it, struct local_check, of_group);
        bool last = it->prev == it->next; /* the group may go with it */
        if (c->deleted) local__check_forget(l, c);
        if (last) return;
    }
}

static void service_sent(struct op *op, bool denied)
{
    struct local *l = op->sync->local;
    struct local_service *s = op->service_id.p ? map_get(&l->services, op->service_id) : NULL;
    if (!s || s->version != op->service_version) return;
    const char *id = str_c(&op->arena, op->service_id);
    local__service_mark(l, s, true);
    if (denied) {
        log_warn("agent",
            op->deregister ? "Service deregistration blocked by ACLs"
                           : "Service registration blocked by ACLs",
            "service", id);
    } else if (op->deregister) {
        log_info("agent", "Deregistered service", "service", id);
    } else {
        log_info("agent", "Synced service", "service", id);
    }
    if (!op->deregister || denied) return;
    forget_deleted_checks(l, op->service_id);
    local__service_forget(l, s);
}

static void check_sent(struct op *op, const struct sent_check *sent, bool denied)
{
    struct local *l = op->sync->local;
    struct local_check *c = map_get(&l->checks, sent->id);
    if (!c || c->version != sent->version) return;
    const char *id = str_c(&op->arena, sent->id);
    local__check_mark(c, true);
    if (denied) {
        log_warn("agent", "Check registration blocked by ACLs", "check", id);
    } else if (op->deregister) {
        log_info("agent", "Deregistered check", "check", id);
    } else if (!op->service_id.p) {
        log_info("agent", "Synced check", "check", id);
    }
    if (op->deregister && !denied) local__check_forget(l, c);
}

static void on_sent(struct rpc_call *call)
{
    struct op *op = call->ctx;
    struct sync *s = op->sync;
    bool denied = call->code != 0 && blocked_by_acl(call->err);
    if (call->code == 0 || denied || already_gone(op, call->err)) {
        if (op->node) {
            s->node_in_sync = true;
            if (denied) {
                log_warn("agent", "Node info update blocked by ACLs");
            } else {
                log_info("agent", "Synced node info");
            }
        }
        service_sent(op, denied);
        for (size_t i = 0; i < op->checks.n; i++)
            check_sent(op, &LIST_AT(&op->checks, struct sent_check, i), denied);
    } else {
        if (!s->failed)
            log_error("agent.anti_entropy", "failed to sync changes", "error", call->err->text);
        s->failed = true;
    }
    op_free(op);
    step(s);
}

/* --- sending ------------------------------------------------------------------------------------
 */

static struct register_request *node_request(struct sync *s, struct op *op)
{
    const struct local_options *o = &s->local->opts;
    struct register_request *r = arena_new(&op->arena, struct register_request);
    *r = (struct register_request){ .datacenter = o->datacenter,
        .id = o->node_id,
        .node = o->node_name,
        .address = o->address,
        .tagged_addresses = o->tagged_addresses,
        .node_meta = o->node_meta,
        .skip_node_update = s->node_in_sync };
    return r;
}

static void send_node(struct sync *s)
{
    if (s->node_in_sync) return;
    struct op *op = op_new(s);
    struct register_request *r = node_request(s, op);
    r->token = agent_token(s->local);
    op->node = true;
    op_submit(op, "Catalog.Register", r, on_sent);
}

static void deregister(
    struct sync *s, struct op *op, struct str service_id, struct str check_id, struct str token)
{
    const struct local_options *o = &s->local->opts;
    struct deregister_request *r = arena_new(&op->arena, struct deregister_request);
    *r = (struct deregister_request){ .datacenter = o->datacenter,
        .node = o->node_name,
        .service_id = str_dup(&op->arena, service_id),
        .check_id = str_dup(&op->arena, check_id),
        .token = token.n ? str_dup(&op->arena, token) : o->default_token };
    op->deregister = true;
    op_submit(op, "Catalog.Deregister", r, on_sent);
}

static void take_check(struct op *op, struct register_request *r, const struct local_check *c)
{
    struct sent_check *sent = LIST_PUSH(&op->arena, &op->checks, struct sent_check);
    *sent = (struct sent_check){ str_dup(&op->arena, c->check.check_id), c->version };
    record_copy(&op->arena, &type_health_check,
        LIST_PUSH(&op->arena, &r->checks, struct health_check), &c->check);
}

/* A single check travels as Check, several as Checks. */
static void fold_single_check(struct op *op, struct register_request *r)
{
    if (r->checks.n != 1) return;
    r->check = arena_new(&op->arena, struct health_check);
    *r->check = LIST_AT(&r->checks, struct health_check, 0);
    r->checks = (struct list){ 0 };
}

static void send_service(struct sync *s, struct local_service *svc)
{
    struct local *l = s->local;
    struct op *op = op_new(s);
    op->service_id = str_dup(&op->arena, svc->svc.id);
    op->service_version = svc->version;
    if (svc->deleted) {
        deregister(s, op, svc->svc.id, STR_NIL, svc->token);
        return;
    }
    struct register_request *r = node_request(s, op);
    r->token = svc->token.n ? str_dup(&op->arena, svc->token) : l->opts.default_token;
    r->service = arena_new(&op->arena, struct node_service);
    record_copy(&op->arena, &type_node_service, r->service, &svc->svc);
    const struct local_group *g = local__group(l, svc->svc.id);
    if (g) {
        link_each (it, &g->checks) {
            const struct local_check *c = container_of(it, struct local_check, of_group);
            if (!c->in_sync && !c->deleted && str_eq(c->token, svc->token)) take_check(op, r, c);
        }
    }
    fold_single_check(op, r);
    op_submit(op, "Catalog.Register", r, on_sent);
}

static void send_check(struct sync *s, struct local_check *c)
{
    struct op *op = op_new(s);
    if (c->deleted) {
        struct sent_check *sent = LIST_PUSH(&op->arena, &op->checks, struct sent_check);
        *sent = (struct sent_check){ str_dup(&op->arena, c->check.check_id), c->version };
        deregister(s, op, STR_NIL, c->check.check_id, c->token);
        return;
    }
    struct register_request *r = node_request(s, op);
    r->token = c->token.n ? str_dup(&op->arena, c->token) : s->local->opts.default_token;
    take_check(op, r, c);
    fold_single_check(op, r);
    op_submit(op, "Catalog.Register", r, on_sent);
}

/* --- what a phase has to send ------------------------------------------------------------------
 */

static void move_all(struct link *from, struct link *to)
{
    for (struct link *it; (it = link_pop(from));)
        link_push(to, it);
}

/* What changes meanwhile is for the next run, and so is all that is sent until it is known to have
 * arrived. */
static void take_services(struct sync *s)
{
    move_all(&s->local->unsynced_services, &s->services_todo);
}

static void take_checks(struct sync *s)
{
    move_all(&s->local->unsynced_checks, &s->checks_todo);
}

static void give_back_work(struct sync *s)
{
    move_all(&s->services_todo, &s->local->unsynced_services);
    move_all(&s->checks_todo, &s->local->unsynced_checks);
    move_all(&s->checks_going, &s->local->unsynced_checks);
}

/* Sends the next that is still marked; false if there is none. */
static bool send_next_service(struct sync *s)
{
    struct link *it = link_pop(&s->services_todo);
    if (!it) return false;
    link_push(&s->local->unsynced_services, it);
    send_service(s, container_of(it, struct local_service, unsynced));
    return true;
}

/* Checks of a service that goes go with it. One that came while services were sent is sent with its
 * checks by the next run: alone they would be refused. */
static bool follows_service(const struct local *l, const struct local_check *c)
{
    const struct local_service *s =
        c->check.service_id.n ? map_get(&l->services, c->check.service_id) : NULL;
    return s && (s->deleted || !s->in_sync);
}

/* First what is new or changed, then what goes: the catalog never shows a service without the
 * checks it is to have. */
static bool send_next_check(struct sync *s)
{
    for (struct link *it; (it = link_pop(&s->checks_todo));) {
        struct local_check *c = container_of(it, struct local_check, unsynced);
        link_push(c->deleted ? &s->checks_going : &s->local->unsynced_checks, it);
        if (c->deleted || follows_service(s->local, c)) continue;
        send_check(s, c);
        return true;
    }
    struct link *it = link_pop(&s->checks_going);
    if (!it) return false;
    link_push(&s->local->unsynced_checks, it);
    send_check(s, container_of(it, struct local_check, unsynced));
    return true;
}

/* --- reading
 * --------------------------------------------------------------------------------------*/

static void on_checks_read(struct rpc_call *call)
{
    struct op *op = call->ctx;
    struct sync *s = op->sync;
    if (call->code != 0) {
        log_error("agent.anti_entropy", "failed to sync remote state", "error", call->err->text);
        s->failed = true;
    } else {
        const struct indexed_node_service_list *services = s->services->record;
        const struct indexed_health_checks *checks = call->reply->record;
        const struct node_service_listing *listing = &services->node_services;
        s->node_in_sync = compare_node(s->local, listing->node);
        compare_catalog(s->local, listing, &checks->health_checks);
        s->phase = SEND_NODE;
        send_node(s);
    }
    rpc_reply_unref(s->services);
    s->services = NULL;
    op_free(op);
    step(s);
}

static void read_node(struct sync *s, const char *method, void (*done)(struct rpc_call *))
{
    const struct local_options *o = &s->local->opts;
    struct op *op = op_new(s);
    struct node_specific_request *args = arena_new(&op->arena, struct node_specific_request);
    *args = (struct node_specific_request){ .datacenter = o->datacenter,
        .node = o->node_name,
        .token = agent_token(s->local),
        .allow_stale = true,
        .max_stale_duration = READ_STALE_NS };
    op_submit(op, method, args, done);
}

static void on_services_read(struct rpc_call *call)
{
    struct op *op = call->ctx;
    struct sync *s = op->sync;
    if (call->code != 0) {
        log_error("agent.anti_entropy", "failed to sync remote state", "error", call->err->text);
        s->failed = true;
    } else {
        s->services = rpc_reply_ref(call->reply);
        s->phase = READ_CHECKS;
        read_node(s, "Health.NodeChecks", on_checks_read);
    }
    op_free(op);
    step(s);
}

/* --- the run ------------------------------------------------------------------------------------
 */

static uint64_t spread(struct sync *s, uint64_t base_ms)
{
    return base_ms + prng_below(&s->local->prng, base_ms);
}

static void push_ready(struct local_push *p)
{
    struct local *l = p->local;
    if (!p->synced || !p->written) return;
    if (p->whole && l->files && file_queue_wait(l->files, &p->files, file_queue_place(l->files)))
        return;
    p->done(p);
}

static void push_written(struct file_wait *w)
{
    struct local_push *p = container_of(w, struct local_push, files);
    p->written = true;
    push_ready(p);
}

static void pushes_synced(struct sync *s)
{
    struct link done;
    struct link *l;
    link_init(&done);
    move_all(&s->pushes, &done);
    while ((l = link_pop(&done))) {
        struct local_push *p = container_of(l, struct local_push, link);
        p->synced = true;
        push_ready(p);
    }
}

static void run_end(struct sync *s)
{
    uint64_t interval = s->local->opts.sync_interval_ms;
    s->phase = IDLE;
    give_back_work(s);
    if (s->failed) {
        s->want_full = false;
        timer_start(&s->timer, spread(s, RETRY_MS));
    } else if (s->full) {
        timer_start(&s->timer, spread(s, interval ? interval : INTERVAL_MS));
    }
    pushes_synced(s);
    if (s->want || s->want_full) tick_mark(&s->local->tick);
}

/* Moves the run on as far as it goes without waiting. */
static void advance(struct sync *s)
{
    if (s->failed) {
        if (s->in_flight == 0) run_end(s);
        return;
    }
    if (s->phase == SEND_NODE && s->in_flight == 0) {
        s->phase = SEND_SERVICES;
        take_services(s);
    }
    while (s->phase == SEND_SERVICES && !s->failed) {
        if (s->in_flight >= IN_FLIGHT_MAX) return;
        if (send_next_service(s)) continue;
        if (s->in_flight) return;
        s->phase = SEND_CHECKS;
        take_checks(s);
    }
    while (s->phase == SEND_CHECKS && !s->failed) {
        if (s->in_flight >= IN_FLIGHT_MAX) return;
        if (send_next_check(s)) continue;
        if (s->in_flight) return;
        run_end(s);
    }
    if (s->failed && s->phase != IDLE && s->in_flight == 0) run_end(s);
}

/* Calls may end within submit: their ends must not run the machine a second time. */
static void step(struct sync *s)
{
    if (s->stepping || s->phase == IDLE) return;
    s->stepping = true;
    advance(s);
    s->stepping = false;
}

static void run_start(struct sync *s)
{
    s->full = s->want_full;
    s->want = s->want_full = s->failed = false;
    move_all(&s->waiting, &s->pushes);
    s->stepping = true;
    if (s->full) {
        s->phase = READ_SERVICES;
        read_node(s, "Catalog.NodeServiceList", on_services_read);
    } else {
        s->phase = SEND_NODE;
        send_node(s);
    }
    s->stepping = false;
    step(s);
}

static void maybe_start(struct sync *s)
{
    if (!s->started || s->paused || s->phase != IDLE) return;
    if (s->want || s->want_full) run_start(s);
}

static void on_timer(struct timer *t)
{
    struct sync *s = container_of(t, struct sync, timer);
    s->want_full = true;
    maybe_start(s);
}

struct sync *sync_create(struct local *l)
{
    struct sync *s = xcalloc(1, sizeof *s);
    s->local = l;
    link_init(&s->ops);
    link_init(&s->pushes);
    link_init(&s->waiting);
    link_init(&s->services_todo);
    link_init(&s->checks_todo);
    link_init(&s->checks_going);
    timer_init(&s->timer, l->opts.world, on_timer);
    return s;
}

void sync_destroy(struct sync *s)
{
    link_each (it, &s->ops) {
        struct op *op = container_of(it, struct op, link);
        rpc_cancel(s->local->opts.rpc, &op->call);
        op_free(op);
    }
    rpc_reply_unref(s->services);
    link_each (it, &s->pushes) {
        link_remove(it);
    }
    link_each (it, &s->waiting) {
        link_remove(it);
    }
    timer_stop(&s->timer);
    give_back_work(s);
    free(s);
}

void sync_start(struct sync *s)
{
    s->started = true;
    s->want_full = true;
    tick_mark(&s->local->tick);
}

void sync_kick(struct sync *s)
{
    s->want = true;
    maybe_start(s);
}

void sync_full(struct sync *s, uint64_t spread_ms)
{
    timer_start(&s->timer, prng_below(&s->local->prng, spread_ms));
}

void sync_push(struct sync *s, struct local_push *p)
{
    struct local *l = s->local;
    p->local = l;
    p->synced = false;
    p->files.done = push_written;
    p->files.err.code = ERR_OK;
    link_init(&p->files.link);
    p->written = !l->files || !file_queue_wait(l->files, &p->files, l->files_told);
    if (l->files) l->files_told = file_queue_place(l->files);
    link_push(&s->waiting, &p->link);
    s->want = true;
    tick_mark(&s->local->tick);
}

void sync_pause(struct sync *s)
{
    s->paused++;
}

void sync_resume(struct sync *s)
{
    ensure(s->paused > 0);
    s->paused--;
    s->want = true;
    tick_mark(&s->local->tick);
}

void sync_node_dirty(struct sync *s)
{
    s->node_in_sync = false;
    s->want = true;
    tick_mark(&s->local->tick);
}
