/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "collection.h"
#include "token.h"

/* Bytes that a list may take before its first element has been read. */
#define ROOM_BYTES_MIN 2048

static bool enter(struct cursor *c)
{
    if (c->depth_max == 0) {
        cursor_fail(c, ERR_DECODE, "msgpack: nested too deep");
        return false;
    }
    c->depth_max--;
    return true;
}

static void leave(struct cursor *c)
{
    c->depth_max++;
}

static bool charge(struct cursor *c, size_t bytes)
{
    if (bytes > c->memory_max) {
        cursor_fail(c, ERR_DECODE, "msgpack: message takes too much memory");
        return false;
    }
    c->memory_max -= bytes;
    return true;
}

/* Makes room for element `at` of `n` claimed ones, doubling, never by the claim alone. */
static char *make_room(
    struct cursor *c, struct arena *a, char *v, size_t at, size_t n, size_t size, size_t *room)
{
    if (at < *room) return v;
    size_t want = *room ? *room * 2 : ROOM_BYTES_MIN / size + 1;
    if (want > n) want = n;
    if (!charge(c, want * size)) return NULL;
    char *grown = arena_array(a, want, size);
    if (at) memcpy(grown, v, at * size);
    *room = want;
    return grown;
}

/* --- values -------------------------------------------------------------------------------- */

static void decode_value(struct cursor *c, struct arena *a, struct value *out);

static void decode_value_list(struct cursor *c, struct arena *a, size_t n, struct value *out)
{
    *out = (struct value){ .kind = V_LIST };
    char *v = NULL;
    for (size_t i = 0; i < n && !c->code; i++) {
        v = make_room(c, a, v, i, n, sizeof(struct value), &out->list.cap);
        if (!v) return;
        out->list.v = (struct value *)(void *)v;
        decode_value(c, a, &out->list.v[i]);
        out->list.n = i + 1;
    }
}

static void decode_value_map(struct cursor *c, struct arena *a, size_t n, struct value *out)
{
    *out = (struct value){ .kind = V_MAP };
    char *v = NULL;
    for (size_t i = 0; i < n && !c->code; i++) {
        v = make_room(c, a, v, i, n, sizeof(struct value_entry), &out->map.cap);
        if (!v) return;
        out->map.v = (struct value_entry *)(void *)v;
        out->map.v[i].key = msgpack_get_str(c);
        decode_value(c, a, &out->map.v[i].value);
        out->map.n = i + 1;
    }
}

static void decode_value(struct cursor *c, struct arena *a, struct value *out)
{
    struct token t = token_next(c);
    switch (t.kind) {
    case TOKEN_NONE:
    case TOKEN_NIL:
        *out = (struct value){ .kind = V_NIL };
        break;
    case TOKEN_BOOL:
        *out = (struct value){ .kind = V_BOOL, .b = t.u };
        break;
    case TOKEN_INT:
        *out = (struct value){ .kind = V_INT, .i = t.i };
        break;
    case TOKEN_UINT:
        *out = (struct value){ .kind = V_UINT, .u = t.u };
        break;
    case TOKEN_F32:
        *out = (struct value){ .kind = V_FLOAT32, .f = t.f };
        break;
    case TOKEN_F64:
        *out = (struct value){ .kind = V_FLOAT, .f = t.f };
        break;
    case TOKEN_RAW:
        *out = (struct value){ .kind = V_STR, .s = token_str(t) };
        break;
    case TOKEN_BIN:
        *out = (struct value){ .kind = V_BYTES, .s = token_str(t) };
        break;
    case TOKEN_ARRAY:
    case TOKEN_MAP:
        if (!enter(c)) break;
        if (t.kind == TOKEN_MAP) {
            decode_value_map(c, a, t.n, out);
        } else {
            decode_value_list(c, a, t.n, out);
        }
        leave(c);
        break;
    case TOKEN_EXT:
    case TOKEN_BAD:
        cursor_fail(c, ERR_DECODE,
            "codec.decoder: Nil-Deciphered DecodeValue: Unrecognized descriptor byte: hex: %x, "
            "dec: %d",
            t.byte, t.byte);
        break;
    }
}

int msgpack_decode_value(struct cursor *c, struct arena *a, struct value *out)
{
    decode_value(c, a, out);
    return c->code;
}

/* --- records ------------------------------------------------------------------------------- */

static void decode(
    struct cursor *c, struct arena *a, const struct type *t, unsigned bits, void *obj);

static void decode_field(struct cursor *c, struct arena *a, const struct field *f, void *obj)
{
    decode(c, a, f->type, f->bits, (char *)obj + f->offset);
}

