/* SPDX-License-Identifier: Apache-2.0 */
/* More of the seam to the outside: connecting to others and running child processes. Types and
 * contracts; `net` implements them, a simulator may. */
#pragma once
#include "consuld/base/error.h"
#include "consuld/base/stream.h"
#include "consuld/base/world.h"

struct dial_impl;

/* One attempt to connect. Embedded in its owner, which fills the first part. */
struct dial {
    struct world *world;
    struct str host; /* IP address or name, without brackets; alive until done */
    uint16_t port;
    uint64_t timeout_ms;                /* of resolving and connecting together; 0: none */
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

struct process;

struct process_options {
    const char *const *argv; /* ended by NULL; argv[0] is looked up in PATH */
    const char *const *env;  /* "K=V" added to the parent's environment, ended by NULL; or NULL */
    void *ctx;
    /* Bytes of stdout and stderr together, as they come. */
    void (*output)(void *ctx, struct str bytes);
    /* The last event, with both the child and its output ended: exit status 0..255, or minus the
     * number of the signal that ended it. The process is gone when it returns. */
    void (*exited)(void *ctx, int status);
};
/* Starts a child in a process group of its own with /dev/null as stdin. NULL and *err in Go's words
 * if it cannot be started: fork/exec /no/such: no such file or directory. */
struct process *process_start(
    struct world *w, const struct process_options *opts, struct error *err);
/* Kills the whole group; `exited` follows. */
void process_kill(struct process *p);
/* The owner goes away: kills the group, no event follows. */
void process_forget(struct process *p);
