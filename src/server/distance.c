/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting by round-trip estimate (http-api.md 2.6): from the source node's coordinate to that of
 * each element's node. Unknown ones last, stable otherwise. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

struct ranked {
    double seconds;
    size_t at;
};

static double vector_distance(
    const struct vivaldi_coordinate *a, const struct vivaldi_coordinate *b)
{
    double sum = 0;
    for (size_t i = 0; i < a->vec.n; i++) {
        double d = LIST_AT(&a->vec, double, i) - LIST_AT(&b->vec, double, i);
        sum += d * d;
    }
    return sqrt(sum) + a->height + b->height;
}

static double distance(const struct coordinate *from, const struct coordinate *to)
{
    if (!from->coord || !to->coord || from->coord->vec.n != to->coord->vec.n) return INFINITY;
    double plain = vector_distance(from->coord, to->coord);
    double adjusted = plain + from->coord->adjustment + to->coord->adjustment;
    return adjusted > 0 ? adjusted : plain;
}

/* Of coordinates in the segments both have; the smallest. */
static double between(const struct list *from, const struct list *to)
{
    double best = INFINITY;
    for (size_t i = 0; i < from->n; i++) {
        const struct coordinate *a = &LIST_AT(from, struct coordinate, i);
        for (size_t k = 0; k < to->n; k++) {
            const struct coordinate *b = &LIST_AT(to, struct coordinate, k);
            if (!str_eq(a->segment, b->segment)) continue;
            double d = distance(a, b);
            if (d < best) best = d;
        }
    }
    return best;
}

static struct str node_of(const struct type *elem, const void *obj)
{
    if (elem == &type_node) return ((const struct node *)obj)->node;
    if (elem == &type_service_node) return ((const struct service_node *)obj)->node;
    if (elem == &type_health_check) return ((const struct health_check *)obj)->node;
    ensure(elem == &type_check_service_node);
    const struct node *n = ((const struct check_service_node *)obj)->node;
    return n ? n->node : STR_NIL;
}

static int nearer(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->seconds < y->seconds) return -1;
    if (x->seconds > y->seconds) return 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

void eval_sort(
    struct eval *e, const struct query_source *source, const struct type *elem, struct list *l)
{
    struct arena *a = &e->reply->arena;
    struct list from = { 0 };
    if (source->node.n == 0 || l->n < 2) return;
    if (!str_eq(source->datacenter, e->server->opts.datacenter)) return;
    store_node_coordinates(e->rd, NULL, source->node, a, &from);
    if (!from.n) return;
    struct ranked *order = arena_array(a, l->n, sizeof *order);
    for (size_t i = 0; i < l->n; i++) {
        struct list to = { 0 };
        struct str node = node_of(elem, (char *)l->v + i * elem->size);
        store_node_coordinates(e->rd, NULL, node, a, &to);
        order[i] = (struct ranked){ .seconds = between(&from, &to), .at = i };
    }
    qsort(order, l->n, sizeof *order, nearer);
    char *sorted = arena_array(a, l->n, elem->size);
    for (size_t i = 0; i < l->n; i++) {
        memcpy(sorted + i * elem->size, (char *)l->v + order[i].at * elem->size, elem->size);
    }
    memcpy(l->v, sorted, l->n * elem->size);
}
