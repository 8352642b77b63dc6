/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking queries (rpc.md 7). Equal ones, apart from index and wait, share one parked query: one
 * watch set, one evaluation and one reply per change. A query that everybody was answered from
 * stays armed for a while, since its readers come back with the new index at once. Reads without
 * an index of methods whose answers may be large are kept in the same way, unarmed: they are good
 * until the next entry is applied. */
#include <stdlib.h>
#include <string.h>

#include "server.h"

#define IDLE_MAX 1024
#define IDLE_BYTES_MAX ((size_t)8 << 20)
#define IDLE_MS 10000

/* What keeping a reply costs: the record and the text that will be made of it. */
static size_t reply_bytes(const struct parked_query *q)
{
    return q->reply ? 2 * q->reply->arena.used : 0;
}

static void leave_idle(struct parked_query *q)
{
    struct server *s = q->server;
    link_remove(&q->link);
    if (!q->idle_since_ms) return;
    q->idle_since_ms = 0;
    s->idle_n--;
    s->idle_bytes -= q->idle_bytes;
}

static void destroy(struct parked_query *q)
{
    struct server *s = q->server;
    ensure(link_empty(&q->waiters));
    leave_idle(q);
    watch_set_clear(&q->ws);
    map_remove(&s->parked, q->key);
    rpc_reply_unref(q->reply);
    s->stats.shared--;
    struct arena a = q->arena;
    arena_free(&a);
}

static void sweep(struct timer *t)
{
    struct server *s = container_of(t, struct server, idle_timer);
    uint64_t now = world_now_ms(s->world);
    link_each (it, &s->idle) {
        struct parked_query *q = container_of(it, struct parked_query, link);
        if (q->idle_since_ms + IDLE_MS > now) {
            timer_start(t, q->idle_since_ms + IDLE_MS - now);
            return;
        }
        destroy(q);
    }
}

/* Nobody waits any more: kept, the ones unused for longest give way. */
static void become_idle(struct parked_query *q)
{
    struct server *s = q->server;
    leave_idle(q);
    if (q->fired || !q->reply || reply_bytes(q) > IDLE_BYTES_MAX / 4) {
        destroy(q);
        return;
    }
    uint64_t now = world_now_ms(s->world);
    q->idle_since_ms = now ? now : 1;
    q->idle_bytes = reply_bytes(q);
    link_push(&s->idle, &q->link);
    s->idle_n++;
    s->idle_bytes += q->idle_bytes;
    while (s->idle_n > IDLE_MAX || s->idle_bytes > IDLE_BYTES_MAX) {
        destroy(container_of(s->idle.next, struct parked_query, link));
    }
    if (!timer_active(&s->idle_timer)) timer_start(&s->idle_timer, IDLE_MS);
}

static void fired(struct watch_set *ws)
{
    struct parked_query *q = container_of(ws, struct parked_query, ws);
    struct server *s = q->server;
    q->armed = false;
    if (link_empty(&q->waiters)) {
        destroy(q);
        return;
    }
    q->abandoned |= ws->abandoned;
    if (q->fired) return;
    q->fired = true;
    link_remove(&q->link);
    link_push(&s->fired, &q->link);
    tick_mark(&s->tick);
}

/* The reply of the state as it is now; armed for waiters, those there are or the one to come. */
static int refresh(struct parked_query *q, bool arm, struct error *err)
{
    struct server *s = q->server;
    uint64_t applied = store_applied_index(s->store);
    arm = arm || !link_empty(&q->waiters);
    if (q->reply && q->evaluated_at == applied && !q->abandoned && (q->armed || !arm)) return 0;
    watch_set_clear(&q->ws);
    q->armed = false;
    err->code = ERR_OK;
    struct rpc_reply *r =
        server__evaluate(s, q->method, q->layout, q->args, arm ? &q->ws : NULL, err);
    if (!r) return err->code ? err->code : ERR_INTERNAL;
    rpc_reply_unref(q->reply);
    q->reply = r;
    q->evaluated_at = applied;
    q->armed = arm;
    return 0;
}

static void detach(struct pending *p)
{
    timer_stop(&p->timer);
    link_remove(&p->link);
    if (!p->query) return;
    p->query->server->stats.parked--;
    p->query = NULL;
}

static void answer_all(struct link *ready, struct rpc_reply *r)
{
    for (struct link *it; (it = link_pop(ready));) {
        struct pending *p = container_of(it, struct pending, link);
        server__finish(p->call, rpc_reply_ref(r));
    }
}

static void fail_all(struct link *waiters, const struct error *err)
{
    for (struct link *it; (it = link_pop(waiters));) {
        struct pending *p = container_of(it, struct pending, link);
        *p->call->err = *err;
        server__fail(p->call, err->code);
    }
}

/* Moves the waiters that `reply` ends (all: every one) to `ready`. */
static void collect(struct parked_query *q, bool all, struct link *ready)
{
    link_init(ready);
    link_each (it, &q->waiters) {
        struct pending *p = container_of(it, struct pending, link);
        if (!all && q->reply->index <= p->min_index) continue;
        detach(p);
        link_push(ready, &p->link);
    }
}

static void evaluate(struct parked_query *q)
{
    struct error err;
    struct link ready;
    bool all = q->abandoned;
    q->fired = false;
    if (link_empty(&q->waiters)) {
        destroy(q);
        return;
    }
    int rc = refresh(q, true, &err);
    q->abandoned = false;
    if (rc) {
        collect(q, true, &ready);
        destroy(q);
        fail_all(&ready, &err);
        return;
    }
    collect(q, all, &ready);
    struct rpc_reply *r = rpc_reply_ref(q->reply);
    if (link_empty(&q->waiters)) become_idle(q);
    answer_all(&ready, r);
    rpc_reply_unref(r);
}

