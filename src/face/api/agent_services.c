/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/agent/services, /v1/agent/service/... (http-api.md 3.6). */
#include "consuld/lang/filter.h"

#include "agent_form.h"
#include "agent_routes.h"

#define WAIT_DEFAULT_MS UINT64_C(300000)
#define WAIT_MAX_MS UINT64_C(600000)

static void services(struct api_request *req)
{
    struct error err;
    struct filter *filter = NULL;
    struct dict all = DICT_EMPTY;
    const struct node_service *svc;
    struct str expression = api_param_str(req, "filter");
    if (api_refuse_namespace(req) != 0) return;
    if (expression.n &&
        filter_compile(expression, &type_node_service, req->arena, &filter, &err) != 0) {
        api_reply_text(req, 500, FILTER_ERROR_PREFIX "%s", err.text);
        return;
    }
    for (size_t it = 0; (svc = local_service_next(api_local(req), &it));) {
        bool match = true;
        if (filter && filter_match(filter, svc, &match, &err) != 0) {
            api_reply_error(req, &err);
            return;
        }
        if (!match) continue;
        agent_service_form(
            req->arena, svc, dict_append(req->arena, &all, &type_agent_service, svc->id));
    }
    api_reply_json(req, &type_agent_service_map, &all);
}

/* --- one service, waiting on its hash --------------------------------------------------------- */

struct hash_wait {
    struct local_watch watch;
    struct timer timer;
    struct api_request *req;
    struct str hash;
};

static void answer_service(struct api_request *req)
{
    struct local *l = api_local(req);
    const struct node_service *svc = local_service_get(l, req->tail);
    if (!svc) {
        api_reply_text(req, 404, "unknown service ID: %.*s", STR_ARG(req->tail));
        return;
    }
    struct agent_service form;
    agent_service_form(req->arena, svc, &form);
    form.content_hash = agent_content_hash(req->arena, &form);
    api_header(req, "X-Consul-Contenthash", form.content_hash);
    api_reply_json(req, &type_agent_service, &form);
}

static bool unchanged(const struct hash_wait *w)
{
    const struct node_service *svc = local_service_get(api_local(w->req), w->req->tail);
    if (!svc) return false;
    struct arena a = ARENA_INIT;
    struct agent_service form;
    agent_service_form(&a, svc, &form);
    bool same = str_eq(agent_content_hash(&a, &form), w->hash);
    arena_free(&a);
    return same;
}

static void wait_end(struct hash_wait *w)
{
    local_watch_cancel(&w->watch);
    timer_stop(&w->timer);
    w->req->on_abort = NULL;
}

static void wait_fired(struct local_watch *watch)
{
    struct hash_wait *w = container_of(watch, struct hash_wait, watch);
    if (unchanged(w)) {
        local_watch_add(api_local(w->req), &w->watch);
        return;
    }
    wait_end(w);
    answer_service(w->req);
}

static void wait_over(struct timer *t)
{
    struct hash_wait *w = container_of(t, struct hash_wait, timer);
    wait_end(w);
    answer_service(w->req);
}

static void wait_abort(struct api_request *req)
{
    wait_end(req->state);
}

static uint64_t wait_ms(struct world *world, int64_t asked_ns)
{
    uint64_t ms = asked_ns > 0 ? (uint64_t)(asked_ns / 1000000) : WAIT_DEFAULT_MS;
    if (ms > WAIT_MAX_MS) ms = WAIT_MAX_MS;
    return ms + world_random_below(world, ms / 16 + 1);
}

static void service(struct api_request *req)
{
    const struct face_context *ctx = req->ctx;
    struct api_query q;
    if (api_query_wait(req, &q) != 0 || api_refuse_namespace(req) != 0) return;
    struct hash_wait *w = arena_new(req->arena, struct hash_wait);
    w->req = req;
    w->hash = api_param_str(req, "hash");
    if (w->hash.n == 0 || !unchanged(w)) {
        answer_service(req);
        return;
    }
    w->watch.id = req->tail;
    w->watch.fire = wait_fired;
    local_watch_add(ctx->local, &w->watch);
    timer_init(&w->timer, ctx->world, wait_over);
    timer_start(&w->timer, wait_ms(ctx->world, q.max_query_time));
    req->state = w;
    req->on_abort = wait_abort;
}

