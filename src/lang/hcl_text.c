/* SPDX-License-Identifier: Apache-2.0 */
#include "hcl_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static size_t utf8_put(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[n] | c);
    return n;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 16;
}

/* Up to `n` digits at p[0..left); the number of digits read must be exactly n. */
static bool read_digits(const char *p, size_t left, size_t n, int base, uint32_t *out)
{
    *out = 0;
    if (left < n) return false;
    for (size_t i = 0; i < n; i++) {
        int v = hex_value(p[i]);
        if (v >= base) return false;
        *out = *out * (uint32_t)base + (uint32_t)v;
    }
    return true;
}

/* p points behind the backslash. Returns the bytes used, 0 if the escape has no meaning. */
static size_t unescape(const char *p, size_t left, char *out, size_t *out_n)
{
    static const char names[] = "abfnrtv\\\"", values[] = "\a\b\f\n\r\t\v\\\"";
    if (left == 0) return 0;
    const char *at = memchr(names, p[0], sizeof names - 1);
    if (at) {
        out[0] = values[at - names];
        *out_n = 1;
        return 1;
    }
    uint32_t c;
    if (p[0] >= '0' && p[0] <= '7') {
        if (!read_digits(p, left, 3, 8, &c) || c > 255) return 0;
        out[0] = (char)c;
        *out_n = 1;
        return 3;
    }
    size_t n = p[0] == 'x' ? 2 : p[0] == 'u' ? 4 : p[0] == 'U' ? 8 : 0;
    if (n == 0 || !read_digits(p + 1, left - 1, n, 16, &c)) return 0;
    if (n == 2) {
        out[0] = (char)c;
        *out_n = 1;
    } else {
        if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return 0;
        *out_n = utf8_put(out, c);
    }
    return n + 1;
}

/* Length of the ${ ... } at p[0..n), or n when it does not end. */
static size_t interpolation_length(const char *p, size_t n)
{
    size_t depth = 1;
    for (size_t i = 2; i < n; i++) {
        if (p[i] == '{') depth++;
        if (p[i] == '}' && --depth == 0) return i + 1;
    }
    return n;
}

bool hcl_unquote(struct str quoted, struct arena *a, struct str *out)
{
    if (quoted.n < 2) return false;
    struct str in = str_slice(quoted, 1, quoted.n - 1);
    char *p = arena_alloc(a, in.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < in.n;) {
        size_t used = 1, made = 1;
        if (in.p[i] == '\\') {
            used = unescape(in.p + i + 1, in.n - i - 1, p + n, &made) + 1;
            if (used == 1) return false;
        } else if (in.p[i] == '$' && i + 1 < in.n && in.p[i + 1] == '{') {
            used = made = interpolation_length(in.p + i, in.n - i);
            memcpy(p + n, in.p + i, used);
        } else {
            p[n] = in.p[i];
        }
        i += used;
        n += made;
    }
    *out = (struct str){ p, n };
    return true;
}

/* Blanks in front of the closing anchor, the last line of `body`. */
static struct str last_line(struct str body)
{
    size_t from = body.n;
    while (from > 0 && body.p[from - 1] != '\n')
        from--;
    return str_slice(body, from, body.n);
}

static bool all_lines_start_with(struct str body, struct str prefix)
{
    struct str line, rest = body;
    bool more;
    do {
        more = str_cut(rest, '\n', &line, &rest);
        if (!str_has_prefix(line, prefix)) return false;
    } while (more);
    return true;
}

struct str hcl_heredoc(struct str token, struct arena *a)
{
    struct str head, body;
    bool cut = str_cut(token, '\n', &head, &body);
    ensure(cut);
    bool indented = head.n > 2 && head.p[2] == '-';
    struct str anchor = str_trim(str_slice(head, indented ? 3 : 2, head.n));
    while (body.n > 0 && (body.p[body.n - 1] == '\n' || body.p[body.n - 1] == '\r'))
        body.n--;
    body.n -= anchor.n;
    if (!indented) return str_dup(a, body);
    struct str prefix = last_line(body);
    body.n -= prefix.n;
    if (prefix.n == 0 || body.n == 0) return str_dup(a, body);
    struct str lines = str_slice(body, 0, body.n - 1); /* the newline is ours */
    if (!all_lines_start_with(lines, prefix)) return str_dup(a, body);
    char *p = arena_alloc(a, body.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < body.n; i++) {
        if (i == 0 || body.p[i - 1] == '\n') i += prefix.n;
        p[n++] = body.p[i];
    }
    return (struct str){ p, n };
}

static int number_failed(
    const struct hcl_token *t, const char *parser, const char *why, struct error *err)
{
    return error_set(
        err, ERR_DECODE, "strconv.%s: parsing \"%.*s\": %s", parser, STR_ARG(t->text), why);
}

static int integer(const struct hcl_token *t, struct arena *a, struct value *out, struct error *err)
{
    errno = 0;
    char *end;
    out->kind = V_INT;
    out->i = strtoll(str_c(a, t->text), &end, 0);
    if (*end) return number_failed(t, "ParseInt", "invalid syntax", err);
    if (errno == ERANGE) return number_failed(t, "ParseInt", "value out of range", err);
    return 0;
}

static int real(const struct hcl_token *t, struct arena *a, struct value *out, struct error *err)
{
    errno = 0;
    char *end;
    out->kind = V_FLOAT;
    out->f = strtod(str_c(a, t->text), &end);
    if (*end) return number_failed(t, "ParseFloat", "invalid syntax", err);
    if (errno == ERANGE && (out->f > 1 || out->f < -1))
        return number_failed(t, "ParseFloat", "value out of range", err);
    return 0;
}

int hcl_literal(const struct hcl_token *t, struct arena *a, struct value *out, struct error *err)
{
    *out = (struct value){ .line = t->pos.line };
    if (t->kind == HCL_NUMBER) return integer(t, a, out, err);
    if (t->kind == HCL_FLOAT) return real(t, a, out, err);
    if (t->kind == HCL_BOOL) {
        out->kind = V_BOOL;
        out->b = str_is(t->text, "true");
        return 0;
    }
    out->kind = V_STR;
    if (t->kind == HCL_HEREDOC) {
        out->s = hcl_heredoc(t->text, a);
    } else if (!hcl_unquote(t->text, a, &out->s)) {
        return error_set(
            err, ERR_DECODE, "At %u:%u: illegal char escape", t->pos.line, t->pos.column);
    }
    return 0;
}
