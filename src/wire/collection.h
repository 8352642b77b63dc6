/* SPDX-License-Identifier: Apache-2.0 */
/* Layout of maps, shared by the walkers. */
#pragma once
#include "consuld/wire/record.h"

/* Bytes of one entry: key, element, padding. */
static inline size_t dict_stride(const struct type *elem)
{
    return (sizeof(struct str) + elem->size + 7) & ~(size_t)7;
}

/* The entries in the order of their keys, equal ones in the order met; free() them. */
struct str **dict_sorted(const struct dict *d, const struct type *elem);
