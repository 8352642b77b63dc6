/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "commands.h"

#define DELETE_PART 256

static void kv_key(const void *row, struct buf *key)
{
    key_exact(key, ((const struct dir_entry *)row)->key);
}

static void session_keys(const void *row, struct index_keys *out)
{
    const struct dir_entry *e = row;
    if (!e->session.n) return;
    struct buf key = KEY_BUF;
    key_lower(&key, e->session);
    index_key(out, &key);
    buf_deinit(&key);
}

/* Stored form: this head, the session, the value. An empty value is kept as nil: that is what the
 * original's log decoder makes of it. */
struct kv_head {
    uint64_t create_index, modify_index, lock_index, flags;
    uint32_t session_n;
    uint32_t value_nil;
};

static void kv_pack(const void *row, struct buf *out)
{
    const struct dir_entry *e = row;
    struct kv_head head = { e->create_index, e->modify_index, e->lock_index, e->flags,
        (uint32_t)e->session.n, e->value.n == 0 };
    buf_put(out, &head, sizeof head);
    buf_put_str(out, e->session);
    buf_put_str(out, e->value);
}

static struct str key_text(struct str key, struct arena *a)
{
    return str_dup(a, str_slice(key, 0, key.n - 1));
}

static bool kv_unpack(struct str key, struct str bytes, struct arena *a, void *row)
{
    struct kv_head head;
    if (bytes.n < sizeof head || !key.n) return false;
    memcpy(&head, bytes.p, sizeof head);
    if (head.session_n > bytes.n - sizeof head) return false;
    const char *session = bytes.p + sizeof head, *value = session + head.session_n;
    *(struct dir_entry *)row = (struct dir_entry){ .key = key_text(key, a),
        .lock_index = head.lock_index,
        .flags = head.flags,
        .value = head.value_nil ? STR_NIL
                                : (struct str){ value, bytes.n - sizeof head - head.session_n },
        .session = { session, head.session_n },
        .create_index = head.create_index,
        .modify_index = head.modify_index };
    return true;
}

const struct table table_kvs = { .name = "kvs",
    .type = &type_dir_entry,
    .key = kv_key,
    .index = { [KVS_BY_SESSION] = { "session", session_keys } },
    .pack = kv_pack,
    .unpack = kv_unpack };

static void tombstone_pack(const void *row, struct buf *out)
{
    const struct dir_entry *e = row;
    buf_put(out, &e->modify_index, sizeof e->modify_index);
}

static bool tombstone_unpack(struct str key, struct str bytes, struct arena *a, void *row)
{
    uint64_t index;
    if (bytes.n != sizeof index || !key.n) return false;
    memcpy(&index, bytes.p, sizeof index);
    *(struct dir_entry *)row = (struct dir_entry){ .key = key_text(key, a), .modify_index = index };
    return true;
}

const struct table table_tombstones = { .name = "tombstones",
    .type = &type_dir_entry,
    .key = kv_key,
    .pack = tombstone_pack,
    .unpack = tombstone_unpack };

/* --- rules --------------------------------------------------------------------------------- */

bool kv_find(struct view *v, struct str key, struct arena *a, struct dir_entry *out)
{
    return table_get(v, TABLE_KVS, key_of_exact(a, key), a, out);
}

static void entry_write(
    struct store_batch *b, uint64_t index, const struct dir_entry *old, const struct dir_entry *e)
{
    table_put(b, TABLE_KVS, old, e);
    b->restoring ? index_max(b, STR("kvs"), e->modify_index) : index_set(b, STR("kvs"), index);
    touch_key(b, e->key);
}

static bool entry_same(const struct dir_entry *x, const struct dir_entry *y)
{
    return x->lock_index == y->lock_index && x->flags == y->flags && str_eq(x->key, y->key) &&
           str_eq(x->value, y->value) && str_eq(x->session, y->session);
}

