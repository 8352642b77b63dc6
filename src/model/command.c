/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/model/command.h"

#include "consuld/wire/msgpack.h"
#include "records.h"

#define BODY(r) .body = &type_##r
#define RECORD(r) .record = &type_##r

/* clang-format off */
static const struct command commands[COMMAND_MAX] = {
    [COMMAND_REGISTER]                = { "register",                BODY(register_request), RECORD(register_request) },
    [COMMAND_DEREGISTER]              = { "deregister",              BODY(deregister_request) },
    [COMMAND_KVS]                     = { "kv",                      BODY(kvs_request), RECORD(dir_entry) },
    [COMMAND_SESSION]                 = { "session",                 BODY(session_request), RECORD(session) },
    [COMMAND_ACL_LEGACY]              = { "legacy ACL",              BODY(acl_request), RECORD(acl) },
    [COMMAND_TOMBSTONE]               = { "tombstone",               BODY(tombstone_request), RECORD(dir_entry) },
    [COMMAND_COORDINATE]              = { "coordinates",             BODY(coordinate_list), RECORD(coordinate_list), .ignorable = true },
    [COMMAND_PREPARED_QUERY]          = { "prepared query",          BODY(prepared_query_request), RECORD(prepared_query) },
    [COMMAND_TXN]                     = { "txn",                     BODY(txn_request) },
    [COMMAND_AUTOPILOT]               = { "autopilot",               BODY(autopilot_set_config_request), RECORD(autopilot_config) },
    [COMMAND_ACL_BOOTSTRAP]           = { "ACL bootstrap",           BODY(acl_token_bootstrap_request), RECORD(acl_bootstrap) },
    [COMMAND_INTENTION]               = { "intention",               BODY(intention_request), RECORD(intention) },
    [COMMAND_CONNECT_CA]              = { "connect CA",              BODY(ca_request), RECORD(ca_root) },
    [COMMAND_CA_PROVIDER_STATE]       = { "CA provider state",       RECORD(ca_consul_provider_state) },
    [COMMAND_CA_CONFIG]               = { "CA configuration",        RECORD(ca_configuration) },
    [COMMAND_INDEX]                   = { "index",                   RECORD(index_entry) },
    [COMMAND_ACL_TOKEN_SET]           = { "ACL token set",           BODY(acl_token_batch_set_request), RECORD(acl_token) },
    [COMMAND_ACL_TOKEN_DELETE]        = { "ACL token delete",        BODY(acl_token_batch_delete_request) },
    [COMMAND_ACL_POLICY_SET]          = { "ACL policy set",          BODY(acl_policy_batch_set_request), RECORD(acl_policy) },
    [COMMAND_ACL_POLICY_DELETE]       = { "ACL policy delete",       BODY(acl_policy_batch_delete_request) },
    [COMMAND_CA_LEAF]                 = { "CA leaf counter",         BODY(ca_leaf_request), .ignorable = true },
    [COMMAND_CONFIG_ENTRY]            = { "config entry",            BODY(config_entry_request), RECORD(config_entry_request) },
    [COMMAND_ACL_ROLE_SET]            = { "ACL role set",            BODY(acl_role_batch_set_request), RECORD(acl_role) },
    [COMMAND_ACL_ROLE_DELETE]         = { "ACL role delete",         BODY(acl_role_batch_delete_request) },
    [COMMAND_ACL_BINDING_RULE_SET]    = { "ACL binding rule set",    BODY(acl_binding_rule_batch_set_request), RECORD(acl_binding_rule) },
    [COMMAND_ACL_BINDING_RULE_DELETE] = { "ACL binding rule delete", BODY(acl_binding_rule_batch_delete_request) },
    [COMMAND_ACL_AUTH_METHOD_SET]     = { "ACL auth method set",     BODY(acl_auth_method_batch_set_request), RECORD(acl_auth_method) },
    [COMMAND_ACL_AUTH_METHOD_DELETE]  = { "ACL auth method delete",  BODY(acl_auth_method_batch_delete_request) },
    [COMMAND_CHUNKING_STATE]          = { "chunking state",          RECORD(chunking_state) },
    [COMMAND_FEDERATION_STATE]        = { "federation state",        BODY(federation_state_request), RECORD(federation_state_request) },
};
/* clang-format on */

const struct command *command_get(uint8_t type)
{
    return type < COMMAND_MAX && commands[type].name ? &commands[type] : NULL;
}

void command_encode(enum command_type type, const void *body, struct buf *out)
{
    const struct command *c = command_get((uint8_t)type);
    ensure(c && c->body);
    buf_put_char(out, (char)(c->ignorable ? type | COMMAND_IGNORABLE : type));
    msgpack_encode(c->body, body, out);
}

/* --- chunking state: {"ChunkMap": {op number: [part or nil, ...]}} --------------------------- */

static void chunking_encode(const void *obj, struct buf *out)
{
    const struct chunking_state *state = obj;
    msgpack_put_map(out, 1);
    msgpack_put_str(out, STR("ChunkMap"));
    if (!state->ops.v) {
        msgpack_put_nil(out);
        return;
    }
    msgpack_put_map(out, (uint32_t)state->ops.n);
    for (size_t i = 0; i < state->ops.n; i++) {
        const struct chunk_op *op = &LIST_AT(&state->ops, struct chunk_op, i);
        msgpack_put_uint(out, op->op_num);
        msgpack_put_array(out, (uint32_t)op->chunks.n);
        for (size_t j = 0; j < op->chunks.n; j++) {
            const struct chunk_info *chunk = &LIST_AT(&op->chunks, struct chunk_info, j);
            if (chunk->num_chunks == 0) {
                msgpack_put_nil(out);
            } else {
                msgpack_encode(&type_chunk_info, chunk, out);
            }
        }
    }
}

static int ops_decode(struct cursor *c, struct arena *a, struct list *ops)
{
    if (msgpack_get_nil(c)) return c->code;
    uint32_t n = msgpack_get_map(c);
    if (c->code == ERR_OK) *ops = LIST_EMPTY;
    for (uint32_t i = 0; i < n && c->code == ERR_OK; i++) {
        struct chunk_op op = { .op_num = msgpack_get_uint(c) };
        if (c->code != ERR_OK) break;
        if (msgpack_decode(c, a, &type_chunk_info_list, &op.chunks) != ERR_OK) break;
        *LIST_PUSH(a, ops, struct chunk_op) = op;
    }
    return c->code;
}

static int chunking_decode(struct cursor *c, struct arena *a, void *obj)
{
    struct chunking_state *state = obj;
    state->ops = (struct list){ 0 };
    uint32_t n = msgpack_get_map(c);
    for (uint32_t i = 0; i < n && c->code == ERR_OK; i++) {
        struct str key = msgpack_get_str(c);
        if (str_is(key, "ChunkMap")) {
            if (ops_decode(c, a, &state->ops) != ERR_OK) break;
        } else if (msgpack_skip(c) != ERR_OK) {
            break;
        }
    }
    return c->code;
}

const struct record_codec chunking_state_codec = { chunking_encode, chunking_decode };
