/* SPDX-License-Identifier: Apache-2.0 */
/* What Consul puts into serf's user events (gossip.md 12.6). */
#pragma once
#include "consuld/wire.h"

#define EVENT_NEW_LEADER "consul:new-leader" /* payload: the node name as it is */
#define EVENT_USER_PREFIX "consul:event:"    /* the name follows; payload: struct event_payload */
#define EVENT_VERSION 1

#define EVENT_PAYLOAD_FIELDS(X, S) \
    X(S, id, STR, "ID") \
    X(S, name, STR, "n") \
    X(S, payload, BYTES, "p", .flags = WIRE_OMIT) \
    X(S, node_filter, STR, "nf", .flags = WIRE_OMIT) \
    X(S, service_filter, STR, "sf", .flags = WIRE_OMIT) \
    X(S, tag_filter, STR, "tf", .flags = WIRE_OMIT) \
    X(S, version, INT, "v")
DECLARE_RECORD(event_payload, EVENT_PAYLOAD_FIELDS)

/* Appends it in the newer form of msgpack, which tells text and bytes apart. */
void event_payload_encode(const struct event_payload *e, struct buf *out);
/* Texts point into `bytes`. Any version is taken. */
int event_payload_decode(struct str bytes, struct event_payload *out, struct error *err) must_check;
