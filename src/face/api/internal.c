/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/internal/ (http-api.md 3.14). */
#include <stdlib.h>

#include "consuld/agent/config.h"
#include "state_call.h"
#include "state_routes.h"

#define READ_FLAGS (CALL_READ_HEADERS | CALL_ERROR_HEADERS)

/* --- nodes ---------------------------------------------------------------------------------- */

static const void *node_dump_view(struct state_call *c)
{
    const struct list *in = &state_reply(c, indexed_node_dump)->dump;
    struct list *out = arena_new(c->req->arena, struct list);
    *out = LIST_EMPTY;
    if (in->n == 0) return out;
    out->v = arena_copy(c->req->arena, in->v, in->n * sizeof(struct node_info));
    out->n = in->n;
    for (size_t i = 0; i < out->n; i++) {
        struct node_info *n = &LIST_AT(out, struct node_info, i);
        n->services = state_list(n->services);
        n->checks = state_list(n->checks);
    }
    return out;
}

static void ui_nodes(struct api_request *req)
{
    struct state_call *c = state_call_read(req, READ_FLAGS | CALL_NAMESPACE_LAST);
    if (!c) return;
    struct dc_specific_request *args = arena_new(req->arena, struct dc_specific_request);
    args->datacenter = c->q.datacenter;
    api_query_fill(args, &c->q);
    c->view = node_dump_view;
    c->type = &type_node_info_list;
    state_call_submit(c, "Internal.NodeDump", args);
}

static void finish_ui_node(struct state_call *c)
{
    const struct list *l = node_dump_view(c);
    if (l->n == 0) {
        api_reply_empty(c->req, 404);
        return;
    }
    state_headers(c);
    api_reply_json(c->req, &type_node_info, &LIST_AT(l, struct node_info, 0));
}

static void ui_node(struct api_request *req)
{
    struct state_call *c = state_call_read(req, READ_FLAGS | CALL_NAMESPACE_LAST);
    if (!c || state_tail_missing(req, "Missing node name")) return;
    struct node_specific_request *args = arena_new(req->arena, struct node_specific_request);
    args->datacenter = c->q.datacenter;
    args->node = req->tail;
    api_query_fill(args, &c->q);
    c->finish = finish_ui_node;
    state_call_submit(c, "Internal.NodeInfo", args);
}

/* --- services ------------------------------------------------------------------------------- */

