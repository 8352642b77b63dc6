/* SPDX-License-Identifier: Apache-2.0 */
/* Floating point numbers as texts. */
#pragma once
#include "consuld/base.h"

#define NUMBER_TEXT_MAX 32

/* Shortest text that reads back as the same float64 (or float32), in the form of Go's JSON: plain
 * from 1e-6 up to below 1e21, else with exponent. Returns its length. NaN and infinities: 0. */
size_t number_format(double v, bool single, char out[NUMBER_TEXT_MAX]);
/* Value of a JSON number text; infinite when out of range. */
double number_value(struct str text);
