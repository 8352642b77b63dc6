/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/model/config_entry.h"

#include "consuld/model/loose.h"
#include "consuld/wire/msgpack.h"
#include "records.h"

struct entry_kind {
    struct str kind;
    const struct type *type;
    size_t member; /* offset of the pointer in struct config_entry */
};

#define ENTRY_PTR(r) &type_##r
#define ENTRY_ROW(S, member, pointer, name, ...) \
    { { name, sizeof name - 1 }, ENTRY_##pointer, offsetof(struct S, member) },
static const struct entry_kind entry_kinds[] = { CONFIG_ENTRY_FIELDS(ENTRY_ROW, config_entry) };
#define ENTRY_KINDS (sizeof entry_kinds / sizeof entry_kinds[0])

static const struct entry_kind *kind_find(struct str kind)
{
    for (size_t i = 0; i < ENTRY_KINDS; i++) {
        if (str_eq(entry_kinds[i].kind, kind)) return &entry_kinds[i];
    }
    return NULL;
}

static void **member_of(const struct config_entry *e, const struct entry_kind *k)
{
    return (void **)(void *)((char *)(uintptr_t)e + k->member);
}

static const struct entry_kind *kind_of(const struct config_entry *e)
{
    for (size_t i = 0; i < ENTRY_KINDS; i++) {
        if (*member_of(e, &entry_kinds[i])) return &entry_kinds[i];
    }
    return NULL;
}

const struct type *config_entry_type(struct str kind)
{
    const struct entry_kind *k = kind_find(kind);
    return k ? k->type : NULL;
}

struct str config_entry_kind_at(size_t i)
{
    return i < ENTRY_KINDS ? entry_kinds[i].kind : STR_NIL;
}

bool config_entry_is_set(const struct config_entry *e)
{
    return kind_of(e) != NULL;
}

static void *field_at(const struct type *t, void *entry, const char *go_name)
{
    const struct field *f = record_field(t->record, str_of(go_name));
    ensure(f);
    return (char *)entry + f->offset;
}

struct config_entry_ref config_entry_ref(const struct config_entry *e)
{
    const struct entry_kind *k = kind_of(e);
    ensure(k);
    void *entry = *member_of(e, k);
    return (struct config_entry_ref){
        .kind = k->kind,
        .type = k->type,
        .entry = entry,
        .name = field_at(k->type, entry, "Name"),
        .meta = field_at(k->type, entry, "Meta"),
        .create_index = field_at(k->type, entry, "CreateIndex"),
        .modify_index = field_at(k->type, entry, "ModifyIndex"),
    };
}

static void *make(struct arena *a, const struct entry_kind *k, struct config_entry *out)
{
    *out = (struct config_entry){ 0 };
    void *entry = arena_alloc(a, k->type->size);
    *(struct str *)field_at(k->type, entry, "Kind") = k->kind;
    *member_of(out, k) = entry;
    return entry;
}

bool config_entry_make(struct arena *a, struct str kind, struct config_entry *out)
{
    const struct entry_kind *k = kind_find(kind);
    if (!k) return false;
    make(a, k, out);
    return true;
}

int config_entry_read(
    const struct value *v, struct arena *a, struct config_entry *out, struct error *err)
{
    *out = (struct config_entry){ 0 };
    const struct value *kind = NULL;
    if (v->kind == V_MAP) {
        kind = value_get(v, STR("kind"));
        if (!kind) kind = value_get(v, STR("Kind"));
    } else if (v->kind != V_NIL) {
        return error_set(err, ERR_BAD_REQUEST, "'' expected a map, got '%s'", value_go_kind(v));
    }
    if (!kind) {
        return error_set(
            err, ERR_BAD_REQUEST, "Payload does not contain a kind/Kind key at the top level");
    }
    if (kind->kind != V_STR) {
        return error_set(err, ERR_BAD_REQUEST, "Kind value in payload is not a string");
    }
    const struct entry_kind *k = kind_find(kind->s);
    if (!k) {
        return error_set(err, ERR_BAD_REQUEST, "invalid config entry kind: %.*s", STR_ARG(kind->s));
    }
    return loose_read(v, a, k->type, make(a, k, out), err);
}

/* --- carriers: one raw whose content is a sequence of values (rpc.md 5.4) ------------------- */

static struct str kind_text(const struct config_entry *e)
{
    const struct entry_kind *k = kind_of(e);
    return k ? k->kind : STR("");
}

static void put_entry(const struct config_entry *e, struct buf *out)
{
    const struct entry_kind *k = kind_of(e);
    if (!k) {
        msgpack_put_nil(out);
        return;
    }
    msgpack_encode(k->type, *member_of(e, k), out);
}

static void put_field(struct buf *out, const char *name)
{
    msgpack_put_str(out, str_of(name));
}

/* Kind of the entry that comes next by its own words; only proxy-defaults is a raw. */
static struct str kind_inside(const struct cursor *c, struct arena *a)
{
    struct cursor ahead = *c;
    struct value v = { 0 };
    ahead.err = NULL;
    if (msgpack_decode_value(&ahead, a, &v) != ERR_OK) return STR_NIL;
    if (v.kind == V_STR) return STR("proxy-defaults");
    const struct value *kind = value_get(&v, STR("Kind"));
    return kind && kind->kind == V_STR ? kind->s : STR_NIL;
}

/* Decodes one entry of the kind named; a nil leaves *e unset. A list of all kinds names none. */
static int get_entry(struct cursor *c, struct arena *a, struct str kind, struct config_entry *e)
{
    *e = (struct config_entry){ 0 };
    if (msgpack_get_nil(c)) return c->code;
    if (kind.n == 0) kind = kind_inside(c, a);
    const struct entry_kind *k = kind_find(kind);
    if (!k) return cursor_fail(c, ERR_DECODE, "invalid config entry kind: %.*s", STR_ARG(kind));
    return msgpack_decode(c, a, k->type, make(a, k, e));
}

/* A cursor over the content of the raw that comes next, under the budgets of the outer one. */
static struct cursor raw_open(struct cursor *c)
{
    struct str raw = msgpack_get_str(c);
    struct cursor inner = *c;
    inner.start = inner.p = (const uint8_t *)raw.p;
    inner.end = inner.p ? inner.p + raw.n : inner.p;
    if (c->depth_max > 0) inner.depth_max = c->depth_max - 1;
    return inner;
}

/* Steps back out: what the content used up of the budgets is gone for the outer cursor too. */
static int raw_close(struct cursor *c, const struct cursor *inner)
{
    struct cursor outer = *inner;
    outer.p = c->p;
    outer.end = c->end;
    outer.start = c->start;
    outer.depth_max = c->depth_max;
    outer.code = c->code;
    /* A raw that ends early is malformed: more bytes behind it will not help. */
    if (c->code == ERR_OK && inner->code != ERR_OK) outer.code = ERR_DECODE;
    *c = outer;
    return c->code;
}

static void request_encode(const void *obj, struct buf *out)
{
    const struct config_entry_request *r = obj;
    size_t raw = msgpack_raw_begin(out);
    msgpack_put_str(out, kind_text(&r->entry));
    msgpack_put_map(out, 4);
    put_field(out, "Datacenter");
    msgpack_put_str(out, r->datacenter);
    put_field(out, "Entry");
    put_entry(&r->entry, out);
    put_field(out, "Op");
    msgpack_put_str(out, r->op);
    put_field(out, "Token");
    msgpack_put_str(out, r->token);
    msgpack_raw_end(out, raw);
}

static int request_decode(struct cursor *c, struct arena *a, void *obj)
{
    struct config_entry_request *r = obj;
    struct cursor in = raw_open(c);
    struct str kind = msgpack_get_str(&in);
    uint32_t n = msgpack_get_map(&in);
    for (uint32_t i = 0; i < n && in.code == ERR_OK; i++) {
        struct str key = msgpack_get_str(&in);
        if (str_is(key, "Datacenter")) {
            r->datacenter = msgpack_get_str(&in);
        } else if (str_is(key, "Entry")) {
            if (get_entry(&in, a, kind, &r->entry) != ERR_OK) break;
        } else if (str_is(key, "Op")) {
            r->op = msgpack_get_str(&in);
        } else if (str_is(key, "Token")) {
            r->token = msgpack_get_str(&in);
        } else if (msgpack_skip(&in) != ERR_OK) {
            break;
        }
    }
    return raw_close(c, &in);
}

const struct record_codec config_entry_request_codec = { request_encode, request_decode };

/* The QueryMeta members of the carriers are not laid out alike: they go through a copy. */
#define META_OF(r) \
    ((struct query_meta){ .index = (r)->index, \
        .last_contact = (r)->last_contact, \
        .known_leader = (r)->known_leader, \
        .consistency_level = (r)->consistency_level })
#define META_TO(r, meta) \
    ((r)->index = (meta).index, (r)->last_contact = (meta).last_contact, \
        (r)->known_leader = (meta).known_leader, \
        (r)->consistency_level = (meta).consistency_level)

static void put_meta(struct buf *out, struct query_meta meta)
{
    msgpack_encode(&type_query_meta, &meta, out);
}

static struct query_meta get_meta(struct cursor *c, struct arena *a)
{
    struct query_meta meta = { 0 };
    if (c->code != ERR_OK) return meta;
    if (msgpack_decode(c, a, &type_query_meta, &meta) != ERR_OK) return (struct query_meta){ 0 };
    return meta;
}

static void response_encode(const void *obj, struct buf *out)
{
    const struct config_entry_response *r = obj;
    size_t raw = msgpack_raw_begin(out);
    msgpack_put_str(out, kind_text(&r->entry));
    if (config_entry_is_set(&r->entry)) put_entry(&r->entry, out);
    put_meta(out, META_OF(r));
    msgpack_raw_end(out, raw);
}

static int response_decode(struct cursor *c, struct arena *a, void *obj)
{
    struct config_entry_response *r = obj;
    struct cursor in = raw_open(c);
    struct str kind = msgpack_get_str(&in);
    r->entry = (struct config_entry){ 0 };
    if (in.code != ERR_OK || (kind.n > 0 && get_entry(&in, a, kind, &r->entry) != ERR_OK)) {
        return raw_close(c, &in);
    }
    struct query_meta meta = get_meta(&in, a);
    META_TO(r, meta);
    return raw_close(c, &in);
}

const struct record_codec config_entry_response_codec = { response_encode, response_decode };

static void put_entries(struct buf *out, const struct list *entries)
{
    if (!entries->v) {
        msgpack_put_nil(out);
        return;
    }
    msgpack_put_array(out, (uint32_t)entries->n);
    for (size_t i = 0; i < entries->n; i++) {
        put_entry(&LIST_AT(entries, struct config_entry, i), out);
    }
}

static void entries_encode(const void *obj, struct buf *out)
{
    const struct indexed_config_entries *r = obj;
    size_t raw = msgpack_raw_begin(out);
    msgpack_put_uint(out, r->entries.n);
    msgpack_put_str(out, r->kind);
    msgpack_put_map(out, 6);
    put_field(out, "ConsistencyLevel");
    msgpack_put_str(out, r->consistency_level);
    put_field(out, "Entries");
    put_entries(out, &r->entries);
    put_field(out, "Index");
    msgpack_put_uint(out, r->index);
    put_field(out, "Kind");
    msgpack_put_str(out, r->kind);
    put_field(out, "KnownLeader");
    msgpack_put_bool(out, r->known_leader);
    put_field(out, "LastContact");
    msgpack_put_int(out, r->last_contact);
    msgpack_raw_end(out, raw);
}

static int get_entries(struct cursor *c, struct arena *a, struct str kind, struct list *entries)
{
    *entries = (struct list){ 0 };
    if (msgpack_get_nil(c)) return c->code;
    uint32_t n = msgpack_get_array(c);
    if (c->code == ERR_OK) *entries = LIST_EMPTY;
    for (uint32_t i = 0; i < n && c->code == ERR_OK; i++) {
        struct config_entry e;
        if (get_entry(c, a, kind, &e) != ERR_OK) break;
        *LIST_PUSH(a, entries, struct config_entry) = e;
    }
    return c->code;
}

static int entries_decode(struct cursor *c, struct arena *a, void *obj)
{
    struct indexed_config_entries *r = obj;
    struct cursor in = raw_open(c);
    (void)msgpack_get_uint(&in); /* the list says its length itself */
    struct str kind = msgpack_get_str(&in);
    r->kind = kind;
    uint32_t n = msgpack_get_map(&in);
    for (uint32_t i = 0; i < n && in.code == ERR_OK; i++) {
        struct str key = msgpack_get_str(&in);
        if (str_is(key, "ConsistencyLevel")) {
            r->consistency_level = msgpack_get_str(&in);
        } else if (str_is(key, "Entries")) {
            if (get_entries(&in, a, kind, &r->entries) != ERR_OK) break;
        } else if (str_is(key, "Index")) {
            r->index = msgpack_get_uint(&in);
        } else if (str_is(key, "Kind")) {
            r->kind = msgpack_get_str(&in);
        } else if (str_is(key, "KnownLeader")) {
            r->known_leader = msgpack_get_bool(&in);
        } else if (str_is(key, "LastContact")) {
            r->last_contact = msgpack_get_int(&in);
        } else if (msgpack_skip(&in) != ERR_OK) {
            break;
        }
    }
    if (in.code == ERR_OK && !str_eq(r->kind, kind))
        (void)cursor_fail(&in, ERR_DECODE, "config entries of two kinds in one list");
    return raw_close(c, &in);
}

const struct record_codec indexed_config_entries_codec = { entries_encode, entries_decode };

static void generic_encode(const void *obj, struct buf *out)
{
    const struct indexed_generic_config_entries *r = obj;
    size_t raw = msgpack_raw_begin(out);
    msgpack_put_uint(out, r->entries.n);
    for (size_t i = 0; i < r->entries.n; i++) {
        const struct config_entry *e = &LIST_AT(&r->entries, struct config_entry, i);
        msgpack_put_str(out, kind_text(e));
        put_entry(e, out);
    }
    put_meta(out, META_OF(r));
    msgpack_raw_end(out, raw);
}

static int generic_decode(struct cursor *c, struct arena *a, void *obj)
{
    struct indexed_generic_config_entries *r = obj;
    struct cursor in = raw_open(c);
    uint64_t n = msgpack_get_uint(&in);
    r->entries = n > 0 ? LIST_EMPTY : (struct list){ 0 };
    /* Each entry takes bytes, so a lying count ends with the input. */
    for (uint64_t i = 0; i < n && in.code == ERR_OK; i++) {
        struct str kind = msgpack_get_str(&in);
        struct config_entry e = { 0 };
        if (in.code != ERR_OK || get_entry(&in, a, kind, &e) != ERR_OK) break;
        *LIST_PUSH(a, &r->entries, struct config_entry) = e;
    }
    struct query_meta meta = get_meta(&in, a);
    META_TO(r, meta);
    return raw_close(c, &in);
}

const struct record_codec indexed_generic_config_entries_codec = { generic_encode, generic_decode };
