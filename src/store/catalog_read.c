/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "catalog_view.h"
#include "config_graph.h"

#define ID_PREFIX_MIN 2

static const char *const nodes_services_checks[] = { "nodes", "services", "checks" };

uint64_t store_nodes(struct store_read *rd, struct watch_set *ws, const struct dict *meta,
    struct arena *a, struct list *out)
{
    struct list all = { 0 };
    table_list(&rd->view, TABLE_NODES, BY_KEY, STR_NIL, a, meta ? &all : out);
    for (size_t i = 0; i < all.n; i++) {
        const struct node *n = &LIST_AT(&all, struct node, i);
        if (meta_matches(&n->meta, meta)) *LIST_PUSH(a, out, struct node) = *n;
    }
    return index_report(index_watch(rd, ws, STR("nodes")));
}

uint64_t store_node(struct store_read *rd, struct watch_set *ws, struct str name, struct arena *a,
    struct node **out)
{
    struct node n;
    *out = node_find(&rd->view, name, a, &n) ? arena_copy(a, &n, sizeof n) : NULL;
    return index_report(index_watch(rd, ws, STR("nodes")));
}

uint64_t store_node_by_id(
    struct store_read *rd, struct watch_set *ws, struct str id, struct arena *a, struct node **out)
{
    struct node n;
    bool found = id.n && node_find_by_id(&rd->view, id, a, &n);
    *out = found ? arena_copy(a, &n, sizeof n) : NULL;
    return index_report(index_watch(rd, ws, STR("nodes")));
}

/* --- names --------------------------------------------------------------------------------- */

static void tags_join(struct arena *a, struct list *into, const struct list *tags)
{
    for (size_t i = 0; i < tags->n; i++) {
        struct str tag = LIST_AT(tags, struct str, i);
        size_t k = 0;
        while (k < into->n && !str_eq(LIST_AT(into, struct str, k), tag))
            k++;
        if (k == into->n) *LIST_PUSH(a, into, struct str) = tag;
    }
}

/* Entries of the maps handed out, pushed as list elements: their keys are known to differ. */
struct named_tags {
    struct str name;
    struct list tags;
};
struct named_service {
    struct str id;
    struct node_service svc;
};

static void as_dict(const struct list *entries, struct dict *out)
{
    *out = (struct dict){ .v = entries->n ? entries->v : collection_empty, .n = entries->n };
}

/* In the order of the name index names that differ in case only stand together, from *run on. */
static struct list *tags_of(struct arena *a, struct list *entries, size_t *run, struct str name)
{
    if (*run < entries->n && !str_eq_nocase(LIST_AT(entries, struct named_tags, *run).name, name))
        *run = entries->n;
    for (size_t i = *run; i < entries->n; i++) {
        struct named_tags *e = &LIST_AT(entries, struct named_tags, i);
        if (str_eq(e->name, name)) return &e->tags;
    }
    struct named_tags *e = LIST_PUSH(a, entries, struct named_tags);
    e->name = str_dup(a, name);
    e->tags = LIST_EMPTY;
    return &e->tags;
}

static bool node_wanted(struct store_read *rd, struct node_memo *memo, struct str name,
    const struct dict *meta, struct arena *a)
{
    if (!meta) return true;
    const struct node *node = row_node(rd, memo, name, a);
    return node && meta_matches(&node->meta, meta);
}

uint64_t store_services(struct store_read *rd, struct watch_set *ws, const struct dict *node_meta,
    struct arena *a, struct dict *out)
{
    struct scan s;
    struct arena scratch = ARENA_INIT;
    struct list entries = { 0 };
    size_t run = 0;
    scan_begin(&s, &rd->view, TABLE_SERVICES, SERVICES_BY_NAME, STR_NIL);
    for (struct service_row row; scan_next(&s) && scan_row(&s, &scratch, &row);
         arena_reset(&scratch)) {
        struct node_memo memo = { 0 };
        if (!node_wanted(rd, &memo, row.node, node_meta, &scratch)) continue;
        struct list *tags = tags_of(a, &entries, &run, row.svc.service);
        struct list own = { 0 };
        record_copy(a, &type_list_str, &own, &row.svc.tags);
        tags_join(a, tags, &own);
    }
    scan_end(&s);
    arena_free(&scratch);
    as_dict(&entries, out);
    uint64_t index = index_watch(rd, ws, STR("services"));
    uint64_t of_nodes = node_meta ? index_watch(rd, ws, STR("nodes")) : 0;
    return index_report(of_nodes > index ? of_nodes : index);
}

static int name_order(const void *x, const void *y)
{
    return str_cmp(((const struct service_name *)x)->name, ((const struct service_name *)y)->name);
}

