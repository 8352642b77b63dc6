/* SPDX-License-Identifier: Apache-2.0 */
/* A record with a field of every kind, and random values of any type. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/wire.h"

#define PART_FIELDS(X, S) \
    X(S, name, STR, "Name") \
    X(S, weight, F32, "Weight") \
    X(S, count, INT, "Count", .bits = 16)
DECLARE_RECORD(part, PART_FIELDS)

#define CARRIER_FIELDS(X, S) \
    X(S, kind, STR, "Kind") \
    X(S, config, ANY, "Config", .flags = ANY_MAP)
DECLARE_RECORD(carrier, CARRIER_FIELDS)

/* clang-format off */
#define SAMPLE_FIELDS(X, S) \
    X(S, zone,      STR,          "Zone") \
    X(S, on,        BOOL,         "On") \
    X(S, port,      INT,          "Port", .alias = "the_port,portal") \
    X(S, tiny,      INT,          "Tiny", .bits = 8) \
    X(S, flags,     UINT,         "Flags") \
    X(S, small,     UINT,         "Small", .bits = 32) \
    X(S, ratio,     F64,          "Ratio") \
    X(S, weight,    F32,          "Weight") \
    X(S, value,     BYTES,        "Value") \
    X(S, created,   TIME,         "Created") \
    X(S, expires,   TIME,         "Expires", .flags = TIME_PTR | JSON_OMIT) \
    X(S, wait,      DUR,          "Wait", .flags = JSON_DUR_TEXT) \
    X(S, raw_wait,  DUR,          "RawWait") \
    X(S, any,       ANY,          "Any") \
    X(S, part,      REC(part),    "Part") \
    X(S, maybe,     PTR(part),    "Maybe") \
    X(S, wrapped,   REC(carrier), "Wrapped") \
    X(S, maybe_wrapped, PTR(carrier), "MaybeWrapped") \
    X(S, parts,     LIST(part),   "Parts") \
    X(S, carriers,  LIST(carrier), "Carriers") \
    X(S, tags,      LIST_STR,     "Tags", .json = "tags") \
    X(S, numbers,   LIST_UINT,    "Numbers") \
    X(S, floats,    LIST_F64,     "Floats") \
    X(S, grid,      LIST_LIST(part), "Grid") \
    X(S, by_name,   MAP(part),    "ByName") \
    X(S, meta,      MAP_STR,      "Meta") \
    X(S, header,    MAP_LIST_STR, "Header") \
    X(S, groups,    MAP_LIST(part), "Groups") \
    X(S, counts,    MAP_INT,      "Counts") \
    X(S, local,     STR,          "Local", .flags = WIRE_SKIP) \
    X(S, secret,    STR,          "Secret", .flags = JSON_SKIP) \
    X(S, index,     UINT,         "Index", .flags = COMPARE_SKIP)
/* clang-format on */
DECLARE_RECORD(sample, SAMPLE_FIELDS)

DEFINE_RECORD(part, PART_FIELDS, "Part")
DEFINE_RECORD_WITH(carrier, CARRIER_FIELDS, "Carrier", .flags = RECORD_RAW)
DEFINE_RECORD_WITH(sample, SAMPLE_FIELDS, "Sample", .json_type = "api.Sample")

static inline int sample_setup(void **state)
{
    (void)state;
    record_init(&record_part);
    record_init(&record_carrier);
    record_init(&record_sample);
    return 0;
}

/* What a form can carry: JSON has no number kinds, no arbitrary bytes in strings, few time zones.
 */
struct generator {
    struct prng rng;
    struct arena *a;
    bool json;
};

static inline struct str random_str(struct generator *g)
{
    static const char *const texts[] = { "", "web", "a\"b\\c\n\t", "\xe2\x80\xa8 & <b>",
        "\xf0\x9f\x90\xbb", "0123456789012345678901234567890123456789" };
    if (g->json || prng_chance(&g->rng, 1, 2)) return str_of(texts[prng_below(&g->rng, 6)]);
    size_t n = (size_t)prng_below(&g->rng, prng_chance(&g->rng, 1, 50) ? 70000 : 50);
    char *p = arena_alloc(g->a, n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)prng_next(&g->rng);
    return (struct str){ p, n };
}

/* Any magnitude is as likely as any other. */
static inline uint64_t random_bits(struct generator *g, unsigned bits)
{
    return prng_next(&g->rng) >> (64 - 1 - prng_below(&g->rng, bits));
}

static inline int64_t random_int(struct generator *g, unsigned bits)
{
    int64_t v = (int64_t)random_bits(g, bits - 1);
    return prng_chance(&g->rng, 1, 2) ? v : -v - 1;
}

static inline double random_double(struct generator *g)
{
    if (prng_chance(&g->rng, 1, 3)) return (double)random_int(g, 40) / 1000;
    double v = 0;
    do {
        uint64_t bits = prng_next(&g->rng);
        memcpy(&v, &bits, sizeof v);
    } while (v - v != 0);
    return v;
}

