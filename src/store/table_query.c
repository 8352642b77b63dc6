/* SPDX-License-Identifier: Apache-2.0 */
/* Prepared queries (fsm.md 8). */
#include "commands.h"
#include "consuld/lang/template.h"
#include "consuld/store/tables.h"

#define INDEX STR("prepared-queries")

enum { BY_NAME, BY_TEMPLATE, BY_SESSION };

static bool is_template(const struct prepared_query *q)
{
    return q->template.type.n > 0;
}

static void query_key(const void *row, struct buf *key)
{
    key_lower(key, ((const struct prepared_query *)row)->id);
}

static void one_key(struct index_keys *out, struct str part)
{
    struct buf key = KEY_BUF;
    key_lower(&key, part);
    index_key(out, &key);
    buf_deinit(&key);
}

static void name_keys(const void *row, struct index_keys *out)
{
    const struct prepared_query *q = row;
    if (q->name.n) one_key(out, q->name);
}

static void template_keys(const void *row, struct index_keys *out)
{
    const struct prepared_query *q = row;
    if (is_template(q)) one_key(out, q->name);
}

static void session_keys(const void *row, struct index_keys *out)
{
    const struct prepared_query *q = row;
    if (q->session.n) one_key(out, q->session);
}

const struct table table_prepared_queries = {
    .name = "prepared-queries",
    .type = &type_prepared_query,
    .key = query_key,
    .index = { [BY_NAME] = { "name", name_keys },
        [BY_TEMPLATE] = { "template", template_keys },
        [BY_SESSION] = { "session", session_keys } },
};

static bool query_find(struct view *v, struct str id, struct arena *a, struct prepared_query *out)
{
    return table_get(v, TABLE_PREPARED_QUERIES, key_of(a, id), a, out);
}

static int check_name(
    struct view *v, const struct prepared_query *q, struct arena *a, struct error *err)
{
    struct prepared_query other;
    if (q->name.n == 0) {
        if (is_template(q) &&
            table_first(v, TABLE_PREPARED_QUERIES, BY_TEMPLATE, key_of(a, STR("")), a, &other) &&
            !str_eq_nocase(other.id, q->id))
            return error_set(
                err, ERR_BAD_REQUEST, "a query template with an empty name already exists");
        return 0;
    }
    if (table_first(v, TABLE_PREPARED_QUERIES, BY_NAME, key_of(a, q->name), a, &other) &&
        !str_eq_nocase(other.id, q->id))
        return error_set(
            err, ERR_BAD_REQUEST, "name '%.*s' aliases an existing query name", STR_ARG(q->name));
    if (uuid_valid(q->name) && query_find(v, q->name, a, &other))
        return error_set(
            err, ERR_BAD_REQUEST, "name '%.*s' aliases an existing query ID", STR_ARG(q->name));
    return 0;
}

static int check_template(const struct prepared_query *q, struct arena *a, struct error *err)
{
    struct query_template *compiled;
    if (!is_template(q)) return 0;
    int rc = query_template_compile(q, a, &compiled, err);
    return rc ? error_prefix(err, "failed compiling template: ") : 0;
}

static int query_upsert(struct store_batch *b, uint64_t index, const struct prepared_query *q,
    struct arena *a, struct error *err)
{
    struct prepared_query row = *q, old;
    struct session session;
    if (q->id.n == 0) return error_set(err, ERR_BAD_REQUEST, "Missing Query ID");
    bool found = query_find(&b->view, q->id, a, &old);
    int code = check_name(&b->view, q, a, err);
    if (code) return code;
    if (q->session.n && q->session.n != UUID_TEXT_LEN)
        return error_set(err, ERR_BAD_REQUEST,
            "invalid session: index error: UUID must be %d characters", UUID_TEXT_LEN);
    if (q->session.n && !session_find(&b->view, q->session, a, &session))
        return error_set(err, ERR_BAD_REQUEST, "invalid session \"%.*s\"", STR_ARG(q->session));
    code = check_template(q, a, err);
    if (code) return code;
    row.create_index = found ? old.create_index : index;
    row.modify_index = index;
    table_put(b, TABLE_PREPARED_QUERIES, found ? &old : NULL, &row);
    index_set(b, INDEX, index);
    return 0;
}

APPLY_FN(prepared_query)
{
    const struct prepared_query_request *req = body;
    struct prepared_query old;
    (void)res;
    if (!req->query) return error_set(err, ERR_BAD_REQUEST, "Missing Query ID");
    if (str_is(req->op, "create") || str_is(req->op, "update"))
        return query_upsert(b, index, req->query, a, err);
    if (!str_is(req->op, "delete"))
        return error_set(
            err, ERR_BAD_REQUEST, "Invalid PreparedQuery operation '%.*s'", STR_ARG(req->op));
    if (!query_find(&b->view, req->query->id, a, &old)) return 0;
    table_delete(b, TABLE_PREPARED_QUERIES, &old);
    index_set(b, INDEX, index);
    return 0;
}

void queries_session_gone(
    struct store_batch *b, uint64_t index, struct str session, struct arena *a)
{
    struct list rows = { 0 };
    table_list(&b->view, TABLE_PREPARED_QUERIES, BY_SESSION, key_of(a, session), a, &rows);
    for (size_t i = 0; i < rows.n; i++)
        table_delete(b, TABLE_PREPARED_QUERIES, &LIST_AT(&rows, struct prepared_query, i));
    if (rows.n) index_set(b, INDEX, index);
}

uint64_t store_prepared_queries(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out)
{
    table_list(&rd->view, TABLE_PREPARED_QUERIES, BY_KEY, STR_NIL, a, out);
    return index_report(index_watch(rd, ws, INDEX));
}

uint64_t store_prepared_query(struct store_read *rd, struct watch_set *ws, struct str id,
    struct arena *a, struct prepared_query **out)
{
    struct prepared_query row;
    *out = NULL;
    if (query_find(&rd->view, id, a, &row)) *out = arena_copy(a, &row, sizeof row);
    return index_report(index_watch(rd, ws, INDEX));
}

/* The template with the longest name that `name` begins with. */
static bool longest_template(
    struct view *v, struct str name, struct arena *a, struct prepared_query *out)
{
    for (size_t n = name.n + 1; n-- > 0;) {
        struct str key = key_of(a, str_slice(name, 0, n));
        if (table_first(v, TABLE_PREPARED_QUERIES, BY_TEMPLATE, key, a, out)) return true;
    }
    return false;
}

int store_prepared_query_resolve(struct store_read *rd, struct str id_or_name, struct arena *a,
    struct prepared_query **out, struct error *err)
{
    struct prepared_query row;
    *out = NULL;
    if (id_or_name.n == 0) return error_set(err, ERR_BAD_REQUEST, "Missing Query ID");
    bool found = uuid_valid(id_or_name) && query_find(&rd->view, id_or_name, a, &row);
    if (found && is_template(&row))
        return error_set(err, ERR_BAD_REQUEST,
            "prepared query templates can only be resolved up by name, not by ID");
    struct str name = key_of(a, id_or_name);
    if (!found) found = table_first(&rd->view, TABLE_PREPARED_QUERIES, BY_NAME, name, a, &row);
    if (!found) found = longest_template(&rd->view, id_or_name, a, &row);
    if (found) *out = arena_copy(a, &row, sizeof row);
    return 0;
}
