/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdlib.h>
#include <string.h>

void log_init(struct log *l)
{
    memset(l, 0, sizeof *l);
    l->first = 1;
    l->window_first = 1;
}

static struct raft_entry *slot(const struct log *l, uint64_t index)
{
    size_t at = (l->window_head + (size_t)(index - l->window_first)) & (l->window_cap - 1);
    return &l->window[at];
}

static void entry_free(struct log *l, struct raft_entry *e)
{
    l->bytes -= log_entry_size(e);
    free((void *)(uintptr_t)(e->data.p ? e->data.p : e->extensions.p));
    memset(e, 0, sizeof *e);
}

void log_deinit(struct log *l)
{
    log_reset(l, 0, 0);
    free(l->runs);
    free(l->window);
    memset(l, 0, sizeof *l);
}

uint64_t log_term(const struct log *l, uint64_t index)
{
    if (index == 0) return 0;
    if (index == l->snapshot_index) return l->snapshot_term;
    if (index < l->first || index > l->last) return 0;
    size_t lo = 0, hi = l->runs_n;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (l->runs[mid].first <= index)
            lo = mid;
        else
            hi = mid;
    }
    return l->runs[lo].term;
}

struct raft_entry *log_entry(const struct log *l, uint64_t index)
{
    if (index < l->window_first || index > l->last) return NULL;
    return slot(l, index);
}

static void run_push(struct log *l, uint64_t index, uint64_t term)
{
    if (l->runs_n && l->runs[l->runs_n - 1].term == term) return;
    if (l->runs_n == l->runs_cap) {
        l->runs_cap = l->runs_cap ? l->runs_cap * 2 : 8;
        l->runs = xrealloc(l->runs, l->runs_cap * sizeof *l->runs);
    }
    l->runs[l->runs_n++] = (struct term_run){ index, term };
}

static void window_grow(struct log *l)
{
    size_t n = log_window_n(l);
    if (n < l->window_cap) return;
    size_t cap = l->window_cap ? l->window_cap * 2 : 16;
    struct raft_entry *v = xcalloc(cap, sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = *slot(l, l->window_first + i);
    free(l->window);
    l->window = v;
    l->window_cap = cap;
    l->window_head = 0;
}

/* One block holds data and extensions; an empty string that is not nil points at its end. */
static void entry_copy(struct raft_entry *to, const struct raft_entry *from)
{
    *to = *from;
    if (!from->data.p && !from->extensions.p) return;
    char *block = xmalloc(from->data.n + from->extensions.n + 1);
    if (from->data.n) memcpy(block, from->data.p, from->data.n);
    if (from->extensions.n) memcpy(block + from->data.n, from->extensions.p, from->extensions.n);
    to->data.p = from->data.p ? block : NULL;
    to->extensions.p = from->extensions.p ? block + from->data.n : NULL;
}

void log_push(struct log *l, const struct raft_entry *e)
{
    ensure(e->index == l->last + 1);
    window_grow(l);
    struct raft_entry copy;
    entry_copy(&copy, e);
    run_push(l, e->index, e->term);
    l->last = e->index;
    *slot(l, e->index) = copy;
    l->bytes += log_entry_size(&copy);
}

void log_note(struct log *l, uint64_t index, uint64_t term)
{
    ensure(log_window_n(l) == 0);
    if (l->first > l->last) {
        l->first = index;
        l->runs_n = 0;
    }
    run_push(l, index, term);
    l->last = index;
    l->window_first = index + 1;
}

void log_truncate(struct log *l, uint64_t from)
{
    ensure(from >= l->first && from > l->snapshot_index);
    for (uint64_t i = l->last; i >= from && i >= l->window_first; i--)
        entry_free(l, slot(l, i));
    while (l->runs_n && l->runs[l->runs_n - 1].first >= from)
        l->runs_n--;
    if (from <= l->last) l->last = from - 1;
    if (l->window_first > l->last + 1) l->window_first = l->last + 1;
    if (l->durable > l->last) l->durable = l->last;
}

void log_reset(struct log *l, uint64_t index, uint64_t term)
{
    for (uint64_t i = l->window_first; i <= l->last; i++)
        entry_free(l, slot(l, i));
    l->runs_n = 0;
    l->snapshot_index = index;
    l->snapshot_term = term;
    l->last = l->durable = index;
    l->first = l->window_first = index + 1;
}

void log_evict(struct log *l)
{
    ensure(log_window_n(l) > 0);
    entry_free(l, slot(l, l->window_first));
    l->window_head = (l->window_head + 1) & (l->window_cap - 1);
    l->window_first++;
}

void log_compact(struct log *l, uint64_t index)
{
    ensure(index <= l->last);
    while (log_window_n(l) && l->window_first <= index)
        log_evict(l);
    if (index < l->first) return;
    size_t drop = 0;
    while (drop + 1 < l->runs_n && l->runs[drop + 1].first <= index + 1)
        drop++;
    memmove(l->runs, l->runs + drop, (l->runs_n - drop) * sizeof *l->runs);
    l->runs_n -= drop;
    l->first = index + 1;
    if (l->first > l->last)
        l->runs_n = 0;
    else
        l->runs[0].first = l->first;
    if (l->window_first < l->first) l->window_first = l->first;
}
