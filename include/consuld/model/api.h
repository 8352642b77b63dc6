/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP bodies that differ from the RPC records (http-api.md 1.4, 3, 5). Never sent by RPC. */
#pragma once
#include "consuld/model/acl.h"
#include "consuld/model/catalog.h"
#include "consuld/model/session.h"

/* clang-format off */
/* PUT /v1/agent/check/register. */
#define CHECK_DEFINITION_FIELDS(X, S) \
    X(S, id,                                STR,          "ID", .go_type = "types.CheckID") \
    X(S, name,                              STR,          "Name") \
    X(S, notes,                             STR,          "Notes") \
    X(S, service_id,                        STR,          "ServiceID", .alias = "service_id") \
    X(S, token,                             STR,          "Token") \
    X(S, status,                            STR,          "Status") \
    X(S, script_args,                       LIST_STR,     "ScriptArgs", .alias = "args,script_args") \
    X(S, http,                              STR,          "HTTP") \
    X(S, header,                            MAP_LIST_STR, "Header") \
    X(S, method,                            STR,          "Method") \
    X(S, body,                              STR,          "Body") \
    X(S, tcp,                               STR,          "TCP") \
    X(S, interval,                          DUR,          "Interval", .flags = JSON_DUR_TEXT) \
    X(S, docker_container_id,               STR,          "DockerContainerID", .alias = "docker_container_id") \
    X(S, shell,                             STR,          "Shell") \
    X(S, grpc,                              STR,          "GRPC") \
    X(S, grpc_use_tls,                      BOOL,         "GRPCUseTLS") \
    X(S, tls_skip_verify,                   BOOL,         "TLSSkipVerify", .alias = "tls_skip_verify") \
    X(S, alias_node,                        STR,          "AliasNode") \
    X(S, alias_service,                     STR,          "AliasService") \
    X(S, timeout,                           DUR,          "Timeout", .flags = JSON_DUR_TEXT) \
    X(S, ttl,                               DUR,          "TTL", .flags = JSON_DUR_TEXT) \
    X(S, success_before_passing,            INT,          "SuccessBeforePassing") \
    X(S, failures_before_critical,          INT,          "FailuresBeforeCritical") \
    X(S, deregister_critical_service_after, DUR,          "DeregisterCriticalServiceAfter", .flags = JSON_DUR_TEXT, .alias = "deregister_critical_service_after") \
    X(S, output_max_size,                   INT,          "OutputMaxSize")
DECLARE_RECORD(check_definition, CHECK_DEFINITION_FIELDS)

/* PUT /v1/agent/check/update/ID. */
#define CHECK_UPDATE_FIELDS(X, S) \
    X(S, status, STR, "Status") \
    X(S, output, STR, "Output")
DECLARE_RECORD(check_update, CHECK_UPDATE_FIELDS)

/* PUT /v1/session/create. lock_delay: text, or a number of seconds (below 1000) or nanoseconds.
 * node_checks and checks left as the caller set them when the body does not name them. */
#define SESSION_CREATE_FIELDS(X, S) \
    X(S, lock_delay,     ANY,                 "LockDelay") \
    X(S, id,             STR,                 "ID") \
    X(S, name,           STR,                 "Name") \
    X(S, node,           STR,                 "Node") \
    X(S, behavior,       STR,                 "Behavior") \
    X(S, ttl,            STR,                 "TTL") \
    X(S, node_checks,    LIST_STR,            "NodeChecks") \
    X(S, service_checks, LIST(service_check), "ServiceChecks") \
    X(S, checks,         LIST_STR,            "Checks") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(session_create, SESSION_CREATE_FIELDS)

/* PUT /v1/txn: a list of api_txn_op. */
#define KV_TXN_OP_FIELDS(X, S) \
    X(S, verb,    STR,   "Verb") \
    X(S, key,     STR,   "Key") \
    X(S, value,   BYTES, "Value") \
    X(S, flags,   UINT,  "Flags") \
    X(S, index,   UINT,  "Index") \
    X(S, session, STR,   "Session")
