/* SPDX-License-Identifier: Apache-2.0 */
/* The commands (fsm.md 1.1): what command_get knows of them, and the apply functions behind it,
 * each in its table's file.
 *
 * An apply function changes the state at `index` and fills *res (all zero at entry: RESULT_NIL).
 * A refusal returns a negative code with its text in *err; rows marked COMMAND_NESTED may refuse
 * after having written, all others only before. A refusal that answers more than a text fills
 * *res as RESULT_TXN. Failures of the database need no attention: they
 * are sticky in the batch. */
#pragma once
#include "state.h"

enum command_flag {
    COMMAND_NESTED = 1, /* runs in a transaction of its own that a refusal rolls back */
};

typedef int (*command_fn)(struct store_batch *b, uint64_t index, const void *body, struct arena *a,
    struct command_result *res, struct error *err);

/* One row per command in a table ordered by type byte; names and bodies are those of command_get.
 */
struct command_row {
    command_fn apply; /* NULL: not a command of the log */
    uint8_t flags;
};

#define APPLY_FN(name) \
    int apply_##name(struct store_batch *b, uint64_t index, const void *body, struct arena *a, \
        struct command_result *res, struct error *err)

/* catalog.c */
APPLY_FN(register);
APPLY_FN(deregister);
/* kv.c */
APPLY_FN(kvs);
APPLY_FN(tombstone);
/* session.c */
APPLY_FN(session);
/* txn.c */
APPLY_FN(txn);
/* table_coordinate.c */
APPLY_FN(coordinate_batch);
/* table_query.c */
APPLY_FN(prepared_query);
/* table_autopilot.c */
APPLY_FN(autopilot);
/* table_federation.c */
APPLY_FN(federation_state);
/* table_intention.c */
APPLY_FN(intention);
/* table_config_entry.c */
APPLY_FN(config_entry);
/* table_ca.c */
APPLY_FN(connect_ca);
APPLY_FN(connect_ca_leaf);
/* table_acl.c */
APPLY_FN(acl_legacy);
APPLY_FN(acl_bootstrap);
APPLY_FN(acl_token_set);
APPLY_FN(acl_token_delete);
APPLY_FN(acl_policy_set);
APPLY_FN(acl_policy_delete);
APPLY_FN(acl_role_set);
APPLY_FN(acl_role_delete);
APPLY_FN(acl_binding_rule_set);
APPLY_FN(acl_binding_rule_delete);
APPLY_FN(acl_auth_method_set);
APPLY_FN(acl_auth_method_delete);

/* --- seams between tables ------------------------------------------------------------------ */

/* A stored instance: NodeService and the name of its node as registered. */
struct service_row {
    struct str node;
    struct node_service svc;
};
enum services_index { SERVICES_BY_NAME, SERVICES_BY_CONNECT, SERVICES_BY_KIND };
enum checks_index { CHECKS_BY_SERVICE, CHECKS_BY_STATUS, CHECKS_BY_OWNER };
enum nodes_index { NODES_BY_ID };
enum sessions_index { SESSIONS_BY_NODE };
enum kvs_index { KVS_BY_SESSION };
enum gateway_services_index { GATEWAY_SERVICES_BY_SERVICE };

/* node.c, service.c, check.c: the pieces of register and deregister, also of transactions. What is
 * given is copied; indexes in it count only while restoring. */
int node_upsert(struct store_batch *b, uint64_t index, const struct node *node, struct arena *a,
    struct error *err) must_check;
int service_upsert(struct store_batch *b, uint64_t index, struct str node,
    const struct node_service *svc, struct arena *a, struct error *err) must_check;
int check_upsert(struct store_batch *b, uint64_t index, const struct health_check *check,
    struct arena *a, struct error *err) must_check;
void node_delete(struct store_batch *b, uint64_t index, struct str name, struct arena *a);
void service_delete(
    struct store_batch *b, uint64_t index, struct str node, struct str id, struct arena *a);
