/* SPDX-License-Identifier: Apache-2.0 */
/* TCP and unix streams behind base/stream.h. A stream is one allocation with its libuv handle and
 * is freed in the handle's close callback. */
#pragma once
#include "world.h"

struct net_stream {
    struct stream base;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct world *world;
    size_t queue_max;
    size_t queued;
    int code;    /* for `closed` */
    int uv_code; /* what the system said, 0 if nothing */
    bool closing;
    bool want_read;
    bool finishing;
    bool backed_up; /* `drained` is owed */
    uv_shutdown_t shutdown;
    uv_connect_t connect;
    void (*connected)(struct stream *s);
};

struct net_stream *net__stream_create(struct world *w, bool is_unix, size_t queue_max);
/* Starts reading unless closed or switched off meanwhile. */
void net__stream_start(struct net_stream *s);
/* Closes with a libuv error. */
void net__stream_fail(struct net_stream *s, int uv_code);
/* Fills peer and peer_port of a connected TCP stream and sets its socket options. */
void net__stream_connected(struct net_stream *s);
/* Sent bytes that are not acknowledged for so long end it; nothing for what is not TCP. */
void net__stream_unacked(struct stream *stream, uint64_t ms);
