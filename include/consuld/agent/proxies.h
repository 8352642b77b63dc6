/* SPDX-License-Identifier: Apache-2.0 */
/* What the proxies and gateways registered with this agent need to know (connect-xds.md 5). Each
 * has its watches, through the agent's cache, from its registration on until it goes, whether
 * somebody asks or not; the first request finds certificate, intentions and endpoints there. All
 * that is known of one is its snapshot, the same for the built-in proxy, for xDS and for people.
 *
 * What a kind watches and what its snapshot holds is one function (src/agent/proxy_plan.c). An
 * agent without proxies pays nothing; equal watches share an entry of the cache. */
#pragma once
#include "consuld/base.h"
#include "consuld/model.h"

#define PROXY_WATCHES_MAX 16384 /* of one proxy */
#define PROXY_PUSH_MS 200       /* changes in this time are told together */

struct cache;
struct json_writer;
struct leaves;
struct local;
struct proxies;
struct world;

/* clang-format off */
/* An upstream of a connect-proxy, a service behind an ingress gateway. */
#define PROXY_UPSTREAM_FIELDS(X, S) \
    X(S, id,       STR,                                  "ID") /* [<type>:]<name>[?dc=<dc>] */ \
    X(S, upstream, REC(upstream),                        "Upstream") \
    X(S, chain,    PTR(compiled_discovery_chain),        "Chain") /* NULL: not known, or a query */ \
    X(S, query,    PTR(prepared_query_execute_response), "Query", .flags = JSON_OMIT) \
    X(S, targets,  LIST(proxy_endpoints),                "Targets") /* by ID; those that are known */ \
    X(S, gateways, LIST(proxy_endpoints),                "Gateways") /* by datacenter; as above */

#define PROXY_ENDPOINTS_FIELDS(X, S) \
    X(S, name,      STR,                      "Name") \
    X(S, nodes,     LIST(check_service_node), "Nodes") \
    X(S, hostnames, LIST(check_service_node), "Hostnames") /* those of nodes without an IP; only of gateways' */

/* Linked to a terminating gateway, or known to a mesh gateway (which has instances alone). */
#define PROXY_SERVICE_FIELDS(X, S) \
    X(S, endpoints, REC(proxy_endpoints),               "Endpoints") \
    X(S, resolver,  PTR(service_resolver_config_entry), "Resolver") \
    X(S, leaf,      PTR(issued_cert),                   "Leaf", .flags = JSON_OMIT) \
    X(S, link,      PTR(gateway_service),               "Link", .flags = JSON_OMIT)

#define PROXY_CONNECT_FIELDS(X, S) \
    X(S, leaf,      PTR(issued_cert),     "Leaf") \
    X(S, checks,    LIST(check_type),     "Checks") /* HTTP and gRPC, of the local service */ \
    X(S, upstreams, LIST(proxy_upstream), "Upstreams")

#define PROXY_MESH_FIELDS(X, S) \
    X(S, services_known, BOOL,                     "ServicesKnown") \
    X(S, services,       LIST(proxy_service),      "Services") /* with instances */ \
    X(S, datacenters,    LIST(proxy_endpoints),    "Datacenters") /* their gateways */ \
    X(S, servers,        LIST(check_service_node), "Servers") /* of WAN federation */

#define PROXY_TERMINATING_FIELDS(X, S) \
    X(S, services, LIST(proxy_service), "Services")

#define PROXY_INGRESS_FIELDS(X, S) \
    X(S, leaf,      PTR(issued_cert),     "Leaf") \
    X(S, tls,       BOOL,                 "TLSEnabled") \
    X(S, hosts,     LIST_STR,             "Hosts") \
    X(S, upstreams, LIST(proxy_upstream), "Upstreams") /* upstream has listener: protocol, port */

/* One of the last four is set, by the kind. */
#define PROXY_SNAPSHOT_FIELDS(X, S) \
    X(S, service,     REC(node_service),      "Service") \
    X(S, datacenter,  STR,                    "Datacenter") \
    X(S, valid,       BOOL,                   "Valid") /* enough is known to configure a proxy */ \
    X(S, roots,       PTR(indexed_ca_roots),  "Roots") \
    X(S, connect,     PTR(proxy_connect),     "ConnectProxy", .flags = JSON_OMIT) \
    X(S, mesh,        PTR(proxy_mesh),        "MeshGateway", .flags = JSON_OMIT) \
    X(S, terminating, PTR(proxy_terminating), "TerminatingGateway", .flags = JSON_OMIT) \
    X(S, ingress,     PTR(proxy_ingress),     "IngressGateway", .flags = JSON_OMIT)
/* clang-format on */
DECLARE_RECORD(proxy_endpoints, PROXY_ENDPOINTS_FIELDS)
DECLARE_RECORD(proxy_upstream, PROXY_UPSTREAM_FIELDS)
DECLARE_RECORD(proxy_service, PROXY_SERVICE_FIELDS)
DECLARE_RECORD(proxy_connect, PROXY_CONNECT_FIELDS)
DECLARE_RECORD(proxy_mesh, PROXY_MESH_FIELDS)
DECLARE_RECORD(proxy_terminating, PROXY_TERMINATING_FIELDS)
DECLARE_RECORD(proxy_ingress, PROXY_INGRESS_FIELDS)
DECLARE_RECORD(proxy_snapshot, PROXY_SNAPSHOT_FIELDS)

struct proxies_options {
    struct world *world;
    struct local *local;
    struct cache *cache;
    struct leaves *leaves;
    struct str datacenter, node_name;
    struct str domain, alt_domain; /* of DNS, with the final dot */
};

/* Begins with what is registered. Texts are copied. */
struct proxies *proxies_create(const struct proxies_options *o);
/* Before local, leaves and cache. Watchers are forgotten. NULL is fine. */
void proxies_destroy(struct proxies *p);

/* A snapshot that goes on being valid while it is held. */
struct proxy_view {
    struct proxy_snapshot snapshot;
    uint32_t refs;
    struct arena arena;
    struct list replies; /* struct rpc_reply *, that the snapshot borrows from */
};
struct proxy_view *proxy_view_ref(struct proxy_view *v);
/* NULL is fine. */
void proxy_view_unref(struct proxy_view *v);

/* Told of the valid snapshots of one proxy: of the one there is soon, then PROXY_PUSH_MS after a
 * change. A proxy that is not registered (any more) is waited for. Embedded in its owner. */
struct proxy_watcher {
    struct str id; /* the service ID; the owner's, until cancelled */
    /* Takes a reference of its own to keep it. */
    void (*changed)(struct proxy_watcher *w, struct proxy_view *v);
    /* the callee's */
    struct link link;
    bool told;
};
void proxy_watch(struct proxies *p, struct proxy_watcher *w);
void proxy_watcher_cancel(struct proxy_watcher *w);

/* All of them with their watches, as an array; private keys are left out. */
void proxies_dump(struct proxies *p, struct json_writer *w);
