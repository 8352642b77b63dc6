/* SPDX-License-Identifier: Apache-2.0 */
/* A server's way to the others of its raft: streams of port 8300 and connections to theirs, found
 * by what gossip says of each node id (raft.md 1.1). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/cluster/member.h"
#include "consuld/cluster/raft_transport.h"
#include "run.h"

#define SERVERS_MAX 256

struct place {
    char id[64], address[128];
};

struct run_raft {
    struct run *run;
    struct raft_transport *transport;
    struct pool_observer lan;
    struct place servers[SERVERS_MAX];
    size_t n;
    void (*stopped)(void *ctx);
};

static struct place *place_of(struct run_raft *rr, struct str id)
{
    for (size_t i = 0; i < rr->n; i++)
        if (str_is(id, rr->servers[i].id)) return &rr->servers[i];
    return NULL;
}

static bool locate(void *ctx, struct str id, char *out, size_t out_n)
{
    const struct place *p = place_of(ctx, id);
    if (!p) return false;
    int n = snprintf(out, out_n, "%s", p->address);
    return n > 0 && (size_t)n < out_n;
}

static void keep(struct run_raft *rr, const struct consul_server *s, const struct serf_member *m)
{
    char ip[GOSSIP_ADDRESS_TEXT_MAX];
    struct place *p = place_of(rr, s->id);
    gossip_ip_text(&m->address, ip);
    if (!p && (rr->n == SERVERS_MAX || s->id.n >= sizeof p->id)) return;
    if (!p) p = &rr->servers[rr->n++];
    bool v6 = strchr(ip, ':') != NULL;
    snprintf(p->id, sizeof p->id, "%.*s", STR_ARG(s->id));
    snprintf(p->address, sizeof p->address, v6 ? "[%s]:%lld" : "%s:%lld", ip, (long long)s->port);
}

static void on_member(
    struct pool_observer *o, enum serf_notice_type type, const struct serf_member *m)
{
    struct run_raft *rr = o->ctx;
    struct arena a = ARENA_INIT;
    struct dict tags;
    struct consul_server s;
    bool server = serf_tags_decode(m->meta, &a, &tags, NULL) == 0 &&
                  consul_server_read(m->name, &tags, &s) && s.port > 0 && s.port <= UINT16_MAX &&
                  s.id.n > 0 && str_eq(s.datacenter, rr->run->config->datacenter);
    struct place *p = server ? place_of(rr, s.id) : NULL;
    if (server && (type == SERF_MEMBER_JOINED || type == SERF_MEMBER_UPDATED))
        keep(rr, &s, m);
    else if (p)
        *p = rr->servers[--rr->n];
    arena_free(&a);
}

struct raft_driver_transport *run_raft_create(struct run *r)
{
    struct run_raft *rr = r->raft_net = xcalloc(1, sizeof *rr);
    rr->run = r;
    rr->transport = raft_transport_create(&(struct raft_transport_options){ .world = r->world,
        .tls = r->tls,
        .datacenter = str_dup(&r->arena, r->config->datacenter),
        .domain = r->domain,
        .source = r->source,
        .metrics = r->metrics,
        .locate = locate,
        .ctx = rr });
    rr->lan = (struct pool_observer){ .member = on_member, .ctx = rr };
    pool_observe(r->lan, &rr->lan);
    return raft_transport_driver(rr->transport);
}

void run_raft_accept(void *ctx, struct stream *s)
{
    struct run *r = ctx;
    raft_transport_accept(r->raft_net->transport, s);
}

void run_raft_start(struct run *r)
{
    raft_transport_attach(r->raft_net->transport, r->raft);
    raft_driver_start(r->raft);
}

static void closed(void *ctx)
{
    struct run_raft *rr = ctx;
    struct run *r = rr->run;
    void (*stopped)(void *) = rr->stopped;
    free(rr);
    stopped(r);
}

void run_raft_stop(struct run *r, void (*stopped)(void *ctx))
{
    struct run_raft *rr = r->raft_net;
    r->raft_net = NULL;
    if (!rr) {
        stopped(r);
        return;
    }
    rr->stopped = stopped;
    pool_unobserve(&rr->lan);
    raft_transport_close(rr->transport, closed, rr);
}
