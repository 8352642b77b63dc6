/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold at every step, whatever happened:
 *   election safety          one leader per term
 *   one vote                 a node votes for one candidate per term, restarts included
 *   log matching             equal index and term: equal entry and equal predecessor
 *   configuration            the one in force is in the log or the snapshot, or is committed
 *   commit rule              a leader counts votes for entries of its own term only
 *   leader completeness      a leader has every entry committed in an earlier term
 *   state machine safety     every node applies the same entry at an index
 *   nothing lost             a commit never changes; what was acknowledged stays
 *   acknowledged is durable  terms, votes and entries are stored before a message says so; a
 *                            commit is stored by a quorum and by the leader
 *   monotonic                commit per life; terms, once told to others, over restarts too */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

struct seen_entry {
    uint64_t index, term, hash, prev_term;
    bool lost; /* with a failed write, before anyone else had it */
};

struct seen_vote {
    int node;
    uint64_t term;
    char candidate[RAFT_ADDRESS_MAX];
};

void sim_fail(struct sim *s, const char *fmt, ...)
{
    if (s->failed) return;
    s->failed = true;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->failure, sizeof s->failure, fmt, ap);
    va_end(ap);
}

static unsigned long long ull(uint64_t v)
{
    return v;
}

/* --- log matching --------------------------------------------------------------------------- */

static struct seen_entry *seen_slot(struct sim *s, uint64_t index, uint64_t term)
{
    size_t i = (size_t)((index * 0x9E3779B97F4A7C15ull) ^ (term * 0xBF58476D1CE4E5B9ull));
    for (i &= s->seen_cap - 1;; i = (i + 1) & (s->seen_cap - 1)) {
        struct seen_entry *e = &s->seen[i];
        if (!e->index || (e->index == index && e->term == term)) return e;
    }
}

static void seen_grow(struct sim *s)
{
    if (s->seen_n * 2 < s->seen_cap) return;
    struct seen_entry *old = s->seen;
    size_t cap = s->seen_cap;
    s->seen_cap = cap ? cap * 2 : 4096;
    s->seen = xcalloc(s->seen_cap, sizeof *s->seen);
    for (size_t i = 0; i < cap; i++)
        if (old[i].index) *seen_slot(s, old[i].index, old[i].term) = old[i];
    free(old);
}

void invariant_appended(struct sim *s, const struct raft_entry *e, uint64_t prev_term)
{
    seen_grow(s);
    struct seen_entry *k = seen_slot(s, e->index, e->term);
    uint64_t hash = entry_hash(e);
    if (!k->index || k->lost) {
        s->seen_n += !k->index;
        *k = (struct seen_entry){ e->index, e->term, hash, prev_term, false };
        return;
    }
    if (k->hash != hash || k->prev_term != prev_term)
        sim_fail(s, "log matching: two entries with index %llu and term %llu", ull(e->index),
            ull(e->term));
}

void invariant_lost(struct sim *s, uint64_t from, uint64_t to, uint64_t term)
{
    for (uint64_t i = from; i <= to; i++)
        seen_slot(s, i, term)->lost = true;
}

/* --- messages ------------------------------------------------------------------------------- */

static void vote(struct sim *s, int node, uint64_t term, struct str candidate)
{
    for (size_t i = 0; i < s->votes_n; i++) {
        struct seen_vote *v = &s->votes[i];
        if (v->node != node || v->term != term) continue;
        if (!str_is(candidate, v->candidate))
            sim_fail(s, "one vote: node %d voted for %s and %.*s in term %llu", node, v->candidate,
                STR_ARG(candidate), ull(term));
        return;
    }
    if (s->votes_n == s->votes_cap) {
        s->votes_cap = s->votes_cap ? s->votes_cap * 2 : 64;
        s->votes = xrealloc(s->votes, s->votes_cap * sizeof *s->votes);
    }
    struct seen_vote *v = &s->votes[s->votes_n++];
    *v = (struct seen_vote){ .node = node, .term = term };
    memcpy(v->candidate, candidate.p, candidate.n);
}

static void vote_sent(struct sim *s, int node, const struct raft_message *m)
{
    const struct disk *d = &s->nodes[node].disk;
    struct str candidate = s->calls[m->rpc - 1]->m.request_vote.candidate;
    vote(s, node, m->term, candidate);
    if (d->term == m->term && (d->vote_term != m->term || !str_is(candidate, d->vote)))
        sim_fail(s, "acknowledged is durable: node %d sends a vote it has not stored", node);
}

static void success_sent(struct sim *s, int node, const struct raft_message *m)
{
    const struct disk *d = &s->nodes[node].disk;
    const struct raft_message *request = &s->calls[m->rpc - 1]->m;
    const struct raft_append_entries *a = &request->append_entries;
    if (d->term > request->term) return; /* a later leader may have replaced them since */
    for (size_t i = 0; i < a->n; i++) {
        const struct raft_entry *e = &a->entries[i];
        if (e->index > d->snapshot.index && disk_term(d, e->index) != e->term)
            sim_fail(s, "acknowledged is durable: node %d confirms entry %llu unstored", node,
                ull(e->index));
    }
}

