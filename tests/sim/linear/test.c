/* SPDX-License-Identifier: Apache-2.0 */
/* The checker itself, on histories whose verdict is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "consuld/base.h"
#include "linear.h"

#define CALL(k, from, to, ...) \
    { \
        .key = "k", .kind = k, .began = from, .ended = to, __VA_ARGS__ \
    }
#define WRITE(from, to, v) CALL(LINEAR_WRITE, from, to, .value = v)
#define READ(from, to, v) CALL(LINEAR_READ, from, to, .value = v)
#define CAS(from, to, e, v, done) CALL(LINEAR_CAS, from, to, .expect = e, .value = v, .ok = done)
#define ACQUIRE(from, to, who, done) CALL(LINEAR_ACQUIRE, from, to, .value = who, .ok = done)
#define RELEASE(from, to, who, done) CALL(LINEAR_RELEASE, from, to, .value = who, .ok = done)

#define expect_verdict(wanted, ...) \
    do { \
        struct linear_call calls[] = { __VA_ARGS__ }; \
        struct linear_report report; \
        assert_int_equal(linear_check(calls, sizeof calls / sizeof *calls, 0, &report), wanted); \
    } while (0)
#define holds(...) expect_verdict(LINEAR_YES, __VA_ARGS__)
#define breaks(...) expect_verdict(LINEAR_NO, __VA_ARGS__)

static void one_after_the_other_is_as_a_map(void **state)
{
    (void)state;
    holds(READ(1, 2, 0), WRITE(3, 4, 7), READ(5, 6, 7), WRITE(7, 8, 0), READ(9, 10, 0));
    breaks(WRITE(1, 2, 7), READ(3, 4, 8));
    breaks(WRITE(1, 2, 7), READ(3, 4, 0));
}

static void a_read_behind_a_newer_write_is_stale(void **state)
{
    (void)state;
    breaks(WRITE(1, 2, 7), WRITE(3, 4, 8), READ(5, 6, 7));
    holds(WRITE(1, 2, 7), WRITE(3, 6, 8), READ(5, 6, 7));
}

static void readers_agree_on_the_order(void **state)
{
    (void)state;
    holds(WRITE(1, 20, 7), WRITE(1, 20, 8), READ(2, 3, 7), READ(4, 5, 8));
    breaks(WRITE(1, 20, 7), WRITE(1, 20, 8), READ(2, 3, 7), READ(4, 5, 8), READ(6, 7, 7));
    breaks(WRITE(1, 20, 7), READ(2, 3, 7), READ(4, 5, 0));
}

static void calls_that_touch_are_at_the_same_time(void **state)
{
    (void)state;
    holds(WRITE(1, 5, 7), READ(5, 6, 0));
    breaks(WRITE(1, 4, 7), READ(5, 6, 0));
}

static void a_lost_write_is_found(void **state)
{
    (void)state;
    breaks(WRITE(1, 2, 7), READ(3, 4, 7), WRITE(5, 6, 8), READ(7, 8, 7));
}

static void unknown_outcomes_may_happen_late_or_never(void **state)
{
    (void)state;
    holds(WRITE(1, LINEAR_NEVER, 7), READ(2, 3, 0), READ(4, 5, 7), READ(6, 7, 7));
    holds(WRITE(1, LINEAR_NEVER, 7), READ(2, 3, 0), READ(9, 10, 0));
    breaks(WRITE(1, LINEAR_NEVER, 7), READ(2, 3, 7), READ(4, 5, 0));
    breaks(READ(1, 2, 7), WRITE(3, LINEAR_NEVER, 7));
    holds(CAS(1, LINEAR_NEVER, 0, 7, false), READ(2, 3, 0), READ(4, 5, 7));
}

static void a_swap_happens_only_on_what_it_expects(void **state)
{
    (void)state;
    holds(CAS(1, 2, 0, 7, true), CAS(3, 4, 7, 8, true), CAS(5, 6, 7, 9, false), READ(7, 8, 8));
    breaks(CAS(1, 2, 0, 7, true), CAS(3, 4, 0, 8, true));
    breaks(WRITE(1, 2, 7), CAS(3, 4, 7, 8, false));
    holds(CAS(1, 9, 0, 7, true), CAS(1, 9, 0, 8, false), READ(10, 11, 7));
    breaks(CAS(1, 9, 0, 7, true), CAS(1, 9, 0, 8, true));
    /* Only the unknown write explains the refusal. */
    holds(WRITE(1, LINEAR_NEVER, 5), CAS(3, 4, 0, 8, false));
    breaks(CAS(3, 4, 0, 8, false));
}

