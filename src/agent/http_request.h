/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as Go's client makes them: what is written, and where a redirection leads (agent.md
 * 5.4). */
#pragma once
#include "consuld/agent/http_ask.h"

/* One request on the wire: the first, or one that a redirection asked for. */
struct http_hop {
    struct str url;
    struct str method;
    struct str referer; /* empty: none */
    struct str host;    /* the Host header; nil: the URL's */
    bool foreign;       /* another host than the first: it gets no credentials */
    bool bodyless;
    bool proxied; /* written to a proxy, which is told the whole URL */
    struct str proxy_authorization;
};

/* What a check asks of `url`. Borrows from both. */
struct http_request http_check_request(const struct check_type *t, struct str url);
/* What is wrong with method or headers, in Go's words; empty if nothing is. */
struct str http_method_fault(const struct http_request *q, struct arena *a);
struct str http_header_fault(const struct http_request *q, struct arena *a);
/* The first hop. Borrows from the request. */
struct http_hop http_hop_first(const struct http_request *q);
/* The hop that `status` and `location` lead to; false if they lead nowhere. */
bool http_hop_next(struct http_hop *h, const struct http_request *q, int status,
    struct str location, struct arena *a);
/* True if a packed answer was offered to be unpacked. */
bool http_hop_write(
    const struct http_hop *h, const struct http_request *q, struct arena *a, struct buf *out);
/* What is wrong with an URL, in Go's words. */
struct str http_url_fault(struct str url, struct arena *a);
/* Without its password. */
struct str http_url_shown(struct str url, struct arena *a);
