/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/cluster/rpc.h"

#include <stdlib.h>

struct rpc_reply *rpc_reply_create(const struct type *type)
{
    struct rpc_reply *r = xcalloc(1, sizeof *r);
    r->refs = 1;
    r->type = type;
    return r;
}

struct rpc_reply *rpc_reply_ref(struct rpc_reply *r)
{
    ensure(r->refs > 0);
    r->refs++;
    return r;
}

void rpc_reply_unref(struct rpc_reply *r)
{
    if (!r) return;
    ensure(r->refs > 0);
    if (--r->refs) return;
    while (r->memos) {
        struct rpc_memo *m = r->memos;
        r->memos = m->next;
        shared_body_unref(m->body);
        free(m);
    }
    arena_free(&r->arena);
    shared_body_unref(r->bytes);
    free(r);
}

void rpc_reply_spent(struct rpc_reply *r, const char *at)
{
    const struct shared_body *b = r->bytes;
    ensure(r->refs == 1);
    if (b && at >= b->bytes && at <= b->bytes + b->n)
        shared_body_spent(r->bytes, (size_t)(at - b->bytes));
}

struct shared_body *rpc_reply_memo(const struct rpc_reply *r, uint64_t tag)
{
    for (const struct rpc_memo *m = r->memos; m; m = m->next) {
        if (m->tag == tag) return m->body;
    }
    return NULL;
}

void rpc_reply_memo_put(struct rpc_reply *r, uint64_t tag, struct shared_body *body)
{
    struct rpc_memo *m = xcalloc(1, sizeof *m);
    m->tag = tag;
    m->body = shared_body_ref(body);
    m->next = r->memos;
    r->memos = m;
}
