/* SPDX-License-Identifier: Apache-2.0 */
/* Lock delays: per process, not part of the replicated state (fsm.md 5). */
#include <stdlib.h>

#include "state.h"

#define DELAY_MAX_MS 60000
#define SWEEP_MIN 1024

struct lock_delay {
    struct str key; /* in the batch only */
    uint64_t until_ms;
};

void lock_delay_begin(struct store_batch *b, struct str key, int64_t delay_ns)
{
    if (delay_ns <= 0 || b->restoring) return;
    uint64_t ms = ((uint64_t)delay_ns + 999999) / 1000000;
    *LIST_PUSH(&b->arena, &b->delays, struct lock_delay) =
        (struct lock_delay){ .key = str_dup(&b->arena, key),
            .until_ms = b->now_ms + (ms < DELAY_MAX_MS ? ms : DELAY_MAX_MS) };
}

/* Drops what has expired once the map has doubled since the last time. */
static void sweep(struct store *s, uint64_t now_ms)
{
    if (s->delays.n < SWEEP_MIN || s->delays.n < 2 * s->delays_swept) return;
    struct str key;
    void *value;
    for (size_t it = 0; map_next(&s->delays, &it, &key, &value);) {
        struct lock_delay *d = value;
        if (d->until_ms > now_ms) continue;
        map_remove(&s->delays, key);
        free(d);
    }
    s->delays_swept = s->delays.n;
}

void lock_delay_commit(struct store *s, const struct store_batch *b)
{
    for (size_t i = 0; i < b->delays.n; i++) {
        const struct lock_delay *from = &LIST_AT(&b->delays, struct lock_delay, i);
        struct lock_delay *d = xmalloc(sizeof *d);
        *d = (struct lock_delay){ .until_ms = from->until_ms };
        free(map_put(&s->delays, from->key, d));
    }
    if (b->delays.n) sweep(s, b->now_ms);
}

uint64_t store_kv_lock_delay(const struct store *s, struct str key, uint64_t now_ms)
{
    const struct lock_delay *d = map_get(&s->delays, key);
    return d && d->until_ms > now_ms ? d->until_ms - now_ms : 0;
}
