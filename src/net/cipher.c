/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/cipher.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "consuld/base/error.h"

static const EVP_CIPHER *algorithm(size_t key_n)
{
    switch (key_n) {
    case 16:
        return EVP_aes_128_gcm();
    case 24:
        return EVP_aes_192_gcm();
    case 32:
        return EVP_aes_256_gcm();
    default:
        return NULL;
    }
}

/* A context set up for one message, with the additional data taken in; NULL if that fails. */
static EVP_CIPHER_CTX *begin(
    struct str key, const uint8_t nonce[CIPHER_NONCE_SIZE], struct str aad, int sealing)
{
    const EVP_CIPHER *type = algorithm(key.n);
    EVP_CIPHER_CTX *c = type ? EVP_CIPHER_CTX_new() : NULL;
    int n = 0;
    if (!c) return NULL;
    if (EVP_CipherInit_ex(c, type, NULL, (const uint8_t *)key.p, nonce, sealing) == 1 &&
        (aad.n == 0 || EVP_CipherUpdate(c, NULL, &n, (const uint8_t *)aad.p, (int)aad.n) == 1))
        return c;
    EVP_CIPHER_CTX_free(c);
    return NULL;
}

static bool openssl_seal(struct str key, const uint8_t nonce[CIPHER_NONCE_SIZE], struct str aad,
    struct str plain, uint8_t *out)
{
    int n = 0, tail = 0;
    EVP_CIPHER_CTX *c = begin(key, nonce, aad, 1);
    bool ok = c &&
              (plain.n == 0 ||
                  EVP_CipherUpdate(c, out, &n, (const uint8_t *)plain.p, (int)plain.n) == 1) &&
              EVP_CipherFinal_ex(c, out + n, &tail) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, CIPHER_TAG_SIZE, out + plain.n) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok;
}

static bool openssl_open(struct str key, const uint8_t nonce[CIPHER_NONCE_SIZE], struct str aad,
    struct str sealed, uint8_t *out)
{
    if (sealed.n < CIPHER_TAG_SIZE) return false;
    int n = 0, tail = 0;
    size_t plain_n = sealed.n - CIPHER_TAG_SIZE;
    EVP_CIPHER_CTX *c = begin(key, nonce, aad, 0);
    bool ok = c &&
              (plain_n == 0 ||
                  EVP_CipherUpdate(c, out, &n, (const uint8_t *)sealed.p, (int)plain_n) == 1) &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, CIPHER_TAG_SIZE,
                  (void *)(uintptr_t)(sealed.p + plain_n)) == 1 &&
              EVP_CipherFinal_ex(c, out + n, &tail) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok;
}

static void openssl_nonce(uint8_t out[CIPHER_NONCE_SIZE])
{
    ensure(RAND_bytes(out, CIPHER_NONCE_SIZE) == 1);
}

const struct cipher cipher_openssl = { openssl_seal, openssl_open, openssl_nonce };
