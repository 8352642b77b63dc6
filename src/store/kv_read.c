/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

static uint64_t table_wide(struct store_read *rd)
{
    uint64_t kvs = index_get(&rd->view, STR("kvs"));
    uint64_t graves = index_get(&rd->view, STR("tombstones"));
    return kvs > graves ? kvs : graves;
}

uint64_t store_kv_get(struct store_read *rd, struct watch_set *ws, struct str key, struct arena *a,
    struct dir_entry *out, bool *found)
{
    watch_key(ws, key);
    *found = kv_find(&rd->view, key, a, out);
    return index_report(*found ? out->modify_index : table_wide(rd));
}

static uint64_t tombstone_max(struct store_read *rd, struct str prefix)
{
    struct scan s;
    struct arena a = ARENA_INIT;
    uint64_t max = 0;
    scan_begin(&s, &rd->view, TABLE_TOMBSTONES, BY_KEY, prefix);
    for (struct dir_entry row; scan_next(&s) && scan_row(&s, &a, &row); arena_reset(&a))
        if (row.modify_index > max) max = row.modify_index;
    scan_end(&s);
    arena_free(&a);
    return max;
}

/* `max`: largest modify index among the entries found under the prefix. */
static uint64_t prefix_index(struct store_read *rd, struct str prefix, uint64_t max)
{
    if (prefix.n) {
        uint64_t graves = tombstone_max(rd, prefix);
        if (graves > max) max = graves;
    }
    return index_report(prefix.n && max ? max : table_wide(rd));
}

uint64_t store_kv_list(struct store_read *rd, struct watch_set *ws, struct str prefix,
    struct arena *a, struct list *out)
{
    watch_prefix(ws, prefix);
    size_t first = out->n;
    table_list(&rd->view, TABLE_KVS, BY_KEY, prefix, a, out);
    uint64_t max = 0;
    for (size_t i = first; i < out->n; i++) {
        const struct dir_entry *e = &LIST_AT(out, struct dir_entry, i);
        if (e->modify_index > max) max = e->modify_index;
    }
    return prefix_index(rd, prefix, max);
}

static struct str cut_at(struct str key, size_t prefix_n, struct str separator)
{
    if (!separator.n) return key;
    ptrdiff_t at = str_find(str_slice(key, prefix_n, key.n), separator);
    return at < 0 ? key : str_slice(key, 0, prefix_n + (size_t)at + separator.n);
}

uint64_t store_kv_keys(struct store_read *rd, struct watch_set *ws, struct str prefix,
    struct str separator, struct arena *a, struct list *out)
{
    watch_prefix(ws, prefix);
    struct scan s;
    struct arena row_arena = ARENA_INIT;
    uint64_t max = 0;
    struct str last = STR_NIL;
    scan_begin(&s, &rd->view, TABLE_KVS, BY_KEY, prefix);
    for (struct dir_entry e; scan_next(&s) && scan_row(&s, &row_arena, &e);
         arena_reset(&row_arena)) {
        if (e.modify_index > max) max = e.modify_index;
        struct str shown = cut_at(e.key, prefix.n, separator);
        if (last.p && str_eq(shown, last)) continue;
        last = str_dup(a, shown);
        *LIST_PUSH(a, out, struct str) = last;
    }
    scan_end(&s);
    arena_free(&row_arena);
    return prefix_index(rd, prefix, max);
}

uint64_t store_tombstone_last(struct store_read *rd)
{
    return tombstone_max(rd, STR_NIL);
}
