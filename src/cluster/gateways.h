/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of federation through gateways: gateways.c has the directory, gateway_dial.c attempts,
 * packet_roads.c gossip packets on their way. */
#pragma once
#include "consuld/cluster/gateways.h"

#define GATEWAYS_LOG "agent.server.gateway_locator"
#define TROUBLES_MAX 64
#define TROUBLE_REPEAT_MIN_MS 60000
#define TROUBLE_REPEAT_MAX_MS 3600000

/* One line when a peer becomes unreachable, one when it is reachable again, and in between one at
 * growing intervals that says how often it failed. */
struct trouble {
    uint64_t peer; /* hash of its name; 0: free */
    uint64_t count, next_ms, pause_ms, since_ms;
};
struct trouble_log {
    struct world *world;
    struct trouble v[TROUBLES_MAX];
};

struct gateways {
    struct world *world;
    struct tls *tls;
    struct fed_directory *directory;
    struct str datacenter, domain;
    struct link observers;
    struct trouble_log troubles;
    bool told_road, through_local;
    struct arena arena;
    struct gateways_counters counters;
};

/* Says it when the road to the primary became another. */
void gateways__tell_road(struct gateways *g);
/* A connection that gateway_dial made is of no use any more. */
void gateways__path_failed(struct gateways *g, const struct gateway_dial *d, const char *why);
