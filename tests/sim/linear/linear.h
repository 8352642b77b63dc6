/* SPDX-License-Identifier: Apache-2.0 */
/* Is there an order of these calls, each at one moment between its beginning and its end, in which
 * a plain map would have given the same answers? (Linearizability after Wing and Gong, with Lowe's
 * memory of configurations already seen.)
 *
 * Keys are independent, so each is looked at alone. A key holds a value or nothing; values are
 * numbers, 0 stands for nothing. A call whose outcome nobody knows may have happened at any moment
 * after its beginning, or never. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINEAR_NOTHING 0
#define LINEAR_NEVER UINT64_MAX
#define LINEAR_KEY_MAX 64

enum linear_kind {
    LINEAR_READ,  /* value: what it saw */
    LINEAR_WRITE, /* value: what it stored; LINEAR_NOTHING: a deletion */
    LINEAR_CAS,   /* stores value if the key holds `expect`; ok: it said that it did */
    /* A lock is a key that holds who has it; ok: it was given, or given back. */
    LINEAR_ACQUIRE, /* value: for whom; again for who has it */
    LINEAR_RELEASE, /* value: by whom */
};

struct linear_call {
    char key[LINEAR_KEY_MAX];
    enum linear_kind kind;
    bool ok;
    uint64_t value, expect;
    uint64_t began, ended; /* of any clock; ended LINEAR_NEVER: the outcome is unknown */
    unsigned client;       /* for the reader of a report */
};

enum linear_verdict {
    LINEAR_YES,
    LINEAR_NO,
    LINEAR_UNDECIDED, /* more configurations than `budget` */
};

struct linear_report {
    size_t keys, calls;          /* looked at */
    char key[LINEAR_KEY_MAX];    /* of a verdict that is not YES */
    struct linear_call stuck[8]; /* calls of which none can come next, where most had a place */
    size_t stuck_n, placed;      /* how many had a place then */
};

/* Sorts the calls. `budget`: configurations to look at for one key; 0: a million. */
enum linear_verdict linear_check(
    struct linear_call *calls, size_t n, size_t budget, struct linear_report *out);

/* A history as a file: a JSON object a line, times in any unit,
 *   {"client":1,"op":"cas","key":"a","value":"x","expect":null,"ok":true,"begin":10,"end":12}
 * op: read, write, delete, cas; value and expect: a text, or null for nothing; end null: unknown.
 * malloc'ed. False: `why` says which line is wrong. */
bool linear_read_file(
    const char *path, struct linear_call **out, size_t *n, char *why, size_t why_n);
/* Of what was read from a file: values have the numbers of their texts in order of appearance. */
void linear_print(const struct linear_report *r, enum linear_verdict v);
