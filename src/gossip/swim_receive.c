/* SPDX-License-Identifier: Apache-2.0 */
/* Packets in: layers off, each message to its handler. Whatever a peer sends is handled within a
 * budget of nesting, unpacked bytes and messages. */
#include "swim_core.h"

#define MESSAGES_MAX 4096 /* in one packet */

struct packet {
    struct swim *s;
    const struct gossip_address *from;
    struct arena arena; /* of decoded records */
    size_t unpacked;    /* bytes that compression gave so far */
    size_t messages;
};

static void handle(struct packet *p, struct str message, unsigned depth);

/* False, counted, if the body cannot be read. */
static bool read_record(struct packet *p, struct str body, const struct type *t, void *obj)
{
    struct error err;
    if (!swim_message_decode(body, &p->arena, t, obj, &err)) return true;
    swim__fault(p->s, p->from, SWIM_FAULT_RECORD, err.text);
    return false;
}

static void on_ping(struct packet *p, struct str body)
{
    struct swim *s = p->s;
    struct swim_ping m;
    if (!read_record(p, body, &type_swim_ping, &m)) return;
    if (m.node.n > 0 && !str_eq(m.node, s->o.name)) {
        s->counters.strangers++;
        swim__log(s, LOG_DEBUG, "memberlist: Got ping for unexpected node '%.*s'", STR_ARG(m.node));
        return;
    }
    struct gossip_address to = *p->from, source;
    if (m.source_port > 0 && gossip_address_set(&source, m.source_addr, (uint16_t)m.source_port))
        to = source;
    struct buf payload = BUF_INIT(PACKET_BUDGET);
    const struct swim_delegate *d = &s->o.delegate;
    if (d->ack_payload) d->ack_payload(d->ctx, &payload);
    struct swim_ack ack = { .seq_no = m.seq_no,
        .payload = payload.n ? buf_str(&payload) : STR_NIL };
    const struct member *from = swim__member(s, m.source_node);
    /* whoever asks is not dead: it learns of it at once, not by the next exchange */
    if (from && from->node.state == SWIM_DEAD && gossip_address_equal(&from->node.address, &to))
        swim__send_accused(s, from, SWIM_MSG_ACK, &type_swim_ack, &ack);
    else
        swim__send_record(s, &to, m.source_node, SWIM_MSG_ACK, &type_swim_ack, &ack);
    buf_deinit(&payload);
}

static void on_indirect_ping(struct packet *p, struct str body)
{
    struct swim_indirect_ping m;
    if (read_record(p, body, &type_swim_indirect_ping, &m)) swim__relay_start(p->s, &m, p->from);
}

static void on_ack(struct packet *p, struct str body)
{
    struct swim_ack m;
    if (!read_record(p, body, &type_swim_ack, &m)) return;
    if (p->s->probe.stage != PROBE_NONE && p->s->probe.seq == m.seq_no) {
        swim__probe_ack(p->s, m.payload);
    } else {
        swim__relay_ack(p->s, (uint32_t)m.seq_no);
    }
}

static void on_nack(struct packet *p, struct str body)
{
    struct swim_nack m;
    if (!read_record(p, body, &type_swim_nack, &m)) return;
    struct probe *probe = &p->s->probe;
    if (probe->stage == PROBE_INDIRECT && probe->seq == m.seq_no) probe->nacks++;
}

static void on_suspect(struct packet *p, struct str body)
{
    struct swim_accusation m;
    if (read_record(p, body, &type_swim_accusation, &m)) swim__suspect(p->s, &m);
}

static void on_dead(struct packet *p, struct str body)
{
    struct swim_accusation m;
    if (read_record(p, body, &type_swim_accusation, &m)) swim__dead(p->s, &m, 0);
}

