/* SPDX-License-Identifier: Apache-2.0 */
/* Telemetry of a running agent (agent.md 11): the metrics, what gossip, ports and the process count
 * for themselves, and where it is sent. SIGUSR1 prints all of it on standard error. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "consuld/agent/leaf.h"
#include "consuld/agent/statsd.h"
#include "consuld/base/metrics.h"
#include "consuld/cluster/rpc_pool.h"
#include "run.h"

struct run_metrics {
    struct run *run;
    struct metrics_source source;
    struct statsd *statsd, *dogstatsd, *statsite;
    struct net_signal *dump;
    struct pool_observer lan, wan;
    size_t event_names;
    struct metric *sys_bytes, *alloc_bytes;
    struct metric *score, *queue_event, *queue_intent, *queue_query;
};

/* --- what others count ------------------------------------------------------------------------ */

static void total(struct run_metrics *t, const char *name, uint64_t v)
{
    metric_total(metrics_counter(t->run->metrics, name), v);
}

static void fill_pool(struct run_metrics *t, const struct pool *lan, const struct pool *wan)
{
    const struct pool *both[] = { lan, wan };
    struct swim_counters sum = { 0 };
    struct serf_counters serf_sum = { 0 };
    uint64_t accepted = 0, dialled = 0, messages = 0, bytes = 0;
    for (size_t i = 0; i < 2; i++) {
        if (!both[i]) continue;
        const struct serf *s = pool_serf(both[i]);
        const struct swim_counters *c = swim_counters(serf_swim(s));
        const struct serf_counters *sc = serf_counters(s);
        struct pool_counters pc = pool_counters(both[i]);
        struct serf_stats st;
        serf_get_stats(s, &st);
        sum.packets_in += c->packets_in;
        sum.packets_out += c->packets_out;
        sum.bytes_in += c->bytes_in;
        sum.bytes_out += c->bytes_out;
        sum.probes_failed += c->probes_failed;
        sum.tcp_probes += c->tcp_probes;
        sum.suspicions += c->suspicions;
        sum.alives += c->alives;
        sum.deaths += c->deaths;
        sum.refutations += c->refutations;
        sum.lags += c->lags;
        serf_sum.user_events += sc->user_events;
        serf_sum.queries += sc->queries;
        accepted += pc.streams_accepted;
        dialled += pc.streams_dialled;
        messages += pc.stream_messages;
        bytes += pc.stream_bytes;
        metric_sample(t->queue_event, (double)st.event_queue);
        metric_sample(t->queue_intent, (double)st.intent_queue);
        metric_sample(t->queue_query, (double)st.query_queue);
        if (i == 0) metric_set(t->score, (double)st.health_score);
    }
    metric_total_sum(metrics_counter(t->run->metrics, "memberlist.udp.received"), sum.packets_in,
        (double)sum.bytes_in);
    metric_total_sum(metrics_counter(t->run->metrics, "memberlist.udp.sent"), sum.packets_out,
        (double)sum.bytes_out);
    metric_total_sum(
        metrics_counter(t->run->metrics, "memberlist.tcp.sent"), messages, (double)bytes);
    total(t, "memberlist.tcp.accept", accepted);
    total(t, "memberlist.tcp.connect", dialled);
    total(t, "memberlist.degraded.probe", sum.lags);
    total(t, "memberlist.degraded.timeout", sum.probes_failed);
    total(t, "memberlist.msg.alive", sum.alives);
    total(t, "memberlist.msg.suspect", sum.suspicions);
    total(t, "memberlist.msg.dead", sum.deaths);
    total(t, "serf.events", serf_sum.user_events);
    total(t, "serf.queries", serf_sum.queries);
}

static void fill_port(struct run_metrics *t, const struct rpc_port *port)
{
    struct rpc_port_counters c = rpc_port_counters(port);
    total(t, "rpc.accept_conn", c.connections);
    total(t, "rpc.request", c.requests);
    total(t, "rpc.request_error", c.requests_bad + c.requests_unknown);
    total(t, "rpc.refused_byte", c.refused_byte);
    total(t, "rpc.refused_limit", c.refused_limit);
    total(t, "rpc.refused_silent", c.refused_silent);
    total(t, "rpc.refused_tls", c.refused_tls);
    total(t, "rpc.session_error", c.sessions_failed);
}

static void fill_calls(struct run_metrics *t, const struct run *r)
{
    if (r->server) {
        struct server_stats s = server_stats(r->server);
        struct rpc_port_counters c = { 0 };
        if (r->port) c = rpc_port_counters(r->port);
        total(t, "client.rpc", s.calls > c.requests ? s.calls - c.requests : 0);
        total(t, "client.rpc.exceeded", r->limit.refused);
    } else if (r->router) {
        struct rpc_router_counters c = rpc_router_counters(r->router);
        total(t, "client.rpc", c.calls);
        total(t, "client.rpc.exceeded", c.rate_limited);
    }
}

