/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes, services and their registration. */
#pragma once
#include "consuld/model/rpc.h"
#include "consuld/model/health.h"

/* clang-format off */
#define MESH_GATEWAY_CONFIG_FIELDS(X, S) \
    X(S, mode, STR, "Mode", .flags = JSON_OMIT)
DECLARE_RECORD(mesh_gateway_config, MESH_GATEWAY_CONFIG_FIELDS)

#define EXPOSE_PATH_FIELDS(X, S) \
    X(S, listener_port,     INT,  "ListenerPort", .flags = JSON_OMIT, .alias = "listener_port") \
    X(S, path,              STR,  "Path", .flags = JSON_OMIT) \
    X(S, local_path_port,   INT,  "LocalPathPort", .flags = JSON_OMIT, .alias = "local_path_port") \
    X(S, protocol,          STR,  "Protocol", .flags = JSON_OMIT) \
    X(S, parsed_from_check, BOOL, "ParsedFromCheck")
DECLARE_RECORD(expose_path, EXPOSE_PATH_FIELDS)

#define EXPOSE_CONFIG_FIELDS(X, S) \
    X(S, checks, BOOL,              "Checks", .flags = JSON_OMIT) \
    X(S, paths,  LIST(expose_path), "Paths", .flags = JSON_OMIT)
DECLARE_RECORD(expose_config, EXPOSE_CONFIG_FIELDS)

#define UPSTREAM_FIELDS(X, S) \
    X(S, destination_type,      STR,                      "DestinationType", .alias = "destination_type") \
    X(S, destination_namespace, STR,                      "DestinationNamespace", .flags = JSON_OMIT, .alias = "destination_namespace") \
    X(S, destination_name,      STR,                      "DestinationName", .alias = "destination_name") \
    X(S, datacenter,            STR,                      "Datacenter") \
    X(S, local_bind_address,    STR,                      "LocalBindAddress", .flags = JSON_OMIT, .alias = "local_bind_address") \
    X(S, local_bind_port,       INT,                      "LocalBindPort", .alias = "local_bind_port") \
    X(S, config,                ANY,                      "Config", .flags = ANY_MAP) \
    X(S, mesh_gateway,          REC(mesh_gateway_config), "MeshGateway", .alias = "mesh_gateway") \
    X(S, ingress_hosts,         LIST_STR,                 "IngressHosts", .flags = JSON_SKIP)
DECLARE_RECORD(upstream, UPSTREAM_FIELDS)

#define CONNECT_PROXY_CONFIG_FIELDS(X, S) \
    X(S, destination_service_name, STR,                      "DestinationServiceName", .flags = JSON_OMIT, .alias = "destination_service_name") \
    X(S, destination_service_id,   STR,                      "DestinationServiceID", .flags = JSON_OMIT, .alias = "destination_service_id") \
    X(S, local_service_address,    STR,                      "LocalServiceAddress", .flags = JSON_OMIT, .alias = "local_service_address") \
    X(S, local_service_port,       INT,                      "LocalServicePort", .flags = JSON_OMIT, .alias = "local_service_port") \
    X(S, config,                   ANY,                      "Config", .flags = ANY_MAP | JSON_OMIT) \
    X(S, upstreams,                LIST(upstream),           "Upstreams", .flags = JSON_OMIT) \
    X(S, mesh_gateway,             REC(mesh_gateway_config), "MeshGateway") \
    X(S, expose,                   REC(expose_config),       "Expose")
DECLARE_RECORD(connect_proxy_config, CONNECT_PROXY_CONFIG_FIELDS)

#define SERVICE_CONNECT_FIELDS(X, S) \
    X(S, native,          BOOL,                    "Native", .flags = JSON_OMIT) \
    X(S, sidecar_service, PTR(service_definition), "SidecarService", .flags = JSON_OMIT, .alias = "sidecar_service")
DECLARE_RECORD(service_connect, SERVICE_CONNECT_FIELDS)

#define SERVICE_ADDRESS_FIELDS(X, S) \
    X(S, address, STR, "Address") \
    X(S, port,    INT, "Port")
DECLARE_RECORD(service_address, SERVICE_ADDRESS_FIELDS)

#define WEIGHTS_FIELDS(X, S) \
    X(S, passing, INT, "Passing") \
    X(S, warning, INT, "Warning")
DECLARE_RECORD(weights, WEIGHTS_FIELDS)

