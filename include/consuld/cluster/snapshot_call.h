/* SPDX-License-Identifier: Apache-2.0 */
/* Saving and restoring the whole state (rpc.md 10), whoever answers: the server in this process, or
 * a server over the wire. The archive is that of store_snapshot.h.
 *
 * A call ends exactly once, through `done`, never from inside submit; or through cancel, after
 * which `done` is not called. A restore that has begun is not undone by cancel. */
#pragma once
#include "consuld/base.h"

struct snapshot_call {
    /* the caller's, fixed until the end */
    bool restore;
    bool allow_stale; /* save: of any server, as far as it knows */
    struct str datacenter, token;
    void (*done)(struct snapshot_call *c);
    void *ctx;
    struct str archive; /* restore: the caller's bytes, read inside submit alone */
    /* the result: code is 0, or negative with err filled */
    int code;
    struct error err;
    struct str saved; /* malloc'ed, the caller's to free */
    uint64_t index;   /* of the snapshot */
    int64_t last_contact_ns;
    bool known_leader;
    /* the callee's: zero before submit */
    void *impl;
};

/* Embedded in its owner. */
struct snapshot_client {
    void (*submit)(struct snapshot_client *c, struct snapshot_call *call);
    void (*cancel)(struct snapshot_client *c, struct snapshot_call *call);
};
