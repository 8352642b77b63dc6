/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "world.h"

static void put(struct world *w, size_t i, struct timer *t)
{
    w->heap[i] = t;
    t->slot = i + 1;
}

static void sift_up(struct world *w, size_t i, struct timer *t)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (w->heap[parent]->due_ms <= t->due_ms) break;
        put(w, i, w->heap[parent]);
        i = parent;
    }
    put(w, i, t);
}

static void sift_down(struct world *w, size_t i, struct timer *t)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->n_timers) break;
        if (child + 1 < w->n_timers && w->heap[child + 1]->due_ms < w->heap[child]->due_ms) child++;
        if (t->due_ms <= w->heap[child]->due_ms) break;
        put(w, i, w->heap[child]);
        i = child;
    }
    put(w, i, t);
}

void timer_init(struct timer *t, struct world *w, void (*fire)(struct timer *t))
{
    *t = (struct timer){ .world = w, .fire = fire };
}

void timer_start(struct timer *t, uint64_t delay_ms)
{
    struct world *w = t->world;
    timer_stop(t);
    uint64_t now = uv_now(&w->loop);
    t->due_ms = delay_ms > UINT64_MAX - now ? UINT64_MAX : now + delay_ms;
    if (w->n_timers == w->cap_timers) {
        w->cap_timers = w->cap_timers ? 2 * w->cap_timers : 64;
        w->heap = xrealloc(w->heap, w->cap_timers * sizeof *w->heap);
    }
    sift_up(w, w->n_timers++, t);
}

void timer_stop(struct timer *t)
{
    if (!t->slot) return;
    struct world *w = t->world;
    size_t i = t->slot - 1;
    ensure(i < w->n_timers && w->heap[i] == t);
    struct timer *last = w->heap[--w->n_timers];
    t->slot = 0;
    if (last == t) return;
    if (i > 0 && w->heap[(i - 1) / 2]->due_ms > last->due_ms)
        sift_up(w, i, last);
    else
        sift_down(w, i, last);
}

/* At most as many as stood in the heap at the start: a timer that starts itself with no delay
 * waits for the next turn. */
static void on_alarm(uv_timer_t *alarm)
{
    struct world *w = alarm->data;
    uint64_t now = uv_now(&w->loop);
    w->armed_ms = 0;
    for (size_t left = w->n_timers; left > 0 && w->n_timers > 0; left--) {
        struct timer *t = w->heap[0];
        if (t->due_ms > now) break;
        timer_stop(t);
        t->fire(t);
    }
}

void net__timers_arm(struct world *w)
{
    uint64_t due = w->n_timers ? w->heap[0]->due_ms : 0;
    if (due == w->armed_ms) return;
    w->armed_ms = due;
    if (!due) {
        uv_timer_stop(&w->alarm);
        return;
    }
    uint64_t now = uv_now(&w->loop);
    uv_timer_start(&w->alarm, on_alarm, due > now ? due - now : 0, 0);
}

void net__timers_init(struct world *w)
{
    uv_timer_init(&w->loop, &w->alarm);
    w->alarm.data = w;
}

void net__timers_deinit(struct world *w)
{
    free(w->heap);
}
