/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that come piece by piece and are too many for memory: a worker writes them to a file
 * without a name, which is mapped when the last is there. What waits for the worker is bounded; who
 * brings more is told to wait. */
#pragma once
#include "consuld/base.h"
#include "consuld/base/shared.h"

struct spool;
struct world;

struct spool_options {
    struct world *world;
    const char *dir; /* an existing folder, or one that can be made; NULL or "": memory */
    uint64_t max;    /* bytes; more are an error */
    /* Room was made or the end was reached. Never called from inside the functions below. */
    void (*ready)(void *ctx);
    void *ctx;
};

struct spool *spool_create(const struct spool_options *o);
/* Takes bytes; a spool that failed drops them. */
void spool_put(struct spool *s, struct str bytes);
/* Much waits for the worker: no more should come until `ready`. */
bool spool_full(const struct spool *s);
/* No more bytes come. */
void spool_end(struct spool *s);
/* Ended, and everything is in place, or it failed. */
bool spool_done(const struct spool *s);
/* Of a spool that is done: its bytes, the caller's to let go; NULL and *err if it failed. */
struct shared_body *spool_take(struct spool *s, struct error *err);
/* Frees it, now or when its job ends. The world outlives that. NULL is fine. */
void spool_destroy(struct spool *s);
