/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

static void node_key(const void *row, struct buf *key)
{
    key_lower(key, ((const struct node *)row)->node);
}

static void node_id_keys(const void *row, struct index_keys *out)
{
    const struct node *n = row;
    if (!n->id.n) return;
    struct buf key = KEY_BUF;
    key_lower(&key, n->id);
    index_key(out, &key);
    buf_deinit(&key);
}

const struct table table_nodes = { .name = "nodes",
    .type = &type_node,
    .key = node_key,
    .index = { [NODES_BY_ID] = { "id", node_id_keys } } };

bool node_find(struct view *v, struct str name, struct arena *a, struct node *out)
{
    return table_get(v, TABLE_NODES, key_of(a, name), a, out);
}

bool node_find_by_id(struct view *v, struct str id, struct arena *a, struct node *out)
{
    return table_first(v, TABLE_NODES, NODES_BY_ID, key_of(a, id), a, out);
}

void node_services_bump(struct store_batch *b, uint64_t index, struct str node, struct arena *a)
{
    struct list rows = { 0 };
    table_list(&b->view, TABLE_SERVICES, BY_KEY, key_of(a, node), a, &rows);
    for (size_t i = 0; i < rows.n; i++) {
        const struct service_row *row = &LIST_AT(&rows, struct service_row, i);
        service_bump(b, index, row->svc.service, row->svc.kind, a);
    }
}

/* A name may be taken over from another node only while that one is not seen healthy. */
static int name_is_free(struct store_batch *b, const struct node *node, bool clash_without_id,
    struct arena *a, struct error *err)
{
    struct node holder;
    if (!node_find(&b->view, node->node, a, &holder)) return 0;
    if (str_eq_nocase(holder.id, node->id)) return 0;
    struct health_check serf;
    bool healthy = check_find(&b->view, holder.node, STR("serfHealth"), a, &serf) &&
                   !str_is(serf.status, "critical");
    if (!healthy || (!holder.id.n && clash_without_id)) return 0;
    return error_set(err, ERR_CONFLICT,
        "Node name %.*s is reserved by node %.*s with name %.*s (%.*s)", STR_ARG(node->node),
        STR_ARG(holder.id), STR_ARG(holder.node), STR_ARG(holder.address));
}

/* The node's present row, by ID first. A row under another name is deleted with all on it. */
static int present_row(struct store_batch *b, uint64_t index, const struct node *node,
    struct arena *a, struct node *out, bool *found, struct error *err)
{
    *found = node->id.n && node_find_by_id(&b->view, node->id, a, out);
    if (*found && !str_eq(out->node, node->node)) {
        if (name_is_free(b, node, false, a, err))
            return error_prefix(err,
                "Error while renaming Node ID: \"%.*s\" (%.*s): ", STR_ARG(node->id),
                STR_ARG(node->address));
        node_delete(b, index, out->node, a);
    } else if (!*found && node->id.n) {
        if (name_is_free(b, node, true, a, err))
            return error_prefix(
                err, "Error while renaming Node ID: %.*s: ", STR_ARG(store_quoted(a, node->id)));
    }
    if (!*found) *found = node_find(&b->view, node->node, a, out);
    return 0;
}

int node_upsert(struct store_batch *b, uint64_t index, const struct node *node, struct arena *a,
    struct error *err)
{
    struct node row = *node, old, stored;
    bool found;
    int code = present_row(b, index, node, a, &old, &found, err);
    if (code) return code;
    if (found) {
        row.create_index = old.create_index;
        if (record_equal(&type_node, &row, &old)) return 0;
        row.modify_index = index;
    } else if (!b->restoring || !row.create_index) {
        row.create_index = row.modify_index = index;
    }
    bool replaces = node_find(&b->view, row.node, a, &stored);
    table_put(b, TABLE_NODES, replaces ? &stored : NULL, &row);
    index_set(b, STR("nodes"), index);
    node_services_bump(b, index, row.node, a);
    return 0;
}

void node_delete(struct store_batch *b, uint64_t index, struct str name, struct arena *a)
{
    struct node node;
    if (!node_find(&b->view, name, a, &node)) return;
    struct list services = { 0 }, checks = { 0 };
    table_list(&b->view, TABLE_SERVICES, BY_KEY, key_of(a, name), a, &services);
    for (size_t i = 0; i < services.n; i++) {
        const struct service_row *row = &LIST_AT(&services, struct service_row, i);
        service_bump(b, index, row->svc.service, row->svc.kind, a);
    }
    for (size_t i = 0; i < services.n; i++)
        service_delete(b, index, name, LIST_AT(&services, struct service_row, i).svc.id, a);
    table_list(&b->view, TABLE_CHECKS, BY_KEY, key_of(a, name), a, &checks);
    for (size_t i = 0; i < checks.n; i++)
        check_delete(b, index, name, LIST_AT(&checks, struct health_check, i).check_id, a);
    coordinates_node_gone(b, index, name, a);
    table_delete(b, TABLE_NODES, &node);
    index_set(b, STR("nodes"), index);
    sessions_node_gone(b, index, name, a);
}
