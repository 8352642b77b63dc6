/* SPDX-License-Identifier: Apache-2.0 */
/* Intentions (fsm.md 9). */
#include <stdlib.h>

#include "blake2b.h"
#include "commands.h"
#include "consuld/model/intention.h"
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
        return error_set(err, ERR_BAD_REQUEST, "duplicate intention found: %.*s",
            STR_ARG(intention_text(&other, a)));
    row.precedence = intention_precedence(&row);
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

static void sort(struct list *rows)
{
    if (rows->n > 1) qsort(rows->v, rows->n, sizeof(struct intention), intention_compare);
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

static int by_key(const void *x, const void *y)
{
    return str_cmp(((const struct str_pair *)x)->key, ((const struct str_pair *)y)->key);
}

struct str store_intention_hash(const struct intention *x, struct arena *a)
{
    struct blake2b s;
    uint8_t hash[BLAKE2B_SIZE];
    const struct str parts[] = { x->id, x->description, x->source_ns, x->source_name,
        x->destination_ns, x->destination_name, x->source_type, x->action, x->default_addr };
    struct str_pair *pairs = arena_array(a, x->meta.n, sizeof *pairs);
    blake2b_begin(&s);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        blake2b_add(&s, parts[i]);
    for (size_t i = 0; i < x->meta.n; i++)
        pairs[i] = (struct str_pair){ dict_key(&x->meta, &type_str, i),
            *(struct str *)dict_at(&x->meta, &type_str, i) };
    if (x->meta.n) qsort(pairs, x->meta.n, sizeof *pairs, by_key);
    for (size_t i = 0; i < x->meta.n; i++) {
        blake2b_add(&s, pairs[i].key);
        blake2b_add(&s, pairs[i].value);
    }
    blake2b_end(&s, hash);
    return (struct str){ arena_copy(a, hash, sizeof hash), sizeof hash };
}
