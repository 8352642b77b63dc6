/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt through a gateway: the directory's choice, TCP, TLS with the server's name and one
 * protocol (wanfed.md 4, 5, 7). How it went is told to the directory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateways.h"
#include "handshake.h"

#define NO_TLS "cannot dial via a mesh gateway when outgoing TLS is disabled"

/* --- repeated failures ---------------------------------------------------------------------- */

/* Of a server by its name; of a datacenter without gateways by its own. */
static struct trouble *trouble_of(struct trouble_log *l, struct str name, bool make)
{
    uint64_t hash = hash_bytes(name.p, name.n) | 1;
    struct trouble *empty = NULL, *oldest = &l->v[0];
    for (size_t i = 0; i < TROUBLES_MAX; i++) {
        if (l->v[i].peer == hash) return &l->v[i];
        if (!l->v[i].peer && !empty) empty = &l->v[i];
        if (l->v[i].since_ms < oldest->since_ms) oldest = &l->v[i];
    }
    if (!make) return NULL;
    if (!empty) empty = oldest;
    *empty = (struct trouble){ .peer = hash, .since_ms = world_now_ms(l->world) };
    return empty;
}

static void tell_trouble(struct gateway_dial *d)
{
    struct gateways *g = d->gateways;
    struct trouble *t = trouble_of(&g->troubles, d->unsent ? d->datacenter : str_of(d->peer), true);
    uint64_t now = world_now_ms(g->world);
    char count[24];
    t->count++;
    if (now < t->next_ms) return;
    t->pause_ms = t->pause_ms ? 2 * t->pause_ms : TROUBLE_REPEAT_MIN_MS;
    if (t->pause_ms > TROUBLE_REPEAT_MAX_MS) t->pause_ms = TROUBLE_REPEAT_MAX_MS;
    t->next_ms = now + t->pause_ms;
    snprintf(count, sizeof count, "%llu", (unsigned long long)t->count);
    log_warn(GATEWAYS_LOG, "a server of another datacenter is not reached", "server", d->peer,
        "protocol", d->alpn, "gateway", d->address[0] ? d->address : "none", "error", d->err.text,
        "failures", count);
}

static void tell_fine(struct gateway_dial *d)
{
    const struct str names[] = { str_of(d->peer), d->datacenter };
    bool was = false;
    for (size_t i = 0; i < 2; i++) {
        struct trouble *t = trouble_of(&d->gateways->troubles, names[i], false);
        if (!t) continue;
        *t = (struct trouble){ 0 };
        was = true;
    }
    if (was)
        log_info(GATEWAYS_LOG, "a server of another datacenter is reached again", "server", d->peer,
            "gateway", d->address);
}

/* --- protocols ------------------------------------------------------------------------------ */

/* TLS wants its list of names to outlive the stream. */
static const char *const *protocol_of(const char *alpn)
{
    static const char *const all[] = { ALPN_RPC_SINGLE, ALPN_RAFT, ALPN_RPC_MULTI,
        ALPN_RPC_SNAPSHOT, ALPN_RPC_GOSSIP, ALPN_GOSSIP_PACKET, ALPN_GOSSIP_STREAM };
    size_t i = 0;
    while (i < sizeof all / sizeof all[0] && strcmp(all[i], alpn) != 0)
        i++;
    ensure(i < sizeof all / sizeof all[0]);
    return &all[i];
}

/* --- ends ----------------------------------------------------------------------------------- */

static struct fed_peer peer_of(const struct gateway_dial *d)
{
    return (struct fed_peer){ .datacenter = d->datacenter, .name = str_of(d->peer) };
}

static void failed(struct gateway_dial *d, enum fed_failure what)
{
    struct gateways *g = d->gateways;
    struct fed_peer peer = peer_of(d);
    g->counters.failed++;
    if (d->address[0]) {
        fed_path_failed(g->directory, world_now_ms(g->world), &peer, str_of(d->address), what,
            str_of(d->err.text));
        gateways__tell_road(g);
    }
    tell_trouble(d);
    d->done(d, NULL);
}

void gateways__path_failed(struct gateways *g, const struct gateway_dial *d, const char *why)
{
    struct fed_peer peer = peer_of(d);
    fed_path_failed(g->directory, world_now_ms(g->world), &peer, str_of(d->address),
        FED_FAILED_PATH, str_of(why));
    gateways__tell_road(g);
}

/* --- TLS ------------------------------------------------------------------------------------ */

