/* SPDX-License-Identifier: Apache-2.0 */
/* A request and its answer as Go's client has them: redirections are followed (ten at most), packed
 * answers unpacked, proxies of the environment used. */
#pragma once
#include <zlib.h>

#include "consuld/agent/http_dial.h"
#include "consuld/model.h"

struct http_request {
    struct str url;
    struct str method;         /* empty: GET */
    struct str host;           /* of the Host header; empty: the URL's */
    const struct dict *header; /* name -> list of texts */
    struct str body;
    const char *agent;  /* the User-Agent, unless `header` has one */
    const char *accept; /* Accept, likewise; NULL: none */
};

/* What is kept between the hops of a request. */
struct http_hop;

/* Embedded in its owner, which fills the first part. */
struct http_ask {
    struct world *world;
    struct tls *tls;             /* NULL: TLS is not set up */
    struct http_request request; /* alive until done */
    bool unverified;             /* nobody's certificate is verified */
    size_t body_max;             /* of the body the last so many bytes are kept */
    uint64_t timeout_ms;         /* of each hop */
    struct arena *arena;         /* not reset before http_ask_end */
    /* Called once, never from http_ask_start. The owner calls http_ask_end when it has read what
     * there is. */
    void (*done)(struct http_ask *k);
    /* When done: */
    struct str error; /* nil: there is an answer, in `client`; else why not, in Go's words:
                       * Get "http://a/": EOF */
    struct http_client client;
    /* our own */
    struct http_hop *hop;
    struct http_url url; /* of hop */
    struct http_dial dial;
    struct stream *stream;
    struct timer timer;
    z_stream unpacker;
    unsigned redirects;
    bool open;      /* client is initialised */
    bool unpacking; /* unpacker is */
};

void http_ask_start(struct http_ask *k);
/* Forgets it: `done` is not called any more. Idempotent. */
void http_ask_end(struct http_ask *k);
