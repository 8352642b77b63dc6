/* SPDX-License-Identifier: Apache-2.0 */
/* Checks, and nodes and services seen together with them. */
#pragma once
#include "consuld/model/rpc.h"

/* clang-format off */
#define HEALTH_CHECK_DEFINITION_FIELDS(X, S) \
    X(S, interval,                          DUR,          "Interval", .flags = JSON_DUR_TEXT | JSON_TEXT_OMIT_ZERO) \
    X(S, output_max_size,                   UINT,         "OutputMaxSize", .flags = JSON_OMIT) \
    X(S, timeout,                           DUR,          "Timeout", .flags = JSON_DUR_TEXT | JSON_TEXT_OMIT_ZERO) \
    X(S, deregister_critical_service_after, DUR,          "DeregisterCriticalServiceAfter", .flags = JSON_DUR_TEXT | JSON_TEXT_OMIT_ZERO) \
    X(S, http,                              STR,          "HTTP", .flags = JSON_OMIT) \
    X(S, tls_skip_verify,                   BOOL,         "TLSSkipVerify", .flags = JSON_OMIT) \
    X(S, header,                            MAP_LIST_STR, "Header", .flags = JSON_OMIT) \
    X(S, method,                            STR,          "Method", .flags = JSON_OMIT) \
    X(S, body,                              STR,          "Body", .flags = JSON_OMIT) \
    X(S, tcp,                               STR,          "TCP", .flags = JSON_OMIT) \
    X(S, script_args,                       LIST_STR,     "ScriptArgs", .flags = JSON_OMIT) \
    X(S, docker_container_id,               STR,          "DockerContainerID", .flags = JSON_OMIT) \
    X(S, shell,                             STR,          "Shell", .flags = JSON_OMIT) \
    X(S, grpc,                              STR,          "GRPC", .flags = JSON_OMIT) \
    X(S, grpc_use_tls,                      BOOL,         "GRPCUseTLS", .flags = JSON_OMIT) \
    X(S, alias_node,                        STR,          "AliasNode", .flags = JSON_OMIT) \
    X(S, alias_service,                     STR,          "AliasService", .flags = JSON_OMIT) \
    X(S, ttl,                               DUR,          "TTL", .flags = JSON_OMIT)
DECLARE_RECORD(health_check_definition, HEALTH_CHECK_DEFINITION_FIELDS)

#define HEALTH_CHECK_FIELDS(X, S) \
    X(S, node,         STR,                          "Node") \
    X(S, check_id,     STR,                          "CheckID") \
    X(S, name,         STR,                          "Name") \
    X(S, status,       STR,                          "Status") \
    X(S, notes,        STR,                          "Notes") \
    X(S, output,       STR,                          "Output") \
    X(S, service_id,   STR,                          "ServiceID") \
    X(S, service_name, STR,                          "ServiceName") \
    X(S, service_tags, LIST_STR,                     "ServiceTags") \
    X(S, type,         STR,                          "Type", .flags = COMPARE_SKIP) \
    X(S, definition,   REC(health_check_definition), "Definition") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(health_check, HEALTH_CHECK_FIELDS)

#define CHECK_SERVICE_NODE_FIELDS(X, S) \
    X(S, node,    PTR(node),          "Node") \
    X(S, service, PTR(node_service),  "Service") \
    X(S, checks,  LIST(health_check), "Checks")
DECLARE_RECORD(check_service_node, CHECK_SERVICE_NODE_FIELDS)

#define NODE_INFO_FIELDS(X, S) \
    X(S, id,               STR,                "ID") \
    X(S, node,             STR,                "Node") \
    X(S, address,          STR,                "Address") \
    X(S, tagged_addresses, MAP_STR,            "TaggedAddresses") \
    X(S, meta,             MAP_STR,            "Meta") \
    X(S, services,         LIST(node_service), "Services") \
    X(S, checks,           LIST(health_check), "Checks")
DECLARE_RECORD(node_info, NODE_INFO_FIELDS)

#define SERVICE_INFO_FIELDS(X, S) \
    X(S, node,            PTR(node),            "Node") \
    X(S, service,         PTR(node_service),    "Service") \
    X(S, checks,          LIST(health_check),   "Checks") \
    X(S, gateway_service, PTR(gateway_service), "GatewayService")
DECLARE_RECORD(service_info, SERVICE_INFO_FIELDS)

#define INDEXED_HEALTH_CHECKS_FIELDS(X, S) \
    X(S, health_checks, LIST(health_check), "HealthChecks") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_health_checks, INDEXED_HEALTH_CHECKS_FIELDS)

#define INDEXED_CHECK_SERVICE_NODES_FIELDS(X, S) \
    X(S, nodes, LIST(check_service_node), "Nodes") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_check_service_nodes, INDEXED_CHECK_SERVICE_NODES_FIELDS)

#define INDEXED_NODE_DUMP_FIELDS(X, S) \
    X(S, dump, LIST(node_info), "Dump") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_node_dump, INDEXED_NODE_DUMP_FIELDS)

#define INDEXED_SERVICE_DUMP_FIELDS(X, S) \
    X(S, dump, LIST(service_info), "Dump") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_service_dump, INDEXED_SERVICE_DUMP_FIELDS)

#define DATACENTER_INDEXED_CHECK_SERVICE_NODES_FIELDS(X, S) \
    X(S, datacenter_nodes, MAP_LIST(check_service_node), "DatacenterNodes") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(datacenter_indexed_check_service_nodes, DATACENTER_INDEXED_CHECK_SERVICE_NODES_FIELDS)
