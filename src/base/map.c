/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "consuld/base/arena.h"
#include "consuld/base/error.h"

static char deleted[1]; /* marks the key of a removed slot */

static uint64_t rotl(uint64_t x, int b)
{
    return (x << b) | (x >> (64 - b));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static const uint64_t *process_key(void)
{
    static uint64_t key[2];
    static bool made;
    if (!made) {
        if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key) {
            fprintf(stderr, "consuld: the system gives no random bytes\n");
            abort();
        }
        made = true;
    }
    return key;
}

static uint64_t siphash(const uint64_t key[2], const void *p, size_t n)
{
    const uint8_t *at = p;
    uint64_t v[4] = { key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
        key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573) };
    uint64_t m;
    size_t left = n;
    for (; left >= 8; left -= 8, at += 8) {
        memcpy(&m, at, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    m = (uint64_t)n << 56;
    for (size_t i = 0; i < left; i++)
        m |= (uint64_t)at[i] << (8 * i);
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_bytes(const void *p, size_t n)
{
    return siphash(process_key(), p, n);
}

uint64_t hash_content(const void *p, size_t n)
{
    static const uint64_t key[2];
    return siphash(key, p, n);
}

static bool live(const struct map_slot *s)
{
    return s->key && s->key != deleted;
}

void map_deinit(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++) {
        if (live(&m->slots[i])) free(m->slots[i].key);
    }
    free(m->slots);
    *m = (struct map)MAP_INIT;
}

/* The slot of the key, or the free slot where it would go. */
static struct map_slot *find(const struct map *m, struct str key, uint64_t hash)
{
    size_t mask = m->cap - 1;
    struct map_slot *reuse = NULL;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_slot *s = &m->slots[i];
        if (!s->key) return reuse ? reuse : s;
        if (s->key == deleted) {
            if (!reuse) reuse = s;
        } else if (s->hash == hash && str_eq((struct str){ s->key, s->key_n }, key)) {
            return s;
        }
    }
}

static void grow(struct map *m)
{
    if (m->cap && (m->filled + 1) * 4 <= m->cap * 3) return;
    struct map old = *m;
    m->cap = 8;
    while (m->cap < (old.n + 1) * 2)
        m->cap *= 2;
    m->slots = xcalloc(m->cap, sizeof *m->slots);
    m->filled = old.n;
    for (size_t i = 0; i < old.cap; i++) {
        struct map_slot *s = &old.slots[i];
        if (live(s)) *find(m, (struct str){ s->key, s->key_n }, s->hash) = *s;
    }
    free(old.slots);
}

void *map_get(const struct map *m, struct str key)
{
    if (m->n == 0) return NULL;
    struct map_slot *s = find(m, key, hash_bytes(key.p, key.n));
    return live(s) ? s->value : NULL;
}

void *map_put(struct map *m, struct str key, void *value)
{
    ensure(value);
    grow(m);
    uint64_t hash = hash_bytes(key.p, key.n);
    struct map_slot *s = find(m, key, hash);
    if (live(s)) {
        void *old = s->value;
        s->value = value;
        return old;
    }
    if (!s->key) m->filled++;
    m->n++;
    s->key = xmalloc(key.n + 1);
    if (key.n) memcpy(s->key, key.p, key.n);
    s->key[key.n] = '\0';
    s->key_n = key.n;
    s->hash = hash;
    s->value = value;
    return NULL;
}

void *map_remove(struct map *m, struct str key)
{
    if (m->n == 0) return NULL;
    struct map_slot *s = find(m, key, hash_bytes(key.p, key.n));
    if (!live(s)) return NULL;
    free(s->key);
    s->key = deleted;
    m->n--;
    return s->value;
}

bool map_next(const struct map *m, size_t *it, struct str *key, void **value)
{
    while (*it < m->cap) {
        const struct map_slot *s = &m->slots[(*it)++];
        if (!live(s)) continue;
        if (key) *key = (struct str){ s->key, s->key_n };
        if (value) *value = s->value;
        return true;
    }
    return false;
}