static void run_fired(struct tick *t)
{
    struct server *s = container_of(t, struct server, tick);
    for (struct link *it; (it = link_pop(&s->fired));) {
        evaluate(container_of(it, struct parked_query, link));
    }
}

static void wait_over(struct timer *t)
{
    struct pending *p = container_of(t, struct pending, timer);
    struct parked_query *q = p->query;
    struct rpc_reply *r = rpc_reply_ref(q->reply);
    detach(p);
    if (link_empty(&q->waiters)) become_idle(q);
    server__finish(p->call, r);
}

static uint64_t wait_ms(const struct pending *p)
{
    struct server *s = p->server;
    int64_t asked = *(const int64_t *)server__field(p->args, p->layout->max_query_time);
    uint64_t ms = asked > 0 ? ((uint64_t)asked + 999999) / 1000000 : 0;
    if (ms > s->opts.max_query_time_ms) ms = s->opts.max_query_time_ms;
    if (asked <= 0) ms = s->opts.default_query_time_ms;
    return ms + world_random_below(s->world, ms / 16 + 1);
}

/* Method, NUL, arguments without what waiters of one query may differ in. In server->scratch. */
static struct str make_key(
    struct server *s, const struct method *m, const struct method_layout *l, const void *args)
{
    arena_reset(&s->key_arena);
    void *plain = arena_copy(&s->key_arena, args, l->args->size);
    *(uint64_t *)server__field(plain, l->min_query_index) = 0;
    *(int64_t *)server__field(plain, l->max_query_time) = 0;
    buf_clear(&s->scratch);
    buf_put_c(&s->scratch, m->name);
    buf_put_char(&s->scratch, '\0');
    msgpack_encode(l->args, plain, &s->scratch);
    return buf_str(&s->scratch);
}

/* The query of these arguments, made if there is none. */
static struct parked_query *find(
    struct server *s, const struct method *m, const struct method_layout *l, const void *args)
{
    struct str key = make_key(s, m, l, args);
    struct parked_query *q = map_get(&s->parked, key);
    if (q) return q;
    struct arena a = ARENA_INIT;
    q = arena_new(&a, struct parked_query);
    void *own = arena_alloc(&a, l->args->size);
    record_copy(&a, l->args, own, args);
    q->server = s;
    q->method = m;
    q->layout = l;
    q->args = own;
    q->key = str_dup(&a, key);
    q->arena = a;
    link_init(&q->waiters);
    link_init(&q->link);
    watch_set_init(&q->ws, s->store, fired);
    map_put(&s->parked, q->key, q);
    s->stats.shared++;
    return q;
}

static void answer_now(struct parked_query *q, struct rpc_call *call)
{
    struct rpc_reply *r = rpc_reply_ref(q->reply);
    if (link_empty(&q->waiters)) become_idle(q);
    server__finish(call, r);
}

void server__read_shared(struct server *s, struct rpc_call *call, const struct method *m,
    const struct method_layout *l, const void *args)
{
    struct parked_query *q = find(s, m, l, args);
    int rc = refresh(q, false, call->err);
    if (rc == 0) {
        answer_now(q, call);
        return;
    }
    if (link_empty(&q->waiters)) destroy(q);
    server__fail(call, rc);
}

void server__drop_idle(struct server *s)
{
    while (!link_empty(&s->idle)) {
        destroy(container_of(s->idle.next, struct parked_query, link));
    }
}

void server__block(struct pending *p)
{
    struct server *s = p->server;
    struct parked_query *q = find(s, p->method, p->layout, p->args);
    int rc = refresh(q, true, p->call->err);
    p->min_index = *(const uint64_t *)server__field(p->args, p->layout->min_query_index);
    if (rc) {
        if (link_empty(&q->waiters)) destroy(q);
        server__fail(p->call, rc);
        return;
    }
    if (q->reply->index > p->min_index) {
        answer_now(q, p->call);
        return;
    }
    if (q->idle_since_ms) leave_idle(q);
    p->kind = PENDING_PARKED;
    p->query = q;
    link_remove(&p->link);
    link_push(&q->waiters, &p->link);
    s->stats.parked++;
    timer_init(&p->timer, s->world, wait_over);
    timer_start(&p->timer, wait_ms(p));
}

void server__unpark(struct pending *p)
{
    struct parked_query *q = p->query;
    detach(p);
    if (q && link_empty(&q->waiters) && !q->fired) become_idle(q);
}

void server__blocking_init(struct server *s)
{
    link_init(&s->fired);
    link_init(&s->idle);
    tick_init(&s->tick, s->world, run_fired);
    timer_init(&s->idle_timer, s->world, sweep);
}

void server__blocking_deinit(struct server *s)
{
    struct error err;
    struct str key;
    void *value;
    error_set(&err, ERR_INTERNAL, "the server is shutting down");
    tick_cancel(&s->tick);
    timer_stop(&s->idle_timer);
    for (size_t it = 0; map_next(&s->parked, &it, &key, &value);) {
        struct parked_query *q = value;
        struct link ready;
        collect(q, true, &ready);
        destroy(q);
        fail_all(&ready, &err);
        it = 0;
    }
    map_deinit(&s->parked);
}
