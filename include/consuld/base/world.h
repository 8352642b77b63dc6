/* SPDX-License-Identifier: Apache-2.0 */
/* The seam to the outside: time, timers, random bytes, disk jobs, one tick per loop turn.
 * `net` implements it on libuv, `tests/sim` on virtual time; drivers are linked with either.
 * Everything here runs on the one loop, but `job.run`, which runs on a worker. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consuld/base/list.h"

struct world;

/* Milliseconds of a monotonic clock, cached once per loop turn. */
uint64_t world_now_ms(struct world *w);
/* Microseconds of the same clock, read now: for measuring round trips and stalls. */
uint64_t world_now_us(struct world *w);
/* Nanoseconds since the Unix epoch. */
int64_t world_wall_ns(struct world *w);
/* Cryptographic quality; ends the process if the system has none. */
void world_random(struct world *w, void *out, size_t n);
/* Uniform in [0, bound). */
uint64_t world_random_below(struct world *w, uint64_t bound);

/* One-shot timers. The struct is embedded in its owner; timer_stop before freeing it. All zero
 * (plus timer_init) is a stopped timer. */
struct timer {
    struct world *world;
    void (*fire)(struct timer *t);
    uint64_t due_ms;
    size_t slot; /* heap position + 1, 0 when stopped */
};
void timer_init(struct timer *t, struct world *w, void (*fire)(struct timer *t));
/* Restarts if already running. */
void timer_start(struct timer *t, uint64_t delay_ms);
void timer_stop(struct timer *t);
static inline bool timer_active(const struct timer *t)
{
    return t->slot != 0;
}

/* Called once at the end of the loop turn in which it was marked (law 3: act at the loop's pace).
 */
struct tick {
    struct world *world;
    void (*run)(struct tick *t);
    struct link link;
};
void tick_init(struct tick *t, struct world *w, void (*run)(struct tick *t));
void tick_mark(struct tick *t);
void tick_cancel(struct tick *t);

/* Blocking work (fsync, snapshot streaming, name resolution) on a worker thread: `run` sees only
 * what the job owns; `done` is called on the loop afterwards. The owner keeps the job alive until
 * then; jobs are not cancelled. */
struct job {
    struct world *world;
    void (*run)(struct job *j);
    void (*done)(struct job *j);
    struct link link;
    void *impl;
};
void job_submit(struct world *w, struct job *j);
