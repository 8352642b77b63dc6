/* SPDX-License-Identifier: Apache-2.0 */
/* What a service definition must hold (agent.md 4.3) and what becomes of it. */
#include <arpa/inet.h>

#include "consuld/model/service_rules.h"
#include "local_state.h"

#define META_PAIRS_MAX 64
#define META_KEY_MAX 128
#define META_VALUE_MAX 512

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

static int structure_validate(const struct service_definition *def, struct error *err)
{
    struct service_shape shape = { .kind = def->kind,
        .port = def->port,
        .native = def->connect && def->connect->native,
        .proxy = def->proxy,
        .sidecar = def->connect ? def->connect->sidecar_service : NULL };
    return service_shape_validate(&shape, err);
}

int service_validate(
    const struct service_definition *def, enum local_source source, struct error *err)
{
    bool api = source == LOCAL_FROM_API;
    if (def->name.n == 0) {
        return error_set(
            err, ERR_BAD_REQUEST, api ? "Missing service name" : "Service name missing");
    }
    if (api && service_address_is_any(def->address))
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

void local_check_type(const struct check_definition *def, struct check_type *out)
{
    *out = (struct check_type){ .name = def->name,
        .status = def->status,
        .notes = def->notes,
        .script_args = def->script_args,
        .http = def->http,
        .header = def->header,
        .method = def->method,
        .body = def->body,
        .tcp = def->tcp,
        .interval = def->interval,
        .alias_node = def->alias_node,
        .alias_service = def->alias_service,
        .docker_container_id = def->docker_container_id,
        .shell = def->shell,
        .grpc = def->grpc,
        .grpc_use_tls = def->grpc_use_tls,
        .tls_skip_verify = def->tls_skip_verify,
        .timeout = def->timeout,
        .ttl = def->ttl,
        .success_before_passing = def->success_before_passing,
        .failures_before_critical = def->failures_before_critical,
        .deregister_critical_service_after = def->deregister_critical_service_after,
        .output_max_size = def->output_max_size };
}
