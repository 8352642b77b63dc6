/* SPDX-License-Identifier: Apache-2.0 */
/* What stable storage held, given before the first step (raft.md 5). */
#include "core.h"

void raft_load_hard_state(
    struct raft *r, uint64_t term, uint64_t vote_term, struct str vote_candidate)
{
    ensure(!r->started);
    r->hard = (struct hard_state){ .term = term, .vote_term = vote_term };
    /* Too long to be ours or any peer's: a vote was cast, for nobody who can ask again. */
    if (!raft__name_set(&r->hard.vote, vote_candidate)) r->hard.vote.n = 0;
    r->durable = r->hard;
}

void raft_load_snapshot(struct raft *r, uint64_t index, uint64_t term,
    const struct raft_configuration *configuration, uint64_t configuration_index)
{
    ensure(!r->started && r->log.last == 0);
    log_reset(&r->log, index, term);
    r->latest = r->committed = r->snapshot_configuration = *configuration;
    r->latest_index = r->committed_index = r->snapshot_configuration_index = configuration_index;
    r->commit_index = r->applied_index = index;
}

int raft_load_entry(struct raft *r, const struct raft_entry *e, struct error *err)
{
    struct log *l = &r->log;
    ensure(!r->started);
    if (e->index == 0 || e->term == 0)
        return error_set(err, ERR_DECODE, "raft log entry %llu has term %llu",
            (unsigned long long)e->index, (unsigned long long)e->term);
    if (r->reset_needed) return 0; /* behind an entry that the snapshot contradicts */
    bool fresh = r->loaded_last == 0;
    bool above_gap = e->index == l->snapshot_index + 1 && r->loaded_last < l->snapshot_index;
    if (!fresh && e->index != r->loaded_last + 1 && !above_gap)
        return error_set(err, ERR_DECODE, "raft log entry %llu follows entry %llu",
            (unsigned long long)e->index, (unsigned long long)r->loaded_last);
    if (fresh && e->index > l->snapshot_index + 1)
        return error_set(err, ERR_DECODE,
            "raft log begins at entry %llu but the snapshot ends at %llu",
            (unsigned long long)e->index, (unsigned long long)l->snapshot_index);
    r->loaded_last = e->index;
    if (e->index == l->snapshot_index && e->term != l->snapshot_term) {
        r->reset_needed = true;
        log_reset(l, l->snapshot_index, l->snapshot_term);
        return 0;
    }
    if (above_gap && l->first <= l->last) log_reset(l, l->snapshot_index, l->snapshot_term);
    log_note(l, e->index, e->term);
    if (e->index <= l->snapshot_index) return 0;
    if (e->type != RAFT_CONFIGURATION && e->type != RAFT_ADD_PEER && e->type != RAFT_REMOVE_PEER)
        return 0;
    struct raft_configuration c;
    int code = raft_configuration_decode(e->type, e->data, &c, err);
    if (code) return code;
    raft__configuration_appended(r, &c, e->index);
    return 0;
}

void raft_load_applied(struct raft *r, uint64_t index)
{
    ensure(!r->started);
    r->loaded_applied = index;
}

void raft__load_end(struct raft *r)
{
    struct log *l = &r->log;
    if (l->last < l->snapshot_index) log_reset(l, l->snapshot_index, l->snapshot_term);
    l->durable = l->last;
    uint64_t applied = r->loaded_applied < l->last ? r->loaded_applied : l->last;
    if (applied > r->applied_index) r->applied_index = r->commit_index = applied;
    r->commit_known = r->apply_to = r->commit_index;
    raft__configuration_committed(r);
    r->configuration_changed = false;
}
