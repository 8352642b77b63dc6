/* SPDX-License-Identifier: Apache-2.0 */
/* What API handlers find as req->ctx: the parts of the running agent they answer from. Owned by
 * the start-up code, one for the life of the api. */
#pragma once
#include "consuld/cluster/rpc.h"

struct agent;
struct api_route;

struct face_context {
    struct rpc_client *rpc;    /* the server's, or the client agent's over the wire */
    struct agent *agent;       /* local services and checks; NULL where a test has none */
    struct str datacenter;
    struct str node_name;      /* the agent's own: ?near=_agent, sessions without Node */
    bool disable_coordinates;
    uint64_t kv_max_value_size; /* limits, as in api_options */
    uint64_t txn_max_req_len;
};

/* Tables of the endpoints that answer from the servers' state (kv, session, txn, catalog, health,
 * status, coordinate, query, operator, internal), ended by NULL: for api_options.tables. */
extern const struct api_route *const api_state_tables[];
