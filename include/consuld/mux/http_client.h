/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 as a byte machine, client side: one answer on one connection. Of the body the last
 * `body_max` bytes are kept, so that its size does not matter. */
#pragma once
#include <llhttp.h>

#include "consuld/base.h"

#define HTTP_ANSWER_HEAD_MAX ((size_t)256 << 10)

struct http_client {
    llhttp_t parser;
    struct buf reason;      /* "Not Found" */
    struct buf name, value; /* of the field being read */
    struct buf location;
    struct buf body; /* at most twice body_max; use http_client_body */
    size_t body_max;
    uint64_t body_total;
    size_t head_size;
    int status; /* 0: the head is not whole */
    bool done;
    bool gzip; /* the body is packed */
    /* Set after init: */
    bool no_body; /* the answer of a HEAD */
    /* Takes the bytes of a packed body and gives what it makes of them to http_client_keep. */
    void (*unpack)(struct http_client *c, struct str bytes);
};

void http_client_init(struct http_client *c, size_t body_max);
void http_client_deinit(struct http_client *c);
/* Takes bytes; ERR_DECODE if they are no HTTP answer. `done` is set when the answer is whole. */
int http_client_recv(struct http_client *c, struct str bytes) must_check;
/* Why `bytes`, the first that came, are no answer, in Go's words. */
const char *http_client_fault(const struct http_client *c, struct str bytes, struct arena *a);
/* The peer closed: ERR_EOF if the answer is not whole. */
int http_client_eof(struct http_client *c) must_check;
struct str http_client_body(const struct http_client *c);
/* More of the body. */
void http_client_keep(struct http_client *c, struct str bytes);

/* A split http:// or https:// URL. Strings point into it; `path` holds path and query as written:
 * it may be empty or begin with '?'. */
struct http_url {
    bool tls;
    struct str host;      /* without brackets */
    struct str authority; /* as written, for the Host header; without user */
    struct str user;      /* "name:password" as written; nil: none */
    uint16_t port;
    struct str path;
};
/* False if it is no such URL, or holds a control character. */
bool http_url_parse(struct str url, struct http_url *out);
/* What basic authentication says of the URL's user: "Basic ..."; empty without one. */
struct str http_url_credentials(const struct http_url *u, struct arena *a);
/* A header's name as Go writes it: first letters and those behind '-' upper case, the rest lower.
 */
struct str http_header_name(struct arena *a, struct str name);
