/* SPDX-License-Identifier: Apache-2.0 */
/* Maintenance mode is a critical check that nothing runs (agent.md 13). */
#include "local_state.h"

static void enable(struct local *l, struct str check_id, const char *name, struct str reason,
    const char *default_reason, const struct node_service *svc, struct str token)
{
    if (local__check(l, check_id)) return;
    struct health_check check = { .node = l->opts.node_name,
        .check_id = check_id,
        .name = str_of(name),
        .status = STR("critical"),
        .notes = reason.n ? reason : str_of(default_reason),
        .type = STR("maintenance") };
    if (svc) {
        check.service_id = svc->id;
        check.service_name = svc->service;
        check.service_tags = svc->tags;
    }
    persist_check(l, local__check_put(l, &check, NULL, token, LOCAL_FROM_CONFIG), &check);
}

static void disable(struct local *l, struct str check_id)
{
    struct local_check *c = local__check(l, check_id);
    if (!c) return;
    persist_forget_check(l, check_id);
    local__check_drop(l, c);
}

int local_service_maintenance(
    struct local *l, struct str id, bool on, struct str reason, struct str token, struct error *err)
{
    const struct node_service *svc = local_service_get(l, id);
    if (!svc) {
        return error_set(err, ERR_NOT_FOUND, "No service registered with ID \"%.*s\"", STR_ARG(id));
    }
    struct arena a = ARENA_INIT;
    struct str check_id = str_printf(&a, SERVICE_MAINTENANCE_ID "%.*s", STR_ARG(id));
    if (on) {
        enable(l, check_id, "Service Maintenance Mode", reason,
            "Maintenance mode is enabled for this service, but no reason was provided. This is a "
            "default message.",
            svc, token);
        log_info("agent", "Service entered maintenance mode", "service", str_c(&a, id));
    } else {
        disable(l, check_id);
        log_info("agent", "Service left maintenance mode", "service", str_c(&a, id));
    }
    arena_free(&a);
    return 0;
}

void local_node_maintenance(struct local *l, bool on, struct str reason, struct str token)
{
    if (on) {
        enable(l, STR(NODE_MAINTENANCE_ID), "Node Maintenance Mode", reason,
            "Maintenance mode is enabled for this node, but no reason was provided. This is a "
            "default message.",
            NULL, token);
        log_info("agent", "Node entered maintenance mode");
    } else {
        disable(l, STR(NODE_MAINTENANCE_ID));
        log_info("agent", "Node left maintenance mode");
    }
}