#define NODE_FIELDS(X, S) \
    X(S, id,               STR,     "ID") \
    X(S, node,             STR,     "Node") \
    X(S, address,          STR,     "Address") \
    X(S, datacenter,       STR,     "Datacenter") \
    X(S, tagged_addresses, MAP_STR, "TaggedAddresses") \
    X(S, meta,             MAP_STR, "Meta") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(node, NODE_FIELDS)

#define NODE_SERVICE_FIELDS(X, S) \
    X(S, kind,                          STR,                       "Kind", .flags = JSON_OMIT) \
    X(S, id,                            STR,                       "ID") \
    X(S, service,                       STR,                       "Service") \
    X(S, tags,                          LIST_STR,                  "Tags") \
    X(S, address,                       STR,                       "Address") \
    X(S, tagged_addresses,              MAP(service_address),      "TaggedAddresses", .flags = JSON_OMIT, .alias = "tagged_addresses") \
    X(S, meta,                          MAP_STR,                   "Meta") \
    X(S, port,                          INT,                       "Port") \
    X(S, weights,                       PTR(weights),              "Weights") \
    X(S, enable_tag_override,           BOOL,                      "EnableTagOverride", .alias = "enable_tag_override") \
    X(S, proxy,                         REC(connect_proxy_config), "Proxy") \
    X(S, connect,                       REC(service_connect),      "Connect") \
    X(S, locally_registered_as_sidecar, BOOL,                      "LocallyRegisteredAsSidecar", .flags = JSON_SKIP | COMPARE_SKIP) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(node_service, NODE_SERVICE_FIELDS)

#define SERVICE_NODE_FIELDS(X, S) \
    X(S, id,                          STR,                       "ID") \
    X(S, node,                        STR,                       "Node") \
    X(S, address,                     STR,                       "Address") \
    X(S, datacenter,                  STR,                       "Datacenter") \
    X(S, tagged_addresses,            MAP_STR,                   "TaggedAddresses") \
    X(S, node_meta,                   MAP_STR,                   "NodeMeta") \
    X(S, service_kind,                STR,                       "ServiceKind") \
    X(S, service_id,                  STR,                       "ServiceID") \
    X(S, service_name,                STR,                       "ServiceName") \
    X(S, service_tags,                LIST_STR,                  "ServiceTags") \
    X(S, service_address,             STR,                       "ServiceAddress") \
    X(S, service_tagged_addresses,    MAP(service_address),      "ServiceTaggedAddresses", .flags = JSON_OMIT) \
    X(S, service_weights,             REC(weights),              "ServiceWeights") \
    X(S, service_meta,                MAP_STR,                   "ServiceMeta") \
    X(S, service_port,                INT,                       "ServicePort") \
    X(S, service_enable_tag_override, BOOL,                      "ServiceEnableTagOverride") \
    X(S, service_proxy,               REC(connect_proxy_config), "ServiceProxy") \
    X(S, service_connect,             REC(service_connect),      "ServiceConnect") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(service_node, SERVICE_NODE_FIELDS)

#define SERVICE_NAME_FIELDS(X, S) \
    X(S, name, STR, "Name")
DECLARE_RECORD(service_name, SERVICE_NAME_FIELDS)

#define SERVICE_ID_FIELDS(X, S) \
    X(S, id, STR, "ID")
DECLARE_RECORD(service_id, SERVICE_ID_FIELDS)

#define GATEWAY_SERVICE_FIELDS(X, S) \
    X(S, gateway,       REC(service_name), "Gateway") \
    X(S, service,       REC(service_name), "Service") \
    X(S, gateway_kind,  STR,               "GatewayKind") \
    X(S, port,          INT,               "Port", .flags = JSON_OMIT) \
    X(S, protocol,      STR,               "Protocol", .flags = JSON_OMIT) \
    X(S, hosts,         LIST_STR,          "Hosts", .flags = JSON_OMIT) \
    X(S, ca_file,       STR,               "CAFile", .flags = JSON_OMIT) \
    X(S, cert_file,     STR,               "CertFile", .flags = JSON_OMIT) \
    X(S, key_file,      STR,               "KeyFile", .flags = JSON_OMIT) \
    X(S, sni,           STR,               "SNI", .flags = JSON_OMIT) \
    X(S, from_wildcard, BOOL,              "FromWildcard", .flags = JSON_OMIT) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(gateway_service, GATEWAY_SERVICE_FIELDS)

