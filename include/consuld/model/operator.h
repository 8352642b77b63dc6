/* SPDX-License-Identifier: Apache-2.0 */
/* Events, keyring, autopilot, raft membership, snapshot stream heads. */
#pragma once
#include "consuld/model/rpc.h"

/* clang-format off */
#define EVENT_FIRE_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,   "Datacenter") \
    X(S, name,       STR,   "Name") \
    X(S, payload,    BYTES, "Payload") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(event_fire_request, EVENT_FIRE_REQUEST_FIELDS)

#define EVENT_FIRE_RESPONSE_FIELDS(X, S) \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(event_fire_response, EVENT_FIRE_RESPONSE_FIELDS)

#define KEYRING_REQUEST_FIELDS(X, S) \
    X(S, operation,    STR,  "Operation") \
    X(S, key,          STR,  "Key") \
    X(S, datacenter,   STR,  "Datacenter") \
    X(S, forwarded,    BOOL, "Forwarded") \
    X(S, relay_factor, UINT, "RelayFactor", .bits = 8) \
    X(S, local_only,   BOOL, "LocalOnly") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(keyring_request, KEYRING_REQUEST_FIELDS)

#define KEYRING_RESPONSE_FIELDS(X, S) \
    X(S, wan,          BOOL,    "WAN") \
    X(S, datacenter,   STR,     "Datacenter") \
    X(S, segment,      STR,     "Segment") \
    X(S, messages,     MAP_STR, "Messages", .flags = JSON_OMIT) \
    X(S, keys,         MAP_INT, "Keys") \
    X(S, primary_keys, MAP_INT, "PrimaryKeys") \
    X(S, num_nodes,    INT,     "NumNodes") \
    X(S, error,        STR,     "Error", .flags = JSON_OMIT)
DECLARE_RECORD(keyring_response, KEYRING_RESPONSE_FIELDS)

#define KEYRING_RESPONSES_FIELDS(X, S) \
    X(S, responses, LIST(keyring_response), "Responses") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(keyring_responses, KEYRING_RESPONSES_FIELDS)

#define AUTOPILOT_CONFIG_FIELDS(X, S) \
    X(S, cleanup_dead_servers,      BOOL, "CleanupDeadServers") \
    X(S, last_contact_threshold,    DUR,  "LastContactThreshold", .flags = JSON_DUR_TEXT) \
    X(S, max_trailing_logs,         UINT, "MaxTrailingLogs") \
    X(S, min_quorum,                UINT, "MinQuorum") \
    X(S, server_stabilization_time, DUR,  "ServerStabilizationTime", .flags = JSON_DUR_TEXT) \
    X(S, redundancy_zone_tag,       STR,  "RedundancyZoneTag") \
    X(S, disable_upgrade_migration, BOOL, "DisableUpgradeMigration") \
    X(S, upgrade_version_tag,       STR,  "UpgradeVersionTag") \
    X(S, create_index,              UINT, "CreateIndex", .flags = COMPARE_SKIP) \
    X(S, modify_index,              UINT, "ModifyIndex", .flags = COMPARE_SKIP)
DECLARE_RECORD(autopilot_config, AUTOPILOT_CONFIG_FIELDS)

#define AUTOPILOT_SET_CONFIG_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,                   "Datacenter") \
    X(S, config,     REC(autopilot_config), "Config") \
    X(S, cas,        BOOL,                  "CAS") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(autopilot_set_config_request, AUTOPILOT_SET_CONFIG_REQUEST_FIELDS)

#define AUTOPILOT_OPERATOR_HEALTH_REPLY_FIELDS(X, S) \
    X(S, healthy,           BOOL,                          "Healthy") \
    X(S, failure_tolerance, INT,                           "FailureTolerance") \
    X(S, servers,           LIST(autopilot_server_health), "Servers")
DECLARE_RECORD(autopilot_operator_health_reply, AUTOPILOT_OPERATOR_HEALTH_REPLY_FIELDS)

#define AUTOPILOT_SERVER_HEALTH_FIELDS(X, S) \
    X(S, id,           STR,  "ID") \
    X(S, name,         STR,  "Name") \
    X(S, address,      STR,  "Address") \
    X(S, serf_status,  INT,  "SerfStatus") \
    X(S, version,      STR,  "Version") \
    X(S, leader,       BOOL, "Leader") \
    X(S, last_contact, DUR,  "LastContact", .flags = JSON_DUR_TEXT) \
    X(S, last_term,    UINT, "LastTerm") \
    X(S, last_index,   UINT, "LastIndex") \
    X(S, healthy,      BOOL, "Healthy") \
    X(S, voter,        BOOL, "Voter") \
    X(S, stable_since, TIME, "StableSince")
DECLARE_RECORD(autopilot_server_health, AUTOPILOT_SERVER_HEALTH_FIELDS)

#define AUTOPILOT_SERVER_STATS_FIELDS(X, S) \
    X(S, last_contact, STR,  "LastContact") \
    X(S, last_term,    UINT, "LastTerm") \
    X(S, last_index,   UINT, "LastIndex")
DECLARE_RECORD(autopilot_server_stats, AUTOPILOT_SERVER_STATS_FIELDS)

#define RAFT_SERVER_FIELDS(X, S) \
    X(S, id,               STR,  "ID") \
    X(S, node,             STR,  "Node") \
    X(S, address,          STR,  "Address") \
    X(S, leader,           BOOL, "Leader") \
    X(S, protocol_version, STR,  "ProtocolVersion") \
    X(S, voter,            BOOL, "Voter")
DECLARE_RECORD(raft_server, RAFT_SERVER_FIELDS)

#define RAFT_CONFIGURATION_RESPONSE_FIELDS(X, S) \
    X(S, servers, LIST(raft_server), "Servers") \
    X(S, index,   UINT,              "Index")
DECLARE_RECORD(raft_configuration_response, RAFT_CONFIGURATION_RESPONSE_FIELDS)

#define RAFT_REMOVE_PEER_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    X(S, address,    STR, "Address") \
    X(S, id,         STR, "ID") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(raft_remove_peer_request, RAFT_REMOVE_PEER_REQUEST_FIELDS)

#define SNAPSHOT_REQUEST_FIELDS(X, S) \
    X(S, datacenter,  STR,  "Datacenter") \
    X(S, token,       STR,  "Token") \
    X(S, allow_stale, BOOL, "AllowStale") \
    X(S, op,          INT,  "Op")
DECLARE_RECORD(snapshot_request, SNAPSHOT_REQUEST_FIELDS)

#define SNAPSHOT_RESPONSE_FIELDS(X, S) \
    X(S, error, STR, "Error") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(snapshot_response, SNAPSHOT_RESPONSE_FIELDS)
