/* SPDX-License-Identifier: Apache-2.0 */
/* Tombstone expiry (leader.md 7): what was inserted is grouped by its time, rounded up to half a
 * minute; one reap per group. Hints come from the store's watch of the table. */
#include <stdlib.h>

#include "server.h"

#define GRANULARITY_MS 30000
#define GROUPS_MAX 64

struct group {
    uint64_t due_ms;
    uint64_t index;
};

struct tombstone_gc {
    struct server *server;
    struct watch_set ws;
    struct timer timer;
    bool on;
    struct group groups[GROUPS_MAX]; /* by time */
    size_t n;
};

static void arm(struct tombstone_gc *gc)
{
    uint64_t now = world_now_ms(gc->server->world);
    timer_stop(&gc->timer);
    if (gc->n == 0) return;
    timer_start(&gc->timer, gc->groups[0].due_ms > now ? gc->groups[0].due_ms - now : 0);
}

static void hint(struct tombstone_gc *gc, uint64_t index)
{
    struct server *s = gc->server;
    uint64_t due = world_now_ms(s->world) + s->opts.tombstone_ttl_ms;
    due += GRANULARITY_MS - due % GRANULARITY_MS;
    struct group *last = gc->n ? &gc->groups[gc->n - 1] : NULL;
    if (last && (last->due_ms >= due || gc->n == GROUPS_MAX)) {
        last->index = index;
        return;
    }
    gc->groups[gc->n++] = (struct group){ .due_ms = due, .index = index };
    if (gc->n == 1) arm(gc);
}

static void look(struct tombstone_gc *gc)
{
    uint64_t index = store_index(store_read(gc->server->store), &gc->ws, STR("tombstones"));
    if (index) hint(gc, index);
}

static void changed(struct watch_set *ws)
{
    struct tombstone_gc *gc = container_of(ws, struct tombstone_gc, ws);
    if (gc->on) look(gc);
}

static void due(struct timer *t)
{
    struct tombstone_gc *gc = container_of(t, struct tombstone_gc, timer);
    struct server *s = gc->server;
    if (gc->n == 0) return;
    struct tombstone_request req = {
        .datacenter = s->opts.datacenter, .op = STR("reap"), .reap_index = gc->groups[0].index
    };
    gc->n--;
    for (size_t i = 0; i < gc->n; i++)
        gc->groups[i] = gc->groups[i + 1];
    server__propose_detached(s, COMMAND_TOMBSTONE, &req, "failed to reap tombstones");
    arm(gc);
}

void server__tombstones_start(struct server *s)
{
    struct tombstone_gc *gc = s->tombstones;
    if (gc->on) return;
    gc->on = true;
    look(gc);
}

void server__tombstones_stop(struct server *s)
{
    struct tombstone_gc *gc = s->tombstones;
    gc->on = false;
    gc->n = 0;
    timer_stop(&gc->timer);
    watch_set_clear(&gc->ws);
}

void server__tombstones_init(struct server *s)
{
    struct tombstone_gc *gc = s->tombstones = xcalloc(1, sizeof *gc);
    gc->server = s;
    watch_set_init(&gc->ws, s->store, changed);
    timer_init(&gc->timer, s->world, due);
}

void server__tombstones_deinit(struct server *s)
{
    server__tombstones_stop(s);
    free(s->tombstones);
}
