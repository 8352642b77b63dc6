/* SPDX-License-Identifier: Apache-2.0 */
#include "raft_driver.h"

#include <stdio.h>
#include <string.h>

void driver_snapshot_arm(struct raft_driver *d)
{
    if (d->dir[0] == '\0') return;
    uint64_t interval = d->snapshot_interval_ms;
    timer_start(&d->snapshot_timer, interval + world_random_below(d->world, interval));
}

void driver_snapshot_timer(struct timer *t)
{
    struct raft_driver *d = container_of(t, struct raft_driver, snapshot_timer);
    struct raft_state st;
    raft_get_state(d->raft, &st);
    if (st.last_index - st.snapshot_index >= d->snapshot_threshold) driver_snapshot_begin(d);
    driver_snapshot_arm(d);
}

void driver_meta_configuration(
    struct snapshot_meta *meta, const struct raft_configuration *c, struct arena *a)
{
    struct list *servers = &meta->configuration.servers;
    *servers = LIST_EMPTY;
    for (size_t i = 0; i < c->n; i++)
        *LIST_PUSH(a, servers, struct snapshot_server) =
            (struct snapshot_server){ .suffrage = (int64_t)c->servers[i].suffrage,
                .id = str_dup(a, str_of(c->servers[i].id)),
                .address = str_dup(a, str_of(c->servers[i].address)) };
}

static void answer_requests(struct raft_driver *d, uint64_t index, const struct error *err)
{
    struct link *l;
    while ((l = link_pop(&d->snapshot_requests))) {
        struct raft_driver_work *w = container_of(l, struct raft_driver_work, link);
        w->index = index;
        if (w->kind == WORK_SAVE && !err)
            link_push(&d->saves, &w->link);
        else
            driver_finish(d, w, err ? err->code : 0, err ? err->text : NULL);
    }
    driver_save_begin(d);
    tick_mark(&d->tick);
}

static void run(struct job *job)
{
    struct snapshot_job *s = container_of(job, struct snapshot_job, job);
    struct raft_driver *d = s->driver;
    s->err.code = 0;
    int code = snapshot_file_write(
        d->disk, d->snapshots, s->wall_ms, s->read, &s->meta, &s->arena, &s->err);
    /* The log is given up next: what was applied must be safe in the state too. */
    if (!code) code = store_read_sync(s->read, &s->err);
    if (code && !s->err.code) error_set(&s->err, code, "the snapshot failed");
}

static void done(struct job *job)
{
    struct snapshot_job *s = container_of(job, struct snapshot_job, job);
    struct raft_driver *d = s->driver;
    s->running = false;
    store_read_destroy(s->read);
    raft_metrics_since(&d->metrics, RAFT_METRIC_PERSIST, s->began_us);
    raft_metrics_since(&d->metrics, RAFT_METRIC_FSM_PERSIST, s->began_us);
    if (s->err.code) {
        log_error(SUBSYSTEM, "failed to take snapshot", "error", s->err.text);
        answer_requests(d, 0, &s->err);
        return;
    }
    d->counters.snapshots++;
    if (!d->stopping) {
        struct raft_event ev = { .type = RAFT_SNAPSHOT_TAKEN,
            .snapshot_taken = {
                .index = s->meta.index, .term = s->meta.term, .trailing = driver_trailing(d) } };
        uint64_t compact_us = raft_metrics_from(&d->metrics);
        driver_step(d, &ev);
        raft_metrics_since(&d->metrics, RAFT_METRIC_COMPACT, compact_us);
    }
    raft_metrics_since(&d->metrics, RAFT_METRIC_TAKE, s->asked_us);
    answer_requests(d, s->meta.index, NULL);
}

/* Nothing to snapshot, or it cannot be taken now. */
static void refuse(struct raft_driver *d, const char *why)
{
    struct error err;
    error_set(&err, ERR_INTERNAL, "%s", why);
    answer_requests(d, 0, &err);
}

/* Nothing is kept, so there is nothing to write before an archive. */
static void begin_in_memory(struct raft_driver *d)
{
    link_each (l, &d->snapshot_requests) {
        struct raft_driver_work *w = container_of(l, struct raft_driver_work, link);
        if (w->kind != WORK_SAVE) continue;
        link_remove(l);
        link_push(&d->saves, l);
    }
    refuse(d, "snapshots are not kept by a server in memory");
}

void driver_snapshot_begin(struct raft_driver *d)
{
    struct snapshot_job *s = &d->snapshot;
    struct raft_state st;
    if (s->running) return; /* requests are answered by the one that runs */
    raft_get_state(d->raft, &st);
    if (d->dir[0] == '\0') {
        begin_in_memory(d);
        return;
    }
    if (driver_applied(d) <= st.snapshot_index) {
        answer_requests(d, 0, NULL);
        return;
    }
    if (st.committed_index > driver_applied(d)) {
        refuse(d, "cannot take snapshot now, wait until the configuration entry has been applied");
        return;
    }
    s->asked_us = raft_metrics_from(&d->metrics);
    s->read = store_read_create(d->store);
    if (!s->read) {
        refuse(d, "too many readers of the state");
        return;
    }
    raft_metrics_since(&d->metrics, RAFT_METRIC_FSM_SNAPSHOT, s->asked_us);
    arena_reset(&s->arena);
    memset(&s->meta, 0, sizeof s->meta);
    s->driver = d;
    s->meta.index = store_read_applied(s->read, &s->meta.term);
    s->meta.configuration_index = st.committed_index;
    s->wall_ms = world_wall_ns(d->world) / 1000000;
    driver_meta_configuration(&s->meta, st.committed, &s->arena);
    s->job = (struct job){ .world = d->world, .run = run, .done = done };
    s->running = true;
    raft_metrics_since(&d->metrics, RAFT_METRIC_CREATE, s->asked_us);
    s->began_us = raft_metrics_from(&d->metrics);
    job_submit(d->world, &s->job);
}
