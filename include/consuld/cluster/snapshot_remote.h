/* SPDX-License-Identifier: Apache-2.0 */
/* Saving and restoring at a server over the wire: the dialling end of rpc.md 10. One fresh
 * connection each time. */
#pragma once
#include "consuld/base/outside.h"
#include "consuld/cluster/rpc_pool.h"
#include "consuld/cluster/snapshot_call.h"

struct snapshot_remote;

/* What it points to outlives it. */
struct snapshot_remote_options {
    struct world *world;
    /* Which server is asked for the call, texts of `a`; false: none is known. */
    bool (*target)(
        void *ctx, const struct snapshot_call *call, struct arena *a, struct rpc_target *out);
    void *ctx;
    const char *unknown;       /* the error then */
    struct tls *tls;           /* NULL: none */
    struct gateways *gateways; /* to other datacenters; NULL: their servers are dialled */
    struct str domain;
    struct str source;     /* IP to dial from; nil: any */
    const char *spool_dir; /* for an archive that comes; NULL: memory */
};

struct snapshot_remote *snapshot_remote_create(const struct snapshot_remote_options *o);
/* Ends calls with an error. */
void snapshot_remote_destroy(struct snapshot_remote *r);
struct snapshot_client *snapshot_remote_client(struct snapshot_remote *r);
