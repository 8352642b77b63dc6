/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: taken here, installed from a leader, restored from an archive (raft.md 6.11-6.13). */
#include "core.h"

static void install_reply(struct raft *r, uint64_t rpc, bool success)
{
    struct raft_message reply = { .type = RAFT_INSTALL_SNAPSHOT_RESPONSE,
        .install_snapshot_response = { .success = success } };
    raft__reply(r, rpc, &reply, 0);
}

void raft__on_install_snapshot(struct raft *r, const struct raft_message *m)
{
    const struct raft_install_snapshot *s = &m->install_snapshot;
    bool usable = raft__fits(s->leader, RAFT_ADDRESS_MAX) && s->configuration &&
                  s->last_log_index && s->last_log_term && s->last_log_term <= m->term &&
                  s->configuration_index <= s->last_log_index;
    bool stale = m->term < r->hard.term || (m->term == r->hard.term && r->role == RAFT_LEADER);
    if (!usable || stale) {
        install_reply(r, m->rpc, false);
        return;
    }
    if (m->term > r->hard.term || r->role != RAFT_FOLLOWER)
        raft__step_down(r, m->term, RAFT_LEADERSHIP_LOST);
    ensure(raft__name_set(&r->leader, s->leader));
    raft__contact(r);
    /* What is committed here the snapshot can only repeat. */
    bool known = s->last_log_index <= r->commit_index;
    if (known || r->installing.active) {
        install_reply(r, m->rpc, known);
        return;
    }
    r->installing = (struct installing){ .active = true,
        .rpc = m->rpc,
        .index = s->last_log_index,
        .term = s->last_log_term,
        .configuration = *s->configuration,
        .configuration_index = s->configuration_index };
    r->install_now = true;
}

static void adopt_snapshot(struct raft *r, enum raft_status status)
{
    const struct installing *in = &r->installing;
    bool keep = in->index <= r->log.last && log_term(&r->log, in->index) == in->term;
    if (keep) {
        raft__fail_handles(r, r->applied_index + 1, in->index, status);
        r->log.snapshot_index = in->index;
        r->log.snapshot_term = in->term;
        if (r->log.durable < in->index) r->log.durable = in->index;
    } else {
        raft__reset_log(r, in->index, in->term, status);
    }
    r->committed = r->snapshot_configuration = in->configuration;
    r->committed_index = r->snapshot_configuration_index = in->configuration_index;
    if (!keep || r->latest_index <= in->index) {
        r->latest = in->configuration;
        r->latest_index = in->configuration_index;
    }
    r->configuration_changed = true;
    if (r->commit_index < in->index) r->commit_index = in->index;
    if (r->commit_known < in->index) r->commit_known = in->index;
    if (r->applied_index < in->index) r->applied_index = in->index;
}

static void restored(struct raft *r, bool failed)
{
    uint64_t handle = r->installing.handle;
    if (failed) {
        raft__result(r, handle, RAFT_FAILED, 0);
        return;
    }
    adopt_snapshot(r, RAFT_RESTORED);
    raft__result(r, handle, RAFT_DONE, r->installing.index);
    if (r->role != RAFT_LEADER) return;
    for (size_t i = 0; i < r->peers_n; i++) {
        struct peer *p = r->peers[i];
        p->flight_n = 0;
        p->match = 0;
        p->next = r->log.last + 1;
        p->mode = PEER_PROBE;
    }
    r->term_start = r->log.last + 1;
    struct raft_entry noop = { .type = RAFT_NOOP };
    raft__append_own(r, &noop);
}

void raft__snapshot_installed(struct raft *r, bool failed)
{
    if (!r->installing.active) return;
    if (r->installing.restore) {
        restored(r, failed);
    } else {
        if (!failed) adopt_snapshot(r, RAFT_LEADERSHIP_LOST);
        install_reply(r, r->installing.rpc, !failed);
        if (r->role == RAFT_FOLLOWER && r->leader.n) raft__contact(r);
    }
    r->installing.active = false;
}

void raft__snapshot_taken(struct raft *r, uint64_t index, uint64_t term, uint64_t trailing)
{
    bool covered = r->committed_index <= index && index <= r->applied_index;
    if (index <= r->log.snapshot_index || !covered || r->installing.active) return;
    r->log.snapshot_index = index;
    r->log.snapshot_term = term;
    r->snapshot_configuration = r->committed;
    r->snapshot_configuration_index = r->committed_index;
    uint64_t upto = r->log.last > trailing ? r->log.last - trailing : 0;
    if (upto > index) upto = index;
    bool unwritten = r->reset_needed || r->reset_seq > r->persisted_seq;
    if (upto < r->log.first || unwritten) return;
    log_compact(&r->log, upto);
    r->compact_to = upto;
}

void raft__restore(struct raft *r, uint64_t archive_index, uint64_t handle)
{
    enum raft_status status = raft__may_propose(r);
    bool settled = r->latest_index == r->committed_index && r->commit_index >= r->term_start;
    if (status == RAFT_DONE && !settled) status = RAFT_CHANGE_IN_PROGRESS;
    if (status != RAFT_DONE) {
        raft__result(r, handle, status, 0);
        return;
    }
    uint64_t last = r->log.last > archive_index ? r->log.last : archive_index;
    r->installing = (struct installing){ .active = true,
        .restore = true,
        .handle = handle,
        .index = last + 1,
        .term = r->hard.term,
        .configuration = r->latest,
        .configuration_index = r->latest_index };
    r->install_now = true;
}
