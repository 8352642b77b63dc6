/* SPDX-License-Identifier: Apache-2.0 */
/* How long a cluster of three at multiplier 1 takes no write after its leader is lost: the leader
 * is killed, stalled or cut off at a random moment, and a write is tried every 10 ms. */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

#define RUNS_MAX 4096

enum loss { LOSS_KILL, LOSS_STALL, LOSS_CUT };

static int leader_of(const struct sim *s)
{
    for (int i = 0; i < s->nodes_n; i++) {
        const struct node *n = &s->nodes[i];
        if (n->alive && n->paused_until <= s->now && n->role_seen == RAFT_LEADER) return i;
    }
    return -1;
}

static void lose(struct sim *s, int node, enum loss loss)
{
    if (loss == LOSS_KILL) node_crash(s, node);
    if (loss == LOSS_STALL) s->nodes[node].paused_until = s->now + 60000;
    for (int i = 0; loss == LOSS_CUT && i < s->nodes_n; i++)
        s->cut[node][i] = s->cut[i][node] = true;
}

static uint64_t outage(uint64_t seed, enum loss loss)
{
    struct sim *s = sim_open(&(struct sim_options){ .seed = seed, .nodes = 3 });
    sim_until(s, 8000 + prng_below(&s->prng, 1000));
    int lost = leader_of(s);
    ensure(lost >= 0);
    lose(s, lost, loss);
    uint64_t start = s->now, acks = s->acks;
    while (s->acks == acks && s->now < start + 60000) {
        int node = leader_of(s);
        if (node >= 0 && node != lost) client_propose(s, node, 1);
        sim_until(s, s->now + 10);
    }
    uint64_t took = s->now - start;
    sim_free(s);
    return took;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void failover_report(uint64_t first, uint64_t n)
{
    static const char *const names[] = { "killed", "stalled", "cut off" };
    static uint64_t took[RUNS_MAX];
    if (n > RUNS_MAX) n = RUNS_MAX;
    for (enum loss loss = LOSS_KILL; loss <= LOSS_CUT && n; loss++) {
        for (uint64_t i = 0; i < n; i++)
            took[i] = outage(first + i, loss);
        qsort(took, (size_t)n, sizeof took[0], ascending);
        printf("leader %-8s no write for %llu ms (median), %llu ms (95%%), %llu ms (worst of "
               "%llu)\n",
            names[loss], (unsigned long long)took[n / 2], (unsigned long long)took[n * 95 / 100],
            (unsigned long long)took[n - 1], (unsigned long long)n);
    }
}
