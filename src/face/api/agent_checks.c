/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/agent/checks, /v1/agent/check/... (http-api.md 3.6). */
#include "consuld/lang/filter.h"

#include "agent_form.h"
#include "agent_routes.h"

static const struct health_check *first_check(struct api_request *req)
{
    size_t it = 0;
    return local_check_next(api_local(req), &it);
}

static void checks(struct api_request *req)
{
    struct error err;
    struct filter *filter = NULL;
    struct dict all = DICT_EMPTY;
    const struct health_check *check;
    struct str expression = api_param_str(req, "filter");
    if (api_refuse_namespace(req) != 0) return;
    if (expression.n &&
        filter_compile(expression, &type_health_check, req->arena, &filter, &err) != 0) {
        /* Consul binds selectors to the first check: only what can't be parsed is refused without
         * one, and has the prefix. */
        bool parsed = err.code != ERR_DECODE;
        if (parsed && !first_check(req))
            api_reply_json(req, &type_health_check_map, &all);
        else
            api_reply_text(req, 500, "%s%s", parsed ? "" : FILTER_ERROR_PREFIX, err.text);
        return;
    }
    for (size_t it = 0; (check = local_check_next(api_local(req), &it));) {
        bool match = true;
        if (filter && filter_match(filter, check, &match, &err) != 0) {
            api_reply_error(req, &err);
            return;
        }
        if (!match) continue;
        struct health_check *form =
            dict_append(req->arena, &all, &type_health_check, check->check_id);
        *form = *check;
        if (!form->service_tags.v) form->service_tags = LIST_EMPTY;
    }
    api_reply_json(req, &type_health_check_map, &all);
}

struct registered {
    struct str id;
    bool fresh; /* no such check before */
};

static void take_back(struct api_request *req, void *ctx)
{
    const struct registered *r = ctx;
    local_check_unkept(api_local(req), r->id, r->fresh);
}

static void check_register(struct api_request *req)
{
    struct check_definition def = { 0 };
    struct check_type type;
    struct error err;
    if (api_refuse_namespace(req) != 0) return;
    if (api_body_decode(req, &type_check_definition, &def, &err) != 0) {
        api_reply_text(req, 400, "Request decode failed: %s", err.text);
        return;
    }
    if (def.name.n == 0) {
        api_reply_text(req, 400, "Missing check name");
        return;
    }
    if (def.status.n && !local_check_status_valid(def.status)) {
        api_reply_text(req, 400, "Bad check status");
        return;
    }
    local_check_type(&def, &type);
    if (local_check_validate(&type, &err) != 0) {
        api_reply_text(req, 400, "Invalid check: %s", err.text);
        return;
    }
    struct registered *r = arena_new(req->arena, struct registered);
    r->id = def.id.n ? def.id : def.name;
    r->fresh = !local_check_get(api_local(req), r->id);
    struct local_register_options opts = { .source = LOCAL_FROM_API, .token = api_token(req) };
    if (local_check_register(api_local(req), def.id, def.service_id, &type, &opts, &err) != 0) {
        agent_reply_refused(req, &err);
        return;
    }
    agent_reply_kept(req, take_back, r);
}

static void check_deregister(struct api_request *req)
{
    if (api_refuse_namespace(req) != 0) return;
    if (req->tail.n == 0) {
        api_reply_text(req, 500, "CheckID missing");
        return;
    }
    (void)local_check_deregister(api_local(req), req->tail); /* an unknown one is no error */
    agent_reply_pushed(req);
}

static void update(struct api_request *req, struct str status, struct str output)
{
    struct error err;
    if (local_check_update(api_local(req), req->tail, status, output, &err) != 0) {
        agent_reply_refused(req, &err);
        return;
    }
    agent_reply_pushed(req);
}

static void pass(struct api_request *req)
{
    if (api_refuse_namespace(req) != 0) return;
    update(req, STR("passing"), api_param_str(req, "note"));
}

static void warn(struct api_request *req)
{
    if (api_refuse_namespace(req) != 0) return;
    update(req, STR("warning"), api_param_str(req, "note"));
}

static void fail(struct api_request *req)
{
    if (api_refuse_namespace(req) != 0) return;
    update(req, STR("critical"), api_param_str(req, "note"));
}

static void check_update(struct api_request *req)
{
    struct check_update body = { 0 };
    struct error err;
    if (api_body_decode(req, &type_check_update, &body, &err) != 0) {
        api_reply_text(req, 400, "Request decode failed: %s", err.text);
        return;
    }
    if (!local_check_status_valid(body.status)) {
        api_reply_text(req, 400, "Invalid check status: '%.*s'", STR_ARG(body.status));
        return;
    }
    if (api_refuse_namespace(req) != 0) return;
    update(req, body.status, body.output);
}

const struct api_route api_agent_check_routes[] = {
    { "/v1/agent/check/deregister/", API_PUT, 0, 0, check_deregister },
    { "/v1/agent/check/fail/", API_PUT, 0, 0, fail },
    { "/v1/agent/check/pass/", API_PUT, 0, 0, pass },
    { "/v1/agent/check/register", API_PUT, 0, 0, check_register },
    { "/v1/agent/check/update/", API_PUT, 0, 0, check_update },
    { "/v1/agent/check/warn/", API_PUT, 0, 0, warn },
    { "/v1/agent/checks", API_GET, 0, 0, checks },
    { 0 },
};
