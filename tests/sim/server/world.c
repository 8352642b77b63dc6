/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of events and the loop turns of the nodes: base/world.h on virtual time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "sim.h"

#define PASSES_MAX 10000
#define WALL_START_NS INT64_C(1600000000000000000)

/* A job on its worker. */
struct work {
    struct link link;
    struct job *job;
    bool ran;
};

/* --- the queue -------------------------------------------------------------------------------- */

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_at(struct sim *s, uint64_t delay_ms, struct world *w,
    void (*run)(struct sim *s, struct event *e), void *p, uint64_t a)
{
    if (s->heap_n == s->heap_cap) {
        s->heap_cap = s->heap_cap ? s->heap_cap * 2 : 1024;
        s->heap = xrealloc(s->heap, s->heap_cap * sizeof *s->heap);
    }
    struct event e = { .at = s->now + delay_ms,
        .order = ++s->order,
        .run = run,
        .world = w,
        .life = w ? w->life : 0,
        .p = p,
        .a = a };
    size_t i = s->heap_n++;
    for (; i && earlier(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
}

static struct event pop(struct sim *s)
{
    struct event first = s->heap[0], last = s->heap[--s->heap_n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->heap_n; i = child) {
        if (child + 1 < s->heap_n && earlier(&s->heap[child + 1], &s->heap[child])) child++;
        if (!earlier(&s->heap[child], &last)) break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return first;
}

/* --- time ------------------------------------------------------------------------------------- */

static uint64_t clock_of(const struct world *w)
{
    const struct sim_node *n = &w->sim->nodes[w->node];
    uint64_t now = w->sim->now + w->ahead_ms;
    return 1000 + now + now * n->drift / 10000;
}

/* When, of the simulator's time, its clock shows `due`. */
static uint64_t time_of(const struct world *w, uint64_t due)
{
    uint64_t t = w->sim->now;
    uint64_t clock = clock_of(w);
    if (due <= clock) return t;
    const struct sim_node *n = &w->sim->nodes[w->node];
    uint64_t left = due - clock;
    t += left * 10000 / (10000 + n->drift);
    return t > w->sim->now ? t : t + 1;
}

uint64_t world_now_ms(struct world *w)
{
    return clock_of(w);
}
uint64_t world_now_us(struct world *w)
{
    return clock_of(w) * 1000;
}
int64_t world_wall_ns(struct world *w)
{
    const struct sim_node *n = &w->sim->nodes[w->node];
    return WALL_START_NS + (int64_t)clock_of(w) * 1000000 + n->wall_jump_ns;
}

void world_random(struct world *w, void *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)out)[i] = (uint8_t)prng_next(&w->sim->prng);
}
uint64_t world_random_below(struct world *w, uint64_t bound)
{
    return prng_below(&w->sim->prng, bound);
}

/* In the place of the system's, so that tables hash alike in every run of a seed. */
ssize_t getrandom(void *out, size_t n, unsigned flags)
{
    (void)flags;
    memset(out, 0x5a, n);
    return (ssize_t)n;
}

/* --- timers ----------------------------------------------------------------------------------- */

void timer_init(struct timer *t, struct world *w, void (*fire)(struct timer *t))
{
    *t = (struct timer){ .world = w, .fire = fire };
}

void timer_start(struct timer *t, uint64_t delay_ms)
{
    struct world *w = t->world;
    timer_stop(t);
    uint64_t now = clock_of(w);
    t->due_ms = delay_ms > UINT64_MAX - now ? UINT64_MAX : now + delay_ms;
    if (w->timers_n == w->timers_cap) {
        w->timers_cap = w->timers_cap ? w->timers_cap * 2 : 64;
        w->timers = xrealloc(w->timers, w->timers_cap * sizeof *w->timers);
    }
    w->timers[w->timers_n++] = t;
    t->slot = w->timers_n;
}

void timer_stop(struct timer *t)
{
    if (!t->slot) return;
    struct world *w = t->world;
    struct timer *last = w->timers[--w->timers_n];
    w->timers[t->slot - 1] = last;
    last->slot = t->slot;
    t->slot = 0;
}

/* NULL: none. */
static struct timer *next_timer(const struct world *w)
{
    struct timer *first = NULL;
    for (size_t i = 0; i < w->timers_n; i++)
        if (!first || w->timers[i]->due_ms < first->due_ms) first = w->timers[i];
    return first;
}

/* --- ticks ------------------------------------------------------------------------------------ */

void tick_init(struct tick *t, struct world *w, void (*run)(struct tick *t))
{
    *t = (struct tick){ .world = w, .run = run };
    link_init(&t->link);
}
void tick_mark(struct tick *t)
{
    if (link_empty(&t->link)) link_push(&t->world->ticks, &t->link);
    t->world->touched = true;
}
void tick_cancel(struct tick *t)
{
    link_remove(&t->link);
}

static void run_ticks(struct world *w)
{
    struct link batch, *l;
    link_init(&batch);
    while ((l = link_pop(&w->ticks)))
        link_push(&batch, l);
    while ((l = link_pop(&batch))) {
        struct tick *t = container_of(l, struct tick, link);
        t->run(t);
    }
}

/* --- jobs ------------------------------------------------------------------------------------- */

static void job_over(struct work *work)
{
    struct job *j = work->job;
    link_remove(&work->link);
    free(work);
    j->impl = NULL;
    j->done(j);
}

static void on_job_done(struct sim *s, struct event *e)
{
    (void)s;
    job_over(e->p);
}

static uint64_t disk_time(struct sim *s)
{
    return prng_below(&s->prng, s->weather.disk_ms + 1);
}

static void on_job_run(struct sim *s, struct event *e)
{
    struct work *work = e->p;
    work->ran = true;
    work->job->run(work->job);
    if (s->nodes[e->world->node].disk.dead) return; /* the node ended in it */
    sim_at(s, disk_time(s), e->world, on_job_done, work, 0);
}

void job_submit(struct world *w, struct job *j)
{
    struct work *work = xcalloc(1, sizeof *work);
    work->job = j;
    j->world = w;
    j->impl = work;
    link_init(&work->link);
    link_push(&w->jobs, &work->link);
    if (!w->dying) sim_at(w->sim, disk_time(w->sim), w, on_job_run, work, 0);
}

/* --- life ------------------------------------------------------------------------------------- */

void world_init(struct world *w, struct sim *s, int node)
{
    *w = (struct world){ .sim = s, .node = node, .life = ++s->nodes[node].life };
    struct link *lists[] = { &w->ticks, &w->jobs, &w->dials, &w->ends, &w->listeners, &w->sockets,
        &w->resolves };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        link_init(lists[i]);
}

void world_deinit(struct world *w)
{
    ensure(link_empty(&w->jobs) && link_empty(&w->dials) && link_empty(&w->listeners));
    ensure(link_empty(&w->sockets) && link_empty(&w->ticks));
    free(w->timers);
    w->timers = NULL;
    w->timers_n = w->timers_cap = 0;
    w->life = 0;
}

void world_wind_down(struct world *w)
{
    struct link *l = w->jobs.next;
    bool moved = streams_wind_down(w);
    if (l != &w->jobs) {
        struct work *work = container_of(l, struct work, link);
        if (!work->ran) work->job->run(work->job);
        job_over(work);
        moved = true;
    }
    moved |= !link_empty(&w->ticks);
    run_ticks(w);
    if (moved) return;
    struct timer *t = next_timer(w);
    if (!t) return;
    if (t->due_ms > clock_of(w)) w->ahead_ms += t->due_ms - clock_of(w);
    timer_stop(t);
    t->fire(t);
}

/* --- the loop --------------------------------------------------------------------------------- */

static bool alive(const struct sim *s, const struct event *e)
{
    const struct sim_node *n = &s->nodes[e->world->node];
    return n->up && e->life == n->life;
}

/* The node whose next timer is the first of all, and when it may fire; -1: none. */
static int first_timer(const struct sim *s, uint64_t *at)
{
    int first = -1;
    for (int i = 0; i < s->nodes_n; i++) {
        const struct sim_node *n = &s->nodes[i];
        const struct timer *t = n->up ? next_timer(&n->world) : NULL;
        if (!t) continue;
        uint64_t due = time_of(&n->world, t->due_ms);
        if (due < n->paused_until) due = n->paused_until;
        if (first >= 0 && due >= *at) continue;
        *at = due;
        first = i;
    }
    return first;
}

/* The ticks of all that something happened to. */
static bool turn_ends(struct sim *s)
{
    bool any = false;
    for (int i = 0; i < s->nodes_n && !s->failed; i++) {
        struct sim_node *n = &s->nodes[i];
        if (!n->up || !n->world.touched || n->paused_until > s->now) continue;
        n->world.touched = false;
        any = true;
        run_ticks(&n->world);
        if (!n->up) continue;
        invariant_committed(s, n);
        if (n->disk.dead) node_bury(n);
    }
    return any;
}

static void run_event(struct sim *s)
{
    struct event e = pop(s);
    struct sim_node *n = e.world ? &s->nodes[e.world->node] : NULL;
    if (n && !alive(s, &e)) return;
    if (n && n->paused_until > s->now) {
        sim_at(s, n->paused_until - s->now, e.world, e.run, e.p, e.a);
        return;
    }
    s->counts.events++;
    if (n) n->world.touched = true;
    e.run(s, &e);
    if (n && n->up && n->disk.dead) node_bury(n);
}

void sim_until(struct sim *s, uint64_t until)
{
    unsigned passes = 0;
    while (!s->failed) {
        uint64_t at = UINT64_MAX, event = s->heap_n ? s->heap[0].at : UINT64_MAX;
        int node = first_timer(s, &at);
        if (event < at) at = event;
        if (at > s->now) {
            if (turn_ends(s)) {
                if (++passes > PASSES_MAX) sim_fail(s, "a node spins");
                continue;
            }
            passes = 0;
            if (at > until) break;
            s->now = at;
            continue;
        }
        if (++passes > 100 * PASSES_MAX) sim_fail(s, "time stands still");
        if (event <= at) {
            run_event(s);
            continue;
        }
        struct sim_node *n = &s->nodes[node];
        struct timer *t = next_timer(&n->world);
        timer_stop(t);
        n->world.touched = true;
        t->fire(t);
        if (n->up && n->disk.dead) node_bury(n);
    }
    if (!s->failed && s->now < until) s->now = until;
}
