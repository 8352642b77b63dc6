/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/session/ (http-api.md 3.2). */
#include <stdlib.h>

#include "state_call.h"
#include "state_routes.h"

#define READ_FLAGS (CALL_READ_HEADERS | CALL_ERROR_HEADERS)
#define SECONDS_BELOW 1000 /* a bare LockDelay under this counts seconds */

static const void *sessions_view(struct state_call *c)
{
    struct list *l = arena_new(c->req->arena, struct list);
    *l = state_list(state_reply(c, indexed_sessions)->sessions);
    return l;
}

static void finish_id(struct state_call *c)
{
    struct id_reply out = { .id = *(const struct str *)c->rpc.reply->record };
    api_reply_json(c->req, &type_id_reply, &out);
}

/* A number counts seconds when small, else nanoseconds; what is no number or text is ignored. */
static int lock_delay(const struct value *v, int64_t *out, struct error *err)
{
    double number = 0;
    switch (v->kind) {
    case V_STR:
        return duration_parse(v->s, out, err);
    case V_NUMBER:
        number = strtod(v->s.p, NULL);
        break;
    case V_INT:
        number = (double)v->i;
        break;
    case V_UINT:
        number = (double)v->u;
        break;
    case V_FLOAT:
    case V_FLOAT32:
        number = v->f;
        break;
    case V_NIL:
    case V_BOOL:
    case V_BYTES:
    case V_LIST:
    case V_MAP:
        return 0;
    }
    if (number < SECONDS_BELOW) number *= (double)SECOND_NS;
    if (number < 9e18 && number > -9e18) *out = (int64_t)number;
    return 0;
}

/* The session a body describes; what it does not name keeps its default. */
static int read_session(struct api_request *req, struct session *out, struct error *err)
{
    struct session_create in = { .node = state_context(req)->node_name };
    struct str serf = STR("serfHealth");
    *LIST_PUSH(req->arena, &in.node_checks, struct str) = serf;
    *LIST_PUSH(req->arena, &in.checks, struct str) = serf;
    out->lock_delay = DEFAULT_LOCK_DELAY;
    if (req->body.n || req->body_cut) {
        if (req->body_cut) return error_set(err, ERR_TOO_LARGE, "http: request body too large");
        int rc = json_decode(
            req->body, req->arena, &type_session_create, &in, JSON_UNKNOWN_IGNORED, err);
        if (rc == 0) rc = lock_delay(&in.lock_delay, &out->lock_delay, err);
        if (rc) return rc;
    }
    out->name = in.name;
    out->node = in.node;
    out->behavior = in.behavior;
    out->ttl = in.ttl;
    out->node_checks = in.node_checks;
    out->service_checks = in.service_checks;
    /* Of the old list and the new one that which was not given makes way. */
    bool old_default = in.checks.n == 1 && str_eq(LIST_AT(&in.checks, struct str, 0), serf);
    if (in.checks.n == 0)
        out->node_checks = LIST_EMPTY;
    else if (!old_default && in.node_checks.n)
        out->checks = in.checks;
    return 0;
}

static void session_create(struct api_request *req)
{
    struct error err;
    if (api_refuse_namespace(req)) return;
    struct state_call *c = state_call_write(req);
    struct session_request *args = arena_new(req->arena, struct session_request);
    args->datacenter = c->q.datacenter;
    args->token = c->q.token;
    args->op = STR("create");
    if (read_session(req, &args->session, &err)) {
        state_decode_failed(req, &err, false);
        return;
    }
    c->finish = finish_id;
    state_call_submit(c, "Session.Apply", args);
}

static void session_destroy(struct api_request *req)
{
    if (api_refuse_namespace(req)) return;
    struct state_call *c = state_call_write(req);
    if (state_tail_missing(req, "Missing session")) return;
    struct session_request *args = arena_new(req->arena, struct session_request);
    args->datacenter = c->q.datacenter;
    args->token = c->q.token;
    args->op = STR("destroy");
    args->session.id = req->tail;
    c->finish = state_finish_true;
    state_call_submit(c, "Session.Apply", args);
}

static void finish_renew(struct state_call *c)
{
    if (state_reply(c, indexed_sessions)->sessions.n == 0) {
        api_reply_text(c->req, 404, "Session id '%.*s' not found", STR_ARG(c->req->tail));
        return;
    }
    state_finish_json(c);
}

static void by_id(struct api_request *req, const char *method, unsigned flags,
    void (*finish)(struct state_call *c))
{
    struct state_call *c = state_call_read(req, flags | CALL_NAMESPACE_LAST);
    if (!c || state_tail_missing(req, "Missing session")) return;
    struct session_specific_request *args = arena_new(req->arena, struct session_specific_request);
    args->datacenter = c->q.datacenter;
    args->session_id = args->session = req->tail;
    api_query_fill(args, &c->q);
    c->view = sessions_view;
    c->type = &type_session_list;
    c->finish = finish;
    state_call_submit(c, method, args);
}

static void session_renew(struct api_request *req)
{
    by_id(req, "Session.Renew", 0, finish_renew);
}

static void session_info(struct api_request *req)
{
    by_id(req, "Session.Get", READ_FLAGS, NULL);
}

static void session_list(struct api_request *req)
{
    struct state_call *c = state_call_read(req, READ_FLAGS | CALL_NAMESPACE_LAST);
    if (!c) return;
    struct session_specific_request *args = arena_new(req->arena, struct session_specific_request);
    args->datacenter = c->q.datacenter;
    api_query_fill(args, &c->q);
    c->view = sessions_view;
    c->type = &type_session_list;
    state_call_submit(c, "Session.List", args);
}

static void session_node(struct api_request *req)
{
    struct state_call *c = state_call_read(req, READ_FLAGS | CALL_NAMESPACE_LAST);
    if (!c || state_tail_missing(req, "Missing node name")) return;
    struct node_specific_request *args = arena_new(req->arena, struct node_specific_request);
    args->datacenter = c->q.datacenter;
    args->node = req->tail;
    api_query_fill(args, &c->q);
    c->view = sessions_view;
    c->type = &type_session_list;
    state_call_submit(c, "Session.NodeSessions", args);
}

const struct api_route api_session_routes[] = {
    { "/v1/session/create", API_PUT, API_BODY_PLAIN, 0, session_create },
    { "/v1/session/destroy/", API_PUT, API_BODY_PLAIN, 0, session_destroy },
    { "/v1/session/info/", API_GET, API_BODY_PLAIN, 0, session_info },
    { "/v1/session/list", API_GET, API_BODY_PLAIN, 0, session_list },
    { "/v1/session/node/", API_GET, API_BODY_PLAIN, 0, session_node },
    { "/v1/session/renew/", API_PUT, API_BODY_PLAIN, 0, session_renew },
    { 0 },
};
