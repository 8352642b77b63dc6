/* SPDX-License-Identifier: Apache-2.0 */
/* Intentions (fsm.md 9). */
#include <stdlib.h>

#include "commands.h"
#include "consuld/store/tables.h"

#define INDEX STR("connect-intentions")

enum { BY_SOURCE, BY_DESTINATION, BY_NAMES };

static void intention_key(const void *row, struct buf *key)
{
    key_lower(key, ((const struct intention *)row)->id);
}

static void names_key(const struct str *parts, size_t n, struct index_keys *out)
{
    struct buf key = KEY_BUF;
    for (size_t i = 0; i < n; i++)
        key_lower(&key, parts[i]);
    index_key(out, &key);
    buf_deinit(&key);
}

static void source_keys(const void *row, struct index_keys *out)
{
    const struct intention *x = row;
    names_key((struct str[]){ x->source_ns, x->source_name }, 2, out);
}

static void destination_keys(const void *row, struct index_keys *out)
{
    const struct intention *x = row;
    names_key((struct str[]){ x->destination_ns, x->destination_name }, 2, out);
}

static void all_names_keys(const void *row, struct index_keys *out)
{
    const struct intention *x = row;
    struct str parts[] = { x->source_ns, x->source_name, x->destination_ns, x->destination_name };
    names_key(parts, 4, out);
}

const struct table table_intentions = {
    .name = "connect-intentions",
    .type = &type_intention,
    .key = intention_key,
    .index = { [BY_SOURCE] = { "source", source_keys },
        [BY_DESTINATION] = { "destination", destination_keys },
        [BY_NAMES] = { "names", all_names_keys } },
};

static bool intention_find(struct view *v, struct str id, struct arena *a, struct intention *out)
{
    return table_get(v, TABLE_INTENTIONS, key_of(a, id), a, out);
}

/* 2: exact name, 1: any name of a namespace, 0: any namespace. */
static int exactness(struct str ns, struct str name)
{
    if (str_is(ns, "*")) return 0;
    return str_is(name, "*") ? 1 : 2;
}

static int64_t precedence(const struct intention *x)
{
    return 1 + exactness(x->source_ns, x->source_name) +
           3 * exactness(x->destination_ns, x->destination_name);
}

static int duplicate(const struct intention *x, struct arena *a, struct error *err)
{
    struct str action = str_dup(a, x->action);
    for (size_t i = 0; i < action.n; i++) {
        char *c = (char *)(uintptr_t)&action.p[i];
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 32);
    }
    return error_set(err, ERR_BAD_REQUEST,
        "duplicate intention found: %.*s %.*s/%.*s => %.*s/%.*s (ID: %.*s, Precedence: %lld)",
        STR_ARG(action), STR_ARG(x->source_ns), STR_ARG(x->source_name), STR_ARG(x->destination_ns),
        STR_ARG(x->destination_name), STR_ARG(x->id), (long long)x->precedence);
}

static bool find_by_names(
    struct view *v, const struct intention *x, struct arena *a, struct intention *out)
{
    struct buf key = KEY_BUF;
    key_lower(&key, x->source_ns);
    key_lower(&key, x->source_name);
    key_lower(&key, x->destination_ns);
    key_lower(&key, x->destination_name);
    bool found = table_first(v, TABLE_INTENTIONS, BY_NAMES, buf_str(&key), a, out);
    buf_deinit(&key);
    return found;
}

static int intention_upsert(struct store_batch *b, uint64_t index, const struct intention *x,
    struct arena *a, struct error *err)
{
    struct intention row = *x, old, other;
    if (x->id.n == 0) return error_set(err, ERR_BAD_REQUEST, "Missing Intention ID");
    bool found = intention_find(&b->view, x->id, a, &old);
    if (find_by_names(&b->view, x, a, &other) && !str_eq_nocase(other.id, x->id))
        return duplicate(&other, a, err);
    row.precedence = precedence(&row);
    row.create_index = found ? old.create_index : index;
    row.modify_index = index;
    if (found) row.created_at = old.created_at;
    if (!row.meta.v) row.meta = DICT_EMPTY;
    table_put(b, TABLE_INTENTIONS, found ? &old : NULL, &row);
    index_set(b, INDEX, index);
    return 0;
}

int intention_op(struct store_batch *b, uint64_t index, struct str op,
    const struct intention *intention, struct arena *a, struct error *err)
{
    struct intention old;
    if (str_is(op, "create") || str_is(op, "update"))
        return intention_upsert(b, index, intention, a, err);
    if (!str_is(op, "delete"))
        return error_set(err, ERR_BAD_REQUEST, "Invalid Intention operation '%.*s'", STR_ARG(op));
    if (!intention_find(&b->view, intention->id, a, &old)) return 0;
    table_delete(b, TABLE_INTENTIONS, &old);
    index_set(b, INDEX, index);
    return 0;
}

APPLY_FN(intention)
{
    const struct intention_request *req = body;
    (void)res;
    if (!req->intention) return error_set(err, ERR_BAD_REQUEST, "Missing Intention ID");
    return intention_op(b, index, req->op, req->intention, a, err);
}

static int by_precedence(const void *x, const void *y)
{
    const struct intention *p = x, *q = y;
    if (p->precedence != q->precedence) return p->precedence > q->precedence ? -1 : 1;
    int c = str_cmp(p->source_ns, q->source_ns);
    if (!c) c = str_cmp(p->source_name, q->source_name);
    if (!c) c = str_cmp(p->destination_ns, q->destination_ns);
    return c ? c : str_cmp(p->destination_name, q->destination_name);
}

static void sort(struct list *rows)
{
    if (rows->n > 1) qsort(rows->v, rows->n, sizeof(struct intention), by_precedence);
}

uint64_t store_intentions(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out)
{
    table_list(&rd->view, TABLE_INTENTIONS, BY_KEY, STR_NIL, a, out);
    sort(out);
    return index_report(index_watch(rd, ws, INDEX));
}

uint64_t store_intention(struct store_read *rd, struct watch_set *ws, struct str id,
    struct arena *a, struct intention **out)
{
    struct intention row;
    *out = NULL;
    if (intention_find(&rd->view, id, a, &row)) *out = arena_copy(a, &row, sizeof row);
    return index_report(index_watch(rd, ws, INDEX));
}

uint64_t store_intention_match(struct store_read *rd, struct watch_set *ws, bool by_destination,
    struct str ns, struct str name, struct arena *a, struct list *out)
{
    int side = by_destination ? BY_DESTINATION : BY_SOURCE;
    struct str any = STR("*");
    bool exact_ns = !str_is(ns, "*"), exact_name = exact_ns && !str_is(name, "*");
    table_list(&rd->view, TABLE_INTENTIONS, side, key_of2(a, any, any), a, out);
    if (exact_ns) table_list(&rd->view, TABLE_INTENTIONS, side, key_of2(a, ns, any), a, out);
    if (exact_name) table_list(&rd->view, TABLE_INTENTIONS, side, key_of2(a, ns, name), a, out);
    sort(out);
    return index_report(index_watch(rd, ws, INDEX));
}
