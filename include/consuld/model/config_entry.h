/* SPDX-License-Identifier: Apache-2.0 */
/* Config entries of all kinds, and the messages that carry them (rpc.md 5.4, fsm.md 13). */
#pragma once
#include "consuld/model/catalog.h"

/* clang-format off */
#define SERVICE_CONFIG_ENTRY_FIELDS(X, S) \
    X(S, kind,         STR,                      "Kind") \
    X(S, name,         STR,                      "Name") \
    X(S, protocol,     STR,                      "Protocol") \
    X(S, mesh_gateway, REC(mesh_gateway_config), "MeshGateway") \
    X(S, expose,       REC(expose_config),       "Expose") \
    X(S, external_sni, STR,                      "ExternalSNI", .flags = JSON_OMIT) \
    X(S, meta,         MAP_STR,                  "Meta", .flags = JSON_OMIT) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(service_config_entry, SERVICE_CONFIG_ENTRY_FIELDS)

#define PROXY_CONFIG_ENTRY_FIELDS(X, S) \
    X(S, kind,         STR,                      "Kind") \
    X(S, name,         STR,                      "Name") \
    X(S, config,       ANY,                      "Config", .flags = ANY_MAP) \
    X(S, mesh_gateway, REC(mesh_gateway_config), "MeshGateway") \
    X(S, expose,       REC(expose_config),       "Expose") \
    X(S, meta,         MAP_STR,                  "Meta", .flags = JSON_OMIT) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(proxy_config_entry, PROXY_CONFIG_ENTRY_FIELDS)

#define SERVICE_ROUTE_HTTP_MATCH_HEADER_FIELDS(X, S) \
    X(S, name,    STR,  "Name") \
    X(S, present, BOOL, "Present", .flags = JSON_OMIT) \
    X(S, exact,   STR,  "Exact", .flags = JSON_OMIT) \
    X(S, prefix,  STR,  "Prefix", .flags = JSON_OMIT) \
    X(S, suffix,  STR,  "Suffix", .flags = JSON_OMIT) \
    X(S, regex,   STR,  "Regex", .flags = JSON_OMIT) \
    X(S, invert,  BOOL, "Invert", .flags = JSON_OMIT)
DECLARE_RECORD(service_route_http_match_header, SERVICE_ROUTE_HTTP_MATCH_HEADER_FIELDS)

#define SERVICE_ROUTE_HTTP_MATCH_QUERY_PARAM_FIELDS(X, S) \
    X(S, name,    STR,  "Name") \
    X(S, present, BOOL, "Present", .flags = JSON_OMIT) \
    X(S, exact,   STR,  "Exact", .flags = JSON_OMIT) \
    X(S, regex,   STR,  "Regex", .flags = JSON_OMIT)
DECLARE_RECORD(service_route_http_match_query_param, SERVICE_ROUTE_HTTP_MATCH_QUERY_PARAM_FIELDS)

#define SERVICE_ROUTE_HTTP_MATCH_FIELDS(X, S) \
    X(S, path_exact,  STR,                                        "PathExact", .flags = JSON_OMIT) \
    X(S, path_prefix, STR,                                        "PathPrefix", .flags = JSON_OMIT) \
    X(S, path_regex,  STR,                                        "PathRegex", .flags = JSON_OMIT) \
    X(S, header,      LIST(service_route_http_match_header),      "Header", .flags = JSON_OMIT) \
    X(S, query_param, LIST(service_route_http_match_query_param), "QueryParam", .flags = JSON_OMIT) \
    X(S, methods,     LIST_STR,                                   "Methods", .flags = JSON_OMIT)
DECLARE_RECORD(service_route_http_match, SERVICE_ROUTE_HTTP_MATCH_FIELDS)

#define SERVICE_ROUTE_MATCH_FIELDS(X, S) \
    X(S, http, PTR(service_route_http_match), "HTTP", .flags = JSON_OMIT)
DECLARE_RECORD(service_route_match, SERVICE_ROUTE_MATCH_FIELDS)

