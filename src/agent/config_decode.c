/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of type errors are those of the decoder that Consul uses. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config_schema.h"

struct decode {
    struct arena *arena;
    struct list errors;  /* struct str */
    struct list unknown; /* struct str */
};

static void decode_key(struct decode *d, const struct config_key *key, const struct value *in,
    struct str path, struct value *out);

/* --- errors --------------------------------------------------------------------------------- */

static void fail(struct decode *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct decode *d, const char *fmt, ...)
{
    va_list ap;
    struct buf b = BUF_INIT(CONFIG_MESSAGE_MAX);
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    *LIST_PUSH(d->arena, &d->errors, struct str) = str_dup(d->arena, buf_str(&b));
    buf_deinit(&b);
}

static void fail_type(struct decode *d, struct str path, const char *want, const struct value *got)
{
    fail(d, "'%.*s' expected type '%s', got unconvertible type '%s'", STR_ARG(path), want,
        value_go_type(got));
}

static void fail_map(struct decode *d, struct str path, const struct value *got)
{
    fail(d, "'%.*s' expected a map, got '%s'", STR_ARG(path), value_go_kind(got));
}

static void fail_list(struct decode *d, struct str path, const struct value *got)
{
    fail(d, "'%.*s': source data must be an array or slice, got %s", STR_ARG(path),
        value_go_kind(got));
}

/* --- shape ---------------------------------------------------------------------------------- */

bool config_type_is_list(enum config_type type)
{
    return type == CONFIG_LIST || type == CONFIG_FREE_LIST || type == CONFIG_SERVICES ||
           type == CONFIG_CHECKS || type == CONFIG_BLOCKS;
}

/* Lists of one element stand for the element, down to the leaves of free values. JSON numbers
 * become reals. */
static struct value flatten(struct decode *d, const struct value *in)
{
    while (in->kind == V_LIST && in->list.n == 1)
        in = &in->list.v[0];
    struct value out = *in;
    if (in->kind == V_NUMBER) {
        out.kind = V_FLOAT;
        out.f = strtod(str_c(d->arena, in->s), NULL);
    }
    if (in->kind == V_LIST) {
        out.list.v = NULL;
        out.list.n = 0;
        out.list.cap = 0;
        for (size_t i = 0; i < in->list.n; i++)
            *value_list_add(d->arena, &out) = flatten(d, &in->list.v[i]);
    }
    if (in->kind == V_MAP) {
        out.map.v = NULL;
        out.map.n = 0;
        out.map.cap = 0;
        for (size_t i = 0; i < in->map.n; i++)
            *value_map_add(d->arena, &out, in->map.v[i].key) = flatten(d, &in->map.v[i].value);
    }
    return out;
}

static struct str element_path(struct decode *d, struct str path, size_t i)
{
    return str_printf(d->arena, "%.*s[%zu]", STR_ARG(path), i);
}

static struct str entry_path(struct decode *d, struct str path, struct str key)
{
    return str_printf(d->arena, "%.*s[%.*s]", STR_ARG(path), STR_ARG(key));
}

static struct str key_path(struct decode *d, struct str path, struct str key)
{
    return path.n ? str_printf(d->arena, "%.*s.%.*s", STR_ARG(path), STR_ARG(key)) : key;
}

/* --- scalars -------------------------------------------------------------------------------- */

static bool as_integer(struct decode *d, const struct value *in, int64_t *out)
{
    double f = in->f;
    if (in->kind == V_INT) {
        *out = in->i;
        return true;
    }
    if (in->kind == V_NUMBER) {
        if (str_to_i64(in->s, out)) return true;
        f = strtod(str_c(d->arena, in->s), NULL);
    }
    if (!(f > -9.2e18 && f < 9.2e18)) return false;
    *out = (int64_t)f;
    return true;
}

static bool is_number(const struct value *v)
{
    return v->kind == V_INT || v->kind == V_FLOAT || v->kind == V_NUMBER;
}

