/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters of whole servers on virtual time, network and disk: gossip pool, port 8300, raft
 * transport and driver, log, state, dispatcher and leader duties are the shipped object files; what
 * lies below the seams of base (world.h, outside.h, packet.h) and below `struct disk` is here. One
 * seed decides everything. A run is a phase with faults and then, without them, a phase in which
 * the cluster must converge; the history of all calls that read and write keys, take locks and make
 * transactions must be linearizable. */
#pragma once
#include "../linear/linear.h"
#include "consuld/base/outside.h"
#include "consuld/base/packet.h"
#include "consuld/cluster.h"
#include "consuld/cluster/pool.h"
#include "consuld/cluster/raft_transport.h"
#include "consuld/cluster/rpc_pool.h"
#include "consuld/cluster/rpc_port.h"
#include "consuld/raft.h"
#include "consuld/server.h"
#include "consuld/store.h"
#include "consuld/store_log.h"

#define NODES_MAX 7
#define PATH_SIZE 4400
#define SAFETY_MS 40000
#define LIVENESS_MS 120000 /* gossip tries failed members every half minute */
#define CALL_TIMEOUT_MS 15000

struct sim;

/* --- world.c: time, ticks, timers, jobs ------------------------------------------------------ */

/* Something that will happen; to a node: in its loop turn, and only in the life that it was meant
 * for. */
struct event {
    uint64_t at, order;
    void (*run)(struct sim *s, struct event *e);
    struct world *world; /* NULL: of the simulator itself */
    unsigned life;
    void *p;
    uint64_t a;
};

/* The world of one life of a node. */
struct world {
    struct sim *sim;
    int node;
    unsigned life;
    bool dying;        /* cut off from all; goes down */
    bool touched;      /* something happened, its ticks are due */
    uint64_t ahead_ms; /* time that passed for a dying world alone */
    struct timer **timers;
    size_t timers_n, timers_cap;
    struct link ticks, jobs, dials, ends, listeners, sockets, resolves;
};

void sim_at(struct sim *s, uint64_t delay_ms, struct world *w,
    void (*run)(struct sim *s, struct event *e), void *p, uint64_t a);
/* Everything up to then; ends early when a check failed. */
void sim_until(struct sim *s, uint64_t at);
void world_init(struct world *w, struct sim *s, int node);
void world_deinit(struct world *w);
/* One turn of a dying world: what it waits for fails or ends at once. */
void world_wind_down(struct world *w);

/* --- stream.c, packet.c ---------------------------------------------------------------------- */

/* Connections of the world break, dials fail. `silent`: nobody is told. */
void streams_cut_off(struct world *w, bool silent);
bool streams_wind_down(struct world *w);
void streams_free(struct sim *s);
struct listener *listener_at(struct sim *s, const char *ip, uint16_t port);
void packets_free(struct sim *s);
/* Node by address, -1: nobody's. */
int node_at(const struct sim *s, const char *ip);

/* --- disk.c: what the log and the snapshots write; image.c: what a crash leaves of it ----------
 */

enum crash { CRASH_NONE, CRASH_PROCESS, CRASH_MACHINE };

enum note_kind { NOTE_CREATED, NOTE_DIR, NOTE_RENAMED, NOTE_UNLINKED, NOTE_WRITTEN };
/* Something that a crash of the machine may take back. */
struct note {
    enum note_kind kind;
    char path[PATH_SIZE], from[PATH_SIZE]; /* from: of a rename; where an unlinked file is kept */
    uint64_t synced;                       /* bytes of a written file */
};

struct node_disk {
    struct disk disk;
    struct sim_node *node;
    bool dead; /* the crash has happened */
    bool full;
    uint64_t faults;      /* of this life */
    enum crash crash_in;  /* how it crashes ... */
    unsigned crash_after; /* ... in the n-th operation from now; 0: not */
    struct note *notes;
    size_t notes_n, notes_cap;
    char fds[1024][PATH_SIZE];
    unsigned graves;
    char held_of[PATH_SIZE]; /* sync is a lie: the log whose older form is in folder/held */
};
void disk_init(struct sim_node *n);
void disk_deinit(struct sim_node *n);
/* Puts into `to` what is found after a crash now. */
void image_take(struct sim_node *n, enum crash crash, const char *to);
/* The file as it may be found when the crash comes in a commit that turned `before` into `after`.
 */
struct str image_torn(
    struct sim *s, enum crash crash, struct str before, struct str after, struct arena *a);
