/* SPDX-License-Identifier: Apache-2.0 */
/* What we send: control frames first, then one frame of each stream that may, in turn. */
#include "yamux.h"

#include <stdlib.h>

static void put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

void yamux__header(uint8_t out[YAMUX_HEADER], const struct frame *f)
{
    out[0] = f->version;
    out[1] = f->type;
    out[2] = (uint8_t)(f->flags >> 8);
    out[3] = (uint8_t)f->flags;
    put32(out + 4, f->id);
    put32(out + 8, f->length);
}

void yamux__control(struct yamux *y, enum frame_type type, uint16_t flags, uint32_t id, uint32_t n)
{
    struct frame f = { .type = (uint8_t)type, .flags = flags, .id = id, .length = n };
    uint8_t head[YAMUX_HEADER];
    if (y->why) return;
    yamux__header(head, &f);
    buf_put(&y->control, head, sizeof head);
    if (y->control.overflow) yamux__over(y, "the peer does not read");
}

/* --- the session's own frames --------------------------------------------------------------- */

void yamux_ping(struct yamux *y)
{
    yamux__control(y, FRAME_PING, FLAG_SYN, 0, y->ping_id++);
}

void yamux_go_away(struct yamux *y)
{
    if (y->local_goaway) return;
    yamux__control(y, FRAME_GOAWAY, 0, 0, GOAWAY_NORMAL);
    y->local_goaway = true;
}

bool yamux_tick(struct yamux *y, uint64_t now_ms)
{
    if (y->why) return true;
    if (now_ms < y->ping_due_ms) return false;
    if (y->ping_open) {
        yamux__over(y, "keepalive timeout");
        return true;
    }
    y->ping_open_id = y->ping_id;
    yamux_ping(y);
    y->ping_open = true;
    y->ping_due_ms = now_ms + y->opts.timeout_ms;
    return y->why != NULL;
}

uint64_t yamux_deadline(const struct yamux *y)
{
    return y->ping_due_ms;
}

/* --- pulling -------------------------------------------------------------------------------- */

static void free_spent(struct yamux *y)
{
    for (struct yamux_piece *p = y->spent, *next; p; p = next) {
        next = p->next;
        shared_body_unref(p->shared);
        free(p);
    }
    y->spent = NULL;
}

static bool next_control(struct yamux *y, struct yamux_chunk *out)
{
    if (!y->control.n) return false;
    struct buf leaving = y->leaving;
    y->leaving = y->control;
    y->control = leaving;
    out->parts[0] = (struct stream_part){ y->leaving.p, y->leaving.n, NULL };
    out->n = 1;
    out->bytes = y->leaving.n;
    return true;
}

/* Moves bytes of the queue into the chunk's parts: as many as credit, frame and parts hold. */
static uint32_t take_queue(struct yamux *y, struct yamux_stream *st, struct yamux_chunk *out)
{
    uint32_t room = st->send_window < YAMUX_FRAME_MAX ? st->send_window : YAMUX_FRAME_MAX;
    uint32_t taken = 0;
    while (st->first && taken < room && out->n < YAMUX_PARTS_MAX) {
        struct yamux_piece *p = st->first;
        size_t n = p->n < room - taken ? p->n : room - taken;
        out->parts[out->n++] = (struct stream_part){ p->p, n, p->shared };
        taken += (uint32_t)n;
        p->p += n;
        p->n -= n;
        *(p->shared ? &y->shared : &y->queued) -= n;
        if (p->n) break;
        st->first = p->next;
        if (!st->first) st->last = NULL;
        p->next = y->spent;
        y->spent = p;
    }
    st->send_window -= taken;
    return taken;
}

static uint16_t opening_flag(struct yamux *y, struct yamux_stream *st)
{
    if (!(st->flags & ST_UNACCEPTED)) return 0;
    st->flags &= (uint16_t)~ST_UNACCEPTED;
    y->unaccepted--;
    return FLAG_ACK;
}

/* One frame of the stream. */
static void next_frame(struct yamux *y, struct yamux_stream *st, struct yamux_chunk *out)
{
    struct frame f = { .type = FRAME_WINDOW, .id = st->id };
    out->n = 1;
    if (st->flags & ST_SYN_DUE) {
        f.flags = FLAG_SYN;
        st->flags = (uint16_t)((st->flags & ~ST_SYN_DUE) | ST_UNACKED);
        y->unacked++;
    } else if (st->first) {
        f.type = FRAME_DATA;
        f.flags = opening_flag(y, st);
        f.length = take_queue(y, st, out);
        if (!st->first && !(st->flags & ST_RELEASED)) out->drained = st;
    } else {
        ensure(st->flags & ST_FIN_DUE);
        f.flags = FLAG_FIN | opening_flag(y, st);
        st->flags |= ST_FIN_SENT;
    }
    yamux__header(y->out_head, &f);
    out->parts[0] = (struct stream_part){ y->out_head, YAMUX_HEADER, NULL };
    out->bytes = YAMUX_HEADER + f.length * (f.type == FRAME_DATA);
    yamux__schedule(y, st);
    yamux__settle(y, st);
}

bool yamux_next(struct yamux *y, struct yamux_chunk *out)
{
    *out = (struct yamux_chunk){ 0 };
    free_spent(y);
    buf_clear(&y->leaving);
    if (next_control(y, out)) return true;
    if (y->why) return false;
    for (struct link *it; (it = link_pop(&y->ready));) {
        struct yamux_stream *st = container_of(it, struct yamux_stream, link);
        if ((st->flags & ST_SYN_DUE) && y->unacked >= y->opts.backlog) {
            link_push(&y->waiting, it);
            continue;
        }
        next_frame(y, st, out);
        return true;
    }
    return false;
}
