/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/random.h"

#include <stddef.h>

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void prng_seed(struct prng *r, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) { /* splitmix64 spreads a small seed over the state */
        uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        r->s[i] = z ^ (z >> 31);
    }
}

uint64_t prng_next(struct prng *r)
{
    uint64_t *s = r->s;
    uint64_t out = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t prng_below(struct prng *r, uint64_t bound)
{
    if (bound == 0) return 0;
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t v;
    do {
        v = prng_next(r);
    } while (v >= limit);
    return v % bound;
}

bool prng_chance(struct prng *r, uint32_t num, uint32_t den)
{
    return prng_below(r, den) < num;
}

void uuid_format(const uint8_t bytes[16], char out[UUID_TEXT_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) out[at++] = '-';
        out[at++] = hex[bytes[i] >> 4];
        out[at++] = hex[bytes[i] & 15];
    }
    out[at] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool uuid_parse(struct str text, uint8_t out[16])
{
    if (text.n != UUID_TEXT_LEN) return false;
    size_t at = 0;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            if (text.p[at++] != '-') return false;
        }
        int high = hex_value(text.p[at]), low = hex_value(text.p[at + 1]);
        if (high < 0 || low < 0) return false;
        out[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    return true;
}

bool uuid_valid(struct str text)
{
    uint8_t bytes[16];
    return uuid_parse(text, bytes);
}
