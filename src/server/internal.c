/* SPDX-License-Identifier: Apache-2.0 */
/* Internal.*: what the web interface and gateways read. */
#include "server.h"

int internal_node_info(struct eval *e)
{
    const struct node_specific_request *args = eval_args(e, node_specific_request);
    struct str node = args->node.n ? args->node : STR("");
    e->reply->index = store_node_dump(
        e->rd, e->ws, node, &e->reply->arena, &eval_reply(e, indexed_node_dump)->dump);
    return 0;
}

int internal_node_dump(struct eval *e)
{
    const struct dc_specific_request *args = eval_args(e, dc_specific_request);
    struct list *out = &eval_reply(e, indexed_node_dump)->dump;
    e->reply->index = store_node_dump(e->rd, e->ws, STR_NIL, &e->reply->arena, out);
    return eval_filter(e, args->filter, &type_node_info, out);
}

int internal_service_dump(struct eval *e)
{
    const struct service_dump_request *args = eval_args(e, service_dump_request);
    struct list *out = &eval_reply(e, indexed_check_service_nodes)->nodes;
    e->reply->index = store_service_dump(
        e->rd, e->ws, args->use_service_kind ? &args->service_kind : NULL, &e->reply->arena, out);
    return eval_filter(e, args->filter, &type_check_service_node, out);
}

int internal_gateway_service_dump(struct eval *e)
{
    const struct service_specific_request *args = eval_args(e, service_specific_request);
    struct list *out = &eval_reply(e, indexed_service_dump)->dump;
    struct arena *a = &e->reply->arena;
    struct list mapped = { 0 };
    if (args->service_name.n == 0) {
        return error_set(e->err, ERR_INTERNAL, "Must provide gateway name");
    }
    uint64_t index = store_gateway_services(e->rd, e->ws, args->service_name, a, &mapped);
    for (size_t i = 0; i < mapped.n; i++) {
        struct gateway_service *gs = &LIST_AT(&mapped, struct gateway_service, i);
        struct list nodes = { 0 };
        uint64_t at = store_check_service_nodes(e->rd, e->ws, gs->service.name, NULL, a, &nodes);
        if (at > index) index = at;
        for (size_t n = 0; n < nodes.n; n++) {
            struct check_service_node *csn = &LIST_AT(&nodes, struct check_service_node, n);
            struct service_info *info = LIST_PUSH(a, out, struct service_info);
            *info = (struct service_info){ .node = csn->node,
                .service = csn->service,
                .checks = csn->checks,
                .gateway_service = gs };
        }
        if (!nodes.n) LIST_PUSH(a, out, struct service_info)->gateway_service = gs;
    }
    e->reply->index = index;
    return 0;
}
