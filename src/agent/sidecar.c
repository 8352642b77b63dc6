/* SPDX-License-Identifier: Apache-2.0 */
/* connect { sidecar_service {} }: from the parent's definition to the sidecar's (agent.md 4.4). */
#include <stdlib.h>

#include "local_state.h"

struct str sidecar_id(struct arena *a, struct str parent_id)
{
    return str_printf(a, "%.*s" SIDECAR_SUFFIX, STR_ARG(parent_id));
}

/* While loading again the configured give their ports back, in the order of configuration; what was
 * registered by a request keeps its port. */
static bool keeps_port(const struct local_service *s)
{
    return !s->deleted && !(s->stale && s->source == LOCAL_FROM_CONFIG);
}

/* The port of an earlier registration if it lies in the range, else the lowest free one. */
static int port_allocate(struct local *l, struct str id, int64_t *port, struct error *err)
{
    int64_t min = l->opts.sidecar_min_port, max = l->opts.sidecar_max_port;
    if (min < 1 || max < 1) {
        return error_set(err, ERR_BAD_REQUEST,
            "no port provided for sidecar_service and auto-assignment disabled in config");
    }
    const struct local_service *old = map_get(&l->services, id);
    if (old && keeps_port(old) && old->svc.port >= min && old->svc.port <= max) {
        *port = old->svc.port;
        return 0;
    }
    size_t n = max >= min ? (size_t)(max - min) + 1 : 0;
    bool *taken = xcalloc(n + 1, 1);
    void *value;
    for (size_t it = 0; map_next(&l->services, &it, NULL, &value);) {
        const struct local_service *s = value;
        if (keeps_port(s) && s->svc.port >= min && s->svc.port <= max)
            taken[s->svc.port - min] = true;
    }
    size_t at = 0;
    while (taken[at])
        at++;
    free(taken);
    *port = min + (int64_t)at;
    if (at < n) return 0;
    return error_set(err, ERR_BAD_REQUEST,
        "no port provided for sidecar_service and none left in the configured range [%lld, %lld]",
        (long long)min, (long long)max);
}

static void default_checks(struct arena *a, struct service_definition *sidecar, struct str parent)
{
    struct str host = sidecar->proxy->local_service_address;
    bool v6 = str_find_char(host, ':') >= 0;
    struct check_type *listening = LIST_PUSH(a, &sidecar->checks, struct check_type);
    listening->name = STR("Connect Sidecar Listening");
    listening->tcp =
        str_printf(a, v6 ? "[%.*s]:%lld" : "%.*s:%lld", STR_ARG(host), (long long)sidecar->port);
    listening->interval = INT64_C(10) * 1000000000;
    struct check_type *alias = LIST_PUSH(a, &sidecar->checks, struct check_type);
    alias->name = str_printf(a, "Connect Sidecar Aliasing %.*s", STR_ARG(parent));
    alias->alias_service = parent;
}

static void inherit(struct arena *a, const struct service_definition *parent, struct str parent_id,
    struct service_definition *s)
{
    if (s->name.n == 0) s->name = str_printf(a, "%.*s-sidecar-proxy", STR_ARG(parent->name));
    if (s->kind.n == 0) s->kind = STR("connect-proxy");
    if (s->meta.n == 0 && parent->meta.n) s->meta = parent->meta;
    if (s->tags.n == 0 && parent->tags.n) s->tags = parent->tags;
    if (s->address.n == 0) s->address = parent->address;
    struct connect_proxy_config *proxy = arena_new(a, struct connect_proxy_config);
    if (s->proxy) *proxy = *s->proxy;
    s->proxy = proxy;
    if (proxy->destination_service_name.n == 0) proxy->destination_service_name = parent->name;
    if (proxy->destination_service_id.n == 0) proxy->destination_service_id = parent_id;
    if (proxy->local_service_address.n == 0) proxy->local_service_address = STR("127.0.0.1");
    if (proxy->local_service_port < 1) proxy->local_service_port = parent->port;
}

int sidecar_make(struct local *l, struct arena *a, const struct service_definition *parent,
    struct str token, struct service_definition **out, struct str *sidecar_token, struct error *err)
{
    *out = NULL;
    if (!parent->connect || !parent->connect->sidecar_service) return 0;
    struct service_definition *s = arena_new(a, struct service_definition);
    record_copy(a, &type_service_definition, s, parent->connect->sidecar_service);
    struct str parent_id = parent->id.n ? parent->id : parent->name;

    int refused = service_meta_validate(&s->meta, false, err);
    if (refused) return refused;
    s->id = sidecar_id(a, parent_id);
    inherit(a, parent, parent_id, s);
    *sidecar_token = s->token.n ? s->token : token;
    if (s->port < 1) {
        int failed = port_allocate(l, s->id, &s->port, err);
        if (failed) return failed;
    }
    if (s->checks.n == 0 && check_type_empty(&s->check)) default_checks(a, s, parent_id);
    *out = s;
    return 0;
}
