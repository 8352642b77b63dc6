/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/statsd.h"

#include <stdlib.h>
#include <string.h>

#include "consuld/base.h"
#include "consuld/base/metrics.h"
#include "consuld/base/outside.h"
#include "consuld/base/packet.h"

#define FLUSH_MS 100
#define UNSENT_MAX ((size_t)1 << 20)
#define LINE_MAX_BYTES 1024
#define DIAL_TIMEOUT_MS 10000
#define DIAL_AGAIN_MS 1000

struct statsd {
    struct world *world;
    struct metrics_sink sink;
    struct arena arena;
    struct resolve resolve;
    struct packet_socket *socket; /* NULL: not yet, or not possible */
    struct dial dial;             /* statsite */
    struct stream *stream;        /* NULL: not connected */
    struct timer again;
    bool failed, gone; /* connecting, and said so; destroyed while the stream closes */
    struct resolved_ip to;
    uint16_t port;
    bool tags;
    struct str common; /* joined by commas */
    struct timer flush;
    struct buf packet, line;
};

static void send_packet(struct statsd *s)
{
    struct str ip = { (const char *)s->to.ip, s->to.ip_n };
    timer_stop(&s->flush);
    if (s->packet.n && s->socket)
        (void)packet_socket_send(s->socket, ip, s->port, buf_str(&s->packet));
    struct stream_part part = { s->packet.p, s->packet.n, NULL };
    if (s->packet.n && s->stream && stream_queued(s->stream) < UNSENT_MAX)
        (void)stream_write(s->stream, &part, 1);
    buf_clear(&s->packet);
}

static void on_flush(struct timer *t)
{
    send_packet(container_of(t, struct statsd, flush));
}

/* Blanks and colons would end the name. */
static void put_clean(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        buf_put_char(b, c == ':' || c == ' ' || c == '\n' || c == '|' || c == '@' ? '_' : c);
    }
}

static void write_line(struct statsd *s, const struct metric *m, double v)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "c", [METRIC_GAUGE] = "g", [METRIC_SAMPLE] = "ms"
    };
    const struct metric_label *labels;
    size_t n = metric_labels(m, &labels);
    buf_clear(&s->line);
    struct str name = metric_name(m), host = s->tags ? metric_host(m) : STR_NIL;
    size_t at = host.n ? (size_t)(host.p - name.p) : 0;
    put_clean(&s->line, str_slice(name, 0, at));
    put_clean(&s->line, str_slice(name, at + host.n, name.n));
    for (size_t i = 0; i < n && !s->tags; i++) {
        buf_put_char(&s->line, '.');
        put_clean(&s->line, labels[i].value);
    }
    buf_printf(&s->line, s->tags ? ":%g|%s" : ":%f|%s", v, types[metric_kind(m)]);
    if (s->tags && (n || s->common.n)) {
        buf_put_c(&s->line, "|#");
        buf_put_str(&s->line, s->common);
        for (size_t i = 0; i < n; i++) {
            if (i || s->common.n) buf_put_char(&s->line, ',');
            buf_put_c(&s->line, labels[i].name);
            buf_put_char(&s->line, ':');
            put_clean(&s->line, labels[i].value);
        }
    }
    buf_put_char(&s->line, '\n');
}

static void on_value(struct metrics_sink *sink, const struct metric *m, double v)
{
    struct statsd *s = container_of(sink, struct statsd, sink);
    if (!s->socket && !s->stream) return;
    write_line(s, m, v);
    if (s->line.overflow) return;
    if (s->packet.n + s->line.n > STATSD_PACKET_MAX) send_packet(s);
    buf_put_str(&s->packet, buf_str(&s->line));
    if (!timer_active(&s->flush)) timer_start(&s->flush, FLUSH_MS);
}

static void resolved(struct resolve *r)
{
    struct statsd *s = container_of(r, struct statsd, resolve);
    struct packet_options any = { .ip = "0.0.0.0" };
    struct error err;
    if (r->n == 0) {
        log_warn("agent", "metrics are not sent", "error", r->err.text);
        return;
    }
    s->to = r->addresses[0];
    if (s->to.ip_n == 16) any.ip = "::";
    if (packet_socket_open(s->world, &any, &s->socket, &err))
        log_warn("agent", "metrics are not sent", "error", err.text);
}

