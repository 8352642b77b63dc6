/* SPDX-License-Identifier: Apache-2.0 */
/* What the core knows of the log: its bounds, the term of every index (as runs), and a window of
 * the newest entries with their bytes. The store holds entries first..last; the window holds
 * window_first..last, a suffix of them. An empty log has first == last + 1, and `last` is then the
 * snapshot's index. */
#pragma once
#include "consuld/raft.h"

struct term_run {
    uint64_t first; /* index */
    uint64_t term;
};

struct log {
    uint64_t first, last;
    uint64_t snapshot_index, snapshot_term;
    uint64_t durable; /* everything up to it is on stable storage */
    struct term_run *runs;
    size_t runs_n, runs_cap;
    struct raft_entry *window; /* ring */
    size_t window_head, window_cap;
    uint64_t window_first;
    size_t bytes; /* of window entries */
};

void log_init(struct log *l);
void log_deinit(struct log *l);
/* 0: unknown or before everything. */
uint64_t log_term(const struct log *l, uint64_t index);
static inline uint64_t log_last_term(const struct log *l)
{
    return log_term(l, l->last);
}
struct raft_entry *log_entry(const struct log *l, uint64_t index);
static inline size_t log_window_n(const struct log *l)
{
    return (size_t)(l->last + 1 - l->window_first);
}
static inline size_t log_entry_size(const struct raft_entry *e)
{
    return sizeof *e + e->data.n + e->extensions.n;
}
/* Entry last + 1, copied. */
void log_push(struct log *l, const struct raft_entry *e);
/* Notes an entry that only the store holds; the window stays empty. */
void log_note(struct log *l, uint64_t index, uint64_t term);
/* Forgets from..last. */
void log_truncate(struct log *l, uint64_t from);
/* Empty, with the snapshot (index, term) as last. */
void log_reset(struct log *l, uint64_t index, uint64_t term);
/* Forgets entries up to `index`, which must be below or at the last. */
void log_compact(struct log *l, uint64_t index);
/* Drops the oldest entry of the window only. */
void log_evict(struct log *l);
