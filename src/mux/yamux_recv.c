/* SPDX-License-Identifier: Apache-2.0 */
/* What the peer sends: a header, then what its flags mean in the order open, credit or payload,
 * end. */
#include "yamux.h"

#include <string.h>

enum step { STEP_HEADER, STEP_OPEN, STEP_PAYLOAD, STEP_END };

static uint32_t big32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static struct frame read_header(const uint8_t *p)
{
    return (struct frame){ .version = p[0],
        .type = p[1],
        .flags = (uint16_t)(p[2] << 8 | p[3]),
        .id = big32(p + 4),
        .length = big32(p + 8) };
}

/* Collects the 12 bytes; true when they are there. */
static bool take_header(struct yamux *y, struct str *in)
{
    size_t n = YAMUX_HEADER - y->in_head_n;
    if (n > in->n) n = in->n;
    if (n) memcpy(y->in_head + y->in_head_n, in->p, n);
    y->in_head_n = (uint8_t)(y->in_head_n + n);
    *in = str_slice(*in, n, in->n);
    if (y->in_head_n < YAMUX_HEADER) return false;
    y->in_head_n = 0;
    return true;
}

static void got_ping(struct yamux *y, const struct frame *f, struct yamux_event *out)
{
    if (f->flags & FLAG_SYN) {
        y->counters.pings++;
        yamux__control(y, FRAME_PING, FLAG_ACK, 0, f->length);
        return;
    }
    if (y->ping_open && f->length == y->ping_open_id) {
        y->ping_open = false;
        y->ping_due_ms += y->opts.keepalive_ms - y->opts.timeout_ms;
    }
    out->kind = YAMUX_PONG;
}

static void got_goaway(struct yamux *y, const struct frame *f, struct yamux_event *out)
{
    switch (f->length) {
    case GOAWAY_NORMAL:
        y->remote_goaway = true;
        out->kind = YAMUX_GOAWAY;
        return;
    case GOAWAY_PROTOCOL:
        yamux__over(y, "the peer reported a protocol error");
        return;
    case GOAWAY_INTERNAL:
        yamux__over(y, "the peer reported an internal error");
        return;
    default:
        yamux__over(y, "go-away with an unknown code");
    }
}

/* A SYN: the new stream, or NULL if it was refused or ended the session. */
static struct yamux_stream *got_syn(struct yamux *y, const struct frame *f)
{
    if (f->id == 0) {
        yamux__violated(y, "stream 0 opened");
        return NULL;
    }
    if (yamux__find(y, f->id)) {
        yamux__violated(y, "a stream was opened twice");
        return NULL;
    }
    bool full = y->unaccepted >= y->opts.backlog || y->n_streams >= y->opts.streams_max;
    if (y->local_goaway || full) {
        y->counters.refused++;
        yamux__control(y, FRAME_WINDOW, FLAG_RST, f->id, 0);
        return NULL;
    }
    struct yamux_stream *st = yamux__add(y, f->id);
    st->flags = ST_UNACCEPTED;
    y->unaccepted++;
    return st;
}

static void got_credit(struct yamux *y, struct yamux_stream *st, uint32_t n)
{
    if (n > UINT32_MAX - st->send_window) {
        yamux__violated(y, "credit over the largest window");
        return;
    }
    bool stuck = st->send_window == 0;
    st->send_window += n;
    if (stuck && n) yamux__schedule(y, st);
}

/* Data for a stream that ended is dropped like that for a stream that is not there. */
static void begin_payload(struct yamux *y, struct yamux_stream *st, uint32_t n)
{
    y->in_left = n;
    y->in_stream = NULL;
    if (!st || n == 0) return;
    if (n > st->recv_window) {
        yamux__violated(y, "more data than the window allows");
        return;
    }
    st->recv_window -= n;
    if (!(st->flags & (ST_DEAD | ST_FIN_SEEN | ST_RELEASED))) y->in_stream = st;
}

/* The flags that come before the content. Returns the stream, NULL if it is not there (any more).
 */
static struct yamux_stream *begin_frame(
    struct yamux *y, const struct frame *f, struct yamux_event *out)
{
    struct yamux_stream *st = f->flags & FLAG_SYN ? got_syn(y, f) : yamux__find(y, f->id);
    if (y->why) return NULL;
    if (!st) {
        if (!(f->flags & FLAG_SYN)) y->counters.strays++;
        return NULL;
    }
    if (f->flags & FLAG_SYN) {
        out->kind = YAMUX_OPENED;
        out->stream = st;
    }
    if (f->flags & FLAG_ACK) yamux__acked(y, st);
    return st;
}

