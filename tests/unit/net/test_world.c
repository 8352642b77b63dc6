/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/net.h"

static int setup(void **state)
{
    *state = net_world_create();
    return 0;
}

static int teardown(void **state)
{
    net_world_destroy(*state);
    return 0;
}

/* --- timers ---------------------------------------------------------------------------------- */

struct probe {
    struct timer timer;
    uint64_t fired_ms;
    int order;
    int restarts;
};

static int fired;

static void on_probe(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);
    p->fired_ms = world_now_ms(t->world);
    p->order = ++fired;
    if (p->restarts-- > 0) timer_start(t, 0);
}

static void timers_fire_in_order_and_never_early(void **state)
{
    struct world *w = *state;
    struct probe p[200];
    uint64_t delay[200], start = world_now_ms(w);
    fired = 0;
    memset(p, 0, sizeof p);
    for (int i = 0; i < 200; i++) {
        delay[i] = (uint64_t)(i * 37 % 50);
        timer_init(&p[i].timer, w, on_probe);
        timer_start(&p[i].timer, delay[i]);
    }
    net_world_run(w);
    assert_int_equal(fired, 200);
    for (int i = 0; i < 200; i++) {
        assert_true(p[i].fired_ms >= start + delay[i]);
        for (int j = 0; j < 200; j++)
            if (delay[i] < delay[j]) assert_true(p[i].order < p[j].order);
    }
}

static void stopped_timers_do_not_fire(void **state)
{
    struct world *w = *state;
    struct probe p[50];
    memset(p, 0, sizeof p);
    fired = 0;
    for (int i = 0; i < 50; i++) {
        timer_init(&p[i].timer, w, on_probe);
        timer_start(&p[i].timer, (uint64_t)(50 - i));
    }
    for (int i = 0; i < 50; i += 2) {
        timer_stop(&p[i].timer);
        assert_false(timer_active(&p[i].timer));
        timer_stop(&p[i].timer);
    }
    net_world_run(w);
    assert_int_equal(fired, 25);
    for (int i = 0; i < 50; i++)
        assert_int_equal(p[i].order > 0, i % 2);
}

static void restart_moves_the_deadline(void **state)
{
    struct world *w = *state;
    struct probe early = { 0 }, late = { 0 };
    fired = 0;
    timer_init(&early.timer, w, on_probe);
    timer_init(&late.timer, w, on_probe);
    timer_start(&early.timer, 1);
    timer_start(&late.timer, 10);
    timer_start(&early.timer, 20);
    net_world_run(w);
    assert_int_equal(late.order, 1);
    assert_int_equal(early.order, 2);
}

static void timer_without_delay_does_not_starve_the_loop(void **state)
{
    struct world *w = *state;
    struct probe p = { .restarts = 5 };
    fired = 0;
    timer_init(&p.timer, w, on_probe);
    timer_start(&p.timer, 0);
    int turns = 0;
    while (net_world_poll(w))
        turns++;
    assert_int_equal(fired, 6);
    assert_true(turns >= 5);
}

static void far_timer_can_be_stopped_so_that_the_loop_ends(void **state)
{
    struct world *w = *state;
    struct probe p = { 0 };
    timer_init(&p.timer, w, on_probe);
    timer_start(&p.timer, UINT64_MAX);
    assert_true(net_world_poll(w));
    timer_stop(&p.timer);
    assert_false(net_world_poll(w));
    net_world_run(w);
}

/* --- ticks ----------------------------------------------------------------------------------- */

struct counter {
    struct tick tick;
    int runs;
    int again;
    struct counter *other;
};

static void on_tick(struct tick *t)
{
    struct counter *c = container_of(t, struct counter, tick);
    c->runs++;
    if (c->again-- > 0) tick_mark(t);
    if (c->other) tick_mark(&c->other->tick);
}

static void tick_runs_once_however_often_it_is_marked(void **state)
{
    struct world *w = *state;
    struct counter c = { 0 };
    tick_init(&c.tick, w, on_tick);
    for (int i = 0; i < 10; i++)
        tick_mark(&c.tick);
    assert_int_equal(c.runs, 0);
    net_world_run(w);
    assert_int_equal(c.runs, 1);
    tick_mark(&c.tick);
    assert_false(net_world_poll(w));
    assert_int_equal(c.runs, 2);
}

