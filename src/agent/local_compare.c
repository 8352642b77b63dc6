/* SPDX-License-Identifier: Apache-2.0 */
/* The difference between the local state and what the catalog has of this node (agent.md 6). */
#include "local_state.h"

bool compare_node(const struct local *l, const struct node *remote)
{
    const struct local_options *o = &l->opts;
    return remote && str_eq(remote->id, o->node_id) &&
           record_equal(&type_map_str, &remote->tagged_addresses, &o->tagged_addresses) &&
           record_equal(&type_map_str, &remote->meta, &o->node_meta);
}

static void compare_service(struct local *l, const struct node_service *remote)
{
    struct local_service *svc = map_get(&l->services, remote->id);
    if (!svc) {
        if (str_is(remote->id, "consul")) return;
        struct local_service *ghost = local__service_put(l, remote, STR_NIL, LOCAL_FROM_API);
        ghost->deleted = true;
        ghost->seen = l->comparisons;
        return;
    }
    svc->seen = l->comparisons;
    if (svc->deleted) {
        local__service_mark(l, svc, false);
        return;
    }
    if (svc->svc.enable_tag_override &&
        !record_equal(&type_list_str, &svc->svc.tags, &remote->tags)) {
        record_copy(&svc->arena, &type_list_str, &svc->svc.tags, &remote->tags);
        local_fire(l, svc->svc.id);
    }
    local__service_mark(l, svc, record_equal(&type_node_service, &svc->svc, remote));
}

static void compare_check(struct local *l, const struct health_check *remote)
{
    struct local_check *c = map_get(&l->checks, remote->check_id);
    if (!c) {
        if (str_is(remote->check_id, "serfHealth")) return;
        struct local_check *ghost = local__check_put(l, remote, NULL, STR_NIL, LOCAL_FROM_API);
        ghost->deleted = true;
        ghost->seen = l->comparisons;
        return;
    }
    c->seen = l->comparisons;
    if (c->deleted) {
        local__check_mark(c, false);
        return;
    }
    struct health_check seen = *remote;
    if (timer_active(&c->defer)) seen.output = c->check.output;
    local__check_mark(c, record_equal(&type_health_check, &c->check, &seen));
}

static void mark_absent(struct local *l)
{
    void *value;
    for (size_t it = 0; map_next(&l->services, &it, NULL, &value);) {
        struct local_service *svc = value;
        if (svc->seen == l->comparisons) continue;
        local__service_mark(l, svc, false);
        if (svc->deleted) local__service_forget(l, svc);
    }
    for (size_t it = 0; map_next(&l->checks, &it, NULL, &value);) {
        struct local_check *c = value;
        if (c->seen == l->comparisons) continue;
        local__check_mark(c, false);
        if (c->deleted) local__check_forget(l, c);
    }
}

void compare_catalog(
    struct local *l, const struct node_service_listing *services, const struct list *checks)
{
    l->comparisons++;
    for (size_t i = 0; i < services->services.n; i++)
        compare_service(l, &LIST_AT(&services->services, struct node_service, i));
    for (size_t i = 0; i < checks->n; i++)
        compare_check(l, &LIST_AT(checks, struct health_check, i));
    mark_absent(l);
}
