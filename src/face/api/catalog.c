/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/catalog/ (http-api.md 3.4). */
#include "state_call.h"
#include "state_routes.h"

#define READ_FLAGS (CALL_READ_HEADERS | CALL_CONSISTENCY | CALL_ERROR_HEADERS)

/* --- writes --------------------------------------------------------------------------------- */

static void catalog_register(struct api_request *req)
{
    struct register_request *args = arena_new(req->arena, struct register_request);
    struct error err;
    if (api_refuse_namespace(req)) return;
    struct state_call *c = state_call_write(req);
    if (api_body_decode(req, &type_register_request, args, &err)) {
        state_decode_failed(req, &err, true);
        return;
    }
    if (args->datacenter.n == 0) args->datacenter = state_context(req)->datacenter;
    args->token = c->q.token;
    c->finish = state_finish_true;
    state_call_submit(c, "Catalog.Register", args);
}

static void catalog_deregister(struct api_request *req)
{
    struct deregister_request *args = arena_new(req->arena, struct deregister_request);
    struct error err;
    if (api_refuse_namespace(req)) return;
    struct state_call *c = state_call_write(req);
    if (api_body_decode(req, &type_deregister_request, args, &err)) {
        state_decode_failed(req, &err, true);
        return;
    }
    if (args->datacenter.n == 0) args->datacenter = state_context(req)->datacenter;
    args->token = c->q.token;
    c->finish = state_finish_true;
    state_call_submit(c, "Catalog.Deregister", args);
}

/* --- datacenters ---------------------------------------------------------------------------- */

/* A bad parameter does not end this one: its text and the list make up one body. */
static void finish_refused_datacenters(struct state_call *c)
{
    struct buf out = BUF_INIT((size_t)1 << 20);
    buf_put_c(&out, c->err.text);
    json_encode(&type_list_str, c->rpc.reply->record, c->req->pretty, &out);
    if (c->req->pretty) buf_put_char(&out, '\n');
    struct str body = str_dup(c->req->arena, buf_str(&out));
    buf_deinit(&out);
    api_reply_raw(c->req, 400, "text/plain; charset=utf-8", body);
}

static const void *strings_view(struct state_call *c)
{
    return c->rpc.reply->record;
}

static void catalog_datacenters(struct api_request *req)
{
    struct state_call *c = state_call_write(req);
    struct datacenters_request *args = arena_new(req->arena, struct datacenters_request);
    c->view = strings_view;
    c->type = &type_list_str;
    if (api_query_consistency(req, &c->q, &c->err)) c->finish = finish_refused_datacenters;
    api_query_fill(args, &c->q);
    state_call_submit_cached(c, "Catalog.ListDatacenters", args);
}

/* --- nodes and services --------------------------------------------------------------------- */

static const void *nodes_view(struct state_call *c)
{
    struct list *l = arena_new(c->req->arena, struct list);
    *l = state_list(state_reply(c, indexed_nodes)->nodes);
    return l;
}

static struct dc_specific_request *dc_args(struct state_call *c)
{
    struct dc_specific_request *args = arena_new(c->req->arena, struct dc_specific_request);
    args->datacenter = c->q.datacenter;
    state_node_meta(c, &args->node_meta_filters);
    api_query_fill(args, &c->q);
    return args;
}

static void catalog_nodes(struct api_request *req)
{
    struct state_call *c = state_call_read_global(req, READ_FLAGS);
    if (!c) return;
    struct dc_specific_request *args = dc_args(c);
    state_source(c, &args->source);
    c->view = nodes_view;
    c->type = &type_node_list;
    state_call_submit(c, "Catalog.ListNodes", args);
}

static const void *services_view(struct state_call *c)
{
    const struct dict *in = &state_reply(c, indexed_services)->services;
    struct dict *out = arena_new(c->req->arena, struct dict);
    *out = DICT_EMPTY;
    if (in->n == 0) return out;
    *out = (struct dict){ 0 };
    for (size_t i = 0; i < in->n; i++) {
        struct list *tags =
            dict_append(c->req->arena, out, &type_list_str, dict_key(in, &type_list_str, i));
        *tags = state_list(*(struct list *)dict_at(in, &type_list_str, i));
    }
    return out;
}

static void catalog_services(struct api_request *req)
{
    struct state_call *c = state_call_read(req, READ_FLAGS);
    if (!c) return;
    c->view = services_view;
    c->type = &type_map_list_str;
    state_call_submit_cached(c, "Catalog.ListServices", dc_args(c));
}

static const void *service_nodes_view(struct state_call *c)
{
    const struct list *in = &state_reply(c, indexed_service_nodes)->service_nodes;
    struct list *out = arena_new(c->req->arena, struct list);
    *out = LIST_EMPTY;
    if (in->n == 0) return out;
    out->v = arena_copy(c->req->arena, in->v, in->n * sizeof(struct service_node));
    out->n = in->n;
    for (size_t i = 0; i < out->n; i++) {
        struct service_node *n = &LIST_AT(out, struct service_node, i);
        n->service_tags = state_list(n->service_tags);
    }
    return out;
}

