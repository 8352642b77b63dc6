/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that groups writes, is slow, fails, and at a crash keeps any prefix of what was on its
 * way, down to part of one write. */
#include <string.h>

#include "sim.h"

const struct raft_entry *disk_entry(const struct disk *d, uint64_t index)
{
    for (size_t i = d->log_n; i-- > 0;)
        if (d->log[i].index <= index) return d->log[i].index == index ? &d->log[i] : NULL;
    return NULL;
}

uint64_t disk_term(const struct disk *d, uint64_t index)
{
    const struct raft_entry *e = disk_entry(d, index);
    if (d->snapshot.index == index) return d->snapshot.term;
    return e ? e->term : 0;
}

static void log_put(struct disk *d, const struct raft_entry *e)
{
    if (d->log_n == d->log_cap) {
        d->log_cap = d->log_cap ? d->log_cap * 2 : 64;
        d->log = xrealloc(d->log, d->log_cap * sizeof *d->log);
    }
    d->log[d->log_n++] = *e;
}

/* The first `parts` parts of a write: hard state, reset, deletion, entries one by one. */
static void store(struct disk *d, const struct disk_op *op, size_t parts)
{
    if (!op->write.seq) {
        size_t drop = 0;
        while (drop < d->log_n && d->log[drop].index <= op->compact_to)
            drop++;
        memmove(d->log, d->log + drop, (d->log_n - drop) * sizeof *d->log);
        d->log_n -= drop;
        return;
    }
    const struct raft_write *w = &op->write;
    if (w->hard_state && parts > 0) {
        d->term = w->term;
        d->vote_term = w->vote_term;
        memcpy(d->vote, op->vote, sizeof d->vote);
    }
    if (w->reset && parts > 1) d->log_n = 0;
    if (!w->n || parts <= 2) return;
    while (d->log_n && d->log[d->log_n - 1].index >= w->first)
        d->log_n--;
    for (size_t i = 0; i < w->n && i + 3 < parts; i++)
        log_put(d, &op->entries[i]);
}

static void start_job(struct sim *s, int node)
{
    struct disk *d = &s->nodes[node].disk;
    if (d->job_n || !d->queue_n) return;
    d->job_n = d->queue_n;
    d->job++;
    sim_at(s, prng_below(&s->prng, s->weather.disk_ms + 1), EVENT_DISK, node, d->job, NULL);
}

static struct disk_op *queue_add(struct disk *d)
{
    if (d->queue_n == d->queue_cap) {
        d->queue_cap = d->queue_cap ? d->queue_cap * 2 : 16;
        d->queue = xrealloc(d->queue, d->queue_cap * sizeof *d->queue);
    }
    struct disk_op *op = &d->queue[d->queue_n++];
    memset(op, 0, sizeof *op);
    return op;
}

void disk_submit(struct sim *s, int node, const struct raft_output *out)
{
    struct node *n = &s->nodes[node];
    if (out->write.seq) {
        struct disk_op *op = queue_add(&n->disk);
        op->write = out->write;
        if (out->write.hard_state)
            memcpy(op->vote, out->write.vote_candidate.p ? out->write.vote_candidate.p : "",
                out->write.vote_candidate.n);
        op->entries = arena_array(&s->arena, out->write.n, sizeof *op->entries);
        for (size_t i = 0; i < out->write.n; i++) {
            uint64_t index = out->write.first + i;
            const struct raft_entry *e = raft_entry_at(n->raft, index);
            ensure(e);
            op->entries[i] = *e;
            op->entries[i].handle = 0;
            op->entries[i].data = str_dup(&s->arena, e->data);
            op->entries[i].extensions = str_dup(&s->arena, e->extensions);
            invariant_appended(s, e, raft_term_at(n->raft, index - 1));
        }
    }
    if (out->compact_to) queue_add(&n->disk)->compact_to = out->compact_to;
    start_job(s, node);
}

static void queue_drop(struct disk *d, size_t n)
{
    memmove(d->queue, d->queue + n, (d->queue_n - n) * sizeof *d->queue);
    d->queue_n -= n;
}

void disk_done(struct sim *s, int node, uint64_t job)
{
    struct disk *d = &s->nodes[node].disk;
    if (job != d->job || !d->job_n) return;
    bool failed = !s->calm && prng_chance(&s->prng, s->weather.disk_error, 10000);
    size_t whole = failed ? (size_t)prng_below(&s->prng, d->job_n) : d->job_n;
    uint64_t seq = 0;
    for (size_t i = 0; i < whole; i++) {
        store(d, &d->queue[i], SIZE_MAX);
        if (d->queue[i].write.seq) seq = d->queue[i].write.seq;
    }
    if (failed) {
        store(d, &d->queue[whole], (size_t)prng_below(&s->prng, 6));
        d->queue_n = d->job_n = 0;
        sim_trace(s, node, "disk failed");
        struct raft_state before, after;
        raft_get_state(s->nodes[node].raft, &before);
        node_step(s, node, &(struct raft_event){ .type = RAFT_PERSIST_FAILED });
        raft_get_state(s->nodes[node].raft, &after);
        if (after.role == RAFT_LEADER)
            invariant_lost(s, before.durable_index + 1, before.last_index, after.term);
        return;
    }
    queue_drop(d, d->job_n);
    d->job_n = 0;
    start_job(s, node);
    if (seq) node_step(s, node, &(struct raft_event){ .type = RAFT_PERSISTED, .seq = seq });
}

void disk_crash(struct sim *s, int node)
{
    struct disk *d = &s->nodes[node].disk;
    size_t whole = (size_t)prng_below(&s->prng, d->queue_n + 1);
    for (size_t i = 0; i < whole; i++)
        store(d, &d->queue[i], SIZE_MAX);
    if (whole < d->queue_n) store(d, &d->queue[whole], (size_t)prng_below(&s->prng, 6));
    d->queue_n = d->job_n = 0;
    d->job++;
}
