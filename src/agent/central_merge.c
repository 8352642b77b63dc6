/* SPDX-License-Identifier: Apache-2.0 */
#include "central.h"
#include "consuld/model/service_rules.h"

bool central_applies(const struct node_service *svc)
{
    if (str_is(svc->kind, "connect-proxy")) return svc->proxy.destination_service_id.n > 0;
    return service_kind_is_gateway(svc->kind);
}

/* As Go's zero values are. */
static bool is_zero(const struct value *v)
{
    switch (v->kind) {
    case V_NIL:
        return true;
    case V_BOOL:
        return !v->b;
    case V_INT:
        return v->i == 0;
    case V_UINT:
        return v->u == 0;
    case V_FLOAT:
    case V_FLOAT32:
        return v->f == 0;
    case V_NUMBER:
        return str_is(v->s, "0");
    case V_STR:
    case V_BYTES:
        return v->s.n == 0;
    case V_LIST:
        return v->list.n == 0;
    case V_MAP:
        return v->map.n == 0;
    }
    return false;
}

/* Keys that are missing or zero; maps within maps key by key. */
static void fill_map(struct arena *a, struct value *own, const struct value *defaults)
{
    if (defaults->kind != V_MAP) return;
    for (size_t i = 0; i < defaults->map.n; i++) {
        const struct value_entry *e = &defaults->map.v[i];
        if (e->value.kind == V_NIL) continue;
        if (own->kind != V_MAP) *own = (struct value){ .kind = V_MAP };
        struct value *v = value_get(own, e->key);
        if (v && e->value.kind == V_MAP) {
            if (v->kind == V_MAP) fill_map(a, v, &e->value);
            continue;
        }
        if (v && !is_zero(v)) continue;
        if (!v) v = value_map_add(a, own, str_dup(a, e->key));
        *v = value_copy(a, &e->value);
    }
}

static void fill_expose(struct arena *a, struct expose_config *own, const struct expose_config *d)
{
    if (d->checks) own->checks = true;
    if (own->paths.n == 0 && d->paths.n)
        record_copy(a, &type_expose_path_list, &own->paths, &d->paths);
}

static const struct value *upstream_defaults(
    const struct service_config_response *d, struct str name)
{
    for (size_t i = 0; i < d->upstream_id_configs.n; i++) {
        const struct upstream_config *u =
            &LIST_AT(&d->upstream_id_configs, struct upstream_config, i);
        if (str_eq(u->upstream.id, name)) return &u->config;
    }
    return NULL;
}

static bool names_service(const struct upstream *u)
{
    return u->destination_type.n == 0 || str_is(u->destination_type, "service");
}

void central_merge(struct arena *a, const struct node_service *own,
    const struct service_config_response *defaults, struct node_service *out)
{
    record_copy(a, &type_node_service, out, own);
    struct connect_proxy_config *p = &out->proxy;
    fill_map(a, &p->config, &defaults->proxy_config);
    fill_expose(a, &p->expose, &defaults->expose);
    if (p->mesh_gateway.mode.n == 0) p->mesh_gateway.mode = str_dup(a, defaults->mesh_gateway.mode);
    for (size_t i = 0; i < p->upstreams.n; i++) {
        struct upstream *u = &LIST_AT(&p->upstreams, struct upstream, i);
        if (!names_service(u)) continue;
        if (u->mesh_gateway.mode.n == 0) u->mesh_gateway.mode = p->mesh_gateway.mode;
        const struct value *d = upstream_defaults(defaults, u->destination_name);
        if (d) fill_map(a, &u->config, d);
    }
}

static bool asked(const struct list *ids, struct str name)
{
    for (size_t i = 0; i < ids->n; i++) {
        if (str_eq(LIST_AT(ids, struct service_id, i).id, name)) return true;
    }
    return false;
}

void central_request(struct local *l, const struct node_service *svc, struct str token,
    struct arena *a, struct service_config_request *out)
{
    const struct connect_proxy_config *p = &svc->proxy;
    bool proxy = str_is(svc->kind, "connect-proxy");
    *out = (struct service_config_request){
        .datacenter = l->opts.datacenter,
        .name = str_dup(a, proxy ? p->destination_service_name : svc->service),
        .token = str_dup(a, token.n ? token : l->opts.agent_token),
    };
    for (size_t i = 0; i < p->upstreams.n; i++) {
        const struct upstream *u = &LIST_AT(&p->upstreams, struct upstream, i);
        if (!names_service(u) || asked(&out->upstream_ids, u->destination_name)) continue;
        LIST_PUSH(a, &out->upstream_ids, struct service_id)->id = str_dup(a, u->destination_name);
    }
}
