/* SPDX-License-Identifier: Apache-2.0 */
/* Port 8300 of a server (rpc.md 1, 3, 4): connections are given to a protocol by their first byte;
 * RPC requests, alone (0x00) or multiplexed (0x04), become calls of one rpc_client, and what it
 * answers goes back. Equal answers are encoded once.
 *
 * Every limit ends the one connection or stream that broke it, with a counter and a log line. */
#pragma once
#include "consuld/base/outside.h"
#include "consuld/cluster/rpc.h"

struct rpc_port;
struct snapshot_client;
struct tls;

struct rpc_port_options {
    struct world *world;
    struct rpc_client *rpc;
    const char *ip; /* NULL: no listener, connections come by rpc_port_accept alone */
    uint16_t port;
    uint64_t handshake_timeout_ms;     /* for the first byte; 0: none */
    uint32_t conns_per_client_max;     /* from one address; 0: any number */
    struct tls *tls;                   /* NULL: none */
    struct str datacenter, domain;     /* of servers' certificates; they outlive the port */
    struct snapshot_client *snapshots; /* NULL: such connections are closed */
    const char *spool_dir;             /* for archives that come, outlives the port; NULL: memory */
    /* Takes over a stream behind its first byte: sets events and owner, or closes it. NULL: such
     * connections are closed. */
    void (*raft)(void *ctx, struct stream *s);
    /* The same for gossip of the WAN, which comes over gateways in native TLS alone. */
    void (*gossip_packets)(void *ctx, struct stream *s);
    void (*gossip_stream)(void *ctx, struct stream *s);
    void *ctx;
};

/* Errors in Go's words: listen tcp 127.0.0.1:8300: bind: address already in use. */
int rpc_port_open(
    const struct rpc_port_options *o, struct rpc_port **out, struct error *err) must_check;
uint16_t rpc_port_number(const struct rpc_port *p);
/* A new connection, as from a listener. */
void rpc_port_accept(struct rpc_port *p, struct stream *s);
/* No connection is taken any more, the present ones end and their calls are cancelled; `closed` is
 * called when all are gone. The port is freed before that. */
void rpc_port_close(struct rpc_port *p, void (*closed)(void *ctx), void *ctx);

struct rpc_port_counters {
    uint64_t connections;      /* taken */
    uint64_t refused_limit;    /* by conns_per_client_max */
    uint64_t refused_byte;     /* unknown or refused first byte, or ALPN name */
    uint64_t refused_tls;      /* handshakes that failed */
    uint64_t refused_silent;   /* no first byte in time */
    uint64_t sessions_failed;  /* multiplexed connections that broke a rule */
    uint64_t requests;         /* that became calls */
    uint64_t requests_bad;     /* unreadable, or over a bound: their stream was closed */
    uint64_t requests_unknown; /* no such procedure */
    uint64_t open;             /* connections now */
    uint64_t calls;            /* in progress now */
};
struct rpc_port_counters rpc_port_counters(const struct rpc_port *p);

/* A reply's result as msgpack, kept in the reply for the next one who wants it. Borrowed. */
struct shared_body *rpc_reply_msgpack(struct rpc_reply *r);
