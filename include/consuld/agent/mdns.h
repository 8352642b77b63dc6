/* SPDX-License-Identifier: Apache-2.0 */
/* Instances of a service on the local network, found by multicast DNS (RFC 6762): one question by
 * IPv4 from a port of our own, so that answers come back to us alone, and what answers until the
 * time is up. Packets of anybody are believed: the pool's own rules say who is a member. */
#pragma once
#include "consuld/base.h"
#include "consuld/base/world.h"
#include "consuld/wire.h"

#define MDNS_ADDRESSES_MAX 64 /* of one search, and read of one packet */

struct mdns_options {
    struct world *world;
    struct str name; /* "_consul._tcp.local" */
    uint64_t timeout_ms;
    bool v4, v6; /* which addresses are wanted; v6 before v4 of an instance with both */
    /* Once, from the loop: "ip:port" texts, valid until return; the search is over. */
    void (*done)(void *ctx, const struct str *found, size_t n);
    void *ctx;
};

struct mdns_search;

/* NULL and *err if there is no way out to the network. */
struct mdns_search *mdns_search_begin(const struct mdns_options *o, struct error *err) must_check;
/* Without `done`. NULL is ignored. */
void mdns_search_cancel(struct mdns_search *s);

/* The question about `name` (at most 255 bytes, labels of at most 63); false for a bad one. */
bool mdns_question(struct str name, struct buf *out);
/* Adds to the list (struct str of `a`) what one packet answers about `name`, nothing twice. Any
 * bytes will do. */
void mdns_answer_read(
    struct str packet, const struct mdns_options *o, struct arena *a, struct list *found);