static void decode_integer(struct decode *d, enum config_type type, const struct value *in,
    struct str path, struct value *out)
{
    const char *word = type == CONFIG_INT      ? "int"
                       : type == CONFIG_UINT   ? "uint"
                       : type == CONFIG_UINT32 ? "uint32"
                                               : "uint64";
    int64_t v = 0;
    if (!is_number(in)) {
        fail_type(d, path, word, in);
        return;
    }
    bool fits = as_integer(d, in, &v);
    if (type == CONFIG_UINT32 && v > UINT32_MAX) fits = false;
    if (!fits || (type != CONFIG_INT && v < 0)) {
        struct buf b = BUF_INIT(400);
        json_encode_value(in, false, &b);
        fail(d, "cannot parse '%.*s', %.*s overflows %s", STR_ARG(path), STR_ARG(buf_str(&b)),
            type == CONFIG_INT ? "int" : "uint");
        buf_deinit(&b);
        return;
    }
    out->kind = V_INT;
    out->i = v;
}

static void decode_number(
    struct decode *d, const struct value *in, struct str path, struct value *out)
{
    if (!is_number(in)) {
        fail_type(d, path, "float64", in);
        return;
    }
    out->kind = V_FLOAT;
    out->f = in->kind == V_INT     ? (double)in->i
             : in->kind == V_FLOAT ? in->f
                                   : strtod(str_c(d->arena, in->s), NULL);
}

static void decode_string(
    struct decode *d, const struct value *in, struct str path, struct value *out)
{
    if (in->kind == V_STR)
        *out = *in;
    else
        fail_type(d, path, "string", in);
}

/* --- lists and maps -------------------------------------------------------------------------- */

static enum config_type element_type(enum config_type type)
{
    switch ((int)type) {
    case CONFIG_LIST:
    case CONFIG_MAP:
        return CONFIG_STRING;
    case CONFIG_MAP_LIST:
        return CONFIG_LIST;
    case CONFIG_FREE_LIST:
        return CONFIG_FREE;
    default:
        return CONFIG_BLOCK;
    }
}

static struct config_key element_key(const struct config_key *key)
{
    struct config_key element = *key;
    element.type = element_type(key->type);
    return element;
}

static void decode_list(struct decode *d, const struct config_key *key, const struct value *in,
    struct str path, struct value *out)
{
    if (in->kind != V_LIST) {
        fail_list(d, path, in);
        return;
    }
    struct config_key element = element_key(key);
    *out = (struct value){ .kind = V_LIST, .line = in->line };
    for (size_t i = 0; i < in->list.n; i++) {
        struct value v = { .kind = V_NIL };
        decode_key(d, &element, &in->list.v[i], element_path(d, path, i), &v);
        if (v.kind != V_NIL) *value_list_add(d->arena, out) = v;
    }
}

static void decode_map(struct decode *d, const struct config_key *key, const struct value *in,
    struct str path, struct value *out)
{
    if (in->kind != V_MAP) {
        fail_map(d, path, in);
        return;
    }
    struct config_key element = element_key(key);
    *out = (struct value){ .kind = V_MAP, .line = in->line };
    for (size_t i = 0; i < in->map.n; i++) {
        struct value v = { .kind = V_NIL };
        struct str name = in->map.v[i].key;
        decode_key(d, &element, &in->map.v[i].value, entry_path(d, path, name), &v);
        if (v.kind == V_NIL) continue;
        struct value *old = value_get(out, name);
        *(old ? old : value_map_add(d->arena, out, name)) = v;
    }
}

static void decode_free(
    struct decode *d, const struct value *in, struct str path, struct value *out)
{
    if (in->kind == V_MAP)
        *out = flatten(d, in);
    else
        fail_map(d, path, in);
}

/* --- blocks ---------------------------------------------------------------------------------- */

/* How well `name` as written denotes `key`: 3 exactly, 2 but for case, 1 by its alias, 0 not. */
static int match(const struct config_key *key, struct str name)
{
    if (str_is(name, key->name)) return 3;
    if (str_eq_nocase(name, str_of(key->name))) return 2;
    return key->alias && str_eq_nocase(name, str_of(key->alias)) ? 1 : 0;
}

