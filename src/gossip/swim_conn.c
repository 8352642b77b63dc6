/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: one message each way at most, gossip.md 6. */
#include <stdio.h>
#include <stdlib.h>

#include "swim_core.h"

static struct conn *find(const struct swim *s, uint64_t id)
{
    link_each (it, &s->conns) {
        struct conn *c = container_of(it, struct conn, link);
        if (c->id == id) return c;
    }
    return NULL;
}

static struct conn *add(struct swim *s, uint64_t id, enum conn_kind kind)
{
    struct conn *c = xcalloc(1, sizeof *c);
    c->id = id;
    c->kind = kind;
    c->deadline_ms = s->now + s->o.stream_timeout_ms;
    c->since_us = s->now_us;
    stream_reader_init(&c->reader);
    link_init(&c->link);
    link_push(&s->conns, &c->link);
    *(kind == CONN_ACCEPTED ? &s->accepted_n : &s->dialled_n) += 1;
    return c;
}

/* The stream is over for the core; `close` tells the driver too. */
static void end(struct swim *s, struct conn *c, bool close)
{
    if (close) swim__put_stream(s, SWIM_CLOSE, c->id, NULL, STR_NIL, STR_NIL);
    *(c->kind == CONN_ACCEPTED ? &s->accepted_n : &s->dialled_n) -= 1;
    s->stream_bytes -= c->reader.in.n;
    stream_reader_deinit(&c->reader);
    link_remove(&c->link);
    free(c);
}

/* --- outgoing ------------------------------------------------------------------------------ */

/* What a dialled stream was for, is told how it went: rc 0, or the text. */
static void settle(struct swim *s, const struct conn *c, int rc, const char *text)
{
    if (c->kind == CONN_JOIN || c->kind == CONN_PUSH_PULL) {
        s->counters.push_pulls_over++;
        if (s->now_us > c->since_us) s->counters.push_pull_us += s->now_us - c->since_us;
    }
    switch (c->kind) {
    case CONN_ACCEPTED:
        break;
    case CONN_JOIN:
        swim__put_result(s, c->handle, rc, text);
        break;
    case CONN_PUSH_PULL:
        if (rc) swim__log(s, LOG_ERROR, "memberlist: Push/Pull with peer failed: %s", text);
        break;
    case CONN_PING:
        if (s->probe.stage != PROBE_NONE && s->probe.stream == c->id)
            swim__probe_stream_over(s, rc == 0);
        break;
    }
}

static void write_request(struct swim *s, enum conn_kind kind, struct str node, struct buf *out)
{
    const struct swim_node *self = &s->self->node;
    if (kind != CONN_PING) {
        swim__state_write(s, kind == CONN_JOIN, out);
        return;
    }
    struct swim_ping ping = { .seq_no = s->probe.seq,
        .node = node,
        .source_addr = gossip_address_ip(&self->address),
        .source_port = self->address.port,
        .source_node = self->name };
    swim_message_encode(SWIM_MSG_PING, &type_swim_ping, &ping, out);
}

void swim__dial(struct swim *s, enum conn_kind kind, const struct gossip_address *to,
    struct str node, uint64_t handle)
{
    struct error err = { 0 };
    struct buf message = BUF_INIT(STREAM_MESSAGE_MAX), bytes = BUF_INIT(2u * STREAM_MESSAGE_MAX);
    struct conn *c = add(s, s->next_stream += 2, kind);
    c->handle = handle;
    c->peer = *to;
    if (kind == CONN_PING) {
        c->seq = s->probe.seq;
        c->deadline_ms = s->probe.deadline_ms;
        s->probe.stream = c->id;
    }
    write_request(s, kind, node, &message);
    int rc = 0;
    if (s->dialled_n > SWIM_DIALS_MAX) {
        rc = error_set(&err, ERR_FULL, "too many streams");
    } else if (to->port == 0 || to->ip_n == 0 || (s->o.names_required && node.n == 0)) {
        rc = error_set(&err, ERR_BAD_REQUEST,
            "memberlist: node names are required by configuration but one was not provided");
        if (to->port == 0 || to->ip_n == 0)
            error_set(&err, ERR_BAD_REQUEST, "memberlist: no address to connect to");
    } else if (message.overflow) {
        rc = error_set(&err, ERR_TOO_LARGE, "state of more than %u bytes", STREAM_MESSAGE_MAX);
    }
    if (!rc) rc = stream_wrap(&s->sealing, buf_str(&message), s->o.compression, &bytes, &err);
    if (!rc) {
        swim__put_stream(s, SWIM_DIAL, c->id, to, node, buf_str(&bytes));
    } else {
        settle(s, c, rc, err.text);
        end(s, c, false);
    }
    buf_deinit(&message);
    buf_deinit(&bytes);
}

