/* SPDX-License-Identifier: Apache-2.0 */
#include "central.h"

#include <stdlib.h>

#define WAIT_NS (INT64_C(600) * 1000000000)
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 60000
#define METHOD "ConfigEntry.ResolveServiceConfig"

/* The watcher of one service. */
struct central {
    struct local *local;
    struct arena arena; /* of id and request */
    struct str id;
    struct service_config_request request; /* without index */
    struct arena call_arena;
    struct rpc_call call;
    struct error err;
    struct service_config_request args;
    bool calling;
    struct timer retry;
    unsigned failures;
    uint64_t index;
    struct arena answer_arena;
    struct service_config_response answer; /* the last one */
    bool answered;
};

static void ask(struct central *c);

static bool same_answer(
    const struct service_config_response *x, const struct service_config_response *y)
{
    return value_equal(&x->proxy_config, &y->proxy_config) &&
           record_equal(
               &type_upstream_config_list, &x->upstream_id_configs, &y->upstream_id_configs) &&
           record_equal(&type_mesh_gateway_config, &x->mesh_gateway, &y->mesh_gateway) &&
           record_equal(&type_expose_config, &x->expose, &y->expose);
}

/* False if it is what was known. */
static bool keep_answer(struct central *c, const struct service_config_response *answer)
{
    if (c->answered && same_answer(&c->answer, answer)) return false;
    struct arena a = ARENA_INIT;
    struct service_config_response copy;
    record_copy(&a, &type_service_config_response, &copy, answer);
    arena_free(&c->answer_arena);
    c->answer_arena = a;
    c->answer = copy;
    c->answered = true;
    return true;
}

/* --- the query ------------------------------------------------------------------------------ */

/* The registration again, which merges the new answer. */
static void merge_again(struct central *c)
{
    struct local *l = c->local;
    struct local_service *s = local__service(l, c->id);
    struct arena a = ARENA_INIT;
    struct node_service own;
    if (!s) return;
    record_copy(&a, &type_node_service, &own, &s->own);
    struct str token = str_dup(&a, s->token);
    enum local_source source = s->source;
    local__service_put(l, &own, token, source);
    persist_defaults(l, own.id, &c->answer);
    arena_free(&a);
}

