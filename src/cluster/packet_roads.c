/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/cluster/packet_roads.h"

#include <stdlib.h>
#include <string.h>

#include "consuld/mux/packet_frame.h"
#include "gateways.h"

#define ROAD_STREAM_QUEUE (256u << 10)

/* A frame that waits for the road. */
struct waiting {
    struct link link;
    size_t n;
    uint8_t bytes[];
};

struct road {
    struct link link; /* the last used at the end */
    struct packet_roads *roads;
    struct str name, node, datacenter; /* memory behind the struct */
    struct gateway_dial dial;
    bool dialling;
    struct stream *stream;
    struct link queue;
    size_t queue_n, queue_bytes;
    struct timer idle, stuck;
    uint64_t used_ms;
    bool lost, remote; /* a packet was not sent: to be told */
};

struct packet_roads {
    struct packet_roads_options opts;
    struct map by_name;
    struct link all;
    struct tick tell;
    struct gateways_observer observer;
    struct packet_roads_counters counters;
};

/* --- a road's queue ------------------------------------------------------------------------- */

static void drop_first(struct road *w)
{
    struct link *l = link_pop(&w->queue);
    struct waiting *gone = container_of(l, struct waiting, link);
    w->queue_n--;
    w->queue_bytes -= gone->n;
    gateways_counters(w->roads->opts.gateways)->packets_dropped++;
    free(gone);
}

static void drop_all(struct road *w)
{
    while (w->queue_n)
        drop_first(w);
}

static void enqueue(struct road *w, struct str bytes)
{
    struct waiting *x = xmalloc(sizeof *x + PACKET_FRAME_HEADER + bytes.n);
    x->n = PACKET_FRAME_HEADER + bytes.n;
    packet_frame_header(x->bytes, bytes.n);
    memcpy(x->bytes + PACKET_FRAME_HEADER, bytes.p, bytes.n);
    link_init(&x->link);
    link_push(&w->queue, &x->link);
    w->queue_n++;
    w->queue_bytes += x->n;
    while (w->queue_n > 1 && (w->queue_n > ROAD_QUEUE_MAX || w->queue_bytes > ROAD_QUEUE_BYTES))
        drop_first(w);
}

static void lost(struct road *w, bool remote)
{
    w->lost = true;
    w->remote = remote;
    tick_mark(&w->roads->tell);
}

/* --- a road's stream ------------------------------------------------------------------------ */

static void unwanted(struct stream *s, struct str bytes) /* nothing ever comes back */
{
    (void)bytes;
    stream_close(s);
}

static void let_go(struct road *w)
{
    struct stream *s = w->stream;
    if (!s) return;
    s->owner = NULL;
    w->stream = NULL;
    timer_stop(&w->stuck);
    timer_stop(&w->idle);
    stream_close(s);
}

static void drained(struct stream *s);

static void closed(struct stream *s, int code)
{
    struct road *w = s->owner;
    (void)code;
    if (!w) return;
    w->stream = NULL;
    timer_stop(&w->stuck);
    timer_stop(&w->idle);
}

static const struct stream_events events = {
    .data = unwanted, .eof = stream_close, .drained = drained, .closed = closed
};

static void begin(struct road *w);

/* Writes what waits as long as the stream's own queue is empty. */
static void flush(struct road *w)
{
    while (w->stream && w->queue_n && stream_queued(w->stream) == 0) {
        struct waiting *x = container_of(w->queue.next, struct waiting, link);
        struct stream_part part = { x->bytes, x->n, NULL };
        if (stream_write(w->stream, &part, 1) != 0) {
            let_go(w);
            lost(w, true);
            begin(w);
            return;
        }
        gateways_counters(w->roads->opts.gateways)->packets_sent++;
        link_remove(&x->link);
        w->queue_n--;
        w->queue_bytes -= x->n;
        free(x);
    }
    if (!w->stream) return;
    if (stream_queued(w->stream) == 0)
        timer_stop(&w->stuck);
    else if (!timer_active(&w->stuck))
        timer_start(&w->stuck, ROAD_STUCK_MS);
}

static void drained(struct stream *s)
{
    if (s->owner) flush(s->owner);
}

/* The gateway takes nothing: another one, if there is one. */
static void on_stuck(struct timer *t)
{
    struct road *w = container_of(t, struct road, stuck);
    struct packet_roads *r = w->roads;
    gateways__path_failed(r->opts.gateways, &w->dial, "nothing was taken for a second");
    r->counters.stuck++;
    let_go(w);
    lost(w, true);
    begin(w);
}

static void on_idle(struct timer *t)
{
    struct road *w = container_of(t, struct road, idle);
    uint64_t idle = world_now_ms(w->roads->opts.world) - w->used_ms;
    if (idle < ROAD_IDLE_MS)
        timer_start(t, ROAD_IDLE_MS - idle);
    else
        let_go(w);
}

