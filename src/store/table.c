/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blake2b.h"
#include "pack.h"
#include "consuld/store_log.h"
#include "state.h"

#define KEY_HASH 16

int view_fail(struct view *v, int code, const char *fmt, ...)
{
    if (v->code) return v->code;
    va_list ap;
    va_start(ap, fmt);
    char text[512];
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    v->code = error_set(&v->err, code, "%s", text);
    return v->code;
}

bool view_check(struct view *v, int rc, const char *doing)
{
    if (rc == 0 || rc == MDB_NOTFOUND) return true;
    const char *path = NULL;
    mdb_env_get_path(v->env->mdb, &path);
    rc = disk_reason(rc, path);
    view_fail(v, ERR_IO, "cannot %s the state: %s", doing, mdb_strerror(rc));
    return false;
}

/* --- keys ---------------------------------------------------------------------------------- */

void key_lower(struct buf *key, struct str part)
{
    uint8_t *p = buf_reserve(key, part.n + 1);
    if (!p) return;
    for (size_t i = 0; i < part.n; i++) {
        char c = part.p[i];
        p[i] = (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    p[part.n] = 0;
    key->n += part.n + 1;
}

void key_exact(struct buf *key, struct str part)
{
    buf_put_str(key, part);
    buf_put_char(key, 0);
}

static struct str key_parts(struct arena *a, const struct str *parts, size_t n, bool lower)
{
    size_t total = n;
    for (size_t i = 0; i < n; i++)
        total += parts[i].n;
    struct buf key = { .p = arena_alloc(a, total), .cap = total, .max = total };
    for (size_t i = 0; i < n; i++)
        lower ? key_lower(&key, parts[i]) : key_exact(&key, parts[i]);
    ensure(!key.overflow && key.n == total);
    return (struct str){ (char *)key.p, key.n };
}

struct str key_of(struct arena *a, struct str part)
{
    return key_parts(a, &part, 1, true);
}

struct str key_of_exact(struct arena *a, struct str part)
{
    return key_parts(a, &part, 1, false);
}

struct str key_of2(struct arena *a, struct str one, struct str two)
{
    return key_parts(a, (struct str[]){ one, two }, 2, true);
}

struct str key_of3(struct arena *a, struct str one, struct str two, struct str three)
{
    return key_parts(a, (struct str[]){ one, two, three }, 3, true);
}

struct str store_quoted(struct arena *a, struct str s)
{
    struct buf out = BUF_INIT(ERROR_TEXT_MAX * 8);
    quote_go(&out, str_slice(s, 0, s.n < ERROR_TEXT_MAX ? s.n : ERROR_TEXT_MAX));
    struct str text = str_dup(a, buf_str(&out));
    buf_deinit(&out);
    return text;
}

/* What stands in the database for a whole key. */
static MDB_val key_fit(struct str key, uint8_t cut[KEY_INLINE_MAX + KEY_HASH])
{
    if (key.n <= KEY_INLINE_MAX) return (MDB_val){ key.n, (void *)(uintptr_t)key.p };
    uint8_t hash[BLAKE2B_SIZE];
    struct blake2b sum;
    blake2b_begin(&sum);
    blake2b_add(&sum, key);
    blake2b_end(&sum, hash);
    memcpy(cut, key.p, KEY_INLINE_MAX);
    memcpy(cut + KEY_INLINE_MAX, hash, KEY_HASH);
    return (MDB_val){ KEY_INLINE_MAX + KEY_HASH, cut };
}

/* Splits a stored pair into whole key and value; false if damaged. */
static bool pair_split(MDB_val k, MDB_val v, struct str *key, struct str *value)
{
    *key = (struct str){ k.mv_data, k.mv_size };
    *value = (struct str){ v.mv_data, v.mv_size };
    if (k.mv_size <= KEY_INLINE_MAX) return true;
    uint32_t n;
    if (v.mv_size < sizeof n) return false;
    memcpy(&n, v.mv_data, sizeof n);
    if (n > v.mv_size - sizeof n) return false;
    *key = (struct str){ (char *)v.mv_data + sizeof n, n };
    *value = (struct str){ key->p + n, v.mv_size - sizeof n - n };
    return true;
}

/* --- raw values ---------------------------------------------------------------------------- */

bool raw_get(struct view *v, MDB_dbi dbi, struct str key, struct str *value)
{
    if (v->code) return false;
    uint8_t cut[KEY_INLINE_MAX + KEY_HASH];
    MDB_val k = key_fit(key, cut), val;
    int rc = mdb_get(v->txn, dbi, &k, &val);
    if (!view_check(v, rc, "read") || rc) return false;
    struct str whole;
    if (pair_split(k, val, &whole, value)) return true;
    view_fail(v, ERR_IO, "the state holds a damaged row");
    return false;
}

void raw_put(struct store_batch *b, MDB_dbi dbi, struct str key, struct str value)
{
    if (b->view.code) return;
    if (key.n > KEY_MAX) {
        view_fail(&b->view, ERR_TOO_LARGE, "a key of %zu bytes is too long for the state", key.n);
        return;
    }
    uint8_t cut[KEY_INLINE_MAX + KEY_HASH];
    bool whole_key = key.n > KEY_INLINE_MAX;
    uint32_t n = (uint32_t)key.n;
    MDB_val k = key_fit(key, cut);
    MDB_val v = { value.n + (whole_key ? sizeof n + key.n : 0), NULL };
    /* Rows of a snapshot come in order of their keys: at the end, pages are filled. */
    int rc = MDB_KEYEXIST;
    if (b->restoring) rc = mdb_put(b->view.txn, dbi, &k, &v, MDB_RESERVE | MDB_APPEND);
    if (rc == MDB_KEYEXIST) rc = mdb_put(b->view.txn, dbi, &k, &v, MDB_RESERVE);
    if (!view_check(&b->view, rc, "write")) return;
    char *p = v.mv_data;
    if (whole_key) {
        memcpy(p, &n, sizeof n);
        memcpy(p + sizeof n, key.p, key.n);
        p += sizeof n + key.n;
    }
    if (value.n) memcpy(p, value.p, value.n);
}

bool raw_delete(struct store_batch *b, MDB_dbi dbi, struct str key)
{
    if (b->view.code) return false;
    uint8_t cut[KEY_INLINE_MAX + KEY_HASH];
    MDB_val k = key_fit(key, cut);
    int rc = mdb_del(b->view.txn, dbi, &k, NULL);
    return view_check(&b->view, rc, "delete from") && rc == 0;
}

/* --- rows ---------------------------------------------------------------------------------- */

static MDB_dbi dbi_of(const struct view *v, enum table_id t, int index)
{
    return v->env->dbi[(size_t)t * (1 + TABLE_INDEXES_MAX) + (size_t)(index + 1)];
}

static bool row_unpack(
    struct view *v, enum table_id t, struct str key, struct str bytes, struct arena *a, void *row)
{
    const struct table *table = state_tables[t];
    struct str own = { arena_copy(a, bytes.p, bytes.n), bytes.n };
    if (table->unpack) {
        if (table->unpack(key, own, a, row)) return true;
    } else if (unpack_value(table->type, own, a, row)) {
        return true;
    }
    view_fail(v, ERR_IO, "the state holds a damaged row in table %s", table->name);
    return false;
}

bool table_get(struct view *v, enum table_id t, struct str key, struct arena *a, void *row)
{
    struct str bytes;
    return raw_get(v, dbi_of(v, t, BY_KEY), key, &bytes) && row_unpack(v, t, key, bytes, a, row);
}

bool table_has(struct view *v, enum table_id t, struct str key)
{
    struct str bytes;
    return raw_get(v, dbi_of(v, t, BY_KEY), key, &bytes);
}

struct index_keys {
    struct buf *out; /* length and bytes of each key */
};

void index_key(struct index_keys *out, const struct buf *key)
{
    uint32_t n = (uint32_t)key->n;
    buf_put(out->out, &n, sizeof n);
    buf_put(out->out, key->p, key->n);
}

static void keys_of(const struct table_index *ix, const void *row, struct buf *out)
{
    buf_clear(out);
    if (row) ix->keys(row, &(struct index_keys){ out });
}

/* The database key of an index entry is index key + primary key. */
static bool keys_next(const struct buf *keys, size_t *at, struct buf *full, struct str pkey)
{
    if (*at >= keys->n) return false;
    uint32_t n;
    memcpy(&n, keys->p + *at, sizeof n);
    buf_clear(full);
    buf_put(full, keys->p + *at + sizeof n, n);
    buf_put_str(full, pkey);
    *at += sizeof n + n;
    return true;
}

static void index_row(
    struct store_batch *b, enum table_id t, int i, const void *old, const void *row)
{
    const struct table_index *ix = &state_tables[t]->index[i];
    MDB_dbi dbi = dbi_of(&b->view, t, i);
    struct str pkey = buf_str(&b->key);
    keys_of(ix, old, &b->keys_old);
    keys_of(ix, row, &b->keys_new);
    if (old && row && str_eq(buf_str(&b->keys_old), buf_str(&b->keys_new))) return;
    for (size_t at = 0; keys_next(&b->keys_old, &at, &b->index_key, pkey);)
        raw_delete(b, dbi, buf_str(&b->index_key));
    for (size_t at = 0; keys_next(&b->keys_new, &at, &b->index_key, pkey);)
        raw_put(b, dbi, buf_str(&b->index_key), pkey);
}

static void index_rows(struct store_batch *b, enum table_id t, const void *old, const void *row)
{
    for (int i = 0; i < TABLE_INDEXES_MAX && state_tables[t]->index[i].name; i++)
        index_row(b, t, i, old, row);
}

void table_put(struct store_batch *b, enum table_id t, const void *old, const void *row)
{
    const struct table *table = state_tables[t];
    buf_clear(&b->key);
    table->key(row, &b->key);
    buf_clear(&b->row);
    table->pack ? table->pack(row, &b->row) : pack_value(table->type, row, &b->row);
    if (b->key.overflow || b->row.overflow) {
        view_fail(&b->view, ERR_TOO_LARGE, "a row of table %s is too large", table->name);
        return;
    }
    raw_put(b, dbi_of(&b->view, t, BY_KEY), buf_str(&b->key), buf_str(&b->row));
    index_rows(b, t, old, row);
}

void table_delete(struct store_batch *b, enum table_id t, const void *old)
{
    buf_clear(&b->key);
    state_tables[t]->key(old, &b->key);
    raw_delete(b, dbi_of(&b->view, t, BY_KEY), buf_str(&b->key));
    index_rows(b, t, old, NULL);
}

void table_clear(struct store_batch *b, enum table_id t)
{
    for (int i = BY_KEY; i < TABLE_INDEXES_MAX; i++) {
        if (i >= 0 && !state_tables[t]->index[i].name) break;
        if (b->view.code) return;
        view_check(&b->view, mdb_drop(b->view.txn, dbi_of(&b->view, t, i), 0), "clear");
    }
}

uint64_t table_count(struct view *v, enum table_id t)
{
    MDB_stat st;
    if (v->code || !view_check(v, mdb_stat(v->txn, dbi_of(v, t, BY_KEY), &st), "read")) return 0;
    return st.ms_entries;
}

/* --- scans --------------------------------------------------------------------------------- */

struct scan_item {
    struct str key, value;
};

void scan_begin(struct scan *s, struct view *v, enum table_id t, int index, struct str prefix)
{
    *s =
        (struct scan){ .view = v, .table = t, .index = index, .prefix = KEY_BUF, .floor = KEY_BUF };
    buf_put_str(&s->prefix, prefix);
    if (v->code) return;
    int rc = mdb_cursor_open(v->txn, dbi_of(v, t, index), &s->cursor);
    if (!view_check(v, rc, "read")) s->cursor = NULL;
}

void scan_end(struct scan *s)
{
    if (s->cursor) mdb_cursor_close(s->cursor);
    s->cursor = NULL;
    buf_deinit(&s->prefix);
    buf_deinit(&s->floor);
    arena_free(&s->run);
}

void scan_seek(struct scan *s, struct str key)
{
    buf_clear(&s->floor);
    buf_put_str(&s->floor, key);
    s->started = s->peeked = false;
    s->item_n = s->item_at = 0;
}

static int scan_step(struct scan *s, MDB_val *k, MDB_val *v)
{
    MDB_cursor_op op = MDB_NEXT;
    if (!s->started) {
        struct str from = buf_str(s->floor.n ? &s->floor : &s->prefix);
        *k = (MDB_val){ from.n < KEY_INLINE_MAX ? from.n : KEY_INLINE_MAX,
            (void *)(uintptr_t)from.p };
        op = from.n ? MDB_SET_RANGE : MDB_FIRST;
    } else if (s->peeked) {
        op = MDB_GET_CURRENT;
    }
    s->started = true;
    s->peeked = false;
    return mdb_cursor_get(s->cursor, k, v, op);
}

static int item_order(const void *a, const void *b)
{
    return str_cmp(((const struct scan_item *)a)->key, ((const struct scan_item *)b)->key);
}

static bool wanted(const struct scan *s, struct str key)
{
    return str_has_prefix(key, buf_str(&s->prefix)) && str_cmp(key, buf_str(&s->floor)) >= 0;
}

/* All rows with long keys that begin as `k` does, in the order of their whole keys. */
static bool scan_run(struct scan *s, MDB_val k, MDB_val v)
{
    arena_reset(&s->run);
    struct list items = { 0 };
    uint8_t head[KEY_INLINE_MAX];
    memcpy(head, k.mv_data, KEY_INLINE_MAX);
    int rc = 0;
    while (!rc && k.mv_size > KEY_INLINE_MAX && memcmp(head, k.mv_data, KEY_INLINE_MAX) == 0) {
        struct scan_item item;
        if (!pair_split(k, v, &item.key, &item.value)) {
            view_fail(s->view, ERR_IO, "the state holds a damaged row");
            return false;
        }
        if (wanted(s, item.key)) *LIST_PUSH(&s->run, &items, struct scan_item) = item;
        rc = mdb_cursor_get(s->cursor, &k, &v, MDB_NEXT);
    }
    if (!view_check(s->view, rc, "read")) return false;
    s->peeked = rc == 0;
    s->items = items.v;
    s->item_n = items.n;
    s->item_at = 0;
    if (items.n) qsort(items.v, items.n, sizeof(struct scan_item), item_order);
    return true;
}

static bool scan_item(struct scan *s)
{
    if (s->item_at >= s->item_n) return false;
    s->key = s->items[s->item_at].key;
    s->value = s->items[s->item_at].value;
    s->item_at++;
    return true;
}

/* True while keys that begin as the prefix does may follow. */
static bool in_range(const struct scan *s, MDB_val k)
{
    size_t n = s->prefix.n < KEY_INLINE_MAX ? s->prefix.n : KEY_INLINE_MAX;
    return !n || (k.mv_size >= n && memcmp(k.mv_data, s->prefix.p, n) == 0);
}

bool scan_next(struct scan *s)
{
    if (scan_item(s)) return true;
    if (!s->cursor || s->view->code) return false;
    for (;;) {
        MDB_val k, v;
        int rc = scan_step(s, &k, &v);
        if (!view_check(s->view, rc, "read") || rc || !in_range(s, k)) break;
        if (k.mv_size > KEY_INLINE_MAX) {
            bool more = scan_run(s, k, v);
            if (scan_item(s)) return true;
            if (!more || !s->peeked) break;
            continue;
        }
        s->key = (struct str){ k.mv_data, k.mv_size };
        s->value = (struct str){ v.mv_data, v.mv_size };
        if (wanted(s, s->key)) return true;
    }
    mdb_cursor_close(s->cursor);
    s->cursor = NULL;
    return false;
}

bool scan_row(struct scan *s, struct arena *a, void *row)
{
    if (s->index == BY_KEY) return row_unpack(s->view, s->table, s->key, s->value, a, row);
    if (table_get(s->view, s->table, s->value, a, row)) return true;
    view_fail(
        s->view, ERR_IO, "an index of table %s names a missing row", state_tables[s->table]->name);
    return false;
}

void table_list(struct view *v, enum table_id t, int index, struct str prefix, struct arena *a,
    struct list *out)
{
    struct scan s;
    size_t size = state_tables[t]->type->size;
    scan_begin(&s, v, t, index, prefix);
    while (scan_next(&s)) {
        void *row = list_push(a, out, size);
        if (scan_row(&s, a, row)) continue;
        out->n--;
        break;
    }
    scan_end(&s);
}

bool table_first(
    struct view *v, enum table_id t, int index, struct str prefix, struct arena *a, void *row)
{
    struct scan s;
    scan_begin(&s, v, t, index, prefix);
    bool found = scan_next(&s) && scan_row(&s, a, row);
    scan_end(&s);
    return found;
}

bool table_any(struct view *v, enum table_id t, int index, struct str prefix)
{
    struct scan s;
    scan_begin(&s, v, t, index, prefix);
    bool found = scan_next(&s);
    scan_end(&s);
    return found;
}
