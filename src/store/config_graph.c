/* SPDX-License-Identifier: Apache-2.0 */
#include "config_graph.h"

#include "consuld/lang/chain.h"
#include "consuld/store/tables.h"

/* The answer must not depend on the server: every one evaluates here. */
#define DATACENTER "dc1"
#define TRUST_DOMAIN "b6fc9da3-03d4-4b5a-9134-c045e9b20152.consul"

/* The entries of the state with one of them changed. */
struct proposal {
    struct chain_source source;
    struct view *v;
    struct arena *a;
    struct str kind, name;
    const struct config_entry *next; /* NULL: deleted */
};

static bool find(
    const struct chain_source *s, struct str kind, struct str name, struct config_entry *out)
{
    const struct proposal *p = container_of(s, struct proposal, source);
    if (!str_eq(kind, p->kind) || !str_eq_nocase(name, p->name))
        return config_entry_find(p->v, kind, name, p->a, out);
    if (p->next) *out = *p->next;
    return p->next != NULL;
}

static int compile(const struct proposal *p, struct str service,
    struct compiled_discovery_chain *out, struct error *err)
{
    struct chain_request req = { .service = service,
        .namespace = STR("default"),
        .datacenter = STR(DATACENTER),
        .trust_domain = STR(TRUST_DOMAIN),
        .use_in_datacenter = STR(DATACENTER),
        .entries = &p->source };
    return chain_compile(&req, p->a, out, err);
}

/* --- what a change touches ------------------------------------------------------------------ */

/* A chain to compile, and what came out. */
struct touched {
    struct str service;
    struct str protocol;
    bool resolver; /* begins at one */
};

struct touched_set {
    struct list chains;  /* struct touched */
    struct list ingress; /* struct config_entry */
};

static struct touched *touched_find(const struct touched_set *t, struct str service)
{
    for (size_t i = 0; i < t->chains.n; i++) {
        struct touched *c = &LIST_AT(&t->chains, struct touched, i);
        if (str_eq_nocase(c->service, service)) return c;
    }
    return NULL;
}

static void touch_chain(struct touched_set *t, struct str service, struct arena *a)
{
    if (touched_find(t, service)) return;
    *LIST_PUSH(a, &t->chains, struct touched) = (struct touched){ .service = service };
}

typedef void (*service_fn)(void *ctx, struct str service);

static void router_services(const struct service_router_config_entry *e, service_fn fn, void *ctx)
{
    for (size_t i = 0; i < e->routes.n; i++) {
        const struct service_route *r = &LIST_AT(&e->routes, struct service_route, i);
        if (r->destination && r->destination->service.n) fn(ctx, r->destination->service);
    }
}

static void splitter_services(
    const struct service_splitter_config_entry *e, service_fn fn, void *ctx)
{
    for (size_t i = 0; i < e->splits.n; i++) {
        struct str service = LIST_AT(&e->splits, struct service_split, i).service;
        if (service.n) fn(ctx, service);
    }
}

static void resolver_services(
    const struct service_resolver_config_entry *e, service_fn fn, void *ctx)
{
    const struct type *elem = &type_service_resolver_failover;
    if (e->redirect && e->redirect->service.n) fn(ctx, e->redirect->service);
    for (size_t i = 0; i < e->failover.n; i++) {
        const struct service_resolver_failover *f = dict_at(&e->failover, elem, i);
        if (f->service.n) fn(ctx, f->service);
    }
}

static void ingress_services(const struct ingress_gateway_config_entry *e, service_fn fn, void *ctx)
{
    for (size_t i = 0; i < e->listeners.n; i++) {
        const struct list *services = &LIST_AT(&e->listeners, struct ingress_listener, i).services;
        for (size_t k = 0; k < services->n; k++) {
            struct str name = LIST_AT(services, struct ingress_service, k).name;
            if (!str_is(name, "*")) fn(ctx, name);
        }
    }
}

void store_config_services(const struct config_entry *e, service_fn fn, void *ctx)
{
    if (e->service_router) router_services(e->service_router, fn, ctx);
    if (e->service_splitter) splitter_services(e->service_splitter, fn, ctx);
    if (e->service_resolver) resolver_services(e->service_resolver, fn, ctx);
    if (e->ingress_gateway) ingress_services(e->ingress_gateway, fn, ctx);
}

struct link_search {
    struct str name;
    bool found;
};

static void look_for(void *ctx, struct str service)
{
    struct link_search *s = ctx;
    if (str_eq_nocase(service, s->name)) s->found = true;
}

static bool links_to(const struct config_entry *e, struct str name)
{
    struct link_search s = { .name = name };
    store_config_services(e, look_for, &s);
    return s.found;
}

struct adding {
    struct touched_set *t;
    struct arena *a;
};

static void add_chain(void *ctx, struct str service)
{
    const struct adding *x = ctx;
    touch_chain(x->t, service, x->a);
}

