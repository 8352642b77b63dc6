/* SPDX-License-Identifier: Apache-2.0 */
/* The seam to the cipher of gossip: AES in Galois/Counter mode. `net` implements it on OpenSSL
 * (cipher_openssl), simulators without keys need none. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consuld/base/str.h"

#define CIPHER_NONCE_SIZE 12
#define CIPHER_TAG_SIZE 16

/* Keys are 16, 24 or 32 bytes, which chooses AES-128, -192 or -256. */
struct cipher {
    /* Writes plain.n bytes of ciphertext and the tag behind them. False for a key of another size
     * or a failing library. */
    bool (*seal)(struct str key, const uint8_t nonce[CIPHER_NONCE_SIZE], struct str aad,
        struct str plain, uint8_t *out);
    /* `sealed` is ciphertext and tag; writes sealed.n - CIPHER_TAG_SIZE bytes. False if it was not
     * sealed so; then `out` holds nothing of use. */
    bool (*open)(struct str key, const uint8_t nonce[CIPHER_NONCE_SIZE], struct str aad,
        struct str sealed, uint8_t *out);
    /* A nonce never used before with any key. */
    void (*nonce)(uint8_t out[CIPHER_NONCE_SIZE]);
};

/* Implemented by `net`. */
extern const struct cipher cipher_openssl;
