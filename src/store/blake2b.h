/* SPDX-License-Identifier: Apache-2.0 */
/* BLAKE2b with 32 bytes of output (RFC 7693), which OpenSSL 3.0 does not offer: content hashes of
 * ACL objects and intentions. */
#pragma once
#include "consuld/base.h"

#define BLAKE2B_SIZE 32
struct blake2b {
    uint64_t h[8];
    uint64_t total;
    uint8_t block[128];
    size_t n;
};
void blake2b_begin(struct blake2b *s);
void blake2b_add(struct blake2b *s, struct str bytes);
void blake2b_end(struct blake2b *s, uint8_t out[BLAKE2B_SIZE]);
