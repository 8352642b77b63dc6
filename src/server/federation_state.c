/* SPDX-License-Identifier: Apache-2.0 */
/* FederationState.* (rpc.md 13): the answers of a single datacenter. */
#include "server.h"

#define DISABLED \
    "Federation states are currently disabled until all servers in the datacenter support the " \
    "feature"

int federation_state_get(struct eval *e)
{
    if (!server__federation_supported(e->server))
        return error_set(e->err, ERR_INTERNAL, "%s", DISABLED);
    const struct federation_state_query *args = eval_args(e, federation_state_query);
    e->reply->index = store_federation_state(e->rd, e->ws, args->datacenter, &e->reply->arena,
        &eval_reply(e, federation_state_response)->state);
    return 0;
}

int federation_state_list(struct eval *e)
{
    if (!server__federation_supported(e->server))
        return error_set(e->err, ERR_INTERNAL, "%s", DISABLED);
    struct list *out = &eval_reply(e, indexed_federation_states)->states;
    e->reply->index = store_federation_states(e->rd, e->ws, &e->reply->arena, out);
    if (!out->v) *out = LIST_EMPTY;
    return 0;
}

int federation_state_list_mesh_gateways(struct eval *e)
{
    if (!server__federation_supported(e->server))
        return error_set(e->err, ERR_INTERNAL, "%s", DISABLED);
    struct dict *out = &eval_reply(e, datacenter_indexed_check_service_nodes)->datacenter_nodes;
    struct arena *a = &e->reply->arena;
    struct list states = { 0 };
    e->reply->index = store_federation_states(e->rd, e->ws, a, &states);
    *out = DICT_EMPTY;
    for (size_t i = 0; i < states.n; i++) {
        const struct federation_state *s = &LIST_AT(&states, struct federation_state, i);
        if (!s->mesh_gateways.n) continue;
        if (!out->n) *out = (struct dict){ 0 };
        *(struct list *)dict_put(a, out, &type_check_service_node_list, s->datacenter) =
            s->mesh_gateways;
    }
    return 0;
}

/* True for upsert, false for delete: what the state machine answers. */
int federation_state_apply(struct write *w)
{
    if (!server__federation_supported(w->p.server))
        return error_set(w->err, ERR_INTERNAL, "%s", DISABLED);
    struct arena *a = w->p.call->arena;
    struct federation_state_request *req = arena_copy(a, w->p.args, sizeof *req);
    if (!req->state || req->state->datacenter.n == 0) {
        return error_set(
            w->err, ERR_INTERNAL, "invalid request: missing federation state datacenter");
    }
    if (gotime_is_zero(req->state->updated_at)) {
        req->state = arena_copy(a, req->state, sizeof *req->state);
        req->state->updated_at = gotime_from_unix_ns(world_wall_ns(w->p.server->world));
    }
    if (!str_is(req->op, "upsert") && !str_is(req->op, "delete"))
        return error_set(
            w->err, ERR_INTERNAL, "Invalid federation state operation: %.*s", STR_ARG(req->op));
    return write_propose(w, COMMAND_FEDERATION_STATE, req);
}
