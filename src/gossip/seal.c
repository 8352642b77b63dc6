/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "consuld/gossip/packet.h"

#define BLOCK 16
#define HEAD (1 + CIPHER_NONCE_SIZE)

size_t packet_sealed_length(uint8_t version, size_t n)
{
    size_t padding = version == 0 ? BLOCK - n % BLOCK : 0;
    return HEAD + n + padding + CIPHER_TAG_SIZE;
}

int packet_seal(const struct cipher *c, uint8_t version, struct str key,
    const uint8_t nonce[CIPHER_NONCE_SIZE], struct str aad, struct str plain, struct buf *out,
    struct error *err)
{
    struct buf padded = BUF_INIT(plain.n + BLOCK);
    if (version == 0) {
        size_t padding = BLOCK - plain.n % BLOCK;
        buf_put_str(&padded, plain);
        for (size_t i = 0; i < padding; i++)
            buf_put_char(&padded, (char)padding);
        plain = buf_str(&padded);
    }
    buf_put_char(out, (char)version);
    buf_put(out, nonce, CIPHER_NONCE_SIZE);
    uint8_t *p = buf_reserve(out, plain.n + CIPHER_TAG_SIZE);
    int rc = 0;
    if (!p) {
        rc = error_set(err, ERR_TOO_LARGE, "sealed message of more than %zu bytes", out->max);
    } else if (!c || !c->seal(key, nonce, aad, plain, p)) {
        rc = error_set(err, ERR_INTERNAL, "Encryption of message failed");
    } else {
        out->n += plain.n + CIPHER_TAG_SIZE;
    }
    buf_deinit(&padded);
    return rc;
}

/* Takes the padding of version 0 off; false if it is none. */
static bool unpad(const uint8_t *p, size_t *n)
{
    if (*n == 0) return false;
    size_t padding = p[*n - 1];
    if (padding < 1 || padding > BLOCK || padding > *n) return false;
    *n -= padding;
    return true;
}

int packet_open(const struct cipher *c, struct keyring *ring, struct str aad, struct str sealed,
    struct buf *out, struct error *err)
{
    if (sealed.n == 0) return error_set(err, ERR_DECODE, "Cannot decrypt empty payload");
    const uint8_t *p = (const uint8_t *)sealed.p;
    uint8_t version = p[0];
    if (version > 1)
        return error_set(err, ERR_DECODE, "Unsupported encryption version %u", version);
    if (sealed.n < packet_sealed_length(version, 0))
        return error_set(err, ERR_DECODE, "Payload is too small to decrypt: %zu", sealed.n);
    struct str block = str_slice(sealed, HEAD, sealed.n);
    uint8_t *room = buf_reserve(out, block.n);
    if (!room) return error_set(err, ERR_TOO_LARGE, "message of more than %zu bytes", out->max);
    for (size_t i = 0; c && i < ring->n; i++) {
        size_t n = block.n - CIPHER_TAG_SIZE;
        if (!c->open(keyring_at(ring, i), p + 1, aad, block, room)) continue;
        if (version == 0 && !unpad(room, &n)) continue;
        ring->keys[i].opened++;
        if (n == 0) return error_set(err, ERR_DECODE, "Sealed message is empty");
        out->n += n;
        return 0;
    }
    return error_set(err, ERR_DECODE, "No installed keys could decrypt the message");
}
