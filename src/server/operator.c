/* SPDX-License-Identifier: Apache-2.0 */
/* Operator.* (leader.md 8, 14). */
#include "autopilot.h"
#include "server.h"

int operator_raft_configuration(struct eval *e)
{
    struct raft_driver_state state = raft_driver_state(e->server->raft);
    struct raft_configuration_response *out = eval_reply(e, raft_configuration_response);
    struct arena *a = &e->reply->arena;
    struct list servers;
    server__lan_servers(e->server, a, &servers);
    for (size_t i = 0; i < state.servers_n; i++) {
        const struct raft_driver_server *from = &state.servers[i];
        const struct lan_server *known = lan_server_by_address(&servers, from->address);
        struct raft_server *to = LIST_PUSH(a, &out->servers, struct raft_server);
        to->id = str_dup(a, from->id);
        to->node = known ? known->name : STR("(unknown)");
        to->address = str_dup(a, from->address);
        to->leader = str_eq(from->address, state.leader_address);
        to->protocol_version =
            known ? str_printf(a, "%llu", (unsigned long long)known->raft_version) : STR("unknown");
        to->voter = from->suffrage == 0;
    }
    return 0;
}

int operator_autopilot_get(struct eval *e)
{
    struct autopilot_config *stored = NULL;
    store_autopilot(e->rd, NULL, &e->reply->arena, &stored);
    if (!stored) {
        return error_set(e->err, ERR_INTERNAL, "autopilot config not initialized yet");
    }
    *eval_reply(e, autopilot_config) = *stored;
    return 0;
}

int operator_autopilot_set(struct write *w)
{
    return write_propose(w, COMMAND_AUTOPILOT, w->p.args);
}

int operator_server_health(struct eval *e)
{
    struct server *s = e->server;
    struct autopilot_operator_health_reply *out = eval_reply(e, autopilot_operator_health_reply);
    struct arena *a = &e->reply->arena;
    struct list servers;
    server__lan_servers(s, a, &servers);
    if (lan_raft_version_min(&servers) < 3) {
        return error_set(e->err, ERR_INTERNAL,
            "all servers must have raft_protocol set to 3 or higher to use this endpoint");
    }
    const struct autopilot_table *t = server__autopilot_table(s);
    out->healthy = t->n && t->healthy;
    out->failure_tolerance = t->failure_tolerance;
    for (size_t i = 0; i < t->n; i++) {
        const struct autopilot_row *r = &t->rows[i];
        *LIST_PUSH(a, &out->servers, struct autopilot_server_health) =
            (struct autopilot_server_health){ .id = str_dup(a, str_of(r->id)),
                .name = str_dup(a, str_of(r->name)),
                .address = str_dup(a, str_of(r->address)),
                .serf_status = (int64_t)r->status,
                .version = str_dup(a, str_of(r->version)),
                .leader = r->leader,
                .last_contact = r->last_contact_ns,
                .last_term = r->last_term,
                .last_index = r->last_index,
                .healthy = r->healthy,
                .voter = r->voter,
                .stable_since = gotime_from_unix_ns(r->stable_since_ns) };
    }
    return 0;
}

/* --- removing a peer ------------------------------------------------------------------------ */

static void removed(struct raft_driver_request *r)
{
    write_end(r->ctx, r);
}

static int remove_peer(struct write *w, bool by_id, struct str wanted)
{
    struct raft_driver_state state = raft_driver_state(w->p.server->raft);
    for (size_t i = 0; i < state.servers_n; i++) {
        const struct raft_driver_server *have = &state.servers[i];
        if (!str_eq(by_id ? have->id : have->address, wanted)) continue;
        raft_driver_change(w->p.server->raft, server__request(&w->p, removed, w), DRIVER_REMOVE,
            have->id, have->address);
        return WRITE_PENDING;
    }
    return error_set(w->err, ERR_INTERNAL,
        by_id ? "id \"%.*s\" was not found in the Raft configuration"
              : "address \"%.*s\" was not found in the Raft configuration",
        STR_ARG(wanted));
}

int operator_remove_peer_by_id(struct write *w)
{
    return remove_peer(w, true, ((const struct raft_remove_peer_request *)w->p.args)->id);
}

int operator_remove_peer_by_address(struct write *w)
{
    return remove_peer(w, false, ((const struct raft_remove_peer_request *)w->p.args)->address);
}
