/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/lang/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "consuld/wire/record.h"
#include "regex_check.h"

#define REGEX_NESTING_MAX 100
#define REGEX_MATCH_LIMIT 100000
#define REGEX_DEPTH_LIMIT 1000
#define REGEX_HEAP_LIMIT_KIB 1024

struct regex {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

/* What is well formed and still too much for the matcher. */
static void explain(int code, struct str text, struct error *err)
{
    PCRE2_UCHAR why[256];
    pcre2_get_error_message(code, why, sizeof why);
    error_set(
        err, ERR_BAD_REQUEST, "error parsing regexp: %s: `%.*s`", (const char *)why, STR_ARG(text));
}

static void *take(size_t n, void *arena)
{
    return arena_alloc(arena, n);
}

static void give_back(void *p, void *arena)
{
    (void)p, (void)arena;
}

struct regex *regex_compile(struct str text, struct arena *a, struct error *err)
{
    int code;
    PCRE2_SIZE at;
    if (text.n > REGEX_TEXT_MAX) {
        error_set(err, ERR_BAD_REQUEST, "error parsing regexp: expression too large");
        return NULL;
    }
    if (regex_check(text, err) != 0) return NULL;
    pcre2_general_context *memory = pcre2_general_context_create(take, give_back, a);
    pcre2_compile_context *context = pcre2_compile_context_create(memory);
    pcre2_set_parens_nest_limit(context, REGEX_NESTING_MAX);
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)(text.p ? text.p : ""), text.n,
        PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &code,
        &at, context);
    if (!compiled) {
        explain(code, text, err);
        return NULL;
    }
    struct regex *r = arena_new(a, struct regex);
    r->code = compiled;
    r->data = pcre2_match_data_create(1, memory);
    r->limits = pcre2_match_context_create(memory);
    pcre2_set_match_limit(r->limits, REGEX_MATCH_LIMIT);
    pcre2_set_depth_limit(r->limits, REGEX_DEPTH_LIMIT);
    pcre2_set_heap_limit(r->limits, REGEX_HEAP_LIMIT_KIB);
    return r;
}

int regex_search(const struct regex *r, struct str text)
{
    int rc =
        pcre2_match(r->code, (PCRE2_SPTR)(text.p ? text.p : ""), text.n, 0, 0, r->data, r->limits);
    if (rc >= 0) return 1;
    return rc == PCRE2_ERROR_NOMATCH ? 0 : ERR_LIMIT;
}

int regex_groups(const struct regex *r, struct str text, struct arena *a, struct list *out)
{
    pcre2_general_context *memory = pcre2_general_context_create(take, give_back, a);
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(r->code, memory);
    PCRE2_SPTR subject = (PCRE2_SPTR)(text.p ? text.p : "");
    int rc = pcre2_match(r->code, subject, text.n, 0, 0, data, r->limits);
    if (rc < 0) return rc == PCRE2_ERROR_NOMATCH ? 0 : ERR_LIMIT;
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
    for (uint32_t i = 0; i < pcre2_get_ovector_count(data); i++) {
        bool set = i < (uint32_t)rc && at[2 * i] != PCRE2_UNSET;
        *LIST_PUSH(a, out, struct str) = set ? str_slice(text, at[2 * i], at[2 * i + 1]) : STR("");
    }
    return 1;
}

bool regex_found(struct str expression, struct str text)
{
    struct arena a = ARENA_INIT;
    struct error err;
    struct regex *r = regex_compile(expression, &a, &err);
    bool found = r && regex_search(r, text) == 1;
    arena_free(&a);
    return found;
}