/* --- dialling ------------------------------------------------------------------------------- */

static void dialled(struct gateway_dial *d, struct stream *s)
{
    struct road *w = container_of(d, struct road, dial);
    w->dialling = false;
    if (!s) {
        drop_all(w);
        lost(w, !d->unsent);
        return;
    }
    w->stream = s;
    timer_start(&w->idle, ROAD_IDLE_MS);
    flush(w);
}

static void begin(struct road *w)
{
    struct packet_roads *r = w->roads;
    if (w->dialling || w->stream || w->queue_n == 0) return;
    w->dialling = true;
    r->counters.dials++;
    w->dial = (struct gateway_dial){ .gateways = r->opts.gateways,
        .node = w->node,
        .datacenter = w->datacenter,
        .alpn = ALPN_GOSSIP_PACKET,
        .patient = true,
        .queue_max = ROAD_STREAM_QUEUE,
        .events = &events,
        .owner = w,
        .done = dialled };
    gateway_dial_start(&w->dial);
}

/* --- roads ---------------------------------------------------------------------------------- */

static void road_destroy(struct road *w)
{
    if (w->dialling) gateway_dial_cancel(&w->dial);
    let_go(w);
    drop_all(w);
    timer_stop(&w->idle);
    timer_stop(&w->stuck);
    map_remove(&w->roads->by_name, w->name);
    link_remove(&w->link);
    free(w);
}

static struct str put_text(char **at, struct str s)
{
    char *p = *at;
    if (s.n) memcpy(p, s.p, s.n);
    *at += s.n;
    return (struct str){ p, s.n };
}

static struct road *road_create(
    struct packet_roads *r, struct str name, struct str node, struct str datacenter)
{
    struct road *w = xcalloc(1, sizeof *w + name.n + node.n + datacenter.n);
    char *text = (char *)(w + 1);
    w->roads = r;
    w->name = put_text(&text, name);
    w->node = put_text(&text, node);
    w->datacenter = put_text(&text, datacenter);
    link_init(&w->queue);
    link_init(&w->link);
    timer_init(&w->idle, r->opts.world, on_idle);
    timer_init(&w->stuck, r->opts.world, on_stuck);
    if (r->by_name.n == ROADS_MAX) road_destroy(container_of(r->all.next, struct road, link));
    map_put(&r->by_name, name, w);
    return w;
}

bool packet_road_name(struct str name, struct str *node, struct str *datacenter)
{
    return str_cut(name, '.', node, datacenter) && str_find_char(*datacenter, '.') < 0;
}

void packet_roads_send(struct packet_roads *r, struct str name, struct str node,
    struct str datacenter, struct str bytes)
{
    struct road *w = map_get(&r->by_name, name);
    if (bytes.n == 0 || bytes.n > ROAD_QUEUE_BYTES) return;
    if (!w) w = road_create(r, name, node, datacenter);
    w->used_ms = world_now_ms(r->opts.world);
    link_remove(&w->link);
    link_push(&r->all, &w->link);
    enqueue(w, bytes);
    flush(w);
    begin(w);
}

static void tell(struct tick *t)
{
    struct packet_roads *r = container_of(t, struct packet_roads, tell);
    link_each (it, &r->all) {
        struct road *w = container_of(it, struct road, link);
        if (!w->lost) continue;
        w->lost = false;
        r->opts.failed(r->opts.ctx, w->name, w->remote);
    }
}

/* A road whose gateway is gone is left at once. */
static void directory_changed(struct gateways_observer *o)
{
    struct packet_roads *r = container_of(o, struct packet_roads, observer);
    const struct fed_directory *d = gateways_directory(r->opts.gateways);
    link_each (it, &r->all) {
        struct road *w = container_of(it, struct road, link);
        if (!w->stream || fed_listed(d, w->datacenter, str_of(w->dial.address))) continue;
        r->counters.retired++;
        let_go(w);
        begin(w);
    }
}

struct packet_roads *packet_roads_create(const struct packet_roads_options *o)
{
    struct packet_roads *r = xcalloc(1, sizeof *r);
    r->opts = *o;
    link_init(&r->all);
    tick_init(&r->tell, o->world, tell);
    r->observer.changed = directory_changed;
    gateways_observe(o->gateways, &r->observer);
    return r;
}

void packet_roads_destroy(struct packet_roads *r)
{
    if (!r) return;
    gateways_unobserve(&r->observer);
    tick_cancel(&r->tell);
    link_each (it, &r->all)
        road_destroy(container_of(it, struct road, link));
    map_deinit(&r->by_name);
    free(r);
}

struct packet_roads_counters packet_roads_counters(const struct packet_roads *r)
{
    struct packet_roads_counters c = r->counters;
    link_each (it, (struct link *)(uintptr_t)&r->all)
        c.roads += container_of(it, struct road, link)->stream != NULL;
    return c;
}
