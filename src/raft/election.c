/* SPDX-License-Identifier: Apache-2.0 */
/* Elections (raft.md 6.2-6.4). Two things keep a cut-off node from inflating the term, without a
 * message the protocol does not have: it asks its driver whether a majority can be reached before
 * it raises the term, and after a candidacy in which no majority took up its term it asks again in
 * that same term. */
#include "core.h"

#define LEADER_GONE_PART 10 /* of the heartbeat timeout */

bool raft__leader_known(const struct raft *r)
{
    if (r->role == RAFT_LEADER) return true;
    return r->leader.n && r->contact_known &&
           r->now - r->last_contact_ms < r->o.heartbeat_timeout_ms;
}

static bool self_voted(const struct raft *r)
{
    return r->hard.vote_term == r->hard.term &&
           str_eq(name_str(&r->hard.vote), name_str(&r->address));
}

static bool majority_adopted(const struct raft *r)
{
    size_t n = raft_configuration_is_voter(&r->latest, r->id);
    for (size_t i = 0; i < r->latest.n; i++)
        n += r->latest.servers[i].suffrage == RAFT_VOTER && r->ballots[i].adopted;
    return n >= raft__quorum(&r->latest);
}

void raft__campaign(struct raft *r, bool transfer)
{
    bool again = r->role == RAFT_CANDIDATE && !transfer && !r->transfer_vote && self_voted(r) &&
                 !majority_adopted(r);
    bool voter = raft_configuration_is_voter(&r->latest, r->id);
    r->role = RAFT_CANDIDATE;
    r->counters.candidacies++;
    r->probing = false;
    r->transfer_vote = transfer;
    r->leader.n = 0;
    if (!again) {
        uint64_t term = r->hard.term + 1;
        raft__set_hard_state(r, term, voter ? term : r->hard.vote_term,
            voter ? name_str(&r->address) : name_str(&r->hard.vote));
    }
    memset(r->ballots, 0, sizeof r->ballots);
    r->election_ms = r->now + raft__random(r, r->o.election_timeout_ms);
    for (size_t i = 0; i < r->latest.n; i++) {
        const struct raft_member *s = &r->latest.servers[i];
        if (s->suffrage != RAFT_VOTER || strcmp(s->id, r->id) == 0) continue;
        struct raft_message m = { .type = RAFT_REQUEST_VOTE,
            .request_vote = { .last_log_index = r->log.last,
                .last_log_term = log_last_term(&r->log),
                .leadership_transfer = transfer } };
        r->ballots[i].rpc = raft__request(r, s->id, s->address, &m, r->hard_seq);
    }
    raft__check_won(r);
}

static void probe(struct raft *r)
{
    r->probing = true;
    r->election_ms = r->now + raft__random(r, r->o.election_timeout_ms);
    for (size_t i = 0; i < r->latest.n; i++) {
        const struct raft_member *s = &r->latest.servers[i];
        r->ballots[i].rpc = 0;
        r->ballots[i].reached = strcmp(s->id, r->id) == 0;
        if (s->suffrage != RAFT_VOTER || r->ballots[i].reached) continue;
        struct raft_message m = { .type = RAFT_PROBE };
        r->ballots[i].rpc = raft__request(r, s->id, s->address, &m, 0);
    }
}

/* Due: election_ms is reached. */
void raft__election_timer(struct raft *r)
{
    if (r->role == RAFT_LEADER || r->now < r->election_ms) return;
    r->election_ms = r->now + raft__random(r, r->o.heartbeat_timeout_ms);
    if (r->installing.active) return;
    if (r->probing) r->cut_off = true;
    r->leader.n = 0;
    bool voter = raft_configuration_is_voter(&r->latest, r->id);
    bool settled = r->latest_index == r->committed_index;
    if (r->latest.n == 0 || (settled && !voter)) {
        r->role = RAFT_FOLLOWER;
        return;
    }
    if (raft__sole_voter(r))
        raft__campaign(r, false);
    else
        probe(r);
}

void raft__check_won(struct raft *r)
{
    if (r->role != RAFT_CANDIDATE || r->hard_seq > r->persisted_seq) return;
    size_t votes = raft_configuration_is_voter(&r->latest, r->id);
    for (size_t i = 0; i < r->latest.n; i++)
        votes += r->latest.servers[i].suffrage == RAFT_VOTER && r->ballots[i].granted;
    size_t quorum = raft__quorum(&r->latest);
    if (BROKEN(SMALL_QUORUM) && quorum > 1) quorum--;
    if (votes >= quorum) raft__become_leader(r);
}

