/* SPDX-License-Identifier: Apache-2.0 */
/* What each kind of proxy watches, and what its snapshot is (connect-xds.md 5). One function of a
 * kind tells both: it asks for a value by wanting it. */
#include "proxy.h"

#include <arpa/inet.h>
#include <string.h>

#include "consuld/fed/directory.h"
#include "consuld/model/loose.h"
#include "consuld/model/method.h"
#include "consuld/model/service_rules.h"

#define POLL_NS (INT64_C(30) * 1000000000)
#define NAMESPACE STR("default")

DEFINE_RECORD(proxy_endpoints, PROXY_ENDPOINTS_FIELDS, "Endpoints")
DEFINE_RECORD(proxy_upstream, PROXY_UPSTREAM_FIELDS, "Upstream")
DEFINE_RECORD(proxy_service, PROXY_SERVICE_FIELDS, "Service")
DEFINE_RECORD(proxy_connect, PROXY_CONNECT_FIELDS, "ConnectProxy")
DEFINE_RECORD(proxy_mesh, PROXY_MESH_FIELDS, "MeshGateway")
DEFINE_RECORD(proxy_terminating, PROXY_TERMINATING_FIELDS, "TerminatingGateway")
DEFINE_RECORD(proxy_ingress, PROXY_INGRESS_FIELDS, "IngressGateway")
DEFINE_RECORD(proxy_snapshot, PROXY_SNAPSHOT_FIELDS, "Snapshot")
DEFINE_RECORD(proxy_leaf_args, PROXY_LEAF_ARGS_FIELDS, "LeafRequest")
DEFINE_RECORD(proxy_checks_args, PROXY_CHECKS_ARGS_FIELDS, "ChecksRequest")
DEFINE_RECORD(proxy_checks, PROXY_CHECKS_FIELDS, "Checks")

/* clang-format off */
const struct proxy_part_row proxy_parts[] = {
    [PROXY_ROOTS]               = { .name = "roots", .method = "ConnectCA.Roots" },
    [PROXY_LEAF]                = { .name = "leaf", .args = &type_proxy_leaf_args },
    [PROXY_INTENTIONS]          = { .name = "intentions", .method = "Intention.Match" },
    [PROXY_CHECKS]              = { .name = "service-http-checks", .args = &type_proxy_checks_args },
    [PROXY_CHAIN]               = { .name = "discovery-chain", .method = "DiscoveryChain.Get", .shapes = true },
    [PROXY_QUERY]               = { .name = "upstream", .method = "PreparedQuery.Execute" },
    [PROXY_TARGET]              = { .name = "upstream-target", .method = "Health.ServiceNodes" },
    [PROXY_GATEWAYS]            = { .name = "mesh-gateway", .method = "Internal.ServiceDump" },
    [PROXY_SERVICES]            = { .name = "service-list", .method = "Catalog.ServiceList", .shapes = true },
    [PROXY_DATACENTERS]         = { .name = "datacenters", .method = "Catalog.ListDatacenters", .shapes = true },
    [PROXY_RESOLVERS]           = { .name = "service-resolvers", .method = "ConfigEntry.List" },
    [PROXY_FEDERATION_GATEWAYS] = { .name = "federation-state-list-mesh-gateways", .method = "FederationState.ListMeshGateways" },
    [PROXY_SERVERS]             = { .name = "consul-server-list", .method = "Health.ServiceNodes" },
    [PROXY_LINKED]              = { .name = "gateway-services", .method = "Catalog.GatewayServices", .shapes = true },
    [PROXY_ENTRY]               = { .name = "gateway-config", .method = "ConfigEntry.Get", .shapes = true },
    [PROXY_INSTANCES]           = { .name = "service", .method = "Health.ServiceNodes" },
};
/* clang-format on */

const struct type *proxy_part_args(enum proxy_part part)
{
    const struct proxy_part_row *row = &proxy_parts[part];
    return row->args ? row->args : method_find(str_of(row->method))->args;
}

/* --- wanting --------------------------------------------------------------------------------- */

static void *want(struct proxy_plan *p, enum proxy_part part, struct str of, const void *args)
{
    struct str id = str_of(proxy_parts[part].name);
    if (p->wants.n >= PROXY_WATCHES_MAX) {
        p->full = true;
        return NULL;
    }
    if (of.n) id = str_printf(p->arena, "%s:%.*s", id.p, STR_ARG(of));
    *LIST_PUSH(p->arena, &p->wants, struct proxy_want) =
        (struct proxy_want){ .part = part, .id = id, .args = args };
    return p->value(p->ctx, id);
}

