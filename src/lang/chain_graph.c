/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "chain.h"

static size_t next_count(const struct discovery_graph_node *n)
{
    return n->routes.n + n->splits.n;
}

static struct str next_at(const struct discovery_graph_node *n, size_t i)
{
    if (i < n->routes.n) return LIST_AT(&n->routes, struct discovery_route, i).next_node;
    return LIST_AT(&n->splits, struct discovery_split, i - n->routes.n).next_node;
}

/* --- circles -------------------------------------------------------------------------------- */

/* A node on the way from the start, and its leg taken. */
struct step {
    struct str key;
    const struct discovery_graph_node *node;
    size_t next;
};

static int circle(struct chain_compiler *c, const struct list *way, struct str again)
{
    struct buf path = BUF_INIT(1024);
    for (size_t i = 0; i < way->n; i++)
        buf_printf(&path, "%.*s -> ", STR_ARG(LIST_AT(way, struct step, i).key));
    buf_put_str(&path, again);
    int rc = chain__refuse(c, "detected circular reference: [%.*s]", STR_ARG(buf_str(&path)));
    buf_deinit(&path);
    return rc;
}

enum visit { VISIT_OPEN = 1, VISIT_DONE };

int chain__check_circles(struct chain_compiler *c)
{
    static const char open[] = "o", done[] = "d";
    struct map seen = MAP_INIT;
    struct list way = { 0 };
    int rc = 0;
    *LIST_PUSH(c->a, &way, struct step) =
        (struct step){ .key = c->start, .node = chain__node(c, c->start) };
    map_put(&seen, c->start, (void *)(uintptr_t)open);
    while (way.n && !rc) {
        struct step *at = &LIST_AT(&way, struct step, way.n - 1);
        if (at->next == next_count(at->node)) {
            map_put(&seen, at->key, (void *)(uintptr_t)done);
            way.n--;
            continue;
        }
        struct str key = next_at(at->node, at->next++);
        const void *state = map_get(&seen, key);
        if (state == open) rc = circle(c, &way, key);
        if (state) continue;
        map_put(&seen, key, (void *)(uintptr_t)open);
        *LIST_PUSH(c->a, &way, struct step) =
            (struct step){ .key = key, .node = chain__node(c, key) };
    }
    map_deinit(&seen);
    return rc;
}

/* --- splitters behind splitters --------------------------------------------------------------- */

static float two_decimals(float weight)
{
    return (float)(round((double)(weight * 100.0f)) / 100.0);
}

static bool flatten(struct chain_compiler *c, struct discovery_graph_node *node)
{
    struct list made = { 0 };
    bool changed = false;
    for (size_t i = 0; i < node->splits.n; i++) {
        const struct discovery_split *s = &LIST_AT(&node->splits, struct discovery_split, i);
        const struct discovery_graph_node *next = chain__node(c, s->next_node);
        if (!str_is(next->type, "splitter")) {
            *LIST_PUSH(c->a, &made, struct discovery_split) = *s;
            continue;
        }
        changed = true;
        c->splits += next->splits.n;
        for (size_t k = 0; k < next->splits.n && c->splits <= CHAIN_SPLITS_MAX; k++) {
            const struct discovery_split *inner =
                &LIST_AT(&next->splits, struct discovery_split, k);
            *LIST_PUSH(c->a, &made, struct discovery_split) =
                (struct discovery_split){ .weight = two_decimals(s->weight * inner->weight / 100),
                    .next_node = inner->next_node };
        }
    }
    if (changed) node->splits = made;
    return changed;
}

int chain__flatten(struct chain_compiler *c)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < c->keys.n; i++) {
            struct discovery_graph_node *n = chain__node(c, LIST_AT(&c->keys, struct str, i));
            if (str_is(n->type, "splitter") && flatten(c, n)) changed = true;
            if (c->splits > CHAIN_SPLITS_MAX)
                return chain__refuse(
                    c, "discovery chain \"%.*s\" has too many splits", STR_ARG(c->req->service));
        }
    }
    return 0;
}

/* --- what is left --------------------------------------------------------------------------- */

void chain__collect(struct chain_compiler *c, struct dict *out)
{
    const struct type *elem = &type_discovery_graph_node;
    struct list todo = { 0 };
    *LIST_PUSH(c->a, &todo, struct str) = c->start;
    while (todo.n) {
        struct str key = LIST_AT(&todo, struct str, --todo.n);
        if (dict_get(out, elem, key)) continue;
        const struct discovery_graph_node *n = chain__node(c, key);
        *(struct discovery_graph_node *)dict_put(c->a, out, elem, key) = *n;
        for (size_t i = 0; i < next_count(n); i++)
            *LIST_PUSH(c->a, &todo, struct str) = next_at(n, i);
    }
}
