/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "consuld/base.h"
#include "consuld/base/metrics.h"
#include "world/fake_world.h"

struct fixture {
    struct world world;
    struct metrics *m;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fake_world_init(&f->world);
    f->m = metrics_create(&(struct metrics_options){ .world = &f->world,
        .prefix = STR("consul"),
        .hostname = STR("box"),
        .allow_others = true });
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    metrics_destroy(f->m);
    free(f);
    return 0;
}

/* To the beginning of the next interval. */
static void next_interval(struct fixture *f)
{
    int64_t at = world_wall_ns(&f->world) / 1000000 % METRICS_INTERVAL_MS;
    fake_world_advance(&f->world, (uint64_t)(METRICS_INTERVAL_MS - at));
}

static void the_first_interval_is_shown_while_it_lasts(void **state)
{
    struct fixture *f = *state;
    struct metric *c = metrics_counter(f->m, "kvs.count");
    struct metric_window w;
    assert_false(metric_interval(c, &w));
    metric_add(c, 1);
    metric_add(c, 3);
    assert_true(metric_interval(c, &w));
    assert_int_equal(w.count, 2);
    assert_true(w.sum == 4 && w.min == 1 && w.max == 3 && w.sum_sq == 10);
}

static void then_the_last_whole_interval_is_shown_and_forgotten_after_it(void **state)
{
    struct fixture *f = *state;
    struct metric *s = metrics_samples(f->m, "kvs.apply");
    struct metric_window w;
    next_interval(f);
    metric_sample(s, 2);
    assert_false(metric_interval(s, &w));
    next_interval(f);
    assert_true(metric_interval(s, &w));
    assert_int_equal(w.count, 1);
    metric_sample(s, 5);
    assert_true(metric_interval(s, &w));
    assert_true(w.sum == 2);
    next_interval(f);
    assert_true(metric_interval(s, &w));
    assert_true(w.sum == 5);
    next_interval(f);
    assert_false(metric_interval(s, &w));
    assert_int_equal(metric_all(s).count, 2);
}

static void a_metric_is_found_again_by_name_and_labels(void **state)
{
    struct fixture *f = *state;
    struct metric_label web = { "service", STR("web") }, db = { "service", STR("db") };
    struct metric *a = metrics_labelled(f->m, METRIC_COUNTER, "q", &web, 1);
    assert_ptr_equal(a, metrics_labelled(f->m, METRIC_COUNTER, "q", &web, 1));
    assert_ptr_not_equal(a, metrics_labelled(f->m, METRIC_COUNTER, "q", &db, 1));
    assert_ptr_not_equal(a, metrics_counter(f->m, "q"));
    assert_null(metrics_labelled(f->m, METRIC_GAUGE, "kvs", &web, METRIC_LABELS_MAX + 1));
    assert_true(str_is(metric_name(a), "consul.q"));
    assert_true(str_is(metric_name(metrics_gauge(f->m, "g")), "consul.box.g"));
}

static void one_name_is_of_one_kind(void **state)
{
    struct fixture *f = *state;
    assert_non_null(metrics_counter(f->m, "x"));
    assert_null(metrics_samples(f->m, "x"));
}

static void totals_of_others_are_taken_by_difference(void **state)
{
    struct fixture *f = *state;
    struct metric *c = metrics_counter(f->m, "rpc.request");
    metric_total(c, 5);
    metric_total(c, 5);
    metric_total(c, 7);
    assert_int_equal(metric_all(c).count, 7);
    assert_true(metric_all(c).sum == 7);
    metric_total(c, 2);
    assert_int_equal(metric_all(c).count, 9);
    struct metric *bytes = metrics_counter(f->m, "udp");
    metric_total_sum(bytes, 4, 1000);
    assert_int_equal(metric_all(bytes).count, 4);
    assert_true(metric_all(bytes).sum == 1000 && metric_all(bytes).max == 250);
}

static void quantiles_are_near(void **state)
{
    struct fixture *f = *state;
    struct metric *s = metrics_samples(f->m, "t");
    assert_true(isnan(metric_quantile(s, 0.5)));
    for (int i = 1; i <= 1000; i++)
        metric_sample(s, i);
    double half = metric_quantile(s, 0.5), most = metric_quantile(s, 0.99);
    assert_true(half > 425 && half < 575);
    assert_true(most > 840 && most < 1140);
    next_interval(f);
    assert_true(metric_quantile(s, 0.5) == half);
    next_interval(f);
    next_interval(f);
    assert_true(isnan(metric_quantile(s, 0.5)));
    metric_sample(s, -3);
    metric_sample(s, 1e300);
    metric_sample(s, 0);
    assert_true(!isnan(metric_quantile(s, 0.5)));
}

static void the_longest_prefix_decides_who_is_seen(void **state)
{
    struct fixture *f = *state;
    struct metric *const *all;
    metric_add(metrics_counter(f->m, "raft.apply"), 1);
    metric_add(metrics_counter(f->m, "raft.commit"), 1);
    metric_add(metrics_counter(f->m, "serf.x"), 1);
    metrics_counter(f->m, "never.counted");
    assert_int_equal(metrics_sorted(f->m, &all), 3);
    const struct str allowed[] = { STR("consul.raft.apply") };
    const struct str blocked[] = { STR("consul.raft") };
    struct metrics_options o = {
        .allowed = allowed, .allowed_n = 1, .blocked = blocked, .blocked_n = 1, .allow_others = true
    };
    metrics_filter(f->m, &o);
    assert_int_equal(metrics_sorted(f->m, &all), 2);
    assert_true(str_is(metric_name(all[0]), "consul.raft.apply"));
    assert_true(str_is(metric_name(all[1]), "consul.serf.x"));
    o.allow_others = false;
    metrics_filter(f->m, &o);
    assert_int_equal(metrics_sorted(f->m, &all), 1);
}

static void too_many_metrics_are_not_counted(void **state)
{
    struct fixture *f = *state;
    char name[32];
    for (int i = 0; i < METRICS_MAX; i++) {
        snprintf(name, sizeof name, "m%d", i);
        assert_non_null(metrics_counter(f->m, name));
    }
    struct metric *none = metrics_counter(f->m, "one more");
    assert_null(none);
    metric_add(none, 1);
    metric_set(none, 1);
    metric_sample(none, 1);
    metric_total(none, 1);
}

struct test_source {
    struct metrics_source source;
    struct metric *gauge;
    int asked;
};

static void fill(struct metrics_source *s)
{
    struct test_source *t = container_of(s, struct test_source, source);
    metric_set(t->gauge, (double)++t->asked);
}

static void sources_are_asked_once_an_interval_and_when_read(void **state)
{
    struct fixture *f = *state;
    struct test_source t = { .source.fill = fill, .gauge = metrics_gauge(f->m, "g") };
    next_interval(f);
    metrics_source_add(f->m, &t.source);
    next_interval(f);
    next_interval(f);
    assert_int_equal(t.asked, 2);
    metrics_collect(f->m);
    assert_true(metric_all(t.gauge).sum == 3);
    metrics_source_remove(&t.source);
    next_interval(f);
    assert_int_equal(t.asked, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_first_interval_is_shown_while_it_lasts),
        T(then_the_last_whole_interval_is_shown_and_forgotten_after_it),
        T(a_metric_is_found_again_by_name_and_labels),
        T(one_name_is_of_one_kind),
        T(totals_of_others_are_taken_by_difference),
        T(quantiles_are_near),
        T(the_longest_prefix_decides_who_is_seen),
        T(too_many_metrics_are_not_counted),
        T(sources_are_asked_once_an_interval_and_when_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
