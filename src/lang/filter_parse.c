/* SPDX-License-Identifier: Apache-2.0 */
/* Recursive descent over an ordered grammar. A refusal names every terminal that was tried at the
 * furthest place reached, in the order of their spelling, or, when a literal was malformed, only
 * what was malformed; so each mismatch is noted, also on ways that are given up. */
#include <string.h>

#include "filter.h"

/* Sorted by spelling. */
#define TERMINALS(X) \
    X(NOT_EQUAL, "!=") \
    X(OPEN, "(") \
    X(CLOSE, ")") \
    X(MINUS, "-") \
    X(DOT, ".") \
    X(ZERO, "0") \
    X(EQUAL, "==") \
    X(BRACKET, "[") \
    X(QUOTE, "\"") \
    X(UNBRACKET, "]") \
    X(BACKQUOTE, "`") \
    X(AND, "and") \
    X(CONTAINS, "contains") \
    X(EMPTY, "empty") \
    X(IN, "in") \
    X(IS, "is") \
    X(MATCHES, "matches") \
    X(NOT, "not") \
    X(OR, "or")
/* Of one character each, spelt behind all of the above. */
#define CLASSES(X) \
    X(BLANK, "[ \\t\\r\\n]") \
    X(DIGIT, "[0-9]") \
    X(DIGIT_1_9, "[1-9]") \
    X(WORD, "[a-zA-Z0-9_]") \
    X(LETTER, "[a-zA-Z]") \
    X(END, "EOF")

enum terminal {
#define X(name, spelling) T_##name,
    TERMINALS(X) CLASSES(X)
#undef X
        TERMINAL_COUNT
};

static const struct {
    const char *text;
    bool is_class;
} terminals[TERMINAL_COUNT] = {
#define X(name, spelling) [T_##name] = { spelling, false },
    TERMINALS(X)
#undef X
#define X(name, spelling) [T_##name] = { spelling, true },
        CLASSES(X)
#undef X
};

#define MALFORMED_MAX 8

struct parser {
    struct str text;
    size_t at;
    unsigned depth;
    struct arena *arena;
    struct error *err;
    size_t furthest;
    uint32_t expected;     /* bits of enum terminal, at the furthest place */
    struct buf *malformed; /* lines */
    size_t n_malformed;
    bool too_deep;
};

/* --- refusals --------------------------------------------------------------------------------- */

static void put_place(const struct parser *p, size_t at, struct buf *out)
{
    size_t line = 1, col = 1;
    for (size_t i = 0; i <= at; i++) {
        unsigned char c = i < p->text.n ? (unsigned char)p->text.p[i] : 0;
        if (c == '\n') line++, col = 0;
        if (i < at && (i + 1 == p->text.n || ((unsigned char)p->text.p[i + 1] & 0xc0) != 0x80))
            col++;
    }
    buf_printf(out, "%zu:%zu (%zu)", line, col, at);
}

static void malformed(struct parser *p, size_t at, const char *rule, const char *what)
{
    struct buf line = BUF_INIT(256);
    put_place(p, at, &line);
    buf_printf(&line, ": rule \"%s\": %s\n", rule, what);
    if (p->n_malformed < MALFORMED_MAX && str_find(buf_str(p->malformed), buf_str(&line)) < 0) {
        buf_put_str(p->malformed, buf_str(&line));
        p->n_malformed++;
    }
    buf_deinit(&line);
}

static void put_expected(const struct parser *p, struct buf *out)
{
    size_t n = (size_t)__builtin_popcount(p->expected), i = 0;
    for (unsigned t = 0; t < TERMINAL_COUNT; t++) {
        if (!(p->expected & 1u << t)) continue;
        if (i > 0) buf_put_c(out, i + 1 == n ? " or " : ", ");
        if (terminals[t].is_class)
            buf_put_c(out, terminals[t].text);
        else
            buf_printf(out, t == T_QUOTE ? "\"\\%s\"" : "\"%s\"", terminals[t].text);
        i++;
    }
}

