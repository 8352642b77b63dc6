/* SPDX-License-Identifier: Apache-2.0 */
/* A prepared query that found nothing here asks other datacenters, one after the other, until one
 * has an instance (rpc.md 13): the nearest ones first, then those the query names. */
#include "server.h"

struct failover {
    struct pending *p;
    struct rpc_reply *reply; /* what is answered if no datacenter has anything */
    struct prepared_query query;
    struct list datacenters; /* struct str */
    size_t next;
    bool calling;
    struct rpc_call call;
    struct prepared_query_execute_remote_request args;
    struct error err;
};

static bool listed(const struct list *l, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(LIST_AT(l, struct str, i), name)) return true;
    return false;
}

/* Candidates in the order of the query; datacenters nobody knows are left out. */
static void candidates(
    struct server *s, const struct query_datacenter_options *o, struct arena *a, struct list *out)
{
    struct list known = { 0 };
    server__datacenters(s, a, &known);
    for (size_t i = 0; i < known.n && (int64_t)out->n < o->nearest_n; i++) {
        struct str dc = LIST_AT(&known, struct str, i);
        if (!str_eq(dc, s->opts.datacenter)) *LIST_PUSH(a, out, struct str) = dc;
    }
    size_t nearest = out->n;
    for (size_t i = 0; i < o->datacenters.n; i++) {
        struct str dc = LIST_AT(&o->datacenters, struct str, i);
        if (!str_eq(dc, s->opts.datacenter) && listed(&known, known.n, dc) &&
            !listed(out, nearest, dc))
            *LIST_PUSH(a, out, struct str) = dc;
    }
}

static void end(struct failover *f, struct rpc_reply *r)
{
    struct pending *p = f->p;
    ((struct prepared_query_execute_response *)r->record)->failovers = (int64_t)f->next;
    p->failover = NULL;
    link_remove(&p->link);
    if (r != f->reply) rpc_reply_unref(f->reply);
    server__finish(p->call, r);
}

static void try_next(struct failover *f);

static void answered(struct rpc_call *call)
{
    struct failover *f = call->ctx;
    f->calling = false;
    if (call->code) {
        struct arena a = ARENA_INIT;
        log_warn(SERVER_LOG ".prepared_query", "Failed querying for service in datacenter",
            "service", str_c(&a, f->query.service.service), "datacenter",
            str_c(&a, f->args.datacenter), "error", call->err->text);
        arena_free(&a);
        try_next(f);
        return;
    }
    const struct prepared_query_execute_response *got = call->reply->record;
    if (got->nodes.n > 0 || f->next == f->datacenters.n) {
        end(f, call->reply);
        return;
    }
    rpc_reply_unref(call->reply);
    try_next(f);
}

static void try_next(struct failover *f)
{
    struct pending *p = f->p;
    const struct prepared_query_execute_request *asked = p->args;
    if (f->next == f->datacenters.n) {
        end(f, f->reply);
        return;
    }
    f->args = (struct prepared_query_execute_remote_request){ .datacenter = LIST_AT(&f->datacenters,
                                                                  struct str, f->next++),
        .query = f->query,
        .limit = asked->limit,
        .connect = asked->connect,
        .token = asked->token,
        .allow_stale = asked->allow_stale,
        .require_consistent = asked->require_consistent };
    f->call = (struct rpc_call){ .method = "PreparedQuery.ExecuteRemote",
        .args = &f->args,
        .arena = p->call->arena,
        .done = answered,
        .ctx = f,
        .err = &f->err };
    f->calling = true;
    rpc_submit(&p->server->client, &f->call);
}

void server__failover_cancel(struct pending *p)
{
    struct failover *f = p->failover;
    p->failover = NULL;
    if (!f) return;
    if (f->calling) rpc_cancel(&p->server->client, &f->call);
    rpc_reply_unref(f->reply);
}

bool prepared_query_failover(struct pending *p, struct rpc_reply *reply)
{
    const struct prepared_query_execute_response *out = reply->record;
    struct arena *a = p->call->arena;
    struct failover *f = arena_new(a, struct failover);
    struct eval e = { .server = p->server, .args = p->args, .reply = reply, .err = &f->err };
    if (out->nodes.n > 0) return false;
    e.rd = store_read(p->server->store);
    if (prepared_query_resolve(&e, &f->query) != 0) return false;
    const struct query_datacenter_options *o = &f->query.service.failover;
    candidates(p->server, o, a, &f->datacenters);
    if (f->datacenters.n == 0) return false;
    f->p = p;
    f->reply = reply;
    p->kind = PENDING_REMOTE;
    p->failover = f;
    link_push(&p->server->calls, &p->link);
    try_next(f);
    return true;
}