DECLARE_RECORD(kv_txn_op, KV_TXN_OP_FIELDS)

#define NODE_TXN_OP_FIELDS(X, S) \
    X(S, verb, STR,       "Verb") \
    X(S, node, REC(node), "Node")
DECLARE_RECORD(node_txn_op, NODE_TXN_OP_FIELDS)

#define CHECK_TXN_OP_FIELDS(X, S) \
    X(S, verb,  STR,               "Verb") \
    X(S, check, REC(health_check), "Check")
DECLARE_RECORD(check_txn_op, CHECK_TXN_OP_FIELDS)

/* Services as the agent shows them (/v1/agent/services, /v1/agent/service/ID) and as transactions
 * take them: the same data as node_service, other omissions. */
#define AGENT_UPSTREAM_FIELDS(X, S) \
    X(S, destination_type,      STR,                      "DestinationType", .flags = JSON_OMIT) \
    X(S, destination_namespace, STR,                      "DestinationNamespace", .flags = JSON_OMIT) \
    X(S, destination_name,      STR,                      "DestinationName") \
    X(S, datacenter,            STR,                      "Datacenter", .flags = JSON_OMIT) \
    X(S, local_bind_address,    STR,                      "LocalBindAddress", .flags = JSON_OMIT) \
    X(S, local_bind_port,       INT,                      "LocalBindPort", .flags = JSON_OMIT) \
    X(S, config,                ANY,                      "Config", .flags = ANY_MAP | JSON_OMIT) \
    X(S, mesh_gateway,          REC(mesh_gateway_config), "MeshGateway")
DECLARE_RECORD(agent_upstream, AGENT_UPSTREAM_FIELDS)

#define AGENT_PROXY_CONFIG_FIELDS(X, S) \
    X(S, destination_service_name, STR,                      "DestinationServiceName", .flags = JSON_OMIT) \
    X(S, destination_service_id,   STR,                      "DestinationServiceID", .flags = JSON_OMIT) \
    X(S, local_service_address,    STR,                      "LocalServiceAddress", .flags = JSON_OMIT) \
    X(S, local_service_port,       INT,                      "LocalServicePort", .flags = JSON_OMIT) \
    X(S, config,                   ANY,                      "Config", .flags = ANY_MAP | JSON_OMIT) \
    X(S, upstreams,                LIST(agent_upstream),     "Upstreams", .flags = JSON_OMIT) \
    X(S, mesh_gateway,             REC(mesh_gateway_config), "MeshGateway") \
    X(S, expose,                   REC(expose_config),       "Expose")
DECLARE_RECORD(agent_proxy_config, AGENT_PROXY_CONFIG_FIELDS)

#define AGENT_CONNECT_FIELDS(X, S) \
    X(S, native, BOOL, "Native", .flags = JSON_OMIT)
DECLARE_RECORD(agent_connect, AGENT_CONNECT_FIELDS)

#define AGENT_SERVICE_FIELDS(X, S) \
    X(S, kind,                STR,                     "Kind", .flags = JSON_OMIT) \
    X(S, id,                  STR,                     "ID") \
    X(S, service,             STR,                     "Service") \
    X(S, tags,                LIST_STR,                "Tags") \
    X(S, meta,                MAP_STR,                 "Meta") \
    X(S, port,                INT,                     "Port") \
    X(S, address,             STR,                     "Address") \
    X(S, tagged_addresses,    MAP(service_address),    "TaggedAddresses", .flags = JSON_OMIT) \
    X(S, weights,             REC(weights),            "Weights") \
    X(S, enable_tag_override, BOOL,                    "EnableTagOverride") \
    X(S, create_index,        UINT,                    "CreateIndex", .flags = JSON_OMIT | COMPARE_SKIP) \
    X(S, modify_index,        UINT,                    "ModifyIndex", .flags = JSON_OMIT | COMPARE_SKIP) \
    X(S, content_hash,        STR,                     "ContentHash", .flags = JSON_OMIT) \
    X(S, proxy,               PTR(agent_proxy_config), "Proxy", .flags = JSON_OMIT) \
    X(S, connect,             PTR(agent_connect),      "Connect", .flags = JSON_OMIT)
