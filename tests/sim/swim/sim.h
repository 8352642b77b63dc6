/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of SWIM cores under virtual time and a network that loses, delays and cuts. One event
 * queue; everything follows from the seed. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/gossip/packet.h"
#include "consuld/gossip/swim.h"

#define SECOND 1000000u /* times of the simulator are in microseconds */
#define FOREVER UINT64_MAX

enum event_kind { EV_TICK, EV_PACKET, EV_ACCEPT, EV_CONNECTED, EV_DATA, EV_ENDED };

struct event {
    uint64_t at, order;
    enum event_kind kind;
    uint32_t node; /* whom it reaches */
    uint32_t from; /* PACKET, ACCEPT */
    uint64_t stream;
    size_t n;
    char *bytes; /* owned */
};

struct node {
    struct sim *sim;
    uint32_t index;
    struct swim *swim;
    bool up;
    uint64_t tick;          /* when its next tick is queued for */
    uint64_t stalled_until; /* nothing reaches it before */
    uint32_t group;         /* nodes of different groups do not hear each other */
    uint32_t loss_in;       /* per mille of packets to it that are lost, beyond the pool's */
    uint64_t results;       /* answers to its requests */
    int last_result;
    char name[16];
};

/* Two ends of a stream; ids differ, because each core numbers its own. */
struct pipe {
    uint32_t node[2]; /* who dialled, who accepted */
    uint64_t id[2];
    bool open[2];
};

struct sim_options {
    uint64_t seed;
    size_t nodes;
    uint32_t loss; /* per mille of packets */
    uint64_t delay_min, delay_max;
    size_t meta_size;         /* the tags of a server take about 230 bytes */
    struct swim_options swim; /* name, advertise, seed and delegate are set per node */
};

struct sim {
    struct sim_options o;
    struct prng prng;
    uint64_t now, order;
    struct event *heap;
    size_t heap_n, heap_cap;
    struct node *nodes;
    struct pipe *pipes;
    size_t pipes_n, pipes_cap;
    uint64_t steps, packets, lost;
    uint64_t
        false_departures; /* a running, reachable member was declared dead or left, per observer */
    struct map false_deaths; /* the same per member and incarnation */
    bool expect_departures;  /* a partition: not false */
    bool trace;
};

struct sim *sim_create(const struct sim_options *o);
void sim_destroy(struct sim *s);

/* queue.c */
void sim_push(struct sim *s, const struct event *e);
struct event sim_pop(struct sim *s);

/* network.c */
void sim_send(struct sim *s, struct node *from, const struct swim_packet *p);
void sim_stream(struct sim *s, struct node *from, const struct swim_stream *p);
void sim_stream_ended_at(struct sim *s, uint32_t node, uint64_t id);
struct gossip_address sim_address(uint32_t index);

/* node.c */
void node_start(struct sim *s, uint32_t index);
void node_kill(struct sim *s, uint32_t index);
void node_join(struct sim *s, uint32_t index, uint32_t to);
void node_leave(struct sim *s, uint32_t index);
void node_stall(struct sim *s, uint32_t index, uint64_t duration);
void node_step(struct sim *s, struct node *n, const struct swim_event *ev);
void node_deliver(struct sim *s, const struct event *e);

/* Runs to `until`, or until `done` says so (asked every 50 ms); true if it did. */
typedef bool (*sim_condition)(struct sim *s);
bool sim_run(struct sim *s, uint64_t until, sim_condition done);
/* Every running node sees exactly the running ones as alive. */
bool sim_agrees(struct sim *s);
size_t sim_running(const struct sim *s);
