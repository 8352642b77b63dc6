/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "collection.h"

/* Up to here looking for each key is cheaper than sorting. */
#define PAIRS_MAX 32

static const void *at(const void *obj, const struct field *f)
{
    return (const char *)obj + f->offset;
}

static const char *list_at(const struct list *l, const struct type *elem, size_t i)
{
    return (const char *)l->v + i * elem->size;
}

/* --- equal --------------------------------------------------------------------------------- */

static bool list_equal(const struct type *elem, const struct list *a, const struct list *b)
{
    if (a->n != b->n || !a->v != !b->v) return false;
    for (size_t i = 0; i < a->n; i++) {
        if (!record_equal(elem, list_at(a, elem, i), list_at(b, elem, i))) return false;
    }
    return true;
}

static bool sorted_equal(const struct type *elem, const struct dict *a, const struct dict *b)
{
    struct str **x = dict_sorted(a, elem), **y = dict_sorted(b, elem);
    bool equal = true;
    for (size_t i = 0; i < a->n && equal; i++)
        equal = str_eq(*x[i], *y[i]) && record_equal(elem, x[i] + 1, y[i] + 1);
    free(x);
    free(y);
    return equal;
}

static bool dict_equal(const struct type *elem, const struct dict *a, const struct dict *b)
{
    if (a->n != b->n || !a->v != !b->v) return false;
    for (size_t i = 0; i < a->n; i++) {
        /* Maps that were made alike have their keys at the same place. */
        struct str key = dict_key(a, elem, i);
        bool here = str_eq(key, dict_key(b, elem, i));
        if (!here && a->n > PAIRS_MAX) return sorted_equal(elem, a, b);
        const void *other = here ? dict_at(b, elem, i) : dict_get(b, elem, key);
        if (!other || !record_equal(elem, dict_at(a, elem, i), other)) return false;
    }
    return true;
}

static bool fields_equal(const struct record *r, const void *a, const void *b)
{
    for (uint16_t i = 0; i < r->n; i++) {
        const struct field *f = &r->fields[i];
        if (!(f->flags & COMPARE_SKIP) && !record_equal(f->type, at(a, f), at(b, f))) return false;
    }
    return true;
}

static bool time_equal(const struct gotime *a, const struct gotime *b)
{
    return a->sec == b->sec && a->nsec == b->nsec &&
           (a->offset_min == b->offset_min || gotime_is_zero(*a));
}

static bool bytes_equal(const struct str *a, const struct str *b)
{
    return !a->p == !b->p && str_eq(*a, *b);
}

bool record_equal(const struct type *t, const void *a, const void *b)
{
    switch (t->kind) {
    case KIND_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case KIND_INT:
    case KIND_DUR:
        return *(const int64_t *)a == *(const int64_t *)b;
    case KIND_UINT:
        return *(const uint64_t *)a == *(const uint64_t *)b;
    case KIND_F32:
        return *(const float *)a == *(const float *)b;
    case KIND_F64:
        return *(const double *)a == *(const double *)b;
    case KIND_STR:
        return str_eq(*(const struct str *)a, *(const struct str *)b);
    case KIND_BYTES:
        return bytes_equal(a, b);
    case KIND_TIME:
        return time_equal(a, b);
    case KIND_ANY:
        return value_equal(a, b);
    case KIND_REC:
        return fields_equal(t->record, a, b);
    case KIND_PTR: {
        const void *x = *(void *const *)a, *y = *(void *const *)b;
        return x && y ? fields_equal(t->record, x, y) : x == y;
    }
    case KIND_LIST:
        return list_equal(t->elem, a, b);
    case KIND_MAP:
        return dict_equal(t->elem, a, b);
    }
    return false;
}

/* --- copy ---------------------------------------------------------------------------------- */

static void list_copy(
    struct arena *a, const struct type *elem, struct list *dst, const struct list *src)
{
    *dst = (struct list){ .n = src->n };
    if (!src->v) return;
    dst->v = src->n ? arena_array(a, src->n, elem->size) : collection_empty;
    for (size_t i = 0; i < src->n; i++)
        record_copy(a, elem, (char *)dst->v + i * elem->size, list_at(src, elem, i));
}

static void dict_copy(
    struct arena *a, const struct type *elem, struct dict *dst, const struct dict *src)
{
    size_t stride = dict_stride(elem);
    *dst = (struct dict){ .n = src->n };
    if (!src->v) return;
    dst->v = src->n ? arena_array(a, src->n, stride) : collection_empty;
    for (size_t i = 0; i < src->n; i++) {
        void *e = (char *)dst->v + i * stride;
        *(struct str *)e = str_dup(a, dict_key(src, elem, i));
        record_copy(a, elem, dict_at(dst, elem, i), dict_at(src, elem, i));
    }
}

static void fields_copy(struct arena *a, const struct record *r, void *dst, const void *src)
{
    for (uint16_t i = 0; i < r->n; i++) {
        const struct field *f = &r->fields[i];
        record_copy(a, f->type, (char *)dst + f->offset, at(src, f));
    }
}

void record_copy(struct arena *a, const struct type *t, void *dst, const void *src)
{
    switch (t->kind) {
    case KIND_BOOL:
    case KIND_INT:
    case KIND_UINT:
    case KIND_F32:
    case KIND_F64:
    case KIND_TIME:
    case KIND_DUR:
        memcpy(dst, src, t->size);
        break;
    case KIND_STR:
    case KIND_BYTES:
        *(struct str *)dst = str_dup(a, *(const struct str *)src);
        break;
    case KIND_ANY:
        *(struct value *)dst = value_copy(a, src);
        break;
    case KIND_REC:
        fields_copy(a, t->record, dst, src);
        break;
    case KIND_PTR: {
        const void *from = *(void *const *)src;
        void *to = from ? arena_alloc(a, t->record->size) : NULL;
        if (to) fields_copy(a, t->record, to, from);
        *(void **)dst = to;
        break;
    }
    case KIND_LIST:
        list_copy(a, t->elem, dst, src);
        break;
    case KIND_MAP:
        dict_copy(a, t->elem, dst, src);
        break;
    }
}

