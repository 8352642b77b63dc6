/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/lang/hcl.h"

#include <stdlib.h>
#include <string.h>

#include "consuld/wire/json.h"
#include "hcl_text.h"

enum { KEYS_MAX = 32 /* of one item */, ENTRIES_MAX = 4096 /* names in one object */ };

/* Returned when the text ends where a key or value could stand; the caller decides. */
enum { AT_END = 1 };

struct parser {
    struct hcl_scan scan;
    struct hcl_token token;
    bool buffered;
    int depth;
    struct arena *arena;
    struct error *err;
};

static int parse_object(struct parser *p, struct value *out);
static int parse_list(struct parser *p, struct value *out);

static void next(struct parser *p)
{
    if (p->buffered) {
        p->buffered = false;
        return;
    }
    do
        p->token = hcl_scan_next(&p->scan);
    while (p->token.kind == HCL_COMMENT);
}

static int fail(struct parser *p, struct hcl_pos at, const char *message)
{
    return error_set(p->err, ERR_DECODE, "At %u:%u: %s", at.line, at.column, message);
}

static int fail_got(struct parser *p, const char *message)
{
    return error_set(p->err, ERR_DECODE, "At %u:%u: %s got: %s", p->token.pos.line,
        p->token.pos.column, message, hcl_token_name(p->token.kind));
}

/* --- shape ---------------------------------------------------------------------------------- */

static struct value single(struct arena *a, struct value element)
{
    struct value list = { .kind = V_LIST, .line = element.line };
    *value_list_add(a, &list) = element;
    return list;
}

/* Puts `v` under `key`: objects become elements of a list, lists are appended to. */
static int put(struct parser *p, struct value *map, struct str key, struct value v)
{
    struct value *old = value_get(map, key);
    if (v.kind == V_MAP) v = single(p->arena, v);
    if (old && old->kind == V_LIST && v.kind == V_LIST) {
        for (size_t i = 0; i < v.list.n; i++)
            *value_list_add(p->arena, old) = v.list.v[i];
        return 0;
    }
    if (old) {
        *old = v;
        return 0;
    }
    if (map->map.n >= ENTRIES_MAX) return fail(p, p->token.pos, "too many keys in one object");
    *value_map_add(p->arena, map, key) = v;
    return 0;
}

/* --- grammar -------------------------------------------------------------------------------- */

struct keys {
    struct str name[KEYS_MAX]; /* unquoted */
    struct str as_written[KEYS_MAX];
    size_t n;
    uint32_t line;
};

static int add_key(struct parser *p, struct keys *k)
{
    if (k->n == KEYS_MAX) return fail(p, p->token.pos, "too many keys");
    struct str name = p->token.text;
    if (p->token.kind == HCL_STRING && !hcl_unquote(p->token.text, p->arena, &name) &&
        !p->scan.failed)
        return fail(p, p->token.pos, "illegal char escape");
    if (k->n == 0) k->line = p->token.pos.line;
    k->name[k->n] = name;
    k->as_written[k->n++] = p->token.text;
    return 0;
}

static int parse_keys(struct parser *p, struct keys *k)
{
    for (;;) {
        next(p);
        switch ((int)p->token.kind) {
        case HCL_EOF:
            return AT_END;
        case HCL_IDENT:
        case HCL_STRING: {
            int rc = add_key(p, k);
            if (rc) return rc;
            break;
        }
        case HCL_ASSIGN:
            if (k->n > 1) {
                k->n = 0;
                return fail_got(p, "nested object expected: LBRACE");
            }
            return k->n ? 0 : fail(p, p->token.pos, "no object keys found!");
        case HCL_LBRACE:
            return k->n ? 0 : fail_got(p, "expected: IDENT | STRING");
        case HCL_ILLEGAL:
            return fail(p, p->token.pos, "illegal character");
        default:
            return fail_got(p, "expected: IDENT | STRING | ASSIGN | LBRACE");
        }
    }
}

static int fail_no_value(struct parser *p, const struct keys *k)
{
    struct buf text = BUF_INIT(ERROR_TEXT_MAX);
    for (size_t i = 0; i < k->n; i++) {
        if (i) buf_put_char(&text, ' ');
        buf_put_str(&text, k->as_written[i]);
    }
    int rc = error_set(p->err, ERR_DECODE,
        "At %u:%u: key '%.*s' expected start of object ('{') or assignment ('=')",
        p->token.pos.line, p->token.pos.column, STR_ARG(buf_str(&text)));
    buf_deinit(&text);
    return rc;
}

static int parse_value(struct parser *p, struct value *out)
{
    next(p);
    switch ((int)p->token.kind) {
    case HCL_NUMBER:
    case HCL_FLOAT:
    case HCL_BOOL:
    case HCL_STRING:
    case HCL_HEREDOC:
        if (p->scan.failed) return ERR_DECODE;
        return hcl_literal(&p->token, p->arena, out, p->err);
    case HCL_LBRACE:
        return parse_object(p, out);
    case HCL_LBRACK:
        return parse_list(p, out);
    case HCL_EOF:
        return AT_END;
    default:
        return error_set(p->err, ERR_DECODE, "At %u:%u: Unknown token: %u:%u %s %.*s",
            p->token.pos.line, p->token.pos.column, p->token.pos.line, p->token.pos.column,
            hcl_token_name(p->token.kind), STR_ARG(p->token.text));
    }
}

