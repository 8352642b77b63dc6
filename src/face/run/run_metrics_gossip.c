/* SPDX-License-Identifier: Apache-2.0 */
/* What the pools refused and dropped, as metrics: malformed messages by kind, full tables and
 * queues. By peer it is shown with the agent's statistics, since peers come and go. */
#include <stdio.h>

#include "consuld/gossip/serf.h"
#include "run.h"

/* Of all pools together. */
struct gossip_sums {
    uint64_t faults[SWIM_FAULTS];
    uint64_t serf_malformed, answers_refused, events_dropped;
    uint64_t nodes, streams, relays, requests, unsent, buried;
    uint64_t news_dropped, serf_dropped;
    size_t news;
};

static void add_pool(struct gossip_sums *sum, const struct pool *p)
{
    const struct serf *s = pool_serf(p);
    const struct swim *swim = serf_swim(s);
    const struct swim_counters *c = swim_counters(swim);
    const struct serf_counters *sc = serf_counters(s);
    const struct pool_counters pc = pool_counters(p);
    const struct broadcast_queue_counters *queues[] = { serf_intent_queue_counters(s),
        serf_event_queue_counters(s), serf_query_queue_counters(s) };
    for (size_t i = 0; i < SWIM_FAULTS; i++)
        sum->faults[i] += c->faults[i];
    sum->serf_malformed += sc->malformed;
    sum->answers_refused += sc->late_answers + sc->strange_answers + sc->twice_answers;
    sum->events_dropped += sc->too_old + sc->slot_full + sc->intents_dropped;
    sum->nodes += c->nodes_refused;
    sum->streams += c->streams_refused + pc.streams_refused;
    sum->relays += c->relays_refused;
    sum->requests += pc.requests_refused;
    sum->unsent += c->unsent + pc.packets.lost;
    sum->buried += c->buried;
    sum->news += swim_queue_length(swim);
    sum->news_dropped += swim_queue_counters(swim)->dropped;
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++)
        sum->serf_dropped += queues[i]->dropped;
}

/* One that never happened is not shown. */
static void count(struct run *r, const char *name, uint64_t n)
{
    if (n) metric_total(metrics_counter(r->metrics, name), n);
}

static void fill(struct metrics_source *source)
{
    struct run *r = container_of(source, struct run, gossip_metrics);
    struct gossip_sums sum = { 0 };
    if (r->lan) add_pool(&sum, r->lan);
    if (r->wan) add_pool(&sum, r->wan);
    for (size_t i = 0; i < SWIM_FAULTS; i++) {
        char name[64];
        snprintf(name, sizeof name, "memberlist.fault.%s", swim_fault_name((enum swim_fault)i));
        count(r, name, sum.faults[i]);
    }
    count(r, "serf.fault", sum.serf_malformed);
    count(r, "serf.answer_refused", sum.answers_refused);
    count(r, "serf.msg_dropped", sum.events_dropped);
    count(r, "memberlist.node_refused", sum.nodes);
    count(r, "memberlist.tcp.refused", sum.streams);
    count(r, "memberlist.relay_refused", sum.relays);
    count(r, "memberlist.udp.unsent", sum.unsent);
    count(r, "memberlist.buried", sum.buried);
    count(r, "memberlist.queue.dropped", sum.news_dropped);
    count(r, "serf.queue.dropped", sum.serf_dropped);
    count(r, "serf.request_refused", sum.requests);
    metric_sample(metrics_samples(r->metrics, "memberlist.queue.broadcasts"), (double)sum.news);
    if (r->lan && r->config->self_preservation)
        metric_set(metrics_gauge(r->metrics, "serf.self_preservation"),
            serf_preserving(pool_serf(r->lan)));
}

void run_metrics_gossip(struct run *r)
{
    r->gossip_metrics.fill = fill;
    metrics_source_add(r->metrics, &r->gossip_metrics);
}

void run_metrics_gossip_end(struct run *r)
{
    metrics_source_remove(&r->gossip_metrics);
}
