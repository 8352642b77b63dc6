/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "config_schema.h"

static const struct config_key *key_of(const struct config_key *block, struct str name)
{
    for (size_t i = 0; i < block->n; i++)
        if (str_is(name, block->keys[i].name)) return &block->keys[i];
    return NULL;
}

static struct value *entry(struct arena *a, struct value *map, struct str name)
{
    struct value *v = value_get(map, name);
    return v ? v : value_map_add(a, map, name);
}

static void append(struct arena *a, struct value *into, const struct value *from)
{
    for (size_t i = 0; i < from->list.n; i++)
        *value_list_add(a, into) = from->list.v[i];
}

static void overlay(struct arena *a, struct value *into, const struct value *from)
{
    for (size_t i = 0; i < from->map.n; i++)
        *entry(a, into, from->map.v[i].key) = from->map.v[i].value;
}

/* Values of `from` are shared, but no vector of `from` is ever grown: `into` gets copies. */
void config_merge(
    const struct config_key *block, struct arena *a, struct value *into, const struct value *from)
{
    for (size_t i = 0; i < from->map.n; i++) {
        const struct config_key *key = key_of(block, from->map.v[i].key);
        const struct value *v = &from->map.v[i].value;
        ensure(key);
        struct value *old = value_get(into, from->map.v[i].key);
        if (!old)
            *value_map_add(a, into, from->map.v[i].key) = value_copy(a, v);
        else if (key->type == CONFIG_BLOCK)
            config_merge(key, a, old, v);
        else if (config_type_is_list(key->type))
            append(a, old, v);
        else if (key->type == CONFIG_MAP || key->type == CONFIG_MAP_LIST ||
                 key->type == CONFIG_FREE)
            overlay(a, old, v);
        else
            *old = value_copy(a, v);
    }
}

const struct value *config_at(const struct value *tree, const char *path)
{
    struct str part, rest = str_of(path);
    bool more = true;
    while (more && tree) {
        more = str_cut(rest, '.', &part, &rest);
        tree = value_get(tree, part);
    }
    return tree;
}

struct value *config_make(struct arena *a, struct value *tree, const char *path)
{
    struct str part, rest = str_of(path);
    bool more = true;
    while (more) {
        more = str_cut(rest, '.', &part, &rest);
        tree = entry(a, tree, part);
        if (more && tree->kind == V_NIL) *tree = (struct value){ .kind = V_MAP };
    }
    return tree;
}

bool config_value_of_text(
    struct arena *a, enum config_type type, struct str text, struct value *out)
{
    *out = (struct value){ .kind = V_STR, .s = text };
    switch ((int)type) {
    case CONFIG_BOOL:
        out->kind = V_BOOL;
        out->b = str_is(text, "true");
        return out->b || str_is(text, "false");
    case CONFIG_INT:
    case CONFIG_UINT:
    case CONFIG_UINT32:
    case CONFIG_UINT64: {
        int64_t i;
        if (!str_to_i64(text, &i)) return false;
        out->kind = V_INT;
        out->i = i;
        return true;
    }
    case CONFIG_NUMBER:
        out->kind = V_FLOAT;
        out->f = strtod(str_c(a, text), NULL);
        return true;
    case CONFIG_STRING:
    case CONFIG_DURATION:
        return true;
    default:
        return false;
    }
}
