/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster of raft cores on virtual time, network and disk. One seed decides everything: the same
 * seed gives the same run. A run is a safety phase under faults and then, with faults off, a
 * liveness phase that must converge within a budget of virtual time. */
#pragma once
#include "consuld/raft.h"

#define NODES_MAX 8
#define SAFETY_MS 40000
#define LIVENESS_MS 30000

enum event_kind {
    EVENT_WAKE,      /* a: wake generation */
    EVENT_REQUEST,   /* a: call */
    EVENT_RESPONSE,  /* a: call, p: struct raft_message */
    EVENT_CALL_OVER, /* a: call; no answer came */
    EVENT_DISK,      /* a: disk job generation */
    EVENT_APPLY,
    EVENT_INSTALLED, /* a: snapshot generation */
    EVENT_RESTART,
    EVENT_CLIENT,
    EVENT_FAULT,
    EVENT_HEAL, /* a: fault generation */
};

struct event {
    uint64_t at, order;
    enum event_kind kind;
    int node; /* -1: none */
    unsigned life;
    uint64_t a;
    void *p;
};

struct snapshot {
    uint64_t index, term, configuration_index, chain;
    struct raft_configuration configuration;
};

struct disk_op {
    struct raft_write write; /* seq 0: compaction */
    char vote[RAFT_ADDRESS_MAX];
    struct raft_entry *entries;
    uint64_t compact_to;
};

/* What survives a crash, and what is on its way there. */
struct disk {
    uint64_t term, vote_term;
    char vote[RAFT_ADDRESS_MAX];
    struct raft_entry *log; /* ascending, may have a hole */
    size_t log_n, log_cap;
    struct snapshot snapshot;
    struct disk_op *queue;
    size_t queue_n, queue_cap, job_n; /* the first job_n are in the running job */
    uint64_t job;
};

struct node {
    char id[RAFT_ID_MAX], address[RAFT_ADDRESS_MAX];
    bool alive;
    unsigned life;
    uint64_t paused_until, skew_ms;
    struct raft *raft;
    struct disk disk;
    uint64_t wake, wake_generation;
    /* state machine */
    uint64_t applied, chain, apply_to;
    bool apply_queued, installing;
    struct snapshot incoming;
    uint64_t install_generation;
    /* what the invariants remember */
    uint64_t commit_seen, term_sent, term_seen;
    enum raft_role role_seen;
};

/* One request and what came of it. */
struct call {
    int from, to;
    unsigned from_life;
    uint64_t rpc;
    struct raft_message m; /* owned by the run's arena */
    struct snapshot *snapshot;
    bool resolved;
};

enum client_kind { CLIENT_PROPOSAL, CLIENT_CHANGE, CLIENT_VERIFY, CLIENT_TRANSFER };
struct client {
    enum client_kind kind;
    int node;
    unsigned life;
    unsigned answers;
    bool acked;
    uint64_t index;
    uint64_t floor; /* verify: highest acknowledged index when it was asked */
};

/* How rough this seed is. */
struct weather {
    uint32_t loss, duplicate; /* per 10000 messages */
    uint64_t delay_ms, disk_ms, apply_ms;
    uint32_t disk_error; /* per 10000 jobs */
    uint64_t fault_ms, client_ms;
    uint32_t append_entries;                                /* batch limit */
    uint32_t crash, cut, pause, member, snapshot, transfer; /* weights */
};

struct committed {
    uint64_t term, hash, chain, by_term;
};