bool image_read(const char *path, struct arena *a, struct str *out);
void image_write(const char *path, struct str bytes);

/* --- node.c ---------------------------------------------------------------------------------- */

struct sim_node {
    struct sim *sim;
    int number;
    char name[20], id[40], ip[20], address[32];
    bool up, off, leaving; /* off: its machine is down */
    unsigned life;
    uint64_t lag_ms;              /* what is sent to it takes so much longer */
    uint64_t paused_until, drift; /* its clock gains `drift` of 10000 */
    int64_t wall_jump_ns;
    unsigned boot; /* of the machine */
    char *folder;  /* scratch; each life has its data in a folder of its own */
    char data[PATH_SIZE], raft_dir[PATH_SIZE], image[PATH_SIZE];
    struct node_disk disk;
    struct world world;
    struct store *store;
    struct pool *lan;
    struct raft_transport *transport;
    struct raft_driver *raft;
    struct rpc_pool *rpc_pool;
    struct server *server;
    struct rpc_port *port;
    struct timer join_timer, leave_timer;
    struct pool_request join, leave;
    struct pool_observer members;
    struct raft_driver_observer observer;
    bool joining, stopped;
    struct place {
        char id[40], address[32];
    } places[64];
    size_t places_n;
    uint64_t commit_seen;
};
/* The first `initial_n` make a cluster of themselves, others join it. */
void node_start(struct sim_node *n);
void node_start_later(struct sim_node *n, uint64_t delay_ms);
/* The end of this life; what the next one finds depends on `crash`. NONE: stopped in order. */
void node_stop(struct sim_node *n, enum crash crash);
/* Leaves the cluster, then stops. */
void node_leave(struct sim_node *n);
/* It crashed within an operation of its disk: finish that. */
void node_bury(struct sim_node *n);
int sim_leader(const struct sim *s);

/* --- client.c, fault.c, invariant.c ----------------------------------------------------------- */

void clients_start(struct sim *s);
/* Calls of a node that goes down get no answer. */
void clients_forget(struct sim *s, int node);
void clients_free(struct sim *s);

/* How rough this seed is; per 10000 or milliseconds. */
struct weather {
    uint32_t loss, duplicate, reset, disk_error;
    uint64_t delay_ms, disk_ms, fault_ms, client_ms;
    uint32_t crash, machine, cut, pause, full, jump, snapshot, transfer, leave, restart;
};
struct weather weather_of(struct sim *s);
void fault_begin(struct sim *s);
void fault_end(struct sim *s);

void invariant_leader(struct sim *s, int node, const struct raft_driver_state *st);
void invariant_committed(struct sim *s, struct sim_node *n);
bool converged(struct sim *s, char *why, size_t n);
void sim_fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *s, int node, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* --- run.c ------------------------------------------------------------------------------------ */

/* Faults on purpose, which the history alone must show: a disk that forgets what it synced, reads
 * that any server answers, a core with a broken rule. */
enum wrong { WRONG_NOTHING, WRONG_SYNC, WRONG_STALE, WRONG_CORE };

struct sim {
    uint64_t seed, now, order, clock; /* clock: counts what clients see begin and end */
    struct prng prng;
    bool trace, calm, failed;
    enum wrong wrong;
    char failure[1024];
    struct weather weather;
    struct event *heap;
    size_t heap_n, heap_cap;
    struct sim_node nodes[NODES_MAX];
    int nodes_n, initial_n;
    bool cut[NODES_MAX][NODES_MAX]; /* from, to */
    uint64_t cut_generation;
    struct link conns;
    struct client *clients;
    size_t clients_n;
    struct linear_call *history;
    size_t history_n, history_cap;
    uint64_t *committed; /* hash by index */
    uint64_t committed_n, committed_cap;
    int leader_of[4096]; /* by term: node + 1 */
    struct sim_counts {
        uint64_t events, leaders, crashes, tears, cuts, pauses, leaves, snapshots, installs, calls,
            acked, unknown, forwarded;
    } counts;
};

struct sim_options {
    uint64_t seed;
    int nodes;
    bool trace;
    enum wrong wrong;
};
/* A cluster with a leader, and no faults yet. */
struct sim *sim_open(const struct sim_options *o);
/* The finished run; sim_free it. */
struct sim *sim_run(const struct sim_options *o);
void sim_free(struct sim *s);
/* scenario.c: situations with one expected course; the number of those that failed. */
int scenarios_run(bool trace);