static int refuse(const struct parser *p)
{
    struct buf text = BUF_INIT(ERROR_TEXT_MAX);
    if (p->too_deep) return error_set(p->err, ERR_DECODE, "expression is nested too deeply");
    if (p->malformed->n) {
        struct str lines = buf_str(p->malformed);
        return error_set(p->err, ERR_DECODE, "%.*s", (int)lines.n - 1, lines.p);
    }
    put_place(p, p->furthest, &text);
    buf_put_c(&text, ": no match found, expected: ");
    put_expected(p, &text);
    int rc = error_set(p->err, ERR_DECODE, "%.*s", STR_ARG(buf_str(&text)));
    buf_deinit(&text);
    return rc;
}

/* --- terminals -------------------------------------------------------------------------------- */

static bool miss(struct parser *p, enum terminal t)
{
    if (p->at < p->furthest) return false;
    if (p->at > p->furthest) p->expected = 0;
    p->furthest = p->at;
    p->expected |= 1u << t;
    return false;
}

static char peek(const struct parser *p)
{
    return p->at < p->text.n ? p->text.p[p->at] : '\0';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_in(enum terminal class, char c)
{
    if (class == T_BLANK) return c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if (class == T_DIGIT) return is_digit(c);
    if (class == T_DIGIT_1_9) return is_digit(c) && c != '0';
    return is_letter(c) || (class == T_WORD && (is_digit(c) || c == '_'));
}

static bool take_one(struct parser *p, enum terminal class)
{
    if (p->at == p->text.n || !is_in(class, peek(p))) return miss(p, class);
    p->at++;
    return true;
}

static void take_all(struct parser *p, enum terminal class)
{
    while (take_one(p, class)) {
    }
}

static bool take(struct parser *p, enum terminal t)
{
    size_t n = strlen(terminals[t].text);
    if (p->text.n - p->at < n || memcmp(p->text.p + p->at, terminals[t].text, n) != 0)
        return miss(p, t);
    p->at += n;
    return true;
}

static bool blanks(struct parser *p)
{
    size_t from = p->at;
    take_all(p, T_BLANK);
    return p->at > from;
}

static bool at_end(struct parser *p)
{
    return p->at == p->text.n || miss(p, T_END);
}

/* Back to a place, for the next way. */
static bool give_up(struct parser *p, size_t from)
{
    p->at = from;
    return false;
}

/* --- literals --------------------------------------------------------------------------------- */

static bool string(struct parser *p, struct str *out)
{
    size_t from = p->at;
    char quote = peek(p);
    if (!take(p, T_BACKQUOTE) && !take(p, T_QUOTE)) return false;
    while (p->at < p->text.n && peek(p) != quote)
        p->at++;
    if (p->at == p->text.n) {
        malformed(p, p->at, "string", "Unterminated string literal");
        return give_up(p, from);
    }
    struct str body = str_slice(p->text, from + 1, p->at++);
    if (quote == '"') {
        if (!filter__unquote(body, p->arena, out)) malformed(p, from, "string", "invalid syntax");
        return true;
    }
    struct buf b = BUF_INIT(FILTER_TEXT_MAX);
    for (size_t i = 0; i < body.n; i++)
        if (body.p[i] != '\r') buf_put_char(&b, body.p[i]);
    *out = b.n ? str_dup(p->arena, buf_str(&b)) : STR("");
    buf_deinit(&b);
    return true;
}

static void fraction(struct parser *p)
{
    size_t from = p->at;
    if (!take(p, T_DOT)) return;
    if (take_one(p, T_DIGIT))
        take_all(p, T_DIGIT);
    else
        p->at = from;
}

static bool number(struct parser *p, struct str *out)
{
    size_t from = p->at;
    take(p, T_MINUS);
    if (!take(p, T_ZERO)) {
        if (!take_one(p, T_DIGIT_1_9)) return give_up(p, from);
        take_all(p, T_DIGIT);
    }
    fraction(p);
    size_t end = p->at;
    bool ends = blanks(p) || at_end(p) || take(p, T_CLOSE);
    p->at = end;
    if (!ends) {
        malformed(p, end, "number", "Invalid number literal");
        return give_up(p, from);
    }
    *out = str_slice(p->text, from, end);
    return true;
}

/* --- selectors and values --------------------------------------------------------------------- */

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
    if (!take_one(p, T_LETTER)) return false;
    take_all(p, T_WORD);
    *out = str_slice(p->text, from, p->at);
    return true;
}