#define NEW_ARGS(p, type, ...) \
    ((struct type *)arena_copy( \
        (p)->arena, &(struct type){ .token = (p)->token, __VA_ARGS__ }, sizeof(struct type)))

static void want_roots(struct proxy_plan *p)
{
    p->snapshot.roots = want(
        p, PROXY_ROOTS, STR_NIL, NEW_ARGS(p, dc_specific_request, .datacenter = p->datacenter));
}

static struct issued_cert *want_leaf(
    struct proxy_plan *p, struct str of, struct str service, struct list dns_names)
{
    struct proxy_leaf_args args = { .service = service, .dns_names = dns_names };
    struct issued_cert *cert = want(p, PROXY_LEAF, of, arena_copy(p->arena, &args, sizeof args));
    if (!cert || !p->hide_keys) return cert;
    cert = arena_copy(p->arena, cert, sizeof *cert);
    cert->private_key_pem = STR_NIL;
    return cert;
}

/* Nothing of the snapshot: authorizations find them in the cache. */
static void want_intentions(struct proxy_plan *p, struct str of, struct str service)
{
    struct intention_query_match *match = arena_new(p->arena, struct intention_query_match);
    match->type = STR("destination");
    *LIST_PUSH(p->arena, &match->entries, struct intention_match_entry) =
        (struct intention_match_entry){ .namespace = NAMESPACE, .name = service };
    want(p, PROXY_INTENTIONS, of,
        NEW_ARGS(p, intention_query_request, .datacenter = p->datacenter, .match = match));
}

static struct indexed_check_service_nodes *want_health(
    struct proxy_plan *p, enum proxy_part part, struct str of, struct service_specific_request args)
{
    args.token = p->token;
    return want(p, part, of, arena_copy(p->arena, &args, sizeof args));
}

static struct indexed_check_service_nodes *want_gateways(
    struct proxy_plan *p, struct str datacenter)
{
    return want(p, PROXY_GATEWAYS, datacenter,
        NEW_ARGS(p, service_dump_request, .datacenter = datacenter,
            .service_kind = STR("mesh-gateway"), .use_service_kind = true));
}

static struct indexed_gateway_services *want_linked(struct proxy_plan *p)
{
    return want(p, PROXY_LINKED, STR_NIL,
        NEW_ARGS(p, service_specific_request, .datacenter = p->datacenter,
            .service_name = p->service->service));
}

static struct indexed_config_entries *want_resolvers(struct proxy_plan *p)
{
    return want(p, PROXY_RESOLVERS, STR_NIL,
        NEW_ARGS(
            p, config_entry_query, .datacenter = p->datacenter, .kind = STR("service-resolver")));
}

static struct service_resolver_config_entry *resolver_of(
    const struct indexed_config_entries *all, struct str service)
{
    for (size_t i = 0; all && i < all->entries.n; i++) {
        struct service_resolver_config_entry *r =
            LIST_AT(&all->entries, struct config_entry, i).service_resolver;
        if (r && str_eq(r->name, service)) return r;
    }
    return NULL;
}

/* --- endpoints ------------------------------------------------------------------------------- */

