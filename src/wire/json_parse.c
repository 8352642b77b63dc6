/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "consuld/wire/json.h"
#include "quote.h"

struct parser {
    const uint8_t *p, *end;
    struct arena *a;
    struct error *err;
    uint32_t line;
    uint32_t depth;
    bool whole; /* error texts of reading a whole document, not a stream */
    bool failed;
};

static void fail_at(struct parser *ps, const char *context)
{
    if (ps->failed) return;
    ps->failed = true;
    if (ps->p == ps->end) {
        error_set(ps->err, ERR_DECODE, "%s",
            ps->whole ? "unexpected end of JSON input" : "unexpected EOF");
        return;
    }
    struct buf name = BUF_INIT(32);
    quote_byte(&name, *ps->p);
    struct str n = buf_str(&name);
    error_set(ps->err, ERR_DECODE, "invalid character %.*s %s", STR_ARG(n), context);
    buf_deinit(&name);
}

static void skip_blanks(struct parser *ps)
{
    for (; ps->p < ps->end; ps->p++) {
        if (*ps->p == '\n') {
            ps->line++;
        } else if (*ps->p != ' ' && *ps->p != '\t' && *ps->p != '\r') {
            return;
        }
    }
}

/* Steps over `c` after blanks, or fails. */
static bool expect(struct parser *ps, uint8_t c, const char *context)
{
    skip_blanks(ps);
    if (ps->p < ps->end && *ps->p == c) {
        ps->p++;
        return true;
    }
    fail_at(ps, context);
    return false;
}

static bool next_is(const struct parser *ps, uint8_t c)
{
    return ps->p < ps->end && *ps->p == c;
}

/* --- strings ------------------------------------------------------------------------------- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool check_escape(struct parser *ps)
{
    ps->p++;
    if (ps->p == ps->end || *ps->p == 0 || !strchr("\"\\/bfnrtu", *ps->p)) {
        fail_at(ps, "in string escape code");
        return false;
    }
    if (*ps->p++ != 'u') return true;
    for (int i = 0; i < 4; i++, ps->p++) {
        if (ps->p == ps->end || hex_digit(*ps->p) < 0) {
            fail_at(ps, "in \\u hexadecimal character escape");
            return false;
        }
    }
    return true;
}

static uint32_t hex4(const uint8_t *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 4 | (uint32_t)hex_digit(p[i]);
    return v;
}

/* Code point of a checked \u escape; *p stands behind it afterwards. A lone half of a pair is
 * U+FFFD. */
