/* SPDX-License-Identifier: Apache-2.0 */
#include "collection.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 4
/* Up to here looking at all pairs is cheaper than sorting. */
#define UNIQUE_PAIRS_MAX 16

char collection_empty[1];

static void *grow(struct arena *a, void *v, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) return v;
    size_t room = n < ROOM_MIN ? ROOM_MIN : n * 2;
    char *grown = arena_array(a, room, size);
    if (n) memcpy(grown, v, n * size);
    *cap = room;
    return grown;
}

void *list_push(struct arena *a, struct list *l, size_t size)
{
    l->v = grow(a, l->v, l->n, &l->cap, size);
    char *e = (char *)l->v + l->n++ * size;
    memset(e, 0, size);
    return e;
}

static struct str *entry_at(const struct dict *d, const struct type *elem, size_t i)
{
    return (struct str *)(void *)((char *)d->v + i * dict_stride(elem));
}

struct str dict_key(const struct dict *d, const struct type *elem, size_t i)
{
    return *entry_at(d, elem, i);
}

void *dict_at(const struct dict *d, const struct type *elem, size_t i)
{
    return entry_at(d, elem, i) + 1;
}

void *dict_get(const struct dict *d, const struct type *elem, struct str key)
{
    for (size_t i = 0; i < d->n; i++) {
        if (str_eq(*entry_at(d, elem, i), key)) return dict_at(d, elem, i);
    }
    return NULL;
}

void *dict_append(struct arena *a, struct dict *d, const struct type *elem, struct str key)
{
    size_t stride = dict_stride(elem);
    d->v = grow(a, d->v, d->n, &d->cap, stride);
    struct str *e = entry_at(d, elem, d->n++);
    memset(e, 0, stride);
    *e = key;
    return e + 1;
}

void *dict_put(struct arena *a, struct dict *d, const struct type *elem, struct str key)
{
    void *present = dict_get(d, elem, key);
    return present ? present : dict_append(a, d, elem, key);
}

void dict_remove(struct dict *d, const struct type *elem, struct str key)
{
    size_t stride = dict_stride(elem);
    for (size_t i = 0; i < d->n; i++) {
        struct str *e = entry_at(d, elem, i);
        if (!str_eq(*e, key)) continue;
        memmove(e, (char *)e + stride, (d->n - i - 1) * stride);
        d->n--;
        return;
    }
}

struct str dict_str(const struct dict *d, struct str key)
{
    const struct str *value = dict_get(d, &type_str, key);
    return value ? *value : STR_NIL;
}

void dict_set_str(struct arena *a, struct dict *d, struct str key, struct str value)
{
    *(struct str *)dict_put(a, d, &type_str, key) = value;
}

static int entry_order(const void *a, const void *b)
{
    struct str *const *x = a, *const *y = b;
    int order = str_cmp(**x, **y);
    return order ? order : (*x > *y) - (*x < *y);
}

/* Marks all but the first of equal keys by a nil key of length 1; the first takes the value of the
 * last. */
static void fold(struct str *first, struct str *later, size_t size)
{
    memcpy(first + 1, later + 1, size);
    *later = (struct str){ NULL, 1 };
}

static size_t fold_pairs(struct dict *d, const struct type *elem)
{
    size_t folded = 0;
    for (size_t i = 1; i < d->n; i++) {
        struct str *later = entry_at(d, elem, i);
        for (size_t k = 0; k < i; k++) {
            struct str *first = entry_at(d, elem, k);
            if ((first->n == 1 && !first->p) || !str_eq(*first, *later)) continue;
            fold(first, later, elem->size);
            folded++;
            break;
        }
    }
    return folded;
}

struct str **dict_sorted(const struct dict *d, const struct type *elem)
{
    struct str **order = xcalloc(d->n + 1, sizeof *order);
    for (size_t i = 0; i < d->n; i++)
        order[i] = entry_at(d, elem, i);
    qsort(order, d->n, sizeof *order, entry_order);
    return order;
}

static size_t fold_sorted(struct dict *d, const struct type *elem)
{
    struct str **order = dict_sorted(d, elem);
    size_t folded = 0;
    for (size_t first = 0, i = 1; i < d->n; i++) {
        if (str_eq(*order[first], *order[i])) {
            fold(order[first], order[i], elem->size);
            folded++;
        } else {
            first = i;
        }
    }
    free(order);
    return folded;
}

void dict_unique(struct dict *d, const struct type *elem)
{
    if (d->n < 2) return;
    size_t folded = d->n <= UNIQUE_PAIRS_MAX ? fold_pairs(d, elem) : fold_sorted(d, elem);
    if (!folded) return;
    size_t stride = dict_stride(elem), n = 0;
    for (size_t i = 0; i < d->n; i++) {
        struct str *e = entry_at(d, elem, i);
        if (e->n == 1 && !e->p) continue;
        if (n != i) memcpy(entry_at(d, elem, n), e, stride);
        n++;
    }
    d->n = n;
}
