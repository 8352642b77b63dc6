/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "consuld/gossip/packet.h"

DEFINE_RECORD(swim_ping, SWIM_PING_FIELDS, "ping")
DEFINE_RECORD(swim_indirect_ping, SWIM_INDIRECT_PING_FIELDS, "indirectPingReq")
DEFINE_RECORD(swim_ack, SWIM_ACK_FIELDS, "ackResp")
DEFINE_RECORD(swim_nack, SWIM_NACK_FIELDS, "nackResp")
DEFINE_RECORD(swim_error, SWIM_ERROR_FIELDS, "errResp")
DEFINE_RECORD(swim_accusation, SWIM_ACCUSATION_FIELDS, "suspect")
DEFINE_RECORD(swim_alive, SWIM_ALIVE_FIELDS, "alive")
DEFINE_RECORD(swim_compressed, SWIM_COMPRESSED_FIELDS, "compress")
DEFINE_RECORD(swim_push_pull, SWIM_PUSH_PULL_FIELDS, "pushPullHeader")
DEFINE_RECORD(swim_push_node, SWIM_PUSH_NODE_FIELDS, "pushNodeState")
DEFINE_RECORD(swim_user_header, SWIM_USER_HEADER_FIELDS, "userMsgHeader")

void swim_message_init(void)
{
    static const struct record *const records[] = {
        &record_swim_ping,
        &record_swim_indirect_ping,
        &record_swim_ack,
        &record_swim_nack,
        &record_swim_error,
        &record_swim_accusation,
        &record_swim_alive,
        &record_swim_compressed,
        &record_swim_push_pull,
        &record_swim_push_node,
        &record_swim_user_header,
    };
    static bool done;
    if (done) return;
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++)
        record_init(records[i]);
    done = true;
}

void swim_message_encode(
    enum swim_message_type type, const struct type *t, const void *obj, struct buf *out)
{
    buf_put_char(out, (char)type);
    msgpack_encode(t, obj, out);
}

int swim_message_decode(
    struct str body, struct arena *a, const struct type *t, void *obj, struct error *err)
{
    struct cursor c;
    memset(obj, 0, t->size);
    cursor_init(&c, body.p, body.n, err);
    return msgpack_decode(&c, a, t, obj);
}
