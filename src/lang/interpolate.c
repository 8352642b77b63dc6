/* SPDX-License-Identifier: Apache-2.0 */
#include "interpolate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/lang/template.h"

enum node_kind {
    NODE_TEXT,
    NODE_CONCAT,
    NODE_INT,
    NODE_FLOAT,
    NODE_VARIABLE,
    NODE_CALL,
    NODE_ARITH
};

struct interpolation {
    enum node_kind kind;
    unsigned line, column; /* of the name or operator */
    struct str text;       /* TEXT, VARIABLE, CALL: its name */
    int64_t i;
    double f;
    char op;
    size_t n; /* parts of a CONCAT, arguments of a CALL, operands */
    struct interpolation *first, *next;
};

typedef struct interpolation node;

struct parser {
    struct str s;
    size_t at;
    struct arena *a;
    unsigned depth;
};

static int64_t peek(const struct parser *p, size_t ahead)
{
    return p->at + ahead < p->s.n ? (uint8_t)p->s.p[p->at + ahead] : -1;
}

static node *make(struct parser *p, enum node_kind kind)
{
    node *n = arena_new(p->a, node);
    n->kind = kind;
    n->line = 1;
    for (size_t i = 0, start = 0; i <= p->at; i++) {
        if (i == p->at) n->column = (unsigned)(i - start + 1);
        if (i < p->at && p->s.p[i] == '\n') n->line++, start = i + 1;
    }
    return n;
}

static void add(node *parent, node *child)
{
    node **end = &parent->first;
    while (*end)
        end = &(*end)->next;
    *end = child;
    parent->n++;
}

static void skip_blank(struct parser *p)
{
    while (peek(p, 0) == ' ' || peek(p, 0) == '\t' || peek(p, 0) == '\n' || peek(p, 0) == '\r')
        p->at++;
}

static bool take(struct parser *p, char c)
{
    skip_blank(p);
    if (peek(p, 0) != c) return false;
    p->at++;
    return true;
}