static void got_stream_frame(struct yamux *y, const struct frame *f, struct yamux_event *out)
{
    struct yamux_stream *st = begin_frame(y, f, out);
    if (y->why) return;
    y->in_flags = st ? f->flags & (FLAG_FIN | FLAG_RST) : 0;
    y->in_id = f->id;
    y->in_left = 0;
    y->in_stream = NULL;
    if (f->type == FRAME_DATA) {
        begin_payload(y, st, f->length);
        if (y->in_flags & FLAG_RST) y->in_stream = NULL;
    } else if (st) {
        got_credit(y, st, f->length);
    }
    y->step = STEP_PAYLOAD;
}

static void got_header(struct yamux *y, struct yamux_event *out)
{
    struct frame f = read_header(y->in_head);
    y->counters.frames++;
    if (f.version != 0) {
        yamux__over(y, "unknown protocol version");
        return;
    }
    switch (f.type) {
    case FRAME_DATA:
    case FRAME_WINDOW:
        got_stream_frame(y, &f, out);
        return;
    case FRAME_PING:
        got_ping(y, &f, out);
        return;
    case FRAME_GOAWAY:
        got_goaway(y, &f, out);
        return;
    default:
        yamux__over(y, "unknown frame type");
    }
}

/* True when there is an event, or the payload is through. */
static bool take_payload(struct yamux *y, struct str *in, struct yamux_event *out)
{
    size_t n = y->in_left < in->n ? y->in_left : in->n;
    struct str bytes = str_slice(*in, 0, n);
    *in = str_slice(*in, n, in->n);
    y->in_left -= (uint32_t)n;
    if (n && y->in_stream) {
        y->in_stream->held += (uint32_t)n;
        y->held += n;
        *out = (struct yamux_event){ YAMUX_DATA, y->in_stream, bytes };
    }
    if (y->in_left) return out->kind != YAMUX_MORE;
    y->step = STEP_END;
    return true;
}

static void end_frame(struct yamux *y, struct yamux_event *out)
{
    struct yamux_stream *st = y->in_flags ? yamux__find(y, y->in_id) : NULL;
    y->step = STEP_HEADER;
    if (!st || (st->flags & ST_DEAD)) return;
    bool released = st->flags & ST_RELEASED;
    if (y->in_flags & FLAG_RST) {
        y->counters.resets++;
        if (!released) *out = (struct yamux_event){ .kind = YAMUX_RESET, .stream = st };
        yamux__kill(y, st);
        return;
    }
    if (st->flags & ST_FIN_SEEN) {
        yamux__violated(y, "a stream was ended twice");
        return;
    }
    st->flags |= ST_FIN_SEEN;
    if (!released) *out = (struct yamux_event){ .kind = YAMUX_EOF, .stream = st };
    yamux__settle(y, st);
}

void yamux_recv(struct yamux *y, struct str *in, struct yamux_event *out)
{
    *out = (struct yamux_event){ .kind = YAMUX_MORE };
    while (!y->why && out->kind == YAMUX_MORE) {
        if (y->step == STEP_HEADER) {
            if (!take_header(y, in)) return;
            got_header(y, out);
        } else if (y->step == STEP_PAYLOAD) {
            if (!take_payload(y, in, out)) return;
        } else {
            end_frame(y, out);
        }
    }
    if (!y->why) return;
    *in = str_slice(*in, in->n, in->n);
    *out = (struct yamux_event){ .kind = YAMUX_FAILED };
}

void yamux_consumed(struct yamux *y, struct yamux_stream *st, size_t n)
{
    ensure(n <= st->held);
    st->held -= (uint32_t)n;
    y->held -= n;
    if (st->flags & (ST_DEAD | ST_FIN_SEEN) || y->why) return;
    uint32_t coming = y->in_stream == st ? y->in_left : 0;
    uint32_t credit = YAMUX_WINDOW - st->held - st->recv_window - coming;
    if (credit < YAMUX_WINDOW / 2) return;
    st->recv_window += credit;
    yamux__control(y, FRAME_WINDOW, 0, st->id, credit);
}
