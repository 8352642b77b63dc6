/* SPDX-License-Identifier: Apache-2.0 */
/* What a leader does of itself: first entry, proposals, commitment, lease (raft.md 6.6). */
#include <stdlib.h>

#include "core.h"

void raft__append_own(struct raft *r, struct raft_entry *e)
{
    e->index = r->log.last + 1;
    e->term = r->hard.term;
    raft__append(r, e);
}

void raft__become_leader(struct raft *r)
{
    ensure(r->role == RAFT_CANDIDATE && r->peers_n == 0);
    r->role = RAFT_LEADER;
    r->counters.leaderships++;
    ensure(raft__name_set(&r->leader, name_str(&r->address)));
    r->last_contact_ms = r->now;
    r->transfer_vote = false;
    r->probing = false;
    r->term_start = r->log.last + 1;
    r->noop_ms = RAFT_NEVER;
    r->round = 1;
    r->lease_void = r->had_peers = false;
    struct raft_entry noop = { .type = RAFT_NOOP };
    raft__peers_update(r);
    raft__append_own(r, &noop);
}

void raft__leave_leadership(struct raft *r, enum raft_status status)
{
    raft__fail_handles(r, r->commit_index + 1, r->log.last, status);
    raft__verify_fail(r, status);
    raft__transfer_end(r, r->transfer.rpc ? RAFT_DONE : RAFT_LEADERSHIP_LOST);
    raft__peers_free(r);
    r->commit_known = r->commit_index;
}

enum raft_status raft__may_propose(const struct raft *r)
{
    if (r->role != RAFT_LEADER) return RAFT_NOT_LEADER;
    if (r->transfer.active) return RAFT_TRANSFERRING;
    if (r->installing.active) return RAFT_BUSY;
    uint64_t n = r->log.last - r->applied_index;
    if (n >= RAFT_UNCOMMITTED_MAX || r->log.bytes >= RAFT_UNCOMMITTED_BYTES_MAX) return RAFT_BUSY;
    /* Its removal is on the way: such a leader takes nothing new on. */
    if (!raft_configuration_is_voter(&r->latest, r->id)) return RAFT_NOT_LEADER;
    return RAFT_DONE;
}

void raft__propose(struct raft *r, const struct raft_proposal *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        enum raft_status status = raft__may_propose(r);
        bool own_kind =
            v[i].type == RAFT_COMMAND || v[i].type == RAFT_NOOP || v[i].type == RAFT_BARRIER;
        if (status == RAFT_DONE && !own_kind) status = RAFT_INVALID;
        if (status != RAFT_DONE) {
            r->counters.refused_busy += status == RAFT_BUSY;
            raft__result(r, v[i].handle, status, 0);
            continue;
        }
        struct raft_entry e = { .type = (uint8_t)v[i].type,
            .data = v[i].data,
            .extensions = v[i].extensions,
            .handle = v[i].handle };
        raft__append_own(r, &e);
    }
}

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The value that a quorum of voters has reached; `own` is this server's, if it is a voter. */
static uint64_t quorum_value(
    const struct raft *r, uint64_t own, uint64_t (*of)(const struct peer *p))
{
    uint64_t v[RAFT_SERVERS_MAX];
    size_t n = 0;
    if (raft_configuration_is_voter(&r->latest, r->id)) v[n++] = own;
    for (size_t i = 0; i < r->peers_n && n < RAFT_SERVERS_MAX; i++)
        if (r->peers[i]->voter) v[n++] = of(r->peers[i]);
    size_t quorum = raft__quorum(&r->latest);
    if (BROKEN(SMALL_QUORUM) && quorum > 1) quorum--;
    if (n < quorum) return 0;
    qsort(v, n, sizeof v[0], descending);
    return v[quorum - 1];
}

static uint64_t match_of(const struct peer *p)
{
    return p->match;
}
static uint64_t contact_of(const struct peer *p)
{
    return p->contact_ms;
}
static uint64_t lease_of(const struct peer *p)
{
    return p->lease_ms;
}
static uint64_t round_of(const struct peer *p)
{
    return p->round;
}

