/* SPDX-License-Identifier: Apache-2.0 */
/* sim_swim [--nodes N] [--seed S] [--minutes M] [--trace] SCENARIO...
 * Each scenario prints what it measured beside what theory allows; a failing one says how to run it
 * again. Scenarios: join leave kill quiet stall storm lossy partition, or `all`. */
#include <malloc.h>
#include <math.h>
#include <time.h>

#include "sim.h"

#define BIG 2000
#define ALIVE_SIZE 310 /* of an alive message with the tags of a server */

struct plan {
    size_t nodes;
    uint64_t seed;
    uint64_t minutes;
    bool trace;
};

static bool report(const struct sim *s, const char *what, double took, double allowed)
{
    bool ok = took <= allowed;
    printf("  %-42s %8.2f s, allowed %8.2f s%s\n", what, took, allowed, ok ? "" : "  FAILED");
    (void)s;
    return ok;
}

static bool expect_none(const char *what, uint64_t count)
{
    printf("  %-42s %8llu%s\n", what, (unsigned long long)count, count ? "  FAILED" : "");
    return count == 0;
}

/* --- theory ------------------------------------------------------------------------------------
 */

/* Rounds in which push gossip with this fan-out reaches all of n: the spread, then the stragglers.
 */
static double rounds(size_t n, uint32_t fanout)
{
    double d = (double)n;
    return ceil(log(d) / log(fanout + 1.0)) + ceil(log(d) / fanout);
}

/* Seconds of gossip for `news` messages of `size` bytes to reach all of n. More news than one round
 * of packets holds is drawn like coupons: each node gets its share per round, at random. */
static double spread(const struct sim *s, size_t n, size_t news, size_t size)
{
    const struct swim_options *o = &s->o.swim;
    double per_round = floor((PACKET_BUDGET - 2.0) / ((double)size + 2)) * o->gossip_nodes;
    double load = (double)news > per_round ? ceil((double)news * log((double)news) / per_round) : 0;
    return (rounds(n, o->gossip_nodes) + load) * o->gossip_interval_ms / 1000;
}

/* Seconds until a dead member is declared so: first probe, its end, the shortest suspicion (enough
 * accusers come by themselves), gossip. */
static double detection(const struct sim *s, size_t n)
{
    const struct swim_options *o = &s->o.swim;
    double period = o->probe_interval_ms / 1000.0;
    double first = 1.58 * period;
    double suspicion =
        (double)swim_suspicion_timeout_ms(o->suspicion_mult, n, o->probe_interval_ms) / 1000;
    return first + period + suspicion + spread(s, n, 1, 60);
}

/* --- pools -------------------------------------------------------------------------------------
 */

static struct sim *make(const struct plan *p, uint32_t loss)
{
    struct sim_options o = { .seed = p->seed,
        .nodes = p->nodes,
        .loss = loss,
        .delay_min = 200,
        .delay_max = 5000,
        .meta_size = 230,
        .swim = swim_options_lan() };
    o.swim.compression = false;
    o.swim.dead_node_reclaim_ms = 30000;
    if (p->nodes > BIG) { /* of the square of nodes, memory and time are short */
        o.meta_size = 0;
        o.swim.queue_max = p->nodes / 5 + 64; /* those who leave at once */
    }
    struct sim *s = sim_create(&o);
    s->trace = p->trace;
    for (uint32_t i = 0; i < o.nodes; i++)
        node_start(s, i);
    return s;
}

/* Everybody joins some node that was there before, all within a second. */
static bool join_all(struct sim *s)
{
    uint64_t step = SECOND / s->o.nodes;
    for (uint32_t i = 1; i < s->o.nodes; i++) {
        sim_run(s, s->now + step, NULL);
        node_join(s, i, (uint32_t)prng_below(&s->prng, i));
    }
    return sim_run(s, s->now + 300 * (uint64_t)SECOND, sim_agrees);
}

static double since(const struct sim *s, uint64_t start)
{
    return (double)(s->now - start) / SECOND;
}

