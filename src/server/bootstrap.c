/* SPDX-License-Identifier: Apache-2.0 */
/* bootstrap_expect (raft.md 7.1): once as many servers as expected are in the LAN and none of them
 * is part of a cluster, each writes the same first configuration. What the others say is asked by
 * Status.Peers; one that answers nothing, six times, is taken for one that has nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

#include "consuld/cluster/member.h"
#include "consuld/cluster/pool.h"

#define ATTEMPTS_MAX 6
#define SERVERS_MAX 64

struct candidate {
    struct bootstrap *all;
    char name[256], id[64], ip[64], address[128];
    uint16_t port;
    bool voter, self;
    unsigned attempts;
    bool asking, answered;
    struct timer retry;
    struct rpc_call call;
    struct dc_specific_request args;
    struct arena arena;
    struct error err;
};

struct bootstrap {
    struct server *server;
    struct pool_observer lan;
    struct tick tick;
    uint64_t expect; /* 0: over */
    bool running;
    struct candidate servers[SERVERS_MAX];
    size_t n;
};

static void look(struct bootstrap *b);

/* --- asking ----------------------------------------------------------------------------------- */

static void forget(struct candidate *c)
{
    timer_stop(&c->retry);
    if (c->asking) rpc_pool_cancel(c->all->server->opts.rpc_pool, &c->call);
    rpc_reply_unref(c->call.reply);
    c->call.reply = NULL;
    c->asking = false;
    arena_free(&c->arena);
}

static void end_round(struct bootstrap *b)
{
    for (size_t i = 0; i < b->n; i++)
        forget(&b->servers[i]);
    b->running = false;
    b->n = 0;
}

static void give_up(struct bootstrap *b, const char *why)
{
    log_info(SERVER_LOG, why);
    end_round(b);
    b->expect = 0;
}

static void write_first(struct bootstrap *b)
{
    struct server *s = b->server;
    struct raft_driver_server servers[SERVERS_MAX];
    struct buf list = BUF_INIT(16384);
    struct error err;
    for (size_t i = 0; i < b->n; i++) {
        const struct candidate *c = &b->servers[i];
        servers[i] = (struct raft_driver_server){ .id = str_of(c->id[0] ? c->id : c->address),
            .address = str_of(c->address),
            .suffrage = c->voter ? 0 : 1 };
        buf_printf(&list, "%s%s", i ? "," : "", c->address);
    }
    buf_put_char(&list, '\0');
    log_info(SERVER_LOG, "Found expected number of peers, attempting bootstrap", "peers",
        list.overflow ? "" : (const char *)list.p);
    if (raft_driver_bootstrap(s->raft, servers, b->n, &err))
        log_error(SERVER_LOG, "Failed to bootstrap cluster", "error", err.text);
    buf_deinit(&list);
    end_round(b);
    b->expect = 0;
}

static void check_end(struct bootstrap *b)
{
    if (!b->running) return;
    for (size_t i = 0; i < b->n; i++)
        if (!b->servers[i].answered) return;
    write_first(b);
}

static void ask(struct candidate *c);

static void retry(struct timer *t)
{
    ask(container_of(t, struct candidate, retry));
}

static void asked(struct rpc_call *call)
{
    struct candidate *c = call->ctx;
    struct bootstrap *b = c->all;
    c->asking = false;
    if (call->code) {
        log_error(SERVER_LOG, "Failed to confirm peer status for server", "server", c->name,
            "error", c->err.text);
        if (++c->attempts < ATTEMPTS_MAX) {
            timer_start(&c->retry, UINT64_C(1000) << (c->attempts - 1));
            return;
        }
    } else {
        const struct list *peers = call->reply->record;
        bool member = peers->n > 0;
        rpc_reply_unref(call->reply);
        call->reply = NULL;
        if (member) {
            give_up(b, "Existing Raft peers reported by server, disabling bootstrap mode");
            return;
        }
    }
    c->answered = true;
    check_end(b);
}

static void ask(struct candidate *c)
{
    struct server *s = c->all->server;
    struct rpc_target to = { .name = str_of(c->name),
        .datacenter = s->opts.datacenter,
        .address = str_of(c->ip),
        .port = c->port };
    c->args = (struct dc_specific_request){ .datacenter = s->opts.datacenter };
    arena_reset(&c->arena);
    c->err.code = 0;
    c->call = (struct rpc_call){ .method = "Status.Peers",
        .args = &c->args,
        .arena = &c->arena,
        .done = asked,
        .ctx = c,
        .err = &c->err };
    c->asking = true;
    rpc_pool_submit(s->opts.rpc_pool, &to, &c->call);
}

