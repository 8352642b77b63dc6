/* SPDX-License-Identifier: Apache-2.0 */
/* ConfigEntry.* (rpc.md 13, fsm.md 13). */
#include "consuld/model/config_rules.h"
#include "server.h"

static int check_kind(struct eval *e, struct str kind)
{
    if (config_entry_type(kind)) return 0;
    return error_set(e->err, ERR_INTERNAL, "invalid config entry kind: %.*s", STR_ARG(kind));
}

int config_entry_get(struct eval *e)
{
    const struct config_entry_query *args = eval_args(e, config_entry_query);
    int rc = check_kind(e, args->kind);
    if (rc) return rc;
    e->reply->index = store_config_entry(e->rd, e->ws, args->kind, args->name, &e->reply->arena,
        &eval_reply(e, config_entry_response)->entry);
    return 0;
}

int config_entry_list(struct eval *e)
{
    const struct config_entry_query *args = eval_args(e, config_entry_query);
    struct indexed_config_entries *out = eval_reply(e, indexed_config_entries);
    int rc = args->kind.n ? check_kind(e, args->kind) : 0;
    if (rc) return rc;
    out->kind = str_dup(&e->reply->arena, args->kind);
    e->reply->index =
        store_config_entries(e->rd, e->ws, args->kind, &e->reply->arena, &out->entries);
    if (!out->entries.v) out->entries = LIST_EMPTY;
    return 0;
}

int config_entry_list_all(struct eval *e)
{
    e->reply->index = store_config_entries(e->rd, e->ws, STR_NIL, &e->reply->arena,
        &eval_reply(e, indexed_generic_config_entries)->entries);
    return 0;
}

/* --- writes --------------------------------------------------------------------------------- */

static int no_entry(struct write *w)
{
    return error_set(w->err, ERR_INTERNAL, "a config entry request without an entry");
}

int config_entry_apply(struct write *w)
{
    struct config_entry_request *req =
        arena_copy(w->p.call->arena, w->p.args, sizeof(struct config_entry_request));
    if (!config_entry_is_set(&req->entry)) return no_entry(w);
    config_entry_normalize(&req->entry, w->p.call->arena);
    if (config_entry_validate(&req->entry, w->err)) return w->err->code = ERR_INTERNAL;
    if (!str_is(req->op, "upsert-cas")) req->op = STR("upsert");
    return write_propose(w, COMMAND_CONFIG_ENTRY, req);
}

int config_entry_delete(struct write *w)
{
    struct config_entry_request *req =
        arena_copy(w->p.call->arena, w->p.args, sizeof(struct config_entry_request));
    if (!config_entry_is_set(&req->entry)) return no_entry(w);
    config_entry_normalize(&req->entry, w->p.call->arena);
    req->op = STR("delete");
    return write_propose(w, COMMAND_CONFIG_ENTRY, req);
}

/* --- what a proxy gets of them -------------------------------------------------------------- */

struct resolving {
    struct eval *e;
    struct arena *a;
    struct service_config_response *out;
    struct str global_protocol;
};

static const struct service_config_entry *service_defaults(struct resolving *r, struct str name)
{
    struct config_entry entry;
    r->e->reply->index =
        store_config_entry(r->e->rd, r->e->ws, STR("service-defaults"), name, r->a, &entry);
    return entry.service_defaults;
}

static int take_global(struct resolving *r)
{
    struct config_entry entry;
    store_config_entry(r->e->rd, r->e->ws, STR("proxy-defaults"), STR("global"), r->a, &entry);
    const struct proxy_config_entry *global = entry.proxy_defaults;
    if (!global) return 0;
    r->out->proxy_config = global->config;
    r->out->mesh_gateway = global->mesh_gateway;
    r->out->expose = global->expose;
    const struct value *protocol = value_get(&global->config, STR("protocol"));
    if (!protocol || protocol->kind == V_NIL) return 0;
    if (protocol->kind != V_STR)
        return error_set(r->e->err, ERR_INTERNAL, "invalid protocol type in proxy-defaults");
    r->global_protocol = protocol->s;
    return 0;
}

static void set_protocol(struct resolving *r, struct value *config, struct str protocol)
{
    if (config->kind != V_MAP) *config = (struct value){ .kind = V_MAP };
    struct value *v = value_get(config, STR("protocol"));
    if (!v) v = value_map_add(r->a, config, STR("protocol"));
    *v = value_of_str(protocol);
}

static void take_service(struct resolving *r, const struct service_config_entry *own)
{
    if (!own) return;
    if (own->expose.checks) r->out->expose.checks = true;
    if (own->expose.paths.n) r->out->expose.paths = own->expose.paths;
    if (own->mesh_gateway.mode.n) r->out->mesh_gateway = own->mesh_gateway;
    if (own->protocol.n) set_protocol(r, &r->out->proxy_config, own->protocol);
}

static void take_upstream(struct resolving *r, struct str name, bool legacy)
{
    const struct service_config_entry *e = service_defaults(r, name);
    struct str protocol = e && e->protocol.n ? e->protocol : r->global_protocol;
    struct value config = { .kind = V_NIL };
    if (!protocol.n) return;
    set_protocol(r, &config, protocol);
    if (legacy) {
        struct value *all = &r->out->upstream_configs;
        if (all->kind != V_MAP) *all = (struct value){ .kind = V_MAP };
        struct value *v = value_get(all, name);
        if (!v) v = value_map_add(r->a, all, str_dup(r->a, name));
        *v = config;
        return;
    }
    struct upstream_config *u =
        LIST_PUSH(r->a, &r->out->upstream_id_configs, struct upstream_config);
    u->upstream.id = str_dup(r->a, name);
    u->config = config;
}

int config_entry_resolve_service_config(struct eval *e)
{
    const struct service_config_request *args = eval_args(e, service_config_request);
    struct resolving r = {
        .e = e, .a = &e->reply->arena, .out = eval_reply(e, service_config_response)
    };
    int rc = take_global(&r);
    if (rc) return rc;
    take_service(&r, service_defaults(&r, args->name));
    bool legacy = args->upstream_ids.n == 0;
    size_t n = legacy ? args->upstreams.n : args->upstream_ids.n;
    for (size_t i = 0; i < n; i++)
        take_upstream(&r,
            legacy ? LIST_AT(&args->upstreams, struct str, i)
                   : LIST_AT(&args->upstream_ids, struct service_id, i).id,
            legacy);
    return 0;
}
