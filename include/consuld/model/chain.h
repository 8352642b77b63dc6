/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled discovery chains. */
#pragma once
#include "consuld/model/config_entry.h"

/* clang-format off */
#define DISCOVERY_CHAIN_REQUEST_FIELDS(X, S) \
    X(S, name,                     STR,                      "Name") \
    X(S, evaluate_in_datacenter,   STR,                      "EvaluateInDatacenter") \
    X(S, evaluate_in_namespace,    STR,                      "EvaluateInNamespace") \
    X(S, override_mesh_gateway,    REC(mesh_gateway_config), "OverrideMeshGateway") \
    X(S, override_protocol,        STR,                      "OverrideProtocol") \
    X(S, override_connect_timeout, DUR,                      "OverrideConnectTimeout") \
    X(S, datacenter,               STR,                      "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(discovery_chain_request, DISCOVERY_CHAIN_REQUEST_FIELDS)

#define DISCOVERY_FAILOVER_FIELDS(X, S) \
    X(S, targets, LIST_STR, "Targets")
DECLARE_RECORD(discovery_failover, DISCOVERY_FAILOVER_FIELDS)

#define DISCOVERY_RESOLVER_FIELDS(X, S) \
    X(S, connect_timeout, DUR,                     "ConnectTimeout", .flags = JSON_DUR_TEXT | JSON_TEXT_OMIT_ZERO) \
    X(S, is_default,      BOOL,                    "Default", .flags = JSON_OMIT) \
    X(S, target,          STR,                     "Target") \
    X(S, failover,        PTR(discovery_failover), "Failover", .flags = JSON_OMIT)
DECLARE_RECORD(discovery_resolver, DISCOVERY_RESOLVER_FIELDS)

#define DISCOVERY_ROUTE_FIELDS(X, S) \
    X(S, definition, PTR(service_route), "Definition", .flags = JSON_OMIT) \
    X(S, next_node,  STR,                "NextNode")
DECLARE_RECORD(discovery_route, DISCOVERY_ROUTE_FIELDS)

#define DISCOVERY_SPLIT_FIELDS(X, S) \
    X(S, weight,    F32, "Weight") \
    X(S, next_node, STR, "NextNode")
DECLARE_RECORD(discovery_split, DISCOVERY_SPLIT_FIELDS)

#define DISCOVERY_TARGET_FIELDS(X, S) \
    X(S, id,             STR,                          "ID") \
    X(S, service,        STR,                          "Service") \
    X(S, service_subset, STR,                          "ServiceSubset", .flags = JSON_OMIT) \
    X(S, namespace,      STR,                          "Namespace") \
    X(S, datacenter,     STR,                          "Datacenter") \
    X(S, mesh_gateway,   REC(mesh_gateway_config),     "MeshGateway") \
    X(S, subset,         REC(service_resolver_subset), "Subset") \
    X(S, external,       BOOL,                         "External", .flags = JSON_OMIT) \
    X(S, sni,            STR,                          "SNI", .flags = JSON_OMIT) \
    X(S, name,           STR,                          "Name", .flags = JSON_OMIT)
DECLARE_RECORD(discovery_target, DISCOVERY_TARGET_FIELDS)

#define DISCOVERY_GRAPH_NODE_FIELDS(X, S) \
    X(S, type,     STR,                     "Type") \
    X(S, name,     STR,                     "Name") \
    X(S, routes,   LIST(discovery_route),   "Routes", .flags = JSON_OMIT) \
    X(S, splits,   LIST(discovery_split),   "Splits", .flags = JSON_OMIT) \
    X(S, resolver, PTR(discovery_resolver), "Resolver", .flags = JSON_OMIT)
DECLARE_RECORD(discovery_graph_node, DISCOVERY_GRAPH_NODE_FIELDS)

#define COMPILED_DISCOVERY_CHAIN_FIELDS(X, S) \
    X(S, service_name,       STR,                       "ServiceName") \
    X(S, namespace,          STR,                       "Namespace") \
    X(S, datacenter,         STR,                       "Datacenter") \
    X(S, customization_hash, STR,                       "CustomizationHash", .flags = JSON_OMIT) \
    X(S, protocol,           STR,                       "Protocol", .flags = JSON_OMIT) \
    X(S, start_node,         STR,                       "StartNode", .flags = JSON_OMIT) \
    X(S, nodes,              MAP(discovery_graph_node), "Nodes", .flags = JSON_OMIT) \
    X(S, targets,            MAP(discovery_target),     "Targets", .flags = JSON_OMIT)
DECLARE_RECORD(compiled_discovery_chain, COMPILED_DISCOVERY_CHAIN_FIELDS)

#define DISCOVERY_CHAIN_RESPONSE_FIELDS(X, S) \
    X(S, chain, PTR(compiled_discovery_chain), "Chain") \
    QUERY_META_HIDDEN_FIELDS(X, S)
DECLARE_RECORD(discovery_chain_response, DISCOVERY_CHAIN_RESPONSE_FIELDS)
