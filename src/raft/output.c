/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core.h"

static struct envelope *outbox_add(struct outbox *b)
{
    if (b->n == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 16;
        b->v = xrealloc(b->v, b->cap * sizeof *b->v);
    }
    struct envelope *e = &b->v[b->n++];
    memset(e, 0, sizeof *e);
    return e;
}

static bool is_reply(const struct raft_message *m)
{
    return m->type >= RAFT_APPEND_ENTRIES_RESPONSE;
}

static void make_refusal(struct raft *r, struct raft_message *m)
{
    m->term = r->durable.term;
    switch (m->type) {
    case RAFT_APPEND_ENTRIES_RESPONSE:
        m->append_entries_response.success = false;
        m->append_entries_response.no_retry_backoff = false;
        break;
    case RAFT_REQUEST_VOTE_RESPONSE:
        m->request_vote_response.granted = false;
        break;
    case RAFT_INSTALL_SNAPSHOT_RESPONSE:
        m->install_snapshot_response.success = false;
        break;
    case RAFT_TIMEOUT_NOW_RESPONSE:
    case RAFT_PROBE_RESPONSE:
    case RAFT_APPEND_ENTRIES:
    case RAFT_REQUEST_VOTE:
    case RAFT_INSTALL_SNAPSHOT:
    case RAFT_TIMEOUT_NOW:
    case RAFT_PROBE:
        break;
    }
}

static struct envelope *post(struct raft *r, const struct raft_message *m, uint64_t needs)
{
    bool wait = needs > r->persisted_seq;
    if (BROKEN(VOTE_EARLY) && m->type == RAFT_REQUEST_VOTE_RESPONSE) wait = false;
    if (BROKEN(ACK_EARLY) && m->type == RAFT_APPEND_ENTRIES_RESPONSE) wait = false;
    struct envelope *e;
    if (wait && r->held.n >= RAFT_HELD_MAX) {
        if (!is_reply(m)) return NULL;
        r->counters.refused_held++;
        e = outbox_add(&r->sent);
        e->m = *m;
        make_refusal(r, &e->m);
        return e;
    }
    e = outbox_add(wait ? &r->held : &r->sent);
    e->m = *m;
    e->needs = needs;
    return e;
}

uint64_t raft__request(
    struct raft *r, const char *id, const char *address, struct raft_message *m, uint64_t needs)
{
    m->rpc = ++r->rpc;
    m->term = m->type == RAFT_REQUEST_VOTE ? r->candidacy : r->hard.term;
    struct envelope *e = post(r, m, needs);
    if (!e) return m->rpc;
    memcpy(e->peer_id, id, strlen(id) + 1);
    memcpy(e->peer_address, address, strlen(address) + 1);
    return m->rpc;
}

void raft__reply(struct raft *r, uint64_t rpc, struct raft_message *m, uint64_t needs)
{
    m->rpc = rpc;
    m->term = r->hard.term;
    if (needs < r->hard_seq) needs = r->hard_seq;
    post(r, m, needs);
}

void raft__refuse(struct raft *r, const struct raft_message *request)
{
    struct raft_message m = { .rpc = request->rpc };
    switch (request->type) {
    case RAFT_APPEND_ENTRIES:
        m.type = RAFT_APPEND_ENTRIES_RESPONSE;
        m.append_entries_response.last_log = r->log.last;
        break;
    case RAFT_REQUEST_VOTE:
        m.type = RAFT_REQUEST_VOTE_RESPONSE;
        break;
    case RAFT_INSTALL_SNAPSHOT:
        m.type = RAFT_INSTALL_SNAPSHOT_RESPONSE;
        break;
    case RAFT_TIMEOUT_NOW:
        m.type = RAFT_TIMEOUT_NOW_RESPONSE;
        break;
    case RAFT_PROBE:
        m.type = RAFT_PROBE_RESPONSE;
        break;
    case RAFT_APPEND_ENTRIES_RESPONSE:
    case RAFT_REQUEST_VOTE_RESPONSE:
    case RAFT_INSTALL_SNAPSHOT_RESPONSE:
    case RAFT_TIMEOUT_NOW_RESPONSE:
    case RAFT_PROBE_RESPONSE:
        return;
    }
    raft__reply(r, request->rpc, &m, 0);
}

