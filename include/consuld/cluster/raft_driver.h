/* SPDX-License-Identifier: Apache-2.0 */
/* The raft driver: the pure raft core, the log on disk, the store and the clock as one machine.
 *
 * Inputs (proposals, messages, timers, finished disk jobs) are queued while the loop polls; at the
 * end of the turn the core is stepped, one group commit is started, committed entries are applied
 * in one batch, watches fire, then proposals are answered. A proposal is answered with success only
 * after its entry is durable here and applied. While the disk refuses writes, proposals fail at
 * once with the disk's reason, reads go on, and the write is tried again until there is room.
 * Specs: raft.md 5-8, DESIGN "Storage". */
#pragma once
#include "consuld/base.h"
#include "consuld/base/shared.h"
#include "consuld/wire.h"

struct world;
struct store;
struct disk;
struct raft_driver;
struct raft_driver_work;
struct command_result; /* consuld/store.h */
struct metrics;

enum raft_driver_role { DRIVER_FOLLOWER, DRIVER_CANDIDATE, DRIVER_LEADER };
const char *raft_driver_role_name(enum raft_driver_role role); /* "Follower" ... as stats show it */

/* How messages reach other servers; a server alone needs none. Messages are the core's (raft.h).
 * Received ones go to raft_driver_receive, failed requests to raft_driver_rpc_failed, neither from
 * inside `send`. */
struct raft_message;
struct raft_driver_transport {
    /* Never blocks; what the message points to is valid during the call. Entries of an
     * AppendEntries are had from raft_driver_entry. */
    void (*send)(struct raft_driver_transport *t, const struct raft_message *m);
};

struct raft_driver_options {
    struct world *world;
    struct store *store;
    const char *dir;     /* the data directory's raft folder; NULL: in memory (-dev) */
    struct str id;       /* node id */
    struct str address;  /* "ip:port" of the server port as others reach it */
    bool bootstrap;      /* write the first configuration (self alone) if there is no state */
    uint32_t multiplier; /* raft_multiplier 1..10; 0: 5 */
    uint64_t snapshot_threshold;             /* entries; 0: 16384 */
    uint64_t snapshot_interval_ms;           /* 0: 30000 */
    uint64_t trailing_logs;                  /* 0: 10240 */
    struct raft_driver_transport *transport; /* may be NULL */
    struct disk *disk;           /* disk operations, NULL: the real ones (consuld/store_log.h) */
    const struct digest *digest; /* NULL: archives are neither made nor read */
    struct metrics *metrics;     /* NULL: nobody counts */
};

/* Reads the folder, restores what the store lacks, and waits for raft_driver_start. Strings are
 * copied. Fails with a precise text on torn or missing pieces; nothing was changed then. */
int raft_driver_create(
    const struct raft_driver_options *opts, struct raft_driver **out, struct error *err) must_check;
/* Begins timers. A lone voter becomes leader within the first turns. */
void raft_driver_start(struct raft_driver *d);
/* Refuses new work, fails what waits (RAFT_ERR_SHUTDOWN), lets the running disk job end, then calls
 * `stopped`, from where raft_driver_destroy may be called. */
void raft_driver_stop(struct raft_driver *d, void (*stopped)(void *ctx), void *ctx);
/* Of a stopped (or never started) driver. */
void raft_driver_destroy(struct raft_driver *d);

/* --- work ----------------------------------------------------------------------------------- */

/* One request to the log. Embedded in its owner, which fills `done` and `ctx` and keeps it alive
 * until `done`, which is called once and never from inside the call that submitted it. */
struct raft_driver_request {
    void (*done)(struct raft_driver_request *r);
    void *ctx;
    /* the outcome: code 0, or negative with err filled */
    int code;
    struct error err;
    uint64_t index;                      /* of the entry, 0 if none was written */
    struct shared_body *archive;         /* of a save: the owner's from `done` on */
    const struct command_result *result; /* what the command returned; valid during `done` only */
    /* the driver's */
    struct link link;
    struct raft_driver *driver;
    struct raft_driver_work *work;
};

