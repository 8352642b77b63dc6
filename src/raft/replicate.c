/* SPDX-License-Identifier: Apache-2.0 */
/* Replication to one peer (raft.md 6.6): heartbeats on their own channel, and the log stream: one
 * request at a time until it succeeds, then a pipeline, or a snapshot where the log is gone. */
#include <stdlib.h>

#include "core.h"

struct peer *raft__peer(const struct raft *r, const char *id)
{
    for (size_t i = 0; id && i < r->peers_n; i++)
        if (strcmp(r->peers[i]->id, id) == 0) return r->peers[i];
    return NULL;
}

static void peer_add(struct raft *r, const struct raft_member *s)
{
    if (r->peers_n == sizeof r->peers / sizeof r->peers[0]) return;
    struct peer *p = xcalloc(1, sizeof *p);
    memcpy(p->id, s->id, sizeof p->id);
    p->next = r->log.last + 1;
    p->heartbeat_ms = r->now;
    p->contact_ms = r->now;
    r->peers[r->peers_n++] = p;
    r->had_peers = true;
}

/* Peers follow the latest configuration. A removed one is served until it knows of its removal. */
void raft__peers_update(struct raft *r)
{
    for (size_t i = 0; i < r->peers_n; i++) {
        struct peer *p = r->peers[i];
        if (raft_configuration_find(&r->latest, p->id)) continue;
        p->voter = false;
        if (p->leaving) continue;
        p->leaving = r->latest_index;
        p->leave_ms = r->now + 2 * (uint64_t)r->o.election_timeout_ms;
    }
    for (size_t i = 0; i < r->latest.n; i++) {
        const struct raft_member *s = &r->latest.servers[i];
        if (strcmp(s->id, r->id) == 0) continue;
        if (!raft__peer(r, s->id)) peer_add(r, s);
        struct peer *p = raft__peer(r, s->id);
        if (!p) continue;
        memcpy(p->address, s->address, sizeof p->address);
        p->voter = s->suffrage == RAFT_VOTER;
        p->leaving = 0;
    }
}

void raft__peers_free(struct raft *r)
{
    for (size_t i = 0; i < r->peers_n; i++)
        free(r->peers[i]);
    r->peers_n = 0;
}

static uint64_t backoff(const struct raft *r, uint32_t failures)
{
    uint32_t steps = failures > 12 ? 10 : failures > 2 ? failures - 2 : 0;
    uint64_t wait = 10ull << steps;
    /* Sooner than the original: a peer that is back must hear of us before it campaigns. */
    uint64_t most = r->o.heartbeat_timeout_ms / 2;
    return wait < most ? wait : most;
}

static void flight_push(struct peer *p, struct inflight f)
{
    ensure(p->flight_n < RAFT_PIPELINE_MAX);
    p->flight[(p->flight_head + p->flight_n++) % RAFT_PIPELINE_MAX] = f;
}

/* Answers may come in any order: later requests stay, earlier ones are answered too. */
static bool flight_take(struct peer *p, uint64_t rpc, struct inflight *out)
{
    for (size_t i = 0; i < p->flight_n; i++) {
        struct inflight *f = &p->flight[(p->flight_head + i) % RAFT_PIPELINE_MAX];
        if (f->rpc != rpc) continue;
        *out = *f;
        f->rpc = 0;
        while (p->flight_n && !p->flight[p->flight_head].rpc) {
            p->flight_head = (p->flight_head + 1) % RAFT_PIPELINE_MAX;
            p->flight_n--;
        }
        return true;
    }
    return false;
}

/* Back to one request at a time, from what the peer is known to hold. */
static void stream_failed(struct raft *r, struct peer *p)
{
    p->flight_n = 0;
    p->mode = PEER_PROBE;
    if (p->next > p->match + 1 && p->match) p->next = p->match + 1;
    p->failures++;
    p->retry_ms = r->now + backoff(r, p->failures);
}

static size_t batch_size(const struct raft *r, uint64_t from)
{
    size_t bytes = 0, n = 0;
    while (n < r->o.append_entries && from + n <= r->log.last) {
        const struct raft_entry *e = log_entry(&r->log, from + n);
        if (e) bytes += log_entry_size(e);
        if (n && bytes > RAFT_APPEND_BYTES_MAX) break;
        n++;
    }
    return n;
}

