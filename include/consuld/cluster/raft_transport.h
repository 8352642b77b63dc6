/* SPDX-License-Identifier: Apache-2.0 */
/* Raft between servers (raft.md 1-3): what the raft driver sends goes out over connections to port
 * 8300 of the others, what they send on streams of our port goes to the driver.
 *
 * Outgoing: requests that wait for their answer take a connection of the peer's pool, a pipeline
 * and a snapshot have one of their own. Incoming: requests of any kind in any order, answered in
 * the order they came. Snapshots go from and to files by way of a worker. Every request has a
 * deadline; what a peer claims and what waits is bounded, and breaking a bound ends that one
 * connection. */
#pragma once
#include "consuld/base/outside.h"
#include "consuld/cluster/raft_driver.h"

struct metrics;
struct raft_transport;
struct tls;

struct raft_transport_options {
    struct world *world;
    struct tls *tls;               /* NULL: none */
    struct str datacenter, domain; /* of the names in certificates; outlive the transport */
    struct str source;             /* IP to dial from; nil: any. Outlives the transport */
    /* Where gossip sees the server with this id now, "ip:port"; false: it does not know, and the
     * address of the raft configuration is taken. May be NULL. */
    bool (*locate)(void *ctx, struct str id, char *out, size_t out_n);
    void *ctx;
    uint64_t timeout_ms;     /* of dialling and of a request; 0: 10 s */
    struct metrics *metrics; /* NULL: nobody counts */
};

struct raft_transport *raft_transport_create(const struct raft_transport_options *o);
/* To be given to raft_driver_create. */
struct raft_driver_transport *raft_transport_driver(struct raft_transport *t);
/* Incoming requests are taken from now on, until raft_transport_close. */
void raft_transport_attach(struct raft_transport *t, struct raft_driver *d);
/* A stream of port 8300 behind its first byte. */
void raft_transport_accept(struct raft_transport *t, struct stream *s);
/* Nothing is sent or taken any more; connections end, then `closed` is called and the transport is
 * freed. After the driver was stopped; the driver may be destroyed before `closed`. */
void raft_transport_close(struct raft_transport *t, void (*closed)(void *ctx), void *ctx);

struct raft_transport_counters {
    uint64_t dials, dials_failed;
    uint64_t requests_sent, requests_failed; /* failed: without an answer */
    uint64_t requests_timed_out;
    uint64_t requests_received;
    uint64_t refused;  /* incoming connections that broke a rule or a bound */
    uint64_t outgoing; /* connections now */
    uint64_t incoming;
    uint64_t snapshots_sent, snapshots_received; /* streams that were whole */
};
struct raft_transport_counters raft_transport_counters(const struct raft_transport *t);
