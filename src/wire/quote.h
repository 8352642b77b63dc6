/* SPDX-License-Identifier: Apache-2.0 */
/* Quoting and UTF-8 within the module. */
#pragma once
#include "consuld/wire/quote.h"

/* One input byte in single quotes as the JSON scanner names it: 'x', '\'', '"', '\x01', '\u0080'.
 */
void quote_byte(struct buf *out, uint8_t c);
/* Length of the valid UTF-8 sequence at p (1..4), or 0. */
size_t utf8_sequence(const uint8_t *p, size_t n);
/* Writes the code point (a valid one) and returns its length. */
size_t utf8_put(uint8_t *p, uint32_t rune);
