/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of RPC messages and the groups of fields that many records share (rpc.md 4, 6). */
#pragma once
#include "consuld/wire/record.h"

/* clang-format off */
/* Read options, in requests that read. */
#define QUERY_OPTIONS_FIELDS(X, S) \
    X(S, token, STR, "Token") \
    X(S, min_query_index, UINT, "MinQueryIndex") \
    X(S, max_query_time, DUR, "MaxQueryTime") \
    X(S, allow_stale, BOOL, "AllowStale") \
    X(S, require_consistent, BOOL, "RequireConsistent") \
    X(S, use_cache, BOOL, "UseCache") \
    X(S, max_stale_duration, DUR, "MaxStaleDuration") \
    X(S, max_age, DUR, "MaxAge") \
    X(S, must_revalidate, BOOL, "MustRevalidate") \
    X(S, stale_if_error, DUR, "StaleIfError") \
    X(S, filter, STR, "Filter")
DECLARE_RECORD(query_options, QUERY_OPTIONS_FIELDS)

/* What a read says about itself, in results. */
#define QUERY_META_FIELDS(X, S) QUERY_META_ROWS(X, S, 0)
#define QUERY_META_HIDDEN_FIELDS(X, S) QUERY_META_ROWS(X, S, JSON_SKIP)
#define QUERY_META_ROWS(X, S, how) \
    X(S, index, UINT, "Index", .flags = how) \
    X(S, last_contact, DUR, "LastContact", .flags = how) \
    X(S, known_leader, BOOL, "KnownLeader", .flags = how) \
    X(S, consistency_level, STR, "ConsistencyLevel", .flags = how)
DECLARE_RECORD(query_meta, QUERY_META_FIELDS)

/* In requests that write. */
#define WRITE_REQUEST_FIELDS(X, S) X(S, token, STR, "Token", .flags = JSON_SKIP)

/* In stored objects. */
#define RAFT_INDEX_FIELDS(X, S) \
    X(S, create_index, UINT, "CreateIndex", .flags = COMPARE_SKIP) \
    X(S, modify_index, UINT, "ModifyIndex", .flags = COMPARE_SKIP)

#define REQUEST_HEADER_FIELDS(X, S) \
    X(S, seq,            UINT, "Seq") \
    X(S, service_method, STR,  "ServiceMethod")
DECLARE_RECORD(request_header, REQUEST_HEADER_FIELDS)

#define RESPONSE_HEADER_FIELDS(X, S) \
    X(S, error,          STR,  "Error") \
    X(S, seq,            UINT, "Seq") \
    X(S, service_method, STR,  "ServiceMethod")
DECLARE_RECORD(response_header, RESPONSE_HEADER_FIELDS)

#define NOTHING_FIELDS(X, S) \
    X(S, unused, BOOL, "", .flags = WIRE_SKIP | JSON_SKIP)
DECLARE_RECORD(nothing, NOTHING_FIELDS)