/* `old`: the entry stored now, NULL if there is none. */
static void set_over(struct store_batch *b, uint64_t index, const struct dir_entry *old,
    const struct dir_entry *e, bool with_session, struct dir_entry *out)
{
    *out = *e;
    out->create_index = old ? old->create_index : index;
    if (!with_session) out->session = old ? old->session : STR_NIL;
    bool same = old && entry_same(old, out);
    out->modify_index = same ? old->modify_index : index;
    if (!same) entry_write(b, index, old, out);
}

void kv_set(struct store_batch *b, uint64_t index, const struct dir_entry *e, bool with_session,
    struct arena *a, struct dir_entry *out)
{
    struct dir_entry old;
    bool found = kv_find(&b->view, e->key, a, &old);
    set_over(b, index, found ? &old : NULL, e, with_session, out);
}

bool kv_cas(struct store_batch *b, uint64_t index, const struct dir_entry *e, struct arena *a,
    struct dir_entry *out)
{
    struct dir_entry old;
    bool found = kv_find(&b->view, e->key, a, &old);
    if (found ? e->modify_index != old.modify_index : e->modify_index != 0) return false;
    set_over(b, index, found ? &old : NULL, e, false, out);
    return true;
}

int kv_lock(struct store_batch *b, uint64_t index, const struct dir_entry *e, struct arena *a,
    struct dir_entry *out, struct error *err)
{
    struct session holder;
    if (!e->session.n) return error_set(err, ERR_BAD_REQUEST, "missing session");
    if (e->session.n != UUID_TEXT_LEN)
        return error_set(err, ERR_BAD_REQUEST,
            "failed session lookup: index error: UUID must be %d characters", UUID_TEXT_LEN);
    if (!session_find(&b->view, e->session, a, &holder))
        return error_set(
            err, ERR_BAD_REQUEST, "invalid session %.*s", STR_ARG(store_quoted(a, e->session)));
    struct dir_entry old, entry = *e;
    bool found = kv_find(&b->view, e->key, a, &old);
    bool mine = found && str_eq(old.session, e->session);
    if (found && old.session.n && !mine) return 0;
    entry.lock_index = found ? old.lock_index + !mine : 1;
    set_over(b, index, found ? &old : NULL, &entry, true, out);
    return 1;
}

int kv_unlock(struct store_batch *b, uint64_t index, const struct dir_entry *e, struct arena *a,
    struct dir_entry *out, struct error *err)
{
    if (!e->session.n) return error_set(err, ERR_BAD_REQUEST, "missing session");
    struct dir_entry old, entry = *e;
    if (!kv_find(&b->view, e->key, a, &old) || !str_eq(old.session, e->session)) return 0;
    entry.session = STR_NIL;
    entry.lock_index = old.lock_index;
    set_over(b, index, &old, &entry, true, out);
    return 1;
}

static void tombstone_put(struct store_batch *b, uint64_t index, struct str key)
{
    struct dir_entry row = { .key = key, .modify_index = index };
    table_put(b, TABLE_TOMBSTONES, NULL, &row);
    b->restoring ? index_max(b, STR("tombstones"), index) : index_set(b, STR("tombstones"), index);
}

static void entry_delete(struct store_batch *b, const struct dir_entry *e)
{
    table_delete(b, TABLE_KVS, e);
    touch_key(b, e->key);
}

static void delete_found(struct store_batch *b, uint64_t index, const struct dir_entry *e)
{
    tombstone_put(b, index, e->key);
    entry_delete(b, e);
    index_set(b, STR("kvs"), index);
}

void kv_delete(struct store_batch *b, uint64_t index, struct str key, struct arena *a)
{
    struct dir_entry e;
    if (kv_find(&b->view, key, a, &e)) delete_found(b, index, &e);
}

bool kv_delete_cas(
    struct store_batch *b, uint64_t index, struct str key, uint64_t cas, struct arena *a)
{
    struct dir_entry e;
    if (!kv_find(&b->view, key, a, &e)) return true;
    if (e.modify_index != cas) return false;
    delete_found(b, index, &e);
    return true;
}