static void a_lock_has_one_holder(void **state)
{
    (void)state;
    holds(ACQUIRE(1, 2, 7, true), ACQUIRE(3, 4, 8, false), ACQUIRE(5, 6, 7, true), READ(7, 8, 7),
        RELEASE(9, 10, 8, false), RELEASE(11, 12, 7, true), ACQUIRE(13, 14, 8, true));
    breaks(ACQUIRE(1, 2, 7, true), ACQUIRE(3, 4, 8, true));
    breaks(ACQUIRE(1, 2, 7, true), RELEASE(3, 4, 7, true), READ(5, 6, 7));
    breaks(ACQUIRE(1, 2, 7, false));
    breaks(RELEASE(1, 2, 7, true));
    holds(ACQUIRE(1, 2, 7, true), RELEASE(3, LINEAR_NEVER, 7, false), ACQUIRE(5, 6, 8, true));
    holds(ACQUIRE(1, LINEAR_NEVER, 7, false), ACQUIRE(3, 4, 8, false), RELEASE(5, 6, 7, true));
    breaks(ACQUIRE(1, LINEAR_NEVER, 7, false), ACQUIRE(3, 4, 8, true), RELEASE(5, 6, 7, true));
}

static void keys_are_apart(void **state)
{
    (void)state;
    struct linear_call calls[] = { WRITE(1, 2, 7), READ(3, 4, 0), READ(5, 6, 7) };
    struct linear_report report;
    calls[1].key[0] = 'x';
    assert_int_equal(linear_check(calls, 3, 0, &report), LINEAR_YES);
    assert_int_equal(report.keys, 2);
    calls[0].value = 9;
    assert_int_equal(calls[0].key[0], 'k');
    assert_int_equal(linear_check(calls, 3, 0, &report), LINEAR_NO);
    assert_string_equal(report.key, "k");
    assert_int_equal(report.stuck_n, 1);
    assert_int_equal(report.stuck[0].value, 7);
}

/* Calls of several clients in a world that is linearizable by construction: each takes effect at a
 * random moment in its interval. Then one read is changed to what was overwritten long before. */
static size_t make_history(struct linear_call *calls, size_t n, uint64_t seed, uint32_t lost_of_100)
{
    struct prng prng;
    uint64_t value = 0, past = 0;
    size_t late_read = 0;
    prng_seed(&prng, seed);
    for (size_t i = 0; i < n; i++) {
        uint64_t at = 1000 + 10 * i; /* when it takes effect */
        struct linear_call c = { .key = "k",
            .began = at - prng_below(&prng, 60),
            .ended = at + prng_below(&prng, 60),
            .kind = (enum linear_kind)prng_below(&prng, 3) };
        bool lost = prng_chance(&prng, lost_of_100, 100);
        if (c.kind != LINEAR_READ) c.value = 100 + i;
        if (c.kind == LINEAR_CAS) {
            c.expect = prng_chance(&prng, 1, 2) ? value : past;
            c.ok = c.expect == value;
        }
        past = value;
        if (c.kind == LINEAR_WRITE || c.ok) value = c.value;
        if (c.kind == LINEAR_READ) c.value = value;
        if (c.kind == LINEAR_READ && !lost) late_read = i;
        if (i == 0) c = (struct linear_call)WRITE(1, 2, value = 100);
        if (lost) c.ended = LINEAR_NEVER;
        calls[i] = c;
    }
    return late_read;
}

static void long_histories_are_decided(void **state)
{
    enum { N = 2000 };
    struct linear_call *calls = calloc(N, sizeof *calls);
    struct linear_report report;
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        make_history(calls, N, seed, 5);
        assert_int_equal(linear_check(calls, N, 0, &report), LINEAR_YES);
    }
    for (uint64_t seed = 1; seed <= 20; seed++) {
        size_t read = make_history(calls, N, seed, 0);
        calls[read].value = calls[0].value; /* overwritten long before */
        assert_int_equal(linear_check(calls, N, 0, &report), LINEAR_NO);
    }
    free(calls);
}

