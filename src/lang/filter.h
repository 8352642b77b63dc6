/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of a filter expression, between its parser, binder and evaluator. */
#pragma once
#include "consuld/lang/filter.h"
#include "consuld/lang/regex.h"

enum filter_op {
    FILTER_EQUAL,
    FILTER_NOT_EQUAL,
    FILTER_IN,
    FILTER_NOT_IN,
    FILTER_EMPTY,
    FILTER_NOT_EMPTY,
    FILTER_MATCHES,
    FILTER_NOT_MATCHES,
};

enum filter_node_kind { FILTER_AND, FILTER_OR, FILTER_NOT, FILTER_MATCH };

struct filter_part {
    struct str name;
    const struct field *field; /* bound: of the record at this place; NULL for a map key */
};

struct filter_selector {
    struct filter_part *parts;
    size_t n;
    struct str text; /* parts joined by '.' */
};

struct filter_node {
    enum filter_node_kind kind;
    struct filter_node *left, *right; /* NOT: left alone */
    /* FILTER_MATCH */
    enum filter_op op;
    struct filter_selector selector;
    struct str value;
    /* bound: the value as the field's type */
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double f;
    };
    struct regex *regex;
};

struct filter {
    const struct type *elem;
    struct filter_node *root;
};

/* Text to tree; nothing is bound. */
int filter__parse(
    struct str expr, struct arena *a, struct filter_node **out, struct error *err) must_check;
/* What stands between double quotes, as Go reads it; false: malformed. */
bool filter__unquote(struct str body, struct arena *a, struct str *out) must_check;
/* Resolves selectors against the element type, coerces values, compiles expressions. */
int filter__bind(
    struct filter *f, struct arena *a, struct filter_node *n, struct error *err) must_check;
