/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/gossip/queue.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Urgent messages that somebody waits for go before all: who leaves a pool with a thousand others
 * would never get his word out. */
enum rank { PLAIN, URGENT, AWAITED };

struct entry {
    uint64_t id;
    uint64_t tag;
    uint32_t transmits;
    uint32_t name_n;
    size_t n;
    enum rank rank;
    char bytes[]; /* message, then name */
};

/* Sorted: highest rank first, then fewest transmits, longest, newest. The places stand in the
 * vector itself, so that a search does not touch the entries. */
struct place {
    uint64_t order; /* rank, transmits and length; lowest first */
    uint64_t id;    /* highest first */
};

struct slot {
    struct place place;
    struct entry *entry;
};

struct broadcast_queue {
    struct broadcast_queue_options o;
    struct slot *v;
    size_t n, cap;
    struct entry **taken; /* to be put back after a retrieval */
    size_t taken_n, taken_cap;
    struct map names; /* name -> entry */
    uint64_t next_id;
    struct broadcast_queue_counters counters;
};

uint32_t broadcast_limit(uint32_t retransmit_mult, size_t nodes)
{
    return retransmit_mult * (uint32_t)ceil(log10((double)nodes + 1));
}

struct broadcast_queue *broadcast_queue_create(const struct broadcast_queue_options *o)
{
    struct broadcast_queue *q = xcalloc(1, sizeof *q);
    q->o = *o;
    if (q->o.entries_max == 0) q->o.entries_max = BROADCAST_QUEUE_MAX;
    return q;
}

static struct str name_of(const struct entry *e)
{
    return (struct str){ e->bytes + e->n, e->name_n };
}

static void finish(struct broadcast_queue *q, struct entry *e, enum broadcast_end end)
{
    if (e->name_n > 0 && map_get(&q->names, name_of(e)) == e) map_remove(&q->names, name_of(e));
    q->counters.sent += end == BROADCAST_SENT;
    q->counters.replaced += end == BROADCAST_REPLACED;
    q->counters.dropped += end == BROADCAST_DROPPED;
    if (e->tag && q->o.finished) q->o.finished(q->o.ctx, e->tag, end);
    free(e);
}

void broadcast_queue_destroy(struct broadcast_queue *q)
{
    if (!q) return;
    broadcast_queue_prune(q, 0);
    map_deinit(&q->names);
    free(q->v);
    free(q->taken);
    free(q);
}

/* --- order --------------------------------------------------------------------------------- */

static struct place place_of(enum rank rank, uint32_t transmits, size_t n, uint64_t id)
{
    uint64_t length = n < UINT32_MAX ? n : UINT32_MAX, times = transmits & ((1u << 28) - 1);
    return (
        struct place){ (uint64_t)(AWAITED - rank) << 60 | times << 32 | (UINT32_MAX - length), id };
}

static struct place place_of_entry(const struct entry *e)
{
    return place_of(e->rank, e->transmits, e->n, e->id);
}

static bool before(const struct place *a, const struct place *b)
{
    return a->order != b->order ? a->order < b->order : a->id > b->id;
}