/* All entries of a kind that link to `name`; nil: all. */
static void touch_kind(
    const struct proposal *p, const char *kind, struct str name, struct touched_set *t)
{
    struct list rows = { 0 };
    struct adding adding = { t, p->a };
    table_list(p->v, TABLE_CONFIG_ENTRIES, BY_KEY, key_of_exact(p->a, str_of(kind)), p->a, &rows);
    for (size_t i = 0; i < rows.n; i++) {
        const struct config_entry *e = &LIST_AT(&rows, struct config_entry_request, i).entry;
        if (name.n && !links_to(e, name)) continue;
        if (!e->ingress_gateway) {
            touch_chain(t, *config_entry_ref(e).name, p->a);
            continue;
        }
        *LIST_PUSH(p->a, &t->ingress, struct config_entry) = *e;
        store_config_services(e, add_chain, &adding);
    }
}

static void touch_all(const struct proposal *p, struct touched_set *t)
{
    static const char *const kinds[] = { "service-router", "service-splitter", "service-resolver",
        "ingress-gateway" };
    bool global = str_is(p->kind, "proxy-defaults");
    if (!global) touch_chain(t, p->name, p->a);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        touch_kind(p, kinds[i], global ? STR_NIL : p->name, t);
}

/* --- ingress listeners ---------------------------------------------------------------------- */

static int mismatch(struct str service, struct str protocol, struct str wanted, struct error *err)
{
    return error_set(err, ERR_BAD_REQUEST,
        "service \"%.*s\" has protocol \"%.*s\", which does not match defined listener protocol "
        "\"%.*s\"",
        STR_ARG(service), STR_ARG(protocol), STR_ARG(wanted));
}

/* The ingress entry proposed itself: protocols must be equal. */
static int check_own_listener(
    const struct proposal *p, const struct ingress_listener *l, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < l->services.n && !rc; i++) {
        struct compiled_discovery_chain chain;
        struct str name = LIST_AT(&l->services, struct ingress_service, i).name;
        if (str_is(name, "*")) continue;
        rc = compile(p, name, &chain, err);
        if (!rc && !str_eq(chain.protocol, l->protocol))
            rc = mismatch(name, chain.protocol, l->protocol, err);
    }
    return rc;
}

static int check_own_ingress(const struct proposal *p, struct error *err)
{
    int rc = 0;
    if (!p->next || !p->next->ingress_gateway) return 0;
    const struct list *listeners = &p->next->ingress_gateway->listeners;
    for (size_t i = 0; i < listeners->n && !rc; i++)
        rc = check_own_listener(p, &LIST_AT(listeners, struct ingress_listener, i), err);
    return rc;
}

/* An entry that stays as it is while its services change: plain TCP carries anything that is not
 * routed by what is in it. */
static int check_listener(
    const struct touched_set *t, const struct ingress_listener *l, struct error *err)
{
    for (size_t i = 0; i < l->services.n; i++) {
        struct str name = LIST_AT(&l->services, struct ingress_service, i).name;
        if (str_is(name, "*")) continue;
        const struct touched *c = touched_find(t, name);
        bool tolerated = c->resolver && str_is(l->protocol, "tcp");
        if (!str_eq(c->protocol, l->protocol) && !tolerated)
            return mismatch(name, c->protocol, l->protocol, err);
    }
    return 0;
}

static int check_ingress(const struct touched_set *t, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < t->ingress.n && !rc; i++) {
        const struct list *listeners =
            &LIST_AT(&t->ingress, struct config_entry, i).ingress_gateway->listeners;
        for (size_t k = 0; k < listeners->n && !rc; k++)
            rc = check_listener(t, &LIST_AT(listeners, struct ingress_listener, k), err);
    }
    return rc;
}

/* --- the check ------------------------------------------------------------------------------ */

static bool starts_at_resolver(const struct compiled_discovery_chain *c)
{
    const struct discovery_graph_node *n =
        dict_get(&c->nodes, &type_discovery_graph_node, c->start_node);
    return n && str_is(n->type, "resolver");
}

int config_graph_check(struct view *v, struct str kind, struct str name,
    const struct config_entry *next, struct arena *a, struct error *err)
{
    struct proposal p = {
        .source = { find }, .v = v, .a = a, .kind = kind, .name = name, .next = next
    };
    struct touched_set t = { 0 };
    if (str_is(kind, "proxy-defaults") && !str_is(name, "global")) return 0;
    int rc = check_own_ingress(&p, err);
    if (rc) return rc;
    touch_all(&p, &t);
    for (size_t i = 0; i < t.chains.n && !rc; i++) {
        struct compiled_discovery_chain chain;
        struct touched *c = &LIST_AT(&t.chains, struct touched, i);
        rc = compile(&p, c->service, &chain, err);
        if (rc) break;
        c->protocol = chain.protocol;
        c->resolver = starts_at_resolver(&chain);
    }
    return rc ? rc : check_ingress(&t, err);
}

struct str config_graph_protocol(struct view *v, struct str service, struct arena *a)
{
    struct proposal p = { .source = { find }, .v = v, .a = a };
    struct compiled_discovery_chain chain;
    return compile(&p, service, &chain, NULL) ? STR_NIL : chain.protocol;
}
