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
    struct metric *sys_bytes, *alloc_bytes, *threads;
    struct metric *score, *queue_event, *queue_intent, *queue_query;
};

/* --- what others count ------------------------------------------------------------------------ */

static void total(struct run_metrics *t, const char *name, uint64_t v)
{
    metric_total(metrics_counter(t->run->metrics, name), v);
}

/* Metrics of both pools together, by the offset of what is counted and of its sum. */
struct pool_total {
    const char *name;
    enum metric_kind kind;
    size_t n, sum;
    double scale; /* of the sum; 0: every event counts as one */
};

/* What the pools have counted, all in one. */
struct gossip_counts {
    struct swim_counters swim;
    struct serf_counters serf;
    struct pool_counters pool;
    struct broadcast_queue_counters sent;
};

#define AT(member) offsetof(struct gossip_counts, member)
#define COUNT(name, member) \
    { \
        name, METRIC_COUNTER, AT(member), 0, 0 \
    }
#define BYTES(name, n, sum) \
    { \
        name, METRIC_COUNTER, AT(n), AT(sum), 1 \
    }
#define SIZES(name, n, sum) \
    { \
        name, METRIC_SAMPLE, AT(n), AT(sum), 1 \
    }
#define TIMES(name, n, sum) \
    { \
        name, METRIC_SAMPLE, AT(n), AT(sum), 0.001 \
    }

static const struct pool_total pool_totals[] = {
    BYTES("memberlist.udp.received", swim.packets_in, swim.bytes_in),
    BYTES("memberlist.udp.sent", swim.packets_out, swim.bytes_out),
    BYTES("memberlist.tcp.sent", pool.stream_messages, pool.stream_bytes),
    COUNT("memberlist.tcp.accept", pool.streams_accepted),
    COUNT("memberlist.tcp.connect", pool.streams_dialled),
    COUNT("memberlist.degraded.probe", swim.lags),
    COUNT("memberlist.degraded.timeout", swim.probes_failed),
    COUNT("memberlist.msg.alive", swim.alives),
    COUNT("memberlist.msg.suspect", swim.suspicions),
    COUNT("memberlist.msg.dead", swim.deaths),
    TIMES("memberlist.gossip", pool.turns, pool.turns_us),
    TIMES("memberlist.probeNode", swim.probes_over, swim.probe_us),
    TIMES("memberlist.pushPullNode", swim.push_pulls_over, swim.push_pull_us),
    COUNT("serf.events", serf.user_events),
    COUNT("serf.queries", serf.queries),
    SIZES("serf.msgs.received", serf.messages_in, serf.message_bytes_in),
    SIZES("serf.msgs.sent", sent.transmits, sent.transmit_bytes),
    TIMES("serf.coordinate.adjustment-ms", serf.coordinate_updates, serf.coordinate_us),
    TIMES("serf.snapshot.appendLine", pool.records, pool.records_us),
};

static uint64_t at(const struct gossip_counts *c, size_t offset)
{
    return *(const uint64_t *)(const void *)((const char *)c + offset);
}

static void count_pool(const struct pool *p, struct gossip_counts *c)
{
    const struct serf *s = pool_serf(p);
    const struct broadcast_queue_counters *queues[] = { serf_intent_queue_counters(s),
        serf_event_queue_counters(s), serf_query_queue_counters(s) };
    *c = (struct gossip_counts){
        .swim = *swim_counters(serf_swim(s)), .serf = *serf_counters(s), .pool = pool_counters(p)
    };
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++) {
        c->sent.transmits += queues[i]->transmits;
        c->sent.transmit_bytes += queues[i]->transmit_bytes;
    }
}

static void fill_pools(struct run_metrics *t, const struct pool *lan, const struct pool *wan)
{
    const struct pool *both[] = { lan, wan };
    struct gossip_counts counts[2] = { 0 };
    for (size_t i = 0; i < 2; i++) {
        struct serf_stats st;
        if (!both[i]) continue;
        count_pool(both[i], &counts[i]);
        serf_get_stats(pool_serf(both[i]), &st);
        metric_sample(t->queue_event, (double)st.event_queue);
        metric_sample(t->queue_intent, (double)st.intent_queue);
        metric_sample(t->queue_query, (double)st.query_queue);
        if (i == 0) metric_set(t->score, (double)st.health_score);
    }
    for (size_t i = 0; i < sizeof pool_totals / sizeof pool_totals[0]; i++) {
        const struct pool_total *row = &pool_totals[i];
        uint64_t n = at(&counts[0], row->n) + at(&counts[1], row->n);
        uint64_t sum = at(&counts[0], row->sum) + at(&counts[1], row->sum);
        struct metric *m = metrics_labelled(t->run->metrics, row->kind, row->name, NULL, 0);
        if (row->scale)
            metric_total_sum(m, n, (double)sum * row->scale);
        else
            metric_total(m, n);
    }
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

/* What only a runtime with a garbage collector has, or counts. */
static const char *const absent[] = { "runtime.free_count", "runtime.heap_objects",
    "runtime.malloc_count", "runtime.total_gc_pause_ns", "runtime.total_gc_runs" };

/* What runs at once: here threads. */
static double threads(void)
{
    char text[1024];
    FILE *f = fopen("/proc/self/stat", "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = '\0';
    const char *rest = strrchr(text, ')'); /* behind the name of the program */
    long threads = 0;
    if (!rest || sscanf(rest + 1,
                     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d"
                     " %*d %ld",
                     &threads) != 1)
        return 0;
    return (double)threads;
}

static void fill_process(struct run_metrics *t)
{
    struct mallinfo2 heap = mallinfo2();
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lu %lu", &pages, &resident) != 2) resident = 0;
    if (f) fclose(f);
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        metric_set(metrics_gauge(t->run->metrics, absent[i]), 0);
    metric_set(t->threads, threads());
    metric_set(t->alloc_bytes, (double)(heap.uordblks + heap.hblkhd));
    metric_set(t->sys_bytes, (double)resident * (double)sysconf(_SC_PAGESIZE));
}

static void fill(struct metrics_source *s)
{
    struct run_metrics *t = container_of(s, struct run_metrics, source);
    struct run *r = t->run;
    fill_process(t);
    if (r->lan) fill_pools(t, r->lan, r->wan);
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
    t->threads = metrics_gauge(m, "runtime.num_goroutines");
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
