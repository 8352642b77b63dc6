/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

static void check_key(const void *row, struct buf *key)
{
    const struct health_check *c = row;
    key_lower(key, c->node);
    key_lower(key, c->check_id);
}

static void one_key(struct index_keys *out, struct str part)
{
    struct buf key = KEY_BUF;
    if (part.n) {
        key_lower(&key, part);
        index_key(out, &key);
    }
    buf_deinit(&key);
}

static void service_keys(const void *row, struct index_keys *out)
{
    one_key(out, ((const struct health_check *)row)->service_name);
}

static void status_keys(const void *row, struct index_keys *out)
{
    one_key(out, ((const struct health_check *)row)->status);
}

/* Node and service ID; checks of the node itself have an empty one. */
static void owner_keys(const void *row, struct index_keys *out)
{
    const struct health_check *c = row;
    struct buf key = KEY_BUF;
    key_lower(&key, c->node);
    key_lower(&key, c->service_id);
    index_key(out, &key);
    buf_deinit(&key);
}

const struct table table_checks = { .name = "checks",
    .type = &type_health_check,
    .key = check_key,
    .index = { [CHECKS_BY_SERVICE] = { "service", service_keys },
        [CHECKS_BY_STATUS] = { "status", status_keys },
        [CHECKS_BY_OWNER] = { "owner", owner_keys } } };

bool check_find(
    struct view *v, struct str node, struct str id, struct arena *a, struct health_check *out)
{
    return table_get(v, TABLE_CHECKS, key_of2(a, node, id), a, out);
}

int check_upsert(struct store_batch *b, uint64_t index, const struct health_check *check,
    struct arena *a, struct error *err)
{
    struct health_check row = *check, old;
    bool found = check_find(&b->view, check->node, check->check_id, a, &old);
    if (found) {
        row.create_index = old.create_index;
        row.modify_index = old.modify_index;
    } else if (!b->restoring) {
        row.create_index = index;
    }
    if (!row.status.n) row.status = STR("critical");
    if (!table_has(&b->view, TABLE_NODES, key_of(a, row.node)))
        return error_set(err, ERR_NOT_FOUND, "Missing node registration");
    struct service_row svc;
    bool of_service = row.service_id.n > 0;
    if (of_service) {
        if (!service_find(&b->view, row.node, row.service_id, a, &svc))
            return error_set(err, ERR_NOT_FOUND, "Missing service registration");
        row.service_name = svc.svc.service;
        row.service_tags = svc.svc.tags;
    }
    if (!row.check_id.n && !b->restoring)
        return error_set(
            err, ERR_BAD_REQUEST, "failed inserting check: object missing primary index");
    bool modified = !found || !record_equal(&type_health_check, &row, &old);
    if (modified && of_service)
        service_bump(b, index, svc.svc.service, svc.svc.kind, a);
    else if (modified)
        node_services_bump(b, index, row.node, a);
    if (str_is(row.status, "critical")) sessions_check_gone(b, index, row.node, row.check_id, a);
    if (modified && !b->restoring) row.modify_index = index;
    table_put(b, TABLE_CHECKS, found ? &old : NULL, &row);
    index_set(b, STR("checks"), index);
    return 0;
}

void check_delete(
    struct store_batch *b, uint64_t index, struct str node, struct str id, struct arena *a)
{
    struct health_check row;
    if (!check_find(&b->view, node, id, a, &row)) return;
    if (row.service_id.n) {
        struct service_row svc;
        index_max(b, index_name(a, "service.", row.service_name), index);
        if (service_find(&b->view, node, row.service_id, a, &svc))
            service_bump(b, index, row.service_name, svc.svc.kind, a);
    } else {
        node_services_bump(b, index, row.node, a);
        index_max(b, STR("services"), index);
    }
    table_delete(b, TABLE_CHECKS, &row);
    index_set(b, STR("checks"), index);
    sessions_check_gone(b, index, row.node, row.check_id, a);
}
