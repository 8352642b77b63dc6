/* SPDX-License-Identifier: Apache-2.0 */
/* A world for tests of one process: virtual time, ticks run by hand, jobs run when the test says.
 * Included by one file of a test binary: it defines the functions of base/world.h. */
#pragma once
#include <stdio.h>
#include <stdlib.h>

#include "consuld/base.h"
#include "consuld/base/world.h"

#ifndef FAKE_TIMERS_MAX
#define FAKE_TIMERS_MAX 256
#endif

struct world {
    uint64_t now_ms;
    struct prng prng;
    struct timer *timers[FAKE_TIMERS_MAX];
    struct link ticks;
    struct link jobs;
    size_t jobs_run;
};

static void fake_world_init(struct world *w)
{
    *w = (struct world){ .now_ms = 1000 };
    prng_seed(&w->prng, 1);
    link_init(&w->ticks);
    link_init(&w->jobs);
}

uint64_t world_now_ms(struct world *w)
{
    return w->now_ms;
}
uint64_t world_now_us(struct world *w)
{
    return w->now_ms * 1000;
}
int64_t world_wall_ns(struct world *w)
{
    return (int64_t)(w->now_ms * 1000000) + 1600000000000000000;
}
uint64_t world_random_below(struct world *w, uint64_t bound)
{
    return prng_below(&w->prng, bound);
}
void world_random(struct world *w, void *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)out)[i] = (uint8_t)prng_next(&w->prng);
}

void timer_init(struct timer *t, struct world *w, void (*fire)(struct timer *t))
{
    *t = (struct timer){ .world = w, .fire = fire };
}
void timer_start(struct timer *t, uint64_t delay_ms)
{
    struct world *w = t->world;
    t->due_ms = w->now_ms + delay_ms;
    for (size_t i = 0; !t->slot; i++) {
        ensure(i < FAKE_TIMERS_MAX);
        if (w->timers[i]) continue;
        w->timers[i] = t;
        t->slot = i + 1;
    }
}
void timer_stop(struct timer *t)
{
    if (t->slot) t->world->timers[t->slot - 1] = NULL;
    t->slot = 0;
}

void tick_init(struct tick *t, struct world *w, void (*run)(struct tick *t))
{
    *t = (struct tick){ .world = w, .run = run };
    link_init(&t->link);
}
void tick_mark(struct tick *t)
{
    if (link_empty(&t->link)) link_push(&t->world->ticks, &t->link);
}
void tick_cancel(struct tick *t)
{
    link_remove(&t->link);
}

void job_submit(struct world *w, struct job *j)
{
    j->world = w;
    link_init(&j->link);
    link_push(&w->jobs, &j->link);
}

/* What is called now is called by a worker. */
static bool fake_on_worker;

/* One finished job; false: none waits. */
static bool fake_world_run_job(struct world *w)
{
    struct link *l = link_pop(&w->jobs);
    if (!l) return false;
    struct job *j = container_of(l, struct job, link);
    fake_on_worker = true;
    j->run(j);
    fake_on_worker = false;
    w->jobs_run++;
    j->done(j);
    return true;
}
__attribute__((unused)) static void fake_world_run_jobs(struct world *w)
{
    while (fake_world_run_job(w))
        ;
}
/* One loop turn: what is due, then the ticks marked. */
__attribute__((unused)) static void fake_world_turn(struct world *w)
{
    for (size_t i = 0; i < FAKE_TIMERS_MAX; i++) {
        struct timer *t = w->timers[i];
        if (!t || t->due_ms > w->now_ms) continue;
        timer_stop(t);
        t->fire(t);
    }
    struct link due;
    link_init(&due);
    struct link *l;
    while ((l = link_pop(&w->ticks)))
        link_push(&due, l);
    while ((l = link_pop(&due))) {
        struct tick *t = container_of(l, struct tick, link);
        t->run(t);
    }
}
/* Turns and jobs until `ms` of virtual time have gone by in steps of 10 ms. */
__attribute__((unused)) static void fake_world_advance(struct world *w, uint64_t ms)
{
    for (uint64_t end = w->now_ms + ms; w->now_ms < end; w->now_ms += 10) {
        fake_world_turn(w);
        fake_world_run_jobs(w);
    }
}
