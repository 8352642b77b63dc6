/* SPDX-License-Identifier: Apache-2.0 */
/* Elections (raft.md 6.2-6.4). Three things keep a node that hears no leader from disturbing those
 * that do, without a message the protocol does not have: it asks its driver whether a majority can
 * be reached; it asks for votes in the next term but votes for itself, and thereby enters the term,
 * only once that makes a majority; and a candidacy that no majority took up is repeated in its
 * term. What it claims of its log when it asks is durable: servers that voted for it once in a term
 * do so again without looking. */
#include "core.h"

#define PART 10    /* of the heartbeat timeout: what followers are kept apart by */
#define RANK_MAX 4 /* more do not wait longer */

bool raft__leader_known(const struct raft *r)
{
    if (r->role == RAFT_LEADER) return true;
    return r->leader.n && r->contact_known &&
           r->now - r->last_contact_ms < r->o.heartbeat_timeout_ms;
}

static bool majority_adopted(const struct raft *r)
{
    size_t n = raft_configuration_is_voter(&r->latest, r->id);
    for (size_t i = 0; i < r->latest.n; i++)
        n += r->latest.servers[i].suffrage == RAFT_VOTER && r->ballots[i].adopted;
    return n >= raft__quorum(&r->latest);
}

/* The candidacy's term, with a vote for itself. */
static void enter(struct raft *r)
{
    bool voter = raft_configuration_is_voter(&r->latest, r->id);
    raft__set_hard_state(r, r->candidacy, voter ? r->candidacy : r->hard.vote_term,
        voter ? name_str(&r->address) : name_str(&r->hard.vote));
}

/* All voters that this has not asked yet, or that still heard a leader when it did. */
static void ask(struct raft *r)
{
    r->ask_ms = RAFT_NEVER;
    for (size_t i = 0; i < r->latest.n; i++) {
        const struct raft_member *s = &r->latest.servers[i];
        struct ballot *b = &r->ballots[i];
        if (s->suffrage != RAFT_VOTER || strcmp(s->id, r->id) == 0) continue;
        if (b->asked && !b->hears_leader) continue;
        struct raft_message m = { .type = RAFT_REQUEST_VOTE,
            .request_vote = { .last_log_index = r->log.last,
                .last_log_term = log_last_term(&r->log),
                .leadership_transfer = r->transfer_vote } };
        *b = (struct ballot){ .asked = true };
        b->rpc = raft__request(r, s->id, s->address, &m, BROKEN(CLAIM_EARLY) ? 0 : r->log_seq);
    }
}

void raft__campaign(struct raft *r, bool transfer)
{
    bool open = r->role == RAFT_CANDIDATE && r->candidacy > r->hard.term && !r->transfer_vote;
    bool again = open && !transfer && !majority_adopted(r);
    if (!again) r->candidacy = (open ? r->candidacy : r->hard.term) + 1;
    r->role = RAFT_CANDIDATE;
    r->counters.candidacies++;
    r->probing = false;
    r->transfer_vote = transfer;
    r->leader.n = 0;
    memset(r->ballots, 0, sizeof r->ballots);
    r->election_ms = r->now + raft__random(r, r->o.election_timeout_ms);
    /* Nobody has a reason to refuse: no need to wait for the others first. */
    if (transfer) enter(r);
    ask(r);
    raft__check_won(r);
}

