/* SPDX-License-Identifier: Apache-2.0 */
/* ACL policies, roles, binding rules and auth methods. */
#include "table_acl.h"

#include <string.h>

#define BUILTIN_POLICY "00000000-0000-0000-0000-000000000001"

static void policy_key(const void *row, struct buf *key)
{
    key_lower(key, ((const struct acl_policy *)row)->id);
}
static void policy_name(const void *row, struct index_keys *out)
{
    acl_key_lower(out, ((const struct acl_policy *)row)->name);
}
static void role_key(const void *row, struct buf *key)
{
    key_lower(key, ((const struct acl_role *)row)->id);
}
static void role_name(const void *row, struct index_keys *out)
{
    acl_key_lower(out, ((const struct acl_role *)row)->name);
}
static void rule_key(const void *row, struct buf *key)
{
    key_lower(key, ((const struct acl_binding_rule *)row)->id);
}
static void rule_method(const void *row, struct index_keys *out)
{
    acl_key_lower(out, ((const struct acl_binding_rule *)row)->auth_method);
}
static void method_key(const void *row, struct buf *key)
{
    key_lower(key, ((const struct acl_auth_method *)row)->name);
}

const struct table table_acl_policies = { .name = "acl-policies",
    .type = &type_acl_policy,
    .key = policy_key,
    .index = { [BY_NAME] = { "name", policy_name } } };
const struct table table_acl_roles = { .name = "acl-roles",
    .type = &type_acl_role,
    .key = role_key,
    .index = { [BY_NAME] = { "name", role_name } } };
const struct table table_acl_binding_rules = { .name = "acl-binding-rules",
    .type = &type_acl_binding_rule,
    .key = rule_key,
    .index = { [RULES_BY_AUTH_METHOD] = { "authmethod", rule_method } } };
const struct table table_acl_auth_methods = {
    .name = "acl-auth-methods", .type = &type_acl_auth_method, .key = method_key
};

void acl_key_lower(struct index_keys *out, struct str part)
{
    struct buf key = KEY_BUF;
    key_lower(&key, part);
    index_key(out, &key);
    buf_deinit(&key);
}

bool acl_policy_find(struct view *v, struct str id, struct arena *a, struct acl_policy *out)
{
    return table_get(v, TABLE_ACL_POLICIES, key_of(a, id), a, out);
}

bool acl_role_find(struct view *v, struct str id, struct arena *a, struct acl_role *out)
{
    return table_get(v, TABLE_ACL_ROLES, key_of(a, id), a, out);
}

bool acl_method_find(struct view *v, struct str name, struct arena *a, struct acl_auth_method *out)
{
    return table_get(v, TABLE_ACL_AUTH_METHODS, key_of(a, name), a, out);
}

/* --- links ---------------------------------------------------------------------------------- */

/* The three records of links have the same members. */
_Static_assert(sizeof(struct acl_token_policy_link) == sizeof(struct acl_role_policy_link) &&
                   sizeof(struct acl_token_policy_link) == sizeof(struct acl_token_role_link),
    "links are alike");

static bool link_name(
    struct view *v, enum acl_link kind, struct str id, struct arena *a, struct str *name)
{
    struct acl_policy policy;
    struct acl_role role;
    if (kind == ACL_LINK_POLICY) {
        if (!acl_policy_find(v, id, a, &policy)) return false;
        *name = policy.name;
    } else {
        if (!acl_role_find(v, id, a, &role)) return false;
        *name = role.name;
    }
    return true;
}

int acl_links_resolve(struct view *v, enum acl_link kind, struct list *links, bool missing_ok,
    size_t *valid, struct arena *a, struct error *err)
{
    const char *what = kind == ACL_LINK_POLICY ? "policy" : "role";
    struct list in = *links;
    if (in.n == 0) return 0;
    links->v = arena_copy(a, in.v, in.n * sizeof(struct acl_token_policy_link));
    links->cap = 0;
    for (size_t i = 0; i < links->n; i++) {
        struct acl_token_policy_link *l = &LIST_AT(links, struct acl_token_policy_link, i);
        if (l->id.n == 0)
            return error_set(err, ERR_BAD_REQUEST, "an ACL object links a %s by name only", what);
        if (link_name(v, kind, l->id, a, &l->name)) {
            ++*valid;
        } else if (!missing_ok) {
            return error_set(
                err, ERR_BAD_REQUEST, "No such %s with ID: %.*s", what, STR_ARG(l->id));
        }
    }
    return 0;
}

