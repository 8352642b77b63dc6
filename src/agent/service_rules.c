/* SPDX-License-Identifier: Apache-2.0 */
/* What a service definition must hold (agent.md 4.3) and what becomes of it. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "local_state.h"

#define META_PAIRS_MAX 64
#define META_KEY_MAX 128
#define META_VALUE_MAX 512
#define FAULTS_MAX ((size_t)1 << 20)

/* Faults of one definition, told together in one text. */
struct faults {
    struct buf text;
    size_t n;
};

static void fault(struct faults *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct faults *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_put_c(&f->text, "\t* ");
    buf_vprintf(&f->text, fmt, ap);
    buf_put_char(&f->text, '\n');
    va_end(ap);
    f->n++;
}

static int faults_report(struct faults *f, struct error *err)
{
    int code = 0;
    if (f->n) {
        code = error_set(err, ERR_BAD_REQUEST, "%zu error%s occurred:\n%.*s\n", f->n,
            f->n == 1 ? "" : "s", STR_ARG(buf_str(&f->text)));
    }
    buf_deinit(&f->text);
    return code;
}

static bool key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static const char *meta_fault(struct str key, struct str value, bool mesh_gateway)
{
    if (key.n == 0) return "Key cannot be blank";
    for (size_t i = 0; i < key.n; i++) {
        if (!key_char(key.p[i])) return "Key contains invalid characters";
    }
    if (key.n > META_KEY_MAX) return "Key is too long (limit: 128 characters)";
    bool federation = mesh_gateway && str_is(key, "consul-wan-federation");
    if (str_has_prefix(key, STR("consul-")) && !federation)
        return "Key prefix 'consul-' is reserved for internal use";
    if (value.n > META_VALUE_MAX) return "Value is too long (limit: 512 characters)";
    return NULL;
}

int service_meta_validate(const struct dict *meta, bool mesh_gateway, struct error *err)
{
    if (meta->n > META_PAIRS_MAX) {
        return error_set(
            err, ERR_BAD_REQUEST, "Node metadata cannot contain more than 64 key/value pairs");
    }
    for (size_t i = 0; i < meta->n; i++) {
        const struct str_pair *pair = &((const struct str_pair *)meta->v)[i];
        const char *why = meta_fault(pair->key, pair->value, mesh_gateway);
        if (why) {
            return error_set(err, ERR_BAD_REQUEST,
                "Couldn't load metadata pair ('%.*s', '%.*s'): %s", STR_ARG(pair->key),
                STR_ARG(pair->value), why);
        }
    }
    return 0;
}

static int weights_validate(const struct weights *w, struct error *err)
{
    if (!w) return 0;
    if (w->passing < 1) return error_set(err, ERR_BAD_REQUEST, "Passing must be greater than 0");
    if (w->warning < 0)
        return error_set(err, ERR_BAD_REQUEST, "Warning must be greater or equal than 0");
    if (w->passing > 65535 || w->warning > 65535)
        return error_set(err, ERR_BAD_REQUEST, "DNS Weight must be between 0 and 65535");
    return 0;
}

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

