/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the ACL tables share (fsm.md 11). */
#pragma once
#include "snapshot.h"

#define ACL_TOKENS STR("acl-tokens")
#define ACL_POLICIES STR("acl-policies")
#define ACL_ROLES STR("acl-roles")
#define ACL_BINDING_RULES STR("acl-binding-rules")
#define ACL_AUTH_METHODS STR("acl-auth-methods")

enum { TOKENS_BY_ACCESSOR, TOKENS_BY_AUTH_METHOD };
enum { BY_NAME = 0, RULES_BY_AUTH_METHOD = 0 };

void acl_key_lower(struct index_keys *out, struct str part);

bool acl_policy_find(struct view *v, struct str id, struct arena *a, struct acl_policy *out);
bool acl_role_find(struct view *v, struct str id, struct arena *a, struct acl_role *out);
bool acl_method_find(struct view *v, struct str name, struct arena *a, struct acl_auth_method *out);
bool acl_token_by_secret(struct view *v, struct str secret, struct arena *a, struct acl_token *out);
bool acl_token_by_accessor(
    struct view *v, struct str accessor, struct arena *a, struct acl_token *out);

/* Writes the present names into links to policies (struct acl_token_policy_link and
 * acl_role_policy_link are alike) or roles; *valid counts those that exist. A missing one is an
 * error unless `missing_ok`. The list is copied. */
enum acl_link { ACL_LINK_POLICY, ACL_LINK_ROLE };
int acl_links_resolve(struct view *v, enum acl_link kind, struct list *links, bool missing_ok,
    size_t *valid, struct arena *a, struct error *err) must_check;
/* For reads: links to what is gone are left out. */
void acl_links_fix(struct view *v, enum acl_link kind, struct list *links, struct arena *a);

struct acl_token_rules {
    bool cas;
    bool missing_ok;
    bool privileged;
    bool legacy;
};
int acl_token_set(struct store_batch *b, uint64_t index, const struct acl_token *token,
    const struct acl_token_rules *rules, struct arena *a, struct error *err) must_check;
void acl_token_remove(struct store_batch *b, uint64_t index, const struct acl_token *old);
struct str acl_token_hash(const struct acl_token *token, struct arena *a);
/* Deletes what belongs to an auth method. */
void acl_tokens_of_method_remove(
    struct store_batch *b, uint64_t index, struct str method, struct arena *a);
