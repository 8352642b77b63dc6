/* SPDX-License-Identifier: Apache-2.0 */
/* Free-form values: what JSON, HCL and msgpack texts become before a record takes them, and what
 * opaque parts of records (proxy Config ...) stay. Owned by an arena. */
#pragma once
#include "consuld/base.h"

enum value_kind {
    V_NIL,
    V_BOOL,
    V_INT,   /* signed, as msgpack or HCL gave it */
    V_UINT,  /* unsigned, as msgpack gave it (cc..cf) */
    V_FLOAT, /* float64 */
    V_FLOAT32,
    V_NUMBER, /* a JSON number kept as its text in `s`: uint64 survives */
    V_STR,
    V_BYTES, /* msgpack bin */
    V_LIST,
    V_MAP, /* entries in the order met; duplicates kept, last one wins on lookup */
};

struct value_entry;

struct value {
    enum value_kind kind;
    uint32_t line; /* HCL and JSON sources: 1-based, else 0 */
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double f;
        struct str s;
        struct {
            struct value *v;
            size_t n;
            size_t cap; /* 0: exact or borrowed; else room, kept by value_list_add */
        } list;
        struct {
            struct value_entry *v;
            size_t n;
            size_t cap;
        } map;
    };
};

struct value_entry {
    struct str key;
    struct value value;
};

/* Last entry of that exact name, or NULL (also when v is no map). */
struct value *value_get(const struct value *v, struct str key);
/* Appends; `v` must be a V_MAP or V_LIST. The returned pointer is valid until the next append. */
struct value *value_map_add(struct arena *a, struct value *v, struct str key);
struct value *value_list_add(struct arena *a, struct value *v);
struct value value_of_str(struct str s);
/* Deep copy owned by `a`. */
struct value value_copy(struct arena *a, const struct value *v);
/* Deep equality; map order does not matter, number kinds do (as Go's DeepEqual on any). */
bool value_equal(const struct value *a, const struct value *b);
/* The word that errors of Go's decoders have for its kind: nil, bool, int, float64, slice, map ...
 */
const char *value_go_kind(const struct value *v);
/* The same with the types that lists and maps have: []interface {}. */
const char *value_go_type(const struct value *v);
