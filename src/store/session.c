/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

static void session_key(const void *row, struct buf *key)
{
    key_lower(key, ((const struct session *)row)->id);
}

static void node_keys(const void *row, struct index_keys *out)
{
    struct buf key = KEY_BUF;
    key_lower(&key, ((const struct session *)row)->node);
    index_key(out, &key);
    buf_deinit(&key);
}

const struct table table_sessions = { .name = "sessions",
    .type = &type_session,
    .key = session_key,
    .index = { [SESSIONS_BY_NODE] = { "node", node_keys } } };

/* Binds a check to a session; all of it is in the key. */
struct session_check {
    struct str node, check_id, session;
};

static void binding_key(const void *row, struct buf *key)
{
    const struct session_check *r = row;
    key_lower(key, r->node);
    key_lower(key, r->check_id);
    key_lower(key, r->session);
}

static void binding_pack(const void *row, struct buf *out)
{
    key_lower(out, ((const struct session_check *)row)->session);
}

static bool binding_unpack(struct str key, struct str bytes, struct arena *a, void *row)
{
    (void)key;
    (void)a;
    if (!bytes.n) return false;
    *(struct session_check *)row =
        (struct session_check){ .session = str_slice(bytes, 0, bytes.n - 1) };
    return true;
}

static const struct type type_session_check = { .kind = KIND_REC,
    .size = sizeof(struct session_check) };

const struct table table_session_checks = { .name = "session_checks",
    .type = &type_session_check,
    .key = binding_key,
    .pack = binding_pack,
    .unpack = binding_unpack };

bool session_find(struct view *v, struct str id, struct arena *a, struct session *out)
{
    return table_get(v, TABLE_SESSIONS, key_of(a, id), a, out);
}

/* Every check a session is bound to, whichever list names it. */
static struct list bound_checks(const struct session *s, struct arena *a)
{
    struct list ids = { 0 };
    for (size_t i = 0; i < s->checks.n; i++)
        *LIST_PUSH(a, &ids, struct str) = LIST_AT(&s->checks, struct str, i);
    for (size_t i = 0; i < s->node_checks.n; i++)
        *LIST_PUSH(a, &ids, struct str) = LIST_AT(&s->node_checks, struct str, i);
    for (size_t i = 0; i < s->service_checks.n; i++)
        *LIST_PUSH(a, &ids, struct str) = LIST_AT(&s->service_checks, struct service_check, i).id;
    return ids;
}

static void session_insert(struct store_batch *b, const struct session *s, struct arena *a)
{
    struct session old;
    bool found = session_find(&b->view, s->id, a, &old);
    table_put(b, TABLE_SESSIONS, found ? &old : NULL, s);
    struct list checks = bound_checks(s, a);
    for (size_t i = 0; i < checks.n; i++) {
        struct session_check row = { s->node, LIST_AT(&checks, struct str, i), s->id };
        table_put(b, TABLE_SESSION_CHECKS, NULL, &row);
    }
}

static int checks_allow(
    struct store_batch *b, const struct session *s, struct arena *a, struct error *err)
{
    struct list checks = bound_checks(s, a);
    for (size_t i = 0; i < checks.n; i++) {
        struct str id = LIST_AT(&checks, struct str, i);
        struct health_check check;
        if (!check_find(&b->view, s->node, id, a, &check))
            return error_set(
                err, ERR_BAD_REQUEST, "Missing check '%.*s' registration", STR_ARG(id));
        if (str_is(check.status, "critical"))
            return error_set(
                err, ERR_BAD_REQUEST, "Check '%.*s' is in critical state", STR_ARG(id));
    }
    return 0;
}

static int session_create(struct store_batch *b, uint64_t index, const struct session *given,
    struct arena *a, struct error *err)
{
    struct session s = *given;
    if (!s.id.n) return error_set(err, ERR_BAD_REQUEST, "Missing session ID");
    if (!s.behavior.n) s.behavior = STR("release");
    if (!str_is(s.behavior, "release") && !str_is(s.behavior, "delete"))
        return error_set(
            err, ERR_BAD_REQUEST, "Invalid session behavior: %.*s", STR_ARG(s.behavior));
    if (!table_has(&b->view, TABLE_NODES, key_of(a, s.node)))
        return error_set(err, ERR_BAD_REQUEST, "Missing node registration");
    int code = checks_allow(b, &s, a, err);
    if (code) return code;
    s.create_index = s.modify_index = index;
    session_insert(b, &s, a);
    index_set(b, STR("sessions"), index);
    return 0;
}

