/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded lines of tests/vectors/raft. */
#pragma once
#include <stdio.h>
#include <stdlib.h>

#include "bed.h"
#include "consuld/raft/message.h"
#include "consuld/wire/json.h"

typedef void (*recorded_fn)(struct arena *a, const struct value *line, void *arg);

/* Calls fn for each line; returns their number. */
static inline int recorded_each(const char *name, recorded_fn fn, void *arg)
{
    char path[512];
    snprintf(path, sizeof path, TESTS_DIR "/vectors/raft/%s.jsonl", name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int count = 0;
    struct arena a = ARENA_INIT;
    while ((n = getline(&line, &cap, f)) > 0) {
        struct value v = { 0 };
        struct error err;
        if (json_parse((struct str){ line, (size_t)n }, &a, &v, &err))
            fail_msg("%s:%d: %s", name, count + 1, err.text);
        fn(&a, &v, arg);
        count++;
        arena_reset(&a);
    }
    arena_free(&a);
    free(line);
    fclose(f);
    return count;
}

static inline struct str recorded_text(const struct value *o, const char *key)
{
    const struct value *v = o ? value_get(o, str_of(key)) : NULL;
    return v && v->kind == V_STR ? v->s : STR_NIL;
}

static inline uint64_t recorded_number(const struct value *o, const char *key)
{
    const struct value *v = o ? value_get(o, str_of(key)) : NULL;
    assert_true(v && v->kind == V_NUMBER);
    char text[32];
    snprintf(text, sizeof text, "%.*s", STR_ARG(v->s));
    return strtoull(text, NULL, 10);
}

/* Bytes of a hex member; nil if it is absent. */
static inline struct str recorded_hex(struct arena *a, const struct value *o, const char *key)
{
    struct str hex = recorded_text(o, key);
    if (!hex.p) return STR_NIL;
    uint8_t *out = arena_alloc(a, hex.n / 2 + 1);
    for (size_t i = 0; i + 1 < hex.n; i += 2) {
        char digits[3] = { hex.p[i], hex.p[i + 1], 0 };
        out[i / 2] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return (struct str){ (const char *)out, hex.n / 2 };
}

static inline void assert_same_bytes(const struct buf *got, struct str want, const char *what)
{
    if (!got->overflow && str_eq(buf_str(got), want)) return;
    print_error("%s: %zu bytes, wanted %zu\n  got  ", what, got->n, want.n);
    for (size_t i = 0; i < got->n; i++)
        print_error("%02x", got->p[i]);
    print_error("\n  want ");
    for (size_t i = 0; i < want.n; i++)
        print_error("%02x", (uint8_t)want.p[i]);
    fail_msg("%s differs", what);
}
