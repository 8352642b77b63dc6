/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "cli.h"

#define PATTERN_NESTING_MAX 100
#define PATTERN_STEPS_MAX 1000000

struct cli_pattern {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

/* The rest of `text` that Go's message quotes. */
static struct str from_last(struct str text, char c)
{
    for (size_t i = text.n; i-- > 0;)
        if (text.p[i] == c) return str_slice(text, i, text.n);
    return text;
}

static int refuse(struct str text, int code, size_t offset, struct error *err)
{
    PCRE2_UCHAR why[256];
    if (offset > text.n) offset = text.n;
    struct str before = str_slice(text, 0, offset);
    struct str rest = str_slice(text, offset ? offset - 1 : 0, offset ? offset : 1);
    switch (code) {
    case PCRE2_ERROR_MISSING_SQUARE_BRACKET:
        rest = from_last(before, '[');
        return error_set(
            err, ERR_BAD_REQUEST, "error parsing regexp: missing closing ]: `%.*s`", STR_ARG(rest));
    case PCRE2_ERROR_MISSING_CLOSING_PARENTHESIS:
        return error_set(
            err, ERR_BAD_REQUEST, "error parsing regexp: missing closing ): `%.*s`", STR_ARG(text));
    case PCRE2_ERROR_UNMATCHED_CLOSING_PARENTHESIS:
        return error_set(
            err, ERR_BAD_REQUEST, "error parsing regexp: unexpected ): `%.*s`", STR_ARG(text));
    case PCRE2_ERROR_QUANTIFIER_INVALID:
        return error_set(err, ERR_BAD_REQUEST,
            "error parsing regexp: missing argument to repetition operator: `%.*s`", STR_ARG(rest));
    default:
        pcre2_get_error_message(code, why, sizeof why);
        return error_set(err, ERR_BAD_REQUEST, "error parsing regexp: %s: `%.*s`",
            (const char *)why, STR_ARG(text));
    }
}

int cli_pattern_compile(struct cli *c, struct str text, struct cli_pattern **out, struct error *err)
{
    int code;
    PCRE2_SIZE offset;
    *out = NULL;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    pcre2_set_parens_nest_limit(context, PATTERN_NESTING_MAX);
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)(text.p ? text.p : ""), text.n,
        PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &offset, context);
    pcre2_compile_context_free(context);
    if (!compiled) return refuse(text, code, offset, err);
    struct cli_pattern *p = arena_new(&c->arena, struct cli_pattern);
    p->code = compiled;
    p->data = pcre2_match_data_create(1, NULL);
    p->limits = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(p->limits, PATTERN_STEPS_MAX);
    *out = p;
    return 0;
}

bool cli_pattern_matches(const struct cli_pattern *p, struct str text)
{
    return pcre2_match(
               p->code, (PCRE2_SPTR)(text.p ? text.p : ""), text.n, 0, 0, p->data, p->limits) >= 0;
}

void cli_pattern_free(struct cli_pattern *p)
{
    if (!p) return;
    pcre2_match_context_free(p->limits);
    pcre2_match_data_free(p->data);
    pcre2_code_free(p->code);
}
