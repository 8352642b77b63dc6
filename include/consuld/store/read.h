/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of the replicated state. Each returns the index of its answer by the rules of fsm.md 3.1
 * (never below 1) and, when `ws` is not NULL, registers there what could change that index.
 *
 * Everything handed out is the arena's: it stays valid after later commits. Lists are appended to;
 * a list nothing was found for stays as it came (nil). A row that can't be read sets the sticky
 * failure of the read handle: check store_read_failed once after the last read. */
#pragma once
#include "consuld/base.h"
#include "consuld/model.h"
#include "consuld/store/watch.h"

struct store;
struct store_read;

/* The view of the newest committed state, for use on the loop until the next commit. Owned by the
 * store, cheap to call, clears an earlier failure. */
struct store_read *store_read(struct store *s);
/* True when a read since store_read met a failure; fills err (may be NULL). */
bool store_read_failed(const struct store_read *rd, struct error *err);

/* A view of its own for a worker (snapshots, long scans): it stays at the state of its creation,
 * across restores too, until destroyed. Created and destroyed on the loop. NULL if the table of
 * readers is full. */
struct store_read *store_read_create(struct store *s);
void store_read_destroy(struct store_read *rd);
/* Makes durable what the view shows. Blocks: for a worker, with a view of its own. */
int store_read_sync(struct store_read *rd, struct error *err) must_check;
/* Applied index and term of the view. */
uint64_t store_read_applied(const struct store_read *rd, uint64_t *term);

/* --- index table --------------------------------------------------------------------------- */

/* Value of one entry ("nodes", "service.web", ...), 0 if absent. Key in any case. */
uint64_t store_index(struct store_read *rd, struct watch_set *ws, struct str key);

/* --- catalog (src/store/catalog_read.c) ---------------------------------------------------- */

/* Nodes by name; with `meta` (may be NULL) only those that have all its pairs. -> struct node */
uint64_t store_nodes(struct store_read *rd, struct watch_set *ws, const struct dict *meta,
    struct arena *a, struct list *out);
/* By name without case, NULL if unknown. */
uint64_t store_node(struct store_read *rd, struct watch_set *ws, struct str name, struct arena *a,
    struct node **out);
uint64_t store_node_by_id(
    struct store_read *rd, struct watch_set *ws, struct str id, struct arena *a, struct node **out);
/* Service names with the union of their tags (MAP_LIST_STR); `node_meta` may be NULL. */
uint64_t store_services(struct store_read *rd, struct watch_set *ws, const struct dict *node_meta,
    struct arena *a, struct dict *out);
/* Distinct names, sorted. -> struct service_name */
uint64_t store_service_list(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out);
/* Instances of a service. `tags` (may be NULL): only those that have all of them, without case.
 * -> struct service_node */
uint64_t store_service_nodes(struct store_read *rd, struct watch_set *ws, struct str name,
    const struct list *tags, struct arena *a, struct list *out);
/* Instances whose address, or else whose node's, is `address`. -> struct service_node */
uint64_t store_service_nodes_by_address(struct store_read *rd, struct watch_set *ws,
    struct str address, struct arena *a, struct list *out);
/* Connect-capable instances of a service: its proxies, native instances, terminating gateways
 * mapped to it. -> struct service_node */
uint64_t store_connect_service_nodes(struct store_read *rd, struct watch_set *ws, struct str name,
    struct arena *a, struct list *out);
/* By node name, or by a node ID or a unique prefix of at least 2 characters of one. NULL if
 * unknown. */
uint64_t store_node_services(struct store_read *rd, struct watch_set *ws, struct str name_or_id,
    struct arena *a, struct node_services **out);
uint64_t store_node_service_list(struct store_read *rd, struct watch_set *ws, struct str name_or_id,
    struct arena *a, struct node_service_listing **out);
/* One instance, NULL if unknown. */
uint64_t store_node_service(struct store_read *rd, struct watch_set *ws, struct str node,
    struct str service_id, struct arena *a, struct node_service **out);
