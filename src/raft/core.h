/* SPDX-License-Identifier: Apache-2.0 */
/* State of the raft core and the functions its files share. raft__* is private to the module.
 * The flow of one step: dispatch the event, run due timers, advance (win, commit, replicate), hand
 * out the output. */
#pragma once
#include "consuld/raft.h"

#include <string.h>

#include "broken.h"
#include "log.h"

/* Address bytes as a peer sent them. */
struct name {
    size_t n;
    char p[RAFT_ADDRESS_MAX];
};

struct hard_state {
    uint64_t term;
    uint64_t vote_term;
    struct name vote; /* candidate voted for in vote_term */
};

/* A write handed out and not yet known to be durable. */
struct pending_write {
    uint64_t seq;
    uint64_t last; /* log index that is durable once this write is */
    struct hard_state hard;
};
#define PENDING_WRITES_MAX 64

/* Largest term or index taken from a peer. */
#define RAFT_NUMBER_MAX (UINT64_MAX / 4)

/* Applied entries stay in memory for slow peers up to this size. */
#define RAFT_WINDOW_BYTES_KEEP (8u * 1024 * 1024)

/* A message with its own copy of the peer's names; it leaves once `needs` is persisted. */
struct envelope {
    struct raft_message m;
    uint64_t needs;
    char peer_id[RAFT_ID_MAX];
    char peer_address[RAFT_ADDRESS_MAX];
};

struct outbox {
    struct envelope *v;
    size_t n, cap;
};

/* Elections: one line per server of the latest configuration. */
struct ballot {
    uint64_t rpc; /* 0: nothing outstanding */
    bool reached; /* answered the probe */
    bool asked;
    bool granted;
    bool adopted;      /* answered in the term of the candidacy */
    bool hears_leader; /* so it refused, and stays in its term */
};

struct inflight {
    uint64_t rpc;
    uint64_t last; /* match index if it succeeds */
    uint64_t sent_ms;
    uint64_t round;
};

enum peer_mode { PEER_PROBE, PEER_PIPELINE, PEER_SNAPSHOT };

/* Replication to one server, while leader. */
struct peer {
    char id[RAFT_ID_MAX];
    char address[RAFT_ADDRESS_MAX];
    bool voter;
    uint64_t leaving;  /* index of the configuration that removed it, 0: member */
    uint64_t leave_ms; /* when a removed server is given up */
    enum peer_mode mode;
    uint64_t match, next;
    struct inflight flight[RAFT_PIPELINE_MAX]; /* ring in send order */
    size_t flight_head, flight_n;
    uint32_t failures;
    uint64_t retry_ms;         /* log stream: not before */
    struct inflight heartbeat; /* rpc 0: none outstanding */
    uint32_t heartbeat_failures;
    uint64_t heartbeat_ms; /* next one */
    uint64_t contact_ms;   /* last response */
    uint64_t lease_ms;     /* when the newest answered request was sent */
    uint64_t round;        /* newest round it confirmed */
    uint64_t sent_commit;
    uint32_t snapshots;
};

struct verify {
    uint64_t handle;
    uint64_t round; /* a quorum has to answer requests of this round or later */
    uint64_t index; /* 0: own term had no committed entry then */
};

struct transfer {
    bool active;
    uint64_t handle;
    uint64_t deadline_ms;
    uint64_t rpc; /* of TimeoutNow, 0 before it is sent */
    char id[RAFT_ID_MAX];
};

struct installing {
    bool active;
    bool restore; /* user restore instead of a leader's snapshot */
    uint64_t rpc, handle;
    uint64_t index, term;
    struct raft_configuration configuration;
    uint64_t configuration_index;
};

struct raft {
    struct raft_options o;
    char id[RAFT_ID_MAX];
    struct name address;
    struct prng prng;
    uint64_t now;
    bool started;
    uint64_t loaded_last, loaded_applied; /* while loading */

