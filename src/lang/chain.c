/* SPDX-License-Identifier: Apache-2.0 */
#include "chain.h"

#include <stdarg.h>
#include <stdio.h>

#define NAMESPACE "default"
#define CONNECT_TIMEOUT_DEFAULT INT64_C(5000000000)

int chain__refuse(struct chain_compiler *c, const char *fmt, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return error_set(c->err, ERR_BAD_REQUEST, "%s", text);
}

static struct str or_else(struct str s, struct str otherwise)
{
    return s.n ? s : otherwise;
}

static bool find(
    struct chain_compiler *c, const char *kind, struct str name, struct config_entry *out)
{
    *out = (struct config_entry){ 0 };
    return c->req->entries->find(c->req->entries, str_of(kind), name, out);
}

static const struct service_config_entry *find_defaults(struct chain_compiler *c, struct str name)
{
    struct config_entry e;
    return find(c, "service-defaults", name, &e) ? e.service_defaults : NULL;
}

static const struct proxy_config_entry *find_global(struct chain_compiler *c)
{
    struct config_entry e;
    return find(c, "proxy-defaults", STR("global"), &e) ? e.proxy_defaults : NULL;
}

/* --- protocols ------------------------------------------------------------------------------ */

static bool allows_advanced(struct str protocol)
{
    return str_is(protocol, "http") || str_is(protocol, "http2") || str_is(protocol, "grpc");
}

struct str chain_global_protocol(const struct proxy_config_entry *e)
{
    if (e->config.kind != V_MAP) return STR_NIL;
    const struct value *v = value_get(&e->config, STR("protocol"));
    for (size_t i = 0; !v && i < e->config.map.n; i++) {
        if (str_eq_nocase(e->config.map.v[i].key, STR("protocol"))) v = &e->config.map.v[i].value;
    }
    return v && v->kind == V_STR ? v->s : STR_NIL;
}

/* All services of a chain speak one protocol. */
static int record_protocol(struct chain_compiler *c, struct str service)
{
    const struct service_config_entry *own = find_defaults(c, service);
    const struct proxy_config_entry *global = own ? NULL : find_global(c);
    struct str protocol = own ? own->protocol : global ? chain_global_protocol(global) : STR_NIL;
    protocol = protocol.n ? str_lower(c->a, protocol) : STR("tcp");
    if (c->protocol.n == 0) c->protocol = protocol;
    if (str_eq(c->protocol, protocol)) return 0;
    return chain__refuse(c,
        "discovery chain \"%.*s\" uses inconsistent protocols; service \"%.*s\" has \"%.*s\" which "
        "is not \"%.*s\"",
        STR_ARG(c->req->service), STR_ARG(service), STR_ARG(protocol), STR_ARG(c->protocol));
}

/* --- nodes ---------------------------------------------------------------------------------- */

static struct str key_of(struct chain_compiler *c, const char *type, struct str name)
{
    return str_printf(c->a, "%s:%.*s", type, STR_ARG(name));
}

struct discovery_graph_node *chain__node(const struct chain_compiler *c, struct str key)
{
    return map_get(&c->nodes, key);
}

static int node_make(struct chain_compiler *c, const char *type, struct str name, struct str key,
    struct discovery_graph_node **out)
{
    struct discovery_graph_node *n = *out = arena_new(c->a, struct discovery_graph_node);
    if (c->nodes.n >= CHAIN_NODES_MAX)
        return chain__refuse(
            c, "discovery chain \"%.*s\" has too many nodes", STR_ARG(c->req->service));
    n->type = str_of(type);
    n->name = name;
    map_put(&c->nodes, key, n);
    *LIST_PUSH(c->a, &c->keys, struct str) = key;
    return 0;
}

/* --- targets -------------------------------------------------------------------------------- */