#define SERVICE_ROUTE_DESTINATION_FIELDS(X, S) \
    X(S, request_timeout,          DUR,       "RequestTimeout", .flags = JSON_DUR_TEXT | JSON_TEXT_OMIT_ZERO) \
    X(S, service,                  STR,       "Service", .flags = JSON_OMIT) \
    X(S, service_subset,           STR,       "ServiceSubset", .flags = JSON_OMIT) \
    X(S, namespace,                STR,       "Namespace", .flags = JSON_OMIT) \
    X(S, prefix_rewrite,           STR,       "PrefixRewrite", .flags = JSON_OMIT) \
    X(S, num_retries,              UINT,      "NumRetries", .flags = JSON_OMIT, .bits = 32) \
    X(S, retry_on_connect_failure, BOOL,      "RetryOnConnectFailure", .flags = JSON_OMIT) \
    X(S, retry_on_status_codes,    LIST_UINT, "RetryOnStatusCodes", .flags = JSON_OMIT)
DECLARE_RECORD(service_route_destination, SERVICE_ROUTE_DESTINATION_FIELDS)

#define SERVICE_ROUTE_FIELDS(X, S) \
    X(S, match,       PTR(service_route_match),       "Match", .flags = JSON_OMIT) \
    X(S, destination, PTR(service_route_destination), "Destination", .flags = JSON_OMIT)
DECLARE_RECORD(service_route, SERVICE_ROUTE_FIELDS)

#define SERVICE_ROUTER_CONFIG_ENTRY_FIELDS(X, S) \
    X(S, kind,   STR,                 "Kind") \
    X(S, name,   STR,                 "Name") \
    X(S, routes, LIST(service_route), "Routes") \
    X(S, meta,   MAP_STR,             "Meta", .flags = JSON_OMIT) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(service_router_config_entry, SERVICE_ROUTER_CONFIG_ENTRY_FIELDS)

#define SERVICE_SPLIT_FIELDS(X, S) \
    X(S, weight,         F32, "Weight") \
    X(S, service,        STR, "Service", .flags = JSON_OMIT) \
    X(S, service_subset, STR, "ServiceSubset", .flags = JSON_OMIT) \
    X(S, namespace,      STR, "Namespace", .flags = JSON_OMIT)
DECLARE_RECORD(service_split, SERVICE_SPLIT_FIELDS)

#define SERVICE_SPLITTER_CONFIG_ENTRY_FIELDS(X, S) \
    X(S, kind,   STR,                 "Kind") \
    X(S, name,   STR,                 "Name") \
    X(S, splits, LIST(service_split), "Splits") \
    X(S, meta,   MAP_STR,             "Meta", .flags = JSON_OMIT) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(service_splitter_config_entry, SERVICE_SPLITTER_CONFIG_ENTRY_FIELDS)

#define SERVICE_RESOLVER_SUBSET_FIELDS(X, S) \
    X(S, filter,       STR,  "Filter", .flags = JSON_OMIT) \
    X(S, only_passing, BOOL, "OnlyPassing", .flags = JSON_OMIT)
DECLARE_RECORD(service_resolver_subset, SERVICE_RESOLVER_SUBSET_FIELDS)

#define SERVICE_RESOLVER_REDIRECT_FIELDS(X, S) \
    X(S, service,        STR, "Service", .flags = JSON_OMIT) \
    X(S, service_subset, STR, "ServiceSubset", .flags = JSON_OMIT) \
    X(S, namespace,      STR, "Namespace", .flags = JSON_OMIT) \
    X(S, datacenter,     STR, "Datacenter", .flags = JSON_OMIT)
DECLARE_RECORD(service_resolver_redirect, SERVICE_RESOLVER_REDIRECT_FIELDS)

#define SERVICE_RESOLVER_FAILOVER_FIELDS(X, S) \
    X(S, service,        STR,      "Service", .flags = JSON_OMIT) \
    X(S, service_subset, STR,      "ServiceSubset", .flags = JSON_OMIT) \
    X(S, namespace,      STR,      "Namespace", .flags = JSON_OMIT) \
    X(S, datacenters,    LIST_STR, "Datacenters", .flags = JSON_OMIT)
DECLARE_RECORD(service_resolver_failover, SERVICE_RESOLVER_FAILOVER_FIELDS)

