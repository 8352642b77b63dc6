/* SPDX-License-Identifier: Apache-2.0 */
/* ACL tokens, their bootstrap, and the legacy command. */
#include "blake2b.h"
#include "table_acl.h"

#define ANONYMOUS "00000000-0000-0000-0000-000000000002"
#define BOOTSTRAP STR("acl-token-bootstrap")

static void token_key(const void *row, struct buf *key)
{
    key_exact(key, ((const struct acl_token *)row)->secret_id);
}
static void token_accessor(const void *row, struct index_keys *out)
{
    const struct acl_token *t = row;
    if (t->accessor_id.n) acl_key_lower(out, t->accessor_id);
}
static void token_method(const void *row, struct index_keys *out)
{
    const struct acl_token *t = row;
    if (t->auth_method.n) acl_key_lower(out, t->auth_method);
}

const struct table table_acl_tokens = { .name = "acl-tokens",
    .type = &type_acl_token,
    .key = token_key,
    .index = { [TOKENS_BY_ACCESSOR] = { "accessor", token_accessor },
        [TOKENS_BY_AUTH_METHOD] = { "authmethod", token_method } } };

bool acl_token_by_secret(struct view *v, struct str secret, struct arena *a, struct acl_token *out)
{
    return table_get(v, TABLE_ACL_TOKENS, key_of_exact(a, secret), a, out);
}

bool acl_token_by_accessor(
    struct view *v, struct str accessor, struct arena *a, struct acl_token *out)
{
    return accessor.n &&
           table_first(v, TABLE_ACL_TOKENS, TOKENS_BY_ACCESSOR, key_of(a, accessor), a, out);
}

struct str acl_token_hash(const struct acl_token *t, struct arena *a)
{
    struct blake2b s;
    uint8_t *out = arena_alloc(a, BLAKE2B_SIZE);
    blake2b_begin(&s);
    blake2b_add(&s, t->description);
    blake2b_add(&s, t->type);
    blake2b_add(&s, t->rules);
    blake2b_add(&s, t->local ? STR("local") : STR("global"));
    for (size_t i = 0; i < t->policies.n; i++)
        blake2b_add(&s, LIST_AT(&t->policies, struct acl_token_policy_link, i).id);
    for (size_t i = 0; i < t->roles.n; i++)
        blake2b_add(&s, LIST_AT(&t->roles, struct acl_token_role_link, i).id);
    for (size_t i = 0; i < t->service_identities.n; i++) {
        const struct acl_service_identity *si =
            &LIST_AT(&t->service_identities, struct acl_service_identity, i);
        blake2b_add(&s, si->service_name);
        for (size_t j = 0; j < si->datacenters.n; j++)
            blake2b_add(&s, LIST_AT(&si->datacenters, struct str, j));
    }
    for (size_t i = 0; i < t->node_identities.n; i++) {
        const struct acl_node_identity *ni =
            &LIST_AT(&t->node_identities, struct acl_node_identity, i);
        blake2b_add(&s, ni->node_name);
        blake2b_add(&s, ni->datacenter);
    }
    blake2b_end(&s, out);
    return (struct str){ (char *)out, BLAKE2B_SIZE };
}

static bool uses_new_fields(const struct acl_token *t)
{
    return t->policies.n || t->service_identities.n || t->node_identities.n || t->roles.n ||
           t->type.n == 0;
}

static int check_identities(
    const struct acl_token *old, const struct acl_token *t, bool legacy, struct error *err)
{
    if (!old) return 0;
    if (legacy && uses_new_fields(old))
        return error_set(err, ERR_BAD_REQUEST,
            "failed inserting acl token: cannot use legacy endpoint to modify a non-legacy token");
    if (!legacy && old->accessor_id.n && !str_eq(old->accessor_id, t->accessor_id))
        return error_set(err, ERR_BAD_REQUEST, "The ACL Token AccessorID field is immutable");
    if (!str_eq(old->secret_id, t->secret_id))
        return error_set(err, ERR_BAD_REQUEST, "The ACL Token SecretID field is immutable");
    return 0;
}

int acl_token_set(struct store_batch *b, uint64_t index, const struct acl_token *token,
    const struct acl_token_rules *rules, struct arena *a, struct error *err)
{
    struct acl_token row = *token, old_row, *old = NULL;
    struct acl_auth_method method;
    size_t valid = 0;
    if (row.secret_id.n == 0 || (row.accessor_id.n == 0 && !rules->legacy))
        return error_set(err, ERR_BAD_REQUEST, "Missing ACL Token %s",
            row.secret_id.n ? "AccessorID" : "SecretID");
    if (acl_token_by_accessor(&b->view, row.accessor_id, a, &old_row) ||
        acl_token_by_secret(&b->view, row.secret_id, a, &old_row))
        old = &old_row;
    if (rules->cas && row.modify_index != (old ? old->modify_index : 0)) return 0;
    int code = check_identities(old, &row, rules->legacy, err);
    if (code) return code;
    if (rules->legacy && old) row.accessor_id = old->accessor_id;
    struct view *v = &b->view;
    bool missing_ok = rules->missing_ok;
    code = acl_links_resolve(v, ACL_LINK_POLICY, &row.policies, missing_ok, &valid, a, err);
    if (!code) code = acl_links_resolve(v, ACL_LINK_ROLE, &row.roles, missing_ok, &valid, a, err);
    if (code) return code;
    if (row.auth_method.n && !acl_method_find(v, row.auth_method, a, &method))
        return error_set(
            err, ERR_BAD_REQUEST, "No such auth method with Name: %.*s", STR_ARG(row.auth_method));
    valid += row.service_identities.n + row.node_identities.n;
    if (rules->privileged && valid == 0)
        return error_set(err, ERR_BAD_REQUEST, "Token has no privileges");
    row.create_index = old ? old->create_index : index;
    row.modify_index = index;
    if (!row.hash.p) row.hash = acl_token_hash(&row, a);
    table_put(b, TABLE_ACL_TOKENS, old, &row);
    index_max(b, ACL_TOKENS, index);
    return 0;
}