static bool quiet_and_agreed(struct sim *s)
{
    for (uint32_t i = 0; i < s->o.nodes; i++)
        if (swim_queue_length(s->nodes[i].swim) > 0) return false;
    return sim_agrees(s);
}

/* A pool in the state asked for. Everybody asks the first node twice: the second time it
 * knows them all. */
static struct sim *populated(const struct plan *p, uint32_t loss, sim_condition until, bool *ok)
{
    struct sim *s = make(p, loss);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 1; i < s->o.nodes; i++) {
            node_join(s, i, 0);
            sim_run(s, s->now + SECOND / 500, NULL);
        }
    }
    *ok = sim_run(s, s->now + 900 * (uint64_t)SECOND, until);
    s->false_departures = 0;
    map_deinit(&s->false_deaths);
    s->false_deaths = (struct map)MAP_INIT;
    for (uint32_t i = 0; i < s->o.nodes; i++)
        s->nodes[i].results = 0;
    return s;
}

static struct sim *settled(const struct plan *p, uint32_t loss, bool *ok)
{
    return populated(p, loss, quiet_and_agreed, ok);
}

static uint64_t sum_suspicions(const struct sim *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->o.nodes; i++)
        n += swim_counters(s->nodes[i].swim)->suspicions;
    return n;
}

static size_t queue_high(const struct sim *s)
{
    size_t high = 0;
    for (size_t i = 0; i < s->o.nodes; i++) {
        size_t v = swim_queue_counters(s->nodes[i].swim)->entries_high;
        if (v > high) high = v;
    }
    return high;
}

/* Messages about a member replace each other: no queue outgrows the members by more than the own
 * refutations. */
static bool queues_bounded(const struct sim *s)
{
    size_t high = queue_high(s);
    bool ok = high <= s->o.nodes + 8;
    printf("  %-42s %8zu, allowed %8zu%s\n", "longest queue", high, s->o.nodes + 8,
        ok ? "" : "  FAILED");
    return ok;
}

/* --- scenarios ---------------------------------------------------------------------------------
 */

static bool scenario_join(const struct plan *p)
{
    struct sim *s = make(p, 0);
    uint64_t start = s->now;
    bool ok = join_all(s);
    double theory = 1 + spread(s, p->nodes, p->nodes, ALIVE_SIZE);
    ok = report(s, "everybody knows everybody", since(s, start), 2 * theory) && ok;
    ok = expect_none("false departures", s->false_departures) && ok;
    ok = queues_bounded(s) && ok;
    sim_destroy(s);
    return ok;
}

static bool all_done(struct sim *s)
{
    return sim_agrees(s);
}

static bool scenario_leave(const struct plan *p)
{
    bool ok;
    struct sim *s = settled(p, 0, &ok);
    uint64_t start = s->now;
    size_t leaving = p->nodes / 5;
    for (uint32_t i = 0; i < leaving; i++)
        node_leave(s, 5 * i);
    ok = sim_run(s, s->now + 120 * (uint64_t)SECOND, all_done) && ok;
    double theory = spread(s, p->nodes, leaving, 60);
    ok = report(s, "20 % leaving are seen by all", since(s, start), 2 * theory) && ok;
    sim_run(s, s->now + 60 * (uint64_t)SECOND, NULL);
    uint64_t unanswered = 0;
    for (uint32_t i = 0; i < leaving; i++)
        unanswered += s->nodes[5 * i].results != 1 || s->nodes[5 * i].last_result != 0;
    ok = expect_none("leavers whose leave was not transmitted", unanswered) && ok;
    uint64_t failed = 0;
    for (uint32_t i = 1; i < p->nodes; i += 5)
        for (size_t k = 0; k < swim_count(s->nodes[i].swim); k++)
            failed += swim_at(s->nodes[i].swim, k)->state == SWIM_DEAD;
    ok = expect_none("leavers seen as failed", failed) && ok;
    ok = expect_none("false departures", s->false_departures) && ok;
    ok = queues_bounded(s) && ok;
    sim_destroy(s);
    return ok;
}

