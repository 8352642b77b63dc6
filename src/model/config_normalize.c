/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "consuld/model/config_rules.h"

#define PROXY_NAME "global"

static struct str upper(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        p[i] = s.p[i] >= 'a' && s.p[i] <= 'z' ? (char)(s.p[i] - 32) : s.p[i];
    return (struct str){ p, s.n };
}

/* The same list in memory that may be changed. */
static void own(struct list *l, size_t size, struct arena *a)
{
    if (l->n) l->v = arena_copy(a, l->v, l->n * size);
    l->cap = 0;
}

/* A namespace is filled in only beside methods: entries are stored so, and compared byte for byte.
 */
static void normalize_route(struct service_route *r, struct arena *a)
{
    if (!r->match || !r->match->http || !r->match->http->methods.n) return;
    r->match = arena_copy(a, r->match, sizeof *r->match);
    r->match->http = arena_copy(a, r->match->http, sizeof *r->match->http);
    struct list *methods = &r->match->http->methods;
    own(methods, sizeof(struct str), a);
    for (size_t i = 0; i < methods->n; i++)
        LIST_AT(methods, struct str, i) = upper(a, LIST_AT(methods, struct str, i));
    if (!r->destination || r->destination->namespace.n) return;
    r->destination = arena_copy(a, r->destination, sizeof *r->destination);
    r->destination->namespace = STR("default");
}

static void normalize_router(struct service_router_config_entry *e, struct arena *a)
{
    own(&e->routes, sizeof(struct service_route), a);
    for (size_t i = 0; i < e->routes.n; i++)
        normalize_route(&LIST_AT(&e->routes, struct service_route, i), a);
}

static void normalize_splitter(struct service_splitter_config_entry *e, struct arena *a)
{
    own(&e->splits, sizeof(struct service_split), a);
    for (size_t i = 0; i < e->splits.n; i++) {
        float *weight = &LIST_AT(&e->splits, struct service_split, i).weight;
        *weight = (float)(round((double)(*weight * 100.0f)) / 100.0);
    }
}

static void normalize_ingress(struct ingress_gateway_config_entry *e, struct arena *a)
{
    own(&e->listeners, sizeof(struct ingress_listener), a);
    for (size_t i = 0; i < e->listeners.n; i++) {
        struct str *protocol = &LIST_AT(&e->listeners, struct ingress_listener, i).protocol;
        *protocol = protocol->n ? str_lower(a, *protocol) : STR("tcp");
    }
}

void config_entry_normalize(struct config_entry *e, struct arena *a)
{
    if (e->proxy_defaults) {
        e->proxy_defaults = arena_copy(a, e->proxy_defaults, sizeof *e->proxy_defaults);
        e->proxy_defaults->name = STR(PROXY_NAME);
    }
    if (e->service_defaults) {
        e->service_defaults = arena_copy(a, e->service_defaults, sizeof *e->service_defaults);
        e->service_defaults->protocol = str_lower(a, e->service_defaults->protocol);
    }
    if (e->service_router) {
        e->service_router = arena_copy(a, e->service_router, sizeof *e->service_router);
        normalize_router(e->service_router, a);
    }
    if (e->service_splitter) {
        e->service_splitter = arena_copy(a, e->service_splitter, sizeof *e->service_splitter);
        normalize_splitter(e->service_splitter, a);
    }
    if (e->ingress_gateway) {
        e->ingress_gateway = arena_copy(a, e->ingress_gateway, sizeof *e->ingress_gateway);
        normalize_ingress(e->ingress_gateway, a);
    }
}