static bool is_ip(struct arena *a, struct str address)
{
    unsigned char bytes[16];
    const char *text = str_c(a, address);
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* Instances whose address is a name: a proxy resolves them itself, and then them alone. */
static struct list by_name(struct proxy_plan *p, const struct list *nodes)
{
    struct list out = { 0 };
    for (size_t i = 0; i < nodes->n; i++) {
        const struct check_service_node *n = &LIST_AT(nodes, struct check_service_node, i);
        int64_t port;
        if (!n->node || !n->service) continue;
        bool elsewhere = !str_eq(n->node->datacenter, p->datacenter);
        struct str address = fed_address(n, elsewhere ? FED_WAN : FED_LAN, &port);
        if (is_ip(p->arena, address)) continue;
        *LIST_PUSH(p->arena, &out, struct check_service_node) = *n;
    }
    return out;
}

static struct proxy_endpoints endpoints(
    struct proxy_plan *p, struct str name, const struct list *nodes)
{
    return (struct proxy_endpoints){ name, *nodes, by_name(p, nodes) };
}

static void add_endpoints(struct proxy_plan *p, struct list *to, struct str name,
    const struct indexed_check_service_nodes *known)
{
    if (known)
        *LIST_PUSH(p->arena, to, struct proxy_endpoints) =
            (struct proxy_endpoints){ .name = name, .nodes = known->nodes };
}

/* --- upstreams ------------------------------------------------------------------------------- */

static bool is_query(const struct upstream *u)
{
    return str_is(u->destination_type, "prepared_query");
}

static struct str upstream_id(struct arena *a, const struct upstream *u)
{
    bool elsewhere = u->datacenter.n > 0;
    return str_printf(a, "%s%.*s%s%.*s", is_query(u) ? "prepared_query:" : "",
        STR_ARG(u->destination_name), elsewhere ? "?dc=" : "", STR_ARG(u->datacenter));
}

static bool lists(const struct list *names, struct str name)
{
    for (size_t i = 0; i < names->n; i++)
        if (str_eq(LIST_AT(names, struct str, i), name)) return true;
    return false;
}

static void plan_targets(struct proxy_plan *p, struct proxy_upstream *u)
{
    struct list through = { 0 };
    const struct dict *targets = &u->chain->targets;
    for (size_t i = 0; i < targets->n; i++) {
        const struct discovery_target *t = dict_at(targets, &type_discovery_target, i);
        struct str mode = t->mesh_gateway.mode;
        struct str gateway = str_is(mode, "remote")  ? t->datacenter
                             : str_is(mode, "local") ? p->datacenter
                                                     : STR_NIL;
        if (gateway.n && !lists(&through, gateway))
            *LIST_PUSH(p->arena, &through, struct str) = gateway;
        struct service_specific_request args = { .datacenter = t->datacenter,
            .service_name = t->service,
            .connect = true,
            .filter = t->subset.filter };
        struct str of = str_printf(p->arena, "%.*s:%.*s", STR_ARG(t->id), STR_ARG(u->id));
        add_endpoints(p, &u->targets, t->id, want_health(p, PROXY_TARGET, of, args));
    }
    for (size_t i = 0; i < through.n; i++) {
        struct str datacenter = LIST_AT(&through, struct str, i);
        add_endpoints(p, &u->gateways, datacenter, want_gateways(p, datacenter));
    }
}

static void plan_chain(
    struct proxy_plan *p, struct proxy_upstream *u, struct discovery_chain_request args)
{
    args.name = u->upstream.destination_name;
    args.datacenter = p->datacenter;
    args.evaluate_in_namespace = NAMESPACE;
    args.token = p->token;
    const struct discovery_chain_response *known =
        want(p, PROXY_CHAIN, u->id, arena_copy(p->arena, &args, sizeof args));
    if (!known || !known->chain) return;
    u->chain = known->chain;
    plan_targets(p, u);
}

/* Keys of an upstream's Config that chains are compiled with. */
#define UPSTREAM_OVERRIDES_FIELDS(X, S) \
    X(S, protocol, STR, "Protocol") \
    X(S, connect_timeout_ms, INT, "ConnectTimeoutMs")
DECLARE_RECORD(upstream_overrides, UPSTREAM_OVERRIDES_FIELDS)
DEFINE_RECORD(upstream_overrides, UPSTREAM_OVERRIDES_FIELDS, "UpstreamConfig")

static struct upstream_overrides overrides_of(struct proxy_plan *p, const struct value *config)
{
    static const char *const keys[] = { "protocol", "connect_timeout_ms" };
    struct upstream_overrides out = { 0 };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct value one = { .kind = V_MAP };
        const struct value *v = value_get(config, str_of(keys[i]));
        struct error err;
        if (!v || v->kind == V_NIL) continue;
        *value_map_add(p->arena, &one, str_of(keys[i])) = *v;
        /* What can't be read counts as not given. */
        if (loose_read(&one, p->arena, &type_upstream_overrides, &out, &err)) continue;
    }
    return out;
}

static void plan_upstream(struct proxy_plan *p, struct proxy_upstream *u)
{
    struct str elsewhere = u->upstream.datacenter;
    struct str datacenter = elsewhere.n ? elsewhere : p->datacenter;
    struct mesh_gateway_config mode = u->upstream.mesh_gateway;
    if (is_query(&u->upstream)) {
        u->query = want(p, PROXY_QUERY, u->id,
            NEW_ARGS(p, prepared_query_execute_request, .datacenter = datacenter,
                .query_id_or_name = u->upstream.destination_name, .connect = true,
                .source = { .datacenter = p->datacenter, .node = p->node_name },
                .agent = { .datacenter = p->datacenter, .node = p->node_name },
                .max_age = POLL_NS));
        return;
    }
    struct upstream_overrides own = overrides_of(p, &u->upstream.config);
    if (mode.mode.n == 0) mode = p->service->proxy.mesh_gateway;
    plan_chain(p, u,
        (struct discovery_chain_request){ .evaluate_in_datacenter = datacenter,
            .override_mesh_gateway = mode,
            .override_protocol = own.protocol,
            .override_connect_timeout = own.connect_timeout_ms * 1000000 });
}

