/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/connect/intentions and /v1/agent/connect/authorize (http-api.md 3.12, connect-xds.md 3). */
#include "consuld/model/intention.h"

#include "consuld/lang/spiffe.h"
#include "consuld/wire/quote.h"
#include "state_call.h"
#include "state_routes.h"

#define LIST_FLAGS (CALL_READ_HEADERS | CALL_ERROR_HEADERS)

/* --- the list ------------------------------------------------------------------------------- */

static const void *list_view(struct state_call *c)
{
    struct list *l = arena_new(c->req->arena, struct list);
    *l = state_list(state_reply(c, indexed_intentions)->intentions);
    return l;
}

static void list(struct api_request *req)
{
    struct state_call *c = state_call_read_global(req, LIST_FLAGS);
    if (!c) return;
    struct dc_specific_request *args = arena_new(req->arena, struct dc_specific_request);
    args->datacenter = c->q.datacenter;
    api_query_fill(args, &c->q);
    c->view = list_view;
    c->type = &type_intention_list;
    state_call_submit(c, "Intention.List", args);
}

/* --- one ------------------------------------------------------------------------------------ */

static void finish_id(struct state_call *c)
{
    struct id_reply out = { .id = *(const struct str *)c->rpc.reply->record };
    api_reply_json(c->req, &type_id_reply, &out);
}

static struct intention_request *write_args(struct state_call *c, struct str op)
{
    struct intention_request *args = arena_new(c->req->arena, struct intention_request);
    args->datacenter = c->q.datacenter;
    args->token = c->q.token;
    args->op = op;
    args->intention = arena_new(c->req->arena, struct intention);
    return args;
}

static void create(struct api_request *req)
{
    struct state_call *c = state_call_write(req);
    struct intention_request *args = write_args(c, STR("create"));
    struct error err;
    if (api_body_decode(req, &type_intention, args->intention, &err)) {
        api_reply_text(req, 500, "Failed to decode request body: %s", err.text);
        return;
    }
    c->finish = finish_id;
    state_call_submit(c, "Intention.Apply", args);
}

static void update(struct api_request *req)
{
    struct state_call *c = state_call_write(req);
    struct intention_request *args = write_args(c, STR("update"));
    struct error err;
    if (api_body_decode(req, &type_intention, args->intention, &err)) {
        api_reply_bad_request(req, "Request decode failed: %s", err.text);
        return;
    }
    args->intention->id = req->tail;
    c->finish = finish_id;
    state_call_submit(c, "Intention.Apply", args);
}

static void delete (struct api_request *req)
{
    struct state_call *c = state_call_write(req);
    struct intention_request *args = write_args(c, STR("delete"));
    args->intention->id = req->tail;
    c->finish = state_finish_true;
    state_call_submit(c, "Intention.Apply", args);
}

static const void *one_view(struct state_call *c)
{
    return &LIST_AT(&state_reply(c, indexed_intentions)->intentions, struct intention, 0);
}

/* The servers call a malformed ID a failed lookup; here it is the caller's fault. */
static void get_failed(struct state_call *c)
{
    if (str_find(str_of(c->err.text), STR("UUID")) >= 0) c->err.code = ERR_BAD_REQUEST;
}

static void get(struct api_request *req)
{
    struct state_call *c = state_call_read_global(req, 0);
    struct intention_query_request *args = arena_new(req->arena, struct intention_query_request);
    if (!c) return;
    c->failed = get_failed;
    args->datacenter = c->q.datacenter;
    args->intention_id = req->tail;
    api_query_fill(args, &c->q);
    c->view = one_view;
    c->type = &type_intention;
    state_call_submit(c, "Intention.Get", args);
}

static void general(struct api_request *req)
{
    if (req->method == API_POST)
        create(req);
    else
        list(req);
}

static void specific(struct api_request *req)
{
    if (req->method == API_GET)
        get(req);
    else if (req->method == API_PUT)
        update(req);
    else
        delete (req);
}

/* --- match and check ------------------------------------------------------------------------ */

/* A parameter that must be there exactly once; else answered. */
static bool one_param(struct api_request *req, const char *name, struct str *out)
{
    struct str more;
    size_t it = 0;
    if (api_param_next(req, name, &it, out) && !api_param_next(req, name, &it, &more)) return true;
    api_reply_text(req, 500, "required query parameter '%s' not set", name);
    return false;
}

/* [namespace/]name; else answered. */
static bool split_name(
    struct api_request *req, const char *what, struct str text, struct str *ns, struct str *name)
{
    if (!str_cut(text, '/', ns, name)) {
        *ns = STR("default");
        *name = text;
    } else if (str_find_char(*name, '/') >= 0) {
        struct buf quoted = BUF_INIT(text.n * 4 + 16);
        quote_go(&quoted, text);
        api_reply_text(req, 500, "%s %.*s is invalid: input can contain at most one '/'", what,
            STR_ARG(buf_str(&quoted)));
        buf_deinit(&quoted);
        return false;
    }
    return true;
}

/* The lists under the names as they were asked for. */
static void finish_match(struct state_call *c)
{
    const struct list *matches = &state_reply(c, indexed_intention_matches)->matches;
    struct dict all = DICT_EMPTY;
    struct str name;
    size_t at = 0;
    for (size_t it = 0; api_param_next(c->req, "name", &it, &name) && at < matches->n; at++) {
        struct list *l = dict_put(c->req->arena, &all, &type_intention_list, name);
        *l = LIST_AT(matches, struct list, at);
    }
    api_reply_json(c->req, &type_intention_map_list, &all);
}