    struct hard_state hard, durable;
    uint64_t seq; /* last one handed out or opened */
    uint64_t persisted_seq;
    uint64_t hard_seq;  /* write that holds the present hard state */
    uint64_t log_seq;   /* write that holds the newest log change */
    uint64_t reset_seq; /* write that holds the newest log reset */
    bool reset_needed;  /* the stored log is dead but not deleted yet */
    struct pending_write pending[PENDING_WRITES_MAX];
    size_t pending_head, pending_n;

    struct log log;
    uint64_t commit_index;
    uint64_t commit_known; /* follower: committed according to the leader, and matching here */
    uint64_t applied_index;
    uint64_t apply_to; /* stands still while a snapshot is installed */
    struct raft_configuration latest, committed, snapshot_configuration;
    uint64_t latest_index, committed_index, snapshot_configuration_index;
    struct installing installing;

    enum raft_role role;
    struct name leader; /* n == 0: unknown */
    uint64_t last_contact_ms;
    bool contact_known;

    uint64_t election_ms; /* follower, candidate: next move */
    bool probing;
    uint64_t candidacy; /* candidate: the term that votes are asked for in */
    uint64_t ask_ms;    /* candidate: ask those again that heard a leader */
    bool transfer_vote; /* this candidacy was asked for by TimeoutNow */
    struct ballot ballots[RAFT_SERVERS_MAX];

    struct peer *peers[RAFT_SERVERS_MAX * 2]; /* members, then those leaving */
    size_t peers_n;
    uint64_t term_start; /* index of the first entry of this leadership */
    uint64_t noop_ms;    /* leader whose first entry was lost to the disk: append again then */
    uint64_t commit_ms;  /* tell idle peers the commit index then */
    uint64_t round;
    struct verify *verifies;
    size_t verifies_n, verifies_cap;
    struct transfer transfer;
    bool had_peers;  /* in this term: somebody may hold entries that the disk here lost */
    bool lease_void; /* TimeoutNow was sent in this term */
    uint64_t rpc;    /* last id used */

    struct raft_counters counters;

    /* the output being built */
    struct raft_write write;
    struct outbox held, sent;
    struct raft_message *messages;
    size_t messages_cap;
    struct raft_result *results;
    size_t results_n, results_cap;
    bool install_now;
    uint64_t compact_to;
    bool configuration_changed;
};

static inline struct str name_str(const struct name *n)
{
    return (struct str){ n->p, n->n };
}
bool raft__name_set(struct name *n, struct str s); /* false: too long, unchanged */
static inline bool raft__fits(struct str s, size_t max)
{
    return s.n > 0 && s.n < max && s.p && !memchr(s.p, 0, s.n);
}

/* core.c */
uint64_t raft__random(struct raft *r, uint64_t timeout_ms); /* timeout plus [0, timeout) */
void raft__set_hard_state(struct raft *r, uint64_t term, uint64_t vote_term, struct str vote);
void raft__step_down(struct raft *r, uint64_t term, enum raft_status status);

/* load.c */
void raft__load_end(struct raft *r);

/* write.c: what goes to the disk and what came of it */
uint64_t raft__write_open(struct raft *r); /* seq of this step's write */
void raft__append(struct raft *r, const struct raft_entry *e);
void raft__truncate(struct raft *r, uint64_t from, enum raft_status status);
void raft__reset_log(struct raft *r, uint64_t index, uint64_t term, enum raft_status status);
void raft__fail_handles(struct raft *r, uint64_t from, uint64_t to, enum raft_status status);
void raft__persisted(struct raft *r, uint64_t seq);
void raft__persist_failed(struct raft *r);
bool raft__write_push(struct raft *r); /* at the end of a step */

/* output.c */
uint64_t raft__request(struct raft *r, const char *id, const char *address, struct raft_message *m,
    uint64_t needs); /* chooses and returns the rpc */
