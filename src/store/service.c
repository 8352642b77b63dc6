/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "commands.h"
#include "consuld/model/limits.h"
#include "pack.h"

static void service_key(const void *row, struct buf *key)
{
    const struct service_row *r = row;
    key_lower(key, r->node);
    key_lower(key, r->svc.id);
}

static void one_key(struct index_keys *out, struct str part)
{
    struct buf key = KEY_BUF;
    key_lower(&key, part);
    index_key(out, &key);
    buf_deinit(&key);
}

static void name_keys(const void *row, struct index_keys *out)
{
    one_key(out, ((const struct service_row *)row)->svc.service);
}

/* The service an instance stands for in the mesh, nil if it is not in it. */
static struct str connect_name(const struct node_service *svc)
{
    if (str_is(svc->kind, "connect-proxy"))
        return svc->proxy.destination_service_name.p ? svc->proxy.destination_service_name
                                                     : STR("");
    return svc->connect.native ? svc->service : STR_NIL;
}

static void connect_keys(const void *row, struct index_keys *out)
{
    struct str name = connect_name(&((const struct service_row *)row)->svc);
    if (name.p) one_key(out, name);
}

/* Readers of a mesh service watch this name: instances of any service name may join it. */
static void connect_touch(struct store_batch *b, const struct node_service *svc, struct arena *a)
{
    struct str name = connect_name(svc);
    if (name.p) touch_entry(b, index_name(a, "connect/", name));
}

static void kind_keys(const void *row, struct index_keys *out)
{
    one_key(out, ((const struct service_row *)row)->svc.kind);
}

static void service_pack(const void *row, struct buf *out)
{
    const struct service_row *r = row;
    pack_value(&type_node_service, &r->svc, out);
    buf_put_str(out, r->node);
    uint32_t n = (uint32_t)r->node.n;
    buf_put(out, &n, sizeof n);
}

static bool service_unpack(struct str key, struct str bytes, struct arena *a, void *row)
{
    (void)key;
    struct service_row *r = row;
    uint32_t n;
    if (bytes.n < sizeof n) return false;
    size_t at = bytes.n - sizeof n;
    memcpy(&n, bytes.p + at, sizeof n);
    if (n > at) return false;
    r->node = str_slice(bytes, at - n, at);
    return unpack_value(&type_node_service, str_slice(bytes, 0, at - n), a, &r->svc);
}

static const struct type type_service_row = { .kind = KIND_REC,
    .size = sizeof(struct service_row) };

const struct table table_services = { .name = "services",
    .type = &type_service_row,
    .key = service_key,
    .index = { [SERVICES_BY_NAME] = { "name", name_keys },
        [SERVICES_BY_CONNECT] = { "connect", connect_keys },
        [SERVICES_BY_KIND] = { "kind", kind_keys } },
    .pack = service_pack,
    .unpack = service_unpack };

bool service_find(
    struct view *v, struct str node, struct str id, struct arena *a, struct service_row *out)
{
    return table_get(v, TABLE_SERVICES, key_of2(a, node, id), a, out);
}

static struct str kind_entry(struct arena *a, struct str kind)
{
    return index_name(a, "service_kind.", kind.n ? kind : STR("typical"));
}

void service_bump(
    struct store_batch *b, uint64_t index, struct str name, struct str kind, struct arena *a)
{
    index_max(b, index_name(a, "service.", name), index);
    index_max(b, kind_entry(a, kind), index);
}

/* --- metadata ------------------------------------------------------------------------------ */

static const char *meta_fault(struct str kind, struct str key, struct str value)
{
    if (!key.n) return "Key cannot be blank";
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '_' || c == '-'))
            return "Key contains invalid characters";
    }
    if (key.n > LIMIT_META_KEY) return "Key is too long (limit: 128 characters)";
    bool allowed = str_is(kind, "mesh-gateway") && str_is(key, "consul-wan-federation");
    if (str_has_prefix(key, STR("consul-")) && !allowed)
        return "Key prefix 'consul-' is reserved for internal use";
    if (value.n > LIMIT_META_VALUE) return "Value is too long (limit: 512 characters)";
    return NULL;
}

