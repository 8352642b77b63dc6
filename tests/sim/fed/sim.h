/* SPDX-License-Identifier: Apache-2.0 */
/* Datacenters whose servers know each other through mesh gateways alone, on virtual time: the
 * shipped directory and the shipped decisions of federation states, with a network of gateways that
 * die, move, swallow and are cut off. world.c has what happens by itself, scenario.c what is done
 * to it. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/fed/directory.h"
#include "consuld/fed/sync.h"

#define DCS 5
#define SERVERS 3
#define GATEWAYS 2
#define ADDRESSES_MAX 4096
#define STEP_MS 100
#define ROUND_STEPS 10 /* a round of gossip and replication each second */

/* A gateway as it is, behind an address. */
struct sim_gateway {
    int dc;
    char address[32];
    bool up;
    bool gone;     /* its address is nobody's any more */
    bool listed;   /* in the catalog of its datacenter */
    bool swallows; /* takes connections, and nothing comes of them */
};

struct sim_server {
    bool up;
    struct fed_directory *d;
    uint64_t dials, failures, waits;
    uint64_t reached_ms[DCS]; /* when it last reached somebody there */
};

struct sim_dc {
    char name[16];
    struct sim_server servers[SERVERS];
    int leader;
    struct arena arena;   /* of states */
    struct list states;   /* struct federation_state, what is stored */
    uint64_t index;       /* of the log */
    uint64_t last_remote; /* of replication */
    uint64_t writes;
    bool left; /* given up */
};

struct sim {
    uint64_t now, seed;
    bool v6; /* gateways have IPv6 addresses */
    struct sim_dc dcs[DCS];
    struct sim_gateway gateways[ADDRESSES_MAX];
    size_t n;
    bool cut[DCS][DCS];  /* servers of the one do not reach gateways of the other */
    char configured[64]; /* of the primary's gateways, as names resolve */
    uint64_t direct;     /* connections to what is no gateway */
    uint64_t past_local; /* by followers, while an own gateway works */
    uint64_t pruned;
};
extern struct sim sim;

/* world.c */
uint64_t sim_random(uint64_t bound);
void sim_begin(uint64_t seed);
void sim_end(void);
void sim_run(uint64_t ms);
/* Runs until it holds; false after `ms`. */
bool sim_until(bool (*holds)(void), uint64_t ms);
struct sim_gateway *sim_add_gateway(int dc);
void sim_server_stop(int dc, int i);
void sim_server_start(int dc, int i);
/* Every server that is up reaches somebody in each other datacenter, lately. */
bool sim_all_reach_all(void);
bool sim_states_equal(void);
bool sim_healed(void);

/* scenario.c */
struct scenario {
    const char *name;
    void (*run)(void);
};
extern const struct scenario scenarios[];
extern const size_t scenarios_n;
#define must(cond) \
    do { \
        if (!(cond)) sim_fail(#cond, __FILE__, __LINE__); \
    } while (0)
void sim_fail(const char *what, const char *file, int line);
