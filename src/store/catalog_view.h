/* SPDX-License-Identifier: Apache-2.0 */
/* What catalog and health reads share: filters, joins with nodes, indexes of services. Private. */
#pragma once
#include "commands.h"

/* Which tables a service's index falls back to (fsm.md 3.1). */
enum fallback { FALL_BACK_CATALOG, FALL_BACK_WITH_CHECKS };

/* True if `meta` has every pair of `wanted` (NULL: any). */
bool meta_matches(const struct dict *meta, const struct dict *wanted);
/* True if the service has every tag, in any case; NULL: no tags asked for. */
bool tags_match(const struct list *tags, const struct list *wanted);
/* Index of reads about a service. When it does not exist only its coming wakes the reader. */
uint64_t service_index(struct store_read *rd, struct watch_set *ws, struct str name, bool exists,
    enum fallback fallback, struct arena *a);
/* Largest value of several entries, all registered. */
uint64_t max_index(struct store_read *rd, struct watch_set *ws, const char *const *names, size_t n);
/* Gateway instances of a kind mapped to a service -> struct service_row; the index of mappings and
 * gateways (0 if none). */
uint64_t gateway_instances(struct store_read *rd, struct watch_set *ws, struct str service,
    const char *kind, struct arena *a, struct list *rows);
/* The node of a row; the one looked up last is kept. False if it is missing. */
struct node_memo {
    struct node *node;
};
const struct node *row_node(
    struct store_read *rd, struct node_memo *memo, struct str name, struct arena *a);
