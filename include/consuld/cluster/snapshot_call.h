/* SPDX-License-Identifier: Apache-2.0 */
/* Saving and restoring the whole state (rpc.md 10), whoever answers: the server in this process, or
 * a server over the wire. The archive is that of store_snapshot.h.
 *
 * A call ends exactly once, through `done`, never from inside submit; or through cancel, after
 * which `done` is not called. A restore that has begun is not undone by cancel. */
#pragma once
#include "consuld/base.h"
#include "consuld/base/shared.h"

/* Bytes of an archive that comes from outside. */
#define SNAPSHOT_ARCHIVE_MAX ((uint64_t)4 << 30)

struct snapshot_call {
    /* the caller's, fixed until the end */
    bool restore;
    bool allow_stale; /* save: of any server, as far as it knows */
    struct str datacenter, token;
    void (*done)(struct snapshot_call *c);
    void *ctx;
    struct shared_body *archive; /* restore: the callee keeps references of its own */
    /* the result: code is 0, or negative with err filled */
    int code;
    struct error err;
    struct shared_body *saved; /* the caller's to let go */
    uint64_t index;            /* of the snapshot */
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
