/* SPDX-License-Identifier: Apache-2.0 */
/* Limits that Consul's callers can observe. Names ending in _DEFAULT are configurable. Times are
 * nanoseconds, sizes bytes. */
#pragma once
#include <stdint.h>

#define SECOND_NS INT64_C(1000000000)

/* Keys and transactions (http-api.md 3.1, 3.3) */
#define LIMIT_KV_VALUE_DEFAULT (512 * 1024)
#define LIMIT_TXN_BODY_DEFAULT (512 * 1024)
#define LIMIT_TXN_OPS 64

/* Metadata of nodes, services and config entries (fsm.md 4.3) */
#define LIMIT_META_PAIRS 64
#define LIMIT_META_KEY 128
#define LIMIT_META_VALUE 512
#define LIMIT_WEIGHT 65535

/* Sessions (fsm.md 6) */
#define LIMIT_SESSION_TTL_MIN_DEFAULT (10 * SECOND_NS)
#define LIMIT_SESSION_TTL_MAX (24 * 3600 * SECOND_NS)
#define LIMIT_LOCK_DELAY (60 * SECOND_NS)
#define DEFAULT_LOCK_DELAY (15 * SECOND_NS)

/* Reads (rpc.md 7): waits get up to 1/16 on top */
#define LIMIT_QUERY_TIME_DEFAULT (600 * SECOND_NS)
#define DEFAULT_QUERY_TIME (300 * SECOND_NS)

/* RPC (rpc.md 1, 6) */
#define LIMIT_RPC_CONNS_PER_CLIENT_DEFAULT 100
#define LIMIT_HTTP_CONNS_PER_CLIENT_DEFAULT 200
#define DEFAULT_RPC_HANDSHAKE_TIMEOUT (5 * SECOND_NS)
#define DEFAULT_RPC_HOLD_TIMEOUT (7 * SECOND_NS)
/* One request, and one answer; the original has no bounds. */
#define LIMIT_RPC_REQUEST ((size_t)64 << 20)
#define LIMIT_RPC_ANSWER ((size_t)1 << 30)
/* Raft entries above this are cut into chunks. */
#define LIMIT_RAFT_ENTRY (512 * 1024)

/* Others */
#define LIMIT_EVENT_PAYLOAD 512
#define LIMIT_EVENTS_KEPT 256
#define LIMIT_ACL_AUTHORIZE 64
#define LIMIT_CHECK_OUTPUT_DEFAULT 4096
#define LIMIT_COORDINATE_BATCH 128
#define LIMIT_COORDINATE_BATCHES 5
#define LIMIT_KEYRING_RELAY 5
