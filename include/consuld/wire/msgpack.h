/* SPDX-License-Identifier: Apache-2.0 */
/* msgpack as go-msgpack 0.5.5 writes it (rpc.md 5): old raw strings, smallest integers, all fields
 * sorted by name, nil apart from empty, times as 15 raw bytes, wrapped carriers. */
#pragma once
#include "consuld/wire/record.h"

/* Read position over borrowed bytes with a sticky error: after the first failure every read gives
 * zero values. Budgets bound what a peer may claim. */
struct cursor {
    const uint8_t *p;
    const uint8_t *end;
    const uint8_t *start;
    uint32_t depth_max;  /* nesting, default MSGPACK_DEPTH_MAX */
    size_t elements_max; /* total list and map elements, default MSGPACK_ELEMENTS_MAX */
    size_t memory_max;   /* bytes of arena a message may take, default MSGPACK_MEMORY_MAX */
    int code;            /* ERR_OK, ERR_DECODE or ERR_EOF (more bytes needed) */
    struct error *err;   /* where the text goes; may be NULL */
};

/* Above JSON_DEPTH_MAX, so that what came in by JSON can be read back from the log. */
#define MSGPACK_DEPTH_MAX 256
#define MSGPACK_ELEMENTS_MAX 64000000
/* memory_max of an input of n bytes. */
#define MSGPACK_MEMORY_MAX(n) ((size_t)32 * 1024 * 1024 + 64 * (n))

void cursor_init(struct cursor *c, const void *p, size_t n, struct error *err);
size_t cursor_left(const struct cursor *c);
int cursor_fail(struct cursor *c, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends the encoding of *obj. The buffer's overflow is the only failure. */
void msgpack_encode(const struct type *t, const void *obj, struct buf *out);
/* Fills *obj (zeroed by the caller; absent keys leave fields as they are). Strings and bytes point
 * into the input; lists, maps and pointed-to records are the arena's. Accepts what rpc.md 5.2
 * lists. Returns c->code. */
int msgpack_decode(struct cursor *c, struct arena *a, const struct type *t, void *obj) must_check;
/* One value as it is. */
int msgpack_decode_value(struct cursor *c, struct arena *a, struct value *out) must_check;
void msgpack_encode_value(const struct value *v, struct buf *out);
/* Steps over one value without allocating; finds message boundaries in a stream
 * (c->code == ERR_EOF: incomplete). */
int msgpack_skip(struct cursor *c) must_check;

/* Single heads, for messages that are a sequence of values. */
void msgpack_put_str(struct buf *out, struct str s);
void msgpack_put_bytes(struct buf *out, struct str s);
void msgpack_put_uint(struct buf *out, uint64_t v);
void msgpack_put_int(struct buf *out, int64_t v);
void msgpack_put_bool(struct buf *out, bool v);
void msgpack_put_nil(struct buf *out);
void msgpack_put_map(struct buf *out, uint32_t n);
void msgpack_put_array(struct buf *out, uint32_t n);
void msgpack_put_f64(struct buf *out, double v);
/* Starts a raw whose size is not known yet; msgpack_raw_end with the returned position writes the
 * smallest head in front of what was put in between. */
size_t msgpack_raw_begin(struct buf *out);
void msgpack_raw_end(struct buf *out, size_t begin);

/* nil gives STR_NIL, 0. */
struct str msgpack_get_str(struct cursor *c);
uint64_t msgpack_get_uint(struct cursor *c);
int64_t msgpack_get_int(struct cursor *c);
bool msgpack_get_bool(struct cursor *c);
/* Number of entries; nil gives 0. Counts are checked against the bytes left and the budget. */
uint32_t msgpack_get_map(struct cursor *c);
uint32_t msgpack_get_array(struct cursor *c);
/* True and stepped over if the next value is nil. */
bool msgpack_get_nil(struct cursor *c);
