/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of the kinds that look into HTTP: routers and ingress gateways. */
#include "config_rules.h"

/* --- routers -------------------------------------------------------------------------------- */

static bool rooted(struct str path)
{
    return path.n && path.p[0] == '/';
}

static int check_path(const struct service_route_http_match *m, size_t at, struct error *err)
{
    struct quoted q;
    if (m->path_exact.n && !rooted(m->path_exact))
        return error_set(err, ERR_BAD_REQUEST, "Route[%zu] PathExact doesn't start with '/': %s",
            at, config__quoted(&q, m->path_exact));
    if (m->path_prefix.n && !rooted(m->path_prefix))
        return error_set(err, ERR_BAD_REQUEST, "Route[%zu] PathPrefix doesn't start with '/': %s",
            at, config__quoted(&q, m->path_prefix));
    if (!!m->path_exact.n + !!m->path_prefix.n + !!m->path_regex.n <= 1) return 0;
    return error_set(err, ERR_BAD_REQUEST,
        "Route[%zu] should only contain at most one of PathExact, PathPrefix, or PathRegex", at);
}

static int check_headers(const struct list *headers, size_t at, struct error *err)
{
    for (size_t i = 0; i < headers->n; i++) {
        const struct service_route_http_match_header *h =
            &LIST_AT(headers, struct service_route_http_match_header, i);
        if (h->name.n == 0)
            return error_set(
                err, ERR_BAD_REQUEST, "Route[%zu] Header[%zu] missing required Name field", at, i);
        if (h->present + !!h->exact.n + !!h->prefix.n + !!h->suffix.n + !!h->regex.n != 1)
            return error_set(err, ERR_BAD_REQUEST,
                "Route[%zu] Header[%zu] should only contain one of Present, Exact, Prefix, Suffix, "
                "or Regex",
                at, i);
    }
    return 0;
}

static int check_params(const struct list *params, size_t at, struct error *err)
{
    for (size_t i = 0; i < params->n; i++) {
        const struct service_route_http_match_query_param *p =
            &LIST_AT(params, struct service_route_http_match_query_param, i);
        if (p->name.n == 0)
            return error_set(err, ERR_BAD_REQUEST,
                "Route[%zu] QueryParam[%zu] missing required Name field", at, i);
        if (p->present + !!p->exact.n + !!p->regex.n != 1)
            return error_set(err, ERR_BAD_REQUEST,
                "Route[%zu] QueryParam[%zu] should only contain one of Present, Exact, or Regex",
                at, i);
    }
    return 0;
}

static bool known_method(struct str s)
{
    static const char *const known[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT",
        "OPTIONS", "TRACE" };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (str_is(s, known[i])) return true;
    }
    return false;
}

static int check_methods(const struct list *methods, size_t at, struct error *err)
{
    struct quoted q;
    for (size_t i = 0; i < methods->n; i++) {
        struct str m = LIST_AT(methods, struct str, i);
        if (!known_method(m))
            return error_set(err, ERR_BAD_REQUEST,
                "Route[%zu] Methods contains an invalid method %s", at, config__quoted(&q, m));
        for (size_t k = 0; k < i; k++) {
            if (str_eq(LIST_AT(methods, struct str, k), m))
                return error_set(err, ERR_BAD_REQUEST,
                    "Route[%zu] Methods contains %s more than once", at, config__quoted(&q, m));
        }
    }
    return 0;
}

int config__check_router(const struct service_router_config_entry *e, struct error *err)
{
    for (size_t i = 0; i < e->routes.n; i++) {
        const struct service_route *r = &LIST_AT(&e->routes, struct service_route, i);
        const struct service_route_http_match *m = r->match ? r->match->http : NULL;
        int rc = m ? check_path(m, i, err) : 0;
        if (!rc && m) rc = check_headers(&m->header, i, err);
        if (!rc && m) rc = check_params(&m->query_param, i, err);
        if (!rc && m) rc = check_methods(&m->methods, i, err);
        if (rc) return rc;
        bool has_path = m && (m->path_exact.n || m->path_prefix.n);
        if (r->destination && r->destination->prefix_rewrite.n && !has_path)
            return error_set(err, ERR_BAD_REQUEST,
                "Route[%zu] cannot make use of PrefixRewrite without configuring either PathExact "
                "or PathPrefix",
                i);
    }
    return 0;
}

/* --- ingress gateways ----------------------------------------------------------------------- */

