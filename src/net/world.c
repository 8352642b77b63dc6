/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "world.h"

uint64_t world_now_ms(struct world *w)
{
    return uv_now(&w->loop);
}

uint64_t world_now_us(struct world *w)
{
    (void)w;
    return uv_hrtime() / 1000;
}

int64_t world_wall_ns(struct world *w)
{
    (void)w;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void world_random(struct world *w, void *out, size_t n)
{
    (void)w;
    char *p = out;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0) {
            ensure(errno == EINTR);
            continue;
        }
        p += got;
        n -= (size_t)got;
    }
}

uint64_t world_random_below(struct world *w, uint64_t bound)
{
    if (bound < 2) return 0;
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t v;
    do
        world_random(w, &v, sizeof v);
    while (v >= limit);
    return v % bound;
}

/* --- ticks --------------------------------------------------------------------------------- */

void tick_init(struct tick *t, struct world *w, void (*run)(struct tick *t))
{
    t->world = w;
    t->run = run;
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

/* Those marked while running wait for the next pass. */
static void run_ticks(struct world *w)
{
    if (link_empty(&w->ticks)) return;
    struct link batch;
    link_init(&batch);
    link_insert_before(&w->ticks, &batch);
    link_remove(&w->ticks);
    for (struct link *l; (l = link_pop(&batch));) {
        struct tick *t = container_of(l, struct tick, link);
        t->run(t);
    }
}

static void on_awake(uv_idle_t *idle)
{
    (void)idle;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct world *w = prepare->data;
    run_ticks(w);
    if (link_empty(&w->ticks))
        uv_idle_stop(&w->awake);
    else
        uv_idle_start(&w->awake, on_awake);
    net__timers_arm(w);
}

static void on_check(uv_check_t *check)
{
    run_ticks(check->data);
}

/* --- jobs ---------------------------------------------------------------------------------- */

static void on_work(uv_work_t *work)
{
    struct job *j = work->data;
    j->run(j);
}

static void on_work_done(uv_work_t *work, int status)
{
    (void)status;
    struct job *j = work->data;
    j->world->jobs--;
    j->impl = NULL;
    free(work);
    j->done(j);
}

void job_submit(struct world *w, struct job *j)
{
    uv_work_t *work = xmalloc(sizeof *work);
    work->data = j;
    j->world = w;
    j->impl = work;
    w->jobs++;
    int rc = uv_queue_work(&w->loop, work, on_work, on_work_done);
    ensure(rc == 0);
}

/* --- the loop ------------------------------------------------------------------------------ */

struct world *net_world_create(void)
{
    signal(SIGPIPE, SIG_IGN);
    struct world *w = xcalloc(1, sizeof *w);
    int rc = uv_loop_init(&w->loop);
    ensure(rc == 0);
    link_init(&w->ticks);
    net__timers_init(w);
    uv_prepare_init(&w->loop, &w->prepare);
    uv_check_init(&w->loop, &w->check);
    uv_idle_init(&w->loop, &w->awake);
    w->prepare.data = w->check.data = w;
    uv_prepare_start(&w->prepare, on_prepare);
    uv_check_start(&w->check, on_check);
    uv_unref((uv_handle_t *)&w->prepare);
    uv_unref((uv_handle_t *)&w->check);
    return w;
}

/* Ticks and timers count as something that can happen; the alarm is only set in prepare. */
static bool alive(const struct world *w)
{
    return w->n_timers > 0 || !link_empty(&w->ticks) || uv_loop_alive(&w->loop);
}

/* libuv makes no turn at all without an active handle. */
static void rouse(struct world *w)
{
    net__timers_arm(w);
    if (!link_empty(&w->ticks)) uv_idle_start(&w->awake, on_awake);
}

void net_world_run(struct world *w)
{
    w->stop = false;
    while (!w->stop && alive(w)) {
        rouse(w);
        uv_run(&w->loop, UV_RUN_DEFAULT);
    }
}

bool net_world_poll(struct world *w)
{
    rouse(w);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    return alive(w);
}

void net_world_stop(struct world *w)
{
    w->stop = true;
    uv_stop(&w->loop);
}

void net_world_destroy(struct world *w)
{
    while (w->jobs > 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&w->alarm, NULL);
    uv_close((uv_handle_t *)&w->prepare, NULL);
    uv_close((uv_handle_t *)&w->check, NULL);
    uv_close((uv_handle_t *)&w->awake, NULL);
    while (uv_run(&w->loop, UV_RUN_DEFAULT)) {
    }
    int rc = uv_loop_close(&w->loop);
    ensure(rc == 0);
    net__timers_deinit(w);
    map_deinit(&w->off_limits);
    free(w);
}

/* --- signals ------------------------------------------------------------------------------- */

struct net_signal {
    uv_signal_t handle;
    void (*fn)(void *ctx, int signum);
    void *ctx;
};

static void on_signal(uv_signal_t *handle, int signum)
{
    struct net_signal *s = handle->data;
    s->fn(s->ctx, signum);
}

static void on_signal_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct net_signal *net_signal_create(
    struct world *w, int signum, void (*fn)(void *ctx, int signum), void *ctx)
{
    struct net_signal *s = xcalloc(1, sizeof *s);
    s->fn = fn;
    s->ctx = ctx;
    s->handle.data = s;
    uv_signal_init(&w->loop, &s->handle);
    int rc = uv_signal_start(&s->handle, on_signal, signum);
    ensure(rc == 0);
    uv_unref((uv_handle_t *)&s->handle);
    return s;
}

void net_signal_destroy(struct net_signal *s)
{
    uv_close((uv_handle_t *)&s->handle, on_signal_closed);
}
