/* SPDX-License-Identifier: Apache-2.0 */
/* sim_serf [--nodes N] [--seed S] [--loss PERMILLE] SCENARIO...
 * Scenarios: event leave losses prune query refute, or `all`. Each prints what it measured beside
 * what is allowed; the seed repeats it. */
#include <math.h>

#include "sim.h"

#define INTENT 35 /* bytes of a leave intent */
#define DEATH 50  /* bytes of a death that is announced */

struct plan {
    uint32_t nodes;
    uint64_t seed;
    uint32_t loss;
};

static bool ok_all = true;

static void report(const char *what, double took, double allowed)
{
    bool ok = took <= allowed;
    ok_all = ok_all && ok;
    printf("  %-46s %9.2f, allowed %9.2f%s\n", what, took, allowed, ok ? "" : "  FAILED");
}

static double since(const struct sim *s, uint64_t start)
{
    return (double)(s->now - start) / SECOND;
}

/* Seconds of gossip until all of n have `news` messages of `size` bytes: the spread of one, and
 * collecting many like coupons when a round does not hold them. Twice that is allowed. */
static double spread(const struct sim *s, size_t news, size_t size)
{
    struct serf_options o = serf_options_lan();
    double n = s->n, fanout = o.swim.gossip_nodes;
    double per_round = floor(1398.0 / ((double)size + 3)) * fanout;
    double rounds = ceil(log(n) / log(fanout + 1)) + ceil(log(n) / fanout);
    if ((double)news > per_round) rounds += ceil((double)news * log((double)news) / per_round);
    return rounds * o.swim.gossip_interval_ms / 1000;
}

/* Seconds until a node has sent `news` messages of `size` bytes as often as the pool asks. */
static double transmission(const struct sim *s, size_t news, size_t size)
{
    struct serf_options o = serf_options_lan();
    double limit = broadcast_limit(o.swim.retransmit_mult, s->n);
    double per_packet = floor(1398.0 / ((double)size + 3));
    double packets = ceil(limit * fmax(1, (double)news / per_packet));
    return ceil(packets / o.swim.gossip_nodes) * o.swim.gossip_interval_ms / 1000;
}

/* --- a settled pool ------------------------------------------------------------------------ */

static bool agreed(const struct sim *s, void *ctx)
{
    (void)ctx;
    for (uint32_t i = 0; i < s->n; i++) {
        struct serf_stats stats;
        if (!s->node[i].running) continue;
        serf_get_stats(s->node[i].serf, &stats);
        if (stats.members != s->n || stats.failed) return false;
    }
    return true;
}

static struct sim *settled(const struct plan *p)
{
    struct sim *s = sim_create(p->seed, p->nodes, p->loss);
    for (uint32_t i = 0; i < s->n; i++)
        node_start(s, i);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 1; i < s->n; i++) {
            node_join(s, i, 0);
            (void)sim_run(s, s->now + 2 * MS, NULL, NULL);
        }
    uint64_t start = s->now;
    bool ok = sim_run(s, s->now + 600 * (uint64_t)SECOND, agreed, NULL);
    report("seconds until all know all", ok ? since(s, start) : 1e9, 120);
    /* Until the queues are empty. */
    (void)sim_run(s, s->now + 120 * (uint64_t)SECOND, NULL, NULL);
    return s;
}

/* --- scenarios ----------------------------------------------------------------------------- */

static bool all_heard(const struct sim *s, void *ctx)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->node[i].running && s->node[i].events < *(size_t *)ctx) return false;
    return true;
}

static void event(const struct plan *p)
{
    struct sim *s = settled(p);
    struct serf_event ev = { .type = SERF_FIRE };
    size_t want = 1;
    uint64_t start = s->now;
    ev.fire.name = STR("deploy");
    ev.fire.payload = STR("v1");
    node_give(s, s->n / 2, &ev);
    bool ok = sim_run(s, s->now + 120 * (uint64_t)SECOND, all_heard, &want);
    report("seconds until all heard an event", ok ? since(s, start) : 1e9, 2 * spread(s, 1, 30));
    (void)sim_run(s, s->now + 60 * (uint64_t)SECOND, NULL, NULL);
    size_t twice = 0;
    for (uint32_t i = 0; i < s->n; i++)
        twice += s->node[i].events > 1;
    report("nodes that heard it twice", (double)twice, 0);
    sim_destroy(s);
}