static inline struct value random_value(struct generator *g, int depth)
{
    struct value v = { 0 };
    switch (prng_below(&g->rng, depth > 0 ? 8 : 6)) {
    case 0:
        return v;
    case 1:
        return (struct value){ .kind = V_BOOL, .b = prng_chance(&g->rng, 1, 2) };
    case 2:
        return value_of_str(random_str(g));
    case 3:
        if (g->json) break;
        v.kind = V_INT;
        v.i = random_int(g, 64);
        if (v.i > 127) v.i = 127; /* above, Go writes it as unsigned */
        return v;
    case 4:
        if (g->json) break;
        return (struct value){ .kind = V_UINT, .u = 128 + random_bits(g, 63) };
    case 5:
        break;
    case 6:
        v.kind = V_LIST;
        for (uint64_t n = prng_below(&g->rng, 4); n > 0; n--)
            *value_list_add(g->a, &v) = random_value(g, depth - 1);
        return v;
    default:
        v.kind = V_MAP;
        for (uint64_t n = prng_below(&g->rng, 4); n > 0; n--) {
            char key[16];
            snprintf(key, sizeof key, "k%u", (unsigned)n);
            *value_map_add(g->a, &v, str_dup(g->a, str_of(key))) = random_value(g, depth - 1);
        }
        return v;
    }
    return (struct value){ .kind = V_FLOAT, .f = random_double(g) };
}

static inline struct gotime random_time(struct generator *g)
{
    if (prng_chance(&g->rng, 1, 4)) return GOTIME_ZERO;
    int16_t zone = (int16_t)(prng_chance(&g->rng, 1, 2) ? -1 : 2 + (int)prng_below(&g->rng, 800));
    int64_t sec =
        g->json ? (int64_t)prng_below(&g->rng, 3000) * 86400 * 365 + 77777 : random_int(g, 64);
    return (struct gotime){ sec, (int32_t)prng_below(&g->rng, 1000000000), zone };
}

static inline void random_fill(
    struct generator *g, const struct type *t, unsigned bits, int depth, void *obj);

static inline void random_record(struct generator *g, const struct record *r, int depth, void *obj)
{
    for (uint16_t i = 0; i < r->n; i++) {
        const struct field *f = &r->fields[i];
        if (f->flags & (g->json ? JSON_SKIP : WIRE_SKIP)) continue;
        void *member = (char *)obj + f->offset;
        if (f->flags & ANY_MAP) {
            struct value *v = member;
            do {
                *v = random_value(g, 3);
            } while (v->kind != V_MAP && v->kind != V_NIL);
        } else {
            random_fill(g, f->type, f->bits, depth, member);
        }
    }
}

static inline void random_fill(
    struct generator *g, const struct type *t, unsigned bits, int depth, void *obj)
{
    bool nil = prng_chance(&g->rng, 1, 5);
    switch (t->kind) {
    case KIND_BOOL:
        *(bool *)obj = nil;
        break;
    case KIND_INT:
    case KIND_DUR:
        *(int64_t *)obj = random_int(g, bits ? bits : 64);
        break;
    case KIND_UINT:
        *(uint64_t *)obj = random_bits(g, bits ? bits : 64);
        break;
    case KIND_F32:
        *(float *)obj = (float)random_int(g, 20) / 7;
        break;
    case KIND_F64:
        *(double *)obj = random_double(g);
        break;
    case KIND_STR:
        *(struct str *)obj = random_str(g);
        break;
    case KIND_BYTES:
        *(struct str *)obj = nil ? STR_NIL : random_str(g);
        break;
    case KIND_TIME:
        *(struct gotime *)obj = random_time(g);
        break;
    case KIND_ANY:
        *(struct value *)obj = random_value(g, 3);
        break;
    case KIND_REC:
        random_record(g, t->record, depth - 1, obj);
        break;
    case KIND_PTR:
        *(void **)obj = nil ? NULL : arena_alloc(g->a, t->record->size);
        if (!nil) random_record(g, t->record, depth - 1, *(void **)obj);
        break;
    case KIND_LIST: {
        struct list *l = obj;
        *l = nil ? (struct list){ 0 } : LIST_EMPTY;
        for (uint64_t n = nil ? 0 : prng_below(&g->rng, 20); n > 0; n--)
            random_fill(g, t->elem, 0, depth - 1, list_push(g->a, l, t->elem->size));
        break;
    }
    case KIND_MAP: {
        struct dict *d = obj;
        *d = nil ? (struct dict){ 0 } : DICT_EMPTY;
        for (uint64_t n = nil ? 0 : prng_below(&g->rng, 20); n > 0; n--)
            random_fill(g, t->elem, 0, depth - 1, dict_put(g->a, d, t->elem, random_str(g)));
        break;
    }
    }
}

/* Bytes from hex text. */
static inline struct str unhex(struct arena *a, const char *hex)
{
    size_t n = strlen(hex) / 2;
    uint8_t *p = arena_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++) {
        unsigned byte = 0;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) fail_msg("not hex: %s", hex);
        p[i] = (uint8_t)byte;
    }
    return (struct str){ (char *)p, n };
}

#define assert_str(actual, expected) assert_str_at((actual), (expected), __FILE__, __LINE__)
static inline void assert_str_at(
    struct str actual, const char *expected, const char *file, int line)
{
    if (str_is(actual, expected)) return;
    print_error("is:        %.*s\nshould be: %s\n", STR_ARG(actual), expected);
    _fail(file, line);
}
