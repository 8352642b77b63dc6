/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "commands.h"

#define ROW_MAX (64u << 20)

static const struct command_row rows[COMMAND_MAX] = {
    [COMMAND_REGISTER] = { apply_register, COMMAND_NESTED },
    [COMMAND_DEREGISTER] = { apply_deregister, 0 },
    [COMMAND_KVS] = { apply_kvs, 0 },
    [COMMAND_SESSION] = { apply_session, 0 },
    [COMMAND_ACL_LEGACY] = { apply_acl_legacy, COMMAND_NESTED },
    [COMMAND_TOMBSTONE] = { apply_tombstone, 0 },
    [COMMAND_COORDINATE] = { apply_coordinate_batch, 0 },
    [COMMAND_PREPARED_QUERY] = { apply_prepared_query, COMMAND_NESTED },
    [COMMAND_TXN] = { apply_txn, COMMAND_NESTED },
    [COMMAND_AUTOPILOT] = { apply_autopilot, 0 },
    [COMMAND_ACL_BOOTSTRAP] = { apply_acl_bootstrap, COMMAND_NESTED },
    [COMMAND_INTENTION] = { apply_intention, 0 },
    [COMMAND_CONNECT_CA] = { apply_connect_ca, COMMAND_NESTED },
    [COMMAND_ACL_TOKEN_SET] = { apply_acl_token_set, COMMAND_NESTED },
    [COMMAND_ACL_TOKEN_DELETE] = { apply_acl_token_delete, COMMAND_NESTED },
    [COMMAND_ACL_POLICY_SET] = { apply_acl_policy_set, COMMAND_NESTED },
    [COMMAND_ACL_POLICY_DELETE] = { apply_acl_policy_delete, COMMAND_NESTED },
    [COMMAND_CA_LEAF] = { apply_connect_ca_leaf, 0 },
    [COMMAND_CONFIG_ENTRY] = { apply_config_entry, COMMAND_NESTED },
    [COMMAND_ACL_ROLE_SET] = { apply_acl_role_set, COMMAND_NESTED },
    [COMMAND_ACL_ROLE_DELETE] = { apply_acl_role_delete, 0 },
    [COMMAND_ACL_BINDING_RULE_SET] = { apply_acl_binding_rule_set, COMMAND_NESTED },
    [COMMAND_ACL_BINDING_RULE_DELETE] = { apply_acl_binding_rule_delete, 0 },
    [COMMAND_ACL_AUTH_METHOD_SET] = { apply_acl_auth_method_set, COMMAND_NESTED },
    [COMMAND_ACL_AUTH_METHOD_DELETE] = { apply_acl_auth_method_delete, 0 },
    [COMMAND_FEDERATION_STATE] = { apply_federation_state, 0 },
};

/* --- batches ------------------------------------------------------------------------------- */

struct store_batch *batch_create(struct store *s, struct state_env *env)
{
    struct store_batch *b = xcalloc(1, sizeof *b);
    b->view = (struct view){ .store = s, .env = env };
    b->key = b->index_key = (struct buf)KEY_BUF;
    b->row = b->keys_old = b->keys_new = (struct buf)BUF_INIT(ROW_MAX);
    view_check(&b->view, mdb_txn_begin(env->mdb, NULL, 0, &b->view.txn), "begin a change of");
    return b;
}

void batch_destroy(struct store_batch *b)
{
    ensure(!b->outer);
    mdb_txn_abort(b->view.txn);
    buf_deinit(&b->key);
    buf_deinit(&b->index_key);
    buf_deinit(&b->row);
    buf_deinit(&b->keys_old);
    buf_deinit(&b->keys_new);
    arena_free(&b->arena);
    free(b);
}

struct store_batch *store_apply_begin(struct store *s, uint64_t now_ms)
{
    ensure(!s->batch);
    struct store_batch *b = batch_create(s, s->env);
    b->now_ms = now_ms;
    b->index = s->applied_index;
    b->term = s->applied_term;
    s->batch = b;
    return b;
}

void store_apply_abort(struct store_batch *b)
{
    b->view.store->batch = NULL;
    batch_destroy(b);
}

static const struct str applied_key = { "applied", 7 };

void applied_write(struct store_batch *b)
{
    uint64_t at[2] = { b->index, b->term };
    raw_put(b, b->view.env->meta, applied_key, (struct str){ (char *)at, sizeof at });
}

void applied_read(struct view *v, uint64_t *index, uint64_t *term)
{
    struct str bytes;
    uint64_t at[2] = { 0 };
    if (raw_get(v, v->env->meta, applied_key, &bytes) && bytes.n == sizeof at)
        memcpy(at, bytes.p, sizeof at);
    *index = at[0];
    *term = at[1];
}

