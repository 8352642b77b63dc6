/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of the small tables, under the rules of store/read.h: the index of the answer is returned,
 * lists are appended to, single rows are NULL when unknown, memory is the arena's. */
#pragma once
#include "consuld/store/read.h"

/* --- coordinates -> struct coordinate ------------------------------------------------------- */
uint64_t store_coordinates(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out);
uint64_t store_node_coordinates(struct store_read *rd, struct watch_set *ws, struct str node,
    struct arena *a, struct list *out);

/* --- prepared queries ----------------------------------------------------------------------- */
uint64_t store_prepared_queries(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out);
uint64_t store_prepared_query(struct store_read *rd, struct watch_set *ws, struct str id,
    struct arena *a, struct prepared_query **out);
/* By ID (templates are refused), exact name, or the longest template name it begins with; a
 * template comes unrendered. */
int store_prepared_query_resolve(struct store_read *rd, struct str id_or_name, struct arena *a,
    struct prepared_query **out, struct error *err) must_check;

/* --- autopilot ------------------------------------------------------------------------------ */
uint64_t store_autopilot(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct autopilot_config **out);

/* --- federation states ---------------------------------------------------------------------- */
uint64_t store_federation_states(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out);
uint64_t store_federation_state(struct store_read *rd, struct watch_set *ws, struct str datacenter,
    struct arena *a, struct federation_state **out);

/* --- intentions ----------------------------------------------------------------------------- */
/* By precedence (highest first), then names. */
uint64_t store_intentions(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out);
uint64_t store_intention(struct store_read *rd, struct watch_set *ws, struct str id,
    struct arena *a, struct intention **out);
/* Those that apply to (namespace, name) on one side, in the same order. */
uint64_t store_intention_match(struct store_read *rd, struct watch_set *ws, bool by_destination,
    struct str ns, struct str name, struct arena *a, struct list *out);
/* The hash that travels with an intention and that replication compares, owned by `a`. */
struct str store_intention_hash(const struct intention *x, struct arena *a);

/* --- config entries ------------------------------------------------------------------------- */
/* All of a kind; nil kind: all. -> struct config_entry */
uint64_t store_config_entries(struct store_read *rd, struct watch_set *ws, struct str kind,
    struct arena *a, struct list *out);
/* *out is not set (config_entry_is_set) when there is none. */
uint64_t store_config_entry(struct store_read *rd, struct watch_set *ws, struct str kind,
    struct str name, struct arena *a, struct config_entry *out);
/* The other services an entry names: where it splits, routes, redirects or listens for. */
void store_config_services(
    const struct config_entry *e, void (*fn)(void *ctx, struct str service), void *ctx);

/* --- Connect CA ----------------------------------------------------------------------------- */
uint64_t store_ca_roots(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out);
uint64_t store_ca_configuration(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct ca_configuration **out);
uint64_t store_ca_provider_state(struct store_read *rd, struct watch_set *ws, struct str id,
    struct arena *a, struct ca_consul_provider_state **out);

/* --- ACL: links to policies and roles come with their present names, stale ones are dropped ----
 */
uint64_t store_acl_token_by_secret(struct store_read *rd, struct watch_set *ws, struct str secret,
    struct arena *a, struct acl_token **out);
uint64_t store_acl_token_by_accessor(struct store_read *rd, struct watch_set *ws,
    struct str accessor, struct arena *a, struct acl_token **out);
uint64_t store_acl_tokens(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out);
uint64_t store_acl_policy(struct store_read *rd, struct watch_set *ws, struct str id,
    struct arena *a, struct acl_policy **out);
uint64_t store_acl_policy_by_name(struct store_read *rd, struct watch_set *ws, struct str name,
    struct arena *a, struct acl_policy **out);
uint64_t store_acl_policies(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out);
uint64_t store_acl_role(struct store_read *rd, struct watch_set *ws, struct str id, struct arena *a,
    struct acl_role **out);
uint64_t store_acl_role_by_name(struct store_read *rd, struct watch_set *ws, struct str name,
    struct arena *a, struct acl_role **out);
uint64_t store_acl_roles(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out);
uint64_t store_acl_binding_rules(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out);
uint64_t store_acl_auth_method(struct store_read *rd, struct watch_set *ws, struct str name,
    struct arena *a, struct acl_auth_method **out);
uint64_t store_acl_auth_methods(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out);
