/* SPDX-License-Identifier: Apache-2.0 */
/* Raft as a pure core: raft_step takes one event and the time and returns effects as values. It
 * owns no socket, file, clock or thread. It speaks hashicorp/raft protocol 3 (spec: raft.md).
 *
 * The one invariant: a message found in an output may leave at once. What needs durability first
 * (votes, acknowledgements, what a new leader sends) the core keeps back until the driver reports
 * the write with RAFT_PERSISTED. Replication of new entries does not wait for the local write; the
 * local node counts for commitment only after it, and nothing above the durable index is applied.
 *
 * A driver's turn: step an event, then carry out the output in this order:
 *   1. out->write: queue it for the disk (copy the entries now); a job may join any number of
 *      queued writes into one commit; then report RAFT_PERSISTED with the last seq it holds.
 *   2. out->messages: encode and send (copy now).
 *   3. out->results: answer the handles.
 *   4. out->install: make the received snapshot current, report RAFT_SNAPSHOT_INSTALLED.
 *   5. out->apply_to: apply committed entries up to it when convenient, report RAFT_APPLIED.
 *   6. out->compact_to: delete older log entries when convenient (after writes queued so far).
 *   7. out->wake_ms: step RAFT_TICK at that time or soon after.
 * All pointers in an output, and entries of raft_entry_at, are valid until the next raft_step. */
#pragma once
#include "consuld/base.h"

#define RAFT_SERVERS_MAX 64
#define RAFT_ID_MAX 64                      /* bytes with the final NUL */
#define RAFT_ADDRESS_MAX 128                /* bytes with the final NUL */
#define RAFT_APPEND_ENTRIES_MAX 64          /* entries of one AppendEntries */
#define RAFT_APPEND_BYTES_MAX (1024 * 1024) /* soft: of window entries; one entry always goes */
#define RAFT_PIPELINE_MAX 128               /* unanswered AppendEntries per peer */
#define RAFT_PROPOSALS_MAX 1024             /* proposals of one event */
#define RAFT_UNCOMMITTED_MAX 4096           /* entries a leader holds that are not applied yet */
#define RAFT_UNCOMMITTED_BYTES_MAX (64u * 1024 * 1024)
#define RAFT_VERIFIES_MAX 4096 /* verifications waiting */
#define RAFT_HELD_MAX 1024     /* messages waiting for a write */
#define RAFT_PROTOCOL_VERSION 3
#define RAFT_SNAPSHOT_VERSION 1
#define RAFT_NEVER UINT64_MAX

struct raft;

enum raft_suffrage { RAFT_VOTER = 0, RAFT_NONVOTER = 1, RAFT_STAGING = 2 };

struct raft_member {
    char id[RAFT_ID_MAX];
    char address[RAFT_ADDRESS_MAX];
    enum raft_suffrage suffrage;
};

/* Order is kept, for display. */
struct raft_configuration {
    size_t n;
    struct raft_member servers[RAFT_SERVERS_MAX];
};

/* No empty or duplicate ID or address, at least one voter (raft.md 4.2). */
bool raft_configuration_valid(const struct raft_configuration *c);
const struct raft_member *raft_configuration_find(
    const struct raft_configuration *c, const char *id);
bool raft_configuration_is_voter(const struct raft_configuration *c, const char *id);
/* Appends a server; false if it is full or a text is too long or empty. */
bool raft_configuration_add(
    struct raft_configuration *c, struct str id, struct str address, enum raft_suffrage suffrage);

enum raft_entry_type {
    RAFT_COMMAND = 0,
    RAFT_NOOP = 1,
    RAFT_ADD_PEER = 2,    /* deprecated, read only */
    RAFT_REMOVE_PEER = 3, /* deprecated, read only */
    RAFT_BARRIER = 4,
    RAFT_CONFIGURATION = 5,
};

struct raft_entry {
    uint64_t index;
    uint64_t term;
    uint64_t handle; /* of the local proposer, 0: none. Not stored, not sent */
    struct str data; /* nil and empty are the same to the core; kept apart for the wire */
    struct str extensions;
    uint8_t type; /* enum raft_entry_type; others may come from a peer */
};

enum raft_role { RAFT_FOLLOWER, RAFT_CANDIDATE, RAFT_LEADER };

/* --- messages ------------------------------------------------------------------------------ */

