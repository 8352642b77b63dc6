/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

/* One transaction being run: over a batch, or over a read view when `b` is NULL. */
struct run {
    struct view *v;
    struct store_batch *b;
    uint64_t index;
    struct arena *a;
    struct list results; /* struct txn_result */
    struct error err;    /* of the present op */
};

enum verb {
    VERB_UNKNOWN,
    VERB_GET,
    VERB_GET_TREE,
    VERB_CHECK_SESSION,
    VERB_CHECK_INDEX,
    VERB_CHECK_NOT_EXISTS,
    VERB_SET,
    VERB_CAS,
    VERB_LOCK,
    VERB_UNLOCK,
    VERB_DELETE,
    VERB_DELETE_CAS,
    VERB_DELETE_TREE,
};
#define VERB_FIRST_WRITE VERB_SET

static const char *const verb_names[] = {
    [VERB_GET] = "get",
    [VERB_GET_TREE] = "get-tree",
    [VERB_CHECK_SESSION] = "check-session",
    [VERB_CHECK_INDEX] = "check-index",
    [VERB_CHECK_NOT_EXISTS] = "check-not-exists",
    [VERB_SET] = "set",
    [VERB_CAS] = "cas",
    [VERB_LOCK] = "lock",
    [VERB_UNLOCK] = "unlock",
    [VERB_DELETE] = "delete",
    [VERB_DELETE_CAS] = "delete-cas",
    [VERB_DELETE_TREE] = "delete-tree",
};

static enum verb verb_of(struct str name)
{
    for (size_t i = 1; i < sizeof verb_names / sizeof verb_names[0]; i++)
        if (str_is(name, verb_names[i])) return (enum verb)i;
    return VERB_UNKNOWN;
}