int store_apply_commit(struct store_batch *b, struct error *err)
{
    struct store *s = b->view.store;
    applied_write(b);
    if (!b->view.code) {
        int rc = mdb_txn_commit(b->view.txn);
        b->view.txn = NULL;
        view_check(&b->view, rc, "write");
    }
    s->batch = NULL;
    if (b->view.code) {
        if (err) *err = b->view.err;
        batch_destroy(b);
        return ERR_IO;
    }
    s->applied_index = b->index;
    s->applied_term = b->term;
    /* Let go of the old pages; the next read renews. */
    if (s->read_open && !s->read_stale) mdb_txn_reset(s->read.view.txn);
    s->read_stale = true;
    lock_delay_commit(s, b);
    watch_fire_touched(s, b);
    batch_destroy(b);
    return 0;
}

/* --- commands ------------------------------------------------------------------------------ */

static bool nested_begin(struct store_batch *b)
{
    MDB_txn *inner;
    int rc = mdb_txn_begin(b->view.env->mdb, b->view.txn, 0, &inner);
    if (!view_check(&b->view, rc, "begin a change of")) return false;
    b->outer = b->view.txn;
    b->view.txn = inner;
    return true;
}

static void nested_end(struct store_batch *b, bool keep)
{
    MDB_txn *inner = b->view.txn;
    b->view.txn = b->outer;
    b->outer = NULL;
    if (keep && !b->view.code)
        view_check(&b->view, mdb_txn_commit(inner), "write");
    else
        mdb_txn_abort(inner);
}

static int body_decode(
    const struct command *c, struct str bytes, struct arena *a, void **body, struct error *err)
{
    *body = arena_alloc(a, c->body->size);
    struct cursor cur;
    struct error why = { 0 };
    cursor_init(&cur, bytes.p, bytes.n, &why);
    if (msgpack_decode(&cur, a, c->body, *body) == 0) return 0;
    return error_set(err, ERR_DECODE, "cannot decode a %s command: %s", c->name, why.text);
}

static void command_run(struct store_batch *b, const struct command_row *row, const void *body,
    struct arena *a, struct command_result *res)
{
    struct error err;
    size_t touched = b->touched.n, delays = b->delays.n;
    bool nested = row->flags & COMMAND_NESTED;
    if (nested && !nested_begin(b)) return;
    int code = row->apply(b, b->index, body, a, res, &err);
    if (nested) nested_end(b, code == 0);
    if (code == 0) return;
    b->touched.n = touched;
    b->delays.n = delays;
    if (res->kind == RESULT_TXN) return;
    *res = (struct command_result){ .kind = RESULT_ERROR, .text = str_dup(a, str_of(err.text)) };
}

static int command_apply(struct store_batch *b, struct str data, struct arena *a,
    struct command_result *res, struct error *err)
{
    uint8_t type = (uint8_t)data.p[0];
    bool ignorable = type & COMMAND_IGNORABLE;
    type &= (uint8_t)~COMMAND_IGNORABLE;
    const struct command *c = command_get(type);
    if (!c || type >= COMMAND_MAX || !rows[type].apply) {
        char text[32];
        snprintf(text, sizeof text, "%u", type);
        if (!ignorable)
            return error_set(err, ERR_NOT_FOUND, "cannot apply entry %llu: unknown command type %s",
                (unsigned long long)b->index, text);
        log_warn(
            "agent.fsm", "ignoring unknown message type, upgrade to newer version", "type", text);
        res->kind = RESULT_SKIPPED;
        return STORE_APPLIED;
    }
    void *body;
    int code = body_decode(c, str_slice(data, 1, data.n), a, &body, err);
    if (code) return code;
    command_run(b, &rows[type], body, a, res);
    res->command = type;
    res->body = body;
    return STORE_APPLIED;
}

int store_apply(struct store_batch *b, const struct store_entry *e, struct arena *a,
    struct command_result *res, struct error *err)
{
    *res = (struct command_result){ 0 };
    ensure(e->index > b->index);
    uint64_t index = b->index, term = b->term;
    b->index = e->index;
    b->term = e->term;
    int code = STORE_APPLIED;
    struct str data = e->data;
    if (e->extensions.n && !b->view.code && !chunk_apply(b, e, a, &data)) {
        res->kind = RESULT_SKIPPED;
        data.n = 0;
    }
    if (data.n && !b->view.code) code = command_apply(b, data, a, res, err);
    if (b->view.code) {
        if (err) *err = b->view.err;
        code = ERR_IO;
    }
    if (code != STORE_APPLIED) {
        b->index = index;
        b->term = term;
    }
    return code;
}
