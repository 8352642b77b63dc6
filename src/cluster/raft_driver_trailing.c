/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the log stays behind a snapshot. A follower that answers but still needs what would
 * be given up could never catch up: by the time a snapshot has reached it, the entries behind that
 * one are gone as well. So more is kept for it, within a bound, and the log names it. */
#include "raft_driver.h"

#include <stdio.h>
#include <string.h>

#define GROWTH_MAX 8     /* times the configured length */
#define CONTACT_MS 10000 /* who did not answer for so long is down, not slow */

uint64_t driver_trailing(struct raft_driver *d)
{
    struct raft_state st;
    uint64_t now = world_now_ms(d->world), keep = d->trailing_logs;
    uint64_t most = keep <= UINT64_MAX / GROWTH_MAX ? keep * GROWTH_MAX : UINT64_MAX;
    const char *slowest = NULL;
    raft_get_state(d->raft, &st);
    for (size_t i = 0; st.role == RAFT_LEADER && i < st.latest->n; i++) {
        struct raft_peer_state p;
        if (!raft_get_peer(d->raft, st.latest->servers[i].id, &p) || !p.last_contact_ms) continue;
        if (now > p.last_contact_ms + CONTACT_MS) continue;
        uint64_t behind = st.last_index + 1 - p.needs_index;
        /* Who needs what is gone gets a snapshot in any case. */
        if (p.needs_index < st.first_index || behind <= keep || behind > most) continue;
        keep = behind;
        slowest = st.latest->servers[i].id;
    }
    char entries[24];
    snprintf(entries, sizeof entries, "%llu", (unsigned long long)keep);
    if (slowest && strcmp(slowest, d->slow_peer) != 0)
        log_warn(SUBSYSTEM,
            "a server is slower than the log is given up, more of it is kept for it", "id", slowest,
            "trailing_logs", entries);
    else if (!slowest && d->slow_peer[0])
        log_info(SUBSYSTEM, "all servers keep up with the log again", "trailing_logs", entries);
    snprintf(d->slow_peer, sizeof d->slow_peer, "%s", slowest ? slowest : "");
    return keep;
}
