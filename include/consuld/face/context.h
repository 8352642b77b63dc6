/* SPDX-License-Identifier: Apache-2.0 */
/* What API handlers find as req->ctx: the parts of the running agent they answer from. Owned by
 * the start-up code, one for the life of the api. */
#pragma once
#include "consuld/cluster/rpc.h"

struct agent_config;
struct api_request;
struct api_route;
struct cache;
struct gateways;
struct leaves;
struct proxies;
struct local;
struct pool;
struct raft_driver;
struct server;
struct rpc_port;
struct metrics;
struct rpc_router;
struct snapshot_client;
struct user_events;
struct world;

struct face_context {
    struct rpc_client *rpc;            /* the server's, or the client agent's over the wire */
    struct cache *cache;               /* of what `rpc` answers; NULL: none */
    struct leaves *leaves;             /* certificates of services; NULL where a test has none */
    struct proxies *proxies;           /* NULL where a test has none */
    struct snapshot_client *snapshots; /* NULL: no server is known */
    const struct rpc_router *router;   /* the servers that a client knows; NULL on a server */
    struct world *world;
    struct local *local;         /* local services and checks; NULL where a test has none */
    struct server *server;       /* NULL on a client */
    struct raft_driver *raft;    /* NULL on a client */
    struct gateways *gateways;   /* NULL: federation is without them */
    const struct rpc_port *port; /* NULL on a client */
    struct pool *lan, *wan;      /* gossip; wan: NULL on a client or when off */
    struct user_events *events;
    const struct agent_config *config;          /* the running one */
    const struct agent_config *config_at_start; /* what /v1/agent/self goes on showing */
    struct metrics *metrics;                    /* NULL where a test has none */
    struct str node_id;
    struct dict node_meta; /* as reloaded; config keeps what it was at start */
    /* Reload and leave, answered by the start-up code when they are done. */
    void (*reload)(struct api_request *req);
    void (*leave)(struct api_request *req);
    void *run;
    struct str datacenter;
    struct str node_name; /* the agent's own: ?near=_agent, sessions without Node */
    bool disable_coordinates;
    uint64_t kv_max_value_size; /* limits, as in api_options */
    uint64_t txn_max_req_len;
};

/* Tables of the endpoints that answer from the servers' state (kv, session, txn, catalog, health,
 * status, coordinate, query, operator, internal), ended by NULL: for api_options.tables. */
extern const struct api_route *const api_state_tables[];
