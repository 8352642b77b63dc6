/* SPDX-License-Identifier: Apache-2.0 */
/* A file that grows by appending and is now and then replaced whole: the snapshot of a pool, its
 * key ring. Written by one worker job at a time, in the order queued.
 *
 * The one invariant: after a failed write nothing is appended until the file was replaced whole. */
#pragma once
#include "consuld/base.h"

#define APPEND_FILE_QUEUE_MAX (1u << 20) /* bytes queued; more is a failure */

struct append_file;
struct disk;

struct append_file_options {
    struct world *world;
    struct disk *disk; /* NULL: the real one */
    const char *path;  /* its folder is made. Copied */
    unsigned mode;
    /* The outcome of everything queued so far, `tag` being that of the last. NULL: it is written;
     * else what failed. Never called from inside append_file_put. */
    void (*written)(void *ctx, uint64_t tag, const char *why);
    void *ctx;
};

struct append_file *append_file_create(const struct append_file_options *o);
/* `rewrite` (unless nil) replaces the content, through a new file and a rename; then `append` is
 * appended; then, with `sync`, all of it is made durable. Copied. */
void append_file_put(
    struct append_file *f, struct str rewrite, struct str append, bool sync, uint64_t tag);
/* Writes and syncs what is queued, then calls `closed`, maybe before it returns; the file is gone
 * then. `written` is not called any more. */
void append_file_close(struct append_file *f, void (*closed)(void *ctx), void *ctx);
