/* SPDX-License-Identifier: Apache-2.0 */
/* What gossip means to a server (gossip.md 12.5): members whose state in the catalog is to be
 * looked at, servers of the LAN that are brought into the WAN, the notice of a new leader. */
#include <stdlib.h>
#include <string.h>

#include "consuld/cluster/member.h"
#include "consuld/cluster/pool.h"
#include "consuld/gossip/event_payload.h"
#include "consuld/gossip/serf.h"
#include "server.h"

#define FLOOD_INTERVAL_MS 60000
#define FLOOD_SERVERS_MAX 64
#define DUE_MAX 65536  /* names waiting; the next full pass finds what was left out */
#define ATTEMPTS_MAX 5 /* of changes that leave the state as it is */

/* A name whose state is to be looked at. */
struct due {
    struct link link;
    unsigned attempts;
    size_t n;
    char name[];
};

struct server_gossip {
    struct server *server;
    struct pool_observer lan, wan;
    struct pool_request flood, leader;
    bool flooding, announcing;
    bool preserving; /* the catalog is kept as it is (serf_preserving) */
    struct timer flood_timer;
    struct link due;
    struct map by_name;
};

static bool read_server(
    const struct serf_member *m, struct arena *a, struct dict *tags, struct consul_server *out)
{
    struct error ignored;
    return serf_tags_decode(m->meta, a, tags, &ignored) == 0 &&
           consul_server_read(m->name, tags, out) && out->port > 0 && out->port <= UINT16_MAX;
}

/* --- names to look at --------------------------------------------------------------------------
 */

static void add_due(struct server_gossip *g, struct str name)
{
    if (map_get(&g->by_name, name) || g->by_name.n >= DUE_MAX) return;
    struct due *d = xcalloc(1, sizeof *d + name.n);
    d->n = name.n;
    if (name.n) memcpy(d->name, name.p, name.n);
    link_init(&d->link);
    link_push(&g->due, &d->link);
    map_put(&g->by_name, name, d);
}

static void drop_due(struct server_gossip *g, struct due *d)
{
    map_remove(&g->by_name, (struct str){ d->name, d->n });
    link_remove(&d->link);
    free(d);
}

void server__members_due(struct server *s)
{
    struct server_gossip *g = s->gossip;
    add_due(g, s->opts.self.name);
    if (!s->opts.lan) return;
    const struct serf *lan = pool_serf(s->opts.lan);
    for (size_t i = 0; i < serf_count(lan); i++)
        add_due(g, serf_at(lan, i)->name);
}

bool server__member_due(struct server *s, struct str *name)
{
    struct link *l = s->gossip->due.next;
    if (l == &s->gossip->due) return false;
    const struct due *d = container_of(l, struct due, link);
    *name = (struct str){ d->name, d->n };
    return true;
}

void server__member_settled(struct server *s)
{
    drop_due(s->gossip, container_of(s->gossip->due.next, struct due, link));
}

void server__member_tried(struct server *s)
{
    struct due *d = container_of(s->gossip->due.next, struct due, link);
    if (++d->attempts == ATTEMPTS_MAX) {
        drop_due(s->gossip, d);
        return;
    }
    link_remove(&d->link);
    link_push(&s->gossip->due, &d->link);
}

/* --- servers of the LAN into the WAN ------------------------------------------------------------
 */

static void flooded(struct pool_request *r)
{
    struct server_gossip *g = r->ctx;
    g->flooding = false;
    if (r->code) log_debug(SERVER_LOG, "Failed to flood-join servers", "error", r->err.text);
}

static void flood(struct server_gossip *g)
{
    struct server *s = g->server;
    struct str texts[FLOOD_SERVERS_MAX];
    struct arena a = ARENA_INIT;
    size_t n = 0;
    if (!s->opts.lan || !s->opts.wan || g->flooding) return;
    const struct serf *lan = pool_serf(s->opts.lan), *wan = pool_serf(s->opts.wan);
    for (size_t i = 0; i < serf_count(lan) && n < FLOOD_SERVERS_MAX; i++) {
        const struct serf_member *m = serf_at(lan, i);
        struct consul_server server;
        struct dict tags;
        char ip[GOSSIP_ADDRESS_TEXT_MAX];
        if (m->status != SERF_ALIVE || !read_server(m, &a, &tags, &server)) continue;
        struct str name =
            str_printf(&a, "%.*s.%.*s", STR_ARG(server.short_name), STR_ARG(s->opts.datacenter));
        if (serf_find(wan, name) || server.wan_join_port <= 0 || server.wan_join_port > UINT16_MAX)
            continue;
        gossip_ip_text(&m->address, ip);
        texts[n++] = str_printf(&a, m->address.ip_n == 16 ? "%.*s/[%s]:%d" : "%.*s/%s:%d",
            STR_ARG(name), ip, (int)server.wan_join_port);
    }
    if (n) {
        g->flooding = true;
        g->flood = (struct pool_request){ .done = flooded, .ctx = g };
        pool_join(s->opts.wan, &g->flood, texts, n);
    }
    arena_free(&a);
}

static void flood_again(struct timer *t)
{
    struct server_gossip *g = container_of(t, struct server_gossip, flood_timer);
    flood(g);
    timer_start(t, FLOOD_INTERVAL_MS);
}

/* --- the notice of a new leader -----------------------------------------------------------------
 */

