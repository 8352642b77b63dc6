/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of serf cores on virtual time: packets with loss and delay, streams with delay alone. One
 * seed gives one course of events. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/gossip/serf.h"

#define MS 1000u /* microseconds */
#define SECOND (1000 * MS)

struct peer {
    struct serf *serf;
    char name[16];
    bool running;
    bool stalled;     /* keeps its state, neither hears nor acts */
    bool left;        /* its leave was reported, with success */
    uint64_t tick_at; /* of the tick in the heap that counts */
    size_t events;    /* user events heard */
    size_t queries, acks;
    size_t failures_told; /* member-failed */
};

enum parcel_kind {
    PARCEL_TICK,
    PARCEL_PACKET,
    PARCEL_ACCEPTED,
    PARCEL_CONNECTED,
    PARCEL_DATA,
    PARCEL_ENDED
};

struct parcel {
    uint64_t at, order;
    enum parcel_kind kind;
    uint32_t to;
    struct gossip_address from;
    uint64_t stream;
    size_t n;
    char *bytes;
};

/* An open stream: both ends' ids. Dialled ids are a core's own. */
struct connection {
    uint32_t dialer, acceptor;
    uint64_t dialed, accepted;
};

struct sim {
    uint64_t now; /* microseconds */
    uint64_t order;
    uint32_t loss; /* in a thousand */
    struct prng prng;
    struct peer *node;
    uint32_t n;
    struct parcel *heap;
    size_t heap_n, heap_cap;
    struct connection *connections;
    size_t connections_n, connections_cap;
    uint64_t next_accepted;
    uint64_t packets, largest; /* sent; bytes of the largest */
};

struct sim *sim_create(uint64_t seed, uint32_t nodes, uint32_t loss);
void sim_destroy(struct sim *s);
/* Until `until` (microseconds), or until `done` holds, asked every 100 ms. True if it does. */
bool sim_run(
    struct sim *s, uint64_t until, bool (*done)(const struct sim *s, void *ctx), void *ctx);

void node_start(struct sim *s, uint32_t i);
void node_kill(struct sim *s, uint32_t i);
void node_give(struct sim *s, uint32_t i, const struct serf_event *ev);
void node_join(struct sim *s, uint32_t i, uint32_t to);
/* The stalled process goes on. */
void node_resume(struct sim *s, uint32_t i);
enum serf_status node_sees(const struct sim *s, uint32_t at, uint32_t of);
struct gossip_address node_address(uint32_t i);
