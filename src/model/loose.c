/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/model/loose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct loose {
    struct arena *arena;
    bool by_name;        /* underscores count; what is unknown is passed over */
    struct list refused; /* of struct str: texts of values that do not fit */
    struct list unknown; /* of struct str: paths of keys */
};

static void read_into(struct loose *l, const struct value *v, const struct field *f,
    const struct type *t, struct str path, void *obj);

static void refuse(struct loose *l, struct str text)
{
    *LIST_PUSH(l->arena, &l->refused, struct str) = text;
}

static void refuse_kind(struct loose *l, struct str path, const char *wanted, const struct value *v)
{
    refuse(l, str_printf(l->arena, "'%.*s' expected type '%s', got unconvertible type '%s'",
                  STR_ARG(path), wanted, value_go_type(v)));
}

/* A text where a number should be. */
static void refuse_text(
    struct loose *l, struct str path, const char *wanted, const char *parser, struct str text)
{
    refuse(l, str_printf(l->arena,
                  "cannot parse '%.*s' as %s: strconv.%s: parsing \"%.*s\": invalid syntax",
                  STR_ARG(path), wanted, parser, STR_ARG(text)));
}

/* --- scalars ------------------------------------------------------------------------------- */

static bool number_of(struct loose *l, const struct value *v, double *out)
{
    char *end;
    const char *text;
    switch (v->kind) {
    case V_BOOL:
        *out = v->b;
        return true;
    case V_INT:
        *out = (double)v->i;
        return true;
    case V_UINT:
        *out = (double)v->u;
        return true;
    case V_FLOAT:
    case V_FLOAT32:
        *out = v->f;
        return true;
    case V_NUMBER:
    case V_STR:
        text = str_c(l->arena, v->s);
        *out = strtod(text, &end);
        return v->s.n > 0 && *end == 0;
    case V_NIL:
    case V_BYTES:
    case V_LIST:
    case V_MAP:
        break;
    }
    return false;
}

static int64_t int_of(struct loose *l, const struct value *v, struct str path)
{
    int64_t i;
    double d;
    if (v->kind == V_INT) return v->i;
    if ((v->kind == V_NUMBER || v->kind == V_STR) && str_to_i64(v->s, &i)) return i;
    if (v->kind == V_STR) {
        refuse_text(l, path, "int", "ParseInt", v->s);
        return 0;
    }
    if (!number_of(l, v, &d) || !(d >= -9.2e18 && d <= 9.2e18)) {
        refuse_kind(l, path, "int", v);
        return 0;
    }
    return (int64_t)d;
}

static uint64_t uint_of(
    struct loose *l, const struct value *v, const struct field *f, struct str path)
{
    uint64_t max = f && f->bits ? (UINT64_C(1) << f->bits) - 1 : UINT64_MAX;
    uint64_t u;
    if ((v->kind == V_NUMBER || v->kind == V_STR) && str_to_u64(v->s, &u)) {
        if (u <= max) return u;
    } else if (v->kind == V_UINT) {
        if (v->u <= max) return v->u;
    } else {
        int64_t i = int_of(l, v, path);
        if (i >= 0 && (uint64_t)i <= max) return (uint64_t)i;
    }
    refuse(l, str_printf(l->arena, "cannot parse '%.*s', value overflows uint", STR_ARG(path)));
    return 0;
}

static bool bool_of(struct loose *l, const struct value *v, struct str path)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "", "0", "f", "F", "false", "FALSE", "False" };
    double d;
    if (v->kind == V_BOOL) return v->b;
    if (v->kind == V_STR) {
        for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
            if (str_is(v->s, yes[i])) return true;
        }
        for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
            if (str_is(v->s, no[i])) return false;
        }
        refuse_text(l, path, "bool", "ParseBool", v->s);
        return false;
    }
    if (number_of(l, v, &d)) return d != 0;
    refuse_kind(l, path, "bool", v);
    return false;
}

