/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions. */
#pragma once
#include "consuld/model/catalog.h"
#include "consuld/model/connect.h"
#include "consuld/model/kv.h"
#include "consuld/model/session.h"

/* clang-format off */
#define TXN_KV_OP_FIELDS(X, S) \
    X(S, verb,    STR,            "Verb") \
    X(S, dir_ent, REC(dir_entry), "DirEnt")
DECLARE_RECORD(txn_kv_op, TXN_KV_OP_FIELDS)

#define TXN_NODE_OP_FIELDS(X, S) \
    X(S, verb, STR,       "Verb") \
    X(S, node, REC(node), "Node")
DECLARE_RECORD(txn_node_op, TXN_NODE_OP_FIELDS)

#define TXN_SERVICE_OP_FIELDS(X, S) \
    X(S, verb,    STR,               "Verb") \
    X(S, node,    STR,               "Node") \
    X(S, service, REC(node_service), "Service")
DECLARE_RECORD(txn_service_op, TXN_SERVICE_OP_FIELDS)

#define TXN_CHECK_OP_FIELDS(X, S) \
    X(S, verb,  STR,               "Verb") \
    X(S, check, REC(health_check), "Check")
DECLARE_RECORD(txn_check_op, TXN_CHECK_OP_FIELDS)

#define TXN_SESSION_OP_FIELDS(X, S) \
    X(S, verb,    STR,          "Verb") \
    X(S, session, REC(session), "Session")
DECLARE_RECORD(txn_session_op, TXN_SESSION_OP_FIELDS)

#define TXN_INTENTION_OP_FIELDS(X, S) \
    X(S, datacenter, STR,            "Datacenter") \
    X(S, op,         STR,            "Op") \
    X(S, intention,  PTR(intention), "Intention") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(txn_intention_op, TXN_INTENTION_OP_FIELDS)

#define TXN_OP_FIELDS(X, S) \
    X(S, kv,        PTR(txn_kv_op),        "KV") \
    X(S, intention, PTR(txn_intention_op), "Intention") \
    X(S, node,      PTR(txn_node_op),      "Node") \
    X(S, service,   PTR(txn_service_op),   "Service") \
    X(S, check,     PTR(txn_check_op),     "Check") \
    X(S, session,   PTR(txn_session_op),   "Session")
DECLARE_RECORD(txn_op, TXN_OP_FIELDS)

#define TXN_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,          "Datacenter") \
    X(S, ops,        LIST(txn_op), "Ops") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(txn_request, TXN_REQUEST_FIELDS)

#define TXN_READ_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,          "Datacenter") \
    X(S, ops,        LIST(txn_op), "Ops") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(txn_read_request, TXN_READ_REQUEST_FIELDS)

#define TXN_RESULT_FIELDS(X, S) \
    X(S, kv,      PTR(dir_entry),    "KV", .flags = JSON_OMIT) \
    X(S, node,    PTR(node),         "Node", .flags = JSON_OMIT) \
    X(S, service, PTR(node_service), "Service", .flags = JSON_OMIT) \
    X(S, check,   PTR(health_check), "Check", .flags = JSON_OMIT)
DECLARE_RECORD(txn_result, TXN_RESULT_FIELDS)

#define TXN_ERROR_FIELDS(X, S) \
    X(S, op_index, INT, "OpIndex") \
    X(S, what,     STR, "What")
DECLARE_RECORD(txn_error, TXN_ERROR_FIELDS)

#define TXN_RESPONSE_FIELDS(X, S) \
    X(S, results, LIST(txn_result), "Results") \
    X(S, errors,  LIST(txn_error),  "Errors")
DECLARE_RECORD(txn_response, TXN_RESPONSE_FIELDS)

#define TXN_READ_RESPONSE_FIELDS(X, S) \
    X(S, results, LIST(txn_result), "Results") \
    X(S, errors,  LIST(txn_error),  "Errors") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(txn_read_response, TXN_READ_RESPONSE_FIELDS)
