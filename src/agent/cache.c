/* SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_DEFAULT_NS (INT64_C(300) * 1000000000)
#define WAIT_MAX_NS (INT64_C(600) * 1000000000)
#define KEY_MAX ((size_t)1 << 20)

/* --- entries -------------------------------------------------------------------------------- */

void cache_account(struct cache_entry *e)
{
    struct cache *c = e->cache;
    c->stats.bytes -= e->bytes;
    /* the record, and the text that will be made of it */
    e->bytes = e->reply ? 2 * e->reply->arena.used : 0;
    c->stats.bytes += e->bytes;
}

void cache_entry_destroy(struct cache_entry *e)
{
    struct cache *c = e->cache;
    ensure(link_empty(&e->waiters));
    cache_fetch_deinit(e);
    cache_account(e);
    link_remove(&e->link);
    map_remove(&c->map, e->key);
    c->stats.entries--;
    struct arena a = e->arena;
    arena_free(&a);
}

static void evict(struct cache_entry *e)
{
    e->cache->stats.evicted++;
    cache_entry_destroy(e);
}

/* For `more` entries; those that are waited for stay, and `kept`. */
static void make_room(struct cache *c, size_t more, const struct cache_entry *kept)
{
    link_each (it, &c->entries) {
        if (c->stats.entries + more <= CACHE_ENTRIES_MAX && c->stats.bytes <= CACHE_BYTES_MAX)
            return;
        struct cache_entry *e = container_of(it, struct cache_entry, link);
        if (e != kept && link_empty(&e->waiters)) evict(e);
    }
}

static void expire(struct timer *t)
{
    struct cache *c = container_of(t, struct cache, expiry);
    uint64_t now = world_now_ms(c->opts.world);
    link_each (it, &c->entries) {
        struct cache_entry *e = container_of(it, struct cache_entry, link);
        if (e->used_ms + CACHE_KEPT_MS > now) {
            timer_start(t, e->used_ms + CACHE_KEPT_MS - now);
            return;
        }
        if (link_empty(&e->waiters)) evict(e);
    }
}

static void touch(struct cache_entry *e)
{
    struct cache *c = e->cache;
    e->used_ms = world_now_ms(c->opts.world);
    link_remove(&e->link);
    link_push(&c->entries, &e->link);
    if (!timer_active(&c->expiry)) timer_start(&c->expiry, CACHE_KEPT_MS);
}

static struct cache_entry *entry_create(
    struct cache *c, size_t type, const void *plain, struct str key)
{
    struct arena a = ARENA_INIT;
    make_room(c, 1, NULL);
    arena_reserve(&a, sizeof(struct cache_entry) + key.n * 3 + c->layouts[type].args->size + 128);
    struct cache_entry *e = arena_new(&a, struct cache_entry);
    e->cache = c;
    e->type = &cache_types[type];
    e->layout = &c->layouts[type];
    e->key = str_dup(&a, key);
    e->args = arena_alloc(&a, e->layout->args->size);
    record_copy(&a, e->layout->args, e->args, plain);
    link_init(&e->link);
    link_init(&e->waiters);
    e->arena = a;
    cache_fetch_init(e);
    map_put(&c->map, e->key, e);
    c->stats.entries++;
    return e;
}

/* --- callers -------------------------------------------------------------------------------- */

static void *at(void *args, int offset)
{
    return (char *)args + offset;
}

/* Takes out of the arguments what two callers of one entry may differ in. */
static struct cache_wish take_wish(const struct cache_layout *l, void *args)
{
    struct cache_wish w = { .min_index = *(uint64_t *)at(args, l->min_query_index),
        .wait_ns = *(int64_t *)at(args, l->max_query_time),
        .max_age_ns = *(int64_t *)at(args, l->max_age),
        .stale_if_error_ns = *(int64_t *)at(args, l->stale_if_error),
        .must_revalidate = *(bool *)at(args, l->must_revalidate) };
    *(uint64_t *)at(args, l->min_query_index) = 0;
    *(int64_t *)at(args, l->max_query_time) = 0;
    *(int64_t *)at(args, l->max_age) = 0;
    *(int64_t *)at(args, l->stale_if_error) = 0;
    *(int64_t *)at(args, l->max_stale_duration) = 0;
    *(bool *)at(args, l->must_revalidate) = false;
    *(bool *)at(args, l->allow_stale) = false;
    *(bool *)at(args, l->require_consistent) = false;
    *(bool *)at(args, l->use_cache) = true;
    return w;
}

