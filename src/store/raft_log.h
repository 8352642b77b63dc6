/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the raft log: generations on disk, the entries in memory, the commit job.
 *
 * Threads: the loop owns struct raft_log and its list of generations; a commit job sees only what
 * it holds references to and the generation it writes. A generation is opened by its first commit
 * job or at start, and closed by its own unlink job or at the end. */
#pragma once
#include <lmdb.h>

#include "consuld/base/world.h"
#include "consuld/store_log.h"

#define LOG_PATH_MAX 4096

/* An entry in memory. Counted: by the window of cached entries and by a running commit job. */
struct log_cached {
    uint32_t refs; /* loop only */
    struct log_entry entry;
    uint8_t bytes[];
};

#define LOG_FOLDERS_MAX 512 /* that a start copes with */

struct generation {
    uint64_t number;
    MDB_env *env; /* NULL: not open */
    MDB_dbi meta, entries, chunks;
    uint64_t start;      /* entries from here on belong to this or a newer generation */
    uint64_t disk_first; /* found at open; 0: no entries */
    uint64_t disk_last;
    bool continues;          /* older generations hold what is before `start` */
    size_t dir_n;            /* bytes of the folder that holds it */
    char path[LOG_PATH_MAX]; /* log-<number>: whole since it has this name */
    char part[LOG_PATH_MAX]; /* part-<number>: being made, or being removed */
    struct link link;        /* among the dead */
    struct job unlink;
    bool removed;         /* by that job */
    struct raft_log *log; /* while unlinking; NULL when the log is gone */
    struct disk *disk;
};

void generation_path(struct generation *g, const char *dir, uint64_t number);
/* Opens the environment and its tables. */
int generation_open(
    struct generation *g, struct disk *disk, size_t map_size, struct error *err) must_check;
void generation_close(struct generation *g);
/* False after a failure that makes LMDB refuse the environment until it is opened again. */
bool generation_usable(const struct generation *g);
/* Reads start, continues, the range of entries and the stable record. */
int generation_load(struct generation *g, struct log_stable *stable, struct error *err) must_check;
/* With arena NULL only index, term, type and the lengths are filled. */
int generation_read(struct generation *g, uint64_t index, struct arena *a, struct log_entry *out,
    struct error *err) must_check;
/* What one transaction changes. */
struct log_commit {
    bool create;    /* the generation begins with this */
    bool continues; /* with create */
    uint64_t start;
    uint64_t delete_from; /* 0: nothing to delete */
    struct log_cached **entries;
    size_t n;
    const struct log_stable *stable; /* NULL: unchanged */
};
int generation_commit(struct generation *g, struct disk *disk, const struct log_commit *c,
    struct error *err) must_check;
/* Makes it with its first commit and opens it. It has its name, durably, when all is in it. */
int generation_create(struct generation *g, struct disk *disk, size_t map_size,
    const struct log_commit *c, struct error *err) must_check;
/* It loses its name first, durably, then its files. Whatever is missing already is fine. */
int generation_remove(const struct generation *g, struct disk *disk, struct error *err) must_check;
/* What is half made or half removed. */
int generation_remove_part(
    const struct generation *g, struct disk *disk, struct error *err) must_check;

struct commit_job {
    struct job job;
    struct raft_log *log;
    struct generation *generation;
    struct log_commit change;
    struct log_stable stable;
    uint64_t sequence;
    struct error err;
};

struct raft_log {
    struct world *world;
    struct disk *disk;
    char dir[LOG_PATH_MAX]; /* "" in memory */
    size_t map_size;
    uint64_t generation_entries;
    void (*flushed)(void *ctx, const struct error *err);
    void *ctx;

    struct generation *generations[LOG_FOLDERS_MAX]; /* oldest first; at run time none is begun
                                                         when there are LOG_GENERATIONS_MAX */
    size_t generations_n;
    uint64_t next_number;

    uint64_t first, next; /* entries in [first, next) */
    uint64_t keep;        /* entries below may go */

    /* Entries in memory: [next - window_n, next), at least all that are not durable. */
    struct log_cached **window;
    size_t window_at, window_n, window_cap;
    size_t window_bytes;

    struct log_stable stable;
    bool stable_dirty;
    uint64_t sequence, sequence_durable;

    uint64_t dirty_from; /* lowest index changed since the last submitted commit; 0: none */
    uint64_t durable;    /* entries up to here are on disk as they are here */
    bool rotate;         /* begin a new generation with the next commit */
    bool forget_older;   /* ... which does not continue the older ones */
    bool committing;
    struct commit_job commit;

    struct generation *unlinking; /* being unlinked on a worker */
    struct link dead;             /* to be unlinked after it, oldest first */
    size_t dead_n;
};

struct log_cached *log_cached_create(const struct log_entry *e);
void log_cached_unref(struct log_cached *c);
size_t log_entry_bytes(const struct log_entry *e);

/* raft_log_window.c: the entries in memory. */
struct log_cached *window_get(const struct raft_log *l, uint64_t index); /* or NULL */
void window_push(struct raft_log *l, struct log_cached *c);
void window_pop(struct raft_log *l);   /* the newest */
void window_shift(struct raft_log *l); /* the oldest */
void window_clear(struct raft_log *l);

/* raft_log_open.c: the numbers of the folders whose names begin with `prefix`, ascending. */
#define LOG_WHOLE "log-"
#define LOG_PART "part-"
struct raft_log_numbers {
    uint64_t v[LOG_FOLDERS_MAX];
    size_t n;
};
int raft_log__find(const char *dir, const char *prefix, struct raft_log_numbers *out,
    struct error *err) must_check;
/* Finds, checks and loads the generations of l->dir. */
int raft_log__load(struct raft_log *l, struct error *err) must_check;
void raft_log__unload(struct raft_log *l);

/* raft_log_commit.c: unlinks generations that hold nothing needed. */
void raft_log__drop_generations(struct raft_log *l);
/* Unlinks a generation that is in no list any more, after those before it. */
void raft_log__unlink(struct raft_log *l, struct generation *g);
