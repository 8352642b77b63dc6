/* SPDX-License-Identifier: Apache-2.0 */
/* A connection with a channel per yamux stream (first byte 0x04). Output leaves once per turn. */
#include <stdlib.h>

#include "rpc_port.h"

struct mux {
    struct yamux yamux;
    struct stream *stream;
    struct rpc_port *port;
    struct link streams;
    struct tick tick;
    struct timer timer; /* of the next ping */
    bool choked;        /* the peer does not read fast enough: no request begins */
    bool starved;       /* one that was to begin waits for that */
    bool over;
};

struct mux_stream {
    struct yamux_stream base; /* first: the machine's */
    struct mux *mux;
    struct link link;
    struct rpc_channel channel;
};

/* --- channels ------------------------------------------------------------------------------- */

static struct mux_stream *stream_of(struct rpc_channel *ch)
{
    return container_of(ch, struct mux_stream, channel);
}

static bool full(const struct mux *m)
{
    return m->yamux.queued + m->yamux.shared > RPC_PORT_QUEUED_MAX;
}

static bool ready(struct rpc_channel *ch)
{
    struct mux_stream *st = stream_of(ch);
    struct mux *m = st->mux;
    if (yamux_unsent(&st->base)) return false;
    if (!m->choked && !full(m)) return true;
    m->starved = true;
    return false;
}

static void send(struct rpc_channel *ch, const struct stream_part *parts, size_t n)
{
    struct mux *m = stream_of(ch)->mux;
    if (yamux_write(&m->yamux, &stream_of(ch)->base, parts, n) == ERR_FULL)
        yamux_fail(&m->yamux, "too many bytes wait to be read by the peer");
    tick_mark(&m->tick);
}

static void consumed(struct rpc_channel *ch, size_t n)
{
    struct mux *m = stream_of(ch)->mux;
    yamux_consumed(&m->yamux, &stream_of(ch)->base, n);
    tick_mark(&m->tick);
}

static const struct stream *connection(struct rpc_channel *ch)
{
    return stream_of(ch)->mux->stream;
}

static void end(struct rpc_channel *ch)
{
    struct mux *m = stream_of(ch)->mux;
    link_remove(&stream_of(ch)->link);
    yamux_close(&m->yamux, &stream_of(ch)->base);
    tick_mark(&m->tick);
}

static const struct rpc_channel_ops ops = {
    .ready = ready, .send = send, .consumed = consumed, .connection = connection, .end = end
};

/* --- the session ---------------------------------------------------------------------------- */

static void drop_streams(struct mux *m)
{
    for (struct link *it; (it = link_pop(&m->streams));)
        rpc_channel_drop(&container_of(it, struct mux_stream, link)->channel);
}

/* The session is over: one line, what is left to say is sent, then the connection is closed. */
static void fail(struct mux *m)
{
    if (m->over) return;
    m->over = true;
    m->port->counters.sessions_failed++;
    log_error(RPC_PORT_LOG, "multiplex conn failed", "conn", rpc_port__from(m->stream).text,
        "error", yamux_why(&m->yamux));
    drop_streams(m);
    tick_mark(&m->tick);
}

static void take_event(struct mux *m, const struct yamux_event *ev)
{
    struct mux_stream *st = (struct mux_stream *)ev->stream;
    switch (ev->kind) {
    case YAMUX_OPENED:
        st->mux = m;
        rpc_channel_init(&st->channel, m->port, &ops);
        link_init(&st->link);
        link_push(&m->streams, &st->link);
        yamux_accept(&m->yamux, &st->base);
        break;
    case YAMUX_DATA:
        rpc_channel_data(&st->channel, ev->bytes);
        break;
    case YAMUX_EOF:
        rpc_channel_eof(&st->channel);
        break;
    case YAMUX_RESET:
        link_remove(&st->link);
        rpc_channel_drop(&st->channel);
        yamux_close(&m->yamux, &st->base);
        break;
    case YAMUX_FAILED:
        fail(m);
        break;
    case YAMUX_MORE:
    case YAMUX_PONG:
    case YAMUX_GOAWAY:
        break;
    }
}