/* --- changes ------------------------------------------------------------------------------------
 */

struct registering {
    struct local_registration registration;
    struct service_definition def;
    struct api_request *req;
    bool fresh; /* no such service before */
};

static struct str service_id(const struct service_definition *def)
{
    return def->id.n ? def->id : def->name;
}

static void take_back(struct api_request *req, void *ctx)
{
    const struct registering *w = ctx;
    struct arena *a = req->arena;
    struct str id = service_id(&w->def);
    local_service_unkept(api_local(req), str_printf(a, "%.*s-sidecar-proxy", STR_ARG(id)), false);
    local_service_unkept(api_local(req), id, w->fresh);
}

static void registered(struct local_registration *r)
{
    struct registering *w = container_of(r, struct registering, registration);
    struct api_request *req = w->req;
    req->on_abort = NULL;
    if (r->code)
        agent_reply_refused(req, &r->err);
    else
        agent_reply_kept(req, take_back, w);
}

static void register_abort(struct api_request *req)
{
    struct registering *w = req->state;
    local_registration_cancel(&w->registration);
}

static void service_register(struct api_request *req)
{
    struct registering *w = arena_new(req->arena, struct registering);
    struct local_registration *r = &w->registration;
    struct error err;
    struct str how;
    if (api_refuse_namespace(req) != 0) return;
    if (api_body_decode(req, &type_service_definition, &w->def, &err) != 0) {
        api_reply_text(req, 400, "Request decode failed: %s", err.text);
        return;
    }
    w->req = req;
    w->fresh = !local_service_get(api_local(req), service_id(&w->def));
    r->def = &w->def;
    r->opts = (struct local_register_options){ .source = LOCAL_FROM_API, .token = api_token(req) };
    if (api_param(req, "replace-existing-checks", &how))
        r->opts.replace_checks = how.n == 0 || str_is(how, "true");
    r->done = registered;
    req->state = w;
    req->on_abort = register_abort;
    local_service_register_wait(api_local(req), r);
}

static void service_deregister(struct api_request *req)
{
    if (api_refuse_namespace(req) != 0) return;
    if (req->tail.n == 0) {
        api_reply_text(req, 500, "ServiceID missing");
        return;
    }
    if (local_service_deregister(api_local(req), req->tail) != 0) {
        log_warn("agent", "Failed to deregister service", "service", str_c(req->arena, req->tail),
            "error", "Service does not exist");
    }
    agent_reply_pushed(req);
}

/* The `enable` parameter; answers and returns -1 if missing or malformed. */
static int enable_param(struct api_request *req, bool *enable)
{
    struct str text;
    if (!api_param(req, "enable", &text)) {
        api_reply_text(req, 400, "Missing value for enable");
        return -1;
    }
    if (!agent_parse_bool(text, enable)) {
        api_reply_text(req, 400, "Invalid value for enable: \"%.*s\"", STR_ARG(text));
        return -1;
    }
    return 0;
}

static void service_maintenance(struct api_request *req)
{
    bool enable;
    struct error err;
    if (req->tail.n == 0) {
        api_reply_text(req, 400, "Missing service ID");
        return;
    }
    if (enable_param(req, &enable) != 0) return;
    if (api_refuse_namespace(req) != 0) return;
    if (local_service_maintenance(api_local(req), req->tail, enable, api_param_str(req, "reason"),
            api_token(req), &err) != 0) {
        agent_reply_refused(req, &err);
        return;
    }
    agent_reply_pushed(req);
}

static void node_maintenance(struct api_request *req)
{
    bool enable;
    if (enable_param(req, &enable) != 0) return;
    local_node_maintenance(api_local(req), enable, api_param_str(req, "reason"), api_token(req));
    agent_reply_pushed(req);
}

const struct api_route api_agent_service_routes[] = {
    { "/v1/agent/maintenance", API_PUT, 0, 0, node_maintenance },
    { "/v1/agent/service/", API_GET, 0, 0, service },
    { "/v1/agent/service/deregister/", API_PUT, 0, 0, service_deregister },
    { "/v1/agent/service/maintenance/", API_PUT, 0, 0, service_maintenance },
    { "/v1/agent/service/register", API_PUT, 0, 0, service_register },
    { "/v1/agent/services", API_GET, 0, 0, services },
    { 0 },
};