static struct chain_target *target_of(
    struct chain_compiler *c, struct str service, struct str subset, struct str ns, struct str dc)
{
    struct str dot = subset.n ? STR(".") : STR("");
    ns = or_else(ns, c->req->namespace);
    dc = or_else(dc, c->req->datacenter);
    struct str id = str_printf(c->a, "%.*s%.*s%.*s.%.*s.%.*s", STR_ARG(subset), STR_ARG(dot),
        STR_ARG(service), STR_ARG(ns), STR_ARG(dc));
    struct chain_target *t = map_get(&c->targets, id);
    if (t) return t;
    t = arena_new(c->a, struct chain_target);
    t->t = (struct discovery_target){ .id = id,
        .service = service,
        .service_subset = subset,
        .namespace = ns,
        .datacenter = dc,
        .name =
            str_printf(c->a, "%.*s.internal.%.*s", STR_ARG(id), STR_ARG(c->req->trust_domain)) };
    t->t.sni = t->t.name;
    map_put(&c->targets, id, t);
    *LIST_PUSH(c->a, &c->target_ids, struct str) = id;
    return t;
}

/* The target with what is given in place of its own; another service forgets the subset. */
static struct chain_target *rewrite(struct chain_compiler *c, const struct chain_target *from,
    struct str service, struct str subset, struct str ns, struct str dc)
{
    const struct discovery_target *t = &from->t;
    bool other = service.n && !str_eq(service, t->service);
    struct str kept = other ? STR("") : t->service_subset;
    return target_of(c, or_else(service, t->service), or_else(subset, kept),
        or_else(ns, t->namespace), or_else(dc, t->datacenter));
}

/* --- resolvers ------------------------------------------------------------------------------ */

static bool is_default(const struct service_resolver_config_entry *e)
{
    return !e->default_subset.n && !e->subsets.n && !e->redirect && !e->failover.n &&
           !e->connect_timeout;
}

static const struct service_resolver_config_entry *find_resolver(
    struct chain_compiler *c, struct str service)
{
    static const struct service_resolver_config_entry none;
    struct config_entry e;
    return find(c, "service-resolver", service, &e) ? e.service_resolver : &none;
}

static int circular_redirect(
    struct chain_compiler *c, const struct chain_target **seen, size_t n, struct str again)
{
    struct buf path = BUF_INIT(1024);
    for (size_t i = 0; i < n; i++)
        buf_printf(&path, "%.*s -> ", STR_ARG(seen[i]->t.id));
    buf_put_str(&path, again);
    int rc =
        chain__refuse(c, "detected circular resolver redirect: [%.*s]", STR_ARG(buf_str(&path)));
    buf_deinit(&path);
    return rc;
}

/* Follows redirects and default subsets. *node is set when the end has one already. */
static int settle_target(struct chain_compiler *c, struct chain_target **target,
    const struct service_resolver_config_entry **resolver, struct str *key,
    struct discovery_graph_node **node)
{
    const struct chain_target *seen[CHAIN_DEPTH_MAX];
    for (size_t n = 0; n < CHAIN_DEPTH_MAX; n++) {
        struct chain_target *t = *target, *next = NULL;
        *key = key_of(c, "resolver", t->t.id);
        *node = chain__node(c, *key);
        if (*node) return 0;
        int rc = record_protocol(c, t->t.service);
        if (rc) return rc;
        *resolver = find_resolver(c, t->t.service);
        for (size_t i = 0; i < n; i++)
            if (seen[i] == t) return circular_redirect(c, seen, n, t->t.id);
        seen[n] = t;
        const struct service_resolver_redirect *r = (*resolver)->redirect;
        if (r) next = rewrite(c, t, r->service, r->service_subset, r->namespace, r->datacenter);
        if ((!next || next == t) && !t->t.service_subset.n && (*resolver)->default_subset.n)
            next = rewrite(c, t, STR_NIL, (*resolver)->default_subset, STR_NIL, STR_NIL);
        if (!next || next == t) return 0;
        *target = next;
    }
    return chain__refuse(
        c, "discovery chain \"%.*s\" follows too many redirects", STR_ARG(c->req->service));
}

