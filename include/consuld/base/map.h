/* SPDX-License-Identifier: Apache-2.0 */
/* Hash map from byte string to pointer: open addressing, SipHash-1-3 under a random key, so that
 * peers cannot aim collisions. Keys are copied. Iteration order is unspecified. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consuld/base/str.h"

struct map_slot {
    char *key;
    size_t key_n;
    uint64_t hash;
    void *value;
};

struct map {
    struct map_slot *slots;
    size_t n;
    size_t cap;
    size_t filled; /* live and deleted slots */
};

#define MAP_INIT \
    { \
        0 \
    }

void map_deinit(struct map *m); /* values are the caller's */
void *map_get(const struct map *m, struct str key);
/* Returns the value that was there before, or NULL. `value` must not be NULL. */
void *map_put(struct map *m, struct str key, void *value);
/* Returns the removed value or NULL. */
void *map_remove(struct map *m, struct str key);
/* for (size_t it = 0; map_next(m, &it, &key, &value);) ... Do not add while iterating; removing
 * the current element is allowed. */
bool map_next(const struct map *m, size_t *it, struct str *key, void **value);
/* SipHash-1-3 under the process key. */
uint64_t hash_bytes(const void *p, size_t n);
/* The same in every process: to tell contents apart, not for tables. */
uint64_t hash_content(const void *p, size_t n);
