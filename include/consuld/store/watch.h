/* SPDX-License-Identifier: Apache-2.0 */
/* Watch sets: what a read touched, so that the commit that changes it wakes the reader.
 *
 * A read registers what it looked at while it runs: entries of the index table ("nodes",
 * "service.web", ...), single keys, key prefixes. The first commit that touches one of them fires
 * the set, once, after the commit; the set is then empty again. A set is never fired from within
 * the read, nor before the commit. Cost of a commit: the touched things that somebody watches. */
#pragma once
#include "consuld/base.h"

struct store;
struct watch_link;

struct watch_set {
    struct store *store;
    /* Called once per filling, after the commit of the batch. The set is empty by then and may be
     * filled anew or destroyed. */
    void (*fire)(struct watch_set *ws);
    /* True in `fire` when a restore replaced the whole state: answer at once, whatever the index
     * (fsm.md 3.1). */
    bool abandoned;
    struct watch_link *links; /* private */
    struct link pending;      /* private */
};

/* An initialised set owns nothing until a read fills it. */
void watch_set_init(struct watch_set *ws, struct store *store, void (*fire)(struct watch_set *ws));
/* Forgets everything registered; the set can be filled again. Also the destructor. */
void watch_set_clear(struct watch_set *ws);
/* Number of registrations, for tests and metrics. */
size_t watch_set_size(const struct watch_set *ws);
