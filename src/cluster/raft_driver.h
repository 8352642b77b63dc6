/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the raft driver. One turn (raft_driver_turn.c): step what is queued, carry out what the
 * core asks for, apply what is committed, answer, start a commit. */
#pragma once
#include "consuld/base/world.h"
#include "consuld/cluster/raft_driver.h"
#include "consuld/raft.h"
#include "consuld/store.h"
#include "consuld/store_log.h"
#include "consuld/store_snapshot.h"
#include "raft_metrics.h"

#define DRIVER_WORKS_MAX 16384                       /* requests given to the core */
#define DRIVER_REQUESTS_MAX 65536                    /* requests of any state */
#define DRIVER_REQUEST_BYTES_MAX ((size_t)256 << 20) /* of their commands */
#define DRIVER_APPLY_ENTRIES_MAX 2048                /* in one batch */
#define DRIVER_APPLY_BYTES_MAX (16u << 20)
#define DRIVER_RETRY_MS 500 /* after the disk refused */
#define DRIVER_ENQUEUE_TIMEOUT_MS 30000
#define DRIVER_SLOW_COMMIT_MS 4 /* from here on a commit waits for company */
#define DRIVER_HOLD_MAX_MS 4
#define DRIVER_CHUNK_SIZE 524288 /* raft.md 4.3 */
#define DRIVER_PATH_MAX 4096
#define SUBSYSTEM "agent.server.raft"

enum work_kind {
    WORK_PROPOSE,
    WORK_BARRIER,
    WORK_VERIFY,
    WORK_CHANGE,
    WORK_TRANSFER,
    WORK_SNAPSHOT,
    WORK_SAVE,
    WORK_RESTORE,
};

/* The driver's side of a request. In a list while queued, waiting or answered; in no list while
 * the core has it (it is found by its handle then). */
struct raft_driver_work {
    struct raft_driver *driver;
    struct raft_driver_request *request; /* NULL: nobody waits any more */
    struct link link;
    enum work_kind kind;
    uint64_t handle;    /* 0: not given to the core */
    uint64_t since_ms;  /* queued */
    uint64_t read_from; /* verify: applied index to wait for */
    char *command;      /* propose: until the core took it */
    size_t command_n;
    enum raft_driver_change_op change;
    char id[RAFT_ID_MAX], address[RAFT_ADDRESS_MAX];
    /* the answer */
    int code;
    char text[512];
    uint64_t index;
    struct command_result result;
    bool has_result;
    struct shared_body *archive; /* to restore; or saved */
};

struct pending_write {
    uint64_t seq;      /* the core's */
    uint64_t sequence; /* the log's */
};

struct snapshot_job {
    struct job job;
    uint64_t asked_us, began_us; /* 0: nobody counts */
    struct raft_driver *driver;
    struct store_read *read;
    struct snapshot_meta meta;
    struct arena arena;
    int64_t wall_ms;
    struct error err;
    bool running;
};

/* A save under way: the archive is made on a worker from a view or from the newest file. */
struct archive_job {
    struct job job;
    struct raft_driver *driver;
    struct store_read *read; /* NULL: from the file */
    struct snapshot_meta meta;
    struct arena arena;
    struct buf out; /* the archive of a server in memory */
    int fd;         /* of others; -1: not open */
    size_t n;
    struct error err;
    bool running;
};

/* A state on its way in: verified, stored as a snapshot, made the state. */
enum install_phase { INSTALL_NONE, INSTALL_VERIFY, INSTALL_ASK, INSTALL_STORE };
struct install_job {
    struct job job;
    struct raft_driver *driver;
    enum install_phase phase;
    struct raft_driver_work *work; /* restore; NULL once the core has it */
    struct shared_body *archive;   /* the work's while it is read */
    struct shared_body *state;
    uint64_t archive_index;
    struct snapshot_meta meta;
    struct arena arena;
    int64_t wall_ms;
    struct store_batch *built; /* the state, to be switched to */
    struct snapshot_progress progress;
    struct timer tell;           /* of the progress, in the log */
    uint64_t asked_us, began_us; /* a restore, building; 0: nobody counts */
    struct error err;
};

struct raft_driver {
    struct world *world;
    struct store *store;
    struct disk *disk;
    const struct digest *digest;
    struct raft_driver_transport *transport;
    char dir[DRIVER_PATH_MAX]; /* "" in memory */
    char snapshots[DRIVER_PATH_MAX + 16];
    char id[RAFT_ID_MAX], address[RAFT_ADDRESS_MAX];
    bool bootstrap;
    uint64_t snapshot_threshold, snapshot_interval_ms, trailing_logs;
    char slow_peer[RAFT_ID_MAX]; /* for whom more of the log is kept; "": nobody */

    struct raft *raft;
    struct raft_log *log;
    struct raft_metrics metrics;
    uint64_t flushed_to; /* last entry given to a commit */
    struct tick tick;
    struct timer wake, retry, snapshot_timer;
    uint64_t wake_ms;
    bool started, stopping, stopped;
    void (*on_stopped)(void *ctx);
    void *stopped_ctx;