#define NODE_SERVICES_FIELDS(X, S) \
    X(S, node,     PTR(node),         "Node") \
    X(S, services, MAP(node_service), "Services")
DECLARE_RECORD(node_services, NODE_SERVICES_FIELDS)

#define NODE_SERVICE_LISTING_FIELDS(X, S) \
    X(S, node,     PTR(node),          "Node") \
    X(S, services, LIST(node_service), "Services")
DECLARE_RECORD(node_service_listing, NODE_SERVICE_LISTING_FIELDS)

#define CHECK_TYPE_FIELDS(X, S) \
    X(S, check_id,                          STR,          "CheckID", .go_type = "types.CheckID") \
    X(S, name,                              STR,          "Name") \
    X(S, status,                            STR,          "Status") \
    X(S, notes,                             STR,          "Notes") \
    X(S, script_args,                       LIST_STR,     "ScriptArgs", .alias = "args,script_args") \
    X(S, http,                              STR,          "HTTP") \
    X(S, header,                            MAP_LIST_STR, "Header") \
    X(S, method,                            STR,          "Method") \
    X(S, body,                              STR,          "Body") \
    X(S, tcp,                               STR,          "TCP") \
    X(S, interval,                          DUR,          "Interval", .flags = JSON_DUR_READ) \
    X(S, alias_node,                        STR,          "AliasNode") \
    X(S, alias_service,                     STR,          "AliasService") \
    X(S, docker_container_id,               STR,          "DockerContainerID", .alias = "docker_container_id") \
    X(S, shell,                             STR,          "Shell") \
    X(S, grpc,                              STR,          "GRPC") \
    X(S, grpc_use_tls,                      BOOL,         "GRPCUseTLS") \
    X(S, tls_skip_verify,                   BOOL,         "TLSSkipVerify", .alias = "tls_skip_verify") \
    X(S, timeout,                           DUR,          "Timeout", .flags = JSON_DUR_READ) \
    X(S, ttl,                               DUR,          "TTL", .flags = JSON_DUR_READ) \
    X(S, success_before_passing,            INT,          "SuccessBeforePassing") \
    X(S, failures_before_critical,          INT,          "FailuresBeforeCritical") \
    X(S, proxy_http,                        STR,          "ProxyHTTP") \
    X(S, proxy_grpc,                        STR,          "ProxyGRPC") \
    X(S, deregister_critical_service_after, DUR,          "DeregisterCriticalServiceAfter", .flags = JSON_DUR_READ, .alias = "deregister_critical_service_after") \
    X(S, output_max_size,                   INT,          "OutputMaxSize")
DECLARE_RECORD(check_type, CHECK_TYPE_FIELDS)

#define SERVICE_DEFINITION_FIELDS(X, S) \
    X(S, kind,                STR,                       "Kind", .go_type = "structs.ServiceKind") \
    X(S, id,                  STR,                       "ID") \
    X(S, name,                STR,                       "Name") \
    X(S, tags,                LIST_STR,                  "Tags") \
    X(S, address,             STR,                       "Address") \
    X(S, tagged_addresses,    MAP(service_address),      "TaggedAddresses", .alias = "tagged_addresses") \
    X(S, meta,                MAP_STR,                   "Meta") \
    X(S, port,                INT,                       "Port") \
    X(S, check,               REC(check_type),           "Check") \
    X(S, checks,              LIST(check_type),          "Checks") \
    X(S, weights,             PTR(weights),              "Weights") \
    X(S, token,               STR,                       "Token") \
    X(S, enable_tag_override, BOOL,                      "EnableTagOverride", .alias = "enable_tag_override") \
    X(S, proxy,               PTR(connect_proxy_config), "Proxy") \
    X(S, connect,             PTR(service_connect),      "Connect")
DECLARE_RECORD(service_definition, SERVICE_DEFINITION_FIELDS)

#define REGISTER_REQUEST_FIELDS(X, S) \
    X(S, datacenter,       STR,                "Datacenter") \
    X(S, id,               STR,                "ID") \
    X(S, node,             STR,                "Node") \
    X(S, address,          STR,                "Address") \
    X(S, tagged_addresses, MAP_STR,            "TaggedAddresses") \
    X(S, node_meta,        MAP_STR,            "NodeMeta") \
    X(S, service,          PTR(node_service),  "Service") \
    X(S, check,            PTR(health_check),  "Check") \
    X(S, checks,           LIST(health_check), "Checks") \
    X(S, skip_node_update, BOOL,               "SkipNodeUpdate") \
    WRITE_REQUEST_FIELDS(X, S) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(register_request, REGISTER_REQUEST_FIELDS)

