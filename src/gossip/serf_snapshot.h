/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot file of a pool (gossip.md 11) as bytes in and bytes out: a log of text lines that
 * tells which members were alive and how far the clocks were.
 *
 * The one invariant: rewrite and append, carried out in that order on the file as it was handed in,
 * give a file whose replay is `alive` and the three clocks. */
#pragma once
#include "consuld/gossip/address.h"

#define SNAPSHOT_SIZE_MIN (128u * 1024) /* the file is rewritten when it grows beyond ... */
#define SNAPSHOT_LINE_ESTIMATE 128u     /* ... or twice this for each living member */
#define SNAPSHOT_ALIVE_MAX 65536
#define SNAPSHOT_APPEND_MAX (64u * 1024 * 1024)
#define SNAPSHOT_RETRY_MS 30000

struct serf_snapshot {
    bool on;
    bool rejoin_after_leave;
    bool leaving; /* nothing but clock lines follows */
    bool broken;  /* the file misses lines: to be rewritten at retry_ms */
    uint64_t retry_ms;
    struct map alive;                         /* name -> struct gossip_address, owned */
    uint64_t clock, event_clock, query_clock; /* as the file has them */
    size_t size;                              /* of the file with what was handed out */
    struct buf rewrite, append;
    bool rewriting; /* `rewrite` is to be carried out */
    bool sync;
    uint64_t rewrites, failures;
};

void serf_snapshot_init(struct serf_snapshot *f, bool on, bool rejoin_after_leave);
void serf_snapshot_deinit(struct serf_snapshot *f);
/* Takes in what the file holds. Returns the number of lines that were not understood. */
size_t serf_snapshot_replay(struct serf_snapshot *f, struct str text);

void serf_snapshot_member_alive(struct serf_snapshot *f, uint64_t now_ms, struct str name,
    const struct gossip_address *address);
void serf_snapshot_member_gone(struct serf_snapshot *f, uint64_t now_ms, struct str name);
/* Each writes a line if the clock grew. */
void serf_snapshot_clock(struct serf_snapshot *f, uint64_t now_ms, uint64_t member_clock);
void serf_snapshot_event_clock(struct serf_snapshot *f, uint64_t now_ms, uint64_t ltime);
void serf_snapshot_query_clock(struct serf_snapshot *f, uint64_t now_ms, uint64_t ltime);
void serf_snapshot_leave(struct serf_snapshot *f, uint64_t now_ms);

/* The file could not be written. */
void serf_snapshot_failed(struct serf_snapshot *f, uint64_t now_ms);
/* Rewrites a broken file if it is time. */
void serf_snapshot_tick(struct serf_snapshot *f, uint64_t now_ms);
/* What was handed out is the driver's now. */
void serf_snapshot_taken(struct serf_snapshot *f);
