/* SPDX-License-Identifier: Apache-2.0 */
#include "serf_message.h"

#include <string.h>

/* Arena bytes that a message of n bytes may take: its own content with the structs around it. */
#define MEMORY_MAX(n) (64 * (n) + 64 * 1024)
#define DEPTH_MAX 16

DEFINE_RECORD(serf_join_intent, SERF_JOIN_INTENT_FIELDS, "messageJoin")
DEFINE_RECORD(serf_leave_intent, SERF_LEAVE_INTENT_FIELDS, "messageLeave")
DEFINE_RECORD(serf_past_event, SERF_PAST_EVENT_FIELDS, "userEvent")
DEFINE_RECORD(serf_past_events, SERF_PAST_EVENTS_FIELDS, "userEvents")
DEFINE_RECORD(serf_push_pull, SERF_PUSH_PULL_FIELDS, "messagePushPull")
DEFINE_RECORD(serf_user_event, SERF_USER_EVENT_FIELDS, "messageUserEvent")
DEFINE_RECORD(serf_query_message, SERF_QUERY_MESSAGE_FIELDS, "messageQuery")
DEFINE_RECORD(serf_query_response, SERF_QUERY_RESPONSE_FIELDS, "messageQueryResponse")
DEFINE_RECORD(serf_key_request, SERF_KEY_REQUEST_FIELDS, "keyRequest")
DEFINE_RECORD(serf_key_response, SERF_KEY_RESPONSE_FIELDS, "nodeKeyResponse")
DEFINE_RECORD(serf_conflict_member, SERF_CONFLICT_MEMBER_FIELDS, "Member")
DEFINE_RECORD(serf_relay_address, SERF_RELAY_ADDRESS_FIELDS, "UDPAddr")
DEFINE_RECORD(serf_relay, SERF_RELAY_FIELDS, "relayHeader")
DEFINE_RECORD(serf_tag_filter, SERF_TAG_FILTER_FIELDS, "filterTag")

const struct type type_map_uint = {
    .kind = KIND_MAP, .size = sizeof(struct dict), .elem = &type_uint
};
const struct type type_list_bytes = {
    .kind = KIND_LIST, .size = sizeof(struct list), .elem = &type_bytes
};
const struct type type_serf_past_events_ptr_list = {
    .kind = KIND_LIST, .size = sizeof(struct list), .elem = &type_serf_past_events_ptr
};

void serf_message_init(void)
{
    static const struct record *const records[] = {
        &record_serf_join_intent,
        &record_serf_leave_intent,
        &record_serf_past_event,
        &record_serf_past_events,
        &record_serf_push_pull,
        &record_serf_user_event,
        &record_serf_query_message,
        &record_serf_query_response,
        &record_serf_key_request,
        &record_serf_key_response,
        &record_serf_conflict_member,
        &record_serf_relay_address,
        &record_serf_relay,
        &record_serf_tag_filter,
    };
    static bool done;
    if (done) return;
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++)
        record_init(records[i]);
    done = true;
}

void serf_message_encode(
    enum serf_message_type type, const struct type *t, const void *obj, struct buf *out)
{
    buf_put_char(out, (char)type);
    msgpack_encode(t, obj, out);
}

int serf_message_decode(struct str body, struct arena *a, const struct type *t, void *obj,
    struct str *rest, struct error *err)
{
    struct cursor c;
    memset(obj, 0, t->size);
    cursor_init(&c, body.p, body.n, err);
    c.depth_max = DEPTH_MAX;
    c.elements_max = body.n;
    c.memory_max = MEMORY_MAX(body.n);
    int code = msgpack_decode(&c, a, t, obj);
    if (code == ERR_EOF) return error_set(err, ERR_DECODE, "message ends early");
    if (!code && rest) *rest = (struct str){ (const char *)c.p, cursor_left(&c) };
    return code;
}
