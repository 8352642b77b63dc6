/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to other datacenters (rpc.md 9.4): the servers that the WAN pool knows there, the one to ask
 * first in front. One that fails a call, or that gossip reports as failed, goes to the end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/cluster/member.h"
#include "consuld/cluster/pool.h"
#include "server.h"

#define SERVERS_MAX 1024 /* of one datacenter */
#define DATACENTERS_MAX 4096
#define ERR_UNREACHABLE_DC "Remote DC has no server currently reachable"

struct wan_server {
    struct link link;
    struct rpc_target target; /* memory behind the struct */
};

struct wan_datacenter {
    struct link servers;
    size_t n;
};

/* --- who is there --------------------------------------------------------------------------- */

static struct str put_text(char **at, struct str s)
{
    char *p = *at;
    if (s.n) memcpy(p, s.p, s.n);
    *at += s.n;
    return (struct str){ p, s.n };
}

static struct wan_server *wan_server_create(const struct rpc_target *t)
{
    struct wan_server *w = xmalloc(sizeof *w + t->name.n + t->datacenter.n + t->address.n);
    char *text = (char *)(w + 1);
    w->target.name = put_text(&text, t->name);
    w->target.datacenter = put_text(&text, t->datacenter);
    w->target.address = put_text(&text, t->address);
    w->target.port = t->port;
    link_init(&w->link);
    return w;
}

static struct wan_server *find(const struct wan_datacenter *d, struct str name)
{
    link_each (it, (struct link *)(uintptr_t)&d->servers) {
        struct wan_server *w = container_of(it, struct wan_server, link);
        if (str_eq(w->target.name, name)) return w;
    }
    return NULL;
}

static void add(struct server *s, const struct rpc_target *t)
{
    struct wan_datacenter *d = map_get(&s->routes, t->datacenter);
    if (!d) {
        if (s->routes.n == DATACENTERS_MAX) return;
        d = xcalloc(1, sizeof *d);
        link_init(&d->servers);
        map_put(&s->routes, t->datacenter, d);
    }
    struct wan_server *old = find(d, t->name);
    if (!old && d->n == SERVERS_MAX) return;
    struct wan_server *fresh = wan_server_create(t);
    if (old) {
        link_insert_before(&old->link, &fresh->link);
        link_remove(&old->link);
        free(old);
    } else {
        link_push(&d->servers, &fresh->link);
        d->n++;
    }
}

static void forget(struct server *s, struct str datacenter, struct str name)
{
    struct wan_datacenter *d = map_get(&s->routes, datacenter);
    struct wan_server *w = d ? find(d, name) : NULL;
    if (!w) return;
    link_remove(&w->link);
    free(w);
    if (--d->n) return;
    map_remove(&s->routes, datacenter);
    free(d);
}

static void put_last(struct server *s, struct str datacenter, struct str name)
{
    struct wan_datacenter *d = map_get(&s->routes, datacenter);
    struct wan_server *w = d ? find(d, name) : NULL;
    if (!w) return;
    link_remove(&w->link);
    link_push(&d->servers, &w->link);
}

void server__routes_member(
    struct server *s, enum serf_notice_type type, const struct serf_member *m)
{
    struct arena a = ARENA_INIT;
    struct dict tags;
    struct consul_server c;
    char ip[GOSSIP_ADDRESS_TEXT_MAX];
    if (serf_tags_decode(m->meta, &a, &tags, NULL) == 0 && consul_server_read(m->name, &tags, &c) &&
        c.port > 0 && c.port <= UINT16_MAX) {
        struct rpc_target t = { .name = c.short_name,
            .datacenter = c.datacenter,
            .address = str_of(gossip_ip_text(&m->address, ip)),
            .port = (uint16_t)c.port };
        if (type == SERF_MEMBER_JOINED || type == SERF_MEMBER_UPDATED)
            add(s, &t);
        else if (type == SERF_MEMBER_FAILED)
            put_last(s, t.datacenter, t.name);
        else
            forget(s, t.datacenter, t.name);
    }
    arena_free(&a);
}

void server__routes_deinit(struct server *s)
{
    struct str key;
    void *value;
    for (size_t it = 0; map_next(&s->routes, &it, &key, &value);) {
        struct wan_datacenter *d = value;
        for (struct link *l; (l = link_pop(&d->servers));)
            free(container_of(l, struct wan_server, link));
        free(d);
    }
    map_deinit(&s->routes);
}

bool server__route_known(const struct server *s, struct str datacenter)
{
    return str_eq(datacenter, s->opts.datacenter) || map_get(&s->routes, datacenter) != NULL;
}

bool server__route_target(
    struct server *s, struct str datacenter, struct arena *a, struct rpc_target *out)
{
    const struct wan_datacenter *d = map_get(&s->routes, datacenter);
    if (!d) return false;
    const struct rpc_target *t = &container_of(d->servers.next, struct wan_server, link)->target;
    *out = (struct rpc_target){ .name = str_dup(a, t->name),
        .datacenter = str_dup(a, t->datacenter),
        .address = str_dup(a, t->address),
        .port = t->port };
    return true;
}

