/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "consuld/raft/message.h"
#include "core.h"

bool raft__name_set(struct name *n, struct str s)
{
    if (s.n >= sizeof n->p) return false;
    n->n = s.n;
    if (s.n) memcpy(n->p, s.p, s.n);
    return true;
}

uint64_t raft__random(struct raft *r, uint64_t timeout_ms)
{
    return timeout_ms + prng_below(&r->prng, timeout_ms);
}

void raft__set_hard_state(struct raft *r, uint64_t term, uint64_t vote_term, struct str vote)
{
    ensure(term >= r->hard.term);
    struct hard_state h = { .term = term, .vote_term = vote_term };
    ensure(raft__name_set(&h.vote, vote));
    r->hard = h;
    r->hard_seq = raft__write_open(r);
    r->write.hard_state = true;
}

/* To follower, in `term` if that is newer. The leader is forgotten. */
void raft__step_down(struct raft *r, uint64_t term, enum raft_status status)
{
    if (r->role == RAFT_LEADER) raft__leave_leadership(r, status);
    if (r->role != RAFT_FOLLOWER) raft__contact(r);
    r->role = RAFT_FOLLOWER;
    r->leader.n = 0;
    r->transfer_vote = false;
    if (term > r->hard.term)
        raft__set_hard_state(r, term, r->hard.vote_term, name_str(&r->hard.vote));
}

struct raft_options raft_options_default(unsigned multiplier)
{
    uint32_t m = multiplier < 1 ? 1 : multiplier > 10 ? 10 : multiplier;
    return (struct raft_options){
        .heartbeat_timeout_ms = 1000 * m,
        .election_timeout_ms = 1000 * m,
        .lease_timeout_ms = 500 * m,
        .commit_timeout_ms = 50,
        .rpc_timeout_ms = 10000,
        .append_entries = RAFT_APPEND_ENTRIES_MAX,
        .window_entries = 512,
    };
}

struct raft *raft_create(const struct raft_options *o)
{
    raft_message_init();
    struct raft *r = xcalloc(1, sizeof *r);
    r->o = *o;
    ensure(raft__fits(str_of(o->id), RAFT_ID_MAX));
    ensure(raft__fits(str_of(o->address), RAFT_ADDRESS_MAX));
    ensure(o->heartbeat_timeout_ms && o->election_timeout_ms && o->lease_timeout_ms);
    if (!r->o.append_entries || r->o.append_entries > RAFT_APPEND_ENTRIES_MAX)
        r->o.append_entries = RAFT_APPEND_ENTRIES_MAX;
    memcpy(r->id, o->id, strlen(o->id));
    ensure(raft__name_set(&r->address, str_of(o->address)));
    r->o.id = r->id;
    r->o.address = NULL;
    prng_seed(&r->prng, o->seed);
    /* Responses to an earlier life of this node must not match. */
    r->rpc = prng_next(&r->prng) >> 16;
    log_init(&r->log);
    return r;
}

void raft_destroy(struct raft *r)
{
    if (!r) return;
    raft__peers_free(r);
    log_deinit(&r->log);
    free(r->verifies);
    free(r->held.v);
    free(r->sent.v);
    free(r->messages);
    free(r->results);
    free(r);
}

static void evict(struct raft *r)
{
    struct log *l = &r->log;
    uint64_t done = r->applied_index < l->durable ? r->applied_index : l->durable;
    size_t keep = r->latest.n > 1 ? r->o.window_entries : 0;
    while (log_window_n(l) > 0) {
        bool spare = l->window_first <= done &&
                     (log_window_n(l) > keep || l->bytes > RAFT_WINDOW_BYTES_KEEP);
        /* A follower that knows of no commit: the store has them. */
        bool over = r->role != RAFT_LEADER && l->window_first <= l->durable &&
                    log_window_n(l) > RAFT_UNCOMMITTED_MAX / 2 &&
                    !log_entry(l, l->window_first)->handle;
        if (!spare && !over) break;
        log_evict(l);
    }
}

static void on_response(struct raft *r, const struct raft_message *m)
{
    switch (m->type) {
    case RAFT_APPEND_ENTRIES_RESPONSE:
        raft__on_append_response(r, m);
        break;
    case RAFT_REQUEST_VOTE_RESPONSE:
        raft__on_vote_response(r, m);
        break;
    case RAFT_INSTALL_SNAPSHOT_RESPONSE:
        raft__on_snapshot_response(r, m);
        break;
    case RAFT_PROBE_RESPONSE:
        raft__on_probe_response(r, m);
        break;
    case RAFT_TIMEOUT_NOW_RESPONSE:
    case RAFT_APPEND_ENTRIES:
    case RAFT_REQUEST_VOTE:
    case RAFT_INSTALL_SNAPSHOT:
    case RAFT_TIMEOUT_NOW:
    case RAFT_PROBE:
        break;
    }
}

static bool is_request(const struct raft_message *m)
{
    return m->type < RAFT_APPEND_ENTRIES_RESPONSE;
}

/* Numbers no honest peer reaches; the core counts up from what it accepts. */
static bool in_range(const struct raft_message *m)
{
    uint64_t index = 0;
    if (m->type == RAFT_APPEND_ENTRIES) index = m->append_entries.prev_index;
    if (m->type == RAFT_INSTALL_SNAPSHOT) index = m->install_snapshot.last_log_index;
    return m->term <= RAFT_NUMBER_MAX && index <= RAFT_NUMBER_MAX;
}

