/* SPDX-License-Identifier: Apache-2.0 */
/* A cipher that hides nothing, for fuzzing what lies behind it: the text stays, the tag is the sum
 * of key and text. */
#pragma once
#include <string.h>

#include "consuld/base/cipher.h"

static inline void open_cipher_tag(struct str key, struct str text, uint8_t tag[CIPHER_TAG_SIZE])
{
    memset(tag, (uint8_t)key.p[0], CIPHER_TAG_SIZE);
    for (size_t i = 0; i < text.n; i++)
        tag[0] = (uint8_t)(tag[0] + (uint8_t)text.p[i]);
}

static inline bool open_cipher_seal(struct str key, const uint8_t nonce[CIPHER_NONCE_SIZE],
    struct str aad, struct str plain, uint8_t *out)
{
    (void)nonce;
    (void)aad;
    if (plain.n) memcpy(out, plain.p, plain.n);
    open_cipher_tag(key, plain, out + plain.n);
    return true;
}

static inline bool open_cipher_open(struct str key, const uint8_t nonce[CIPHER_NONCE_SIZE],
    struct str aad, struct str sealed, uint8_t *out)
{
    uint8_t tag[CIPHER_TAG_SIZE];
    struct str text = { sealed.p, sealed.n - CIPHER_TAG_SIZE };
    (void)nonce;
    (void)aad;
    open_cipher_tag(key, text, tag);
    if (memcmp(tag, text.p + text.n, sizeof tag) != 0) return false;
    if (text.n) memcpy(out, text.p, text.n);
    return true;
}

static inline void open_cipher_nonce(uint8_t out[CIPHER_NONCE_SIZE])
{
    memset(out, 7, CIPHER_NONCE_SIZE);
}

static const struct cipher open_cipher = { open_cipher_seal, open_cipher_open, open_cipher_nonce };