static int refuse(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(struct run *r, const char *fmt, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return error_set(&r->err, ERR_CONFLICT, "%s", text);
}

static struct txn_result *result_add(struct run *r)
{
    return LIST_PUSH(r->a, &r->results, struct txn_result);
}

static int unknown_verb(struct run *r, const char *what, struct str verb)
{
    return refuse(r, "unknown %s verb %.*s", what, STR_ARG(store_quoted(r->a, verb)));
}

/* --- keys ---------------------------------------------------------------------------------- */

static int kv_result(struct run *r, const struct dir_entry *e, bool with_value)
{
    struct dir_entry *copy = arena_copy(r->a, e, sizeof *e);
    if (!with_value) copy->value = STR_NIL;
    result_add(r)->kv = copy;
    return 0;
}

static int kv_read(struct run *r, enum verb verb, const struct dir_entry *want)
{
    struct dir_entry e;
    struct str key = want->key;
    bool found = kv_find(r->v, key, r->a, &e);
    if (verb == VERB_CHECK_NOT_EXISTS)
        return found ? refuse(r, "key %.*s exists", STR_ARG(store_quoted(r->a, key))) : 0;
    if (verb == VERB_CHECK_SESSION) {
        if (!found)
            return refuse(r, "failed to check session, key %.*s doesn't exist",
                STR_ARG(store_quoted(r->a, key)));
        if (!str_eq(e.session, want->session))
            return refuse(r, "failed session check for key %.*s, current session %.*s != %.*s",
                STR_ARG(store_quoted(r->a, key)), STR_ARG(store_quoted(r->a, e.session)),
                STR_ARG(store_quoted(r->a, want->session)));
    } else if (verb == VERB_CHECK_INDEX) {
        if (!found)
            return refuse(r, "failed to check index, key %.*s doesn't exist",
                STR_ARG(store_quoted(r->a, key)));
        if (e.modify_index != want->modify_index)
            return refuse(r, "failed index check for key %.*s, current modify index %llu != %llu",
                STR_ARG(store_quoted(r->a, key)), (unsigned long long)e.modify_index,
                (unsigned long long)want->modify_index);
    } else if (!found) {
        return refuse(r, "key %.*s doesn't exist", STR_ARG(store_quoted(r->a, key)));
    }
    return kv_result(r, &e, verb == VERB_GET);
}

static int kv_get_tree(struct run *r, struct str prefix)
{
    struct list entries = { 0 };
    table_list(r->v, TABLE_KVS, BY_KEY, prefix, r->a, &entries);
    for (size_t i = 0; i < entries.n; i++)
        kv_result(r, &LIST_AT(&entries, struct dir_entry, i), true);
    return 0;
}

static int kv_write(struct run *r, enum verb verb, const struct dir_entry *e)
{
    struct dir_entry stored;
    int ok = 1;
    switch ((int)verb) {
    case VERB_SET:
        kv_set(r->b, r->index, e, false, r->a, &stored);
        break;
    case VERB_CAS:
        ok = kv_cas(r->b, r->index, e, r->a, &stored);
        if (!ok)
            return refuse(
                r, "failed to set key %.*s, index is stale", STR_ARG(store_quoted(r->a, e->key)));
        break;
    case VERB_LOCK:
        ok = kv_lock(r->b, r->index, e, r->a, &stored, &r->err);
        if (!ok)
            return refuse(r, "failed to lock key %.*s, lock is already held",
                STR_ARG(store_quoted(r->a, e->key)));
        break;
    default:
        ok = kv_unlock(r->b, r->index, e, r->a, &stored, &r->err);
        if (!ok)
            return refuse(r,
                "failed to unlock key %.*s, lock isn't held, or is held by another session",
                STR_ARG(store_quoted(r->a, e->key)));
        break;
    }
    return ok < 0 ? ok : kv_result(r, &stored, false);
}

static int run_kv(struct run *r, const struct txn_kv_op *op)
{
    const struct dir_entry *e = &op->dir_ent;
    enum verb verb = verb_of(op->verb);
    switch (verb) {
    case VERB_GET:
    case VERB_CHECK_SESSION:
    case VERB_CHECK_INDEX:
    case VERB_CHECK_NOT_EXISTS:
        return kv_read(r, verb, e);
    case VERB_GET_TREE:
        return kv_get_tree(r, e->key);
    case VERB_SET:
    case VERB_CAS:
    case VERB_LOCK:
    case VERB_UNLOCK:
        return kv_write(r, verb, e);
    case VERB_DELETE:
        kv_delete(r->b, r->index, e->key, r->a);
        return 0;
    case VERB_DELETE_CAS:
        if (kv_delete_cas(r->b, r->index, e->key, e->modify_index, r->a)) return 0;
        return refuse(
            r, "failed to delete key %.*s, index is stale", STR_ARG(store_quoted(r->a, e->key)));
    case VERB_DELETE_TREE:
        kv_delete_tree(r->b, r->index, e->key);
        return 0;
    case VERB_UNKNOWN:
        break;
    }
    return unknown_verb(r, "KV", op->verb);
}

/* --- nodes, services, checks --------------------------------------------------------------- */

/* Set only if absent (0), or if stored under that index. */
static bool cas_allows(bool found, uint64_t stored, uint64_t wanted)
{
    return found ? wanted != 0 && wanted == stored : wanted == 0;
}

static int node_result(struct run *r, const struct node *want)
{
    struct node n;
    bool found = want->id.n ? node_find_by_id(r->v, want->id, r->a, &n)
                            : node_find(r->v, want->node, r->a, &n);
    if (!found)
        return refuse(r, "node %.*s doesn't exist", STR_ARG(store_quoted(r->a, want->node)));
    result_add(r)->node = arena_copy(r->a, &n, sizeof n);
    return 0;
}

static int run_node(struct run *r, const struct txn_node_op *op)
{
    const struct node *n = &op->node;
    enum verb verb = verb_of(op->verb);
    struct node old = { 0 };
    if (verb == VERB_GET) return node_result(r, n);
    bool found = node_find(r->v, n->node, r->a, &old);
    if (verb == VERB_CAS && !cas_allows(found, old.modify_index, n->modify_index))
        return refuse(
            r, "failed to set node %.*s, index is stale", STR_ARG(store_quoted(r->a, n->node)));
    if (verb == VERB_DELETE_CAS && !(found && old.modify_index == n->modify_index))
        return refuse(
            r, "failed to delete node %.*s, index is stale", STR_ARG(store_quoted(r->a, n->node)));
    if (verb == VERB_SET || verb == VERB_CAS) {
        int code = node_upsert(r->b, r->index, n, r->a, &r->err);
        return code ? code : node_result(r, n);
    }
    if (verb != VERB_DELETE && verb != VERB_DELETE_CAS) return unknown_verb(r, "Node", op->verb);
    node_delete(r->b, r->index, n->node, r->a);
    return 0;
}

static int service_result(struct run *r, struct str node, struct str id)
{
    struct service_row row;
    if (!service_find(r->v, node, id, r->a, &row))
        return refuse(r, "service %.*s on node %.*s doesn't exist", STR_ARG(store_quoted(r->a, id)),
            STR_ARG(store_quoted(r->a, node)));
    result_add(r)->service = arena_copy(r->a, &row.svc, sizeof row.svc);
    return 0;
}

static int run_service(struct run *r, const struct txn_service_op *op)
{
    const struct node_service *s = &op->service;
    enum verb verb = verb_of(op->verb);
    struct service_row old = { 0 };
    if (verb == VERB_GET) return service_result(r, op->node, s->id);
    bool found = service_find(r->v, op->node, s->id, r->a, &old);
    if (verb == VERB_CAS && !cas_allows(found, old.svc.modify_index, s->modify_index))
        return refuse(r, "failed to set service %.*s on node %.*s, index is stale",
            STR_ARG(store_quoted(r->a, s->id)), STR_ARG(store_quoted(r->a, op->node)));
    if (verb == VERB_DELETE_CAS && !(found && old.svc.modify_index == s->modify_index))
        return refuse(r, "failed to delete service %.*s on node %.*s, index is stale",
            STR_ARG(store_quoted(r->a, s->id)), STR_ARG(store_quoted(r->a, op->node)));
    if (verb == VERB_SET || verb == VERB_CAS) {
        int code = service_upsert(r->b, r->index, op->node, s, r->a, &r->err);
        return code ? code : service_result(r, op->node, s->id);
    }
    if (verb != VERB_DELETE && verb != VERB_DELETE_CAS) return unknown_verb(r, "Service", op->verb);
    service_delete(r->b, r->index, op->node, s->id, r->a);
    return 0;
}

static int check_result(struct run *r, const struct health_check *want)
{
    struct health_check c;
    if (!check_find(r->v, want->node, want->check_id, r->a, &c))
        return refuse(r, "check %.*s on node %.*s doesn't exist",
            STR_ARG(store_quoted(r->a, want->check_id)), STR_ARG(store_quoted(r->a, want->node)));
    result_add(r)->check = arena_copy(r->a, &c, sizeof c);
    return 0;
}

/* A cas whose check cannot be stored changes nothing and is no fault: every server has to see it
 * so, or their states part (fsm.md 7). */
static int check_kept(struct run *r, const struct health_check *want)
{
    struct health_check c;
    if (check_find(r->v, want->node, want->check_id, r->a, &c))
        result_add(r)->check = arena_copy(r->a, &c, sizeof c);
    return 0;
}

static int run_check(struct run *r, const struct txn_check_op *op)
{
    const struct health_check *c = &op->check;
    enum verb verb = verb_of(op->verb);
    struct health_check old = { 0 };
    if (verb == VERB_GET) return check_result(r, c);
    bool found = check_find(r->v, c->node, c->check_id, r->a, &old);
    if (verb == VERB_CAS && !cas_allows(found, old.modify_index, c->modify_index))
        return refuse(r, "failed to set check %.*s on node %.*s, index is stale",
            STR_ARG(store_quoted(r->a, c->check_id)), STR_ARG(store_quoted(r->a, c->node)));
    if (verb == VERB_DELETE_CAS && !(found && old.modify_index == c->modify_index))
        return refuse(r, "failed to delete check %.*s on node %.*s, index is stale",
            STR_ARG(store_quoted(r->a, c->check_id)), STR_ARG(store_quoted(r->a, c->node)));
    if (verb == VERB_SET || verb == VERB_CAS) {
        int code = check_upsert(r->b, r->index, c, r->a, &r->err);
        if (code && verb == VERB_CAS) return check_kept(r, c);
        return code ? code : check_result(r, c);
    }
    if (verb != VERB_DELETE && verb != VERB_DELETE_CAS) return unknown_verb(r, "Check", op->verb);
    check_delete(r->b, r->index, c->node, c->check_id, r->a);
    return 0;
}

/* Removes the row alone: held keys and bound checks stay as they are (fsm.md 7). */
static int run_session(struct run *r, const struct txn_session_op *op)
{
    struct session s;
    if (verb_of(op->verb) != VERB_DELETE) return unknown_verb(r, "Session", op->verb);
    if (!session_find(r->v, op->session.id, r->a, &s))
        return refuse(r, "failed deleting session: not found");
    table_delete(r->b, TABLE_SESSIONS, &s);
    index_set(r->b, STR("sessions"), r->index);
    return 0;
}

/* --- the whole ----------------------------------------------------------------------------- */

static bool op_writes(const struct txn_op *op)
{
    if (op->kv) return verb_of(op->kv->verb) >= VERB_FIRST_WRITE;
    if (op->node) return verb_of(op->node->verb) >= VERB_FIRST_WRITE;
    if (op->service) return verb_of(op->service->verb) >= VERB_FIRST_WRITE;
    if (op->check) return verb_of(op->check->verb) >= VERB_FIRST_WRITE;
    return op->session || op->intention;
}

bool store_txn_is_read_only(const struct list *ops)
{
    for (size_t i = 0; i < ops->n; i++)
        if (op_writes(&LIST_AT(ops, struct txn_op, i))) return false;
    return true;
}

static int run_op(struct run *r, const struct txn_op *op)
{
    if (!r->b && op_writes(op)) return refuse(r, "cannot write in a transaction of reads");
    if (op->kv) return run_kv(r, op->kv);
    if (op->node) return run_node(r, op->node);
    if (op->service) return run_service(r, op->service);
    if (op->check) return run_check(r, op->check);
    if (op->session) return run_session(r, op->session);
    if (op->intention && op->intention->intention)
        return intention_op(
            r->b, r->index, op->intention->op, op->intention->intention, r->a, &r->err);
    return refuse(r, "no operation specified");
}

/* True when no op failed; all ops run in any case, so that every failure is told. */
static bool run_all(struct run *r, const struct list *ops, struct txn_response *out)
{
    *out = (struct txn_response){ 0 };
    r->results = LIST_EMPTY;
    for (size_t i = 0; i < ops->n; i++) {
        size_t before = r->results.n;
        if (run_op(r, &LIST_AT(ops, struct txn_op, i)) >= 0) continue;
        r->results.n = before;
        struct txn_error *e = LIST_PUSH(r->a, &out->errors, struct txn_error);
        e->op_index = (int64_t)i;
        e->what = str_dup(r->a, str_of(r->err.text));
    }
    if (out->errors.n) return false;
    out->results = r->results;
    return true;
}

APPLY_FN(txn)
{
    const struct txn_request *req = body;
    struct run r = { .v = &b->view, .b = b, .index = index, .a = a };
    res->kind = RESULT_TXN;
    res->txn = arena_new(a, struct txn_response);
    if (run_all(&r, &req->ops, res->txn)) return 0;
    return error_set(err, ERR_CONFLICT, "the transaction is refused");
}

void store_txn_read(
    struct store_read *rd, const struct list *ops, struct arena *a, struct txn_response *out)
{
    struct run r = { .v = &rd->view, .a = a };
    run_all(&r, ops, out);
}