#define DEREGISTER_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    X(S, node,       STR, "Node") \
    X(S, service_id, STR, "ServiceID") \
    X(S, check_id,   STR, "CheckID") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(deregister_request, DEREGISTER_REQUEST_FIELDS)

#define QUERY_SOURCE_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    X(S, segment,    STR, "Segment") \
    X(S, node,       STR, "Node") \
    X(S, ip,         STR, "Ip")
DECLARE_RECORD(query_source, QUERY_SOURCE_FIELDS)

#define DC_SPECIFIC_REQUEST_FIELDS(X, S) \
    X(S, datacenter,        STR,               "Datacenter") \
    X(S, node_meta_filters, MAP_STR,           "NodeMetaFilters") \
    X(S, source,            REC(query_source), "Source") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(dc_specific_request, DC_SPECIFIC_REQUEST_FIELDS)

#define DATACENTERS_REQUEST_FIELDS(X, S) \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(datacenters_request, DATACENTERS_REQUEST_FIELDS)

#define SERVICE_SPECIFIC_REQUEST_FIELDS(X, S) \
    X(S, datacenter,        STR,               "Datacenter") \
    X(S, node_meta_filters, MAP_STR,           "NodeMetaFilters") \
    X(S, service_name,      STR,               "ServiceName") \
    X(S, service_tag,       STR,               "ServiceTag") \
    X(S, service_tags,      LIST_STR,          "ServiceTags") \
    X(S, service_address,   STR,               "ServiceAddress") \
    X(S, tag_filter,        BOOL,              "TagFilter") \
    X(S, source,            REC(query_source), "Source") \
    X(S, connect,           BOOL,              "Connect") \
    X(S, ingress,           BOOL,              "Ingress") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(service_specific_request, SERVICE_SPECIFIC_REQUEST_FIELDS)

#define NODE_SPECIFIC_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    X(S, node,       STR, "Node") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(node_specific_request, NODE_SPECIFIC_REQUEST_FIELDS)

#define CHECKS_IN_STATE_REQUEST_FIELDS(X, S) \
    X(S, datacenter,        STR,               "Datacenter") \
    X(S, node_meta_filters, MAP_STR,           "NodeMetaFilters") \
    X(S, state,             STR,               "State") \
    X(S, source,            REC(query_source), "Source") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(checks_in_state_request, CHECKS_IN_STATE_REQUEST_FIELDS)

#define SERVICE_DUMP_REQUEST_FIELDS(X, S) \
    X(S, datacenter,       STR,               "Datacenter") \
    X(S, service_kind,     STR,               "ServiceKind") \
    X(S, use_service_kind, BOOL,              "UseServiceKind") \
    X(S, source,           REC(query_source), "Source") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(service_dump_request, SERVICE_DUMP_REQUEST_FIELDS)

#define INDEXED_NODES_FIELDS(X, S) \
    X(S, nodes, LIST(node), "Nodes") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_nodes, INDEXED_NODES_FIELDS)

#define INDEXED_SERVICES_FIELDS(X, S) \
    X(S, services, MAP_LIST_STR, "Services") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_services, INDEXED_SERVICES_FIELDS)

#define INDEXED_SERVICE_LIST_FIELDS(X, S) \
    X(S, services, LIST(service_name), "Services") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_service_list, INDEXED_SERVICE_LIST_FIELDS)

#define INDEXED_SERVICE_NODES_FIELDS(X, S) \
    X(S, service_nodes, LIST(service_node), "ServiceNodes") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_service_nodes, INDEXED_SERVICE_NODES_FIELDS)

#define INDEXED_NODE_SERVICES_FIELDS(X, S) \
    X(S, node_services, PTR(node_services), "NodeServices") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_node_services, INDEXED_NODE_SERVICES_FIELDS)

#define INDEXED_NODE_SERVICE_LIST_FIELDS(X, S) \
    X(S, node_services, REC(node_service_listing), "NodeServices") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_node_service_list, INDEXED_NODE_SERVICE_LIST_FIELDS)

#define INDEXED_GATEWAY_SERVICES_FIELDS(X, S) \
    X(S, services, LIST(gateway_service), "Services") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_gateway_services, INDEXED_GATEWAY_SERVICES_FIELDS)
