/* SPDX-License-Identifier: Apache-2.0 */
/* How long commands take, fsm.<command> with the operation as label. */
#include <stddef.h>
#include <stdio.h>

#include "consuld/model.h"
#include "consuld/model/command.h"
#include "raft_driver.h"

#define OP(r) .op_at = offsetof(struct r, op), .has_op = true

/* Sorted by type. The operation is a member of the body, or fixed, or there is none. */
static const struct {
    const char *name;
    const char *op;
    size_t op_at;
    bool has_op;
    bool twice; /* also as consul.fsm.<command> behind the prefix */
} rows[COMMAND_MAX] = {
    [COMMAND_REGISTER] = { "register" },
    [COMMAND_DEREGISTER] = { "deregister" },
    [COMMAND_KVS] = { "kvs", OP(kvs_request) },
    [COMMAND_SESSION] = { "session", OP(session_request) },
    [COMMAND_ACL_LEGACY] = { "acl", OP(acl_request) },
    [COMMAND_TOMBSTONE] = { "tombstone", OP(tombstone_request) },
    [COMMAND_COORDINATE] = { "coordinate.batch-update" },
    [COMMAND_PREPARED_QUERY] = { "prepared-query", OP(prepared_query_request) },
    [COMMAND_TXN] = { "txn" },
    [COMMAND_AUTOPILOT] = { "autopilot" },
    [COMMAND_ACL_BOOTSTRAP] = { "acl.token", "bootstrap" },
    [COMMAND_INTENTION] = { "intention", OP(intention_request), .twice = true },
    [COMMAND_CONNECT_CA] = { "ca", OP(ca_request), .twice = true },
    [COMMAND_ACL_TOKEN_SET] = { "acl.token", "upsert" },
    [COMMAND_ACL_TOKEN_DELETE] = { "acl.token", "delete" },
    [COMMAND_ACL_POLICY_SET] = { "acl.policy", "upsert" },
    [COMMAND_ACL_POLICY_DELETE] = { "acl.policy", "delete" },
    [COMMAND_CA_LEAF] = { "ca.leaf", OP(ca_leaf_request) },
    [COMMAND_CONFIG_ENTRY] = { "config_entry", OP(config_entry_request) },
    [COMMAND_ACL_ROLE_SET] = { "acl.role", "upsert" },
    [COMMAND_ACL_ROLE_DELETE] = { "acl.role", "delete" },
    [COMMAND_ACL_BINDING_RULE_SET] = { "acl.bindingrule", "upsert" },
    [COMMAND_ACL_BINDING_RULE_DELETE] = { "acl.bindingrule", "delete" },
    [COMMAND_ACL_AUTH_METHOD_SET] = { "acl.authmethod", "upsert" },
    [COMMAND_ACL_AUTH_METHOD_DELETE] = { "acl.authmethod", "delete" },
    [COMMAND_FEDERATION_STATE] = { "federation_state", OP(federation_state_request) },
};

/* What a name goes on with: the kind of a config entry, the datacenter of a federation state. */
static struct str detail(uint8_t type, const void *body)
{
    const struct config_entry_request *c = body;
    if (type == COMMAND_CONFIG_ENTRY)
        return config_entry_is_set(&c->entry) ? config_entry_ref(&c->entry).kind : STR_NIL;
    const struct federation_state_request *r = body;
    return type == COMMAND_FEDERATION_STATE && r->state ? r->state->datacenter : STR_NIL;
}

static struct str op_of(uint8_t type, const void *body)
{
    if (rows[type].op || !rows[type].has_op) return str_of(rows[type].op ? rows[type].op : "");
    const struct str *op = (const void *)((const char *)body + rows[type].op_at);
    return type == COMMAND_CONFIG_ENTRY && str_is(*op, "upsert-cas") ? STR("upsert") : *op;
}

void driver_measure_command(
    struct raft_driver *d, const struct command_result *res, uint64_t began_us)
{
    uint8_t type = res->command;
    char name[256];
    if (!began_us || !res->body || !rows[type].name) return;
    struct str more = detail(type, res->body);
    struct metric_label op = { "op", op_of(type, res->body) };
    snprintf(name, sizeof name, "consul.fsm.%s%s%.*s", rows[type].name, more.n ? "." : "",
        STR_ARG(more));
    for (int i = 0; i <= rows[type].twice; i++)
        metric_since(metrics_labelled(d->metrics.metrics, METRIC_SAMPLE,
                         i ? name : name + sizeof "consul." - 1, &op, op.value.n > 0),
            d->world, began_us);
}
