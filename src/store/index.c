/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "state.h"

/* Value of an entry: 8 bytes and the key as it was first written, case kept. */

static struct str folded(struct buf *key, struct str name)
{
    buf_clear(key);
    key_lower(key, name);
    return buf_str(key);
}

static uint64_t entry_value(struct view *v, struct str key, bool *found)
{
    struct str bytes;
    uint64_t value = 0;
    *found = raw_get(v, v->env->index, key, &bytes);
    if (*found && bytes.n >= sizeof value) memcpy(&value, bytes.p, sizeof value);
    return value;
}

uint64_t index_get(struct view *v, struct str key)
{
    struct buf folded_key = KEY_BUF;
    bool found;
    uint64_t value = entry_value(v, folded(&folded_key, key), &found);
    buf_deinit(&folded_key);
    return value;
}

static void entry_write(struct store_batch *b, struct str key, uint64_t value, bool only_raise)
{
    struct str at = folded(&b->key, key);
    bool found;
    uint64_t present = only_raise ? entry_value(&b->view, at, &found) : 0;
    if (only_raise && found && present >= value) return;
    buf_clear(&b->row);
    buf_put(&b->row, &value, sizeof value);
    buf_put_str(&b->row, key);
    raw_put(b, b->view.env->index, at, buf_str(&b->row));
    touch_entry(b, key);
}

void index_set(struct store_batch *b, struct str key, uint64_t value)
{
    entry_write(b, key, value, false);
}

void index_max(struct store_batch *b, struct str key, uint64_t value)
{
    entry_write(b, key, value, true);
}

void index_delete(struct store_batch *b, struct str key)
{
    if (raw_delete(b, b->view.env->index, folded(&b->key, key))) touch_entry(b, key);
}

uint64_t index_watch(struct store_read *rd, struct watch_set *ws, struct str key)
{
    watch_entry(ws, key);
    return index_get(&rd->view, key);
}

uint64_t store_index(struct store_read *rd, struct watch_set *ws, struct str key)
{
    return index_watch(rd, ws, key);
}

struct str index_name(struct arena *a, const char *prefix, struct str name)
{
    return str_printf(a, "%s%.*s", prefix, STR_ARG(name));
}

void restore_index(struct store_batch *b, struct str key, uint64_t value)
{
    index_set(b, key, value);
}

void index_each(struct view *v, void (*fn)(void *ctx, struct str key, uint64_t value), void *ctx)
{
    MDB_cursor *cursor;
    if (v->code || !view_check(v, mdb_cursor_open(v->txn, v->env->index, &cursor), "read")) return;
    MDB_val k, val;
    int rc;
    while ((rc = mdb_cursor_get(cursor, &k, &val, MDB_NEXT)) == 0) {
        uint64_t value;
        struct str whole = { val.mv_data, val.mv_size };
        if (k.mv_size > KEY_INLINE_MAX) {
            uint32_t n;
            memcpy(&n, whole.p, sizeof n);
            whole = str_slice(whole, sizeof n + n, whole.n);
        }
        memcpy(&value, whole.p, sizeof value);
        fn(ctx, str_slice(whole, sizeof value, whole.n), value);
    }
    view_check(v, rc, "read");
    mdb_cursor_close(cursor);
}
