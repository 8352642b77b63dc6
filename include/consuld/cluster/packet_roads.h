/* SPDX-License-Identifier: Apache-2.0 */
/* Gossip packets to servers of other datacenters: one connection for each of them through a mesh
 * gateway, kept while it is used (wanfed.md 5.1); and the receiving end at port 8300.
 *
 * The one invariant: a packet is taken, or dropped, at once. What a road does not take waits in a
 * small queue of its own, from which the oldest falls out, so that one road that takes nothing
 * delays no other. */
#pragma once
#include "consuld/cluster/gateways.h"

struct packet_roads;

#define ROADS_MAX 1024    /* peers; the longest unused makes room */
#define ROAD_QUEUE_MAX 64 /* packets that wait for a road */
#define ROAD_QUEUE_BYTES (64u << 10)
#define ROAD_STUCK_MS 1000  /* nothing went out for so long: the gateway is given up */
#define ROAD_IDLE_MS 120000 /* unused for so long: closed */

struct packet_roads_options {
    struct world *world;
    struct gateways *gateways;
    /* A packet to that member was not sent, and whose fault it is: swim's send_failed. From the
     * loop, never from packet_roads_send. */
    void (*failed)(void *ctx, struct str name, bool remote);
    void *ctx;
};
struct packet_roads *packet_roads_create(const struct packet_roads_options *o);
/* Closes all; its streams end later on their own. NULL is ignored. */
void packet_roads_destroy(struct packet_roads *r);

/* "node.dc" of a member: its parts, or false if the name does not say its datacenter. */
bool packet_road_name(struct str name, struct str *node, struct str *datacenter);
/* To another datacenter. */
void packet_roads_send(struct packet_roads *r, struct str name, struct str node,
    struct str datacenter, struct str bytes);

struct packet_roads_counters {
    uint64_t roads; /* now */
    uint64_t dials;
    uint64_t stuck;   /* given up because nothing went out */
    uint64_t retired; /* because their gateway left the directory */
};
struct packet_roads_counters packet_roads_counters(const struct packet_roads *r);

/* The receiving end: takes over a stream that carries packets. They are given to `receive` with the
 * address of the stream's peer. */
struct packet_inlet_options {
    struct world *world;
    struct gateways *gateways; /* for its counters; NULL: none */
    void (*receive)(void *ctx, struct stream *s, struct str bytes);
    void *ctx;
};
void packet_inlet_accept(const struct packet_inlet_options *o, struct stream *s);