/* --- the kinds ------------------------------------------------------------------------------- */

static void plan_connect_proxy(struct proxy_plan *p)
{
    const struct connect_proxy_config *own = &p->service->proxy;
    struct proxy_connect *out = p->snapshot.connect = arena_new(p->arena, struct proxy_connect);
    out->leaf = want_leaf(p, STR_NIL, own->destination_service_name, (struct list){ 0 });
    want_intentions(p, STR_NIL, own->destination_service_name);
    if (own->destination_service_id.n) {
        struct proxy_checks_args *args = arena_new(p->arena, struct proxy_checks_args);
        args->service_id = own->destination_service_id;
        const struct proxy_checks *known = want(p, PROXY_CHECKS, args->service_id, args);
        if (known) out->checks = known->checks;
    }
    for (size_t i = 0; i < own->upstreams.n; i++) {
        struct proxy_upstream *u = LIST_PUSH(p->arena, &out->upstreams, struct proxy_upstream);
        u->upstream = LIST_AT(&own->upstreams, struct upstream, i);
        u->id = upstream_id(p->arena, &u->upstream);
        plan_upstream(p, u);
    }
    p->snapshot.valid = p->snapshot.roots && out->leaf;
}

/* What the datacenter says of itself counts more than what federation knows of it. */
static void plan_datacenters(struct proxy_plan *p, struct proxy_mesh *out, bool federated)
{
    const struct datacenter_indexed_check_service_nodes *states = NULL;
    const struct list *names =
        want(p, PROXY_DATACENTERS, STR_NIL, NEW_ARGS(p, datacenters_request, .max_age = POLL_NS));
    if (federated)
        states = want(p, PROXY_FEDERATION_GATEWAYS, STR_NIL,
            NEW_ARGS(p, dc_specific_request, .datacenter = p->datacenter));
    struct list seen = { 0 };
    for (size_t i = 0; names && i < names->n; i++) {
        struct str name = LIST_AT(names, struct str, i);
        if (str_eq(name, p->datacenter)) continue;
        const struct indexed_check_service_nodes *known = want_gateways(p, name);
        if (!known || known->nodes.n == 0) continue;
        *LIST_PUSH(p->arena, &seen, struct str) = name;
        *LIST_PUSH(p->arena, &out->datacenters, struct proxy_endpoints) =
            endpoints(p, name, &known->nodes);
    }
    for (size_t i = 0; states && i < states->datacenter_nodes.n; i++) {
        const struct dict *all = &states->datacenter_nodes;
        struct str name = dict_key(all, &type_check_service_node_list, i);
        if (lists(&seen, name)) continue;
        *LIST_PUSH(p->arena, &out->datacenters, struct proxy_endpoints) =
            endpoints(p, name, dict_at(all, &type_check_service_node_list, i));
    }
}

static void plan_mesh_gateway(struct proxy_plan *p)
{
    bool federated = str_is(dict_str(&p->service->meta, STR(FED_META_KEY)), "1");
    struct proxy_mesh *out = p->snapshot.mesh = arena_new(p->arena, struct proxy_mesh);
    const struct indexed_service_list *services = want(
        p, PROXY_SERVICES, STR_NIL, NEW_ARGS(p, dc_specific_request, .datacenter = p->datacenter));
    const struct indexed_config_entries *resolvers = want_resolvers(p);
    if (federated) {
        const struct indexed_check_service_nodes *servers = want_health(p, PROXY_SERVERS, STR_NIL,
            (struct service_specific_request){
                .datacenter = p->datacenter, .service_name = STR("consul") });
        if (servers) out->servers = servers->nodes;
    }
    plan_datacenters(p, out, federated);
    for (size_t i = 0; services && i < services->services.n; i++) {
        struct str name = LIST_AT(&services->services, struct service_name, i).name;
        const struct indexed_check_service_nodes *known = want_health(p, PROXY_INSTANCES, name,
            (struct service_specific_request){
                .datacenter = p->datacenter, .service_name = name, .connect = true });
        if (!known || known->nodes.n == 0) continue;
        *LIST_PUSH(p->arena, &out->services, struct proxy_service) =
            (struct proxy_service){ .endpoints = { .name = name, .nodes = known->nodes },
                .resolver = resolver_of(resolvers, name) };
    }
    out->services_known = services != NULL;
    p->snapshot.valid = p->snapshot.roots && services && (!federated || out->servers.n);
}

