/* SPDX-License-Identifier: Apache-2.0 */
/* The driver of one simulated node. */
#include <string.h>

#include "sim.h"

uint64_t entry_hash(const struct raft_entry *e)
{
    uint64_t h = 1469598103934665603ull ^ e->type;
    for (size_t i = 0; i < e->data.n; i++)
        h = (h ^ (uint8_t)e->data.p[i]) * 1099511628211ull;
    return h;
}

uint64_t chain_next(uint64_t chain, uint64_t term, uint64_t hash)
{
    uint64_t h = (chain ^ term) * 0x9E3779B97F4A7C15ull;
    return (h ^ (h >> 29) ^ hash) * 0xBF58476D1CE4E5B9ull;
}

static void load(struct sim *s, int node)
{
    struct node *n = &s->nodes[node];
    struct disk *d = &n->disk;
    raft_load_hard_state(n->raft, d->term, d->vote_term, str_of(d->vote));
    if (d->snapshot.index)
        raft_load_snapshot(n->raft, d->snapshot.index, d->snapshot.term, &d->snapshot.configuration,
            d->snapshot.configuration_index);
    struct error err = { 0 };
    for (size_t i = 0; i < d->log_n; i++)
        if (raft_load_entry(n->raft, &d->log[i], &err))
            sim_fail(s, "node %d cannot load its log: %s", node, err.text);
    /* A killed process leaves its state machine; a dead machine does not. */
    if (n->applied < d->snapshot.index || prng_chance(&s->prng, 1, 2)) {
        n->applied = d->snapshot.index;
        n->chain = d->snapshot.chain;
    }
    raft_load_applied(n->raft, n->applied);
}

void node_start(struct sim *s, int node)
{
    struct node *n = &s->nodes[node];
    ensure(!n->alive);
    struct raft_options o = raft_options_default(1);
    o.id = n->id;
    o.address = n->address;
    o.seed = prng_next(&s->prng);
    o.rpc_timeout_ms = 3000;
    o.append_entries = s->weather.append_entries;
    o.window_entries = (uint32_t)prng_below(&s->prng, 64);
    n->raft = raft_create(&o);
    n->life++;
    n->alive = true;
    n->wake = RAFT_NEVER;
    n->apply_queued = n->installing = false;
    load(s, node);
    n->apply_to = n->applied;
    sim_trace(s, node, "start term %llu log %zu snapshot %llu applied %llu",
        (unsigned long long)n->disk.term, n->disk.log_n, (unsigned long long)n->disk.snapshot.index,
        (unsigned long long)n->applied);
    invariant_restarted(s, node);
    node_step(s, node, &(struct raft_event){ .type = RAFT_TICK });
}

void node_crash(struct sim *s, int node)
{
    struct node *n = &s->nodes[node];
    if (!n->alive) return;
    sim_trace(s, node, "crash");
    s->crashes++;
    disk_crash(s, node);
    if (n->installing && prng_chance(&s->prng, 1, 2)) n->disk.snapshot = n->incoming;
    raft_destroy(n->raft);
    n->raft = NULL;
    n->alive = false;
    n->life++;
}

static void schedule_wake(struct sim *s, int node, uint64_t at)
{
    struct node *n = &s->nodes[node];
    if (at == n->wake) return;
    n->wake = at;
    n->wake_generation++;
    if (at == RAFT_NEVER) return;
    uint64_t now = s->now + n->skew_ms;
    sim_at(s, at > now ? at - now : 0, EVENT_WAKE, node, n->wake_generation, NULL);
}

void node_wake(struct sim *s, int node, uint64_t generation)
{
    struct node *n = &s->nodes[node];
    if (generation != n->wake_generation) return;
    n->wake = RAFT_NEVER;
    node_step(s, node, &(struct raft_event){ .type = RAFT_TICK });
}

static void queue_apply(struct sim *s, int node)
{
    struct node *n = &s->nodes[node];
    if (n->apply_queued || n->installing || n->applied >= n->apply_to) return;
    n->apply_queued = true;
    sim_at(s, prng_below(&s->prng, s->weather.apply_ms + 1), EVENT_APPLY, node, 0, NULL);
}