void swim__conn_connected(struct swim *s, uint64_t id)
{
    struct conn *c = find(s, id);
    if (c && c->kind != CONN_PING) c->deadline_ms = s->now + s->o.stream_timeout_ms;
}

static int read_pong(struct conn *c, struct error *err)
{
    struct swim_ack ack;
    struct arena a = ARENA_INIT;
    struct str m = c->reader.message;
    int rc = swim_message_decode(str_slice(m, 1, m.n), &a, &type_swim_ack, &ack, err);
    arena_free(&a);
    if (rc) return rc;
    if (ack.seq_no == c->seq) return 0;
    return error_set(err, ERR_CONFLICT, "Sequence number from ack (%llu) doesn't match ping (%u)",
        (unsigned long long)ack.seq_no, c->seq);
}

static int read_remote_error(struct conn *c, struct error *err)
{
    struct swim_error e;
    struct arena a = ARENA_INIT;
    struct str m = c->reader.message;
    if (!swim_message_decode(str_slice(m, 1, m.n), &a, &type_swim_error, &e, err))
        error_set(err, ERR_DENIED, "remote error: %.*s", STR_ARG(e.error));
    arena_free(&a);
    return err->code;
}

/* The answer to what we asked. */
static void answered(struct swim *s, struct conn *c)
{
    struct error err = { 0 };
    uint8_t type = (uint8_t)c->reader.message.p[0];
    uint8_t expected = c->kind == CONN_PING ? SWIM_MSG_ACK : SWIM_MSG_PUSH_PULL;
    int rc;
    if (type == SWIM_MSG_ERROR) {
        rc = read_remote_error(c, &err);
    } else if (type != expected) {
        rc = error_set(
            &err, ERR_DECODE, "received invalid msgType (%u), expected %u", type, expected);
    } else if (c->kind == CONN_PING) {
        rc = read_pong(c, &err);
    } else {
        rc = swim__state_merge(s, c->reader.message, &err);
    }
    settle(s, c, rc, err.text);
    end(s, c, true);
}

/* --- incoming ------------------------------------------------------------------------------ */

int swim__conn_accepted(struct swim *s, uint64_t id, const struct gossip_address *from)
{
    if (s->accepted_n == SWIM_STREAMS_MAX) {
        s->counters.streams_refused++;
        return ERR_FULL;
    }
    struct conn *c = add(s, id, CONN_ACCEPTED);
    c->peer = *from;
    return 0;
}

/* Writes the one answer and lets go of the stream. */
static void answer(struct swim *s, struct conn *c, struct str message)
{
    struct error err;
    struct buf bytes = BUF_INIT(2u * STREAM_MESSAGE_MAX);
    if (stream_wrap(&s->sealing, message, s->o.compression, &bytes, &err)) {
        swim__log(s, LOG_ERROR, "memberlist: answer is not sent: %s", err.text);
        end(s, c, true);
    } else {
        swim__put_stream(s, SWIM_WRITE, c->id, NULL, STR_NIL, buf_str(&bytes));
        end(s, c, false);
    }
    buf_deinit(&bytes);
}

static void answer_error(struct swim *s, struct conn *c, const char *text)
{
    struct swim_error e = { .error = str_of(text) };
    struct buf message = BUF_INIT(4 * ERROR_TEXT_MAX);
    swim_message_encode(SWIM_MSG_ERROR, &type_swim_error, &e, &message);
    answer(s, c, buf_str(&message));
    buf_deinit(&message);
}

static void on_ping(struct swim *s, struct conn *c, struct str message)
{
    struct swim_ping ping;
    struct error err;
    struct arena a = ARENA_INIT;
    bool ours = false;
    if (swim_message_decode(str_slice(message, 1, message.n), &a, &type_swim_ping, &ping, &err)) {
        swim__fault(s, &c->peer, SWIM_FAULT_RECORD, err.text);
    } else if (ping.node.n > 0 && !str_eq(ping.node, s->o.name)) {
        s->counters.strangers++;
    } else {
        ours = true;
    }
    if (ours) {
        struct swim_ack ack = { .seq_no = ping.seq_no };
        struct buf out = BUF_INIT(PACKET_BUDGET);
        swim_message_encode(SWIM_MSG_ACK, &type_swim_ack, &ack, &out);
        answer(s, c, buf_str(&out));
        buf_deinit(&out);
    } else {
        end(s, c, true);
    }
    arena_free(&a);
}