static void locks_drop(
    struct store_batch *b, uint64_t index, const struct session *s, struct arena *a)
{
    struct list held = { 0 };
    bool delete = str_is(s->behavior, "delete");
    table_list(&b->view, TABLE_KVS, KVS_BY_SESSION, key_of(a, s->id), a, &held);
    for (size_t i = 0; i < held.n; i++) {
        struct dir_entry e = LIST_AT(&held, struct dir_entry, i), stored;
        e.session = STR_NIL;
        if (delete)
            kv_delete(b, index, e.key, a);
        else
            kv_set(b, index, &e, true, a, &stored);
        lock_delay_begin(b, e.key, s->lock_delay);
    }
}

void session_destroy(struct store_batch *b, uint64_t index, struct str id, struct arena *a)
{
    struct session s;
    if (!session_find(&b->view, id, a, &s)) return;
    table_delete(b, TABLE_SESSIONS, &s);
    index_set(b, STR("sessions"), index);
    locks_drop(b, index, &s, a);
    struct list checks = bound_checks(&s, a);
    for (size_t i = 0; i < checks.n; i++) {
        struct session_check row = { s.node, LIST_AT(&checks, struct str, i), s.id };
        table_delete(b, TABLE_SESSION_CHECKS, &row);
    }
    queries_session_gone(b, index, s.id, a);
}

void sessions_check_gone(
    struct store_batch *b, uint64_t index, struct str node, struct str check_id, struct arena *a)
{
    struct list bound = { 0 };
    table_list(&b->view, TABLE_SESSION_CHECKS, BY_KEY, key_of2(a, node, check_id), a, &bound);
    for (size_t i = 0; i < bound.n; i++)
        session_destroy(b, index, LIST_AT(&bound, struct session_check, i).session, a);
}

void sessions_node_gone(struct store_batch *b, uint64_t index, struct str node, struct arena *a)
{
    struct list rows = { 0 };
    table_list(&b->view, TABLE_SESSIONS, SESSIONS_BY_NODE, key_of(a, node), a, &rows);
    for (size_t i = 0; i < rows.n; i++)
        session_destroy(b, index, LIST_AT(&rows, struct session, i).id, a);
}

APPLY_FN(session)
{
    const struct session_request *req = body;
    if (str_is(req->op, "create")) {
        int code = session_create(b, index, &req->session, a, err);
        if (code) return code;
        res->kind = RESULT_STR;
        res->text = req->session.id;
        return 0;
    }
    if (str_is(req->op, "destroy")) {
        session_destroy(b, index, req->session.id, a);
        return 0;
    }
    return error_set(err, ERR_BAD_REQUEST, "Invalid Session operation '%.*s'", STR_ARG(req->op));
}

void restore_session(struct store_batch *b, const struct session *s, struct arena *a)
{
    session_insert(b, s, a);
    index_max(b, STR("sessions"), s->modify_index);
}

/* --- reads --------------------------------------------------------------------------------- */

uint64_t store_session(struct store_read *rd, struct watch_set *ws, struct str id, struct arena *a,
    struct session **out)
{
    struct session s;
    *out = NULL;
    if (session_find(&rd->view, id, a, &s)) *out = arena_copy(a, &s, sizeof s);
    return index_report(index_watch(rd, ws, STR("sessions")));
}

uint64_t store_sessions(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out)
{
    table_list(&rd->view, TABLE_SESSIONS, BY_KEY, STR_NIL, a, out);
    return index_report(index_watch(rd, ws, STR("sessions")));
}

uint64_t store_node_sessions(
    struct store_read *rd, struct watch_set *ws, struct str node, struct arena *a, struct list *out)
{
    table_list(&rd->view, TABLE_SESSIONS, SESSIONS_BY_NODE, key_of(a, node), a, out);
    return index_report(index_watch(rd, ws, STR("sessions")));
}