static uint32_t unescape_rune(const uint8_t **p, const uint8_t *end)
{
    uint32_t rune = hex4(*p + 2);
    *p += 6;
    if (rune < 0xd800 || rune > 0xdfff) return rune;
    if (rune < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        uint32_t low = hex4(*p + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            *p += 6;
            return 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return 0xfffd;
}

static uint8_t unescape_char(uint8_t c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c;
    }
}

/* `grown` bytes of replacement characters come on top of the raw length. */
static struct str unescape(struct parser *ps, const uint8_t *p, const uint8_t *end, size_t grown)
{
    uint8_t *text = arena_alloc(ps->a, (size_t)(end - p) + grown + 1);
    uint8_t *w = text;
    while (p < end) {
        if (*p == '\\' && p[1] == 'u') {
            w += utf8_put(w, unescape_rune(&p, end));
        } else if (*p == '\\') {
            *w++ = unescape_char(p[1]);
            p += 2;
        } else if (*p < 0x80) {
            *w++ = *p++;
        } else {
            size_t len = utf8_sequence(p, (size_t)(end - p));
            if (len == 0) {
                w += utf8_put(w, 0xfffd);
                p++;
            } else {
                memcpy(w, p, len);
                w += len;
                p += len;
            }
        }
    }
    return (struct str){ (char *)text, (size_t)(w - text) };
}

/* The opening quote has been read. */
static struct str parse_string(struct parser *ps)
{
    const uint8_t *start = ps->p;
    bool escaped = false;
    size_t invalid = 0;
    for (;;) {
        if (ps->p == ps->end || *ps->p < 0x20) {
            fail_at(ps, "in string literal");
            return STR_NIL;
        }
        uint8_t c = *ps->p;
        if (c == '"') break;
        if (c == '\\') {
            escaped = true;
            if (!check_escape(ps)) return STR_NIL;
        } else if (c < 0x80) {
            ps->p++;
        } else {
            size_t len = utf8_sequence(ps->p, (size_t)(ps->end - ps->p));
            invalid += len == 0;
            ps->p += len ? len : 1;
        }
    }
    const uint8_t *end = ps->p++;
    if (!escaped && !invalid) return (struct str){ (const char *)start, (size_t)(end - start) };
    return unescape(ps, start, end, 2 * invalid);
}

/* --- numbers and literals ------------------------------------------------------------------ */

static bool digits(struct parser *ps, const char *context)
{
    if (ps->p == ps->end || *ps->p < '0' || *ps->p > '9') {
        fail_at(ps, context);
        return false;
    }
    while (ps->p < ps->end && *ps->p >= '0' && *ps->p <= '9')
        ps->p++;
    return true;
}

static void parse_number(struct parser *ps, struct value *out)
{
    const uint8_t *start = ps->p;
    if (*ps->p == '-') ps->p++;
    if (next_is(ps, '0')) {
        ps->p++;
    } else if (!digits(ps, "in numeric literal")) {
        return;
    }
    if (next_is(ps, '.')) {
        ps->p++;
        if (!digits(ps, "after decimal point in numeric literal")) return;
    }
    if (next_is(ps, 'e') || next_is(ps, 'E')) {
        ps->p++;
        if (next_is(ps, '+') || next_is(ps, '-')) ps->p++;
        if (!digits(ps, "in exponent of numeric literal")) return;
    }
    out->kind = V_NUMBER;
    out->s = (struct str){ (const char *)start, (size_t)(ps->p - start) };
}

static void parse_literal(struct parser *ps, const char *word, struct value *out)
{
    for (size_t i = 0; word[i]; i++, ps->p++) {
        if (next_is(ps, (uint8_t)word[i])) continue;
        char context[48];
        snprintf(context, sizeof context, "in literal %s (expecting '%c')", word, word[i]);
        fail_at(ps, context);
        return;
    }
    if (word[0] == 'n') return;
    out->kind = V_BOOL;
    out->b = word[0] == 't';
}

/* --- structure ----------------------------------------------------------------------------- */

static void parse_value(struct parser *ps, struct value *out);

static void parse_array(struct parser *ps, struct value *out)
{
    out->kind = V_LIST;
    skip_blanks(ps);
    if (next_is(ps, ']')) {
        ps->p++;
        return;
    }
    do {
        parse_value(ps, value_list_add(ps->a, out));
        if (ps->failed) return;
        skip_blanks(ps);
        if (next_is(ps, ']')) {
            ps->p++;
            return;
        }
    } while (expect(ps, ',', "after array element"));
}

static void parse_object(struct parser *ps, struct value *out)
{
    out->kind = V_MAP;
    skip_blanks(ps);
    if (next_is(ps, '}')) {
        ps->p++;
        return;
    }
    do {
        if (!expect(ps, '"', "looking for beginning of object key string")) return;
        struct str key = parse_string(ps);
        if (ps->failed || !expect(ps, ':', "after object key")) return;
        parse_value(ps, value_map_add(ps->a, out, key));
        if (ps->failed) return;
        skip_blanks(ps);
        if (next_is(ps, '}')) {
            ps->p++;
            return;
        }
    } while (expect(ps, ',', "after object key:value pair"));
}

static void parse_nested(struct parser *ps, struct value *out)
{
    if (ps->depth == JSON_DEPTH_MAX) {
        if (!ps->failed) error_set(ps->err, ERR_DECODE, "exceeded max depth");
        ps->failed = true;
        return;
    }
    ps->depth++;
    if (*ps->p++ == '{') {
        parse_object(ps, out);
    } else {
        parse_array(ps, out);
    }
    ps->depth--;
}

static void parse_value(struct parser *ps, struct value *out)
{
    skip_blanks(ps);
    *out = (struct value){ .line = ps->line };
    switch (ps->p < ps->end ? *ps->p : 0) {
    case '{':
    case '[':
        parse_nested(ps, out);
        break;
    case '"':
        ps->p++;
        out->kind = V_STR;
        out->s = parse_string(ps);
        break;
    case 't':
        parse_literal(ps, "true", out);
        break;
    case 'f':
        parse_literal(ps, "false", out);
        break;
    case 'n':
        parse_literal(ps, "null", out);
        break;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        parse_number(ps, out);
        break;
    default:
        fail_at(ps, "looking for beginning of value");
        break;
    }
}

static int parse(struct str text, struct arena *a, struct value *out, struct error *err, bool whole)
{
    static const uint8_t nothing[1];
    const uint8_t *start = text.n ? (const uint8_t *)text.p : nothing;
    struct parser ps = {
        .p = start, .end = start + text.n, .a = a, .err = err, .line = 1, .whole = whole
    };
    *out = (struct value){ 0 };
    skip_blanks(&ps);
    if (ps.p == ps.end && !whole) return error_set(err, ERR_DECODE, "EOF");
    parse_value(&ps, out);
    if (!ps.failed && whole) {
        skip_blanks(&ps);
        if (ps.p < ps.end) fail_at(&ps, "after top-level value");
    }
    return ps.failed ? ERR_DECODE : 0;
}

int json_parse(struct str text, struct arena *a, struct value *out, struct error *err)
{
    return parse(text, a, out, err, false);
}

int json_parse_whole(struct str text, struct arena *a, struct value *out, struct error *err)
{
    return parse(text, a, out, err, true);
}
