/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cache.h"

/* clang-format off */
const struct cache_type cache_types[] = {
    { "Catalog.GatewayServices",           "gateway-services",                     .blocking = true, .refresh = true, .stale = true },
    { "Catalog.ListDatacenters",           "catalog-datacenters",                  .stale = true, .global = true },
    { "Catalog.ListServices",              "catalog-list-services",                .blocking = true, .refresh = true, .stale = true },
    { "Catalog.NodeServices",              "node-services",                        .blocking = true, .refresh = true, .stale = true },
    { "Catalog.ServiceList",               "catalog-services-list",                .blocking = true, .refresh = true, .stale = true },
    { "Catalog.ServiceNodes",              "catalog-services",                     .blocking = true, .refresh = true, .stale = true },
    { "ConfigEntry.Get",                   "config-entry",                         .blocking = true, .refresh = true, .stale = true },
    { "ConfigEntry.List",                  "config-entries",                       .blocking = true, .refresh = true, .stale = true },
    { "ConfigEntry.ResolveServiceConfig",  "resolved-service-config",              .blocking = true, .refresh = true, .stale = true },
    { "ConnectCA.Roots",                   "connect-ca-root",                      .blocking = true, .refresh = true },
    { "DiscoveryChain.Get",                "compiled-discovery-chain",             .blocking = true, .refresh = true, .stale = true },
    { "FederationState.ListMeshGateways",  "federation-state-list-mesh-gateways",  .blocking = true, .refresh = true, .stale = true },
    { "Health.ServiceNodes",               "health-services",                      .blocking = true, .refresh = true, .stale = true },
    { "Intention.Match",                   "intention-match",                      .blocking = true, .refresh = true },
    { "Internal.ServiceDump",              "service-dump",                         .blocking = true, .refresh = true, .stale = true },
    { "PreparedQuery.Execute",             "prepared-query",                       .stale = true },
};
/* clang-format on */
const size_t cache_type_count = sizeof cache_types / sizeof cache_types[0];

static int offset_of(const struct type *t, const char *name)
{
    const struct field *f = record_field(t->record, str_of(name));
    return f ? (int)f->offset : -1;
}

static int asker_at(const struct type *t, const char *name)
{
    const struct field *f = record_field(t->record, str_of(name));
    return f && f->type == &type_query_source ? (int)f->offset : -1;
}

void cache_layouts_init(struct cache_layout *layouts)
{
    for (size_t i = 0; i < cache_type_count; i++) {
        const struct method_types *m = method_find(str_of(cache_types[i].method));
        ensure(m && m->args->kind == KIND_REC);
        const struct type *t = m->args;
        layouts[i] = (struct cache_layout){ .args = t,
            .token = offset_of(t, "Token"),
            .min_query_index = offset_of(t, "MinQueryIndex"),
            .max_query_time = offset_of(t, "MaxQueryTime"),
            .allow_stale = offset_of(t, "AllowStale"),
            .require_consistent = offset_of(t, "RequireConsistent"),
            .use_cache = offset_of(t, "UseCache"),
            .max_stale_duration = offset_of(t, "MaxStaleDuration"),
            .max_age = offset_of(t, "MaxAge"),
            .must_revalidate = offset_of(t, "MustRevalidate"),
            .stale_if_error = offset_of(t, "StaleIfError"),
            .asker = { asker_at(t, "Source"), asker_at(t, "Agent") } };
        ensure(layouts[i].token >= 0 && layouts[i].stale_if_error >= 0);
    }
}

bool cache_takes(const char *method)
{
    for (size_t i = 0; i < cache_type_count; i++) {
        if (strcmp(cache_types[i].method, method) == 0) return true;
    }
    return false;
}
