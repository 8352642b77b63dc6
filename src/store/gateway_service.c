/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

#define ENTRY "gateway-services"

static void mapping_key(const void *row, struct buf *key)
{
    const struct gateway_service *g = row;
    char port[24];
    snprintf(port, sizeof port, "%020lld", (long long)g->port);
    key_lower(key, g->gateway.name);
    key_lower(key, g->service.name);
    key_lower(key, str_of(port));
}

static void service_keys(const void *row, struct index_keys *out)
{
    struct buf key = KEY_BUF;
    key_lower(&key, ((const struct gateway_service *)row)->service.name);
    index_key(out, &key);
    buf_deinit(&key);
}

const struct table table_gateway_services = { .name = "gateway-services",
    .type = &type_gateway_service,
    .key = mapping_key,
    .index = { [GATEWAY_SERVICES_BY_SERVICE] = { "service", service_keys } } };

static bool mapping_find(struct view *v, const struct gateway_service *like, struct arena *a,
    struct gateway_service *out)
{
    struct buf key = KEY_BUF;
    mapping_key(like, &key);
    bool found = table_get(v, TABLE_GATEWAY_SERVICES, buf_str(&key), a, out);
    buf_deinit(&key);
    return found;
}

/* Readers of one service's mappings watch this name. */
static void mapping_touch(struct store_batch *b, const struct gateway_service *g, struct arena *a)
{
    touch_entry(b, index_name(a, ENTRY "/", g->service.name));
}

static void mapping_put(
    struct store_batch *b, uint64_t index, const struct gateway_service *g, struct arena *a)
{
    struct gateway_service row = *g, old;
    bool found = mapping_find(&b->view, g, a, &old);
    row.create_index = found ? old.create_index : index;
    if (found && record_equal(&type_gateway_service, &row, &old)) return;
    row.modify_index = index;
    table_put(b, TABLE_GATEWAY_SERVICES, found ? &old : NULL, &row);
    index_max(b, STR(ENTRY), index);
    mapping_touch(b, &row, a);
}

static bool is_wildcard(const struct gateway_service *g)
{
    return str_is(g->service.name, "*");
}

/* One row for each typical service the gateway does not name itself, then the wildcard's own. */
static void wildcard_put(
    struct store_batch *b, uint64_t index, const struct gateway_service *wildcard, struct arena *a)
{
    struct list typical = { 0 };
    table_list(&b->view, TABLE_SERVICES, SERVICES_BY_KIND, key_of(a, STR_NIL), a, &typical);
    for (size_t i = 0; i < typical.n; i++) {
        struct gateway_service row = *wildcard, old;
        row.service.name = LIST_AT(&typical, struct service_row, i).svc.service;
        row.from_wildcard = true;
        if (str_is(row.service.name, "consul") || mapping_find(&b->view, &row, a, &old)) continue;
        mapping_put(b, index, &row, a);
    }
    mapping_put(b, index, wildcard, a);
}

static void mappings_drop(struct store_batch *b, struct str gateway, struct arena *a)
{
    struct list rows = { 0 };
    table_list(&b->view, TABLE_GATEWAY_SERVICES, BY_KEY, key_of(a, gateway), a, &rows);
    for (size_t i = 0; i < rows.n; i++) {
        const struct gateway_service *g = &LIST_AT(&rows, struct gateway_service, i);
        table_delete(b, TABLE_GATEWAY_SERVICES, g);
        mapping_touch(b, g, a);
    }
}

void gateway_services_replace(struct store_batch *b, uint64_t index, struct str gateway,
    const struct list *rows, struct arena *a)
{
    mappings_drop(b, gateway, a);
    for (size_t i = 0; i < rows->n; i++) {
        const struct gateway_service *g = &LIST_AT(rows, struct gateway_service, i);
        is_wildcard(g) ? wildcard_put(b, index, g, a) : mapping_put(b, index, g, a);
    }
    index_max(b, STR(ENTRY), index);
}

void gateway_services_remove(
    struct store_batch *b, uint64_t index, struct str gateway, struct arena *a)
{
    mappings_drop(b, gateway, a);
    index_max(b, STR(ENTRY), index);
}

void gateway_services_added(
    struct store_batch *b, uint64_t index, struct str service, struct arena *a)
{
    struct list wildcards = { 0 };
    table_list(&b->view, TABLE_GATEWAY_SERVICES, GATEWAY_SERVICES_BY_SERVICE, key_of(a, STR("*")),
        a, &wildcards);
    for (size_t i = 0; i < wildcards.n; i++) {
        struct gateway_service row = LIST_AT(&wildcards, struct gateway_service, i);
        row.service.name = service;
        row.from_wildcard = true;
        mapping_put(b, index, &row, a);
    }
}

void gateway_services_extinct(
    struct store_batch *b, uint64_t index, struct str service, struct arena *a)
{
    struct list rows = { 0 };
    table_list(&b->view, TABLE_GATEWAY_SERVICES, GATEWAY_SERVICES_BY_SERVICE, key_of(a, service), a,
        &rows);
    for (size_t i = 0; i < rows.n; i++) {
        const struct gateway_service *g = &LIST_AT(&rows, struct gateway_service, i);
        if (!g->from_wildcard) continue;
        table_delete(b, TABLE_GATEWAY_SERVICES, g);
        index_max(b, STR(ENTRY), index);
        mapping_touch(b, g, a);
    }
}