/* --- looking ---------------------------------------------------------------------------------- */

enum sight { SIGHT_OTHER, SIGHT_SERVER, SIGHT_CONFLICT };

static enum sight see(struct bootstrap *b, const struct serf_member *m, struct candidate *out)
{
    struct server *s = b->server;
    struct arena a = ARENA_INIT;
    struct dict tags;
    struct consul_server cs;
    enum sight sight = SIGHT_OTHER;
    if (serf_tags_decode(m->meta, &a, &tags, NULL) == 0 && m->status == SERF_ALIVE &&
        consul_server_read(m->name, &tags, &cs) && cs.port > 0 && cs.port <= UINT16_MAX &&
        str_eq(cs.datacenter, s->opts.datacenter)) {
        sight = SIGHT_SERVER;
        gossip_ip_text(&m->address, out->ip);
        bool v6 = strchr(out->ip, ':') != NULL;
        snprintf(out->name, sizeof out->name, "%.*s", STR_ARG(cs.short_name));
        snprintf(out->id, sizeof out->id, "%.*s", STR_ARG(cs.id));
        snprintf(
            out->address, sizeof out->address, v6 ? "[%s]:%d" : "%s:%d", out->ip, (int)cs.port);
        out->port = (uint16_t)cs.port;
        out->voter = !cs.non_voter;
        out->self = str_eq(cs.id, s->opts.self.id);
        if (cs.expect && (uint64_t)cs.expect != b->expect) {
            log_error(SERVER_LOG,
                "Member has a conflicting expect value. All nodes should expect the same number",
                "member", out->name);
            sight = SIGHT_CONFLICT;
        } else if (cs.bootstrap) {
            log_error(
                SERVER_LOG, "Member has bootstrap mode. Expect disabled.", "member", out->name);
            sight = SIGHT_CONFLICT;
        }
    }
    arena_free(&a);
    return sight;
}

/* Fills the servers of a round; false: they are too few, or disagree. */
static bool gather(struct bootstrap *b)
{
    const struct serf *lan = pool_serf(b->server->opts.lan);
    size_t voters = 0;
    b->n = 0;
    for (size_t i = 0; i < serf_count(lan) && b->n < SERVERS_MAX; i++) {
        struct candidate *c = &b->servers[b->n];
        *c = (struct candidate){ .all = b };
        enum sight sight = see(b, serf_at(lan, i), c);
        if (sight == SIGHT_CONFLICT) {
            b->n = 0;
            return false;
        }
        if (sight == SIGHT_OTHER) continue;
        voters += c->voter;
        b->n++;
    }
    if (voters >= b->expect) return true;
    b->n = 0;
    return false;
}

static void look(struct bootstrap *b)
{
    struct server *s = b->server;
    if (!b->expect || b->running) return;
    if (!raft_driver_pristine(s->raft)) {
        b->expect = 0;
        return;
    }
    if (!gather(b)) return;
    b->running = true;
    for (size_t i = 0; i < b->n; i++) {
        struct candidate *c = &b->servers[i];
        timer_init(&c->retry, s->world, retry);
        c->answered = c->self; /* we are pristine */
        if (!c->self) ask(c);
    }
    check_end(b);
}

static void on_tick(struct tick *t)
{
    look(container_of(t, struct bootstrap, tick));
}

static void on_member(
    struct pool_observer *o, enum serf_notice_type type, const struct serf_member *m)
{
    struct bootstrap *b = o->ctx;
    (void)m;
    if (b->expect && (type == SERF_MEMBER_JOINED || type == SERF_MEMBER_UPDATED))
        tick_mark(&b->tick);
}

void server__bootstrap_init(struct server *s)
{
    if (!s->opts.bootstrap_expect || !s->opts.lan || !s->opts.rpc_pool) return;
    struct bootstrap *b = s->bootstrap = xcalloc(1, sizeof *b);
    b->server = s;
    b->expect = s->opts.bootstrap_expect;
    tick_init(&b->tick, s->world, on_tick);
    b->lan = (struct pool_observer){ .member = on_member, .ctx = b };
    pool_observe(s->opts.lan, &b->lan);
}

void server__bootstrap_deinit(struct server *s)
{
    struct bootstrap *b = s->bootstrap;
    if (!b) return;
    s->bootstrap = NULL;
    pool_unobserve(&b->lan);
    tick_cancel(&b->tick);
    end_round(b);
    free(b);
}
