/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the yamux machine. */
#pragma once
#include "consuld/mux/yamux.h"

enum frame_type { FRAME_DATA, FRAME_WINDOW, FRAME_PING, FRAME_GOAWAY };
enum frame_flag { FLAG_SYN = 1, FLAG_ACK = 2, FLAG_FIN = 4, FLAG_RST = 8 };
enum goaway_code { GOAWAY_NORMAL, GOAWAY_PROTOCOL, GOAWAY_INTERNAL };

enum stream_flag {
    ST_SYN_DUE = 1,    /* ours, not yet told to the peer */
    ST_UNACKED = 2,    /* ours, told, not yet taken by the peer */
    ST_UNACCEPTED = 4, /* the peer's, not yet taken by the owner */
    ST_FIN_DUE = 8,
    ST_FIN_SENT = 16,
    ST_FIN_SEEN = 32,
    ST_DEAD = 64,     /* reset */
    ST_RELEASED = 128 /* the owner has let go */
};

/* Queued bytes of a stream: a shared body, or a copy behind the struct. */
struct yamux_piece {
    struct yamux_piece *next;
    struct shared_body *shared;
    const char *p;
    size_t n;
    char bytes[];
};

struct frame {
    uint8_t version, type;
    uint16_t flags;
    uint32_t id, length;
};

void yamux__header(uint8_t out[YAMUX_HEADER], const struct frame *f);
/* Queues a frame without payload. */
void yamux__control(struct yamux *y, enum frame_type type, uint16_t flags, uint32_t id, uint32_t n);
struct yamux_stream *yamux__find(const struct yamux *y, uint32_t id);
struct yamux_stream *yamux__add(struct yamux *y, uint32_t id);
/* Puts the stream into the list it belongs to. */
void yamux__schedule(struct yamux *y, struct yamux_stream *st);
/* Frees the stream if both the protocol and the owner are through with it. */
void yamux__settle(struct yamux *y, struct yamux_stream *st);
/* The peer has reset the stream, or we did: the queue is dropped. */
void yamux__kill(struct yamux *y, struct yamux_stream *st);
/* The peer took a stream of ours: another SYN may leave. */
void yamux__acked(struct yamux *y, struct yamux_stream *st);
void yamux__over(struct yamux *y, const char *why);
void yamux__violated(struct yamux *y, const char *why);
