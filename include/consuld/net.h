/* SPDX-License-Identifier: Apache-2.0 */
/* net: the floor that touches the world: the loop behind world.h (time, timers, ticks, worker jobs,
 * randomness), signals, listeners and streams, on libuv. No other module includes libuv.
 *
 * Order of one loop turn: due timers, ticks, poll (sockets, finished jobs, signals), ticks, close
 * events. A turn never blocks while a tick is marked; an idle loop sleeps until the next timer. */
#pragma once
#include "consuld/base.h"
#include "consuld/base/stream.h"

struct world *net_world_create(void);
/* Turns the loop until net_world_stop, or until nothing is left that could happen. */
void net_world_run(struct world *w);
/* One turn that does not block; true while something is alive. */
bool net_world_poll(struct world *w);
/* Makes net_world_run return after the present turn. */
void net_world_stop(struct world *w);
/* Waits for running jobs (their `done` is called), then frees. Streams, listeners and signals are
 * closed by their owners before. */
void net_world_destroy(struct world *w);

/* Returns memory to the system that only the start needed: heap pages that are free, pages of code
 * and constants, which are read again when they are touched. */
void net_memory_give_back(void);

/* --- signals ------------------------------------------------------------------------------- */

struct net_signal;
/* Calls `fn` on the loop at each signal `signum` until closed. Does not keep the loop alive. */
struct net_signal *net_signal_create(
    struct world *w, int signum, void (*fn)(void *ctx, int signum), void *ctx);
void net_signal_destroy(struct net_signal *s);

/* --- listeners and connections --------------------------------------------------------------- */

struct net_listener;

struct net_listen_options {
    const char *ip;        /* numeric address, v4 or v6 ... */
    uint16_t port;         /* 0: the system chooses */
    const char *unix_path; /* ... or the path of a unix socket; one left behind is replaced */
    uint32_t unix_mode;    /* 0: as umask says */
    size_t queue_max;      /* of each stream's unsent bytes, see stream_write; 0: NET_QUEUE_MAX */
    /* A new connection. The callee sets s->events and s->owner, or calls stream_close and sets
     * nothing. Reading starts when it returns. */
    void (*accept)(void *ctx, struct stream *s);
    void *ctx;
};

#define NET_QUEUE_MAX (size_t)(16u << 20)
#define NET_BACKLOG 1024

int net_listen(struct world *w, const struct net_listen_options *opts, struct net_listener **out,
    struct error *err) must_check;
uint16_t net_listener_port(const struct net_listener *l);
/* No accept after this; accepted streams stay. Frees itself; a unix path is unlinked. */
void net_listener_destroy(struct net_listener *l);

struct net_connect_options {
    const char *ip;
    uint16_t port;
    const char *source; /* IP to come from; NULL: the system chooses */
    const char *unix_path;
    size_t queue_max;
    const struct stream_events *events;
    void *owner;
    /* The connection stands: reading has started. A failure shows as `closed`. */
    void (*connected)(struct stream *s);
};
/* Returns a stream that is connecting; NULL and *err for a malformed address. */
struct stream *net_connect(
    struct world *w, const struct net_connect_options *opts, struct error *err);