static void probe(struct raft *r)
{
    r->probing = true;
    r->ask_ms = RAFT_NEVER;
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
    if (r->role == RAFT_LEADER) return;
    if (r->now < r->election_ms) {
        if (r->role == RAFT_CANDIDATE && r->now >= r->ask_ms) ask(r);
        return;
    }
    r->election_ms = r->now + raft__random(r, r->o.heartbeat_timeout_ms);
    if (r->installing.active) return;
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

/* The own vote comes last, when it decides. */
void raft__check_won(struct raft *r)
{
    if (r->role != RAFT_CANDIDATE) return;
    size_t votes = raft_configuration_is_voter(&r->latest, r->id);
    for (size_t i = 0; i < r->latest.n; i++)
        votes += r->latest.servers[i].suffrage == RAFT_VOTER && r->ballots[i].granted;
    size_t quorum = raft__quorum(&r->latest);
    if (BROKEN(SMALL_QUORUM) && quorum > 1) quorum--;
    if (votes < quorum) return;
    if (r->hard.term < r->candidacy) enter(r);
    if (r->hard_seq <= r->persisted_seq) raft__become_leader(r);
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
    b->adopted = m->term == r->candidacy;
    b->granted = b->adopted && m->request_vote_response.granted;
    b->hears_leader = m->term < r->candidacy;
    if (b->hears_leader && r->ask_ms == RAFT_NEVER)
        r->ask_ms = r->now + r->o.heartbeat_timeout_ms / PART;
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
    if (reached >= raft__quorum(&r->latest)) raft__campaign(r, false);
}

/* What follower after follower waits, in the order of their ids, so that they do not all move at
 * once. */
static uint64_t turn(struct raft *r)
{
    uint64_t n = 0, part = r->o.heartbeat_timeout_ms / PART;
    for (size_t i = 0; i < r->latest.n; i++) {
        const struct raft_member *s = &r->latest.servers[i];
        bool left = s->suffrage == RAFT_VOTER && !str_is(name_str(&r->leader), s->address);
        n += left && strcmp(s->id, r->id) < 0;
    }
    return (n < RANK_MAX ? n : RANK_MAX) * 2 * part + raft__random(r, part / 2);
}

void raft__contact(struct raft *r)
{
    r->last_contact_ms = r->now;
    r->contact_known = true;
    r->probing = false;
    r->election_ms = r->now + r->o.heartbeat_timeout_ms + turn(r);
}

/* Nobody needs to wait for a process that is no more. */
void raft__leader_gone(struct raft *r, struct str address)
{
    if (r->role != RAFT_FOLLOWER || !r->leader.n || !str_eq(name_str(&r->leader), address)) return;
    uint64_t soon = r->now + turn(r);
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

/* Both asked each other before either heard it, with equal claims: the lower address goes on. */
static bool crossed(const struct raft *r, const struct raft_message *m)
{
    const struct raft_request_vote *v = &m->request_vote;
    bool same = r->role == RAFT_CANDIDATE && r->hard.term < r->candidacy &&
                m->term == r->candidacy && v->last_log_index == r->log.last &&
                v->last_log_term == log_last_term(&r->log) && !v->leadership_transfer;
    if (!same || str_cmp(name_str(&r->address), v->candidate) > 0) return false;
    for (size_t i = 0; i < r->latest.n; i++)
        if (str_is(v->candidate, r->latest.servers[i].address)) return r->ballots[i].rpc != 0;
    return false;
}

/* The order of the tests is the protocol's: a vote refused for a known leader leaves the term. */
void raft__on_request_vote(struct raft *r, const struct raft_message *m)
{
    const struct raft_request_vote *v = &m->request_vote;
    struct raft_message reply = { .type = RAFT_REQUEST_VOTE_RESPONSE };
    const struct name *leader = r->role == RAFT_LEADER ? &r->address : &r->leader;
    bool candidate = r->role == RAFT_CANDIDATE;
    bool usable = raft__fits(v->candidate, RAFT_ADDRESS_MAX);
    bool known = raft__leader_known(r) && !str_eq(name_str(leader), v->candidate);
    if (crossed(r, m)) usable = false;
    if (usable && !(known && !v->leadership_transfer) && m->term >= r->hard.term) {
        if (m->term > r->hard.term) raft__step_down(r, m->term, RAFT_LEADERSHIP_LOST);
        bool voted = r->hard.vote_term == m->term && !BROKEN(VOTE_TWICE);
        bool grant =
            voted ? str_eq(name_str(&r->hard.vote), v->candidate) : candidate_up_to_date(r, v);
        if (grant) {
            if (!voted) raft__set_hard_state(r, m->term, m->term, v->candidate);
            if (r->role == RAFT_FOLLOWER) raft__contact(r);
            reply.request_vote_response.granted = true;
        } else if (candidate && r->role == RAFT_FOLLOWER) {
            r->election_ms = r->now + turn(r); /* its own log is the better one */
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
