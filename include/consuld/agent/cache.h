/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's cache of what servers answer (agent.md 12). Reads of the procedures in its table are
 * kept by procedure and arguments, token and datacenter among them. Most are then kept current by
 * a blocking query that runs as long as the entry lives; the rest are read again when a caller
 * finds them too old. However many ask for the same, one call is on its way.
 *
 * A cached read is an ordinary rpc_call: MinQueryIndex waits in the cache for something newer,
 * until MaxQueryTime is over; MaxAge, MustRevalidate and StaleIfError of the arguments are
 * honoured. An entry that nobody asked for in 72 hours goes; entries and their bytes are bounded,
 * the ones unused for longest give way. */
#pragma once
#include "consuld/cluster/rpc.h"

#define CACHE_ENTRIES_MAX 4096
#define CACHE_BYTES_MAX ((size_t)64 << 20) /* of replies and what was made of them */
#define CACHE_KEPT_MS (UINT64_C(72) * 3600 * 1000)

struct cache;
struct world;

struct cache_options {
    struct world *world;
    struct rpc_client *rpc;
    double fetch_rate;    /* cache.entry_fetch_rate, calls per second and entry; 0: any number */
    uint64_t fetch_burst; /* cache.entry_fetch_max_burst; 0: 2 */
};

struct cache *cache_create(const struct cache_options *o);
/* Calls that wait end with an error. NULL is fine. */
void cache_destroy(struct cache *c);
/* Other rates from now on (reload). */
void cache_limit(struct cache *c, double fetch_rate, uint64_t fetch_burst);

/* How an answer was come by; filled before the call's `done`. */
struct cache_outcome {
    bool hit; /* nothing had to be waited for */
    int64_t
        age_ns; /* of refreshed entries: since contact to the servers was lost; else of the entry */
};

/* True for procedures whose answers are kept. */
bool cache_takes(const char *method);
/* As rpc_submit; the method must be one that is taken. `outcome` is the caller's until `done`. */
void cache_submit(struct cache *c, struct rpc_call *call, struct cache_outcome *outcome);
void cache_cancel(struct cache *c, struct rpc_call *call);

struct cache_stats {
    uint64_t hits, misses;
    uint64_t fetched, failed; /* calls that ended so */
    uint64_t evicted;         /* for age or for want of room */
    size_t entries, bytes;
};
struct cache_stats cache_stats(const struct cache *c);

/* The same for one type of answers. */
struct cache_type_stats {
    const char *name; /* "health-services" */
    uint64_t hits;
    uint64_t misses_new;   /* nothing there, or too old */
    uint64_t misses_block; /* waited for an index */
    uint64_t fetched, failed;
};
/* All types by index; false: there are no more. */
bool cache_type_stats_at(const struct cache *c, size_t i, struct cache_type_stats *out);