/* It may ask in a term that it does not enter. */
static void vote_asked(struct sim *s, int node, const struct raft_message *m)
{
    const struct disk *d = &s->nodes[node].disk;
    uint64_t last = m->request_vote.last_log_index;
    if (last > d->snapshot.index && disk_term(d, last) != m->request_vote.last_log_term)
        sim_fail(s, "acknowledged is durable: node %d claims entry %llu unstored", node, ull(last));
}

void invariant_sent(struct sim *s, int node, const struct raft_message *m)
{
    struct node *n = &s->nodes[node];
    if (m->type == RAFT_REQUEST_VOTE) {
        vote_asked(s, node, m);
        return;
    }
    if (m->type == RAFT_TIMEOUT_NOW || m->type == RAFT_TIMEOUT_NOW_RESPONSE ||
        m->type == RAFT_PROBE)
        return;
    if (m->term > n->disk.term)
        sim_fail(s, "acknowledged is durable: node %d sends term %llu, stored is %llu", node,
            ull(m->term), ull(n->disk.term));
    if (m->term > n->term_sent) n->term_sent = m->term;
    if (m->type == RAFT_REQUEST_VOTE_RESPONSE && m->request_vote_response.granted)
        vote_sent(s, node, m);
    if (m->type == RAFT_APPEND_ENTRIES_RESPONSE && m->append_entries_response.success)
        success_sent(s, node, m);
}

/* --- leaders and commitment ----------------------------------------------------------------- */

static void leader_elected(struct sim *s, int node, const struct raft_state *st)
{
    struct node *n = &s->nodes[node];
    s->leaders++;
    if (st->term >= sizeof s->leader_of / sizeof s->leader_of[0]) {
        sim_fail(s, "term %llu: elections run away", ull(st->term));
        return;
    }
    int *leader = &s->leader_of[st->term];
    if (*leader && *leader != node + 1)
        sim_fail(s, "election safety: nodes %d and %d lead in term %llu", *leader - 1, node,
            ull(st->term));
    *leader = node + 1;
    if (n->disk.vote_term == st->term) vote(s, node, st->term, str_of(n->disk.vote));
    for (uint64_t i = st->snapshot_index + 1; i <= s->committed_n; i++) {
        const struct committed *c = &s->committed[i];
        if (c->by_term < st->term && raft_term_at(n->raft, i) != c->term)
            sim_fail(s, "leader completeness: leader %d of term %llu lacks entry %llu", node,
                ull(st->term), ull(i));
    }
}

static void commit_one(struct sim *s, int node, uint64_t index, const struct raft_state *st)
{
    struct node *n = &s->nodes[node];
    const struct raft_entry *e = raft_entry_at(n->raft, index);
    if (!e) e = disk_entry(&n->disk, index);
    if (!e) {
        sim_fail(s, "node %d commits entry %llu that it does not have", node, ull(index));
        return;
    }
    uint64_t hash = entry_hash(e);
    if (index <= s->committed_n) {
        if (s->committed[index].term != e->term || s->committed[index].hash != hash)
            sim_fail(s, "nothing lost: node %d commits another entry %llu", node, ull(index));
        return;
    }
    if (index + 1 >= s->committed_cap) {
        s->committed_cap = s->committed_cap ? s->committed_cap * 2 : 1024;
        s->committed = xrealloc(s->committed, s->committed_cap * sizeof *s->committed);
        if (!s->committed_n) s->committed[0] = (struct committed){ 0 };
    }
    s->committed[index] = (struct committed){ .term = e->term,
        .hash = hash,
        .chain = chain_next(s->committed[index - 1].chain, e->term, hash),
        .by_term = st->term };
    s->committed_n = index;
}

static bool stored(const struct node *n, uint64_t index, uint64_t term)
{
    return n->disk.snapshot.index >= index || disk_term(&n->disk, index) == term;
}

static void commit_stored(struct sim *s, int node, const struct raft_state *st)
{
    size_t voters = 0, have = 0;
    uint64_t term = raft_term_at(s->nodes[node].raft, st->commit_index);
    for (size_t i = 0; i < st->latest->n; i++) {
        if (st->latest->servers[i].suffrage != RAFT_VOTER) continue;
        voters++;
        for (int k = 0; k < s->nodes_n; k++)
            if (!strcmp(s->nodes[k].id, st->latest->servers[i].id))
                have += stored(&s->nodes[k], st->commit_index, term);
    }
    if (term != st->term)
        sim_fail(s, "commit rule: leader %d of term %llu commits %llu of term %llu", node,
            ull(st->term), ull(st->commit_index), ull(term));
    if (have < voters / 2 + 1 || !stored(&s->nodes[node], st->commit_index, term))
        sim_fail(s, "acknowledged is durable: leader %d commits %llu stored by %zu of %zu", node,
            ull(st->commit_index), have, voters);
}

