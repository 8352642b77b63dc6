/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/wire/value.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 4
/* Up to here looking for each key is cheaper than sorting. */
#define PAIRS_MAX 32

/* Doubles the room of a vector that is full, exact or borrowed. */
static void *vector_grow(struct arena *a, void *v, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) return v;
    size_t room = n < ROOM_MIN ? ROOM_MIN : n * 2;
    void *grown = arena_array(a, room, size);
    if (n) memcpy(grown, v, n * size);
    *cap = room;
    return grown;
}

struct value *value_get(const struct value *v, struct str key)
{
    if (!v || v->kind != V_MAP) return NULL;
    for (size_t i = v->map.n; i > 0; i--) {
        if (str_eq(v->map.v[i - 1].key, key)) return &v->map.v[i - 1].value;
    }
    return NULL;
}

struct value *value_map_add(struct arena *a, struct value *v, struct str key)
{
    v->map.v = vector_grow(a, v->map.v, v->map.n, &v->map.cap, sizeof *v->map.v);
    struct value_entry *e = &v->map.v[v->map.n++];
    *e = (struct value_entry){ .key = key };
    return &e->value;
}

struct value *value_list_add(struct arena *a, struct value *v)
{
    v->list.v = vector_grow(a, v->list.v, v->list.n, &v->list.cap, sizeof *v->list.v);
    struct value *e = &v->list.v[v->list.n++];
    *e = (struct value){ 0 };
    return e;
}

struct value value_of_str(struct str s)
{
    return (struct value){ .kind = V_STR, .s = s };
}

struct value value_copy(struct arena *a, const struct value *v)
{
    struct value out = *v;
    switch (v->kind) {
    case V_NIL:
    case V_BOOL:
    case V_INT:
    case V_UINT:
    case V_FLOAT:
    case V_FLOAT32:
        break;
    case V_NUMBER:
    case V_STR:
    case V_BYTES:
        out.s = str_dup(a, v->s);
        break;
    case V_LIST:
        out.list.v = arena_array(a, v->list.n, sizeof *out.list.v);
        out.list.cap = v->list.n;
        for (size_t i = 0; i < v->list.n; i++)
            out.list.v[i] = value_copy(a, &v->list.v[i]);
        break;
    case V_MAP:
        out.map.v = arena_array(a, v->map.n, sizeof *out.map.v);
        out.map.cap = v->map.n;
        for (size_t i = 0; i < v->map.n; i++) {
            out.map.v[i].key = str_dup(a, v->map.v[i].key);
            out.map.v[i].value = value_copy(a, &v->map.v[i].value);
        }
        break;
    }
    return out;
}

static int by_key(const void *a, const void *b)
{
    const struct value_entry *const *x = a, *const *y = b;
    int order = str_cmp((*x)->key, (*y)->key);
    return order ? order : (*x > *y) - (*x < *y);
}

/* The entries that count in the order of their keys; free() them. */
static const struct value_entry **map_sorted(const struct value *v, size_t *n)
{
    const struct value_entry **order = xcalloc(v->map.n + 1, sizeof *order);
    for (size_t i = 0; i < v->map.n; i++)
        order[i] = &v->map.v[i];
    qsort(order, v->map.n, sizeof *order, by_key);
    *n = 0;
    for (size_t i = 0; i < v->map.n; i++) {
        if (*n && str_eq(order[*n - 1]->key, order[i]->key)) --*n;
        order[(*n)++] = order[i];
    }
    return order;
}

static bool sorted_equal(const struct value *a, const struct value *b)
{
    size_t n, m;
    const struct value_entry **x = map_sorted(a, &n), **y = map_sorted(b, &m);
    bool equal = n == m;
    for (size_t i = 0; i < n && equal; i++)
        equal = str_eq(x[i]->key, y[i]->key) && value_equal(&x[i]->value, &y[i]->value);
    free(x);
    free(y);
    return equal;
}

static bool map_equal(const struct value *a, const struct value *b)
{
    if (a->map.n != b->map.n) return false;
    for (size_t i = 0; i < a->map.n; i++) {
        /* Maps that were made alike have their keys at the same place. */
        const struct value_entry *e = &a->map.v[i];
        bool here = str_eq(e->key, b->map.v[i].key);
        if (!here && a->map.n > PAIRS_MAX) return sorted_equal(a, b);
        const struct value *other = here ? &b->map.v[i].value : value_get(b, e->key);
        if (!other || !value_equal(&e->value, other)) return false;
    }
    return true;
}

bool value_equal(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case V_NIL:
        return true;
    case V_BOOL:
        return a->b == b->b;
    case V_INT:
        return a->i == b->i;
    case V_UINT:
        return a->u == b->u;
    case V_FLOAT:
    case V_FLOAT32:
        return a->f == b->f;
    case V_NUMBER:
    case V_STR:
    case V_BYTES:
        return str_eq(a->s, b->s);
    case V_LIST:
        if (a->list.n != b->list.n) return false;
        for (size_t i = 0; i < a->list.n; i++) {
            if (!value_equal(&a->list.v[i], &b->list.v[i])) return false;
        }
        return true;
    case V_MAP:
        return map_equal(a, b);
    }
    return false;
}

const char *value_go_kind(const struct value *v)
{
    static const char *const kinds[] = { [V_NIL] = "nil",
        [V_BOOL] = "bool",
        [V_INT] = "int",
        [V_UINT] = "uint",
        [V_FLOAT] = "float64",
        [V_FLOAT32] = "float64",
        [V_NUMBER] = "float64",
        [V_STR] = "string",
        [V_BYTES] = "string",
        [V_LIST] = "slice",
        [V_MAP] = "map" };
    return kinds[v->kind];
}

const char *value_go_type(const struct value *v)
{
    if (v->kind == V_LIST) return "[]interface {}";
    if (v->kind == V_MAP) return "map[string]interface {}";
    return value_go_kind(v);
}