static bool index_part(struct parser *p, struct str *name)
{
    size_t from = p->at;
    if (!take(p, T_BRACKET)) return false;
    blanks(p);
    if (!string(p, name)) {
        malformed(p, p->at, "index", "Invalid index");
        return give_up(p, from);
    }
    blanks(p);
    if (take(p, T_UNBRACKET)) return true;
    malformed(p, p->at, "index", "Unclosed index expression");
    return give_up(p, from);
}

static bool dot_part(struct parser *p, struct str *name)
{
    size_t from = p->at;
    return take(p, T_DOT) && (identifier(p, name) || give_up(p, from));
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

static bool selector(struct parser *p, struct filter_selector *s)
{
    size_t cap = 0;
    struct str name;
    *s = (struct filter_selector){ 0 };
    if (!identifier(p, &name)) return false;
    do
        add_part(p, s, &cap)->name = name;
    while (dot_part(p, &name) || index_part(p, &name));
    join_parts(p, s);
    return true;
}

/* A value; when it was a bare word *bare holds it as a selector, else bare->n is 0. */
static bool value(struct parser *p, struct str *out, struct filter_selector *bare)
{
    if (selector(p, bare)) {
        *out = bare->text;
        return true;
    }
    return number(p, out) || string(p, out);
}

/* --- matches ---------------------------------------------------------------------------------- */

/* A symbol, blanks around it free. */
static bool symbol(struct parser *p, enum terminal t)
{
    size_t from = p->at;
    blanks(p);
    if (!take(p, t)) return give_up(p, from);
    blanks(p);
    return true;
}

/* Up to three words, blanks before each. */
static bool words(struct parser *p, const enum terminal *w, size_t n, bool blank_behind)
{
    size_t from = p->at;
    for (size_t i = 0; i < n; i++)
        if (!blanks(p) || !take(p, w[i])) return give_up(p, from);
    return !blank_behind || blanks(p) || give_up(p, from);
}
#define WORDS(p, behind, ...) \
    words(p, (const enum terminal[]){ __VA_ARGS__ }, \
        sizeof(const enum terminal[]){ __VA_ARGS__ } / sizeof(enum terminal), behind)

/* Operator with the selector on its left. */
static bool left_operator(struct parser *p, enum filter_op *op)
{
    if (symbol(p, T_EQUAL)) return *op = FILTER_EQUAL, true;
    if (symbol(p, T_NOT_EQUAL)) return *op = FILTER_NOT_EQUAL, true;
    if (WORDS(p, true, T_CONTAINS)) return *op = FILTER_IN, true;
    if (WORDS(p, true, T_NOT, T_CONTAINS)) return *op = FILTER_NOT_IN, true;
    if (WORDS(p, true, T_MATCHES)) return *op = FILTER_MATCHES, true;
    if (WORDS(p, true, T_NOT, T_MATCHES)) return *op = FILTER_NOT_MATCHES, true;
    return false;
}

static bool left_test(struct parser *p, enum filter_op *op)
{
    if (WORDS(p, false, T_IS, T_EMPTY)) return *op = FILTER_EMPTY, true;
    if (WORDS(p, false, T_IS, T_NOT, T_EMPTY)) return *op = FILTER_NOT_EMPTY, true;
    return false;
}

static bool right_operator(struct parser *p, enum filter_op *op)
{
    if (WORDS(p, true, T_IN)) return *op = FILTER_IN, true;
    if (WORDS(p, true, T_NOT, T_IN)) return *op = FILTER_NOT_IN, true;
    return false;
}

static bool match(struct parser *p, struct filter_node **out)
{
    struct filter_node *n = arena_new(p->arena, struct filter_node);
    struct filter_selector bare, ignored;
    size_t from = p->at;
    *out = n;
    n->kind = FILTER_MATCH;
    if (!value(p, &n->value, &bare)) return false;
    struct str left = n->value;
    size_t behind = p->at;
    n->selector = bare;
    if (bare.n && left_operator(p, &n->op) && value(p, &n->value, &ignored)) return true;
    p->at = behind;
    if (bare.n && left_test(p, &n->op)) return true;
    n->value = left;
    if (!right_operator(p, &n->op)) return give_up(p, from);
    if (selector(p, &n->selector)) return true;
    malformed(p, p->at, "match", "Invalid selector");
    return give_up(p, from);
}

/* --- expressions ------------------------------------------------------------------------------ */

static bool or_expr(struct parser *p, struct filter_node **out);

static bool deeper(struct parser *p)
{
    if (p->depth >= FILTER_DEPTH_MAX) p->too_deep = true;
    return !p->too_deep;
}

static bool grouping(struct parser *p, struct filter_node **out)
{
    size_t from = p->at;
    if (!take(p, T_OPEN)) return match(p, out);
    if (!deeper(p)) return false;
    p->depth++;
    blanks(p);
    bool inner = or_expr(p, out);
    p->depth--;
    if (!inner) return give_up(p, from);
    blanks(p);
    if (take(p, T_CLOSE)) return true;
    malformed(p, p->at, "grouping", "Unmatched parentheses");
    return give_up(p, from);
}

static bool not_expr(struct parser *p, struct filter_node **out)
{
    size_t from = p->at;
    if (take(p, T_NOT) && blanks(p)) {
        struct filter_node *n = arena_new(p->arena, struct filter_node);
        if (!deeper(p)) return false;
        p->depth++;
        n->kind = FILTER_NOT;
        bool operand = not_expr(p, &n->left);
        p->depth--;
        *out = n;
        if (operand) return true;
    }
    /* `not in X`: a value of that name. */
    p->at = from;
    return grouping(p, out);
}

static bool chain(struct parser *p, enum filter_node_kind kind, struct filter_node **out);

static bool operand(struct parser *p, enum filter_node_kind kind, struct filter_node **out)
{
    return kind == FILTER_AND ? not_expr(p, out) : chain(p, FILTER_AND, out);
}

/* Operands of one precedence, grouped to the right. What follows the last good one is left to the
 * caller. */
static bool chain(struct parser *p, enum filter_node_kind kind, struct filter_node **out)
{
    enum terminal word = kind == FILTER_AND ? T_AND : T_OR;
    if (!operand(p, kind, out)) return false;
    for (;;) {
        size_t from = p->at;
        struct filter_node *right, *n;
        if (!WORDS(p, true, word)) return true;
        if (!operand(p, kind, &right)) return !give_up(p, from);
        n = arena_new(p->arena, struct filter_node);
        *n = (struct filter_node){ .kind = kind, .left = *out, .right = right };
        *out = n;
        out = &n->right;
    }
}

static bool or_expr(struct parser *p, struct filter_node **out)
{
    return chain(p, FILTER_OR, out);
}

int filter__parse(struct str expr, struct arena *a, struct filter_node **out, struct error *err)
{
    struct buf lines = BUF_INIT(ERROR_TEXT_MAX);
    struct parser p = { .text = expr, .arena = a, .err = err, .malformed = &lines };
    if (expr.n > FILTER_TEXT_MAX) return error_set(err, ERR_DECODE, "expression is too long");
    blanks(&p);
    bool good = or_expr(&p, out);
    if (good) {
        blanks(&p);
        good = at_end(&p);
    }
    int rc = good && !lines.n && !p.too_deep ? 0 : refuse(&p);
    buf_deinit(&lines);
    return rc;
}