DECLARE_RECORD(agent_service, AGENT_SERVICE_FIELDS)

#define SERVICE_TXN_OP_FIELDS(X, S) \
    X(S, verb,    STR,                "Verb") \
    X(S, node,    STR,                "Node") \
    X(S, service, REC(agent_service), "Service")
DECLARE_RECORD(service_txn_op, SERVICE_TXN_OP_FIELDS)

#define API_TXN_OP_FIELDS(X, S) \
    X(S, kv,      PTR(kv_txn_op),      "KV") \
    X(S, node,    PTR(node_txn_op),    "Node") \
    X(S, service, PTR(service_txn_op), "Service") \
    X(S, check,   PTR(check_txn_op),   "Check")
DECLARE_RECORD(api_txn_op, API_TXN_OP_FIELDS)

/* GET /v1/agent/health/service/id/ID and .../name/NAME. */
#define AGENT_CHECK_DEFINITION_FIELDS(X, S) \
    X(S, interval,                          DUR,          "Interval", .flags = JSON_DUR_TEXT) \
    X(S, timeout,                           DUR,          "Timeout", .flags = JSON_DUR_TEXT) \
    X(S, deregister_critical_service_after, DUR,          "DeregisterCriticalServiceAfter", .flags = JSON_DUR_TEXT) \
    X(S, http,                              STR,          "HTTP") \
    X(S, header,                            MAP_LIST_STR, "Header") \
    X(S, method,                            STR,          "Method") \
    X(S, body,                              STR,          "Body") \
    X(S, tls_skip_verify,                   BOOL,         "TLSSkipVerify") \
    X(S, tcp,                               STR,          "TCP")
DECLARE_RECORD(agent_check_definition, AGENT_CHECK_DEFINITION_FIELDS)

#define AGENT_HEALTH_CHECK_FIELDS(X, S) \
    X(S, node,         STR,                         "Node") \
    X(S, check_id,     STR,                         "CheckID") \
    X(S, name,         STR,                         "Name") \
    X(S, status,       STR,                         "Status") \
    X(S, notes,        STR,                         "Notes") \
    X(S, output,       STR,                         "Output") \
    X(S, service_id,   STR,                         "ServiceID") \
    X(S, service_name, STR,                         "ServiceName") \
    X(S, service_tags, LIST_STR,                    "ServiceTags") \
    X(S, type,         STR,                         "Type") \
    X(S, definition,   REC(agent_check_definition), "Definition") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(agent_health_check, AGENT_HEALTH_CHECK_FIELDS)

#define AGENT_SERVICE_CHECKS_FIELDS(X, S) \
    X(S, aggregated_status, STR,                      "AggregatedStatus") \
    X(S, service,           PTR(agent_service),       "Service") \
    X(S, checks,            LIST(agent_health_check), "Checks")
DECLARE_RECORD(agent_service_checks, AGENT_SERVICE_CHECKS_FIELDS)

/* GET /v1/agent/members. */
#define AGENT_MEMBER_FIELDS(X, S) \
    X(S, name,         STR,     "Name") \
    X(S, addr,         STR,     "Addr") \
    X(S, port,         INT,     "Port") \
    X(S, tags,         MAP_STR, "Tags") \
    X(S, status,       INT,     "Status") \
    X(S, protocol_min, INT,     "ProtocolMin") \
    X(S, protocol_max, INT,     "ProtocolMax") \
    X(S, protocol_cur, INT,     "ProtocolCur") \
    X(S, delegate_min, INT,     "DelegateMin") \
    X(S, delegate_max, INT,     "DelegateMax") \
    X(S, delegate_cur, INT,     "DelegateCur")
DECLARE_RECORD(agent_member, AGENT_MEMBER_FIELDS)

