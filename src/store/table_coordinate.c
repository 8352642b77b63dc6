/* SPDX-License-Identifier: Apache-2.0 */
/* Network coordinates: one row per node and segment (fsm.md 10). */
#include <math.h>

#include "commands.h"
#include "consuld/store/tables.h"

#define INDEX STR("coordinates")

static void coordinate_key(const void *row, struct buf *key)
{
    const struct coordinate *c = row;
    key_lower(key, c->node);
    key_lower(key, c->segment);
}

const struct table table_coordinates = {
    .name = "coordinates",
    .type = &type_coordinate,
    .key = coordinate_key,
};

static bool coordinate_valid(const struct coordinate *c)
{
    const struct vivaldi_coordinate *v = c->coord;
    if (!v || !isfinite(v->error) || !isfinite(v->adjustment) || !isfinite(v->height)) return false;
    for (size_t i = 0; i < v->vec.n; i++)
        if (!isfinite(LIST_AT(&v->vec, double, i))) return false;
    return true;
}

APPLY_FN(coordinate_batch)
{
    const struct list *updates = body;
    (void)res;
    (void)err;
    for (size_t i = 0; i < updates->n; i++) {
        const struct coordinate *c = &LIST_AT(updates, struct coordinate, i);
        if (!coordinate_valid(c) || !table_has(&b->view, TABLE_NODES, key_of(a, c->node))) continue;
        table_put(b, TABLE_COORDINATES, NULL, c);
    }
    index_set(b, INDEX, index);
    return 0;
}

void coordinates_node_gone(struct store_batch *b, uint64_t index, struct str node, struct arena *a)
{
    struct list rows = { 0 };
    table_list(&b->view, TABLE_COORDINATES, BY_KEY, key_of(a, node), a, &rows);
    for (size_t i = 0; i < rows.n; i++)
        table_delete(b, TABLE_COORDINATES, &LIST_AT(&rows, struct coordinate, i));
    if (rows.n) index_set(b, INDEX, index);
}

uint64_t store_coordinates(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out)
{
    table_list(&rd->view, TABLE_COORDINATES, BY_KEY, STR_NIL, a, out);
    return index_report(index_watch(rd, ws, INDEX));
}

uint64_t store_node_coordinates(
    struct store_read *rd, struct watch_set *ws, struct str node, struct arena *a, struct list *out)
{
    table_list(&rd->view, TABLE_COORDINATES, BY_KEY, key_of(a, node), a, out);
    return index_report(index_watch(rd, ws, INDEX));
}
