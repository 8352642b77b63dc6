/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "collection.h"
#include "consuld/wire/json.h"
#include "json_refuse.h"
#include "number.h"
#include "quote.h"
#include "time_text.h"

_Static_assert(offsetof(struct value_entry, value) == sizeof(struct str), "value follows its key");

static int read_any(struct reader *r, const struct place *at, const struct type *t, unsigned bits,
    const struct value *v, void *obj);

/* --- free-form ----------------------------------------------------------------------------- */

static int plain_value(
    struct reader *r, const struct place *at, const struct value *v, struct value *out);

static int plain_map(
    struct reader *r, const struct place *at, const struct value *v, struct value *out)
{
    struct dict d = { .v = arena_array(r->a, v->map.n, sizeof *v->map.v), .n = v->map.n };
    if (d.n) memcpy(d.v, v->map.v, d.n * sizeof *v->map.v);
    dict_unique(&d, &type_any);
    *out = (struct value){ .kind = V_MAP, .line = v->line, .map = { .v = d.v, .n = d.n } };
    for (size_t i = 0; i < out->map.n; i++) {
        struct value *e = &out->map.v[i].value;
        int rc = plain_value(r, at, e, e);
        if (rc) return rc;
    }
    return 0;
}

static int plain_list(
    struct reader *r, const struct place *at, const struct value *v, struct value *out)
{
    const struct value *from = v->list.v;
    size_t n = v->list.n;
    *out = (struct value){ .kind = V_LIST, .line = v->line };
    out->list.v = arena_array(r->a, n, sizeof *out->list.v);
    out->list.n = n;
    for (size_t i = 0; i < n; i++) {
        int rc = plain_value(r, at, &from[i], &out->list.v[i]);
        if (rc) return rc;
    }
    return 0;
}

/* As Go's interface{}: numbers are float64, of equal keys the last one stays. `out` may be `v`. */
static int plain_value(
    struct reader *r, const struct place *at, const struct value *v, struct value *out)
{
    if (v->kind == V_MAP) return plain_map(r, at, v, out);
    if (v->kind == V_LIST) return plain_list(r, at, v, out);
    if (v->kind != V_NUMBER) {
        *out = *v;
        return 0;
    }
    double f = number_value(v->s);
    if (f - f != 0) return refuse_number(r, at, &type_f64, 0, v);
    *out = (struct value){ .kind = V_FLOAT, .line = v->line, .f = f };
    return 0;
}

/* --- numbers ------------------------------------------------------------------------------- */

static bool number_int(const struct value *v, unsigned bits, int64_t *out)
{
    int64_t i = 0;
    if (v->kind == V_NUMBER) {
        if (!str_to_i64(v->s, &i)) return false;
    } else if (v->kind == V_INT) {
        i = v->i;
    } else if (v->kind == V_UINT && v->u <= INT64_MAX) {
        i = (int64_t)v->u;
    } else {
        return false;
    }
    if (bits && bits < 64 && (i < -(INT64_C(1) << (bits - 1)) || i >= INT64_C(1) << (bits - 1)))
        return false;
    *out = i;
    return true;
}

static bool number_uint(const struct value *v, unsigned bits, uint64_t *out)
{
    uint64_t u = 0;
    if (v->kind == V_NUMBER) {
        if (!str_to_u64(v->s, &u)) return false;
    } else if (v->kind == V_INT && v->i >= 0) {
        u = (uint64_t)v->i;
    } else if (v->kind == V_UINT) {
        u = v->u;
    } else {
        return false;
    }
    if (bits && bits < 64 && u >> bits) return false;
    *out = u;
    return true;
}

static bool number_float(const struct value *v, double max, double *out)
{
    double f = v->kind == V_NUMBER ? number_value(v->s)
               : v->kind == V_INT  ? (double)v->i
               : v->kind == V_UINT ? (double)v->u
                                   : v->f;
    if (!(f >= -max && f <= max)) return false;
    *out = f;
    return true;
}

static bool is_number(const struct value *v)
{
    return v->kind == V_NUMBER || v->kind == V_INT || v->kind == V_UINT || v->kind == V_FLOAT ||
           v->kind == V_FLOAT32;
}

static int read_number(struct reader *r, const struct place *at, const struct type *t,
    unsigned bits, const struct value *v, void *obj)
{
    if (!is_number(v)) return refuse_kind(r, at, t, bits, v);
    bool ok;
    double f = 0;
    if (t->kind == KIND_UINT) {
        ok = number_uint(v, bits, obj);
    } else if (t->kind == KIND_F32) {
        ok = number_float(v, 3.4028234663852886e38, &f);
        if (ok) *(float *)obj = (float)f;
    } else if (t->kind == KIND_F64) {
        ok = number_float(v, 1.7976931348623157e308, obj);
    } else {
        ok = number_int(v, bits, obj);
    }
    return ok ? 0 : refuse_number(r, at, t, bits, v);
}

