/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/model/service_rules.h"

#include "faults.h"

static struct str or_default(struct str s, const char *fallback)
{
    return s.n ? s : str_of(fallback);
}

static bool same_destination(const struct upstream *a, const struct upstream *b)
{
    return str_eq(or_default(a->destination_type, "service"),
               or_default(b->destination_type, "service")) &&
           str_eq(a->destination_namespace, b->destination_namespace) &&
           str_eq(a->destination_name, b->destination_name) && str_eq(a->datacenter, b->datacenter);
}

static bool same_listener(const struct upstream *a, const struct upstream *b)
{
    return a->local_bind_port == b->local_bind_port &&
           str_eq(or_default(a->local_bind_address, "127.0.0.1"),
               or_default(b->local_bind_address, "127.0.0.1"));
}

static bool known_type(struct str type)
{
    return str_is(type, "service") || str_is(type, "prepared_query");
}

static bool upstream_whole(const struct upstream *u)
{
    return known_type(or_default(u->destination_type, "service")) && u->destination_name.n &&
           u->local_bind_port != 0;
}

/* Those that have a fault of their own don't count. */
static bool destination_seen(const struct list *upstreams, size_t at)
{
    const struct upstream *u = &LIST_AT(upstreams, struct upstream, at);
    for (size_t i = 0; i < at; i++) {
        const struct upstream *other = &LIST_AT(upstreams, struct upstream, i);
        if (upstream_whole(other) && same_destination(u, other)) return true;
    }
    return false;
}

static bool listener_seen(const struct list *upstreams, size_t at)
{
    const struct upstream *u = &LIST_AT(upstreams, struct upstream, at);
    for (size_t i = 0; i < at; i++) {
        const struct upstream *other = &LIST_AT(upstreams, struct upstream, i);
        if (upstream_whole(other) && same_listener(u, other) && !destination_seen(upstreams, i))
            return true;
    }
    return false;
}

static void upstream_faults(struct faults *f, const struct list *upstreams, size_t at)
{
    const struct upstream *u = &LIST_AT(upstreams, struct upstream, at);
    struct str type = or_default(u->destination_type, "service");
    struct str bind = or_default(u->local_bind_address, "127.0.0.1");
    if (!known_type(type)) {
        fault(f, "unknown upstream destination type: \"%.*s\"", STR_ARG(type));
        return;
    }
    if (u->destination_name.n == 0) {
        fault(f, "upstream destination name cannot be empty");
        return;
    }
    if (u->local_bind_port == 0) {
        fault(f, "upstream local bind port cannot be zero");
        return;
    }
    if (destination_seen(upstreams, at)) {
        fault(f,
            "upstreams cannot contain duplicates of [type=\"%.*s\", name=\"%.*s\", "
            "namespace=\"%.*s\", datacenter=\"%.*s\"]",
            STR_ARG(type), STR_ARG(u->destination_name), STR_ARG(u->destination_namespace),
            STR_ARG(u->datacenter));
        return;
    }
    if (listener_seen(upstreams, at)) {
        bool v6 = str_find_char(bind, ':') >= 0;
        fault(f,
            "upstreams cannot contain duplicates by local bind address and port; "
            "\"%s%.*s%s:%lld\" is specified twice",
            v6 ? "[" : "", STR_ARG(bind), v6 ? "]" : "", (long long)u->local_bind_port);
    }
}

static void expose_faults(struct faults *f, const struct list *paths)
{
    for (size_t i = 0; i < paths->n; i++) {
        const struct expose_path *p = &LIST_AT(paths, struct expose_path, i);
        if (p->path.n == 0) fault(f, "expose.paths: empty path exposed");
        for (size_t k = 0; k < i; k++) {
            const struct expose_path *q = &LIST_AT(paths, struct expose_path, k);
            if (str_eq(p->path, q->path)) {
                fault(f, "expose.paths: duplicate paths exposed");
            }
            if (p->listener_port == q->listener_port) {
                fault(f, "expose.paths: duplicate listener ports exposed");
            }
        }
        if (p->listener_port <= 0 || p->listener_port > 65535) {
            fault(f, "expose.paths: invalid listener port: %lld", (long long)p->listener_port);
        }
        if (p->protocol.n && !str_is(p->protocol, "http") && !str_is(p->protocol, "http2")) {
            fault(f, "protocol '%.*s' not supported for path: %.*s, must be in: [http http2]",
                STR_ARG(p->protocol), STR_ARG(p->path));
        }
    }
}

static const struct connect_proxy_config no_proxy;

static void proxy_faults(struct faults *f, const struct service_shape *s)
{
    const struct connect_proxy_config *proxy = s->proxy ? s->proxy : &no_proxy;
    if (str_trim(proxy->destination_service_name).n == 0) {
        fault(f, "Proxy.DestinationServiceName must be non-empty for Connect proxy services");
    }
    if (s->port == 0) fault(f, "Port must be set for a Connect proxy");
    if (s->native) fault(f, "A Proxy cannot also be Connect Native, only typical services");
    for (size_t i = 0; i < proxy->upstreams.n; i++)
        upstream_faults(f, &proxy->upstreams, i);
    expose_faults(f, &proxy->expose.paths);
}

static void gateway_faults(struct faults *f, const struct service_shape *s)
{
    const struct connect_proxy_config *proxy = s->proxy ? s->proxy : &no_proxy;
    const struct {
        const char *field;
        bool given;
    } refused[] = {
        { "DestinationServiceName", proxy->destination_service_name.n > 0 },
        { "DestinationServiceID", proxy->destination_service_id.n > 0 },
        { "LocalServiceAddress", proxy->local_service_address.n > 0 },
        { "LocalServicePort", proxy->local_service_port != 0 },
        { "Upstreams", proxy->upstreams.n > 0 },
    };
    if (s->port == 0 && !str_is(s->kind, "ingress-gateway")) {
        fault(f, "Port must be non-zero for a %.*s", STR_ARG(s->kind));
    }
    if (s->sidecar) fault(f, "A %.*s cannot have a sidecar service defined", STR_ARG(s->kind));
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (!refused[i].given) continue;
        fault(f, "The Proxy.%s configuration is invalid for a %.*s", refused[i].field,
            STR_ARG(s->kind));
    }
}

bool service_kind_is_gateway(struct str kind)
{
    return str_is(kind, "mesh-gateway") || str_is(kind, "terminating-gateway") ||
           str_is(kind, "ingress-gateway");
}

bool service_address_is_any(struct str address)
{
    return str_is(address, "0.0.0.0") || str_is(address, "::") || str_is(address, "[::]");
}

int service_shape_validate(const struct service_shape *s, struct error *err)
{
    struct faults f = FAULTS_INIT;
    if (str_is(s->kind, "connect-proxy")) proxy_faults(&f, s);
    if (service_kind_is_gateway(s->kind)) {
        gateway_faults(&f, s);
    } else if (s->sidecar) {
        if (s->sidecar->id.n) {
            fault(&f, "A SidecarService cannot specify an ID as this is managed by the agent");
        }
        if (s->sidecar->connect && s->sidecar->connect->sidecar_service) {
            fault(&f, "A SidecarService cannot have a nested SidecarService");
        }
    }
    return faults_report(&f, err);
}
