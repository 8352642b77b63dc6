/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/health/ (http-api.md 3.5). */
#include "state_call.h"
#include "state_routes.h"

#define READ_FLAGS (CALL_READ_HEADERS | CALL_CONSISTENCY | CALL_ERROR_HEADERS)

enum { VARIANT_ALL, VARIANT_PASSING };

static struct list shown_checks(struct arena *a, const struct list *in)
{
    struct list out = LIST_EMPTY;
    if (in->n == 0) return out;
    out.v = arena_copy(a, in->v, in->n * sizeof(struct health_check));
    out.n = in->n;
    for (size_t i = 0; i < out.n; i++) {
        struct health_check *c = &LIST_AT(&out, struct health_check, i);
        c->service_tags = state_list(c->service_tags);
    }
    return out;
}

static const void *checks_view(struct state_call *c)
{
    struct list *l = arena_new(c->req->arena, struct list);
    *l = shown_checks(c->req->arena, &state_reply(c, indexed_health_checks)->health_checks);
    return l;
}

static void health_node(struct api_request *req)
{
    struct state_call *c = state_call_read(req, READ_FLAGS);
    if (!c || state_tail_missing(req, "Missing node name")) return;
    struct node_specific_request *args = arena_new(req->arena, struct node_specific_request);
    args->datacenter = c->q.datacenter;
    args->node = req->tail;
    api_query_fill(args, &c->q);
    c->view = checks_view;
    c->type = &type_health_check_list;
    state_call_submit(c, "Health.NodeChecks", args);
}

static void health_state(struct api_request *req)
{
    struct state_call *c = state_call_read(req, READ_FLAGS);
    if (!c || state_tail_missing(req, "Missing check state")) return;
    struct checks_in_state_request *args = arena_new(req->arena, struct checks_in_state_request);
    args->datacenter = c->q.datacenter;
    args->state = req->tail;
    state_source(c, &args->source);
    state_node_meta(c, &args->node_meta_filters);
    api_query_fill(args, &c->q);
    c->view = checks_view;
    c->type = &type_health_check_list;
    state_call_submit(c, "Health.ChecksInState", args);
}

static struct service_specific_request *service_args(struct state_call *c)
{
    struct service_specific_request *args =
        arena_new(c->req->arena, struct service_specific_request);
    args->datacenter = c->q.datacenter;
    args->service_name = c->req->tail;
    state_source(c, &args->source);
    state_node_meta(c, &args->node_meta_filters);
    api_query_fill(args, &c->q);
    return args;
}

static void health_checks(struct api_request *req)
{
    struct state_call *c = state_call_read(req, READ_FLAGS);
    if (!c || state_tail_missing(req, "Missing service name")) return;
    c->view = checks_view;
    c->type = &type_health_check_list;
    state_call_submit(c, "Health.ServiceChecks", service_args(c));
}

static bool all_passing(const struct check_service_node *n)
{
    for (size_t i = 0; i < n->checks.n; i++) {
        if (!str_is(LIST_AT(&n->checks, struct health_check, i).status, "passing")) return false;
    }
    return true;
}

static const void *instances_view(struct state_call *c)
{
    const struct list *in = &state_reply(c, indexed_check_service_nodes)->nodes;
    struct arena *a = c->req->arena;
    struct list *out = arena_new(a, struct list);
    *out = LIST_EMPTY;
    if (in->n == 0) return out;
    out->v = arena_copy(a, in->v, in->n * sizeof(struct check_service_node));
    out->n = in->n;
    if (c->variant == VARIANT_PASSING) {
        /* The last kept one takes the place of the removed: the order changes as Consul's. */
        for (size_t i = 0; i < out->n; i++) {
            struct check_service_node *n = &LIST_AT(out, struct check_service_node, i);
            if (all_passing(n)) continue;
            *n = LIST_AT(out, struct check_service_node, --out->n);
            i--;
        }
    }
    for (size_t i = 0; i < out->n; i++) {
        struct check_service_node *n = &LIST_AT(out, struct check_service_node, i);
        n->checks = shown_checks(a, &n->checks);
        if (!n->service || n->service->tags.v) continue;
        n->service = arena_copy(a, n->service, sizeof *n->service);
        n->service->tags = LIST_EMPTY;
    }
    return out;
}

static void finish_bad_passing(struct state_call *c)
{
    api_reply_text(c->req, 400, "Invalid value for ?passing");
}

static void instances(struct api_request *req, bool connect, bool ingress)
{
    struct state_call *c = state_call_read(req, READ_FLAGS);
    struct str tag, passing;
    bool only_passing = false;
    if (!c || state_tail_missing(req, "Missing service name")) return;
    if (api_param(req, "passing", &passing)) {
        only_passing = passing.n == 0;
        if (passing.n && !state_parse_bool(passing, &only_passing)) c->finish = finish_bad_passing;
    }
    struct service_specific_request *args = service_args(c);
    args->connect = connect;
    args->ingress = ingress;
    for (size_t it = 0; api_param_next(req, "tag", &it, &tag);) {
        args->tag_filter = true;
        *LIST_PUSH(req->arena, &args->service_tags, struct str) = tag;
    }
    c->variant = only_passing ? VARIANT_PASSING : VARIANT_ALL;
    c->view = instances_view;
    c->type = &type_check_service_node_list;
    state_call_submit_cached(c, "Health.ServiceNodes", args);
}

static void health_service(struct api_request *req)
{
    instances(req, false, false);
}

static void health_connect(struct api_request *req)
{
    instances(req, true, false);
}

static void health_ingress(struct api_request *req)
{
    instances(req, false, true);
}

const struct api_route api_health_routes[] = {
    { "/v1/health/checks/", API_GET, API_BODY_PLAIN, 0, health_checks },
    { "/v1/health/connect/", API_GET, API_BODY_PLAIN, 0, health_connect },
    { "/v1/health/ingress/", API_GET, API_BODY_PLAIN, 0, health_ingress },
    { "/v1/health/node/", API_GET, API_BODY_PLAIN, 0, health_node },
    { "/v1/health/service/", API_GET, API_BODY_PLAIN, 0, health_service },
    { "/v1/health/state/", API_GET, API_BODY_PLAIN, 0, health_state },
    { 0 },
};
