/* SPDX-License-Identifier: Apache-2.0 */
/* Prepared queries. */
#pragma once
#include "consuld/model/catalog.h"

/* clang-format off */
#define QUERY_TEMPLATE_OPTIONS_FIELDS(X, S) \
    X(S, type,              STR,  "Type") \
    X(S, regexp,            STR,  "Regexp") \
    X(S, remove_empty_tags, BOOL, "RemoveEmptyTags")
DECLARE_RECORD(query_template_options, QUERY_TEMPLATE_OPTIONS_FIELDS)

#define QUERY_DATACENTER_OPTIONS_FIELDS(X, S) \
    X(S, nearest_n,   INT,      "NearestN") \
    X(S, datacenters, LIST_STR, "Datacenters")
DECLARE_RECORD(query_datacenter_options, QUERY_DATACENTER_OPTIONS_FIELDS)

#define SERVICE_QUERY_FIELDS(X, S) \
    X(S, service,          STR,                           "Service") \
    X(S, failover,         REC(query_datacenter_options), "Failover") \
    X(S, only_passing,     BOOL,                          "OnlyPassing") \
    X(S, ignore_check_ids, LIST_STR,                      "IgnoreCheckIDs") \
    X(S, near,             STR,                           "Near") \
    X(S, tags,             LIST_STR,                      "Tags") \
    X(S, node_meta,        MAP_STR,                       "NodeMeta") \
    X(S, service_meta,     MAP_STR,                       "ServiceMeta") \
    X(S, connect,          BOOL,                          "Connect")
DECLARE_RECORD(service_query, SERVICE_QUERY_FIELDS)

#define QUERY_DNS_OPTIONS_FIELDS(X, S) \
    X(S, ttl, STR, "TTL")
DECLARE_RECORD(query_dns_options, QUERY_DNS_OPTIONS_FIELDS)

#define PREPARED_QUERY_FIELDS(X, S) \
    X(S, id,       STR,                         "ID") \
    X(S, name,     STR,                         "Name") \
    X(S, session,  STR,                         "Session") \
    X(S, token,    STR,                         "Token") \
    X(S, template, REC(query_template_options), "Template") \
    X(S, service,  REC(service_query),          "Service") \
    X(S, dns,      REC(query_dns_options),      "DNS") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(prepared_query, PREPARED_QUERY_FIELDS)

#define PREPARED_QUERY_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,                 "Datacenter") \
    X(S, op,         STR,                 "Op") \
    X(S, query,      PTR(prepared_query), "Query") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(prepared_query_request, PREPARED_QUERY_REQUEST_FIELDS)

#define PREPARED_QUERY_SPECIFIC_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    X(S, query_id,   STR, "QueryID") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(prepared_query_specific_request, PREPARED_QUERY_SPECIFIC_REQUEST_FIELDS)

#define PREPARED_QUERY_EXECUTE_REQUEST_FIELDS(X, S) \
    X(S, datacenter,       STR,               "Datacenter") \
    X(S, query_id_or_name, STR,               "QueryIDOrName") \
    X(S, limit,            INT,               "Limit") \
    X(S, connect,          BOOL,              "Connect") \
    X(S, source,           REC(query_source), "Source") \
    X(S, agent,            REC(query_source), "Agent") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(prepared_query_execute_request, PREPARED_QUERY_EXECUTE_REQUEST_FIELDS)

#define PREPARED_QUERY_EXECUTE_REMOTE_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,                 "Datacenter") \
    X(S, query,      REC(prepared_query), "Query") \
    X(S, limit,      INT,                 "Limit") \
    X(S, connect,    BOOL,                "Connect") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(prepared_query_execute_remote_request, PREPARED_QUERY_EXECUTE_REMOTE_REQUEST_FIELDS)

#define PREPARED_QUERY_EXECUTE_RESPONSE_FIELDS(X, S) \
    X(S, service,    STR,                      "Service") \
    X(S, nodes,      LIST(check_service_node), "Nodes") \
    X(S, dns,        REC(query_dns_options),   "DNS") \
    X(S, datacenter, STR,                      "Datacenter") \
    X(S, failovers,  INT,                      "Failovers") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(prepared_query_execute_response, PREPARED_QUERY_EXECUTE_RESPONSE_FIELDS)

#define PREPARED_QUERY_EXPLAIN_RESPONSE_FIELDS(X, S) \
    X(S, query, REC(prepared_query), "Query") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(prepared_query_explain_response, PREPARED_QUERY_EXPLAIN_RESPONSE_FIELDS)

#define INDEXED_PREPARED_QUERIES_FIELDS(X, S) \
    X(S, queries, LIST(prepared_query), "Queries") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_prepared_queries, INDEXED_PREPARED_QUERIES_FIELDS)
