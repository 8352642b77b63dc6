/* SPDX-License-Identifier: Apache-2.0 */
/* A state from outside: an archive to restore, or a snapshot from the leader (raft.md 6.11, 6.13).
 *
 *   restore: worker reads and verifies the archive ─▶ core asked ─┐
 *   leader:  core asks when the stream is whole ──────────────────┴▶ worker stores it as the newest
 *   snapshot ─▶ made the state ─▶ core told */
#include "raft_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TELL_PERIOD_MS 2000

static void let_go(struct install_job *j)
{
    shared_body_unref(j->state);
    shared_body_unref(j->archive);
    j->asked_us = 0;
    j->state = j->archive = NULL;
    j->phase = INSTALL_NONE;
    tick_mark(&j->driver->tick);
}

bool driver_installing(const struct raft_driver *d)
{
    return d->install.phase == INSTALL_STORE;
}

/* --- verifying an archive ------------------------------------------------------------------- */

static int look_at(void *ctx, uint8_t type, const void *body, struct arena *a, struct error *err)
{
    (void)ctx;
    (void)type;
    (void)body;
    (void)a;
    (void)err;
    return 0;
}

static void verify_run(struct job *job)
{
    struct install_job *j = container_of(job, struct install_job, job);
    struct snapshot_meta meta;
    j->err.code = 0;
    const char *dir = j->driver->dir[0] ? j->driver->snapshots : NULL;
    int code =
        archive_read(j->archive, dir, j->driver->digest, &j->arena, &meta, &j->state, &j->err);
    if (!code) code = snapshot_read(j->state, look_at, NULL, NULL, &j->err);
    if (code && !j->err.code) error_set(&j->err, code, "the archive cannot be read");
    if (!code) j->archive_index = meta.index;
}

static void verify_done(struct job *job)
{
    struct install_job *j = container_of(job, struct install_job, job);
    struct raft_driver *d = j->driver;
    struct raft_driver_work *w = j->work;
    j->work = NULL;
    shared_body_unref(j->archive);
    j->archive = NULL;
    if (j->err.code || d->stopping) {
        driver_finish(d, w, j->err.code ? j->err.code : ERR_INTERNAL,
            j->err.code ? j->err.text : RAFT_ERR_SHUTDOWN);
        let_go(j);
        return;
    }
    struct raft_event ev = { .type = RAFT_RESTORE,
        .restore = { .archive_index = j->archive_index, .handle = driver_work_put(d, w) } };
    j->phase = INSTALL_ASK;
    driver_step(d, &ev);
    if (j->phase == INSTALL_ASK) let_go(j); /* refused, and answered so */
    tick_mark(&d->tick);
}

void driver_restore_begin(struct raft_driver *d, struct raft_driver_work *w)
{
    struct install_job *j = &d->install;
    if (j->phase != INSTALL_NONE) {
        driver_finish(d, w, ERR_INTERNAL, "another restore is in progress");
        return;
    }
    arena_reset(&j->arena);
    j->driver = d;
    j->work = w;
    j->asked_us = raft_metrics_from(&d->metrics);
    metric_add(d->metrics.at[RAFT_METRIC_RESTORE], 1);
    j->archive = w->archive;
    w->archive = NULL;
    j->phase = INSTALL_VERIFY;
    j->job = (struct job){ .world = d->world, .run = verify_run, .done = verify_done };
    job_submit(d->world, &j->job);
}

/* --- installing ----------------------------------------------------------------------------- */

static void store_run(struct job *job)
{
    struct install_job *j = container_of(job, struct install_job, job);
    struct raft_driver *d = j->driver;
    int code = 0;
    j->err.code = 0;
    if (d->dir[0])
        code = snapshot_file_store(
            d->disk, d->snapshots, j->wall_ms, j->state, &j->meta, &j->arena, &j->err);
    if (!code)
        code = snapshot_build(
            d->store, j->state, j->meta.index, j->meta.term, &j->progress, &j->built, &j->err);
    if (code && !j->err.code) error_set(&j->err, code, "the snapshot could not be stored");
}

static void tell_progress(struct timer *t)
{
    struct install_job *j = container_of(t, struct install_job, tell);
    char percent[8];
    uint64_t done = atomic_load_explicit(&j->progress.done, memory_order_relaxed);
    snprintf(percent, sizeof percent, "%u",
        j->state->n ? (unsigned)((double)done * 100 / (double)j->state->n) : 100u);
    log_info(SUBSYSTEM, "restoring the state", "percent", percent);
    timer_start(t, TELL_PERIOD_MS);
}

static void store_done(struct job *job)
{
    struct install_job *j = container_of(job, struct install_job, job);
    struct raft_driver *d = j->driver;
    struct error err = j->err;
    int code = err.code;
    timer_stop(&j->tell);
    raft_metrics_since(&d->metrics, RAFT_METRIC_FSM_RESTORE, j->began_us);
    raft_metrics_since(&d->metrics, RAFT_METRIC_RESTORE_USER, j->asked_us);
    j->asked_us = 0;
    if (!code && !d->stopping) {
        code = snapshot_switch(j->built, &err);
        j->built = NULL;
    }
    snapshot_drop(j->built);
    j->built = NULL;
    if (code) log_error(SUBSYSTEM, "failed to install a snapshot", "error", err.text);
    if (!code) d->counters.installs++;
    let_go(j);
    if (d->stopping) return;
    struct raft_event ev = { .type = RAFT_SNAPSHOT_INSTALLED,
        .snapshot_installed.failed = code != 0 };
    driver_step(d, &ev);
    driver_reads_answer(d);
}

void driver_install(struct raft_driver *d, const struct raft_install *in)
{
    struct install_job *j = &d->install;
    bool expected = j->phase == INSTALL_ASK;
    if (!expected) {
        struct raft_event no = { .type = RAFT_SNAPSHOT_INSTALLED,
            .snapshot_installed.failed = true };
        driver_step(d, &no);
        return;
    }
    memset(&j->meta, 0, sizeof j->meta);
    j->meta.index = in->index;
    j->meta.term = in->term;
    j->meta.configuration_index = in->configuration_index;
    driver_meta_configuration(&j->meta, in->configuration, &j->arena);
    j->wall_ms = world_wall_ns(d->world) / 1000000;
    j->phase = INSTALL_STORE;
    j->built = NULL;
    atomic_store(&j->progress.done, 0);
    timer_init(&j->tell, d->world, tell_progress);
    timer_start(&j->tell, TELL_PERIOD_MS);
    j->began_us = raft_metrics_from(&d->metrics);
    j->job = (struct job){ .world = d->world, .run = store_run, .done = store_done };
    job_submit(d->world, &j->job);
}

const char *raft_driver_spool_dir(const struct raft_driver *d)
{
    return d->dir[0] ? d->snapshots : "";
}

void raft_driver_receive_snapshot(
    struct raft_driver *d, const struct raft_message *m, struct shared_body *state)
{
    struct install_job *j = &d->install;
    bool free_now = j->phase == INSTALL_NONE && d->started && !d->stopping;
    if (!free_now) {
        raft_driver_receive(d, m); /* refused: nothing is ready to be installed */
        return;
    }
    arena_reset(&j->arena);
    j->driver = d;
    j->state = shared_body_ref(state);
    j->phase = INSTALL_ASK;
    raft_driver_receive(d, m);
    if (j->phase == INSTALL_ASK) let_go(j);
}