static void service_nodes(struct api_request *req, bool connect)
{
    struct state_call *c = state_call_read(req, READ_FLAGS);
    struct str tag;
    if (!c || state_tail_missing(req, "Missing service name")) return;
    struct service_specific_request *args = arena_new(req->arena, struct service_specific_request);
    args->datacenter = c->q.datacenter;
    args->service_name = req->tail;
    args->connect = connect;
    state_source(c, &args->source);
    state_node_meta(c, &args->node_meta_filters);
    for (size_t it = 0; api_param_next(req, "tag", &it, &tag);) {
        args->tag_filter = true;
        *LIST_PUSH(req->arena, &args->service_tags, struct str) = tag;
    }
    api_query_fill(args, &c->q);
    c->view = service_nodes_view;
    c->type = &type_service_node_list;
    state_call_submit_cached(c, "Catalog.ServiceNodes", args);
}

static void catalog_service(struct api_request *req)
{
    service_nodes(req, false);
}

static void catalog_connect(struct api_request *req)
{
    service_nodes(req, true);
}

/* --- one node ------------------------------------------------------------------------------- */

static struct node_service shown_service(const struct node_service *in)
{
    struct node_service out = *in;
    out.tags = state_list(out.tags);
    return out;
}

static const void *node_view(struct state_call *c)
{
    const struct node_services *in = state_reply(c, indexed_node_services)->node_services;
    struct arena *a = c->req->arena;
    struct node_services **out = arena_new(a, struct node_services *);
    if (!in) return out;
    *out = arena_new(a, struct node_services);
    (*out)->node = in->node;
    (*out)->services = in->services.v ? DICT_EMPTY : (struct dict){ 0 };
    if (in->services.n) (*out)->services = (struct dict){ 0 };
    for (size_t i = 0; i < in->services.n; i++) {
        struct str id = dict_key(&in->services, &type_node_service, i);
        struct node_service *to = dict_append(a, &(*out)->services, &type_node_service, id);
        *to = shown_service(dict_at(&in->services, &type_node_service, i));
    }
    return out;
}

static const void *node_list_view(struct state_call *c)
{
    const struct node_service_listing *in =
        &state_reply(c, indexed_node_service_list)->node_services;
    struct arena *a = c->req->arena;
    struct node_service_listing *out = arena_new(a, struct node_service_listing);
    out->node = in->node;
    out->services = in->services.v ? LIST_EMPTY : (struct list){ 0 };
    if (in->services.n) out->services = (struct list){ 0 };
    for (size_t i = 0; i < in->services.n; i++) {
        *LIST_PUSH(a, &out->services, struct node_service) =
            shown_service(&LIST_AT(&in->services, struct node_service, i));
    }
    return out;
}

static void by_node(struct api_request *req, const char *method,
    const void *(*view)(struct state_call *c), const struct type *type)
{
    struct state_call *c = state_call_read(req, READ_FLAGS);
    if (!c || state_tail_missing(req, "Missing node name")) return;
    struct node_specific_request *args = arena_new(req->arena, struct node_specific_request);
    args->datacenter = c->q.datacenter;
    args->node = req->tail;
    api_query_fill(args, &c->q);
    c->view = view;
    c->type = type;
    state_call_submit(c, method, args);
}

static void catalog_node(struct api_request *req)
{
    by_node(req, "Catalog.NodeServices", node_view, &type_node_services_ptr);
}

static void catalog_node_services(struct api_request *req)
{
    by_node(req, "Catalog.NodeServiceList", node_list_view, &type_node_service_listing);
}

static const void *gateway_view(struct state_call *c)
{
    return &state_reply(c, indexed_gateway_services)->services;
}

static void catalog_gateway_services(struct api_request *req)
{
    struct state_call *c = state_call_read(req, READ_FLAGS);
    if (!c || state_tail_missing(req, "Missing gateway name")) return;
    struct service_specific_request *args = arena_new(req->arena, struct service_specific_request);
    args->datacenter = c->q.datacenter;
    args->service_name = req->tail;
    api_query_fill(args, &c->q);
    c->view = gateway_view;
    c->type = &type_gateway_service_list;
    state_call_submit(c, "Catalog.GatewayServices", args);
}

const struct api_route api_catalog_routes[] = {
    { "/v1/catalog/connect/", API_GET, API_BODY_PLAIN, 0, catalog_connect },
    { "/v1/catalog/datacenters", API_GET, API_BODY_PLAIN, 0, catalog_datacenters },
    { "/v1/catalog/deregister", API_PUT, API_BODY_PLAIN, 0, catalog_deregister },
    { "/v1/catalog/gateway-services/", API_GET, API_BODY_PLAIN, 0, catalog_gateway_services },
    { "/v1/catalog/node-services/", API_GET, API_BODY_PLAIN, 0, catalog_node_services },
    { "/v1/catalog/node/", API_GET, API_BODY_PLAIN, 0, catalog_node },
    { "/v1/catalog/nodes", API_GET, API_BODY_PLAIN, 0, catalog_nodes },
    { "/v1/catalog/register", API_PUT, API_BODY_PLAIN, 0, catalog_register },
    { "/v1/catalog/service/", API_GET, API_BODY_PLAIN, 0, catalog_service },
    { "/v1/catalog/services", API_GET, API_BODY_PLAIN, 0, catalog_services },
    { 0 },
};
