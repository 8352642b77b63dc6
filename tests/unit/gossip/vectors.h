/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded data of tests/vectors/gossip: {"kind", "entries": [...]} per file. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/gossip.h"
#include "consuld/wire/json.h"

static inline struct value *member_of(const struct value *v, const char *key)
{
    return v && v->kind == V_MAP ? value_get(v, str_of(key)) : NULL;
}

static inline struct str text_of(const struct value *v, const char *key)
{
    const struct value *m = member_of(v, key);
    return m && m->kind == V_STR ? m->s : STR_NIL;
}

static inline int64_t number_of(const struct value *v)
{
    char text[32];
    assert_non_null(v);
    assert_true(v->kind == V_NUMBER && v->s.n < sizeof text);
    snprintf(text, sizeof text, "%.*s", STR_ARG(v->s));
    return strtoll(text, NULL, 10);
}

static inline int64_t number_at(const struct value *v, const char *key)
{
    const struct value *m = member_of(v, key);
    if (!m) fail_msg("no member %s", key);
    return number_of(m);
}

static inline struct str unhex(struct arena *a, struct str hex)
{
    char *out = arena_alloc(a, hex.n / 2 + 1);
    for (size_t i = 0; i + 1 < hex.n; i += 2) {
        char pair[3] = { hex.p[i], hex.p[i + 1], '\0' };
        out[i / 2] = (char)strtoul(pair, NULL, 16);
    }
    return (struct str){ out, hex.n / 2 };
}

static inline struct str hex_at(struct arena *a, const struct value *v, const char *key)
{
    return unhex(a, text_of(v, key));
}

/* Fails with both texts in hex. */
static inline void assert_bytes(struct str got, struct str want, struct str what)
{
    if (str_eq(got, want)) return;
    size_t at = 0;
    while (at < got.n && at < want.n && got.p[at] == want.p[at])
        at++;
    fail_msg("%.*s: %zu bytes instead of %zu, first difference at %zu", STR_ARG(what), got.n,
        want.n, at);
}

/* The whole file in `a`; returns its entries. */
static inline const struct value *entries_of(struct arena *a, const char *kind)
{
    char path[512];
    struct buf b = BUF_INIT((size_t)8 << 20);
    snprintf(path, sizeof path, TESTS_DIR "/vectors/gossip/%s.json", kind);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    char chunk[65536];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        buf_put(&b, chunk, n);
    fclose(f);
    struct value *v = arena_new(a, struct value);
    struct error err;
    if (json_parse(str_dup(a, buf_str(&b)), a, v, &err)) fail_msg("%s: %s", path, err.text);
    buf_deinit(&b);
    const struct value *entries = member_of(v, "entries");
    assert_true(entries && entries->kind == V_LIST && entries->list.n > 0);
    return entries;
}
