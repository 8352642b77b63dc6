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