static void begin_install(struct sim *s, int node, const struct raft_install *in)
{
    struct node *n = &s->nodes[node];
    if (n->incoming.index != in->index || n->incoming.term != in->term)
        sim_fail(s, "node %d is to install a snapshot it did not receive", node);
    n->installing = true;
    n->incoming.configuration = *in->configuration;
    n->incoming.configuration_index = in->configuration_index;
    n->install_generation++;
    sim_at(s, prng_below(&s->prng, 300), EVENT_INSTALLED, node, n->install_generation, NULL);
}

void node_step(struct sim *s, int node, const struct raft_event *ev)
{
    struct node *n = &s->nodes[node];
    struct raft_output out;
    int code = raft_step(n->raft, s->now + n->skew_ms, ev, &out);
    s->steps++;
    if (code) sim_fail(s, "node %d: event %d gave %d", node, ev->type, code);
    disk_submit(s, node, &out);
    invariant_step(s, node, &out);
    for (size_t i = 0; i < out.messages_n; i++)
        network_send(s, node, &out.messages[i]);
    for (size_t i = 0; i < out.results_n; i++)
        client_result(s, &out.results[i]);
    if (out.install.present) begin_install(s, node, &out.install);
    if (out.apply_to < n->apply_to)
        sim_fail(s, "node %d: apply_to fell from %llu to %llu", node,
            (unsigned long long)n->apply_to, (unsigned long long)out.apply_to);
    n->apply_to = out.apply_to;
    queue_apply(s, node);
    schedule_wake(s, node, out.wake_ms);
}

void node_apply(struct sim *s, int node)
{
    struct node *n = &s->nodes[node];
    n->apply_queued = false;
    if (n->installing) return;
    while (n->applied < n->apply_to && !s->failed) {
        uint64_t index = n->applied + 1;
        const struct raft_entry *e = raft_entry_at(n->raft, index);
        if (!e) e = disk_entry(&n->disk, index);
        if (!e) {
            sim_fail(s, "node %d cannot read entry %llu to apply", node, (unsigned long long)index);
            return;
        }
        n->chain = chain_next(n->chain, e->term, entry_hash(e));
        n->applied = index;
        invariant_applied(s, node, e);
        if (e->handle) client_applied(s, node, e->handle, index);
    }
    node_step(s, node, &(struct raft_event){ .type = RAFT_APPLIED, .index = n->applied });
}

void node_installed(struct sim *s, int node, uint64_t generation)
{
    struct node *n = &s->nodes[node];
    if (generation != n->install_generation || !n->installing) return;
    bool failed = !s->calm && prng_chance(&s->prng, 1, 20);
    n->installing = false;
    if (!failed) {
        s->installs++;
        n->disk.snapshot = n->incoming;
        n->applied = n->incoming.index;
        n->chain = n->incoming.chain;
        if (n->apply_to < n->applied) n->apply_to = n->applied;
        struct raft_entry at = { .index = n->applied, .term = n->incoming.term };
        invariant_applied(s, node, &at);
    }
    struct raft_event ev = { .type = RAFT_SNAPSHOT_INSTALLED };
    ev.snapshot_installed.failed = failed;
    node_step(s, node, &ev);
}

void node_snapshot(struct sim *s, int node, uint64_t trailing)
{
    struct node *n = &s->nodes[node];
    struct raft_state st;
    raft_get_state(n->raft, &st);
    if (n->installing || n->applied <= st.snapshot_index || st.committed_index > st.applied_index ||
        st.applied_index != n->applied)
        return;
    n->disk.snapshot = (struct snapshot){ .index = n->applied,
        .term = raft_term_at(n->raft, n->applied),
        .configuration = *st.committed,
        .configuration_index = st.committed_index,
        .chain = n->chain };
    sim_trace(s, node, "snapshot %llu", (unsigned long long)n->applied);
    struct raft_event ev = { .type = RAFT_SNAPSHOT_TAKEN,
        .snapshot_taken = { n->applied, n->disk.snapshot.term, trailing } };
    node_step(s, node, &ev);
}
