/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/wire/json.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct str bytes, struct buf *out)
{
    size_t size = (bytes.n + 2) / 3 * 4;
    uint8_t *w = buf_reserve(out, size);
    if (!w) return;
    const uint8_t *p = (const uint8_t *)bytes.p;
    size_t left = bytes.n;
    for (; left >= 3; left -= 3, p += 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *w++ = (uint8_t)alphabet[v >> 18];
        *w++ = (uint8_t)alphabet[v >> 12 & 63];
        *w++ = (uint8_t)alphabet[v >> 6 & 63];
        *w++ = (uint8_t)alphabet[v & 63];
    }
    if (left > 0) {
        uint32_t v = (uint32_t)p[0] << 16 | (left > 1 ? (uint32_t)p[1] << 8 : 0);
        *w++ = (uint8_t)alphabet[v >> 18];
        *w++ = (uint8_t)alphabet[v >> 12 & 63];
        *w++ = left > 1 ? (uint8_t)alphabet[v >> 6 & 63] : '=';
        *w++ = '=';
    }
    out->n += size;
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static size_t skip_line_ends(struct str text, size_t at)
{
    while (at < text.n && (text.p[at] == '\r' || text.p[at] == '\n'))
        at++;
    return at;
}

/* Checks the padding that begins at `at` after `have` digits of a group; the position of the first
 * wrong byte, or text.n + 1 if all is well. */
static size_t check_padding(struct str text, size_t at, int have)
{
    if (text.p[at] != '=' || have < 2) return at;
    size_t next = skip_line_ends(text, at + 1);
    if (have == 2) {
        if (next == text.n) return text.n;
        if (text.p[next] != '=') return next - 1;
        next = skip_line_ends(text, next + 1);
    }
    return next < text.n ? next : text.n + 1;
}

/* Decodes into `w` (room for 3/4 of the text); position of the first wrong byte or text.n + 1. */
static size_t decode(struct str text, uint8_t *w, size_t *n)
{
    uint32_t group = 0;
    int have = 0;
    size_t at = skip_line_ends(text, 0);
    for (; at < text.n && digit(text.p[at]) >= 0; at = skip_line_ends(text, at + 1)) {
        group = group << 6 | (uint32_t)digit(text.p[at]);
        if (++have < 4) continue;
        w[(*n)++] = (uint8_t)(group >> 16);
        w[(*n)++] = (uint8_t)(group >> 8);
        w[(*n)++] = (uint8_t)group;
        group = 0;
        have = 0;
    }
    if (at == text.n) return have ? at - (size_t)have : text.n + 1;
    size_t wrong = check_padding(text, at, have);
    if (wrong <= text.n) return wrong;
    group <<= 6 * (4 - have);
    w[(*n)++] = (uint8_t)(group >> 16);
    if (have == 3) w[(*n)++] = (uint8_t)(group >> 8);
    return wrong;
}

int base64_parse(struct str text, struct arena *a, struct str *out, struct error *err)
{
    uint8_t *bytes = arena_alloc(a, text.n / 4 * 3 + 3);
    size_t n = 0;
    size_t wrong = decode(text, bytes, &n);
    if (wrong <= text.n)
        return error_set(err, ERR_DECODE, "illegal base64 data at input byte %zu", wrong);
    *out = (struct str){ (char *)bytes, n };
    return 0;
}

bool base64_decode(struct str text, struct arena *a, struct str *out)
{
    return base64_parse(text, a, out, NULL) == 0;
}
