/* SPDX-License-Identifier: Apache-2.0 */
/* Which config entries fit together (fsm.md 13.2): a change is taken only if every discovery chain
 * it touches still compiles and every ingress listener still speaks its services' protocol. */
#pragma once
#include "state.h"

/* table_config_entry.c: false and *out untouched if there is none. */
bool config_entry_find(
    struct view *v, struct str kind, struct str name, struct arena *a, struct config_entry *out);

/* What would be if the entry of that kind and name were `next` (NULL: deleted). */
int config_graph_check(struct view *v, struct str kind, struct str name,
    const struct config_entry *next, struct arena *a, struct error *err) must_check;
/* The protocol of a service's chain; nil if it does not compile. */
struct str config_graph_protocol(struct view *v, struct str service, struct arena *a);