static void done(struct rpc_call *call)
{
    struct central *c = call->ctx;
    c->calling = false;
    if (call->code) {
        uint64_t wait = (uint64_t)RETRY_MIN_MS << (c->failures < 6 ? c->failures : 6);
        if (c->failures++ == 0)
            log_warn("agent", "central configuration could not be read", "error", c->err.text);
        timer_start(&c->retry, wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
        return;
    }
    struct rpc_reply *reply = call->reply;
    c->failures = 0;
    c->index = reply->index < c->index ? 0 : reply->index;
    bool changed = keep_answer(c, reply->record);
    rpc_reply_unref(reply);
    if (changed) merge_again(c);
    /* Through the timer: an answer that comes at once must not nest. */
    timer_start(&c->retry, 0);
}

static void ask(struct central *c)
{
    arena_reset(&c->call_arena);
    c->args = c->request;
    c->args.min_query_index = c->index;
    c->args.max_query_time = WAIT_NS;
    c->args.allow_stale = true;
    c->call = (struct rpc_call){ .method = METHOD,
        .args = &c->args,
        .arena = &c->call_arena,
        .done = done,
        .ctx = c,
        .err = &c->err };
    c->calling = true;
    rpc_submit(c->local->opts.rpc, &c->call);
}

static void on_retry(struct timer *t)
{
    ask(container_of(t, struct central, retry));
}

/* --- life ----------------------------------------------------------------------------------- */

static void destroy(struct central *c)
{
    if (c->calling) rpc_cancel(c->local->opts.rpc, &c->call);
    timer_stop(&c->retry);
    map_remove(&c->local->centrals, c->id);
    arena_free(&c->arena);
    arena_free(&c->call_arena);
    arena_free(&c->answer_arena);
    free(c);
}

static struct central *create(
    struct local *l, const struct node_service *own, const struct service_config_request *request)
{
    struct central *c = xcalloc(1, sizeof *c);
    c->local = l;
    c->id = str_dup(&c->arena, own->id);
    record_copy(&c->arena, &type_service_config_request, &c->request, request);
    timer_init(&c->retry, l->opts.world, on_retry);
    map_put(&l->centrals, c->id, c);
    return c;
}

const struct service_config_response *central_watch(struct local *l, const struct node_service *own,
    struct str token, const struct service_config_response *initial)
{
    struct central *c = map_get(&l->centrals, own->id);
    struct service_config_response kept;
    struct service_config_request request;
    struct arena a = ARENA_INIT;
    central_request(l, own, token, &a, &request);
    if (c && !record_equal(&type_service_config_request, &c->request, &request)) {
        destroy(c);
        c = NULL;
    }
    bool fresh = !c;
    if (!c) c = create(l, own, &request);
    if (initial) {
        keep_answer(c, initial);
        c->index = initial->index;
        persist_defaults(l, own->id, initial);
    } else if (!c->answered && persist_load_defaults(l, own->id, &a, &kept)) {
        keep_answer(c, &kept);
    }
    /* Not from here: the service is not in place yet. */
    if (fresh) timer_start(&c->retry, 0);
    arena_free(&a);
    return c->answered ? &c->answer : NULL;
}

void central_sweep(struct local *l, bool all)
{
    void *value;
    for (size_t it = 0; map_next(&l->centrals, &it, NULL, &value);) {
        struct central *c = value;
        const struct local_service *s = all ? NULL : local__service(l, c->id);
        if (!s || !central_applies(&s->own)) destroy(c);
    }
}

/* --- registrations that wait for their first answer ------------------------------------------- */

static void registered(struct local_registration *r)
{
    link_remove(&r->link);
    arena_free(&r->arena);
    r->done(r);
}

static void finish(struct local_registration *r, const struct service_config_response *initial)
{
    struct local *l = r->local;
    l->initial_id = r->service.id;
    l->initial = initial;
    r->code = local_service_register(l, r->def, &r->opts, &r->err);
    l->initial = NULL;
    registered(r);
}

static void first_answer(struct rpc_call *call)
{
    struct local_registration *r = call->ctx;
    r->calling = false;
    if (call->code) {
        error_prefix(&r->err,
            "could not retrieve initial service_defaults config for service \"%.*s\": ",
            STR_ARG(r->service.id));
        r->code = r->err.code = ERR_INTERNAL;
        registered(r);
        return;
    }
    struct rpc_reply *reply = call->reply;
    finish(r, reply->record);
    rpc_reply_unref(reply);
}

void local_service_register_wait(struct local *l, struct local_registration *r)
{
    bool managed = false;
    r->local = l;
    r->arena = (struct arena)ARENA_INIT;
    r->calling = false;
    link_init(&r->link);
    link_push(&l->registrations, &r->link);
    if (l->opts.central_config) {
        r->code =
            local__plan_managed(l, r->def, &r->opts, &r->arena, &r->service, &managed, &r->err);
        if (r->code) {
            registered(r);
            return;
        }
    }
    if (!managed) {
        finish(r, NULL);
        return;
    }
    struct service_config_request *args = arena_new(&r->arena, struct service_config_request);
    central_request(l, &r->service, r->opts.token, &r->arena, args);
    args->allow_stale = true;
    r->call = (struct rpc_call){ .method = METHOD,
        .args = args,
        .arena = &r->arena,
        .done = first_answer,
        .ctx = r,
        .err = &r->err };
    r->calling = true;
    rpc_submit(l->opts.rpc, &r->call);
}

void local_registration_cancel(struct local_registration *r)
{
    if (r->calling) rpc_cancel(r->local->opts.rpc, &r->call);
    r->calling = false;
    link_remove(&r->link);
    arena_free(&r->arena);
}
