/* SPDX-License-Identifier: Apache-2.0 */
/* Saving and restoring at a server over the wire: the dialling end of rpc.md 10. One fresh
 * connection each time, to the router's first server. */
#pragma once
#include "consuld/base/outside.h"
#include "consuld/cluster/rpc_router.h"
#include "consuld/cluster/snapshot_call.h"

struct snapshot_remote;

/* world and router outlive it. */
struct snapshot_remote *snapshot_remote_create(struct world *w, struct rpc_router *router);
/* Ends calls with an error. */
void snapshot_remote_destroy(struct snapshot_remote *r);
struct snapshot_client *snapshot_remote_client(struct snapshot_remote *r);
