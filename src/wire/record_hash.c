/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "collection.h"

#define FNV_OFFSET UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

static uint64_t fnv(const void *p, size_t n)
{
    const uint8_t *b = p;
    uint64_t h = FNV_OFFSET;
    for (size_t i = 0; i < n; i++)
        h = h * FNV_PRIME ^ b[i];
    return h;
}

static void put(uint8_t *out, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(v >> (8 * i));
}

uint64_t record_hash_text(struct str s)
{
    return fnv(s.p, s.n);
}

uint64_t record_hash_number(uint64_t v)
{
    uint8_t bytes[8];
    put(bytes, v);
    return fnv(bytes, sizeof bytes);
}

uint64_t record_hash_pair(uint64_t a, uint64_t b)
{
    uint8_t bytes[16];
    put(bytes, a);
    put(bytes + 8, b);
    return fnv(bytes, sizeof bytes);
}

static uint64_t hash_bool(bool b)
{
    return fnv(&(char){ b }, 1);
}

static uint64_t hash_f64(double f)
{
    uint64_t bits;
    memcpy(&bits, &f, sizeof bits);
    return record_hash_number(bits);
}

static uint64_t hash_f32(float f)
{
    uint8_t bytes[8];
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    put(bytes, bits);
    return fnv(bytes, sizeof bits);
}

static uint64_t hash_octets(struct str s)
{
    uint64_t h = 0;
    for (size_t i = 0; i < s.n; i++)
        h = record_hash_pair(h, fnv(s.p + i, 1));
    return h;
}

static uint64_t hash_value(const struct value *v)
{
    uint64_t h = 0;
    switch (v->kind) {
    case V_NIL: /* not that of 0 */
        return 1;
    case V_BOOL:
        return hash_bool(v->b);
    case V_INT:
        return record_hash_number((uint64_t)v->i);
    case V_UINT:
        return record_hash_number(v->u);
    case V_FLOAT:
        return hash_f64(v->f);
    case V_FLOAT32:
        return hash_f32((float)v->f);
    case V_NUMBER:
    case V_STR:
        return record_hash_text(v->s);
    case V_BYTES:
        return hash_octets(v->s);
    case V_LIST:
        if (v->list.n == 0) return 2; /* not that of an empty map */
        for (size_t i = 0; i < v->list.n; i++)
            h = record_hash_pair(h, hash_value(&v->list.v[i]));
        return h;
    case V_MAP:
        for (size_t i = 0; i < v->map.n; i++)
            h ^=
                record_hash_pair(record_hash_text(v->map.v[i].key), hash_value(&v->map.v[i].value));
        return h;
    }
    return h;
}

static uint64_t hash_fields(
    const struct record *r, const void *obj, const struct record_hash_name *names)
{
    const struct record_hash_name *own = names;
    while (own->type && own->type->record != r)
        own++;
    uint64_t h = record_hash_text(str_of(own->type ? own->name : r->name));
    for (uint16_t i = 0; i < r->n; i++) {
        const struct field *f = &r->fields[i];
        const void *member = (const char *)obj + f->offset;
        bool nil_map = f->flags & ANY_MAP && ((const struct value *)member)->kind == V_NIL;
        uint64_t value = nil_map ? 0 : record_hash(f->type, member, names);
        h ^= record_hash_pair(record_hash_text(str_of(f->name)), value);
    }
    if (own->type && own->nil)
        h ^= record_hash_pair(record_hash_text(str_of(own->nil)), record_hash_number(0));
    return h;
}

static uint64_t hash_list(
    const struct type *elem, const struct list *l, const struct record_hash_name *names)
{
    uint64_t h = 0;
    for (size_t i = 0; i < l->n; i++)
        h = record_hash_pair(h, record_hash(elem, (char *)l->v + i * elem->size, names));
    return h;
}

static uint64_t hash_dict(
    const struct type *elem, const struct dict *d, const struct record_hash_name *names)
{
    uint64_t h = 0;
    for (size_t i = 0; i < d->n; i++)
        h ^= record_hash_pair(
            record_hash_text(dict_key(d, elem, i)), record_hash(elem, dict_at(d, elem, i), names));
    return h;
}

uint64_t record_hash(const struct type *t, const void *obj, const struct record_hash_name *names)
{
    switch (t->kind) {
    case KIND_BOOL:
        return hash_bool(*(const bool *)obj);
    case KIND_INT:
    case KIND_DUR:
    case KIND_UINT:
        return record_hash_number(*(const uint64_t *)obj);
    case KIND_F32:
        return hash_f32(*(const float *)obj);
    case KIND_F64:
        return hash_f64(*(const double *)obj);
    case KIND_STR:
        return record_hash_text(*(const struct str *)obj);
    case KIND_BYTES:
        return hash_octets(*(const struct str *)obj);
    case KIND_TIME: {
        const struct gotime *g = obj;
        return record_hash_pair((uint64_t)g->sec, (uint64_t)g->nsec);
    }
    case KIND_ANY:
        return hash_value(obj);
    case KIND_REC:
        return hash_fields(t->record, obj, names);
    case KIND_PTR: {
        const void *p = *(void *const *)obj;
        return p ? hash_fields(t->record, p, names) : record_hash_number(0);
    }
    case KIND_LIST:
        return hash_list(t->elem, obj, names);
    case KIND_MAP:
        return hash_dict(t->elem, obj, names);
    }
    return 0;
}
