/* SPDX-License-Identifier: Apache-2.0 */
/* One call of a procedure, whoever answers it: the server in this process, or a server over the
 * wire. HTTP handlers, the agent's sync, DNS and leader duties all reach state through this.
 *
 * A call ends exactly once, through `done` (maybe before submit returns), or through cancel, after
 * which `done` is not called. Replies are immutable and counted: equal blocking queries share one,
 * and with it the bodies encoded from it (memos). */
#pragma once
#include "consuld/base.h"
#include "consuld/base/shared.h"
#include "consuld/wire.h"

/* A body made from a reply, kept for the next waiter that wants the same form. */
struct rpc_memo {
    struct rpc_memo *next;
    uint64_t tag;             /* which form: the maker's choice */
    struct shared_body *body; /* one reference of the reply's */
};

struct rpc_reply {
    uint32_t refs;
    const struct type *type; /* of *record; NULL when the procedure returns nothing */
    void *record;            /* the result, its memory is the arena's */
    struct arena arena;
    struct shared_body *bytes; /* where its strings lie, if they were too many for the arena */
    uint64_t index;            /* QueryMeta, also in the record where it has the fields */
    int64_t last_contact_ns;
    bool known_leader;
    struct rpc_memo *memos;
};

/* All zero, refs 1. */
struct rpc_reply *rpc_reply_create(const struct type *type);
struct rpc_reply *rpc_reply_ref(struct rpc_reply *r);
/* NULL is fine. */
void rpc_reply_unref(struct rpc_reply *r);
/* The only owner has read everything in front of `at` for the last time: the memory of large
 * replies is given back meanwhile. */
void rpc_reply_spent(struct rpc_reply *r, const char *at);
/* The body kept under `tag`, or NULL. Valid while the reply is referenced. */
struct shared_body *rpc_reply_memo(const struct rpc_reply *r, uint64_t tag);
/* Takes a reference of its own. */
void rpc_reply_memo_put(struct rpc_reply *r, uint64_t tag, struct shared_body *body);

struct rpc_call {
    /* the caller's, fixed until the end */
    const char *method;  /* "KVS.Get" */
    const void *args;    /* the method's argument record (model/method.h), Datacenter filled */
    struct arena *arena; /* may be used by the callee until the end */
    void (*done)(struct rpc_call *c);
    void *ctx;
    /* the result: code is 0 and reply one reference of the caller's, or code < 0 and err filled */
    int code;
    struct rpc_reply *reply;
    struct error *err; /* the caller's memory, valid through `done`; calls may share it */
    /* the callee's: zero before submit */
    void *impl;
};

/* Who answers calls. Embedded in its owner. */
struct rpc_client {
    void (*submit)(struct rpc_client *c, struct rpc_call *call);
    void (*cancel)(struct rpc_client *c, struct rpc_call *call);
};

static inline void rpc_submit(struct rpc_client *c, struct rpc_call *call)
{
    c->submit(c, call);
}
/* Only for a call whose `done` was not called yet. */
static inline void rpc_cancel(struct rpc_client *c, struct rpc_call *call)
{
    c->cancel(c, call);
}

/* Error texts that peers and layers above match on (rpc.md 8.2). */
#define RPC_ERR_NO_LEADER "No cluster leader"
#define RPC_ERR_NO_DC_PATH "No path to datacenter"
#define RPC_ERR_NOT_READY "Not ready to serve consistent reads"
#define RPC_ERR_SIGNING_LIMIT "Rate limit reached, try again later"
#define RPC_ERR_QUERY_NOT_FOUND "Query not found"
