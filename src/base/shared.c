/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consuld/base/arena.h"
#include "consuld/base/buf.h"

#define PATH_SIZE 4400
#define PASSED_STEP ((size_t)4 << 20)

enum { BEHIND, MALLOCED, MAPPED };

static struct shared_body *make(const char *bytes, size_t n, uint8_t kind)
{
    struct shared_body *b = xmalloc(sizeof *b + (kind == BEHIND ? n : 0));
    *b = (struct shared_body){ .refs = 1, .kind = kind, .n = n, .bytes = bytes };
    return b;
}

struct shared_body *shared_body_create(struct str bytes)
{
    struct shared_body *b = make(NULL, bytes.n, BEHIND);
    char *to = (char *)(b + 1);
    if (bytes.n) memcpy(to, bytes.p, bytes.n);
    b->bytes = to;
    return b;
}

struct shared_body *shared_body_take(struct buf *b)
{
    struct shared_body *body = make((char *)b->p, b->n, MALLOCED);
    *b = (struct buf){ .max = b->max };
    return body;
}

struct shared_body *shared_body_map(int fd, size_t n, struct error *err)
{
    void *p = n ? mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    if (p != MAP_FAILED) return make(p, n, MAPPED);
    error_set(err, ERR_IO, "cannot map %zu bytes of a file: %s", n, strerror(errno));
    return NULL;
}

struct shared_body *shared_body_ref(struct shared_body *b)
{
    ensure(b->refs > 0 && b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

void shared_body_unref(struct shared_body *b)
{
    if (!b) return;
    ensure(b->refs > 0);
    if (--b->refs) return;
    shared_body_unref(b->gzip);
    void *p = (void *)(uintptr_t)b->bytes;
    if (b->kind == MALLOCED) free(p);
    if (b->kind == MAPPED && b->n) munmap(p, b->n);
    free(b);
}

/* Whole pages of what lies behind `at`, a step at a time. */
static void give_back(struct shared_body *b, size_t at)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)b->bytes;
    if (at < b->passed) b->passed = 0; /* a new round */
    size_t upto = at < b->n ? at / PASSED_STEP * PASSED_STEP : b->n;
    if (upto == b->passed) return;
    uintptr_t from = (start + b->passed + page - 1) / page * page, to = start + upto;
    if (b->kind != MAPPED) to = to / page * page; /* the rest of the page is somebody else's */
    if (to > from) (void)madvise((void *)from, to - from, MADV_DONTNEED);
    b->passed = upto;
}

void shared_body_passed(struct shared_body *b, size_t at)
{
    if (b->kind == MAPPED) give_back(b, at);
}

void shared_body_spent(struct shared_body *b, size_t at)
{
    if (b->kind != BEHIND) give_back(b, at);
}

struct str shared_body_str(const struct shared_body *b)
{
    return b ? (struct str){ b->bytes, b->n } : STR_NIL;
}

int file_without_name(const char *dir, int *fd, struct error *err)
{
    char path[PATH_SIZE];
    *fd = -1;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return error_set(err, ERR_IO, "cannot make %s: %s", dir, strerror(errno));
    int n = snprintf(path, sizeof path, "%s/incoming-XXXXXX.tmp", dir);
    if (n > 0 && (size_t)n < sizeof path) *fd = mkostemps(path, 4, O_CLOEXEC);
    if (*fd < 0)
        return error_set(err, ERR_IO, "cannot make a file in %s: %s", dir, strerror(errno));
    unlink(path);
    return 0;
}