static int meta_check(struct str node, const struct node_service *svc, struct error *err)
{
    const struct dict *meta = &svc->meta;
    const struct str_pair *pairs = meta->v;
    int code = 0;
    if (meta->n > LIMIT_META_PAIRS)
        code = error_set(err, ERR_BAD_REQUEST,
            "Node metadata cannot contain more than %d key/value pairs", LIMIT_META_PAIRS);
    for (size_t i = 0; i < meta->n && !code; i++) {
        const char *fault = meta_fault(svc->kind, pairs[i].key, pairs[i].value);
        if (fault)
            code =
                error_set(err, ERR_BAD_REQUEST, "Couldn't load metadata pair ('%.*s', '%.*s'): %s",
                    STR_ARG(pairs[i].key), STR_ARG(pairs[i].value), fault);
    }
    if (!code) return 0;
    return error_prefix(err,
        "Invalid Service Meta for node %.*s and serviceID %.*s: ", STR_ARG(node), STR_ARG(svc->id));
}

/* --- upsert and delete --------------------------------------------------------------------- */

static bool weights_valid(const struct weights *w)
{
    return w && w->passing >= 1 && w->passing <= LIMIT_WEIGHT && w->warning >= 0 &&
           w->warning <= LIMIT_WEIGHT;
}

int service_upsert(struct store_batch *b, uint64_t index, struct str node,
    const struct node_service *svc, struct arena *a, struct error *err)
{
    static struct weights even = { 1, 1 };
    int code = meta_check(node, svc, err);
    if (code) return code;
    if (!svc->kind.n && !str_is(svc->service, "consul"))
        gateway_services_added(b, index, svc->service, a);
    if (!table_has(&b->view, TABLE_NODES, key_of(a, node)))
        return error_set(err, ERR_NOT_FOUND, "Missing node registration");
    if (!svc->id.n && !b->restoring)
        return error_set(
            err, ERR_BAD_REQUEST, "failed inserting service: object missing primary index");
    struct service_row row = { node, *svc }, old;
    if (!weights_valid(row.svc.weights)) row.svc.weights = &even;
    row.svc.locally_registered_as_sidecar = false;
    bool found = service_find(&b->view, node, svc->id, a, &old);
    if (found) {
        row.svc.create_index = old.svc.create_index;
        if (str_eq(row.node, old.node) && record_equal(&type_node_service, &row.svc, &old.svc))
            return 0;
    } else if (!b->restoring) {
        row.svc.create_index = index;
    }
    if (!b->restoring) row.svc.modify_index = index;
    table_put(b, TABLE_SERVICES, found ? &old : NULL, &row);
    if (found) connect_touch(b, &old.svc, a);
    connect_touch(b, &row.svc, a);
    index_max(b, STR("services"), row.svc.modify_index);
    service_bump(b, row.svc.modify_index, svc->service, svc->kind, a);
    return 0;
}

static void name_extinct(struct store_batch *b, uint64_t index, struct str name, struct arena *a)
{
    index_delete(b, index_name(a, "service.", name));
    index_set(b, STR("service_last_extinction"), index);
    gateway_services_extinct(b, index, name, a);
}

void service_delete(
    struct store_batch *b, uint64_t index, struct str node, struct str id, struct arena *a)
{
    struct service_row row;
    if (!service_find(&b->view, node, id, a, &row)) return;
    struct list checks = { 0 };
    table_list(&b->view, TABLE_CHECKS, CHECKS_BY_OWNER, key_of2(a, node, row.svc.id), a, &checks);
    for (size_t i = 0; i < checks.n; i++)
        check_delete(b, index, node, LIST_AT(&checks, struct health_check, i).check_id, a);
    index_set(b, STR("checks"), index);
    table_delete(b, TABLE_SERVICES, &row);
    connect_touch(b, &row.svc, a);
    index_max(b, STR("services"), index);
    index_max(b, kind_entry(a, row.svc.kind), index);
    if (table_any(&b->view, TABLE_SERVICES, SERVICES_BY_NAME, key_of(a, row.svc.service)))
        index_max(b, index_name(a, "service.", row.svc.service), index);
    else
        name_extinct(b, index, row.svc.service, a);
}