void acl_links_fix(struct view *v, enum acl_link kind, struct list *links, struct arena *a)
{
    struct list in = *links;
    if (in.n == 0) return;
    *links = (struct list){ 0 };
    for (size_t i = 0; i < in.n; i++) {
        struct acl_token_policy_link l = LIST_AT(&in, struct acl_token_policy_link, i);
        if (link_name(v, kind, l.id, a, &l.name))
            *LIST_PUSH(a, links, struct acl_token_policy_link) = l;
    }
}

/* --- policies ------------------------------------------------------------------------------- */

static int policy_set(struct store_batch *b, uint64_t index, const struct acl_policy *policy,
    struct arena *a, struct error *err)
{
    struct acl_policy row = *policy, old, other;
    if (policy->id.n == 0 || policy->name.n == 0)
        return error_set(err, ERR_BAD_REQUEST, "Missing ACL Policy %s", row.id.n ? "Name" : "ID");
    bool found = acl_policy_find(&b->view, policy->id, a, &old);
    if (found && str_is(policy->id, BUILTIN_POLICY)) {
        if (!str_eq(old.rules, row.rules))
            return error_set(err, ERR_BAD_REQUEST,
                "Changing the Rules for the builtin global-management policy is not permitted");
        if (row.datacenters.n)
            return error_set(err, ERR_BAD_REQUEST,
                "Changing the Datacenters of the builtin global-management policy is not "
                "permitted");
    }
    if (table_first(&b->view, TABLE_ACL_POLICIES, BY_NAME, key_of(a, row.name), a, &other) &&
        !str_eq_nocase(other.id, row.id))
        return error_set(
            err, ERR_BAD_REQUEST, "A policy with name \"%.*s\" already exists", STR_ARG(row.name));
    row.create_index = found ? old.create_index : index;
    row.modify_index = index;
    table_put(b, TABLE_ACL_POLICIES, found ? &old : NULL, &row);
    index_max(b, ACL_POLICIES, index);
    return 0;
}

APPLY_FN(acl_policy_set)
{
    const struct acl_policy_batch_set_request *req = body;
    int code = 0;
    (void)res;
    for (size_t i = 0; !code && i < req->policies.n; i++)
        code = policy_set(b, index, &LIST_AT(&req->policies, struct acl_policy, i), a, err);
    return code;
}

APPLY_FN(acl_policy_delete)
{
    const struct acl_policy_batch_delete_request *req = body;
    (void)res;
    for (size_t i = 0; i < req->policy_ids.n; i++) {
        struct acl_policy old;
        struct str id = LIST_AT(&req->policy_ids, struct str, i);
        if (!acl_policy_find(&b->view, id, a, &old)) continue;
        if (str_is(old.id, BUILTIN_POLICY))
            return error_set(err, ERR_BAD_REQUEST,
                "Deletion of the builtin global-management policy is not permitted");
        table_delete(b, TABLE_ACL_POLICIES, &old);
        index_max(b, ACL_POLICIES, index);
    }
    return 0;
}

/* --- roles ---------------------------------------------------------------------------------- */

static int role_set(struct store_batch *b, uint64_t index, const struct acl_role *role,
    bool missing_ok, struct arena *a, struct error *err)
{
    struct acl_role row = *role, old, other;
    size_t valid = 0;
    if (role->id.n == 0 || role->name.n == 0)
        return error_set(err, ERR_BAD_REQUEST, "Missing ACL Role %s", row.id.n ? "Name" : "ID");
    bool found = acl_role_find(&b->view, role->id, a, &old);
    if (table_first(&b->view, TABLE_ACL_ROLES, BY_NAME, key_of(a, row.name), a, &other) &&
        !str_eq_nocase(other.id, row.id))
        return error_set(
            err, ERR_BAD_REQUEST, "A role with name \"%.*s\" already exists", STR_ARG(row.name));
    int code =
        acl_links_resolve(&b->view, ACL_LINK_POLICY, &row.policies, missing_ok, &valid, a, err);
    if (code) return code;
    row.create_index = found ? old.create_index : index;
    row.modify_index = index;
    table_put(b, TABLE_ACL_ROLES, found ? &old : NULL, &row);
    index_max(b, ACL_ROLES, index);
    return 0;
}

APPLY_FN(acl_role_set)
{
    const struct acl_role_batch_set_request *req = body;
    int code = 0;
    (void)res;
    for (size_t i = 0; !code && i < req->roles.n; i++)
        code = role_set(
            b, index, &LIST_AT(&req->roles, struct acl_role, i), req->allow_missing_links, a, err);
    return code;
}