static void upstream_faults(struct faults *f, const struct connect_proxy_config *proxy, size_t at)
{
    const struct upstream *u = &LIST_AT(&proxy->upstreams, struct upstream, at);
    struct str type = or_default(u->destination_type, "service");
    struct str bind = or_default(u->local_bind_address, "127.0.0.1");
    if (!str_is(type, "service") && !str_is(type, "prepared_query")) {
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
    for (size_t i = 0; i < at; i++) {
        const struct upstream *other = &LIST_AT(&proxy->upstreams, struct upstream, i);
        if (same_destination(u, other)) {
            fault(f,
                "upstreams cannot contain duplicates of [type=\"%.*s\", name=\"%.*s\", "
                "namespace=\"%.*s\", datacenter=\"%.*s\"]",
                STR_ARG(type), STR_ARG(u->destination_name), STR_ARG(u->destination_namespace),
                STR_ARG(u->datacenter));
            return;
        }
    }
    for (size_t i = 0; i < at; i++) {
        const struct upstream *other = &LIST_AT(&proxy->upstreams, struct upstream, i);
        if (u->local_bind_port == other->local_bind_port &&
            str_eq(bind, or_default(other->local_bind_address, "127.0.0.1"))) {
            fault(f,
                "upstreams cannot contain duplicates by local bind address and port; "
                "\"%.*s:%lld\" is specified twice",
                STR_ARG(bind), (long long)u->local_bind_port);
            return;
        }
    }
}

static void expose_faults(struct faults *f, const struct expose_config *expose)
{
    for (size_t i = 0; i < expose->paths.n; i++) {
        const struct expose_path *p = &LIST_AT(&expose->paths, struct expose_path, i);
        if (p->path.n == 0) fault(f, "expose.paths: empty path exposed");
        for (size_t k = 0; k < i; k++) {
            const struct expose_path *q = &LIST_AT(&expose->paths, struct expose_path, k);
            if (str_eq(p->path, q->path))
                fault(f, "expose.paths: duplicate paths exposed; %.*s", STR_ARG(p->path));
            if (p->listener_port == q->listener_port) {
                fault(f, "expose.paths: duplicate listener ports exposed; %lld",
                    (long long)p->listener_port);
            }
        }
        if (p->listener_port <= 0 || p->listener_port > 65535) {
            fault(f, "expose.paths: invalid listener port: %lld", (long long)p->listener_port);
        }
        if (p->protocol.n && !str_is(p->protocol, "http") && !str_is(p->protocol, "http2")) {
            fault(f, "protocol '%.*s' not supported for path: %.*s, must be http or http2",
                STR_ARG(p->protocol), STR_ARG(p->path));
        }
    }
}

static const struct connect_proxy_config no_proxy;

static void proxy_faults(struct faults *f, const struct service_definition *def)
{
    const struct connect_proxy_config *proxy = def->proxy ? def->proxy : &no_proxy;
    if (str_trim(proxy->destination_service_name).n == 0) {
        fault(f, "Proxy.DestinationServiceName must be non-empty for Connect proxy services");
    }
    if (def->port == 0) fault(f, "Port must be set for a Connect proxy");
    if (def->connect && def->connect->native)
        fault(f, "A Proxy cannot also be Connect Native, only typical services");
    for (size_t i = 0; i < proxy->upstreams.n; i++)
        upstream_faults(f, proxy, i);
    expose_faults(f, &proxy->expose);
}

static void gateway_faults(struct faults *f, const struct service_definition *def)
{
    const struct connect_proxy_config *proxy = def->proxy ? def->proxy : &no_proxy;
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
    if (def->port == 0 && !str_is(def->kind, "ingress-gateway"))
        fault(f, "Port must be non-zero for a %.*s", STR_ARG(def->kind));
    if (def->connect && def->connect->sidecar_service)
        fault(f, "A %.*s cannot have a sidecar service defined", STR_ARG(def->kind));
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (refused[i].given) {
            fault(f, "The Proxy.%s configuration is invalid for a %.*s", refused[i].field,
                STR_ARG(def->kind));
        }
    }
}

static bool is_gateway(struct str kind)
{
    return str_is(kind, "mesh-gateway") || str_is(kind, "terminating-gateway") ||
           str_is(kind, "ingress-gateway");
}

static int structure_validate(const struct service_definition *def, struct error *err)
{
    struct faults f = { .text = BUF_INIT(FAULTS_MAX) };
    const struct service_definition *sidecar = def->connect ? def->connect->sidecar_service : NULL;
    if (str_is(def->kind, "connect-proxy")) proxy_faults(&f, def);
    if (is_gateway(def->kind)) gateway_faults(&f, def);
    if (sidecar && !is_gateway(def->kind)) {
        if (sidecar->id.n) {
            fault(&f, "A SidecarService cannot specify an ID as this is managed by the agent");
        }
        if (sidecar->connect && sidecar->connect->sidecar_service)
            fault(&f, "A SidecarService cannot have a nested SidecarService");
    }
    return faults_report(&f, err);
}