static bool scenario_kill(const struct plan *p)
{
    bool ok;
    struct sim *s = settled(p, 0, &ok);
    uint64_t start = s->now;
    node_kill(s, (uint32_t)prng_below(&s->prng, p->nodes));
    ok = sim_run(s, s->now + 300 * (uint64_t)SECOND, sim_agrees) && ok;
    ok = report(s, "a killed node is dead for all", since(s, start), 2 * detection(s, p->nodes)) &&
         ok;
    ok = expect_none("false departures", s->false_departures) && ok;
    sim_destroy(s);
    return ok;
}

/* Heap per member known to a node, everything counted; not with a sanitizer's allocator. */
static void show_memory(const struct sim *s)
{
    size_t used = mallinfo2().uordblks, members = s->o.nodes * s->o.nodes;
    if (used > 0) printf("  %zu bytes of heap per known member\n", used / members);
}

static bool scenario_quiet(const struct plan *p)
{
    bool ok;
    struct sim *s = settled(p, 10, &ok);
    show_memory(s);
    clock_t began = clock();
    sim_run(s, s->now + p->minutes * 60 * SECOND, NULL);
    double cpu = (double)(clock() - began) / CLOCKS_PER_SEC;
    printf("  %.5f %% of a core per node, the simulator's own work included\n",
        100 * cpu / ((double)p->minutes * 60 * (double)p->nodes));
    printf("  %llu minutes with 1 %% loss: %llu steps, %llu packets, %llu suspicions\n",
        (unsigned long long)p->minutes, (unsigned long long)s->steps,
        (unsigned long long)s->packets, (unsigned long long)sum_suspicions(s));
    ok = expect_none("false departures", s->false_departures) && ok;
    ok = sim_agrees(s) && ok;
    sim_destroy(s);
    return ok;
}

/* Stalls of five seconds, each with a probe under way. */
static bool stalls(struct sim *s, const struct plan *p, int times)
{
    uint64_t accusations = 0;
    bool ok = true;
    s->o.delay_min = 100000;
    s->o.delay_max = 200000;
    for (int i = 0; i < times; i++) {
        uint32_t victim = (uint32_t)prng_below(&s->prng, p->nodes);
        const struct swim_counters *c = swim_counters(s->nodes[victim].swim);
        uint64_t before = c->probes_failed, lags = c->lags;
        sim_run(s, s->now + prng_below(&s->prng, SECOND), NULL);
        for (uint64_t probes = c->probes; c->probes == probes;)
            sim_run(s, s->now + SECOND / 100, NULL);
        node_stall(s, victim, 5 * (uint64_t)SECOND);
        sim_run(s, s->now + 8 * (uint64_t)SECOND, NULL);
        accusations += c->probes_failed - before;
        ok = c->lags > lags && ok;
    }
    ok = expect_none("accusations by stalled nodes", accusations) && ok;
    return expect_none("false departures", s->false_departures) && ok;
}

static bool scenario_stall(const struct plan *p)
{
    bool ok;
    struct sim *s = settled(p, 0, &ok);
    ok = stalls(s, p, 40) && ok;
    sim_destroy(s);
    return ok;
}

/* While every queue is still full of those who joined: members leave, members stall. */
static bool scenario_storm(const struct plan *p)
{
    bool ok;
    struct sim *s = populated(p, 0, sim_agrees, &ok);
    uint64_t start = s->now;
    size_t leaving = p->nodes / 20;
    printf("  broadcasts waiting at one node: %zu\n", swim_queue_length(s->nodes[1].swim));
    for (uint32_t i = 0; i < leaving; i++)
        node_leave(s, 20 * i);
    ok = sim_run(s, s->now + 120 * (uint64_t)SECOND, sim_agrees) && ok;
    double theory = spread(s, p->nodes, leaving, 60);
    ok = report(s, "5 % leaving are seen by all", since(s, start), 2 * theory) && ok;
    ok = stalls(s, p, 5) && ok;
    sim_destroy(s);
    return ok;
}

