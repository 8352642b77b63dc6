/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that is one channel (first byte 0x00). */
#include <stdlib.h>

#include "rpc_port.h"

struct single {
    struct rpc_channel channel;
    struct stream *stream;
    struct timer linger;
    bool paused;
};

static struct single *self(struct rpc_channel *ch)
{
    return container_of(ch, struct single, channel);
}

static bool ready(struct rpc_channel *ch)
{
    return stream_queued(self(ch)->stream) == 0;
}

static void send(struct rpc_channel *ch, const struct stream_part *parts, size_t n)
{
    if (stream_write(self(ch)->stream, parts, n) == ERR_FULL) stream_close(self(ch)->stream);
}

static const struct stream *connection(struct rpc_channel *ch)
{
    return self(ch)->stream;
}

/* The peer may still be sending: closing at once could take the last answer from it. */
static void end(struct rpc_channel *ch)
{
    struct single *c = self(ch);
    stream_finish(c->stream);
    if (c->paused) stream_read(c->stream, true);
    timer_start(&c->linger, RPC_PORT_LINGER_MS);
}

static const struct rpc_channel_ops ops = {
    .ready = ready, .send = send, .connection = connection, .end = end
};

static void pause_if_full(struct single *c)
{
    bool full = !c->channel.ended && rpc_channel_waiting(&c->channel) > RPC_PORT_BACKLOG_MAX;
    if (full == c->paused) return;
    c->paused = full;
    stream_read(c->stream, !full);
}

static void lingered(struct timer *t)
{
    stream_close(container_of(t, struct single, linger)->stream);
}

static void on_data(struct stream *s, struct str bytes)
{
    struct single *c = s->owner;
    rpc_channel_data(&c->channel, bytes);
    pause_if_full(c);
}

static void on_eof(struct stream *s)
{
    struct single *c = s->owner;
    if (c->channel.ended && stream_queued(s) == 0) {
        stream_close(s);
    } else {
        rpc_channel_eof(&c->channel);
    }
}

static void on_drained(struct stream *s)
{
    struct single *c = s->owner;
    rpc_channel_resume(&c->channel);
    pause_if_full(c);
}

static void on_closed(struct stream *s, int code)
{
    struct single *c = s->owner;
    (void)code;
    timer_stop(&c->linger);
    rpc_channel_drop(&c->channel);
    free(c);
}

static const struct stream_events events = {
    .data = on_data, .eof = on_eof, .drained = on_drained, .closed = on_closed
};

static struct single *create(struct rpc_port *p, struct stream *s)
{
    struct single *c = xcalloc(1, sizeof *c);
    rpc_channel_init(&c->channel, p, &ops);
    c->stream = s;
    timer_init(&c->linger, p->opts.world, lingered);
    s->events = &events;
    s->owner = c;
    return c;
}

void rpc_port__single(struct rpc_port *p, struct stream *s)
{
    (void)create(p, s);
}

void rpc_port__insecure(struct rpc_port *p, struct stream *s)
{
    create(p, s)->channel.insecure = true;
}
