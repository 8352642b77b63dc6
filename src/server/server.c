/* SPDX-License-Identifier: Apache-2.0 */
#include "ca.h"

#include <stdlib.h>

#define SCRATCH_MAX ((size_t)64 << 20)

static void raft_changed(struct raft_driver_observer *o, const struct raft_driver_state *state)
{
    struct server *s = container_of(o, struct server, observer);
    uint64_t hash = hash_bytes(state->leader_address.p, state->leader_address.n);
    bool other_leader = hash != s->leader_hash;
    s->leader_hash = hash;
    server__measure_role(s, state->role);
    server__leader_changed(s, state);
    server__autopilot_changed(s);
    server__gateway_watch_raft(s);
    if (other_leader) server__forward_review(s);
    if (other_leader && !s->leader) server__release_held(s);
}

static void copy_options(struct server *s, const struct server_options *from)
{
    struct server_options *o = &s->opts;
    struct arena *a = &s->arena;
    *o = *from;
    o->datacenter = str_dup(a, from->datacenter);
    o->primary_datacenter = str_dup(a, from->primary_datacenter);
    o->replication_token = str_dup(a, from->replication_token);
    o->raft_address = str_dup(a, from->raft_address);
    o->self.name = str_dup(a, from->self.name);
    o->self.id = str_dup(a, from->self.id);
    o->self.address = str_dup(a, from->self.address);
    o->self.version = str_dup(a, from->self.version);
    o->domain = str_dup(a, from->domain);
    o->ca_provider = str_dup(a, from->ca_provider.n ? from->ca_provider : STR("consul"));
    o->ca_config = value_copy(a, &from->ca_config);
    if (!o->default_query_time_ms) o->default_query_time_ms = 300000;
    if (!o->max_query_time_ms) o->max_query_time_ms = 600000;
    if (!o->rpc_hold_timeout_ms) o->rpc_hold_timeout_ms = 7000;
    if (!o->session_ttl_min_ms) o->session_ttl_min_ms = 10000;
    if (!o->reconcile_interval_ms) o->reconcile_interval_ms = 60000;
    if (!o->coordinate_period_ms) o->coordinate_period_ms = 5000;
    if (!o->tombstone_ttl_ms) o->tombstone_ttl_ms = 15 * 60000;
    if (!o->autopilot_last_contact_ns) o->autopilot_last_contact_ns = 200000000;
    if (!o->autopilot_stabilization_ns) o->autopilot_stabilization_ns = INT64_C(10000000000);
    if (!o->autopilot_max_trailing_logs) o->autopilot_max_trailing_logs = 250;
}

int server_create(const struct server_options *opts, struct server **out, struct error *err)
{
    if (!opts->world || !opts->store || !opts->raft || opts->datacenter.n == 0 ||
        opts->self.name.n == 0) {
        return error_set(err, ERR_INTERNAL,
            "a server needs a world, a store, a raft driver, a datacenter and a node name");
    }
    struct str cluster_id;
    int rc = server__ca_cluster_id(&opts->ca_config, &cluster_id, err);
    if (rc) return rc;
    struct server *s = xcalloc(1, sizeof *s);
    copy_options(s, opts);
    s->client = (struct rpc_client){ .submit = server__submit, .cancel = server__cancel };
    s->snapshots_client = (struct snapshot_client){ .submit = server__snapshot_submit,
        .cancel = server__snapshot_cancel };
    s->world = opts->world;
    s->store = opts->store;
    s->raft = opts->raft;
    s->scratch = (struct buf)BUF_INIT(SCRATCH_MAX);
    link_init(&s->calls);
    link_init(&s->detached);
    link_init(&s->csr_line);
    link_init(&s->signing_line);
    link_init(&s->snapshots);
    server__layouts_init(s);
    server__measures_init(s);
    server__blocking_init(s);
    server__sessions_init(s);
    server__coordinates_init(s);
    server__tombstones_init(s);
    server__gossip_init(s);
    server__federation_init(s);
    server__replication_init(s);
    server__autopilot_init(s);
    server__bootstrap_init(s);
    server__snapshots_init(s);
    server__leader_init(s);
    server__gateway_watch_init(s);
    server__root_watch_init(s);
    s->observer.changed = raft_changed;
    raft_driver_observe(s->raft, &s->observer);
    struct raft_driver_state state = raft_driver_state(s->raft);
    server__leader_changed(s, &state);
    *out = s;
    return 0;
}

void server_destroy(struct server *s)
{
    if (!s) return;
    raft_driver_unobserve(&s->observer);
    server__bootstrap_deinit(s);
    s->leaving = true;
    server__leader_deinit(s);
    server__gateway_watch_deinit(s);
    server__root_watch_deinit(s);
    server__autopilot_deinit(s);
    server__blocking_deinit(s);
    server__fail_calls(s, "the server is shutting down");
    server__snapshots_end(s, "the server is shutting down");
    server__sessions_deinit(s);
    server__coordinates_deinit(s);
    server__tombstones_deinit(s);
    server__replication_deinit(s);
    server__federation_deinit(s);
    server__gossip_deinit(s);
    server__routes_deinit(s);
    server__forget_detached(s);
    server__measures_deinit(s);
    free(s->layouts);
    buf_deinit(&s->scratch);
    arena_free(&s->key_arena);
    arena_free(&s->arena);
    free(s);
}

struct rpc_client *server_rpc(struct server *s)
{
    return &s->client;
}

void server_leave(struct server *s)
{
    s->leaving = true;
    server__release_held(s);
}

bool server_ready(const struct server *s)
{
    return s->ready;
}

struct server_stats server_stats(const struct server *s)
{
    return s->stats;
}