uint64_t store_service_list(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out)
{
    struct dict names = { 0 };
    uint64_t index = store_services(rd, ws, NULL, a, &names);
    size_t first = out->n;
    for (size_t i = 0; i < names.n; i++)
        LIST_PUSH(a, out, struct service_name)->name = dict_key(&names, type_map_list_str.elem, i);
    if (names.n)
        qsort(&LIST_AT(out, struct service_name, first), names.n, sizeof(struct service_name),
            name_order);
    return index;
}

/* --- instances ----------------------------------------------------------------------------- */

static void service_node_add(struct store_read *rd, struct node_memo *memo,
    const struct service_row *row, struct arena *a, struct list *out)
{
    const struct node *n = row_node(rd, memo, row->node, a);
    if (!n) return;
    const struct node_service *s = &row->svc;
    *LIST_PUSH(a, out, struct service_node) = (struct service_node){ .id = n->id,
        .node = row->node,
        .address = n->address,
        .datacenter = n->datacenter,
        .tagged_addresses = n->tagged_addresses,
        .node_meta = n->meta,
        .service_kind = s->kind,
        .service_id = s->id,
        .service_name = s->service,
        .service_tags = s->tags,
        .service_address = s->address,
        .service_tagged_addresses = s->tagged_addresses,
        .service_weights = *s->weights,
        .service_meta = s->meta,
        .service_port = s->port,
        .service_enable_tag_override = s->enable_tag_override,
        .service_proxy = s->proxy,
        .service_connect = s->connect,
        .create_index = s->create_index,
        .modify_index = s->modify_index };
}

static void service_nodes_add(
    struct store_read *rd, const struct list *rows, struct arena *a, struct list *out)
{
    struct node_memo memo = { 0 };
    for (size_t i = 0; i < rows->n; i++)
        service_node_add(rd, &memo, &LIST_AT(rows, struct service_row, i), a, out);
}

uint64_t store_service_nodes(struct store_read *rd, struct watch_set *ws, struct str name,
    const struct list *tags, struct arena *a, struct list *out)
{
    struct list rows = { 0 };
    struct node_memo memo = { 0 };
    table_list(&rd->view, TABLE_SERVICES, SERVICES_BY_NAME, key_of(a, name), a, &rows);
    for (size_t i = 0; i < rows.n; i++) {
        const struct service_row *row = &LIST_AT(&rows, struct service_row, i);
        if (tags_match(&row->svc.tags, tags)) service_node_add(rd, &memo, row, a, out);
    }
    return index_report(service_index(rd, ws, name, rows.n > 0, FALL_BACK_CATALOG, a));
}

uint64_t store_service_nodes_by_address(struct store_read *rd, struct watch_set *ws,
    struct str address, struct arena *a, struct list *out)
{
    static const char *const tables[] = { "nodes", "services" };
    struct list rows = { 0 }, all = { 0 };
    table_list(&rd->view, TABLE_SERVICES, BY_KEY, STR_NIL, a, &rows);
    service_nodes_add(rd, &rows, a, &all);
    for (size_t i = 0; i < all.n; i++) {
        const struct service_node *n = &LIST_AT(&all, struct service_node, i);
        struct str own = n->service_address.n ? n->service_address : n->address;
        if (str_eq(own, address)) *LIST_PUSH(a, out, struct service_node) = *n;
    }
    return index_report(max_index(rd, ws, tables, 2));
}

uint64_t store_connect_service_nodes(
    struct store_read *rd, struct watch_set *ws, struct str name, struct arena *a, struct list *out)
{
    struct list rows = { 0 };
    watch_entry(ws, index_name(a, "connect/", name));
    table_list(&rd->view, TABLE_SERVICES, SERVICES_BY_CONNECT, key_of(a, name), a, &rows);
    uint64_t index = gateway_instances(rd, ws, name, "terminating-gateway", a, &rows);
    size_t before = out->n;
    service_nodes_add(rd, &rows, a, out);
    uint64_t own = service_index(rd, ws, name, out->n > before, FALL_BACK_CATALOG, a);
    return index_report(own > index ? own : index);
}

/* --- nodes with what is on them ------------------------------------------------------------ */

static bool looks_like_id(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (!hex && c != '-') return false;
    }
    return s.n >= ID_PREFIX_MIN;
}

/* By name, else by the only ID that begins so. */
static bool node_lookup(struct store_read *rd, struct str given, struct arena *a, struct node *out)
{
    if (node_find(&rd->view, given, a, out)) return true;
    if (!looks_like_id(given)) return false;
    struct list found = { 0 };
    struct str prefix = str_lower(a, str_slice(given, 0, given.n & ~(size_t)1));
    table_list(&rd->view, TABLE_NODES, NODES_BY_ID, prefix, a, &found);
    if (found.n != 1) return false;
    *out = LIST_AT(&found, struct node, 0);
    return true;
}