void invariant_step(struct sim *s, int node, const struct raft_output *out)
{
    struct node *n = &s->nodes[node];
    struct raft_state st;
    raft_get_state(n->raft, &st);
    if (st.term < n->term_sent)
        sim_fail(s, "monotonic: node %d is back in term %llu", node, ull(st.term));
    if (st.commit_index < n->commit_seen)
        sim_fail(s, "monotonic: node %d takes its commit back to %llu", node, ull(st.commit_index));
    if (st.latest_index > st.last_index && st.latest_index != st.committed_index)
        sim_fail(s, "node %d follows configuration %llu but its log ends at %llu", node,
            ull(st.latest_index), ull(st.last_index));
    if (st.role == RAFT_LEADER && (n->role_seen != RAFT_LEADER || n->term_seen != st.term))
        leader_elected(s, node, &st);
    bool moved = st.role != n->role_seen || st.term != n->term_seen;
    if (moved || out->messages_n || out->write.seq || out->results_n)
        sim_trace(s, node, "%s term %llu log %llu..%llu durable %llu commit %llu: %zu messages%s",
            st.role == RAFT_LEADER      ? "leader"
            : st.role == RAFT_CANDIDATE ? "candidate"
                                        : "follower",
            ull(st.term), ull(st.first_index), ull(st.last_index), ull(st.durable_index),
            ull(st.commit_index), out->messages_n, out->write.seq ? ", write" : "");
    if (moved && s->on_state) s->on_state(s, node, &st);
    n->role_seen = st.role;
    n->term_seen = st.term;
    uint64_t from = n->commit_seen > st.snapshot_index ? n->commit_seen : st.snapshot_index;
    for (uint64_t i = from + 1; i <= st.commit_index && !s->failed; i++)
        commit_one(s, node, i, &st);
    if (st.commit_index > n->commit_seen && st.role == RAFT_LEADER && !s->failed)
        commit_stored(s, node, &st);
    n->commit_seen = st.commit_index;
}

void invariant_applied(struct sim *s, int node, const struct raft_entry *e)
{
    struct node *n = &s->nodes[node];
    if (e->index > s->committed_n || s->committed[e->index].chain != n->chain ||
        s->committed[e->index].term != e->term)
        sim_fail(
            s, "state machine safety: node %d applies another entry %llu", node, ull(e->index));
    if (!stored(n, e->index, e->term))
        sim_fail(
            s, "acknowledged is durable: node %d applies entry %llu unstored", node, ull(e->index));
}

void invariant_acked(struct sim *s, int node, uint64_t index)
{
    if (index > s->committed_n)
        sim_fail(s, "node %d acknowledges entry %llu before commitment", node, ull(index));
}

void invariant_restarted(struct sim *s, int node)
{
    struct node *n = &s->nodes[node];
    if (n->disk.term < n->term_sent)
        sim_fail(s, "monotonic: node %d restarts in term %llu after %llu", node, ull(n->disk.term),
            ull(n->term_sent));
    n->commit_seen = n->applied;
    n->role_seen = RAFT_FOLLOWER;
    n->term_seen = n->disk.term;
}

/* --- liveness ------------------------------------------------------------------------------- */

static int node_by_id(const struct sim *s, const char *id)
{
    for (int i = 0; i < s->nodes_n; i++)
        if (!strcmp(s->nodes[i].id, id)) return i;
    return -1;
}

bool converged(struct sim *s, char *why, size_t n)
{
    int leader = -1;
    struct raft_state st = { 0 }, other;
    for (int i = 0; i < s->nodes_n; i++) {
        if (!s->nodes[i].alive) continue;
        raft_get_state(s->nodes[i].raft, &other);
        if (other.role != RAFT_LEADER || (leader >= 0 && other.term < st.term)) continue;
        leader = i;
        st = other;
    }
    if (leader < 0) return snprintf(why, n, "no leader"), false;
    if (st.committed_index != st.latest_index)
        return snprintf(why, n, "configuration change pending"), false;
    if (st.applied_index != st.last_index || s->acked_index > st.applied_index)
        return snprintf(why, n, "leader %d has entries not applied", leader), false;
    for (size_t i = 0; i < st.latest->n; i++) {
        int k = node_by_id(s, st.latest->servers[i].id);
        const struct node *m = &s->nodes[k];
        if (!m->alive || m->applied != s->nodes[leader].applied ||
            m->chain != s->nodes[leader].chain)
            return snprintf(why, n, "node %d is at %llu, leader %d at %llu", k, ull(m->applied),
                       leader, ull(st.applied_index)),
                   false;
    }
    for (size_t i = 0; i < s->clients_n; i++) {
        const struct client *c = &s->clients[i];
        if (!c->answers && s->nodes[c->node].life == c->life)
            return snprintf(why, n, "request %zu at node %d has no answer", i + 1, c->node), false;
    }
    return true;
}