static void match(struct api_request *req)
{
    struct state_call *c = state_call_read_global(req, 0);
    struct intention_query_request *args = arena_new(req->arena, struct intention_query_request);
    struct str name;
    if (!c) return;
    args->match = arena_new(req->arena, struct intention_query_match);
    if (!one_param(req, "by", &args->match->type)) return;
    if (!str_is(args->match->type, "source") && !str_is(args->match->type, "destination")) {
        api_reply_text(req, 500, "'by' parameter must be one of 'source' or 'destination'");
        return;
    }
    for (size_t it = 0; api_param_next(req, "name", &it, &name);) {
        struct intention_match_entry *m =
            LIST_PUSH(req->arena, &args->match->entries, struct intention_match_entry);
        if (!split_name(req, "name", name, &m->namespace, &m->name)) return;
    }
    if (args->match->entries.n == 0) {
        api_reply_text(req, 500, "required query parameter 'name' not set");
        return;
    }
    args->datacenter = c->q.datacenter;
    api_query_fill(args, &c->q);
    c->finish = finish_match;
    state_call_submit(c, "Intention.Match", args);
}

static const void *check_view(struct state_call *c)
{
    return c->rpc.reply->record;
}

static void check(struct api_request *req)
{
    struct state_call *c = state_call_read_global(req, 0);
    struct intention_query_request *args = arena_new(req->arena, struct intention_query_request);
    struct str source, destination;
    if (!c) return;
    struct intention_query_check *q = args->check =
        arena_new(req->arena, struct intention_query_check);
    q->source_type = STR("consul");
    if (api_has_param(req, "source-type")) q->source_type = api_param_str(req, "source-type");
    if (!one_param(req, "source", &source) || !one_param(req, "destination", &destination)) return;
    if (!split_name(req, "source", source, &q->source_ns, &q->source_name)) return;
    if (!split_name(req, "destination", destination, &q->destination_ns, &q->destination_name))
        return;
    args->datacenter = c->q.datacenter;
    api_query_fill(args, &c->q);
    c->view = check_view;
    c->type = &type_intention_query_check_response;
    state_call_submit(c, "Intention.Check", args);
}

/* --- agent authorization -------------------------------------------------------------------- */

static void finish_authorize(struct state_call *c)
{
    const struct list *matches = &state_reply(c, indexed_intention_matches)->matches;
    const struct spiffe_id *client = c->own;
    const struct intention *x = matches->n ? intention_decide(&LIST_AT(matches, struct list, 0),
                                                 client->namespace, client->service)
                                           : NULL;
    struct connect_authorize_reply out = { .authorized = !x || str_is(x->action, "allow"),
        .reason = STR("ACLs disabled, access is allowed by default") };
    if (x)
        out.reason = str_printf(
            c->req->arena, "Matched intention: %.*s", STR_ARG(intention_text(x, c->req->arena)));
    api_reply_json(c->req, &type_connect_authorize_reply, &out);
}

static void authorize(struct api_request *req)
{
    struct connect_authorize_request in = { 0 };
    struct error err;
    if (api_refuse_namespace(req)) return;
    struct state_call *c = state_call_write(req);
    struct spiffe_id *client = arena_new(req->arena, struct spiffe_id);
    struct intention_query_request *args = arena_new(req->arena, struct intention_query_request);
    if (api_body_decode(req, &type_connect_authorize_request, &in, &err)) {
        api_reply_bad_request(req, "Request decode failed: %s", err.text);
        return;
    }
    if (in.target.n == 0) {
        api_reply_bad_request(req, "Target service must be specified");
        return;
    }
    if (spiffe_parse(in.client_cert_uri, req->arena, client, &err)) {
        api_reply_bad_request(req, "ClientCertURI not a valid Connect identifier");
        return;
    }
    if (client->kind != SPIFFE_SERVICE) {
        api_reply_bad_request(req, "ClientCertURI not a valid Service identifier");
        return;
    }
    args->datacenter = state_context(req)->datacenter;
    args->token = c->q.token;
    args->match = arena_new(req->arena, struct intention_query_match);
    args->match->type = STR("destination");
    *LIST_PUSH(req->arena, &args->match->entries, struct intention_match_entry) =
        (struct intention_match_entry){ .namespace = STR("default"), .name = in.target };
    c->own = client;
    c->finish = finish_authorize;
    state_call_submit_to_cache(c, "Intention.Match", args);
}

const struct api_route api_intention_routes[] = {
    { "/v1/agent/connect/authorize", API_POST, API_BODY_PLAIN, 0, authorize },
    { "/v1/connect/intentions", API_GET | API_POST, API_BODY_PLAIN, 0, general },
    { "/v1/connect/intentions/", API_GET | API_PUT | API_DELETE, API_BODY_PLAIN, 0, specific },
    { "/v1/connect/intentions/check", API_GET, API_BODY_PLAIN, 0, check },
    { "/v1/connect/intentions/match", API_GET, API_BODY_PLAIN, 0, match },
    { 0 },
};
