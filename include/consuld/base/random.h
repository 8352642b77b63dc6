/* SPDX-License-Identifier: Apache-2.0 */
/* Deterministic pseudo-random numbers for cores and simulators (xoshiro256**), and UUID text. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "consuld/base/str.h"

struct prng {
    uint64_t s[4];
};

void prng_seed(struct prng *r, uint64_t seed);
uint64_t prng_next(struct prng *r);
/* Uniform in [0, bound); 0 if bound is 0. */
uint64_t prng_below(struct prng *r, uint64_t bound);
/* True with probability num/den. */
bool prng_chance(struct prng *r, uint32_t num, uint32_t den);

#define UUID_TEXT_LEN 36
/* Formats 16 bytes as 8-4-4-4-12 lower-case hex with a final NUL. */
void uuid_format(const uint8_t bytes[16], char out[UUID_TEXT_LEN + 1]);
/* Exactly 36 characters, hex and dashes in place; any case. */
bool uuid_parse(struct str text, uint8_t out[16]);
bool uuid_valid(struct str text);