/* Labels of 1 to 63 bytes, 254 in all; the root may be named by a final dot. */
static bool domain_name(struct str s)
{
    size_t label = 0;
    if (s.n == 0 || s.n > 254) return false;
    if (s.n > 1 && s.p[s.n - 1] == '.') s.n--;
    for (size_t i = 0; i < s.n; i++) {
        label = s.p[i] == '.' ? 0 : label + 1;
        bool empty = s.p[i] == '.' && (i == 0 || s.p[i - 1] == '.');
        if (label > 63 || empty) return false;
    }
    return true;
}

static int check_host(bool tls, struct str host, struct error *err)
{
    struct quoted q;
    if (str_is(host, "*")) {
        if (!tls) return 0;
        return error_set(err, ERR_BAD_REQUEST,
            "Host '*' is not allowed when TLS is enabled, all hosts must be valid DNS records to "
            "add as a DNSSAN");
    }
    if (!domain_name(host))
        return error_set(
            err, ERR_BAD_REQUEST, "Host %s must be a valid DNS hostname", config__quoted(&q, host));
    struct str rest = str_has_prefix(host, STR("*.")) ? str_slice(host, 2, host.n) : host;
    if (str_find_char(rest, '*') < 0) return 0;
    return error_set(err, ERR_BAD_REQUEST,
        "Host %s is not valid, a wildcard specifier is only allowed as the leftmost label",
        config__quoted(&q, host));
}

/* Hosts may stand once in a listener, whichever service they belong to. */
static bool host_seen(const struct ingress_listener *l, size_t service, size_t host)
{
    struct str h =
        LIST_AT(&LIST_AT(&l->services, struct ingress_service, service).hosts, struct str, host);
    for (size_t i = 0; i <= service; i++) {
        const struct list *hosts = &LIST_AT(&l->services, struct ingress_service, i).hosts;
        for (size_t k = 0; k < (i == service ? host : hosts->n); k++) {
            if (str_eq(LIST_AT(hosts, struct str, k), h)) return true;
        }
    }
    return false;
}

static int check_service(const struct ingress_gateway_config_entry *e,
    const struct ingress_listener *l, size_t at, struct error *err)
{
    const struct ingress_service *s = &LIST_AT(&l->services, struct ingress_service, at);
    bool tcp = str_is(l->protocol, "tcp"), any = str_is(s->name, "*");
    const char *why = NULL;
    if (tcp && any)
        why = "Wildcard service name is only valid for protocol = 'http'";
    else if (tcp && s->hosts.n)
        why = "Associating hosts to a service is not supported for the tcp protocol";
    else if (s->name.n == 0)
        why = "Service name cannot be blank";
    else if (any && s->hosts.n)
        why = "Associating hosts to a wildcard service is not supported";
    for (size_t i = 0; i < s->hosts.n && !why; i++) {
        int rc = 0;
        if (host_seen(l, at, i))
            why = "Hosts must be unique within a specific listener";
        else
            rc = check_host(e->tls.enabled, LIST_AT(&s->hosts, struct str, i), err);
        if (rc) return rc;
    }
    if (!why) return 0;
    return error_set(err, ERR_BAD_REQUEST, "%s (listener on port %lld)", why, (long long)l->port);
}

static int check_listener(const struct ingress_gateway_config_entry *e,
    const struct ingress_listener *l, struct error *err)
{
    static const char *const known[] = { "tcp", "http", "http2", "grpc" };
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (str_is(l->protocol, known[i])) found = true;
    if (!found)
        return error_set(err, ERR_BAD_REQUEST,
            "protocol must be 'tcp', 'http', 'http2', or 'grpc'. '%.*s' is an unsupported protocol",
            STR_ARG(l->protocol));
    if (l->services.n == 0)
        return error_set(err, ERR_BAD_REQUEST, "No service declared for listener with port %lld",
            (long long)l->port);
    if (str_is(l->protocol, "tcp") && l->services.n > 1)
        return error_set(err, ERR_BAD_REQUEST,
            "Multiple services per listener are only supported for protocol = 'http' (listener on "
            "port %lld)",
            (long long)l->port);
    int rc = 0;
    for (size_t i = 0; i < l->services.n && !rc; i++)
        rc = check_service(e, l, i, err);
    return rc;
}

int config__check_ingress(const struct ingress_gateway_config_entry *e, struct error *err)
{
    for (size_t i = 0; i < e->listeners.n; i++) {
        const struct ingress_listener *l = &LIST_AT(&e->listeners, struct ingress_listener, i);
        for (size_t k = 0; k < i; k++) {
            if (LIST_AT(&e->listeners, struct ingress_listener, k).port == l->port)
                return error_set(err, ERR_BAD_REQUEST, "port %lld declared on two listeners",
                    (long long)l->port);
        }
        int rc = check_listener(e, l, err);
        if (rc) return rc;
    }
    return 0;
}
