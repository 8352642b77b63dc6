/* SPDX-License-Identifier: Apache-2.0 */
/* `snapshot save`: the archive of a state, made on a worker: in a file without a name, or in memory
 * where nothing is kept. */
#include "raft_driver.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARCHIVE_MAX ((size_t)2 << 30) /* in memory */

struct archive_sink {
    struct snapshot_sink sink;
    struct disk *disk;
    struct buf *out; /* of fd -1 */
    int fd;
    size_t n;
};

static int archive_put(struct snapshot_sink *s, const void *p, size_t n, struct error *err)
{
    struct archive_sink *to = container_of(s, struct archive_sink, sink);
    to->n += n;
    if (to->fd < 0) {
        buf_put(to->out, p, n);
        return to->out->overflow ? error_set(err, ERR_TOO_LARGE, "the archive is too large") : 0;
    }
    int code = to->disk->write(to->disk, to->fd, p, n);
    return code ? error_set(err, ERR_IO, "cannot write the archive: %s", disk_strerror(code)) : 0;
}

static int archive_of_view(struct archive_job *j, struct archive_sink *to)
{
    struct buf state = BUF_INIT(ARCHIVE_MAX);
    struct archive_sink whole = { .sink.write = archive_put, .out = &state, .fd = -1 };
    int code = snapshot_write(j->read, &whole.sink, &j->err);
    struct shared_body body = shared_body_view(buf_str(&state));
    if (!code) code = archive_write(&j->meta, &body, j->driver->digest, &to->sink, &j->err);
    buf_deinit(&state);
    return code;
}

static int archive_of_file(struct archive_job *j, struct archive_sink *to)
{
    const char *dir = j->driver->snapshots;
    struct shared_body *state;
    bool found = false;
    int code = snapshot_file_newest(dir, &j->arena, &j->meta, &found, &j->err);
    if (!code && !found) code = error_set(&j->err, ERR_NOT_FOUND, "there is no snapshot yet");
    if (!code) code = file_without_name(dir, &j->fd, &j->err);
    if (!code) code = snapshot_file_open(dir, &j->meta, &state, &j->err);
    if (code) return code;
    to->fd = j->fd;
    code = archive_write(&j->meta, state, j->driver->digest, &to->sink, &j->err);
    shared_body_unref(state);
    return code;
}

static void run(struct job *job)
{
    struct archive_job *j = container_of(job, struct archive_job, job);
    struct archive_sink to = {
        .sink.write = archive_put, .disk = j->driver->disk, .out = &j->out, .fd = -1
    };
    j->err.code = 0;
    int code = j->read ? archive_of_view(j, &to) : archive_of_file(j, &to);
    if (code && !j->err.code) error_set(&j->err, code, "the archive could not be made");
    j->n = to.n;
}

static void take_archive(struct archive_job *j, struct shared_body **out)
{
    *out = NULL;
    if (!j->err.code && j->fd >= 0) {
        *out = shared_body_map(j->fd, j->n, &j->err);
    } else if (!j->err.code) {
        *out = shared_body_take(&j->out);
    }
    if (j->fd >= 0) close(j->fd);
    j->fd = -1;
    buf_deinit(&j->out);
}

static void done(struct job *job)
{
    struct archive_job *j = container_of(job, struct archive_job, job);
    struct raft_driver *d = j->driver;
    struct shared_body *archive;
    struct link *l;
    j->running = false;
    if (j->read) store_read_destroy(j->read);
    take_archive(j, &archive);
    while ((l = link_pop(&d->saves))) {
        struct raft_driver_work *w = container_of(l, struct raft_driver_work, link);
        w->index = j->meta.index;
        if (archive) w->archive = shared_body_ref(archive);
        driver_finish(d, w, j->err.code, j->err.text);
    }
    shared_body_unref(archive);
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
    j->fd = -1;
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