static void secured(void *ctx, struct stream *s, const char *why)
{
    struct gateway_dial *d = ctx;
    struct gateways *g = d->gateways;
    struct fed_peer peer = peer_of(d);
    d->handshake = NULL;
    if (!s) {
        error_set(&d->err, ERR_IO, "%s", why);
        failed(d, FED_FAILED_PATH);
        return;
    }
    fed_path_works(g->directory, world_now_ms(g->world), &peer, str_of(d->address));
    gateways__tell_road(g);
    tell_fine(d);
    s->events = d->events;
    s->owner = d->owner;
    d->done(d, s);
}

static void begin_tls(struct gateway_dial *d, struct stream *below)
{
    char name[TLS_NAME_MAX];
    struct gateways *g = d->gateways;
    tls_server_name(d->node, d->datacenter, g->domain, name);
    struct tls_options o = { .use = TLS_DIAL_ALPN,
        .server_name = str_of(name),
        .alpn = protocol_of(d->alpn),
        .n_alpn = 1,
        .timeout_ms = d->dial.timeout_ms,
        .queue_max = d->queue_max };
    d->handshake = handshake_start(g->tls, below, o, secured, d);
}

/* --- TCP ------------------------------------------------------------------------------------ */

static void dialled(struct dial *dial, struct stream *s)
{
    struct gateway_dial *d = container_of(dial, struct gateway_dial, dial);
    if (s) {
        begin_tls(d, s);
        return;
    }
    error_set(&d->err, ERR_IO, "%s", dial->err.text);
    failed(d, FED_FAILED_GATEWAY);
}

/* --- the choice ----------------------------------------------------------------------------- */

static void refuse(struct gateway_dial *d, const char *why)
{
    d->address[0] = '\0';
    error_set(&d->err, ERR_IO, "%s", why);
    d->unsent = true;
    timer_start(&d->timer, 0);
}

static void choose(struct gateway_dial *d)
{
    struct gateways *g = d->gateways;
    struct fed_peer peer = peer_of(d);
    if (!g->tls || !g->tls->facts.mutual) {
        refuse(d, NO_TLS);
        return;
    }
    struct fed_choice c = fed_choose(g->directory, world_now_ms(g->world), &peer);
    if (c.verdict != FED_GATEWAY || c.address.n >= sizeof d->address) {
        g->counters.unreachable++;
        refuse(d, FED_ERR_UNREACHABLE);
        return;
    }
    if (d->patient && c.wait_ms > 0) {
        timer_start(&d->timer, c.wait_ms);
        return;
    }
    snprintf(d->address, sizeof d->address, "%.*s", STR_ARG(c.address));
    log_debug(GATEWAYS_LOG, "dialling through a mesh gateway", "server", d->peer, "protocol",
        d->alpn, "gateway", d->address, "of", fed_source_name(c.source), "because", c.reason);
    g->counters.dials++;
    size_t host = (size_t)(c.host.p - c.address.p);
    d->dial = (struct dial){ .world = g->world,
        .host = { d->address + host, c.host.n },
        .port = c.port,
        .source = d->source,
        .timeout_ms = c.others ? GATEWAY_DIAL_HURRY_MS : GATEWAY_DIAL_TIMEOUT_MS,
        .unacked_ms = GATEWAY_UNACKED_MS,
        .events = &stream_ownerless,
        .done = dialled };
    dial_start(&d->dial);
}

static void on_timer(struct timer *t)
{
    struct gateway_dial *d = container_of(t, struct gateway_dial, timer);
    if (d->unsent)
        failed(d, FED_FAILED_PATH);
    else
        choose(d);
}

void gateway_dial_start(struct gateway_dial *d)
{
    bool any = d->node.n == 0 || str_is(d->node, "*");
    d->address[0] = '\0';
    d->unsent = false;
    d->handshake = NULL;
    d->dial = (struct dial){ 0 };
    snprintf(d->peer, sizeof d->peer, "%.*s.%.*s", any ? 1 : (int)d->node.n, any ? "*" : d->node.p,
        STR_ARG(d->datacenter));
    timer_init(&d->timer, d->gateways->world, on_timer);
    choose(d);
}

void gateway_dial_cancel(struct gateway_dial *d)
{
    if (d->timer.world) timer_stop(&d->timer);
    if (d->dial.world) dial_cancel(&d->dial);
    handshake_cancel(d->handshake);
    d->handshake = NULL;
}