enum raft_message_type {
    RAFT_APPEND_ENTRIES,
    RAFT_REQUEST_VOTE,
    RAFT_INSTALL_SNAPSHOT,
    RAFT_TIMEOUT_NOW,
    /* Not on the wire: "can this peer be reached?" The driver makes sure that a connection to the
     * peer can be made (or has one that answered lately) and reports RAFT_PROBE_RESPONSE or
     * RAFT_RPC_FAILED. A node asks before it raises its term. */
    RAFT_PROBE,
    RAFT_APPEND_ENTRIES_RESPONSE,
    RAFT_REQUEST_VOTE_RESPONSE,
    RAFT_INSTALL_SNAPSHOT_RESPONSE,
    RAFT_TIMEOUT_NOW_RESPONSE,
    RAFT_PROBE_RESPONSE,
};

/* Which connection of the peer carries a request. */
enum raft_channel {
    RAFT_CHANNEL_PLAIN,     /* one request at a time; the peer's pipeline, if any, is over */
    RAFT_CHANNEL_HEARTBEAT, /* a connection of its own, never behind log data */
    RAFT_CHANNEL_PIPELINE,  /* one dedicated connection, sent without waiting for answers */
};

struct raft_append_entries {
    uint64_t prev_index, prev_term, commit_index;
    struct str leader; /* address */
    /* Sent: entries prev_index + 1 .. prev_index + n; take each from raft_entry_at, or from the
     * log store when that gives NULL. Unreadable: report RAFT_RPC_FAILED with `missing`.
     * Received: `entries` holds the n entries (borrowed, the core copies). */
    const struct raft_entry *entries;
    size_t n;
    bool heartbeat; /* sent: written with nil Entries. Received: ignored */
};

struct raft_append_entries_response {
    uint64_t last_log; /* before the request was processed */
    bool success;
    bool no_retry_backoff;
};

struct raft_request_vote {
    struct str candidate; /* address */
    uint64_t last_log_index, last_log_term;
    bool leadership_transfer;
};

struct raft_install_snapshot {
    struct str leader; /* address */
    uint64_t last_log_index, last_log_term;
    const struct raft_configuration *configuration; /* received: NULL if it is none */
    uint64_t configuration_index;
    uint64_t size; /* of the stream behind the request; the driver's */
};

struct raft_message {
    enum raft_message_type type;
    enum raft_channel channel; /* requests sent */
    /* Requests: chosen by the core when sent; by the driver when received, nonzero, and repeated in
     * the one response. Responses to peers may come in another order than the requests: the driver
     * sends them in request order on each connection. Exactly one response per received request. */
    uint64_t rpc;
    /* Sent requests: the server to reach. Received responses: the server asked. Sent responses and
     * received requests: NULL. */
    const char *peer_id;
    const char *peer_address; /* as in the configuration; sent requests only */
    uint64_t term;            /* TimeoutNow and probe: unused */
    union {
        struct raft_append_entries append_entries;
        struct raft_append_entries_response append_entries_response;
        struct raft_request_vote request_vote;
        struct {
            bool granted;
        } request_vote_response;
        struct raft_install_snapshot install_snapshot;
        struct {
            bool success;
        } install_snapshot_response;
    };
};

/* --- events -------------------------------------------------------------------------------- */

enum raft_event_type {
    RAFT_TICK,               /* time passed */
    RAFT_RECEIVE,            /* message: a request, or the response to a request of ours */
    RAFT_RPC_FAILED,         /* a request of ours has no response: refused, broken, timed out */
    RAFT_PERSISTED,          /* all writes up to seq are on stable storage */
    RAFT_PERSIST_FAILED,     /* a write failed: all writes not reported persisted are void, also
                                those queued behind it; the driver drops them. A leader that had
                                peers in its term steps down */
    RAFT_APPLIED,            /* the state machine holds everything up to index */
    RAFT_PROPOSE,            /* new entries */
    RAFT_CHANGE,             /* one membership change */
    RAFT_VERIFY,             /* answer when leadership is confirmed after this moment */
    RAFT_TRANSFER,           /* hand leadership to another server */
    RAFT_BOOTSTRAP,          /* first configuration of a pristine node */
    RAFT_SNAPSHOT_TAKEN,     /* a local snapshot is durable */
    RAFT_SNAPSHOT_INSTALLED, /* result of out->install */
    RAFT_LEADER_GONE,        /* the leader's process ended: the address refuses connections */
    RAFT_RESTORE,            /* user restore: replace the state of the whole cluster, leader only */
};

/* Accepted: the entry carries the handle, and the driver answers it right after applying the entry
 * (all types pass the driver's apply). Refused or lost: a result. Exactly one of both. */
struct raft_proposal {
    uint64_t handle;
    struct str data;
    struct str extensions;
    enum raft_entry_type type; /* RAFT_COMMAND, RAFT_NOOP or RAFT_BARRIER */
};

