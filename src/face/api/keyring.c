/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/operator/keyring (http-api.md 3.15). */
#include "agent_routes.h"
#include "state_call.h"

static void errors_of(const struct list *responses, struct buf *out, size_t *n)
{
    for (size_t i = 0; i < responses->n; i++) {
        const struct keyring_response *r = &LIST_AT(responses, struct keyring_response, i);
        if (r->error.n == 0) continue;
        if (r->wan)
            buf_printf(out, "\t* WAN error: %.*s\n", STR_ARG(r->error));
        else
            buf_printf(
                out, "\t* %.*s (LAN) error: %.*s\n", STR_ARG(r->datacenter), STR_ARG(r->error));
        *n += 1 + r->messages.n;
        for (size_t k = 0; k < r->messages.n; k++) {
            const struct str_pair *m = &((const struct str_pair *)r->messages.v)[k];
            buf_printf(out, "\t* %.*s: %.*s\n", STR_ARG(m->key), STR_ARG(m->value));
        }
    }
}

static void finish(struct state_call *c)
{
    const struct list *all = &state_reply(c, keyring_responses)->responses;
    struct buf text = BUF_INIT(1u << 20);
    size_t n = 0;
    errors_of(all, &text, &n);
    if (n)
        api_reply_text(c->req, 500, "%zu error%s occurred:\n%.*s\n", n, n == 1 ? "" : "s",
            STR_ARG(buf_str(&text)));
    else if (c->req->method == API_GET)
        api_reply_json(c->req, &type_keyring_response_list, all);
    else
        api_reply_empty(c->req, 200);
    buf_deinit(&text);
}

/* What the body says stays where the query says nothing. False if it was refused. */
static bool read_relay_factor(struct api_request *req, uint64_t *out)
{
    struct str text = api_param_str(req, "relay-factor");
    int64_t v = 0;
    if (text.n == 0) return true;
    if (!str_to_i64(text, &v)) {
        api_reply_bad_request(req,
            "Error parsing relay factor: strconv.Atoi: parsing \"%.*s\": invalid syntax",
            STR_ARG(text));
        return false;
    }
    if (v < 0 || v > LIMIT_KEYRING_RELAY) {
        api_reply_bad_request(req, "Invalid relay-factor: Relay factor must be in range: [0, %d]",
            LIMIT_KEYRING_RELAY);
        return false;
    }
    *out = (uint64_t)v;
    return true;
}

static bool read_local_only(struct api_request *req, bool *out)
{
    struct str text = api_param_str(req, "local-only");
    *out = false;
    if (text.n && !state_parse_bool(text, out)) {
        api_reply_bad_request(req,
            "Error parsing local-only: strconv.ParseBool: parsing \"%.*s\": invalid syntax",
            STR_ARG(text));
        return false;
    }
    if (*out && req->method != API_GET) {
        api_reply_bad_request(
            req, "Invalid use of local-only: local-only can only be set for list requests");
        return false;
    }
    return true;
}

static void keyring(struct api_request *req)
{
    struct keyring_request *args = arena_new(req->arena, struct keyring_request);
    struct state_call *c = state_call_write(req);
    struct keyring_body body = { 0 };
    struct error err;
    if (req->method != API_GET && api_body_decode(req, &type_keyring_body, &body, &err)) {
        api_reply_bad_request(req, "Request decode failed: %s", err.text);
        return;
    }
    args->relay_factor = body.relay_factor;
    if (!read_relay_factor(req, &args->relay_factor) || !read_local_only(req, &args->local_only))
        return;
    if (!state_context(req)->server) {
        api_reply_text(req, 500, "keyring operations must run against a server node");
        return;
    }
    args->operation = req->method == API_GET    ? STR("list")
                      : req->method == API_POST ? STR("install")
                      : req->method == API_PUT  ? STR("use")
                                                : STR("remove");
    args->key = body.key;
    args->datacenter = state_context(req)->datacenter;
    args->token = c->q.token;
    c->finish = finish;
    state_call_submit(c, "Internal.KeyringOperation", args);
}

const struct api_route api_keyring_routes[] = {
    { "/v1/operator/keyring", API_GET | API_POST | API_PUT | API_DELETE, API_BODY_PLAIN, 0,
        keyring },
    { 0 },
};
