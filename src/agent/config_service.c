/* SPDX-License-Identifier: Apache-2.0 */
/* Service and check definitions of sources to the records of the agent. */
#include <string.h>

#include "config_build.h"
#include "local_state.h"

#define OUTPUT_SIZE_DEFAULT 4096

static struct service_definition *service(
    struct config_load *load, const struct config_key *key, const struct value *v);

static const struct config_key *child(const struct config_key *block, const char *name)
{
    for (size_t i = 0; i < block->n; i++)
        if (strcmp(block->keys[i].name, name) == 0) return &block->keys[i];
    ensure_failed("a key of the definition tables", __FILE__, __LINE__);
}

static const struct value *part(const struct value *v, const char *name)
{
    const struct value *at = value_get(v, str_of(name));
    return at && at->kind != V_NIL ? at : NULL;
}

static struct str text(const struct value *v, const char *name)
{
    const struct value *at = part(v, name);
    return at ? at->s : STR("");
}

/* --- checks ----------------------------------------------------------------------------------- */

static void check(struct config_load *load, const struct config_key *key, const struct value *v,
    struct check_definition *out)
{
    struct str prefix = str_printf(load->arena, "check[%.*s]", STR_ARG(text(v, "id")));
    *out = (struct check_definition){ .output_max_size = OUTPUT_SIZE_DEFAULT };
    config_fill_keys(load, key, v, prefix.p, out);
}

/* The same check as one of a service. */
static struct check_type check_of_service(const struct check_definition *d)
{
    struct check_type t;
    local_check_type(d, &t);
    t.check_id = d->id;
    return t;
}

/* `checks` first, then `check`. */
static struct list service_checks(
    struct config_load *load, const struct config_key *key, const struct value *v)
{
    struct list out = LIST_EMPTY;
    const struct value *many = part(v, "checks"), *one = part(v, "check");
    const struct config_key *keys = child(key, "checks");
    struct check_definition d;
    for (size_t i = 0; many && i < many->list.n; i++) {
        check(load, keys, &many->list.v[i], &d);
        *LIST_PUSH(load->arena, &out, struct check_type) = check_of_service(&d);
    }
    if (one) {
        check(load, keys, one, &d);
        *LIST_PUSH(load->arena, &out, struct check_type) = check_of_service(&d);
    }
    return out;
}

/* --- proxies ---------------------------------------------------------------------------------- */

static struct str gateway_mode(struct config_load *load, const struct value *block)
{
    static const char *const modes[] = { "none", "local", "remote" };
    const struct value *gateway = part(block, "mesh_gateway");
    struct str mode = gateway ? text(gateway, "mode") : STR("");
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (str_is(mode, modes[i])) return mode;
    if (mode.n) config_soft(load, "Invalid Mesh Gateway Mode: \"%.*s\"", STR_ARG(mode));
    return STR("");
}

static void expose(struct config_load *load, const struct config_key *key, const struct value *v,
    struct expose_config *out)
{
    config_fill_keys(load, key, v, "expose", out);
    const struct config_key *keys = child(key, "paths");
    const struct value *paths = part(v, "paths");
    for (size_t i = 0; paths && i < paths->list.n; i++)
        config_fill_keys(load, keys, &paths->list.v[i], "path",
            LIST_PUSH(load->arena, &out->paths, struct expose_path));
}

static struct connect_proxy_config *proxy(
    struct config_load *load, const struct config_key *key, const struct value *v)
{
    if (!v) return NULL;
    struct connect_proxy_config *out = arena_new(load->arena, struct connect_proxy_config);
    config_fill_keys(load, key, v, "proxy", out);
    const struct config_key *keys = child(key, "upstreams");
    const struct value *upstreams = part(v, "upstreams");
    for (size_t i = 0; upstreams && i < upstreams->list.n; i++) {
        struct upstream *u = LIST_PUSH(load->arena, &out->upstreams, struct upstream);
        config_fill_keys(load, keys, &upstreams->list.v[i], "upstream", u);
        if (u->destination_type.n == 0) u->destination_type = STR("service");
        u->mesh_gateway.mode = gateway_mode(load, &upstreams->list.v[i]);
    }
    out->mesh_gateway.mode = gateway_mode(load, v);
    if (part(v, "expose")) expose(load, child(key, "expose"), part(v, "expose"), &out->expose);
    return out;
}

