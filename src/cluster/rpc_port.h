/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of port 8300: connections before and after their first byte, and channels: the requests of
 * one stream, answered one after another. */
#pragma once
#include "consuld/base/map.h"
#include "consuld/cluster/rpc_port.h"
#include "consuld/mux/rpc_frame.h"
#include "consuld/mux/yamux.h"

#define RPC_PORT_LOG "agent.server.rpc"
/* A connection whose unsent bytes are above this starts no requests. */
#define RPC_PORT_BACKLOG_MAX ((size_t)256 << 10)
/* So does one whose answers wait for credit with more than this. */
#define RPC_PORT_QUEUED_MAX ((size_t)8 << 20)
/* Bytes of unfinished requests, all connections together. */
#define RPC_PORT_INPUT_MAX ((size_t)256 << 20)
/* Streams of one multiplexed connection. */
#define RPC_PORT_STREAMS_MAX 16384
/* Bytes that wait behind a request in progress, of one connection. */
#define RPC_PORT_HELD_MAX ((size_t)16 << 20)
#define RPC_PORT_BATCH ((size_t)64 << 10)
#define RPC_PORT_LINGER_MS 1000

struct rpc_port {
    struct rpc_port_options opts;
    struct listener *listener;
    struct link conns;  /* struct port_conn */
    struct map clients; /* address -> number of connections */
    struct tick gone;
    bool closing;
    bool restoring; /* a connection brings an archive */
    void (*closed)(void *ctx);
    void *closed_ctx;
    size_t input; /* bytes of unfinished requests */
    struct buf scratch, batch;
    struct error err; /* of all calls: filled and read in one go */
    struct rpc_port_counters counters;
};

/* A connection as log lines name it: from=ADDRESS:PORT. */
struct rpc_port_from {
    char text[PEER_TEXT_MAX + 16];
};
struct rpc_port_from rpc_port__from(const struct stream *s);

/* --- channels: rpc_channel.c ---------------------------------------------------------------- */

struct rpc_channel;
struct served;

struct rpc_channel_ops {
    /* Room for another answer: a request may begin. */
    bool (*ready)(struct rpc_channel *ch);
    void (*send)(struct rpc_channel *ch, const struct stream_part *parts, size_t n);
    /* n more bytes given by rpc_channel_data have been read. May be NULL. */
    void (*consumed)(struct rpc_channel *ch, size_t n);
    const struct stream *(*connection)(struct rpc_channel *ch);
    /* Nothing more is read: what was sent goes out, then the channel's carrier ends. The channel is
     * already clean. */
    void (*end)(struct rpc_channel *ch);
};

struct rpc_channel {
    const struct rpc_channel_ops *ops;
    struct rpc_port *port;
    struct served *served; /* the request in progress */
    struct buf input;      /* of the next message, and what follows it */
    struct rpc_scan scan;
    size_t at;       /* bytes of the next message that were scanned */
    size_t header_n; /* of them its header; 0: not whole yet */
    size_t unread;   /* given and not reported as consumed */
    bool eof, ended, running;
    bool insecure; /* of the few services for agents without a certificate */
};

void rpc_channel_init(
    struct rpc_channel *ch, struct rpc_port *port, const struct rpc_channel_ops *ops);
void rpc_channel_data(struct rpc_channel *ch, struct str bytes);
/* The peer sends no more. */
void rpc_channel_eof(struct rpc_channel *ch);
/* `ready` may have become true. */
void rpc_channel_resume(struct rpc_channel *ch);
/* The carrier is gone: cancels the call, frees. Idempotent. */
void rpc_channel_drop(struct rpc_channel *ch);
/* Bytes that wait behind the request in progress. */
size_t rpc_channel_waiting(const struct rpc_channel *ch);

/* --- protocols ------------------------------------------------------------------------------ */

void rpc_port__single(struct rpc_port *p, struct stream *s);
/* For agents without a certificate (rpc.md 11). */
void rpc_port__insecure(struct rpc_port *p, struct stream *s);
void rpc_port__mux(struct rpc_port *p, struct stream *s);
void rpc_port__snapshot(struct rpc_port *p, struct stream *s);