/* --- statsite --------------------------------------------------------------------------------- */

static void statsd_free(struct statsd *s)
{
    buf_deinit(&s->packet);
    buf_deinit(&s->line);
    arena_free(&s->arena);
    free(s);
}

static void on_data(struct stream *stream, struct str bytes)
{
    (void)stream;
    (void)bytes;
}

static void on_eof(struct stream *stream)
{
    stream_close(stream);
}

static void on_closed(struct stream *stream, int code)
{
    struct statsd *s = stream->owner;
    (void)code;
    s->stream = NULL;
    if (s->gone)
        statsd_free(s);
    else
        timer_start(&s->again, DIAL_AGAIN_MS);
}

static const struct stream_events events = { .data = on_data, .eof = on_eof, .closed = on_closed };

static void dialled(struct dial *d, struct stream *stream)
{
    struct statsd *s = container_of(d, struct statsd, dial);
    s->stream = stream;
    if (!stream && !s->failed)
        log_error("agent", "Error connecting to statsite", "error", d->err.text);
    s->failed = !stream;
    if (!stream) timer_start(&s->again, DIAL_AGAIN_MS);
}

static void dial_again(struct timer *t)
{
    dial_start(&container_of(t, struct statsd, again)->dial);
}

static void connect_to(struct statsd *s, struct str host)
{
    s->dial = (struct dial){ .world = s->world,
        .host = str_dup(&s->arena, host),
        .port = s->port,
        .timeout_ms = DIAL_TIMEOUT_MS,
        .events = &events,
        .owner = s,
        .done = dialled };
    dial_start(&s->dial);
}

static void join_tags(struct statsd *s, const struct statsd_options *o)
{
    struct buf b = BUF_INIT(LINE_MAX_BYTES / 2);
    for (size_t i = 0; i < o->common_n; i++) {
        if (i) buf_put_char(&b, ',');
        buf_put_str(&b, o->common[i]);
    }
    if (b.overflow)
        log_warn("agent", "dogstatsd_tags are too long and left out");
    else
        s->common = str_dup(&s->arena, buf_str(&b));
    buf_deinit(&b);
}

struct statsd *statsd_create(const struct statsd_options *o)
{
    struct statsd *s = xcalloc(1, sizeof *s);
    struct str host = o->address, rest = o->address;
    uint64_t port = 8125;
    size_t colon = host.n;
    for (size_t i = 0; i < rest.n; i++)
        if (rest.p[i] == ':') colon = i;
    if (colon < rest.n && str_to_u64(str_slice(rest, colon + 1, rest.n), &port))
        host = str_slice(rest, 0, colon);
    if (host.n > 2 && host.p[0] == '[') host = str_slice(host, 1, host.n - 1);
    if (host.n == 0) host = STR("127.0.0.1");
    s->world = o->world;
    s->tags = o->tags;
    s->port = port <= UINT16_MAX ? (uint16_t)port : 0;
    s->packet = (struct buf)BUF_INIT(STATSD_PACKET_MAX);
    s->line = (struct buf)BUF_INIT(LINE_MAX_BYTES);
    join_tags(s, o);
    timer_init(&s->flush, s->world, on_flush);
    s->sink.value = on_value;
    metrics_sink_add(o->metrics, &s->sink);
    timer_init(&s->again, s->world, dial_again);
    s->resolve = (struct resolve){ .world = s->world, .host = host, .done = resolved };
    if (o->connect)
        connect_to(s, host);
    else
        resolve_start(&s->resolve);
    return s;
}

void statsd_destroy(struct statsd *s)
{
    if (!s) return;
    resolve_cancel(&s->resolve);
    dial_cancel(&s->dial);
    metrics_sink_remove(&s->sink);
    timer_stop(&s->flush);
    timer_stop(&s->again);
    if (s->socket) packet_socket_close(s->socket);
    s->gone = true;
    if (s->stream)
        stream_close(s->stream);
    else
        statsd_free(s);
}
