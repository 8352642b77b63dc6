/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "collection.h"
#include "consuld/wire/msgpack.h"
#include "number.h"

/* Widest head. */
#define RAW_HEAD_MAX 5

static void put_byte(struct buf *out, uint8_t b)
{
    uint8_t *p = buf_reserve(out, 1);
    if (!p) return;
    *p = b;
    out->n++;
}

/* A descriptor byte and a big-endian number of `size` bytes. */
static void put_number(struct buf *out, uint8_t head, uint64_t v, size_t size)
{
    uint8_t *p = buf_reserve(out, size + 1);
    if (!p) return;
    *p++ = head;
    for (size_t i = size; i > 0; i--)
        *p++ = (uint8_t)(v >> 8 * (i - 1));
    out->n += size + 1;
}

void msgpack_put_uint(struct buf *out, uint64_t v)
{
    if (v < 0x80) {
        put_byte(out, (uint8_t)v);
    } else if (v <= UINT8_MAX) {
        put_number(out, 0xcc, v, 1);
    } else if (v <= UINT16_MAX) {
        put_number(out, 0xcd, v, 2);
    } else if (v <= UINT32_MAX) {
        put_number(out, 0xce, v, 4);
    } else {
        put_number(out, 0xcf, v, 8);
    }
}

void msgpack_put_int(struct buf *out, int64_t v)
{
    uint64_t bits = (uint64_t)v;
    if (v >= 0) {
        msgpack_put_uint(out, bits);
    } else if (v >= -32) {
        put_byte(out, (uint8_t)bits);
    } else if (v >= INT8_MIN) {
        put_number(out, 0xd0, bits, 1);
    } else if (v >= INT16_MIN) {
        put_number(out, 0xd1, bits, 2);
    } else if (v >= INT32_MIN) {
        put_number(out, 0xd2, bits, 4);
    } else {
        put_number(out, 0xd3, bits, 8);
    }
}

void msgpack_put_bool(struct buf *out, bool v)
{
    put_byte(out, v ? 0xc3 : 0xc2);
}

void msgpack_put_nil(struct buf *out)
{
    put_byte(out, 0xc0);
}

void msgpack_put_f64(struct buf *out, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_number(out, 0xcb, bits, 8);
}

static void put_f32(struct buf *out, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_number(out, 0xca, bits, 4);
}

/* Old raw form: there is no head with a length of one byte. */
static void put_raw_head(struct buf *out, size_t n)
{
    if (n < 32) {
        put_byte(out, (uint8_t)(0xa0 | n));
    } else if (n <= UINT16_MAX) {
        put_number(out, 0xda, n, 2);
    } else {
        put_number(out, 0xdb, n, 4);
    }
}

void msgpack_put_str(struct buf *out, struct str s)
{
    put_raw_head(out, s.n);
    if (s.n) buf_put(out, s.p, s.n);
}

void msgpack_put_bytes(struct buf *out, struct str s)
{
    if (s.p) {
        msgpack_put_str(out, s);
    } else {
        msgpack_put_nil(out);
    }
}

static void put_count(struct buf *out, uint32_t n, uint8_t fix, uint8_t head)
{
    if (n < 16) {
        put_byte(out, (uint8_t)(fix | n));
    } else if (n <= UINT16_MAX) {
        put_number(out, head, n, 2);
    } else {
        put_number(out, (uint8_t)(head + 1), n, 4);
    }
}

void msgpack_put_map(struct buf *out, uint32_t n)
{
    put_count(out, n, 0x80, 0xde);
}

void msgpack_put_array(struct buf *out, uint32_t n)
{
    put_count(out, n, 0x90, 0xdc);
}

size_t msgpack_raw_begin(struct buf *out)
{
    size_t begin = out->n;
    if (buf_reserve(out, RAW_HEAD_MAX)) out->n += RAW_HEAD_MAX;
    return begin;
}

void msgpack_raw_end(struct buf *out, size_t begin)
{
    if (out->overflow) return;
    size_t n = out->n - begin - RAW_HEAD_MAX;
    size_t head = n < 32 ? 1 : n <= UINT16_MAX ? 3 : 5;
    out->n = begin;
    put_raw_head(out, n);
    memmove(out->p + begin + head, out->p + begin + RAW_HEAD_MAX, n);
    out->n += n;
}

/* --- values -------------------------------------------------------------------------------- */

void msgpack_encode_value(const struct value *v, struct buf *out)
{
    switch (v->kind) {
    case V_NIL:
        msgpack_put_nil(out);
        break;
    case V_BOOL:
        msgpack_put_bool(out, v->b);
        break;
    case V_INT:
        msgpack_put_int(out, v->i);
        break;
    case V_UINT:
        msgpack_put_uint(out, v->u);
        break;
    case V_FLOAT:
        msgpack_put_f64(out, v->f);
        break;
    case V_FLOAT32:
        put_f32(out, (float)v->f);
        break;
    case V_NUMBER:
        msgpack_put_f64(out, number_value(v->s));
        break;
    case V_STR:
    case V_BYTES:
        msgpack_put_str(out, v->s);
        break;
    case V_LIST:
        msgpack_put_array(out, (uint32_t)v->list.n);
        for (size_t i = 0; i < v->list.n; i++)
            msgpack_encode_value(&v->list.v[i], out);
        break;
    case V_MAP:
        msgpack_put_map(out, (uint32_t)v->map.n);
        for (size_t i = 0; i < v->map.n; i++) {
            msgpack_put_str(out, v->map.v[i].key);
            msgpack_encode_value(&v->map.v[i].value, out);
        }
        break;
    }
}

