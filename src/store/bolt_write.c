/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "bolt.h"
#include "consuld/store_log.h"

#define FIRST_PAGE 3 /* behind two metas and the list of free pages */

static void put(uint8_t *p, uint64_t v, size_t n)
{
    uint32_t v32 = (uint32_t)v;
    uint16_t v16 = (uint16_t)v;
    memcpy(p, n == 8 ? (void *)&v : n == 4 ? (void *)&v32 : (void *)&v16, n);
}

static int fail(const struct bolt_writer *w, int code, struct error *err)
{
    return error_set(err, ERR_IO, "writing %s: %s", w->path, disk_strerror(code));
}

/* A page's head in room for the whole page, which may be several; their number is used up. */
static uint8_t *page_new(struct bolt_writer *w, struct arena *a, unsigned flags, size_t count,
    size_t bytes, size_t *size)
{
    size_t pages = (bytes + BOLT_PAGE - 1) / BOLT_PAGE;
    uint8_t *p = arena_alloc(a, *size = pages * BOLT_PAGE);
    put(p, w->next, 8);
    put(p + 8, flags, 2);
    put(p + 10, count, 2);
    put(p + 12, pages - 1, 4);
    w->next += pages;
    return p;
}

static void item_put(uint8_t *p, size_t at, size_t pos, const struct bolt_item *item, bool branch)
{
    uint8_t *e = p + at;
    if (branch) {
        put(e, pos - at, 4);
        put(e + 4, item->key.n, 4);
        put(e + 8, item->child, 8);
    } else {
        put(e, item->bucket, 4);
        put(e + 4, pos - at, 4);
        put(e + 8, item->key.n, 4);
        put(e + 12, item->value.n, 4);
    }
    memcpy(p + pos, item->key.p, item->key.n);
    if (item->value.n) memcpy(p + pos + item->key.n, item->value.p, item->value.n);
}

/* The items gathered become a page, which joins the level above. */
static int items_flush(struct bolt_writer *w, bool branch, struct error *err)
{
    size_t size, pos = BOLT_HEAD * (w->items_n + 1);
    struct bolt_item *child = LIST_PUSH(&w->arena, &w->children, struct bolt_item);
    *child = (struct bolt_item){ .child = w->next };
    if (w->items_n) child->key = str_dup(&w->arena, w->items[0].key);
    uint8_t *p = page_new(
        w, &w->bytes, branch ? BOLT_BRANCH : BOLT_LEAF, w->items_n, pos + w->items_bytes, &size);
    for (size_t i = 0; i < w->items_n; i++) {
        item_put(p, BOLT_HEAD * (i + 1), pos, &w->items[i], branch);
        pos += w->items[i].key.n + w->items[i].value.n;
    }
    int code = w->disk->write(w->disk, w->fd, p, size);
    w->items_n = w->items_bytes = 0;
    arena_reset(&w->bytes);
    return code ? fail(w, code, err) : 0;
}

static int item_add(
    struct bolt_writer *w, const struct bolt_item *item, bool branch, struct error *err)
{
    size_t bytes = w->items_bytes + item->key.n + item->value.n;
    size_t heads = BOLT_HEAD * (w->items_n + 2);
    int code = 0;
    if (w->items_n && (heads + bytes > BOLT_PAGE || w->items_n == BOLT_ITEMS_MAX))
        code = items_flush(w, branch, err);
    if (code) return code;
    struct bolt_item *to = &w->items[w->items_n++];
    *to = *item;
    to->key = str_dup(&w->bytes, item->key);
    to->value = str_dup(&w->bytes, item->value);
    w->items_bytes += item->key.n + item->value.n;
    return 0;
}