    struct raft_driver_work **works; /* by slot */
    uint32_t *generations;
    size_t works_n, works_cap;
    size_t *free_slots;
    size_t free_n;
    size_t requests;      /* alive */
    size_t request_bytes; /* of commands kept */

    struct link queue; /* submitted */
    bool core_full;    /* the core takes no more until something is applied */
    struct link reads; /* verified, wait for the applied index */
    struct link snapshot_requests;
    struct link saves;
    struct link answers; /* finished in this turn */

    struct pending_write *writes; /* queued, oldest first */
    size_t writes_n, writes_cap;
    uint64_t persisted_seq;

    uint64_t leader_from; /* first entry of this leadership; 0: none. Applied: it is announced */
    uint64_t leader_term;
    bool announced;
    uint64_t apply_to;
    uint64_t elect_us;  /* when the candidacy began; 0: there is none */
    uint64_t commit_us; /* when it was raised over what is applied; 0: it was not */
    struct arena arena; /* of one apply batch */
    bool broken;        /* the state machine cannot go on */
    char broken_text[512];
    bool refused;        /* the disk takes no writes now */
    uint64_t silence_ms; /* of a leader that may be gone */
    char refused_text[512];
    bool retry_now;    /* the retry timer fired */
    bool flush_failed; /* the last commit of the log failed */
    bool apply_failed; /* the last batch could not be applied */

    uint64_t commit_began_ms, commit_began_us;
    uint64_t hold_until_ms; /* no commit begins before */

    struct snapshot_job snapshot;
    struct archive_job archive;
    struct install_job install;

    struct link observers;
    bool changed;
    struct raft_driver_server *servers; /* views given out */
    struct raft_driver_counters counters;
};

/* raft_driver_open.c */
int driver_open(struct raft_driver *d, struct error *err) must_check;
/* The state is made to hold at least what the snapshot holds. */
int driver_restore_state(struct raft_driver *d, const struct snapshot_meta *meta, struct arena *a,
    struct error *err) must_check;
/* State, log and the snapshot that ends at `snapshot` belong together. */
int driver_check_state(struct raft_driver *d, uint64_t snapshot, struct error *err) must_check;
/* raft_driver_recover.c: before anything is loaded */
int driver_recover(struct raft_driver *d, struct error *err) must_check;
/* raft_driver_turn.c */
void driver_step(struct raft_driver *d, const struct raft_event *ev);
void driver_turn(struct tick *t);
void driver_flushed(void *ctx, const struct error *err);
/* The disk refused: what waits fails with its text, and it is tried again. */
void driver_refuse(struct raft_driver *d, const struct error *err);
void driver_accept(struct raft_driver *d);
/* A leader whose state holds all that came before its leadership. */
bool driver_leads(const struct raft_driver *d);
/* raft_driver_apply.c: applies one batch; true when there was something to do. */
bool driver_apply(struct raft_driver *d);
uint64_t driver_applied(const struct raft_driver *d);
/* raft_driver_request.c */
void driver_requests_init(struct raft_driver *d);
void driver_requests_deinit(struct raft_driver *d);
/* Steps what is queued; true when something was. */
bool driver_requests_step(struct raft_driver *d);
/* The command is of no more use. */
void driver_command_free(struct raft_driver_work *w);
/* A handle for a work given to the core. */
uint64_t driver_work_put(struct raft_driver *d, struct raft_driver_work *w);
/* The work of a handle, taken out of the table; NULL if there is none. */
struct raft_driver_work *driver_work_take(struct raft_driver *d, uint64_t handle);
void driver_result(struct raft_driver *d, const struct raft_result *r);
/* Puts a work into the answers of this turn. */
void driver_finish(struct raft_driver *d, struct raft_driver_work *w, int code, const char *text);
/* Calls back for all answers. */
void driver_answer(struct raft_driver *d);
/* Fails everything the core or the queue has. */
void driver_fail_all(struct raft_driver *d, bool queued_too, int code, const char *text);
/* Reads whose index is applied. */
void driver_reads_answer(struct raft_driver *d);
/* raft_driver_snapshot.c */
void driver_snapshot_timer(struct timer *t);
void driver_snapshot_arm(struct raft_driver *d);
/* Starts one unless it runs or there is nothing new. */
void driver_snapshot_begin(struct raft_driver *d);
void driver_meta_configuration(
    struct snapshot_meta *meta, const struct raft_configuration *c, struct arena *a);
/* raft_fsm_metrics.c: what was applied since `began_us`, 0: nobody counts */
void driver_measure_command(
    struct raft_driver *d, const struct command_result *res, uint64_t began_us);
/* raft_driver_trailing.c: how many entries to keep behind a snapshot taken now */
uint64_t driver_trailing(struct raft_driver *d);
/* raft_driver_archive.c: archives the newest snapshot for those who wait for one. */
void driver_save_begin(struct raft_driver *d);
/* raft_driver_install.c */
void driver_restore_begin(struct raft_driver *d, struct raft_driver_work *w);
/* What the core asks for. */
void driver_install(struct raft_driver *d, const struct raft_install *in);
bool driver_installing(const struct raft_driver *d);
bool driver_configuration_of_meta(const struct snapshot_meta *meta, struct raft_configuration *out);