static struct ballot *ballot_of(struct raft *r, const char *id, uint64_t rpc)
{
    for (size_t i = 0; id && i < r->latest.n; i++)
        if (r->ballots[i].rpc == rpc && strcmp(r->latest.servers[i].id, id) == 0)
            return &r->ballots[i];
    return NULL;
}

void raft__on_vote_response(struct raft *r, const struct raft_message *m)
{
    if (r->role != RAFT_CANDIDATE) return;
    struct ballot *b = ballot_of(r, m->peer_id, m->rpc);
    if (!b) return;
    b->rpc = 0;
    b->adopted = m->term == r->hard.term;
    b->granted = b->adopted && m->request_vote_response.granted;
    raft__check_won(r);
}

void raft__on_probe_response(struct raft *r, const struct raft_message *m)
{
    if (!r->probing) return;
    struct ballot *b = ballot_of(r, m->peer_id, m->rpc);
    if (!b) return;
    b->rpc = 0;
    b->reached = true;
    size_t reached = 0;
    for (size_t i = 0; i < r->latest.n; i++)
        reached += r->latest.servers[i].suffrage == RAFT_VOTER && r->ballots[i].reached;
    if (reached < raft__quorum(&r->latest)) return;
    if (!r->cut_off) {
        raft__campaign(r, false);
        return;
    }
    /* Reachable again: there may be a leader, and this is its chance to be heard first. */
    r->cut_off = r->probing = false;
    r->election_ms = r->now + raft__random(r, r->o.heartbeat_timeout_ms);
}

/* How many of the voters that are left go before this one. */
static uint64_t rank(const struct raft *r)
{
    uint64_t n = 0;
    for (size_t i = 0; i < r->latest.n; i++) {
        const struct raft_member *s = &r->latest.servers[i];
        bool left = s->suffrage == RAFT_VOTER && !str_is(name_str(&r->leader), s->address);
        n += left && strcmp(s->id, r->id) < 0;
    }
    return n;
}

/* Nobody needs to wait for a process that is no more. All followers see it at once: what they wait
 * keeps them apart. */
void raft__leader_gone(struct raft *r, struct str address)
{
    if (r->role != RAFT_FOLLOWER || !r->leader.n || !str_eq(name_str(&r->leader), address)) return;
    uint64_t part = r->o.heartbeat_timeout_ms / LEADER_GONE_PART;
    uint64_t soon = r->now + rank(r) * 3 * part + raft__random(r, part / 2);
    r->leader.n = 0;
    if (soon < r->election_ms) r->election_ms = soon;
}

static bool candidate_up_to_date(const struct raft *r, const struct raft_request_vote *v)
{
    uint64_t last_term = log_last_term(&r->log);
    if (BROKEN(VOTE_STALE_LOG)) return true;
    if (last_term != v->last_log_term) return v->last_log_term > last_term;
    return v->last_log_index >= r->log.last;
}

/* The order of the tests is the protocol's: a vote refused for a known leader leaves the term. */
void raft__on_request_vote(struct raft *r, const struct raft_message *m)
{
    const struct raft_request_vote *v = &m->request_vote;
    struct raft_message reply = { .type = RAFT_REQUEST_VOTE_RESPONSE };
    const struct name *leader = r->role == RAFT_LEADER ? &r->address : &r->leader;
    bool usable = raft__fits(v->candidate, RAFT_ADDRESS_MAX);
    bool known = raft__leader_known(r) && !str_eq(name_str(leader), v->candidate);
    if (usable && !(known && !v->leadership_transfer) && m->term >= r->hard.term) {
        if (m->term > r->hard.term) raft__step_down(r, m->term, RAFT_LEADERSHIP_LOST);
        bool voted = r->hard.vote_term == m->term && !BROKEN(VOTE_TWICE);
        bool grant =
            voted ? str_eq(name_str(&r->hard.vote), v->candidate) : candidate_up_to_date(r, v);
        if (grant) {
            if (!voted) raft__set_hard_state(r, m->term, m->term, v->candidate);
            if (r->role == RAFT_FOLLOWER) raft__contact(r);
            reply.request_vote_response.granted = true;
        }
    }
    raft__reply(r, m->rpc, &reply, r->hard_seq);
}

void raft__on_timeout_now(struct raft *r, const struct raft_message *m)
{
    struct raft_message reply = { .type = RAFT_TIMEOUT_NOW_RESPONSE };
    raft__reply(r, m->rpc, &reply, 0);
    if (r->installing.active || r->latest.n == 0) return;
    if (r->role == RAFT_LEADER) raft__step_down(r, r->hard.term, RAFT_LEADERSHIP_LOST);
    raft__campaign(r, true);
}
