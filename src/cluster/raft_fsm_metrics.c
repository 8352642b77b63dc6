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
    [COMMAND_REGISTER] = { .name = "register" },
    [COMMAND_DEREGISTER] = { .name = "deregister" },
    [COMMAND_KVS] = { .name = "kvs", OP(kvs_request) },
    [COMMAND_SESSION] = { .name = "session", OP(session_request) },
    [COMMAND_ACL_LEGACY] = { .name = "acl", OP(acl_request) },
    [COMMAND_TOMBSTONE] = { .name = "tombstone", OP(tombstone_request) },
    [COMMAND_COORDINATE] = { .name = "coordinate.batch-update" },
    [COMMAND_PREPARED_QUERY] = { .name = "prepared-query", OP(prepared_query_request) },
    [COMMAND_TXN] = { .name = "txn" },
    [COMMAND_AUTOPILOT] = { .name = "autopilot" },
    [COMMAND_ACL_BOOTSTRAP] = { .name = "acl.token", .op = "bootstrap" },
    [COMMAND_INTENTION] = { .name = "intention", OP(intention_request), .twice = true },
    [COMMAND_CONNECT_CA] = { .name = "ca", OP(ca_request), .twice = true },
    [COMMAND_ACL_TOKEN_SET] = { .name = "acl.token", .op = "upsert" },
    [COMMAND_ACL_TOKEN_DELETE] = { .name = "acl.token", .op = "delete" },
    [COMMAND_ACL_POLICY_SET] = { .name = "acl.policy", .op = "upsert" },
    [COMMAND_ACL_POLICY_DELETE] = { .name = "acl.policy", .op = "delete" },
    [COMMAND_CA_LEAF] = { .name = "ca.leaf", OP(ca_leaf_request) },
    [COMMAND_CONFIG_ENTRY] = { .name = "config_entry", OP(config_entry_request) },
    [COMMAND_ACL_ROLE_SET] = { .name = "acl.role", .op = "upsert" },
    [COMMAND_ACL_ROLE_DELETE] = { .name = "acl.role", .op = "delete" },
    [COMMAND_ACL_BINDING_RULE_SET] = { .name = "acl.bindingrule", .op = "upsert" },
    [COMMAND_ACL_BINDING_RULE_DELETE] = { .name = "acl.bindingrule", .op = "delete" },
    [COMMAND_ACL_AUTH_METHOD_SET] = { .name = "acl.authmethod", .op = "upsert" },
    [COMMAND_ACL_AUTH_METHOD_DELETE] = { .name = "acl.authmethod", .op = "delete" },
    [COMMAND_FEDERATION_STATE] = { .name = "federation_state", OP(federation_state_request) },
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