static struct service_connect *connect(
    struct config_load *load, const struct config_key *key, const struct value *v)
{
    if (!v) return NULL;
    struct service_connect *out = arena_new(load->arena, struct service_connect);
    config_fill_keys(load, key, v, "connect", out);
    const struct value *sidecar = part(v, "sidecar_service");
    if (!sidecar) return out;
    out->sidecar_service = service(load, child(key, "sidecar_service"), sidecar);
    if (out->sidecar_service->id.n) config_soft(load, "sidecar_service can't specify an ID");
    if (out->sidecar_service->connect && out->sidecar_service->connect->sidecar_service)
        config_soft(load, "sidecar_service can't have a nested sidecar_service");
    return out;
}

/* --- services --------------------------------------------------------------------------------- */

static void tagged_addresses(
    struct config_load *load, const struct config_key *key, const struct value *v, struct dict *out)
{
    for (size_t i = 0; v && i < v->map.n; i++)
        config_fill_keys(load, key, &v->map.v[i].value, "tagged_addresses",
            dict_put(load->arena, out, &type_service_address, v->map.v[i].key));
}

static void check_weights(struct config_load *load, struct service_definition *s)
{
    static const char heading[] = "Invalid Weights: ";
    struct service_definition probe = { .name = STR("x"), .weights = s->weights };
    struct error err;
    if (service_validate(&probe, LOCAL_FROM_CONFIG, &err) == 0) return;
    const char *why = err.text;
    if (strncmp(why, heading, sizeof heading - 1) == 0) why += sizeof heading - 1;
    config_soft_alone(
        load, "Invalid weight definition for service %.*s: %s", STR_ARG(s->name), why);
}

static void check_meta(struct config_load *load, struct service_definition *s)
{
    struct error err;
    if (service_meta_validate(&s->meta, str_is(s->kind, "mesh-gateway"), &err) == 0) return;
    config_soft_alone(load, "invalid meta for service %.*s: %s", STR_ARG(s->name), err.text);
    s->meta = DICT_EMPTY;
}

static struct str known_kind(struct str kind)
{
    static const char *const kinds[] = { "connect-proxy", "mesh-gateway", "terminating-gateway",
        "ingress-gateway" };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (str_is(kind, kinds[i])) return kind;
    return STR("");
}

static struct service_definition *service(
    struct config_load *load, const struct config_key *key, const struct value *v)
{
    struct service_definition *s = arena_new(load->arena, struct service_definition);
    config_fill_keys(load, key, v, "service", s);
    s->kind = known_kind(s->kind);
    s->checks = service_checks(load, key, v);
    s->weights = arena_new(load->arena, struct weights);
    *s->weights = (struct weights){ .passing = 1, .warning = 1 };
    if (part(v, "weights"))
        config_fill_keys(load, child(key, "weights"), part(v, "weights"), "weights", s->weights);
    tagged_addresses(
        load, child(key, "tagged_addresses"), part(v, "tagged_addresses"), &s->tagged_addresses);
    check_meta(load, s);
    check_weights(load, s);
    s->proxy = proxy(load, child(key, "proxy"), part(v, "proxy"));
    s->connect = connect(load, child(key, "connect"), part(v, "connect"));
    return s;
}

void config_services(struct config_load *load)
{
    const struct config_key *services = child(load->schema, "services");
    const struct config_key *checks = child(load->schema, "checks");
    const struct value *v = config_get(load, "checks");
    load->config->checks = LIST_EMPTY;
    for (size_t i = 0; v && i < v->list.n; i++)
        check(load, checks, &v->list.v[i],
            LIST_PUSH(load->arena, &load->config->checks, struct check_definition));
    v = config_get(load, "services");
    load->config->services = LIST_EMPTY;
    for (size_t i = 0; v && i < v->list.n; i++)
        *LIST_PUSH(load->arena, &load->config->services, struct service_definition) =
            *service(load, services, &v->list.v[i]);
}