void raft__reply(struct raft *r, uint64_t rpc, struct raft_message *m, uint64_t needs);
void raft__refuse(struct raft *r, const struct raft_message *request);
void raft__refuse_held(struct raft *r);
void raft__result(struct raft *r, uint64_t handle, enum raft_status status, uint64_t index);
void raft__output_begin(struct raft *r);
void raft__output_end(struct raft *r, struct raft_output *out);

/* membership.c */
size_t raft__voters(const struct raft_configuration *c);
static inline size_t raft__quorum(const struct raft_configuration *c)
{
    return raft__voters(c) / 2 + 1;
}
bool raft__sole_voter(const struct raft *r);
void raft__configuration_appended(
    struct raft *r, const struct raft_configuration *c, uint64_t index);
void raft__configuration_truncated(struct raft *r, uint64_t from);
void raft__configuration_committed(struct raft *r);
void raft__change(struct raft *r, const struct raft_event *ev);
int raft__bootstrap(struct raft *r, const struct raft_configuration *c);

/* election.c */
bool raft__leader_known(const struct raft *r);
void raft__contact(struct raft *r); /* a leader was heard, or may be soon */
void raft__election_timer(struct raft *r);
void raft__leader_gone(struct raft *r, struct str address);
void raft__campaign(struct raft *r, bool transfer);
void raft__check_won(struct raft *r);
void raft__on_request_vote(struct raft *r, const struct raft_message *m);
void raft__on_vote_response(struct raft *r, const struct raft_message *m);
void raft__on_probe_response(struct raft *r, const struct raft_message *m);
void raft__on_timeout_now(struct raft *r, const struct raft_message *m);

/* append.c */
int raft__on_append_entries(struct raft *r, const struct raft_message *m);
void raft__follower_commit(struct raft *r);

/* leader.c */
void raft__become_leader(struct raft *r);
void raft__leave_leadership(struct raft *r, enum raft_status status);
void raft__leader_timers(struct raft *r);
void raft__leader_advance(struct raft *r);
uint64_t raft__leader_wake(const struct raft *r);
void raft__append_own(struct raft *r, struct raft_entry *e);
void raft__propose(struct raft *r, const struct raft_proposal *v, size_t n);
enum raft_status raft__may_propose(const struct raft *r);
uint64_t raft__confirmed_round(const struct raft *r);

/* verify.c */
void raft__verify(struct raft *r, uint64_t handle);
void raft__verify_check(struct raft *r);
void raft__verify_fail(struct raft *r, enum raft_status status);

/* transfer.c */
void raft__transfer(struct raft *r, struct str id, uint64_t handle);
void raft__transfer_check(struct raft *r);
void raft__transfer_end(struct raft *r, enum raft_status status);
struct peer *raft__furthest_voter(const struct raft *r);
void raft__send_timeout_now(struct raft *r, struct peer *p);

/* replicate.c */
struct peer *raft__peer(const struct raft *r, const char *id);
void raft__peers_update(struct raft *r);
void raft__peers_free(struct raft *r);
void raft__replicate(struct raft *r, struct peer *p);
void raft__heartbeat(struct raft *r, struct peer *p);
void raft__peer_timers(struct raft *r, struct peer *p);
uint64_t raft__peer_wake(const struct raft *r, const struct peer *p);
void raft__announce_commit(struct raft *r, struct peer *p);
void raft__on_append_response(struct raft *r, const struct raft_message *m);
void raft__on_snapshot_response(struct raft *r, const struct raft_message *m);
void raft__on_rpc_failed(struct raft *r, const char *id, uint64_t rpc, bool missing);

/* snapshot.c */
void raft__on_install_snapshot(struct raft *r, const struct raft_message *m);
void raft__snapshot_installed(struct raft *r, bool failed);
void raft__snapshot_taken(struct raft *r, uint64_t index, uint64_t term, uint64_t trailing);
void raft__restore(struct raft *r, uint64_t archive_index, uint64_t handle);