static int parse_item(struct parser *p, struct value *map)
{
    struct keys k = { .n = 0 };
    struct value v = { .kind = V_NIL };
    int rc = parse_keys(p, &k);
    if (k.n > 0 && rc == AT_END) rc = 0;
    if (k.n > 0 && rc && p->token.kind == HCL_RBRACE) {
        rc = 0;
        p->token.kind = HCL_EOF; /* the brace must not count as the object's end */
    }
    if (rc) return rc;
    if (p->token.kind == HCL_ASSIGN)
        rc = parse_value(p, &v);
    else if (p->token.kind == HCL_LBRACE)
        rc = parse_object(p, &v);
    else
        rc = fail_no_value(p, &k);
    for (size_t i = k.n; rc == 0 && i-- > 1;) {
        struct value outer = { .kind = V_MAP, .line = k.line };
        rc = put(p, &outer, k.name[i], v);
        v = outer;
    }
    return rc ? rc : put(p, map, k.name[0], v);
}

/* Items up to the end of the text, or up to the closing brace that is left in the buffer. */
static int parse_items(struct parser *p, bool braces, struct value *map)
{
    for (;;) {
        if (braces) {
            next(p);
            p->buffered = true;
            if (p->token.kind == HCL_RBRACE) return 0;
        }
        int rc = parse_item(p, map);
        if (rc == AT_END) return 0;
        if (rc) return rc;
        next(p);
        p->buffered = p->token.kind != HCL_COMMA;
    }
}

static int enter(struct parser *p)
{
    if (p->depth == HCL_DEPTH_MAX) return fail(p, p->token.pos, "nested too deeply");
    p->depth++;
    return 0;
}

/* The opening brace is the current token. */
static int parse_object(struct parser *p, struct value *out)
{
    *out = (struct value){ .kind = V_MAP, .line = p->token.pos.line };
    int rc = enter(p);
    if (rc) return rc;
    rc = parse_items(p, true, out);
    if (rc && p->token.kind != HCL_RBRACE) return rc;
    next(p);
    if (p->token.kind != HCL_RBRACE) return fail_got(p, "object expected closing RBRACE");
    p->depth--;
    return 0;
}

static int fail_within_list(struct parser *p, struct hcl_pos at, const char *what)
{
    return error_prefix(
        p->err, "At %u:%u: error while trying to parse %s within list: ", at.line, at.column, what);
}

static int parse_element(struct parser *p, struct value *out)
{
    struct hcl_pos at = p->token.pos;
    if (p->token.kind == HCL_LBRACE)
        return parse_object(p, out) ? fail_within_list(p, at, "object") : 0;
    if (p->token.kind == HCL_LBRACK)
        return parse_list(p, out) ? fail_within_list(p, at, "list") : 0;
    if (p->scan.failed) return ERR_DECODE;
    return hcl_literal(&p->token, p->arena, out, p->err);
}

static int parse_list(struct parser *p, struct value *out)
{
    *out = (struct value){ .kind = V_LIST, .line = p->token.pos.line };
    int rc = enter(p);
    bool need_comma = false;
    while (rc == 0) {
        next(p);
        enum hcl_token_kind kind = p->token.kind;
        if (kind == HCL_RBRACK) {
            p->depth--;
            return 0;
        }
        if (kind == HCL_COMMA) {
            need_comma = false;
            continue;
        }
        if (need_comma) return fail_got(p, "error parsing list, expected comma or list end,");
        bool literal = kind == HCL_BOOL || kind == HCL_NUMBER || kind == HCL_FLOAT ||
                       kind == HCL_STRING || kind == HCL_HEREDOC;
        if (!literal && kind != HCL_LBRACE && kind != HCL_LBRACK)
            return error_set(p->err, ERR_DECODE,
                "At %u:%u: unexpected token while parsing list: %s", p->token.pos.line,
                p->token.pos.column, hcl_token_name(kind));
        need_comma = kind != HCL_LBRACK;
        rc = parse_element(p, value_list_add(p->arena, out));
    }
    return rc;
}

/* --- JSON ----------------------------------------------------------------------------------- */

static void shape_number(struct value *v, struct arena *a)
{
    int64_t i;
    if (str_to_i64(v->s, &i)) {
        v->kind = V_INT;
        v->i = i;
    } else {
        double f = strtod(str_c(a, v->s), NULL);
        v->kind = V_FLOAT;
        v->f = f;
    }
}

/* Gives a JSON value the shape of HCL: objects stand in lists, integers are V_INT. */
static int shape(struct parser *p, struct value *v, bool in_list, int depth)
{
    if (depth > HCL_DEPTH_MAX) return error_set(p->err, ERR_DECODE, "JSON value nested too deeply");
    int rc = 0;
    if (v->kind == V_NUMBER) shape_number(v, p->arena);
    if (v->kind == V_LIST)
        for (size_t i = 0; rc == 0 && i < v->list.n; i++)
            rc = shape(p, &v->list.v[i], true, depth + 1);
    if (v->kind == V_MAP) {
        for (size_t i = 0; rc == 0 && i < v->map.n; i++)
            rc = shape(p, &v->map.v[i].value, false, depth + 1);
        if (!in_list && rc == 0) *v = single(p->arena, *v);
    }
    return rc;
}

static bool is_json(struct str text)
{
    struct str t = str_trim(text);
    return t.n > 0 && t.p[0] == '{';
}

int hcl_parse(struct str text, struct arena *a, struct value *out, struct error *err)
{
    ensure(out);
    struct error local;
    struct parser *p = arena_new(a, struct parser);
    p->arena = a;
    p->err = err ? err : &local;
    if (is_json(text)) {
        int rc = json_parse_whole(text, a, out, p->err);
        return rc ? rc : shape(p, out, true, 0);
    }
    hcl_scan_init(&p->scan, text);
    *out = (struct value){ .kind = V_MAP, .line = 1 };
    int rc = parse_items(p, false, out);
    if (p->scan.failed) {
        *p->err = p->scan.error;
        return p->err->code;
    }
    return rc;
}
