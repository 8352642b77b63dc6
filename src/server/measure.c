/* SPDX-License-Identifier: Apache-2.0 */
/* What the server tells as metrics: how long procedures take, how often services are asked for,
 * and, when somebody reads, how it is with raft, sessions and the other servers. */
#include <stdlib.h>
#include <string.h>

#include "autopilot.h"
#include "consuld/base/metrics.h"
#include "server.h"

#define SERVICE_LABELS_MAX 1024 /* names of services that may be told apart */

/* Sorted by method. */
static const struct {
    const char *method, *metric;
} timed[] = {
    { "Catalog.Deregister", "catalog.deregister" },
    { "Catalog.Register", "catalog.register" },
    { "ConfigEntry.Apply", "config_entry.apply" },
    { "ConfigEntry.Delete", "config_entry.delete" },
    { "ConfigEntry.Get", "config_entry.get" },
    { "ConfigEntry.List", "config_entry.list" },
    { "ConfigEntry.ListAll", "config_entry.listAll" },
    { "ConfigEntry.ResolveServiceConfig", "config_entry.resolve_service_config" },
    { "DiscoveryChain.Get", "discovery_chain.get" },
    { "FederationState.Apply", "federation_state.apply" },
    { "FederationState.Get", "federation_state.get" },
    { "FederationState.List", "federation_state.list" },
    { "FederationState.ListMeshGateways", "federation_state.list_mesh_gateways" },
    { "Intention.Apply", "intention.apply" },
    { "KVS.Apply", "kvs.apply" },
    { "PreparedQuery.Apply", "prepared-query.apply" },
    { "PreparedQuery.Execute", "prepared-query.execute" },
    { "PreparedQuery.ExecuteRemote", "prepared-query.execute_remote" },
    { "PreparedQuery.Explain", "prepared-query.explain" },
    { "Session.Apply", "session.apply" },
    { "Session.Renew", "session.renew" },
    { "Txn.Apply", "txn.apply" },
    { "Txn.Read", "txn.read" },
};

struct measures {
    struct server *server;
    struct metrics_source source;
    struct metric **timed; /* one per row of the method table; NULL: not timed */
    struct metric *query, *consistent, *commit, *apply, *barrier, *verify;
    struct metric *leader_barrier, *reconcile, *reconcile_member, *invalidate, *intention;
    struct metric *became_leader, *became_candidate, *became_follower, *timed_out;
    struct metric *applied_index, *last_index, *blocking, *sessions, *healthy, *tolerance;
    struct metric *last_contact, *fsm_apply;
    size_t service_labels;
    enum raft_driver_role role;
};

static struct metric *timed_metric(struct metrics *m, const char *method)
{
    for (size_t i = 0; i < sizeof timed / sizeof timed[0]; i++)
        if (strcmp(timed[i].method, method) == 0) return metrics_samples(m, timed[i].metric);
    return NULL;
}

static void fill(struct metrics_source *source)
{
    struct measures *m = container_of(source, struct measures, source);
    struct server *s = m->server;
    struct raft_driver_state raft = raft_driver_state(s->raft);
    struct raft_driver_counters c = raft_driver_counters(s->raft);
    metric_set(m->applied_index, (double)raft.applied_index);
    metric_set(m->last_index, (double)raft.last_log_index);
    metric_set(m->blocking, (double)s->stats.parked);
    metric_total(m->query, s->stats.queries);
    metric_total(m->apply, c.proposals);
    metric_total_sum(m->fsm_apply, c.applied, (double)c.applied_us / 1000);
    metric_set(m->sessions, (double)s->stats.sessions_ttl);
    if (!s->ready) return;
    const struct autopilot_table *t = server__autopilot_table(s);
    metric_set(m->healthy, t->healthy ? 1 : 0);
    metric_set(m->tolerance, (double)t->failure_tolerance);
    for (size_t i = 0; i < raft.servers_n; i++) {
        struct raft_driver_peer peer;
        if (raft_driver_peer(s->raft, raft.servers[i].id, &peer) && peer.contact_known)
            metric_sample(m->last_contact, (double)peer.last_contact_ms);
    }
}

