/* SPDX-License-Identifier: Apache-2.0 */
/* Coordinate.* and the batch of updates on their way to the log (leader.md 13). */
#include <math.h>
#include <stdlib.h>

#include "server.h"

#define DIMENSIONS 8
#define BATCH_MAX 128
#define BATCHES_MAX 5

struct coordinate_batch {
    struct server *server;
    struct timer timer;
    struct arena arena; /* of the updates since the last flush */
    struct map by_node; /* node, NUL, segment -> struct coordinate */
    size_t dropped;
};

int coordinate_list_nodes(struct eval *e)
{
    struct list *out = &eval_reply(e, indexed_coordinates)->coordinates;
    e->reply->index = store_coordinates(e->rd, e->ws, &e->reply->arena, out);
    return 0;
}

int coordinate_node(struct eval *e)
{
    const struct node_specific_request *args = eval_args(e, node_specific_request);
    e->reply->index = store_node_coordinates(e->rd, e->ws, args->node, &e->reply->arena,
        &eval_reply(e, indexed_coordinates)->coordinates);
    return 0;
}

static bool finite_coordinate(const struct vivaldi_coordinate *c)
{
    for (size_t i = 0; i < c->vec.n; i++) {
        if (!isfinite(LIST_AT(&c->vec, double, i))) return false;
    }
    return isfinite(c->error) && isfinite(c->adjustment) && isfinite(c->height);
}

static void keep(struct coordinate_batch *b, const struct coordinate_update_request *req)
{
    struct server *s = b->server;
    buf_clear(&s->scratch);
    buf_put_str(&s->scratch, req->node);
    buf_put_char(&s->scratch, '\0');
    buf_put_str(&s->scratch, req->segment);
    struct coordinate *c = map_get(&b->by_node, buf_str(&s->scratch));
    if (!c) {
        if (b->by_node.n >= (size_t)BATCH_MAX * BATCHES_MAX) {
            b->dropped++;
            return;
        }
        c = arena_new(&b->arena, struct coordinate);
        c->node = str_dup(&b->arena, req->node);
        c->segment = str_dup(&b->arena, req->segment);
        c->coord = arena_new(&b->arena, struct vivaldi_coordinate);
        map_put(&b->by_node, buf_str(&s->scratch), c);
    }
    if (c->coord->vec.n == req->coord->vec.n) {
        for (size_t i = 0; i < c->coord->vec.n; i++) {
            LIST_AT(&c->coord->vec, double, i) = LIST_AT(&req->coord->vec, double, i);
        }
        c->coord->error = req->coord->error;
        c->coord->adjustment = req->coord->adjustment;
        c->coord->height = req->coord->height;
    } else {
        record_copy(&b->arena, &type_vivaldi_coordinate, c->coord, req->coord);
    }
    if (!timer_active(&b->timer)) timer_start(&b->timer, s->opts.coordinate_period_ms);
}

static void flush(struct timer *t)
{
    struct coordinate_batch *b = container_of(t, struct coordinate_batch, timer);
    struct str key;
    void *value;
    struct list batch = { 0 };
    for (size_t it = 0; map_next(&b->by_node, &it, &key, &value);) {
        *LIST_PUSH(&b->arena, &batch, struct coordinate) = *(struct coordinate *)value;
        if (batch.n < BATCH_MAX) continue;
        server__propose_detached(b->server, COMMAND_COORDINATE, &batch, "coordinate update failed");
        batch.n = 0;
    }
    if (batch.n) {
        server__propose_detached(b->server, COMMAND_COORDINATE, &batch, "coordinate update failed");
    }
    if (b->dropped) {
        log_warn(SERVER_LOG, "Discarded coordinate updates");
        b->dropped = 0;
    }
    map_deinit(&b->by_node);
    b->by_node = (struct map)MAP_INIT;
    arena_reset(&b->arena);
}

int coordinate_update(struct write *w)
{
    const struct coordinate_update_request *args = w->p.args;
    if (!args->coord || !finite_coordinate(args->coord)) {
        return error_set(w->err, ERR_INTERNAL, "invalid coordinate");
    }
    if (args->coord->vec.n != DIMENSIONS) {
        return error_set(w->err, ERR_INTERNAL, "incompatible coordinate");
    }
    keep(w->p.server->coordinates, args);
    write_reply(w);
    return WRITE_DONE;
}

void server__coordinates_init(struct server *s)
{
    struct coordinate_batch *b = s->coordinates = xcalloc(1, sizeof *b);
    b->server = s;
    timer_init(&b->timer, s->world, flush);
}

void server__coordinates_deinit(struct server *s)
{
    struct coordinate_batch *b = s->coordinates;
    timer_stop(&b->timer);
    map_deinit(&b->by_node);
    arena_free(&b->arena);
    free(b);
}
