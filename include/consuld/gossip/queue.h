/* SPDX-License-Identifier: Apache-2.0 */
/* Transmit-limited broadcast queue (gossip.md 7): each message is given out a number of times that
 * grows with the logarithm of the pool. memberlist has one, serf three.
 *
 * The one invariant: every message that was added ends exactly once, with `finished` telling its
 * tag: sent to its limit, replaced by a newer one of the same name, or dropped. */
#pragma once
#include "consuld/base.h"

#define BROADCAST_QUEUE_MAX 16384 /* entries, unless the options say fewer */

enum broadcast_end {
    BROADCAST_SENT,     /* as often as the limit asks */
    BROADCAST_REPLACED, /* by a newer message of the same name */
    BROADCAST_DROPPED,  /* queue full, pruned or destroyed */
};

struct broadcast_queue_options {
    uint32_t retransmit_mult;
    size_t entries_max; /* 0: BROADCAST_QUEUE_MAX */
    /* Called for messages with a tag; not for tag 0. Must not touch the queue. May be NULL. */
    void (*finished)(void *ctx, uint64_t tag, enum broadcast_end end);
    void *ctx;
};

struct broadcast {
    struct str message; /* copied */
    struct str name;    /* replaces the entry of that name; empty: replaces nothing. Copied */
    uint64_t tag;       /* 0: nobody asks */
    bool urgent;        /* goes before all that is not; with a tag, before all that has none */
};

struct broadcast_queue_counters {
    uint64_t added, sent, transmits, replaced, dropped;
    uint64_t transmit_bytes;
    size_t entries_high; /* most entries ever */
};

struct broadcast_queue;

struct broadcast_queue *broadcast_queue_create(const struct broadcast_queue_options *o);
void broadcast_queue_destroy(struct broadcast_queue *q);
/* A full queue drops its last in order (most often sent, shortest, oldest). */
void broadcast_queue_add(struct broadcast_queue *q, const struct broadcast *b);
size_t broadcast_queue_length(const struct broadcast_queue *q);
const struct broadcast_queue_counters *broadcast_queue_counters(const struct broadcast_queue *q);

/* Hands messages that fit `limit` bytes, each taking its length and `overhead` more, to `sink`; the
 * bytes are valid until the call returns. `nodes` is the number of known nodes. Returns what was
 * used of the limit, overheads included. */
typedef void (*broadcast_sink)(void *ctx, struct str message);
size_t broadcast_queue_take(struct broadcast_queue *q, size_t nodes, size_t overhead, size_t limit,
    broadcast_sink sink, void *ctx);
/* The same for urgent messages only, and for the others only. */
size_t broadcast_queue_take_urgent(struct broadcast_queue *q, size_t nodes, size_t overhead,
    size_t limit, broadcast_sink sink, void *ctx);
size_t broadcast_queue_take_plain(struct broadcast_queue *q, size_t nodes, size_t overhead,
    size_t limit, broadcast_sink sink, void *ctx);
/* Keeps the first `retain` in order. */
void broadcast_queue_prune(struct broadcast_queue *q, size_t retain);

/* retransmit_mult * ceil(log10(nodes + 1)) */
uint32_t broadcast_limit(uint32_t retransmit_mult, size_t nodes);