static void send_append(struct raft *r, struct peer *p)
{
    size_t n = batch_size(r, p->next);
    struct raft_message m = { .type = RAFT_APPEND_ENTRIES,
        .channel = p->mode == PEER_PIPELINE ? RAFT_CHANNEL_PIPELINE : RAFT_CHANNEL_PLAIN,
        .append_entries = { .prev_index = p->next - 1,
            .prev_term = log_term(&r->log, p->next - 1),
            .commit_index = r->commit_index,
            .n = n } };
    uint64_t rpc = raft__request(r, p->id, p->address, &m, 0);
    flight_push(p, (struct inflight){ rpc, p->next - 1 + n, r->now, r->round });
    p->sent_commit = r->commit_index;
    if (p->mode == PEER_PIPELINE) p->next += n;
}

static void send_snapshot(struct raft *r, struct peer *p)
{
    struct raft_message m = { .type = RAFT_INSTALL_SNAPSHOT,
        .install_snapshot = { .last_log_index = r->log.snapshot_index,
            .last_log_term = r->log.snapshot_term,
            .configuration_index = r->snapshot_configuration_index } };
    p->mode = PEER_SNAPSHOT;
    p->snapshots++;
    r->counters.snapshots_sent++;
    uint64_t rpc = raft__request(r, p->id, p->address, &m, 0);
    flight_push(p, (struct inflight){ rpc, r->log.snapshot_index, r->now, r->round });
}

static bool needs_snapshot(const struct raft *r, const struct peer *p)
{
    if (p->next < r->log.first) return true;
    return p->next > 1 && log_term(&r->log, p->next - 1) == 0;
}

static bool commit_due(const struct raft *r, const struct peer *p)
{
    return p->sent_commit < r->commit_index && r->now >= r->commit_ms;
}

void raft__replicate(struct raft *r, struct peer *p)
{
    if (r->installing.active) return;
    if (p->mode == PEER_PIPELINE) {
        while (p->flight_n < RAFT_PIPELINE_MAX && p->next <= r->log.last)
            send_append(r, p);
        if (p->flight_n == 0 && commit_due(r, p)) send_append(r, p);
        return;
    }
    if (p->flight_n || r->now < p->retry_ms) return;
    if (!needs_snapshot(r, p))
        send_append(r, p);
    else if (r->log.snapshot_index)
        send_snapshot(r, p);
}

void raft__announce_commit(struct raft *r, struct peer *p)
{
    if (p->mode == PEER_PIPELINE && p->flight_n < RAFT_PIPELINE_MAX &&
        p->sent_commit < r->commit_index)
        send_append(r, p);
}

void raft__heartbeat(struct raft *r, struct peer *p)
{
    struct raft_message m = { .type = RAFT_APPEND_ENTRIES,
        .channel = RAFT_CHANNEL_HEARTBEAT,
        .append_entries = { .heartbeat = true } };
    uint64_t rpc = raft__request(r, p->id, p->address, &m, 0);
    p->heartbeat = (struct inflight){ rpc, 0, r->now, r->round };
}

static void heartbeat_failed(struct raft *r, struct peer *p)
{
    p->heartbeat.rpc = 0;
    p->heartbeat_failures++;
    p->heartbeat_ms = r->now + backoff(r, p->heartbeat_failures);
}

static bool heartbeat_wanted(const struct raft *r, const struct peer *p)
{
    return r->verifies_n && p->round < r->round && p->heartbeat_failures == 0;
}

void raft__peer_timers(struct raft *r, struct peer *p)
{
    if (p->heartbeat.rpc && r->now - p->heartbeat.sent_ms >= r->o.heartbeat_timeout_ms)
        heartbeat_failed(r, p);
    if (!p->heartbeat.rpc && (r->now >= p->heartbeat_ms || heartbeat_wanted(r, p)))
        raft__heartbeat(r, p);
    bool stuck = p->flight_n && p->mode != PEER_SNAPSHOT &&
                 r->now - p->flight[p->flight_head].sent_ms >= r->o.rpc_timeout_ms;
    if (stuck) stream_failed(r, p);
}

