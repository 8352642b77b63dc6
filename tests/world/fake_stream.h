/* SPDX-License-Identifier: Apache-2.0 */
/* A stream whose other end is the test: what was written is kept, input is given by hand, `closed`
 * comes when the test turns. */
#pragma once
#include <stdio.h>
#include <string.h>

#include "consuld/base.h"
#include "consuld/base/stream.h"

#define FAKE_STREAM_SENT_MAX ((size_t)16 << 20)

struct fake_stream {
    struct stream base;
    struct buf sent;
    size_t queued; /* what stream_queued says */
    bool stuck;    /* writes stay in `queued` */
    bool finished, closing, closed, paused;
};

static inline struct fake_stream *fake_stream_of(const struct stream *s)
{
    return container_of(s, struct fake_stream, base);
}
static inline int fake_stream_write(struct stream *s, const struct stream_part *parts, size_t n)
{
    struct fake_stream *f = fake_stream_of(s);
    if (f->closing || f->finished) return ERR_IO;
    for (size_t i = 0; i < n; i++) {
        buf_put(&f->sent, parts[i].p, parts[i].n);
        if (f->stuck) f->queued += parts[i].n;
    }
    return 0;
}
static inline void fake_stream_finish(struct stream *s)
{
    fake_stream_of(s)->finished = true;
}
static inline void fake_stream_close(struct stream *s)
{
    fake_stream_of(s)->closing = true;
}
static inline void fake_stream_read(struct stream *s, bool on)
{
    fake_stream_of(s)->paused = !on;
}
static inline size_t fake_stream_queued(const struct stream *s)
{
    return fake_stream_of(s)->queued;
}

static const struct stream_ops fake_stream_ops = {
    .write = fake_stream_write,
    .finish = fake_stream_finish,
    .close = fake_stream_close,
    .read = fake_stream_read,
    .queued = fake_stream_queued,
};

static inline void fake_stream_init(struct fake_stream *f, const char *peer)
{
    *f = (struct fake_stream){ .base = { .ops = &fake_stream_ops, .peer_port = 4242 },
        .sent = BUF_INIT(FAKE_STREAM_SENT_MAX) };
    snprintf(f->base.peer, sizeof f->base.peer, "%s", peer);
}
static inline void fake_stream_deinit(struct fake_stream *f)
{
    buf_deinit(&f->sent);
}
/* Input, unless the stream is closing. */
static inline void fake_stream_give(struct fake_stream *f, struct str bytes)
{
    if (!f->closing && !f->closed) f->base.events->data(&f->base, bytes);
}
/* What was written is out. */
static inline void fake_stream_drain(struct fake_stream *f)
{
    f->stuck = false;
    f->queued = 0;
    if (!f->closing && f->base.events->drained) f->base.events->drained(&f->base);
}
/* Delivers `closed` if it is due. */
static inline void fake_stream_settle(struct fake_stream *f)
{
    if (!f->closing || f->closed) return;
    f->closed = true;
    if (f->base.events) f->base.events->closed(&f->base, 0);
}
