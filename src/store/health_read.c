/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog_view.h"

static bool check_wanted(struct store_read *rd, struct node_memo *memo,
    const struct health_check *c, const struct dict *meta, struct arena *a)
{
    if (!meta) return true;
    const struct node *n = row_node(rd, memo, c->node, a);
    return n && meta_matches(&n->meta, meta);
}

/* Checks of an index or of the whole table, those on nodes with `meta` only. */
static void checks_list(struct store_read *rd, int index, struct str prefix,
    const struct dict *meta, struct arena *a, struct list *out)
{
    struct list all = { 0 };
    struct node_memo memo = { 0 };
    table_list(&rd->view, TABLE_CHECKS, index, prefix, a, meta ? &all : out);
    for (size_t i = 0; i < all.n; i++) {
        const struct health_check *c = &LIST_AT(&all, struct health_check, i);
        if (check_wanted(rd, &memo, c, meta, a)) *LIST_PUSH(a, out, struct health_check) = *c;
    }
}

uint64_t store_node_checks(
    struct store_read *rd, struct watch_set *ws, struct str node, struct arena *a, struct list *out)
{
    checks_list(rd, BY_KEY, key_of(a, node), NULL, a, out);
    return index_report(index_watch(rd, ws, STR("checks")));
}

uint64_t store_service_checks(struct store_read *rd, struct watch_set *ws, struct str service,
    const struct dict *node_meta, struct arena *a, struct list *out)
{
    checks_list(rd, CHECKS_BY_SERVICE, key_of(a, service), node_meta, a, out);
    if (node_meta)
        return index_report(service_index(rd, ws, service, true, FALL_BACK_WITH_CHECKS, a));
    return index_report(index_watch(rd, ws, STR("checks")));
}

uint64_t store_checks_in_state(struct store_read *rd, struct watch_set *ws, struct str state,
    const struct dict *node_meta, struct arena *a, struct list *out)
{
    if (str_is(state, "any"))
        checks_list(rd, BY_KEY, STR_NIL, node_meta, a, out);
    else
        checks_list(rd, CHECKS_BY_STATUS, key_of(a, state), node_meta, a, out);
    return index_report(index_watch(rd, ws, STR("checks")));
}

uint64_t store_node_check(struct store_read *rd, struct watch_set *ws, struct str node,
    struct str check_id, struct arena *a, struct health_check **out)
{
    struct health_check c;
    bool found = check_find(&rd->view, node, check_id, a, &c);
    *out = found ? arena_copy(a, &c, sizeof c) : NULL;
    return index_report(index_watch(rd, ws, STR("checks")));
}

/* --- instances with their checks ----------------------------------------------------------- */

/* Checks of the node itself, kept between instances on the same one. */
struct join {
    struct node_memo memo;
    struct str node;
    struct list checks;
};

static void checks_of(struct store_read *rd, struct str node, struct str service_id,
    struct arena *a, struct list *out)
{
    table_list(&rd->view, TABLE_CHECKS, CHECKS_BY_OWNER, key_of2(a, node, service_id), a, out);
}

static void instance_add(struct store_read *rd, struct join *j, const struct service_row *row,
    struct arena *a, struct list *out)
{
    const struct node *n = row_node(rd, &j->memo, row->node, a);
    if (!n) return;
    if (!j->node.p || !str_eq_nocase(j->node, row->node)) {
        j->node = row->node;
        j->checks = (struct list){ 0 };
        checks_of(rd, row->node, STR(""), a, &j->checks);
    }
    struct check_service_node *to = LIST_PUSH(a, out, struct check_service_node);
    to->node = arena_copy(a, n, sizeof *n);
    to->service = arena_copy(a, &row->svc, sizeof row->svc);
    for (size_t i = 0; i < j->checks.n; i++)
        *LIST_PUSH(a, &to->checks, struct health_check) =
            LIST_AT(&j->checks, struct health_check, i);
    if (row->svc.id.n) checks_of(rd, row->node, row->svc.id, a, &to->checks);
}

static void instances_add(
    struct store_read *rd, const struct list *rows, struct arena *a, struct list *out)
{
    struct join j = { 0 };
    for (size_t i = 0; i < rows->n; i++)
        instance_add(rd, &j, &LIST_AT(rows, struct service_row, i), a, out);
}

/* Largest index among the names of the instances; what a missing service has if there are none. */
static uint64_t names_index(struct store_read *rd, struct watch_set *ws, struct str name,
    const struct list *rows, struct arena *a)
{
    uint64_t max = 0;
    struct str last = STR_NIL;
    for (size_t i = 0; i < rows->n; i++) {
        struct str own = LIST_AT(rows, struct service_row, i).svc.service;
        if (last.p && str_eq(own, last)) continue;
        last = own;
        uint64_t v = service_index(rd, ws, own, true, FALL_BACK_WITH_CHECKS, a);
        if (v > max) max = v;
    }
    return rows->n ? max : service_index(rd, ws, name, false, FALL_BACK_WITH_CHECKS, a);
}

uint64_t store_check_service_nodes(struct store_read *rd, struct watch_set *ws, struct str name,
    const struct list *tags, struct arena *a, struct list *out)
{
    struct list rows = { 0 };
    struct join j = { 0 };
    table_list(&rd->view, TABLE_SERVICES, SERVICES_BY_NAME, key_of(a, name), a, &rows);
    for (size_t i = 0; i < rows.n; i++) {
        const struct service_row *row = &LIST_AT(&rows, struct service_row, i);
        if (tags_match(&row->svc.tags, tags)) instance_add(rd, &j, row, a, out);
    }
    return index_report(names_index(rd, ws, name, &rows, a));
}

/* New instances of any name may join: the connect name is watched beside the names found. */
uint64_t store_check_connect_service_nodes(
    struct store_read *rd, struct watch_set *ws, struct str name, struct arena *a, struct list *out)
{
    struct list rows = { 0 };
    watch_entry(ws, index_name(a, "connect/", name));
    table_list(&rd->view, TABLE_SERVICES, SERVICES_BY_CONNECT, key_of(a, name), a, &rows);
    uint64_t index = gateway_instances(rd, ws, name, "terminating-gateway", a, &rows);
    uint64_t own = names_index(rd, ws, name, &rows, a);
    instances_add(rd, &rows, a, out);
    return index_report(own > index ? own : index);
}

uint64_t store_check_ingress_service_nodes(
    struct store_read *rd, struct watch_set *ws, struct str name, struct arena *a, struct list *out)
{
    struct list rows = { 0 };
    uint64_t index = gateway_instances(rd, ws, name, "ingress-gateway", a, &rows);
    instances_add(rd, &rows, a, out);
    return index_report(index);
}

uint64_t store_service_dump(struct store_read *rd, struct watch_set *ws, const struct str *kind,
    struct arena *a, struct list *out)
{
    static const char *const tables[] = { "nodes", "services", "checks" };
    struct list rows = { 0 };
    table_list(&rd->view, TABLE_SERVICES, kind ? SERVICES_BY_KIND : BY_KEY,
        kind ? key_of(a, *kind) : STR_NIL, a, &rows);
    instances_add(rd, &rows, a, out);
    if (!kind) return index_report(max_index(rd, ws, tables, 3));
    struct str name = index_name(a, "service_kind.", kind->n ? *kind : STR("typical"));
    return index_report(index_watch(rd, ws, name));
}
