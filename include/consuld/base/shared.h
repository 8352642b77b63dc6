/* SPDX-License-Identifier: Apache-2.0 */
/* Immutable bytes with a count of owners: one encoded body written to many connections without
 * copying. Loop thread only. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "consuld/base/str.h"

struct shared_body {
    uint32_t refs;
    size_t n;
    struct shared_body *gzip; /* the same bytes compressed, made on first use by face */
    char bytes[];
};

/* A copy of `bytes` with one owner. */
struct shared_body *shared_body_create(struct str bytes);
struct shared_body *shared_body_ref(struct shared_body *b);
/* Frees with the last owner; NULL is ignored. */
void shared_body_unref(struct shared_body *b);
