/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the chain compiler: the graph while it is built. */
#pragma once
#include "consuld/lang/chain.h"

struct chain_target {
    struct discovery_target t;
    bool retained; /* part of the answer */
};

struct chain_compiler {
    const struct chain_request *req;
    struct arena *a;
    struct error *err;
    struct map nodes;   /* "type:name" -> struct discovery_graph_node */
    struct list keys;   /* struct str: keys of nodes in the order they were made */
    struct map targets; /* ID -> struct chain_target */
    struct list target_ids;
    struct str protocol; /* that all services met so far agree on */
    struct str start;
    bool advanced; /* has a router or splitters */
    bool plain;    /* routers and splitters are passed over: the override allows none */
    bool by_gateway, by_protocol, by_timeout; /* overrides that changed something */
    unsigned depth;
    size_t splits;
};

int chain__refuse(struct chain_compiler *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
struct discovery_graph_node *chain__node(const struct chain_compiler *c, struct str key);

/* chain_graph.c: what is done to a finished graph. */
int chain__check_circles(struct chain_compiler *c) must_check;
/* Splitters behind splitters become legs of the first. */
int chain__flatten(struct chain_compiler *c) must_check;
/* The nodes that can be reached, into *out. */
void chain__collect(struct chain_compiler *c, struct dict *out);