static struct str str_from(struct loose *l, const struct value *v, struct str path)
{
    switch (v->kind) {
    case V_STR:
    case V_BYTES:
    case V_NUMBER:
        return v->s;
    case V_BOOL:
        return v->b ? STR("1") : STR("0");
    case V_INT:
        return str_printf(l->arena, "%lld", (long long)v->i);
    case V_UINT:
        return str_printf(l->arena, "%llu", (unsigned long long)v->u);
    case V_FLOAT:
    case V_FLOAT32:
        return str_printf(l->arena, "%.17g", v->f);
    case V_NIL:
        return STR("");
    case V_LIST:
    case V_MAP:
        break;
    }
    refuse_kind(l, path, "string", v);
    return STR("");
}

static int64_t duration_of(struct loose *l, const struct value *v, struct str path)
{
    struct error err;
    int64_t ns = 0;
    if (v->kind != V_STR) return int_of(l, v, path);
    if (duration_parse(v->s, &ns, &err) != ERR_OK) {
        refuse(l, str_printf(l->arena, "error decoding '%.*s': %s", STR_ARG(path), err.text));
    }
    return ns;
}

/* --- lists, maps, records ------------------------------------------------------------------ */

static void read_list(struct loose *l, const struct value *v, const struct type *elem,
    struct str path, struct list *out)
{
    size_t n = v->kind == V_LIST ? v->list.n : v->kind == V_MAP && v->map.n == 0 ? 0 : 1;
    const struct value *items = v->kind == V_LIST ? v->list.v : v;
    *out = LIST_EMPTY;
    for (size_t i = 0; i < n; i++) {
        struct str at = str_printf(l->arena, "%.*s[%zu]", STR_ARG(path), i);
        read_into(l, &items[i], NULL, elem, at, list_push(l->arena, out, elem->size));
    }
}

/* The object meant by `v`, or NULL: a list of one object stands for it. */
static const struct value *object_of(const struct value *v)
{
    if (v->kind == V_MAP) return v;
    if (v->kind == V_LIST && v->list.n == 1 && v->list.v[0].kind == V_MAP) return v->list.v;
    return NULL;
}

static void read_dict(struct loose *l, const struct value *v, const struct type *elem,
    struct str path, struct dict *out)
{
    const struct value *object = object_of(v);
    *out = DICT_EMPTY;
    if (!object) {
        refuse(l, str_printf(l->arena, "'%.*s' expected a map, got '%s'", STR_ARG(path),
                      value_go_kind(v)));
        return;
    }
    for (size_t i = 0; i < object->map.n; i++) {
        const struct value_entry *e = &object->map.v[i];
        struct str at = str_printf(l->arena, "%.*s[%.*s]", STR_ARG(path), STR_ARG(e->key));
        read_into(l, &e->value, NULL, elem, at, dict_append(l->arena, out, elem, e->key));
    }
    dict_unique(out, elem);
}

static bool same_name(struct str key, const char *name)
{
    size_t at = 0;
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] == '_') continue;
        char a = key.p[i], b = name[at];
        if (a >= 'A' && a <= 'Z') a = (char)(a + 32);
        if (b >= 'A' && b <= 'Z') b = (char)(b + 32);
        if (a != b || b == 0) return false;
        at++;
    }
    return name[at] == 0;
}

static const struct field *field_named(
    const struct loose *l, const struct record *r, struct str key)
{
    for (uint16_t i = 0; i < r->n; i++) {
        const struct field *f = &r->fields[i];
        const char *name = f->json ? f->json : f->name;
        bool same = l->by_name ? str_eq_nocase(key, str_of(name)) : same_name(key, name);
        if (same && !(f->flags & JSON_SKIP)) return f;
    }
    return NULL;
}

static void read_record(
    struct loose *l, const struct value *v, const struct record *r, struct str path, void *obj)
{
    const struct value *object = object_of(v);
    if (!object) {
        refuse(l, str_printf(l->arena, "'%.*s' expected a map, got '%s'", STR_ARG(path),
                      value_go_kind(v)));
        return;
    }
    for (size_t i = 0; i < object->map.n; i++) {
        const struct value_entry *e = &object->map.v[i];
        const struct field *f = field_named(l, r, e->key);
        struct str name = f ? str_of(f->name) : e->key;
        struct str at =
            path.n ? str_printf(l->arena, "%.*s.%.*s", STR_ARG(path), STR_ARG(name)) : name;
        if (!f) {
            if (!l->by_name) *LIST_PUSH(l->arena, &l->unknown, struct str) = at;
        } else if (e->value.kind != V_NIL) {
            read_into(l, &e->value, f, f->type, at, (char *)obj + f->offset);
        }
    }
}

