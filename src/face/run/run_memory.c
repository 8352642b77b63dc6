/* SPDX-License-Identifier: Apache-2.0 */
/* An agent that has come to rest gives back what only its start needed: after the start itself,
 * after it has joined, and when first syncs and elections are over. */
#include "run.h"

static const uint64_t waits_ms[] = { 500, 5000, 30000 };

static void give_back(struct timer *t)
{
    struct run *r = container_of(t, struct run, memory_timer);
    net_memory_give_back();
    if (++r->memory_turn < sizeof waits_ms / sizeof waits_ms[0])
        timer_start(t, waits_ms[r->memory_turn]);
}

void run_memory_start(struct run *r)
{
    timer_init(&r->memory_timer, r->world, give_back);
    timer_start(&r->memory_timer, waits_ms[0]);
}

void run_memory_stop(struct run *r)
{
    if (r->memory_timer.world) timer_stop(&r->memory_timer);
}
