/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/arena.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/base/error.h"

#define CHUNK_MIN ((size_t)4096)
#define CHUNK_MAX ((size_t)1 << 20)

struct arena_chunk {
    struct arena_chunk *next;
    size_t n;
    size_t cap;
    max_align_t data[];
};

static void *require(void *p, size_t size)
{
    if (!p) {
        fprintf(stderr, "consuld: out of memory for %zu bytes\n", size);
        abort();
    }
    return p;
}

void *xmalloc(size_t size)
{
    return require(malloc(size ? size : 1), size);
}

void *xcalloc(size_t count, size_t size)
{
    return require(calloc(count ? count : 1, size ? size : 1), size);
}

void *xrealloc(void *p, size_t size)
{
    return require(realloc(p, size ? size : 1), size);
}

char *xstrdup(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(xmalloc(n), s, n);
}

static struct arena_chunk *chunk_add(struct arena *a, size_t size)
{
    size_t cap = a->head ? a->head->cap * 2 : CHUNK_MIN;
    if (cap < CHUNK_MIN) cap = CHUNK_MIN;
    if (cap > CHUNK_MAX) cap = CHUNK_MAX;
    if (cap < size) cap = size;
    ensure(cap <= SIZE_MAX - sizeof(struct arena_chunk));
    struct arena_chunk *c = xmalloc(sizeof *c + cap);
    c->next = a->head;
    c->n = 0;
    c->cap = cap;
    a->head = c;
    return c;
}

void arena_reserve(struct arena *a, size_t size)
{
    const size_t align = sizeof(max_align_t);
    ensure(!a->head && size <= SIZE_MAX / 2);
    size = (size + align - 1) / align * align;
    struct arena_chunk *c = xmalloc(sizeof *c + size);
    *c = (struct arena_chunk){ .cap = size };
    a->head = c;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = sizeof(max_align_t);
    ensure(size <= SIZE_MAX / 2);
    size = size ? (size + align - 1) / align * align : align;
    struct arena_chunk *c = a->head;
    if (!c || c->cap - c->n < size) c = chunk_add(a, size);
    void *p = (char *)c->data + c->n;
    c->n += size;
    a->used += size;
    return memset(p, 0, size);
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    ensure(size == 0 || count <= SIZE_MAX / 2 / size);
    return arena_alloc(a, count * size);
}

void *arena_copy(struct arena *a, const void *p, size_t size)
{
    void *out = arena_alloc(a, size);
    if (size) memcpy(out, p, size);
    return out;
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *c = a->head, *keep = NULL;
    while (c) {
        struct arena_chunk *next = c->next;
        if (!keep && c->cap <= CHUNK_MIN) {
            keep = c;
        } else {
            free(c);
        }
        c = next;
    }
    if (keep) {
        keep->next = NULL;
        keep->n = 0;
    }
    a->head = keep;
    a->used = 0;
}

void arena_free(struct arena *a)
{
    for (struct arena_chunk *c = a->head; c;) {
        struct arena_chunk *next = c->next;
        free(c);
        c = next;
    }
    a->head = NULL;
    a->used = 0;
}
