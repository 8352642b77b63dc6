/* SPDX-License-Identifier: Apache-2.0 */
/* sim_raft --seeds N [--seed S] [--nodes 1..6] [--trace] [--failover] [--break FLAG|all]
 * Runs seeds S .. S+N-1 with 3 and 5 nodes (or as given). A failing run prints its seed, which
 * replays it. With --break (the build with faults in the core only) a flag counts as caught when
 * some seed fails; the exit code says whether all were. --failover prints figures instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../src/raft/broken.h"
#include "sim.h"

struct totals {
    uint64_t steps, leaders, crashes, installs, changes, acks, reads, transfers;
};

static bool run_one(const struct sim_options *o, struct totals *t, char *failure, size_t n)
{
    struct sim *s = sim_run(o);
    bool ok = !s->failed;
    if (!ok) snprintf(failure, n, "%s", s->failure);
    t->steps += s->steps;
    t->leaders += s->leaders;
    t->crashes += s->crashes;
    t->installs += s->installs;
    t->changes += s->changes;
    t->acks += s->acks;
    t->reads += s->reads;
    t->transfers += s->transfers;
    sim_free(s);
    return ok;
}

static int run_seeds(uint64_t first, uint64_t n, int nodes, bool trace)
{
    struct totals t = { 0 };
    for (uint64_t seed = first; seed < first + n; seed++) {
        for (int k = nodes ? nodes : 3; k <= (nodes ? nodes : 5); k += 2) {
            struct sim_options o = { .seed = seed, .nodes = k, .trace = trace };
            char failure[512];
            if (run_one(&o, &t, failure, sizeof failure)) continue;
            printf("FAILED --nodes %d --seeds 1 --seed %llu: %s\n", k, (unsigned long long)seed,
                failure);
            return 1;
        }
    }
    printf("%llu seeds passed: %llu steps, %llu leaders, %llu crashes, %llu snapshots installed, "
           "%llu membership changes, %llu transfers, %llu writes and %llu reads confirmed\n",
        (unsigned long long)n, (unsigned long long)t.steps, (unsigned long long)t.leaders,
        (unsigned long long)t.crashes, (unsigned long long)t.installs,
        (unsigned long long)t.changes, (unsigned long long)t.transfers, (unsigned long long)t.acks,
        (unsigned long long)t.reads);
    return 0;
}

#ifdef RAFT_BROKEN
unsigned raft_broken;

static const char *const flags[] = {
#define FLAG_TEXT(name, text) text,
    RAFT_BROKEN_LIST(FLAG_TEXT)
};

/* Runs seeds until one fails. In a child: a broken core may also trip its own assertions. */
static bool caught(uint64_t first, uint64_t n)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct totals t = { 0 };
        char failure[512] = "";
        for (uint64_t i = 0; i < 2 * n && !failure[0]; i++) {
            struct sim_options o = { .seed = first + i / 2, .nodes = i % 2 ? 5 : 3 };
            if (run_one(&o, &t, failure, sizeof failure)) continue;
            printf("  seed %llu: %s\n", (unsigned long long)o.seed, failure);
        }
        fflush(stdout);
        _exit(failure[0] ? 3 : 0);
    }
    int status = 0;
    ensure(child > 0 && waitpid(child, &status, 0) == child);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static int run_broken(const char *which, uint64_t first, uint64_t n)
{
    int code = 0;
    bool found = false;
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(which, "all") && strcmp(which, flags[i])) continue;
        found = true;
        raft_broken = 1u << i;
        bool found_out = caught(first, n);
        printf("%s %s\n", flags[i], found_out ? "caught" : "NOT CAUGHT");
        if (!found_out) code = 1;
    }
    return found ? code : 2;
}
#else
static int run_broken(const char *which, uint64_t first, uint64_t n)
{
    (void)which, (void)first, (void)n;
    fputs("this build has a sound core\n", stderr);
    return 2;
}
#endif

int main(int argc, char **argv)
{
    uint64_t first = 1, n = 10;
    int nodes = 0;
    bool trace = false, failover = false;
    const char *broken = NULL;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--trace")) {
            trace = true;
            continue;
        }
        if (!strcmp(argv[i], "--failover")) {
            failover = true;
            continue;
        }
        if (!value) break;
        if (!strcmp(argv[i], "--seeds")) n = strtoull(value, NULL, 10);
        if (!strcmp(argv[i], "--seed")) first = strtoull(value, NULL, 10);
        if (!strcmp(argv[i], "--nodes")) nodes = (int)strtol(value, NULL, 10);
        if (!strcmp(argv[i], "--break")) broken = value;
        i++;
    }
    if (broken) return run_broken(broken, first, n);
    if (failover) return failover_report(first, n), 0;
    return run_seeds(first, n, nodes, trace);
}
