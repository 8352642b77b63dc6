/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of the state: the records of state.bin, the files a server keeps, the archive that
 * `snapshot save` hands out. Specs: fsm.md 14, 15; raft.md 5 (files). */
#pragma once
#include <stdatomic.h>

#include "consuld/base.h"
#include "consuld/base/shared.h"
#include "consuld/wire.h"

struct digest;
struct disk;
struct store;
struct store_batch;
struct store_read;

/* clang-format off */
#define SNAPSHOT_SERVER_FIELDS(X, S) \
    X(S, suffrage, INT, "Suffrage") \
    X(S, id,       STR, "ID") \
    X(S, address,  STR, "Address")
DECLARE_RECORD(snapshot_server, SNAPSHOT_SERVER_FIELDS)

#define SNAPSHOT_CONFIGURATION_FIELDS(X, S) \
    X(S, servers, LIST(snapshot_server), "Servers")
DECLARE_RECORD(snapshot_configuration, SNAPSHOT_CONFIGURATION_FIELDS)

/* meta.json. In archives there is no CRC. */
#define SNAPSHOT_META_FIELDS(X, S) \
    X(S, version,             INT,                         "Version") \
    X(S, id,                  STR,                         "ID") \
    X(S, index,               UINT,                        "Index") \
    X(S, term,                UINT,                        "Term") \
    X(S, peers,               BYTES,                       "Peers") \
    X(S, configuration,       REC(snapshot_configuration), "Configuration") \
    X(S, configuration_index, UINT,                        "ConfigurationIndex") \
    X(S, size,                INT,                         "Size") \
    X(S, crc,                 BYTES,                       "CRC", .flags = JSON_OMIT)
DECLARE_RECORD(snapshot_meta, SNAPSHOT_META_FIELDS)
/* clang-format on */

/* Once, beside model_init, before any worker runs; raft_driver_create does it. */
void snapshot_init(void);

/* --- state.bin ------------------------------------------------------------------------------ */

/* Where bytes go; returns 0 or a negative code with err filled. */
struct snapshot_sink {
    int (*write)(struct snapshot_sink *s, const void *p, size_t n, struct error *err);
};

/* The whole state of a view in the order of fsm.md 14. For a worker, with a view of its own. */
int snapshot_write(struct store_read *rd, struct snapshot_sink *sink, struct error *err) must_check;

/* Calls `record` for each record of state.bin; fails on the first that cannot be read. The header's
 * index goes to *last_index (may be NULL). What was read leaves memory, here and below. */
typedef int (*snapshot_record_fn)(
    void *ctx, uint8_t type, const void *body, struct arena *a, struct error *err);
int snapshot_read(struct shared_body *state, snapshot_record_fn record, void *ctx,
    uint64_t *last_index, struct error *err) must_check;

/* Builds the state in `from`, as of (index, term), beside the present one, which goes on being
 * read and written. Blocks: for a worker; one at a time. *out is then switched to, or dropped. */
struct snapshot_progress {
    _Atomic uint64_t done; /* bytes read so far; may be looked at from the loop */
};
int snapshot_build(struct store *s, struct shared_body *from, uint64_t index, uint64_t term,
    struct snapshot_progress *progress, struct store_batch **out, struct error *err) must_check;
/* Makes a built state the present one; on the loop. It is gone on failure, the present one stays.
 */
int snapshot_switch(struct store_batch *built, struct error *err) must_check;
/* NULL is fine. */
void snapshot_drop(struct store_batch *built);
/* Both at once: before there is a loop. */
int snapshot_restore(struct store *s, struct shared_body *from, uint64_t index, uint64_t term,
    struct error *err) must_check;

/* --- files: <dir>/<term>-<index>-<ms>/{meta.json,state.bin} ---------------------------------- */

#define SNAPSHOT_ID_MAX 96
#define SNAPSHOTS_KEPT 2
#define SNAPSHOT_META_MAX (1u << 20)

/* Writes a snapshot of the view and makes it the newest, then drops all but SNAPSHOTS_KEPT. Fills
 * id, size, crc, version and peers of *meta, the rest is the caller's. On failure nothing is left
 * behind but maybe a *.tmp folder, which the next one removes. For a worker. */
int snapshot_file_write(struct disk *disk, const char *dir, int64_t now_ms, struct store_read *rd,
    struct snapshot_meta *meta, struct arena *a, struct error *err) must_check;
/* The same from finished bytes (an archive, or received from a leader). */
int snapshot_file_store(struct disk *disk, const char *dir, int64_t now_ms,
    struct shared_body *state, struct snapshot_meta *meta, struct arena *a,
    struct error *err) must_check;
/* The newest snapshot by term, index, id; *found false if there is none. */
int snapshot_file_newest(const char *dir, struct arena *a, struct snapshot_meta *meta, bool *found,
    struct error *err) must_check;
/* Maps the state.bin of a snapshot and checks its size and sum. *state is the caller's to let go.
 */
int snapshot_file_open(const char *dir, const struct snapshot_meta *meta,
    struct shared_body **state, struct error *err) must_check;

/* CRC-64/ECMA as in meta.json: begin with 0. */
uint64_t snapshot_crc(uint64_t crc, const void *p, size_t n);

/* --- archive: gzip of a tar with meta.json, state.bin, SHA256SUMS ------------------------------
 */

#define ARCHIVE_STATE_MAX ((size_t)4 << 30)

/* The archive of a snapshot. */
int archive_write(const struct snapshot_meta *meta, struct shared_body *state,
    const struct digest *digest, struct snapshot_sink *sink, struct error *err) must_check;
/* Reads a whole archive: members in any order, sums checked, nothing else allowed inside. The state
 * goes to a file without a name in `dir`, or to memory without one; it is the caller's to let go.
 * With `state` NULL the archive is only checked.
 * meta's memory is the arena's. Blocks. */
int archive_read(struct shared_body *archive, const char *dir, const struct digest *digest,
    struct arena *a, struct snapshot_meta *meta, struct shared_body **state,
    struct error *err) must_check;