static uint64_t node_with_services(struct store_read *rd, struct watch_set *ws, struct str given,
    struct arena *a, struct node **node, struct list *rows)
{
    struct node n;
    *node = NULL;
    if (!node_lookup(rd, given, a, &n)) {
        watch_entry(ws, STR("nodes"));
        return 1;
    }
    *node = arena_copy(a, &n, sizeof n);
    table_list(&rd->view, TABLE_SERVICES, BY_KEY, key_of(a, n.node), a, rows);
    return index_report(max_index(rd, ws, nodes_services_checks, 2));
}

uint64_t store_node_services(struct store_read *rd, struct watch_set *ws, struct str name_or_id,
    struct arena *a, struct node_services **out)
{
    struct list rows = { 0 };
    struct node *node;
    uint64_t index = node_with_services(rd, ws, name_or_id, a, &node, &rows);
    *out = NULL;
    if (!node) return index;
    *out = arena_new(a, struct node_services);
    (*out)->node = node;
    struct list entries = { 0 };
    for (size_t i = 0; i < rows.n; i++) {
        const struct node_service *svc = &LIST_AT(&rows, struct service_row, i).svc;
        *LIST_PUSH(a, &entries, struct named_service) = (struct named_service){ svc->id, *svc };
    }
    as_dict(&entries, &(*out)->services);
    return index;
}

uint64_t store_node_service_list(struct store_read *rd, struct watch_set *ws, struct str name_or_id,
    struct arena *a, struct node_service_listing **out)
{
    struct list rows = { 0 };
    struct node *node;
    uint64_t index = node_with_services(rd, ws, name_or_id, a, &node, &rows);
    *out = NULL;
    if (!node) return index;
    *out = arena_new(a, struct node_service_listing);
    (*out)->node = node;
    for (size_t i = 0; i < rows.n; i++)
        *LIST_PUSH(a, &(*out)->services, struct node_service) =
            LIST_AT(&rows, struct service_row, i).svc;
    return index;
}

uint64_t store_node_service(struct store_read *rd, struct watch_set *ws, struct str node,
    struct str service_id, struct arena *a, struct node_service **out)
{
    struct service_row row;
    bool found = service_find(&rd->view, node, service_id, a, &row);
    *out = found ? arena_copy(a, &row.svc, sizeof row.svc) : NULL;
    return index_report(max_index(rd, ws, nodes_services_checks, 2));
}

uint64_t store_node_dump(
    struct store_read *rd, struct watch_set *ws, struct str node, struct arena *a, struct list *out)
{
    struct list nodes = { 0 };
    table_list(&rd->view, TABLE_NODES, BY_KEY, node.p ? key_of(a, node) : STR_NIL, a, &nodes);
    for (size_t i = 0; i < nodes.n; i++) {
        const struct node *n = &LIST_AT(&nodes, struct node, i);
        struct list rows = { 0 };
        struct node_info *info = LIST_PUSH(a, out, struct node_info);
        *info = (struct node_info){ .id = n->id,
            .node = n->node,
            .address = n->address,
            .tagged_addresses = n->tagged_addresses,
            .meta = n->meta };
        table_list(&rd->view, TABLE_SERVICES, BY_KEY, key_of(a, n->node), a, &rows);
        for (size_t k = 0; k < rows.n; k++)
            *LIST_PUSH(a, &info->services, struct node_service) =
                LIST_AT(&rows, struct service_row, k).svc;
        table_list(&rd->view, TABLE_CHECKS, BY_KEY, key_of(a, n->node), a, &info->checks);
    }
    return index_report(max_index(rd, ws, nodes_services_checks, 3));
}

/* --- gateways ------------------------------------------------------------------------------ */

uint64_t store_gateway_services(struct store_read *rd, struct watch_set *ws, struct str gateway,
    struct arena *a, struct list *out)
{
    struct list rows = { 0 };
    uint64_t index = index_watch(rd, ws, STR("gateway-services"));
    bool by_protocol = false;
    table_list(&rd->view, TABLE_GATEWAY_SERVICES, BY_KEY, key_of(a, gateway), a, &rows);
    for (size_t i = 0; i < rows.n; i++) {
        const struct gateway_service *g = &LIST_AT(&rows, struct gateway_service, i);
        if (str_is(g->service.name, "*")) continue;
        if (g->from_wildcard && str_is(g->gateway_kind, "ingress-gateway")) {
            by_protocol = true;
            if (!str_eq(config_graph_protocol(&rd->view, g->service.name, a), g->protocol))
                continue;
        }
        *LIST_PUSH(a, out, struct gateway_service) = *g;
    }
    uint64_t config = by_protocol ? index_watch(rd, ws, STR("config-entries")) : 0;
    return index_report(config > index ? config : index);
}
