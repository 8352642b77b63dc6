/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

DEFINE_RECORD(wire_log, WIRE_LOG_FIELDS, "Log")
DEFINE_RECORD(wire_append_entries, WIRE_APPEND_ENTRIES_FIELDS, "AppendEntriesRequest")
DEFINE_RECORD(
    wire_append_entries_response, WIRE_APPEND_ENTRIES_RESPONSE_FIELDS, "AppendEntriesResponse")
DEFINE_RECORD(wire_request_vote, WIRE_REQUEST_VOTE_FIELDS, "RequestVoteRequest")
DEFINE_RECORD(wire_request_vote_response, WIRE_REQUEST_VOTE_RESPONSE_FIELDS, "RequestVoteResponse")
DEFINE_RECORD(wire_install_snapshot, WIRE_INSTALL_SNAPSHOT_FIELDS, "InstallSnapshotRequest")
DEFINE_RECORD(wire_install_snapshot_response, WIRE_INSTALL_SNAPSHOT_RESPONSE_FIELDS,
    "InstallSnapshotResponse")
DEFINE_RECORD(wire_timeout_now, WIRE_TIMEOUT_NOW_FIELDS, "TimeoutNowRequest")
DEFINE_RECORD(wire_server, WIRE_SERVER_FIELDS, "Server")
DEFINE_RECORD(wire_configuration, WIRE_CONFIGURATION_FIELDS, "Configuration")

void raft_message_init(void)
{
    static const struct record *const records[] = {
        &record_wire_log,
        &record_wire_append_entries,
        &record_wire_append_entries_response,
        &record_wire_request_vote,
        &record_wire_request_vote_response,
        &record_wire_install_snapshot,
        &record_wire_install_snapshot_response,
        &record_wire_timeout_now,
        &record_wire_server,
        &record_wire_configuration,
    };
    static bool done;
    if (done) return;
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++)
        record_init(records[i]);
    done = true;
}
