/* SPDX-License-Identifier: Apache-2.0 */
/* Crashes, cuts, stalls, full disks, jumping clocks, leaving servers. Each seed has its own
 * weather, so that some runs are calm in one respect and rough in another. */
#include <stdlib.h>
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
        .reset = sometimes(s, 40),
        .disk_error = prng_chance(&s->prng, 1, 3) ? (uint32_t)prng_below(&s->prng, 100) : 0,
        .delay_ms = prng_below(&s->prng, prng_chance(&s->prng, 1, 4) ? 100 : 10),
        .disk_ms = prng_below(&s->prng, prng_chance(&s->prng, 1, 4) ? 100 : 8),
        .fault_ms = 400 + prng_below(&s->prng, 3000),
        .client_ms = 20 + prng_below(&s->prng, 150),
        .crash = sometimes(s, 40),
        .machine = sometimes(s, 30),
        .cut = sometimes(s, 40),
        .pause = sometimes(s, 20),
        .full = sometimes(s, 15),
        .jump = sometimes(s, 10),
        .snapshot = sometimes(s, 20),
        .transfer = sometimes(s, 15),
        .leave = sometimes(s, 10),
        .restart = sometimes(s, 15),
    };
}

static struct sim_node *some_node(struct sim *s)
{
    return &s->nodes[prng_below(&s->prng, (uint64_t)s->nodes_n)];
}

/* --- the network ------------------------------------------------------------------------------ */

static void on_heal(struct sim *s, struct event *e)
{
    if (e->a != s->cut_generation) return;
    memset(s->cut, 0, sizeof s->cut);
    sim_trace(s, -1, "heal");
}

static void cut(struct sim *s)
{
    memset(s->cut, 0, sizeof s->cut);
    int leader = sim_leader(s);
    int a = some_node(s)->number, b = some_node(s)->number;
    if (leader >= 0 && prng_chance(&s->prng, 1, 2)) a = leader;
    uint64_t kind = prng_below(&s->prng, 5), side = prng_next(&s->prng);
    for (int i = 0; i < s->nodes_n; i++) {
        for (int k = 0; k < s->nodes_n; k++) {
            bool split = (side >> i & 1) != (side >> k & 1);
            s->cut[i][k] = i != k && (kind == 0      ? i == a && k == b /* one way */
                                         : kind == 1 ? i == a           /* says nothing */
                                         : kind == 2 ? k == a           /* hears nothing */
                                         : kind == 3 ? i == a || k == a /* alone */
                                                     : split);
        }
    }
    s->counts.cuts++;
    sim_trace(s, -1, "cut %llu around %d", (unsigned long long)kind, a);
    sim_at(s, 200 + prng_below(&s->prng, 8000), NULL, on_heal, NULL, ++s->cut_generation);
}

/* --- nodes ------------------------------------------------------------------------------------ */

/* Now, or in one of the next operations of its disk. */
static void crash(struct sim *s, struct sim_node *n, enum crash how)
{
    if (prng_chance(&s->prng, 1, 2)) {
        n->disk.crash_in = how;
        n->disk.crash_after = 1 + (unsigned)prng_below(&s->prng, 6);
    } else {
        node_stop(n, how);
    }
}

static void crash_some(struct sim *s, enum crash how)
{
    bool all = prng_chance(&s->prng, 1, 12);
    struct sim_node *one = some_node(s);
    for (int i = 0; i < s->nodes_n; i++) {
        struct sim_node *n = &s->nodes[i];
        if (!n->up || (!all && n != one)) continue;
        if (all)
            node_stop(n, how); /* the power of the house */
        else
            crash(s, n, how);
    }
}

static void on_room(struct sim *s, struct event *e)
{
    struct sim_node *n = e->p;
    sim_trace(s, n->number, "has room again");
    n->disk.full = false;
}

static void fill(struct sim *s, struct sim_node *n)
{
    n->disk.full = true;
    sim_trace(s, n->number, "disk full");
    sim_at(s, 500 + prng_below(&s->prng, 6000), NULL, on_room, n, 0);
}

static void snapshot_done(struct raft_driver_request *r)
{
    free(r);
}

