/* SPDX-License-Identifier: Apache-2.0 */
#include "quote.h"

size_t utf8_sequence(const uint8_t *p, size_t n)
{
    uint8_t c = p[0];
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return 0;
    size_t len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (n < len) return 0;
    uint8_t low = 0x80, high = 0xbf;
    if (c == 0xe0) low = 0xa0;
    if (c == 0xed) high = 0x9f; /* surrogates */
    if (c == 0xf0) low = 0x90;
    if (c == 0xf4) high = 0x8f;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    return len;
}

size_t utf8_put(uint8_t *p, uint32_t rune)
{
    if (rune < 0x80) {
        p[0] = (uint8_t)rune;
        return 1;
    }
    if (rune < 0x800) {
        p[0] = (uint8_t)(0xc0 | rune >> 6);
        p[1] = (uint8_t)(0x80 | (rune & 0x3f));
        return 2;
    }
    if (rune < 0x10000) {
        p[0] = (uint8_t)(0xe0 | rune >> 12);
        p[1] = (uint8_t)(0x80 | (rune >> 6 & 0x3f));
        p[2] = (uint8_t)(0x80 | (rune & 0x3f));
        return 3;
    }
    p[0] = (uint8_t)(0xf0 | rune >> 18);
    p[1] = (uint8_t)(0x80 | (rune >> 12 & 0x3f));
    p[2] = (uint8_t)(0x80 | (rune >> 6 & 0x3f));
    p[3] = (uint8_t)(0x80 | (rune & 0x3f));
    return 4;
}

/* The short escapes of control characters, in the order of their codes from \a. */
static const char short_escapes[] = "abtnvfr";

static void put_control(struct buf *out, uint8_t c)
{
    if (c >= 7 && c <= 13) {
        buf_put_char(out, '\\');
        buf_put_char(out, short_escapes[c - 7]);
    } else {
        buf_printf(out, "\\x%02x", c);
    }
}

void quote_go(struct buf *out, struct str s)
{
    buf_put_char(out, '"');
    const uint8_t *p = (const uint8_t *)s.p;
    for (size_t i = 0; i < s.n;) {
        size_t len = utf8_sequence(p + i, s.n - i);
        if (len == 0) {
            buf_printf(out, "\\x%02x", p[i]);
            i++;
        } else if (len > 1) {
            buf_put(out, p + i, len);
            i += len;
        } else {
            if (p[i] == '"' || p[i] == '\\') {
                buf_put_char(out, '\\');
                buf_put_char(out, (char)p[i]);
            } else if (p[i] < 0x20 || p[i] == 0x7f) {
                put_control(out, p[i]);
            } else {
                buf_put_char(out, (char)p[i]);
            }
            i++;
        }
    }
    buf_put_char(out, '"');
}

void quote_byte(struct buf *out, uint8_t c)
{
    uint8_t utf8[4];
    buf_put_char(out, '\'');
    if (c == '\'' || c == '\\') {
        buf_put_char(out, '\\');
        buf_put_char(out, (char)c);
    } else if (c < 0x20 || c == 0x7f) {
        put_control(out, c);
    } else if (c < 0x7f) {
        buf_put_char(out, (char)c);
    } else if (c <= 0xa0 || c == 0xad) {
        buf_printf(out, "\\u%04x", c);
    } else {
        buf_put(out, utf8, utf8_put(utf8, c));
    }
    buf_put_char(out, '\'');
}
