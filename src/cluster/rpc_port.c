/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of port 8300 up to their first byte, which says what they are (rpc.md 1). */
#include <stdio.h>
#include <stdlib.h>

#include "consuld/base/tls.h"
#include "consuld/cluster/gateways.h"
#include "consuld/model.h"
#include "rpc_port.h"

#define UNKNOWN_BYTE "unrecognized RPC byte"
#define HANDSHAKE_FAILED "failed TLS handshake"
#define SCRATCH_MAX (LIMIT_RPC_ANSWER + RPC_HEADER_MAX)

/* The filter between the socket and the protocol: it knows the address to give back. */
enum layer {
    LAYER_PLAIN,
    LAYER_INSIDE,   /* in TLS, behind 0x03: another first byte follows */
    LAYER_INSECURE, /* in TLS, behind 0x07 */
    LAYER_NATIVE,   /* TLS from the first byte: its ALPN name decides */
};

struct port_conn {
    struct stream up;    /* what the protocol has */
    struct stream *down; /* NULL: closed */
    struct rpc_port *port;
    struct link link;
    struct timer handshake;
    enum layer layer;
    bool decided;
};

static const struct stream_events down_events;

/* --- the filter ----------------------------------------------------------------------------- */

static struct stream *below(const struct stream *s)
{
    return container_of(s, struct port_conn, up)->down;
}

static int up_write(struct stream *s, const struct stream_part *parts, size_t n)
{
    return stream_write(below(s), parts, n);
}
static void up_finish(struct stream *s)
{
    stream_finish(below(s));
}
static void up_close(struct stream *s)
{
    stream_close(below(s));
}
static void up_read(struct stream *s, bool on)
{
    stream_read(below(s), on);
}
static size_t up_queued(const struct stream *s)
{
    return stream_queued(below(s));
}

static const struct stream_ops up_ops = { up_write, up_finish, up_close, up_read, up_queued };

/* --- the first byte ------------------------------------------------------------------------- */

static void to_raft(struct rpc_port *p, struct stream *s)
{
    if (p->opts.raft) p->opts.raft(p->opts.ctx, s);
}

static void to_gossip_packets(struct rpc_port *p, struct stream *s)
{
    if (p->opts.gossip_packets) p->opts.gossip_packets(p->opts.ctx, s);
}

static void to_gossip_stream(struct rpc_port *p, struct stream *s)
{
    if (p->opts.gossip_stream) p->opts.gossip_stream(p->opts.ctx, s);
}

#define RAFT 0x01
#define BYTE_LAST 0x07
/* Those that have a name alone. */
#define GOSSIP_PACKETS 0x08
#define GOSSIP_STREAM 0x09

/* By first byte; NULL `accept`: refused with the reason. */
static const struct protocol {
    void (*accept)(struct rpc_port *p, struct stream *s);
    const char *why;
} protocols[] = {
    [0x00] = { rpc_port__single, NULL },
    [0x01] = { to_raft, "raft between servers is not available" },
    [0x02] = { NULL, UNKNOWN_BYTE },
    [0x03] = { NULL, "TLS connection attempted, server not configured for TLS" },
    [0x04] = { rpc_port__mux, NULL },
    [0x05] = { rpc_port__snapshot, "snapshots are not available" },
    [0x06] = { NULL, UNKNOWN_BYTE },
    [0x07] = { NULL, "insecure TLS connection attempted, server not configured for TLS" },
    [GOSSIP_PACKETS] = { to_gossip_packets, "there is no WAN pool" },
    [GOSSIP_STREAM] = { to_gossip_stream, "there is no WAN pool" },
};
#define PROTOCOLS (sizeof protocols / sizeof protocols[0])

/* By the name negotiated in native TLS, as the server prefers them (rpc.md 2.3). */
static const char *const alpn_names[] = { ALPN_RPC_SINGLE, ALPN_RAFT, ALPN_RPC_MULTI,
    ALPN_RPC_SNAPSHOT, ALPN_RPC_GOSSIP, ALPN_GOSSIP_PACKET, ALPN_GOSSIP_STREAM };
