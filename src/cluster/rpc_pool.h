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

#define RPC_POOL_ANSWERS 256
#define RPC_POOL_ANSWER_MAX ((size_t)64 << 10)       /* a larger one is not kept */
#define RPC_POOL_ANSWERS_BYTES_MAX ((size_t)4 << 20) /* of all */
#define RPC_POOL_ANSWERS_MS 10000                    /* then all are given up */

struct pool_conn;
struct pool_call;
struct pool_insecure;

/* Where the records of a method have what the pool looks at; -1: nowhere. */
struct pool_method {
    const struct method_types *types;
    int min_query_index, max_query_time;
    int index, last_contact, known_leader;
    bool insecure; /* method_service_insecure */
};

/* An answer of late, with the bytes it was read from. */
struct pool_answer {
    uint64_t request;        /* hash of what was asked */
    struct rpc_reply *reply; /* NULL: asked once only */
    struct str body;         /* the reply's */
};

struct pool_answers {
    struct pool_answer at[RPC_POOL_ANSWERS];
    size_t bytes;
    struct timer timer;
};

struct rpc_pool {
    struct rpc_pool_options opts;
    struct map conns;     /* name.datacenter:address -> struct pool_conn that takes new calls */
    struct link all;      /* every connection */
    struct link insecure; /* those of rpc_pool_insecure.c */
    struct tick gone;
    struct buf scratch, batch;
    uint64_t seq;
    struct pool_method *methods; /* in the order of method_table */
    struct pool_answers answers;
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
    const struct pool_method *method;
    uint64_t request; /* hash, see struct pool_answer */
    struct pool_conn *conn;
    struct pool_stream *stream; /* NULL: waits for the connection */
    struct link link;           /* conn->waiting */
    struct timer deadline;
    bool retried;                   /* its first connection took no stream */
    struct pool_insecure *insecure; /* its own connection; then there is no `conn` */
};

/* rpc_pool.c */
struct pool_conn *rpc_pool__conn(struct rpc_pool *p, const struct rpc_target *to);
/* No new calls; gone when its last call is. */
void rpc_pool__retire(struct pool_conn *c);
/* No new calls. */
void rpc_pool__forget(struct pool_conn *c);
/* The pool goes when it is closed and has no connection left. */
void rpc_pool__gone(struct rpc_pool *p);
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
/* The result that *body holds, which becomes the reply's own copy, or lies in `whole`, which the
 * reply then keeps; NULL and *err: it cannot be read. */
struct rpc_reply *rpc_pool__decode(
    const struct pool_call *pc, struct str *body, struct shared_body *whole, struct error *err);
/* Ends the call well. */
void rpc_pool__succeed(struct pool_call *pc, struct rpc_reply *reply);

/* rpc_pool_insecure.c */
#define RPC_POOL_INSECURE_CALL "rpcinsecure error making call: "
void rpc_pool__insecure_begin(struct pool_call *pc, const struct rpc_target *to);
/* Gives its connection up, if there is one. */
void rpc_pool__insecure_end(struct pool_call *pc);
void rpc_pool__insecure_shutdown(struct rpc_pool *p);

/* rpc_pool_answer.c: an answer that has the same bytes as the last one to the same question is that
 * one, with all that was made of it. */
void rpc_pool__methods_init(struct rpc_pool *p);
void rpc_pool__answers_init(struct rpc_pool *p);
void rpc_pool__answers_deinit(struct rpc_pool *p);
uint64_t rpc_pool__request_hash(const struct pool_method *m, struct str args);
/* 1: these bytes are the answer that is kept; -1: they are as far as they go; 0: they are not. */
int rpc_pool__answer_compare(const struct pool_call *pc, struct str bytes);
/* A reference, or NULL: it has to be read. */
struct rpc_reply *rpc_pool__answer_find(const struct pool_call *pc, struct str body);
/* `body` belongs to the reply. */
void rpc_pool__answer_keep(const struct pool_call *pc, struct rpc_reply *reply, struct str body);
