/* SPDX-License-Identifier: Apache-2.0 */
/* Federation through mesh gateways on a server: the gateway directory with its log lines, those who
 * want to know when it changes, and dialling through it (wanfed.md 4, 5, 7, 8).
 *
 * The one invariant: where a `struct gateways` is given, nothing connects to an address of a server
 * of another datacenter; what a peer there needs goes through gateway_dial. */
#pragma once
#include "consuld/base/outside.h"
#include "consuld/base/tls.h"
#include "consuld/fed/directory.h"

struct gateways;

#define ALPN_RPC_SINGLE "consul/rpc-single"
#define ALPN_RAFT "consul/raft"
#define ALPN_RPC_MULTI "consul/rpc-multi"
#define ALPN_RPC_SNAPSHOT "consul/rpc-snapshot"
#define ALPN_RPC_GOSSIP "consul/rpc-gossip"
#define ALPN_GOSSIP_PACKET "consul/wan-gossip/packet"
#define ALPN_GOSSIP_STREAM "consul/wan-gossip/stream"

struct gateways_options {
    struct world *world;
    struct tls *tls;       /* without CAs and a certificate every dial fails */
    struct str datacenter; /* texts are copied */
    struct str primary;    /* empty: the own one */
    struct str domain;     /* of the names in certificates */
};
struct gateways *gateways_create(const struct gateways_options *o);
/* No dial is under way any more. NULL is ignored. */
void gateways_destroy(struct gateways *g);
const struct fed_directory *gateways_directory(const struct gateways *g);
/* True for another datacenter: only gateways lead there. */
bool gateways_lead_to(const struct gateways *g, struct str datacenter);

/* As fed_states and so on, with their log lines. */
void gateways_states(struct gateways *g, const struct list *states, const struct list *own);
void gateways_fallback(struct gateways *g, const struct str *addresses, size_t n);
void gateways_replicated(struct gateways *g, bool fine);
void gateways_leads_not(struct gateways *g);

/* Told when a list changed; from inside the call that changed it. */
struct gateways_observer {
    void (*changed)(struct gateways_observer *o);
    struct link link;
};
void gateways_observe(struct gateways *g, struct gateways_observer *o);
/* Idempotent; fine on a zero one. */
void gateways_unobserve(struct gateways_observer *o);

/* --- dialling ------------------------------------------------------------------------------- */

#define GATEWAY_DIAL_TIMEOUT_MS 10000 /* of connecting; the handshake has as much again */
#define GATEWAY_DIAL_HURRY_MS 3000    /* the same where other gateways could be tried */
#define GATEWAY_UNACKED_MS 10000      /* a gateway that takes no bytes for so long is left */
#define GATEWAY_ADDRESS_MAX 280

struct handshake;

/* One attempt to reach a server of another datacenter. Embedded in its owner, which fills the first
 * part and keeps what it points to until done. */
struct gateway_dial {
    struct gateways *gateways;
    struct str node;       /* short name; "" or "*": any server */
    struct str datacenter; /* not the own one */
    const char *alpn;      /* ALPN_* */
    struct str source;     /* IP to come from; nil: any */
    bool patient;          /* waits until the path is no longer spared, up to the back-off */
    size_t queue_max;      /* of the stream, see tls_options */
    const struct stream_events *events;
    void *owner; /* the stream's */
    /* Called once, never from gateway_dial_start: with a stream whose handshake is over, or NULL
     * and err filled. */
    void (*done)(struct gateway_dial *d, struct stream *s);
    /* its own */
    char address[GATEWAY_ADDRESS_MAX]; /* of the gateway, "host:port" */
    struct error err;
    bool unsent; /* no gateway is known: nothing was tried */
    char peer[GATEWAY_ADDRESS_MAX];
    struct dial dial;
    struct timer timer; /* refusals, patience */
    struct handshake *handshake;
};
void gateway_dial_start(struct gateway_dial *d);
/* Forgets the attempt: done is not called. Idempotent. */
void gateway_dial_cancel(struct gateway_dial *d);

struct gateways_counters {
    uint64_t dials;
    uint64_t failed;
    uint64_t unreachable;  /* asked for a datacenter without gateways */
    uint64_t packets_sent; /* gossip packets to other datacenters */
    uint64_t packets_received;
    uint64_t packets_dropped; /* no way, or a way that takes nothing */
};
/* Shared by all who use gateways. */
struct gateways_counters *gateways_counters(struct gateways *g);