static struct cache_entry *find(struct cache *c, const struct rpc_call *call, struct cache_wish *w)
{
    size_t type = 0;
    while (strcmp(cache_types[type].method, call->method) != 0) {
        type++;
        ensure(type < cache_type_count);
    }
    const struct cache_layout *l = &c->layouts[type];
    arena_reset(&c->key_arena);
    void *plain = arena_copy(&c->key_arena, call->args, l->args->size);
    *w = take_wish(l, plain);
    if (cache_types[type].global) *(struct str *)at(plain, l->token) = STR_NIL;
    void *shared = arena_copy(&c->key_arena, plain, l->args->size);
    for (size_t i = 0; i < 2; i++)
        if (l->asker[i] >= 0)
            *(struct query_source *)at(shared, l->asker[i]) = (struct query_source){ 0 };
    buf_clear(&c->scratch);
    buf_put_c(&c->scratch, call->method);
    buf_put_char(&c->scratch, '\0');
    msgpack_encode(l->args, shared, &c->scratch);
    if (c->scratch.overflow) return NULL;
    struct str key = buf_str(&c->scratch);
    struct cache_entry *e = map_get(&c->map, key);
    return e ? e : entry_create(c, type, plain, key);
}

/* Is the value there and one that the caller takes as it is? */
static bool good(struct cache_entry *e, const struct cache_wish *w)
{
    if (!e->reply) return false;
    if (e->type->blocking && w->min_index > 0 && e->index <= w->min_index) return false;
    if (e->type->refresh) return true;
    if (w->must_revalidate) return false;
    return w->max_age_ns <= 0 || cache_age_ns(e) <= w->max_age_ns;
}

static void leave(struct cache_waiter *w)
{
    timer_stop(&w->late);
    link_remove(&w->link);
    w->call->impl = NULL;
}

static void answer(struct rpc_call *call, struct rpc_reply *reply, struct cache_outcome *out,
    bool hit, int64_t age)
{
    *out = (struct cache_outcome){ hit, age };
    call->impl = NULL;
    call->code = 0;
    call->reply = rpc_reply_ref(reply);
    call->done(call);
}

static void refuse(struct cache_waiter *w, const struct error *err)
{
    struct rpc_call *call = w->call;
    leave(w);
    *call->err = *err;
    /* Only the answering server's own "not found" is one (http-api.md 2.5). */
    call->code = call->err->code = err->code == ERR_NOT_FOUND ? ERR_INTERNAL : err->code;
    call->reply = NULL;
    call->done(call);
}

/* Those that this fetch answers, one way or the other. `e` may be gone afterwards. */
void cache_settle(struct cache_entry *e, const struct error *err)
{
    struct link ready;
    struct rpc_reply *reply = e->reply ? rpc_reply_ref(e->reply) : NULL;
    int64_t age = reply ? cache_age_ns(e) : 0;
    struct error why = { 0 };
    if (err) why = *err;
    make_room(e->cache, 0, e);
    link_init(&ready);
    link_each (it, &e->waiters) {
        struct cache_waiter *w = container_of(it, struct cache_waiter, link);
        w->wish.must_revalidate = false;
        if (!err && !good(e, &w->wish)) continue;
        link_remove(it);
        link_push(&ready, it);
    }
    if (!link_empty(&e->waiters) && !e->type->refresh) timer_start(&e->again, 0);
    for (struct link *it; (it = link_pop(&ready));) {
        struct cache_waiter *w = container_of(it, struct cache_waiter, link);
        if (!err) {
            leave(w);
            answer(w->call, reply, w->outcome, false, age);
        } else if (reply && age < w->wish.stale_if_error_ns) {
            leave(w);
            answer(w->call, reply, w->outcome, true, age);
        } else {
            refuse(w, &why);
        }
    }
    rpc_reply_unref(reply);
}

