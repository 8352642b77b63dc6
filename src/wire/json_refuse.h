/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts of reading JSON into records, with the names and types Go would print. */
#pragma once
#include "consuld/wire/json.h"

struct reader {
    struct arena *a;
    struct error *err;
    int flags;
};

/* Where reading is: the fields on the way down; NULL at the top. Lists and maps add nothing. */
struct place {
    const struct place *up;
    const struct record *record;
    const struct field *field;
};

/* json: cannot unmarshal string into Go struct field T.a.b of type int */
int refuse_kind(struct reader *r, const struct place *at, const struct type *t, unsigned bits,
    const struct value *v);
/* The same for a number out of range: cannot unmarshal number 1.5 into ... */
int refuse_number(struct reader *r, const struct place *at, const struct type *t, unsigned bits,
    const struct value *v);
/* Not an object where Go has a map[string]interface {}. */
int refuse_map(struct reader *r, const struct place *at, const struct value *v);
/* json: unknown field "X" */
int refuse_key(struct reader *r, struct str key);
