/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts of reading JSON into records, with the names and types Go would print. */
#pragma once
#include "consuld/wire/json.h"

/* What is wrong, as far as known. */
struct refusal {
    struct str text;       /* complete; nil: nothing */
    struct str what, type; /* of a wrong kind: around the place; nil otherwise */
};

struct reader {
    struct arena *a;
    struct error *err; /* of what ends the reading at once */
    int flags;
    struct refusal first;           /* reading goes on after it, as in Go */
    struct refusal late;            /* of texts that Go looks at when the record is read ... */
    const struct field *late_field; /* ... in the order of their fields */
    struct refusal fatal;           /* in an inner record that reads itself */
};

/* Where reading is: the fields on the way down; NULL at the top. Lists and maps add nothing. */
struct place {
    const struct place *up;
    const struct record *record;
    const struct field *field;
    struct str alias; /* as which it was met; nil: its own name */
};

/* All of these note the first refusal and return 0: reading goes on. */

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
/* Any other text. */
void refuse_text(struct reader *r, struct refusal *to, const char *text);
/* Names the place anew, as each reader around the failed one does in Go. */
void refusal_place(struct reader *r, struct refusal *f, const struct place *at);
