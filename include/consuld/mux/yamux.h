/* SPDX-License-Identifier: Apache-2.0 */
/* yamux as a byte machine, both roles (rpc.md 3): bytes in, one event out at a time; chunks of
 * output are pulled. No sockets, no clock inside: time is passed in.
 *
 * A stream is one allocation: the owner's struct whose first member is `struct yamux_stream`. It
 * belongs to the machine, which frees it when the protocol is through with it and the owner has let
 * go by yamux_close or yamux_reset; no event names it after that call.
 *
 * Misuse by the peer ends the session: yamux_recv gives YAMUX_FAILED, yamux_why the reason; what is
 * left to pull (a go-away) is sent before the connection is closed. */
#pragma once
#include "consuld/base.h"
#include "consuld/base/stream.h"

#define YAMUX_HEADER 12
#define YAMUX_WINDOW ((uint32_t)256 << 10)
#define YAMUX_BACKLOG 256
#define YAMUX_KEEPALIVE_MS 30000
#define YAMUX_TIMEOUT_MS 10000
#define YAMUX_STREAMS_MAX 65536
/* Payload of one frame written; one read may fill the window just as well. */
#define YAMUX_FRAME_MAX YAMUX_WINDOW
/* Control frames the peer does not read. */
#define YAMUX_CONTROL_MAX ((size_t)1 << 20)
#define YAMUX_QUEUE_MAX ((size_t)64 << 20)
#define YAMUX_PARTS_MAX 4

enum yamux_role {
    YAMUX_CLIENT, /* opens streams 1, 3, 5 ... */
    YAMUX_SERVER, /* would open 2, 4, 6 ... */
};

struct yamux_options {
    enum yamux_role role;
    uint64_t now_ms;
    size_t stream_size; /* of the owner's struct; 0: a bare yamux_stream */
    /* 0 stands for the constants above */
    uint32_t streams_max;  /* open at once: more are reset */
    uint32_t backlog;      /* not yet accepted (by us: reset; by the peer: opens wait) */
    uint64_t keepalive_ms; /* UINT64_MAX: no pings of our own */
    uint64_t timeout_ms;   /* of a ping's answer */
    size_t queue_max;      /* copied bytes that wait for credit or output, all streams together */
};

struct yamux_piece;

struct yamux_stream {
    struct link link;          /* session->ready or session->waiting, else unlinked */
    struct yamux_stream *next; /* of its bucket */
    struct yamux_piece *first, *last;
    uint32_t id;
    uint32_t send_window; /* what we may send */
    uint32_t recv_window; /* what the peer may send */
    uint32_t held;        /* given to the owner and not yet consumed */
    uint16_t flags;
};

struct yamux_counters {
    uint64_t opened;  /* by either side */
    uint64_t refused; /* streams reset by a limit */
    uint64_t resets;  /* received */
    uint64_t strays;  /* frames for streams that are not there */
    uint64_t pings;   /* received */
    uint64_t frames;  /* received */
};

struct yamux {
    struct yamux_options opts;
    struct yamux_stream **buckets;
    size_t n_buckets;
    size_t n_streams;
    struct link ready;   /* streams with something to send */
    struct link waiting; /* opened by us: their SYN waits for answers to others */
    struct buf control, leaving;
    struct yamux_piece *spent; /* of the chunk pulled last */
    size_t queued;             /* bytes copied and not yet pulled */
    size_t shared;             /* bytes not copied and not yet pulled */
    size_t held;               /* bytes given to the owner and not yet consumed */
    uint8_t in_head[YAMUX_HEADER], out_head[YAMUX_HEADER];
    uint8_t in_head_n;
    uint8_t step;
    uint16_t in_flags;
    uint32_t in_id;
    uint32_t in_left;               /* of the payload being received */
    struct yamux_stream *in_stream; /* NULL: payload is dropped */
    uint64_t next_id;
    uint32_t unacked, unaccepted;
    uint32_t ping_id, ping_open_id; /* of the next ping, of the keepalive on its way */
    bool ping_open;                 /* the last keepalive has no answer */
    uint64_t ping_due_ms;           /* of the next ping, or of the answer */
    bool local_goaway, remote_goaway;
    const char *why; /* NULL: alive */
    struct yamux_counters counters;
};