/* --- hash ---------------------------------------------------------------------------------- */

/* Not symmetric: a map from each key to itself is no other map's sum. */
static uint64_t mix(uint64_t h, uint64_t v)
{
    h = h * UINT64_C(0x9fb21c651e98df25) + v;
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 29;
}

static uint64_t hash_f64(double f)
{
    uint64_t bits = 0;
    if (f != 0) memcpy(&bits, &f, sizeof bits); /* -0 equals 0 */
    return bits;
}

static uint64_t hash_str(struct str s)
{
    return hash_content(s.n ? s.p : "", s.n);
}

static uint64_t hash_value(const struct value *v)
{
    uint64_t h = mix(1, (uint64_t)v->kind), sum = 0;
    switch (v->kind) {
    case V_NIL:
        return h;
    case V_BOOL:
        return mix(h, v->b);
    case V_INT:
        return mix(h, (uint64_t)v->i);
    case V_UINT:
        return mix(h, v->u);
    case V_FLOAT:
    case V_FLOAT32:
        return mix(h, hash_f64(v->f));
    case V_NUMBER:
    case V_STR:
    case V_BYTES:
        return mix(h, hash_str(v->s));
    case V_LIST:
        for (size_t i = 0; i < v->list.n; i++)
            h = mix(h, hash_value(&v->list.v[i]));
        return mix(h, v->list.n);
    case V_MAP:
        for (size_t i = 0; i < v->map.n; i++)
            sum += mix(hash_str(v->map.v[i].key), hash_value(&v->map.v[i].value));
        return mix(mix(h, sum), v->map.n);
    }
    return h;
}

static uint64_t hash_list(const struct type *elem, const struct list *l)
{
    uint64_t h = l->v ? 2 : 3;
    for (size_t i = 0; i < l->n; i++)
        h = mix(h, record_hash(elem, list_at(l, elem, i)));
    return mix(h, l->n);
}

/* A sum, since order does not matter. */
static uint64_t hash_dict(const struct type *elem, const struct dict *d)
{
    uint64_t h = d->v ? 4 : 5;
    for (size_t i = 0; i < d->n; i++)
        h += mix(hash_str(dict_key(d, elem, i)), record_hash(elem, dict_at(d, elem, i)));
    return mix(h, d->n);
}

static uint64_t hash_fields(const struct record *r, const void *obj)
{
    uint64_t h = 6;
    for (uint16_t i = 0; i < r->n; i++) {
        const struct field *f = &r->fields[i];
        if (!(f->flags & COMPARE_SKIP)) h = mix(h, record_hash(f->type, at(obj, f)));
    }
    return h;
}

static uint64_t hash_time(const struct gotime *t)
{
    uint64_t h = mix((uint64_t)t->sec, (uint64_t)t->nsec);
    return gotime_is_zero(*t) ? h : mix(h, (uint64_t)t->offset_min);
}

uint64_t record_hash(const struct type *t, const void *obj)
{
    switch (t->kind) {
    case KIND_BOOL:
        return mix(7, *(const bool *)obj);
    case KIND_INT:
    case KIND_DUR:
        return mix(8, (uint64_t) * (const int64_t *)obj);
    case KIND_UINT:
        return mix(8, *(const uint64_t *)obj);
    case KIND_F32:
        return mix(9, hash_f64((double)*(const float *)obj));
    case KIND_F64:
        return mix(9, hash_f64(*(const double *)obj));
    case KIND_STR:
        return hash_str(*(const struct str *)obj);
    case KIND_BYTES:
        return mix(((const struct str *)obj)->p ? 10 : 11, hash_str(*(const struct str *)obj));
    case KIND_TIME:
        return hash_time(obj);
    case KIND_ANY:
        return hash_value(obj);
    case KIND_REC:
        return hash_fields(t->record, obj);
    case KIND_PTR: {
        const void *p = *(void *const *)obj;
        return p ? mix(12, hash_fields(t->record, p)) : 13;
    }
    case KIND_LIST:
        return hash_list(t->elem, obj);
    case KIND_MAP:
        return hash_dict(t->elem, obj);
    }
    return 0;
}

bool record_is_empty(const struct type *t, const void *obj)
{
    switch (t->kind) {
    case KIND_BOOL:
        return !*(const bool *)obj;
    case KIND_INT:
    case KIND_DUR:
        return *(const int64_t *)obj == 0;
    case KIND_UINT:
        return *(const uint64_t *)obj == 0;
    case KIND_F32:
        return *(const float *)obj == 0;
    case KIND_F64:
        return *(const double *)obj == 0;
    case KIND_STR:
    case KIND_BYTES:
        return ((const struct str *)obj)->n == 0;
    case KIND_ANY: {
        const struct value *v = obj;
        return v->kind == V_NIL || (v->kind == V_MAP && v->map.n == 0) ||
               (v->kind == V_LIST && v->list.n == 0);
    }
    case KIND_TIME:
    case KIND_REC:
        return false; /* Go never leaves out a struct */
    case KIND_PTR:
        return *(void *const *)obj == NULL;
    case KIND_LIST:
        return ((const struct list *)obj)->n == 0;
    case KIND_MAP:
        return ((const struct dict *)obj)->n == 0;
    }
    return false;
}
