/* SPDX-License-Identifier: Apache-2.0 */
/* Getting the value of an entry, and keeping it current: one blocking query after the other, each
 * begun from a timer, so that answers that come at once do not nest. */
#include "cache.h"

#define QUERY_NS (INT64_C(600) * 1000000000)
#define BACK_OFF_AFTER 3 /* failures */
#define BACK_OFF_MAX_MS 60000
/* A query that is still out after the peer must have answered a ping has contact. */
#define CONTACT_MS 31000
#define CALL_ROOM 1280 /* of router and pool, beside the arguments: entries are many */

static void *at(void *args, int offset)
{
    return (char *)args + offset;
}

static void *fetch_args(struct cache_entry *e)
{
    const struct cache_layout *l = e->layout;
    void *args = arena_copy(&e->call_arena, e->args, l->args->size);
    if (e->type->stale) *(bool *)at(args, l->allow_stale) = true;
    if (e->type->blocking) {
        *(uint64_t *)at(args, l->min_query_index) = e->index;
        *(int64_t *)at(args, l->max_query_time) = QUERY_NS;
    }
    return args;
}

static uint64_t back_off_ms(struct cache_entry *e)
{
    if (e->failures <= BACK_OFF_AFTER) return 0;
    unsigned shift = e->failures - BACK_OFF_AFTER;
    uint64_t ms = shift < 6 ? UINT64_C(1000) << shift : BACK_OFF_MAX_MS;
    return ms + world_random_below(e->cache->opts.world, ms);
}

static void failed(struct cache_entry *e)
{
    struct cache *c = e->cache;
    c->stats.failed++;
    e->layout->stats->failed++;
    e->failures++;
    if (!e->lost) e->lost_ms = world_now_ms(c->opts.world);
    e->lost = true;
}

static void take(struct cache_entry *e, struct rpc_reply *reply)
{
    e->cache->stats.fetched++;
    e->layout->stats->fetched++;
    rpc_reply_unref(e->reply);
    e->reply = reply;
    e->fetched_ms = world_now_ms(e->cache->opts.world);
    e->lost = false;
    /* A procedure that gives no index would be asked again at once, for ever. */
    e->failures = reply->index || !e->type->blocking ? 0 : e->failures + 1;
    e->index = reply->index ? reply->index : 1;
    cache_account(e);
}

static void fetched(struct rpc_call *call)
{
    struct cache_entry *e = call->ctx;
    e->fetching = false;
    if (call->code) {
        failed(e);
    } else {
        take(e, call->reply);
    }
    if (e->type->refresh || !e->reply) timer_start(&e->again, e->reply ? back_off_ms(e) : 0);
    cache_settle(e, call->code ? call->err : NULL);
}

/* 0, or how long to wait for the next call. */
static uint64_t limited_ms(struct cache_entry *e)
{
    const struct cache_options *o = &e->cache->opts;
    if (o->fetch_rate <= 0) return 0;
    uint64_t now = world_now_ms(o->world);
    e->tokens += (double)(now - e->tokens_ms) * o->fetch_rate / 1000;
    e->tokens_ms = now;
    if (e->tokens > (double)o->fetch_burst) e->tokens = (double)o->fetch_burst;
    if (e->tokens < 1) {
        double ms = (1 - e->tokens) * 1000 / o->fetch_rate + 1;
        return ms < BACK_OFF_MAX_MS ? (uint64_t)ms : BACK_OFF_MAX_MS;
    }
    e->tokens -= 1;
    return 0;
}

void cache_fetch(struct cache_entry *e)
{
    struct cache *c = e->cache;
    if (e->fetching) return;
    uint64_t wait = limited_ms(e);
    if (wait) {
        timer_start(&e->again, wait);
        return;
    }
    timer_stop(&e->again);
    arena_reset(&e->call_arena);
    e->call = (struct rpc_call){ .method = e->type->method,
        .args = fetch_args(e),
        .arena = &e->call_arena,
        .done = fetched,
        .ctx = e,
        .err = &c->err };
    e->fetching = true;
    e->fetch_began_ms = world_now_ms(c->opts.world);
    rpc_submit(c->opts.rpc, &e->call);
}

static void on_again(struct timer *t)
{
    struct cache_entry *e = container_of(t, struct cache_entry, again);
    if (!e->reply && link_empty(&e->waiters)) {
        cache_entry_destroy(e);
        return;
    }
    cache_fetch(e);
}

void cache_fetch_init(struct cache_entry *e)
{
    timer_init(&e->again, e->cache->opts.world, on_again);
    arena_reserve(&e->call_arena, e->layout->args->size + CALL_ROOM);
    e->tokens = (double)e->cache->opts.fetch_burst;
    e->tokens_ms = world_now_ms(e->cache->opts.world);
}

void cache_fetch_deinit(struct cache_entry *e)
{
    timer_stop(&e->again);
    if (e->fetching) rpc_cancel(e->cache->opts.rpc, &e->call);
    e->fetching = false;
    rpc_reply_unref(e->reply);
    e->reply = NULL;
    arena_free(&e->call_arena);
}

int64_t cache_age_ns(struct cache_entry *e)
{
    uint64_t now = world_now_ms(e->cache->opts.world);
    if (!e->type->refresh) return (int64_t)(now - e->fetched_ms) * 1000000;
    if (e->lost && e->fetching && now - e->fetch_began_ms >= CONTACT_MS) e->lost = false;
    return e->lost ? (int64_t)(now - e->lost_ms) * 1000000 : 0;
}