static const struct config_key *find(const struct config_key *block, struct str name, int *rank)
{
    for (size_t i = 0; i < block->n; i++)
        if ((*rank = match(&block->keys[i], name)) > 0) return &block->keys[i];
    return NULL;
}

static void decode_block(struct decode *d, const struct config_key *block, const struct value *in,
    struct str path, struct value *out)
{
    if (in->kind != V_MAP) {
        fail_map(d, path, in);
        return;
    }
    *out = (struct value){ .kind = V_MAP, .line = in->line };
    int *ranks = arena_array(d->arena, block->n, sizeof *ranks);
    for (size_t i = 0; i < in->map.n; i++) {
        int rank;
        struct str name = in->map.v[i].key;
        const struct config_key *key = find(block, name, &rank);
        if (!key) {
            *LIST_PUSH(d->arena, &d->unknown, struct str) = key_path(d, path, name);
            continue;
        }
        struct value v = { .kind = V_NIL };
        decode_key(d, key, &in->map.v[i].value, key_path(d, path, str_of(key->name)), &v);
        if (v.kind == V_NIL || rank < ranks[key - block->keys]) continue;
        ranks[key - block->keys] = rank;
        struct value *old = value_get(out, str_of(key->name));
        *(old ? old : value_map_add(d->arena, out, str_of(key->name))) = v;
    }
}

/* Leaves *out nil when the value counts as not given. */
static void decode_key(struct decode *d, const struct config_key *key, const struct value *in,
    struct str path, struct value *out)
{
    bool list = config_type_is_list(key->type);
    if (!list && in->kind == V_LIST && in->list.n == 1) in = &in->list.v[0];
    if (in->kind == V_NIL) return;
    switch (key->type) {
    case CONFIG_BOOL:
        if (in->kind == V_BOOL)
            *out = *in;
        else
            fail_type(d, path, "bool", in);
        break;
    case CONFIG_INT:
    case CONFIG_UINT:
    case CONFIG_UINT32:
    case CONFIG_UINT64:
        decode_integer(d, key->type, in, path, out);
        break;
    case CONFIG_NUMBER:
        decode_number(d, in, path, out);
        break;
    case CONFIG_STRING:
    case CONFIG_DURATION:
        decode_string(d, in, path, out);
        break;
    case CONFIG_LIST:
    case CONFIG_FREE_LIST:
    case CONFIG_SERVICES:
    case CONFIG_CHECKS:
    case CONFIG_BLOCKS:
        decode_list(d, key, in, path, out);
        break;
    case CONFIG_MAP:
    case CONFIG_MAP_LIST:
    case CONFIG_BLOCK_MAP:
        decode_map(d, key, in, path, out);
        break;
    case CONFIG_FREE:
        decode_free(d, in, path, out);
        break;
    case CONFIG_SERVICE:
    case CONFIG_CHECK:
    case CONFIG_BLOCK:
        decode_block(d, key, in, path, out);
        break;
    }
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void sort(struct list *l)
{
    if (l->n) qsort(l->v, l->n, sizeof(struct str), by_text);
}

int config_decode(const struct config_key *root, const struct value *in, struct arena *a,
    struct value *out, struct list *unknown, struct buf *error)
{
    struct decode d = { .arena = a };
    *out = (struct value){ .kind = V_MAP };
    decode_key(&d, root, in, STR(""), out);
    sort(&d.unknown);
    *unknown = d.unknown;
    if (d.errors.n == 0) return 0;
    sort(&d.errors);
    buf_printf(error, "%zu error(s) decoding:\n", d.errors.n);
    for (size_t i = 0; i < d.errors.n; i++)
        buf_printf(error, "\n* %.*s", STR_ARG(LIST_AT(&d.errors, struct str, i)));
    return ERR_DECODE;
}