static void query(const struct plan *p)
{
    struct sim *s = settled(p);
    struct serf_event ev = { .type = SERF_QUERY };
    ev.query.handle = 2;
    ev.query.name = STR("uptime");
    ev.query.ack = true;
    ev.query.relay_factor = 2;
    node_give(s, 0, &ev);
    (void)sim_run(s, s->now + 60 * (uint64_t)SECOND, NULL, NULL);
    size_t asked = 0;
    for (uint32_t i = 0; i < s->n; i++)
        asked += s->node[i].queries == 1;
    report("nodes not asked exactly once", (double)(s->n - asked), 0);
    report("nodes whose ack did not arrive", (double)(s->n - s->node[0].acks), 0);
    sim_destroy(s);
}

static bool all_see_left(const struct sim *s, void *ctx)
{
    uint32_t leavers = *(uint32_t *)ctx;
    for (uint32_t i = leavers; i < s->n; i++)
        for (uint32_t j = 0; j < leavers; j++)
            if (node_sees(s, i, j) != SERF_LEFT) return false;
    return true;
}

static bool all_have_left(const struct sim *s, void *ctx)
{
    uint32_t leavers = *(uint32_t *)ctx;
    for (uint32_t j = 0; j < leavers; j++)
        if (!s->node[j].left) return false;
    return true;
}

/* A fifth of the pool leaves within the same instant and goes away when told that it has left. */
static void leave(const struct plan *p)
{
    struct sim *s = settled(p);
    uint32_t leavers = s->n / 5;
    uint64_t start = s->now;
    for (uint32_t j = 0; j < leavers; j++) {
        struct serf_event ev = { .type = SERF_LEAVE };
        ev.leave.handle = 9;
        node_give(s, j, &ev);
    }
    double going = transmission(s, leavers, INTENT) + transmission(s, leavers, DEATH);
    double theory = fmax(going, spread(s, leavers, INTENT) + spread(s, leavers, DEATH));
    bool ok = sim_run(s, s->now + 60 * (uint64_t)SECOND, all_have_left, &leavers);
    report("seconds until all leavers may go", ok ? since(s, start) : 1e9, 2 * going);
    for (uint32_t j = 0; j < leavers; j++)
        node_kill(s, j);
    ok = sim_run(s, s->now + 120 * (uint64_t)SECOND, all_see_left, &leavers);
    report("seconds until all see them left", ok ? since(s, start) : 1e9, 2 * theory);
    size_t failures = 0, queued = 0;
    for (uint32_t i = leavers; i < s->n; i++) {
        failures += s->node[i].failures_told;
        size_t high = serf_intent_queue_counters(s->node[i].serf)->entries_high;
        queued = high > queued ? high : queued;
    }
    report("failures told", (double)failures, 0);
    report("longest queue of intents", (double)queued, SERF_QUEUE_MAX);
    sim_destroy(s);
}

/* A member dies and is pruned while others sleep; they come back and exchange state with all. */
static void prune(const struct plan *p)
{
    struct sim *s = settled(p);
    uint32_t dead = s->n - 1, sleepers = s->n / 10;
    for (uint32_t i = 1; i <= sleepers; i++)
        s->node[i].stalled = true;
    node_kill(s, dead);
    (void)sim_run(s, s->now + 120 * (uint64_t)SECOND, NULL, NULL);
    struct serf_event ev = { .type = SERF_FORCE_LEAVE };
    ev.force_leave.name = str_of(s->node[dead].name);
    ev.force_leave.prune = true;
    node_give(s, 0, &ev);
    (void)sim_run(s, s->now + 20 * (uint64_t)SECOND, NULL, NULL);
    for (uint32_t i = 1; i <= sleepers; i++)
        node_resume(s, i);
    size_t came_back = 0;
    for (int minute = 0; minute < 10; minute++) {
        (void)sim_run(s, s->now + 60 * (uint64_t)SECOND, NULL, NULL);
        for (uint32_t i = sleepers + 1; i + 1 < s->n; i++)
            came_back += node_sees(s, i, dead) != SERF_NONE;
    }
    report("nodes to which a pruned member came back", (double)came_back, 0);
    node_start(s, dead);
    node_join(s, dead, 0);
    (void)sim_run(s, s->now + 60 * (uint64_t)SECOND, NULL, NULL);
    size_t missing = 0;
    for (uint32_t i = 0; i + 1 < s->n; i++)
        missing += node_sees(s, i, dead) != SERF_ALIVE;
    report("nodes that do not see it when it returns", (double)missing, 0);
    sim_destroy(s);
}

