/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of what proxies need to know: the plan (pure) and the watches that follow it. */
#pragma once
#include "consuld/agent/cache.h"
#include "consuld/agent/leaf.h"
#include "consuld/agent/proxies.h"
#include "consuld/cluster/rpc.h"

/* What can be watched. */
enum proxy_part {
    PROXY_ROOTS,
    PROXY_LEAF,
    PROXY_INTENTIONS,
    PROXY_CHECKS,
    PROXY_CHAIN,
    PROXY_QUERY,
    PROXY_TARGET,
    PROXY_GATEWAYS,
    PROXY_SERVICES,
    PROXY_DATACENTERS,
    PROXY_RESOLVERS,
    PROXY_FEDERATION_GATEWAYS,
    PROXY_SERVERS,
    PROXY_LINKED,
    PROXY_ENTRY,
    PROXY_INSTANCES,
};

struct proxy_part_row {
    const char *name;        /* a watch's ID is it, or it and ":" and what it is of */
    const char *method;      /* NULL: not the cache answers */
    bool shapes;             /* its value decides what else is watched */
    const struct type *args; /* NULL: the method's */
};
extern const struct proxy_part_row proxy_parts[];
const struct type *proxy_part_args(enum proxy_part part);

/* Arguments of PROXY_LEAF and PROXY_CHECKS, the value of the latter. */
#define PROXY_LEAF_ARGS_FIELDS(X, S) \
    X(S, service, STR, "Service") \
    X(S, dns_names, LIST_STR, "DNSSAN")
#define PROXY_CHECKS_ARGS_FIELDS(X, S) X(S, service_id, STR, "ServiceID")
#define PROXY_CHECKS_FIELDS(X, S) X(S, checks, LIST(check_type), "Checks")
DECLARE_RECORD(proxy_leaf_args, PROXY_LEAF_ARGS_FIELDS)
DECLARE_RECORD(proxy_checks_args, PROXY_CHECKS_ARGS_FIELDS)
DECLARE_RECORD(proxy_checks, PROXY_CHECKS_FIELDS)

struct proxy_want {
    enum proxy_part part;
    struct str id;
    const void *args; /* of proxy_part_args, index and wait not set */
};

/* From a registration and the values of its watches to what is to be watched, and what is known. */
struct proxy_plan {
    /* given */
    struct arena *arena;
    const struct node_service *service;
    struct str token, datacenter, node_name, domain, alt_domain;
    void *(*value)(void *ctx, struct str id); /* NULL: not there yet */
    void *ctx;
    bool hide_keys; /* the snapshot has certificates without their private keys */
    /* made; borrows from what is given */
    struct list wants; /* struct proxy_want */
    bool full;         /* more than PROXY_WATCHES_MAX */
    struct proxy_snapshot snapshot;
};
void proxy_plan_make(struct proxy_plan *p);
/* Of a kind that is planned for. */
bool proxy_kind_known(struct str kind);

/* --- watches (proxy_watch.c) ----------------------------------------------------------------- */

struct proxy;

struct proxy_subscription {
    struct proxies *all;
    struct proxy *proxy;
    enum proxy_part part;
    struct arena arena; /* of itself, ID, token, arguments */
    struct str id, token;
    void *args;
    uint64_t round; /* the last plan that wanted it */
    struct rpc_reply *value;
    uint64_t index;
    unsigned failures;
    bool asking;
    struct timer again;
    struct rpc_call call;
    struct cache_outcome outcome;
    struct arena call_arena;
    struct leaf_call *leaf; /* of PROXY_LEAF */
};

/* Begins at once; proxy__value is called, maybe before it returns. */
struct proxy_subscription *proxy__subscribe(
    struct proxies *all, struct proxy *proxy, struct str token, const struct proxy_want *want);
void proxy__unsubscribe(struct proxy_subscription *s);
/* PROXY_CHECKS: reads them again. */
void proxy__checks_read(struct proxy_subscription *s);

/* proxies.c: s has another value. */
void proxy__value(struct proxy_subscription *s);
/* It begins to fail; goes on well, or ends. */
void proxy__failing(struct proxy_subscription *s, const struct error *err);
void proxy__fine(struct proxy_subscription *s);
const struct proxies_options *proxies__options(const struct proxies *all);
struct error *proxies__error(struct proxies *all);