enum raft_change_type { RAFT_ADD_VOTER, RAFT_ADD_NONVOTER, RAFT_DEMOTE, RAFT_REMOVE };

struct raft_event {
    enum raft_event_type type;
    union {
        /* An InstallSnapshot request is given when its stream has been received whole; a stream
         * that broke off is answered by the driver alone. */
        const struct raft_message *message; /* RECEIVE */
        struct {
            const char *peer_id;
            uint64_t rpc;
            bool missing; /* the entries or the snapshot could not be read from the store */
        } rpc_failed;
        uint64_t seq;   /* PERSISTED */
        uint64_t index; /* APPLIED */
        struct {
            const struct raft_proposal *v;
            size_t n; /* at most RAFT_PROPOSALS_MAX */
        } propose;
        struct {
            enum raft_change_type type;
            struct str id, address; /* address: ADD_* only */
            uint64_t handle;        /* as of a proposal */
        } change;
        struct {
            uint64_t handle; /* answered by a result: RAFT_DONE with the index to have applied
                                before reading, or a failure */
        } verify;
        struct {
            struct str id;   /* empty: the voter that is furthest along */
            uint64_t handle; /* answered by a result */
        } transfer;
        const struct raft_configuration *bootstrap;
        struct {
            uint64_t index, term;
            uint64_t trailing; /* entries to keep behind the last one */
        } snapshot_taken;
        struct {
            bool failed;
        } snapshot_installed;
        struct str leader_gone; /* address; anybody else than the known leader is ignored */
        struct {
            uint64_t archive_index;
            uint64_t handle; /* answered by a result: RAFT_DONE when installed here */
        } restore;
    };
};

/* --- output -------------------------------------------------------------------------------- */

/* All parts of one write are to be stored atomically or in this order. */
struct raft_write {
    uint64_t seq;    /* 0: nothing to write. Rises by one with each write */
    bool hard_state; /* store term, vote_term, vote_candidate */
    uint64_t term, vote_term;
    struct str vote_candidate; /* address bytes */
    bool reset;                /* delete all log entries */
    /* n > 0: delete every stored entry at or above `first`, then store entries first .. first+n-1,
     * all of which raft_entry_at gives. */
    uint64_t first;
    size_t n;
};

enum raft_status {
    RAFT_DONE,
    RAFT_NOT_LEADER,         /* refused: nothing was appended */
    RAFT_LEADERSHIP_LOST,    /* was appended; outcome unknown */
    RAFT_BUSY,               /* a bound is reached; try again later. Nothing was appended */
    RAFT_TRANSFERRING,       /* refused: leadership transfer in progress */
    RAFT_CHANGE_IN_PROGRESS, /* refused: earlier change, or own first entry, not committed yet */
    RAFT_INVALID,            /* refused: would make an invalid configuration, unknown target ... */
    RAFT_TIMED_OUT,          /* transfer: not done within an election timeout */
    RAFT_RESTORED,           /* lost: a user restore replaced the state */
    RAFT_FAILED,             /* install or write failed */
};

struct raft_result {
    uint64_t handle;
    enum raft_status status;
    uint64_t index; /* verify: to be applied before reading */
};

/* Make the snapshot received with request `rpc` (or, rpc == 0, the archive of RAFT_RESTORE) the
 * current one: durable under these terms, then loaded into the state machine. Until
 * RAFT_SNAPSHOT_INSTALLED is stepped nothing is applied. If a snapshot request is refused instead
 * its response is in out->messages and the driver throws the received file away. */
struct raft_install {
    bool present;
    uint64_t rpc;
    uint64_t index, term;
    const struct raft_configuration *configuration;
    uint64_t configuration_index;
};

struct raft_output {
    struct raft_write write;
    const struct raft_message *messages;
    size_t messages_n;
    const struct raft_result *results;
    size_t results_n;
    struct raft_install install;
    uint64_t apply_to;          /* committed and durable here; never falls */
    uint64_t compact_to;        /* 0, or: entries up to it may be deleted from the log */
    uint64_t wake_ms;           /* RAFT_NEVER: no need */
    bool state_changed;         /* role, term or leader differ from before the step */
    bool configuration_changed; /* latest or committed configuration */
};

/* --- life ---------------------------------------------------------------------------------- */

struct raft_options {
    const char *id;
    const char *address;           /* bytes of Leader and Candidate */
    uint64_t seed;                 /* of all random choices */
    uint32_t heartbeat_timeout_ms; /* all from raft.md 6.1, multiplied already */
    uint32_t election_timeout_ms;
    uint32_t lease_timeout_ms;
    uint32_t commit_timeout_ms;
    uint32_t rpc_timeout_ms; /* unanswered log requests are given up; default 10000 */
    uint32_t append_entries; /* most of one AppendEntries, default and bound: 64 */
    uint32_t window_entries; /* applied entries kept in memory for slow peers, default 512 */
};

