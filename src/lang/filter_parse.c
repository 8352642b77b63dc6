/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "filter.h"

struct parser {
    struct str text;
    size_t at;
    unsigned depth;
    struct arena *arena;
    struct error *err;
};

static int fail(struct parser *p, const char *what)
{
    size_t line = 1, col = 1;
    for (size_t i = 0; i < p->at && i < p->text.n; i++) {
        col++;
        if (p->text.p[i] == '\n') line++, col = 1;
    }
    return error_set(p->err, ERR_DECODE, "%zu:%zu (%zu): %s", line, col, p->at, what);
}

static char peek(const struct parser *p)
{
    return p->at < p->text.n ? p->text.p[p->at] : '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_blanks(struct parser *p)
{
    size_t from = p->at;
    while (p->at < p->text.n && is_blank(p->text.p[p->at]))
        p->at++;
    return p->at - from;
}

static bool take(struct parser *p, const char *word)
{
    size_t n = strlen(word);
    if (p->text.n - p->at < n || memcmp(p->text.p + p->at, word, n) != 0) return false;
    p->at += n;
    return true;
}

/* A keyword with blanks before it; behind it blanks too, unless it ends the match. On failure the
 * position is as before. */
static bool keyword(struct parser *p, const char *word, bool blank_behind)
{
    size_t from = p->at;
    if (skip_blanks(p) && take(p, word) && (!blank_behind || skip_blanks(p))) return true;
    p->at = from;
    return false;
}

static int hex_value(char c)
{
    if (is_digit(c)) return c - '0';
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
static bool hex_escape(struct parser *p, int digits, uint32_t *out)
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

static bool octal_escape(struct parser *p, uint32_t *out)
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

static bool escape(struct parser *p, struct buf *out)
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

/* At an opening quote. */
static int string(struct parser *p, struct str *out)
{
    char quote = peek(p);
    p->at++;
    struct buf b = BUF_INIT(FILTER_TEXT_MAX);
    int rc = 0;
    for (;;) {
        if (p->at >= p->text.n) {
            rc = fail(p, "rule \"string\": Unterminated string literal");
            break;
        }
        char c = p->text.p[p->at++];
        if (c == quote) break;
        if (quote == '"' && c == '\n') {
            rc = fail(p, "rule \"string\": Unterminated string literal");
            break;
        }
        if (quote == '"' && c == '\\') {
            if (escape(p, &b)) continue;
            rc = fail(p, "rule \"string\": invalid syntax");
            break;
        }
        if (quote != '`' || c != '\r') buf_put_char(&b, c);
    }
    if (rc == 0) *out = b.n ? str_dup(p->arena, buf_str(&b)) : STR("");
    buf_deinit(&b);
    return rc;
}

static struct filter_part *add_part(struct parser *p, struct filter_selector *s, size_t *cap)
{
    if (s->n == *cap) {
        size_t grown = *cap ? *cap * 2 : 4;
        struct filter_part *parts = arena_array(p->arena, grown, sizeof *parts);
        if (s->n) memcpy(parts, s->parts, s->n * sizeof *parts);
        s->parts = parts;
        *cap = grown;
    }
    return &s->parts[s->n++];
}

static bool identifier(struct parser *p, struct str *out)
{
    size_t from = p->at;
    if (!is_letter(peek(p))) return false;
    while (is_letter(peek(p)) || is_digit(peek(p)) || peek(p) == '_')
        p->at++;
    *out = str_slice(p->text, from, p->at);
    return true;
}

static int index_part(struct parser *p, struct filter_part *part)
{
    p->at++;
    skip_blanks(p);
    if (peek(p) != '"' && peek(p) != '`') {
        return fail(p, "rule \"index\": Invalid index: not a string");
    }
    int rc = string(p, &part->name);
    if (rc) return rc;
    skip_blanks(p);
    if (!take(p, "]")) return fail(p, "rule \"index\": Unclosed index expression");
    return 0;
}

static void join_parts(struct parser *p, struct filter_selector *s)
{
    struct buf b = BUF_INIT(2 * FILTER_TEXT_MAX);
    for (size_t i = 0; i < s->n; i++) {
        if (i) buf_put_char(&b, '.');
        buf_put_str(&b, s->parts[i].name);
    }
    s->text = str_dup(p->arena, buf_str(&b));
    buf_deinit(&b);
}

static int selector(struct parser *p, struct filter_selector *s)
{
    size_t cap = 0;
    struct str name;
    if (!identifier(p, &name)) {
        return fail(p, "no match found, expected: a selector, a number or a string");
    }
    add_part(p, s, &cap)->name = name;
    for (;;) {
        if (peek(p) == '[') {
            int rc = index_part(p, add_part(p, s, &cap));
            if (rc) return rc;
        } else if (peek(p) == '.') {
            p->at++;
            if (!identifier(p, &name)) return fail(p, "no match found, expected: [a-zA-Z]");
            add_part(p, s, &cap)->name = name;
        } else {
            break;
        }
    }
    join_parts(p, s);
    return 0;
}

static int number(struct parser *p, struct str *out)
{
    size_t from = p->at;
    if (peek(p) == '-') p->at++;
    if (!is_digit(peek(p))) return fail(p, "no match found, expected: \"0\" or [1-9]");
    if (peek(p) == '0') {
        p->at++;
    } else {
        while (is_digit(peek(p)))
            p->at++;
    }
    if (peek(p) == '.') {
        p->at++;
        if (!is_digit(peek(p))) return fail(p, "no match found, expected: [0-9]");
        while (is_digit(peek(p)))
            p->at++;
    }
    char c = peek(p);
    if (p->at < p->text.n && !is_blank(c) && c != ')') {
        return fail(p, "rule \"number\": Invalid number literal");
    }
    *out = str_slice(p->text, from, p->at);
    return 0;
}

/* A value; when it was a bare word *bare holds it as a selector, else bare->n is 0. */
static int value(struct parser *p, struct str *out, struct filter_selector *bare)
{
    char c = peek(p);
    *bare = (struct filter_selector){ 0 };
    if (c == '"' || c == '`') return string(p, out);
    if (c == '-' || is_digit(c)) return number(p, out);
    int rc = selector(p, bare);
    if (rc == 0) *out = bare->text;
    return rc;
}

static bool symbol(struct parser *p, const char *text)
{
    size_t from = p->at;
    skip_blanks(p);
    if (take(p, text)) {
        skip_blanks(p);
        return true;
    }
    p->at = from;
    return false;
}

/* Operator with the selector on its left. */
static bool left_operator(struct parser *p, enum filter_op *op, bool *has_value)
{
    *has_value = true;
    if (symbol(p, "==")) return *op = FILTER_EQUAL, true;
    if (symbol(p, "!=")) return *op = FILTER_NOT_EQUAL, true;
    if (keyword(p, "contains", true)) return *op = FILTER_IN, true;
    if (keyword(p, "matches", true)) return *op = FILTER_MATCHES, true;
    size_t from = p->at;
    if (keyword(p, "not", false)) {
        if (keyword(p, "contains", true)) return *op = FILTER_NOT_IN, true;
        if (keyword(p, "matches", true)) return *op = FILTER_NOT_MATCHES, true;
    }
    p->at = from;
    *has_value = false;
    if (keyword(p, "is", false)) {
        if (keyword(p, "empty", false)) return *op = FILTER_EMPTY, true;
        if (keyword(p, "not", false) && keyword(p, "empty", false)) {
            return *op = FILTER_NOT_EMPTY, true;
        }
    }
    p->at = from;
    return false;
}

static bool right_operator(struct parser *p, enum filter_op *op)
{
    size_t from = p->at;
    if (keyword(p, "in", true)) return *op = FILTER_IN, true;
    if (keyword(p, "not", false) && keyword(p, "in", true)) return *op = FILTER_NOT_IN, true;
    p->at = from;
    return false;
}

static int match(struct parser *p, struct filter_node **out)
{
    struct filter_node *n = arena_new(p->arena, struct filter_node);
    struct filter_selector bare;
    struct str left;
    bool has_value;
    n->kind = FILTER_MATCH;
    int rc = value(p, &left, &bare);
    if (rc) return rc;
    if (bare.n && left_operator(p, &n->op, &has_value)) {
        struct filter_selector ignored;
        n->selector = bare;
        if (has_value) rc = value(p, &n->value, &ignored);
    } else if (right_operator(p, &n->op)) {
        n->value = left;
        if (!is_letter(peek(p))) return fail(p, "rule \"match\": Invalid selector");
        rc = selector(p, &n->selector);
    } else {
        return fail(p, "no match found, expected: \"!=\", \"==\", \"contains\", \"in\", \"is\", "
                       "\"matches\" or \"not\"");
    }
    *out = n;
    return rc;
}

static int or_expr(struct parser *p, struct filter_node **out);

static int not_expr(struct parser *p, struct filter_node **out)
{
    size_t from = p->at;
    if (take(p, "not") && skip_blanks(p)) {
        struct filter_node *n = arena_new(p->arena, struct filter_node);
        unsigned depth = p->depth++;
        if (depth >= FILTER_DEPTH_MAX) return fail(p, "expression is nested too deeply");
        n->kind = FILTER_NOT;
        *out = n;
        int rc = not_expr(p, &n->left);
        p->depth = depth;
        if (rc == 0) return 0;
        /* `not in X`: a value of that name. */
        p->at = from;
        return match(p, out);
    }
    p->at = from;
    if (peek(p) != '(') return match(p, out);
    if (p->depth++ >= FILTER_DEPTH_MAX) return fail(p, "expression is nested too deeply");
    p->at++;
    skip_blanks(p);
    int rc = or_expr(p, out);
    if (rc) return rc;
    skip_blanks(p);
    if (!take(p, ")")) return fail(p, "rule \"grouping\": Unmatched parentheses");
    p->depth--;
    return 0;
}

/* Operands of one precedence, grouped to the right. */
static int chain(struct parser *p, enum filter_node_kind kind, struct filter_node **out)
{
    const char *word = kind == FILTER_AND ? "and" : "or";
    int (*operand)(struct parser *, struct filter_node **) = not_expr;
    for (;;) {
        struct filter_node *left = NULL;
        int rc = kind == FILTER_AND ? operand(p, &left) : chain(p, FILTER_AND, &left);
        if (rc) return rc;
        if (!keyword(p, word, true)) {
            *out = left;
            return 0;
        }
        struct filter_node *n = arena_new(p->arena, struct filter_node);
        n->kind = kind;
        n->left = left;
        *out = n;
        out = &n->right;
    }
}

static int or_expr(struct parser *p, struct filter_node **out)
{
    return chain(p, FILTER_OR, out);
}

int filter__parse(struct str expr, struct arena *a, struct filter_node **out, struct error *err)
{
    struct parser p = { .text = expr, .arena = a, .err = err };
    if (expr.n > FILTER_TEXT_MAX) return fail(&p, "expression is too long");
    skip_blanks(&p);
    int rc = or_expr(&p, out);
    if (rc) return rc;
    skip_blanks(&p);
    if (p.at < expr.n) return fail(&p, "no match found, expected: \"and\", \"or\" or EOF");
    return 0;
}
