/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "token.h"

void cursor_init(struct cursor *c, const void *p, size_t n, struct error *err)
{
    static const uint8_t nothing[1];
    const uint8_t *start = n ? p : nothing;
    *c = (struct cursor){ .p = start,
        .end = start + n,
        .start = start,
        .depth_max = MSGPACK_DEPTH_MAX,
        .elements_max = MSGPACK_ELEMENTS_MAX,
        .memory_max = MSGPACK_MEMORY_MAX(n),
        .err = err };
}

size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->p);
}

int cursor_fail(struct cursor *c, int code, const char *fmt, ...)
{
    if (c->code) return c->code;
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->code = code;
    c->p = c->end; /* every later read finds nothing */
    error_set(c->err, code, "%s", text);
    return code;
}

static const uint8_t *take(struct cursor *c, size_t n)
{
    if (cursor_left(c) < n) {
        cursor_fail(c, ERR_EOF, "EOF");
        return NULL;
    }
    const uint8_t *p = c->p;
    c->p += n;
    return p;
}

static uint64_t big_endian(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* A number of `size` bytes; false at the end of input. */
static bool take_number(struct cursor *c, size_t size, uint64_t *out)
{
    const uint8_t *p = take(c, size);
    if (p) *out = big_endian(p, size);
    return p != NULL;
}

static struct token bytes_token(struct cursor *c, struct token t, enum token_kind kind, uint64_t n)
{
    t.p = take(c, (size_t)n);
    if (!t.p) return t;
    t.kind = kind;
    t.n = (uint32_t)n;
    return t;
}

static struct token bytes_sized(struct cursor *c, struct token t, enum token_kind kind, size_t size)
{
    uint64_t n = 0;
    if (!take_number(c, size, &n)) return t;
    return bytes_token(c, t, kind, n + (kind == TOKEN_EXT));
}

static struct token counted(struct cursor *c, struct token t, enum token_kind kind, uint64_t n)
{
    uint64_t values = kind == TOKEN_MAP ? 2 * n : n;
    if (values > c->elements_max) {
        cursor_fail(c, ERR_DECODE, "msgpack: more than %u elements", MSGPACK_ELEMENTS_MAX);
        return t;
    }
    if (values > cursor_left(c)) { /* an element has at least one byte */
        cursor_fail(c, ERR_EOF, "EOF");
        return t;
    }
    c->elements_max -= (size_t)values;
    t.kind = kind;
    t.n = (uint32_t)n;
    return t;
}

static struct token counted_sized(
    struct cursor *c, struct token t, enum token_kind kind, size_t size)
{
    uint64_t n = 0;
    return take_number(c, size, &n) ? counted(c, t, kind, n) : t;
}

static struct token unsigned_token(struct cursor *c, struct token t, size_t size)
{
    if (take_number(c, size, &t.u)) t.kind = TOKEN_UINT;
    return t;
}

static struct token signed_token(struct cursor *c, struct token t, size_t size)
{
    uint64_t v = 0;
    if (!take_number(c, size, &v)) return t;
    unsigned unused = (unsigned)(64 - 8 * size);
    t.i = (int64_t)(v << unused) >> unused;
    t.kind = TOKEN_INT;
    return t;
}

static struct token float_token(struct cursor *c, struct token t, size_t size)
{
    uint64_t v = 0;
    if (!take_number(c, size, &v)) return t;
    if (size == 4) {
        float f;
        uint32_t bits = (uint32_t)v;
        memcpy(&f, &bits, sizeof f);
        t.f = (double)f;
        t.kind = TOKEN_F32;
    } else {
        memcpy(&t.f, &v, sizeof t.f);
        t.kind = TOKEN_F64;
    }
    return t;
}

static struct token simple(struct token t, enum token_kind kind)
{
    t.kind = kind;
    return t;
}

struct token token_next(struct cursor *c)
{
    struct token t = { 0 };
    const uint8_t *head = take(c, 1);
    if (!head) return t;
    uint8_t b = t.byte = *head;
    if (b < 0x80 || b >= 0xe0) {
        t.i = (int8_t)b;
        return simple(t, TOKEN_INT);
    }
    if (b < 0x90) return counted(c, t, TOKEN_MAP, b & 0x0f);
    if (b < 0xa0) return counted(c, t, TOKEN_ARRAY, b & 0x0f);
    if (b < 0xc0) return bytes_token(c, t, TOKEN_RAW, b & 0x1f);
    switch (b) {
    case 0xc0:
        return simple(t, TOKEN_NIL);
    case 0xc2:
    case 0xc3:
        t.u = b & 1;
        return simple(t, TOKEN_BOOL);
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return bytes_sized(c, t, TOKEN_BIN, (size_t)1 << (b - 0xc4));
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return bytes_sized(c, t, TOKEN_EXT, (size_t)1 << (b - 0xc7));
    case 0xca:
        return float_token(c, t, 4);
    case 0xcb:
        return float_token(c, t, 8);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return unsigned_token(c, t, (size_t)1 << (b - 0xcc));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return signed_token(c, t, (size_t)1 << (b - 0xd0));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return bytes_token(c, t, TOKEN_EXT, ((uint64_t)1 << (b - 0xd4)) + 1);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return bytes_sized(c, t, TOKEN_RAW, (size_t)1 << (b - 0xd9));
    case 0xdc:
    case 0xdd:
        return counted_sized(c, t, TOKEN_ARRAY, (size_t)2 << (b - 0xdc));
    case 0xde:
    case 0xdf:
        return counted_sized(c, t, TOKEN_MAP, (size_t)2 << (b - 0xde));
    default:
        return simple(t, TOKEN_BAD);
    }
}

void token_refuse(struct cursor *c, struct token t)
{
    cursor_fail(c, ERR_DECODE,
        "codec.decoder: readContainerLen: Unrecognized descriptor byte: hex: %x, dec: %d", t.byte,
        t.byte);
}

int msgpack_skip(struct cursor *c)
{
    for (uint64_t left = 1; left > 0; left--) {
        struct token t = token_next(c);
        if (c->code) break;
        if (t.kind == TOKEN_ARRAY) left += t.n;
        if (t.kind == TOKEN_MAP) left += 2 * (uint64_t)t.n;
        if (t.kind == TOKEN_BAD) token_refuse(c, t);
    }
    return c->code;
}

/* --- integers ------------------------------------------------------------------------------ */

#define BAD_INTEGER \
    "codec.decoder: Unhandled single-byte unsigned integer value: Unrecognized descriptor byte: " \
    "%x"

int64_t token_int(struct cursor *c, struct token t, unsigned bits)
{
    int64_t v = t.i;
    if (t.kind == TOKEN_NIL) return 0;
    if (t.kind == TOKEN_UINT && t.u <= INT64_MAX) {
        v = (int64_t)t.u;
    } else if (t.kind == TOKEN_UINT) {
        cursor_fail(
            c, ERR_DECODE, "codec.decoder: Overflow int value: %llu", (unsigned long long)t.u);
        return 0;
    } else if (t.kind != TOKEN_INT) {
        cursor_fail(c, ERR_DECODE, BAD_INTEGER, t.byte);
        return 0;
    }
    if (bits && bits < 64 && (v < -(INT64_C(1) << (bits - 1)) || v >= INT64_C(1) << (bits - 1))) {
        cursor_fail(c, ERR_DECODE, "codec.decoder: Overflow int value: %lld", (long long)v);
        return 0;
    }
    return v;
}

uint64_t token_uint(struct cursor *c, struct token t, unsigned bits)
{
    uint64_t v = t.u;
    if (t.kind == TOKEN_NIL) return 0;
    if (t.kind == TOKEN_INT && t.i < 0) {
        /* A small negative is named by its byte, as Go does. */
        long long shown = t.byte >= 0xe0 ? (long long)t.byte : (long long)t.i;
        cursor_fail(c, ERR_DECODE,
            "codec.decoder: Assigning negative signed value: %lld, to unsigned type", shown);
        return 0;
    }
    if (t.kind != TOKEN_INT && t.kind != TOKEN_UINT) {
        cursor_fail(c, ERR_DECODE, BAD_INTEGER, t.byte);
        return 0;
    }
    if (bits && bits < 64 && v >> bits) {
        cursor_fail(
            c, ERR_DECODE, "codec.decoder: Overflow uint value: %llu", (unsigned long long)v);
        return 0;
    }
    return v;
}

bool token_bool(struct cursor *c, struct token t)
{
    if (t.kind == TOKEN_NIL) return false;
    if (t.kind == TOKEN_BOOL) return t.u;
    if (t.byte == 0 || t.byte == 1) return t.byte;
    cursor_fail(c, ERR_DECODE,
        "codec.decoder: Invalid single-byte value for bool: Unrecognized descriptor byte: %x",
        t.byte);
    return false;
}

/* --- single values ------------------------------------------------------------------------- */

struct str msgpack_get_str(struct cursor *c)
{
    struct token t = token_next(c);
    if (t.kind == TOKEN_RAW) return token_str(t);
    if (t.kind != TOKEN_NIL) token_refuse(c, t);
    return STR_NIL;
}

uint64_t msgpack_get_uint(struct cursor *c)
{
    return token_uint(c, token_next(c), 64);
}

int64_t msgpack_get_int(struct cursor *c)
{
    return token_int(c, token_next(c), 64);
}

bool msgpack_get_bool(struct cursor *c)
{
    return token_bool(c, token_next(c));
}

static uint32_t get_count(struct cursor *c, enum token_kind kind)
{
    struct token t = token_next(c);
    if (t.kind == kind) return t.n;
    if (t.kind != TOKEN_NIL) token_refuse(c, t);
    return 0;
}

uint32_t msgpack_get_map(struct cursor *c)
{
    return get_count(c, TOKEN_MAP);
}

uint32_t msgpack_get_array(struct cursor *c)
{
    return get_count(c, TOKEN_ARRAY);
}

bool msgpack_get_nil(struct cursor *c)
{
    if (cursor_left(c) == 0 || *c->p != 0xc0) return false;
    c->p++;
    return true;
}
