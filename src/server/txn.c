/* SPDX-License-Identifier: Apache-2.0 */
/* Txn.* (fsm.md 7). Failing operations are part of the reply, not errors. */
#include "server.h"

static struct txn_error *add_error(struct arena *a, struct list *errors, size_t op)
{
    struct txn_error *e = LIST_PUSH(a, errors, struct txn_error);
    e->op_index = (int64_t)op;
    return e;
}

/* What the leader must refuse before the log: lock delays, registrations that break rules. */
static void check_ops(struct write *w, const struct list *ops, struct list *errors)
{
    struct server *s = w->p.server;
    struct arena *a = &write_reply(w)->arena;
    uint64_t now = world_now_ms(s->world);
    for (size_t i = 0; i < ops->n; i++) {
        const struct txn_op *op = &LIST_AT(ops, struct txn_op, i);
        struct error err;
        if (op->kv) {
            const struct dir_entry *d = &op->kv->dir_ent;
            if (d->key.n == 0 && !str_is(op->kv->verb, "delete-tree")
                && !str_is(op->kv->verb, "get-tree")) {
                add_error(a, errors, i)->what = STR("Must provide key");
            } else if (str_is(op->kv->verb, "lock")
                       && store_kv_lock_delay(s->store, d->key, now) > 0) {
                add_error(a, errors, i)->what = str_printf(
                    a, "failed to lock key \"%.*s\" due to lock delay", STR_ARG(d->key));
            }
        } else if (op->service) {
            if ((str_is(op->service->verb, "set") || str_is(op->service->verb, "cas"))
                && server__validate_node_service(&op->service->service, &err)) {
                add_error(a, errors, i)->what = str_dup(a, str_of(err.text));
            }
        }
    }
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
    const struct txn_request *args = w->p.args;
    struct list errors = { 0 };
    check_ops(w, &args->ops, &errors);
    if (errors.n) {
        ((struct txn_response *)write_reply(w)->record)->errors = errors;
        return WRITE_DONE;
    }
    return write_propose_then(w, COMMAND_TXN, args, applied);
}

int txn_read(struct eval *e)
{
    const struct txn_read_request *args = eval_args(e, txn_read_request);
    struct txn_read_response *out = eval_reply(e, txn_read_response);
    struct txn_response res = { 0 };
    store_txn_read(e->rd, &args->ops, &e->reply->arena, &res);
    out->results = res.results;
    out->errors = res.errors;
    return 0;
}
