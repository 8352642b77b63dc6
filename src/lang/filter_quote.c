/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "filter.h"

struct cursor {
    struct str text;
    size_t at;
};

static char peek(const struct cursor *c)
{
    return c->at < c->text.n ? c->text.p[c->at] : '\0';
}

static int hex_value(char c)
{
    if ((c >= '0' && c <= '9')) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static void put_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_put_char(out, (char)c);
    } else if (c < 0x800) {
        buf_put_char(out, (char)(0xc0 | c >> 6));
        buf_put_char(out, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_put_char(out, (char)(0xe0 | c >> 12));
        buf_put_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_put_char(out, (char)(0x80 | (c & 0x3f)));
    } else {
        buf_put_char(out, (char)(0xf0 | c >> 18));
        buf_put_char(out, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_put_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_put_char(out, (char)(0x80 | (c & 0x3f)));
    }
}

/* `digits` hex digits of a \x, \u or \U escape. */
static bool hex_escape(struct cursor *p, int digits, uint32_t *out)
{
    uint32_t v = 0;
    for (int i = 0; i < digits; i++) {
        int h = hex_value(peek(p));
        if (h < 0) return false;
        v = v << 4 | (uint32_t)h;
        p->at++;
    }
    *out = v;
    return true;
}

static bool octal_escape(struct cursor *p, uint32_t *out)
{
    uint32_t v = 0;
    for (int i = 0; i < 3; i++) {
        char c = peek(p);
        if (c < '0' || c > '7') return false;
        v = v << 3 | (uint32_t)(c - '0');
        p->at++;
    }
    *out = v;
    return v < 256;
}

static bool escape(struct cursor *p, struct buf *out)
{
    static const char from[] = "abfnrtv\\\"", to[] = "\a\b\f\n\r\t\v\\\"";
    char c = peek(p);
    const char *known = c ? strchr(from, c) : NULL;
    uint32_t v;
    if (known) {
        p->at++;
        buf_put_char(out, to[known - from]);
        return true;
    }
    if (c >= '0' && c <= '7') {
        if (!octal_escape(p, &v)) return false;
        buf_put_char(out, (char)v);
        return true;
    }
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (!digits) return false;
    p->at++;
    if (!hex_escape(p, digits, &v)) return false;
    if (digits == 2) {
        buf_put_char(out, (char)v);
        return true;
    }
    if (v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return false;
    put_utf8(out, v);
    return true;
}

bool filter__unquote(struct str body, struct arena *a, struct str *out)
{
    struct cursor c = { .text = body };
    struct buf b = BUF_INIT(FILTER_TEXT_MAX);
    bool good = true;
    while (good && c.at < body.n) {
        char next = body.p[c.at++];
        if (next == '\\')
            good = escape(&c, &b);
        else if (next == '\n')
            good = false;
        else
            buf_put_char(&b, next);
    }
    *out = b.n ? str_dup(a, buf_str(&b)) : STR("");
    buf_deinit(&b);
    return good;
}
