/* SPDX-License-Identifier: Apache-2.0 */
/* AppendEntries at the receiver (raft.md 6.5). */
#include <stdlib.h>

#include "core.h"

static bool well_formed(const struct raft_message *m)
{
    const struct raft_append_entries *a = &m->append_entries;
    if (!raft__fits(a->leader, RAFT_ADDRESS_MAX)) return false;
    uint64_t term = a->prev_term;
    for (size_t i = 0; i < a->n; i++) {
        const struct raft_entry *e = &a->entries[i];
        if (e->index != a->prev_index + 1 + i || e->term < term || e->term > m->term || !e->term)
            return false;
        term = e->term;
    }
    return true;
}

static bool is_configuration(const struct raft_entry *e)
{
    return e->type == RAFT_CONFIGURATION || e->type == RAFT_ADD_PEER || e->type == RAFT_REMOVE_PEER;
}

/* What the snapshot covers is committed, so every leader has the same: an index below its end
 * matches although its term is gone here. (The original refuses it; an acknowledgement lost before
 * compaction would then send the leader down the log for ever.) */
static bool matches(const struct raft *r, uint64_t index, uint64_t term)
{
    if (index < r->log.snapshot_index && index < r->log.first) return true;
    return term && log_term(&r->log, index) == term;
}

/* Entries held already are at the front of the list: how many. */
static size_t held_already(const struct raft *r, const struct raft_append_entries *a)
{
    size_t skip = 0;
    while (skip < a->n && matches(r, a->entries[skip].index, a->entries[skip].term))
        skip++;
    return skip;
}

static bool fits_memory(const struct raft *r, const struct raft_entry *v, size_t n)
{
    uint64_t unstored = r->log.last - r->log.durable;
    size_t bytes = r->log.bytes;
    for (size_t i = 0; i < n; i++)
        bytes += log_entry_size(&v[i]);
    return unstored == 0 ||
           (unstored + n <= RAFT_UNCOMMITTED_MAX && bytes <= RAFT_UNCOMMITTED_BYTES_MAX);
}

static int store_entries(struct raft *r, const struct raft_entry *v, size_t n)
{
    if (n == 0) return 0;
    if (v[0].index <= r->commit_index) return ERR_BAD_REQUEST; /* contradicts what is committed */
    if (!fits_memory(r, v, n)) {
        r->counters.refused_memory++;
        return ERR_FULL;
    }
    struct raft_configuration *c = xmalloc(sizeof *c);
    int code = 0;
    for (size_t i = 0; i < n && !code; i++)
        if (is_configuration(&v[i]))
            code = raft_configuration_decode(v[i].type, v[i].data, c, NULL);
    if (code) goto done;
    if (v[0].index <= r->log.last) raft__truncate(r, v[0].index, RAFT_LEADERSHIP_LOST);
    for (size_t i = 0; i < n; i++) {
        struct raft_entry e = v[i];
        e.handle = 0;
        raft__append(r, &e);
        if (!is_configuration(&e)) continue;
        code = raft_configuration_decode(e.type, e.data, c, NULL);
        ensure(code == 0);
        raft__configuration_appended(r, c, e.index);
    }
done:
    free(c);
    return code;
}

/* Commitment reaches as far as this request proves the logs equal, not to our last entry, which may
 * be a remnant of an older term. */
static void note_commit(struct raft *r, const struct raft_append_entries *a)
{
    uint64_t equal_to = a->prev_index + a->n;
    uint64_t known = a->commit_index < equal_to ? a->commit_index : equal_to;
    if (known > r->commit_known) r->commit_known = known;
}

int raft__on_append_entries(struct raft *r, const struct raft_message *m)
{
    const struct raft_append_entries *a = &m->append_entries;
    struct raft_message reply = { .type = RAFT_APPEND_ENTRIES_RESPONSE,
        .append_entries_response = { .last_log = r->log.last } };
    struct raft_append_entries_response *p = &reply.append_entries_response;
    bool formed = well_formed(m);
    int code = formed ? 0 : ERR_BAD_REQUEST;
    uint64_t needs = 0;
    /* A second leader of our own term cannot be. */
    bool stale = m->term < r->hard.term || (m->term == r->hard.term && r->role == RAFT_LEADER);
    if (!formed || stale) goto reply;
    if (m->term > r->hard.term || r->role != RAFT_FOLLOWER)
        raft__step_down(r, m->term, RAFT_LEADERSHIP_LOST);
    ensure(raft__name_set(&r->leader, a->leader));
    raft__contact(r);
    if (a->n && r->installing.active) goto reply;
    if (a->prev_index > 0 && !(BROKEN(SKIP_PREV_CHECK) && a->prev_index <= r->log.last) &&
        !matches(r, a->prev_index, a->prev_term)) {
        p->no_retry_backoff = true;
        goto reply;
    }
    size_t skip = held_already(r, a);
    code = store_entries(r, a->entries + skip, a->n - skip);
    if (code) goto reply;
    note_commit(r, a);
    p->success = true;
    if (a->prev_index + a->n > r->log.durable) needs = r->log_seq;
reply:
    raft__reply(r, m->rpc, &reply, needs);
    return code == ERR_FULL ? 0 : code;
}

void raft__follower_commit(struct raft *r)
{
    uint64_t to = r->commit_known < r->log.durable ? r->commit_known : r->log.durable;
    if (to <= r->commit_index) return;
    r->commit_index = to;
    raft__configuration_committed(r);
}
