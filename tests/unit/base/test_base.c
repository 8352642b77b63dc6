/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/base.h"
#include "consuld/base/host_port.h"

static void map_finds_what_was_put_and_nothing_else(void **state)
{
    (void)state;
    static int value[2000];
    struct map m = MAP_INIT;
    char key[16];
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_null(map_put(&m, str_of(key), &value[i]));
    }
    for (int i = 0; i < 2000; i += 2) {
        snprintf(key, sizeof key, "k%d", i);
        assert_ptr_equal(map_remove(&m, str_of(key)), &value[i]);
        assert_null(map_remove(&m, str_of(key)));
    }
    assert_int_equal(m.n, 1000);
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_ptr_equal(map_get(&m, str_of(key)), i % 2 ? &value[i] : NULL);
    }
    size_t seen = 0;
    for (size_t it = 0; map_next(&m, &it, NULL, NULL);)
        seen++;
    assert_int_equal(seen, 1000);
    assert_ptr_equal(map_put(&m, STR("k1"), &value[0]), &value[1]);
    map_deinit(&m);
}

static void map_survives_churn_of_one_slot(void **state)
{
    (void)state;
    struct map m = MAP_INIT;
    int v;
    char key[16];
    for (int i = 0; i < 10000; i++) {
        snprintf(key, sizeof key, "%d", i);
        map_put(&m, str_of(key), &v);
        map_remove(&m, str_of(key));
    }
    assert_int_equal(m.n, 0);
    assert_true(m.cap <= 16);
    map_deinit(&m);
}

static void buffer_stops_at_its_maximum(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1000);
    for (int i = 0; i < 100; i++)
        buf_put(&b, "0123456789", 10);
    assert_false(b.overflow);
    buf_put_char(&b, 'x');
    assert_true(b.overflow);
    assert_int_equal(b.n, 1000);
    buf_put(&b, "", 0);
    buf_clear(&b);
    buf_put_u64(&b, UINT64_MAX);
    assert_true(str_is(buf_str(&b), "18446744073709551615"));
    buf_consume(&b, 18);
    assert_true(str_is(buf_str(&b), "15"));
    buf_deinit(&b);
}

