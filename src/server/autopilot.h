/* SPDX-License-Identifier: Apache-2.0 */
/* What autopilot decides, as pure functions of what is known (leader.md 8): how healthy the servers
 * of the raft configuration are, which one becomes a voter, which dead ones are cleaned up. */
#pragma once
#include "lan_servers.h"

#include "consuld/model.h"

#define AUTOPILOT_SERVERS_MAX 64

/* The last answer of a server to Status.RaftStats. */
struct autopilot_stats {
    bool known;
    int64_t last_contact_ns; /* -1: never */
    uint64_t last_term, last_index;
};

struct autopilot_row {
    char id[64], name[256], address[64], version[32]; /* cut if longer */
    enum serf_status status;
    bool leader, voter, staging, healthy;
    int64_t last_contact_ns;
    uint64_t last_term, last_index;
    int64_t stable_since_ns; /* wall clock: healthy or not since then */
};

struct autopilot_table {
    struct autopilot_row rows[AUTOPILOT_SERVERS_MAX];
    size_t n;
    bool healthy;
    int64_t failure_tolerance;
};

/* "0", "never" or a duration; -1 for what is none. */
int64_t autopilot_contact_ns(struct str text);

/* Fills *t anew; what it held tells since when a server is as it is. stats[i] belongs to the i-th
 * server of `raft`. */
void autopilot_judge(struct autopilot_table *t, const struct raft_driver_state *raft,
    const struct list *servers, const struct autopilot_stats *stats,
    const struct autopilot_config *config, int64_t now_wall_ns);

/* A healthy non-voter whose time has come; NULL: none. */
const struct autopilot_row *autopilot_promotion(
    const struct autopilot_table *t, const struct autopilot_config *config, int64_t now_wall_ns);

/* Dead servers that may be cleaned up: `force` are to be pushed out of gossip, by node name, and
 * `stale` are in raft without being a member. Both lists point into `servers` and `raft`. */
struct autopilot_dead {
    struct str force[AUTOPILOT_SERVERS_MAX];
    size_t force_n;
    struct raft_wish stale[AUTOPILOT_SERVERS_MAX];
    size_t stale_n;
    const char *refused; /* why the voters among them stay; NULL: they don't */
};
/* heard[i]: the i-th server of `raft` answers, so it is not dead, whatever gossip knows yet. */
void autopilot_find_dead(struct autopilot_dead *out, const struct raft_driver_state *raft,
    const struct list *servers, const bool *heard, const struct autopilot_config *config);