static void on_alive(struct packet *p, struct str body)
{
    struct swim_alive m;
    struct gossip_address address;
    if (!swim__address_allowed(p->s, p->from)) {
        swim__blocked(p->s, p->from, p->from);
        return;
    }
    if (!read_record(p, body, &type_swim_alive, &m)) return;
    if (gossip_address_set(&address, m.addr, 0) && !swim__address_allowed(p->s, &address)) {
        swim__blocked(p->s, p->from, &address);
        return;
    }
    swim__alive(p->s, &m, FROM_PACKET, p->from, 0);
}

static void on_user(struct packet *p, struct str body)
{
    const struct swim_delegate *d = &p->s->o.delegate;
    if (d->user_message) d->user_message(d->ctx, body, p->from);
}

static void on_compound(struct packet *p, struct str body, unsigned depth)
{
    struct packet_parts parts;
    struct str part;
    if (!packet_parts_begin(&parts, body)) {
        swim__fault(p->s, p->from, SWIM_FAULT_COMPOUND, "lengths are cut short");
        return;
    }
    while (packet_parts_next(&parts, &part))
        handle(p, part, depth + 1);
    if (parts.truncated) swim__fault(p->s, p->from, SWIM_FAULT_COMPOUND, "parts are cut short");
}

static void on_compressed(struct packet *p, struct str body, unsigned depth)
{
    struct error err;
    struct buf plain = BUF_INIT(PACKET_UNPACK_MAX - p->unpacked);
    if (packet_decompress(body, &plain, &err)) {
        swim__fault(p->s, p->from, SWIM_FAULT_COMPRESSED, err.text);
        p->unpacked += plain.overflow ? plain.max : plain.n;
    } else {
        p->unpacked += plain.n;
        handle(p, buf_str(&plain), depth + 1);
    }
    buf_deinit(&plain);
}

static void handle(struct packet *p, struct str message, unsigned depth)
{
    if (message.n == 0) {
        swim__fault(p->s, p->from, SWIM_FAULT_EMPTY, "message is empty");
        return;
    }
    if (depth > PACKET_DEPTH_MAX || ++p->messages > MESSAGES_MAX) {
        swim__fault(p->s, p->from, SWIM_FAULT_DEPTH, "messages are nested too deep");
        return;
    }
    struct str body = str_slice(message, 1, message.n);
    switch ((uint8_t)message.p[0]) {
    case SWIM_MSG_PING:
        return on_ping(p, body);
    case SWIM_MSG_INDIRECT_PING:
        return on_indirect_ping(p, body);
    case SWIM_MSG_ACK:
        return on_ack(p, body);
    case SWIM_MSG_SUSPECT:
        return on_suspect(p, body);
    case SWIM_MSG_ALIVE:
        return on_alive(p, body);
    case SWIM_MSG_DEAD:
        return on_dead(p, body);
    case SWIM_MSG_COMPOUND:
        return on_compound(p, body, depth);
    case SWIM_MSG_USER:
        return on_user(p, body);
    case SWIM_MSG_COMPRESSED:
        return on_compressed(p, body, depth);
    case SWIM_MSG_NACK:
        return on_nack(p, body);
    default:
        swim__fault(p->s, p->from, SWIM_FAULT_TYPE, "type of message not supported");
    }
}

void swim__receive(struct swim *s, const struct gossip_address *from, struct str datagram)
{
    struct error err;
    struct str message;
    struct buf room = BUF_INIT(PACKET_RECEIVE_MAX);
    struct packet p = { .s = s, .from = from };
    s->counters.packets_in++;
    s->counters.bytes_in += datagram.n;
    if (datagram.n == 0) return;
    if ((uint8_t)datagram.p[0] == SWIM_MSG_LABEL) {
        swim__fault(s, from, SWIM_FAULT_TYPE, "labels of pools are not supported");
        return;
    }
    int rc = packet_read(&s->sealing, datagram, &room, &message, &err);
    if (rc) {
        swim__fault(s, from, rc == ERR_CONFLICT ? SWIM_FAULT_CRC : SWIM_FAULT_OPEN, err.text);
    } else {
        handle(&p, message, 0);
    }
    arena_free(&p.arena);
    buf_deinit(&room);
}
