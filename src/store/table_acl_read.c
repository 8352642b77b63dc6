/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/store/tables.h"
#include "table_acl.h"

static void token_fix(struct view *v, struct acl_token *t, struct arena *a)
{
    acl_links_fix(v, ACL_LINK_POLICY, &t->policies, a);
    acl_links_fix(v, ACL_LINK_ROLE, &t->roles, a);
}

uint64_t store_acl_token_by_secret(struct store_read *rd, struct watch_set *ws, struct str secret,
    struct arena *a, struct acl_token **out)
{
    struct acl_token row;
    *out = NULL;
    if (acl_token_by_secret(&rd->view, secret, a, &row)) {
        token_fix(&rd->view, &row, a);
        *out = arena_copy(a, &row, sizeof row);
    }
    return index_report(index_watch(rd, ws, ACL_TOKENS));
}

uint64_t store_acl_token_by_accessor(struct store_read *rd, struct watch_set *ws,
    struct str accessor, struct arena *a, struct acl_token **out)
{
    struct acl_token row;
    *out = NULL;
    if (acl_token_by_accessor(&rd->view, accessor, a, &row)) {
        token_fix(&rd->view, &row, a);
        *out = arena_copy(a, &row, sizeof row);
    }
    return index_report(index_watch(rd, ws, ACL_TOKENS));
}

uint64_t store_acl_tokens(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out)
{
    size_t from = out->n;
    table_list(&rd->view, TABLE_ACL_TOKENS, BY_KEY, STR_NIL, a, out);
    for (size_t i = from; i < out->n; i++)
        token_fix(&rd->view, &LIST_AT(out, struct acl_token, i), a);
    return index_report(index_watch(rd, ws, ACL_TOKENS));
}

uint64_t store_acl_policy(struct store_read *rd, struct watch_set *ws, struct str id,
    struct arena *a, struct acl_policy **out)
{
    struct acl_policy row;
    *out = acl_policy_find(&rd->view, id, a, &row) ? arena_copy(a, &row, sizeof row) : NULL;
    return index_report(index_watch(rd, ws, ACL_POLICIES));
}

uint64_t store_acl_policy_by_name(struct store_read *rd, struct watch_set *ws, struct str name,
    struct arena *a, struct acl_policy **out)
{
    struct acl_policy row;
    bool found = table_first(&rd->view, TABLE_ACL_POLICIES, BY_NAME, key_of(a, name), a, &row);
    *out = found ? arena_copy(a, &row, sizeof row) : NULL;
    return index_report(index_watch(rd, ws, ACL_POLICIES));
}

uint64_t store_acl_policies(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out)
{
    table_list(&rd->view, TABLE_ACL_POLICIES, BY_KEY, STR_NIL, a, out);
    return index_report(index_watch(rd, ws, ACL_POLICIES));
}

static struct acl_role *role_out(struct view *v, bool found, struct acl_role *row, struct arena *a)
{
    if (!found) return NULL;
    acl_links_fix(v, ACL_LINK_POLICY, &row->policies, a);
    return arena_copy(a, row, sizeof *row);
}

uint64_t store_acl_role(struct store_read *rd, struct watch_set *ws, struct str id, struct arena *a,
    struct acl_role **out)
{
    struct acl_role row;
    *out = role_out(&rd->view, acl_role_find(&rd->view, id, a, &row), &row, a);
    return index_report(index_watch(rd, ws, ACL_ROLES));
}

uint64_t store_acl_role_by_name(struct store_read *rd, struct watch_set *ws, struct str name,
    struct arena *a, struct acl_role **out)
{
    struct acl_role row;
    bool found = table_first(&rd->view, TABLE_ACL_ROLES, BY_NAME, key_of(a, name), a, &row);
    *out = role_out(&rd->view, found, &row, a);
    return index_report(index_watch(rd, ws, ACL_ROLES));
}

uint64_t store_acl_roles(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out)
{
    size_t from = out->n;
    table_list(&rd->view, TABLE_ACL_ROLES, BY_KEY, STR_NIL, a, out);
    for (size_t i = from; i < out->n; i++)
        acl_links_fix(&rd->view, ACL_LINK_POLICY, &LIST_AT(out, struct acl_role, i).policies, a);
    return index_report(index_watch(rd, ws, ACL_ROLES));
}

uint64_t store_acl_binding_rules(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out)
{
    table_list(&rd->view, TABLE_ACL_BINDING_RULES, BY_KEY, STR_NIL, a, out);
    return index_report(index_watch(rd, ws, ACL_BINDING_RULES));
}

uint64_t store_acl_auth_method(struct store_read *rd, struct watch_set *ws, struct str name,
    struct arena *a, struct acl_auth_method **out)
{
    struct acl_auth_method row;
    *out = acl_method_find(&rd->view, name, a, &row) ? arena_copy(a, &row, sizeof row) : NULL;
    return index_report(index_watch(rd, ws, ACL_AUTH_METHODS));
}

uint64_t store_acl_auth_methods(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out)
{
    table_list(&rd->view, TABLE_ACL_AUTH_METHODS, BY_KEY, STR_NIL, a, out);
    return index_report(index_watch(rd, ws, ACL_AUTH_METHODS));
}