static void fill_cache_type(struct run_metrics *t, const struct cache_type_stats *s)
{
    const struct {
        const char *what;
        uint64_t n;
    } rows[] = {
        { "hit", s->hits },
        { "miss_new", s->misses_new },
        { "miss_block", s->misses_block },
        { "fetch_success", s->fetched },
        { "fetch_error", s->failed },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char name[96];
        if (!rows[i].n) continue;
        snprintf(name, sizeof name, "consul.cache.%s.%s", s->name, rows[i].what);
        total(t, name, rows[i].n);
    }
}

/* Certificates of services are one of the types, kept beside the others. */
static void fill_cache(
    struct run_metrics *t, const struct cache *cache, const struct leaves *leaves)
{
    struct cache_stats all = cache_stats(cache);
    struct cache_type_stats s;
    size_t kept;
    for (size_t i = 0; cache_type_stats_at(cache, i, &s); i++)
        fill_cache_type(t, &s);
    s = leaves_stats(leaves, &kept);
    fill_cache_type(t, &s);
    all.fetched += s.fetched;
    all.failed += s.failed;
    all.entries += kept;
    if (!all.fetched && !all.failed) return;
    total(t, "consul.cache.fetch_success", all.fetched);
    if (all.failed) total(t, "consul.cache.fetch_error", all.failed);
    if (all.evicted) total(t, "consul.cache.evict_expired", all.evicted);
    metric_set(metrics_gauge(t->run->metrics, "consul.cache.entries_count"), (double)all.entries);
}

static void fill_process(struct run_metrics *t)
{
    struct mallinfo2 heap = mallinfo2();
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lu %lu", &pages, &resident) != 2) resident = 0;
    if (f) fclose(f);
    metric_set(t->alloc_bytes, (double)(heap.uordblks + heap.hblkhd));
    metric_set(t->sys_bytes, (double)resident * (double)sysconf(_SC_PAGESIZE));
}

static void fill(struct metrics_source *s)
{
    struct run_metrics *t = container_of(s, struct run_metrics, source);
    struct run *r = t->run;
    fill_process(t);
    if (r->lan) fill_pool(t, r->lan, r->wan);
    if (r->port) fill_port(t, r->port);
    fill_calls(t, r);
    if (r->cache && r->leaves) fill_cache(t, r->cache, r->leaves);
}

/* --- SIGUSR1 ---------------------------------------------------------------------------------- */

static void dump_metric(const struct metric *m, int64_t began)
{
    static const char letters[] = {
        [METRIC_COUNTER] = 'C', [METRIC_GAUGE] = 'G', [METRIC_SAMPLE] = 'S'
    };
    struct str name = metric_name(m);
    struct metric_window v = metric_all(m);
    if (metric_kind(m) == METRIC_GAUGE) {
        fprintf(stderr, "[%lld][G] '%.*s': %.3f\n", (long long)began, STR_ARG(name), v.sum);
    } else if (metric_interval(m, &v)) {
        fprintf(stderr, "[%lld][%c] '%.*s': Count: %llu Min: %.3f Mean: %.3f Max: %.3f Sum: %.3f\n",
            (long long)began, letters[metric_kind(m)], STR_ARG(name), (unsigned long long)v.count,
            v.min, v.sum / (double)v.count, v.max, v.sum);
    }
}

static void dump(void *ctx, int signum)
{
    struct run *r = ctx;
    struct metric *const *all;
    (void)signum;
    metrics_collect(r->metrics);
    size_t n = metrics_sorted(r->metrics, &all);
    for (size_t i = 0; i < n; i++)
        dump_metric(all[i], metrics_interval_began(r->metrics));
}

/* --- life ------------------------------------------------------------------------------------- */

static struct metrics_options options(const struct run *r)
{
    const struct telemetry_config *c = &r->config->telemetry;
    return (struct metrics_options){ .world = r->world,
        .prefix = c->metrics_prefix,
        .allowed = c->allowed_prefixes.v,
        .allowed_n = c->allowed_prefixes.n,
        .blocked = c->blocked_prefixes.v,
        .blocked_n = c->blocked_prefixes.n,
        .allow_others = c->filter_default };
}

