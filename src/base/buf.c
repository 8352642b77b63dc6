/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/base/arena.h"
#include "consuld/base/error.h"

#define CAP_MIN ((size_t)256)

void buf_deinit(struct buf *b)
{
    free(b->p);
    b->p = NULL;
    b->n = b->cap = 0;
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->overflow = false;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    ensure(b->n <= b->cap);
    if (b->overflow) return NULL;
    if (b->cap - b->n >= n) return b->p ? b->p + b->n : (uint8_t *)"";
    if (n > b->max || b->n > b->max - n) {
        b->overflow = true;
        return NULL;
    }
    size_t cap = b->cap ? b->cap : CAP_MIN;
    while (cap < b->n + n)
        cap *= 2;
    if (cap > b->max) cap = b->max;
    b->p = xrealloc(b->p, cap);
    b->cap = cap;
    return b->p + b->n;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    if (n == 0) return;
    uint8_t *to = buf_reserve(b, n);
    if (!to) return;
    memcpy(to, p, n);
    b->n += n;
}

void buf_put_char(struct buf *b, char c)
{
    if (b->n < b->cap && !b->overflow) {
        b->p[b->n++] = (uint8_t)c;
        return;
    }
    buf_put(b, &c, 1);
}

void buf_put_str(struct buf *b, struct str s)
{
    buf_put(b, s.p, s.n);
}

void buf_put_c(struct buf *b, const char *c)
{
    buf_put(b, c, strlen(c));
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    ensure(n >= 0);
    uint8_t *to = buf_reserve(b, (size_t)n + 1);
    if (to) {
        vsnprintf((char *)to, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_put(b, digits + at, sizeof digits - at);
}

void buf_consume(struct buf *b, size_t n)
{
    ensure(n <= b->n);
    b->n -= n;
    if (b->n && n) memmove(b->p, b->p + n, b->n);
}

struct str buf_str(const struct buf *b)
{
    return (struct str){ b->p ? (const char *)b->p : "", b->n };
}