/* Up to DELETE_PART entries at a time, so that a large tree does not have to fit in memory. */
static bool delete_part(struct store_batch *b, struct str prefix)
{
    struct arena a = ARENA_INIT;
    struct list part = { 0 };
    struct scan s;
    scan_begin(&s, &b->view, TABLE_KVS, BY_KEY, prefix);
    while (part.n < DELETE_PART && scan_next(&s))
        scan_row(&s, &a, LIST_PUSH(&a, &part, struct dir_entry));
    scan_end(&s);
    for (size_t i = 0; i < part.n && !b->view.code; i++)
        entry_delete(b, &LIST_AT(&part, struct dir_entry, i));
    arena_free(&a);
    return part.n > 0 && !b->view.code;
}

void kv_delete_tree(struct store_batch *b, uint64_t index, struct str prefix)
{
    if (!delete_part(b, prefix)) return;
    while (delete_part(b, prefix))
        ;
    if (prefix.n) tombstone_put(b, index, prefix);
    index_set(b, STR("kvs"), index);
}

/* --- commands ------------------------------------------------------------------------------ */

static int answer_bool(struct command_result *res, int code)
{
    if (code < 0) return code;
    res->kind = RESULT_BOOL;
    res->ok = code > 0;
    return 0;
}

APPLY_FN(kvs)
{
    const struct kvs_request *req = body;
    const struct dir_entry *e = &req->dir_ent;
    struct dir_entry stored;
    if (str_is(req->op, "set")) {
        kv_set(b, index, e, false, a, &stored);
        return 0;
    }
    if (str_is(req->op, "cas")) return answer_bool(res, kv_cas(b, index, e, a, &stored));
    if (str_is(req->op, "lock")) return answer_bool(res, kv_lock(b, index, e, a, &stored, err));
    if (str_is(req->op, "unlock")) return answer_bool(res, kv_unlock(b, index, e, a, &stored, err));
    if (str_is(req->op, "delete")) {
        kv_delete(b, index, e->key, a);
        return 0;
    }
    if (str_is(req->op, "delete-cas"))
        return answer_bool(res, kv_delete_cas(b, index, e->key, e->modify_index, a));
    if (str_is(req->op, "delete-tree")) {
        kv_delete_tree(b, index, e->key);
        return 0;
    }
    return error_set(err, ERR_BAD_REQUEST, "Invalid KVS operation '%.*s'", STR_ARG(req->op));
}

APPLY_FN(tombstone)
{
    (void)index;
    (void)res;
    const struct tombstone_request *req = body;
    if (!str_is(req->op, "reap"))
        return error_set(
            err, ERR_BAD_REQUEST, "Invalid Tombstone operation '%.*s'", STR_ARG(req->op));
    struct list due = { 0 };
    struct scan scan;
    struct arena row_arena = ARENA_INIT;
    scan_begin(&scan, &b->view, TABLE_TOMBSTONES, BY_KEY, STR_NIL);
    for (struct dir_entry row; scan_next(&scan) && scan_row(&scan, &row_arena, &row);
         arena_reset(&row_arena))
        if (row.modify_index <= req->reap_index)
            LIST_PUSH(a, &due, struct dir_entry)->key = str_dup(a, row.key);
    scan_end(&scan);
    arena_free(&row_arena);
    for (size_t i = 0; i < due.n; i++)
        table_delete(b, TABLE_TOMBSTONES, &LIST_AT(&due, struct dir_entry, i));
    return 0;
}

void restore_kv(struct store_batch *b, const struct dir_entry *e)
{
    entry_write(b, e->modify_index, NULL, e);
}

void restore_tombstone(struct store_batch *b, const struct dir_entry *e)
{
    tombstone_put(b, e->modify_index, e->key);
}
