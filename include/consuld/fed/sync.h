/* SPDX-License-Identifier: Apache-2.0 */
/* What federation states should become: decisions of the leader duties that write them
 * (wanfed.md 10.3, 11, 12). Pure functions. */
#pragma once
#include "consuld/model.h"

/* The own record as it should be, from all gateways of the catalog -> struct check_service_node.
 * False if `stored` (may be NULL) says the same: datacenter, gateways in order, checks. */
bool fed_own_state(struct str datacenter, const struct federation_state *stored,
    const struct list *gateways, struct federation_state *out);

/* What makes `local` the same as `remote`; both lists of struct federation_state, borrowed by what
 * comes out. Only what changed behind `last_index` (of the primary) is looked at, and of that only
 * what differs is written. */
struct fed_changes {
    struct list deletes; /* struct federation_state; config_entry; intention */
    struct list upserts; /* with PrimaryModifyIndex set */
};
void fed_changes(const struct list *local, const struct list *remote, uint64_t last_index,
    struct arena *a, struct fed_changes *out);

/* The same for configuration entries; both lists of struct config_entry, of which `deletes` and
 * `upserts` hold copies. What is equal but for its indexes is not written. */
void fed_entry_changes(
    const struct list *local, const struct list *remote, struct arena *a, struct fed_changes *out);

/* The same for intentions, by their IDs; both lists of struct intention. */
void fed_intention_changes(
    const struct list *local, const struct list *remote, struct arena *a, struct fed_changes *out);

/* The first record of a datacenter that is not known any more; NULL: there is none. */
const struct federation_state *fed_prunable(
    const struct list *states, bool (*known)(void *ctx, struct str datacenter), void *ctx);

/* Do all servers take part? `states_stored`: some records are in the own store already, which says
 * that they did; never asked again once true. */
struct fed_support {
    size_t primary_servers, primary_able; /* alive or failed; of a secondary's primary */
    size_t own_servers, own_able;
    bool secondary, states_stored;
};
bool fed_supported(const struct fed_support *s);