/* PUT /v1/agent/token/WHICH. */
#define AGENT_TOKEN_FIELDS(X, S) \
    X(S, token, STR, "Token")
DECLARE_RECORD(agent_token, AGENT_TOKEN_FIELDS)

/* POST /v1/agent/connect/authorize. */
#define CONNECT_AUTHORIZE_REQUEST_FIELDS(X, S) \
    X(S, target,             STR, "Target") \
    X(S, client_cert_uri,    STR, "ClientCertURI") \
    X(S, client_cert_serial, STR, "ClientCertSerial")
DECLARE_RECORD(connect_authorize_request, CONNECT_AUTHORIZE_REQUEST_FIELDS)

#define CONNECT_AUTHORIZE_REPLY_FIELDS(X, S) \
    X(S, authorized, BOOL, "Authorized") \
    X(S, reason,     STR,  "Reason")
DECLARE_RECORD(connect_authorize_reply, CONNECT_AUTHORIZE_REPLY_FIELDS)

/* PUT /v1/event/fire/NAME and GET /v1/event/list. */
#define USER_EVENT_FIELDS(X, S) \
    X(S, id,             STR,   "ID") \
    X(S, name,           STR,   "Name") \
    X(S, payload,        BYTES, "Payload") \
    X(S, node_filter,    STR,   "NodeFilter") \
    X(S, service_filter, STR,   "ServiceFilter") \
    X(S, tag_filter,     STR,   "TagFilter") \
    X(S, version,        INT,   "Version") \
    X(S, l_time,         UINT,  "LTime")
DECLARE_RECORD(user_event, USER_EVENT_FIELDS)

/* The payload of the event _rexec, and the job that it names. */
#define REMOTE_EXEC_EVENT_FIELDS(X, S) \
    X(S, prefix,  STR, "Prefix") \
    X(S, session, STR, "Session")
DECLARE_RECORD(remote_exec_event, REMOTE_EXEC_EVENT_FIELDS)

#define REMOTE_EXEC_SPEC_FIELDS(X, S) \
    X(S, command, STR,      "Command") \
    X(S, args,    LIST_STR, "Args") \
    X(S, script,  BYTES,    "Script") \
    X(S, wait,    DUR,      "Wait")
DECLARE_RECORD(remote_exec_spec, REMOTE_EXEC_SPEC_FIELDS)

/* POST /v1/discovery-chain/NAME. */
#define CHAIN_OVERRIDES_FIELDS(X, S) \
    X(S, override_connect_timeout, DUR,                      "OverrideConnectTimeout", .flags = JSON_DUR_TEXT, .alias = "override_connect_timeout") \
    X(S, override_protocol,        STR,                      "OverrideProtocol", .alias = "override_protocol") \
    X(S, override_mesh_gateway,    REC(mesh_gateway_config), "OverrideMeshGateway", .alias = "override_mesh_gateway")
DECLARE_RECORD(chain_overrides, CHAIN_OVERRIDES_FIELDS)

/* GET /v1/operator/autopilot/health. */
#define API_SERVER_HEALTH_FIELDS(X, S) \
    X(S, id,           STR,  "ID") \
    X(S, name,         STR,  "Name") \
    X(S, address,      STR,  "Address") \
    X(S, serf_status,  STR,  "SerfStatus") \
    X(S, version,      STR,  "Version") \
    X(S, leader,       BOOL, "Leader") \
    X(S, last_contact, DUR,  "LastContact", .flags = JSON_DUR_TEXT) \
    X(S, last_term,    UINT, "LastTerm") \
    X(S, last_index,   UINT, "LastIndex") \
    X(S, healthy,      BOOL, "Healthy") \
    X(S, voter,        BOOL, "Voter") \
    X(S, stable_since, TIME, "StableSince")
DECLARE_RECORD(api_server_health, API_SERVER_HEALTH_FIELDS)