static int check_external(struct chain_compiler *c, const struct discovery_target *t,
    const struct service_resolver_config_entry *r)
{
    const char *what = r->redirect     ? "redirects"
                       : r->subsets.n  ? "subsets"
                       : r->failover.n ? "failover"
                                       : NULL;
    if (!t->external || !what) return 0;
    return chain__refuse(c,
        "service \"%.*s\" has an external SNI set; cannot define %s for external services",
        STR_ARG(t->service), what);
}

static struct str gateway_mode(struct chain_compiler *c, const struct discovery_target *t,
    const struct service_config_entry *own)
{
    if (str_eq(t->datacenter, c->req->use_in_datacenter) || t->external) return STR("");
    const struct proxy_config_entry *global = find_global(c);
    struct str mode = own ? own->mesh_gateway.mode : STR("");
    if (!mode.n && global) mode = global->mesh_gateway.mode;
    struct str wanted = c->req->mesh_gateway_mode;
    if (wanted.n && !str_eq(mode, wanted)) {
        mode = wanted;
        c->by_gateway = true;
    }
    return mode.p ? mode : STR("");
}

static int64_t connect_timeout(
    struct chain_compiler *c, const struct service_resolver_config_entry *r)
{
    int64_t ns = r->connect_timeout < 1 ? CONNECT_TIMEOUT_DEFAULT : r->connect_timeout;
    if (c->req->connect_timeout <= 0 || c->req->connect_timeout == ns) return ns;
    c->by_timeout = true;
    return c->req->connect_timeout;
}

/* What the entries of its service say about a target. */
static int complete_target(struct chain_compiler *c, struct discovery_target *t,
    const struct service_resolver_config_entry *r)
{
    const struct service_config_entry *own = find_defaults(c, t->service);
    const struct service_resolver_subset *subset =
        dict_get(&r->subsets, &type_service_resolver_subset, t->service_subset);
    if (t->service_subset.n && !subset)
        return chain__refuse(c, "service \"%.*s\" does not have a subset named \"%.*s\"",
            STR_ARG(t->service), STR_ARG(t->service_subset));
    if (subset) t->subset = *subset;
    if (own && own->external_sni.n) {
        t->sni = own->external_sni;
        t->external = true;
    }
    int rc = check_external(c, t, r);
    if (!rc) t->mesh_gateway.mode = gateway_mode(c, t, own);
    return rc;
}

static int resolver_node(struct chain_compiler *c, struct chain_target *target, bool for_failover,
    struct discovery_graph_node **out, struct str *key);

static int add_failover(struct chain_compiler *c, struct discovery_graph_node *node,
    const struct chain_target *target, struct chain_target *other)
{
    struct discovery_graph_node *n;
    struct str key;
    if (other == target) return 0;
    int rc = resolver_node(c, other, true, &n, &key);
    if (rc) return rc;
    if (!node->resolver->failover)
        node->resolver->failover = arena_new(c->a, struct discovery_failover);
    *LIST_PUSH(c->a, &node->resolver->failover->targets, struct str) = n->resolver->target;
    return 0;
}

static int make_failover(struct chain_compiler *c, struct discovery_graph_node *node,
    const struct chain_target *target, const struct service_resolver_config_entry *r)
{
    const struct type *elem = &type_service_resolver_failover;
    const struct service_resolver_failover *f =
        dict_get(&r->failover, elem, target->t.service_subset);
    if (!f) f = dict_get(&r->failover, elem, STR("*"));
    if (!f) return 0;
    size_t n = f->datacenters.n ? f->datacenters.n : 1;
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        struct str dc = f->datacenters.n ? LIST_AT(&f->datacenters, struct str, i) : STR_NIL;
        rc = add_failover(
            c, node, target, rewrite(c, target, f->service, f->service_subset, f->namespace, dc));
    }
    return rc;
}

