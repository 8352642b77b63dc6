/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of a connection in memory. Nothing arrives by itself: stream_pair_turn moves what was
 * written, `piece` bytes at a time, and tells what followed. What has not arrived counts as queued,
 * so a reader that stops is a slow peer. */
#pragma once
#include <string.h>

#include "consuld/base.h"
#include "consuld/base/stream.h"

struct pair_end {
    struct stream base;
    struct pair_end *peer;
    struct buf out;
    size_t queue_max;
    size_t written; /* calls of write that carried bytes */
    bool reading, finished, finish_told, closing, closed, backed_up;
    int code;
};

struct stream_pair {
    struct pair_end a, b;
    size_t piece; /* 0: as much as there is */
};

static struct pair_end *pair_self(const struct stream *s)
{
    return container_of((struct stream *)(uintptr_t)s, struct pair_end, base);
}

static int pair_write(struct stream *s, const struct stream_part *parts, size_t n)
{
    struct pair_end *e = pair_self(s);
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += parts[i].n;
    if (e->closing || e->finished) return ERR_IO;
    if (e->out.n && e->out.n + total > e->queue_max) return ERR_FULL;
    for (size_t i = 0; i < n; i++)
        buf_put(&e->out, parts[i].p, parts[i].n);
    e->backed_up |= total > 0;
    e->written += total > 0;
    return 0;
}

static void pair_finish(struct stream *s)
{
    pair_self(s)->finished = true;
}

static void pair_close(struct stream *s)
{
    pair_self(s)->closing = true;
}

static void pair_read(struct stream *s, bool on)
{
    pair_self(s)->reading = on;
}

static size_t pair_queued(const struct stream *s)
{
    return pair_self(s)->out.n;
}

static const struct stream_ops pair_ops = { pair_write, pair_finish, pair_close, pair_read,
    pair_queued };

static void pair_end_init(struct pair_end *e, struct pair_end *peer)
{
    *e = (struct pair_end){ .base = { .ops = &pair_ops, .peer = "192.0.2.7", .peer_port = 7 },
        .peer = peer,
        .out = BUF_INIT((size_t)64 << 20),
        .queue_max = (size_t)1 << 20,
        .reading = true };
}

static void stream_pair_init(struct stream_pair *p)
{
    p->piece = 0;
    pair_end_init(&p->a, &p->b);
    pair_end_init(&p->b, &p->a);
}

static void stream_pair_deinit(struct stream_pair *p)
{
    buf_deinit(&p->a.out);
    buf_deinit(&p->b.out);
}

/* From `e` to its peer. */
static bool pair_deliver(struct pair_end *e, size_t piece)
{
    struct pair_end *to = e->peer;
    bool moved = false;
    if (!e->base.events || !to->base.events) return false; /* an end without an owner */
    char bytes[65536];
    while (e->out.n && to->reading && !to->closing) {
        size_t n = e->out.n < sizeof bytes ? e->out.n : sizeof bytes;
        if (piece && n > piece) n = piece;
        memcpy(bytes, e->out.p, n);
        buf_consume(&e->out, n);
        moved = true;
        to->base.events->data(&to->base, (struct str){ bytes, n });
    }
    if (to->closing && !e->closing) buf_clear(&e->out);
    if (e->out.n == 0 && e->backed_up && !e->closing) {
        e->backed_up = false;
        moved = true;
        if (e->base.events->drained) e->base.events->drained(&e->base);
    }
    if (e->out.n == 0 && (e->finished || e->closed) && !e->finish_told && to->reading &&
        !to->closing) {
        e->finish_told = moved = true;
        to->base.events->eof(&to->base);
    }
    return moved;
}

/* Fires when the bytes given before the close are out. */
static bool pair_end_close(struct pair_end *e)
{
    if (!e->closing || e->closed) return false;
    e->closed = true;
    if (e->base.events) e->base.events->closed(&e->base, e->code);
    return true;
}

/* True if anything happened. */
__attribute__((unused)) static bool stream_pair_turn(struct stream_pair *p)
{
    bool moved = pair_deliver(&p->a, p->piece);
    moved |= pair_deliver(&p->b, p->piece);
    moved |= pair_end_close(&p->a);
    moved |= pair_end_close(&p->b);
    return moved;
}

/* The connection breaks. */
__attribute__((unused)) static void stream_pair_reset(struct stream_pair *p)
{
    buf_clear(&p->a.out);
    buf_clear(&p->b.out);
    p->a.code = p->b.code = ERR_IO;
    p->a.closing = p->b.closing = true;
}
