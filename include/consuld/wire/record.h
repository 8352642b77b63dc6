/* SPDX-License-Identifier: Apache-2.0 */
/* Record descriptors: a record names each of its fields once, and from that one line come the C
 * struct member, the msgpack name, the JSON name, aliases and omit rules. Walkers do the rest.
 *
 *   #define WEIGHTS_FIELDS(X, S)           \
 *       X(S, passing, INT, "Passing")      \
 *       X(S, warning, INT, "Warning")
 *   DECLARE_RECORD(weights, WEIGHTS_FIELDS)             in the header
 *   DEFINE_RECORD(weights, WEIGHTS_FIELDS, "Weights")   in one .c file
 *
 * A row is X(S, member, KIND, "GoName" [, .flags = ... , .json = "...", .alias = "a,b"]).
 * KIND is one of
 *   BOOL INT UINT F32 F64 STR BYTES TIME DUR ANY   scalars (INT/UINT are 64 bits wide in C)
 *   I32 U32 U8 ...                                 are INT/UINT with .bits = n
 *   REC(r) PTR(r)                                  a record by value; a pointer to one or nil
 *   LIST(r) LIST_STR LIST_UINT LIST_F64 LIST_LIST(r)   lists (of records, ...)
 *   MAP(r) MAP_STR MAP_LIST_STR MAP_LIST(r) MAP_INT    maps from string
 * Rows stand in Go's declaration order with embedded structures flattened in place: that is the
 * order of JSON output and of the array form; msgpack output is sorted by name.
 *
 * nil and empty differ: a list or map is nil when v == NULL, a STR/BYTES when p == NULL (STR nil is
 * written as the empty string, BYTES nil as nil). */
#pragma once
#include "consuld/wire/gotime.h"
#include "consuld/wire/value.h"

enum kind {
    KIND_BOOL,
    KIND_INT,
    KIND_UINT,
    KIND_F32,
    KIND_F64,
    KIND_STR,
    KIND_BYTES,
    KIND_TIME,
    KIND_DUR,
    KIND_ANY,
    KIND_REC,
    KIND_PTR,
    KIND_LIST,
    KIND_MAP,
};

struct record;

/* Shape of one value. Scalars have static instances; each record brings its own set. */
struct type {
    enum kind kind;
    uint16_t size;               /* bytes of the C value */
    const struct type *elem;     /* LIST, MAP: of the elements */
    const struct record *record; /* REC, PTR */
};

struct list {
    void *v; /* NULL: nil */
    size_t n;
    size_t cap; /* 0: exact or borrowed; else room, kept by list_push */
};

/* Maps keep the order they were decoded in; JSON output sorts. Entries are a struct str key
 * followed by the element. */
struct dict {
    void *v; /* NULL: nil */
    size_t n;
    size_t cap;
};

struct str_pair {
    struct str key, value;
};

enum field_flag {
    JSON_OMIT = 1,            /* omitempty: false, 0, "", nil, empty list or map, nil pointer */
    JSON_SKIP = 2,            /* json:"-" */
    JSON_DUR_TEXT = 4,        /* duration written as text, e.g. "10s"; both forms read */
    JSON_DUR_READ = 512,      /* duration read as text or number, written as the number */
    ANY_MAP = 8,              /* ANY: a map in Go, JSON input must be an object or null */
    WIRE_SKIP = 16,           /* no msgpack field */
    JSON_TEXT_OMIT_ZERO = 32, /* with JSON_DUR_TEXT: leave out when 0 */
    JSON_EMPTY_LIST = 64,     /* nil list or map is written [] / {} in JSON */
    COMPARE_SKIP = 128,       /* not looked at by record_equal (raft indexes) */
    WIRE_OMIT = 1024,         /* no msgpack field when it is empty (record_is_empty) */
    TIME_PTR = 256, /* TIME: the zero time is nil (a pointer in Go), JSON_OMIT leaves it out */
};

struct field {
    const char *name;    /* Go field name = msgpack name */
    const char *json;    /* JSON name if it differs */
    const char *alias;   /* comma-separated further JSON input keys */
    const char *go_type; /* its type in JSON errors if it has a name of its own: "types.CheckID" */
    const struct type *type;
    uint16_t offset;
    uint16_t flags;
    uint8_t bits; /* integer width if not 64 */
};

enum record_flag {
    RECORD_RAW = 1, /* wrapped in a msgpack raw wherever it occurs (rpc.md 5.4) */
    RECORD_LAX = 2, /* JSON: unknown keys are passed over whatever the reader was told */
};

