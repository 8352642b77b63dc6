/* SPDX-License-Identifier: Apache-2.0 */
/* serf's messages as records (gossip.md 9.1). Each travels behind its type byte as a user message
 * of memberlist. Texts and bytes of a decoded message point into the input. */
#pragma once
#include "consuld/wire.h"

enum serf_message_type {
    SERF_MSG_LEAVE = 0,
    SERF_MSG_JOIN = 1,
    SERF_MSG_PUSH_PULL = 2,
    SERF_MSG_USER_EVENT = 3,
    SERF_MSG_QUERY = 4,
    SERF_MSG_QUERY_RESPONSE = 5,
    SERF_MSG_CONFLICT_RESPONSE = 6,
    SERF_MSG_KEY_REQUEST = 7,
    SERF_MSG_KEY_RESPONSE = 8,
    SERF_MSG_RELAY = 9,
};

enum serf_query_flag { SERF_QUERY_ACK = 1, SERF_QUERY_NO_BROADCAST = 2 };
enum serf_filter_type { SERF_FILTER_NODE = 0, SERF_FILTER_TAG = 1 };

/* Largest Lamport time taken from a peer: none of ours may wrap. */
#define SERF_LTIME_MAX (UINT64_MAX / 4)

extern const struct type type_map_uint, type_list_bytes, type_serf_past_events_ptr_list;
#define DECL_MAP_UINT struct dict
#define TYPE_MAP_UINT &type_map_uint
#define DECL_LIST_BYTES struct list
#define TYPE_LIST_BYTES &type_list_bytes
#define DECL_LIST_PTR(r) struct list
#define TYPE_LIST_PTR(r) &type_##r##_ptr_list

#define SERF_JOIN_INTENT_FIELDS(X, S) \
    X(S, ltime, UINT, "LTime") \
    X(S, node, STR, "Node")
DECLARE_RECORD(serf_join_intent, SERF_JOIN_INTENT_FIELDS)

#define SERF_LEAVE_INTENT_FIELDS(X, S) \
    X(S, ltime, UINT, "LTime") \
    X(S, node, STR, "Node") \
    X(S, prune, BOOL, "Prune")
DECLARE_RECORD(serf_leave_intent, SERF_LEAVE_INTENT_FIELDS)

#define SERF_PAST_EVENT_FIELDS(X, S) \
    X(S, name, STR, "Name") \
    X(S, payload, BYTES, "Payload")
DECLARE_RECORD(serf_past_event, SERF_PAST_EVENT_FIELDS)

#define SERF_PAST_EVENTS_FIELDS(X, S) \
    X(S, ltime, UINT, "LTime") \
    X(S, events, LIST(serf_past_event), "Events")
DECLARE_RECORD(serf_past_events, SERF_PAST_EVENTS_FIELDS)

#define SERF_PUSH_PULL_FIELDS(X, S) \
    X(S, ltime, UINT, "LTime") \
    X(S, status_ltimes, MAP_UINT, "StatusLTimes") \
    X(S, left_members, LIST_STR, "LeftMembers") \
    X(S, event_ltime, UINT, "EventLTime") \
    X(S, events, LIST_PTR(serf_past_events), "Events") \
    X(S, query_ltime, UINT, "QueryLTime")
DECLARE_RECORD(serf_push_pull, SERF_PUSH_PULL_FIELDS)

#define SERF_USER_EVENT_FIELDS(X, S) \
    X(S, ltime, UINT, "LTime") \
    X(S, name, STR, "Name") \
    X(S, payload, BYTES, "Payload") \
    X(S, cc, BOOL, "CC")
DECLARE_RECORD(serf_user_event, SERF_USER_EVENT_FIELDS)

