/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers of watches get: JSON as Consul's client library writes what it has read. Members
 * stand in another order than in the API's answers, and the definitions of checks are always
 * whole. All texts are the arena's. */
#pragma once
#include "consuld/model.h"

#define WATCH_DATA_MAX ((size_t)256 << 20)

/* struct dir_entry; `one`: the first alone. "null" without an entry. */
struct str watch_pairs(struct arena *a, const struct list *entries, bool one);
/* struct health_check */
struct str watch_checks(struct arena *a, const struct list *checks);
/* struct check_service_node; `passing`: only those whose checks all pass. */
struct str watch_entries(struct arena *a, const struct list *instances, bool passing);
/* Any value of a type as it is; a nil list or map is shown empty. */
struct str watch_plain(struct arena *a, const struct type *t, const void *value);
