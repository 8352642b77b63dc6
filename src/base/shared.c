/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/shared.h"

#include <stdlib.h>
#include <string.h>

#include "consuld/base/arena.h"
#include "consuld/base/error.h"

struct shared_body *shared_body_create(struct str bytes)
{
    struct shared_body *b = xmalloc(sizeof *b + bytes.n);
    b->refs = 1;
    b->n = bytes.n;
    b->gzip = NULL;
    if (bytes.n) memcpy(b->bytes, bytes.p, bytes.n);
    return b;
}

struct shared_body *shared_body_ref(struct shared_body *b)
{
    ensure(b->refs > 0 && b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

void shared_body_unref(struct shared_body *b)
{
    if (!b) return;
    ensure(b->refs > 0);
    if (--b->refs) return;
    shared_body_unref(b->gzip);
    free(b);
}