uint64_t raft__peer_wake(const struct raft *r, const struct peer *p)
{
    uint64_t wake =
        p->heartbeat.rpc ? p->heartbeat.sent_ms + r->o.heartbeat_timeout_ms : p->heartbeat_ms;
    uint64_t at = RAFT_NEVER;
    if (p->flight_n && p->mode != PEER_SNAPSHOT)
        at = p->flight[p->flight_head].sent_ms + r->o.rpc_timeout_ms;
    else if (!p->flight_n && p->mode != PEER_PIPELINE && !r->installing.active)
        at = p->retry_ms;
    if (at < wake) wake = at;
    if (p->mode == PEER_PIPELINE && p->flight_n == 0 && p->sent_commit < r->commit_index &&
        r->commit_ms < wake)
        wake = r->commit_ms;
    if (p->leaving && p->leave_ms < wake) wake = p->leave_ms;
    return wake;
}

static void confirmed(struct raft *r, struct peer *p, const struct inflight *f)
{
    p->contact_ms = r->now;
    if (f->sent_ms > p->lease_ms) p->lease_ms = f->sent_ms;
    if (f->round > p->round) p->round = f->round;
}

static void on_heartbeat_response(struct raft *r, struct peer *p, const struct raft_message *m)
{
    struct inflight f = p->heartbeat;
    if (m->term != r->hard.term || !m->append_entries_response.success) {
        heartbeat_failed(r, p);
        p->contact_ms = r->now;
        return;
    }
    p->heartbeat.rpc = 0;
    p->heartbeat_failures = 0;
    p->heartbeat_ms = r->now + raft__random(r, r->o.heartbeat_timeout_ms / 10);
    if (p->failures && p->retry_ms > r->now) p->retry_ms = r->now; /* it is back */
    confirmed(r, p, &f);
}

static void on_refusal(struct raft *r, struct peer *p, const struct raft_message *m)
{
    const struct raft_append_entries_response *a = &m->append_entries_response;
    if (p->mode == PEER_PIPELINE || !a->no_retry_backoff) {
        bool pipeline = p->mode == PEER_PIPELINE;
        stream_failed(r, p);
        if (pipeline && a->no_retry_backoff) p->retry_ms = r->now;
        return;
    }
    uint64_t next = p->next - 1 < a->last_log + 1 ? p->next - 1 : a->last_log + 1;
    p->next = next > 1 ? next : 1;
}

static void on_success(struct peer *p, const struct inflight *f)
{
    p->failures = 0;
    p->retry_ms = 0;
    if (f->last > p->match) p->match = f->last;
    if (p->next <= p->match) p->next = p->match + 1;
    if (p->mode == PEER_PROBE) p->mode = PEER_PIPELINE;
}

void raft__on_append_response(struct raft *r, const struct raft_message *m)
{
    struct peer *p = r->role == RAFT_LEADER ? raft__peer(r, m->peer_id) : NULL;
    if (!p) return;
    if (m->rpc == p->heartbeat.rpc) {
        on_heartbeat_response(r, p, m);
        return;
    }
    struct inflight f;
    if (p->mode == PEER_SNAPSHOT || !flight_take(p, m->rpc, &f)) return;
    if (m->term == r->hard.term && m->append_entries_response.success) {
        confirmed(r, p, &f);
        on_success(p, &f);
        return;
    }
    if (m->term == r->hard.term) confirmed(r, p, &f);
    on_refusal(r, p, m);
}

void raft__on_snapshot_response(struct raft *r, const struct raft_message *m)
{
    struct peer *p = r->role == RAFT_LEADER ? raft__peer(r, m->peer_id) : NULL;
    struct inflight f;
    if (!p || p->mode != PEER_SNAPSHOT || !flight_take(p, m->rpc, &f)) return;
    p->mode = PEER_PROBE;
    p->contact_ms = r->now;
    if (m->install_snapshot_response.success) {
        on_success(p, &f);
        return;
    }
    stream_failed(r, p);
}

void raft__on_rpc_failed(struct raft *r, const char *id, uint64_t rpc, bool missing)
{
    struct peer *p = r->role == RAFT_LEADER ? raft__peer(r, id) : NULL;
    if (!p) return; /* votes and probes: nothing comes of them */
    if (rpc == p->heartbeat.rpc) {
        heartbeat_failed(r, p);
        return;
    }
    if (r->transfer.active && rpc == r->transfer.rpc) {
        raft__transfer_end(r, RAFT_TIMED_OUT);
        return;
    }
    struct inflight f;
    if (!flight_take(p, rpc, &f)) return;
    stream_failed(r, p);
    if (missing) p->next = 1; /* the log does not reach back: a snapshot */
}