void restore_acl_token(struct store_batch *b, const struct acl_token *token, struct arena *a)
{
    struct acl_token row = *token;
    if (!row.hash.p) row.hash = acl_token_hash(&row, a);
    table_put(b, TABLE_ACL_TOKENS, NULL, &row);
}

void acl_token_remove(struct store_batch *b, uint64_t index, const struct acl_token *old)
{
    table_delete(b, TABLE_ACL_TOKENS, old);
    index_max(b, ACL_TOKENS, index);
}

void acl_tokens_of_method_remove(
    struct store_batch *b, uint64_t index, struct str method, struct arena *a)
{
    struct list rows = { 0 };
    table_list(&b->view, TABLE_ACL_TOKENS, TOKENS_BY_AUTH_METHOD, key_of(a, method), a, &rows);
    for (size_t i = 0; i < rows.n; i++)
        acl_token_remove(b, index, &LIST_AT(&rows, struct acl_token, i));
}

APPLY_FN(acl_token_set)
{
    const struct acl_token_batch_set_request *req = body;
    struct acl_token_rules rules = { .cas = req->cas,
        .missing_ok = req->allow_missing_links,
        .privileged = req->prohibit_unprivileged };
    int code = 0;
    (void)res;
    for (size_t i = 0; !code && i < req->tokens.n; i++)
        code = acl_token_set(b, index, &LIST_AT(&req->tokens, struct acl_token, i), &rules, a, err);
    return code;
}

APPLY_FN(acl_token_delete)
{
    const struct acl_token_batch_delete_request *req = body;
    (void)res;
    for (size_t i = 0; i < req->token_ids.n; i++) {
        struct acl_token old;
        if (!acl_token_by_accessor(&b->view, LIST_AT(&req->token_ids, struct str, i), a, &old))
            continue;
        if (str_is(old.accessor_id, ANONYMOUS))
            return error_set(
                err, ERR_BAD_REQUEST, "Deletion of the builtin anonymous token is not permitted");
        acl_token_remove(b, index, &old);
    }
    return 0;
}

APPLY_FN(acl_bootstrap)
{
    const struct acl_token_bootstrap_request *req = body;
    uint64_t done = index_get(&b->view, BOOTSTRAP);
    (void)res;
    if (done && req->reset_index == 0)
        return error_set(err, ERR_BAD_REQUEST, "ACL bootstrap no longer allowed");
    if (done && req->reset_index != done)
        return error_set(err, ERR_BAD_REQUEST, "Invalid ACL bootstrap reset index");
    int code = acl_token_set(b, index, &req->token, &(struct acl_token_rules){ 0 }, a, err);
    if (!code) index_set(b, BOOTSTRAP, index);
    return code;
}

/* --- legacy --------------------------------------------------------------------------------- */

static struct acl_token token_of_legacy(const struct acl *acl, struct arena *a)
{
    struct acl_token t = { .secret_id = acl->id,
        .description = acl->name,
        .type = acl->type,
        .rules = acl->rules,
        .expiration_time = GOTIME_ZERO,
        .create_time = GOTIME_ZERO,
        .create_index = acl->create_index,
        .modify_index = acl->modify_index };
    t.hash = acl_token_hash(&t, a);
    return t;
}

static int legacy_bootstrap(struct store_batch *b, uint64_t index, const struct acl_request *req,
    struct arena *a, struct command_result *res, struct error *err)
{
    bool done = index_get(&b->view, BOOTSTRAP) != 0;
    if (str_is(req->op, "bootstrap-init")) {
        res->kind = RESULT_BOOL;
        res->ok = !done;
        return 0;
    }
    if (done) return error_set(err, ERR_BAD_REQUEST, "ACL bootstrap no longer allowed");
    struct acl_token t = token_of_legacy(&req->acl, a);
    int code = acl_token_set(b, index, &t, &(struct acl_token_rules){ .legacy = true }, a, err);
    if (code) return code;
    index_set(b, BOOTSTRAP, index);
    return 0;
}

APPLY_FN(acl_legacy)
{
    const struct acl_request *req = body;
    struct acl_token old;
    if (str_has_prefix(req->op, STR("bootstrap-")))
        return legacy_bootstrap(b, index, req, a, res, err);
    if (str_is(req->op, "delete")) {
        if (!acl_token_by_secret(&b->view, req->acl.id, a, &old)) return 0;
        if (str_is(old.accessor_id, ANONYMOUS))
            return error_set(
                err, ERR_BAD_REQUEST, "Deletion of the builtin anonymous token is not permitted");
        acl_token_remove(b, index, &old);
        return 0;
    }
    if (!str_is(req->op, "set") && !str_is(req->op, "force-set"))
        return error_set(err, ERR_BAD_REQUEST, "Invalid ACL operation '%.*s'", STR_ARG(req->op));
    struct acl_token t = token_of_legacy(&req->acl, a);
    int code = acl_token_set(b, index, &t, &(struct acl_token_rules){ .legacy = true }, a, err);
    if (code) return code;
    res->kind = RESULT_STR;
    res->text = req->acl.id;
    return 0;
}

void restore_acl_legacy(struct store_batch *b, const struct acl *acl, struct arena *a)
{
    struct acl_token t = token_of_legacy(acl, a);
    restore_acl_token(b, &t, a);
}
