/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/cluster/server_dial.h"

#include <stdlib.h>

#include "consuld/base.h"
#include "handshake.h"

static int put_byte(struct stream *s, uint8_t byte)
{
    struct stream_part part = { &byte, 1, NULL };
    return stream_write(s, &part, 1);
}

static void begin_protocol(struct server_dial *d, struct stream *s)
{
    s->events = d->events;
    s->owner = d->owner;
    if (d->protocol != SERVER_TLS_INSECURE)
        (void)put_byte(s, (uint8_t)d->protocol); /* a failure shows as `closed` */
    d->done(d, s);
}

/* --- TLS ------------------------------------------------------------------------------------ */

static void secured(void *ctx, struct stream *s, const char *why)
{
    struct server_dial *d = ctx;
    d->handshake = NULL;
    if (s) {
        begin_protocol(d, s);
        return;
    }
    error_set(&d->dial.err, ERR_IO, "%s", why);
    d->done(d, NULL);
}

static void begin_tls(struct server_dial *d, struct stream *s)
{
    char name[TLS_NAME_MAX];
    tls_server_name(STR(""), d->datacenter, d->domain, name);
    struct tls_options o = {
        .use = TLS_DIAL_RPC, .server_name = str_of(name), .timeout_ms = d->timeout_ms
    };
    (void)put_byte(s, d->protocol == SERVER_TLS_INSECURE ? SERVER_TLS_INSECURE : SERVER_TLS);
    d->handshake = handshake_start(d->tls, s, o, secured, d);
}

/* --- the attempt ---------------------------------------------------------------------------- */

static void dialled(struct dial *dial, struct stream *s)
{
    struct server_dial *d = container_of(dial, struct server_dial, dial);
    if (!s) {
        d->done(d, NULL);
    } else if (d->tls && (d->tls->facts.dial_rpc || d->protocol == SERVER_TLS_INSECURE)) {
        begin_tls(d, s);
    } else {
        begin_protocol(d, s);
    }
}

/* --- through a gateway ---------------------------------------------------------------------- */

static const char *alpn_of(enum server_protocol p)
{
    switch (p) {
    case SERVER_RPC_SINGLE:
        return ALPN_RPC_SINGLE;
    case SERVER_RPC_MUX:
        return ALPN_RPC_MULTI;
    case SERVER_SNAPSHOT:
        return ALPN_RPC_SNAPSHOT;
    case SERVER_RAFT:
        return ALPN_RAFT;
    case SERVER_TLS:
    case SERVER_TLS_INSECURE:
        break;
    }
    return NULL;
}

static void led(struct gateway_dial *g, struct stream *s)
{
    struct server_dial *d = container_of(g, struct server_dial, gateway);
    if (!s) d->dial.err = g->err;
    d->done(d, s);
}

static void begin_gateway(struct server_dial *d)
{
    const char *alpn = alpn_of(d->protocol);
    ensure(alpn != NULL);
    d->gateway = (struct gateway_dial){ .gateways = d->gateways,
        .node = d->node,
        .datacenter = d->datacenter,
        .alpn = alpn,
        .source = d->source,
        .events = d->events,
        .owner = d->owner,
        .done = led };
    gateway_dial_start(&d->gateway);
}

void server_dial_start(struct server_dial *d)
{
    if (d->gateways && gateways_lead_to(d->gateways, d->datacenter)) {
        begin_gateway(d);
        return;
    }
    d->dial = (struct dial){ .world = d->world,
        .host = d->address,
        .port = d->port,
        .source = d->source,
        .timeout_ms = d->timeout_ms,
        .events = &stream_ownerless,
        .done = dialled };
    dial_start(&d->dial);
}

void server_dial_cancel(struct server_dial *d)
{
    dial_cancel(&d->dial);
    gateway_dial_cancel(&d->gateway);
    handshake_cancel(d->handshake);
    d->handshake = NULL;
}
