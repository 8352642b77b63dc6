/* SPDX-License-Identifier: Apache-2.0 */
#include "config_build.h"

const struct value *config_get(const struct config_load *load, const char *path)
{
    const struct value *v = config_at(&load->merged, path);
    return v && v->kind != V_NIL ? v : NULL;
}

struct str config_get_str(const struct config_load *load, const char *path)
{
    const struct value *v = config_get(load, path);
    return v ? v->s : STR("");
}

bool config_get_bool(const struct config_load *load, const char *path, bool fallback)
{
    const struct value *v = config_get(load, path);
    return v ? v->b : fallback;
}

int64_t config_get_int(const struct config_load *load, const char *path, int64_t fallback)
{
    const struct value *v = config_get(load, path);
    return v ? v->i : fallback;
}

static struct list strings(struct arena *a, const struct value *v)
{
    struct list l = LIST_EMPTY;
    for (size_t i = 0; v && i < v->list.n; i++)
        *LIST_PUSH(a, &l, struct str) = v->list.v[i].s;
    return l;
}

struct list config_get_list(const struct config_load *load, const char *path)
{
    return strings(load->arena, config_get(load, path));
}

int64_t config_duration(struct config_load *load, const char *key, struct str text)
{
    int64_t ns = 0;
    struct error err;
    if (text.p && duration_parse(text, &ns, &err) != 0) {
        config_soft_alone(load, "%s: invalid duration: \"%.*s\": %s", key, STR_ARG(text), err.text);
        return 0;
    }
    return ns;
}

static struct dict string_map(struct arena *a, const struct value *v)
{
    struct dict d = DICT_EMPTY;
    for (size_t i = 0; i < v->map.n; i++)
        dict_set_str(a, &d, v->map.v[i].key, v->map.v[i].value.s);
    return d;
}

static struct dict string_list_map(struct arena *a, const struct value *v)
{
    struct dict d = DICT_EMPTY;
    for (size_t i = 0; i < v->map.n; i++) {
        struct list *l = dict_put(a, &d, type_map_list_str.elem, v->map.v[i].key);
        *l = strings(a, &v->map.v[i].value);
    }
    return d;
}

/* Writes one value to a member of the C type that goes with the option's type. */
static void fill(struct config_load *load, enum config_type type, const struct value *v,
    const char *key, void *member)
{
    switch (type) {
    case CONFIG_BOOL:
        *(bool *)member = v->b;
        break;
    case CONFIG_INT:
    case CONFIG_UINT:
    case CONFIG_UINT32:
    case CONFIG_UINT64:
        *(int64_t *)member = v->i;
        break;
    case CONFIG_NUMBER:
        *(double *)member = v->f;
        break;
    case CONFIG_STRING:
        *(struct str *)member = v->s;
        break;
    case CONFIG_DURATION:
        *(int64_t *)member = config_duration(load, key, v->s);
        break;
    case CONFIG_LIST:
        *(struct list *)member = strings(load->arena, v);
        break;
    case CONFIG_MAP:
        *(struct dict *)member = string_map(load->arena, v);
        break;
    case CONFIG_MAP_LIST:
        *(struct dict *)member = string_list_map(load->arena, v);
        break;
    case CONFIG_FREE:
    case CONFIG_FREE_LIST:
        *(struct value *)member = *v;
        break;
    case CONFIG_SERVICE:
    case CONFIG_SERVICES:
    case CONFIG_CHECK:
    case CONFIG_CHECKS:
    case CONFIG_BLOCK:
    case CONFIG_BLOCKS:
    case CONFIG_BLOCK_MAP:
        break; /* config_service.c takes them apart */
    }
}

void config_fill_keys(struct config_load *load, const struct config_key *block,
    const struct value *from, const char *prefix, void *record)
{
    for (size_t i = 0; i < block->n; i++) {
        const struct config_key *key = &block->keys[i];
        const struct value *v = value_get(from, str_of(key->name));
        if (!v || v->kind == V_NIL || key->offset == SIZE_MAX) continue;
        struct str path = str_printf(load->arena, "%s.%s", prefix, key->name);
        fill(load, key->type, v, path.p, (char *)record + key->offset);
    }
}

void config_fill(struct config_load *load)
{
    for (size_t i = 0; i < config_options_n; i++) {
        const struct config_option *o = &config_options[i];
        if (!o->member || o->derived) continue;
        const struct value *v = config_get(load, o->path);
        if (v) fill(load, o->type, v, o->path, (char *)load->config + o->member - 1);
    }
}
