/* SPDX-License-Identifier: Apache-2.0 */
/* sim_server [--seeds N] [--seed S] [--nodes 3|5] [--trace] [--log] [--wrong sync|stale]
 *            [--break FLAG] [--scenarios]
 * Runs seeds S .. S+N-1 with 3 and 5 nodes (or as given). A failing run prints its seed, which
 * replays it. With --wrong, or --break (the build with faults in the core only), it is a success
 * when some history is not linearizable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../src/raft/broken.h"
#include "consuld/model.h"
#include "sim.h"

static void add(struct sim_counts *t, const struct sim_counts *c)
{
    const uint64_t *from = (const uint64_t *)(const void *)c;
    for (size_t i = 0; i < sizeof *c / sizeof *from; i++)
        ((uint64_t *)(void *)t)[i] += from[i];
}

static bool run_one(const struct sim_options *o, struct sim_counts *t, bool quiet)
{
    struct sim *s = sim_run(o);
    bool ok = !s->failed;
    add(t, &s->counts);
    if (!ok && !quiet)
        printf("%s --nodes %d --seeds 1 --seed %llu: %s\n", o->wrong ? "caught" : "FAILED",
            o->nodes, (unsigned long long)o->seed, s->failure);
    fflush(stdout);
    sim_free(s);
    return ok;
}

static void print(uint64_t n, const struct sim_counts *t)
{
    typedef unsigned long long ull;
    printf("%llu seeds passed: %llu events, %llu leaders, %llu crashes (%llu in a commit), %llu "
           "cuts, %llu pauses, %llu leaves, %llu snapshots, %llu installed, %llu calls: %llu "
           "confirmed, %llu in doubt\n",
        (ull)n, (ull)t->events, (ull)t->leaders, (ull)t->crashes, (ull)t->tears, (ull)t->cuts,
        (ull)t->pauses, (ull)t->leaves, (ull)t->snapshots, (ull)t->installs, (ull)t->calls,
        (ull)t->acked, (ull)t->unknown);
}

static enum wrong wrong_of(const char *name)
{
    if (!strcmp(name, "sync")) return WRONG_SYNC;
    if (!strcmp(name, "stale")) return WRONG_STALE;
    fprintf(stderr, "unknown fault %s\n", name);
    exit(2);
}

#ifdef RAFT_BROKEN
unsigned raft_broken;

static enum wrong break_core(const char *flag)
{
    static const char *const flags[] = {
#define FLAG_TEXT(name, text) text,
        RAFT_BROKEN_LIST(FLAG_TEXT)
    };
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (!strcmp(flags[i], flag)) raft_broken = 1u << i;
    ensure(raft_broken);
    return WRONG_CORE;
}
#else
static enum wrong break_core(const char *flag)
{
    (void)flag;
    fputs("this build has a sound core\n", stderr);
    exit(2);
}
#endif

int main(int argc, char **argv)
{
    uint64_t first = 1, n = 10;
    int nodes = 0;
    bool log = false, scenarios = false;
    struct sim_options o = { 0 };
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--trace")) o.trace = true;
        if (!strcmp(argv[i], "--log")) log = true;
        if (!strcmp(argv[i], "--scenarios")) scenarios = true;
        if (!strcmp(argv[i], "--seeds")) n = strtoull(value, NULL, 10);
        if (!strcmp(argv[i], "--seed")) first = strtoull(value, NULL, 10);
        if (!strcmp(argv[i], "--nodes")) nodes = (int)strtol(value, NULL, 10);
        if (!strcmp(argv[i], "--wrong")) o.wrong = wrong_of(value);
        if (!strcmp(argv[i], "--break")) o.wrong = break_core(value);
    }
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 0);
    model_init();
    log_setup(&(struct log_options){ .level = log ? LOG_DEBUG : (enum log_level)(LOG_ERROR + 1) });
    if (scenarios) return scenarios_run(o.trace);
    struct sim_counts t = { 0 };
    for (o.seed = first; o.seed < first + n; o.seed++) {
        for (o.nodes = nodes ? nodes : 3; o.nodes <= (nodes ? nodes : 5); o.nodes += 2)
            if (!run_one(&o, &t, false)) return o.wrong ? 0 : 1;
    }
    if (o.wrong) printf("NOT CAUGHT\n");
    print(n, &t);
    return o.wrong ? 1 : 0;
}
