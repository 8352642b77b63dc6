/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/config and /v1/discovery-chain/ (http-api.md 3.13). */
#include "consuld/wire/quote.h"
#include "state_call.h"
#include "state_routes.h"

#define CHAIN_FLAGS (CALL_READ_HEADERS | CALL_CONSISTENCY | CALL_ERROR_HEADERS)

/* --- writing -------------------------------------------------------------------------------- */

static void finish_apply(struct state_call *c)
{
    api_reply_bool(c->req, *(const bool *)c->rpc.reply->record);
}

static bool read_entry(struct api_request *req, struct config_entry *out)
{
    struct error err;
    struct value body;
    int rc = json_parse(req->body, req->arena, &body, &err);
    if (req->body_cut) rc = error_set(&err, ERR_TOO_LARGE, "http: request body too large");
    if (!rc) rc = config_entry_read(&body, req->arena, out, &err);
    if (rc) api_reply_bad_request(req, "Request decoding failed: %s", err.text);
    return !rc;
}

static void config_put(struct api_request *req)
{
    struct config_entry_request *args = arena_new(req->arena, struct config_entry_request);
    struct str cas;
    if (!read_entry(req, &args->entry) || api_refuse_namespace(req)) return;
    struct state_call *c = state_call_write(req);
    args->datacenter = c->q.datacenter;
    args->token = c->q.token;
    args->op = STR("upsert");
    if (api_param(req, "cas", &cas) && cas.n) {
        if (!state_parse_u64(req, cas, config_entry_ref(&args->entry).modify_index)) return;
        args->op = STR("upsert-cas");
    }
    c->finish = finish_apply;
    state_call_submit(c, "ConfigEntry.Apply", args);
}

static void finish_delete(struct state_call *c)
{
    struct value none = { .kind = V_MAP };
    api_reply_value(c->req, &none);
}

static void config_delete(struct api_request *req)
{
    struct config_entry_request *args = arena_new(req->arena, struct config_entry_request);
    struct state_call *c = state_call_write(req);
    struct str kind, name;
    if (!str_cut(req->tail, '/', &kind, &name)) {
        api_reply_text(req, 404, "Must provide both a kind and name to delete");
        return;
    }
    if (!config_entry_make(req->arena, kind, &args->entry)) {
        api_reply_text(req, 400, "invalid config entry kind: %.*s", STR_ARG(kind));
        return;
    }
    if (api_refuse_namespace(req)) return;
    *config_entry_ref(&args->entry).name = name;
    args->datacenter = c->q.datacenter;
    args->token = c->q.token;
    args->op = STR("delete");
    c->finish = finish_delete;
    state_call_submit(c, "ConfigEntry.Delete", args);
}

/* --- reading -------------------------------------------------------------------------------- */

static struct str quoted(struct arena *a, struct str s)
{
    struct buf out = BUF_INIT(s.n * 4 + 16);
    quote_go(&out, s);
    struct str text = str_dup(a, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static void finish_get(struct state_call *c)
{
    const struct config_entry_query *args = c->rpc.args;
    const struct config_entry *e = &state_reply(c, config_entry_response)->entry;
    state_headers(c);
    if (!config_entry_is_set(e)) {
        api_reply_text(c->req, 404, "Config entry not found for %.*s / %.*s",
            STR_ARG(quoted(c->req->arena, args->kind)), STR_ARG(quoted(c->req->arena, args->name)));
        return;
    }
    struct config_entry_ref ref = config_entry_ref(e);
    api_reply_json(c->req, ref.type, ref.entry);
}

static void finish_list(struct state_call *c)
{
    const struct list *entries = &state_reply(c, indexed_config_entries)->entries;
    state_headers(c);
    struct json_writer *w = api_json_begin(c->req);
    json_array(w);
    for (size_t i = 0; i < entries->n; i++) {
        struct config_entry_ref ref = config_entry_ref(&LIST_AT(entries, struct config_entry, i));
        json_obj(w, ref.type, ref.entry);
    }
    json_array_end(w);
    api_json_end(c->req, 200);
}

static void config_get(struct api_request *req)
{
    struct state_call *c = state_call_read(req, CALL_READ_HEADERS | CALL_NAMESPACE_LAST);
    if (!c) return;
    struct config_entry_query *args = arena_new(req->arena, struct config_entry_query);
    bool one = str_cut(req->tail, '/', &args->kind, &args->name);
    args->datacenter = c->q.datacenter;
    api_query_fill(args, &c->q);
    c->finish = one ? finish_get : finish_list;
    state_call_submit(c, one ? "ConfigEntry.Get" : "ConfigEntry.List", args);
}

static void config_entry(struct api_request *req)
{
    if (req->method == API_GET)
        config_get(req);
    else
        config_delete(req);
}

/* --- chains --------------------------------------------------------------------------------- */

static const void *chain_view(struct state_call *c)
{
    return state_reply(c, discovery_chain_response);
}

static bool known_mode(struct str mode)
{
    return !mode.n || str_is(mode, "none") || str_is(mode, "local") || str_is(mode, "remote");
}

static bool read_overrides(struct api_request *req, struct discovery_chain_request *args)
{
    struct chain_overrides overrides = { 0 };
    struct error err;
    if (api_body_decode(req, &type_chain_overrides, &overrides, &err)) {
        api_reply_bad_request(req, "Request decoding failed: %s", err.text);
        return false;
    }
    if (!known_mode(overrides.override_mesh_gateway.mode)) {
        api_reply_text(req, 400, "Invalid OverrideMeshGateway.Mode parameter");
        return false;
    }
    args->override_mesh_gateway = overrides.override_mesh_gateway;
    args->override_protocol = overrides.override_protocol;
    args->override_connect_timeout = overrides.override_connect_timeout;
    return true;
}

static void discovery_chain(struct api_request *req)
{
    struct state_call *c = state_call_read(req, CHAIN_FLAGS | CALL_NAMESPACE_LAST);
    struct discovery_chain_request *args = arena_new(req->arena, struct discovery_chain_request);
    if (!c) return;
    if (req->tail.n == 0) {
        api_reply_bad_request(req, "Missing chain name");
        return;
    }
    if (req->method == API_POST && !read_overrides(req, args)) return;
    args->name = req->tail;
    args->evaluate_in_datacenter = api_param_str(req, "compile-dc");
    args->datacenter = c->q.datacenter;
    api_query_fill(args, &c->q);
    c->view = chain_view;
    c->type = &type_discovery_chain_response;
    state_call_submit_cached(c, "DiscoveryChain.Get", args);
}

const struct api_route api_config_routes[] = {
    { "/v1/config", API_PUT, API_BODY_PLAIN, 0, config_put },
    { "/v1/config/", API_GET | API_DELETE, API_BODY_PLAIN, 0, config_entry },
    { "/v1/discovery-chain/", API_GET | API_POST, API_BODY_PLAIN, 0, discovery_chain },
    { 0 },
};
