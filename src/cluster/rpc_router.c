/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_router.h"

#include <stdlib.h>
#include <string.h>

#include "consuld/base/metrics.h"
#include "consuld/model.h"

#define WAIT_DEFAULT_NS (INT64_C(300) * 1000000000)

/* One call on its way; memory of the call's arena. */
struct routed {
    struct rpc_router *router;
    struct rpc_call *outer;
    struct rpc_call inner;
    struct link link;
    struct timer again;
    struct str server;                 /* asked last */
    size_t unreached;                  /* servers that were no connection to be had to */
    uint64_t attempted_ms, failing_ms; /* failing: since when; 0: not */
};

/* --- the list ------------------------------------------------------------------------------- */

void router_list_remove(struct router_list *l, const struct router_server *s)
{
    size_t i = 0;
    while (i < l->n && l->at[i] != s)
        i++;
    if (i == l->n) return;
    memmove(&l->at[i], &l->at[i + 1], (l->n - i - 1) * sizeof l->at[0]);
    l->n--;
}

void router_list_rotate(struct router_list *l)
{
    if (l->n < 2) return;
    struct router_server *first = l->at[0];
    memmove(&l->at[0], &l->at[1], (l->n - 1) * sizeof l->at[0]);
    l->at[l->n - 1] = first;
}

static struct router_server *find(const struct rpc_router *r, struct str name)
{
    for (size_t i = 0; i < r->servers.n; i++) {
        if (str_eq(r->servers.at[i]->target.name, name)) return r->servers.at[i];
    }
    return NULL;
}

static struct str put_text(char **at, struct str s)
{
    char *p = *at;
    if (s.n) memcpy(p, s.p, s.n);
    *at += s.n;
    return (struct str){ p, s.n };
}

static struct router_server *server_create(const struct rpc_target *t)
{
    struct router_server *s = xmalloc(sizeof *s + t->name.n + t->datacenter.n + t->address.n);
    char *text = (char *)(s + 1);
    s->target.name = put_text(&text, t->name);
    s->target.datacenter = put_text(&text, t->datacenter);
    s->target.address = put_text(&text, t->address);
    s->target.port = t->port;
    return s;
}

static void log_server(const char *message, const struct rpc_target *t)
{
    struct arena a = ARENA_INIT;
    struct str text = str_printf(&a, "%.*s (Addr: tcp/%.*s:%u) (DC: %.*s)", STR_ARG(t->name),
        STR_ARG(t->address), t->port, STR_ARG(t->datacenter));
    log_info(RPC_ROUTER_LOG, message, "server", text.p);
    arena_free(&a);
}

static bool same(const struct rpc_target *a, const struct rpc_target *b)
{
    return a->port == b->port && str_eq(a->address, b->address) &&
           str_eq(a->datacenter, b->datacenter);
}

int rpc_router_add(struct rpc_router *r, const struct rpc_target *server)
{
    struct router_server *old = find(r, server->name);
    if (old && same(&old->target, server)) return 0;
    if (!old && r->servers.n == RPC_ROUTER_SERVERS_MAX) return ERR_FULL;
    struct router_server *fresh = server_create(server);
    log_server("adding server", server);
    if (!old) {
        r->servers.at[r->servers.n++] = fresh;
        r->had_servers = true;
        rpc_router__balance_added(r, fresh);
        return 0;
    }
    for (size_t i = 0; i < r->servers.n; i++) {
        if (r->servers.at[i] == old) r->servers.at[i] = fresh;
    }
    rpc_router__balance_removed(r, old);
    rpc_router__balance_added(r, fresh);
    free(old);
    return 0;
}

void rpc_router_remove(struct rpc_router *r, struct str name)
{
    struct router_server *s = find(r, name);
    if (!s) return;
    log_server("removing server", &s->target);
    rpc_router__balance_removed(r, s);
    router_list_remove(&r->servers, s);
    free(s);
}

size_t rpc_router_servers(const struct rpc_router *r)
{
    return r->servers.n;
}

const struct rpc_target *rpc_router_at(const struct rpc_router *r, size_t i)
{
    return i < r->servers.n ? &r->servers.at[i]->target : NULL;
}

/* --- rules ---------------------------------------------------------------------------------- */