static void loop_does_not_sleep_while_a_tick_is_marked(void **state)
{
    struct world *w = *state;
    struct probe far = { 0 };
    struct counter b = { 0 }, a = { .again = 20, .other = &b };
    timer_init(&far.timer, w, on_probe);
    timer_start(&far.timer, 3600 * 1000);
    tick_init(&a.tick, w, on_tick);
    tick_init(&b.tick, w, on_tick);
    tick_mark(&a.tick);
    for (int i = 0; i < 30; i++)
        net_world_poll(w);
    assert_int_equal(a.runs, 21);
    assert_true(b.runs >= 10);
    timer_stop(&far.timer);
}

static void cancelled_tick_does_not_run(void **state)
{
    struct world *w = *state;
    struct counter a = { 0 };
    tick_init(&a.tick, w, on_tick);
    tick_mark(&a.tick);
    tick_cancel(&a.tick);
    net_world_run(w);
    assert_int_equal(a.runs, 0);
}

/* --- jobs, signals, randomness ------------------------------------------------------------------
 */

struct sum {
    struct job job;
    uint64_t n, result;
    bool done;
    struct counter *after;
};

static void sum_run(struct job *j)
{
    struct sum *s = container_of(j, struct sum, job);
    for (uint64_t i = 1; i <= s->n; i++)
        s->result += i;
}

static void sum_done(struct job *j)
{
    struct sum *s = container_of(j, struct sum, job);
    s->done = true;
    if (s->after) tick_mark(&s->after->tick);
}

static void jobs_run_and_report_on_the_loop(void **state)
{
    struct world *w = *state;
    struct sum jobs[20];
    struct counter after = { 0 };
    memset(jobs, 0, sizeof jobs);
    tick_init(&after.tick, w, on_tick);
    for (size_t i = 0; i < 20; i++) {
        jobs[i] = (struct sum){ .job = { .run = sum_run, .done = sum_done }, .n = i };
        jobs[i].after = &after;
        job_submit(w, &jobs[i].job);
    }
    net_world_run(w);
    for (size_t i = 0; i < 20; i++) {
        assert_true(jobs[i].done);
        assert_int_equal(jobs[i].result, i * (i + 1) / 2);
    }
    assert_true(after.runs >= 1);
}

static void destroy_waits_for_running_jobs(void **state)
{
    (void)state;
    struct world *w = net_world_create();
    struct sum s = { .job = { .run = sum_run, .done = sum_done }, .n = 1000 };
    job_submit(w, &s.job);
    net_world_destroy(w);
    assert_true(s.done);
}

static void on_stop_signal(void *ctx, int signum)
{
    assert_int_equal(signum, SIGUSR1);
    net_world_stop(ctx);
}

static void signal_stops_the_loop(void **state)
{
    struct world *w = *state;
    struct probe far = { 0 };
    timer_init(&far.timer, w, on_probe);
    timer_start(&far.timer, 3600 * 1000);
    struct net_signal *s = net_signal_create(w, SIGUSR1, on_stop_signal, w);
    raise(SIGUSR1);
    net_world_run(w);
    assert_true(timer_active(&far.timer));
    timer_stop(&far.timer);
    net_signal_destroy(s);
}

static void random_numbers_stay_below_their_bound(void **state)
{
    struct world *w = *state;
    bool seen[7] = { 0 };
    for (int i = 0; i < 2000; i++) {
        uint64_t v = world_random_below(w, 7);
        assert_true(v < 7);
        seen[v] = true;
    }
    for (int i = 0; i < 7; i++)
        assert_true(seen[i]);
    assert_int_equal(world_random_below(w, 0), 0);
    assert_int_equal(world_random_below(w, 1), 0);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(timers_fire_in_order_and_never_early),
        WORLD_TEST(stopped_timers_do_not_fire),
        WORLD_TEST(restart_moves_the_deadline),
        WORLD_TEST(timer_without_delay_does_not_starve_the_loop),
        WORLD_TEST(far_timer_can_be_stopped_so_that_the_loop_ends),
        WORLD_TEST(tick_runs_once_however_often_it_is_marked),
        WORLD_TEST(loop_does_not_sleep_while_a_tick_is_marked),
        WORLD_TEST(cancelled_tick_does_not_run),
        WORLD_TEST(jobs_run_and_report_on_the_loop),
        cmocka_unit_test(destroy_waits_for_running_jobs),
        WORLD_TEST(signal_stops_the_loop),
        WORLD_TEST(random_numbers_stay_below_their_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
