/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of the agent's services (connect-xds.md 1.4): the key is made here and never leaves,
 * the servers' authority signs. One is kept per service, names, datacenter and token, and renewed
 * before it ends. However many ask for the same, one is on its way. */
#pragma once
#include "consuld/agent/cache.h"
#include "consuld/base.h"
#include "consuld/base/certify.h"
#include "consuld/model.h"

#define LEAVES_MAX 4096
#define LEAF_KEPT_MS (UINT64_C(72) * 3600 * 1000) /* without anybody asking */

struct leaves;
struct rpc_client;
struct world;

struct leaves_options {
    struct world *world;
    struct rpc_client *rpc;
    struct cache *cache; /* of the authority's roots */
    const struct certifier *certifier;
    struct str datacenter; /* copied */
};

struct leaves *leaves_create(const struct leaves_options *o);
/* Calls that wait end with an error. NULL is fine. */
void leaves_destroy(struct leaves *l);

struct leaf_call {
    /* the caller's, until the end */
    struct str service, token;
    struct str agent;      /* instead of a service: the name of the agent's node */
    struct str datacenter; /* whose authority signs; empty: the own one */
    struct list dns_names; /* further names, struct str */
    struct list addresses; /* IP, struct str */
    uint64_t min_index;    /* waits for a later one ... */
    uint64_t wait_ms;      /* ... that long; 0: ten minutes */
    void (*done)(struct leaf_call *c);
    void *ctx;
    /* the result: code 0 and the certificate, valid through `done`, or code < 0 and err */
    int code;
    struct error err;
    const struct issued_cert *cert;
    bool hit; /* it was there */
    uint64_t age_ms;
    /* the callee's */
    struct leaf *leaf;
    struct link link;
    struct timer late;
};

/* A certificate that was come by in another way is kept and renewed as if it had been asked for.
 * `of` says whose it is; `cert` with its private key is copied. */
void leaf_put(struct leaves *l, const struct leaf_call *of, const struct issued_cert *cert);
/* May end before it returns. */
void leaf_submit(struct leaves *l, struct leaf_call *c);
/* Only for a call whose `done` was not called. */
void leaf_cancel(struct leaf_call *c);

/* As those of a type of the cache; *kept: how many there are. */
struct cache_type_stats leaves_stats(const struct leaves *l, size_t *kept);