/* Defaults of raft.md 6.1 for a multiplier of 1..10. id, address and seed are left to fill. */
struct raft_options raft_options_default(unsigned multiplier);

struct raft *raft_create(const struct raft_options *o);
void raft_destroy(struct raft *r);

/* What stable storage holds, in this order and before the first step: hard state, the newest
 * snapshot (if any), every log entry in index order. Returns ERR_DECODE with a text for a log that
 * cannot be right (a hole above the snapshot, an undecodable configuration). */
void raft_load_hard_state(
    struct raft *r, uint64_t term, uint64_t vote_term, struct str vote_candidate);
void raft_load_snapshot(struct raft *r, uint64_t index, uint64_t term,
    const struct raft_configuration *configuration, uint64_t configuration_index);
int raft_load_entry(struct raft *r, const struct raft_entry *e, struct error *err) must_check;
/* The state machine already holds more than the snapshot (it survived the restart): nothing up to
 * `index` will be applied again. */
void raft_load_applied(struct raft *r, uint64_t index);

/* One event. Fills *out whole. Returns 0, or ERR_BAD_REQUEST for an event that makes no sense in
 * this state (bootstrap of a node that has state, entries out of order in a message): then nothing
 * changed, but a request still gets its refusing response. The sole voter of a configuration elects
 * itself on the first step. */
int raft_step(struct raft *r, uint64_t now_ms, const struct raft_event *ev,
    struct raft_output *out) must_check;

/* --- views, valid until the next step ------------------------------------------------------- */

struct raft_state {
    enum raft_role role;
    uint64_t term;
    const char *leader_id;     /* "" if unknown or not in the configuration */
    struct str leader_address; /* empty if unknown */
    uint64_t commit_index, applied_index, durable_index;
    uint64_t first_index;           /* of the log; last_index + 1 when it is empty */
    uint64_t last_index, last_term; /* log or snapshot, whichever is later */
    uint64_t snapshot_index, snapshot_term;
    uint64_t last_contact_ms; /* with a leader, if contact_known */
    bool contact_known;
    const struct raft_configuration *latest, *committed;
    uint64_t latest_index, committed_index; /* of the configurations */
    bool transferring;
};

void raft_get_state(const struct raft *r, struct raft_state *out);

/* Leader, and a quorum of voters answered requests sent within the lease. Weaker than RAFT_VERIFY:
 * it trusts clock rates, and that no voter restarted and forgot its leader within the lease. */
bool raft_lease_valid(const struct raft *r, uint64_t now_ms);

/* Entry of the in-memory window or NULL: every entry not yet durable or not yet applied by a
 * leader, and the newest applied ones. */
const struct raft_entry *raft_entry_at(const struct raft *r, uint64_t index);

/* Term of a log or snapshot index; 0 if unknown. */
uint64_t raft_term_at(const struct raft *r, uint64_t index);

/* Replication state of one peer, leader only: false if there is none. */
struct raft_peer_state {
    uint64_t match_index, next_index;
    uint64_t needs_index;     /* the first entry it lacks, once it has the snapshot on its way */
    uint64_t last_contact_ms; /* 0: never */
    uint32_t failures;
    uint32_t
        snapshots; /* sent in this leadership: a peer that needs many is too slow for the log */
    bool pipeline, snapshot;
};
bool raft_get_peer(const struct raft *r, const char *id, struct raft_peer_state *out);

/* Since raft_create; the bounds that were met come last. */
struct raft_counters {
    uint64_t candidacies; /* consul.raft.state.candidate */
    uint64_t leaderships; /* consul.raft.state.leader */
    uint64_t snapshots_sent;
    uint64_t refused_busy;   /* proposals and verifications */
    uint64_t refused_memory; /* AppendEntries that the window had no room for */
    uint64_t refused_held;   /* requests for whose answer there was no room to wait */
};
const struct raft_counters *raft_get_counters(const struct raft *r);

/* --- configuration entries (raft.md 4.1, 4.2) ------------------------------------------------ */

/* Data of a configuration entry. */
void raft_configuration_encode(const struct raft_configuration *c, struct buf *out);
/* From Data of an entry of type RAFT_CONFIGURATION, RAFT_ADD_PEER or RAFT_REMOVE_PEER. */
int raft_configuration_decode(uint8_t entry_type, struct str data, struct raft_configuration *out,
    struct error *err) must_check;
