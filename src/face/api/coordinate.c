/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/coordinate/ (http-api.md 3.10). */
#include "state_call.h"
#include "state_routes.h"

#define READ_FLAGS (CALL_READ_HEADERS | CALL_ERROR_HEADERS)

static bool disabled(struct api_request *req)
{
    if (!state_context(req)->disable_coordinates) return false;
    api_reply_text(req, 401, "Coordinate support disabled");
    return true;
}

static const void *record_view(struct state_call *c)
{
    return c->rpc.reply->record;
}

static void coordinate_datacenters(struct api_request *req)
{
    static const struct nothing none;
    if (disabled(req)) return;
    struct state_call *c = state_call_write(req);
    c->view = record_view;
    c->type = &type_datacenter_map_list;
    state_call_submit(c, "Coordinate.ListDatacenters", &none);
}

/* All of them, or those of ?segment. */
static struct list selected(struct state_call *c)
{
    const struct list *in = &state_reply(c, indexed_coordinates)->coordinates;
    struct list out = { 0 };
    struct str segment;
    bool chosen = api_param(c->req, "segment", &segment);
    for (size_t i = 0; i < in->n; i++) {
        const struct coordinate *from = &LIST_AT(in, struct coordinate, i);
        if (chosen && !str_eq(from->segment, segment)) continue;
        *LIST_PUSH(c->req->arena, &out, struct coordinate) = *from;
    }
    return out;
}

static void finish_nodes(struct state_call *c)
{
    struct list l = state_list(selected(c));
    state_headers(c);
    api_reply_json(c->req, &type_coordinate_list, &l);
}

static void coordinate_nodes(struct api_request *req)
{
    if (disabled(req)) return;
    struct state_call *c = state_call_read_global(req, READ_FLAGS);
    if (!c) return;
    struct dc_specific_request *args = arena_new(req->arena, struct dc_specific_request);
    args->datacenter = c->q.datacenter;
    state_source(c, &args->source);
    api_query_fill(args, &c->q);
    c->finish = finish_nodes;
    state_call_submit(c, "Coordinate.ListNodes", args);
}

static void finish_node(struct state_call *c)
{
    struct list l = selected(c);
    /* Consul's headers come after the status, which only a compressed answer waits with */
    if (l.n || api_takes_gzip(c->req)) state_headers(c);
    if (l.n)
        api_reply_json(c->req, &type_coordinate_list, &l);
    else
        api_reply_empty(c->req, 404);
}

static void coordinate_node(struct api_request *req)
{
    if (disabled(req)) return;
    struct state_call *c = state_call_read_global(req, READ_FLAGS);
    if (!c) return;
    struct node_specific_request *args = arena_new(req->arena, struct node_specific_request);
    args->datacenter = c->q.datacenter;
    args->node = req->tail;
    api_query_fill(args, &c->q);
    c->finish = finish_node;
    state_call_submit(c, "Coordinate.Node", args);
}

static void coordinate_update(struct api_request *req)
{
    struct error err;
    if (disabled(req)) return;
    struct coordinate_update_request *args =
        arena_new(req->arena, struct coordinate_update_request);
    struct state_call *c = state_call_write(req);
    if (api_body_decode(req, &type_coordinate_update_request, args, &err)) {
        state_decode_failed(req, &err, false);
        return;
    }
    args->datacenter = c->q.datacenter;
    args->token = c->q.token;
    c->finish = state_finish_empty;
    state_call_submit(c, "Coordinate.Update", args);
}

const struct api_route api_coordinate_routes[] = {
    { "/v1/coordinate/datacenters", API_GET, API_BODY_PLAIN, 0, coordinate_datacenters },
    { "/v1/coordinate/node/", API_GET, API_BODY_PLAIN, 0, coordinate_node },
    { "/v1/coordinate/nodes", API_GET, API_BODY_PLAIN, 0, coordinate_nodes },
    { "/v1/coordinate/update", API_PUT, API_BODY_PLAIN, 0, coordinate_update },
    { 0 },
};
