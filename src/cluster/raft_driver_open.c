/* SPDX-License-Identifier: Apache-2.0 */
/* From what the disk holds to a core that is ready to start. */
#include "raft_driver.h"

typedef unsigned long long ull;

bool driver_configuration_of_meta(const struct snapshot_meta *meta, struct raft_configuration *out)
{
    out->n = 0;
    for (size_t i = 0; i < meta->configuration.servers.n; i++) {
        const struct snapshot_server *s =
            &LIST_AT(&meta->configuration.servers, struct snapshot_server, i);
        enum raft_suffrage suffrage = s->suffrage == 0   ? RAFT_VOTER
                                      : s->suffrage == 1 ? RAFT_NONVOTER
                                                         : RAFT_STAGING;
        if (!raft_configuration_add(out, s->id, s->address, suffrage)) return false;
    }
    return true;
}

/* The state is rebuilt from the newest snapshot when it lacks what the snapshot holds. */
int driver_restore_state(
    struct raft_driver *d, const struct snapshot_meta *meta, struct arena *a, struct error *err)
{
    struct shared_body *state;
    if (driver_applied(d) >= meta->index) return 0;
    int code = snapshot_file_open(d->snapshots, meta, &state, err);
    if (code) return code;
    code = snapshot_restore(d->store, state, meta->index, meta->term, err);
    shared_body_unref(state);
    if (!code) log_info(SUBSYSTEM, "restored the state from a snapshot", "id", str_c(a, meta->id));
    return code;
}

static int load_snapshot(struct raft_driver *d, struct arena *a, uint64_t *index, struct error *err)
{
    struct snapshot_meta meta;
    struct raft_configuration c;
    bool found;
    *index = 0;
    int code = snapshot_file_newest(d->snapshots, a, &meta, &found, err);
    if (code || !found) return code;
    if (!driver_configuration_of_meta(&meta, &c))
        return error_set(err, ERR_DECODE, "the configuration of snapshot %s/%.*s is damaged",
            d->snapshots, STR_ARG(meta.id));
    code = driver_restore_state(d, &meta, a, err);
    if (code) return code;
    raft_load_snapshot(d->raft, meta.index, meta.term, &c, meta.configuration_index);
    *index = meta.index;
    return 0;
}

static bool is_configuration(uint8_t type)
{
    return type == RAFT_CONFIGURATION || type == RAFT_ADD_PEER || type == RAFT_REMOVE_PEER;
}

static int load_entries(struct raft_driver *d, struct arena *a, struct error *err)
{
    struct log_entry e;
    int code = 0;
    uint64_t first = raft_log_first(d->log);
    if (first == 0) return 0;
    for (uint64_t i = first; !code && i < raft_log_next(d->log); i++) {
        code = raft_log_head(d->log, i, &e, err);
        if (!code && is_configuration(e.type)) code = raft_log_entry(d->log, i, a, &e, err);
        if (code) break;
        struct raft_entry entry = {
            .index = i, .term = e.term, .type = e.type, .data = e.data, .extensions = e.extensions
        };
        code = raft_load_entry(d->raft, &entry, err);
    }
    return code;
}

int driver_check_state(struct raft_driver *d, uint64_t snapshot, struct error *err)
{
    uint64_t applied = driver_applied(d), first = raft_log_first(d->log);
    uint64_t last = raft_log_last(d->log) > snapshot ? raft_log_last(d->log) : snapshot;
    if (applied > last)
        return error_set(err, ERR_IO,
            "the state holds entries up to %llu but the raft log in %s ends at %llu: files of the "
            "log are missing",
            (ull)applied, d->dir, (ull)last);
    if (first > applied + 1)
        return error_set(err, ERR_IO,
            "the state holds entries up to %llu but the raft log in %s begins at %llu: entries or "
            "a snapshot are missing",
            (ull)applied, d->dir, (ull)first);
    return 0;
}

int driver_open(struct raft_driver *d, struct error *err)
{
    struct arena a = ARENA_INIT;
    const struct log_stable *s = raft_log_stable(d->log);
    uint64_t snapshot = 0;
    int code = d->dir[0] ? driver_recover(d, err) : 0;
    if (code) return code;
    raft_load_hard_state(
        d->raft, s->term, s->vote_term, (struct str){ (const char *)s->vote, s->vote_n });
    if (d->dir[0]) code = load_snapshot(d, &a, &snapshot, err);
    if (!code && d->dir[0]) code = driver_check_state(d, snapshot, err);
    if (!code) code = load_entries(d, &a, err);
    if (!code) {
        /* What lies behind the snapshot is dead, also when the log ends before it. */
        if (snapshot >= raft_log_next(d->log)) raft_log_reset(d->log, snapshot + 1);
        raft_load_applied(d->raft, driver_applied(d));
    }
    arena_free(&a);
    return code;
}