static bool is_read(const struct rpc_call *call)
{
    const struct method_types *m = method_find(str_of(call->method));
    return m && m->args->kind == KIND_REC && record_field(m->args->record, STR("AllowStale"));
}

bool rpc_may_retry(const struct rpc_call *call, struct str text)
{
    if (str_find(text, STR(RPC_ERR_NO_LEADER)) >= 0) return true;
    bool lost = str_is(text, "EOF") || str_find(text, STR("stream closed")) >= 0 ||
                str_find(text, STR("session shutdown")) >= 0;
    return lost && is_read(call);
}

const void *rpc_args_again(
    const char *method, const void *args, struct arena *a, uint64_t waited_ms)
{
    const struct method_types *m = method_find(str_of(method));
    const struct record *r = m && m->args->kind == KIND_REC ? m->args->record : NULL;
    const struct field *index = r ? record_field(r, STR("MinQueryIndex")) : NULL;
    const struct field *wait = r ? record_field(r, STR("MaxQueryTime")) : NULL;
    uint64_t min = 0;
    int64_t ns, waited = (int64_t)waited_ms * 1000000;
    if (index && wait) memcpy(&min, (const char *)args + index->offset, sizeof min);
    if (min == 0) return args;
    char *rest = arena_copy(a, args, m->args->size);
    memcpy(&ns, rest + wait->offset, sizeof ns);
    if (ns <= 0) ns = WAIT_DEFAULT_NS;
    ns = ns > waited ? ns - waited : 1;
    memcpy(rest + wait->offset, &ns, sizeof ns);
    return rest;
}

/* --- calls ---------------------------------------------------------------------------------- */

static void finish(struct routed *c, int code)
{
    struct rpc_call *outer = c->outer;
    timer_stop(&c->again);
    link_remove(&c->link);
    outer->impl = NULL;
    outer->code = code;
    outer->reply = code ? NULL : c->inner.reply;
    outer->done(outer);
}

/* A client that has just started hears of the first server within milliseconds, if there is one. */
static bool is_early(const struct rpc_router *r)
{
    return !r->had_servers && world_now_ms(r->opts.world) - r->born_ms < r->opts.early_ms;
}

static void attempt(struct routed *c)
{
    struct rpc_router *r = c->router;
    struct rpc_call *outer = c->outer;
    if (r->servers.n == 0 && is_early(r)) {
        timer_start(&c->again, RPC_ROUTER_EARLY_RETRY_MS);
        return;
    }
    if (r->servers.n == 0) {
        finish(c, error_set(outer->err, ERR_INTERNAL, RPC_ERR_NO_SERVERS));
        return;
    }
    if (!rpc_limit_take(&r->limit)) {
        finish(c, error_set(outer->err, ERR_INTERNAL, RPC_ERR_RATE));
        return;
    }
    const struct rpc_target *to = &r->servers.at[0]->target;
    c->attempted_ms = world_now_ms(r->opts.world);
    if (!str_eq(c->server, to->name)) c->server = str_dup(outer->arena, to->name);
    rpc_pool_submit(r->opts.pool, to, &c->inner);
}

static void on_again(struct timer *t)
{
    struct routed *c = container_of(t, struct routed, again);
    c->router->counters.retries++;
    attempt(c);
}

/* The server that failed is asked last from now on. */
static void rotate(struct rpc_router *r, struct str name)
{
    if (r->servers.n < 2 || !str_eq(r->servers.at[0]->target.name, name)) return;
    router_list_rotate(&r->servers);
    r->counters.rotations++;
}

/* A server did not get it to its leader. */
static bool left_unsent(struct str text)
{
    return str_has_prefix(text, STR("rpc error making call: " RPC_ERR_NO_CLIENT));
}

/* The server of a read went, or its leader: another one may answer. Alone it may not. */
static bool cut_short(const struct routed *c, struct str text)
{
    bool cut = str_has_suffix(text, STR(": EOF")) || str_has_suffix(text, STR("connection reset"));
    return cut && c->router->servers.n > 1 && is_read(c->outer);
}

