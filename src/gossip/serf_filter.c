/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of queries (gossip.md 9.9): each a type byte and a body; a query is for us if all match.
 */
#include "serf_core.h"

static bool node_matches(const struct serf *s, struct arena *a, struct str body)
{
    struct list names;
    if (serf_message_decode(body, a, &type_list_str, &names, NULL, NULL)) return false;
    for (size_t i = 0; i < names.n; i++)
        if (str_eq(LIST_AT(&names, struct str, i), s->o.swim.name)) return true;
    return false;
}

static bool tag_matches(const struct serf *s, struct arena *a, struct str body)
{
    struct serf_tag_filter f;
    if (!s->o.search) return false;
    if (serf_message_decode(body, a, &type_serf_tag_filter, &f, NULL, NULL)) return false;
    struct str value = serf_tag(buf_str(&s->meta), str_c(a, f.tag));
    return s->o.search(s->o.ctx, f.expr, value.p ? value : STR(""));
}

static bool matches(const struct serf *s, struct arena *a, struct str filter)
{
    if (filter.n == 0) return false;
    struct str body = str_slice(filter, 1, filter.n);
    if (filter.p[0] == SERF_FILTER_NODE) return node_matches(s, a, body);
    return filter.p[0] == SERF_FILTER_TAG && tag_matches(s, a, body);
}

bool serf__filters_match(const struct serf *s, const struct list *filters)
{
    struct arena a = ARENA_INIT;
    bool all = true;
    for (size_t i = 0; i < filters->n && all; i++)
        all = matches(s, &a, LIST_AT(filters, struct str, i));
    arena_free(&a);
    return all;
}

static void add(struct arena *a, struct list *filters, enum serf_filter_type type,
    const struct type *t, const void *body)
{
    struct buf out = BUF_INIT(2 * SERF_QUERY_MAX);
    buf_put_char(&out, (char)type);
    msgpack_encode(t, body, &out);
    *LIST_PUSH(a, filters, struct str) = str_dup(a, buf_str(&out));
    buf_deinit(&out);
}

struct list serf__filters(struct arena *a, const struct str *nodes, size_t nodes_n,
    const struct str_pair *tags, size_t tags_n)
{
    struct list filters = { 0 };
    if (nodes_n) {
        struct list names = { .v = (void *)(uintptr_t)nodes, .n = nodes_n };
        add(a, &filters, SERF_FILTER_NODE, &type_list_str, &names);
    }
    for (size_t i = 0; i < tags_n; i++) {
        struct serf_tag_filter f = { .tag = tags[i].key, .expr = tags[i].value };
        add(a, &filters, SERF_FILTER_TAG, &type_serf_tag_filter, &f);
    }
    return filters;
}