void raft__refuse_held(struct raft *r)
{
    for (size_t i = 0; i < r->held.n; i++) {
        if (!is_reply(&r->held.v[i].m)) continue;
        struct envelope *e = outbox_add(&r->sent);
        *e = r->held.v[i];
        make_refusal(r, &e->m);
    }
    r->held.n = 0;
}

void raft__result(struct raft *r, uint64_t handle, enum raft_status status, uint64_t index)
{
    if (!handle) return;
    if (r->results_n == r->results_cap) {
        r->results_cap = r->results_cap ? r->results_cap * 2 : 16;
        r->results = xrealloc(r->results, r->results_cap * sizeof *r->results);
    }
    r->results[r->results_n++] = (struct raft_result){ handle, status, index };
}

void raft__output_begin(struct raft *r)
{
    memset(&r->write, 0, sizeof r->write);
    r->sent.n = 0;
    r->results_n = 0;
    r->install_now = false;
    r->compact_to = 0;
    r->configuration_changed = false;
}

/* A question for votes of a candidacy that is over: the log may be another one by now. */
static bool outdated(const struct raft *r, const struct raft_message *m)
{
    return m->type == RAFT_REQUEST_VOTE && (r->role != RAFT_CANDIDATE || m->term != r->candidacy);
}

static void release_held(struct raft *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->held.n; i++) {
        if (outdated(r, &r->held.v[i].m)) continue;
        if (r->held.v[i].needs <= r->persisted_seq)
            *outbox_add(&r->sent) = r->held.v[i];
        else
            r->held.v[kept++] = r->held.v[i];
    }
    r->held.n = kept;
}

static void output_messages(struct raft *r, struct raft_output *out)
{
    if (r->sent.n > r->messages_cap) {
        r->messages_cap = r->sent.cap;
        r->messages = xrealloc(r->messages, r->messages_cap * sizeof *r->messages);
    }
    for (size_t i = 0; i < r->sent.n; i++) {
        struct envelope *e = &r->sent.v[i];
        struct raft_message *m = &r->messages[i];
        *m = e->m;
        m->peer_id = e->peer_id[0] ? e->peer_id : NULL;
        m->peer_address = e->peer_id[0] ? e->peer_address : NULL;
        if (m->type == RAFT_APPEND_ENTRIES) m->append_entries.leader = name_str(&r->address);
        if (m->type == RAFT_INSTALL_SNAPSHOT) {
            m->install_snapshot.leader = name_str(&r->address);
            m->install_snapshot.configuration = &r->snapshot_configuration;
        }
        if (m->type == RAFT_REQUEST_VOTE) m->request_vote.candidate = name_str(&r->address);
    }
    out->messages = r->messages;
    out->messages_n = r->sent.n;
}

void raft__output_end(struct raft *r, struct raft_output *out)
{
    memset(out, 0, sizeof *out);
    raft__write_push(r);
    out->write = r->write;
    release_held(r);
    output_messages(r, out);
    out->results = r->results;
    out->results_n = r->results_n;
    if (r->install_now) {
        out->install = (struct raft_install){
            .present = true,
            .rpc = r->installing.rpc,
            .index = r->installing.index,
            .term = r->installing.term,
            .configuration = &r->installing.configuration,
            .configuration_index = r->installing.configuration_index,
        };
    }
    ensure(r->commit_index <= r->log.durable || BROKEN_ANY);
    if (!r->installing.active) r->apply_to = r->commit_index;
    out->apply_to = r->apply_to;
    out->compact_to = r->compact_to;
    out->configuration_changed = r->configuration_changed;
}
