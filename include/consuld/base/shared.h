/* SPDX-License-Identifier: Apache-2.0 */
/* Immutable bytes with a count of owners: one encoded body written to many connections without
 * copying, or what is too large for memory, as the mapped pages of a file without a name. Counted
 * on the loop's thread only. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "consuld/base/error.h"
#include "consuld/base/str.h"

struct buf;

struct shared_body {
    uint32_t refs;
    uint8_t kind; /* how the bytes are freed */
    size_t n;
    size_t passed;            /* pages in front of it were given back */
    struct shared_body *gzip; /* the same bytes compressed, made on first use by face */
    const char *bytes;
};

/* A copy of `bytes` with one owner. */
struct shared_body *shared_body_create(struct str bytes);
/* Takes over what a buffer holds; it is empty then. */
struct shared_body *shared_body_take(struct buf *b);
/* The first n bytes of a file, which may be closed and lose its name, but not change. NULL and *err
 * when they cannot be mapped. */
struct shared_body *shared_body_map(int fd, size_t n, struct error *err);
struct shared_body *shared_body_ref(struct shared_body *b);
/* Frees with the last owner; NULL is ignored. */
void shared_body_unref(struct shared_body *b);
/* Whoever goes from front to back tells how far it came: mapped pages behind it leave the memory of
 * the process every few megabytes, and come back when they are read. Any thread, one at a time. */
void shared_body_passed(struct shared_body *b, size_t at);
/* The same of bytes that are never read again: those in memory are given back as well. For the only
 * owner. */
void shared_body_spent(struct shared_body *b, size_t at);
/* Bytes of somebody else, for a call that takes no reference. */
static inline struct shared_body shared_body_view(struct str bytes)
{
    return (struct shared_body){ .refs = 1, .n = bytes.n, .bytes = bytes.p };
}
/* All bytes; nil of NULL. */
struct str shared_body_str(const struct shared_body *b);

/* An empty file in a folder, which is made if it is not there, that vanishes when it is closed and
 * unmapped. */
int file_without_name(const char *dir, int *fd, struct error *err) must_check;
