/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas: memory of one request, connection or message, freed whole by its owner.
 * Running out of memory ends the process with a message: inputs are bounded long before. */
#pragma once
#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *head;
    size_t used; /* bytes handed out, for bounds and metrics */
};

/* An all-zero arena is ready to use and holds no memory. */
#define ARENA_INIT \
    { \
        0 \
    }

/* Makes the first chunk just `size` bytes large instead of a page: for small arenas that live long.
 * The arena is empty. */
void arena_reserve(struct arena *a, size_t size);
/* Zeroed memory aligned for any type; never NULL. Size 0 gives a valid unique pointer. */
void *arena_alloc(struct arena *a, size_t size);
/* `count` elements of `size` bytes, zeroed; overflow ends the process. */
void *arena_array(struct arena *a, size_t count, size_t size);
void *arena_copy(struct arena *a, const void *p, size_t size);
/* Frees everything but one small chunk that is kept for reuse. */
void arena_reset(struct arena *a);
void arena_free(struct arena *a);

#define arena_new(a, type) ((type *)arena_alloc((a), sizeof(type)))

/* malloc family that ends the process when memory is gone. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
