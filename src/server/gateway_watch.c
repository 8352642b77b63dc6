/* SPDX-License-Identifier: Apache-2.0 */
/* Publishes the federation states and the gateways of the own store into the gateway directory, at
 * the start and whenever they change, on every server (wanfed.md 8.2). An empty table says nothing
 * before this server has heard from a leader: the log may still hold what is missing. */
#include "consuld/cluster/gateways.h"
#include "server.h"

static void publish(struct tick *t)
{
    struct gateway_watch *g = container_of(t, struct gateway_watch, tick);
    struct server *s = container_of(g, struct server, gateway_watch);
    struct arena a = ARENA_INIT;
    struct list states = { 0 }, own = { 0 };
    struct str kind = STR("mesh-gateway");
    struct store_read *rd = store_read(s->store);
    watch_set_clear(&g->ws);
    store_federation_states(rd, &g->ws, &a, &states);
    store_service_dump(rd, &g->ws, &kind, &a, &own);
    bool settled = states.n > 0 || s->leader || raft_driver_state(s->raft).contact_known;
    if (!store_read_failed(rd, NULL) && settled) {
        g->settled = true;
        gateways_states(s->opts.gateways, &states, &own);
    }
    arena_free(&a);
}

static void fired(struct watch_set *ws)
{
    tick_mark(&container_of(ws, struct gateway_watch, ws)->tick);
}

void server__gateway_watch_raft(struct server *s)
{
    if (s->opts.gateways && !s->gateway_watch.settled) tick_mark(&s->gateway_watch.tick);
}

void server__gateway_watch_init(struct server *s)
{
    struct gateway_watch *g = &s->gateway_watch;
    if (!s->opts.gateways) return;
    tick_init(&g->tick, s->world, publish);
    watch_set_init(&g->ws, s->store, fired);
    tick_mark(&g->tick);
}

void server__gateway_watch_deinit(struct server *s)
{
    if (!s->opts.gateways) return;
    tick_cancel(&s->gateway_watch.tick);
    watch_set_clear(&s->gateway_watch.ws);
}
