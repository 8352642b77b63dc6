/* SPDX-License-Identifier: Apache-2.0 */
/* Catalog.* reads (rpc.md 13, fsm.md 3.1). */
#include "consuld/lang/filter.h"
#include "server.h"

int catalog_list_datacenters(struct eval *e)
{
    server__datacenters(e->server, &e->reply->arena, e->reply->record);
    return 0;
}

int catalog_list_nodes(struct eval *e)
{
    const struct dc_specific_request *args = eval_args(e, dc_specific_request);
    struct list *out = &eval_reply(e, indexed_nodes)->nodes;
    e->reply->index =
        store_nodes(e->rd, e->ws, eval_node_meta(&args->node_meta_filters), &e->reply->arena, out);
    int rc = eval_filter(e, args->filter, &type_node, out);
    if (rc == 0) eval_sort(e, &args->source, &type_node, out);
    return rc;
}

int catalog_list_services(struct eval *e)
{
    const struct dc_specific_request *args = eval_args(e, dc_specific_request);
    e->reply->index = store_services(e->rd, e->ws, eval_node_meta(&args->node_meta_filters),
        &e->reply->arena, &eval_reply(e, indexed_services)->services);
    return 0;
}

int catalog_service_list(struct eval *e)
{
    e->reply->index = store_service_list(
        e->rd, e->ws, &e->reply->arena, &eval_reply(e, indexed_service_list)->services);
    return 0;
}

static void filter_node_meta(const struct dict *meta, struct list *l)
{
    size_t kept = 0;
    if (!meta->n) return;
    for (size_t i = 0; i < l->n; i++) {
        struct service_node *n = &LIST_AT(l, struct service_node, i);
        if (eval_has_meta(&n->node_meta, meta)) LIST_AT(l, struct service_node, kept++) = *n;
    }
    l->n = kept;
    if (!kept) *l = (struct list){ 0 };
}

int catalog_service_nodes(struct eval *e)
{
    const struct service_specific_request *args = eval_args(e, service_specific_request);
    struct list *out = &eval_reply(e, indexed_service_nodes)->service_nodes;
    struct arena *a = &e->reply->arena;
    struct list one;
    if (args->service_name.n == 0 && args->service_address.n == 0) {
        return error_set(e->err, ERR_INTERNAL, "Must provide service name");
    }
    if (args->connect) {
        e->reply->index = store_connect_service_nodes(e->rd, e->ws, args->service_name, a, out);
    } else if (args->service_address.n) {
        e->reply->index =
            store_service_nodes_by_address(e->rd, e->ws, args->service_address, a, out);
    } else {
        e->reply->index =
            store_service_nodes(e->rd, e->ws, args->service_name, eval_tags(e, args, &one), a, out);
    }
    for (size_t i = 0; i < out->n; i++) {
        struct service_node *n = &LIST_AT(out, struct service_node, i);
        if (!n->service_meta.v) n->service_meta = DICT_EMPTY;
        if (!n->service_tags.v) n->service_tags = LIST_EMPTY;
    }
    filter_node_meta(&args->node_meta_filters, out);
    int rc = eval_filter(e, args->filter, &type_service_node, out);
    if (rc == 0) eval_sort(e, &args->source, &type_service_node, out);
    if (rc == 0) eval_count_service(e, "catalog", args, out->n);
    return rc;
}

/* As eval_filter, over the values of a map. */
static int filter_services(struct eval *e, struct str expr, struct dict *d)
{
    struct dict kept = { 0 };
    struct filter *f;
    if (!expr.n) return 0;
    int rc = eval_filter_compile(e, expr, &type_node_service, &f);
    for (size_t i = 0; rc == 0 && i < d->n; i++) {
        struct node_service *ns = dict_at(d, &type_node_service, i);
        bool match;
        rc = filter_match(f, ns, &match, e->err);
        if (rc || !match) continue;
        *(struct node_service *)dict_append(
            &e->reply->arena, &kept, &type_node_service, dict_key(d, &type_node_service, i)) = *ns;
    }
    *d = kept.v ? kept : DICT_EMPTY;
    return rc;
}

int catalog_node_services(struct eval *e)
{
    const struct node_specific_request *args = eval_args(e, node_specific_request);
    struct indexed_node_services *out = eval_reply(e, indexed_node_services);
    if (args->node.n == 0) return error_set(e->err, ERR_INTERNAL, "Must provide node");
    e->reply->index =
        store_node_services(e->rd, e->ws, args->node, &e->reply->arena, &out->node_services);
    struct dict none = { 0 };
    return filter_services(
        e, args->filter, out->node_services ? &out->node_services->services : &none);
}

int catalog_node_service_list(struct eval *e)
{
    const struct node_specific_request *args = eval_args(e, node_specific_request);
    struct indexed_node_service_list *out = eval_reply(e, indexed_node_service_list);
    struct node_service_listing *listing = NULL;
    if (args->node.n == 0) return error_set(e->err, ERR_INTERNAL, "Must provide node");
    e->reply->index = store_node_service_list(e->rd, e->ws, args->node, &e->reply->arena, &listing);
    if (!listing) {
        struct list none = { 0 };
        return eval_filter(e, args->filter, &type_node_service, &none);
    }
    out->node_services = *listing;
    return eval_filter(e, args->filter, &type_node_service, &out->node_services.services);
}

int catalog_gateway_services(struct eval *e)
{
    const struct service_specific_request *args = eval_args(e, service_specific_request);
    e->reply->index = store_gateway_services(e->rd, e->ws, args->service_name, &e->reply->arena,
        &eval_reply(e, indexed_gateway_services)->services);
    return 0;
}