static void on_data(struct stream *s, struct str bytes)
{
    struct mux *m = s->owner;
    struct yamux_event ev;
    if (m->over) return;
    do {
        yamux_recv(&m->yamux, &bytes, &ev);
        take_event(m, &ev);
    } while (ev.kind != YAMUX_MORE && ev.kind != YAMUX_FAILED);
    if (m->yamux.held > RPC_PORT_HELD_MAX)
        yamux_fail(&m->yamux, "too many bytes wait behind requests");
    tick_mark(&m->tick);
}

/* --- output --------------------------------------------------------------------------------- */

static void write_out(struct mux *m, const struct stream_part *extra)
{
    struct buf *batch = &m->port->batch;
    struct stream_part parts[2] = { { batch->p, batch->n, NULL } };
    if (extra) parts[1] = *extra;
    if (batch->n || extra) {
        if (stream_write(m->stream, parts, extra ? 2 : 1) == ERR_FULL) stream_close(m->stream);
    }
    buf_clear(batch);
}

static void put_chunk(struct mux *m, const struct yamux_chunk *c)
{
    struct buf *batch = &m->port->batch;
    for (size_t i = 0; i < c->n; i++) {
        if (c->parts[i].n > RPC_PORT_BATCH / 4) {
            write_out(m, &c->parts[i]);
            continue;
        }
        buf_put(batch, c->parts[i].p, c->parts[i].n);
        if (batch->n > RPC_PORT_BATCH) write_out(m, NULL);
    }
}

static void resume_all(struct mux *m)
{
    link_each (it, &m->streams)
        rpc_channel_resume(&container_of(it, struct mux_stream, link)->channel);
}

static void pull(struct mux *m)
{
    struct yamux_chunk c;
    while (stream_queued(m->stream) <= RPC_PORT_BACKLOG_MAX && yamux_next(&m->yamux, &c)) {
        put_chunk(m, &c);
        if (c.drained && !m->over) rpc_channel_resume(&((struct mux_stream *)c.drained)->channel);
    }
    write_out(m, NULL);
}

static void flush(struct tick *t)
{
    struct mux *m = container_of(t, struct mux, tick);
    if (yamux_why(&m->yamux)) fail(m);
    pull(m);
    m->choked = stream_queued(m->stream) > RPC_PORT_BACKLOG_MAX || full(m);
    if (m->over) {
        stream_close(m->stream);
    } else if (m->starved && !m->choked) {
        m->starved = false;
        resume_all(m);
    }
}

static void on_drained(struct stream *s)
{
    tick_mark(&((struct mux *)s->owner)->tick);
}

static void on_eof(struct stream *s)
{
    stream_close(s);
}

static void on_timer(struct timer *t)
{
    struct mux *m = container_of(t, struct mux, timer);
    uint64_t now = world_now_ms(m->port->opts.world);
    if (yamux_tick(&m->yamux, now)) {
        fail(m);
        return;
    }
    uint64_t due = yamux_deadline(&m->yamux);
    timer_start(t, due > now ? due - now : 0);
    tick_mark(&m->tick);
}

static void on_closed(struct stream *s, int code)
{
    struct mux *m = s->owner;
    (void)code;
    timer_stop(&m->timer);
    tick_cancel(&m->tick);
    drop_streams(m);
    yamux_deinit(&m->yamux);
    free(m);
}

static const struct stream_events events = {
    .data = on_data, .eof = on_eof, .drained = on_drained, .closed = on_closed
};

void rpc_port__mux(struct rpc_port *p, struct stream *s)
{
    struct mux *m = xcalloc(1, sizeof *m);
    struct yamux_options o = { .role = YAMUX_SERVER,
        .now_ms = world_now_ms(p->opts.world),
        .stream_size = sizeof(struct mux_stream),
        .streams_max = RPC_PORT_STREAMS_MAX };
    yamux_init(&m->yamux, &o);
    m->stream = s;
    m->port = p;
    link_init(&m->streams);
    tick_init(&m->tick, p->opts.world, flush);
    timer_init(&m->timer, p->opts.world, on_timer);
    timer_start(&m->timer, YAMUX_KEEPALIVE_MS);
    s->events = &events;
    s->owner = m;
}
