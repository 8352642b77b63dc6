/* SPDX-License-Identifier: Apache-2.0 */
#include "pack.h"

#include <string.h>

#define PACK_ANY_MAX (64u << 20)

static uint64_t zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static bool own_form(const struct type *t)
{
    return t->kind == KIND_ANY || (t->kind == KIND_REC && t->record->codec);
}

/* --- writing ------------------------------------------------------------------------------- */

static void put_varint(struct buf *out, uint64_t v)
{
    uint8_t *p = buf_reserve(out, 10);
    if (!p) return;
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        p[n++] = (uint8_t)(v | 0x80);
    p[n++] = (uint8_t)v;
    out->n += n;
}

static void put_bytes(struct buf *out, struct str s)
{
    put_varint(out, s.p ? s.n + 1 : 0);
    buf_put_str(out, s);
}

static void put_fields(const struct record *r, const void *obj, struct buf *out)
{
    for (uint16_t i = 0; i < r->n; i++)
        if (!(r->fields[i].flags & WIRE_SKIP))
            pack_value(r->fields[i].type, (const char *)obj + r->fields[i].offset, out);
}

static void put_list(const struct type *elem, const struct list *l, struct buf *out)
{
    put_varint(out, l->v ? l->n + 1 : 0);
    for (size_t i = 0; l->v && i < l->n; i++)
        pack_value(elem, (const char *)l->v + i * elem->size, out);
}

static void put_dict(const struct type *elem, const struct dict *d, struct buf *out)
{
    put_varint(out, d->v ? d->n + 1 : 0);
    for (size_t i = 0; d->v && i < d->n; i++) {
        put_bytes(out, dict_key(d, elem, i));
        pack_value(elem, dict_at(d, elem, i), out);
    }
}

static void put_msgpack(const struct type *t, const void *obj, struct buf *out)
{
    struct buf bytes = BUF_INIT(PACK_ANY_MAX);
    msgpack_encode(t, obj, &bytes);
    out->overflow |= bytes.overflow;
    put_bytes(out, (struct str){ bytes.p ? (char *)bytes.p : "", bytes.n });
    buf_deinit(&bytes);
}

static void put_double(struct buf *out, double v)
{
    buf_put(out, &v, sizeof v);
}

void pack_value(const struct type *t, const void *obj, struct buf *out)
{
    if (own_form(t)) {
        put_msgpack(t, obj, out);
        return;
    }
    switch (t->kind) {
    case KIND_BOOL:
        buf_put_char(out, *(const bool *)obj);
        break;
    case KIND_INT:
    case KIND_DUR:
        put_varint(out, zigzag(*(const int64_t *)obj));
        break;
    case KIND_UINT:
        put_varint(out, *(const uint64_t *)obj);
        break;
    case KIND_F32:
        put_double(out, *(const float *)obj);
        break;
    case KIND_F64:
        put_double(out, *(const double *)obj);
        break;
    case KIND_STR:
    case KIND_BYTES:
        put_bytes(out, *(const struct str *)obj);
        break;
    case KIND_TIME: {
        const struct gotime *time = obj;
        put_varint(out, zigzag(time->sec));
        put_varint(out, zigzag(time->nsec));
        put_varint(out, zigzag(time->offset_min));
        break;
    }
    case KIND_REC:
        put_fields(t->record, obj, out);
        break;
    case KIND_PTR: {
        const void *to = *(void *const *)obj;
        buf_put_char(out, to != NULL);
        if (to) put_fields(t->record, to, out);
        break;
    }
    case KIND_LIST:
        put_list(t->elem, obj, out);
        break;
    case KIND_MAP:
        put_dict(t->elem, obj, out);
        break;
    case KIND_ANY:
        break;
    }
}

/* --- reading ------------------------------------------------------------------------------- */

/* Sticky: after the first failure everything reads as zero. */
struct unpacking {
    const uint8_t *p, *end;
    struct arena *a;
    bool bad;
};

static void value(struct unpacking *u, const struct type *t, void *obj);

static uint64_t varint(struct unpacking *u)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && u->p < u->end; shift += 7) {
        uint8_t byte = *u->p++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return v;
    }
    u->bad = true;
    return 0;
}

static const void *raw(struct unpacking *u, size_t n)
{
    static const uint8_t zero[sizeof(double)];
    if (n > (size_t)(u->end - u->p)) {
        u->bad = true;
        return zero;
    }
    const void *p = u->p;
    u->p += n;
    return p;
}

static struct str bytes(struct unpacking *u)
{
    uint64_t n = varint(u);
    if (!n) return STR_NIL;
    if (n - 1 > (uint64_t)(u->end - u->p)) {
        u->bad = true;
        return STR_NIL;
    }
    return (struct str){ raw(u, (size_t)n - 1), (size_t)n - 1 };
}

/* Count of elements, each of at least one byte; -1: nil. */
static ptrdiff_t count(struct unpacking *u)
{
    uint64_t n = varint(u);
    if (n && n - 1 > (uint64_t)(u->end - u->p)) u->bad = true;
    return u->bad ? -1 : (ptrdiff_t)n - 1;
}