/* Since the first failure; a query that waited at a server for long has not failed before. */
static uint64_t failing_for_ms(struct routed *c, bool cut)
{
    const struct rpc_router *r = c->router;
    uint64_t now = world_now_ms(r->opts.world);
    bool anew = cut && now - c->attempted_ms > r->opts.hold_timeout_ms;
    if (!c->failing_ms || anew) c->failing_ms = now ? now : 1;
    return now - c->failing_ms;
}

static void count_failure(struct rpc_router *r, struct str server)
{
    struct metric_label label = { "server", server };
    metric_add(
        metrics_labelled(r->opts.metrics, METRIC_COUNTER, "client.rpc.failed", &label, 1), 1);
}

static void answered(struct rpc_call *inner)
{
    struct routed *c = inner->ctx;
    struct rpc_router *r = c->router;
    if (inner->code == 0) {
        finish(c, 0);
        return;
    }
    count_failure(r, c->server);
    rotate(r, c->server);
    struct str text = str_of(inner->err->text);
    /* What was never sent may be said to the next, be it a write. */
    if (str_has_prefix(text, STR(RPC_ERR_NO_CLIENT)) && ++c->unreached < r->servers.n) {
        r->counters.retries++;
        attempt(c);
        return;
    }
    bool cut = cut_short(c, text);
    bool again = cut || rpc_may_retry(c->outer, text) || left_unsent(text);
    if (again && failing_for_ms(c, cut) < r->opts.hold_timeout_ms) {
        c->inner.args = rpc_args_again(c->outer->method, c->inner.args, c->outer->arena,
            world_now_ms(r->opts.world) - c->attempted_ms);
        timer_start(&c->again, world_random_below(r->opts.world, r->opts.hold_timeout_ms / 16 + 1));
        return;
    }
    finish(c, inner->code);
}

static void submit(struct rpc_client *client, struct rpc_call *call)
{
    struct rpc_router *r = container_of(client, struct rpc_router, client);
    struct routed *c = arena_new(call->arena, struct routed);
    r->counters.calls++;
    c->router = r;
    c->outer = call;
    c->inner = (struct rpc_call){ .method = call->method,
        .args = call->args,
        .arena = call->arena,
        .done = answered,
        .ctx = c,
        .err = call->err };
    link_init(&c->link);
    link_push(&r->calls, &c->link);
    timer_init(&c->again, r->opts.world, on_again);
    call->impl = c;
    attempt(c);
}

static void cancel(struct rpc_client *client, struct rpc_call *call)
{
    struct rpc_router *r = container_of(client, struct rpc_router, client);
    struct routed *c = call->impl;
    if (!c) return;
    call->impl = NULL;
    timer_stop(&c->again);
    link_remove(&c->link);
    rpc_pool_cancel(r->opts.pool, &c->inner);
}

/* --- life ----------------------------------------------------------------------------------- */

struct rpc_router *rpc_router_create(const struct rpc_router_options *o)
{
    struct rpc_router *r = xcalloc(1, sizeof *r);
    r->opts = *o;
    r->born_ms = world_now_ms(o->world);
    r->client = (struct rpc_client){ submit, cancel };
    if (!r->opts.hold_timeout_ms) r->opts.hold_timeout_ms = 7000;
    rpc_limit_init(&r->limit, o->world, NULL);
    rpc_limit_set(&r->limit, o->rate, o->burst);
    link_init(&r->calls);
    rpc_router__balance_init(r);
    return r;
}

void rpc_router_destroy(struct rpc_router *r)
{
    if (!r) return;
    for (struct link *it; (it = link_pop(&r->calls));) {
        struct routed *c = container_of(it, struct routed, link);
        rpc_pool_cancel(r->opts.pool, &c->inner);
        finish(c, error_set(c->outer->err, ERR_INTERNAL, "rpc error: shutdown"));
    }
    rpc_router__balance_deinit(r);
    for (size_t i = 0; i < r->servers.n; i++)
        free(r->servers.at[i]);
    free(r);
}

struct rpc_client *rpc_router_client(struct rpc_router *r)
{
    return &r->client;
}

void rpc_router_limit(struct rpc_router *r, double rate, uint64_t burst)
{
    rpc_limit_set(&r->limit, rate, burst);
}

struct rpc_router_counters rpc_router_counters(const struct rpc_router *r)
{
    struct rpc_router_counters all = r->counters;
    all.rate_limited = r->limit.refused;
    return all;
}
