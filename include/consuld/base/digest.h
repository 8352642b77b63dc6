/* SPDX-License-Identifier: Apache-2.0 */
/* The seam to SHA-256, which archives are summed with. `net` implements it on OpenSSL. */
#pragma once
#include <stdint.h>

#include "consuld/base/str.h"

#define DIGEST_SIZE 32

struct digest {
    /* A running sum, never NULL. */
    void *(*begin)(void);
    void (*add)(void *sum, struct str bytes);
    /* Ends and frees it. */
    void (*end)(void *sum, uint8_t out[DIGEST_SIZE]);
};

/* Implemented by `net`. */
extern const struct digest digest_openssl;
