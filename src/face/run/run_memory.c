/* SPDX-License-Identifier: Apache-2.0 */
/* An agent that has come to rest gives back what only its start needed. */
#include "run.h"

#define FIRST_MS 3000
#define AGAIN_MS 30000 /* joins, first syncs and leadership are over */

static void again(struct timer *t)
{
    (void)t;
    net_memory_give_back();
}

static void first(struct timer *t)
{
    net_memory_give_back();
    t->fire = again;
    timer_start(t, AGAIN_MS);
}

void run_memory_start(struct run *r)
{
    timer_init(&r->memory_timer, r->world, first);
    timer_start(&r->memory_timer, FIRST_MS);
}

void run_memory_stop(struct run *r)
{
    if (r->memory_timer.world) timer_stop(&r->memory_timer);
}
