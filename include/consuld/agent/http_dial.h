/* SPDX-License-Identifier: Apache-2.0 */
/* The stream that a request to a URL is written to: through the environment's proxy, if it names
 * one for the target, and with TLS as the URL says. */
#pragma once
#include "consuld/agent/http_proxy.h"
#include "consuld/base/outside.h"
#include "consuld/base/tls.h"

/* Embedded in its owner, which fills the first part. */
struct http_dial {
    struct world *world;
    struct tls *tls;            /* NULL: TLS is not set up */
    const struct http_url *url; /* alive until done */
    struct arena *arena;        /* of the request: not reset before http_dial_cancel */
    bool unverified;            /* nobody's certificate is verified */
    const char *const *alpn;    /* see struct tls_options, of the target */
    size_t n_alpn;
    const char *grpc_agent; /* of gRPC, which tunnels clear text too: the User-Agent of CONNECT */
    const struct stream_events *events; /* of the stream that comes of it */
    void *owner;                        /* the stream's */
    /* Called once, never from http_dial_start: with a stream that may be written to, or with NULL
     * and err filled in Go's words. */
    void (*done)(struct http_dial *d, struct stream *s);
    struct error err;
    struct http_proxy proxy; /* what was found */
    bool secure;             /* the stream came of tls_start */
    bool whole;              /* the request names the whole URL and carries proxy.authorization */
    /* our own */
    struct dial dial;
    struct stream *stream;
    struct http_client client;
    bool open; /* client is initialised */
};

/* ERR_IO: the request cannot be made, `done` is not called. */
int http_dial_start(struct http_dial *d, struct error *err) must_check;
/* Forgets the attempt: done is not called. Idempotent; a stream that was handed over stays. */
void http_dial_cancel(struct http_dial *d);
