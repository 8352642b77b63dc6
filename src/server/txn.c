/* SPDX-License-Identifier: Apache-2.0 */
/* Txn.* (fsm.md 7). Failing operations are part of the reply, not errors. */
#include "server.h"

static bool registers(struct str verb)
{
    return !str_is(verb, "get");
}

/* What must be refused before the log is asked: 0 or err filled. Completes check IDs. */
static int check_op(struct server *s, struct txn_op *op, struct arena *a, struct error *err)
{
    if (op->kv) {
        const struct dir_entry *d = &op->kv->dir_ent;
        if (d->key.n == 0 && !str_is(op->kv->verb, "delete-tree")) {
            return error_set(err, ERR_INTERNAL, "Must provide key");
        }
        if (str_is(op->kv->verb, "lock") &&
            store_kv_lock_delay(s->store, d->key, world_now_ms(s->world)) > 0) {
            return error_set(err, ERR_INTERNAL, "failed to lock key \"%.*s\" due to lock delay",
                STR_ARG(d->key));
        }
    } else if (op->node && registers(op->node->verb)) {
        return server__validate_node(op->node->node.node, op->node->node.id, err);
    } else if (op->service && registers(op->service->verb)) {
        int rc = server__validate_node_service(&op->service->service, err);
        if (rc || op->service->service.id.n) return rc;
        op->service = arena_copy(a, op->service, sizeof *op->service);
        op->service->service.id = op->service->service.service;
    } else if (op->check && registers(op->check->verb) && op->check->check.check_id.n == 0) {
        op->check = arena_copy(a, op->check, sizeof *op->check);
        op->check->check.check_id = op->check->check.name;
    }
    return 0;
}

/* Checks every op of a list of its own; refusals are collected. */
static struct list check_ops(
    struct server *s, const struct list *ops, struct arena *a, struct list *errors)
{
    struct list own = { 0 };
    for (size_t i = 0; i < ops->n; i++) {
        struct txn_op *op = LIST_PUSH(a, &own, struct txn_op);
        struct error err;
        *op = LIST_AT(ops, struct txn_op, i);
        if (check_op(s, op, a, &err) == 0) continue;
        *LIST_PUSH(a, errors, struct txn_error) =
            (struct txn_error){ .op_index = (int64_t)i, .what = str_dup(a, str_of(err.text)) };
    }
    return own;
}

static int applied(struct write *w, const struct command_result *res)
{
    if (res->kind != RESULT_TXN) return write_finish(w, res);
    struct rpc_reply *r = write_reply(w);
    record_copy(&r->arena, &type_txn_response, r->record, res->txn);
    return WRITE_DONE;
}

int txn_apply(struct write *w)
{
    struct arena *a = w->p.call->arena;
    struct txn_request *req = arena_copy(a, w->p.args, sizeof *req);
    struct rpc_reply *r = write_reply(w);
    struct list errors = { 0 };
    req->ops = check_ops(w->p.server, &req->ops, &r->arena, &errors);
    if (errors.n) {
        ((struct txn_response *)r->record)->errors = errors;
        return WRITE_DONE;
    }
    return write_propose_then(w, COMMAND_TXN, req, applied);
}

int txn_read(struct eval *e)
{
    const struct txn_read_request *args = eval_args(e, txn_read_request);
    struct txn_read_response *out = eval_reply(e, txn_read_response);
    struct arena *a = &e->reply->arena;
    struct txn_response res = { 0 };
    struct list ops = check_ops(e->server, &args->ops, a, &out->errors);
    if (out->errors.n) return 0;
    store_txn_read(e->rd, &ops, a, &res);
    out->results = res.results;
    out->errors = res.errors;
    return 0;
}
