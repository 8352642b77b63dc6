/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of an HTTP check as Go's client makes them: what is written, and where a redirection
 * leads (agent.md 5.4). */
#pragma once
#include "consuld/model.h"
#include "consuld/mux/http_client.h"

/* One request: the check's first, or one that a redirection asked for. */
struct check_hop {
    struct str url;
    struct str method;
    struct str referer; /* empty: none */
    struct str host;    /* the Host header; nil: the URL's */
    bool foreign;       /* another host than the check's: it gets no credentials */
    bool bodyless;
};

/* What is wrong with the check's headers, in Go's words; empty if nothing is. */
struct str check_header_fault(const struct check_type *t, struct arena *a);
bool check_token_valid(struct str text);
/* The first hop. Borrows from the arguments. */
struct check_hop check_hop_first(const struct check_type *t, struct str url);
/* The hop that `status` and `location` lead to; false if they lead nowhere. */
bool check_hop_next(
    struct check_hop *h, struct str first_url, int status, struct str location, struct arena *a);
/* True if a packed answer was offered to be unpacked. */
bool check_hop_write(
    const struct check_hop *h, const struct check_type *t, struct arena *a, struct buf *out);
/* What is wrong with an URL, in Go's words, `known` as a URL's scheme or not. */
struct str check_url_fault(struct str url, struct arena *a);
/* Without its password. */
struct str check_url_shown(struct str url, struct arena *a);
