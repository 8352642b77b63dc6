/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a pool (gossip.md 5.4): an ordered list without duplicates, the first of which is the
 * primary and seals. Bytes of dropped keys are wiped. */
#pragma once
#include "consuld/base.h"
#include "consuld/base/cipher.h"

#define KEYRING_KEYS_MAX 256
#define KEYRING_KEY_MAX 32

struct keyring_key {
    uint8_t bytes[KEYRING_KEY_MAX];
    uint8_t n;
    uint64_t opened; /* messages of peers opened with it since it is here */
};

struct keyring {
    size_t n;
    struct keyring_key keys[KEYRING_KEYS_MAX];
};

/* An all-zero ring is empty: no encryption. Each returns 0 or a negative code with memberlist's
 * text in *err: "key size must be 16, 24 or 32 bytes", "Requested key is not in the keyring",
 * "Removing the primary key is not allowed". */
int keyring_install(struct keyring *k, struct str key, struct error *err) must_check;
int keyring_use(struct keyring *k, struct str key, struct error *err) must_check;
int keyring_remove(struct keyring *k, struct str key, struct error *err) must_check;
bool keyring_has(const struct keyring *k, struct str key);
struct str keyring_at(const struct keyring *k, size_t i);
/* Wipes the ring. */
void keyring_clear(struct keyring *k);
/* Eight hex digits that name a key in logs without giving it away. */
void keyring_fingerprint(const struct cipher *c, struct str key, char out[9]);
