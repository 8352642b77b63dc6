/* SPDX-License-Identifier: Apache-2.0 */
/* More of the seam to the outside: resolving names, connecting to others, being connected to, and
 * running child processes. Types and contracts; `net` implements them, a simulator may. */
#pragma once
#include "consuld/base/error.h"
#include "consuld/base/stream.h"
#include "consuld/base/world.h"

struct dial_impl;

/* One attempt to connect. Embedded in its owner, which fills the first part. */
struct dial {
    struct world *world;
    struct str host; /* IP address or name, without brackets, or the path of a unix socket, which
                      * begins with /; alive until done */
    uint16_t port;
    struct str source;   /* IP to come from; nil: the system chooses */
    uint64_t timeout_ms; /* of resolving and connecting together; 0: none */
    uint64_t unacked_ms; /* bytes sent and not acknowledged for so long end the stream; 0: the
                          * system's time, many minutes */
    const struct stream_events *events; /* of the stream that comes of it */
    void *owner;                        /* the stream's */
    /* Called once, on the loop, never from dial_start: with the connected stream, which the owner
     * now has to close, or with NULL and err filled in Go's words:
     * dial tcp 127.0.0.1:1: connect: connection refused. */
    void (*done)(struct dial *d, struct stream *s);
    struct error err;
    struct dial_impl *impl;
};
void dial_start(struct dial *d);
/* Forgets the attempt: done is not called. Idempotent. */
void dial_cancel(struct dial *d);

#define RESOLVE_ADDRESSES_MAX 64

struct resolve_impl;
struct resolved_ip {
    uint8_t ip[16];
    uint8_t ip_n; /* 4 or 16 */
};

/* All addresses of a name. Embedded in its owner, which fills the first part. */
struct resolve {
    struct world *world;
    struct str host; /* name or IP address; copied by resolve_start */
    /* Called once, on the loop, never from resolve_start: n > 0, or n == 0 and err filled:
     * lookup nowhere.test: no such host */
    void (*done)(struct resolve *r);
    struct resolved_ip addresses[RESOLVE_ADDRESSES_MAX]; /* without duplicates, IPv4 first */
    size_t n;
    struct error err;
    struct resolve_impl *impl;
};
void resolve_start(struct resolve *r);
/* Forgets it: done is not called. Idempotent. */
void resolve_cancel(struct resolve *r);

/* --- where nothing may go ------------------------------------------------------------------- */

struct endpoint {
    uint8_t ip[16];
    uint8_t ip_n; /* 4 or 16 */
    uint16_t port;
};
/* Where nothing may be sent, in place of what was told before; copied. It is counted, not kept
 * back: the same address may be somebody else's on this side. */
void world_off_limits(struct world *w, const struct endpoint *all, size_t n);
/* How often a connection was begun or a datagram sent to one of them nevertheless. */
uint64_t world_trespasses(const struct world *w);

struct listener;

struct listener_options {
    const char *ip;   /* numeric address */
    uint16_t port;    /* 0: the system chooses */
    size_t queue_max; /* of each stream's unsent bytes, see stream_write; 0: a large one */
    /* A new connection. The callee sets s->events and s->owner, or calls stream_close and sets
     * nothing. Reading starts when it returns. */
    void (*accept)(void *ctx, struct stream *s);
    void *ctx;
};
/* Errors in Go's words: listen tcp 127.0.0.1:8301: bind: address already in use. */
int listener_open(struct world *w, const struct listener_options *opts, struct listener **out,
    struct error *err) must_check;
uint16_t listener_port(const struct listener *l);
/* No accept after this; accepted streams stay. Frees itself. */
void listener_close(struct listener *l);

struct process;

struct process_options {
    const char *const *argv; /* ended by NULL; argv[0] is looked up in PATH */
    const char *const *env;  /* "K=V" added to the parent's environment, ended by NULL; or NULL */
    struct str input;        /* its standard input, copied; p == NULL: /dev/null */
    void *ctx;
    /* Bytes of stdout and stderr together, as they come. */
    void (*output)(void *ctx, struct str bytes);
    /* The last event, with both the child and its output ended: exit status 0..255, or minus the
     * number of the signal that ended it. The process is gone when it returns. */
    void (*exited)(void *ctx, int status);
};
/* A descriptor from which a child reads `text`: a file in memory, so that nobody waits for anybody.
 * -1 and errno on failure; the caller closes it. */
int process_input(struct str text);
/* Starts a child in a process group of its own. NULL and *err in Go's words
 * if it cannot be started: fork/exec /no/such: no such file or directory. */
struct process *process_start(
    struct world *w, const struct process_options *opts, struct error *err);
/* Whether its output is read, as at the start; a child that writes on waits at some point. */
void process_read(struct process *p, bool on);
/* Kills the whole group; `exited` follows. */
void process_kill(struct process *p);
/* The owner goes away: kills the group, no event follows. */
void process_forget(struct process *p);
