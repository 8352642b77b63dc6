/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/cluster/spool.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consuld/base/world.h"
#include "consuld/store_log.h"

#define PIECE_MIN ((size_t)256 << 10) /* written before the end */
#define FULL ((size_t)1 << 20)
#define GATHER_MAX ((size_t)64 << 20)

struct spool {
    struct spool_options o;
    char *dir; /* NULL: memory, all is in `gather` */
    struct job job;
    uint64_t taken, written;
    struct buf gather, writing;
    int fd; /* -1: not open */
    struct shared_body *body;
    bool ended, busy, orphan;
    struct error err, failure; /* failure: the worker's, while it runs */
};

static void spool_free(struct spool *s)
{
    shared_body_unref(s->body);
    if (s->fd >= 0) close(s->fd);
    buf_deinit(&s->gather);
    buf_deinit(&s->writing);
    free(s->dir);
    free(s);
}

static void run(struct job *job)
{
    struct spool *s = container_of(job, struct spool, job);
    struct disk *disk = disk_system();
    if (s->fd < 0 && file_without_name(s->dir, &s->fd, &s->failure)) return;
    int code = disk->write(disk, s->fd, s->writing.p, s->writing.n);
    if (code)
        error_set(
            &s->failure, ERR_IO, "cannot write to a file in %s: %s", s->dir, disk_strerror(code));
    s->written += s->writing.n;
}

static void begin(struct spool *s);

static void done(struct job *job)
{
    struct spool *s = container_of(job, struct spool, job);
    s->busy = false;
    buf_clear(&s->writing);
    if (s->failure.code) s->err = s->failure;
    if (s->orphan) {
        spool_free(s);
        return;
    }
    if (!s->err.code && s->ended && s->written == s->taken)
        s->body = shared_body_map(s->fd, (size_t)s->written, &s->err);
    begin(s);
    s->o.ready(s->o.ctx);
}

static void begin(struct spool *s)
{
    bool due = s->ended ? !s->body : s->gather.n >= PIECE_MIN;
    if (s->busy || s->err.code || !due) return;
    struct buf empty = s->writing;
    s->writing = s->gather;
    s->gather = empty;
    s->busy = true;
    s->job = (struct job){ .world = s->o.world, .run = run, .done = done };
    job_submit(s->o.world, &s->job);
}

struct spool *spool_create(const struct spool_options *o)
{
    struct spool *s = xcalloc(1, sizeof *s);
    s->o = *o;
    s->fd = -1;
    if (o->dir && o->dir[0]) s->dir = xstrdup(o->dir);
    s->gather = s->writing = (struct buf)BUF_INIT(s->dir ? GATHER_MAX : (size_t)o->max);
    return s;
}

void spool_put(struct spool *s, struct str bytes)
{
    if (s->err.code) return;
    buf_put_str(&s->gather, bytes);
    s->taken += bytes.n;
    if (s->taken > s->o.max || s->gather.overflow)
        error_set(&s->err, ERR_TOO_LARGE, "more than %llu bytes", (unsigned long long)s->o.max);
    if (s->dir) begin(s);
}

bool spool_full(const struct spool *s)
{
    return s->dir && !s->err.code && s->gather.n >= FULL;
}

void spool_end(struct spool *s)
{
    if (s->ended) return;
    s->ended = true;
    if (s->dir) {
        begin(s);
    } else if (!s->err.code) {
        s->body = shared_body_take(&s->gather);
    }
}

bool spool_done(const struct spool *s)
{
    return s->ended && !s->busy && (s->body || s->err.code);
}

struct shared_body *spool_take(struct spool *s, struct error *err)
{
    ensure(spool_done(s));
    struct shared_body *b = s->body;
    if (s->err.code) *err = s->err;
    s->body = NULL;
    return b;
}

void spool_destroy(struct spool *s)
{
    if (!s) return;
    if (s->busy)
        s->orphan = true;
    else
        spool_free(s);
}