static void make_metrics(struct run *r, struct run_metrics *t)
{
    struct metrics *m = r->metrics;
    t->alloc_bytes = metrics_gauge(m, "runtime.alloc_bytes");
    t->sys_bytes = metrics_gauge(m, "runtime.sys_bytes");
    t->score = metrics_gauge(m, "memberlist.health.score");
    t->queue_event = metrics_samples(m, "serf.queue.Event");
    t->queue_intent = metrics_samples(m, "serf.queue.Intent");
    t->queue_query = metrics_samples(m, "serf.queue.Query");
    t->source.fill = fill;
    metrics_source_add(m, &t->source);
}

static void on_member(
    struct pool_observer *o, enum serf_notice_type type, const struct serf_member *m)
{
    static const char *const names[] = { [SERF_MEMBER_JOINED] = "serf.member.join",
        [SERF_MEMBER_UPDATED] = "serf.member.update",
        [SERF_MEMBER_LEFT] = "serf.member.left",
        [SERF_MEMBER_FAILED] = "serf.member.failed",
        [SERF_MEMBER_REAPED] = "serf.member.reap" };
    struct run_metrics *t = o->ctx;
    (void)m;
    if ((size_t)type < sizeof names / sizeof names[0] && names[type])
        metric_add(metrics_counter(t->run->metrics, names[type]), 1);
}

#define EVENT_NAMES_MAX 256 /* that are told apart */

/* serf.events.<name>; all together are counted by serf. */
static void on_event(struct pool_observer *o, uint64_t ltime, struct str event, struct str payload)
{
    struct run_metrics *t = o->ctx;
    char name[160];
    int n = snprintf(name, sizeof name, "serf.events.%.*s", STR_ARG(event));
    (void)ltime;
    (void)payload;
    if (n < 0 || (size_t)n >= sizeof name || t->event_names >= EVENT_NAMES_MAX) return;
    size_t before = metrics_count(t->run->metrics);
    metric_add(metrics_counter(t->run->metrics, name), 1);
    t->event_names += metrics_count(t->run->metrics) > before;
}

void run_metrics_pools(struct run *r)
{
    struct run_metrics *t = r->telemetry;
    t->lan = (struct pool_observer){ .member = on_member, .user_event = on_event, .ctx = t };
    t->wan = t->lan;
    pool_observe(r->lan, &t->lan);
    if (r->wan) pool_observe(r->wan, &t->wan);
}

void run_metrics_pools_end(struct run *r)
{
    if (!r->telemetry) return;
    pool_unobserve(&r->telemetry->lan);
    pool_unobserve(&r->telemetry->wan);
}

void run_metrics_start(struct run *r)
{
    const struct telemetry_config *c = &r->config->telemetry;
    struct run_metrics *t = r->telemetry = xcalloc(1, sizeof *t);
    struct metrics_options o = options(r);
    char host[256] = "";
    bool sent = c->statsd_addr.n || c->statsite_addr.n || c->dogstatsd_addr.n ||
                c->prometheus_retention_time > 0;
    t->run = r;
    if (sent && !c->disable_hostname && gethostname(host, sizeof host - 1) == 0)
        o.hostname = str_of(host);
    r->metrics = r->context.metrics = metrics_create(&o);
    make_metrics(r, t);
    struct statsd_options to = { .world = r->world, .metrics = r->metrics };
    if (c->statsd_addr.n) {
        to.address = c->statsd_addr;
        t->statsd = statsd_create(&to);
    }
    if (c->dogstatsd_addr.n) {
        to.address = c->dogstatsd_addr;
        to.tags = true;
        to.common = c->dogstatsd_tags.v;
        to.common_n = c->dogstatsd_tags.n;
        t->dogstatsd = statsd_create(&to);
    }
    if (c->statsite_addr.n)
        t->statsite = statsd_create(&(struct statsd_options){ .world = r->world,
            .metrics = r->metrics,
            .address = c->statsite_addr,
            .connect = true });
    if (c->circonus_api_token.n || c->circonus_submission_url.n)
        log_warn("agent", "metrics are not sent to Circonus by this build");
    t->dump = net_signal_create(r->world, SIGUSR1, dump, r);
}

void run_metrics_reload(struct run *r)
{
    struct metrics_options o = options(r);
    metrics_filter(r->metrics, &o);
}

void run_metrics_stop(struct run *r)
{
    struct run_metrics *t = r->telemetry;
    if (!t) return;
    net_signal_destroy(t->dump);
    metrics_source_remove(&t->source);
    statsd_destroy(t->statsd);
    statsd_destroy(t->dogstatsd);
    statsd_destroy(t->statsite);
    metrics_destroy(r->metrics);
    free(t);
    r->metrics = r->context.metrics = NULL;
    r->telemetry = NULL;
}