/* What there is, if it is no newer than what the caller has. */
static void late(struct timer *t)
{
    struct cache_waiter *w = container_of(t, struct cache_waiter, late);
    struct cache_entry *e = w->entry;
    if (e->reply) {
        leave(w);
        answer(w->call, e->reply, w->outcome, false, 0);
        return;
    }
    struct error err;
    error_set(&err, ERR_INTERNAL, "no answer from a server in the time given");
    refuse(w, &err);
}

static void wait_for(struct cache_entry *e, struct rpc_call *call, struct cache_outcome *outcome,
    const struct cache_wish *wish)
{
    struct cache_waiter *w = arena_new(call->arena, struct cache_waiter);
    int64_t ns = wish->wait_ns > WAIT_MAX_NS ? WAIT_MAX_NS : wish->wait_ns;
    if (ns <= 0 && wish->min_index > 0) ns = WAIT_DEFAULT_NS;
    *w = (struct cache_waiter){ .call = call, .outcome = outcome, .entry = e, .wish = *wish };
    call->impl = w;
    link_init(&w->link);
    link_push(&e->waiters, &w->link);
    timer_init(&w->late, e->cache->opts.world, late);
    if (ns > 0) timer_start(&w->late, ((uint64_t)ns + 999999) / 1000000);
    cache_fetch(e);
}

void cache_submit(struct cache *c, struct rpc_call *call, struct cache_outcome *outcome)
{
    struct cache_wish wish;
    struct cache_entry *e = find(c, call, &wish);
    call->impl = NULL;
    *outcome = (struct cache_outcome){ 0 };
    if (!e) {
        call->code = error_set(call->err, ERR_TOO_LARGE, "the request is too large to be cached");
        call->done(call);
        return;
    }
    touch(e);
    if (good(e, &wish)) {
        c->stats.hits++;
        e->layout->stats->hits++;
        answer(call, e->reply, outcome, true, cache_age_ns(e));
        return;
    }
    c->stats.misses++;
    *(wish.min_index ? &e->layout->stats->misses_block : &e->layout->stats->misses_new) += 1;
    wait_for(e, call, outcome, &wish);
}

void cache_cancel(struct cache *c, struct rpc_call *call)
{
    struct cache_waiter *w = call->impl;
    (void)c;
    if (w) leave(w);
}

/* --- life ----------------------------------------------------------------------------------- */

/* What Go writes for no limit. */
#define RATE_ENDLESS 1e9

void cache_limit(struct cache *c, double fetch_rate, uint64_t fetch_burst)
{
    c->opts.fetch_rate = fetch_rate < RATE_ENDLESS ? fetch_rate : 0;
    c->opts.fetch_burst = fetch_burst ? fetch_burst : 2;
}

struct cache *cache_create(const struct cache_options *o)
{
    struct cache *c = xcalloc(1, sizeof *c);
    c->opts = *o;
    cache_limit(c, o->fetch_rate, o->fetch_burst);
    c->layouts = xcalloc(cache_type_count, sizeof *c->layouts);
    c->type_stats = xcalloc(cache_type_count, sizeof *c->type_stats);
    cache_layouts_init(c->layouts);
    for (size_t i = 0; i < cache_type_count; i++) {
        c->type_stats[i].name = cache_types[i].name;
        c->layouts[i].stats = &c->type_stats[i];
    }
    c->scratch = (struct buf)BUF_INIT(KEY_MAX);
    link_init(&c->entries);
    timer_init(&c->expiry, o->world, expire);
    return c;
}

void cache_destroy(struct cache *c)
{
    struct error err;
    if (!c) return;
    error_set(&err, ERR_INTERNAL, "the agent is shutting down");
    while (!link_empty(&c->entries)) {
        struct cache_entry *e = container_of(c->entries.next, struct cache_entry, link);
        while (!link_empty(&e->waiters))
            refuse(container_of(e->waiters.next, struct cache_waiter, link), &err);
        cache_entry_destroy(e);
    }
    timer_stop(&c->expiry);
    map_deinit(&c->map);
    buf_deinit(&c->scratch);
    arena_free(&c->key_arena);
    free(c->layouts);
    free(c->type_stats);
    free(c);
}

struct cache_stats cache_stats(const struct cache *c)
{
    return c->stats;
}

bool cache_type_stats_at(const struct cache *c, size_t i, struct cache_type_stats *out)
{
    if (i >= cache_type_count) return false;
    *out = c->type_stats[i];
    return true;
}
