/* SPDX-License-Identifier: Apache-2.0 */
/* Federation through mesh gateways: the directory of gateways, what comes in for the WAN pool over
 * port 8300, and where a secondary datacenter finds the gateways of the primary before it knows
 * them from the state (wanfed.md 9). */
#include "consuld/base/outside.h"
#include "consuld/cluster/packet_roads.h"
#include "run.h"

#include <string.h>

static uint64_t ms(int64_t ns)
{
    return ns > 0 ? (uint64_t)(ns / 1000000) : 0;
}

bool run_federates(const struct run *r)
{
    const struct agent_config *c = r->config;
    return c->server_mode && c->connect_enabled && c->connect_mesh_gateway_wan_federation_enabled;
}

void run_federation_create(struct run *r)
{
    const struct agent_config *c = r->config;
    if (!run_federates(r)) return;
    r->gateways = gateways_create(&(struct gateways_options){ .world = r->world,
        .tls = r->tls,
        .datacenter = c->datacenter,
        .primary = c->primary_datacenter,
        .domain = c->dns_domain });
    r->context.gateways = r->gateways;
}

void run_federation_destroy(struct run *r)
{
    gateways_destroy(r->gateways);
    r->gateways = r->context.gateways = NULL;
}

/* --- where nothing may go ------------------------------------------------------------------- */

static struct endpoint endpoint_of(const struct gossip_address *a, uint16_t port)
{
    struct endpoint e = { .ip_n = a->ip_n, .port = port };
    memcpy(e.ip, a->ip, a->ip_n);
    return e;
}

static bool is_own(const struct run *r, const struct serf_member *m)
{
    struct str dc = serf_tag(m->meta, "dc");
    return str_eq(dc, r->config->datacenter);
}

/* Datacenters may use the same addresses: those of our own members. */
static void put_own(const struct run *r, const struct serf *pool, struct map *out)
{
    for (size_t i = 0; i < serf_count(pool); i++) {
        const struct serf_member *m = serf_at(pool, i);
        if (is_own(r, m)) (void)map_put(out, gossip_address_ip(&m->address), r->wan);
    }
}

static void on_wan_member(
    struct pool_observer *o, enum serf_notice_type type, const struct serf_member *member)
{
    struct run *r = o->ctx;
    struct arena a = ARENA_INIT;
    const struct serf *wan = pool_serf(r->wan);
    struct endpoint *all = arena_array(&a, 2 * serf_count(wan) + 1, sizeof *all);
    struct map own = MAP_INIT;
    size_t n = 0;
    (void)type;
    (void)member;
    put_own(r, pool_serf(r->lan), &own);
    put_own(r, wan, &own);
    for (size_t i = 0; i < serf_count(wan); i++) {
        const struct serf_member *m = serf_at(wan, i);
        uint64_t port;
        if (is_own(r, m) || map_get(&own, gossip_address_ip(&m->address))) continue;
        all[n++] = endpoint_of(&m->address, m->address.port);
        if (str_to_u64(serf_tag(m->meta, "port"), &port) && port <= UINT16_MAX)
            all[n++] = endpoint_of(&m->address, (uint16_t)port);
    }
    world_off_limits(r->world, all, n);
    map_deinit(&own);
    arena_free(&a);
}

void run_federation_watch(struct run *r)
{
    if (!r->gateways || !r->wan) return;
    r->wan_observer = (struct pool_observer){ .member = on_wan_member, .ctx = r };
    pool_observe(r->wan, &r->wan_observer);
}

/* --- what comes in -------------------------------------------------------------------------- */

static void receive(void *ctx, struct stream *s, struct str bytes)
{
    struct run *r = ctx;
    if (r->wan) pool_take_packet(r->wan, s->peer, s->peer_port, bytes);
}

void run_gossip_packets(void *ctx, struct stream *s)
{
    struct run *r = ctx;
    if (!r->wan) return;
    packet_inlet_accept(
        &(struct packet_inlet_options){
            .world = r->world, .gateways = r->gateways, .receive = receive, .ctx = r },
        s);
}

void run_gossip_stream(void *ctx, struct stream *s)
{
    struct run *r = ctx;
    if (r->wan) pool_take_stream(r->wan, s);
}

/* --- the primary's gateways ----------------------------------------------------------------- */

static bool refresh(struct run *r)
{
    const struct list *all = &r->context.config_at_start->primary_gateways;
    struct list found = { 0 };
    struct arena a = ARENA_INIT;
    log_info("agent", "Refreshing mesh gateways...");
    for (size_t i = 0; i < all->n; i++) {
        struct str text = LIST_AT(all, struct str, i), host;
        struct str why = join_discovery_fault(text, &a);
        uint16_t port;
        if (why.p)
            log_error(
                "agent", "Cannot discover address", "address", str_c(&a, text), "error", why.p);
        else if (!fed_split_address(text, &host, &port))
            log_error("agent", "A primary gateway needs an address and a port", "address",
                str_c(&a, text));
        else
            *LIST_PUSH(&a, &found, struct str) = text;
    }
    if (found.n) gateways_fallback(r->gateways, found.v, found.n);
    arena_free(&a);
    return found.n > 0;
}

static void refreshed(struct run *r)
{
    log_info("agent", "Refreshing mesh gateways completed");
    r->gateways_found(r);
}

static void try(struct timer *t)
{
    struct run *r = container_of(t, struct run, gateways_timer);
    if (fed_primary_known(gateways_directory(r->gateways)) || refresh(r)) {
        refreshed(r);
        return;
    }
    log_warn(
        "agent", "Refreshing mesh gateways failed, will retry", "error", "No mesh gateways found");
    timer_start(t, ms(r->context.config_at_start->primary_gateways_interval));
}

void run_gateways_find(struct run *r, void (*found)(struct run *r))
{
    r->gateways_found = found;
    timer_init(&r->gateways_timer, r->world, try);
    if (r->context.config_at_start->primary_gateways.n == 0)
        found(r);
    else
        timer_start(&r->gateways_timer, 0);
}

void run_gateways_forget(struct run *r)
{
    if (r->gateways_timer.world) timer_stop(&r->gateways_timer);
}
