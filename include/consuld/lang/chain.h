/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery chains (connect-xds.md 8): config entries compiled into the graph that requests to a
 * service walk: an optional router, splitters, resolvers, and the targets they end at. A pure
 * function of the request and the entries it finds, so that every server's state machine agrees on
 * which entries fit together (fsm.md 13.2). */
#pragma once
#include "consuld/model/chain.h"

#define CHAIN_NODES_MAX 4096   /* of one graph */
#define CHAIN_SPLITS_MAX 65536 /* legs of all its splitters */
#define CHAIN_DEPTH_MAX 200    /* splitters below splitters, redirects in a row */

/* Where entries come from. What is found lives as long as the compilation's arena. */
struct chain_source {
    /* False: there is none. */
    bool (*find)(
        const struct chain_source *s, struct str kind, struct str name, struct config_entry *out);
};

struct chain_request {
    struct str service;
    struct str namespace, datacenter, trust_domain; /* that entries are evaluated in */
    struct str use_in_datacenter; /* targets elsewhere may be reached through mesh gateways */
    /* Overrides: nil or 0 for none. */
    struct str mesh_gateway_mode;
    struct str protocol;
    int64_t connect_timeout;
    const struct chain_source *entries;
};

/* The chain, owned by `a`. ERR_BAD_REQUEST with the compiler's text when the entries contradict
 * each other: circular references, inconsistent protocols, unknown subsets ... */
int chain_compile(const struct chain_request *req, struct arena *a,
    struct compiled_discovery_chain *out, struct error *err) must_check;

/* The protocol that proxy-defaults give to services without defaults of their own; nil for none. */
struct str chain_global_protocol(const struct proxy_config_entry *e);

/* First eight digits of the hash of overrides that changed something (8.3). */
struct str chain_customization_hash(
    struct str mesh_gateway_mode, struct str protocol, int64_t connect_timeout, struct arena *a);