static void on_leader(struct sim *s, struct event *e)
{
    struct sim_node *n = e->p;
    if (!n->up || !n->raft) return;
    struct raft_driver_request *r = xcalloc(1, sizeof *r);
    r->done = snapshot_done;
    (void)s;
    if (e->a)
        raft_driver_transfer(n->raft, r, STR(""));
    else
        raft_driver_snapshot(n->raft, r);
}

static void leave(struct sim *s, struct sim_node *n)
{
    /* One at a time: who leaves takes its vote along. */
    int gone = 0;
    for (int i = 0; i < s->nodes_n; i++)
        gone += s->nodes[i].leaving || !s->nodes[i].up;
    if (!gone) node_leave(n);
}

enum fault {
    FAULT_CRASH,
    FAULT_MACHINE,
    FAULT_CUT,
    FAULT_PAUSE,
    FAULT_FULL,
    FAULT_JUMP,
    FAULT_SNAPSHOT,
    FAULT_TRANSFER,
    FAULT_LEAVE,
    FAULT_RESTART,
    FAULTS
};

static void strike(struct sim *s, enum fault fault)
{
    struct sim_node *n = some_node(s);
    int leader = sim_leader(s);
    if (leader >= 0 && prng_chance(&s->prng, 1, 3)) n = &s->nodes[leader];
    switch (fault) {
    case FAULT_CRASH:
        crash_some(s, CRASH_PROCESS);
        break;
    case FAULT_MACHINE:
        crash_some(s, CRASH_MACHINE);
        break;
    case FAULT_CUT:
        cut(s);
        break;
    case FAULT_PAUSE:
        n->paused_until = s->now + prng_below(&s->prng, 4000);
        s->counts.pauses++;
        sim_trace(s, n->number, "pause");
        break;
    case FAULT_FULL:
        fill(s, n);
        break;
    case FAULT_JUMP:
        n->wall_jump_ns = (int64_t)prng_below(&s->prng, 7200) * 1000000000 - INT64_C(3600000000000);
        break;
    case FAULT_SNAPSHOT:
    case FAULT_TRANSFER:
        if (n->up) sim_at(s, 0, &n->world, on_leader, n, fault == FAULT_TRANSFER);
        break;
    case FAULT_LEAVE:
        leave(s, n);
        break;
    case FAULT_RESTART:
        node_stop(n, CRASH_NONE);
        break;
    case FAULTS:
        break;
    }
}

static void on_fault(struct sim *s, struct event *e)
{
    const struct weather *w = &s->weather;
    const uint32_t weights[FAULTS] = { w->crash, w->machine, w->cut, w->pause, w->full, w->jump,
        w->snapshot, w->transfer, w->leave, w->restart };
    uint64_t total = 0;
    (void)e;
    if (s->calm) return;
    for (int i = 0; i < FAULTS; i++)
        total += weights[i];
    uint64_t dice = prng_below(&s->prng, total ? total : 1);
    for (int i = 0; total && i < FAULTS; i++) {
        if (dice < weights[i]) {
            strike(s, (enum fault)i);
            break;
        }
        dice -= weights[i];
    }
    sim_at(s, 1 + prng_below(&s->prng, 2 * s->weather.fault_ms), NULL, on_fault, NULL, 0);
}

void fault_begin(struct sim *s)
{
    s->calm = false;
    s->weather = weather_of(s);
    for (int i = 0; i < s->nodes_n; i++)
        s->nodes[i].drift = prng_chance(&s->prng, 1, 3) ? prng_below(&s->prng, 300) : 0;
    sim_at(s, 500, NULL, on_fault, NULL, 0);
}

void fault_end(struct sim *s)
{
    s->calm = true;
    s->cut_generation++;
    memset(s->cut, 0, sizeof s->cut);
    s->weather = (struct weather){ .delay_ms = 3, .disk_ms = 3, .client_ms = 1000 };
    for (int i = 0; i < s->nodes_n; i++) {
        struct sim_node *n = &s->nodes[i];
        n->paused_until = 0;
        n->disk.full = false;
        n->disk.crash_after = 0;
        if (!n->up) node_start(n);
    }
    sim_trace(s, -1, "calm");
}