static void read_any(struct loose *l, const struct value *v, const struct field *f, struct str path,
    struct value *out)
{
    const struct value *object = f && (f->flags & ANY_MAP) ? object_of(v) : v;
    if (object) {
        *out = value_copy(l->arena, object);
    } else {
        refuse(l, str_printf(l->arena, "'%.*s' expected a map, got '%s'", STR_ARG(path),
                      value_go_kind(v)));
    }
}

static void read_into(struct loose *l, const struct value *v, const struct field *f,
    const struct type *t, struct str path, void *obj)
{
    double d = 0;
    switch (t->kind) {
    case KIND_BOOL:
        *(bool *)obj = bool_of(l, v, path);
        break;
    case KIND_INT:
        *(int64_t *)obj = int_of(l, v, path);
        break;
    case KIND_UINT:
        *(uint64_t *)obj = uint_of(l, v, f, path);
        break;
    case KIND_F32:
    case KIND_F64:
        if (number_of(l, v, &d)) {
        } else if (v->kind == V_STR) {
            refuse_text(l, path, "float", "ParseFloat", v->s);
        } else {
            refuse_kind(l, path, t->kind == KIND_F32 ? "float32" : "float64", v);
        }
        if (t->kind == KIND_F32) {
            *(float *)obj = (float)d;
        } else {
            *(double *)obj = d;
        }
        break;
    case KIND_STR:
    case KIND_BYTES:
        *(struct str *)obj = str_from(l, v, path);
        break;
    case KIND_TIME:
        refuse_kind(l, path, "time.Time", v);
        break;
    case KIND_DUR:
        *(int64_t *)obj = duration_of(l, v, path);
        break;
    case KIND_ANY:
        read_any(l, v, f, path, obj);
        break;
    case KIND_REC:
        read_record(l, v, t->record, path, obj);
        break;
    case KIND_PTR:
        *(void **)obj = arena_alloc(l->arena, t->record->size);
        read_record(l, v, t->record, path, *(void **)obj);
        break;
    case KIND_LIST:
        read_list(l, v, t->elem, path, obj);
        break;
    case KIND_MAP:
        read_dict(l, v, t->elem, path, obj);
        break;
    }
}

static int compare_str(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static int report(struct loose *l, struct error *err)
{
    struct buf text = BUF_INIT(ERROR_TEXT_MAX);
    struct list *refused = &l->refused, *unknown = &l->unknown;
    if (refused->n) {
        qsort(refused->v, refused->n, sizeof(struct str), compare_str);
        buf_printf(&text, "%zu error(s) decoding:\n\n", refused->n);
        for (size_t i = 0; i < refused->n; i++) {
            buf_printf(&text, "%s* %.*s", i ? "\n" : "", STR_ARG(LIST_AT(refused, struct str, i)));
        }
    } else {
        buf_printf(&text, unknown->n == 1 ? "%zu error occurred:\n" : "%zu errors occurred:\n",
            unknown->n);
        for (size_t i = 0; i < unknown->n; i++) {
            buf_printf(&text, "\t* invalid config key \"%.*s\"\n",
                STR_ARG(LIST_AT(unknown, struct str, i)));
        }
        buf_put_char(&text, '\n');
    }
    int code = error_set(err, ERR_BAD_REQUEST, "%.*s", STR_ARG(buf_str(&text)));
    buf_deinit(&text);
    return code;
}

int loose_read(
    const struct value *v, struct arena *a, const struct type *t, void *obj, struct error *err)
{
    struct loose l = { .arena = a };
    read_into(&l, v, NULL, t, STR(""), obj);
    return l.refused.n || l.unknown.n ? report(&l, err) : ERR_OK;
}

int loose_read_named(
    const struct value *v, struct arena *a, const struct type *t, void *obj, struct error *err)
{
    struct loose l = { .arena = a, .by_name = true };
    read_into(&l, v, NULL, t, STR(""), obj);
    return l.refused.n ? report(&l, err) : ERR_OK;
}
