/* SPDX-License-Identifier: Apache-2.0 */
/* Raft log commands and snapshot records: type byte, then one msgpack body (fsm.md 1, 14). */
#pragma once
#include "consuld/model/acl.h"
#include "consuld/model/config_entry.h"
#include "consuld/model/connect.h"
#include "consuld/model/coordinate.h"
#include "consuld/model/federation.h"
#include "consuld/model/kv.h"
#include "consuld/model/operator.h"
#include "consuld/model/query.h"
#include "consuld/model/session.h"
#include "consuld/model/txn.h"

/* Bit 7 of the type byte: a node that does not know the type may skip the entry. */
#define COMMAND_IGNORABLE 0x80

enum command_type {
    COMMAND_REGISTER = 0,
    COMMAND_DEREGISTER = 1,
    COMMAND_KVS = 2,
    COMMAND_SESSION = 3,
    COMMAND_ACL_LEGACY = 4,
    COMMAND_TOMBSTONE = 5,
    COMMAND_COORDINATE = 6,
    COMMAND_PREPARED_QUERY = 7,
    COMMAND_TXN = 8,
    COMMAND_AUTOPILOT = 9,
    COMMAND_ACL_BOOTSTRAP = 11,
    COMMAND_INTENTION = 12,
    COMMAND_CONNECT_CA = 13,
    COMMAND_CA_PROVIDER_STATE = 14, /* snapshot only */
    COMMAND_CA_CONFIG = 15,         /* snapshot only */
    COMMAND_INDEX = 16,             /* snapshot only */
    COMMAND_ACL_TOKEN_SET = 17,
    COMMAND_ACL_TOKEN_DELETE = 18,
    COMMAND_ACL_POLICY_SET = 19,
    COMMAND_ACL_POLICY_DELETE = 20,
    COMMAND_CA_LEAF = 21,
    COMMAND_CONFIG_ENTRY = 22,
    COMMAND_ACL_ROLE_SET = 23,
    COMMAND_ACL_ROLE_DELETE = 24,
    COMMAND_ACL_BINDING_RULE_SET = 25,
    COMMAND_ACL_BINDING_RULE_DELETE = 26,
    COMMAND_ACL_AUTH_METHOD_SET = 27,
    COMMAND_ACL_AUTH_METHOD_DELETE = 28,
    COMMAND_CHUNKING_STATE = 29, /* snapshot only */
    COMMAND_FEDERATION_STATE = 30,
    COMMAND_MAX = 31,
};

/* One row per type byte. */
struct command {
    const char *name;          /* NULL: no such type */
    const struct type *body;   /* of a log entry; NULL: never in the log */
    const struct type *record; /* of a snapshot record; NULL: never in a snapshot */
    bool ignorable;            /* written with COMMAND_IGNORABLE set */
};

/* The row of a type byte (COMMAND_IGNORABLE cleared by the caller), or NULL. */
const struct command *command_get(uint8_t type);

/* clang-format off */
#define INDEX_ENTRY_FIELDS(X, S) \
    X(S, key,   STR,  "Key") \
    X(S, value, UINT, "Value")
DECLARE_RECORD(index_entry, INDEX_ENTRY_FIELDS)

#define SNAPSHOT_HEADER_FIELDS(X, S) \
    X(S, last_index, UINT, "LastIndex")
DECLARE_RECORD(snapshot_header, SNAPSHOT_HEADER_FIELDS)

/* The parts of a command that was cut into several log entries. */
#define CHUNK_INFO_FIELDS(X, S) \
    X(S, op_num,       UINT,  "OpNum") \
    X(S, sequence_num, UINT,  "SequenceNum", .bits = 32) \
    X(S, num_chunks,   UINT,  "NumChunks", .bits = 32) \
    X(S, term,         UINT,  "Term") \
    X(S, data,         BYTES, "Data")
DECLARE_RECORD(chunk_info, CHUNK_INFO_FIELDS)

/* `chunks` has a place for each part; one that has not come has num_chunks 0 (nil on the wire). */
#define CHUNK_OP_FIELDS(X, S) \
    X(S, op_num, UINT,             "OpNum") \
    X(S, chunks, LIST(chunk_info), "Chunks")
DECLARE_RECORD(chunk_op, CHUNK_OP_FIELDS)

/* On the wire a map from operation number to its list of parts. */
#define CHUNKING_STATE_FIELDS(X, S) \
    X(S, ops, LIST(chunk_op), "Ops")
DECLARE_RECORD(chunking_state, CHUNKING_STATE_FIELDS)
/* clang-format on */

/* Encodes a whole log entry: type byte (with COMMAND_IGNORABLE where the table says so), body. */
void command_encode(enum command_type type, const void *body, struct buf *out);
