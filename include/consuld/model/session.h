/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions. */
#pragma once
#include "consuld/model/rpc.h"

/* clang-format off */
#define SERVICE_CHECK_FIELDS(X, S) \
    X(S, id,        STR, "ID") \
    X(S, namespace, STR, "Namespace")
DECLARE_RECORD(service_check, SERVICE_CHECK_FIELDS)

#define SESSION_FIELDS(X, S) \
    X(S, id,             STR,                 "ID") \
    X(S, name,           STR,                 "Name") \
    X(S, node,           STR,                 "Node") \
    X(S, lock_delay,     DUR,                 "LockDelay") \
    X(S, behavior,       STR,                 "Behavior") \
    X(S, ttl,            STR,                 "TTL") \
    X(S, node_checks,    LIST_STR,            "NodeChecks") \
    X(S, service_checks, LIST(service_check), "ServiceChecks") \
    X(S, checks,         LIST_STR,            "Checks", .flags = JSON_OMIT) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(session, SESSION_FIELDS)

#define SESSION_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,          "Datacenter") \
    X(S, op,         STR,          "Op") \
    X(S, session,    REC(session), "Session") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(session_request, SESSION_REQUEST_FIELDS)

#define SESSION_SPECIFIC_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    X(S, session_id, STR, "SessionID") \
    X(S, session,    STR, "Session") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(session_specific_request, SESSION_SPECIFIC_REQUEST_FIELDS)

#define INDEXED_SESSIONS_FIELDS(X, S) \
    X(S, sessions, LIST(session), "Sessions") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_sessions, INDEXED_SESSIONS_FIELDS)
