/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the router. */
#pragma once
#include "consuld/cluster/rpc_router.h"

#define RPC_ROUTER_LOG "agent.client"
#define RPC_ROUTER_EARLY_RETRY_MS 20
/* What errors of calls that got no connection begin with. */
#define RPC_ERR_NO_CLIENT "rpc error getting client: "

struct router_server {
    struct rpc_target target; /* memory behind the struct */
};

struct router_list {
    struct router_server *at[RPC_ROUTER_SERVERS_MAX];
    size_t n;
};

struct rpc_router {
    struct rpc_client client;
    struct rpc_router_options opts;
    struct router_list servers;
    uint64_t born_ms;
    bool had_servers;  /* at some time */
    struct link calls; /* struct routed */
    struct rpc_limit limit;
    struct rpc_router_counters counters;
    /* rebalancing: rpc_router_balance.c */
    struct timer timer;
    struct router_list order; /* what becomes the list when its first answers */
    size_t pinged;            /* of order */
    bool pinging;
    struct rpc_call ping;
    struct arena ping_arena;
    struct error ping_err;
};

void rpc_router__balance_init(struct rpc_router *r);
void rpc_router__balance_deinit(struct rpc_router *r);
/* A server came or goes; `s` is in r->servers in both cases. */
void rpc_router__balance_added(struct rpc_router *r, struct router_server *s);
void rpc_router__balance_removed(struct rpc_router *r, const struct router_server *s);

void router_list_remove(struct router_list *l, const struct router_server *s);
/* The first becomes the last. */
void router_list_rotate(struct router_list *l);
