/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/gossip/keyring.h"

#include <stdio.h>
#include <string.h>

static ptrdiff_t find(const struct keyring *k, struct str key)
{
    for (size_t i = 0; i < k->n; i++)
        if (str_eq(keyring_at(k, i), key)) return (ptrdiff_t)i;
    return -1;
}

struct str keyring_at(const struct keyring *k, size_t i)
{
    ensure(i < k->n);
    return (struct str){ (const char *)k->keys[i].bytes, k->keys[i].n };
}

bool keyring_has(const struct keyring *k, struct str key)
{
    return find(k, key) >= 0;
}

int keyring_install(struct keyring *k, struct str key, struct error *err)
{
    if (key.n != 16 && key.n != 24 && key.n != 32)
        return error_set(err, ERR_BAD_REQUEST, "key size must be 16, 24 or 32 bytes");
    if (keyring_has(k, key)) return 0;
    if (k->n == KEYRING_KEYS_MAX)
        return error_set(err, ERR_FULL, "keyring is full: %d keys", KEYRING_KEYS_MAX);
    struct keyring_key *slot = &k->keys[k->n++];
    *slot = (struct keyring_key){ .n = (uint8_t)key.n };
    memcpy(slot->bytes, key.p, key.n);
    return 0;
}

int keyring_use(struct keyring *k, struct str key, struct error *err)
{
    ptrdiff_t at = find(k, key);
    if (at < 0) return error_set(err, ERR_NOT_FOUND, "Requested key is not in the keyring");
    struct keyring_key chosen = k->keys[at];
    memmove(&k->keys[1], &k->keys[0], (size_t)at * sizeof chosen);
    k->keys[0] = chosen;
    explicit_bzero(&chosen, sizeof chosen);
    return 0;
}

int keyring_remove(struct keyring *k, struct str key, struct error *err)
{
    ptrdiff_t at = find(k, key);
    if (at == 0) return error_set(err, ERR_BAD_REQUEST, "Removing the primary key is not allowed");
    if (at < 0) return 0;
    memmove(&k->keys[at], &k->keys[at + 1], (k->n - (size_t)at - 1) * sizeof k->keys[0]);
    k->n--;
    explicit_bzero(&k->keys[k->n], sizeof k->keys[0]);
    return 0;
}

void keyring_clear(struct keyring *k)
{
    explicit_bzero(k, sizeof *k);
}

/* The tag over nothing under a nonce that `nonce` never gives: random ones are not all ones. */
void keyring_fingerprint(const struct cipher *c, struct str key, char out[9])
{
    uint8_t nonce[CIPHER_NONCE_SIZE], tag[CIPHER_TAG_SIZE];
    memset(nonce, 0xff, sizeof nonce);
    if (c && c->seal(key, nonce, STR("consuld key name"), STR_NIL, tag)) {
        snprintf(out, 9, "%02x%02x%02x%02x", tag[0], tag[1], tag[2], tag[3]);
    } else {
        memcpy(out, "unknown", sizeof "unknown");
    }
}