/* --- records ------------------------------------------------------------------------------- */

static void encode_time(const struct gotime *t, struct buf *out)
{
    uint8_t *p = buf_reserve(out, 16);
    if (!p) return;
    uint64_t sec = (uint64_t)t->sec;
    uint32_t nsec = (uint32_t)t->nsec;
    uint16_t offset = (uint16_t)(gotime_is_zero(*t) ? -1 : t->offset_min);
    *p++ = 0xaf;
    *p++ = 1;
    for (int shift = 56; shift >= 0; shift -= 8)
        *p++ = (uint8_t)(sec >> shift);
    for (int shift = 24; shift >= 0; shift -= 8)
        *p++ = (uint8_t)(nsec >> shift);
    *p++ = (uint8_t)(offset >> 8);
    *p = (uint8_t)offset;
    out->n += 16;
}

static bool left_out(const struct field *f, const void *obj)
{
    if (f->flags & WIRE_SKIP) return true;
    return (f->flags & WIRE_OMIT) && record_is_empty(f->type, (const char *)obj + f->offset);
}

static uint32_t wire_fields(const struct record *r, const void *obj)
{
    uint32_t n = 0;
    for (uint16_t i = 0; i < r->n; i++)
        n += !left_out(&r->fields[i], obj);
    return n;
}

static void encode_fields(const struct record *r, const void *obj, struct buf *out)
{
    if (r->codec) {
        r->codec->encode(obj, out);
        return;
    }
    size_t begin = r->flags & RECORD_RAW ? msgpack_raw_begin(out) : 0;
    msgpack_put_map(out, wire_fields(r, obj));
    for (uint16_t i = 0; i < r->n; i++) {
        const struct field *f = &r->fields[r->sorted[i]];
        if (left_out(f, obj)) continue;
        const void *member = (const char *)obj + f->offset;
        msgpack_put_str(out, str_of(f->name));
        if ((f->flags & TIME_PTR) && gotime_is_zero(*(const struct gotime *)member)) {
            msgpack_put_nil(out);
        } else {
            msgpack_encode(f->type, member, out);
        }
    }
    if (r->flags & RECORD_RAW) msgpack_raw_end(out, begin);
}

static void encode_list(const struct type *elem, const struct list *l, struct buf *out)
{
    if (!l->v) {
        msgpack_put_nil(out);
        return;
    }
    msgpack_put_array(out, (uint32_t)l->n);
    for (size_t i = 0; i < l->n; i++)
        msgpack_encode(elem, (const char *)l->v + i * elem->size, out);
}

static void encode_dict(const struct type *elem, const struct dict *d, struct buf *out)
{
    if (!d->v) {
        msgpack_put_nil(out);
        return;
    }
    msgpack_put_map(out, (uint32_t)d->n);
    for (size_t i = 0; i < d->n; i++) {
        msgpack_put_str(out, dict_key(d, elem, i));
        msgpack_encode(elem, dict_at(d, elem, i), out);
    }
}

static void encode_pointer(const struct record *r, const void *obj, struct buf *out)
{
    if (obj) {
        encode_fields(r, obj, out);
    } else {
        msgpack_put_nil(out);
    }
}

void msgpack_encode(const struct type *t, const void *obj, struct buf *out)
{
    switch (t->kind) {
    case KIND_BOOL:
        msgpack_put_bool(out, *(const bool *)obj);
        break;
    case KIND_INT:
    case KIND_DUR:
        msgpack_put_int(out, *(const int64_t *)obj);
        break;
    case KIND_UINT:
        msgpack_put_uint(out, *(const uint64_t *)obj);
        break;
    case KIND_F32:
        put_f32(out, *(const float *)obj);
        break;
    case KIND_F64:
        msgpack_put_f64(out, *(const double *)obj);
        break;
    case KIND_STR:
        msgpack_put_str(out, *(const struct str *)obj);
        break;
    case KIND_BYTES:
        msgpack_put_bytes(out, *(const struct str *)obj);
        break;
    case KIND_TIME:
        encode_time(obj, out);
        break;
    case KIND_ANY:
        msgpack_encode_value(obj, out);
        break;
    case KIND_REC:
        encode_fields(t->record, obj, out);
        break;
    case KIND_PTR:
        encode_pointer(t->record, *(void *const *)obj, out);
        break;
    case KIND_LIST:
        encode_list(t->elem, obj, out);
        break;
    case KIND_MAP:
        encode_dict(t->elem, obj, out);
        break;
    }
}
