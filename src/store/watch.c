/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "state.h"

enum watch_kind { WATCH_ENTRY = 'e', WATCH_KEY = 'k', WATCH_PREFIX = 'p' };

/* One watched thing; it exists while somebody watches it. */
struct watch_node {
    struct link links;
    size_t key_n;
    char key[]; /* kind byte in front */
};

struct watch_link {
    struct watch_set *set;
    struct watch_node *node;
    struct link at;          /* in the node's list */
    struct watch_link *next; /* of the set */
};

/* Lengths of watched prefixes, so that a touched key asks only for prefixes that may exist. */
struct prefix_length {
    size_t n;
    size_t watchers;
};

void watch_set_init(struct watch_set *ws, struct store *store, void (*fire)(struct watch_set *ws))
{
    *ws = (struct watch_set){ .store = store, .fire = fire };
    link_init(&ws->pending);
}

size_t watch_set_size(const struct watch_set *ws)
{
    size_t n = 0;
    for (const struct watch_link *l = ws->links; l; l = l->next)
        n++;
    return n;
}

static void length_count(struct store *s, size_t n, bool added)
{
    struct prefix_length *v = s->prefix_lengths.v;
    size_t i = 0;
    while (i < s->prefix_lengths.n && v[i].n != n)
        i++;
    if (i == s->prefix_lengths.n) {
        v = xrealloc(v, (i + 1) * sizeof *v);
        v[i] = (struct prefix_length){ .n = n };
        s->prefix_lengths = (struct list){ .v = v, .n = i + 1 };
    }
    if (added) {
        v[i].watchers++;
    } else if (--v[i].watchers == 0) {
        v[i] = v[--s->prefix_lengths.n];
    }
}

static void node_drop(struct store *s, struct watch_node *node)
{
    map_remove(&s->watches, (struct str){ node->key, node->key_n });
    if (node->key[0] == WATCH_PREFIX) length_count(s, node->key_n - 1, false);
    free(node);
}

static void links_drop(struct watch_set *ws)
{
    struct store *s = ws->store;
    if (ws->links) s->watch_sets--;
    while (ws->links) {
        struct watch_link *l = ws->links;
        ws->links = l->next;
        link_remove(&l->at);
        if (link_empty(&l->node->links)) node_drop(s, l->node);
        s->watch_links--;
        free(l);
    }
}

void watch_set_clear(struct watch_set *ws)
{
    links_drop(ws);
    link_remove(&ws->pending);
}

static struct watch_node *node_of(struct store *s, struct str key)
{
    struct watch_node *node = map_get(&s->watches, key);
    if (node) return node;
    node = xmalloc(sizeof *node + key.n);
    link_init(&node->links);
    node->key_n = key.n;
    memcpy(node->key, key.p, key.n);
    map_put(&s->watches, key, node);
    if (key.p[0] == WATCH_PREFIX) length_count(s, key.n - 1, true);
    return node;
}

static void watch_add(struct watch_set *ws, enum watch_kind kind, struct str name)
{
    if (!ws) return;
    struct store *s = ws->store;
    struct buf key = KEY_BUF;
    buf_put_char(&key, (char)kind);
    kind == WATCH_ENTRY ? key_lower(&key, name) : buf_put_str(&key, name);
    ensure(!key.overflow);
    struct watch_node *node = node_of(s, buf_str(&key));
    buf_deinit(&key);
    if (!link_empty(&node->links) &&
        container_of(node->links.prev, struct watch_link, at)->set == ws)
        return;
    struct watch_link *l = xmalloc(sizeof *l);
    if (!ws->links) {
        s->watch_sets++;
        ws->abandoned = false;
    }
    *l = (struct watch_link){ .set = ws, .node = node, .next = ws->links };
    link_push(&node->links, &l->at);
    ws->links = l;
    s->watch_links++;
}

void watch_entry(struct watch_set *ws, struct str name)
{
    watch_add(ws, WATCH_ENTRY, name);
}

void watch_key(struct watch_set *ws, struct str key)
{
    watch_add(ws, WATCH_KEY, key);
}

void watch_prefix(struct watch_set *ws, struct str prefix)
{
    watch_add(ws, WATCH_PREFIX, prefix);
}

/* --- touching ------------------------------------------------------------------------------ */

static void touch(struct store_batch *b, enum watch_kind kind, struct str name)
{
    if (b->restoring) return;
    struct buf key = {
        .p = arena_alloc(&b->arena, name.n + 2), .cap = name.n + 2, .max = name.n + 2
    };
    buf_put_char(&key, (char)kind);
    kind == WATCH_ENTRY ? key_lower(&key, name) : buf_put_str(&key, name);
    *LIST_PUSH(&b->arena, &b->touched, struct str) = buf_str(&key);
}

void touch_entry(struct store_batch *b, struct str name)
{
    touch(b, WATCH_ENTRY, name);
}

void touch_key(struct store_batch *b, struct str key)
{
    touch(b, WATCH_KEY, key);
}

static void collect(struct store *s, struct str key, struct link *due)
{
    struct watch_node *node = map_get(&s->watches, key);
    if (!node) return;
    link_each (it, &node->links) {
        struct watch_set *ws = container_of(it, struct watch_link, at)->set;
        if (link_empty(&ws->pending)) link_push(due, &ws->pending);
    }
}

static void collect_prefixes(struct store *s, struct arena *a, struct str touched, struct link *due)
{
    if (!s->prefix_lengths.n) return;
    char *probe = arena_copy(a, touched.p, touched.n);
    probe[0] = WATCH_PREFIX;
    const struct prefix_length *v = s->prefix_lengths.v;
    for (size_t i = 0; i < s->prefix_lengths.n; i++)
        if (v[i].n < touched.n) collect(s, (struct str){ probe, v[i].n + 1 }, due);
}

static void fire_all(struct link *due, bool abandoned)
{
    struct link *l;
    while ((l = link_pop(due))) {
        struct watch_set *ws = container_of(l, struct watch_set, pending);
        links_drop(ws);
        ws->abandoned = abandoned;
        ws->fire(ws);
    }
}

void watch_fire_touched(struct store *s, const struct store_batch *b)
{
    struct link due;
    struct arena a = ARENA_INIT;
    link_init(&due);
    for (size_t i = 0; i < b->touched.n && s->watches.n; i++) {
        struct str t = LIST_AT(&b->touched, struct str, i);
        collect(s, t, &due);
        if (t.p[0] == WATCH_KEY) collect_prefixes(s, &a, t, &due);
    }
    arena_free(&a);
    fire_all(&due, false);
}

void store_abandon_all(struct store *s)
{
    struct link due;
    link_init(&due);
    struct str key;
    void *node;
    for (size_t it = 0; map_next(&s->watches, &it, &key, &node);)
        collect(s, key, &due);
    fire_all(&due, true);
}

void watch_deinit(struct store *s)
{
    struct str key;
    void *value;
    for (size_t it = 0; map_next(&s->watches, &it, &key, &value);) {
        struct watch_node *node = value;
        link_each (l, &node->links)
            container_of(l, struct watch_link, at)->set->links = NULL;
        while (!link_empty(&node->links)) {
            struct link *l = link_pop(&node->links);
            free(container_of(l, struct watch_link, at));
        }
        free(node);
    }
    map_deinit(&s->watches);
    free(s->prefix_lengths.v);
    for (size_t it = 0; map_next(&s->delays, &it, &key, &value);)
        free(value);
    map_deinit(&s->delays);
}