#define RAFT_ERR_NOT_LEADER "node is not the leader"
#define RAFT_ERR_LEADERSHIP_LOST "leadership lost while committing log"
#define RAFT_ERR_TRANSFERRING "leadership transfer in progress"
#define RAFT_ERR_SHUTDOWN "raft is already shutdown"
#define RAFT_ERR_OVERLOADED "too many requests wait for the raft log"
#define RAFT_ERR_ENQUEUE_TIMEOUT "timed out enqueuing operation"

/* Appends a command (type byte and body, copied); large KV commands are chunked (raft.md 4.3).
 * A command that the state machine answers with an error is still code 0: see result. */
void raft_driver_propose(struct raft_driver *d, struct raft_driver_request *r, struct str command);
/* Done when everything before it is applied. */
void raft_driver_barrier(struct raft_driver *d, struct raft_driver_request *r);
/* Done when this server is known to lead now: what a consistent read waits for (raft.md 6.7). */
void raft_driver_verify_leader(struct raft_driver *d, struct raft_driver_request *r);
/* Writes a snapshot now and compacts the log. index: the snapshot's; 0 if there is nothing new. */
void raft_driver_snapshot(struct raft_driver *d, struct raft_driver_request *r);
/* The archive of the present state (fsm.md 15), after a snapshot where snapshots are kept. */
void raft_driver_save(struct raft_driver *d, struct raft_driver_request *r);
/* Replaces the state of the whole cluster by an archive's, leader only. The archive, of which a
 * reference is kept, is read and verified whole first; requests in hand fail (raft.md 6.13). */
void raft_driver_restore(
    struct raft_driver *d, struct raft_driver_request *r, struct shared_body *archive);
/* Forgets a request whose owner goes away: `done` is not called. Idempotent; fine on a zero one. */
void raft_driver_forget(struct raft_driver_request *r);

enum raft_driver_change_op { DRIVER_ADD_VOTER, DRIVER_ADD_NONVOTER, DRIVER_DEMOTE, DRIVER_REMOVE };
void raft_driver_change(struct raft_driver *d, struct raft_driver_request *r,
    enum raft_driver_change_op op, struct str id, struct str address);
/* Hands leadership to a voter; id empty: to the one that is furthest along (raft.md 6.10). Done
 * when this server leads no more; fails after an election timeout, and at once when it does not
 * lead or there is no such voter. */
void raft_driver_transfer(struct raft_driver *d, struct raft_driver_request *r, struct str id);

/* --- the first configuration ----------------------------------------------------------------- */

struct raft_driver_server;
/* Neither term, log nor snapshot: never was part of a cluster. */
bool raft_driver_pristine(const struct raft_driver *d);
/* Writes the first configuration of a pristine, started driver (raft.md 7.1). ERR_BAD_REQUEST: it
 * has state, or the configuration is not valid. */
int raft_driver_bootstrap(struct raft_driver *d, const struct raft_driver_server *servers, size_t n,
    struct error *err) must_check;

/* --- for the transport ---------------------------------------------------------------------- */

struct raft_entry;
/* A message from a peer; what it points to is copied if kept. */
void raft_driver_receive(struct raft_driver *d, const struct raft_message *m);
/* An InstallSnapshot whose stream was received whole; what is kept of `state` is a reference. */
void raft_driver_receive_snapshot(
    struct raft_driver *d, const struct raft_message *m, struct shared_body *state);
/* Where an incoming snapshot may be kept until it is whole; empty: in memory. */
const char *raft_driver_spool_dir(const struct raft_driver *d);

/* The snapshot to send to a server that needs one: the newest file, or, where none are kept, the
 * present state. Opened by a worker; `done` is called once, later, with err.code 0 or the reason.
 * Closed by its owner; the driver may be gone by then. */
