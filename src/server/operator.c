/* SPDX-License-Identifier: Apache-2.0 */
/* Operator.* (leader.md 8, 14). */
#include "server.h"

int operator_raft_configuration(struct eval *e)
{
    struct raft_driver_state state = raft_driver_state(e->server->raft);
    struct raft_configuration_response *out = eval_reply(e, raft_configuration_response);
    struct arena *a = &e->reply->arena;
    const struct server_member *self = &e->server->opts.self;
    for (size_t i = 0; i < state.servers_n; i++) {
        const struct raft_driver_server *from = &state.servers[i];
        struct raft_server *to = LIST_PUSH(a, &out->servers, struct raft_server);
        bool known = str_eq(from->id, self->id);
        to->id = str_dup(a, from->id);
        to->node = known ? str_dup(a, self->name) : STR("(unknown)");
        to->address = str_dup(a, from->address);
        to->leader = str_eq(from->address, state.leader_address);
        to->protocol_version =
            known ? str_printf(a, "%llu", (unsigned long long)self->raft_version) : STR("unknown");
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

/* One entry per configured server; this server is asked directly, others are not members yet. */
int operator_server_health(struct eval *e)
{
    struct server *s = e->server;
    struct raft_driver_state state = raft_driver_state(s->raft);
    struct autopilot_operator_health_reply *out = eval_reply(e, autopilot_operator_health_reply);
    struct arena *a = &e->reply->arena;
    size_t voters = 0, healthy_voters = 0;
    if (s->opts.self.raft_version < 3) {
        return error_set(e->err, ERR_INTERNAL,
            "all servers must have raft_protocol set to 3 or higher to use this endpoint");
    }
    out->healthy = true;
    for (size_t i = 0; i < state.servers_n; i++) {
        const struct raft_driver_server *from = &state.servers[i];
        bool self = str_eq(from->id, s->opts.self.id);
        struct autopilot_server_health *to =
            LIST_PUSH(a, &out->servers, struct autopilot_server_health);
        to->id = str_dup(a, from->id);
        to->address = str_dup(a, from->address);
        to->leader = str_eq(from->address, state.leader_address);
        to->voter = from->suffrage == 0;
        to->healthy = self;
        to->serf_status = self ? SERF_ALIVE : SERF_NONE;
        to->stable_since = gotime_from_unix_ns(s->stable_since_ns);
        if (self) {
            to->name = str_dup(a, s->opts.self.name);
            to->version = str_dup(a, s->opts.self.version);
            to->last_term = state.last_log_term;
            to->last_index = state.last_log_index;
        }
        if (!to->healthy) out->healthy = false;
        if (to->voter) {
            voters++;
            if (to->healthy) healthy_voters++;
        }
    }
    int64_t spare = (int64_t)healthy_voters - (int64_t)(voters / 2 + 1);
    out->failure_tolerance = spare > 0 ? spare : 0;
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
