/* SPDX-License-Identifier: Apache-2.0 */
/* Status.* (leader.md 14). */
#include "server.h"

int status_leader(struct eval *e)
{
    struct raft_driver_state state = raft_driver_state(e->server->raft);
    *(struct str *)e->reply->record = str_dup(&e->reply->arena, state.leader_address);
    return 0;
}

int status_peers(struct eval *e)
{
    struct raft_driver_state state = raft_driver_state(e->server->raft);
    struct list *out = e->reply->record;
    *out = LIST_EMPTY;
    for (size_t i = 0; i < state.servers_n; i++) {
        if (!i) *out = (struct list){ 0 };
        *LIST_PUSH(&e->reply->arena, out, struct str) =
            str_dup(&e->reply->arena, state.servers[i].address);
    }
    return 0;
}

int status_ping(struct eval *e)
{
    (void)e;
    return 0;
}

int status_raft_stats(struct eval *e)
{
    struct raft_driver_state state = raft_driver_state(e->server->raft);
    struct autopilot_server_stats *out = eval_reply(e, autopilot_server_stats);
    struct arena *a = &e->reply->arena;
    out->last_index = state.last_log_index;
    out->last_term = state.last_log_term;
    if (state.role == DRIVER_LEADER) {
        out->last_contact = STR("0");
    } else if (!state.contact_known) {
        out->last_contact = STR("never");
    } else {
        struct buf b = BUF_INIT(64);
        duration_format((int64_t)state.last_contact_ms * 1000000, &b);
        out->last_contact = str_dup(a, buf_str(&b));
        buf_deinit(&b);
    }
    return 0;
}
