/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

static const struct raft_member *by_address(const struct raft *r, struct str address)
{
    for (size_t i = 0; i < r->latest.n; i++)
        if (str_is(address, r->latest.servers[i].address)) return &r->latest.servers[i];
    return NULL;
}

void raft_get_state(const struct raft *r, struct raft_state *out)
{
    struct str address = name_str(&r->leader);
    const struct raft_member *leader = by_address(r, address);
    *out = (struct raft_state){
        .role = r->role,
        .term = r->hard.term,
        .leader_id = r->role == RAFT_LEADER ? r->id
                     : leader               ? leader->id
                                            : "",
        .leader_address = address,
        .commit_index = r->commit_index,
        .applied_index = r->applied_index,
        .durable_index = r->log.durable,
        .first_index = r->log.first,
        .last_index = r->log.last,
        .last_term = log_last_term(&r->log),
        .snapshot_index = r->log.snapshot_index,
        .snapshot_term = r->log.snapshot_term,
        .last_contact_ms = r->last_contact_ms,
        .contact_known = r->contact_known,
        .latest = &r->latest,
        .committed = &r->committed,
        .latest_index = r->latest_index,
        .committed_index = r->committed_index,
        .transferring = r->transfer.active,
    };
}

const struct raft_entry *raft_entry_at(const struct raft *r, uint64_t index)
{
    return log_entry(&r->log, index);
}

const struct raft_counters *raft_get_counters(const struct raft *r)
{
    return &r->counters;
}

uint64_t raft_term_at(const struct raft *r, uint64_t index)
{
    return log_term(&r->log, index);
}

bool raft_get_peer(const struct raft *r, const char *id, struct raft_peer_state *out)
{
    const struct peer *p = raft__peer(r, id);
    if (!p) return false;
    bool snapshot = p->mode == PEER_SNAPSHOT && p->flight_n;
    *out = (struct raft_peer_state){
        .needs_index = (snapshot ? p->flight[p->flight_head].last : p->match) + 1,
        .match_index = p->match,
        .next_index = p->next,
        .last_contact_ms = p->contact_ms,
        .failures = p->failures,
        .snapshots = p->snapshots,
        .pipeline = p->mode == PEER_PIPELINE,
        .snapshot = p->mode == PEER_SNAPSHOT,
    };
    return true;
}
