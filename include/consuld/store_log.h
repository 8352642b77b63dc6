/* SPDX-License-Identifier: Apache-2.0 */
/* The raft log and stable store: what must survive, in the order it was queued.
 *
 * Changes are queued in memory, where reads see them at once; raft_log_flush writes all of them in
 * one synced transaction on a worker (group commit), one at a time. Nothing that was queued is
 * durable before raft_log_durable says so. Files never need repair: whatever a crash leaves is the
 * state after some commit.
 *
 * The log is kept in generations (folders log-<n>, one LMDB environment each): a new one begins
 * with each snapshot and when one is full, old ones are unlinked when all their entries are given
 * up. An entry belongs to the newest generation that starts at or below it, so cutting off the tail
 * is one transaction in the newest. Format: docs/internals/raft-log.md. Spec: raft.md 4, 5. */
#pragma once
#include <sys/types.h>

#include "consuld/base.h"

struct world;
struct MDB_env;
struct MDB_txn;

/* Everything blocking that the log and the snapshot files do, so that tests can refuse the k-th.
 * Each returns 0 or an errno (or LMDB) code. */
struct disk {
    int (*env_open)(struct disk *d, struct MDB_env *env, const char *path, unsigned flags);
    /* Ends the transaction whatever it returns. */
    int (*commit)(struct disk *d, struct MDB_txn *txn);
    int (*open)(struct disk *d, const char *path, int flags, int *fd);
    int (*write)(struct disk *d, int fd, const void *p, size_t n); /* all of it */
    int (*sync)(struct disk *d, int fd);
    int (*make_dir)(struct disk *d, const char *path); /* there already: 0 */
    int (*rename)(struct disk *d, const char *from, const char *to);
    int (*unlink)(struct disk *d, const char *path); /* file or empty folder */
};
/* The real ones. */
struct disk *disk_system(void);
/* Text of a code of either kind. */
const char *disk_strerror(int code);
/* LMDB calls a write that was cut short an I/O error: on a full disk that is ENOSPC. */
int disk_reason(int code, const char *path);
/* Syncs a folder, so that names in it are durable. */
int disk_sync_dir(struct disk *d, const char *path);
/* Makes a folder, if it is not there, whose name is durable. */
int disk_make_dir(struct disk *d, const char *path);

struct log_entry {
    uint64_t index;
    uint64_t term;
    uint8_t type;
    struct str data;
    struct str extensions;
};

#define LOG_ENTRY_MAX (64u << 20)   /* bytes of data */
#define LOG_QUEUED_MAX (256u << 20) /* bytes not yet durable */
#define LOG_GENERATIONS_MAX 64
#define LOG_GENERATIONS_FULL \
    (LOG_GENERATIONS_MAX - 8)          /* from here on, only compaction begins one */
#define LOG_MAP_SIZE ((size_t)1 << 36) /* address space of one generation */
#define LOG_VOTE_MAX 1024

/* Term and vote: one record, written whole (raft.md 5). */
struct log_stable {
    uint64_t term;
    uint64_t vote_term;
    uint8_t vote[LOG_VOTE_MAX]; /* the candidate's address bytes */
    size_t vote_n;
};

struct raft_log;

struct raft_log_options {
    struct world *world; /* NULL: it is read only */
    const char *dir;     /* NULL: in memory, every change durable at once */
    size_t map_size;     /* 0: LOG_MAP_SIZE */
    struct disk *disk;   /* NULL: disk_system() */
    /* A generation that holds as many entries is followed by a new one, so that what compaction
     * leaves behind is less than this; 0: only compaction begins a new one. */
    uint64_t generation_entries;
    /* A flush ended: more is durable, or err says why not (what was queued stays queued). */
    void (*flushed)(void *ctx, const struct error *err);
    void *ctx;
};

/* Reads the generations. Fails, naming file and reason, when pieces are missing or damaged. */
int raft_log_open(
    const struct raft_log_options *opts, struct raft_log **out, struct error *err) must_check;
/* Not while a flush runs. A running unlink ends on its own; the world outlives it. */
void raft_log_close(struct raft_log *l);

/* --- reading: queued changes included ------------------------------------------------------- */

uint64_t raft_log_first(const struct raft_log *l); /* 0: empty */
uint64_t raft_log_last(const struct raft_log *l);  /* 0: empty */
uint64_t raft_log_next(const struct raft_log *l);  /* index of the entry after the last */
const struct log_stable *raft_log_stable(const struct raft_log *l);
/* The entry with its bytes copied into the arena. ERR_NOT_FOUND; ERR_IO: damaged. */
int raft_log_entry(struct raft_log *l, uint64_t index, struct arena *a, struct log_entry *out,
    struct error *err) must_check;
/* As raft_log_entry but without bytes: data and extensions have a length and no content. */
int raft_log_head(
    struct raft_log *l, uint64_t index, struct log_entry *out, struct error *err) must_check;
/* Term of an entry; 0 if it is not in the log. */
uint64_t raft_log_term(struct raft_log *l, uint64_t index);
/* --- changes: queued ------------------------------------------------------------------------ */

void raft_log_stable_set(struct raft_log *l, const struct log_stable *s);
/* The index must be raft_log_next; an empty log takes any. Bytes are copied.
 * ERR_FULL: LOG_QUEUED_MAX reached; ERR_TOO_LARGE. */
int raft_log_append(struct raft_log *l, const struct log_entry *e, struct error *err) must_check;
/* Drops all entries at and above `from`. */
void raft_log_truncate(struct raft_log *l, uint64_t from);
/* Drops everything; the next entry is `next` (after a snapshot came from outside). */
void raft_log_reset(struct raft_log *l, uint64_t next);
/* Entries below `keep` may be given up; begins a new generation and unlinks those that hold nothing
 * from `keep` on. */
void raft_log_compact(struct raft_log *l, uint64_t keep);

/* --- durability ----------------------------------------------------------------------------- */

/* Starts a commit of what is queued unless one runs. `flushed` follows if it started one. */
void raft_log_flush(struct raft_log *l);
/* True while a commit runs. */
bool raft_log_busy(const struct raft_log *l);
/* True when something queued is not durable. */
bool raft_log_dirty(const struct raft_log *l);
/* Entries up to here are durable as they are read here. */
uint64_t raft_log_durable(const struct raft_log *l);
/* Numbers the calls that queued a change; what was queued up to that call is durable. */
uint64_t raft_log_sequence(const struct raft_log *l);
uint64_t raft_log_sequence_durable(const struct raft_log *l);
/* Generations on disk. */
size_t raft_log_generations(const struct raft_log *l);
