/* SPDX-License-Identifier: Apache-2.0 */
/* Handing leadership over (raft.md 6.10): nothing new is taken, what was taken is committed; the
 * target, which has it all, is told to campaign at once. */
#include "core.h"

struct peer *raft__furthest_voter(const struct raft *r)
{
    struct peer *best = NULL;
    for (size_t i = 0; i < r->peers_n; i++) {
        struct peer *p = r->peers[i];
        bool reachable = p->mode == PEER_PIPELINE && p->heartbeat_failures == 0;
        if (p->voter && reachable && (!best || p->match > best->match)) best = p;
    }
    return best;
}

void raft__send_timeout_now(struct raft *r, struct peer *p)
{
    struct raft_message m = { .type = RAFT_TIMEOUT_NOW };
    r->lease_void = true; /* votes will no longer be refused for our sake */
    r->transfer.rpc = raft__request(r, p->id, p->address, &m, 0);
}

void raft__transfer_end(struct raft *r, enum raft_status status)
{
    if (!r->transfer.active) return;
    r->transfer.active = false;
    raft__result(r, r->transfer.handle, status, 0);
}

void raft__transfer(struct raft *r, struct str id, uint64_t handle)
{
    enum raft_status status = raft__may_propose(r);
    char name[RAFT_ID_MAX] = { 0 };
    struct peer *p = NULL;
    if (status == RAFT_DONE) {
        if (raft__fits(id, sizeof name)) memcpy(name, id.p, id.n);
        p = id.n ? raft__peer(r, name) : raft__furthest_voter(r);
        if (!p || !p->voter) status = RAFT_INVALID;
    }
    if (!p || status != RAFT_DONE) {
        raft__result(r, handle, status, 0);
        return;
    }
    r->transfer = (struct transfer){
        .active = true, .handle = handle, .deadline_ms = r->now + r->o.election_timeout_ms
    };
    memcpy(r->transfer.id, p->id, sizeof p->id);
}

void raft__transfer_check(struct raft *r)
{
    if (!r->transfer.active) return;
    struct peer *p = raft__peer(r, r->transfer.id);
    if (r->now >= r->transfer.deadline_ms || !p) {
        raft__transfer_end(r, RAFT_TIMED_OUT);
        return;
    }
    /* What the target has need not be committed: whoever waits for it would hear that it is lost.
     * But a leader whose disk stores nothing cannot commit it. */
    bool late = r->now + r->o.election_timeout_ms / 2 >= r->transfer.deadline_ms;
    bool settled = r->commit_index == r->log.last || late;
    if (!r->transfer.rpc && p->match == r->log.last && settled) raft__send_timeout_now(r, p);
}