static const uint8_t alpn_bytes[] = { 0x00, 0x01, 0x04, 0x05, 0x06, GOSSIP_PACKETS, GOSSIP_STREAM };
#define ALPN_NAMES (sizeof alpn_names / sizeof alpn_names[0])

struct rpc_port_from rpc_port__from(const struct stream *s)
{
    struct rpc_port_from from;
    snprintf(from.text, sizeof from.text, "from=%s:%u", s->peer, s->peer_port);
    return from;
}

static void refuse(struct port_conn *c, const char *what, const char *value, const char *why)
{
    c->port->counters.refused_byte++;
    log_error(RPC_PORT_LOG, why, what, value, "conn", rpc_port__from(&c->up).text);
    stream_close(c->down);
}

/* Where servers have names and everybody shows a certificate, raft is for servers: clients, and
 * services by the authority of Connect, have certificates too. */
static bool speaks_raft(const struct port_conn *c)
{
    const struct tls *t = c->port->opts.tls;
    char name[TLS_NAME_MAX];
    if (!t || c->layer == LAYER_PLAIN || !t->facts.require_rpc || !t->facts.verify_names)
        return true;
    tls_server_name(STR(""), c->port->opts.datacenter, c->port->opts.domain, name);
    return tls_peer_is(t, c->down, name);
}

static void not_for_you(struct stream *s, struct str bytes)
{
    struct port_conn *c = container_of(s, struct port_conn, up);
    (void)bytes;
    refuse(c, "protocol", "raft",
        "raft is for servers of the datacenter, and the certificate is none of theirs");
}

static void no_more(struct stream *s, int code)
{
    (void)s;
    (void)code;
}

/* Whoever must not speak raft may stay as long as nothing is said, as with Consul. */
static const struct stream_events strange_raft = {
    .data = not_for_you, .eof = stream_close, .closed = no_more
};

/* The connection is what `byte` says. */
static void become(struct port_conn *c, uint8_t byte, const char *what, const char *value)
{
    const char *why = byte < PROTOCOLS ? protocols[byte].why : UNKNOWN_BYTE;
    c->decided = true;
    timer_stop(&c->handshake);
    if (byte == RAFT && !speaks_raft(c))
        c->up.events = &strange_raft;
    else if (byte < PROTOCOLS && protocols[byte].accept)
        protocols[byte].accept(c->port, &c->up);
    if (!c->up.events) refuse(c, what, value, why ? why : UNKNOWN_BYTE);
}

/* --- TLS ------------------------------------------------------------------------------------ */

static void native_ready(struct stream *s)
{
    struct port_conn *c = s->owner;
    struct tls_state state;
    char name[64];
    uint8_t byte = 0xff;
    tls_state(c->port->opts.tls, s, &state);
    for (size_t i = 0; i < ALPN_NAMES; i++) {
        if (str_is(state.alpn, alpn_names[i])) byte = alpn_bytes[i];
    }
    snprintf(name, sizeof name, "%.*s", STR_ARG(state.alpn));
    become(c, byte, "alpn", name);
}

/* A handshake takes the place of the first byte. */
static void begin_tls(struct port_conn *c, enum layer layer, enum tls_use use, struct str sniffed)
{
    struct tls_options o = { .use = use, .sniffed = sniffed, .events = &down_events, .owner = c };
    c->layer = layer;
    if (layer == LAYER_NATIVE) {
        o.alpn = alpn_names;
        o.n_alpn = ALPN_NAMES;
        o.ready = native_ready;
    }
    c->down = tls_start(c->port->opts.tls, c->down, &o);
    if (c->port->opts.handshake_timeout_ms)
        timer_start(&c->handshake, c->port->opts.handshake_timeout_ms);
}

static void insecure_ready(struct stream *s)
{
    timer_stop(&((struct port_conn *)s->owner)->handshake);
}

static void begin_insecure(struct port_conn *c, struct str sniffed)
{
    struct tls_options o = { .use = TLS_ACCEPT_INSECURE,
        .sniffed = sniffed,
        .timeout_ms = c->port->opts.handshake_timeout_ms,
        .events = &down_events,
        .owner = c,
        .ready = insecure_ready };
    c->layer = LAYER_INSECURE;
    c->decided = true;
    c->down = tls_start(c->port->opts.tls, c->down, &o);
    rpc_port__insecure(c->port, &c->up);
}