static bool is_digit(int64_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(int64_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static node *parse_expr(struct parser *p);

/* One character of a text in quotes after its backslash. */
static bool unescape(struct parser *p, struct buf *out)
{
    int64_t c = peek(p, 1);
    const char *from = "n\\\"", *to = "\n\\\"";
    const char *found = c > 0 ? strchr(from, (int)c) : NULL;
    if (!found) return false;
    buf_put_char(out, to[found - from]);
    p->at += 2;
    return true;
}

static void flush_text(struct parser *p, node *concat, struct buf *text)
{
    if (!text->n) return;
    node *n = make(p, NODE_TEXT);
    n->text = str_dup(p->a, buf_str(text));
    add(concat, n);
    buf_clear(text);
}

static bool parse_parts(struct parser *p, node *concat, bool in_quotes, struct buf *text)
{
    for (;;) {
        int64_t c = peek(p, 0);
        if (c < 0) return !in_quotes;
        if (in_quotes && c == '"') return true;
        if (c == '$' && peek(p, 1) == '$' && peek(p, 2) == '{') {
            buf_put_c(text, "${");
            p->at += 3;
        } else if (c == '$' && peek(p, 1) == '{') {
            flush_text(p, concat, text);
            p->at += 2;
            node *n = parse_expr(p);
            if (!n || !take(p, '}')) return false;
            add(concat, n);
        } else if (in_quotes && c == '\\') {
            if (!unescape(p, text)) return false;
        } else {
            buf_put_char(text, (char)c);
            p->at++;
        }
    }
}

/* A text up to its end, or up to the closing quote. */
static node *parse_text(struct parser *p, bool in_quotes)
{
    struct buf text = BUF_INIT(p->s.n + 1);
    node *concat = make(p, NODE_CONCAT);
    if (p->depth++ >= TEMPLATE_DEPTH_MAX) return NULL;
    bool ok = parse_parts(p, concat, in_quotes, &text);
    flush_text(p, concat, &text);
    buf_deinit(&text);
    p->depth--;
    return ok ? concat : NULL;
}

static bool to_double(struct str text, struct arena *a, double *out)
{
    const char *c = str_c(a, text);
    char *end;
    *out = strtod(c, &end);
    return text.n && strlen(c) == text.n && !*end && strspn(c, "+-.0123456789eE") == text.n &&
           isfinite(*out);
}

static node *parse_number(struct parser *p)
{
    node *n = make(p, NODE_INT);
    size_t from = p->at;
    while (is_digit(peek(p, 0)))
        p->at++;
    if (peek(p, 0) == '.' && is_digit(peek(p, 1))) {
        n->kind = NODE_FLOAT;
        p->at++;
        while (is_digit(peek(p, 0)))
            p->at++;
    }
    struct str text = str_slice(p->s, from, p->at);
    if (n->kind == NODE_INT) return str_to_i64(text, &n->i) ? n : NULL;
    return to_double(text, p->a, &n->f) ? n : NULL;
}

static bool parse_arguments(struct parser *p, node *call)
{
    if (take(p, ')')) return true;
    do {
        node *n = parse_expr(p);
        if (!n) return false;
        add(call, n);
    } while (take(p, ','));
    return take(p, ')');
}

static node *parse_name(struct parser *p)
{
    node *n = make(p, NODE_VARIABLE);
    size_t from = p->at;
    while (is_letter(peek(p, 0)) || is_digit(peek(p, 0)) || peek(p, 0) == '-' ||
           peek(p, 0) == '.' || peek(p, 0) == '*')
        p->at++;
    n->text = str_slice(p->s, from, p->at);
    if (!take(p, '(')) return n;
    n->kind = NODE_CALL;
    return parse_arguments(p, n) ? n : NULL;
}

static node *parse_operand(struct parser *p)
{
    skip_blank(p);
    int64_t c = peek(p, 0);
    if (c == '-') {
        node *n = make(p, NODE_ARITH), *zero = make(p, NODE_INT);
        n->op = '-';
        p->at++;
        if (p->depth++ >= TEMPLATE_DEPTH_MAX) return NULL;
        node *x = parse_operand(p);
        p->depth--;
        if (!x) return NULL;
        add(n, zero);
        add(n, x);
        return n;
    }
    if (take(p, '(')) {
        node *n = parse_expr(p);
        return n && take(p, ')') ? n : NULL;
    }
    if (take(p, '"')) {
        node *n = parse_text(p, true);
        return n && take(p, '"') ? n : NULL;
    }
    if (is_digit(c)) return parse_number(p);
    return is_letter(c) ? parse_name(p) : NULL;
}

/* Operators of one level, to the left. */
static node *parse_level(struct parser *p, const char *ops)
{
    bool sums = strchr(ops, '+') != NULL;
    node *left = sums ? parse_level(p, "*/%") : parse_operand(p);
    while (left) {
        skip_blank(p);
        int64_t c = peek(p, 0);
        if (c <= 0 || !strchr(ops, (int)c)) break;
        node *n = make(p, NODE_ARITH);
        n->op = (char)c;
        p->at++;
        node *right = sums ? parse_level(p, "*/%") : parse_operand(p);
        if (!right) return NULL;
        add(n, left);
        add(n, right);
        left = n;
    }
    return left;
}

static node *parse_expr(struct parser *p)
{
    if (p->depth++ >= TEMPLATE_DEPTH_MAX) return NULL;
    node *n = parse_level(p, "+-");
    p->depth--;
    return n;
}

int interpolation_parse(
    struct str text, struct arena *a, struct interpolation **out, struct error *err)
{
    struct parser p = { .s = text, .a = a };
    *out = parse_text(&p, false);
    if (*out) return 0;
    return error_set(err, ERR_BAD_REQUEST, "parse error: syntax error");
}

/* --- evaluation ----------------------------------------------------------------------------- */

struct result {
    enum node_kind kind; /* TEXT, INT or FLOAT */
    struct str text;
    int64_t i;
    double f;
};

struct evaluation {
    const struct interpolation_scope *scope;
    struct arena *a;
    struct error *err;
};

static int refuse(const struct evaluation *e, const node *n, const char *what, struct str name)
{
    return error_set(
        e->err, ERR_BAD_REQUEST, "%u:%u: %s%.*s", n->line, n->column, what, STR_ARG(name));
}

/* The fewest digits that read back. */
static void put_double(struct buf *out, double v)
{
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    buf_put_c(out, text);
}

static struct str as_text(const struct evaluation *e, const struct result *r)
{
    if (r->kind == NODE_TEXT) return r->text;
    struct buf out = BUF_INIT(400);
    if (r->kind == NODE_INT)
        buf_printf(&out, "%lld", (long long)r->i);
    else
        put_double(&out, r->f);
    struct str text = str_dup(e->a, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static int as_number(const struct evaluation *e, const node *n, struct result *r)
{
    if (r->kind != NODE_TEXT) return 0;
    if (str_to_i64(r->text, &r->i))
        r->kind = NODE_INT;
    else if (to_double(r->text, e->a, &r->f))
        r->kind = NODE_FLOAT;
    else
        return refuse(e, n, "not a number: ", r->text);
    return 0;
}

static int eval(const struct evaluation *e, const node *n, struct result *r);

static int eval_concat(const struct evaluation *e, const node *n, struct result *r)
{
    struct buf out = BUF_INIT(1u << 20);
    int rc = 0;
    for (const node *part = n->first; part && !rc; part = part->next) {
        struct result one;
        rc = eval(e, part, &one);
        if (!rc) buf_put_str(&out, as_text(e, &one));
    }
    if (!rc && out.overflow) rc = error_set(e->err, ERR_LIMIT, "the text is too long");
    *r = (struct result){ .kind = NODE_TEXT, .text = str_dup(e->a, buf_str(&out)) };
    if (!r->text.p) r->text = STR("");
    buf_deinit(&out);
    return rc;
}

static int eval_call(const struct evaluation *e, const node *n, struct result *r)
{
    struct result arg;
    if (!str_is(n->text, "match")) return refuse(e, n, "unknown function called: ", n->text);
    if (n->n != 1)
        return refuse(e, n, "match: expected 1 arguments, got ", str_printf(e->a, "%zu", n->n));
    int rc = eval(e, n->first, &arg);
    if (!rc) rc = as_number(e, n, &arg);
    if (rc) return rc;
    int64_t i = arg.kind == NODE_INT ? arg.i : arg.f > -1e9 && arg.f < 1e9 ? (int64_t)arg.f : -1;
    *r = (struct result){ .kind = NODE_TEXT, .text = e->scope->match(e->scope->ctx, i) };
    return 0;
}

static int arith_int(const struct evaluation *e, const node *n, struct result *x, int64_t y)
{
    uint64_t a = (uint64_t)x->i, b = (uint64_t)y;
    bool divides = n->op == '/' || n->op == '%';
    if (divides && y == 0) return refuse(e, n, "divide by zero", STR(""));
    if (divides && y == -1) {
        x->i = n->op == '/' ? (int64_t)(0 - a) : 0;
        return 0;
    }
    if (n->op == '+') x->i = (int64_t)(a + b);
    if (n->op == '-') x->i = (int64_t)(a - b);
    if (n->op == '*') x->i = (int64_t)(a * b);
    if (n->op == '/') x->i /= y;
    if (n->op == '%') x->i %= y;
    return 0;
}

static int eval_arith(const struct evaluation *e, const node *n, struct result *r)
{
    struct result y;
    int rc = eval(e, n->first, r);
    if (!rc) rc = eval(e, n->first->next, &y);
    if (!rc) rc = as_number(e, n, r);
    if (!rc) rc = as_number(e, n, &y);
    if (rc) return rc;
    if (r->kind == NODE_INT && y.kind == NODE_INT) return arith_int(e, n, r, y.i);
    double a = r->kind == NODE_INT ? (double)r->i : r->f;
    double b = y.kind == NODE_INT ? (double)y.i : y.f;
    r->kind = NODE_FLOAT;
    if (n->op == '+') r->f = a + b;
    if (n->op == '-') r->f = a - b;
    if (n->op == '*') r->f = a * b;
    if (n->op == '/') r->f = a / b;
    if (n->op == '%') return refuse(e, n, "modulo of a fraction", STR(""));
    if (!isfinite(r->f)) return refuse(e, n, "no number", STR(""));
    return 0;
}

static int eval(const struct evaluation *e, const node *n, struct result *r)
{
    *r = (struct result){ .kind = n->kind, .text = n->text, .i = n->i, .f = n->f };
    switch (n->kind) {
    case NODE_TEXT:
    case NODE_INT:
    case NODE_FLOAT:
        return 0;
    case NODE_CONCAT:
        return eval_concat(e, n, r);
    case NODE_VARIABLE:
        r->kind = NODE_TEXT;
        if (e->scope->variable(e->scope->ctx, n->text, &r->text)) return 0;
        return refuse(e, n, "unknown variable accessed: ", n->text);
    case NODE_CALL:
        return eval_call(e, n, r);
    case NODE_ARITH:
        return eval_arith(e, n, r);
    }
    return ERR_INTERNAL;
}

int interpolation_eval(const struct interpolation *t, const struct interpolation_scope *scope,
    struct arena *a, struct str *out, struct error *err)
{
    struct evaluation e = { .scope = scope, .a = a, .err = err };
    struct result r;
    int rc = eval(&e, t, &r);
    *out = as_text(&e, &r);
    return rc;
}
