/* SPDX-License-Identifier: Apache-2.0 */
#include "append_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consuld/store_log.h"

/* What is to be done next; one is filled while the other is with the worker. */
struct batch {
    bool rewrite; /* `bytes` replace the file */
    struct buf bytes;
    bool sync;
    bool any;
    uint64_t tag;
};

struct append_file {
    struct append_file_options opts;
    struct disk *disk;
    struct job job;
    bool busy;
    bool broken; /* nothing is appended before the next rewrite */
    bool overflow;
    struct batch next;
    void (*closed)(void *ctx);
    void *closed_ctx;
    bool closing;
    /* the worker's while busy */
    struct batch now;
    char *path, *fresh;
    int fd;
    const char *what; /* NULL: it went well */
    int code;
};

static int fail(struct append_file *f, const char *what, int code)
{
    f->what = what;
    f->code = code;
    return code;
}

static void make_folder(struct append_file *f)
{
    char *slash = strrchr(f->path, '/');
    if (!slash || slash == f->path) return;
    *slash = '\0';
    (void)f->disk->make_dir(f->disk, f->path); /* open tells what is wrong */
    *slash = '/';
}

static int open_fresh(struct append_file *f, const char *path, int flags)
{
    int code = f->disk->open(f->disk, path, flags, &f->fd);
    if (code)
        f->fd = -1;
    else if (fchmod(f->fd, f->opts.mode) != 0)
        return errno;
    return code;
}

static int write_all(struct append_file *f)
{
    struct batch *b = &f->now;
    int code;
    if (b->rewrite && f->fd >= 0) {
        close(f->fd);
        f->fd = -1;
    }
    if (f->fd < 0) make_folder(f);
    if (b->rewrite) {
        code = open_fresh(f, f->fresh, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
        if (code) return fail(f, "open", code);
    } else if (f->fd < 0) {
        code = open_fresh(f, f->path, O_WRONLY | O_CREAT | O_APPEND);
        if (code) return fail(f, "open", code);
    }
    code = f->disk->write(f->disk, f->fd, b->bytes.p, b->bytes.n);
    if (code) return fail(f, "write", code);
    if (b->sync || b->rewrite) {
        code = f->disk->sync(f->disk, f->fd);
        if (code) return fail(f, "sync", code);
    }
    if (b->rewrite) {
        code = f->disk->rename(f->disk, f->fresh, f->path);
        if (code) return fail(f, "rename", code);
    }
    return 0;
}

static void run(struct job *job)
{
    struct append_file *f = container_of(job, struct append_file, job);
    f->what = NULL;
    if (write_all(f) == 0) return;
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}

static void submit(struct append_file *f);

static void end(struct append_file *f)
{
    void (*closed)(void *ctx) = f->closed;
    void *ctx = f->closed_ctx;
    if (f->fd >= 0) close(f->fd);
    buf_deinit(&f->now.bytes);
    buf_deinit(&f->next.bytes);
    free(f->path);
    free(f->fresh);
    free(f);
    closed(ctx);
}

static void done(struct job *job)
{
    struct append_file *f = container_of(job, struct append_file, job);
    char why[512];
    bool failed = f->what != NULL, over = f->overflow;
    f->busy = false;
    f->overflow = false;
    if (failed) {
        snprintf(why, sizeof why, "%s %s: %s", f->what, f->path, disk_strerror(f->code));
    } else if (over) {
        snprintf(why, sizeof why, "write %s: the disk is too slow", f->path);
    }
    if ((failed || over) && !f->next.rewrite) {
        f->broken = true;
        f->next.any = false;
        buf_clear(&f->next.bytes);
    }
    if (!f->closing && f->opts.written)
        f->opts.written(f->opts.ctx, f->now.tag, failed || over ? why : NULL);
    if (f->next.any && !f->busy) submit(f);
    if (f->closing && !f->busy) end(f);
}

static void submit(struct append_file *f)
{
    struct batch spare = f->now;
    f->now = f->next;
    f->next = spare;
    f->next.any = f->next.rewrite = f->next.sync = false;
    buf_clear(&f->next.bytes);
    f->busy = true;
    f->job.run = run;
    f->job.done = done;
    job_submit(f->opts.world, &f->job);
}

struct append_file *append_file_create(const struct append_file_options *o)
{
    struct append_file *f = xcalloc(1, sizeof *f);
    size_t n = strlen(o->path) + sizeof ".compact";
    f->opts = *o;
    f->disk = o->disk ? o->disk : disk_system();
    f->path = xstrdup(o->path);
    f->fresh = xmalloc(n);
    snprintf(f->fresh, n, "%s.compact", o->path);
    f->fd = -1;
    f->now.bytes = f->next.bytes = (struct buf)BUF_INIT(APPEND_FILE_QUEUE_MAX + (8u << 20));
    return f;
}

void append_file_put(
    struct append_file *f, struct str rewrite, struct str append, bool sync, uint64_t tag)
{
    struct batch *b = &f->next;
    ensure(!f->closing);
    if (rewrite.p) {
        buf_clear(&b->bytes);
        buf_put_str(&b->bytes, rewrite);
        b->rewrite = true;
        f->broken = false;
    }
    if (f->broken) return;
    if (b->bytes.overflow || (!rewrite.p && b->bytes.n + append.n > APPEND_FILE_QUEUE_MAX)) {
        f->overflow = true;
    } else {
        buf_put_str(&b->bytes, append);
        if (b->bytes.n == 0 && !sync && !b->rewrite) return;
    }
    b->sync |= sync;
    b->tag = tag;
    b->any = true;
    if (!f->busy) submit(f);
}

void append_file_close(struct append_file *f, void (*closed)(void *ctx), void *ctx)
{
    f->closing = true;
    f->closed = closed;
    f->closed_ctx = ctx;
    f->next.sync = true;
    f->next.any = !f->broken && (f->busy || f->fd >= 0);
    if (f->busy) return;
    if (f->next.any)
        submit(f);
    else
        end(f);
}
