/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt to reach a server's port for one purpose: TCP, TLS where the configuration asks for
 * it (rpc.md 2.2), then the first byte that names the protocol. With gateways a server of another
 * datacenter is reached through them alone: native TLS, whose ALPN name is the protocol. */
#pragma once
#include "consuld/base/outside.h"
#include "consuld/base/tls.h"
#include "consuld/cluster/gateways.h"

struct handshake;

/* First bytes (rpc.md 1). */
enum server_protocol {
    SERVER_RPC_SINGLE = 0x00,
    SERVER_RAFT = 0x01,
    SERVER_TLS = 0x03,
    SERVER_RPC_MUX = 0x04,
    SERVER_SNAPSHOT = 0x05,
    SERVER_TLS_INSECURE = 0x07,
};

/* Embedded in its owner, which fills the first part and keeps what it points to until done. */
struct server_dial {
    struct world *world;
    struct tls *tls;           /* NULL: none */
    struct gateways *gateways; /* NULL: none */
    enum server_protocol protocol;
    struct str node;    /* its short name; needed with gateways alone */
    struct str address; /* IP or name */
    uint16_t port;
    struct str source;                  /* IP to come from; nil: any */
    struct str datacenter, domain;      /* of the server: what its certificate must name */
    uint64_t timeout_ms;                /* of connecting, and again of the handshake */
    const struct stream_events *events; /* of the stream that comes of it */
    void *owner;                        /* the stream's */
    /* Called once, never from server_dial_start: with a stream whose first byte is written, or NULL
     * and dial.err filled. SERVER_TLS_INSECURE always has TLS and no byte in it; it is for servers
     * of the own datacenter. */
    void (*done)(struct server_dial *d, struct stream *s);
    /* its own */
    struct dial dial;
    struct handshake *handshake;
    struct gateway_dial gateway;
};
void server_dial_start(struct server_dial *d);
/* Forgets the attempt: done is not called. Idempotent. */
void server_dial_cancel(struct server_dial *d);
