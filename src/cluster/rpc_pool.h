/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the RPC pool: connections, their streams, the calls on them. */
#pragma once
#include "consuld/base/map.h"
#include "consuld/cluster/rpc_pool.h"
#include "consuld/cluster/server_dial.h"
#include "consuld/mux/rpc_frame.h"
#include "consuld/mux/yamux.h"

#define RPC_POOL_LOG "agent.rpc_pool"
#define RPC_POOL_BACKLOG_MAX ((size_t)256 << 10)
#define RPC_POOL_BATCH ((size_t)64 << 10)

struct pool_conn;
struct pool_call;

struct rpc_pool {
    struct rpc_pool_options opts;
    struct map conns; /* name.datacenter:address -> struct pool_conn that takes new calls */
    struct link all;  /* every connection */
    struct tick gone;
    struct buf scratch, batch;
    uint64_t seq;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    struct rpc_pool_counters counters;
};

struct pool_conn {
    struct rpc_pool *pool;
    struct arena arena; /* of itself and its texts */
    struct str key;
    struct rpc_target target;
    struct link link;        /* pool->all */
    struct server_dial dial; /* while connecting */
    bool dialling;
    bool current; /* in pool->conns */
    bool ended;   /* takes and carries no calls any more */
    struct stream *stream;
    struct yamux yamux;
    struct link waiting; /* calls that wait for the connection */
    struct link streams; /* with a call */
    struct link idle;    /* without, the last used first */
    uint32_t idle_n;
    struct tick tick;
    struct timer ping, unused;
};

struct pool_stream {
    struct yamux_stream base; /* first: the machine's */
    struct pool_conn *conn;
    struct link link; /* conn->streams or conn->idle */
    struct pool_call *call;
    struct rpc_scan scan;
    struct buf input; /* a response that is not whole */
    size_t at, header_n;
};

/* A call in the pool; memory of the call's arena. */
struct pool_call {
    struct rpc_call *call;
    struct rpc_pool *pool;
    struct pool_conn *conn;
    struct pool_stream *stream; /* NULL: waits for the connection */
    struct link link;           /* conn->waiting */
    struct timer deadline;
    bool retried; /* its first connection took no stream */
};

/* rpc_pool.c */
struct pool_conn *rpc_pool__conn(struct rpc_pool *p, const struct rpc_target *to);
/* No new calls; gone when its last call is. */
void rpc_pool__retire(struct pool_conn *c);
/* No new calls. */
void rpc_pool__forget(struct pool_conn *c);
/* A call left: is the connection still of use? */
void rpc_pool__settle(struct pool_conn *c);

/* rpc_pool_call.c */
/* Sends the call's request; the connection stands. */
void rpc_pool__begin(struct pool_call *pc);
/* Ends the call with an error: "rpc error making call: " and the like in front of `why`. */
void rpc_pool__fail(struct pool_call *pc, const char *prefix, const char *why);
void rpc_pool__data(struct pool_stream *st, struct str bytes);
/* Takes the stream out of use. */
void rpc_pool__drop_stream(struct pool_stream *st, bool reset);
