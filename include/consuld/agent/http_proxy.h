/* SPDX-License-Identifier: Apache-2.0 */
/* Which proxy a request goes through, as the environment says and Go's clients understand it. */
#pragma once
#include "consuld/mux/http_client.h"

/* Texts of the variables; they live as long as the environment. */
struct http_proxy_rules {
    struct str http, https; /* URLs, or host:port; empty: none */
    struct str direct;      /* names and networks that are reached without one, by commas */
    bool cgi;               /* this process is a CGI script: HTTP_PROXY is a header of its client */
};

struct http_proxy {
    struct http_url url;      /* host is nil: no proxy */
    struct str authorization; /* "Basic ...", or empty */
};

/* HTTP_PROXY, HTTPS_PROXY, NO_PROXY, or those in lower case, and REQUEST_METHOD. */
struct http_proxy_rules http_proxy_environment(void);
/* The proxy for a request to `target`. Loopback addresses and "localhost" have none. ERR_IO:
 * the rules forbid the request. Strings belong to the rules and `a`. */
int http_proxy_find(const struct http_proxy_rules *rules, const struct http_url *target,
    struct arena *a, struct http_proxy *out, struct error *err) must_check;
