/* SPDX-License-Identifier: Apache-2.0 */
/* store: the replicated state and the raft log on disk.
 *
 * The state is one LMDB environment, changed by applying log entries in order, one write
 * transaction per batch; the applied index is part of it. It is not synced per batch: a killed
 * process loses nothing, after a crash of the machine the state is thrown away and rebuilt from the
 * newest snapshot and the log. So: store_read_sync before log entries are given up. */
#pragma once
#include "consuld/base.h"
#include "consuld/model.h"
#include "consuld/store/apply.h"
#include "consuld/store/read.h"
#include "consuld/store/watch.h"

#define STORE_MAP_SIZE_DEFAULT (UINT64_C(1) << 38) /* virtual bytes; the file grows as needed */
#define STORE_READERS_MAX 126

struct store_options {
    const char *dir;     /* the data directory; "state" is made in it. NULL: dev mode, a private
                            temporary folder that is unlinked at once */
    const char *tmp_dir; /* where dev mode puts it; NULL: $TMPDIR or /tmp */
    uint64_t map_size;   /* 0: the default */
    const char *boot_id; /* identity of the running kernel; NULL: asked of the kernel */
};

struct store_report {
    /* The state on disk was missing, of another format, damaged or from before a crash of the
     * machine: it is empty now and the newest snapshot and the log must be applied. */
    bool needs_rebuild;
    const char *reason; /* static text for the log, NULL if the state was kept */
};

int store_open(const struct store_options *opts, struct store **out, struct store_report *report,
    struct error *err) must_check;
/* Syncs, leaves the clean mark, frees. Read handles must be destroyed before. NULL is fine. */
void store_close(struct store *s);

/* Index and term of the last applied entry, 0 when empty. */
uint64_t store_applied_index(const struct store *s);
uint64_t store_applied_term(const struct store *s);

/* Fires every registered watch set with `abandoned` set (done by a restore itself). */
void store_abandon_all(struct store *s);

struct store_stats {
    uint64_t watch_sets;  /* sets that hold registrations */
    uint64_t watch_links; /* registrations */
    uint64_t map_size;    /* bytes reserved */
    uint64_t map_used;    /* bytes in use */
    uint64_t lock_delays; /* keys under lock delay */
};
struct store_stats store_stats(const struct store *s);