/* A living member is removed by mistake. */
static void refute(const struct plan *p)
{
    struct sim *s = settled(p);
    uint32_t victim = s->n / 2;
    struct serf_event ev = { .type = SERF_FORCE_LEAVE };
    ev.force_leave.name = str_of(s->node[victim].name);
    ev.force_leave.prune = true;
    node_give(s, 0, &ev);
    (void)sim_run(s, s->now + 60 * (uint64_t)SECOND, NULL, NULL);
    size_t wrong = 0;
    for (uint32_t i = 0; i < s->n; i++)
        wrong += node_sees(s, i, victim) != SERF_ALIVE;
    report("nodes that lost a living member", (double)wrong, 0);
    sim_destroy(s);
}

static size_t preserving(const struct sim *s, uint32_t from, uint32_t to)
{
    size_t n = 0;
    for (uint32_t i = from; i < to; i++)
        n += serf_preserving(s->node[i].serf);
    return n;
}

static bool none_preserves(const struct sim *s, void *ctx)
{
    (void)ctx;
    return preserving(s, 0, s->n) == 0;
}

/* A quarter of the pool cannot hear: an accident. Two fifths are a disaster, which all others
 * notice, and which is over when the lost are back. */
static void losses(const struct plan *p)
{
    struct sim *s = settled(p);
    uint32_t quarter = s->n - s->n / 4, more = s->n - s->n * 2 / 5;
    for (uint32_t i = quarter; i < s->n; i++)
        s->node[i].stalled = true;
    (void)sim_run(s, s->now + 120 * (uint64_t)SECOND, NULL, NULL);
    report("nodes that preserve after an accident", (double)preserving(s, 0, quarter), 0);
    for (uint32_t i = quarter; i < s->n; i++)
        node_resume(s, i);
    (void)sim_run(s, s->now + 120 * (uint64_t)SECOND, NULL, NULL);
    for (uint32_t i = more; i < s->n; i++)
        s->node[i].stalled = true;
    (void)sim_run(s, s->now + 120 * (uint64_t)SECOND, NULL, NULL);
    report("nodes that do not after a disaster", (double)(more - preserving(s, 0, more)), 0);
    uint64_t start = s->now;
    for (uint32_t i = more; i < s->n; i++)
        node_resume(s, i);
    bool ok = sim_run(s, s->now + 600 * (uint64_t)SECOND, none_preserves, NULL);
    report("seconds until all know that it is over", ok ? since(s, start) : 1e9, 120);
    sim_destroy(s);
}

static const struct {
    const char *name;
    void (*run)(const struct plan *p);
} scenarios[] = {
    { "event", event },
    { "leave", leave },
    { "losses", losses },
    { "prune", prune },
    { "query", query },
    { "refute", refute },
};

int main(int argc, char **argv)
{
    struct plan p = { .nodes = 100, .seed = 1 };
    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "--nodes") == 0) {
            p.nodes = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            p.seed = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--loss") == 0) {
            p.loss = (uint32_t)strtoul(argv[++i], NULL, 10);
        }
    }
    for (size_t k = 0; k < sizeof scenarios / sizeof scenarios[0]; k++) {
        bool wanted = false;
        for (int i = 1; i < argc; i++)
            wanted = wanted || !strcmp(argv[i], scenarios[k].name) || !strcmp(argv[i], "all");
        if (!wanted) continue;
        printf("%s: %u nodes, %u in 1000 packets lost, seed %llu\n", scenarios[k].name, p.nodes,
            p.loss, (unsigned long long)p.seed);
        fflush(stdout);
        scenarios[k].run(&p);
    }
    return ok_all ? 0 : 1;
}
