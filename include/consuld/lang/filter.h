/* SPDX-License-Identifier: Apache-2.0 */
/* Filter expressions (http-api.md 2.7): compiled once against the record type that lists hold, then
 * matched against each element. Selectors are the record's Go field names; fields that Consul keeps
 * out of filters are refused. Regular expressions are RE2's language on a matcher with limits. */
#pragma once
#include "consuld/wire/record.h"

struct filter;

#define FILTER_TEXT_MAX 65536
#define FILTER_DEPTH_MAX 200
/* What callers put in front of compile errors. */
#define FILTER_ERROR_PREFIX "Failed to create boolean expression evaluator: "

/* `elem` is a record type. The filter, with all it holds, is the arena's and borrows `expr`'s
 * bytes. Errors: ERR_DECODE with a parser's text; ERR_BAD_REQUEST with `Selector "X" is not
 * valid`, `Invalid match operator "Is Empty" for selector "X"`, `Failed to coerce value ...`. */
int filter_compile(struct str expr, const struct type *elem, struct arena *a, struct filter **out,
    struct error *err) must_check;
/* Fails only when a regular expression exceeds its limits. */
int filter_match(
    const struct filter *f, const void *obj, bool *match, struct error *err) must_check;