static void fields(struct unpacking *u, const struct record *r, void *obj)
{
    memset(obj, 0, r->size);
    for (uint16_t i = 0; i < r->n; i++)
        if (!(r->fields[i].flags & WIRE_SKIP))
            value(u, r->fields[i].type, (char *)obj + r->fields[i].offset);
}

static void list(struct unpacking *u, const struct type *elem, struct list *l)
{
    ptrdiff_t n = count(u);
    *l = (struct list){ 0 };
    if (n < 0) return;
    *l = (struct list){ .v = n ? arena_array(u->a, (size_t)n, elem->size) : collection_empty,
        .n = (size_t)n };
    for (size_t i = 0; i < l->n && !u->bad; i++)
        value(u, elem, (char *)l->v + i * elem->size);
}

static void dict(struct unpacking *u, const struct type *elem, struct dict *d)
{
    ptrdiff_t n = count(u);
    *d = (struct dict){ 0 };
    if (n < 0) return;
    struct dict probe = { .v = collection_empty };
    size_t stride = (size_t)((char *)dict_at(&probe, elem, 1) - (char *)dict_at(&probe, elem, 0));
    *d = (struct dict){ .v = n ? arena_array(u->a, (size_t)n, stride) : collection_empty,
        .n = (size_t)n };
    for (size_t i = 0; i < d->n && !u->bad; i++) {
        *(struct str *)(void *)((char *)d->v + i * stride) = bytes(u);
        value(u, elem, dict_at(d, elem, i));
    }
}

static void pointer(struct unpacking *u, const struct record *r, void **to)
{
    *to = NULL;
    if (!*(const uint8_t *)raw(u, 1) || u->bad) return;
    *to = arena_alloc(u->a, r->size);
    fields(u, r, *to);
}

static void msgpack(struct unpacking *u, const struct type *t, void *obj)
{
    struct str s = bytes(u);
    struct cursor c;
    memset(obj, 0, t->size);
    cursor_init(&c, s.p, s.n, NULL);
    if (u->bad || msgpack_decode(&c, u->a, t, obj) != 0) u->bad = true;
}

static double real(struct unpacking *u)
{
    double v;
    memcpy(&v, raw(u, sizeof v), sizeof v);
    return v;
}

static void value(struct unpacking *u, const struct type *t, void *obj)
{
    if (own_form(t)) {
        msgpack(u, t, obj);
        return;
    }
    switch (t->kind) {
    case KIND_BOOL:
        *(bool *)obj = *(const uint8_t *)raw(u, 1) != 0;
        break;
    case KIND_INT:
    case KIND_DUR:
        *(int64_t *)obj = unzigzag(varint(u));
        break;
    case KIND_UINT:
        *(uint64_t *)obj = varint(u);
        break;
    case KIND_F32:
        *(float *)obj = (float)real(u);
        break;
    case KIND_F64:
        *(double *)obj = real(u);
        break;
    case KIND_STR:
    case KIND_BYTES:
        *(struct str *)obj = bytes(u);
        break;
    case KIND_TIME: {
        struct gotime *time = obj;
        time->sec = unzigzag(varint(u));
        time->nsec = (int32_t)unzigzag(varint(u));
        time->offset_min = (int16_t)unzigzag(varint(u));
        break;
    }
    case KIND_REC:
        fields(u, t->record, obj);
        break;
    case KIND_PTR:
        pointer(u, t->record, obj);
        break;
    case KIND_LIST:
        list(u, t->elem, obj);
        break;
    case KIND_MAP:
        dict(u, t->elem, obj);
        break;
    case KIND_ANY:
        break;
    }
}

bool unpack_value(const struct type *t, struct str s, struct arena *a, void *obj)
{
    struct unpacking u = { .p = (const uint8_t *)s.p, .end = (const uint8_t *)s.p + s.n, .a = a };
    value(&u, t, obj);
    return !u.bad && u.p == u.end;
}

/* --- fingerprint --------------------------------------------------------------------------- */

/* Records may contain each other: deeper ones count by their name alone. */
#define FINGERPRINT_DEPTH 5

static uint64_t fold(uint64_t h, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const uint8_t *)p)[i]) * UINT64_C(0x100000001b3);
    return h;
}

static uint64_t shape(uint64_t h, const struct type *t, int depth)
{
    uint8_t kind = (uint8_t)t->kind;
    h = fold(h, &kind, 1);
    if (t->elem) return shape(h, t->elem, depth);
    if (!t->record) return h;
    const struct record *r = t->record;
    h = fold(h, r->name, strlen(r->name));
    for (uint16_t i = 0; i < r->n && depth > 0; i++) {
        h = fold(h, r->fields[i].name, strlen(r->fields[i].name));
        h = shape(h, r->fields[i].type, depth - 1);
    }
    return h;
}

uint64_t pack_fingerprint(uint64_t seed, const struct type *t)
{
    return shape(seed ^ UINT64_C(0xcbf29ce484222325), t, FINGERPRINT_DEPTH);
}
