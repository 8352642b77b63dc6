/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog_view.h"

bool meta_matches(const struct dict *meta, const struct dict *wanted)
{
    if (!wanted) return true;
    for (size_t i = 0; i < wanted->n; i++) {
        const struct str_pair *w = &((const struct str_pair *)wanted->v)[i];
        const struct str *have = dict_get(meta, type_map_str.elem, w->key);
        if (!have || !str_eq(*have, w->value)) return false;
    }
    return true;
}

static bool has_tag(const struct list *tags, struct str wanted)
{
    for (size_t i = 0; i < tags->n; i++)
        if (str_eq_nocase(LIST_AT(tags, struct str, i), wanted)) return true;
    return false;
}

bool tags_match(const struct list *tags, const struct list *wanted)
{
    if (!wanted) return true;
    for (size_t i = 0; i < wanted->n; i++)
        if (!has_tag(tags, LIST_AT(wanted, struct str, i))) return false;
    return true;
}

uint64_t max_index(struct store_read *rd, struct watch_set *ws, const char *const *names, size_t n)
{
    uint64_t max = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t v = index_watch(rd, ws, str_of(names[i]));
        if (v > max) max = v;
    }
    return max;
}

uint64_t service_index(struct store_read *rd, struct watch_set *ws, struct str name, bool exists,
    enum fallback fallback, struct arena *a)
{
    static const char *const tables[] = { "nodes", "services", "checks" };
    uint64_t own = index_watch(rd, ws, index_name(a, "service.", name));
    size_t n = fallback == FALL_BACK_WITH_CHECKS ? 3 : 2;
    if (exists) return own ? own : max_index(rd, ws, tables, n);
    uint64_t extinction = index_get(&rd->view, STR("service_last_extinction"));
    return extinction ? extinction : max_index(rd, NULL, tables, n);
}

uint64_t gateway_instances(struct store_read *rd, struct watch_set *ws, struct str service,
    const char *kind, struct arena *a, struct list *rows)
{
    struct list mappings = { 0 };
    uint64_t max = 0;
    watch_entry(ws, index_name(a, "gateway-services/", service));
    table_list(&rd->view, TABLE_GATEWAY_SERVICES, GATEWAY_SERVICES_BY_SERVICE, key_of(a, service),
        a, &mappings);
    for (size_t i = 0; i < mappings.n; i++) {
        const struct gateway_service *g = &LIST_AT(&mappings, struct gateway_service, i);
        if (!str_is(g->gateway_kind, kind)) continue;
        if (g->modify_index > max) max = g->modify_index;
        size_t before = rows->n;
        table_list(
            &rd->view, TABLE_SERVICES, SERVICES_BY_NAME, key_of(a, g->gateway.name), a, rows);
        uint64_t own =
            service_index(rd, ws, g->gateway.name, rows->n > before, FALL_BACK_CATALOG, a);
        if (own > max) max = own;
    }
    return max;
}

const struct node *row_node(
    struct store_read *rd, struct node_memo *memo, struct str name, struct arena *a)
{
    if (memo->node && str_eq_nocase(memo->node->node, name)) return memo->node;
    struct node *node = arena_new(a, struct node);
    if (!node_find(&rd->view, name, a, node)) return NULL;
    memo->node = node;
    return node;
}