struct buf;
struct cursor;

/* Own msgpack form of a record whose fields alone do not tell it (rpc.md 5.4). It takes the place
 * of the field walk; comparing, copying, hashing and JSON still go by the fields. */
struct record_codec {
    void (*encode)(const void *obj, struct buf *out);
    int (*decode)(struct cursor *c, struct arena *a, void *obj);
};

struct record {
    const char *name; /* Go's type name */
    /* Go's full type text for JSON errors if it is not "structs." + name: "api.TxnOp", or
     * "struct { ... }" for a type without a name. */
    const char *json_type;
    const char *json_list;    /* Go's name of a list of it in JSON errors, if it has one */
    const char *json_ignored; /* comma-separated JSON input keys that are read and have no field */
    const struct field *fields;
    uint16_t n;
    uint16_t size;
    uint16_t flags;
    uint16_t *sorted;                 /* field positions by msgpack name, filled by record_init */
    const struct record_codec *codec; /* mostly NULL */
};

/* Fills r->sorted; called once per record at start (model_init), before any thread exists. */
void record_init(const struct record *r);
const struct field *record_field(const struct record *r, struct str go_name);

extern const struct type type_bool, type_int, type_uint, type_f32, type_f64, type_str, type_bytes,
    type_time, type_dur, type_any, type_list_str, type_list_uint, type_list_f64, type_map_str,
    type_map_list_str, type_map_int;

#define DECL_BOOL bool
#define DECL_INT int64_t
#define DECL_UINT uint64_t
#define DECL_F32 float
#define DECL_F64 double
#define DECL_STR struct str
#define DECL_BYTES struct str
#define DECL_TIME struct gotime
#define DECL_DUR int64_t
#define DECL_ANY struct value
#define DECL_REC(r) struct r
#define DECL_PTR(r) struct r *
#define DECL_LIST(r) struct list
#define DECL_LIST_STR struct list
#define DECL_LIST_UINT struct list
#define DECL_LIST_F64 struct list
#define DECL_LIST_LIST(r) struct list
#define DECL_MAP(r) struct dict
#define DECL_MAP_STR struct dict
#define DECL_MAP_LIST_STR struct dict
#define DECL_MAP_LIST(r) struct dict
#define DECL_MAP_INT struct dict

#define TYPE_BOOL &type_bool
#define TYPE_INT &type_int
#define TYPE_UINT &type_uint
#define TYPE_F32 &type_f32
#define TYPE_F64 &type_f64
#define TYPE_STR &type_str
#define TYPE_BYTES &type_bytes
#define TYPE_TIME &type_time
#define TYPE_DUR &type_dur
#define TYPE_ANY &type_any
#define TYPE_REC(r) &type_##r
#define TYPE_PTR(r) &type_##r##_ptr
#define TYPE_LIST(r) &type_##r##_list
#define TYPE_LIST_STR &type_list_str
#define TYPE_LIST_UINT &type_list_uint
#define TYPE_LIST_F64 &type_list_f64
#define TYPE_LIST_LIST(r) &type_##r##_list_list
#define TYPE_MAP(r) &type_##r##_map
#define TYPE_MAP_STR &type_map_str
#define TYPE_MAP_LIST_STR &type_map_list_str
#define TYPE_MAP_LIST(r) &type_##r##_map_list
#define TYPE_MAP_INT &type_map_int