/* --- texts --------------------------------------------------------------------------------- */

static int read_bytes(struct reader *r, const struct place *at, const struct type *t,
    const struct value *v, struct str *out)
{
    if (v->kind != V_STR) return refuse_kind(r, at, t, 0, v);
    struct error err;
    if (base64_parse(v->s, r->a, out, &err) != 0) refuse_text(r, &r->first, err.text);
    return 0;
}

/* A text, or a number of nanoseconds; anything else is passed over as the original does. */
static int read_duration_text(
    struct reader *r, const struct field *f, const struct value *v, int64_t *out)
{
    double ns = 0;
    struct error err;
    if (v->kind == V_STR && duration_parse(v->s, out, &err) != 0 &&
        (!r->late.text.p || f < r->late_field)) {
        r->late = (struct refusal){ 0 };
        refuse_text(r, &r->late, err.text);
        r->late_field = f;
    }
    if (is_number(v) && number_float(v, 9.2e18, &ns)) *out = (int64_t)ns;
    return 0;
}

/* --- collections --------------------------------------------------------------------------- */

static int read_list(struct reader *r, const struct place *at, const struct type *t,
    const struct value *v, struct list *out)
{
    const struct type *elem = t->elem;
    if (v->kind != V_LIST) return refuse_kind(r, at, t, 0, v);
    size_t n = v->list.n;
    *out = (struct list){ .n = n };
    out->v = n ? arena_array(r->a, n, elem->size) : collection_empty;
    for (size_t i = 0; i < n; i++) {
        int rc = read_any(r, at, elem, 0, &v->list.v[i], (char *)out->v + i * elem->size);
        if (rc) return rc;
    }
    return 0;
}

static int read_dict(struct reader *r, const struct place *at, const struct type *t,
    const struct value *v, struct dict *out)
{
    const struct type *elem = t->elem;
    if (v->kind != V_MAP) return refuse_kind(r, at, t, 0, v);
    size_t n = v->map.n;
    *out = (struct dict){ .n = n };
    out->v = n ? arena_array(r->a, n, dict_stride(elem)) : collection_empty;
    for (size_t i = 0; i < n; i++) {
        struct str *entry = (struct str *)(void *)((char *)out->v + i * dict_stride(elem));
        *entry = v->map.v[i].key;
        int rc = read_any(r, at, elem, 0, &v->map.v[i].value, entry + 1);
        if (rc) return rc;
    }
    dict_unique(out, elem);
    return 0;
}

/* --- records ------------------------------------------------------------------------------- */

/* The alias that is meant, or nil. */
static struct str alias_find(const char *aliases, struct str key, bool exact)
{
    struct str rest = str_of(aliases), one;
    while (rest.n > 0) {
        if (!str_cut(rest, ',', &one, &rest)) rest = STR_NIL;
        if (exact ? str_eq(one, key) : str_eq_nocase(one, key)) return one;
    }
    return STR_NIL;
}

static const struct field *find(
    const struct record *rec, struct str key, bool exact, struct str *alias)
{
    for (uint16_t i = 0; i < rec->n; i++) {
        const struct field *f = &rec->fields[i];
        if (f->flags & JSON_SKIP) continue;
        const char *name = f->json ? f->json : f->name;
        *alias = STR_NIL;
        if (exact ? str_is(key, name) : str_eq_nocase(key, str_of(name))) return f;
        if (f->alias) *alias = alias_find(f->alias, key, exact);
        if (alias->n) return f;
    }
    return NULL;
}

static int read_member(struct reader *r, const struct place *at, const struct field *f,
    const struct value *v, void *obj)
{
    char *member = (char *)obj + f->offset;
    if ((f->flags & (JSON_DUR_TEXT | JSON_DUR_READ)) && v->kind != V_NIL)
        return read_duration_text(r, f, v, (int64_t *)(void *)member);
    if ((f->flags & ANY_MAP) && v->kind != V_NIL && v->kind != V_MAP) return refuse_map(r, at, v);
    return read_any(r, at, f->type, f->bits, v, member);
}

/* The normal spelling of a field wins over its aliases: those are read first, and once more in
 * their turn for what is wrong with them. */
static int read_keys(struct reader *r, const struct place *up, const struct record *rec,
    const struct value *v, void *obj, bool aliases)
{
    for (size_t i = 0; i < v->map.n; i++) {
        struct str key = v->map.v[i].key;
        struct str alias = STR_NIL;
        const struct field *f = find(rec, key, true, &alias);
        if (!f) f = find(rec, key, false, &alias);
        if (!f) {
            if (aliases || (r->flags & JSON_UNKNOWN_IGNORED) || (rec->flags & RECORD_LAX)) continue;
            if (rec->json_ignored && alias_find(rec->json_ignored, key, false).n) continue;
            refuse_key(r, key);
            continue;
        }
        if (aliases && !alias.n) continue;
        struct place at = { .up = up, .record = rec, .field = f, .alias = alias };
        bool again = !aliases && alias.n;
        void *to = again ? arena_alloc(r->a, rec->size) : obj;
        int rc = read_member(r, &at, f, &v->map.v[i].value, to);
        if (rc && !aliases) return rc;
    }
    return 0;
}