struct sim {
    uint64_t seed, now, order;
    struct prng prng;
    struct arena arena;
    bool trace, calm, failed;
    void (*on_state)(struct sim *s, int node, const struct raft_state *st); /* role or term moved */
    char failure[512];
    struct weather weather;
    struct event *heap;
    size_t heap_n, heap_cap;
    struct node nodes[NODES_MAX];
    int nodes_n, initial_n;
    bool cut[NODES_MAX][NODES_MAX]; /* from, to */
    uint64_t stream_at[NODES_MAX][NODES_MAX], broken_until[NODES_MAX][NODES_MAX];
    uint64_t fault_generation;
    struct call **calls;
    size_t calls_n, calls_cap;
    struct client *clients;
    size_t clients_n, clients_cap;
    uint64_t acked_index;
    uint64_t commands;
    /* invariants.c */
    struct committed *committed; /* by index */
    uint64_t committed_n;
    size_t committed_cap;
    struct seen_entry *seen;
    size_t seen_n, seen_cap;
    int leader_of[4096]; /* by term: node + 1 */
    struct seen_vote *votes;
    size_t votes_n, votes_cap;
    uint64_t steps, leaders, crashes, installs, changes, acks, reads, transfers;
};

/* queue.c */
void sim_at(struct sim *s, uint64_t delay_ms, enum event_kind kind, int node, uint64_t a, void *p);
bool sim_next(struct sim *s, struct event *out);

/* disk.c */
void disk_submit(struct sim *s, int node, const struct raft_output *out);
void disk_done(struct sim *s, int node, uint64_t job);
void disk_crash(struct sim *s, int node);
const struct raft_entry *disk_entry(const struct disk *d, uint64_t index);
uint64_t disk_term(const struct disk *d, uint64_t index);

/* network.c */
void network_send(struct sim *s, int node, const struct raft_message *m);
void network_request(struct sim *s, const struct event *e);
void network_response(struct sim *s, const struct event *e);
void network_call_over(struct sim *s, const struct event *e);

/* node.c */
void node_start(struct sim *s, int node);
void node_crash(struct sim *s, int node);
void node_step(struct sim *s, int node, const struct raft_event *ev);
void node_wake(struct sim *s, int node, uint64_t generation);
void node_apply(struct sim *s, int node);
void node_installed(struct sim *s, int node, uint64_t generation);
void node_snapshot(struct sim *s, int node, uint64_t trailing);
uint64_t entry_hash(const struct raft_entry *e);
uint64_t chain_next(uint64_t chain, uint64_t term, uint64_t hash);

/* client.c, fault.c */
void client_act(struct sim *s);
uint64_t client_add(struct sim *s, enum client_kind kind, int node);
void client_result(struct sim *s, const struct raft_result *r);
void client_applied(struct sim *s, int node, uint64_t handle, uint64_t index);
void client_propose(struct sim *s, int node, size_t n);
void fault_act(struct sim *s);
void fault_heal(struct sim *s, uint64_t generation);
void fault_end(struct sim *s);
struct weather weather_of(struct sim *s);

/* invariants.c: each violation ends the run with a text. */
void invariant_step(struct sim *s, int node, const struct raft_output *out);
void invariant_sent(struct sim *s, int node, const struct raft_message *m);
void invariant_appended(struct sim *s, const struct raft_entry *e, uint64_t prev_term);
/* A lone leader's entries from..to were lost with a failed write: it may write others. */
void invariant_lost(struct sim *s, uint64_t from, uint64_t to, uint64_t term);
void invariant_applied(struct sim *s, int node, const struct raft_entry *e);
void invariant_acked(struct sim *s, int node, uint64_t index);
void invariant_restarted(struct sim *s, int node);
bool converged(struct sim *s, char *why, size_t n);
void sim_fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* run.c: sim_open makes a cluster without faults; sim_until runs it. */
struct sim_options {
    uint64_t seed;
    int nodes;
    bool trace;
};
struct sim *sim_open(const struct sim_options *o);
void sim_until(struct sim *s, uint64_t until);
/* The finished run; sim_free it. */
struct sim *sim_run(const struct sim_options *o);
void sim_free(struct sim *s);
/* failover.c: prints figures. */
void failover_report(uint64_t first, uint64_t n);
void sim_trace(struct sim *s, int node, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