void server__measures_init(struct server *s)
{
    struct measures *m = s->measures = xcalloc(1, sizeof *m);
    struct metrics *to = s->opts.metrics;
    m->server = s;
    m->timed = xcalloc(server__method_count, sizeof(struct metric *));
    for (size_t i = 0; i < server__method_count; i++)
        m->timed[i] = timed_metric(to, server__methods[i].name);
    m->query = metrics_counter(to, "rpc.query");
    m->apply = metrics_counter(to, "raft.apply");
    m->fsm_apply = metrics_samples(to, "raft.fsm.apply");
    m->barrier = metrics_counter(to, "raft.barrier");
    m->verify = metrics_counter(to, "raft.verify_leader");
    m->became_leader = metrics_counter(to, "raft.state.leader");
    m->became_candidate = metrics_counter(to, "raft.state.candidate");
    m->became_follower = metrics_counter(to, "raft.state.follower");
    m->timed_out = metrics_counter(to, "raft.transition.heartbeat_timeout");
    m->consistent = metrics_samples(to, "rpc.consistentRead");
    m->commit = metrics_samples(to, "raft.commitTime");
    m->leader_barrier = metrics_samples(to, "leader.barrier");
    m->reconcile = metrics_samples(to, "leader.reconcile");
    m->reconcile_member = metrics_samples(to, "leader.reconcileMember");
    m->intention = metrics_samples(to, "consul.intention.apply");
    m->invalidate = metrics_samples(to, "session_ttl.invalidate");
    m->last_contact = metrics_samples(to, "raft.leader.lastContact");
    m->applied_index = metrics_gauge(to, "raft.applied_index");
    m->last_index = metrics_gauge(to, "raft.last_index");
    m->blocking = metrics_gauge(to, "rpc.queries_blocking");
    m->sessions = metrics_gauge(to, "session_ttl.active");
    m->healthy = metrics_gauge(to, "autopilot.healthy");
    m->tolerance = metrics_gauge(to, "autopilot.failure_tolerance");
    m->source.fill = fill;
    metrics_source_add(to, &m->source);
    m->role = DRIVER_FOLLOWER;
    metric_add(m->became_follower, 1);
}

void server__measures_deinit(struct server *s)
{
    metrics_source_remove(&s->measures->source);
    free(s->measures->timed);
    free(s->measures);
}

void server__measure_role(struct server *s, enum raft_driver_role role)
{
    struct measures *m = s->measures;
    if (role == m->role) return;
    m->role = role;
    switch (role) {
    case DRIVER_FOLLOWER:
        metric_add(m->became_follower, 1);
        break;
    case DRIVER_CANDIDATE:
        metric_add(m->became_candidate, 1);
        metric_add(m->timed_out, 1);
        break;
    case DRIVER_LEADER:
        metric_add(m->became_leader, 1);
        break;
    }
}

uint64_t server__measure_from(const struct server *s)
{
    return s->opts.metrics ? world_now_us(s->world) : 0;
}

static void since(struct server *s, struct metric *m, uint64_t began_us)
{
    if (began_us) metric_since(m, s->world, began_us);
}

void server__measure_call(struct server *s, const struct method *m, uint64_t began_us)
{
    since(s, s->measures->timed[m - server__methods], began_us);
    if (strcmp(m->name, "Intention.Apply") == 0) since(s, s->measures->intention, began_us);
}

bool server__measured(const struct server *s, const struct method *m)
{
    return s->measures->timed[m - server__methods] != NULL;
}

void server__measure(struct server *s, enum measure what, uint64_t began_us)
{
    struct measures *m = s->measures;
    switch (what) {
    case MEASURE_CONSISTENT_READ:
        metric_add(m->verify, 1);
        since(s, m->consistent, began_us);
        break;
    case MEASURE_COMMIT:
        since(s, m->commit, began_us);
        break;
    case MEASURE_BARRIER:
        metric_add(m->barrier, 1);
        since(s, m->leader_barrier, began_us);
        break;
    case MEASURE_RECONCILE:
        since(s, m->reconcile, began_us);
        break;
    case MEASURE_RECONCILE_MEMBER:
        since(s, m->reconcile_member, began_us);
        break;
    case MEASURE_SESSION_INVALIDATE:
        since(s, m->invalidate, began_us);
        break;
    }
}

/* catalog.service.query{service=web} and its like. */
void server__measure_service(
    struct server *s, const char *name, struct str service, const struct str *tags, size_t n)
{
    struct metric_label labels[METRIC_LABELS_MAX] = { { "service", service } };
    struct measures *m = s->measures;
    if (n >= METRIC_LABELS_MAX) n = METRIC_LABELS_MAX - 1;
    for (size_t i = 0; i < n; i++)
        labels[i + 1] = (struct metric_label){ "tag", tags[i] };
    if (!s->opts.metrics || m->service_labels >= SERVICE_LABELS_MAX) return;
    size_t before = metrics_count(s->opts.metrics);
    metric_add(metrics_labelled(s->opts.metrics, METRIC_COUNTER, name, labels, n + 1), 1);
    if (metrics_count(s->opts.metrics) > before) m->service_labels++;
}
