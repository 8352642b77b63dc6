/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of raft between servers: remotes with their outgoing connections, incoming connections,
 * snapshot streams. */
#pragma once
#include "consuld/base.h"
#include "consuld/cluster/raft_transport.h"
#include "consuld/cluster/server_dial.h"
#include "consuld/cluster/spool.h"
#include "consuld/mux/rpc_frame.h"
#include "consuld/raft/message.h"
#include "raft_metrics.h"

#define RAFT_LOG "agent.server.raft"
#define RAFT_TIMEOUT_MS 10000
#define RAFT_REMOTES_MAX (2 * RAFT_SERVERS_MAX)
#define RAFT_IDLE_MAX 3   /* connections kept for a remote */
#define RAFT_CONNS_MAX 24 /* of a remote */
/* A pipeline with more unsent bytes than this encodes no further requests. */
#define RAFT_BACKLOG_MAX ((size_t)2 << 20)
/* One AppendEntries: 64 entries of chunk size and more. */
#define RAFT_REQUEST_MAX ((size_t)128 << 20)
#define RAFT_INPUT_MAX (RAFT_REQUEST_MAX + ((size_t)1 << 20))
#define RAFT_INPUT_KEPT ((size_t)1 << 20) /* memory of a connection that has nothing to read */
#define RAFT_RESPONSE_MAX ((size_t)1 << 20)
#define RAFT_INCOMING_MAX 1024
#define RAFT_PENDING_MAX 256 /* requests of one connection in the driver's hands */
#define RAFT_SNAPSHOT_PIECE ((size_t)256 << 10)
#define RAFT_SNAPSHOT_MAX ((uint64_t)1 << 40)
#define RAFT_LOOKS_MAX 3         /* after a leader that hangs up again and again */
#define RAFT_PROBE_FRESH_MS 1000 /* an answer this young shows that a peer is there */

/* A request on its way out. */
struct raft_call {
    struct link link;
    enum raft_message_type type;
    uint64_t rpc;
    uint64_t sent_ms; /* 0: not yet */
    uint64_t sent_us; /* 0: nobody counts */
    uint64_t entries; /* of an append */
    bool heartbeat;
    struct buf bytes; /* encoded; empty once sent, and for a pipeline until its turn comes */
    struct raft_message append; /* pipeline: what to encode */
    char leader[RAFT_ADDRESS_MAX];
    bool forgotten; /* nobody waits for the answer */
};

enum raft_lane { RAFT_LANE_POOL, RAFT_LANE_PIPELINE, RAFT_LANE_SNAPSHOT };

struct raft_out {
    struct raft_transport *t;
    struct raft_remote *remote;
    struct link link; /* of the remote */
    enum raft_lane lane;
    char address[RAFT_ADDRESS_MAX];
    struct str host;
    struct server_dial dial;
    struct stream *stream; /* NULL: dialling */
    bool closing;
    struct link calls; /* struct raft_call, oldest first: sent ones, then those that wait */
    struct buf input;
    struct timer timer;
    uint64_t timeout_ms;
    uint64_t answered_ms; /* 0: never */
    struct raft_outgoing_snapshot *snapshot;
    unsigned looks; /* dialled to see whether the leader is gone, for the n-th time */
};

struct raft_remote {
    char id[RAFT_ID_MAX];
    struct link conns;                         /* struct raft_out, last used last */
    bool unreachable;                          /* said so in the log */
    struct metric *metrics[RAFT_PEER_METRICS]; /* NULL: not made yet */
};

struct raft_transport {
    struct raft_driver_transport seam;
    struct raft_transport_options opts;
    struct raft_driver *driver; /* NULL: not attached */
    struct raft_remote *remotes[RAFT_REMOTES_MAX];
    size_t remotes_n;
    struct link incoming; /* struct raft_in */
    uint32_t next_in;     /* number of the next incoming connection */
    struct link verdicts; /* what the driver has to be told outside of send */
    struct tick tick;
    struct buf scratch;
    struct arena arena;
    size_t jobs; /* running */
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    struct raft_transport_counters counters;
    struct raft_metrics metrics;
};

/* raft_transport.c */
uint64_t raft_transport__now(const struct raft_transport *t);
/* Tells the driver at the end of the turn that a request failed or a probe succeeded. */
void raft_transport__verdict(
    struct raft_transport *t, const char *id, uint64_t rpc, bool reached, bool missing);
/* Something ended: the transport may be done closing. */
void raft_transport__ended(struct raft_transport *t);

/* raft_transport_out.c */
void raft_transport__request(struct raft_transport *t, const struct raft_message *m);
void raft_transport__out_close(struct raft_transport *t);
/* A connection of its own to the peer of `m`; NULL: too many. */
struct raft_out *raft_transport__dial(
    struct raft_transport *t, const char *id, const char *address, enum raft_lane lane);
struct raft_call *raft_transport__call(struct raft_out *o, const struct raft_message *m);
/* Ends a connection; its requests fail when its stream is closed. */
void raft_transport__drop(struct raft_out *o);

/* The leader hung up, or is missed by another server. If its port refuses connections the driver is
 * told that it is gone. */
void raft_transport__leader_hung_up(struct raft_transport *t, struct str address, unsigned looks);

/* raft_transport_in.c */
void raft_transport__response(struct raft_transport *t, const struct raft_message *m);
void raft_transport__flush(struct raft_transport *t);
void raft_transport__in_close(struct raft_transport *t);

/* raft_transport_snapshot.c: sending one */
void raft_transport__snapshot_send(struct raft_transport *t, const struct raft_message *m);
/* The connection is there, or takes more. */
void raft_transport__snapshot_pump(struct raft_out *o);
/* The connection is gone. */
void raft_transport__snapshot_gone(struct raft_out *o);