#define RECORD_MEMBER(S, member, kind, ...) DECL_##kind member;
#define RECORD_ROW(S, member, kind, go_name, ...) \
    { .name = go_name, .type = TYPE_##kind, .offset = offsetof(struct S, member), __VA_ARGS__ },

#define DECLARE_RECORD(tag, FIELDS) \
    struct tag { \
        FIELDS(RECORD_MEMBER, tag) \
    }; \
    extern const struct record record_##tag; \
    extern const struct type type_##tag, type_##tag##_ptr, type_##tag##_list, \
        type_##tag##_list_list, type_##tag##_map, type_##tag##_map_list;

/* The last arguments are initialisers of struct record: .flags = RECORD_RAW, .codec = &x. */
#define DEFINE_RECORD_WITH(tag, FIELDS, go_name, ...) \
    static const struct field fields_##tag[] = { FIELDS(RECORD_ROW, tag) }; \
    static uint16_t sorted_##tag[sizeof fields_##tag / sizeof fields_##tag[0]]; \
    const struct record record_##tag = { .name = go_name, \
        .fields = fields_##tag, \
        .n = sizeof fields_##tag / sizeof fields_##tag[0], \
        .size = sizeof(struct tag), \
        .sorted = sorted_##tag, \
        __VA_ARGS__ }; \
    const struct type type_##tag = { \
        .kind = KIND_REC, .size = sizeof(struct tag), .record = &record_##tag \
    }; \
    const struct type type_##tag##_ptr = { \
        .kind = KIND_PTR, .size = sizeof(void *), .record = &record_##tag \
    }; \
    const struct type type_##tag##_list = { \
        .kind = KIND_LIST, .size = sizeof(struct list), .elem = &type_##tag \
    }; \
    const struct type type_##tag##_list_list = { \
        .kind = KIND_LIST, .size = sizeof(struct list), .elem = &type_##tag##_list \
    }; \
    const struct type type_##tag##_map = { \
        .kind = KIND_MAP, .size = sizeof(struct dict), .elem = &type_##tag \
    }; \
    const struct type type_##tag##_map_list = { \
        .kind = KIND_MAP, .size = sizeof(struct dict), .elem = &type_##tag##_list \
    };

#define DEFINE_RECORD_AS(tag, FIELDS, go_name, record_flags, go_type) \
    DEFINE_RECORD_WITH(tag, FIELDS, go_name, .flags = record_flags, .json_type = go_type)
#define DEFINE_RECORD(tag, FIELDS, go_name) DEFINE_RECORD_WITH(tag, FIELDS, go_name, .flags = 0)

/* --- lists and maps in C ------------------------------------------------------------------- */

/* A non-nil list or map without elements. */
extern char collection_empty[];
#define LIST_EMPTY ((struct list){ .v = collection_empty })
#define DICT_EMPTY ((struct dict){ .v = collection_empty })

/* i-th element as `type`: LIST_AT(&svc.tags, struct str, i). */
#define LIST_AT(l, type, i) (((type *)(l)->v)[i])
/* Appends a zeroed element of `size` bytes and returns it (valid until the next push). */
void *list_push(struct arena *a, struct list *l, size_t size);
#define LIST_PUSH(a, l, type) ((type *)list_push((a), (l), sizeof(type)))

/* Entry access; `elem` is the element's type (type_map_str.elem ...). */
struct str dict_key(const struct dict *d, const struct type *elem, size_t i);
void *dict_at(const struct dict *d, const struct type *elem, size_t i);
/* Element under `key` or NULL. */
void *dict_get(const struct dict *d, const struct type *elem, struct str key);
/* Element under `key`, made zeroed if absent. Key is borrowed. */
void *dict_put(struct arena *a, struct dict *d, const struct type *elem, struct str key);
/* Appends without looking for the key: it is known to be new, or dict_unique follows. */
void *dict_append(struct arena *a, struct dict *d, const struct type *elem, struct str key);
/* Leaves one entry per key: the last one met, at the place of the first. */
void dict_unique(struct dict *d, const struct type *elem);
void dict_remove(struct dict *d, const struct type *elem, struct str key);
/* Shorthands for maps of strings. Missing: nil. */
struct str dict_str(const struct dict *d, struct str key);
void dict_set_str(struct arena *a, struct dict *d, struct str key, struct str value);

/* --- walkers over any type ----------------------------------------------------------------- */

/* Go's reflect.DeepEqual, nil and empty apart, without fields marked COMPARE_SKIP. Map order does
 * not matter. */
bool record_equal(const struct type *t, const void *a, const void *b);
/* Deep copy of *src into *dst with everything owned by `a`. */
void record_copy(struct arena *a, const struct type *t, void *dst, const void *src);

/* --- hash ---------------------------------------------------------------------------------- */

/* What a record is called in a hash if not by its own name. */
struct record_hash_name {
    const struct type *type; /* NULL ends a list of names */
    const char *name;
    const char *nil; /* a member that the record has no field for, being nil always; NULL: none */
};

/* FNV-1 over names and values, as Go's hashstructure computes it: nil and empty hash equal, map
 * order does not matter. Unlike there, null, 0, [] and {} within an ANY hash differently. */
uint64_t record_hash(const struct type *t, const void *obj, const struct record_hash_name *names);
/* Its parts, for structures that are no records. */
uint64_t record_hash_text(struct str s);
uint64_t record_hash_number(uint64_t v);
uint64_t record_hash_pair(uint64_t a, uint64_t b);
/* True for what omitempty leaves out. */
bool record_is_empty(const struct type *t, const void *obj);