/* First position whose entry does not stand before the place. */
static size_t position(const struct broadcast_queue *q, struct place p)
{
    size_t low = 0, high = q->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (before(&q->v[middle].place, &p)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void insert(struct broadcast_queue *q, struct entry *e)
{
    if (q->n == q->cap) {
        q->cap = q->cap ? 2 * q->cap : 16;
        q->v = xrealloc(q->v, q->cap * sizeof *q->v);
    }
    struct place place = place_of_entry(e);
    size_t at = position(q, place);
    memmove(&q->v[at + 1], &q->v[at], (q->n - at) * sizeof *q->v);
    q->v[at] = (struct slot){ place, e };
    q->n++;
    if (q->n > q->counters.entries_high) q->counters.entries_high = q->n;
}

static struct entry *remove_at(struct broadcast_queue *q, size_t at)
{
    struct entry *e = q->v[at].entry;
    q->n--;
    memmove(&q->v[at], &q->v[at + 1], (q->n - at) * sizeof *q->v);
    return e;
}

/* --- adding and giving ----------------------------------------------------------------------- */

void broadcast_queue_add(struct broadcast_queue *q, const struct broadcast *b)
{
    struct entry *e = xmalloc(sizeof *e + b->message.n + b->name.n);
    *e = (struct entry){ .id = ++q->next_id,
        .tag = b->tag,
        .name_n = (uint32_t)b->name.n,
        .n = b->message.n,
        .rank = !b->urgent ? PLAIN
                : b->tag   ? AWAITED
                           : URGENT };
    if (b->message.n) memcpy(e->bytes, b->message.p, b->message.n);
    if (b->name.n) {
        memcpy(e->bytes + e->n, b->name.p, b->name.n);
        struct entry *old = map_get(&q->names, b->name);
        if (old) finish(q, remove_at(q, position(q, place_of_entry(old))), BROADCAST_REPLACED);
        map_put(&q->names, b->name, e);
    }
    q->counters.added++;
    insert(q, e);
    broadcast_queue_prune(q, q->o.entries_max);
}

size_t broadcast_queue_length(const struct broadcast_queue *q)
{
    return q->n;
}

const struct broadcast_queue_counters *broadcast_queue_counters(const struct broadcast_queue *q)
{
    return &q->counters;
}

static void set_aside(struct broadcast_queue *q, struct entry *e)
{
    if (q->taken_n == q->taken_cap) {
        q->taken_cap = q->taken_cap ? 2 * q->taken_cap : 16;
        q->taken = xrealloc(q->taken, q->taken_cap * sizeof *q->taken);
    }
    q->taken[q->taken_n++] = e;
}

struct giving {
    uint32_t limit;
    size_t room, overhead, used;
    broadcast_sink sink;
    void *ctx;
};

/* Walks the tiers of one rank from the fewest transmits on. */
static void give(struct broadcast_queue *q, struct giving *g, enum rank rank)
{
    uint32_t tier = 0;
    while (g->room > g->used + g->overhead) {
        size_t free_bytes = g->room - g->used - g->overhead;
        size_t at = position(q, place_of(rank, tier, free_bytes, UINT64_MAX));
        if (at == q->n || q->v[at].entry->rank != rank) return;
        struct entry *e = q->v[at].entry;
        if (e->transmits != tier) {
            tier = e->transmits;
            continue;
        }
        remove_at(q, at);
        g->used += e->n + g->overhead;
        g->sink(g->ctx, (struct str){ e->bytes, e->n });
        q->counters.transmits++;
        q->counters.transmit_bytes += e->n;
        if (e->transmits + 1 >= g->limit) {
            finish(q, e, BROADCAST_SENT);
        } else {
            e->transmits++;
            set_aside(q, e);
        }
    }
}

static void put_back(struct broadcast_queue *q)
{
    while (q->taken_n > 0)
        insert(q, q->taken[--q->taken_n]);
}

static size_t take(
    struct broadcast_queue *q, size_t nodes, enum rank from, enum rank down_to, struct giving g)
{
    g.limit = broadcast_limit(q->o.retransmit_mult, nodes);
    for (int rank = (int)from; rank >= (int)down_to; rank--)
        give(q, &g, (enum rank)rank);
    put_back(q);
    return g.used;
}

size_t broadcast_queue_take(struct broadcast_queue *q, size_t nodes, size_t overhead, size_t limit,
    broadcast_sink sink, void *ctx)
{
    return take(q, nodes, AWAITED, PLAIN,
        (struct giving){ .room = limit, .overhead = overhead, .sink = sink, .ctx = ctx });
}

size_t broadcast_queue_take_urgent(struct broadcast_queue *q, size_t nodes, size_t overhead,
    size_t limit, broadcast_sink sink, void *ctx)
{
    return take(q, nodes, AWAITED, URGENT,
        (struct giving){ .room = limit, .overhead = overhead, .sink = sink, .ctx = ctx });
}

size_t broadcast_queue_take_plain(struct broadcast_queue *q, size_t nodes, size_t overhead,
    size_t limit, broadcast_sink sink, void *ctx)
{
    return take(q, nodes, PLAIN, PLAIN,
        (struct giving){ .room = limit, .overhead = overhead, .sink = sink, .ctx = ctx });
}

void broadcast_queue_prune(struct broadcast_queue *q, size_t retain)
{
    while (q->n > retain)
        finish(q, q->v[--q->n].entry, BROADCAST_DROPPED);
}
