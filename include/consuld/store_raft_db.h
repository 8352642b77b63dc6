/* SPDX-License-Identifier: Apache-2.0 */
/* raft/raft.db: where a server of Consul keeps its log, term and vote. A data directory belongs to
 * the program that keeps its log; both directions of handing it over lose nothing and are repeated
 * from their beginning after a crash. Spec: raft.md 5. */
#pragma once
#include "consuld/base.h"

struct disk;

struct raft_db_report {
    bool moved;           /* a log was taken over, or given back */
    uint64_t first, last; /* its entries; 0: none */
    uint64_t term;
};

/* Before state and log of a data directory are opened. A raft.db of Consul's becomes the log here:
 * its entries, term and vote are stored as the only generation, the state is dropped, and a note
 * takes the place of the file, for which Consul refuses to start. Where there is no raft.db the
 * note is written. Generations ahead of a raft.db are ERR_IO: neither is dropped. *fd holds a lock
 * on the note as long as it is open. Blocks. ERR_IO: another process runs here, or the disk's
 * reason; ERR_DECODE: the file is damaged. */
int raft_db_take(struct disk *disk, const char *data_dir, int *fd, struct raft_db_report *report,
    struct error *err) must_check;

/* The way back, of a stopped server: raft.db is written, then log and state are removed. Snapshots
 * stay, they are the same. moved is false where there is no log of this program's. Errors as above.
 */
int raft_db_give(struct disk *disk, const char *data_dir, struct raft_db_report *report,
    struct error *err) must_check;
