/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/agent/health/service/...: local health as a probe (http-api.md 3.7). */
#include "agent_form.h"
#include "agent_routes.h"

/* From best to worst. */
enum verdict { PASSING, WARNING, CRITICAL, MAINTENANCE };

static const struct {
    const char *word;
    int status;
} verdicts[] = {
    [PASSING] = { "passing", 200 },
    [WARNING] = { "warning", 429 },
    [CRITICAL] = { "critical", 503 },
    [MAINTENANCE] = { "maintenance", 503 },
};

static enum verdict verdict_of(const struct health_check *c)
{
    if (str_is(c->check_id, "_node_maintenance") ||
        str_has_prefix(c->check_id, STR("_service_maintenance:")))
        return MAINTENANCE;
    if (str_is(c->status, "critical")) return CRITICAL;
    return str_is(c->status, "warning") ? WARNING : PASSING;
}

static enum verdict collect(
    struct api_request *req, struct str id, struct agent_service_checks *out)
{
    enum verdict worst = PASSING;
    const struct health_check *c;
    for (size_t it = 0; (c = local_check_next(api_local(req), &it));) {
        if (c->service_id.n && !str_eq(c->service_id, id)) continue;
        enum verdict v = verdict_of(c);
        if (v > worst) worst = v;
        agent_check_form(c, LIST_PUSH(req->arena, &out->checks, struct agent_health_check));
    }
    if (!out->checks.v) out->checks = LIST_EMPTY;
    out->aggregated_status = str_of(verdicts[worst].word);
    return worst;
}

static bool wants_text(const struct api_request *req)
{
    struct str accept = api_request_header(req, "Accept");
    return str_has_prefix(accept, STR("text/plain")) ||
           str_is(api_param_str(req, "format"), "text");
}

static void service_form(
    struct api_request *req, const struct node_service *svc, struct agent_service_checks *out)
{
    out->service = arena_new(req->arena, struct agent_service);
    agent_service_form(req->arena, svc, out->service);
}

static void health_by_id(struct api_request *req)
{
    struct agent_service_checks out = { .aggregated_status = STR("critical") };
    if (req->tail.n == 0) {
        api_reply_text(req, 500, "Bad request: Missing serviceID");
        return;
    }
    if (api_refuse_namespace(req) != 0) return;
    const struct node_service *svc = local_service_get(api_local(req), req->tail);
    if (!svc) {
        struct str why = str_printf(req->arena, "ServiceId %.*s not found", STR_ARG(req->tail));
        api_header(req, "X-Consul-Reason", why);
        if (wants_text(req)) {
            api_reply_json_status(req, 404, &type_str, &why);
        } else {
            api_reply_json_status(req, 404, &type_agent_service_checks, &out);
        }
        return;
    }
    service_form(req, svc, &out);
    enum verdict v = collect(req, svc->id, &out);
    api_header(req, "X-Consul-Reason", out.aggregated_status);
    if (wants_text(req)) {
        api_reply_raw(req, verdicts[v].status, "text/plain", out.aggregated_status);
    } else {
        api_reply_json_status(req, verdicts[v].status, &type_agent_service_checks, &out);
    }
}

static void health_by_name(struct api_request *req)
{
    struct list all = LIST_EMPTY;
    enum verdict worst = PASSING;
    const struct node_service *svc;
    if (req->tail.n == 0) {
        api_reply_text(req, 500, "Bad request: Missing service Name");
        return;
    }
    if (api_refuse_namespace(req) != 0) return;
    struct list ids = { 0 };
    for (size_t it = 0; (svc = local_service_next(api_local(req), &it));) {
        if (str_eq(svc->service, req->tail)) *LIST_PUSH(req->arena, &ids, struct str) = svc->id;
    }
    for (size_t i = 0; i < ids.n; i++) {
        struct str id = LIST_AT(&ids, struct str, i);
        struct agent_service_checks *one = LIST_PUSH(req->arena, &all, struct agent_service_checks);
        service_form(req, local_service_get(api_local(req), id), one);
        enum verdict v = collect(req, id, one);
        if (v > worst) worst = v;
    }
    struct str reason = str_of(verdicts[worst].word);
    int status = verdicts[worst].status;
    if (all.n == 0) {
        status = 404;
        reason = str_printf(req->arena, "ServiceName %.*s Not Found", STR_ARG(req->tail));
    }
    api_header(req, "X-Consul-Reason", reason);
    if (wants_text(req)) {
        api_reply_raw(req, status, "text/plain", reason);
    } else {
        api_reply_json_status(req, status, &type_agent_service_checks_list, &all);
    }
}

const struct api_route api_agent_health_routes[] = {
    { "/v1/agent/health/service/id/", API_GET, 0, 0, health_by_id },
    { "/v1/agent/health/service/name/", API_GET, 0, 0, health_by_name },
    { 0 },
};
