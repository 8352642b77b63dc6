/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

uint64_t raft__write_open(struct raft *r)
{
    if (!r->write.seq) r->write.seq = ++r->seq;
    return r->write.seq;
}

static struct pending_write *pending_at(struct raft *r, size_t i)
{
    return &r->pending[(r->pending_head + i) % PENDING_WRITES_MAX];
}

void raft__append(struct raft *r, const struct raft_entry *e)
{
    if (r->write.n == 0) r->write.first = e->index;
    ensure(e->index == r->write.first + r->write.n);
    r->write.n++;
    r->log_seq = raft__write_open(r);
    log_push(&r->log, e);
}

void raft__fail_handles(struct raft *r, uint64_t from, uint64_t to, enum raft_status status)
{
    for (uint64_t i = from > r->log.window_first ? from : r->log.window_first;
         i <= to && i <= r->log.last; i++) {
        struct raft_entry *e = log_entry(&r->log, i);
        if (!e->handle) continue;
        raft__result(r, e->handle, status, e->index);
        e->handle = 0;
    }
}

/* Writes on their way count for what is left of them. */
static void pending_clamp(struct raft *r, uint64_t last)
{
    for (size_t i = 0; i < r->pending_n; i++) {
        struct pending_write *w = pending_at(r, i);
        if (w->last > last) w->last = last;
    }
}

void raft__truncate(struct raft *r, uint64_t from, enum raft_status status)
{
    ensure(from > r->commit_index);
    raft__fail_handles(r, from, r->log.last, status);
    pending_clamp(r, from - 1);
    log_truncate(&r->log, from);
    raft__configuration_truncated(r, from);
}

void raft__reset_log(struct raft *r, uint64_t index, uint64_t term, enum raft_status status)
{
    raft__fail_handles(r, r->applied_index + 1, r->log.last, status);
    pending_clamp(r, index);
    log_reset(&r->log, index, term);
    r->write.n = 0;
    r->write.reset = true;
    r->log_seq = r->reset_seq = raft__write_open(r);
}

bool raft__write_push(struct raft *r)
{
    if (!r->write.seq) return false;
    if (r->reset_needed) {
        r->write.reset = true;
        r->reset_seq = r->write.seq;
        r->reset_needed = false;
    }
    if (r->write.hard_state) {
        r->write.term = r->hard.term;
        r->write.vote_term = r->hard.vote_term;
        r->write.vote_candidate = name_str(&r->hard.vote);
    }
    /* Full: the newest record stands for both, which only makes it wait longer. */
    if (r->pending_n < PENDING_WRITES_MAX) r->pending_n++;
    *pending_at(r, r->pending_n - 1) =
        (struct pending_write){ .seq = r->write.seq, .last = r->log.last, .hard = r->hard };
    return true;
}

void raft__persisted(struct raft *r, uint64_t seq)
{
    if (seq > r->seq) seq = r->seq;
    if (seq <= r->persisted_seq) return;
    r->persisted_seq = seq;
    while (r->pending_n && pending_at(r, 0)->seq <= seq) {
        struct pending_write *w = pending_at(r, 0);
        if (w->last > r->log.durable) r->log.durable = w->last;
        r->durable = w->hard;
        r->pending_head = (r->pending_head + 1) % PENDING_WRITES_MAX;
        r->pending_n--;
    }
}

/* Back to what is known to be stored. Entries sent to peers in the present term may not be written
 * anew with other content: unless it never had peers in this term the leader gives it up. */
void raft__persist_failed(struct raft *r)
{
    bool alone = r->role == RAFT_LEADER && !r->had_peers;
    r->reset_needed = r->reset_needed || r->reset_seq > r->persisted_seq;
    r->pending_n = 0;
    r->persisted_seq = r->hard_seq = r->log_seq = r->reset_seq = r->seq;
    r->hard = r->durable;
    if (r->log.last > r->log.durable) raft__truncate(r, r->log.durable + 1, RAFT_FAILED);
    raft__refuse_held(r);
    r->commit_known = r->commit_index;
    if (!alone) {
        raft__step_down(r, r->hard.term, RAFT_LEADERSHIP_LOST);
        return;
    }
    if (r->log.last < r->term_start) r->noop_ms = r->now + r->o.lease_timeout_ms;
}
