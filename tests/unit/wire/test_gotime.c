/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

static struct buf out = BUF_INIT(4096);
static struct error err;

static int teardown(void **state)
{
    (void)state;
    buf_deinit(&out);
    return 0;
}

static void formatted(struct gotime t, const char *text)
{
    buf_clear(&out);
    gotime_format(t, &out);
    assert_str(buf_str(&out), text);
}

static void times_are_written_as_rfc3339(void **state)
{
    (void)state;
    formatted((struct gotime){ 0, 0, 0 }, "0001-01-01T00:00:00Z");
    formatted(GOTIME_ZERO, "0001-01-01T00:00:00Z");
    formatted(gotime_from_unix_ns(0), "1970-01-01T00:00:00Z");
    formatted(gotime_from_unix_ns(INT64_C(1582934400000000001)), "2020-02-29T00:00:00.000000001Z");
    formatted(gotime_from_unix_ns(INT64_C(1577934245600000000)), "2020-01-02T03:04:05.6Z");
    formatted(gotime_from_unix_ns(-1), "1969-12-31T23:59:59.999999999Z");
    struct gotime t = gotime_from_unix_ns(INT64_C(1577934245600000000));
    t.offset_min = 330;
    formatted(t, "2020-01-02T08:34:05.6+05:30");
    t.offset_min = -90;
    formatted(t, "2020-01-02T01:34:05.6-01:30");
    t.offset_min = 0;
    formatted(t, "2020-01-02T03:04:05.6Z");
}

static void any_binary_time_can_be_written(void **state)
{
    (void)state;
    static const int64_t seconds[] = { INT64_MIN, INT64_MIN + 1, -1, 1, INT64_MAX - 1, INT64_MAX };
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        buf_clear(&out);
        gotime_format((struct gotime){ seconds[i], INT32_MIN, INT16_MIN }, &out);
        gotime_format((struct gotime){ seconds[i], INT32_MAX, INT16_MAX }, &out);
        assert_true(out.n > 40);
        gotime_to_unix_ns((struct gotime){ seconds[i], INT32_MIN, 0 });
    }
}

static void every_day_reads_back(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 3652059; day += 13) { /* up to 9999-12-31 */
        struct gotime t = { day * 86400 + day % 86400, (int32_t)(day % 1000 * 1000003 % 1000000000),
            -1 };
        struct gotime back;
        buf_clear(&out);
        gotime_format(t, &out);
        assert_int_equal(gotime_parse(buf_str(&out), &back, &err), 0);
        assert_true(record_equal(&type_time, &t, &back));
    }
}

static void times_are_read_with_zones(void **state)
{
    (void)state;
    struct gotime t;
    assert_int_equal(gotime_parse(STR("2020-01-02T08:34:05.600+05:30"), &t, &err), 0);
    assert_int_equal(t.offset_min, 330);
    assert_true(gotime_to_unix_ns(t) == INT64_C(1577934245600000000));
    assert_int_equal(gotime_parse(STR("2020-02-29T00:00:00Z"), &t, &err), 0);
    assert_int_equal(t.offset_min, -1);
}

static void broken_times_are_refused_with_gos_text(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "x",
            "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"" },
        { "2020-1-02T00:00:00Z",
            "parsing time \"2020-1-02T00:00:00Z\" as \"2006-01-02T15:04:05Z07:00\": cannot parse "
            "\"1-02T00:00:00Z\" as \"01\"" },
        { "2020-01-02",
            "parsing time \"2020-01-02\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" "
            "as \"T\"" },
        { "2020-01-02T00:00:00", "parsing time \"2020-01-02T00:00:00\" as "
                                 "\"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as "
                                 "\"Z07:00\"" },
        { "2020-13-02T00:00:00Z", "parsing time \"2020-13-02T00:00:00Z\": month out of range" },
        { "2021-02-29T00:00:00Z", "parsing time \"2021-02-29T00:00:00Z\": day out of range" },
        { "2020-01-02T24:00:00Z", "parsing time \"2020-01-02T24:00:00Z\": hour out of range" },
        { "2020-01-02T00:00:00Zx", "parsing time \"2020-01-02T00:00:00Zx\": extra text: \"x\"" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gotime t;
        assert_int_equal(gotime_parse(str_of(rows[i][0]), &t, &err), ERR_DECODE);
        assert_string_equal(err.text, rows[i][1]);
    }
}

static void durations_are_written_as_go_does(void **state)
{
    (void)state;
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        { 0, "0s" },
        { 1, "1ns" },
        { 1100, "1.1\xc2\xb5s" },
        { 2200000, "2.2ms" },
        { 300000000, "300ms" },
        { 3300000000, "3.3s" },
        { 10000000000, "10s" },
        { 60000000000, "1m0s" },
        { 245000000000, "4m5s" },
        { 245001000000, "4m5.001s" },
        { 5400000000000, "1h30m0s" },
        { 18367001000000, "5h6m7.001s" },
        { 480000000001, "8m0.000000001s" },
        { -1500000000, "-1.5s" },
        { INT64_MAX, "2562047h47m16.854775807s" },
        { INT64_MIN, "-2562047h47m16.854775808s" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t back = 0;
        buf_clear(&out);
        duration_format(rows[i].ns, &out);
        assert_str(buf_str(&out), rows[i].text);
        if (rows[i].ns == INT64_MIN) continue;
        assert_int_equal(duration_parse(str_of(rows[i].text), &back, &err), 0);
        assert_true(back == rows[i].ns);
    }
}

static void durations_are_read_in_all_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } rows[] = {
        { "0", 0 },
        { "-0", 0 },
        { "+5s", 5000000000 },
        { "1.5h", 5400000000000 },
        { ".5s", 500000000 },
        { "5.s", 5000000000 },
        { "10us", 10000 },
        { "10\xce\xbcs", 10000 },
        { "1h1h", 7200000000000 },
        { "-1m30.5s", -90500000000 },
        { "0.3333333333333333333h", 1200000000000 },
        { "9223372036854775807ns", INT64_MAX },
        { "0.100000000000000000000h", 360000000000 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ns = -1;
        if (duration_parse(str_of(rows[i].text), &ns, &err))
            fail_msg("%s: %s", rows[i].text, err.text);
        assert_true(ns == rows[i].ns);
    }
}

static void broken_durations_are_refused_with_gos_text(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "", "time: invalid duration \"\"" },
        { "zz", "time: invalid duration \"zz\"" },
        { "-", "time: invalid duration \"-\"" },
        { ".s", "time: invalid duration \".s\"" },
        { "5", "time: missing unit in duration \"5\"" },
        { "1h5", "time: missing unit in duration \"1h5\"" },
        { "5x", "time: unknown unit \"x\" in duration \"5x\"" },
        { "5 s", "time: unknown unit \" s\" in duration \"5 s\"" },
        { "9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\"" },
        { "3000000h", "time: invalid duration \"3000000h\"" },
        { "2562047h2562047h", "time: invalid duration \"2562047h2562047h\"" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ns;
        assert_int_equal(duration_parse(str_of(rows[i][0]), &ns, &err), ERR_DECODE);
        assert_string_equal(err.text, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_as_rfc3339),
        cmocka_unit_test(any_binary_time_can_be_written),
        cmocka_unit_test(every_day_reads_back),
        cmocka_unit_test(times_are_read_with_zones),
        cmocka_unit_test(broken_times_are_refused_with_gos_text),
        cmocka_unit_test(durations_are_written_as_go_does),
        cmocka_unit_test(durations_are_read_in_all_forms),
        cmocka_unit_test(broken_durations_are_refused_with_gos_text),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
