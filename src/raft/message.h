/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of raft's RPCs as records (raft.md 3, 4). */
#pragma once
#include "consuld/raft/message.h"

#define WIRE_LOG_FIELDS(X, S) \
    X(S, index, UINT, "Index") \
    X(S, term, UINT, "Term") \
    X(S, type, UINT, "Type", .bits = 8) \
    X(S, data, BYTES, "Data") \
    X(S, extensions, BYTES, "Extensions")
DECLARE_RECORD(wire_log, WIRE_LOG_FIELDS)

#define WIRE_APPEND_ENTRIES_FIELDS(X, S) \
    X(S, protocol_version, INT, "ProtocolVersion") \
    X(S, term, UINT, "Term") \
    X(S, leader, BYTES, "Leader") \
    X(S, prev_log_entry, UINT, "PrevLogEntry") \
    X(S, prev_log_term, UINT, "PrevLogTerm") \
    X(S, entries, LIST(wire_log), "Entries") \
    X(S, leader_commit_index, UINT, "LeaderCommitIndex")
DECLARE_RECORD(wire_append_entries, WIRE_APPEND_ENTRIES_FIELDS)

#define WIRE_APPEND_ENTRIES_RESPONSE_FIELDS(X, S) \
    X(S, protocol_version, INT, "ProtocolVersion") \
    X(S, term, UINT, "Term") \
    X(S, last_log, UINT, "LastLog") \
    X(S, success, BOOL, "Success") \
    X(S, no_retry_backoff, BOOL, "NoRetryBackoff")
DECLARE_RECORD(wire_append_entries_response, WIRE_APPEND_ENTRIES_RESPONSE_FIELDS)

#define WIRE_REQUEST_VOTE_FIELDS(X, S) \
    X(S, protocol_version, INT, "ProtocolVersion") \
    X(S, term, UINT, "Term") \
    X(S, candidate, BYTES, "Candidate") \
    X(S, last_log_index, UINT, "LastLogIndex") \
    X(S, last_log_term, UINT, "LastLogTerm") \
    X(S, leadership_transfer, BOOL, "LeadershipTransfer")
DECLARE_RECORD(wire_request_vote, WIRE_REQUEST_VOTE_FIELDS)

#define WIRE_REQUEST_VOTE_RESPONSE_FIELDS(X, S) \
    X(S, protocol_version, INT, "ProtocolVersion") \
    X(S, term, UINT, "Term") \
    X(S, peers, BYTES, "Peers") \
    X(S, granted, BOOL, "Granted")
DECLARE_RECORD(wire_request_vote_response, WIRE_REQUEST_VOTE_RESPONSE_FIELDS)

#define WIRE_INSTALL_SNAPSHOT_FIELDS(X, S) \
    X(S, protocol_version, INT, "ProtocolVersion") \
    X(S, snapshot_version, INT, "SnapshotVersion") \
    X(S, term, UINT, "Term") \
    X(S, leader, BYTES, "Leader") \
    X(S, last_log_index, UINT, "LastLogIndex") \
    X(S, last_log_term, UINT, "LastLogTerm") \
    X(S, peers, BYTES, "Peers") \
    X(S, configuration, BYTES, "Configuration") \
    X(S, configuration_index, UINT, "ConfigurationIndex") \
    X(S, size, INT, "Size")
DECLARE_RECORD(wire_install_snapshot, WIRE_INSTALL_SNAPSHOT_FIELDS)

#define WIRE_INSTALL_SNAPSHOT_RESPONSE_FIELDS(X, S) \
    X(S, protocol_version, INT, "ProtocolVersion") \
    X(S, term, UINT, "Term") \
    X(S, success, BOOL, "Success")
DECLARE_RECORD(wire_install_snapshot_response, WIRE_INSTALL_SNAPSHOT_RESPONSE_FIELDS)

/* TimeoutNow, both ways. */
#define WIRE_TIMEOUT_NOW_FIELDS(X, S) X(S, protocol_version, INT, "ProtocolVersion")
DECLARE_RECORD(wire_timeout_now, WIRE_TIMEOUT_NOW_FIELDS)

#define WIRE_SERVER_FIELDS(X, S) \
    X(S, suffrage, UINT, "Suffrage") \
    X(S, id, STR, "ID") \
    X(S, address, STR, "Address")
DECLARE_RECORD(wire_server, WIRE_SERVER_FIELDS)

#define WIRE_CONFIGURATION_FIELDS(X, S) X(S, servers, LIST(wire_server), "Servers")
DECLARE_RECORD(wire_configuration, WIRE_CONFIGURATION_FIELDS)
