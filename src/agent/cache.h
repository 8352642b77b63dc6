/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the agent's cache: its types, its entries and those who wait for them. */
#pragma once
#include "consuld/agent/cache.h"
#include "consuld/base.h"
#include "consuld/base/map.h"
#include "consuld/base/world.h"
#include "consuld/model.h"

/* How the answers of one procedure are kept. */
struct cache_type {
    const char *method;
    const char *name; /* in metrics */
    bool blocking;    /* it waits for an index */
    bool refresh;     /* kept current behind the callers' backs */
    bool stale;       /* any server may answer */
    bool global;      /* the same for every token */
};
extern const struct cache_type cache_types[];
extern const size_t cache_type_count;

/* Where a type's arguments have what the cache looks at; -1: nowhere. */
struct cache_layout {
    const struct type *args;
    struct cache_type_stats *stats;
    int token, min_query_index, max_query_time, allow_stale, require_consistent, use_cache,
        max_stale_duration, max_age, must_revalidate, stale_if_error;
    int asker[2]; /* Source, Agent: who asks, struct query_source */
};
void cache_layouts_init(struct cache_layout *layouts);

/* What a caller asks beside the arguments that make the key. */
struct cache_wish {
    uint64_t min_index;
    int64_t wait_ns;
    int64_t max_age_ns;
    int64_t stale_if_error_ns;
    bool must_revalidate;
};

struct cache_entry {
    struct cache *cache;
    const struct cache_type *type;
    const struct cache_layout *layout;
    struct arena arena; /* of itself, key and arguments */
    struct str key;
    void *args;       /* plain: as the key has them */
    struct link link; /* cache->entries, the one unused for longest first */
    uint64_t used_ms;
    struct link waiters;
    /* the value */
    struct rpc_reply *reply; /* NULL: never had one */
    size_t bytes;
    uint64_t index;
    uint64_t fetched_ms;
    /* the call that gets it */
    struct rpc_call call;
    struct arena call_arena;
    bool fetching;
    uint64_t fetch_began_ms;
    struct timer again; /* the next fetch, or the end of an entry without a value */
    unsigned failures;
    bool lost; /* contact, since lost_ms */
    uint64_t lost_ms;
    double tokens;
    uint64_t tokens_ms;
};

/* A call that waits; memory of its arena. */
struct cache_waiter {
    struct rpc_call *call;
    struct cache_outcome *outcome;
    struct cache_entry *entry;
    struct cache_wish wish;
    struct link link;
    struct timer late;
};

struct cache {
    struct cache_options opts;
    struct cache_layout *layouts;
    struct cache_type_stats *type_stats;
    struct map map;
    struct link entries;
    struct timer expiry;
    struct buf scratch;
    struct arena key_arena;
    struct error err; /* of fetches */
    struct cache_stats stats;
};

/* cache_fetch.c: gets the entry's value unless that is under way. */
void cache_fetch(struct cache_entry *e);
void cache_fetch_init(struct cache_entry *e);
void cache_fetch_deinit(struct cache_entry *e);
/* Of the value: see struct cache_outcome. */
int64_t cache_age_ns(struct cache_entry *e);

/* cache.c: a fetch ended; NULL: well. */
void cache_settle(struct cache_entry *e, const struct error *err);
void cache_entry_destroy(struct cache_entry *e);
/* The value changed its size. */
void cache_account(struct cache_entry *e);
