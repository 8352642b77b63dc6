/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP and gRPC checks of a service whose proxy exposes them go through the proxy: to its address
 * and a port of the exposed range (agent.md 5.4). */
#include <stdlib.h>

#include "check_probe.h"

static const struct local_service *exposing_proxy(const struct local *l, struct str service_id)
{
    void *value;
    if (!l->exposing_n || !service_id.n) return NULL;
    for (size_t it = 0; map_next(&l->services, &it, NULL, &value);) {
        const struct local_service *s = value;
        if (s->exposes && !s->deleted && str_eq(s->svc.proxy.destination_service_id, service_id))
            return s;
    }
    return NULL;
}

/* The lowest port that no other check has; the range's end is not part of it. */
static bool port_give(struct local_check *c)
{
    const struct local *l = c->local;
    int64_t min = l->opts.expose_min_port, max = l->opts.expose_max_port;
    if (c->exposed_port) return true;
    if (min < 1 || max <= min) return false;
    size_t n = (size_t)(max - min), at = 0;
    bool *taken = xcalloc(n + 1, 1);
    void *value;
    for (size_t it = 0; map_next(&l->checks, &it, NULL, &value);) {
        int64_t port = ((const struct local_check *)value)->exposed_port;
        if (port >= min && port < max) taken[port - min] = true;
    }
    while (taken[at])
        at++;
    free(taken);
    if (at == n) return false;
    c->exposed_port = min + (int64_t)at;
    return true;
}

/* scheme://host:port/path with another host and port. */
static struct str http_inject(struct arena *a, struct str url, struct str host, int64_t port)
{
    ptrdiff_t at = str_find(url, STR("://"));
    size_t begin = at < 0 ? 0 : (size_t)at + 3, end = begin;
    while (end < url.n && url.p[end] != '/' && url.p[end] != '?')
        end++;
    return str_printf(a, "%.*s%.*s:%lld%.*s", STR_ARG(str_slice(url, 0, begin)), STR_ARG(host),
        (long long)port, STR_ARG(str_slice(url, end, url.n)));
}

static struct str grpc_inject(struct arena *a, struct str target, struct str host, int64_t port)
{
    struct str address, service;
    bool named = str_cut(target, '/', &address, &service);
    return str_printf(a, "%.*s:%lld%s%.*s", STR_ARG(host), (long long)port, named ? "/" : "",
        STR_ARG(named ? service : STR("")));
}

struct str expose_target(struct local_check *c, struct arena *a, struct str target)
{
    const struct local_service *proxy = exposing_proxy(c->local, c->check.service_id);
    if (!proxy) {
        c->exposed_port = 0;
        return target;
    }
    if (!port_give(c)) {
        log_warn("agent", "no ports available to expose", "check", str_c(a, c->check.check_id));
        return target;
    }
    struct str host = proxy->svc.address.n ? proxy->svc.address : STR("127.0.0.1");
    if (str_find_char(host, ':') >= 0 && host.p[0] != '[')
        host = str_printf(a, "[%.*s]", STR_ARG(host));
    return c->kind == &check_kind_grpc ? grpc_inject(a, target, host, c->exposed_port)
                                       : http_inject(a, target, host, c->exposed_port);
}

int64_t local_check_exposed_port(struct local *l, struct str check_id)
{
    struct local_check *c = local__check(l, check_id);
    if (!c || (c->kind != &check_kind_http && c->kind != &check_kind_grpc)) return 0;
    if (!exposing_proxy(l, c->check.service_id)) return 0;
    return port_give(c) ? c->exposed_port : 0;
}

void local_http_checks(struct local *l, struct str service_id, struct arena *a, struct list *out)
{
    struct local_group *g = local__group(l, service_id);
    if (!g) return;
    link_each (it, &g->checks) {
        struct local_check *c = container_of(it, struct local_check, of_group);
        bool grpc = c->kind == &check_kind_grpc;
        if (c->deleted || c->stale || (!grpc && c->kind != &check_kind_http)) continue;
        struct check_type *t = LIST_PUSH(a, out, struct check_type);
        record_copy(a, &type_check_type, t, &c->type);
        if (!local_check_exposed_port(l, c->check.check_id)) continue;
        struct str through = expose_target(c, a, grpc ? t->grpc : t->http);
        *(grpc ? &t->proxy_grpc : &t->proxy_http) = str_dup(a, through);
    }
}
