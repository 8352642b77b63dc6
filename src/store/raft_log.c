/* SPDX-License-Identifier: Apache-2.0 */
#include "raft_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int raft_log_open(const struct raft_log_options *opts, struct raft_log **out, struct error *err)
{
    struct raft_log *l = xcalloc(1, sizeof *l);
    ensure(opts->flushed != NULL);
    l->world = opts->world;
    l->disk = opts->disk ? opts->disk : disk_system();
    l->map_size = opts->map_size ? opts->map_size : LOG_MAP_SIZE;
    l->generation_entries = opts->generation_entries;
    l->flushed = opts->flushed;
    l->ctx = opts->ctx;
    l->first = l->next = l->next_number = 1;
    link_init(&l->dead);
    *out = l;
    if (!opts->dir) return 0;
    int code = 0;
    if (strlen(opts->dir) > LOG_PATH_MAX - 64)
        code = error_set(err, ERR_IO, "raft log: the path %s is too long", opts->dir);
    else
        snprintf(l->dir, sizeof l->dir, "%s", opts->dir);
    if (!code && (code = disk_make_dir(l->disk, l->dir)))
        code = error_set(err, ERR_IO, "raft log: making %s: %s", l->dir, disk_strerror(code));
    if (!code) code = raft_log__load(l, err);
    if (!code) return 0;
    raft_log_close(l);
    *out = NULL;
    return code;
}

void raft_log_close(struct raft_log *l)
{
    if (!l) return;
    ensure(!l->committing);
    if (l->unlinking) l->unlinking->log = NULL;
    for (struct link *i; (i = link_pop(&l->dead));) {
        struct generation *g = container_of(i, struct generation, link);
        generation_close(g);
        free(g);
    }
    raft_log__unload(l);
    window_clear(l);
    free(l);
}

/* --- reading -------------------------------------------------------------------------------- */

uint64_t raft_log_first(const struct raft_log *l)
{
    return l->first < l->next ? l->first : 0;
}
uint64_t raft_log_last(const struct raft_log *l)
{
    return l->first < l->next ? l->next - 1 : 0;
}
uint64_t raft_log_next(const struct raft_log *l)
{
    return l->next;
}
const struct log_stable *raft_log_stable(const struct raft_log *l)
{
    return &l->stable;
}
bool raft_log_busy(const struct raft_log *l)
{
    return l->committing;
}
uint64_t raft_log_sequence(const struct raft_log *l)
{
    return l->sequence;
}
uint64_t raft_log_sequence_durable(const struct raft_log *l)
{
    return l->sequence_durable;
}
size_t raft_log_generations(const struct raft_log *l)
{
    return l->generations_n;
}

static struct generation *owner(const struct raft_log *l, uint64_t index)
{
    for (size_t i = l->generations_n; i-- > 0;)
        if (l->generations[i]->start <= index) return l->generations[i];
    return NULL;
}

static int read_entry(
    struct raft_log *l, uint64_t index, struct arena *a, struct log_entry *out, struct error *err)
{
    struct log_cached *c = NULL;
    if (index >= l->first && index < l->next) c = window_get(l, index);
    if (c) {
        *out = c->entry;
        if (!a) return 0;
        out->data = str_dup(a, c->entry.data);
        out->extensions = str_dup(a, c->entry.extensions);
        return 0;
    }
    struct generation *g =
        index >= l->first && index < l->next && l->dir[0] ? owner(l, index) : NULL;
    if (g && g->env) return generation_read(g, index, a, out, err);
    return error_set(err, ERR_NOT_FOUND, "raft log: there is no entry %llu in %llu to %llu",
        (unsigned long long)index, (unsigned long long)l->first, (unsigned long long)l->next - 1);
}

int raft_log_entry(
    struct raft_log *l, uint64_t index, struct arena *a, struct log_entry *out, struct error *err)
{
    ensure(a != NULL);
    return read_entry(l, index, a, out, err);
}

int raft_log_head(struct raft_log *l, uint64_t index, struct log_entry *out, struct error *err)
{
    int code = read_entry(l, index, NULL, out, err);
    if (!code) out->data.p = out->extensions.p = NULL;
    return code;
}

uint64_t raft_log_term(struct raft_log *l, uint64_t index)
{
    struct log_entry e;
    return read_entry(l, index, NULL, &e, NULL) ? 0 : e.term;
}

/* --- changes -------------------------------------------------------------------------------- */

void raft_log_stable_set(struct raft_log *l, const struct log_stable *s)
{
    ensure(s->vote_n <= LOG_VOTE_MAX);
    l->stable = *s;
    l->stable_dirty = true;
    l->sequence++;
}

static void mark_dirty(struct raft_log *l, uint64_t from)
{
    if (!l->dirty_from || from < l->dirty_from) l->dirty_from = from;
    l->sequence++;
}

int raft_log_append(struct raft_log *l, const struct log_entry *e, struct error *err)
{
    size_t n = log_entry_bytes(e);
    if (n > LOG_ENTRY_MAX)
        return error_set(err, ERR_TOO_LARGE, "raft log: an entry of %zu bytes is too large", n);
    if (l->dir[0] && l->window_bytes + n > LOG_QUEUED_MAX)
        return error_set(err, ERR_FULL, "raft log: %zu bytes wait for the disk", l->window_bytes);
    if (l->first == l->next && e->index != l->next) raft_log_reset(l, e->index);
    ensure(e->index == l->next);
    mark_dirty(l, e->index);
    window_push(l, log_cached_create(e));
    return 0;
}

void raft_log_truncate(struct raft_log *l, uint64_t from)
{
    if (from < l->first) from = l->first;
    if (from >= l->next) return;
    while (l->window_n && l->next > from)
        window_pop(l);
    l->next = from;
    mark_dirty(l, from);
}

void raft_log_reset(struct raft_log *l, uint64_t next)
{
    ensure(next > 0);
    while (l->window_n)
        window_pop(l);
    l->first = l->next = next;
    l->dirty_from = next;
    l->rotate = l->forget_older = true;
    l->sequence++;
}

void raft_log_compact(struct raft_log *l, uint64_t keep)
{
    if (keep <= l->keep) return;
    l->keep = keep;
    if (l->dir[0] == '\0') {
        while (l->window_n && l->next - l->window_n < keep)
            window_shift(l);
        l->first = l->next - l->window_n;
        return;
    }
    /* An empty generation serves as the new one. */
    const struct generation *g = l->generations_n ? l->generations[l->generations_n - 1] : NULL;
    if (g && g->start < l->next && !l->rotate) {
        l->rotate = true;
        l->sequence++;
    }
    raft_log__drop_generations(l);
}