/* Any of the forgotten writes may explain why a swap failed: which one does not matter. */
static void many_unknown_outcomes_are_decided(void **state)
{
    (void)state;
    struct linear_call calls[40 + 4 * 8 + 1];
    struct linear_report report;
    size_t n = 0;
    for (uint64_t i = 0; i < 40; i++)
        calls[n++] = (struct linear_call)WRITE(1 + i, LINEAR_NEVER, 1000 + i);
    for (uint64_t t = 100; t < 180; t += 10) {
        calls[n++] = (struct linear_call)WRITE(t, t + 1, 0);
        calls[n++] = (struct linear_call)CAS(t + 2, t + 3, 0, t + 2, false);
        calls[n++] = (struct linear_call)WRITE(t + 4, t + 5, t + 4);
        calls[n++] = (struct linear_call)READ(t + 6, t + 7, t + 4);
    }
    assert_int_equal(linear_check(calls, n, 0, &report), LINEAR_YES);
    calls[n++] = (struct linear_call)READ(300, 301, 7);
    assert_int_equal(linear_check(calls, n, 0, &report), LINEAR_NO);
}

static void a_budget_ends_the_search(void **state)
{
    (void)state;
    struct linear_call calls[24];
    struct linear_report report;
    size_t n = 0;
    while (n < 20) { /* in any order, one after the other */
        calls[n] = (struct linear_call)CAS(1, 100, n % 4, (n + 1) % 4, true);
        n++;
    }
    calls[n++] = (struct linear_call)READ(101, 102, 99);
    assert_int_equal(linear_check(calls, n, 1000, &report), LINEAR_UNDECIDED);
}

static void files_are_read(void **state)
{
    static const char text[] =
        "{\"client\":3,\"op\":\"write\",\"key\":\"a\",\"value\":\"x\",\"begin\":1,\"end\":2}\n"
        "{\"op\":\"cas\",\"key\":\"a\",\"value\":\"y\",\"expect\":\"x\",\"ok\":true,\"begin\":3,"
        "\"end\":4}\n"
        "{\"op\":\"delete\",\"key\":\"a\",\"begin\":5,\"end\":null}\n"
        "{\"op\":\"read\",\"key\":\"a\",\"value\":null,\"begin\":6,\"end\":7}\n";
    char path[] = "/tmp/consuld-history-XXXXXX", why[256];
    struct linear_call *calls;
    size_t n;
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    assert_true(linear_read_file(path, &calls, &n, why, sizeof why));
    assert_int_equal(n, 4);
    assert_int_equal(calls[0].client, 3);
    assert_int_equal(calls[1].expect, calls[0].value);
    assert_true(calls[1].ok);
    assert_true(calls[2].ended == LINEAR_NEVER && calls[2].kind == LINEAR_WRITE);
    assert_int_equal(calls[3].value, LINEAR_NOTHING);
    struct linear_report report;
    assert_int_equal(linear_check(calls, n, 0, &report), LINEAR_YES);
    free(calls);
    assert_int_equal(write(fd, "{}\n", 3), 3);
    assert_false(linear_read_file(path, &calls, &n, why, sizeof why));
    assert_non_null(strstr(why, "line 5 has no op"));
    free(calls);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_after_the_other_is_as_a_map),
        cmocka_unit_test(a_read_behind_a_newer_write_is_stale),
        cmocka_unit_test(readers_agree_on_the_order),
        cmocka_unit_test(calls_that_touch_are_at_the_same_time),
        cmocka_unit_test(a_lost_write_is_found),
        cmocka_unit_test(unknown_outcomes_may_happen_late_or_never),
        cmocka_unit_test(a_swap_happens_only_on_what_it_expects),
        cmocka_unit_test(a_lock_has_one_holder),
        cmocka_unit_test(keys_are_apart),
        cmocka_unit_test(long_histories_are_decided),
        cmocka_unit_test(many_unknown_outcomes_are_decided),
        cmocka_unit_test(a_budget_ends_the_search),
        cmocka_unit_test(files_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
