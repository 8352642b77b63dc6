/* SPDX-License-Identifier: Apache-2.0 */
/* Crashes, cuts, stalls, snapshots. Each seed has its own weather, so that some runs are calm in
 * one respect and rough in another. */
#include <string.h>

#include "sim.h"

static uint32_t sometimes(struct sim *s, uint32_t most)
{
    return prng_chance(&s->prng, 1, 3) ? 0 : (uint32_t)prng_below(&s->prng, most + 1);
}

struct weather weather_of(struct sim *s)
{
    return (struct weather){
        .loss = sometimes(s, 1500),
        .duplicate = sometimes(s, 1000),
        .delay_ms = 1 + prng_below(&s->prng, prng_chance(&s->prng, 1, 4) ? 150 : 15),
        .disk_ms = prng_below(&s->prng, prng_chance(&s->prng, 1, 4) ? 120 : 10),
        .apply_ms = prng_below(&s->prng, 50),
        .disk_error = prng_chance(&s->prng, 1, 3) ? (uint32_t)prng_below(&s->prng, 100) : 0,
        .fault_ms = 200 + prng_below(&s->prng, 2500),
        .client_ms = 10 + prng_below(&s->prng, 60),
        .append_entries = prng_chance(&s->prng, 1, 2) ? 64 : 1 + (uint32_t)prng_below(&s->prng, 4),
        .crash = sometimes(s, 40),
        .cut = sometimes(s, 40),
        .pause = sometimes(s, 20),
        .member = sometimes(s, 30),
        .snapshot = sometimes(s, 40),
        .transfer = sometimes(s, 10),
    };
}

static int some_node(struct sim *s)
{
    return (int)prng_below(&s->prng, (uint64_t)s->nodes_n);
}

static void cut(struct sim *s)
{
    memset(s->cut, 0, sizeof s->cut);
    int a = some_node(s), b = some_node(s);
    uint64_t kind = prng_below(&s->prng, 4);
    uint64_t side = prng_next(&s->prng);
    for (int i = 0; i < s->nodes_n; i++) {
        for (int k = 0; k < s->nodes_n; k++) {
            if (i == k) continue;
            bool split = (side >> i & 1) != (side >> k & 1);
            s->cut[i][k] = kind == 0   ? i == a && k == b /* one way */
                           : kind == 1 ? i == a           /* says nothing */
                           : kind == 2 ? i == a || k == a /* alone */
                                       : split;
        }
    }
    sim_trace(s, -1, "cut %llu around %d", (unsigned long long)kind, a);
    s->fault_generation++;
    sim_at(s, 100 + prng_below(&s->prng, 6000), EVENT_HEAL, -1, s->fault_generation, NULL);
}

void fault_heal(struct sim *s, uint64_t generation)
{
    if (generation != s->fault_generation) return;
    memset(s->cut, 0, sizeof s->cut);
    sim_trace(s, -1, "heal");
}

/* Some see at once that the server that led them is gone; a few believe it of one that is not. */
static void tell_gone(struct sim *s, int gone)
{
    struct raft_event ev = { .type = RAFT_LEADER_GONE,
        .leader_gone = str_of(s->nodes[gone].address) };
    for (int i = 0; i < s->nodes_n; i++) {
        const struct node *n = &s->nodes[i];
        if (i == gone || !n->alive || n->paused_until > s->now) continue;
        if (prng_chance(&s->prng, 1, 2)) node_step(s, i, &ev);
    }
}

static void crash(struct sim *s)
{
    int k = some_node(s);
    bool all = prng_chance(&s->prng, 1, 20);
    for (int i = 0; i < s->nodes_n; i++) {
        if ((!all && i != k) || !s->nodes[i].alive) continue;
        node_crash(s, i);
        tell_gone(s, i);
        sim_at(s, prng_below(&s->prng, prng_chance(&s->prng, 1, 4) ? 10000 : 1500), EVENT_RESTART,
            i, 0, NULL);
    }
}

void fault_act(struct sim *s)
{
    const struct weather *w = &s->weather;
    uint64_t total = (uint64_t)w->crash + w->cut + w->pause + w->snapshot;
    if (!total) return;
    uint64_t dice = prng_below(&s->prng, total);
    int k = some_node(s);
    if (dice < w->crash && prng_chance(&s->prng, 1, 8)) {
        tell_gone(s, k);
    } else if (dice < w->crash) {
        crash(s);
    } else if (dice < w->crash + w->cut) {
        cut(s);
    } else if (dice < w->crash + w->cut + w->pause) {
        s->nodes[k].paused_until = s->now + prng_below(&s->prng, 3000);
        sim_trace(s, k, "pause");
    } else if (s->nodes[k].alive) {
        node_snapshot(s, k, prng_below(&s->prng, 40));
    }
}

void fault_end(struct sim *s)
{
    s->calm = true;
    s->fault_generation++;
    memset(s->cut, 0, sizeof s->cut);
    s->weather = (struct weather){ .delay_ms = 5, .disk_ms = 5, .apply_ms = 5, .client_ms = 2000 };
    for (int i = 0; i < s->nodes_n; i++) {
        s->nodes[i].paused_until = 0;
        if (!s->nodes[i].alive) node_start(s, i);
    }
    sim_trace(s, -1, "calm");
}
