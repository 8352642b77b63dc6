/* SPDX-License-Identifier: Apache-2.0 */
/* Alias checks take the state of another service's (or node's) checks: of this agent when no node
 * is named, else from the catalog (agent.md 5.5). A local alias is evaluated when it starts and
 * after each change of what it looks at, so it is right from its first second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local_state.h"
#include "consuld/model.h"

#define REMOTE_WAIT_NS (INT64_C(60) * 1000000000)
#define REMOTE_STALE_NS (INT64_C(15) * 1000000000)
#define RETRY_BASE_MS 1000
#define RETRY_MAX_MS 60000
#define FAILURES_QUIET 3

struct verdict {
    struct str status;
    struct str output;
    bool target_seen;
    size_t looked_at;
};

struct check_runner {
    struct link link;     /* of local->aliases, when it looks at this agent */
    struct link of_group; /* of what it looks at */
    struct local_group *group;
    struct local *local;
    struct local_check *check;
    /* the catalog's side */
    struct rpc_call call;
    struct error err; /* of call */
    struct node_specific_request args;
    struct arena arena; /* of the call */
    bool in_flight;
    struct timer retry;
    uint64_t index;
    unsigned failures;
    struct verdict seen; /* kept while existence is asked */
};

static bool fits(const struct check_type *t)
{
    return t->alias_node.n || t->alias_service.n;
}

/* --- evaluation ------------------------------------------------------------------------------ */

/* Looks at one check; true ends the search (nothing is worse than critical). */
static bool judge(
    struct verdict *v, struct arena *a, const struct health_check *c, struct str service_id)
{
    if (c->service_id.n && !str_eq(c->service_id, service_id)) return false;
    v->looked_at++;
    if (str_eq(c->service_id, service_id)) v->target_seen = true; /* both empty: the node */
    bool critical = str_is(c->status, "critical"), warning = str_is(c->status, "warning");
    if (!critical && !warning) return false;
    if (warning && !str_is(v->status, "passing")) return false;
    v->status = critical ? STR("critical") : STR("warning");
    v->output =
        str_printf(a, "Aliased check \"%.*s\" failing: %.*s", STR_ARG(c->name), STR_ARG(c->output));
    return critical;
}

static void conclude(struct check_runner *r, struct verdict *v)
{
    if (str_is(v->status, "passing"))
        v->output = v->looked_at ? STR("All checks passing.") : STR("No checks found.");
    local__check_result(r->check, v->status, v->output, true);
}

static void conclude_missing(struct check_runner *r, struct arena *a)
{
    const struct check_type *t = &r->check->type;
    struct str text = str_printf(a, "Service %.*s could not be found on node %.*s",
        STR_ARG(t->alias_service), STR_ARG(t->alias_node));
    local__check_result(r->check, STR("critical"), text, true);
}

static void take_shown(struct arena *a, const struct local_group *g, struct list *out)
{
    if (!g) return;
    link_each (it, &g->checks) {
        const struct local_check *c = container_of(it, struct local_check, of_group);
        if (!c->deleted && !c->stale) *LIST_PUSH(a, out, const struct health_check *) = &c->check;
    }
}

static int by_id(const void *a, const void *b)
{
    const struct health_check *const *x = a, *const *y = b;
    return str_cmp((*x)->check_id, (*y)->check_id);
}

static void evaluate_local(struct check_runner *r)
{
    struct local *l = r->local;
    struct arena a = ARENA_INIT;
    struct list checks = { 0 };
    struct verdict v = { .status = STR("passing") };
    struct str target = r->check->type.alias_service;
    take_shown(&a, local__group(l, STR("")), &checks);
    take_shown(&a, r->group, &checks);
    if (checks.n) qsort(checks.v, checks.n, sizeof(struct health_check *), by_id);
    for (size_t i = 0; i < checks.n; i++) {
        if (judge(&v, &a, LIST_AT(&checks, const struct health_check *, i), target)) break;
    }
    if (!v.target_seen && target.n && !local__service(l, target)) {
        conclude_missing(r, &a);
    } else {
        conclude(r, &v);
    }
    arena_free(&a);
}

void alias_touch(struct local *l, struct str service_id)
{
    if (service_id.n == 0) {
        l->all_touched = true;
        return;
    }
    struct local_group *g = local__group(l, service_id);
    if (!g || link_empty(&g->aliases) || !link_empty(&g->touched)) return;
    link_push(&l->touched_groups, &g->touched);
}

/* What is touched meanwhile is for the next turn. */
void alias_update(struct local *l, bool all)
{
    struct link groups;
    link_init(&groups);
    for (struct link *it; (it = link_pop(&l->touched_groups));)
        link_push(&groups, it);
    all = all || l->all_touched;
    l->all_touched = false;
    for (struct link *it; (it = link_pop(&groups));) {
        struct local_group *g = container_of(it, struct local_group, touched);
        if (all) continue;
        link_each (alias, &g->aliases) {
            evaluate_local(container_of(alias, struct check_runner, of_group));
        }
    }
    if (!all) return;
    link_each (alias, &l->aliases) {
        evaluate_local(container_of(alias, struct check_runner, link));
    }
}