struct raft_configuration;
struct raft_driver_snapshot_job;
struct raft_driver_snapshot {
    void (*done)(struct raft_driver_snapshot *s);
    struct error err;
    struct shared_body *state; /* let go by the closing */
    uint64_t index, term, configuration_index;
    const struct raft_configuration *configuration;
    struct raft_driver_snapshot_job *job;
};
void raft_driver_snapshot_open(struct raft_driver *d, struct raft_driver_snapshot *s);
void raft_driver_snapshot_close(struct raft_driver_snapshot *s);
/* A request sent has no response; `missing`: its entries could not be read. */
void raft_driver_rpc_failed(struct raft_driver *d, const char *peer_id, uint64_t rpc, bool missing);
/* The process of the server at this address ended, as far as connecting to it tells. */
void raft_driver_leader_gone(struct raft_driver *d, struct str address);
/* An entry to send, from memory or disk. ERR_NOT_FOUND, ERR_IO. */
int raft_driver_entry(struct raft_driver *d, uint64_t index, struct arena *a,
    struct raft_entry *out, struct error *err) must_check;

/* --- state ---------------------------------------------------------------------------------- */

struct raft_driver_server {
    struct str id;
    struct str address;
    uint8_t suffrage; /* 0 voter, 1 non-voter, 2 staging */
};

struct raft_driver_state {
    enum raft_driver_role role;
    uint64_t term;
    struct str leader_id, leader_address; /* empty: unknown */
    uint64_t last_log_index, last_log_term;
    uint64_t commit_index, applied_index;
    uint64_t last_snapshot_index, last_snapshot_term;
    uint64_t configuration_index;
    const struct raft_driver_server *servers; /* latest configuration */
    size_t servers_n;
    bool configuration_pending; /* the latest is not committed yet */
    bool transferring;          /* leadership is being handed over */
    bool contact_known;         /* a leader was heard of (followers) */
    uint64_t last_contact_ms;   /* since then; 0 for a leader */
    bool leader_silent;         /* one is known, and missed several heartbeats */
    bool writes_refused;        /* the disk does not take writes now */
};

/* What the leader knows of another server of the configuration; false: does not lead, or no such
 * server. */
struct raft_driver_peer {
    uint64_t match_index; /* its log holds the leader's up to here */
    bool contact_known;
    uint64_t last_contact_ms; /* since its last answer */
    uint32_t snapshots;       /* sent to it in this leadership */
};
bool raft_driver_peer(struct raft_driver *d, struct str id, struct raft_driver_peer *out);

/* Borrowed until the next turn. */
struct raft_driver_state raft_driver_state(struct raft_driver *d);
bool raft_driver_is_leader(const struct raft_driver *d);

/* Told at the end of the turn in which role, term, leader or configuration changed. A server is
 * leader here when it won and has applied everything that was committed before: its reads miss
 * nothing that was acknowledged. */
struct raft_driver_observer {
    void (*changed)(struct raft_driver_observer *o, const struct raft_driver_state *state);
    void *ctx;
    struct link link;
};
void raft_driver_observe(struct raft_driver *d, struct raft_driver_observer *o);
void raft_driver_unobserve(struct raft_driver_observer *o);

/* The pairs of /v1/agent/self Stats.raft and Status.RaftStats, sorted by key (raft.md 8). */
struct raft_driver_stat {
    const char *key;
    struct str value;
};
size_t raft_driver_stats(
    struct raft_driver *d, struct arena *a, const struct raft_driver_stat **out);

/* Counters of the driver, for metrics and tests. */
struct raft_driver_counters {
    uint64_t proposals;
    uint64_t commits; /* group commits that reached the disk */
    uint64_t commit_failures;
    uint64_t apply_batches;
    uint64_t applied; /* entries */
    uint64_t applied_us;
    uint64_t snapshots;
    uint64_t installs; /* states replaced: restores and snapshots from a leader */
};
struct raft_driver_counters raft_driver_counters(const struct raft_driver *d);
