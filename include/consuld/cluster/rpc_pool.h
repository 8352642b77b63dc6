/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to servers over the wire (rpc.md 9.1): one multiplexed connection for each server, one
 * request at a time on a stream, streams are used again. Every call has a deadline; what ends a
 * connection ends its calls at once. Error texts are Consul's (rpc.md 8.1). */
#pragma once
#include "consuld/base/outside.h"
#include "consuld/cluster/rpc.h"

struct gateways;
struct rpc_pool;
struct tls;

/* Where a server is. Connections are kept by datacenter, name and address. */
struct rpc_target {
    struct str name; /* of the node, without datacenter */
    struct str datacenter;
    struct str address; /* IP */
    uint16_t port;
};

struct rpc_pool_options {
    struct world *world;
    struct tls *tls;           /* NULL: none */
    struct gateways *gateways; /* to servers of other datacenters; NULL: they are dialled */
    struct str domain;         /* of the names in certificates; outlives the pool */
    struct str datacenter;     /* the own one, which calls without certificate do not leave;
                                * outlives the pool */
    struct str source;         /* IP to dial from; nil: any. Outlives the pool */
    /* 0 stands for the default in the comment */
    uint64_t dial_timeout_ms;  /* 10 s */
    uint64_t idle_ms;          /* 127 s: a connection without calls is closed after it */
    uint64_t call_timeout_ms;  /* 60 s, on top of the time a blocking query may wait */
    uint32_t idle_streams_max; /* 128 per connection */
};

struct rpc_pool *rpc_pool_create(const struct rpc_pool_options *o);
/* Ends calls with "rpc error: shutdown", closes connections, frees, then calls `closed`. */
void rpc_pool_close(struct rpc_pool *p, void (*closed)(void *ctx), void *ctx);

/* Makes the call at that server. `to` is copied. Procedures for agents without certificate
 * (method_service_insecure) are called over a connection of their own, with TLS always. */
void rpc_pool_submit(struct rpc_pool *p, const struct rpc_target *to, struct rpc_call *call);
void rpc_pool_cancel(struct rpc_pool *p, struct rpc_call *call);
/* The request of this unfinished call may have reached the server. */
bool rpc_pool_sent(const struct rpc_call *call);
/* Gossip says that this server failed: its calls end as if the connection had broken, those that
 * wait for a connection as if none could be had. */
void rpc_pool_server_failed(struct rpc_pool *p, struct str datacenter, struct str name);

struct rpc_pool_counters {
    uint64_t calls;     /* submitted */
    uint64_t failed;    /* ended with an error */
    uint64_t timed_out; /* ... by their deadline */
    uint64_t dials;     /* connections tried */
    uint64_t dials_failed;
    uint64_t sessions_failed; /* connections that broke a rule or answered no ping */
    uint64_t stray_bytes;     /* answers that nobody asked for */
    uint64_t connections;     /* now */
    uint64_t in_flight;       /* calls now */
};
struct rpc_pool_counters rpc_pool_counters(const struct rpc_pool *p);

/* The code of a text that came as an error over the wire (rpc.md 8.2). */
int rpc_error_code(struct str text);
