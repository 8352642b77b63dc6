/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bolt.h"

#define DEPTH_MAX 32

static uint64_t get(const void *p, size_t n)
{
    uint64_t v64;
    uint32_t v32;
    uint16_t v16;
    if (n == 8) return memcpy(&v64, p, 8), v64;
    if (n == 4) return memcpy(&v32, p, 4), v32;
    return memcpy(&v16, p, 2), v16;
}

/* FNV-1a. */
uint64_t bolt_sum(const uint8_t *p, size_t n)
{
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * UINT64_C(1099511628211);
    return sum;
}

/* Takes root and page size of a meta page if it is whole and newer than *newest. */
static void read_meta(struct bolt *b, size_t at, uint64_t *newest)
{
    const uint8_t *m = (const uint8_t *)b->map.p + at + BOLT_HEAD;
    if (b->map.n < at + BOLT_HEAD + BOLT_META_SUMMED + 8) return;
    uint64_t transaction = get(m + 48, 8), page_size = get(m + 8, 4);
    if (get(m, 4) != BOLT_MAGIC || get(m + 4, 4) != BOLT_VERSION) return;
    if (get(m + BOLT_META_SUMMED, 8) != bolt_sum(m, BOLT_META_SUMMED)) return;
    if (page_size < 512 || page_size > (1u << 20) || (b->page_size && transaction < *newest))
        return;
    b->page_size = page_size;
    b->root = get(m + 16, 8);
    *newest = transaction;
}

int bolt_open(struct bolt *b, int fd, const char *path, struct error *err)
{
    struct stat st;
    uint64_t newest = 0;
    *b = (struct bolt){ 0 };
    if (fstat(fd, &st) < 0) return error_set(err, ERR_IO, "reading %s: %s", path, strerror(errno));
    if (st.st_size > 0) {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
            return error_set(err, ERR_IO, "mapping %s: %s", path, strerror(errno));
        b->map = (struct str){ map, (size_t)st.st_size };
    }
    read_meta(b, 0, &newest);
    /* The second page, also when the first one is torn and does not tell its size. */
    if (b->page_size) read_meta(b, b->page_size, &newest);
    for (size_t size = 4096; !b->page_size && size <= 65536; size *= 2)
        read_meta(b, size, &newest);
    if (b->page_size) return 0;
    bolt_close(b);
    return error_set(err, ERR_DECODE, "%s is not a database of BoltDB, or damaged", path);
}

void bolt_close(struct bolt *b)
{
    if (b->map.p) munmap((void *)(uintptr_t)b->map.p, b->map.n);
    *b = (struct bolt){ 0 };
}

struct walk {
    const struct bolt *b;
    bool buckets;  /* wanted: only elements that are buckets, else only those that are not */
    uint64_t left; /* pages that may still be read */
    bolt_each_fn each;
    void *ctx;
    struct error *err;
};

static int damaged(const struct walk *w)
{
    return error_set(w->err, ERR_DECODE, "the database of BoltDB is damaged");
}

static struct str page_at(const struct walk *w, uint64_t number)
{
    uint64_t pages = w->b->map.n / w->b->page_size;
    if (number >= pages) return STR_NIL;
    const char *p = w->b->map.p + number * w->b->page_size;
    uint64_t overflow = get(p + 12, 4);
    if (overflow >= pages - number) return STR_NIL;
    return (struct str){ p, (size_t)((overflow + 1) * w->b->page_size) };
}

/* n bytes at an offset of the page. */
static bool part(struct str page, size_t at, uint64_t pos, uint64_t n, struct str *out)
{
    if (pos > page.n - at || n > page.n - at - pos) return false;
    *out = (struct str){ page.p + at + pos, (size_t)n };
    return true;
}

static int walk_leaf(struct walk *w, struct str page, size_t at)
{
    const char *e = page.p + at;
    uint64_t pos = get(e + 4, 4), key_n = get(e + 8, 4);
    struct str key, value;
    if (!part(page, at, pos, key_n, &key) || !part(page, at, pos + key_n, get(e + 12, 4), &value))
        return damaged(w);
    return (get(e, 4) & 1) == w->buckets ? w->each(w->ctx, key, value, w->err) : 0;
}

static int walk_page(struct walk *w, struct str page, int depth)
{
    if (page.n < BOLT_HEAD || depth == DEPTH_MAX || w->left-- == 0) return damaged(w);
    uint64_t flags = get(page.p + 8, 2), count = get(page.p + 10, 2);
    bool branch = flags & BOLT_BRANCH;
    if (!(flags & (BOLT_BRANCH | BOLT_LEAF)) || count > page.n / BOLT_HEAD - 1) return damaged(w);
    int code = 0;
    for (size_t at = BOLT_HEAD; !code && count-- > 0; at += BOLT_HEAD)
        code = branch ? walk_page(w, page_at(w, get(page.p + at + 8, 8)), depth + 1)
                      : walk_leaf(w, page, at);
    return code;
}

static int walk_root(const struct bolt *b, struct str page, bool buckets, bolt_each_fn each,
    void *ctx, struct error *err)
{
    struct walk w = { b, buckets, b->map.n / b->page_size + 1, each, ctx, err };
    return walk_page(&w, page.p ? page : page_at(&w, b->root), 0);
}

struct search {
    struct str name, bucket;
};

static int is_bucket(void *ctx, struct str key, struct str value, struct error *err)
{
    struct search *s = ctx;
    (void)err;
    if (str_eq(key, s->name)) s->bucket = value;
    return 0;
}

int bolt_each(
    const struct bolt *b, struct str bucket, bolt_each_fn each, void *ctx, struct error *err)
{
    struct search s = { .name = bucket };
    int code = walk_root(b, STR_NIL, true, is_bucket, &s, err);
    if (code || !s.bucket.p) return code;
    if (s.bucket.n < BOLT_HEAD) return error_set(err, ERR_DECODE, "a bucket is damaged");
    struct bolt of = *b;
    of.root = get(s.bucket.p, 8);
    /* A small bucket has its one page behind its head. */
    struct str inside = of.root ? STR_NIL : str_slice(s.bucket, BOLT_HEAD, s.bucket.n);
    return walk_root(&of, inside, false, each, ctx, err);
}