APPLY_FN(acl_role_delete)
{
    const struct acl_role_batch_delete_request *req = body;
    (void)res;
    (void)err;
    for (size_t i = 0; i < req->role_ids.n; i++) {
        struct acl_role old;
        if (!acl_role_find(&b->view, LIST_AT(&req->role_ids, struct str, i), a, &old)) continue;
        table_delete(b, TABLE_ACL_ROLES, &old);
        index_max(b, ACL_ROLES, index);
    }
    return 0;
}

/* --- binding rules and auth methods --------------------------------------------------------- */

static int rule_set(struct store_batch *b, uint64_t index, const struct acl_binding_rule *rule,
    struct arena *a, struct error *err)
{
    struct acl_binding_rule row = *rule, old;
    struct acl_auth_method method;
    if (rule->id.n == 0 || rule->auth_method.n == 0)
        return error_set(
            err, ERR_BAD_REQUEST, "Missing ACL Binding Rule %s", rule->id.n ? "Auth Method" : "ID");
    if (!acl_method_find(&b->view, rule->auth_method, a, &method))
        return error_set(
            err, ERR_BAD_REQUEST, "failed inserting acl binding rule: auth method not found");
    bool found = table_get(&b->view, TABLE_ACL_BINDING_RULES, key_of(a, rule->id), a, &old);
    row.create_index = found ? old.create_index : index;
    row.modify_index = index;
    table_put(b, TABLE_ACL_BINDING_RULES, found ? &old : NULL, &row);
    index_max(b, ACL_BINDING_RULES, index);
    return 0;
}

APPLY_FN(acl_binding_rule_set)
{
    const struct acl_binding_rule_batch_set_request *req = body;
    int code = 0;
    (void)res;
    for (size_t i = 0; !code && i < req->binding_rules.n; i++)
        code =
            rule_set(b, index, &LIST_AT(&req->binding_rules, struct acl_binding_rule, i), a, err);
    return code;
}

APPLY_FN(acl_binding_rule_delete)
{
    const struct acl_binding_rule_batch_delete_request *req = body;
    (void)res;
    (void)err;
    for (size_t i = 0; i < req->binding_rule_ids.n; i++) {
        struct acl_binding_rule old;
        struct str id = LIST_AT(&req->binding_rule_ids, struct str, i);
        if (!table_get(&b->view, TABLE_ACL_BINDING_RULES, key_of(a, id), a, &old)) continue;
        table_delete(b, TABLE_ACL_BINDING_RULES, &old);
        index_max(b, ACL_BINDING_RULES, index);
    }
    return 0;
}

APPLY_FN(acl_auth_method_set)
{
    const struct acl_auth_method_batch_set_request *req = body;
    (void)res;
    for (size_t i = 0; i < req->auth_methods.n; i++) {
        struct acl_auth_method row = LIST_AT(&req->auth_methods, struct acl_auth_method, i), old;
        if (row.name.n == 0 || row.type.n == 0)
            return error_set(
                err, ERR_BAD_REQUEST, "Missing ACL Auth Method %s", row.name.n ? "Type" : "Name");
        bool found = acl_method_find(&b->view, row.name, a, &old);
        row.create_index = found ? old.create_index : index;
        row.modify_index = index;
        table_put(b, TABLE_ACL_AUTH_METHODS, found ? &old : NULL, &row);
        index_max(b, ACL_AUTH_METHODS, index);
    }
    return 0;
}

static void rules_of_method_remove(
    struct store_batch *b, uint64_t index, struct str method, struct arena *a)
{
    struct list rows = { 0 };
    table_list(
        &b->view, TABLE_ACL_BINDING_RULES, RULES_BY_AUTH_METHOD, key_of(a, method), a, &rows);
    for (size_t i = 0; i < rows.n; i++)
        table_delete(b, TABLE_ACL_BINDING_RULES, &LIST_AT(&rows, struct acl_binding_rule, i));
    if (rows.n) index_max(b, ACL_BINDING_RULES, index);
}

APPLY_FN(acl_auth_method_delete)
{
    const struct acl_auth_method_batch_delete_request *req = body;
    (void)res;
    (void)err;
    for (size_t i = 0; i < req->auth_method_names.n; i++) {
        struct acl_auth_method old;
        struct str name = LIST_AT(&req->auth_method_names, struct str, i);
        if (!acl_method_find(&b->view, name, a, &old)) continue;
        rules_of_method_remove(b, index, old.name, a);
        acl_tokens_of_method_remove(b, index, old.name, a);
        table_delete(b, TABLE_ACL_AUTH_METHODS, &old);
        index_max(b, ACL_AUTH_METHODS, index);
    }
    return 0;
}
