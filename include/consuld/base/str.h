/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed byte strings. A `struct str` never owns its bytes: whoever made them (an arena, a
 * buffer, a literal) does. `p == NULL` is nil, which some records tell apart from empty. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct str {
    const char *p;
    size_t n;
};

#define STR(lit) ((struct str){ (lit), sizeof(lit) - 1 })
#define STR_NIL ((struct str){ NULL, 0 })
/* For printf: printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

/* View of a C string; NULL gives nil. */
struct str str_of(const char *c);
bool str_eq(struct str a, struct str b);
bool str_is(struct str a, const char *c);
/* ASCII case folding only, as Consul's lookups need for names. */
bool str_eq_nocase(struct str a, struct str b);
/* Bytewise order: negative, 0, positive. */
int str_cmp(struct str a, struct str b);
bool str_has_prefix(struct str s, struct str prefix);
bool str_has_suffix(struct str s, struct str suffix);
/* Position of the first `needle`, or -1. An empty needle is at 0. */
ptrdiff_t str_find(struct str s, struct str needle);
ptrdiff_t str_find_char(struct str s, char c);
ptrdiff_t str_find_last(struct str s, char c);
/* Splits at the first `sep`: true and both parts, or false with head = s, tail = nil. */
bool str_cut(struct str s, char sep, struct str *head, struct str *tail);
struct str str_slice(struct str s, size_t from, size_t to);
/* Cuts blanks (space, tab, CR, LF) at both ends. */
struct str str_trim(struct str s);
/* Copies owned by `a`; both are NUL-terminated behind their n bytes. nil stays nil. */
struct str str_dup(struct arena *a, struct str s);
struct str str_lower(struct arena *a, struct str s);
/* C string owned by `a` ("" for nil). */
const char *str_c(struct arena *a, struct str s);
struct str str_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Unsigned decimal without sign or blanks; false if malformed or above UINT64_MAX. */
bool str_to_u64(struct str s, uint64_t *out);
bool str_to_i64(struct str s, int64_t *out);