static bool has_aliases(const struct record *rec)
{
    for (uint16_t i = 0; i < rec->n; i++) {
        if (rec->fields[i].alias) return true;
    }
    return false;
}

static int read_fields(struct reader *r, const struct place *at, const struct record *rec,
    const struct value *v, void *obj)
{
    if (v->kind != V_MAP) {
        const struct type t = { .kind = KIND_REC, .record = rec };
        return refuse_kind(r, at, &t, 0, v);
    }
    if (has_aliases(rec)) {
        struct refusal first = r->first, late = r->late;
        (void)read_keys(r, at, rec, v, obj, true);
        r->first = first;
        r->late = late;
    }
    return read_keys(r, at, rec, v, obj, false);
}

/* A type without a name reads itself: what is wrong in it ends the reading of what holds it, which
 * names its own field alone. */
static int read_record(struct reader *r, const struct place *at, const struct record *rec,
    const struct value *v, void *obj)
{
    if (rec->name[0]) return read_fields(r, at, rec, v, obj);
    struct refusal first = r->first, late = r->late;
    const struct field *late_field = r->late_field;
    r->first = r->late = (struct refusal){ 0 };
    int rc = read_fields(r, NULL, rec, v, obj);
    if (!rc && (r->first.text.p || r->late.text.p)) {
        r->fatal = r->first.text.p ? r->first : r->late;
        rc = error_set(r->err, ERR_DECODE, "%.*s", STR_ARG(r->fatal.text));
    }
    if (rc && r->fatal.what.p && at) {
        refusal_place(r, &r->fatal, at);
        error_set(r->err, ERR_DECODE, "%.*s", STR_ARG(r->fatal.text));
    }
    r->first = first;
    r->late = late;
    r->late_field = late_field;
    return rc;
}

static int read_pointer(struct reader *r, const struct place *at, const struct record *rec,
    const struct value *v, void **out)
{
    if (!*out) *out = arena_alloc(r->a, rec->size);
    return read_record(r, at, rec, v, *out);
}

/* null empties what can be nil and leaves the rest. */
static int read_null(const struct type *t, void *obj)
{
    if (t->kind == KIND_PTR || t->kind == KIND_LIST || t->kind == KIND_MAP ||
        t->kind == KIND_BYTES || t->kind == KIND_ANY)
        memset(obj, 0, t->size);
    return 0;
}

static int read_any(struct reader *r, const struct place *at, const struct type *t, unsigned bits,
    const struct value *v, void *obj)
{
    if (v->kind == V_NIL) return read_null(t, obj);
    switch (t->kind) {
    case KIND_BOOL:
        if (v->kind != V_BOOL) return refuse_kind(r, at, t, bits, v);
        *(bool *)obj = v->b;
        return 0;
    case KIND_INT:
    case KIND_UINT:
    case KIND_F32:
    case KIND_F64:
    case KIND_DUR:
        return read_number(r, at, t, bits, v, obj);
    case KIND_STR:
        if (v->kind != V_STR) return refuse_kind(r, at, t, bits, v);
        *(struct str *)obj = v->s;
        return 0;
    case KIND_BYTES:
        return read_bytes(r, at, t, v, obj);
    case KIND_TIME:
        if (v->kind != V_STR) return refuse_kind(r, at, t, bits, v);
        return time_text_parse(v->s, true, obj, r->err);
    case KIND_ANY:
        return plain_value(r, at, v, obj);
    case KIND_REC:
        return read_record(r, at, t->record, v, obj);
    case KIND_PTR:
        return read_pointer(r, at, t->record, v, obj);
    case KIND_LIST:
        return read_list(r, at, t, v, obj);
    case KIND_MAP:
        return read_dict(r, at, t, v, obj);
    }
    return 0;
}

int json_read(const struct value *v, struct arena *a, const struct type *t, void *obj, int flags,
    struct error *err)
{
    struct reader r = { .a = a, .flags = flags, .err = err };
    int rc = read_any(&r, NULL, t, 0, v, obj);
    const struct refusal *f = r.first.text.p ? &r.first : &r.late;
    if (!rc && f->text.p) rc = error_set(err, ERR_DECODE, "%.*s", STR_ARG(f->text));
    return rc;
}

int json_decode(
    struct str text, struct arena *a, const struct type *t, void *obj, int flags, struct error *err)
{
    struct value v;
    int rc = json_parse(text, a, &v, err);
    return rc ? rc : json_read(&v, a, t, obj, flags, err);
}
