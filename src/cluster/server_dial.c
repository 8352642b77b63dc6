/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/cluster/server_dial.h"

#include <stdlib.h>

#include "consuld/base.h"

/* A handshake lives until its stream is closed, also when nobody waits for it any more. */
struct server_handshake {
    struct server_dial *dial; /* NULL: forgotten */
    struct tls *tls;
    struct stream *stream;
};

static int put_byte(struct stream *s, uint8_t byte)
{
    struct stream_part part = { &byte, 1, NULL };
    return stream_write(s, &part, 1);
}

static void begin_protocol(struct server_dial *d, struct stream *s)
{
    s->events = d->events;
    s->owner = d->owner;
    (void)put_byte(s, (uint8_t)d->protocol); /* a failure shows as `closed` */
    d->done(d, s);
}

/* --- TLS ------------------------------------------------------------------------------------ */

static void early_data(struct stream *s, struct str bytes)
{
    (void)bytes;
    stream_close(s);
}

static void on_closed(struct stream *s, int code)
{
    struct server_handshake *h = s->owner;
    struct server_dial *d = h->dial;
    struct tls_state state;
    (void)code;
    tls_state(h->tls, s, &state);
    free(h);
    if (!d) return;
    d->handshake = NULL;
    error_set(&d->dial.err, ERR_IO, "%s", state.why ? state.why : "EOF");
    d->done(d, NULL);
}

static const struct stream_events handshaking = {
    .data = early_data, .eof = stream_close, .closed = on_closed
};

static void on_ready(struct stream *s)
{
    struct server_handshake *h = s->owner;
    struct server_dial *d = h->dial;
    if (!d) {
        stream_close(s);
        return;
    }
    d->handshake = NULL;
    free(h);
    begin_protocol(d, s);
}

static void begin_tls(struct server_dial *d, struct stream *s)
{
    char name[TLS_NAME_MAX];
    struct server_handshake *h = xcalloc(1, sizeof *h);
    tls_server_name(STR(""), d->datacenter, d->domain, name);
    struct tls_options o = { .use = TLS_DIAL_RPC,
        .server_name = str_of(name),
        .timeout_ms = d->timeout_ms,
        .events = &handshaking,
        .owner = h,
        .ready = on_ready };
    h->dial = d;
    h->tls = d->tls;
    d->handshake = h;
    (void)put_byte(s, SERVER_TLS);
    h->stream = tls_start(d->tls, s, &o);
}

/* --- the attempt ---------------------------------------------------------------------------- */

static void unwanted(struct stream *s, struct str bytes)
{
    (void)bytes;
    stream_close(s);
}
static void gone(struct stream *s, int code)
{
    (void)s;
    (void)code;
}
/* Until it has an owner. */
static const struct stream_events ownerless = {
    .data = unwanted, .eof = stream_close, .closed = gone
};

static void dialled(struct dial *dial, struct stream *s)
{
    struct server_dial *d = container_of(dial, struct server_dial, dial);
    if (!s) {
        d->done(d, NULL);
    } else if (d->tls && d->tls->facts.dial_rpc) {
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
        .events = &ownerless,
        .done = dialled };
    dial_start(&d->dial);
}

void server_dial_cancel(struct server_dial *d)
{
    struct server_handshake *h = d->handshake;
    d->handshake = NULL;
    dial_cancel(&d->dial);
    gateway_dial_cancel(&d->gateway);
    if (!h) return;
    h->dial = NULL;
    stream_close(h->stream);
}
