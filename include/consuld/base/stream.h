/* SPDX-License-Identifier: Apache-2.0 */
/* Byte streams as their users see them: TCP and unix sockets of `net`, TLS on top, or a simulated
 * connection. Types and dispatch only; every implementation brings a table of operations.
 *
 * Owner rule: `closed` is the last event of a stream and always comes, later than the call that
 * caused it. The stream is gone when it returns; the owner frees itself there. Until then the
 * owner stays alive. No other event follows stream_close. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consuld/base/shared.h"
#include "consuld/base/str.h"

struct stream;

struct stream_events {
    /* Bytes arrived; they are valid until return. */
    void (*data)(struct stream *s, struct str bytes);
    /* The peer will send no more; writing still works. Not called after an error. */
    void (*eof)(struct stream *s);
    /* The queue of unsent bytes is empty again; may be NULL. */
    void (*drained)(struct stream *s);
    /* `code` is 0 after stream_close, else negative (peer reset, write failed ...). */
    void (*closed)(struct stream *s, int code);
};

/* A piece of output. With `shared` set, p and n lie in its bytes and are not copied. */
struct stream_part {
    const void *p;
    size_t n;
    struct shared_body *shared;
};

struct stream_ops {
    int (*write)(struct stream *s, const struct stream_part *parts, size_t n);
    void (*finish)(struct stream *s);
    void (*close)(struct stream *s);
    void (*read)(struct stream *s, bool on);
    size_t (*queued)(const struct stream *s);
};

#define PEER_TEXT_MAX 64

struct stream {
    const struct stream_ops *ops;
    const struct stream_events *events;
    void *owner;
    char peer[PEER_TEXT_MAX]; /* IP address as text; "" for unix sockets */
    uint16_t peer_port;
};

/* Sends now what the socket takes and queues the rest, in order, at most `queue_max` of the
 * stream's creation. ERR_FULL: nothing was taken. ERR_IO: the stream is broken, `closed` follows.
 */
static inline int stream_write(struct stream *s, const struct stream_part *parts, size_t n)
{
    return s->ops->write(s, parts, n);
}
/* Ends the sending direction once the queue is out. */
static inline void stream_finish(struct stream *s)
{
    s->ops->finish(s);
}
/* Drops the queue and closes. Idempotent. */
static inline void stream_close(struct stream *s)
{
    s->ops->close(s);
}
/* Streams start reading; off gives back-pressure to the peer (and hides its end). */
static inline void stream_read(struct stream *s, bool on)
{
    s->ops->read(s, on);
}
/* Bytes accepted and not yet given to the socket. */
static inline size_t stream_queued(const struct stream *s)
{
    return s->ops->queued(s);
}