static int on_receive(struct raft *r, const struct raft_message *m)
{
    if (!in_range(m)) {
        raft__refuse(r, m);
        return ERR_BAD_REQUEST;
    }
    /* A user restore is one uninterrupted act of the leader, as in the original. */
    if (is_request(m) && r->installing.active && r->installing.restore) {
        raft__refuse(r, m);
        return 0;
    }
    switch (m->type) {
    case RAFT_APPEND_ENTRIES:
        return raft__on_append_entries(r, m);
    case RAFT_REQUEST_VOTE:
        raft__on_request_vote(r, m);
        return 0;
    case RAFT_INSTALL_SNAPSHOT:
        raft__on_install_snapshot(r, m);
        return 0;
    case RAFT_TIMEOUT_NOW:
        raft__on_timeout_now(r, m);
        return 0;
    case RAFT_PROBE:
        raft__refuse(r, m);
        return 0;
    case RAFT_APPEND_ENTRIES_RESPONSE:
    case RAFT_REQUEST_VOTE_RESPONSE:
    case RAFT_INSTALL_SNAPSHOT_RESPONSE:
    case RAFT_TIMEOUT_NOW_RESPONSE:
    case RAFT_PROBE_RESPONSE:
        break;
    }
    bool has_term = m->type != RAFT_TIMEOUT_NOW_RESPONSE && m->type != RAFT_PROBE_RESPONSE;
    bool asked_for = m->type == RAFT_REQUEST_VOTE_RESPONSE && r->role == RAFT_CANDIDATE &&
                     m->term <= r->candidacy;
    if (has_term && !asked_for && m->term > r->hard.term &&
        !(r->installing.active && r->installing.restore))
        raft__step_down(r, m->term, RAFT_LEADERSHIP_LOST);
    else
        on_response(r, m);
    return 0;
}

static int dispatch(struct raft *r, const struct raft_event *ev)
{
    switch (ev->type) {
    case RAFT_TICK:
        return 0;
    case RAFT_RECEIVE:
        return on_receive(r, ev->message);
    case RAFT_RPC_FAILED:
        raft__on_rpc_failed(r, ev->rpc_failed.peer_id, ev->rpc_failed.rpc, ev->rpc_failed.missing);
        return 0;
    case RAFT_PERSISTED:
        raft__persisted(r, ev->seq);
        return 0;
    case RAFT_PERSIST_FAILED:
        raft__persist_failed(r);
        return 0;
    case RAFT_APPLIED:
        if (ev->index > r->apply_to) return ERR_BAD_REQUEST;
        if (ev->index > r->applied_index) r->applied_index = ev->index;
        return 0;
    case RAFT_PROPOSE:
        if (ev->propose.n > RAFT_PROPOSALS_MAX) return ERR_BAD_REQUEST;
        raft__propose(r, ev->propose.v, ev->propose.n);
        return 0;
    case RAFT_CHANGE:
        raft__change(r, ev);
        return 0;
    case RAFT_VERIFY:
        raft__verify(r, ev->verify.handle);
        return 0;
    case RAFT_TRANSFER:
        raft__transfer(r, ev->transfer.id, ev->transfer.handle);
        return 0;
    case RAFT_BOOTSTRAP:
        return raft__bootstrap(r, ev->bootstrap);
    case RAFT_SNAPSHOT_TAKEN:
        raft__snapshot_taken(
            r, ev->snapshot_taken.index, ev->snapshot_taken.term, ev->snapshot_taken.trailing);
        return 0;
    case RAFT_SNAPSHOT_INSTALLED:
        raft__snapshot_installed(r, ev->snapshot_installed.failed);
        return 0;
    case RAFT_LEADER_GONE:
        raft__leader_gone(r, ev->leader_gone);
        return 0;
    case RAFT_RESTORE:
        raft__restore(r, ev->restore.archive_index, ev->restore.handle);
        return 0;
    }
    return ERR_BAD_REQUEST;
}

static void start(struct raft *r)
{
    r->started = true;
    raft__load_end(r);
    bool alone = raft__sole_voter(r);
    r->election_ms = alone ? r->now : r->now + raft__random(r, r->o.heartbeat_timeout_ms);
}

static uint64_t wake_time(const struct raft *r)
{
    if (r->role == RAFT_LEADER) return raft__leader_wake(r);
    if (r->role == RAFT_CANDIDATE && r->ask_ms < r->election_ms) return r->ask_ms;
    return r->latest.n ? r->election_ms : RAFT_NEVER;
}

int raft_step(struct raft *r, uint64_t now_ms, const struct raft_event *ev, struct raft_output *out)
{
    if (now_ms > r->now) r->now = now_ms;
    if (!r->started) start(r);
    raft__output_begin(r);
    evict(r);
    enum raft_role role = r->role;
    uint64_t term = r->hard.term;
    struct name leader = r->leader;

    int code = dispatch(r, ev);
    raft__election_timer(r);
    raft__check_won(r);
    if (r->role == RAFT_LEADER) {
        raft__leader_timers(r);
        raft__leader_advance(r);
    } else {
        raft__follower_commit(r);
    }

    raft__output_end(r, out);
    out->wake_ms = wake_time(r);
    out->state_changed =
        role != r->role || term != r->hard.term || !str_eq(name_str(&leader), name_str(&r->leader));
    return code;
}