void yamux_init(struct yamux *y, const struct yamux_options *opts);
/* Frees all streams, whoever holds them. */
void yamux_deinit(struct yamux *y);

/* --- input ---------------------------------------------------------------------------------- */

enum yamux_event_kind {
    YAMUX_MORE,   /* all input was taken */
    YAMUX_OPENED, /* the peer opened a stream: yamux_accept or yamux_reset, now or later */
    YAMUX_DATA,   /* bytes of a stream; yamux_consumed gives the credit back */
    YAMUX_EOF,    /* the peer sends no more on the stream; we may */
    YAMUX_RESET,  /* the stream is dead; to be let go by yamux_close */
    YAMUX_PONG,   /* answer to yamux_ping */
    YAMUX_GOAWAY, /* the peer takes no more streams */
    YAMUX_FAILED, /* the session is over, see yamux_why */
};

struct yamux_event {
    enum yamux_event_kind kind;
    struct yamux_stream *stream;
    struct str bytes; /* YAMUX_DATA: in the input given */
};

/* Takes bytes from the front of *in up to the next event. */
void yamux_recv(struct yamux *y, struct str *in, struct yamux_event *out);
/* The owner has no more use for n bytes of the stream's. */
void yamux_consumed(struct yamux *y, struct yamux_stream *st, size_t n);
/* Why the session is over, NULL while it is not. */
const char *yamux_why(const struct yamux *y);

/* --- streams -------------------------------------------------------------------------------- */

/* NULL: exhausted, over the limit, after a go-away, or the session is over. */
struct yamux_stream *yamux_open(struct yamux *y);
bool yamux_can_open(const struct yamux *y);
void yamux_accept(struct yamux *y, struct yamux_stream *st);
/* Queues bytes; parts with `shared` are not copied. ERR_FULL: over queue_max, nothing was taken.
 * ERR_IO: the stream is reset or finished. */
int yamux_write(
    struct yamux *y, struct yamux_stream *st, const struct stream_part *parts, size_t n) must_check;
/* True while bytes wait. */
static inline bool yamux_unsent(const struct yamux_stream *st)
{
    return st->first != NULL;
}
/* Ends our direction behind what is queued. */
void yamux_finish(struct yamux *y, struct yamux_stream *st);
/* The owner lets go: finishes; what still comes is dropped. */
void yamux_close(struct yamux *y, struct yamux_stream *st);
/* The owner lets go at once: drops the queue and tells the peer. */
void yamux_reset(struct yamux *y, struct yamux_stream *st);

/* --- session -------------------------------------------------------------------------------- */

/* Sends a ping; its answer is YAMUX_PONG. */
void yamux_ping(struct yamux *y);
/* We take no more streams. */
void yamux_go_away(struct yamux *y);
/* Ends the session ourselves, with a go-away that names an internal error. */
void yamux_fail(struct yamux *y, const char *why);
/* Keepalive: to be called at or after yamux_deadline. True: the session is over (yamux_why). */
bool yamux_tick(struct yamux *y, uint64_t now_ms) must_check;
uint64_t yamux_deadline(const struct yamux *y);

/* --- output --------------------------------------------------------------------------------- */

struct yamux_chunk {
    struct stream_part parts[YAMUX_PARTS_MAX];
    size_t n;
    size_t bytes;
    struct yamux_stream *drained; /* its queue ran empty with this chunk; NULL: none */
};

/* The next chunk to send, whole frames; false: nothing. Valid until the next call on y. */
bool yamux_next(struct yamux *y, struct yamux_chunk *out);
