/* SPDX-License-Identifier: Apache-2.0 */
/* sim_fed [--seeds N] [--seed S] [scenario ...]: all scenarios, each with N seeds. */
#include "sim.h"

static const char *running;
static uint64_t seed;

void sim_fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: %s does not hold at %llu ms: sim_fed --seed %llu %s\n", file, line,
        what, (unsigned long long)sim.now, (unsigned long long)seed, running);
    exit(1);
}

static bool wanted(int argc, char **argv, int from, const char *name)
{
    for (int i = from; i < argc; i++)
        if (strcmp(argv[i], name) == 0) return true;
    return from == argc;
}

int main(int argc, char **argv)
{
    uint64_t first = 1, seeds = 1;
    int at = 1;
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        uint64_t n = strtoull(argv[at + 1], NULL, 10);
        if (strcmp(argv[at], "--seeds") == 0)
            seeds = n;
        else
            first = n;
    }
    for (size_t i = 0; i < scenarios_n; i++) {
        running = scenarios[i].name;
        if (!wanted(argc, argv, at, running)) continue;
        for (seed = first; seed < first + seeds; seed++) {
            sim_begin(seed);
            scenarios[i].run();
            sim_end();
        }
        printf("ok %s, %llu seeds\n", running, (unsigned long long)seeds);
    }
    return 0;
}