static bool any_address(struct str address)
{
    return str_is(address, "0.0.0.0") || str_is(address, "::") || str_is(address, "[::]");
}

int service_validate(
    const struct service_definition *def, enum local_source source, struct error *err)
{
    bool api = source == LOCAL_FROM_API;
    if (def->name.n == 0) {
        return error_set(
            err, ERR_BAD_REQUEST, api ? "Missing service name" : "Service name missing");
    }
    if (api && any_address(def->address))
        return error_set(err, ERR_BAD_REQUEST, "Invalid service address");
    if (weights_validate(def->weights, err) != 0) {
        error_prefix(err, "Invalid Weights: ");
        return ERR_BAD_REQUEST;
    }
    if (service_meta_validate(&def->meta, str_is(def->kind, "mesh-gateway"), err) != 0) {
        error_prefix(err, "Invalid Service Meta: ");
        return ERR_BAD_REQUEST;
    }
    return structure_validate(def, err);
}

void service_from_definition(
    struct arena *a, const struct service_definition *def, struct node_service *out)
{
    *out = (struct node_service){ .kind = def->kind,
        .id = def->id.n ? def->id : def->name,
        .service = def->name,
        .tags = def->tags,
        .address = def->address,
        .tagged_addresses = def->tagged_addresses,
        .meta = def->meta,
        .port = def->port,
        .weights = def->weights,
        .enable_tag_override = def->enable_tag_override };
    if (def->connect) out->connect.native = def->connect->native;
    if (def->proxy) out->proxy = *def->proxy;
    for (size_t i = 0; i < out->proxy.upstreams.n; i++) {
        struct upstream *u = &LIST_AT(&out->proxy.upstreams, struct upstream, i);
        if (u->destination_type.n == 0) u->destination_type = STR("service");
    }
    if (!out->weights) {
        out->weights = arena_new(a, struct weights);
        *out->weights = (struct weights){ .passing = 1, .warning = 1 };
    }
}

static int family_of(struct arena *a, struct str address)
{
    unsigned char bytes[16];
    const char *text = str_c(a, address);
    if (inet_pton(AF_INET, text, bytes) == 1) return 4;
    if (inet_pton(AF_INET6, text, bytes) == 1) return 6;
    return 0;
}

static void address_default(struct arena *a, struct node_service *svc, const char *name)
{
    if (dict_get(&svc->tagged_addresses, &type_service_address, str_of(name))) return;
    struct service_address *to =
        dict_put(a, &svc->tagged_addresses, &type_service_address, str_of(name));
    *to = (struct service_address){ .address = svc->address, .port = svc->port };
}

int service_fill_addresses(struct arena *a, struct node_service *svc, struct error *err)
{
    static const struct {
        const char *name;
        int family;
        const char *text;
    } checked[] = {
        { "lan_ipv4", 4, "ipv4" },
        { "lan_ipv6", 6, "ipv6" },
        { "wan_ipv4", 4, "ipv4" },
    };
    for (size_t i = 0; i < sizeof checked / sizeof checked[0]; i++) {
        const struct service_address *given =
            dict_get(&svc->tagged_addresses, &type_service_address, str_of(checked[i].name));
        if (given && family_of(a, given->address) != checked[i].family) {
            return error_set(err, ERR_INTERNAL,
                "Service tagged address \"%s\" must be a valid %s address", checked[i].name,
                checked[i].text);
        }
    }
    int family = family_of(a, svc->address);
    if (family == 4) {
        address_default(a, svc, "lan_ipv4");
        address_default(a, svc, "wan_ipv4");
    } else if (family == 6) {
        address_default(a, svc, "lan_ipv6");
        address_default(a, svc, "wan_ipv6");
    }
    return 0;
}
