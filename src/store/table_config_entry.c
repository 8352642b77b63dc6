/* SPDX-License-Identifier: Apache-2.0 */
/* Config entries (fsm.md 13). A row is the entry in the wrapped form of log and snapshot. */
#include "config_graph.h"
#include "consuld/store/tables.h"
#include "snapshot.h"

#define INDEX STR("config-entries")
#define INGRESS "ingress-gateway"
#define TERMINATING "terminating-gateway"

static void entry_key(const void *row, struct buf *key)
{
    struct config_entry_ref ref =
        config_entry_ref(&((const struct config_entry_request *)row)->entry);
    key_exact(key, ref.kind);
    key_lower(key, *ref.name);
}

const struct table table_config_entries = {
    .name = "config-entries",
    .type = &type_config_entry_request,
    .key = entry_key,
};

static struct str key_of_entry(struct arena *a, struct str kind, struct str name)
{
    return key_of2(a, kind, name);
}

static bool entry_find(struct view *v, struct str kind, struct str name, struct arena *a,
    struct config_entry_request *out)
{
    return table_get(v, TABLE_CONFIG_ENTRIES, key_of_entry(a, kind, name), a, out);
}

bool config_entry_find(
    struct view *v, struct str kind, struct str name, struct arena *a, struct config_entry *out)
{
    struct config_entry_request row;
    if (!entry_find(v, kind, name, a, &row)) return false;
    *out = row.entry;
    return true;
}

/* --- gateway-services (13.3) ---------------------------------------------------------------- */

static void ingress_rows(
    const struct ingress_gateway_config_entry *e, struct arena *a, struct list *rows)
{
    for (size_t i = 0; i < e->listeners.n; i++) {
        const struct ingress_listener *l = &LIST_AT(&e->listeners, struct ingress_listener, i);
        for (size_t j = 0; j < l->services.n; j++) {
            const struct ingress_service *s = &LIST_AT(&l->services, struct ingress_service, j);
            *LIST_PUSH(a, rows, struct gateway_service) =
                (struct gateway_service){ .gateway = { .name = e->name },
                    .service = { .name = s->name },
                    .gateway_kind = STR(INGRESS),
                    .port = l->port,
                    .protocol = l->protocol,
                    .hosts = s->hosts };
        }
    }
}

static void terminating_rows(
    const struct terminating_gateway_config_entry *e, struct arena *a, struct list *rows)
{
    for (size_t i = 0; i < e->services.n; i++) {
        const struct linked_service *s = &LIST_AT(&e->services, struct linked_service, i);
        *LIST_PUSH(a, rows, struct gateway_service) =
            (struct gateway_service){ .gateway = { .name = e->name },
                .service = { .name = s->name },
                .gateway_kind = STR(TERMINATING),
                .ca_file = s->ca_file,
                .cert_file = s->cert_file,
                .key_file = s->key_file,
                .sni = s->sni };
    }
}

static bool same_mappings(const struct config_entry *x, const struct config_entry *y)
{
    if (x->ingress_gateway && y->ingress_gateway)
        return record_equal(&type_ingress_listener_list, &x->ingress_gateway->listeners,
            &y->ingress_gateway->listeners);
    if (x->terminating_gateway && y->terminating_gateway)
        return record_equal(&type_linked_service_list, &x->terminating_gateway->services,
            &y->terminating_gateway->services);
    return false;
}

static bool is_gateway(const struct config_entry *e)
{
    return e->ingress_gateway || e->terminating_gateway;
}

/* `old` is NULL or the entry it replaces. */
static void map_services(struct store_batch *b, uint64_t index, const struct config_entry *old,
    const struct config_entry *e, struct arena *a)
{
    struct list rows = { 0 };
    if (!is_gateway(e) || (old && same_mappings(old, e))) return;
    if (e->ingress_gateway) ingress_rows(e->ingress_gateway, a, &rows);
    if (e->terminating_gateway) terminating_rows(e->terminating_gateway, a, &rows);
    gateway_services_replace(b, index, *config_entry_ref(e).name, &rows, a);
}

/* --- commands ------------------------------------------------------------------------------- */