/* Our state is written before theirs is looked at, as peers expect it. */
static void on_push_pull(struct swim *s, struct conn *c, struct str message)
{
    struct arena a = ARENA_INIT;
    struct error err;
    struct push_pull p;
    struct gossip_address peer = c->peer;
    if (push_pull_decode(message, &a, &p, &err)) {
        swim__fault(s, &peer, SWIM_FAULT_RECORD, err.text);
        answer_error(s, c, err.text);
        arena_free(&a);
        return;
    }
    struct buf whole = BUF_INIT(STREAM_MESSAGE_MAX), ours = BUF_INIT(STREAM_MESSAGE_MAX);
    buf_put_str(&whole, message); /* it lives in the stream, which ends with the answer */
    swim__state_write(s, p.join, &ours);
    answer(s, c, buf_str(&ours));
    if (swim__state_merge(s, buf_str(&whole), &err)) {
        char text[GOSSIP_ADDRESS_TEXT_MAX];
        swim__log(s, LOG_ERROR, "memberlist: Failed push/pull merge: %s from=%s", err.text,
            gossip_address_text(&peer, text));
    }
    buf_deinit(&whole);
    buf_deinit(&ours);
    arena_free(&a);
}

static void on_user(struct swim *s, struct conn *c, struct str message)
{
    struct cursor cursor;
    struct swim_user_header head = { 0 };
    struct arena a = ARENA_INIT;
    static const struct gossip_address none;
    cursor_init(&cursor, message.p + 1, message.n - 1, NULL);
    int rc = msgpack_decode(&cursor, &a, &type_swim_user_header, &head);
    struct str body = { (const char *)cursor.p, cursor_left(&cursor) };
    const struct swim_delegate *d = &s->o.delegate;
    if (!rc && body.n > 0 && d->user_message) d->user_message(d->ctx, body, &none);
    arena_free(&a);
    end(s, c, true);
}

/* The request of a peer is there. */
static void asked(struct swim *s, struct conn *c)
{
    struct str m = c->reader.message;
    switch ((uint8_t)m.p[0]) {
    case SWIM_MSG_PING:
        return on_ping(s, c, m);
    case SWIM_MSG_PUSH_PULL:
        return on_push_pull(s, c, m);
    case SWIM_MSG_USER:
        return on_user(s, c, m);
    default:
        swim__fault(s, &c->peer, SWIM_FAULT_STREAM, "type of message not supported");
        end(s, c, true);
    }
}

static void unreadable(struct swim *s, struct conn *c, const char *text)
{
    swim__fault(s, &c->peer, SWIM_FAULT_STREAM, text);
    if (c->kind == CONN_ACCEPTED) {
        answer_error(s, c, text);
    } else {
        settle(s, c, ERR_DECODE, text);
        end(s, c, true);
    }
}

/* --- both ---------------------------------------------------------------------------------- */

void swim__conn_data(struct swim *s, uint64_t id, struct str bytes)
{
    struct conn *c = find(s, id);
    if (!c) return;
    size_t before = c->reader.in.n;
    enum stream_progress progress = stream_reader_add(&c->reader, &s->sealing, bytes);
    s->stream_bytes += c->reader.in.n - before;
    switch (progress) {
    case STREAM_MORE:
        if (s->stream_bytes > SWIM_STREAM_BYTES_MAX) unreadable(s, c, "too much is under way");
        break;
    case STREAM_BAD: {
        struct error err = c->reader.err;
        unreadable(s, c, err.text);
        break;
    }
    case STREAM_WHOLE:
        if (c->kind == CONN_ACCEPTED) {
            asked(s, c);
        } else {
            answered(s, c);
        }
        break;
    }
}

void swim__conn_ended(struct swim *s, uint64_t id, struct str error)
{
    struct conn *c = find(s, id);
    char text[256];
    if (!c) return;
    if (error.n == 0) error = STR("EOF");
    snprintf(text, sizeof text, "%.*s", STR_ARG(error));
    settle(s, c, ERR_IO, text);
    end(s, c, false);
}

void swim__conns_run(struct swim *s)
{
    link_each (it, &s->conns) {
        struct conn *c = container_of(it, struct conn, link);
        if (s->now < c->deadline_ms) continue;
        settle(s, c, ERR_IO, "i/o timeout");
        end(s, c, true);
    }
}

void swim__conns_free(struct swim *s)
{
    while (!link_empty(&s->conns))
        end(s, container_of(s->conns.next, struct conn, link), false);
}
