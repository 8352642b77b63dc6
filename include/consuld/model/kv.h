/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values. */
#pragma once
#include "consuld/model/rpc.h"

/* clang-format off */
#define DIR_ENTRY_FIELDS(X, S) \
    X(S, lock_index, UINT,  "LockIndex") \
    X(S, key,        STR,   "Key") \
    X(S, flags,      UINT,  "Flags") \
    X(S, value,      BYTES, "Value") \
    X(S, session,    STR,   "Session", .flags = JSON_OMIT) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(dir_entry, DIR_ENTRY_FIELDS)

#define KVS_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,            "Datacenter") \
    X(S, op,         STR,            "Op") \
    X(S, dir_ent,    REC(dir_entry), "DirEnt") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(kvs_request, KVS_REQUEST_FIELDS)

#define KEY_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    X(S, key,        STR, "Key") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(key_request, KEY_REQUEST_FIELDS)

#define KEY_LIST_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    X(S, prefix,     STR, "Prefix") \
    X(S, seperator,  STR, "Seperator") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(key_list_request, KEY_LIST_REQUEST_FIELDS)

#define INDEXED_DIR_ENTRIES_FIELDS(X, S) \
    X(S, entries, LIST(dir_entry), "Entries") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_dir_entries, INDEXED_DIR_ENTRIES_FIELDS)

#define INDEXED_KEY_LIST_FIELDS(X, S) \
    X(S, keys, LIST_STR, "Keys") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_key_list, INDEXED_KEY_LIST_FIELDS)

#define TOMBSTONE_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,  "Datacenter") \
    X(S, op,         STR,  "Op") \
    X(S, reap_index, UINT, "ReapIndex") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(tombstone_request, TOMBSTONE_REQUEST_FIELDS)
