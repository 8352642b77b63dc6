/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/store_snapshot.h"
#include "snapshot.h"

/* LMDB keeps the memory of the pages it wrote in one go. */
#define CHECKPOINT_BYTES (4u << 20)

static int read_records(struct shared_body *state, snapshot_record_fn record, void *ctx,
    uint64_t *last_index, struct snapshot_progress *progress, struct error *err)
{
    struct cursor c;
    struct str bytes = shared_body_str(state);
    struct snapshot_header header = { 0 };
    struct arena a = ARENA_INIT;
    struct error why = { 0 };
    cursor_init(&c, bytes.p, bytes.n, &why);
    int code = msgpack_decode(&c, &a, &type_snapshot_header, &header);
    if (code) code = error_set(err, ERR_DECODE, "snapshot: unreadable header: %s", why.text);
    if (last_index) *last_index = header.last_index;
    while (!code && cursor_left(&c) > 0) {
        size_t at = bytes.n - cursor_left(&c);
        shared_body_passed(state, at);
        if (progress) atomic_store_explicit(&progress->done, at, memory_order_relaxed);
        uint8_t type = *c.p;
        const struct command *row = command_get(type);
        if (!row || !row->record) {
            code = error_set(
                err, ERR_DECODE, "snapshot: unrecognized record type %u at byte %zu", type, at);
            break;
        }
        /* Each record has the budgets of a message of its own. */
        cursor_init(&c, c.p + 1, cursor_left(&c) - 1, &why);
        void *body = arena_alloc(&a, row->record->size);
        if (msgpack_decode(&c, &a, row->record, body))
            code = error_set(err, ERR_DECODE, "snapshot: unreadable %s record at byte %zu: %.400s",
                row->name, at, why.text);
        else
            code = record(ctx, type, body, &a, err);
        arena_reset(&a);
    }
    shared_body_passed(state, bytes.n);
    arena_free(&a);
    return code;
}

int snapshot_read(struct shared_body *state, snapshot_record_fn record, void *ctx,
    uint64_t *last_index, struct error *err)
{
    return read_records(state, record, ctx, last_index, NULL, err);
}

/* --- restoring ------------------------------------------------------------------------------ */

struct restore {
    struct store_batch *batch;
    uint64_t last_index;
    struct snapshot_progress *progress;
    uint64_t checkpoint; /* bytes read at the last one */
};

typedef int (*restore_fn)(struct restore *r, const void *body, struct arena *a, struct error *err);

#define PUT_ROW(name, table) \
    static int put_##name(struct restore *r, const void *body, struct arena *a, struct error *err) \
    { \
        (void)a; \
        (void)err; \
        table_put(r->batch, table, NULL, body); \
        return 0; \
    }
PUT_ROW(query, TABLE_PREPARED_QUERIES)
PUT_ROW(autopilot, TABLE_AUTOPILOT)
PUT_ROW(intention, TABLE_INTENTIONS)
PUT_ROW(ca_root, TABLE_CA_ROOTS)
PUT_ROW(ca_provider_state, TABLE_CA_BUILTIN)
PUT_ROW(ca_config, TABLE_CA_CONFIG)
PUT_ROW(acl_policy, TABLE_ACL_POLICIES)
PUT_ROW(acl_role, TABLE_ACL_ROLES)
PUT_ROW(acl_binding_rule, TABLE_ACL_BINDING_RULES)
PUT_ROW(acl_auth_method, TABLE_ACL_AUTH_METHODS)

#define PUT_FN(name) \
    static int put_##name(struct restore *r, const void *body, struct arena *a, struct error *err)

PUT_FN(register)
{
    return restore_register(r->batch, r->last_index, body, a, err);
}

PUT_FN(kv)
{
    (void)a;
    (void)err;
    restore_kv(r->batch, body);
    return 0;
}

PUT_FN(tombstone)
{
    (void)a;
    (void)err;
    restore_tombstone(r->batch, body);
    return 0;
}

PUT_FN(session)
{
    (void)err;
    restore_session(r->batch, body, a);
    return 0;
}

PUT_FN(coordinates)
{
    const struct list *rows = body;
    (void)a;
    (void)err;
    for (size_t i = 0; i < rows->n; i++)
        if (LIST_AT(rows, struct coordinate, i).coord)
            table_put(r->batch, TABLE_COORDINATES, NULL, &LIST_AT(rows, struct coordinate, i));
    return 0;
}

PUT_FN(acl_token)
{
    (void)err;
    restore_acl_token(r->batch, body, a);
    return 0;
}

PUT_FN(acl_legacy)
{
    (void)err;
    restore_acl_legacy(r->batch, body, a);
    return 0;
}

PUT_FN(acl_bootstrap)
{
    const struct acl_bootstrap *row = body;
    (void)a;
    (void)err;
    if (!row->allow_bootstrap)
        restore_index(r->batch, STR("acl-token-bootstrap"), row->modify_index);
    return 0;
}