uint64_t raft__confirmed_round(const struct raft *r)
{
    return quorum_value(r, r->round, round_of);
}

static bool own_term(const struct raft *r, uint64_t index)
{
    return log_term(&r->log, index) == r->hard.term || BROKEN(COMMIT_OLD_TERM);
}

static void removed(struct raft *r)
{
    for (size_t i = 0; i < r->peers_n; i++)
        raft__announce_commit(r, r->peers[i]);
    struct peer *next = raft__furthest_voter(r);
    if (next && next->match == r->log.last) raft__send_timeout_now(r, next);
    raft__step_down(r, r->hard.term, RAFT_LEADERSHIP_LOST);
}

/* Nothing counts as committed that is not stored here too: so all that is applied is durable. */
static void advance_commit(struct raft *r)
{
    uint64_t own = BROKEN(COUNT_SELF_EARLY) ? r->log.last : r->log.durable;
    uint64_t to = quorum_value(r, own, match_of);
    if (to > own) to = own;
    if (to <= r->commit_index || !own_term(r, to)) return;
    r->commit_index = to;
    r->commit_ms = r->now + raft__random(r, r->o.commit_timeout_ms);
    raft__configuration_committed(r);
    bool voter = raft_configuration_is_voter(&r->committed, r->id);
    if (!voter && r->committed_index == r->latest_index) removed(r);
}

static void drop_left(struct raft *r)
{
    for (size_t i = r->peers_n; i-- > 0;) {
        struct peer *p = r->peers[i];
        bool knows = p->match >= p->leaving && p->sent_commit >= p->leaving && !p->flight_n;
        if (!p->leaving || (!knows && r->now < p->leave_ms)) continue;
        free(p);
        r->peers[i] = r->peers[--r->peers_n];
    }
}

static uint64_t lease_end(const struct raft *r)
{
    uint64_t contact = quorum_value(r, RAFT_NEVER - r->o.lease_timeout_ms, contact_of);
    return contact + r->o.lease_timeout_ms;
}

static bool lease_holds(const struct raft *r)
{
    return (r->installing.active && r->installing.restore) || r->now <= lease_end(r);
}

void raft__leader_timers(struct raft *r)
{
    if (!lease_holds(r)) {
        raft__step_down(r, r->hard.term, RAFT_LEADERSHIP_LOST);
        return;
    }
    if (r->now >= r->noop_ms) {
        r->noop_ms = RAFT_NEVER;
        struct raft_entry noop = { .type = RAFT_NOOP };
        if (r->log.last < r->term_start) raft__append_own(r, &noop);
    }
    raft__transfer_check(r);
    for (size_t i = 0; i < r->peers_n; i++)
        raft__peer_timers(r, r->peers[i]);
    drop_left(r);
}

void raft__leader_advance(struct raft *r)
{
    if (r->role != RAFT_LEADER) return;
    advance_commit(r);
    if (r->role != RAFT_LEADER) return;
    for (size_t i = 0; i < r->peers_n; i++)
        raft__replicate(r, r->peers[i]);
    raft__verify_check(r);
    raft__transfer_check(r);
}

uint64_t raft__leader_wake(const struct raft *r)
{
    uint64_t wake = r->noop_ms;
    uint64_t lease = lease_end(r);
    if (lease < RAFT_NEVER && lease + 1 < wake) wake = lease + 1;
    if (r->transfer.active && r->transfer.deadline_ms < wake) wake = r->transfer.deadline_ms;
    for (size_t i = 0; i < r->peers_n; i++) {
        uint64_t at = raft__peer_wake(r, r->peers[i]);
        if (at < wake) wake = at;
    }
    return wake;
}

bool raft_lease_valid(const struct raft *r, uint64_t now_ms)
{
    if (r->role != RAFT_LEADER || r->lease_void) return false;
    uint64_t now = now_ms > r->now ? now_ms : r->now;
    uint64_t sent = quorum_value(r, now, lease_of);
    return r->commit_index >= r->term_start && now - sent <= r->o.lease_timeout_ms;
}
