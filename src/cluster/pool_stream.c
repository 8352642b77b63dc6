/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of a pool: the core decides what is said on them and when their time is up; here they are
 * dialled, written and closed. */
#include <stdlib.h>
#include <string.h>

#include "pool.h"

struct pool_stream {
    struct link link;
    struct pool *pool;
    uint64_t id;
    struct dial dial;
    struct gateway_dial gateway;
    char host[GOSSIP_ADDRESS_TEXT_MAX];
    struct stream *stream; /* NULL while dialling and when closed */
    char *bytes;           /* of a dial, to be written when it stands */
    size_t bytes_n;
    bool over;          /* the core wants no more events of it */
    struct timer timer; /* until the peer has taken our answer */
};

static void stream_free(struct pool_stream *s)
{
    struct pool *p = s->pool;
    timer_stop(&s->timer);
    link_remove(&s->link);
    p->streams_open--;
    free(s->bytes);
    free(s);
    tick_mark(&p->tick); /* perhaps a stop waits for it */
}

static void ended(struct pool_stream *s, const char *why)
{
    if (s->over) return;
    s->over = true;
    struct swim_event ev = { .type = SWIM_STREAM_ENDED,
        .stream = { .id = s->id, .error = str_of(why) } };
    (void)pool__step_swim(s->pool, &ev);
}

static void on_data(struct stream *stream, struct str bytes)
{
    struct pool_stream *s = stream->owner;
    if (s->over) return;
    struct swim_event ev = { .type = SWIM_STREAM_DATA, .stream = { .id = s->id, .bytes = bytes } };
    if (pool__step_swim(s->pool, &ev) != 0) {
        s->over = true;
        stream_close(stream);
    }
}

static void on_eof(struct stream *stream)
{
    struct pool_stream *s = stream->owner;
    ended(s, "");
    stream_close(stream);
}

static void on_closed(struct stream *stream, int code)
{
    struct pool_stream *s = stream->owner;
    s->stream = NULL;
    ended(s, code ? "connection reset by peer" : "");
    stream_free(s);
}

static const struct stream_events events = {
    .data = on_data,
    .eof = on_eof,
    .closed = on_closed,
};

/* A peer that does not take our answer does not keep the stream. */
static void on_timer(struct timer *t)
{
    struct pool_stream *s = container_of(t, struct pool_stream, timer);
    s->pool->counters.streams_cut++;
    if (s->stream) stream_close(s->stream);
}

static struct pool_stream *stream_create(struct pool *p, uint64_t id)
{
    struct pool_stream *s = xcalloc(1, sizeof *s);
    s->pool = p;
    s->id = id;
    timer_init(&s->timer, p->world, on_timer);
    link_push(&p->streams, &s->link);
    p->streams_open++;
    return s;
}

/* --- incoming ----------------------------------------------------------------------------------
 */

void pool__accept(void *ctx, struct stream *stream)
{
    pool_take_stream(ctx, stream);
}

void pool_take_stream(struct pool *p, struct stream *stream)
{
    if (p->closed) {
        stream_close(stream);
        return;
    }
    struct swim_event ev = { .type = SWIM_ACCEPTED, .stream = { .id = p->next_stream_id } };
    if (!gossip_address_parse(&ev.stream.from, stream->peer, stream->peer_port) ||
        pool__step_swim(p, &ev) != 0) {
        p->counters.streams_refused++;
        stream_close(stream);
        return;
    }
    p->counters.streams_accepted++;
    struct pool_stream *s = stream_create(p, p->next_stream_id);
    p->next_stream_id += 2;
    s->stream = stream;
    stream->events = &events;
    stream->owner = s;
}

/* --- outgoing ----------------------------------------------------------------------------------
 */

static int send_bytes(struct pool_stream *s, struct str bytes)
{
    struct stream_part part = { bytes.p, bytes.n, NULL };
    s->pool->counters.stream_messages += bytes.n > 0;
    s->pool->counters.stream_bytes += bytes.n;
    return stream_write(s->stream, &part, 1);
}

