/* SPDX-License-Identifier: Apache-2.0 */
/* Layout of maps, shared by the walkers. */
#pragma once
#include "consuld/wire/record.h"

/* Bytes of one entry: key, element, padding. */
static inline size_t dict_stride(const struct type *elem)
{
    return (sizeof(struct str) + elem->size + 7) & ~(size_t)7;
}

/* Appends without looking for the key. */
void *dict_append(struct arena *a, struct dict *d, const struct type *elem, struct str key);
/* Leaves one entry per key: the last one met, at the place of the first. */
void dict_unique(struct dict *d, const struct type *elem);
