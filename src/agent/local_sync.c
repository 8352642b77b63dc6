/* SPDX-License-Identifier: Apache-2.0 */
/* Anti-entropy: a run makes the catalog agree with the local state. A full run first reads what the
 * catalog has and marks what differs; every run then sends what is marked, in phases: the node,
 * its services with their checks, the remaining checks (agent.md 6). */
#include <stdlib.h>

#include "consuld/model.h"
#include "local_sync.h"

#define IN_FLIGHT_MAX 64
#define INTERVAL_MS 60000
#define RETRY_MS 15000
#define READ_STALE_NS (INT64_C(2) * 1000000000)

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
    sync_send_service(s, container_of(it, struct local_service, unsynced));
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
        sync_send_check(s, c);
        return true;
    }
    struct link *it = link_pop(&s->checks_going);
    if (!it) return false;
    link_push(&s->local->unsynced_checks, it);
    sync_send_check(s, container_of(it, struct local_check, unsynced));
    return true;
}

/* --- reading
 * --------------------------------------------------------------------------------------*/

static void on_checks_read(struct rpc_call *call)
{
    struct sync_op *op = call->ctx;
    struct sync *s = op->sync;
    if (call->code != 0) {
        log_error("agent.anti_entropy", "failed to sync remote state", "error", call->err->text);
        s->failed = true;
    } else if (!s->failed) {
        const struct indexed_node_service_list *services = s->services->record;
        const struct indexed_health_checks *checks = call->reply->record;
        const struct node_service_listing *listing = &services->node_services;
        s->node_in_sync = compare_node(s->local, listing->node);
        compare_catalog(s->local, listing, &checks->health_checks);
        s->phase = SEND_NODE;
        sync_send_node(s);
    }
    rpc_reply_unref(s->services);
    s->services = NULL;
    sync_op_free(op);
    sync_step(s);
}

static void read_node(struct sync *s, const char *method, void (*done)(struct rpc_call *))
{
    const struct local_options *o = &s->local->opts;
    struct sync_op *op = sync_op_new(s);
    struct node_specific_request *args = arena_new(&op->arena, struct node_specific_request);
    *args = (struct node_specific_request){ .datacenter = o->datacenter,
        .node = o->node_name,
        .token = sync_agent_token(s->local),
        .allow_stale = true,
        .max_stale_duration = READ_STALE_NS };
    sync_op_submit(op, method, args, done);
}

static void on_services_read(struct rpc_call *call)
{
    struct sync_op *op = call->ctx;
    struct sync *s = op->sync;
    if (call->code != 0) {
        log_error("agent.anti_entropy", "failed to sync remote state", "error", call->err->text);
        s->failed = true;
    } else if (!s->failed) {
        s->services = rpc_reply_ref(call->reply);
        s->phase = READ_CHECKS;
        read_node(s, "Health.NodeChecks", on_checks_read);
    }
    sync_op_free(op);
    sync_step(s);
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
    if (s->want || s->want_full || s->retired) tick_mark(&s->local->tick);
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
void sync_step(struct sync *s)
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
        sync_send_node(s);
    }
    s->stepping = false;
    sync_step(s);
}

static void rest(struct sync *s)
{
    void (*done)(void *ctx) = s->retired_done;
    s->retired_done = NULL;
    move_all(&s->waiting, &s->pushes);
    pushes_synced(s);
    if (done) done(s->retired_ctx);
}

static void maybe_start(struct sync *s)
{
    if (s->retired && s->phase == IDLE) rest(s);
    if (!s->started || s->retired || s->paused || s->phase != IDLE) return;
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
        struct sync_op *op = container_of(it, struct sync_op, link);
        rpc_cancel(s->local->opts.rpc, &op->call);
        sync_op_free(op);
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

void sync_retire(struct sync *s, void (*done)(void *ctx), void *ctx)
{
    s->retired = s->failed = true; /* ends the run with what is in flight */
    s->retired_done = done;
    s->retired_ctx = ctx;
    tick_mark(&s->local->tick);
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