/* --- calls there ---------------------------------------------------------------------------- */

struct remote_call {
    struct pending *p;
    struct rpc_call inner;
    struct str datacenter, server;
    bool again; /* it may be made once more */
};

void server__remote_cancel(struct pending *p)
{
    struct remote_call *c = p->remote;
    p->remote = NULL;
    if (c) rpc_pool_cancel(p->server->opts.rpc_pool, &c->inner);
}

/* The server was not reached, or was lost before it answered. */
static bool not_answered(struct str why)
{
    return str_find(why, STR("rpc error getting client: ")) == 0 ||
           str_is(why, "rpc error making call: EOF") ||
           str_is(why, "rpc error making call: session shutdown") ||
           str_is(why, "rpc error making call: stream closed") ||
           str_is(why, "rpc error making call: connection reset");
}

static void attempt(struct remote_call *c);

static void answered(struct rpc_call *inner)
{
    struct remote_call *c = inner->ctx;
    struct pending *p = c->p;
    if (inner->code) put_last(p->server, c->datacenter, c->server);
    if (inner->code && c->again && not_answered(str_of(inner->err->text))) {
        c->again = false;
        attempt(c);
        return;
    }
    p->remote = NULL;
    link_remove(&p->link);
    if (inner->code)
        server__fail(p->call, inner->code);
    else
        server__finish(p->call, inner->reply);
}

static void attempt(struct remote_call *c)
{
    struct pending *p = c->p;
    struct server *s = p->server;
    const struct wan_datacenter *d = map_get(&s->routes, c->datacenter);
    if (!d || !s->opts.rpc_pool) {
        p->remote = NULL;
        link_remove(&p->link);
        server__fail(p->call, error_set(p->call->err, ERR_INTERNAL, "%s",
                                  d ? ERR_UNREACHABLE_DC : RPC_ERR_NO_DC_PATH));
        return;
    }
    const struct rpc_target *to = &container_of(d->servers.next, struct wan_server, link)->target;
    c->server = str_dup(p->call->arena, to->name);
    c->inner = (struct rpc_call){ .method = p->method->name,
        .args = p->args,
        .arena = p->call->arena,
        .done = answered,
        .ctx = c,
        .err = p->call->err };
    rpc_pool_submit(s->opts.rpc_pool, to, &c->inner);
}

void server__remote(struct pending *p, struct str datacenter)
{
    struct remote_call *c = arena_new(p->call->arena, struct remote_call);
    c->p = p;
    c->datacenter = datacenter;
    c->again = p->layout->allow_stale >= 0;
    p->kind = PENDING_REMOTE;
    p->remote = c;
    link_push(&p->server->calls, &p->link);
    attempt(c);
}

/* --- datacenters by distance ---------------------------------------------------------------- */

struct ranked {
    struct str name;
    struct list seconds; /* double, of its servers */
    double median;
};

static int by_seconds(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int nearer(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int order = (x->median > y->median) - (x->median < y->median);
    return order ? order : str_cmp(x->name, y->name);
}

static struct ranked *ranked_of(struct arena *a, struct list *all, struct str name)
{
    for (size_t i = 0; i < all->n; i++) {
        struct ranked *r = &LIST_AT(all, struct ranked, i);
        if (str_eq(r->name, name)) return r;
    }
    struct ranked *r = LIST_PUSH(a, all, struct ranked);
    r->name = str_dup(a, name);
    return r;
}

static void rank_members(struct server *s, struct arena *a, struct list *all)
{
    const struct serf *wan = pool_serf(s->opts.wan);
    for (size_t i = 0; i < serf_count(wan); i++) {
        const struct serf_member *m = serf_at(wan, i);
        struct consul_server c;
        struct dict tags;
        struct position there;
        double seconds = INFINITY;
        if (m->status == SERF_LEFT || serf_tags_decode(m->meta, a, &tags, NULL) != 0 ||
            !consul_server_read(m->name, &tags, &c))
            continue;
        if (str_eq(c.datacenter, s->opts.datacenter))
            seconds = 0;
        else if (serf_position_of(wan, m->name, &there))
            seconds = position_distance(serf_position(wan), &there);
        struct ranked *r = ranked_of(a, all, c.datacenter);
        *LIST_PUSH(a, &r->seconds, double) = seconds;
    }
}

void server__datacenters(struct server *s, struct arena *a, struct list *out)
{
    struct list all = { 0 };
    ranked_of(a, &all, s->opts.datacenter);
    if (s->opts.wan) rank_members(s, a, &all);
    for (size_t i = 0; i < all.n; i++) {
        struct ranked *r = &LIST_AT(&all, struct ranked, i);
        if (!r->seconds.n) continue;
        qsort(r->seconds.v, r->seconds.n, sizeof(double), by_seconds);
        r->median = LIST_AT(&r->seconds, double, r->seconds.n / 2);
    }
    qsort(all.v, all.n, sizeof(struct ranked), nearer);
    for (size_t i = 0; i < all.n; i++)
        *LIST_PUSH(a, out, struct str) = LIST_AT(&all, struct ranked, i).name;
}
