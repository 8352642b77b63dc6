/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions of RE2's syntax, searched for anywhere in a text, with bounded work: what the
 * matcher knows beyond RE2 (look-around, back references, recursion ...) is refused. */
#pragma once
#include "consuld/base.h"

#define REGEX_TEXT_MAX 4096

struct regex;

/* Owned by `a`. NULL and *err in Go's words: error parsing regexp: missing closing ]: `[` */
struct regex *regex_compile(struct str text, struct arena *a, struct error *err) must_check;
/* 1: found; 0: not; ERR_LIMIT: too expensive to tell. */
int regex_search(const struct regex *r, struct str text) must_check;
/* As regex_search, and gives the groups of the match: a list of struct str borrowed from `text`,
 * the whole match first, "" for a group that took no part. */
struct list;
int regex_groups(
    const struct regex *r, struct str text, struct arena *a, struct list *out) must_check;
/* Compiles and searches; a bad or expensive expression is not found. */
bool regex_found(struct str expression, struct str text);
