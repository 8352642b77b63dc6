/* SPDX-License-Identifier: Apache-2.0 */
/* Applying log entries to the state: one write transaction per batch (law 3). */
#pragma once
#include "consuld/base.h"
#include "consuld/model.h"
#include "consuld/model/command.h"

struct store;
struct store_batch;

/* One raft log entry. Entries that are no commands (noop, barrier, configuration) have empty data:
 * they only move the applied index. */
struct store_entry {
    uint64_t index;
    uint64_t term;
    struct str data;       /* type byte + msgpack body */
    struct str extensions; /* of a chunk (raft.md 4.3), else empty */
};

enum result_kind {
    RESULT_NIL,
    RESULT_BOOL,    /* ok */
    RESULT_STR,     /* text: the session's ID ... */
    RESULT_UINT,    /* number */
    RESULT_TXN,     /* txn */
    RESULT_ERROR,   /* text: refused; the state is untouched */
    RESULT_SKIPPED, /* nothing was applied: an ignorable unknown command, or a chunk that does not
                       complete its command */
};

/* What the state machine answers to one command. Memory is the arena's given to store_apply. */
struct command_result {
    enum result_kind kind;
    bool ok;
    struct str text;
    uint64_t number;
    uint8_t command;  /* type of what was applied */
    const void *body; /* of it, decoded; NULL: nothing was */
    struct txn_response *txn;
};

enum store_apply_code {
    STORE_APPLIED = 0,
    /* ERR_IO: the disk refused; abort the batch, the state stays as it was before it.
     * ERR_DECODE: the body can't be read. ERR_NOT_FOUND: an unknown command without the ignorable
     * bit. For these two: commit what went before, then stop applying for good; reads go on. */
};

/* Begins a batch. At most one at a time. `now_ms` is the monotonic clock: lock delays start there.
 * Never NULL: a transaction that can't start fails the first store_apply. */
struct store_batch *store_apply_begin(struct store *s, uint64_t now_ms);
/* Entries come in order without gaps of meaning: index must be above the applied one. A command
 * that is refused (RESULT_ERROR) leaves the state untouched and returns STORE_APPLIED. */
int store_apply(struct store_batch *b, const struct store_entry *e, struct arena *a,
    struct command_result *res, struct error *err) must_check;
/* Commits (not synced to disk), frees the batch, then fires the watch sets of what it touched. On
 * failure nothing of the batch is in the state and nobody is woken. */
int store_apply_commit(struct store_batch *b, struct error *err) must_check;
void store_apply_abort(struct store_batch *b);
