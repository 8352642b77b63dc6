/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/md5.h"

#include <math.h>
#include <string.h>

#include "consuld/base/arena.h"

#define BLOCK 64

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static void mix(uint32_t state[4], const uint8_t block[BLOCK])
{
    static const unsigned turns[4][4] = { { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 },
        { 6, 10, 15, 21 } };
    static const unsigned step[4] = { 1, 5, 3, 7 }, first[4] = { 0, 1, 5, 0 };
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    for (unsigned i = 0; i < BLOCK; i++) {
        unsigned round = i / 16, at = (step[round] * i + first[round]) % 16;
        uint32_t chosen = round == 0   ? (b & c) | (~b & d)
                          : round == 1 ? (b & d) | (c & ~d)
                          : round == 2 ? b ^ c ^ d
                                       : c ^ (b | ~d);
        uint32_t word = 0;
        for (unsigned k = 4; k-- > 0;)
            word = word << 8 | block[4 * at + k];
        uint32_t sine = (uint32_t)(fabs(sin((double)(i + 1))) * 4294967296.0);
        uint32_t next = b + rotate(a + chosen + sine + word, turns[round][i % 4]);
        a = d;
        d = c;
        c = b;
        b = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

struct str md5_hex(struct arena *a, struct str bytes)
{
    static const char digits[] = "0123456789abcdef";
    uint32_t state[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
    uint8_t last[2 * BLOCK] = { 0 };
    size_t whole = bytes.n / BLOCK * BLOCK, rest = bytes.n - whole;
    size_t padded = rest < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    for (size_t at = 0; at < whole; at += BLOCK)
        mix(state, (const uint8_t *)bytes.p + at);
    if (rest) memcpy(last, bytes.p + whole, rest);
    last[rest] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        last[padded - 8 + i] = (uint8_t)((uint64_t)bytes.n * 8 >> 8 * i);
    for (size_t at = 0; at < padded; at += BLOCK)
        mix(state, last + at);
    char *hex = arena_alloc(a, 33);
    for (unsigned i = 0; i < 16; i++) {
        uint8_t byte = (uint8_t)(state[i / 4] >> 8 * (i % 4));
        hex[2 * i] = digits[byte >> 4];
        hex[2 * i + 1] = digits[byte & 15];
    }
    return (struct str){ hex, 32 };
}