static int resolver_node(struct chain_compiler *c, struct chain_target *target, bool for_failover,
    struct discovery_graph_node **out, struct str *key)
{
    const struct service_resolver_config_entry *r = NULL;
    int rc = settle_target(c, &target, &r, key, out);
    if (rc || *out) return rc;
    int64_t timeout = connect_timeout(c, r);
    rc = complete_target(c, &target->t, r);
    if (!rc) rc = node_make(c, "resolver", target->t.id, *key, out);
    if (rc) return rc;
    target->retained = true;
    (*out)->resolver = arena_new(c->a, struct discovery_resolver);
    *(*out)->resolver = (struct discovery_resolver){
        .connect_timeout = timeout, .is_default = is_default(r), .target = target->t.id
    };
    return for_failover ? 0 : make_failover(c, *out, target, r);
}

/* --- splitters ------------------------------------------------------------------------------ */

static int splitter_node(struct chain_compiler *c, struct str service,
    struct discovery_graph_node **out, struct str *key);

static int add_split(struct chain_compiler *c, struct discovery_graph_node *node,
    struct str service, const struct service_split *s)
{
    struct discovery_graph_node *next = NULL;
    struct str key, to = or_else(s->service, service);
    int rc = 0;
    if (++c->splits > CHAIN_SPLITS_MAX)
        return chain__refuse(
            c, "discovery chain \"%.*s\" has too many splits", STR_ARG(c->req->service));
    if (!str_eq(to, service) && !s->service_subset.n) rc = splitter_node(c, to, &next, &key);
    if (!rc && !next)
        rc = resolver_node(
            c, target_of(c, to, s->service_subset, STR(NAMESPACE), STR_NIL), false, &next, &key);
    if (rc) return rc;
    *LIST_PUSH(c->a, &node->splits, struct discovery_split) =
        (struct discovery_split){ .weight = s->weight, .next_node = key };
    return 0;
}

/* *out is NULL when the service has no splitter. */
static int splitter_node(struct chain_compiler *c, struct str service,
    struct discovery_graph_node **out, struct str *key)
{
    struct config_entry e;
    struct str name = str_printf(c->a, "%.*s." NAMESPACE, STR_ARG(service));
    *key = key_of(c, "splitter", name);
    *out = chain__node(c, *key);
    if (*out || !find(c, "service-splitter", service, &e)) return 0;
    if (c->plain) {
        c->by_protocol = true;
        return 0;
    }
    if (c->depth++ >= CHAIN_DEPTH_MAX)
        return chain__refuse(c, "discovery chain \"%.*s\" is too deep", STR_ARG(c->req->service));
    /* Recorded before its legs, so that a loop of splitters ends here. */
    int rc = node_make(c, "splitter", name, *key, out);
    const struct list *splits = &e.service_splitter->splits;
    (*out)->splits = LIST_EMPTY;
    for (size_t i = 0; i < splits->n && !rc; i++)
        rc = add_split(c, *out, service, &LIST_AT(splits, struct service_split, i));
    c->advanced = true;
    c->depth--;
    return rc;
}

static int splitter_or_resolver(
    struct chain_compiler *c, struct str service, struct str ns, struct str *key)
{
    struct discovery_graph_node *n = NULL;
    int rc = splitter_node(c, service, &n, key);
    if (rc || n) return rc;
    return resolver_node(c, target_of(c, service, STR(""), ns, STR_NIL), false, &n, key);
}

/* --- the router ----------------------------------------------------------------------------- */

static int add_route(
    struct chain_compiler *c, struct discovery_graph_node *node, const struct service_route *route)
{
    static const struct service_route_destination nowhere;
    const struct service_route_destination *d = route->destination ? route->destination : &nowhere;
    struct discovery_graph_node *n;
    struct str key, to = or_else(d->service, c->req->service);
    struct str ns = or_else(d->namespace, STR(NAMESPACE));
    int rc =
        d->service_subset.n
            ? resolver_node(c, target_of(c, to, d->service_subset, ns, STR_NIL), false, &n, &key)
            : splitter_or_resolver(c, to, ns, &key);
    if (rc) return rc;
    *LIST_PUSH(c->a, &node->routes, struct discovery_route) =
        (struct discovery_route){ .definition = arena_copy(c->a, route, sizeof *route),
            .next_node = key };
    return 0;
}

