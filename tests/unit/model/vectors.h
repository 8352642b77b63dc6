/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded files for the tests of this module. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "consuld/model.h"
#include "consuld/wire/json.h"
#include "consuld/wire/msgpack.h"

#define VECTORS TESTS_DIR "/vectors/"

static inline struct str read_file(struct arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long n = ftell(f);
    assert_true(n >= 0);
    rewind(f);
    char *p = arena_alloc(a, (size_t)n + 1);
    assert_int_equal(fread(p, 1, (size_t)n, f), (size_t)n);
    fclose(f);
    return (struct str){ p, (size_t)n };
}

static inline struct value parse(struct arena *a, const char *what, struct str text)
{
    struct value v = { 0 };
    struct error err;
    if (json_parse(text, a, &v, &err) != ERR_OK) fail_msg("%s: %s", what, err.text);
    return v;
}

static inline const struct value *get(const struct value *o, const char *key)
{
    return o ? value_get(o, str_of(key)) : NULL;
}

/* Text of a member, "" if there is none. */
static inline const char *get_text(struct arena *a, const struct value *o, const char *key)
{
    const struct value *v = get(o, key);
    return v && v->kind == V_STR ? str_c(a, v->s) : "";
}

/* An unsigned member, -1 if it is no number. */
static inline int64_t get_number(const struct value *o, const char *key)
{
    const struct value *v = get(o, key);
    int64_t n;
    return v && v->kind == V_NUMBER && str_to_i64(v->s, &n) ? n : -1;
}

static inline struct str hex_bytes(struct arena *a, struct str hex)
{
    uint8_t *out = arena_alloc(a, hex.n / 2 + 1);
    for (size_t i = 0; i + 1 < hex.n; i += 2) {
        char digits[3] = { hex.p[i], hex.p[i + 1], 0 };
        char *end;
        out[i / 2] = (uint8_t)strtoul(digits, &end, 16);
        assert_ptr_equal(end, digits + 2);
    }
    return (struct str){ (const char *)out, hex.n / 2 };
}

/* The bytes of a recorded object: NAMEhex, or NAMErle as a list of [hex, count]. */
static inline struct str recorded_bytes(struct arena *a, const struct value *o, const char *name)
{
    const struct value *hex = get(o, str_printf(a, "%shex", name).p);
    if (hex) return hex_bytes(a, hex->s);
    const struct value *runs = get(o, str_printf(a, "%srle", name).p);
    assert_non_null(runs);
    struct buf all = BUF_INIT(16u << 20);
    for (size_t i = 0; i < runs->list.n; i++) {
        const struct value *run = runs->list.v[i].list.v;
        uint64_t count;
        assert_true(str_to_u64(run[1].s, &count));
        struct str part = hex_bytes(a, run[0].s);
        while (count-- > 0)
            buf_put_str(&all, part);
    }
    struct str copy = str_dup(a, buf_str(&all));
    buf_deinit(&all);
    return copy;
}

/* Calls fn for the object on each line of a .jsonl file. The arena is the line's. */
static inline void each_line(const char *path,
    void (*fn)(struct arena *a, const struct value *line, int number, void *arg), void *arg)
{
    struct arena file = ARENA_INIT, a = ARENA_INIT;
    struct str rest = read_file(&file, path), line;
    for (int number = 1; rest.n > 0; number++) {
        str_cut(rest, '\n', &line, &rest);
        struct value v = parse(&a, path, line);
        fn(&a, &v, number, arg);
        arena_reset(&a);
    }
    arena_free(&a);
    arena_free(&file);
}

/* Decodes bytes as `t`, copies, encodes the copy. True if it gives the same bytes; else prints
 * why. */
static inline bool same_again(const char *what, const struct type *t, struct str bytes)
{
    struct arena a = ARENA_INIT;
    struct buf out = BUF_INIT(16u << 20);
    struct cursor c;
    struct error err = { 0 };
    bool same = false;
    cursor_init(&c, bytes.p, bytes.n, &err);
    void *obj = arena_alloc(&a, t->size);
    if (msgpack_decode(&c, &a, t, obj) != ERR_OK) {
        print_error("%s: decode: %s\n", what, err.text);
        goto done;
    }
    if (cursor_left(&c) != 0) {
        print_error("%s: %zu bytes left\n", what, cursor_left(&c));
        goto done;
    }
    void *copy = arena_alloc(&a, t->size);
    record_copy(&a, t, copy, obj);
    if (!record_equal(t, obj, copy)) {
        print_error("%s: the copy differs\n", what);
        goto done;
    }
    msgpack_encode(t, copy, &out);
    size_t n = out.n < bytes.n ? out.n : bytes.n, at = 0;
    while (at < n && out.p[at] == (uint8_t)bytes.p[at])
        at++;
    same = at == bytes.n && out.n == bytes.n;
    if (!same) {
        size_t from = at > 24 ? at - 24 : 0;
        print_error(
            "%s: %zu bytes became %zu, first difference at %zu\n  had ", what, bytes.n, out.n, at);
        for (size_t i = from; i < at + 16 && i < bytes.n; i++)
            print_error("%02x", (uint8_t)bytes.p[i]);
        print_error("\n  got ");
        for (size_t i = from; i < at + 16 && i < out.n; i++)
            print_error("%02x", out.p[i]);
        print_error("\n");
    }
done:
    buf_deinit(&out);
    arena_free(&a);
    return same;
}

static inline int prepare_model(void **state)
{
    (void)state;
    model_init();
    return 0;
}