/* The tree above the leaves that were written; *root is its page. */
static int tree_end(struct bolt_writer *w, uint64_t *root, struct error *err)
{
    int code = items_flush(w, false, err);
    while (!code && w->children.n > 1) {
        struct list below = w->children;
        w->children = (struct list){ 0 };
        for (size_t i = 0; !code && i < below.n; i++)
            code = item_add(w, &LIST_AT(&below, struct bolt_item, i), true, err);
        if (!code) code = items_flush(w, true, err);
    }
    *root = code ? 0 : LIST_AT(&w->children, struct bolt_item, 0).child;
    w->children = (struct list){ 0 };
    return code;
}

int bolt_begin(struct bolt_writer *w, struct disk *disk, const char *path, struct error *err)
{
    static const uint8_t room[BOLT_PAGE * 2];
    size_t size;
    memset(w, 0, sizeof *w);
    w->disk = disk;
    w->path = path;
    w->fd = -1;
    w->next = FIRST_PAGE - 1;
    int code = disk->open(disk, path, O_WRONLY | O_CREAT | O_TRUNC, &w->fd);
    if (code) w->fd = -1;
    if (!code) code = disk->write(disk, w->fd, room, sizeof room);
    const uint8_t *free_pages = page_new(w, &w->bytes, BOLT_FREELIST, 0, BOLT_HEAD, &size);
    if (!code) code = disk->write(disk, w->fd, free_pages, size);
    return code ? fail(w, code, err) : 0;
}

int bolt_put(struct bolt_writer *w, struct str key, struct str value, struct error *err)
{
    return item_add(w, &(struct bolt_item){ .key = key, .value = value }, false, err);
}

int bolt_bucket(struct bolt_writer *w, struct str name, struct error *err)
{
    uint8_t head[BOLT_HEAD] = { 0 };
    uint64_t root;
    int code = tree_end(w, &root, err);
    if (code) return code;
    put(head, root, 8);
    *LIST_PUSH(&w->arena, &w->buckets, struct bolt_item) = (struct bolt_item){
        .key = name,
        .value = str_dup(&w->arena, (struct str){ (const char *)head, sizeof head }),
        .bucket = true,
    };
    return 0;
}

static void meta_fill(const struct bolt_writer *w, uint8_t *page, uint64_t number, uint64_t root)
{
    uint8_t *m = page + BOLT_HEAD;
    memset(page, 0, BOLT_PAGE);
    put(page, number, 8);
    put(page + 8, BOLT_META, 2);
    put(m, BOLT_MAGIC, 4);
    put(m + 4, BOLT_VERSION, 4);
    put(m + 8, BOLT_PAGE, 4);
    put(m + 16, root, 8);
    put(m + 32, FIRST_PAGE - 1, 8);
    put(m + 40, w->next, 8);
    put(m + 48, number, 8); /* the transaction */
    put(m + BOLT_META_SUMMED, bolt_sum(m, BOLT_META_SUMMED), 8);
}

int bolt_end(struct bolt_writer *w, struct error *err)
{
    uint8_t metas[BOLT_PAGE * 2];
    uint64_t root;
    int code = 0;
    for (size_t i = 0; !code && i < w->buckets.n; i++)
        code = item_add(w, &LIST_AT(&w->buckets, struct bolt_item, i), false, err);
    if (!code) code = tree_end(w, &root, err);
    if (code) return code;
    meta_fill(w, metas, 0, root);
    meta_fill(w, metas + BOLT_PAGE, 1, root);
    int fd;
    code = w->disk->sync(w->disk, w->fd);
    if (!code) code = w->disk->open(w->disk, w->path, O_WRONLY, &fd);
    if (code) return fail(w, code, err);
    code = w->disk->write(w->disk, fd, metas, sizeof metas);
    if (!code) code = w->disk->sync(w->disk, fd);
    close(fd);
    return code ? fail(w, code, err) : 0;
}

void bolt_abort(struct bolt_writer *w)
{
    if (w->fd >= 0) close(w->fd);
    w->fd = -1;
    arena_free(&w->bytes);
    arena_free(&w->arena);
}