/* What no route takes goes on to the service itself. */
static struct service_route rest_route(struct chain_compiler *c)
{
    struct service_route route = { .match = arena_new(c->a, struct service_route_match),
        .destination = arena_new(c->a, struct service_route_destination) };
    route.match->http = arena_new(c->a, struct service_route_http_match);
    route.match->http->path_prefix = STR("/");
    route.destination->service = c->req->service;
    route.destination->namespace = STR(NAMESPACE);
    return route;
}

static int router_node(struct chain_compiler *c, const struct service_router_config_entry *e)
{
    struct discovery_graph_node *node;
    struct service_route rest = rest_route(c);
    struct str name = str_printf(c->a, "%.*s." NAMESPACE, STR_ARG(c->req->service));
    c->start = key_of(c, "router", name);
    c->advanced = true;
    int rc = record_protocol(c, c->req->service);
    if (!rc) rc = node_make(c, "router", name, c->start, &node);
    for (size_t i = 0; i < e->routes.n && !rc; i++)
        rc = add_route(c, node, &LIST_AT(&e->routes, struct service_route, i));
    return rc ? rc : add_route(c, node, &rest);
}

static int assemble(struct chain_compiler *c)
{
    struct config_entry e;
    bool routed = find(c, "service-router", c->req->service, &e);
    if (routed && !c->plain) return router_node(c, e.service_router);
    if (routed) c->by_protocol = true;
    return splitter_or_resolver(c, c->req->service, STR_NIL, &c->start);
}

/* --- the whole ------------------------------------------------------------------------------ */

static int check_advanced(struct chain_compiler *c)
{
    if (!c->advanced || allows_advanced(c->protocol)) return 0;
    return chain__refuse(c,
        "discovery chain \"%.*s\" uses a protocol \"%.*s\" that does not permit advanced routing "
        "or splitting behavior",
        STR_ARG(c->req->service), STR_ARG(c->protocol));
}

static struct str customization(const struct chain_compiler *c)
{
    const struct chain_request *r = c->req;
    if (!c->by_gateway && !c->by_protocol && !c->by_timeout) return STR("");
    return chain_customization_hash(c->by_gateway ? r->mesh_gateway_mode : STR_NIL,
        c->by_protocol ? r->protocol : STR_NIL, c->by_timeout ? r->connect_timeout : 0, c->a);
}

static void deliver(struct chain_compiler *c, struct compiled_discovery_chain *out)
{
    const struct chain_request *r = c->req;
    if (r->protocol.n) {
        if (!str_eq(r->protocol, c->protocol)) c->by_protocol = true;
        c->protocol = r->protocol;
    }
    struct compiled_discovery_chain made = { .service_name = r->service,
        .namespace = r->namespace,
        .datacenter = r->datacenter,
        .customization_hash = customization(c),
        .protocol = c->protocol,
        .start_node = c->start,
        .nodes = DICT_EMPTY,
        .targets = DICT_EMPTY };
    chain__collect(c, &made.nodes);
    for (size_t i = 0; i < c->target_ids.n; i++) {
        struct str id = LIST_AT(&c->target_ids, struct str, i);
        const struct chain_target *t = map_get(&c->targets, id);
        if (!t->retained) continue;
        *(struct discovery_target *)dict_put(c->a, &made.targets, &type_discovery_target, id) =
            t->t;
    }
    record_copy(c->a, &type_compiled_discovery_chain, out, &made);
}

int chain_compile(const struct chain_request *req, struct arena *a,
    struct compiled_discovery_chain *out, struct error *err)
{
    struct chain_compiler c = { .req = req, .a = a, .err = err };
    ensure(req->namespace.n && req->datacenter.n);
    if (!req->service.n) return chain__refuse(&c, "serviceName is required");
    c.plain = req->protocol.n && !allows_advanced(req->protocol);
    int rc = assemble(&c);
    if (!rc) rc = chain__check_circles(&c);
    if (!rc) rc = chain__flatten(&c);
    if (!rc) rc = check_advanced(&c);
    if (!rc) deliver(&c, out);
    map_deinit(&c.nodes);
    map_deinit(&c.targets);
    return rc;
}
