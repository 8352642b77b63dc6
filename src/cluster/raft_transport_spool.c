/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot on its way in: pieces are gathered on the loop and written by a worker to a file
 * without a name, which is mapped when it is whole. Without a path it stays in memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "consuld/store_log.h"
#include "raft_transport.h"

#define GATHER_MAX ((size_t)1 << 20)

struct raft_spool {
    struct raft_transport *t;
    struct job job;
    char path[4400]; /* "": memory */
    uint64_t size, taken, written;
    struct buf gather, writing; /* in memory all is in `gather` */
    int fd;
    struct str mapped;
    bool busy, orphan;
    struct error err;
    void (*ready)(void *ctx);
    void *ctx;
};

static void spool_free(struct raft_spool *s)
{
    if (s->mapped.p) munmap((void *)(uintptr_t)s->mapped.p, s->mapped.n);
    if (s->fd >= 0) close(s->fd);
    buf_deinit(&s->gather);
    buf_deinit(&s->writing);
    free(s);
}

static int failed(struct raft_spool *s, const char *doing, int code)
{
    return error_set(
        &s->err, ERR_IO, "receiving a snapshot: %s %s: %s", doing, s->path, disk_strerror(code));
}

static int open_file(struct raft_spool *s, struct disk *disk)
{
    char dir[sizeof s->path];
    memcpy(dir, s->path, sizeof dir);
    char *slash = strrchr(dir, '/');
    if (slash) *slash = '\0';
    int code = slash ? disk->make_dir(disk, dir) : 0;
    if (code) return failed(s, "making the folder of", code);
    code = disk->open(disk, s->path, O_RDWR | O_CREAT | O_TRUNC, &s->fd);
    if (code) {
        s->fd = -1;
        return failed(s, "opening", code);
    }
    (void)disk->unlink(disk, s->path);
    return 0;
}

static int map_file(struct raft_spool *s)
{
    if (s->size == 0) return 0;
    void *p = mmap(NULL, (size_t)s->size, PROT_READ, MAP_PRIVATE, s->fd, 0);
    if (p == MAP_FAILED) return failed(s, "mapping", errno);
    s->mapped = (struct str){ p, (size_t)s->size };
    return 0;
}

static void run(struct job *job)
{
    struct raft_spool *s = container_of(job, struct raft_spool, job);
    struct disk *disk = disk_system();
    if (s->fd < 0 && open_file(s, disk)) return;
    int code = disk->write(disk, s->fd, s->writing.p, s->writing.n);
    if (code) {
        failed(s, "writing", code);
        return;
    }
    s->written += s->writing.n;
    if (s->written == s->size) (void)map_file(s);
}

static void begin(struct raft_spool *s);

static void done(struct job *job)
{
    struct raft_spool *s = container_of(job, struct raft_spool, job);
    struct raft_transport *t = s->t;
    t->jobs--;
    s->busy = false;
    buf_clear(&s->writing);
    raft_transport__ended(t);
    if (s->orphan) {
        spool_free(s);
        return;
    }
    begin(s);
    s->ready(s->ctx);
}

static void begin(struct raft_spool *s)
{
    bool due = s->gather.n >= RAFT_SNAPSHOT_PIECE || s->taken == s->size;
    if (s->busy || s->err.code || !due || (!s->gather.n && s->written == s->size && s->fd >= 0))
        return;
    struct buf empty = s->writing;
    s->writing = s->gather;
    s->gather = empty;
    s->busy = true;
    s->t->jobs++;
    s->job = (struct job){ .world = s->t->opts.world, .run = run, .done = done };
    job_submit(s->t->opts.world, &s->job);
}

struct raft_spool *raft_spool_create(
    struct raft_transport *t, const char *path, uint64_t size, void (*ready)(void *ctx), void *ctx)
{
    struct raft_spool *s = xcalloc(1, sizeof *s);
    size_t max = path[0] ? GATHER_MAX : (size_t)size;
    s->t = t;
    s->size = size;
    s->fd = -1;
    s->ready = ready;
    s->ctx = ctx;
    s->gather = (struct buf)BUF_INIT(max);
    s->writing = (struct buf)BUF_INIT(max);
    memcpy(s->path, path, strnlen(path, sizeof s->path - 1));
    if (s->path[0]) begin(s); /* an empty snapshot has no bytes to wait for */
    return s;
}

size_t raft_spool_put(struct raft_spool *s, const void *p, size_t n)
{
    size_t room = s->gather.max - s->gather.n;
    if (s->err.code) {
        s->taken += n; /* the rest is read and thrown away */
        return n;
    }
    if (n > room) n = room;
    buf_put(&s->gather, p, n);
    s->taken += n;
    if (s->path[0]) begin(s);
    return n;
}

bool raft_spool_done(const struct raft_spool *s)
{
    if (s->taken < s->size || s->busy) return false;
    return s->err.code || !s->path[0] || s->written == s->size;
}

bool raft_spool_take(struct raft_spool *s, struct str *out, bool *mapped, struct error *err)
{
    ensure(raft_spool_done(s));
    *mapped = s->path[0] != '\0';
    if (s->err.code) {
        *err = s->err;
        return false;
    }
    if (*mapped) {
        *out = s->mapped;
        s->mapped = STR_NIL;
    } else {
        *out = (struct str){ (const char *)s->gather.p, s->gather.n };
        s->gather = (struct buf)BUF_INIT(0);
    }
    return true;
}

void raft_spool_destroy(struct raft_spool *s)
{
    if (s->busy)
        s->orphan = true;
    else
        spool_free(s);
}