#define SERF_QUERY_MESSAGE_FIELDS(X, S) \
    X(S, ltime, UINT, "LTime") \
    X(S, id, UINT, "ID", .bits = 32) \
    X(S, addr, BYTES, "Addr") \
    X(S, port, UINT, "Port", .bits = 16) \
    X(S, source_node, STR, "SourceNode") \
    X(S, filters, LIST_BYTES, "Filters") \
    X(S, flags, UINT, "Flags", .bits = 32) \
    X(S, relay_factor, UINT, "RelayFactor", .bits = 8) \
    X(S, timeout_ns, INT, "Timeout") \
    X(S, name, STR, "Name") \
    X(S, payload, BYTES, "Payload")
DECLARE_RECORD(serf_query_message, SERF_QUERY_MESSAGE_FIELDS)

#define SERF_QUERY_RESPONSE_FIELDS(X, S) \
    X(S, ltime, UINT, "LTime") \
    X(S, id, UINT, "ID", .bits = 32) \
    X(S, from, STR, "From") \
    X(S, flags, UINT, "Flags", .bits = 32) \
    X(S, payload, BYTES, "Payload")
DECLARE_RECORD(serf_query_response, SERF_QUERY_RESPONSE_FIELDS)

#define SERF_KEY_REQUEST_FIELDS(X, S) X(S, key, BYTES, "Key")
DECLARE_RECORD(serf_key_request, SERF_KEY_REQUEST_FIELDS)

#define SERF_KEY_RESPONSE_FIELDS(X, S) \
    X(S, result, BOOL, "Result") \
    X(S, message, STR, "Message") \
    X(S, keys, LIST_STR, "Keys") \
    X(S, primary_key, STR, "PrimaryKey")
DECLARE_RECORD(serf_key_response, SERF_KEY_RESPONSE_FIELDS)

#define SERF_CONFLICT_MEMBER_FIELDS(X, S) \
    X(S, name, STR, "Name") \
    X(S, addr, BYTES, "Addr") \
    X(S, port, UINT, "Port", .bits = 16) \
    X(S, tags, MAP_STR, "Tags") \
    X(S, status, INT, "Status") \
    X(S, protocol_min, UINT, "ProtocolMin", .bits = 8) \
    X(S, protocol_max, UINT, "ProtocolMax", .bits = 8) \
    X(S, protocol_cur, UINT, "ProtocolCur", .bits = 8) \
    X(S, delegate_min, UINT, "DelegateMin", .bits = 8) \
    X(S, delegate_max, UINT, "DelegateMax", .bits = 8) \
    X(S, delegate_cur, UINT, "DelegateCur", .bits = 8)
DECLARE_RECORD(serf_conflict_member, SERF_CONFLICT_MEMBER_FIELDS)

#define SERF_RELAY_ADDRESS_FIELDS(X, S) \
    X(S, ip, BYTES, "IP") \
    X(S, port, INT, "Port") \
    X(S, zone, STR, "Zone")
DECLARE_RECORD(serf_relay_address, SERF_RELAY_ADDRESS_FIELDS)

#define SERF_RELAY_FIELDS(X, S) \
    X(S, dest_addr, REC(serf_relay_address), "DestAddr") \
    X(S, dest_name, STR, "DestName")
DECLARE_RECORD(serf_relay, SERF_RELAY_FIELDS)

#define SERF_TAG_FILTER_FIELDS(X, S) \
    X(S, tag, STR, "Tag") \
    X(S, expr, STR, "Expr")
DECLARE_RECORD(serf_tag_filter, SERF_TAG_FILTER_FIELDS)

/* Prepares the record tables; called by serf_create and by whoever uses the records alone. */
void serf_message_init(void);

/* Appends the type byte and the body. */
void serf_message_encode(
    enum serf_message_type type, const struct type *t, const void *obj, struct buf *out);
/* `body` is what stands behind the type byte. *obj, of t->size bytes, is zeroed first. Bytes behind
 * the body are ignored, or given in *rest if that is not NULL. */
int serf_message_decode(struct str body, struct arena *a, const struct type *t, void *obj,
    struct str *rest, struct error *err) must_check;