/* One node does not hear half of what it is sent. */
static bool scenario_lossy(const struct plan *p)
{
    bool ok;
    struct sim *s = settled(p, 0, &ok);
    s->nodes[3].loss_in = 500;
    sim_run(s, s->now + p->minutes * 60 * SECOND, NULL);
    struct str key;
    void *value;
    uint64_t others = 0, own = 0;
    for (size_t it = 0; map_next(&s->false_deaths, &it, &key, &value);) {
        bool itself = str_has_prefix(key, str_of(s->nodes[3].name));
        others += !itself;
        own += itself;
    }
    printf("  %llu minutes, one node loses 50 %%: itself declared dead %llu times\n",
        (unsigned long long)p->minutes, (unsigned long long)own);
    uint64_t allowed = (p->minutes + 59) / 60;
    printf("  %-42s %8llu, allowed %8llu%s\n", "flaps of others", (unsigned long long)others,
        (unsigned long long)allowed, others > allowed ? "  FAILED" : "");
    sim_destroy(s);
    return ok && others <= allowed;
}

static bool scenario_partition(const struct plan *p)
{
    bool ok;
    struct sim *s = settled(p, 0, &ok);
    s->expect_departures = true;
    for (size_t i = 0; i < p->nodes; i++)
        s->nodes[i].group = i % 2;
    sim_run(s, s->now + 300 * (uint64_t)SECOND, NULL);
    size_t half = swim_count_alive(s->nodes[0].swim);
    printf("  after 300 s apart a node of the first half sees %zu alive\n", half);
    ok = half == (p->nodes + 1) / 2 && ok;
    uint64_t start = s->now;
    for (size_t i = 0; i < p->nodes; i++)
        s->nodes[i].group = 0;
    /* The layer above tries failed members again: some of them each second. */
    bool healed = false;
    for (int second = 0; !healed && second < 300; second++) {
        for (int i = 0; i < 3; i++)
            node_join(s, (uint32_t)prng_below(&s->prng, p->nodes),
                (uint32_t)prng_below(&s->prng, p->nodes));
        healed = sim_run(s, s->now + SECOND, sim_agrees);
    }
    /* Each is told of its death by a push/pull, refutes, and that is news for all; whom the gossip
     * misses, the next push/pull finds. */
    const struct swim_options *o = &s->o.swim;
    double theory = spread(s, p->nodes, p->nodes, ALIVE_SIZE) +
                    (double)swim_push_pull_interval_ms(o->push_pull_interval_ms, p->nodes) / 1000;
    ok = report(s, "one pool again", since(s, start), 2 * theory) && healed && ok;
    sim_destroy(s);
    return ok;
}

static const struct {
    const char *name;
    bool (*run)(const struct plan *p);
} scenarios[] = {
    { "join", scenario_join },
    { "leave", scenario_leave },
    { "kill", scenario_kill },
    { "quiet", scenario_quiet },
    { "stall", scenario_stall },
    { "storm", scenario_storm },
    { "lossy", scenario_lossy },
    { "partition", scenario_partition },
};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

static int run_named(const struct plan *p, const char *name)
{
    int failed = 0;
    bool known = false;
    for (size_t i = 0; i < SCENARIOS; i++) {
        if (strcmp(name, "all") != 0 && strcmp(name, scenarios[i].name) != 0) continue;
        known = true;
        printf(
            "%s: %zu nodes, seed %llu\n", scenarios[i].name, p->nodes, (unsigned long long)p->seed);
        if (scenarios[i].run(p)) continue;
        printf("FAILED: sim_swim --nodes %zu --seed %llu --minutes %llu %s\n", p->nodes,
            (unsigned long long)p->seed, (unsigned long long)p->minutes, scenarios[i].name);
        failed++;
    }
    if (!known) printf("no scenario %s\n", name);
    return failed + !known;
}

int main(int argc, char **argv)
{
    struct plan p = { .nodes = 200, .seed = 1, .minutes = 10 };
    int failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0); /* the large pools take long */
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            p.trace = true;
        } else if (strcmp(argv[i], "--nodes") == 0 && i + 1 < argc) {
            p.nodes = strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            p.seed = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--minutes") == 0 && i + 1 < argc) {
            p.minutes = strtoull(argv[++i], NULL, 10);
        } else {
            failed += run_named(&p, argv[i]);
        }
    }
    return failed > 0;
}
