/* SPDX-License-Identifier: Apache-2.0 */
/* Loose reading of records, as Consul reads config entries from HTTP bodies and configuration
 * files (http-api.md 3.13): keys match without case and underscores, and a value of another kind is
 * converted where that has a sense (numbers and booleans to text and back, one element to a list,
 * a list of one object to that object, text or nanoseconds to a duration). */
#pragma once
#include "consuld/wire/record.h"

/* Fills *obj (zeroed by the caller), owned by `a`; texts may be borrowed from `v`. Refuses values
 * that cannot be converted, then unknown keys, both with the texts of the original:
 *   1 error(s) decoding:\n\n* error decoding 'X': time: invalid duration "zz"
 *   1 error occurred:\n\t* invalid config key "X"\n\n */
int loose_read(const struct value *v, struct arena *a, const struct type *t, void *obj,
    struct error *err) must_check;
/* The same as settings of providers are read: names match without case alone, *obj holds the
 * defaults, and unknown keys are passed over. */
int loose_read_named(const struct value *v, struct arena *a, const struct type *t, void *obj,
    struct error *err) must_check;