static void decode_map_form(
    struct cursor *c, struct arena *a, const struct record *r, size_t n, void *obj)
{
    /* Peers write the keys sorted: the next one is nearly always the next field. */
    uint16_t expected = 0;
    for (size_t i = 0; i < n && !c->code; i++) {
        struct str key = msgpack_get_str(c);
        const struct field *f = NULL;
        if (expected < r->n && str_is(key, r->fields[r->sorted[expected]].name)) {
            f = &r->fields[r->sorted[expected++]];
        } else {
            f = record_field(r, key);
        }
        if (f && !(f->flags & WIRE_SKIP)) {
            decode_field(c, a, f, obj);
        } else if (msgpack_skip(c)) {
            break;
        }
    }
}

static void decode_array_form(
    struct cursor *c, struct arena *a, const struct record *r, size_t n, void *obj)
{
    for (uint16_t i = 0; i < r->n && n > 0 && !c->code; i++) {
        if (r->fields[i].flags & WIRE_SKIP) continue;
        decode_field(c, a, &r->fields[i], obj);
        n--;
    }
    while (n-- > 0 && !msgpack_skip(c)) {
    }
}

/* Go's numbers of the kinds, as its error text shows them. */
static unsigned go_value_type(struct token t)
{
    switch (t.kind) {
    case TOKEN_NONE:
    case TOKEN_BAD:
        return 0;
    case TOKEN_NIL:
        return 1;
    case TOKEN_INT:
        return 2;
    case TOKEN_UINT:
        return 3;
    case TOKEN_F32:
    case TOKEN_F64:
        return 4;
    case TOKEN_BOOL:
        return 5;
    case TOKEN_RAW:
        return 6;
    case TOKEN_BIN:
        return 8;
    case TOKEN_MAP:
        return 9;
    case TOKEN_ARRAY:
        return 10;
    case TOKEN_EXT:
        return 12;
    }
    return 0;
}

static void decode_fields(
    struct cursor *c, struct arena *a, const struct record *r, struct token t, void *obj)
{
    if (!enter(c)) return;
    if (t.kind == TOKEN_MAP) {
        decode_map_form(c, a, r, t.n, obj);
    } else if (t.kind == TOKEN_ARRAY) {
        decode_array_form(c, a, r, t.n, obj);
    } else {
        cursor_fail(c, ERR_DECODE,
            "codec.decoder: Only encoded map or array can be decoded into a struct. (valueType: "
            "%x)",
            go_value_type(t));
    }
    leave(c);
}

static void decode_wrapped(
    struct cursor *c, struct arena *a, const struct record *r, struct token t, void *obj)
{
    if (t.kind != TOKEN_RAW && t.kind != TOKEN_BIN) {
        if (!c->code) token_refuse(c, t);
        return;
    }
    const uint8_t *after = c->p, *end = c->end;
    c->p = t.p;
    c->end = t.p + t.n;
    decode_fields(c, a, r, token_next(c), obj);
    c->end = end;
    c->p = c->code ? end : after;
    /* More input would not make a short content whole. */
    if (c->code == ERR_EOF) {
        c->code = ERR_DECODE;
        if (c->err) c->err->code = ERR_DECODE;
    }
}

static void decode_record(struct cursor *c, struct arena *a, const struct record *r, void *obj)
{
    if (msgpack_get_nil(c)) {
        memset(obj, 0, r->size);
    } else if (r->codec) {
        if (!enter(c)) return;
        if (r->codec->decode(c, a, obj)) return;
        leave(c);
    } else if (r->flags & RECORD_RAW) {
        decode_wrapped(c, a, r, token_next(c), obj);
    } else {
        decode_fields(c, a, r, token_next(c), obj);
    }
}

static void decode_pointer(struct cursor *c, struct arena *a, const struct record *r, void **out)
{
    *out = NULL;
    if (msgpack_get_nil(c) || c->code || !charge(c, r->size)) return;
    *out = arena_alloc(a, r->size);
    decode_record(c, a, r, *out);
}

static void decode_list(
    struct cursor *c, struct arena *a, const struct type *elem, struct list *out)
{
    struct token t = token_next(c);
    *out = (struct list){ 0 };
    if (t.kind == TOKEN_NIL || c->code) return;
    if (t.kind != TOKEN_ARRAY && t.kind != TOKEN_MAP) {
        token_refuse(c, t);
        return;
    }
    if (!enter(c)) return;
    /* A map for a list is its keys and values in turn. */
    size_t n = t.kind == TOKEN_MAP ? 2 * (size_t)t.n : t.n;
    char *v = collection_empty;
    for (size_t i = 0; i < n && !c->code; i++) {
        v = make_room(c, a, v, i, n, elem->size, &out->cap);
        if (!v) break;
        decode(c, a, elem, 0, v + i * elem->size);
        out->n = i + 1;
    }
    out->v = v;
    if (!v) *out = (struct list){ 0 };
    leave(c);
}

