/* SPDX-License-Identifier: Apache-2.0 */
/* Health.* (rpc.md 13, fsm.md 3.1). */
#include "server.h"

int health_checks_in_state(struct eval *e)
{
    const struct checks_in_state_request *args = eval_args(e, checks_in_state_request);
    struct list *out = &eval_reply(e, indexed_health_checks)->health_checks;
    e->reply->index = store_checks_in_state(
        e->rd, e->ws, args->state, eval_node_meta(&args->node_meta_filters), &e->reply->arena, out);
    int rc = eval_filter(e, args->filter, &type_health_check, out);
    if (rc == 0) eval_sort(e, &args->source, &type_health_check, out);
    return rc;
}

int health_node_checks(struct eval *e)
{
    const struct node_specific_request *args = eval_args(e, node_specific_request);
    struct list *out = &eval_reply(e, indexed_health_checks)->health_checks;
    e->reply->index = store_node_checks(e->rd, e->ws, args->node, &e->reply->arena, out);
    return eval_filter(e, args->filter, &type_health_check, out);
}

int health_service_checks(struct eval *e)
{
    const struct service_specific_request *args = eval_args(e, service_specific_request);
    struct list *out = &eval_reply(e, indexed_health_checks)->health_checks;
    if (args->tag_filter) {
        return error_set(e->err, ERR_INTERNAL, "Tag filtering is not supported");
    }
    e->reply->index = store_service_checks(e->rd, e->ws, args->service_name,
        eval_node_meta(&args->node_meta_filters), &e->reply->arena, out);
    int rc = eval_filter(e, args->filter, &type_health_check, out);
    if (rc == 0) eval_sort(e, &args->source, &type_health_check, out);
    return rc;
}

static void filter_node_meta(const struct dict *meta, struct list *l)
{
    size_t kept = 0;
    if (!meta->n) return;
    for (size_t i = 0; i < l->n; i++) {
        struct check_service_node *n = &LIST_AT(l, struct check_service_node, i);
        if (!n->node || !eval_has_meta(&n->node->meta, meta)) continue;
        LIST_AT(l, struct check_service_node, kept++) = *n;
    }
    l->n = kept;
    if (!kept) *l = (struct list){ 0 };
}

int health_service_nodes(struct eval *e)
{
    const struct service_specific_request *args = eval_args(e, service_specific_request);
    struct list *out = &eval_reply(e, indexed_check_service_nodes)->nodes;
    struct arena *a = &e->reply->arena;
    struct list one;
    if (args->service_name.n == 0) {
        return error_set(e->err, ERR_INTERNAL, "Must provide service name");
    }
    if (args->connect) {
        e->reply->index =
            store_check_connect_service_nodes(e->rd, e->ws, args->service_name, a, out);
    } else if (args->ingress && !args->tag_filter) {
        e->reply->index =
            store_check_ingress_service_nodes(e->rd, e->ws, args->service_name, a, out);
    } else {
        e->reply->index = store_check_service_nodes(
            e->rd, e->ws, args->service_name, eval_tags(e, args, &one), a, out);
    }
    filter_node_meta(&args->node_meta_filters, out);
    int rc = eval_filter(e, args->filter, &type_check_service_node, out);
    if (rc == 0) eval_sort(e, &args->source, &type_check_service_node, out);
    if (rc == 0) eval_count_service(e, "health", args, out->n);
    return rc;
}