/* --- the decision --------------------------------------------------------------------------- */

/* True if the bytes begin TLS, which is under way then. */
static bool tls_begins(struct port_conn *c, uint8_t byte, struct str bytes)
{
    const struct tls *t = c->port->opts.tls;
    struct str behind = str_slice(bytes, 1, bytes.n);
    if (!t || c->layer != LAYER_PLAIN) return false;
    if (t->facts.mutual && byte > 0x07) {
        begin_tls(c, LAYER_NATIVE, TLS_ACCEPT_ALPN, bytes);
    } else if (t->facts.can_serve && byte == 0x03) {
        begin_tls(c, LAYER_INSIDE, TLS_ACCEPT_RPC, behind);
    } else if (t->facts.can_serve && byte == 0x07) {
        begin_insecure(c, behind);
    } else {
        return false;
    }
    return true;
}

static void decide(struct port_conn *c, struct str bytes)
{
    const struct tls *t = c->port->opts.tls;
    uint8_t byte = (uint8_t)bytes.p[0];
    char number[8];
    if (tls_begins(c, byte, bytes)) return;
    snprintf(number, sizeof number, "%u", byte);
    bool clear = c->layer == LAYER_PLAIN;
    if (clear && t && t->facts.require_rpc) {
        c->decided = true;
        refuse(c, "byte", number, "Non-TLS connection attempted with VerifyIncoming set");
        return;
    }
    if (clear && byte == 0x16) {
        c->decided = true;
        refuse(c, "byte", number, protocols[0x03].why);
        return;
    }
    bool again = c->layer == LAYER_INSIDE && (byte == 0x03 || byte == 0x07);
    become(c, again || byte > BYTE_LAST ? 0x02 : byte, "byte", number);
    if (c->up.events && bytes.n > 1) c->up.events->data(&c->up, str_slice(bytes, 1, bytes.n));
}

/* --- events of the socket ------------------------------------------------------------------- */

static void down_data(struct stream *s, struct str bytes)
{
    struct port_conn *c = s->owner;
    if (c->decided) {
        c->up.events->data(&c->up, bytes);
    } else {
        decide(c, bytes);
    }
}

static void down_eof(struct stream *s)
{
    struct port_conn *c = s->owner;
    if (c->up.events) {
        c->up.events->eof(&c->up);
    } else {
        stream_close(s);
    }
}

static void down_drained(struct stream *s)
{
    struct port_conn *c = s->owner;
    if (c->up.events && c->up.events->drained) c->up.events->drained(&c->up);
}

static size_t client_count(struct rpc_port *p, struct str peer)
{
    return (size_t)(uintptr_t)map_get(&p->clients, peer);
}

static void client_set(struct rpc_port *p, struct str peer, size_t n)
{
    if (n) {
        map_put(&p->clients, peer, (void *)(uintptr_t)n);
    } else {
        map_remove(&p->clients, peer);
    }
}

/* A handshake that failed gets its one line here. */
static void tell_tls(struct port_conn *c, const struct stream *s)
{
    struct tls_state state;
    tls_state(c->port->opts.tls, s, &state);
    if (state.ready || !state.why) return;
    c->port->counters.refused_tls++;
    log_error(
        RPC_PORT_LOG, HANDSHAKE_FAILED, "conn", rpc_port__from(&c->up).text, "error", state.why);
}

static void down_closed(struct stream *s, int code)
{
    struct port_conn *c = s->owner;
    struct rpc_port *p = c->port;
    if (c->layer != LAYER_PLAIN) tell_tls(c, s);
    struct str peer = str_of(c->up.peer);
    c->down = NULL;
    if (c->up.events) c->up.events->closed(&c->up, code);
    client_set(p, peer, client_count(p, peer) - 1);
    timer_stop(&c->handshake);
    link_remove(&c->link);
    p->counters.open--;
    free(c);
    if (p->closing && link_empty(&p->conns)) tick_mark(&p->gone);
}