PUT_FN(config_entry)
{
    const struct config_entry_request *req = body;
    if (!config_entry_is_set(&req->entry))
        return error_set(err, ERR_DECODE, "snapshot: a config entry record without an entry");
    restore_config_entry(r->batch, req, a);
    return 0;
}

PUT_FN(federation_state)
{
    const struct federation_state_request *req = body;
    (void)a;
    if (!req->state)
        return error_set(err, ERR_DECODE, "snapshot: a federation state record without a state");
    table_put(r->batch, TABLE_FEDERATION_STATES, NULL, req->state);
    return 0;
}

PUT_FN(index)
{
    const struct index_entry *e = body;
    (void)a;
    (void)err;
    restore_index(r->batch, e->key, e->value);
    return 0;
}

PUT_FN(chunks)
{
    (void)a;
    (void)err;
    chunk_state_put(r->batch, body);
    return 0;
}

static const restore_fn puts_by_type[COMMAND_MAX] = {
    [COMMAND_REGISTER] = put_register,
    [COMMAND_KVS] = put_kv,
    [COMMAND_SESSION] = put_session,
    [COMMAND_ACL_LEGACY] = put_acl_legacy,
    [COMMAND_TOMBSTONE] = put_tombstone,
    [COMMAND_COORDINATE] = put_coordinates,
    [COMMAND_PREPARED_QUERY] = put_query,
    [COMMAND_AUTOPILOT] = put_autopilot,
    [COMMAND_ACL_BOOTSTRAP] = put_acl_bootstrap,
    [COMMAND_INTENTION] = put_intention,
    [COMMAND_CONNECT_CA] = put_ca_root,
    [COMMAND_CA_PROVIDER_STATE] = put_ca_provider_state,
    [COMMAND_CA_CONFIG] = put_ca_config,
    [COMMAND_INDEX] = put_index,
    [COMMAND_ACL_TOKEN_SET] = put_acl_token,
    [COMMAND_ACL_POLICY_SET] = put_acl_policy,
    [COMMAND_CONFIG_ENTRY] = put_config_entry,
    [COMMAND_ACL_ROLE_SET] = put_acl_role,
    [COMMAND_ACL_BINDING_RULE_SET] = put_acl_binding_rule,
    [COMMAND_ACL_AUTH_METHOD_SET] = put_acl_auth_method,
    [COMMAND_CHUNKING_STATE] = put_chunks,
    [COMMAND_FEDERATION_STATE] = put_federation_state,
};

static int put_record(void *ctx, uint8_t type, const void *body, struct arena *a, struct error *err)
{
    struct restore *r = ctx;
    struct view *v = &r->batch->view;
    int code = puts_by_type[type]
                   ? puts_by_type[type](r, body, a, err)
                   : error_set(err, ERR_DECODE, "snapshot: unrecognized record type %u", type);
    uint64_t at = atomic_load_explicit(&r->progress->done, memory_order_relaxed);
    if (!code && at - r->checkpoint >= CHECKPOINT_BYTES) {
        r->checkpoint = at;
        store_restore_checkpoint(r->batch);
    }
    if (!code && v->code) {
        if (err) *err = v->err;
        return v->code;
    }
    return code;
}

static int peek_last_index(struct str bytes, uint64_t *out, struct error *err)
{
    struct cursor c;
    struct snapshot_header header = { 0 };
    struct arena a = ARENA_INIT;
    cursor_init(&c, bytes.p, bytes.n, err);
    int code = msgpack_decode(&c, &a, &type_snapshot_header, &header);
    arena_free(&a);
    *out = header.last_index;
    return code ? error_prefix(err, "snapshot: unreadable header: ") : 0;
}

int snapshot_build(struct store *s, struct shared_body *from, uint64_t index, uint64_t term,
    struct snapshot_progress *progress, struct store_batch **out, struct error *err)
{
    struct snapshot_progress unseen = { 0 };
    struct restore r = { .progress = progress ? progress : &unseen };
    int code = peek_last_index(shared_body_str(from), &r.last_index, err);
    *out = NULL;
    if (code) return code;
    r.batch = store_restore_begin(s, err);
    if (!r.batch) return ERR_IO;
    code = read_records(from, put_record, &r, NULL, r.progress, err);
    if (code) {
        store_restore_abort(r.batch);
        return code;
    }
    code = store_restore_seal(r.batch, index, term, err);
    if (!code) *out = r.batch;
    return code;
}

int snapshot_switch(struct store_batch *built, struct error *err)
{
    return store_restore_switch(built, err);
}

void snapshot_drop(struct store_batch *built)
{
    if (built) store_restore_abort(built);
}

int snapshot_restore(
    struct store *s, struct shared_body *from, uint64_t index, uint64_t term, struct error *err)
{
    struct store_batch *built;
    int code = snapshot_build(s, from, index, term, NULL, &built, err);
    return code ? code : snapshot_switch(built, err);
}
