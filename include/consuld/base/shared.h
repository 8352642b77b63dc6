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
/* All bytes; nil of NULL. */
struct str shared_body_str(const struct shared_body *b);

/* An empty file in a folder, which is made if it is not there, that vanishes when it is closed and
 * unmapped. */
int file_without_name(const char *dir, int *fd, struct error *err) must_check;