#define SERVICE_RESOLVER_CONFIG_ENTRY_FIELDS(X, S) \
    X(S, connect_timeout, DUR,                            "ConnectTimeout", .flags = JSON_DUR_TEXT | JSON_TEXT_OMIT_ZERO) \
    X(S, kind,            STR,                            "Kind") \
    X(S, name,            STR,                            "Name") \
    X(S, default_subset,  STR,                            "DefaultSubset", .flags = JSON_OMIT) \
    X(S, subsets,         MAP(service_resolver_subset),   "Subsets", .flags = JSON_OMIT) \
    X(S, redirect,        PTR(service_resolver_redirect), "Redirect", .flags = JSON_OMIT) \
    X(S, failover,        MAP(service_resolver_failover), "Failover", .flags = JSON_OMIT) \
    X(S, meta,            MAP_STR,                        "Meta", .flags = JSON_OMIT) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(service_resolver_config_entry, SERVICE_RESOLVER_CONFIG_ENTRY_FIELDS)

#define GATEWAY_TLS_CONFIG_FIELDS(X, S) \
    X(S, enabled, BOOL, "Enabled")
DECLARE_RECORD(gateway_tls_config, GATEWAY_TLS_CONFIG_FIELDS)

#define INGRESS_SERVICE_FIELDS(X, S) \
    X(S, name,  STR,      "Name") \
    X(S, hosts, LIST_STR, "Hosts") \
    X(S, meta,  MAP_STR,  "Meta", .flags = JSON_OMIT)
DECLARE_RECORD(ingress_service, INGRESS_SERVICE_FIELDS)

#define INGRESS_LISTENER_FIELDS(X, S) \
    X(S, port,     INT,                   "Port") \
    X(S, protocol, STR,                   "Protocol") \
    X(S, services, LIST(ingress_service), "Services")
DECLARE_RECORD(ingress_listener, INGRESS_LISTENER_FIELDS)

#define INGRESS_GATEWAY_CONFIG_ENTRY_FIELDS(X, S) \
    X(S, kind,      STR,                     "Kind") \
    X(S, name,      STR,                     "Name") \
    X(S, tls,       REC(gateway_tls_config), "TLS") \
    X(S, listeners, LIST(ingress_listener),  "Listeners") \
    X(S, meta,      MAP_STR,                 "Meta", .flags = JSON_OMIT) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(ingress_gateway_config_entry, INGRESS_GATEWAY_CONFIG_ENTRY_FIELDS)

#define LINKED_SERVICE_FIELDS(X, S) \
    X(S, name,      STR, "Name") \
    X(S, ca_file,   STR, "CAFile", .flags = JSON_OMIT) \
    X(S, cert_file, STR, "CertFile", .flags = JSON_OMIT) \
    X(S, key_file,  STR, "KeyFile", .flags = JSON_OMIT) \
    X(S, sni,       STR, "SNI", .flags = JSON_OMIT)
DECLARE_RECORD(linked_service, LINKED_SERVICE_FIELDS)

#define TERMINATING_GATEWAY_CONFIG_ENTRY_FIELDS(X, S) \
    X(S, kind,     STR,                  "Kind") \
    X(S, name,     STR,                  "Name") \
    X(S, services, LIST(linked_service), "Services") \
    X(S, meta,     MAP_STR,              "Meta", .flags = JSON_OMIT) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(terminating_gateway_config_entry, TERMINATING_GATEWAY_CONFIG_ENTRY_FIELDS)

/* One entry of any kind: the member of its kind is set, the others are NULL; all NULL is "no
 * entry". The rows are the table of kinds, in byte order. In JSON an entry is written by the type
 * of its config_entry_ref, never as this record. */
#define CONFIG_ENTRY_FIELDS(X, S) \
    X(S, ingress_gateway,     PTR(ingress_gateway_config_entry),     "ingress-gateway") \
    X(S, proxy_defaults,      PTR(proxy_config_entry),               "proxy-defaults") \
    X(S, service_defaults,    PTR(service_config_entry),             "service-defaults") \
    X(S, service_resolver,    PTR(service_resolver_config_entry),    "service-resolver") \
    X(S, service_router,      PTR(service_router_config_entry),      "service-router") \
    X(S, service_splitter,    PTR(service_splitter_config_entry),    "service-splitter") \
    X(S, terminating_gateway, PTR(terminating_gateway_config_entry), "terminating-gateway")