static int check_gateway_name(
    struct view *v, const struct config_entry_ref *ref, struct arena *a, struct error *err)
{
    bool ingress = str_is(ref->kind, INGRESS);
    const char *other = ingress ? TERMINATING : INGRESS;
    if (!ingress && !str_is(ref->kind, TERMINATING)) return 0;
    if (!table_has(v, TABLE_CONFIG_ENTRIES, key_of_entry(a, str_of(other), *ref->name))) return 0;
    return error_set(err, ERR_BAD_REQUEST,
        "cannot create a \"%.*s\" config entry with name \"%.*s\", a \"%s\" config entry with that "
        "name already exists",
        STR_ARG(ref->kind), STR_ARG(*ref->name), other);
}

static int entry_upsert(struct store_batch *b, uint64_t index,
    const struct config_entry_request *req, const struct config_entry_request *old, struct arena *a,
    struct error *err)
{
    struct config_entry_request row = { .entry = req->entry };
    struct config_entry_ref ref = config_entry_ref(&row.entry);
    int code = check_gateway_name(&b->view, &ref, a, err);
    if (!code) code = config_graph_check(&b->view, ref.kind, *ref.name, &row.entry, a, err);
    if (code) return code;
    *ref.create_index = old ? *config_entry_ref(&old->entry).create_index : index;
    *ref.modify_index = index;
    map_services(b, index, old ? &old->entry : NULL, &row.entry, a);
    table_put(b, TABLE_CONFIG_ENTRIES, old, &row);
    index_max(b, INDEX, index);
    return 0;
}

static int entry_delete(struct store_batch *b, uint64_t index,
    const struct config_entry_request *old, struct arena *a, struct error *err)
{
    struct config_entry_ref ref = config_entry_ref(&old->entry);
    int code = config_graph_check(&b->view, ref.kind, *ref.name, NULL, a, err);
    if (code) return code;
    if (is_gateway(&old->entry)) gateway_services_remove(b, index, *ref.name, a);
    table_delete(b, TABLE_CONFIG_ENTRIES, old);
    index_set(b, INDEX, index);
    return 0;
}

APPLY_FN(config_entry)
{
    const struct config_entry_request *req = body;
    struct config_entry_request old = { 0 };
    if (!config_entry_is_set(&req->entry))
        return error_set(err, ERR_BAD_REQUEST, "a config entry command without an entry");
    struct config_entry_ref ref = config_entry_ref(&req->entry);
    bool found = entry_find(&b->view, ref.kind, *ref.name, a, &old);
    if (str_is(req->op, "delete")) {
        return found ? entry_delete(b, index, &old, a, err) : 0;
    }
    bool cas = str_is(req->op, "upsert-cas");
    if (!cas && !str_is(req->op, "upsert"))
        return error_set(
            err, ERR_BAD_REQUEST, "invalid config entry operation type: %.*s", STR_ARG(req->op));
    uint64_t stored = found ? *config_entry_ref(&old.entry).modify_index : 0;
    bool ok = !cas || *ref.modify_index == stored;
    if (ok) {
        int code = entry_upsert(b, index, req, found ? &old : NULL, a, err);
        if (code) return code;
    }
    res->kind = RESULT_BOOL;
    res->ok = ok;
    return 0;
}

void restore_config_entry(
    struct store_batch *b, const struct config_entry_request *req, struct arena *a)
{
    struct config_entry_request row = { .entry = req->entry };
    struct config_entry_ref ref = config_entry_ref(&row.entry);
    map_services(b, *ref.modify_index, NULL, &row.entry, a);
    table_put(b, TABLE_CONFIG_ENTRIES, NULL, &row);
}

/* --- reads ---------------------------------------------------------------------------------- */

uint64_t store_config_entries(
    struct store_read *rd, struct watch_set *ws, struct str kind, struct arena *a, struct list *out)
{
    struct list rows = { 0 };
    struct str prefix = kind.n ? key_of_exact(a, kind) : STR_NIL;
    table_list(&rd->view, TABLE_CONFIG_ENTRIES, BY_KEY, prefix, a, &rows);
    for (size_t i = 0; i < rows.n; i++)
        *LIST_PUSH(a, out, struct config_entry) =
            LIST_AT(&rows, struct config_entry_request, i).entry;
    return index_report(index_watch(rd, ws, INDEX));
}

uint64_t store_config_entry(struct store_read *rd, struct watch_set *ws, struct str kind,
    struct str name, struct arena *a, struct config_entry *out)
{
    struct config_entry_request row;
    *out = (struct config_entry){ 0 };
    if (entry_find(&rd->view, kind, name, a, &row)) *out = row.entry;
    return index_report(index_watch(rd, ws, INDEX));
}