#define API_HEALTH_REPLY_FIELDS(X, S) \
    X(S, healthy,           BOOL,                    "Healthy") \
    X(S, failure_tolerance, INT,                     "FailureTolerance") \
    X(S, servers,           LIST(api_server_health), "Servers")
DECLARE_RECORD(api_health_reply, API_HEALTH_REPLY_FIELDS)

/* /v1/operator/keyring. */
/* Token and LocalOnly have no effect here, nor with Consul: the request itself says them. */
#define KEYRING_BODY_FIELDS(X, S) \
    X(S, key, STR, "Key") \
    X(S, token, STR, "Token") \
    X(S, relay_factor, UINT, "RelayFactor", .bits = 8) \
    X(S, local_only, BOOL, "LocalOnly")
DECLARE_RECORD(keyring_body, KEYRING_BODY_FIELDS)

/* {"ID": ...} of creations. */
#define ID_REPLY_FIELDS(X, S) \
    X(S, id, STR, "ID")
DECLARE_RECORD(id_reply, ID_REPLY_FIELDS)

/* GET /v1/internal/ui/services and .../gateway-services-nodes/NAME. */
#define GATEWAY_UI_CONFIG_FIELDS(X, S) \
    X(S, addresses, LIST_STR, "Addresses", .flags = JSON_OMIT)
DECLARE_RECORD(gateway_ui_config, GATEWAY_UI_CONFIG_FIELDS)

#define SERVICE_SUMMARY_FIELDS(X, S) \
    X(S, kind,             STR,                    "Kind", .flags = JSON_OMIT) \
    X(S, name,             STR,                    "Name") \
    X(S, tags,             LIST_STR,               "Tags") \
    X(S, nodes,            LIST_STR,               "Nodes") \
    X(S, instance_count,   INT,                    "InstanceCount") \
    X(S, proxy_for,        LIST_STR,               "ProxyFor", .flags = JSON_OMIT) \
    X(S, checks_passing,   INT,                    "ChecksPassing") \
    X(S, checks_warning,   INT,                    "ChecksWarning") \
    X(S, checks_critical,  INT,                    "ChecksCritical") \
    X(S, external_sources, LIST_STR,               "ExternalSources") \
    X(S, gateway_config,   REC(gateway_ui_config), "GatewayConfig")
DECLARE_RECORD(service_summary, SERVICE_SUMMARY_FIELDS)

/* PUT /v1/acl/bootstrap: a token with its secret as ID once more. */
#define ACL_BOOTSTRAP_REPLY_FIELDS(X, S) \
    X(S, id,                 STR,                         "ID") \
    X(S, expiration_ttl,     DUR,                         "ExpirationTTL", .flags = JSON_DUR_TEXT | JSON_TEXT_OMIT_ZERO) \
    X(S, accessor_id,        STR,                         "AccessorID") \
    X(S, secret_id,          STR,                         "SecretID") \
    X(S, description,        STR,                         "Description") \
    X(S, policies,           LIST(acl_token_policy_link), "Policies", .flags = JSON_OMIT) \
    X(S, roles,              LIST(acl_token_role_link),   "Roles", .flags = JSON_OMIT) \
    X(S, service_identities, LIST(acl_service_identity),  "ServiceIdentities", .flags = JSON_OMIT) \
    X(S, node_identities,    LIST(acl_node_identity),     "NodeIdentities", .flags = JSON_OMIT) \
    X(S, type,               STR,                         "Type", .flags = JSON_SKIP) \
    X(S, rules,              STR,                         "Rules", .flags = JSON_OMIT) \
    X(S, local,              BOOL,                        "Local") \
    X(S, auth_method,        STR,                         "AuthMethod", .flags = JSON_OMIT) \
    X(S, expiration_time,    TIME,                        "ExpirationTime", .flags = JSON_OMIT | TIME_PTR) \
    X(S, create_time,        TIME,                        "CreateTime") \
    X(S, hash,               BYTES,                       "Hash") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(acl_bootstrap_reply, ACL_BOOTSTRAP_REPLY_FIELDS)
