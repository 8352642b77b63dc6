/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

static int register_node(struct store_batch *b, uint64_t index, const struct register_request *req,
    struct arena *a, struct error *err)
{
    struct node node = { .id = req->id,
        .node = req->node,
        .address = req->address,
        .datacenter = req->datacenter,
        .tagged_addresses = req->tagged_addresses,
        .meta = req->node_meta };
    if (b->restoring) {
        node.create_index = req->create_index;
        node.modify_index = req->modify_index;
    }
    struct node old;
    bool found = node_find(&b->view, req->node, a, &old);
    if (found && (req->skip_node_update || record_equal(&type_node, &node, &old))) return 0;
    if (node_upsert(b, index, &node, a, err) == 0) return 0;
    return error_prefix(err, "failed inserting node: ");
}

static int register_service(struct store_batch *b, uint64_t index,
    const struct register_request *req, struct arena *a, struct error *err)
{
    struct service_row old;
    if (service_find(&b->view, req->node, req->service->id, a, &old) &&
        record_equal(&type_node_service, req->service, &old.svc))
        return 0;
    if (service_upsert(b, index, req->node, req->service, a, err) == 0) return 0;
    return error_prefix(err, "failed inserting service: ");
}

static int register_check(struct store_batch *b, uint64_t index, struct str node,
    const struct health_check *check, struct arena *a, struct error *err)
{
    if (!str_eq(check->node, node))
        return error_set(err, ERR_BAD_REQUEST, "check node %.*s does not match node %.*s",
            STR_ARG(store_quoted(a, check->node)), STR_ARG(store_quoted(a, node)));
    int code = check_upsert(b, index, check, a, err);
    if (!code) return 0;
    struct error why = *err;
    return error_set(err, code, "failed inserting check: %s on node %.*s", why.text,
        STR_ARG(store_quoted(a, check->node)));
}

static int register_all(struct store_batch *b, uint64_t index, const struct register_request *req,
    struct arena *a, struct error *err)
{
    int code = register_node(b, index, req, a, err);
    if (!code && req->service) code = register_service(b, index, req, a, err);
    if (!code && req->check) code = register_check(b, index, req->node, req->check, a, err);
    for (size_t i = 0; i < req->checks.n && !code; i++)
        code = register_check(
            b, index, req->node, &LIST_AT(&req->checks, struct health_check, i), a, err);
    return code;
}

APPLY_FN(register)
{
    (void)res;
    return register_all(b, index, body, a, err);
}

int restore_register(struct store_batch *b, uint64_t index, const struct register_request *req,
    struct arena *a, struct error *err)
{
    return register_all(b, index, req, a, err);
}

APPLY_FN(deregister)
{
    (void)res;
    (void)err;
    const struct deregister_request *req = body;
    if (req->service_id.n)
        service_delete(b, index, req->node, req->service_id, a);
    else if (req->check_id.n)
        check_delete(b, index, req->node, req->check_id, a);
    else
        node_delete(b, index, req->node, a);
    return 0;
}
