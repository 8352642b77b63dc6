/* SPDX-License-Identifier: Apache-2.0 */
/* KVS.* (rpc.md 13, fsm.md 5). */
#include "server.h"

int kvs_get(struct eval *e)
{
    const struct key_request *args = eval_args(e, key_request);
    struct indexed_dir_entries *out = eval_reply(e, indexed_dir_entries);
    struct arena *a = &e->reply->arena;
    struct dir_entry entry = { 0 };
    bool found = false;
    e->reply->index = store_kv_get(e->rd, e->ws, args->key, a, &entry, &found);
    if (found) *LIST_PUSH(a, &out->entries, struct dir_entry) = entry;
    return 0;
}

int kvs_list(struct eval *e)
{
    const struct key_request *args = eval_args(e, key_request);
    e->reply->index = store_kv_list(
        e->rd, e->ws, args->key, &e->reply->arena, &eval_reply(e, indexed_dir_entries)->entries);
    return 0;
}

int kvs_list_keys(struct eval *e)
{
    const struct key_list_request *args = eval_args(e, key_list_request);
    e->reply->index = store_kv_keys(e->rd, e->ws, args->prefix, args->seperator, &e->reply->arena,
        &eval_reply(e, indexed_key_list)->keys);
    return 0;
}

int kvs_apply(struct write *w)
{
    const struct kvs_request *args = w->p.args;
    struct server *s = w->p.server;
    if (args->dir_ent.key.n == 0 && !str_is(args->op, "delete-tree")) {
        return error_set(w->err, ERR_INTERNAL, "Must provide key");
    }
    if (str_is(args->op, "lock")) {
        /* Lock delay is the clock's and stays out of the log: refused here, without an entry. */
        if (store_kv_lock_delay(s->store, args->dir_ent.key, world_now_ms(s->world)) > 0) {
            return write_reply_bool(w, false);
        }
        if (args->dir_ent.session.n &&
            server__check_uuid(args->dir_ent.session, "failed session lookup", w->err)) {
            return w->err->code;
        }
    }
    return write_propose(w, COMMAND_KVS, args);
}
