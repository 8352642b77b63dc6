/* SPDX-License-Identifier: Apache-2.0 */
/* What the raft driver and its transport tell as metrics, under Consul's names (raft.md 8). Times
 * are samples in milliseconds. Nothing is counted without metrics. */
#pragma once
#include "consuld/base/metrics.h"
#include "consuld/base/world.h"

enum raft_metric {
    RAFT_METRIC_DISPATCH,     /* leader: a commit of the log to disk */
    RAFT_METRIC_DISPATCH_N,   /* entries of it */
    RAFT_METRIC_COMMIT_N,     /* leader: entries of one batch of the state */
    RAFT_METRIC_STORE,        /* follower: a commit of the log to disk */
    RAFT_METRIC_ENQUEUE,      /* from the commitment of entries to the state's turn */
    RAFT_METRIC_PROCESS,      /* the same at a follower */
    RAFT_METRIC_ELECT,        /* from a candidacy to its success */
    RAFT_METRIC_FSM_SNAPSHOT, /* opening a view of the state */
    RAFT_METRIC_CREATE,       /* a worker being there for the snapshot */
    RAFT_METRIC_PERSIST,      /* writing its file */
    RAFT_METRIC_FSM_PERSIST,  /* the same, as the state machine tells it */
    RAFT_METRIC_TAKE,         /* all of it */
    RAFT_METRIC_COMPACT,      /* giving up the log behind it */
    RAFT_METRIC_FSM_RESTORE,  /* building the state from a snapshot */
    RAFT_METRIC_RESTORE,      /* archives restored */
    RAFT_METRIC_RESTORE_USER, /* one of them, from the request to the end */
    RAFT_METRIC_APPEND,       /* requests received: from the last byte to the answer */
    RAFT_METRIC_HEARTBEAT,
    RAFT_METRIC_VOTE,
    RAFT_METRIC_INSTALL,
    RAFT_METRIC_HANDOFF, /* connections of other servers */
    RAFT_METRIC_COUNT
};

struct raft_metrics {
    struct world *world;
    struct metrics *metrics;
    struct metric *at[RAFT_METRIC_COUNT];
};

/* `metrics` may be NULL. */
void raft_metrics_init(struct raft_metrics *m, struct world *w, struct metrics *metrics);
/* A time for raft_metrics_since; 0: nobody counts. */
uint64_t raft_metrics_from(const struct raft_metrics *m);
void raft_metrics_since(struct raft_metrics *m, enum raft_metric which, uint64_t from);

enum raft_peer_metric {
    RAFT_PEER_HEARTBEAT,
    RAFT_PEER_APPEND,
    RAFT_PEER_LOGS, /* a counter of entries */
    RAFT_PEER_INSTALL,
    RAFT_PEER_METRICS
};
/* raft.replication.<name>.<id> */
struct metric *raft_metrics_peer(
    struct raft_metrics *m, enum raft_peer_metric which, const char *id);
