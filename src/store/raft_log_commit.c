/* SPDX-License-Identifier: Apache-2.0 */
/* The commit job: what is queued becomes one transaction in the newest generation. */
#include <stdlib.h>
#include <string.h>

#include "consuld/base/log.h"
#include "raft_log.h"

#define SUBSYSTEM "agent.server.raft"

static struct generation *newest(const struct raft_log *l)
{
    return l->generations_n ? l->generations[l->generations_n - 1] : NULL;
}

bool raft_log_dirty(const struct raft_log *l)
{
    return l->stable_dirty || l->dirty_from || l->rotate;
}

static void collect_entries(struct raft_log *l, struct log_commit *c, uint64_t from)
{
    c->entries = NULL;
    c->n = from && from < l->next ? (size_t)(l->next - from) : 0;
    if (c->n == 0) return;
    c->entries = xcalloc(c->n, sizeof *c->entries);
    for (size_t i = 0; i < c->n; i++) {
        struct log_cached *e = window_get(l, from + i);
        ensure(e != NULL);
        e->refs++;
        c->entries[i] = e;
    }
}

static void run(struct job *job)
{
    struct commit_job *j = container_of(job, struct commit_job, job);
    struct raft_log *l = j->log;
    struct generation *g = j->generation;
    j->err.code = j->change.create ? generation_create(g, l->disk, l->map_size, &j->change, &j->err)
                                   : generation_commit(g, l->disk, &j->change, &j->err);
}

/* What the failed commit held is queued again. */
static void requeue(struct raft_log *l, struct commit_job *j)
{
    uint64_t from = j->change.delete_from;
    if (from && (!l->dirty_from || from < l->dirty_from)) l->dirty_from = from;
    if (j->change.stable) l->stable_dirty = true;
    if (!j->change.create) {
        struct error err;
        struct generation *g = j->generation;
        if (generation_usable(g)) return;
        generation_close(g);
        if (generation_open(g, l->disk, l->map_size, &err)) log_error(SUBSYSTEM, err.text);
        return;
    }
    l->rotate = true;
    if (!j->change.continues) l->forget_older = true;
    free(j->generation);
}

static void forget_generations(struct raft_log *l)
{
    for (size_t i = 0; i < l->generations_n; i++)
        raft_log__unlink(l, l->generations[i]);
    l->generations_n = 0;
}

static void done(struct job *job)
{
    struct commit_job *j = container_of(job, struct commit_job, job);
    struct raft_log *l = j->log;
    struct error err = j->err;
    l->committing = false;
    for (size_t i = 0; i < j->change.n; i++)
        log_cached_unref(j->change.entries[i]);
    free(j->change.entries);
    if (err.code) {
        requeue(l, j);
    } else {
        j->generation->start = j->change.start;
        j->generation->continues =
            j->change.create ? j->change.continues : j->generation->continues;
        if (j->change.create) {
            if (!j->change.continues) forget_generations(l);
            l->generations[l->generations_n++] = j->generation;
            l->next_number++;
        }
        l->sequence_durable = j->sequence;
        while (l->window_n && l->next - l->window_n <= raft_log_durable(l))
            window_shift(l);
        raft_log__drop_generations(l);
    }
    l->flushed(l->ctx, err.code ? &err : NULL);
}

static struct generation *begin_generation(struct raft_log *l)
{
    struct generation *g = xcalloc(1, sizeof *g);
    generation_path(g, l->dir, l->next_number);
    return g;
}

static bool is_full(const struct raft_log *l, const struct generation *g)
{
    uint64_t end = l->dirty_from ? l->dirty_from : l->next;
    size_t folders = l->generations_n + l->dead_n + (l->unlinking != NULL);
    return l->generation_entries && folders < LOG_GENERATIONS_FULL &&
           end >= g->start + l->generation_entries;
}

void raft_log_flush(struct raft_log *l)
{
    struct commit_job *j = &l->commit;
    if (l->committing || !raft_log_dirty(l)) return;
    if (l->dir[0] == '\0') {
        l->stable_dirty = l->rotate = l->forget_older = false;
        l->dirty_from = 0;
        l->sequence_durable = l->sequence;
        return;
    }
    struct generation *g = newest(l);
    struct log_commit *c = &j->change;
    if (g && !g->env && generation_open(g, l->disk, l->map_size, &j->err)) {
        l->flushed(l->ctx, &j->err);
        return;
    }
    memset(c, 0, sizeof *c);
    if (g && is_full(l, g)) l->rotate = true;
    if (g && l->generations_n >= LOG_GENERATIONS_MAX && !l->forget_older) l->rotate = false;
    c->create = !g || l->rotate;
    c->continues = g && !l->forget_older;
    c->delete_from = l->dirty_from;
    c->start = l->dirty_from ? l->dirty_from : l->next;
    if (!c->create && g->start < c->start) c->start = g->start;
    collect_entries(l, c, l->dirty_from);
    if (l->stable_dirty || c->create) {
        j->stable = l->stable;
        c->stable = &j->stable;
    }
    j->generation = c->create ? begin_generation(l) : g;
    j->log = l;
    j->sequence = l->sequence;
    j->job = (struct job){ .world = l->world, .run = run, .done = done };
    l->stable_dirty = l->rotate = l->forget_older = false;
    l->dirty_from = 0;
    l->committing = true;
    job_submit(l->world, &j->job);
}

uint64_t raft_log_durable(const struct raft_log *l)
{
    uint64_t end = l->next;
    if (l->dirty_from && l->dirty_from < end) end = l->dirty_from;
    if (l->committing && l->commit.change.delete_from && l->commit.change.delete_from < end)
        end = l->commit.change.delete_from;
    return end - 1;
}

/* --- unlinking ------------------------------------------------------------------------------ */

static void unlink_run(struct job *job)
{
    struct generation *g = container_of(job, struct generation, unlink);
    struct error err;
    generation_close(g);
    g->removed = generation_remove(g, g->disk, &err) == 0;
    if (!g->removed) log_warn(SUBSYSTEM, err.text);
}

static void unlink_done(struct job *job)
{
    struct generation *g = container_of(job, struct generation, unlink);
    struct raft_log *l = g->log;
    if (l) l->unlinking = NULL;
    if (l && !g->removed) {
        /* Newer ones must not go before it. It is tried again with the next that is given up. */
        link_insert_before(l->dead.next, &g->link);
        l->dead_n++;
        return;
    }
    if (l) raft_log__unlink(l, NULL);
    free(g);
}

void raft_log__unlink(struct raft_log *l, struct generation *g)
{
    if (g) {
        link_push(&l->dead, &g->link);
        l->dead_n++;
    }
    /* One at a time and the oldest first: a crash between leaves no hole. */
    if (l->unlinking || l->dead_n == 0 || !l->world) return;
    g = l->unlinking = container_of(link_pop(&l->dead), struct generation, link);
    l->dead_n--;
    g->log = l;
    g->disk = l->disk;
    g->unlink = (struct job){ .world = l->world, .run = unlink_run, .done = unlink_done };
    job_submit(l->world, &g->unlink);
}

void raft_log__drop_generations(struct raft_log *l)
{
    while (l->generations_n > 1) {
        uint64_t end = UINT64_MAX;
        for (size_t i = 1; i < l->generations_n; i++)
            if (l->generations[i]->start < end) end = l->generations[i]->start;
        if (end > l->keep && l->generations[0]->start < end) return;
        raft_log__unlink(l, l->generations[0]);
        memmove(l->generations, l->generations + 1, --l->generations_n * sizeof l->generations[0]);
        if (l->first < end) l->first = end;
    }
}