static void announced(struct pool_request *r)
{
    struct server_gossip *g = r->ctx;
    g->announcing = false;
    if (r->code)
        log_error(SERVER_LOG, "failed to broadcast new leader event", "error", r->err.text);
}

void server__announce_leader(struct server *s)
{
    struct server_gossip *g = s->gossip;
    if (!s->opts.lan || g->announcing) return;
    g->announcing = true;
    g->leader = (struct pool_request){ .done = announced, .ctx = g };
    pool_fire(s->opts.lan, &g->leader, STR(EVENT_NEW_LEADER), s->opts.self.name);
}

/* --- events -------------------------------------------------------------------------------------
 */

static void on_lan(struct pool_observer *o, enum serf_notice_type type, const struct serf_member *m)
{
    struct server_gossip *g = o->ctx;
    struct server *s = g->server;
    struct arena a = ARENA_INIT;
    struct consul_server server;
    struct dict tags;
    if (read_server(m, &a, &tags, &server) && server.segment.n == 0) {
        char address[GOSSIP_ADDRESS_TEXT_MAX];
        struct gossip_address rpc = m->address;
        rpc.port = (uint16_t)server.port;
        const char *text = str_printf(&a, "%.*s (Addr: tcp/%s) (DC: %.*s)", STR_ARG(server.name),
            gossip_address_text(&rpc, address), STR_ARG(server.datacenter))
                               .p;
        if (type == SERF_MEMBER_JOINED) {
            log_info(SERVER_LOG, "Adding LAN server", "server", text);
            flood(g);
        } else if (type != SERF_MEMBER_UPDATED) {
            log_info(SERVER_LOG, "Removing LAN server", "server", text);
            if (type == SERF_MEMBER_FAILED && s->opts.rpc_pool)
                rpc_pool_server_failed(s->opts.rpc_pool, server.datacenter, server.short_name);
        }
    }
    arena_free(&a);
    bool preserved = g->preserving;
    g->preserving = serf_preserving(pool_serf(s->opts.lan));
    if (!s->ready) return;
    if (preserved && !g->preserving) server__members_due(s);
    add_due(g, m->name);
    server__reconcile_soon(s);
}

static void on_wan(struct pool_observer *o, enum serf_notice_type type, const struct serf_member *m)
{
    struct server_gossip *g = o->ctx;
    struct arena a = ARENA_INIT;
    server__routes_member(g->server, type, m);
    log_info(SERVER_LOG, "Handled event for server in area", "event", serf_notice_name(type),
        "server", str_c(&a, m->name), "area", "wan");
    arena_free(&a);
}

void server__gossip_init(struct server *s)
{
    struct server_gossip *g = s->gossip = xcalloc(1, sizeof *g);
    g->server = s;
    link_init(&g->due);
    timer_init(&g->flood_timer, s->world, flood_again);
    g->lan = (struct pool_observer){ .member = on_lan, .ctx = g };
    g->wan = (struct pool_observer){ .member = on_wan, .ctx = g };
    if (s->opts.lan) pool_observe(s->opts.lan, &g->lan);
    if (s->opts.wan) pool_observe(s->opts.wan, &g->wan);
    if (s->opts.lan && s->opts.wan) timer_start(&g->flood_timer, FLOOD_INTERVAL_MS);
}

void server__gossip_deinit(struct server *s)
{
    struct server_gossip *g = s->gossip;
    pool_unobserve(&g->lan);
    pool_unobserve(&g->wan);
    timer_stop(&g->flood_timer);
    pool_forget(&g->flood);
    pool_forget(&g->leader);
    for (struct link *l; (l = link_pop(&g->due));)
        free(container_of(l, struct due, link));
    map_deinit(&g->by_name);
    free(g);
}

/* --- places of servers ---------------------------------------------------------------------------
 */

static struct datacenter_map *datacenter(struct arena *a, struct list *all, struct str name)
{
    for (size_t i = 0; i < all->n; i++) {
        struct datacenter_map *m = &LIST_AT(all, struct datacenter_map, i);
        if (str_eq(m->datacenter, name)) return m;
    }
    struct datacenter_map *m = LIST_PUSH(a, all, struct datacenter_map);
    m->datacenter = str_dup(a, name);
    m->area_id = STR("wan");
    return m;
}

static void add_place(
    struct arena *a, struct list *all, struct str dc, struct str node, const struct position *p)
{
    struct datacenter_map *m = datacenter(a, all, dc);
    struct coordinate *c = LIST_PUSH(a, &m->coordinates, struct coordinate);
    c->node = str_dup(a, node);
    c->coord = arena_new(a, struct vivaldi_coordinate);
    position_to_record(p, a, c->coord);
}

int coordinate_list_datacenters(struct eval *e)
{
    const struct server_options *o = &e->server->opts;
    struct list *out = e->reply->record;
    struct arena *a = &e->reply->arena;
    if (!o->wan) {
        struct position start = position_start();
        add_place(a, out, o->datacenter, o->self.name, &start);
        return 0;
    }
    const struct serf *wan = pool_serf(o->wan);
    for (size_t i = 0; i < serf_count(wan); i++) {
        const struct serf_member *m = serf_at(wan, i);
        struct consul_server server;
        struct dict tags;
        struct position p;
        if (m->status == SERF_ALIVE && read_server(m, a, &tags, &server) &&
            serf_position_of(wan, m->name, &p))
            add_place(a, out, server.datacenter, server.short_name, &p);
    }
    return 0;
}