/* Services mapped to a gateway. -> struct gateway_service */
uint64_t store_gateway_services(struct store_read *rd, struct watch_set *ws, struct str gateway,
    struct arena *a, struct list *out);
/* Every node with its services and checks; `node` nil: all. -> struct node_info */
uint64_t store_node_dump(struct store_read *rd, struct watch_set *ws, struct str node,
    struct arena *a, struct list *out);
/* Every instance with its checks; `kind` NULL: all kinds. -> struct check_service_node */
uint64_t store_service_dump(struct store_read *rd, struct watch_set *ws, const struct str *kind,
    struct arena *a, struct list *out);

/* --- health (src/store/health_read.c) ------------------------------------------------------ */

/* -> struct health_check */
uint64_t store_node_checks(struct store_read *rd, struct watch_set *ws, struct str node,
    struct arena *a, struct list *out);
uint64_t store_service_checks(struct store_read *rd, struct watch_set *ws, struct str service,
    const struct dict *node_meta, struct arena *a, struct list *out);
/* `state` is passing, warning, critical or any. */
uint64_t store_checks_in_state(struct store_read *rd, struct watch_set *ws, struct str state,
    const struct dict *node_meta, struct arena *a, struct list *out);
/* NULL if unknown. */
uint64_t store_node_check(struct store_read *rd, struct watch_set *ws, struct str node,
    struct str check_id, struct arena *a, struct health_check **out);
/* Instances with node and checks (node checks and their own). -> struct check_service_node */
uint64_t store_check_service_nodes(struct store_read *rd, struct watch_set *ws, struct str name,
    const struct list *tags, struct arena *a, struct list *out);
uint64_t store_check_connect_service_nodes(struct store_read *rd, struct watch_set *ws,
    struct str name, struct arena *a, struct list *out);
/* Ingress gateways mapped to the service. */
uint64_t store_check_ingress_service_nodes(struct store_read *rd, struct watch_set *ws,
    struct str name, struct arena *a, struct list *out);

/* --- keys (src/store/kv.c) ----------------------------------------------------------------- */

/* False and *out untouched if absent. */
uint64_t store_kv_get(struct store_read *rd, struct watch_set *ws, struct str key, struct arena *a,
    struct dir_entry *out, bool *found);
/* All entries under a prefix, in key order. -> struct dir_entry */
uint64_t store_kv_list(struct store_read *rd, struct watch_set *ws, struct str prefix,
    struct arena *a, struct list *out);
/* Keys under a prefix; with a separator each key is cut behind the first one after the prefix and
 * equal neighbours are shown once. -> struct str */
uint64_t store_kv_keys(struct store_read *rd, struct watch_set *ws, struct str prefix,
    struct str separator, struct arena *a, struct list *out);
/* Milliseconds until a lock on the key is allowed again, 0 if it is now (fsm.md 5). */
uint64_t store_kv_lock_delay(const struct store *s, struct str key, uint64_t now_ms);

/* --- sessions (src/store/session.c) -------------------------------------------------------- */

/* NULL if unknown. */
uint64_t store_session(struct store_read *rd, struct watch_set *ws, struct str id, struct arena *a,
    struct session **out);
/* -> struct session */
uint64_t store_sessions(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out);
uint64_t store_node_sessions(struct store_read *rd, struct watch_set *ws, struct str node,
    struct arena *a, struct list *out);

/* --- transactions of reads only (src/store/txn.c) ------------------------------------------ */

/* Ops -> struct txn_op. Verbs that write are refused as an error of their op. */
void store_txn_read(
    struct store_read *rd, const struct list *ops, struct arena *a, struct txn_response *out);
/* True when no op writes: the transaction needs no log entry (fsm.md 7). */
bool store_txn_is_read_only(const struct list *ops);

/* --- tombstones ---------------------------------------------------------------------------- */

/* Highest index of a tombstone, 0 if there is none: what a reap up to now would name. */
uint64_t store_tombstone_last(struct store_read *rd);
