/* SPDX-License-Identifier: Apache-2.0 */
/* Federation states: the mesh gateways of each datacenter. */
#pragma once
#include "consuld/model/rpc.h"

/* clang-format off */
#define FEDERATION_STATE_FIELDS(X, S) \
    X(S, datacenter,           STR,                      "Datacenter") \
    X(S, mesh_gateways,        LIST(check_service_node), "MeshGateways", .flags = JSON_OMIT) \
    X(S, updated_at,           TIME,                     "UpdatedAt") \
    X(S, primary_modify_index, UINT,                     "PrimaryModifyIndex") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(federation_state, FEDERATION_STATE_FIELDS)

#define FEDERATION_STATE_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,                   "Datacenter") \
    X(S, op,         STR,                   "Op") \
    X(S, state,      PTR(federation_state), "State") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(federation_state_request, FEDERATION_STATE_REQUEST_FIELDS)

#define FEDERATION_STATE_QUERY_FIELDS(X, S) \
    X(S, datacenter,        STR, "Datacenter") \
    X(S, target_datacenter, STR, "TargetDatacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(federation_state_query, FEDERATION_STATE_QUERY_FIELDS)

#define FEDERATION_STATE_RESPONSE_FIELDS(X, S) \
    X(S, state, PTR(federation_state), "State") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(federation_state_response, FEDERATION_STATE_RESPONSE_FIELDS)

#define INDEXED_FEDERATION_STATES_FIELDS(X, S) \
    X(S, states, LIST(federation_state), "States") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_federation_states, INDEXED_FEDERATION_STATES_FIELDS)