DECLARE_RECORD(config_entry, CONFIG_ENTRY_FIELDS)

#define CONFIG_ENTRY_REQUEST_FIELDS(X, S) \
    X(S, op,         STR,               "Op") \
    X(S, datacenter, STR,               "Datacenter") \
    X(S, entry,      REC(config_entry), "Entry") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(config_entry_request, CONFIG_ENTRY_REQUEST_FIELDS)

#define CONFIG_ENTRY_QUERY_FIELDS(X, S) \
    X(S, kind,       STR, "Kind") \
    X(S, name,       STR, "Name") \
    X(S, datacenter, STR, "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(config_entry_query, CONFIG_ENTRY_QUERY_FIELDS)

#define CONFIG_ENTRY_RESPONSE_FIELDS(X, S) \
    X(S, entry, REC(config_entry), "Entry") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(config_entry_response, CONFIG_ENTRY_RESPONSE_FIELDS)

#define INDEXED_CONFIG_ENTRIES_FIELDS(X, S) \
    X(S, kind,    STR,                "Kind") \
    X(S, entries, LIST(config_entry), "Entries") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_config_entries, INDEXED_CONFIG_ENTRIES_FIELDS)

#define INDEXED_GENERIC_CONFIG_ENTRIES_FIELDS(X, S) \
    X(S, entries, LIST(config_entry), "Entries") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_generic_config_entries, INDEXED_GENERIC_CONFIG_ENTRIES_FIELDS)

#define SERVICE_CONFIG_REQUEST_FIELDS(X, S) \
    X(S, name,         STR,              "Name") \
    X(S, datacenter,   STR,              "Datacenter") \
    X(S, upstreams,    LIST_STR,         "Upstreams") \
    X(S, upstream_ids, LIST(service_id), "UpstreamIDs") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(service_config_request, SERVICE_CONFIG_REQUEST_FIELDS)

#define UPSTREAM_CONFIG_FIELDS(X, S) \
    X(S, upstream, REC(service_id), "Upstream") \
    X(S, config,   ANY,             "Config", .flags = ANY_MAP)
DECLARE_RECORD(upstream_config, UPSTREAM_CONFIG_FIELDS)

#define SERVICE_CONFIG_RESPONSE_FIELDS(X, S) \
    X(S, proxy_config,        ANY,                      "ProxyConfig", .flags = ANY_MAP) \
    X(S, upstream_configs,    ANY,                      "UpstreamConfigs", .flags = ANY_MAP) \
    X(S, upstream_id_configs, LIST(upstream_config),    "UpstreamIDConfigs") \
    X(S, mesh_gateway,        REC(mesh_gateway_config), "MeshGateway") \
    X(S, expose,              REC(expose_config),       "Expose") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(service_config_response, SERVICE_CONFIG_RESPONSE_FIELDS)
/* clang-format on */

/* The record type of a kind, or NULL if there is no such kind. */
const struct type *config_entry_type(struct str kind);
/* The i-th kind in byte order, STR_NIL past the last. */
struct str config_entry_kind_at(size_t i);

/* What all kinds have, found in whichever entry is set. Asserts that one is. */
struct config_entry_ref {
    struct str kind; /* of the table, not of the Kind field */
    const struct type *type;
    void *entry; /* the record of that type */
    struct str *name;
    struct dict *meta;
    uint64_t *create_index;
    uint64_t *modify_index;
};
bool config_entry_is_set(const struct config_entry *e);
struct config_entry_ref config_entry_ref(const struct config_entry *e);
/* A new, zeroed entry of that kind with its Kind field set, owned by `a`; false for an unknown
 * kind. Kind texts point into static memory. */
bool config_entry_make(struct arena *a, struct str kind, struct config_entry *out);
/* An entry of any kind read loosely (loose.h) from an object with a "kind" or "Kind" key. Errors:
 * Payload does not contain a kind/Kind key at the top level; invalid config entry kind: X;
 * '' expected a map, got 'slice'; those of loose_read. */
int config_entry_read(
    const struct value *v, struct arena *a, struct config_entry *out, struct error *err) must_check;