void check_delete(
    struct store_batch *b, uint64_t index, struct str node, struct str id, struct arena *a);
bool node_find(struct view *v, struct str name, struct arena *a, struct node *out);
bool node_find_by_id(struct view *v, struct str id, struct arena *a, struct node *out);
bool service_find(
    struct view *v, struct str node, struct str id, struct arena *a, struct service_row *out);
bool check_find(
    struct view *v, struct str node, struct str id, struct arena *a, struct health_check *out);
/* max of service.<name> and of its kind's entry. */
void service_bump(
    struct store_batch *b, uint64_t index, struct str name, struct str kind, struct arena *a);
/* The same for every service of a node. */
void node_services_bump(struct store_batch *b, uint64_t index, struct str node, struct arena *a);

/* kv.c: the KV rules, shared with transactions and sessions. */
bool kv_find(struct view *v, struct str key, struct arena *a, struct dir_entry *out);
/* Keeps the session of a stored entry unless `with_session`. *out is the entry as stored. */
void kv_set(struct store_batch *b, uint64_t index, const struct dir_entry *e, bool with_session,
    struct arena *a, struct dir_entry *out);
bool kv_cas(struct store_batch *b, uint64_t index, const struct dir_entry *e, struct arena *a,
    struct dir_entry *out);
/* 1 locked, 0 held by another, negative: refused. */
int kv_lock(struct store_batch *b, uint64_t index, const struct dir_entry *e, struct arena *a,
    struct dir_entry *out, struct error *err) must_check;
int kv_unlock(struct store_batch *b, uint64_t index, const struct dir_entry *e, struct arena *a,
    struct dir_entry *out, struct error *err) must_check;
void kv_delete(struct store_batch *b, uint64_t index, struct str key, struct arena *a);
bool kv_delete_cas(
    struct store_batch *b, uint64_t index, struct str key, uint64_t cas, struct arena *a);
void kv_delete_tree(struct store_batch *b, uint64_t index, struct str prefix);

/* session.c */
bool session_find(struct view *v, struct str id, struct arena *a, struct session *out);
/* Invalidation (fsm.md 6.3); a missing session is no error. */
/* Destroys every session bound to a check. */
void sessions_check_gone(
    struct store_batch *b, uint64_t index, struct str node, struct str check_id, struct arena *a);
void sessions_node_gone(struct store_batch *b, uint64_t index, struct str node, struct arena *a);
void session_destroy(struct store_batch *b, uint64_t index, struct str id, struct arena *a);

/* table_query.c: deletes the queries bound to a session. */
void queries_session_gone(
    struct store_batch *b, uint64_t index, struct str session, struct arena *a);
/* table_coordinate.c: deletes a node's coordinates; sets the index entry if there were any. */
void coordinates_node_gone(struct store_batch *b, uint64_t index, struct str node, struct arena *a);
/* table_intention.c: one intention op of a transaction. `op`: create, update, delete. */
int intention_op(struct store_batch *b, uint64_t index, struct str op,
    const struct intention *intention, struct arena *a, struct error *err) must_check;

/* gateway_service.c: mappings derived from gateway config entries (fsm.md 13.3).
 * Replaces the mappings of one gateway by `rows` (struct gateway_service, as the entry names them;
 * a row whose service is "*" also brings one row per typical service that has none). */
void gateway_services_replace(struct store_batch *b, uint64_t index, struct str gateway,
    const struct list *rows, struct arena *a);
void gateway_services_remove(
    struct store_batch *b, uint64_t index, struct str gateway, struct arena *a);
/* Called by the catalog: a typical service is written, the last instance of a name goes. */
void gateway_services_added(
    struct store_batch *b, uint64_t index, struct str service, struct arena *a);
void gateway_services_extinct(
    struct store_batch *b, uint64_t index, struct str service, struct arena *a);
