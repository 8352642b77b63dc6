/* SPDX-License-Identifier: Apache-2.0 */
/* What the raft configuration should become because a server came or went (leader.md 5). */
#include "lan_servers.h"

const struct lan_server *lan_server_by_id(const struct list *servers, struct str id)
{
    for (size_t i = 0; i < servers->n; i++) {
        const struct lan_server *m = &LIST_AT(servers, struct lan_server, i);
        if (id.n && str_eq(m->id, id)) return m;
    }
    return NULL;
}

const struct lan_server *lan_server_by_address(const struct list *servers, struct str address)
{
    const struct lan_server *found = NULL;
    for (size_t i = 0; i < servers->n; i++) {
        const struct lan_server *m = &LIST_AT(servers, struct lan_server, i);
        if (!str_eq(m->address, address)) continue;
        if (!found || m->status == SERF_ALIVE) found = m;
    }
    return found;
}

uint64_t lan_raft_version_min(const struct list *servers)
{
    uint64_t least = 0;
    bool any = false;
    for (size_t i = 0; i < servers->n; i++) {
        const struct lan_server *m = &LIST_AT(servers, struct lan_server, i);
        if (m->status != SERF_ALIVE) continue;
        if (!any || m->raft_version < least) least = m->raft_version;
        any = true;
    }
    return least;
}

/* --- the raft configuration ------------------------------------------------------------------ */

static bool another_bootstraps(const struct list *servers, const struct lan_server *m)
{
    for (size_t i = 0; m->bootstrap && i < servers->n; i++) {
        const struct lan_server *other = &LIST_AT(servers, struct lan_server, i);
        if (other->bootstrap && !str_eq(other->name, m->name)) return true;
    }
    return false;
}

enum raft_join raft_join_change(const struct raft_driver_server *have, size_t n,
    const struct list *servers, const struct lan_server *m, bool self, struct raft_wish *out)
{
    uint64_t least = lan_raft_version_min(servers);
    bool by_id = least >= 2 && m->raft_version >= 3;
    struct str id = by_id ? m->id : m->address;
    if (another_bootstraps(servers, m)) return RAFT_JOIN_CLASH;
    const struct raft_driver_server *other = NULL;
    bool moved = false;
    for (size_t i = 0; i < n; i++) {
        bool address = str_eq(have[i].address, m->address), same_id = str_eq(have[i].id, id);
        if (address && (same_id || !by_id)) return RAFT_JOIN_NONE;
        if (address) other = &have[i];
        moved |= same_id;
    }
    if (self && n < 3 && (other || !moved)) return RAFT_JOIN_NONE;
    if (other) {
        *out = (struct raft_wish){ DRIVER_REMOVE, other->id, other->address };
        return RAFT_JOIN_REMOVE;
    }
    /* For one that is known by its id this changes the address alone. */
    *out =
        (struct raft_wish){ least >= 3 ? DRIVER_ADD_NONVOTER : DRIVER_ADD_VOTER, id, m->address };
    return RAFT_JOIN_ADD;
}

bool raft_leave_change(const struct raft_driver_server *have, size_t n, struct str id,
    struct str address, struct raft_wish *out)
{
    const struct raft_driver_server *found = NULL;
    for (size_t i = 0; i < n && !found; i++)
        if (id.n && str_eq(have[i].id, id)) found = &have[i];
    for (size_t i = 0; i < n && !found; i++)
        if (str_eq(have[i].address, address)) found = &have[i];
    if (!found) return false;
    *out = (struct raft_wish){ DRIVER_REMOVE, found->id, found->address };
    return true;
}
