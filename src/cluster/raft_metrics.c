/* SPDX-License-Identifier: Apache-2.0 */
#include "raft_metrics.h"

#include <stdio.h>

static const struct {
    const char *name;
    enum metric_kind kind;
} rows[RAFT_METRIC_COUNT] = {
    [RAFT_METRIC_DISPATCH] = { "raft.leader.dispatchLog", METRIC_SAMPLE },
    [RAFT_METRIC_DISPATCH_N] = { "raft.leader.dispatchNumLogs", METRIC_GAUGE },
    [RAFT_METRIC_COMMIT_N] = { "raft.commitNumLogs", METRIC_GAUGE },
    [RAFT_METRIC_STORE] = { "raft.rpc.appendEntries.storeLogs", METRIC_SAMPLE },
    [RAFT_METRIC_ENQUEUE] = { "raft.fsm.enqueue", METRIC_SAMPLE },
    [RAFT_METRIC_PROCESS] = { "raft.rpc.appendEntries.processLogs", METRIC_SAMPLE },
    [RAFT_METRIC_ELECT] = { "raft.candidate.electSelf", METRIC_SAMPLE },
    [RAFT_METRIC_FSM_SNAPSHOT] = { "raft.fsm.snapshot", METRIC_SAMPLE },
    [RAFT_METRIC_CREATE] = { "raft.snapshot.create", METRIC_SAMPLE },
    [RAFT_METRIC_PERSIST] = { "raft.snapshot.persist", METRIC_SAMPLE },
    [RAFT_METRIC_FSM_PERSIST] = { "fsm.persist", METRIC_SAMPLE },
    [RAFT_METRIC_TAKE] = { "raft.snapshot.takeSnapshot", METRIC_SAMPLE },
    [RAFT_METRIC_COMPACT] = { "raft.compactLogs", METRIC_SAMPLE },
    [RAFT_METRIC_FSM_RESTORE] = { "raft.fsm.restore", METRIC_SAMPLE },
    [RAFT_METRIC_RESTORE] = { "raft.restore", METRIC_COUNTER },
    [RAFT_METRIC_RESTORE_USER] = { "raft.restoreUserSnapshot", METRIC_SAMPLE },
    [RAFT_METRIC_APPEND] = { "raft.rpc.appendEntries", METRIC_SAMPLE },
    [RAFT_METRIC_HEARTBEAT] = { "raft.rpc.processHeartbeat", METRIC_SAMPLE },
    [RAFT_METRIC_VOTE] = { "raft.rpc.requestVote", METRIC_SAMPLE },
    [RAFT_METRIC_INSTALL] = { "raft.rpc.installSnapshot", METRIC_SAMPLE },
    [RAFT_METRIC_HANDOFF] = { "rpc.raft_handoff", METRIC_COUNTER },
};

void raft_metrics_init(struct raft_metrics *m, struct world *w, struct metrics *metrics)
{
    m->world = w;
    m->metrics = metrics;
    for (size_t i = 0; i < RAFT_METRIC_COUNT; i++)
        m->at[i] = metrics_labelled(metrics, rows[i].kind, rows[i].name, NULL, 0);
}

uint64_t raft_metrics_from(const struct raft_metrics *m)
{
    return m->metrics ? world_now_us(m->world) : 0;
}

void raft_metrics_since(struct raft_metrics *m, enum raft_metric which, uint64_t from)
{
    if (from) metric_since(m->at[which], m->world, from);
}

struct metric *raft_metrics_peer(
    struct raft_metrics *m, enum raft_peer_metric which, const char *id)
{
    static const char *const names[RAFT_PEER_METRICS] = { [RAFT_PEER_HEARTBEAT] = "heartbeat",
        [RAFT_PEER_APPEND] = "appendEntries.rpc",
        [RAFT_PEER_LOGS] = "appendEntries.logs",
        [RAFT_PEER_INSTALL] = "installSnapshot" };
    char name[256];
    enum metric_kind kind = which == RAFT_PEER_LOGS ? METRIC_COUNTER : METRIC_SAMPLE;
    snprintf(name, sizeof name, "raft.replication.%s.%s", names[which], id);
    return metrics_labelled(m->metrics, kind, name, NULL, 0);
}