/* --- the catalog's side ------------------------------------------------------------------------
 */

static void ask_checks(struct check_runner *r);

static void on_retry(struct timer *t)
{
    ask_checks(container_of(t, struct check_runner, retry));
}

static void submit(struct check_runner *r, const char *method, void (*done)(struct rpc_call *))
{
    r->call = (struct rpc_call){ .method = method,
        .args = &r->args,
        .arena = &r->arena,
        .done = done,
        .ctx = r,
        .err = &r->err };
    r->in_flight = true;
    rpc_submit(r->local->opts.rpc, &r->call);
}

static void failed(struct check_runner *r, const struct error *err)
{
    struct arena a = ARENA_INIT;
    r->index = 0;
    if (++r->failures > 1) {
        struct str text = str_printf(&a, "Failure checking aliased node or service: %s", err->text);
        local__check_result(r->check, STR("critical"), text, true);
    }
    uint64_t delay = RETRY_BASE_MS;
    for (unsigned i = FAILURES_QUIET; i < r->failures && delay < RETRY_MAX_MS; i++)
        delay *= 2;
    timer_start(&r->retry, delay > RETRY_MAX_MS ? RETRY_MAX_MS : delay);
    arena_free(&a);
}

static void on_services(struct rpc_call *call)
{
    struct check_runner *r = call->ctx;
    r->in_flight = false;
    struct arena a = ARENA_INIT;
    bool exists = true; /* an error counts as "exists" */
    if (call->code == 0) {
        const struct indexed_node_services *got = call->reply->record;
        exists = got->node_services && dict_get(&got->node_services->services, &type_node_service,
                                           r->check->type.alias_service);
        rpc_reply_unref(call->reply);
    }
    if (!exists) {
        conclude_missing(r, &a);
    } else {
        conclude(r, &r->seen);
    }
    arena_free(&a);
    ask_checks(r);
}

static void on_checks(struct rpc_call *call)
{
    struct check_runner *r = call->ctx;
    r->in_flight = false;
    if (call->code != 0) {
        failed(r, call->err);
        return;
    }
    const struct indexed_health_checks *got = call->reply->record;
    struct verdict v = { .status = STR("passing") };
    struct str target = r->check->type.alias_service;
    r->failures = 0;
    r->index = call->reply->index < r->index ? 0 : call->reply->index;
    for (size_t i = 0; i < got->health_checks.n; i++) {
        if (judge(&v, &r->arena, &LIST_AT(&got->health_checks, struct health_check, i), target))
            break;
    }
    /* without a check of its own the target must at least exist */
    bool ask = !v.target_seen && !str_is(v.status, "critical");
    if (!ask) conclude(r, &v);
    r->seen = v;
    rpc_reply_unref(call->reply);
    if (ask) {
        r->args.min_query_index = 0;
        r->args.max_query_time = 0;
        submit(r, "Catalog.NodeServices", on_services);
    } else {
        ask_checks(r);
    }
}

static void ask_checks(struct check_runner *r)
{
    const struct local_options *o = &r->local->opts;
    arena_reset(&r->arena);
    r->args = (struct node_specific_request){ .datacenter = o->datacenter,
        .node = r->check->type.alias_node,
        .token = r->check->token.n ? r->check->token : o->default_token,
        .allow_stale = true,
        .max_stale_duration = REMOTE_STALE_NS,
        .min_query_index = r->index,
        .max_query_time = REMOTE_WAIT_NS };
    submit(r, "Health.NodeChecks", on_checks);
}

/* --- the kind --------------------------------------------------------------------------------- */

static void on_first(struct timer *t)
{
    ask_checks(container_of(t, struct check_runner, retry));
}

static struct check_runner *start(struct local_check *c)
{
    struct local *l = c->local;
    struct check_runner *r = xcalloc(1, sizeof *r);
    r->local = l;
    r->check = c;
    link_init(&r->link);
    link_init(&r->of_group);
    if (c->type.alias_node.n == 0) {
        r->group = local__group_join(l, c->type.alias_service);
        link_push(&r->group->aliases, &r->of_group);
        link_push(&l->aliases, &r->link);
        timer_init(&r->retry, l->opts.world, on_retry);
        evaluate_local(r);
    } else {
        timer_init(&r->retry, l->opts.world, on_first);
        timer_start(&r->retry, 0);
    }
    return r;
}

static void stop(struct check_runner *r)
{
    link_remove(&r->link);
    link_remove(&r->of_group);
    if (r->group) local__group_leave(r->local, r->group);
    timer_stop(&r->retry);
    if (r->in_flight) rpc_cancel(r->local->opts.rpc, &r->call);
    arena_free(&r->arena);
    free(r);
}

const struct check_kind check_kind_alias = { "alias", fits, start, stop };
