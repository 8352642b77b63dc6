/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/query (http-api.md 3.11): definitions, execution. */
#include "state_call.h"
#include "state_routes.h"

#define READ_FLAGS (CALL_READ_HEADERS | CALL_CONSISTENCY | CALL_ERROR_HEADERS)

static const void *queries_view(struct state_call *c)
{
    struct list *l = arena_new(c->req->arena, struct list);
    *l = state_list(state_reply(c, indexed_prepared_queries)->queries);
    return l;
}

static void finish_id(struct state_call *c)
{
    struct id_reply out = { .id = *(const struct str *)c->rpc.reply->record };
    api_reply_json(c->req, &type_id_reply, &out);
}

static void list(struct api_request *req)
{
    struct state_call *c = state_call_read_global(req, READ_FLAGS);
    if (!c) return;
    struct dc_specific_request *args = arena_new(req->arena, struct dc_specific_request);
    args->datacenter = c->q.datacenter;
    api_query_fill(args, &c->q);
    c->view = queries_view;
    c->type = &type_prepared_query_list;
    state_call_submit(c, "PreparedQuery.List", args);
}

/* Creates, updates or deletes `req->tail`. A body is read when there is one, or must be. */
static void apply(
    struct api_request *req, struct str op, bool body_needed, void (*finish)(struct state_call *c))
{
    struct prepared_query_request *args = arena_new(req->arena, struct prepared_query_request);
    struct state_call *c = state_call_write(req);
    struct error err;
    args->datacenter = c->q.datacenter;
    args->token = c->q.token;
    args->op = op;
    args->query = arena_new(req->arena, struct prepared_query);
    if ((body_needed || req->body.n || req->body_cut) &&
        api_body_decode(req, &type_prepared_query, args->query, &err)) {
        state_decode_failed(req, &err, false);
        return;
    }
    if (!body_needed) args->query->id = req->tail;
    c->finish = finish;
    state_call_submit(c, "PreparedQuery.Apply", args);
}

static void general(struct api_request *req)
{
    if (req->method == API_POST)
        apply(req, STR("create"), true, finish_id);
    else
        list(req);
}

static void get(struct api_request *req)
{
    struct state_call *c = state_call_read_global(req, READ_FLAGS);
    if (!c) return;
    struct prepared_query_specific_request *args =
        arena_new(req->arena, struct prepared_query_specific_request);
    args->datacenter = c->q.datacenter;
    args->query_id = req->tail;
    api_query_fill(args, &c->q);
    c->view = queries_view;
    c->type = &type_prepared_query_list;
    state_call_submit(c, "PreparedQuery.Get", args);
}

static struct str consistency(const struct api_query *q)
{
    return q->require_consistent ? STR("consistent")
           : q->allow_stale      ? STR("stale")
                                 : STR("leader");
}

static const void *execute_view(struct state_call *c)
{
    struct prepared_query_execute_response *out =
        arena_copy(c->req->arena, state_reply(c, prepared_query_execute_response), sizeof *out);
    out->nodes = state_list(out->nodes);
    out->consistency_level = consistency(&c->q);
    return out;
}

static const void *explain_view(struct state_call *c)
{
    struct prepared_query_explain_response *out =
        arena_copy(c->req->arena, state_reply(c, prepared_query_explain_response), sizeof *out);
    out->consistency_level = consistency(&c->q);
    return out;
}

static bool parse_limit(struct api_request *req, int64_t *out)
{
    struct str limit = api_param_str(req, "limit"), digits = limit;
    if (limit.n == 0) return true;
    if (limit.p[0] == '+' && limit.n > 1) digits = str_slice(limit, 1, limit.n);
    if (str_to_i64(digits, out)) return true;
    api_reply_text(
        req, 500, "Bad limit: strconv.Atoi: parsing \"%.*s\": invalid syntax", STR_ARG(limit));
    return false;
}

static bool parse_connect(struct api_request *req, bool *out)
{
    struct str connect = api_param_str(req, "connect");
    if (connect.n == 0 || state_parse_bool(connect, out)) return true;
    api_reply_text(req, 500,
        "Error parsing 'connect' value: strconv.ParseBool: parsing \"%.*s\": invalid syntax",
        STR_ARG(connect));
    return false;
}

static struct prepared_query_execute_request *run_args(struct state_call *c)
{
    struct api_request *req = c->req;
    const struct face_context *ctx = state_context(req);
    struct prepared_query_execute_request *args =
        arena_new(req->arena, struct prepared_query_execute_request);
    ptrdiff_t slash = str_find_char(req->tail, '/');
    args->datacenter = c->q.datacenter;
    args->query_id_or_name = str_slice(req->tail, 0, (size_t)slash);
    args->agent.node = ctx->node_name;
    args->agent.datacenter = ctx->datacenter;
    args->agent.segment = STR("");
    state_source(c, &args->source);
    args->source.ip = str_of(req->peer);
    api_query_fill(args, &c->q);
    return args;
}

static void execute(struct api_request *req)
{
    struct state_call *c = state_call_read_global(req, READ_FLAGS);
    if (!c) return;
    struct prepared_query_execute_request *args = run_args(c);
    if (!parse_limit(req, &args->limit) || !parse_connect(req, &args->connect)) return;
    c->variant = c->q.require_consistent ? 2 : c->q.allow_stale;
    c->view = execute_view;
    c->type = &type_prepared_query_execute_response;
    state_call_submit_cached(c, "PreparedQuery.Execute", args);
}

static void explain(struct api_request *req)
{
    struct state_call *c = state_call_read_global(req, READ_FLAGS);
    if (!c) return;
    struct prepared_query_execute_request *args = run_args(c);
    if (!parse_limit(req, &args->limit)) return;
    c->view = explain_view;
    c->type = &type_prepared_query_explain_response;
    state_call_submit(c, "PreparedQuery.Explain", args);
}

/* This endpoint answers OPTIONS and 405 by itself, each with its own list. */
static bool refused(struct api_request *req, const char *allow, unsigned allowed)
{
    if (str_is(req->method_name, "OPTIONS")) {
        api_header(req, "Allow", str_printf(req->arena, "OPTIONS,%s", allow));
        struct value none = { .kind = V_MAP };
        api_reply_value(req, &none);
        return true;
    }
    if (req->method & allowed) return false;
    api_header(req, "Allow", str_of(allow));
    api_reply_text(req, 405, "method %.*s not allowed", STR_ARG(req->method_name));
    return true;
}

static void specific(struct api_request *req)
{
    if (str_has_suffix(req->tail, STR("/execute"))) {
        if (!refused(req, "GET", API_GET)) execute(req);
        return;
    }
    if (str_has_suffix(req->tail, STR("/explain"))) {
        if (!refused(req, "GET", API_GET)) explain(req);
        return;
    }
    if (refused(req, "GET,PUT,DELETE", API_GET | API_PUT | API_DELETE)) return;
    if (req->method == API_GET)
        get(req);
    else if (req->method == API_PUT)
        apply(req, STR("update"), false, state_finish_empty);
    else
        apply(req, STR("delete"), false, state_finish_empty);
}

const struct api_route api_query_routes[] = {
    { "/v1/query", API_GET | API_POST, API_BODY_PLAIN, 0, general },
    { "/v1/query/", API_GET | API_PUT | API_DELETE, API_BODY_PLAIN, API_OWN_METHODS, specific },
    { 0 },
};