static void numbers_are_read_whole_or_refused(void **state)
{
    (void)state;
    uint64_t u;
    int64_t i;
    assert_true(str_to_u64(STR("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_false(str_to_u64(STR("18446744073709551616"), &u));
    assert_false(str_to_u64(STR(""), &u));
    assert_false(str_to_u64(STR("1x"), &u));
    assert_true(str_to_i64(STR("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_false(str_to_i64(STR("9223372036854775808"), &i));
}

static void host_and_port_are_split_as_go_does(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *port, *why;
    } rows[] = {
        { "a:1", "a", "1", NULL },
        { ":x", "", "x", NULL },
        { "a:", "a", "", NULL },
        { "[::1]:8301", "::1", "8301", NULL },
        { "[]:1", "", "1", NULL },
        { "", NULL, NULL, "missing port in address" },
        { "a", NULL, NULL, "missing port in address" },
        { "[::1]", NULL, NULL, "missing port in address" },
        { "[::1]x:1", NULL, NULL, "missing port in address" },
        { "::1", NULL, NULL, "too many colons in address" },
        { "[::1]:1:2", NULL, NULL, "too many colons in address" },
        { "[::1", NULL, NULL, "missing ']' in address" },
        { "x[y:1", NULL, NULL, "unexpected '[' in address" },
        { "[[::1]:1", NULL, NULL, "unexpected '[' in address" },
        { "x]y:1", NULL, NULL, "unexpected ']' in address" },
        { "[::1]:1]", NULL, NULL, "unexpected ']' in address" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str host, port;
        const char *why = host_port_split(str_of(rows[i].text), &host, &port);
        if (rows[i].why) {
            assert_non_null(why);
            assert_string_equal(why, rows[i].why);
        } else {
            assert_null(why);
            assert_true(str_is(host, rows[i].host) && str_is(port, rows[i].port));
        }
    }
}

static void strings_compare_bytewise(void **state)
{
    (void)state;
    struct str head, tail;
    assert_true(str_cmp(STR("a"), STR("a/b")) < 0);
    assert_true(str_cmp(STR("b"), STR("a/b")) > 0);
    assert_true(str_eq_nocase(STR("WeB"), STR("wEb")));
    assert_false(str_eq(STR("web"), STR("we")));
    assert_true(str_cut(STR("k:v:w"), ':', &head, &tail));
    assert_true(str_is(head, "k") && str_is(tail, "v:w"));
    assert_false(str_cut(STR("k"), ':', &head, &tail));
    assert_null(tail.p);
    assert_true(str_is(str_trim(STR(" \ta b\r\n")), "a b"));
    assert_int_equal(str_find(STR("abcabd"), STR("abd")), 3);
    assert_int_equal(str_find(STR("abc"), STR("x")), -1);
}

static void arena_memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    for (size_t n = 0; n < 5000; n += 37) {
        unsigned char *p = arena_alloc(&a, n);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n);
    }
    arena_reset(&a);
    unsigned char *again = arena_alloc(&a, 4000);
    for (size_t i = 0; i < 4000; i++)
        assert_int_equal(again[i], 0);
    arena_free(&a);
}

static void uuids_round_trip(void **state)
{
    (void)state;
    uint8_t bytes[16];
    char text[UUID_TEXT_LEN + 1];
    assert_true(uuid_parse(STR("DEADBEEF-0123-4567-89ab-cdef01234567"), bytes));
    uuid_format(bytes, text);
    assert_string_equal(text, "deadbeef-0123-4567-89ab-cdef01234567");
    assert_false(uuid_valid(STR("deadbeef-0123-4567-89ab-cdef0123456")));
    assert_false(uuid_valid(STR("deadbeef-0123-4567-89ab_cdef01234567")));
}

static void error_prefix_keeps_the_reason(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(error_set(&err, ERR_DECODE, "bad %s", "byte"), ERR_DECODE);
    assert_int_equal(error_prefix(&err, "%s: ", "file"), ERR_DECODE);
    assert_string_equal(err.text, "file: bad byte");
}

static void last_line(void *ctx, enum log_level level, const char *line, size_t n)
{
    (void)level;
    snprintf(ctx, 256, "%.*s", (int)n, line);
}

static void log_lines_look_as_consuls(void **state)
{
    (void)state;
    char line[256] = "";
    log_setup(&(struct log_options){ .level = LOG_ERROR });
    int slot = log_tap_add(last_line, line, LOG_DEBUG, false);
    assert_true(slot >= 0);
    log_info("agent", "Synced service", "service", "web 1", "n", "2");
    assert_non_null(strstr(line, " [INFO]  agent: Synced service: service=\"web 1\" n=2"));
    log_trace("agent", "unseen");
    assert_null(strstr(line, "unseen"));
    log_tap_remove(slot);
    enum log_level level;
    assert_true(log_level_parse("err", &level) && level == LOG_ERROR);
    assert_false(log_level_parse("loud", &level));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_finds_what_was_put_and_nothing_else),
        cmocka_unit_test(map_survives_churn_of_one_slot),
        cmocka_unit_test(buffer_stops_at_its_maximum),
        cmocka_unit_test(numbers_are_read_whole_or_refused),
        cmocka_unit_test(host_and_port_are_split_as_go_does),
        cmocka_unit_test(strings_compare_bytewise),
        cmocka_unit_test(arena_memory_is_zeroed_and_aligned),
        cmocka_unit_test(uuids_round_trip),
        cmocka_unit_test(error_prefix_keeps_the_reason),
        cmocka_unit_test(log_lines_look_as_consuls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
