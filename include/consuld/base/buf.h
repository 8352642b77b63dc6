/* SPDX-License-Identifier: Apache-2.0 */
/* Growing byte buffers with a maximum fixed at creation. Writing past the maximum sets a sticky
 * `overflow` and writes nothing more: check once at the end. */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consuld/base/str.h"

struct buf {
    uint8_t *p;
    size_t n;
    size_t cap;
    size_t max;
    bool overflow;
};

#define BUF_INIT(limit) \
    { \
        .max = (limit) \
    }

void buf_deinit(struct buf *b);
/* Empties the buffer and clears overflow; keeps the memory. */
void buf_clear(struct buf *b);
/* Room for `n` more bytes: a pointer to write to (then add to b->n), or NULL on overflow. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_char(struct buf *b, char c);
void buf_put_str(struct buf *b, struct str s);
void buf_put_c(struct buf *b, const char *c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_put_u64(struct buf *b, uint64_t v);
/* Drops the first n bytes (n <= b->n). */
void buf_consume(struct buf *b, size_t n);
/* View of the content, valid until the next write. */
struct str buf_str(const struct buf *b);
