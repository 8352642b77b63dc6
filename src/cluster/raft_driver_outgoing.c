/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot that another server gets: opened and checked on a worker. */
#include <stdlib.h>
#include <string.h>

#include "raft_driver.h"

#define VIEW_MAX ((size_t)2 << 30)

struct raft_driver_snapshot_job {
    struct job job;
    struct raft_driver_snapshot *owner; /* NULL: gone */
    char dir[DRIVER_PATH_MAX + 16];     /* "": from the view */
    struct store_read *read;
    struct buf view;
    struct snapshot_meta meta;
    struct raft_configuration configuration;
    struct arena arena;
    struct shared_body *state;
    struct error err;
    bool running;
};

struct view_sink {
    struct snapshot_sink sink;
    struct buf *out;
};

static int view_write(struct snapshot_sink *s, const void *p, size_t n, struct error *err)
{
    struct buf *out = container_of(s, struct view_sink, sink)->out;
    buf_put(out, p, n);
    return out->overflow ? error_set(err, ERR_TOO_LARGE, "the state is too large") : 0;
}

static int open_file(struct raft_driver_snapshot_job *j)
{
    bool found = false;
    int code = snapshot_file_newest(j->dir, &j->arena, &j->meta, &found, &j->err);
    if (!code && !found) code = error_set(&j->err, ERR_NOT_FOUND, "there is no snapshot");
    if (!code && !driver_configuration_of_meta(&j->meta, &j->configuration))
        code = error_set(&j->err, ERR_DECODE, "the snapshot's configuration is damaged");
    return code ? code : snapshot_file_open(j->dir, &j->meta, &j->state, &j->err);
}

static int make_view(struct raft_driver_snapshot_job *j)
{
    struct view_sink to = { .sink.write = view_write, .out = &j->view };
    int code = snapshot_write(j->read, &to.sink, &j->err);
    j->state = shared_body_take(&j->view);
    return code;
}

static void run(struct job *job)
{
    struct raft_driver_snapshot_job *j = container_of(job, struct raft_driver_snapshot_job, job);
    j->err.code = 0;
    int code = j->read ? make_view(j) : open_file(j);
    if (code && !j->err.code) error_set(&j->err, code, "the snapshot cannot be read");
}

static void job_free(struct raft_driver_snapshot_job *j)
{
    shared_body_unref(j->state);
    buf_deinit(&j->view);
    arena_free(&j->arena);
    free(j);
}

static void done(struct job *job)
{
    struct raft_driver_snapshot_job *j = container_of(job, struct raft_driver_snapshot_job, job);
    struct raft_driver_snapshot *s = j->owner;
    j->running = false;
    if (j->read) store_read_destroy(j->read);
    j->read = NULL;
    if (!s) {
        job_free(j);
        return;
    }
    s->err = j->err;
    if (!j->err.code) {
        s->state = j->state;
        s->index = j->meta.index;
        s->term = j->meta.term;
        s->configuration_index = j->meta.configuration_index;
        s->configuration = &j->configuration;
    }
    s->done(s);
}

void raft_driver_snapshot_open(struct raft_driver *d, struct raft_driver_snapshot *s)
{
    struct raft_driver_snapshot_job *j = xcalloc(1, sizeof *j);
    struct raft_state st;
    raft_get_state(d->raft, &st);
    s->job = j;
    s->err.code = 0;
    j->owner = s;
    j->view = (struct buf)BUF_INIT(VIEW_MAX);
    memcpy(j->dir, d->snapshots, sizeof j->dir);
    if (!d->dir[0]) {
        j->read = store_read_create(d->store);
        if (j->read) j->meta.index = store_read_applied(j->read, &j->meta.term);
        j->configuration = *st.committed;
        j->meta.configuration_index = st.committed_index;
    }
    j->running = true;
    j->job = (struct job){ .world = d->world, .run = run, .done = done };
    job_submit(d->world, &j->job);
}

void raft_driver_snapshot_close(struct raft_driver_snapshot *s)
{
    struct raft_driver_snapshot_job *j = s->job;
    s->job = NULL;
    if (!j) return;
    j->owner = NULL;
    if (!j->running) job_free(j);
}
