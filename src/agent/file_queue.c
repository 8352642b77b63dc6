/* SPDX-License-Identifier: Apache-2.0 */
#include "file_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file_op {
    struct link link;
    char *path;
    bool remove;
    char *content;
    size_t n;
    int error; /* errno, set by the worker */
};

struct file_queue {
    struct world *world;
    struct job job;
    struct link queued;  /* the loop's */
    struct link running; /* the worker's while busy */
    struct link waits;
    uint64_t queued_n, done_n;
    uint64_t held_n; /* queued_n when the hold began */
    bool held;
    bool busy;
    bool dying;
};

static int make_folder(const char *path)
{
    char *folder = xstrdup(path);
    int result = 0;
    for (char *at = strchr(folder + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(folder, 0700) != 0 && errno != EEXIST) result = errno;
        *at = '/';
    }
    free(folder);
    return result;
}

static int write_whole(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return errno;
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

static int replace_file(const struct file_op *op)
{
    char temporary[4096];
    int n = snprintf(temporary, sizeof temporary, "%s.tmp", op->path);
    if (n < 0 || (size_t)n >= sizeof temporary) return ENAMETOOLONG;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 && errno == ENOENT) {
        int failed = make_folder(op->path);
        if (failed) return failed;
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    }
    if (fd < 0) return errno;
    int failed = write_whole(fd, op->content, op->n);
    if (!failed && fsync(fd) != 0) failed = errno;
    if (close(fd) != 0 && !failed) failed = errno;
    if (!failed && rename(temporary, op->path) != 0) failed = errno;
    if (failed) unlink(temporary);
    return failed;
}

static void run(struct job *job)
{
    struct file_queue *q = container_of(job, struct file_queue, job);
    link_each (it, &q->running) {
        struct file_op *op = container_of(it, struct file_op, link);
        if (op->remove) {
            op->error = unlink(op->path) == 0 || errno == ENOENT ? 0 : errno;
        } else {
            op->error = replace_file(op);
        }
    }
}

static void op_free(struct file_op *op)
{
    free(op->path);
    free(op->content);
    free(op);
}

static void start(struct file_queue *q)
{
    if (q->busy || q->held || link_empty(&q->queued)) return;
    while (!link_empty(&q->queued)) {
        struct link *l = link_pop(&q->queued);
        link_push(&q->running, l);
    }
    q->busy = true;
    job_submit(q->world, &q->job);
}

/* Told to those who wait for it. */
static void op_failed(struct file_queue *q, const struct file_op *op, uint64_t place)
{
    const char *what = op->remove ? "remove" : "write";
    log_error("agent", op->remove ? "Failed to remove file" : "Failed to write file", "path",
        op->path, "error", strerror(op->error));
    link_each (it, &q->waits) {
        struct file_wait *w = container_of(it, struct file_wait, link);
        if (place < w->from || place >= w->upto || w->err.code) continue;
        error_set(&w->err, ERR_IO, "%s %s: %s", what, op->path, strerror(op->error));
    }
}

static void done(struct job *job)
{
    struct file_queue *q = container_of(job, struct file_queue, job);
    struct link *l, ready;
    link_init(&ready);
    while ((l = link_pop(&q->running))) {
        struct file_op *op = container_of(l, struct file_op, link);
        if (op->error) op_failed(q, op, q->done_n);
        q->done_n++;
        op_free(op);
    }
    q->busy = false;
    link_each (it, &q->waits) {
        if (container_of(it, struct file_wait, link)->upto > q->done_n) continue;
        link_remove(it);
        link_push(&ready, it);
    }
    start(q);
    while ((l = link_pop(&ready))) {
        struct file_wait *w = container_of(l, struct file_wait, link);
        w->done(w);
    }
    if (q->dying && !q->busy) free(q);
}

struct file_queue *file_queue_create(struct world *w)
{
    struct file_queue *q = xcalloc(1, sizeof *q);
    q->world = w;
    q->job.run = run;
    q->job.done = done;
    link_init(&q->queued);
    link_init(&q->running);
    link_init(&q->waits);
    return q;
}

void file_queue_destroy(struct file_queue *q)
{
    if (!q) return;
    link_each (it, &q->waits) {
        link_remove(it);
    }
    q->dying = true;
    if (!q->busy) free(q);
}

static void enqueue(struct file_queue *q, const char *path, bool remove, struct str content)
{
    struct file_op *op = xcalloc(1, sizeof *op);
    op->path = xstrdup(path);
    op->remove = remove;
    op->n = content.n;
    op->content = xmalloc(content.n);
    if (content.n) memcpy(op->content, content.p, content.n);
    link_push(&q->queued, &op->link);
    q->queued_n++;
    start(q);
}

void file_queue_write(struct file_queue *q, const char *path, struct str content)
{
    enqueue(q, path, false, content);
}

void file_queue_remove(struct file_queue *q, const char *path)
{
    enqueue(q, path, true, STR_NIL);
}

void file_queue_hold(struct file_queue *q)
{
    ensure(!q->held);
    q->held = true;
    q->held_n = q->queued_n;
}

void file_queue_release(struct file_queue *q)
{
    q->held = false;
    start(q);
}

void file_queue_drop(struct file_queue *q)
{
    for (; q->queued_n > q->held_n; q->queued_n--) {
        struct link *last = q->queued.prev;
        ensure(last != &q->queued);
        link_remove(last);
        op_free(container_of(last, struct file_op, link));
    }
    file_queue_release(q);
}

uint64_t file_queue_place(const struct file_queue *q)
{
    return q->queued_n;
}

bool file_queue_wait(struct file_queue *q, struct file_wait *w, uint64_t from)
{
    link_init(&w->link);
    w->err.code = ERR_OK;
    if (q->done_n == q->queued_n) return false;
    w->from = from;
    w->upto = q->queued_n;
    link_push(&q->waits, &w->link);
    return true;
}

void file_wait_cancel(struct file_wait *w)
{
    link_remove(&w->link);
}