static int text_order(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void add_once(struct arena *a, struct list *l, struct str text)
{
    for (size_t i = 0; i < l->n; i++) {
        if (str_eq(LIST_AT(l, struct str, i), text)) return;
    }
    *LIST_PUSH(a, l, struct str) = text;
}

static void count_checks(struct service_summary *s, const struct list *checks)
{
    for (size_t i = 0; i < checks->n; i++) {
        struct str status = LIST_AT(checks, struct health_check, i).status;
        if (str_is(status, "passing"))
            s->checks_passing++;
        else if (str_is(status, "warning"))
            s->checks_warning++;
        else if (str_is(status, "critical"))
            s->checks_critical++;
    }
}

static void add_instance(struct arena *a, struct service_summary *s, const struct node *node,
    const struct node_service *service, const struct list *checks)
{
    s->kind = service->kind;
    s->instance_count++;
    if (node) *LIST_PUSH(a, &s->nodes, struct str) = node->node;
    for (size_t i = 0; i < service->tags.n; i++) {
        add_once(a, &s->tags, LIST_AT(&service->tags, struct str, i));
    }
    if (str_is(service->kind, "connect-proxy")) {
        add_once(a, &s->proxy_for, service->proxy.destination_service_name);
    }
    struct str source = dict_str(&service->meta, STR("external-source"));
    if (source.n) add_once(a, &s->external_sources, source);
    count_checks(s, checks);
}

static int summary_order(const void *a, const void *b)
{
    return str_cmp(
        ((const struct service_summary *)a)->name, ((const struct service_summary *)b)->name);
}

static void sort_texts(struct list *l)
{
    if (l->n > 1) qsort(l->v, l->n, sizeof(struct str), text_order);
}

/* Collects summaries by service name. */
struct summaries {
    struct arena *arena;
    struct map at; /* name -> position + 1 */
    struct list list;
};

static struct service_summary *summary_of(struct summaries *all, struct str name)
{
    void *at = map_get(&all->at, name);
    if (at) return &LIST_AT(&all->list, struct service_summary, (uintptr_t)at - 1);
    struct service_summary *s = LIST_PUSH(all->arena, &all->list, struct service_summary);
    s->name = name;
    map_put(&all->at, name, (void *)(uintptr_t)all->list.n);
    return s;
}

static struct list summaries_end(struct summaries *all)
{
    map_deinit(&all->at);
    if (all->list.n > 1) {
        qsort(all->list.v, all->list.n, sizeof(struct service_summary), summary_order);
    }
    for (size_t i = 0; i < all->list.n; i++) {
        struct service_summary *s = &LIST_AT(&all->list, struct service_summary, i);
        sort_texts(&s->tags);
        sort_texts(&s->nodes);
        sort_texts(&s->external_sources);
    }
    return state_list(all->list);
}

static const void *services_view(struct state_call *c)
{
    const struct list *in = &state_reply(c, indexed_check_service_nodes)->nodes;
    struct summaries all = { .arena = c->req->arena };
    struct list *out = arena_new(c->req->arena, struct list);
    for (size_t i = 0; i < in->n; i++) {
        const struct check_service_node *n = &LIST_AT(in, struct check_service_node, i);
        if (!n->service) continue;
        add_instance(
            c->req->arena, summary_of(&all, n->service->service), n->node, n->service, &n->checks);
    }
    *out = summaries_end(&all);
    return out;
}

static void ui_services(struct api_request *req)
{
    struct state_call *c = state_call_read(req, READ_FLAGS | CALL_NAMESPACE_LAST);
    if (!c) return;
    struct service_dump_request *args = arena_new(req->arena, struct service_dump_request);
    args->datacenter = c->q.datacenter;
    api_query_fill(args, &c->q);
    c->view = services_view;
    c->type = &type_service_summary_list;
    state_call_submit(c, "Internal.ServiceDump", args);
}

static void add_address(struct state_call *c, const struct gateway_service *g, struct str host,
    struct service_summary *s)
{
    add_once(c->req->arena, &s->gateway_config.addresses,
        str_printf(c->req->arena, "%.*s:%lld", STR_ARG(host), (long long)g->port));
}

/* Where clients reach a service through an ingress gateway: its hosts, or its names in the DNS. */
static void add_addresses(
    struct state_call *c, const struct gateway_service *g, struct service_summary *s)
{
    const struct agent_config *config = state_context(c->req)->config;
    struct str domains[] = { config ? config->dns_domain : STR("consul."),
        config ? config->dns_alt_domain : STR_NIL };
    if (g->port == 0) return;
    for (size_t i = 0; i < g->hosts.n; i++)
        add_address(c, g, LIST_AT(&g->hosts, struct str, i), s);
    for (size_t i = 0; i < 2 && g->hosts.n == 0; i++) {
        struct str dot = str_has_suffix(domains[i], STR(".")) ? STR("") : STR(".");
        if (domains[i].n == 0 || str_is(domains[i], ".")) continue;
        add_address(c, g,
            str_printf(c->req->arena, "%.*s.ingress.%.*s.%.*s%.*s", STR_ARG(g->service.name),
                STR_ARG(c->q.datacenter), STR_ARG(domains[i]), STR_ARG(dot)),
            s);
    }
}

static const void *gateway_services_view(struct state_call *c)
{
    const struct list *in = &state_reply(c, indexed_service_dump)->dump;
    struct summaries all = { .arena = c->req->arena };
    struct list *out = arena_new(c->req->arena, struct list);
    for (size_t i = 0; i < in->n; i++) {
        const struct service_info *n = &LIST_AT(in, struct service_info, i);
        if (!n->gateway_service) continue;
        struct service_summary *s = summary_of(&all, n->gateway_service->service.name);
        add_addresses(c, n->gateway_service, s);
        if (n->service) add_instance(c->req->arena, s, n->node, n->service, &n->checks);
    }
    *out = summaries_end(&all);
    return out;
}

static void ui_gateway_services(struct api_request *req)
{
    struct state_call *c = state_call_read(req, READ_FLAGS);
    if (!c || state_tail_missing(req, "Missing gateway name")) return;
    struct service_specific_request *args = arena_new(req->arena, struct service_specific_request);
    args->datacenter = c->q.datacenter;
    args->service_name = req->tail;
    api_query_fill(args, &c->q);
    c->view = gateway_services_view;
    c->type = &type_service_summary_list;
    state_call_submit(c, "Internal.GatewayServiceDump", args);
}

/* --- federation states ---------------------------------------------------------------------- */

static const void *federation_states_view(struct state_call *c)
{
    struct list *l = arena_new(c->req->arena, struct list);
    *l = state_list(state_reply(c, indexed_federation_states)->states);
    return l;
}

static const void *mesh_gateways_view(struct state_call *c)
{
    struct dict *d = arena_new(c->req->arena, struct dict);
    *d = state_reply(c, datacenter_indexed_check_service_nodes)->datacenter_nodes;
    if (!d->v) *d = DICT_EMPTY;
    return d;
}

static void federation_list(struct api_request *req, const char *method,
    const void *(*view)(struct state_call *c), const struct type *type)
{
    struct state_call *c = state_call_read_global(req, READ_FLAGS);
    if (!c) return;
    struct dc_specific_request *args = arena_new(req->arena, struct dc_specific_request);
    args->datacenter = c->q.datacenter;
    api_query_fill(args, &c->q);
    c->view = view;
    c->type = type;
    state_call_submit(c, method, args);
}

static void federation_states(struct api_request *req)
{
    federation_list(
        req, "FederationState.List", federation_states_view, &type_federation_state_list);
}

static void federation_mesh_gateways(struct api_request *req)
{
    federation_list(req, "FederationState.ListMeshGateways", mesh_gateways_view,
        &type_check_service_node_map_list);
}

static void finish_federation_state(struct state_call *c)
{
    const struct federation_state_response *in = state_reply(c, federation_state_response);
    if (!in->state) {
        api_reply_empty(c->req, 404);
        return;
    }
    state_headers(c);
    api_reply_json(c->req, &type_federation_state_response, in);
}

static void federation_state(struct api_request *req)
{
    struct state_call *c = state_call_read_global(req, READ_FLAGS);
    if (!c) return;
    if (req->tail.n == 0) {
        api_reply_bad_request(req, "Missing datacenter name");
        return;
    }
    struct federation_state_query *args = arena_new(req->arena, struct federation_state_query);
    args->target_datacenter = c->q.datacenter;
    args->datacenter = req->tail;
    api_query_fill(args, &c->q);
    c->finish = finish_federation_state;
    state_call_submit(c, "FederationState.Get", args);
}

const struct api_route api_internal_routes[] = {
    { "/v1/internal/federation-state/", API_GET, API_BODY_PLAIN, 0, federation_state },
    { "/v1/internal/federation-states", API_GET, API_BODY_PLAIN, 0, federation_states },
    { "/v1/internal/federation-states/mesh-gateways", API_GET, API_BODY_PLAIN, 0,
        federation_mesh_gateways },
    { "/v1/internal/ui/gateway-services-nodes/", API_GET, API_BODY_PLAIN, 0, ui_gateway_services },
    { "/v1/internal/ui/node/", API_GET, API_BODY_PLAIN, 0, ui_node },
    { "/v1/internal/ui/nodes", API_GET, API_BODY_PLAIN, 0, ui_nodes },
    { "/v1/internal/ui/services", API_GET, API_BODY_PLAIN, 0, ui_services },
    { 0 },
};