static void plan_terminating_gateway(struct proxy_plan *p)
{
    struct proxy_terminating *out = p->snapshot.terminating =
        arena_new(p->arena, struct proxy_terminating);
    const struct indexed_gateway_services *linked = want_linked(p);
    const struct indexed_config_entries *resolvers = want_resolvers(p);
    for (size_t i = 0; linked && i < linked->services.n; i++) {
        struct gateway_service *link = &LIST_AT(&linked->services, struct gateway_service, i);
        struct str name = link->service.name;
        struct proxy_service *s = LIST_PUSH(p->arena, &out->services, struct proxy_service);
        const struct indexed_check_service_nodes *known = want_health(p, PROXY_INSTANCES, name,
            (struct service_specific_request){ .datacenter = p->datacenter, .service_name = name });
        want_intentions(p, name, name);
        s->link = link;
        s->leaf = want_leaf(p, name, name, (struct list){ 0 });
        s->resolver = resolver_of(resolvers, name);
        s->endpoints.name = name;
        if (known) s->endpoints = endpoints(p, name, &known->nodes);
    }
    p->snapshot.valid = p->snapshot.roots != NULL;
}

/* Names that a gateway with TLS answers to. */
static struct list ingress_names(struct proxy_plan *p, const struct proxy_ingress *in)
{
    struct list out = { 0 };
    struct str domains[] = { p->domain, p->alt_domain };
    for (size_t i = 0; in->upstreams.n && i < 2; i++) {
        if (domains[i].n == 0) continue;
        *LIST_PUSH(p->arena, &out, struct str) =
            str_printf(p->arena, "*.ingress.%.*s", STR_ARG(domains[i]));
        *LIST_PUSH(p->arena, &out, struct str) = str_printf(
            p->arena, "*.ingress.%.*s.%.*s", STR_ARG(p->datacenter), STR_ARG(domains[i]));
    }
    for (size_t i = 0; i < in->hosts.n; i++)
        *LIST_PUSH(p->arena, &out, struct str) = LIST_AT(&in->hosts, struct str, i);
    return out;
}

static void plan_listener(
    struct proxy_plan *p, struct proxy_ingress *out, const struct gateway_service *g)
{
    struct proxy_upstream *u = LIST_PUSH(p->arena, &out->upstreams, struct proxy_upstream);
    u->upstream = (struct upstream){ .destination_name = g->service.name,
        .local_bind_port = g->port,
        .ingress_hosts = g->hosts,
        .config = { .kind = V_MAP } };
    *value_map_add(p->arena, &u->upstream.config, STR("protocol")) = value_of_str(g->protocol);
    u->id = upstream_id(p->arena, &u->upstream);
    for (size_t i = 0; i < g->hosts.n; i++)
        *LIST_PUSH(p->arena, &out->hosts, struct str) = LIST_AT(&g->hosts, struct str, i);
    plan_chain(p, u, (struct discovery_chain_request){ .evaluate_in_datacenter = p->datacenter });
}

static void plan_ingress_gateway(struct proxy_plan *p)
{
    struct proxy_ingress *out = p->snapshot.ingress = arena_new(p->arena, struct proxy_ingress);
    const struct config_entry_response *got = want(p, PROXY_ENTRY, STR_NIL,
        NEW_ARGS(p, config_entry_query, .datacenter = p->datacenter, .kind = STR("ingress-gateway"),
            .name = p->service->service));
    const struct ingress_gateway_config_entry *entry = got ? got->entry.ingress_gateway : NULL;
    const struct indexed_gateway_services *linked = want_linked(p);
    for (size_t i = 0; linked && i < linked->services.n; i++)
        plan_listener(p, out, &LIST_AT(&linked->services, struct gateway_service, i));
    if (!entry || !linked) return;
    out->tls = entry->tls.enabled;
    out->leaf = want_leaf(
        p, STR_NIL, p->service->service, out->tls ? ingress_names(p, out) : (struct list){ 0 });
    p->snapshot.valid = p->snapshot.roots && out->leaf;
}

static const struct {
    const char *kind;
    void (*plan)(struct proxy_plan *p);
} kinds[] = {
    { "connect-proxy", plan_connect_proxy },
    { "ingress-gateway", plan_ingress_gateway },
    { "mesh-gateway", plan_mesh_gateway },
    { "terminating-gateway", plan_terminating_gateway },
};

bool proxy_kind_known(struct str kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (str_is(kind, kinds[i].kind)) return true;
    return false;
}

void proxy_plan_make(struct proxy_plan *p)
{
    p->wants = (struct list){ 0 };
    p->full = false;
    p->snapshot = (struct proxy_snapshot){ .service = *p->service, .datacenter = p->datacenter };
    want_roots(p);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (str_is(p->service->kind, kinds[i].kind)) kinds[i].plan(p);
}
