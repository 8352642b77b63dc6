/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that come in over a gateway. */
#include <stdlib.h>

#include "consuld/cluster/packet_roads.h"
#include "consuld/mux/packet_frame.h"
#include "gateways.h"

#define INLET_LOG "agent.server.rpc"
#define INLET_IDLE_MS 120000 /* without a frame */

struct inlet {
    struct packet_inlet_options opts;
    struct stream *stream;
    struct packet_frames frames;
    struct timer idle;
    bool closing;
};

static void give(struct inlet *in, struct str bytes)
{
    if (in->opts.gateways) gateways_counters(in->opts.gateways)->packets_received++;
    in->opts.receive(in->opts.ctx, in->stream, bytes);
}

static void on_data(struct stream *s, struct str bytes)
{
    struct inlet *in = s->owner;
    struct str packet;
    for (;;) {
        switch (packet_frames_take(&in->frames, &bytes, &packet)) {
        case PACKET_FRAME_MORE:
            return;
        case PACKET_FRAME_WHOLE:
            timer_start(&in->idle, INLET_IDLE_MS);
            give(in, packet);
            break;
        case PACKET_FRAME_FAILED:
            log_error(INLET_LOG, "failed to read gossip packets", "conn", s->peer, "error",
                in->frames.why);
            stream_close(s);
            return;
        }
    }
}

static void on_eof(struct stream *s)
{
    struct inlet *in = s->owner;
    struct str rest = packet_frames_rest(&in->frames);
    if (rest.n) give(in, rest);
    stream_close(s);
}

static void on_closed(struct stream *s, int code)
{
    struct inlet *in = s->owner;
    (void)code;
    timer_stop(&in->idle);
    packet_frames_deinit(&in->frames);
    free(in);
}

static void on_idle(struct timer *t)
{
    stream_close(container_of(t, struct inlet, idle)->stream);
}

void packet_inlet_accept(const struct packet_inlet_options *o, struct stream *s)
{
    static const struct stream_events events = {
        .data = on_data, .eof = on_eof, .closed = on_closed
    };
    struct inlet *in = xcalloc(1, sizeof *in);
    in->opts = *o;
    in->stream = s;
    packet_frames_init(&in->frames);
    timer_init(&in->idle, o->world, on_idle);
    timer_start(&in->idle, INLET_IDLE_MS);
    s->events = &events;
    s->owner = in;
}
