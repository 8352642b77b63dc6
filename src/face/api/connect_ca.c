/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/connect/ca and /v1/agent/connect/ca/roots (http-api.md 3.12): what the servers' authority
 * shows and takes. */
#include "consuld/agent/leaf.h"
#include "state_call.h"
#include "state_routes.h"

#define ROOTS_FLAGS (CALL_READ_HEADERS | CALL_ERROR_HEADERS)

static const void *record_view(struct state_call *c)
{
    return c->rpc.reply->record;
}

static struct dc_specific_request *read_args(struct state_call *c)
{
    struct dc_specific_request *args = arena_new(c->req->arena, struct dc_specific_request);
    args->datacenter = c->q.datacenter;
    api_query_fill(args, &c->q);
    return args;
}

/* --- roots ---------------------------------------------------------------------------------- */

static void finish_pem(struct state_call *c)
{
    const struct list *roots = &state_reply(c, indexed_ca_roots)->roots;
    struct buf out = BUF_INIT((size_t)8 << 20);
    for (size_t i = 0; i < roots->n; i++) {
        const struct ca_root *r = &LIST_AT(roots, struct ca_root, i);
        buf_put_str(&out, r->root_cert);
        for (size_t k = 0; k < r->intermediate_certs.n; k++)
            buf_put_str(&out, LIST_AT(&r->intermediate_certs, struct str, k));
    }
    api_reply_raw(c->req, 200, "application/pem-certificate-chain", buf_str(&out));
    buf_deinit(&out);
}

static void roots(struct api_request *req)
{
    struct state_call *c = state_call_read_global(req, ROOTS_FLAGS);
    struct str pem = api_param_str(req, "pem");
    bool wanted = false;
    if (!c) return;
    if (pem.n && !state_parse_bool(pem, &wanted)) {
        api_reply_bad_request(req, "The 'pem' query parameter must be a boolean value");
        return;
    }
    if (wanted) c->finish = finish_pem;
    c->view = record_view;
    c->type = &type_indexed_ca_roots;
    state_call_submit(c, "ConnectCA.Roots", read_args(c));
}

static void agent_roots(struct api_request *req)
{
    struct state_call *c = state_call_read_global(req, CALL_READ_HEADERS);
    if (!c) return;
    c->view = record_view;
    c->type = &type_indexed_ca_roots;
    state_call_submit_to_cache(c, "ConnectCA.Roots", read_args(c));
}

/* --- configuration -------------------------------------------------------------------------- */

/* The whole text must be it: with a prefix from another agent it is a failure like others. */
static void set_failed(struct state_call *c)
{
    if (!str_is(str_of(c->err.text), "CA Provider State is read-only")) return;
    error_set(&c->err, ERR_BAD_REQUEST,
        "Provider State is read-only. It must be omitted or identical to the current value");
}

static void set_configuration(struct api_request *req)
{
    struct state_call *c = state_call_write(req);
    struct ca_request *args = arena_new(req->arena, struct ca_request);
    struct error err;
    args->datacenter = c->q.datacenter;
    args->token = c->q.token;
    args->config = arena_new(req->arena, struct ca_configuration);
    if (api_body_decode(req, &type_ca_configuration, args->config, &err)) {
        api_reply_bad_request(req, "Request decode failed: %s", err.text);
        return;
    }
    c->failed = set_failed;
    c->finish = state_finish_empty;
    state_call_submit(c, "ConnectCA.ConfigurationSet", args);
}

static void configuration(struct api_request *req)
{
    if (req->method == API_PUT) {
        set_configuration(req);
        return;
    }
    struct state_call *c = state_call_read_global(req, 0);
    if (!c) return;
    c->view = record_view;
    c->type = &type_ca_configuration;
    state_call_submit(c, "ConnectCA.ConfigurationGet", read_args(c));
}

/* --- leaves --------------------------------------------------------------------------------- */

static void leaf_done(struct leaf_call *call)
{
    struct api_request *req = call->ctx;
    req->on_abort = NULL;
    if (call->code) {
        api_reply_error(req, &call->err);
        return;
    }
    api_header(req, "X-Cache", call->hit ? STR("HIT") : STR("MISS"));
    if (call->hit)
        api_header(req, "Age", str_printf(req->arena, "%.0f", (double)call->age_ms / 1e3));
    api_header_u64(req, "X-Consul-Index", call->cert->modify_index);
    api_reply_json(req, &type_issued_cert, call->cert);
}

static void leaf_aborted(struct api_request *req)
{
    leaf_cancel(req->state);
}

static void leaf(struct api_request *req)
{
    struct leaves *leaves = state_context(req)->leaves;
    struct leaf_call *call = arena_new(req->arena, struct leaf_call);
    struct api_query q = { 0 };
    if (api_refuse_namespace(req) || api_query_parse(req, &q)) return;
    if (req->tail.n == 0) {
        api_reply_text(req, 500, "URI must be either service or agent");
        return;
    }
    if (!leaves) {
        api_reply_text(req, 500, "Connect must be enabled in order to use this endpoint");
        return;
    }
    call->service = req->tail;
    call->token = q.token;
    call->datacenter = q.datacenter;
    call->min_index = q.min_query_index;
    call->wait_ms = (uint64_t)(q.max_query_time / 1000000);
    call->done = leaf_done;
    call->ctx = req;
    req->state = call;
    req->on_abort = leaf_aborted;
    leaf_submit(leaves, call);
}

const struct api_route api_connect_ca_routes[] = {
    { "/v1/agent/connect/ca/leaf/", API_GET, API_BODY_PLAIN, 0, leaf },
    { "/v1/agent/connect/ca/roots", API_GET, API_BODY_PLAIN, 0, agent_roots },
    { "/v1/connect/ca/configuration", API_GET | API_PUT, API_BODY_PLAIN, 0, configuration },
    { "/v1/connect/ca/roots", API_GET, API_BODY_PLAIN, 0, roots },
    { 0 },
};