static const struct stream_events down_events = {
    .data = down_data, .eof = down_eof, .drained = down_drained, .closed = down_closed
};

static void silent(struct timer *t)
{
    struct port_conn *c = container_of(t, struct port_conn, handshake);
    struct tls_state state = { .ready = true };
    if (c->layer != LAYER_PLAIN) tls_state(c->port->opts.tls, c->down, &state);
    if (state.why) return; /* the handshake's own timer came first: it is told when it has closed */
    ++*(state.ready ? &c->port->counters.refused_silent : &c->port->counters.refused_tls);
    log_error(RPC_PORT_LOG, state.ready ? "failed to read byte" : HANDSHAKE_FAILED, "conn",
        rpc_port__from(&c->up).text, "error", "i/o timeout");
    stream_close(c->down);
}

void rpc_port_accept(struct rpc_port *p, struct stream *s)
{
    struct str peer = str_of(s->peer);
    size_t n = client_count(p, peer);
    if (p->closing || (p->opts.conns_per_client_max && n >= p->opts.conns_per_client_max)) {
        p->counters.refused_limit++;
        log_error(RPC_PORT_LOG, "rpc.listener: connection over rpc_max_conns_per_client is closed",
            "conn", rpc_port__from(s).text);
        stream_close(s);
        return;
    }
    struct port_conn *c = xcalloc(1, sizeof *c);
    c->up = (struct stream){ .ops = &up_ops, .peer_port = s->peer_port };
    snprintf(c->up.peer, sizeof c->up.peer, "%s", s->peer);
    c->down = s;
    c->port = p;
    s->owner = c;
    s->events = &down_events;
    link_push(&p->conns, &c->link);
    client_set(p, peer, n + 1);
    p->counters.connections++;
    p->counters.open++;
    timer_init(&c->handshake, p->opts.world, silent);
    if (p->opts.handshake_timeout_ms) timer_start(&c->handshake, p->opts.handshake_timeout_ms);
}

/* --- the port ------------------------------------------------------------------------------- */

static void on_accept(void *ctx, struct stream *s)
{
    rpc_port_accept(ctx, s);
}

static void all_gone(struct tick *t)
{
    struct rpc_port *p = container_of(t, struct rpc_port, gone);
    void (*closed)(void *) = p->closed;
    void *ctx = p->closed_ctx;
    ensure(link_empty(&p->conns) && p->counters.calls == 0 && p->input == 0);
    map_deinit(&p->clients);
    buf_deinit(&p->scratch);
    buf_deinit(&p->batch);
    free(p);
    closed(ctx);
}

int rpc_port_open(const struct rpc_port_options *o, struct rpc_port **out, struct error *err)
{
    struct rpc_port *p = xcalloc(1, sizeof *p);
    p->opts = *o;
    p->scratch = (struct buf)BUF_INIT(SCRATCH_MAX);
    p->batch = (struct buf)BUF_INIT(2 * RPC_PORT_BATCH);
    link_init(&p->conns);
    tick_init(&p->gone, o->world, all_gone);
    if (o->ip) {
        struct listener_options l = { .ip = o->ip, .port = o->port, .accept = on_accept, .ctx = p };
        int failed = listener_open(o->world, &l, &p->listener, err);
        if (failed) {
            free(p);
            return failed;
        }
    }
    *out = p;
    return 0;
}

uint16_t rpc_port_number(const struct rpc_port *p)
{
    return p->listener ? listener_port(p->listener) : 0;
}

void rpc_port_close(struct rpc_port *p, void (*closed)(void *ctx), void *ctx)
{
    ensure(!p->closing);
    p->closing = true;
    p->closed = closed;
    p->closed_ctx = ctx;
    if (p->listener) listener_close(p->listener);
    link_each (it, &p->conns)
        stream_close(container_of(it, struct port_conn, link)->down);
    if (link_empty(&p->conns)) tick_mark(&p->gone);
}

struct rpc_port_counters rpc_port_counters(const struct rpc_port *p)
{
    return p->counters;
}
