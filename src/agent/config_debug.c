/* SPDX-License-Identifier: Apache-2.0 */
/* DebugConfig: a walk over the configuration's records that hides secrets. */
#include <stdlib.h>
#include <string.h>

#include "consuld/agent/config.h"

static void write_record(struct json_writer *w, const struct record *r, const void *obj);

static bool holds(const char *name, const char *word)
{
    struct str rest = str_of(name), w = str_of(word);
    for (; rest.n >= w.n; rest = str_slice(rest, 1, rest.n))
        if (str_eq_nocase(str_slice(rest, 0, w.n), w)) return true;
    return false;
}

static bool is_secret(const char *name)
{
    if (strcmp(name, "TokenLocality") == 0 || strcmp(name, "IntroTokenFile") == 0) return false;
    return holds(name, "token") || holds(name, "key") || holds(name, "secret");
}

static void write_duration(struct json_writer *w, int64_t ns)
{
    struct buf b = BUF_INIT(64);
    duration_format(ns, &b);
    json_str(w, buf_str(&b));
    buf_deinit(&b);
}

static void write_config_entry(struct json_writer *w, const struct config_entry *e)
{
    struct config_entry_ref ref = config_entry_ref(e);
    json_obj(w, ref.type, ref.entry);
}

static void write_any(struct json_writer *w, const char *name, const struct value *v)
{
    if (strcmp(name, "Watches") == 0) {
        /* An agent takes the parameters out of a watch when it starts it. */
        json_array(w);
        for (size_t i = 0; v->kind == V_LIST && i < v->list.n; i++) {
            json_object(w);
            json_object_end(w);
        }
        json_array_end(w);
    } else if (v->kind == V_NIL) {
        json_object(w);
        json_object_end(w);
    } else {
        json_value(w, v);
    }
}

static void write_type(
    struct json_writer *w, const char *name, unsigned flags, const struct type *t, const void *obj);

static void write_list(struct json_writer *w, const char *name, unsigned flags,
    const struct type *t, const struct list *l)
{
    json_array(w);
    for (size_t i = 0; i < l->n; i++)
        write_type(w, name, flags, t->elem, (const char *)l->v + i * t->elem->size);
    json_array_end(w);
}

static int by_key(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void write_map(
    struct json_writer *w, unsigned flags, const struct type *t, const struct dict *d)
{
    struct str *keys = xcalloc(d->n + 1, sizeof *keys);
    for (size_t i = 0; i < d->n; i++)
        keys[i] = dict_key(d, t->elem, i);
    if (d->n) qsort(keys, d->n, sizeof *keys, by_key);
    json_object(w);
    for (size_t i = 0; i < d->n; i++) {
        json_key_str(w, keys[i]);
        write_type(w, "", flags, t->elem, dict_get(d, t->elem, keys[i]));
    }
    json_object_end(w);
    free(keys);
}

static void write_type(
    struct json_writer *w, const char *name, unsigned flags, const struct type *t, const void *obj)
{
    switch (t->kind) {
    case KIND_BOOL:
        json_bool(w, *(const bool *)obj);
        break;
    case KIND_INT:
        if (flags & JSON_DUR_TEXT)
            write_duration(w, *(const int64_t *)obj);
        else
            json_i64(w, *(const int64_t *)obj);
        break;
    case KIND_UINT:
        json_u64(w, *(const uint64_t *)obj);
        break;
    case KIND_F32:
        json_f64(w, (double)*(const float *)obj);
        break;
    case KIND_F64:
        json_f64(w, *(const double *)obj);
        break;
    case KIND_STR:
    case KIND_BYTES:
        json_str(w, is_secret(name) ? STR("hidden") : *(const struct str *)obj);
        break;
    case KIND_TIME:
        json_null(w);
        break;
    case KIND_DUR:
        write_duration(w, *(const int64_t *)obj);
        break;
    case KIND_ANY:
        write_any(w, name, obj);
        break;
    case KIND_REC:
        if (t->record == &record_config_entry)
            write_config_entry(w, obj);
        else
            write_record(w, t->record, obj);
        break;
    case KIND_PTR: {
        const void *to = *(void *const *)obj;
        if (to)
            write_record(w, t->record, to);
        else
            json_null(w);
        break;
    }
    case KIND_LIST:
        write_list(w, name, flags, t, obj);
        break;
    case KIND_MAP:
        write_map(w, flags, t, obj);
        break;
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct field *const *)a)->name, (*(const struct field *const *)b)->name);
}

/* Definitions show an empty member of the enterprise edition. */
static const struct field enterprise = { .name = "EnterpriseMeta", .type = &type_any };

/* Options that Consul does not have are shown when they are set. */
static bool unknown_and_unset(const struct record *r, const struct field *f, const void *obj)
{
    return r == &record_agent_config && (f->flags & WIRE_OMIT) &&
           record_is_empty(f->type, (const char *)obj + f->offset);
}

static void write_record(struct json_writer *w, const struct record *r, const void *obj)
{
    static const struct value nothing;
    bool definition = r == &record_service_definition || r == &record_check_definition;
    const struct field **order = xcalloc((size_t)r->n + 1, sizeof(struct field *));
    size_t n = r->n;
    for (size_t i = 0; i < n; i++)
        order[i] = &r->fields[i];
    if (definition) order[n++] = &enterprise;
    qsort(order, n, sizeof *order, by_name);
    json_object(w);
    for (size_t i = 0; i < n; i++) {
        const struct field *f = order[i];
        if (unknown_and_unset(r, f, obj)) continue;
        json_key(w, f->name);
        write_type(w, f->name, f->flags, f->type,
            f == &enterprise ? (const void *)&nothing : (const char *)obj + f->offset);
    }
    json_object_end(w);
    free(order);
}

void config_debug_json(const struct agent_config *c, struct json_writer *w)
{
    write_record(w, &record_agent_config, c);
}
