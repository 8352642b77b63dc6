/* SPDX-License-Identifier: Apache-2.0 */
#include "blake2b.h"

#include <string.h>

static const uint64_t start[8] = {
    UINT64_C(0x6a09e667f3bcc908),
    UINT64_C(0xbb67ae8584caa73b),
    UINT64_C(0x3c6ef372fe94f82b),
    UINT64_C(0xa54ff53a5f1d36f1),
    UINT64_C(0x510e527fade682d1),
    UINT64_C(0x9b05688c2b3e6c1f),
    UINT64_C(0x1f83d9abfb41bd6b),
    UINT64_C(0x5be0cd19137e2179),
};

static const uint8_t order[10][16] = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
    { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
    { 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
    { 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
    { 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
    { 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
    { 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
    { 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
    { 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
    { 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static uint64_t rotate(uint64_t x, unsigned n)
{
    return x >> n | x << (64 - n);
}

static void mix(uint64_t v[16], const size_t at[4], uint64_t x, uint64_t y)
{
    size_t a = at[0], b = at[1], c = at[2], d = at[3];
    v[a] += v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 63);
}

static void compress(struct blake2b *s, bool last)
{
    static const size_t lanes[8][4] = { { 0, 4, 8, 12 }, { 1, 5, 9, 13 }, { 2, 6, 10, 14 },
        { 3, 7, 11, 15 }, { 0, 5, 10, 15 }, { 1, 6, 11, 12 }, { 2, 7, 8, 13 }, { 3, 4, 9, 14 } };
    uint64_t m[16] = { 0 }, v[16];
    for (size_t i = 0; i < 128; i++)
        m[i / 8] |= (uint64_t)s->block[i] << (i % 8 * 8);
    memcpy(v, s->h, sizeof s->h);
    memcpy(v + 8, start, sizeof start);
    v[12] ^= s->total;
    if (last) v[14] = ~v[14];
    for (size_t r = 0; r < 12; r++) {
        const uint8_t *o = order[r % 10];
        for (size_t i = 0; i < 8; i++)
            mix(v, lanes[i], m[o[2 * i]], m[o[2 * i + 1]]);
    }
    for (size_t i = 0; i < 8; i++)
        s->h[i] ^= v[i] ^ v[i + 8];
}

void blake2b_begin(struct blake2b *s)
{
    memset(s, 0, sizeof *s);
    memcpy(s->h, start, sizeof start);
    /* No key, fan-out and depth 1, 32 bytes of digest. */
    s->h[0] ^= 0x01010000 ^ BLAKE2B_SIZE;
}

void blake2b_add(struct blake2b *s, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        if (s->n == sizeof s->block) {
            s->total += s->n;
            compress(s, false);
            s->n = 0;
        }
        s->block[s->n++] = (uint8_t)bytes.p[i];
    }
}

void blake2b_end(struct blake2b *s, uint8_t out[BLAKE2B_SIZE])
{
    s->total += s->n;
    memset(s->block + s->n, 0, sizeof s->block - s->n);
    compress(s, true);
    for (size_t i = 0; i < BLAKE2B_SIZE; i++)
        out[i] = (uint8_t)(s->h[i / 8] >> (i % 8 * 8));
}
