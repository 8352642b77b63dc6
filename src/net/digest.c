/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/digest.h"

#include <openssl/evp.h>

#include "consuld/base.h"

static void *digest_begin(void)
{
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    ensure(sum && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1);
    return sum;
}

static void digest_add(void *sum, struct str bytes)
{
    ensure(bytes.n == 0 || EVP_DigestUpdate(sum, bytes.p, bytes.n) == 1);
}

static void digest_end(void *sum, uint8_t out[DIGEST_SIZE])
{
    unsigned n = 0;
    ensure(EVP_DigestFinal_ex(sum, out, &n) == 1 && n == DIGEST_SIZE);
    EVP_MD_CTX_free(sum);
}

const struct digest digest_openssl = { digest_begin, digest_add, digest_end };
