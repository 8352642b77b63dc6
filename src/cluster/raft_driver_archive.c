/* SPDX-License-Identifier: Apache-2.0 */
/* `snapshot save`: the archive of a state, made on a worker. */
#include "raft_driver.h"

#include <stdlib.h>
#include <string.h>

#define ARCHIVE_MAX ((size_t)2 << 30)

struct buffer_sink {
    struct snapshot_sink sink;
    struct buf *out;
};

static int buffer_write(struct snapshot_sink *s, const void *p, size_t n, struct error *err)
{
    struct buf *out = container_of(s, struct buffer_sink, sink)->out;
    buf_put(out, p, n);
    return out->overflow ? error_set(err, ERR_TOO_LARGE, "the archive is too large") : 0;
}

static int archive_of_view(struct archive_job *j, struct snapshot_sink *sink)
{
    struct buf state = BUF_INIT(ARCHIVE_MAX);
    struct buffer_sink to = { .sink.write = buffer_write, .out = &state };
    int code = snapshot_write(j->read, &to.sink, &j->err);
    if (!code) code = archive_write(&j->meta, buf_str(&state), sink, &j->err);
    buf_deinit(&state);
    return code;
}

static int archive_of_file(struct archive_job *j, struct snapshot_sink *sink)
{
    struct str state;
    bool found = false;
    int code = snapshot_file_newest(j->driver->snapshots, &j->arena, &j->meta, &found, &j->err);
    if (!code && !found) code = error_set(&j->err, ERR_NOT_FOUND, "there is no snapshot yet");
    if (!code) code = snapshot_file_open(j->driver->snapshots, &j->meta, &state, &j->err);
    if (code) return code;
    code = archive_write(&j->meta, state, sink, &j->err);
    snapshot_file_close(state);
    return code;
}

static void run(struct job *job)
{
    struct archive_job *j = container_of(job, struct archive_job, job);
    struct buffer_sink to = { .sink.write = buffer_write, .out = &j->out };
    j->err.code = 0;
    int code = j->read ? archive_of_view(j, &to.sink) : archive_of_file(j, &to.sink);
    if (code && !j->err.code) error_set(&j->err, code, "the archive could not be made");
}

static void done(struct job *job)
{
    struct archive_job *j = container_of(job, struct archive_job, job);
    struct raft_driver *d = j->driver;
    struct link *l;
    j->running = false;
    if (j->read) store_read_destroy(j->read);
    while ((l = link_pop(&d->saves))) {
        struct raft_driver_work *w = container_of(l, struct raft_driver_work, link);
        w->index = j->meta.index;
        if (!j->err.code) {
            w->archive = (struct str){ xmalloc(j->out.n), j->out.n };
            memcpy((void *)(uintptr_t)w->archive.p, j->out.p, j->out.n);
        }
        driver_finish(d, w, j->err.code, j->err.text);
    }
    buf_deinit(&j->out);
    tick_mark(&d->tick);
}

static bool open_view(struct raft_driver *d)
{
    struct archive_job *j = &d->archive;
    struct raft_state st;
    raft_get_state(d->raft, &st);
    j->read = store_read_create(d->store);
    if (!j->read) return false;
    j->meta.version = 1;
    j->meta.index = store_read_applied(j->read, &j->meta.term);
    j->meta.configuration_index = st.committed_index;
    j->meta.id = str_printf(&j->arena, "%llu-%llu-%lld", (unsigned long long)j->meta.term,
        (unsigned long long)j->meta.index, (long long)(world_wall_ns(d->world) / 1000000));
    driver_meta_configuration(&j->meta, st.committed, &j->arena);
    return true;
}

void driver_save_begin(struct raft_driver *d)
{
    struct archive_job *j = &d->archive;
    struct link *l;
    if (j->running || link_empty(&d->saves)) return;
    arena_reset(&j->arena);
    memset(&j->meta, 0, sizeof j->meta);
    j->read = NULL;
    j->out = (struct buf)BUF_INIT(ARCHIVE_MAX);
    j->driver = d;
    if (d->dir[0] == '\0' && !open_view(d)) {
        while ((l = link_pop(&d->saves)))
            driver_finish(d, container_of(l, struct raft_driver_work, link), ERR_INTERNAL,
                "too many readers of the state");
        return;
    }
    j->job = (struct job){ .world = d->world, .run = run, .done = done };
    j->running = true;
    job_submit(d->world, &j->job);
}
