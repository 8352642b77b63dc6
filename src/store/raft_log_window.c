/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "raft_log.h"

size_t log_entry_bytes(const struct log_entry *e)
{
    return e->data.n + e->extensions.n;
}

struct log_cached *log_cached_create(const struct log_entry *e)
{
    size_t n = log_entry_bytes(e);
    struct log_cached *c = xmalloc(sizeof *c + n + 1);
    c->refs = 1;
    c->entry = *e;
    /* The order of the stored form: one span of bytes for disk and checksum. */
    if (e->extensions.n) memcpy(c->bytes, e->extensions.p, e->extensions.n);
    if (e->data.n) memcpy(c->bytes + e->extensions.n, e->data.p, e->data.n);
    if (e->extensions.p) c->entry.extensions.p = (char *)c->bytes;
    if (e->data.p) c->entry.data.p = (char *)c->bytes + e->extensions.n;
    return c;
}

void log_cached_unref(struct log_cached *c)
{
    ensure(c->refs > 0);
    if (--c->refs == 0) free(c);
}

static struct log_cached **slot(const struct raft_log *l, size_t i)
{
    return &l->window[(l->window_at + i) % l->window_cap];
}

struct log_cached *window_get(const struct raft_log *l, uint64_t index)
{
    if (index >= l->next || index + l->window_n < l->next) return NULL;
    return *slot(l, l->window_n - (size_t)(l->next - index));
}

static void grow(struct raft_log *l)
{
    size_t cap = l->window_cap ? l->window_cap * 2 : 64;
    struct log_cached **v = xcalloc(cap, sizeof *v);
    for (size_t i = 0; i < l->window_n; i++)
        v[i] = *slot(l, i);
    free(l->window);
    l->window = v;
    l->window_at = 0;
    l->window_cap = cap;
}

void window_push(struct raft_log *l, struct log_cached *c)
{
    if (l->window_n == l->window_cap) grow(l);
    *slot(l, l->window_n++) = c;
    l->window_bytes += log_entry_bytes(&c->entry);
    l->next = c->entry.index + 1;
}

void window_pop(struct raft_log *l)
{
    ensure(l->window_n > 0);
    struct log_cached *c = *slot(l, --l->window_n);
    l->window_bytes -= log_entry_bytes(&c->entry);
    l->next = c->entry.index;
    log_cached_unref(c);
}

void window_shift(struct raft_log *l)
{
    ensure(l->window_n > 0);
    struct log_cached *c = *slot(l, 0);
    l->window_at = (l->window_at + 1) % l->window_cap;
    l->window_n--;
    l->window_bytes -= log_entry_bytes(&c->entry);
    log_cached_unref(c);
}

void window_clear(struct raft_log *l)
{
    while (l->window_n)
        window_shift(l);
    free(l->window);
    l->window = NULL;
    l->window_cap = l->window_at = 0;
}