static void decode_dict(
    struct cursor *c, struct arena *a, const struct type *elem, struct dict *out)
{
    struct token t = token_next(c);
    *out = (struct dict){ 0 };
    if (t.kind == TOKEN_NIL || c->code) return;
    if (t.kind != TOKEN_MAP) {
        token_refuse(c, t);
        return;
    }
    if (!enter(c)) return;
    size_t stride = dict_stride(elem);
    char *v = collection_empty;
    for (size_t i = 0; i < t.n && !c->code; i++) {
        v = make_room(c, a, v, i, t.n, stride, &out->cap);
        if (!v) break;
        char *entry = v + i * stride;
        *(struct str *)(void *)entry = msgpack_get_str(c);
        decode(c, a, elem, 0, entry + sizeof(struct str));
        out->n = i + 1;
    }
    out->v = v;
    if (!v) *out = (struct dict){ 0 };
    if (!c->code) dict_unique(out, elem);
    leave(c);
}

/* --- scalars ------------------------------------------------------------------------------- */

static double decode_float(struct cursor *c, struct token t)
{
    if (t.kind == TOKEN_F32 || t.kind == TOKEN_F64) return t.f;
    if (t.kind == TOKEN_UINT) return (double)t.u;
    return (double)token_int(c, t, 64);
}

/* Bytes may also come as a list of small integers. */
static struct str decode_octets(struct cursor *c, struct arena *a, struct token t)
{
    if (!charge(c, t.n)) return STR_NIL;
    char *p = arena_alloc(a, t.n);
    for (uint32_t i = 0; i < t.n && !c->code; i++)
        p[i] = (char)(uint8_t)token_uint(c, token_next(c), 8);
    return c->code ? STR_NIL : (struct str){ p, t.n };
}

static struct str decode_bytes(struct cursor *c, struct token t, bool bin)
{
    if (t.kind == TOKEN_RAW || (bin && t.kind == TOKEN_BIN)) return token_str(t);
    if (t.kind != TOKEN_NIL && !c->code) token_refuse(c, t);
    return STR_NIL;
}

static struct str decode_bytes_or_octets(struct cursor *c, struct arena *a, struct token t)
{
    return t.kind == TOKEN_ARRAY ? decode_octets(c, a, t) : decode_bytes(c, t, true);
}

static uint64_t time_number(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static struct gotime decode_time(struct cursor *c, struct token t)
{
    if (t.kind == TOKEN_NIL || t.kind == TOKEN_NONE) return GOTIME_ZERO;
    struct str s = decode_bytes(c, t, true);
    if (c->code) return GOTIME_ZERO;
    const uint8_t *p = (const uint8_t *)s.p;
    if (s.n == 0) {
        cursor_fail(c, ERR_DECODE, "codec.decoder: Time.UnmarshalBinary: no data");
    } else if (p[0] != 1 && p[0] != 2) {
        cursor_fail(c, ERR_DECODE, "codec.decoder: Time.UnmarshalBinary: unsupported version");
    } else if (s.n != (p[0] == 1 ? 15 : 16)) {
        cursor_fail(c, ERR_DECODE, "codec.decoder: Time.UnmarshalBinary: invalid length");
    } else {
        return (struct gotime){ (int64_t)time_number(p + 1, 8),
            (int32_t)(uint32_t)time_number(p + 9, 4), (int16_t)(uint16_t)time_number(p + 13, 2) };
    }
    return GOTIME_ZERO;
}

static void decode(
    struct cursor *c, struct arena *a, const struct type *t, unsigned bits, void *obj)
{
    switch (t->kind) {
    case KIND_BOOL:
        *(bool *)obj = token_bool(c, token_next(c));
        break;
    case KIND_INT:
    case KIND_DUR:
        *(int64_t *)obj = token_int(c, token_next(c), bits);
        break;
    case KIND_UINT:
        *(uint64_t *)obj = token_uint(c, token_next(c), bits);
        break;
    case KIND_F32:
        *(float *)obj = (float)decode_float(c, token_next(c));
        break;
    case KIND_F64:
        *(double *)obj = decode_float(c, token_next(c));
        break;
    case KIND_STR:
        *(struct str *)obj = decode_bytes(c, token_next(c), false);
        break;
    case KIND_BYTES:
        *(struct str *)obj = decode_bytes_or_octets(c, a, token_next(c));
        break;
    case KIND_TIME:
        *(struct gotime *)obj = decode_time(c, token_next(c));
        break;
    case KIND_ANY:
        decode_value(c, a, obj);
        break;
    case KIND_REC:
        decode_record(c, a, t->record, obj);
        break;
    case KIND_PTR:
        decode_pointer(c, a, t->record, obj);
        break;
    case KIND_LIST:
        decode_list(c, a, t->elem, obj);
        break;
    case KIND_MAP:
        decode_dict(c, a, t->elem, obj);
        break;
    }
}

int msgpack_decode(struct cursor *c, struct arena *a, const struct type *t, void *obj)
{
    decode(c, a, t, 0, obj);
    return c->code;
}
