/* SPDX-License-Identifier: Apache-2.0 */
/* Which checks and aliases belong to a service, and what the catalog has not been told yet: found
 * without a look at everything. */
#include <stdlib.h>

#include "local_state.h"

struct local_group *local__group(struct local *l, struct str service_id)
{
    return map_get(&l->groups, service_id);
}

struct local_group *local__group_join(struct local *l, struct str service_id)
{
    struct local_group *g = map_get(&l->groups, service_id);
    if (g) return g;
    g = xcalloc(1, sizeof *g);
    char *id = xmalloc(service_id.n + 1);
    for (size_t i = 0; i < service_id.n; i++)
        id[i] = service_id.p[i];
    g->id = (struct str){ id, service_id.n };
    link_init(&g->checks);
    link_init(&g->aliases);
    link_init(&g->touched);
    map_put(&l->groups, g->id, g);
    return g;
}

void local__group_leave(struct local *l, struct local_group *g)
{
    if (!link_empty(&g->checks) || !link_empty(&g->aliases)) return;
    link_remove(&g->touched);
    map_remove(&l->groups, g->id);
    free((char *)(uintptr_t)g->id.p);
    free(g);
}

static void mark(struct link *list, struct link *entry, bool in_sync)
{
    if (in_sync) {
        link_remove(entry);
    } else if (link_empty(entry)) {
        link_push(list, entry);
    }
}

void local__service_mark(struct local *l, struct local_service *s, bool in_sync)
{
    s->in_sync = in_sync;
    mark(&l->unsynced_services, &s->unsynced, in_sync);
}

void local__check_mark(struct local_check *c, bool in_sync)
{
    c->in_sync = in_sync;
    mark(&c->local->unsynced_checks, &c->unsynced, in_sync);
}