static void begin(struct pool_stream *s, struct stream *stream, const char *why)
{
    if (!stream) {
        ended(s, why);
        stream_free(s);
        return;
    }
    s->stream = stream;
    struct swim_event ev = { .type = SWIM_CONNECTED, .stream = { .id = s->id } };
    if (pool__step_swim(s->pool, &ev) != 0 ||
        send_bytes(s, (struct str){ s->bytes, s->bytes_n }) == ERR_FULL) {
        ended(s, "too much to send");
        stream_close(stream);
    }
    free(s->bytes);
    s->bytes = NULL;
}

static void on_dialled(struct dial *d, struct stream *stream)
{
    begin(container_of(d, struct pool_stream, dial), stream, d->err.text);
}

static void on_led(struct gateway_dial *d, struct stream *stream)
{
    begin(container_of(d, struct pool_stream, gateway), stream, d->err.text);
}

/* The texts live behind what is to be sent. */
static void start_gateway(
    struct pool *p, struct pool_stream *s, struct str node, struct str datacenter)
{
    char *text = s->bytes + s->bytes_n;
    if (node.n) memcpy(text, node.p, node.n);
    memcpy(text + node.n, datacenter.p, datacenter.n);
    s->gateway = (struct gateway_dial){ .gateways = p->opts.gateways,
        .node = { text, node.n },
        .datacenter = { text + node.n, datacenter.n },
        .alpn = ALPN_GOSSIP_STREAM,
        .queue_max = POOL_STREAM_QUEUE_MAX,
        .events = &events,
        .owner = s,
        .done = on_led };
    gateway_dial_start(&s->gateway);
}

static void start_dial(struct pool *p, const struct swim_stream *act)
{
    struct pool_stream *s = stream_create(p, act->id);
    struct str node, datacenter;
    p->counters.streams_dialled++;
    s->bytes = xmalloc(act->bytes.n + act->node.n + 1);
    if (act->bytes.n) memcpy(s->bytes, act->bytes.p, act->bytes.n);
    s->bytes_n = act->bytes.n;
    if (pool__behind_gateway(p, act->node, &node, &datacenter)) {
        start_gateway(p, s, node, datacenter);
        return;
    }
    gossip_ip_text(&act->to, s->host);
    s->dial = (struct dial){ .world = p->world,
        .host = str_of(s->host),
        .port = act->to.port,
        .timeout_ms = p->stream_timeout_ms,
        .events = &events,
        .owner = s,
        .done = on_dialled };
    dial_start(&s->dial);
}

static struct pool_stream *find(struct pool *p, uint64_t id)
{
    link_each (l, &p->streams) {
        struct pool_stream *s = container_of(l, struct pool_stream, link);
        if (s->id == id && !s->over) return s;
    }
    return NULL;
}

static void abandon(struct pool_stream *s)
{
    s->over = true;
    if (s->stream) {
        stream_close(s->stream);
    } else {
        dial_cancel(&s->dial);
        gateway_dial_cancel(&s->gateway);
        stream_free(s);
    }
}

void pool__stream_act(struct pool *p, const struct swim_stream *act)
{
    if (act->action == SWIM_DIAL) {
        start_dial(p, act);
        return;
    }
    struct pool_stream *s = find(p, act->id);
    if (!s) return; /* ended meanwhile */
    if (act->action == SWIM_CLOSE || !s->stream) {
        abandon(s);
        return;
    }
    s->over = true;
    if (send_bytes(s, act->bytes) == ERR_FULL) {
        stream_close(s->stream);
        return;
    }
    stream_finish(s->stream);
    timer_start(&s->timer, p->stream_timeout_ms);
}

void pool__streams_close(struct pool *p)
{
    link_each (l, &p->streams)
        abandon(container_of(l, struct pool_stream, link));
}
