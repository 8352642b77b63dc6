/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>

#include "number.h"
#include "sample.h"

static struct arena arena;
static struct buf out = BUF_INIT(1 << 26);
static struct error err;

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    buf_deinit(&out);
    return 0;
}

static void written(const char *text)
{
    assert_str(buf_str(&out), text);
    buf_clear(&out);
}

static void string_is(struct str s, const char *text)
{
    json_encode(&type_str, &s, false, &out);
    written(text);
}

static void strings_are_escaped_as_go_does(void **state)
{
    (void)state;
    string_is(STR("plain"), "\"plain\"");
    string_is(STR_NIL, "\"\"");
    string_is(STR("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    string_is(STR("\n\r\t\b\f\x01\x1f\x7f"), "\"\\n\\r\\t\\u0008\\u000c\\u0001\\u001f\x7f\"");
    string_is(STR("nul\0byte"), "\"nul\\u0000byte\"");
    string_is(
        STR("<a href=\"x\">&</a>"), "\"\\u003ca href=\\\"x\\\"\\u003e\\u0026\\u003c/a\\u003e\"");
    string_is(STR("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"), "\"\\u2028\\u2029\xe2\x80\xaa\"");
    string_is(
        STR("gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xbb"), "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xbb\"");
}

static void invalid_utf8_becomes_a_replacement_per_byte(void **state)
{
    (void)state;
    string_is(STR("a\xff"
                  "b"),
        "\"a\\ufffdb\"");
    string_is(STR("\xc3"), "\"\\ufffd\"");
    string_is(STR("\xe2\x80"), "\"\\ufffd\\ufffd\"");
    string_is(STR("\xc0\xaf"), "\"\\ufffd\\ufffd\"");
    string_is(STR("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
    string_is(STR("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    string_is(STR("\xe2\x82\xac\x80"), "\"\xe2\x82\xac\\ufffd\"");
}

static void number_is(double v, const char *text)
{
    json_encode(&type_f64, &v, false, &out);
    written(text);
}

static void floats_are_shortest_and_in_gos_form(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *text;
    } rows[] = {
        { 0, "0" },
        { -0.0, "-0" },
        { 1, "1" },
        { -3, "-3" },
        { 0.1, "0.1" },
        { 1.5, "1.5" },
        { 100, "100" },
        { 123456789, "123456789" },
        { 0.000001, "0.000001" },
        { 0.0000012345, "0.0000012345" },
        { 0.0000001, "1e-7" },
        { 1.5e-9, "1.5e-9" },
        { 1e-10, "1e-10" },
        { 1e20, "100000000000000000000" },
        { 1e21, "1e+21" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
        { 5e-324, "5e-324" },
        { 2.2250738585072014e-308, "2.2250738585072014e-308" },
        { 9007199254740993.0, "9007199254740992" },
        { 1.0 / 3, "0.3333333333333333" },
        { 5.684341886080802e-14, "5.684341886080802e-14" },
        { 0.001567, "0.001567" },
        { 123456789012345680000.0, "123456789012345680000" },
        { -1.25, "-1.25" },
        { 12.000000000000002, "12.000000000000002" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        number_is(rows[i].v, rows[i].text);
    float f = 0.1F;
    json_encode(&type_f32, &f, false, &out);
    written("0.1");
    f = 16777216;
    json_encode(&type_f32, &f, false, &out);
    written("16777216");
    f = 3.4028235e38F;
    json_encode(&type_f32, &f, false, &out);
    written("3.4028235e+38");
    f = 33.333332F;
    json_encode(&type_f32, &f, false, &out);
    written("33.333332");
    number_is(DBL_MAX * 10, "null");
}

static void random_floats_read_back(void **state)
{
    (void)state;
    struct generator g = { .a = &arena };
    prng_seed(&g.rng, 3);
    for (int i = 0; i < 20000; i++) {
        double v = random_double(&g);
        char text[NUMBER_TEXT_MAX];
        size_t n = number_format(v, false, text);
        assert_true(number_value((struct str){ text, n }) == v);
        float f = (float)v;
        if (f - f != 0) continue;
        n = number_format((double)f, true, text);
        assert_true((float)number_value((struct str){ text, n }) == f);
    }
}

static void integers_keep_all_digits(void **state)
{
    (void)state;
    uint64_t u = UINT64_MAX;
    json_encode(&type_uint, &u, false, &out);
    written("18446744073709551615");
    int64_t i = INT64_MIN;
    json_encode(&type_int, &i, false, &out);
    written("-9223372036854775808");
}

static void records_follow_declaration_order_and_flags(void **state)
{
    (void)state;
    struct sample s = { .wait = 10000000000, .secret = STR("x"), .local = STR("l") };
    json_encode(&type_sample, &s, false, &out);
    written("{\"Zone\":\"\",\"On\":false,\"Port\":0,\"Tiny\":0,\"Flags\":0,\"Small\":0,\"Ratio\":0,"
            "\"Weight\":0,\"Value\":null,\"Created\":\"0001-01-01T00:00:00Z\",\"Wait\":\"10s\","
            "\"RawWait\":0,\"Any\":null,\"Part\":{\"Name\":\"\",\"Weight\":0,\"Count\":0},"
            "\"Maybe\":null,"
            "\"Wrapped\":{\"Kind\":\"\",\"Config\":null},\"MaybeWrapped\":null,\"Parts\":null,"
            "\"Carriers\":null,\"tags\":null,\"Numbers\":null,\"Floats\":null,\"Grid\":null,"
            "\"ByName\":null,\"Meta\":null,\"Header\":null,\"Groups\":null,\"Counts\":null,"
            "\"Local\":\"l\",\"Index\":0}");
}

#define OPTIONS_FIELDS(X, S) \
    X(S, on, BOOL, "On", .flags = JSON_OMIT) \
    X(S, name, STR, "Name", .flags = JSON_OMIT) \
    X(S, list, LIST_STR, "List", .flags = JSON_OMIT) \
    X(S, map, MAP_STR, "Map", .flags = JSON_OMIT) \
    X(S, part, PTR(part), "Part", .flags = JSON_OMIT) \
    X(S, whole, REC(part), "Whole", .flags = JSON_OMIT) \
    X(S, at, TIME, "At", .flags = JSON_OMIT) \
    X(S, expires, TIME, "Expires", .flags = TIME_PTR) \
    X(S, wait, DUR, "Wait", .flags = JSON_DUR_TEXT | JSON_TEXT_OMIT_ZERO) \
    X(S, always, LIST_STR, "Always", .flags = JSON_EMPTY_LIST) \
    X(S, filled, MAP_STR, "Filled", .flags = JSON_EMPTY_LIST)
DECLARE_RECORD(options, OPTIONS_FIELDS)
DEFINE_RECORD(options, OPTIONS_FIELDS, "Options")

static void empty_fields_are_left_out_where_go_does(void **state)
{
    (void)state;
    struct options o = { .list = LIST_EMPTY };
    json_encode(&type_options, &o, false, &out);
    written("{\"Whole\":{\"Name\":\"\",\"Weight\":0,\"Count\":0},\"At\":\"0001-01-01T00:00:00Z\","
            "\"Expires\":null,\"Always\":[],\"Filled\":{}}");
    struct part p = { 0 };
    o = (struct options){ .on = true, .part = &p, .wait = 1 };
    json_encode(&type_options, &o, false, &out);
    written("{\"On\":true,\"Part\":{\"Name\":\"\",\"Weight\":0,\"Count\":0},"
            "\"Whole\":{\"Name\":\"\",\"Weight\":0,\"Count\":0},\"At\":\"0001-01-01T00:00:00Z\","
            "\"Expires\":null,\"Wait\":\"1ns\",\"Always\":[],\"Filled\":{}}");
}

static void map_keys_are_sorted_bytewise(void **state)
{
    (void)state;
    struct dict d = { 0 };
    static const char *const keys[] = { "b", "a", "B", "ab", "", "\xc3\xa4" };
    for (size_t i = 0; i < 6; i++)
        dict_set_str(&arena, &d, str_of(keys[i]), STR("x"));
    json_encode(&type_map_str, &d, false, &out);
    written("{\"\":\"x\",\"B\":\"x\",\"a\":\"x\",\"ab\":\"x\",\"b\":\"x\",\"\xc3\xa4\":\"x\"}");
    struct value v = { .kind = V_MAP };
    for (int i = 199; i >= 0; i--) {
        char key[16];
        snprintf(key, sizeof key, "%03d", i / 2);
        *value_map_add(&arena, &v, str_dup(&arena, str_of(key))) =
            (struct value){ .kind = V_INT, .i = i };
    }
    json_encode_value(&v, false, &out);
    struct str head = str_slice(buf_str(&out), 0, 28);
    assert_str(head, "{\"000\":0,\"001\":2,\"002\":4,\"00"); /* of equal keys the last added */
    buf_clear(&out);
}

static void pretty_is_four_blanks_with_empties_on_one_line(void **state)
{
    (void)state;
    struct value v;
    assert_int_equal(
        json_parse(STR("{\"a\":[],\"b\":{},\"c\":[1,{\"d\":null}],\"e\":true}"), &arena, &v, &err),
        0);
    json_encode_value(&v, true, &out);
    written("{\n    \"a\": [],\n    \"b\": {},\n    \"c\": [\n        1,\n        {\n"
            "            \"d\": null\n        }\n    ],\n    \"e\": true\n}");
    assert_int_equal(json_parse(STR("[]"), &arena, &v, &err), 0);
    json_encode_value(&v, true, &out);
    written("[]");
}

static void the_streaming_writer_places_commas(void **state)
{
    (void)state;
    struct json_writer w;
    json_begin(&w, &out, false);
    json_object(&w);
    json_key(&w, "list");
    json_array(&w);
    json_u64(&w, 1);
    json_i64(&w, -2);
    json_f64(&w, 0.5);
    json_bool(&w, true);
    json_null(&w);
    json_c(&w, "c");
    json_base64(&w, STR("hi"));
    json_array(&w);
    json_array_end(&w);
    json_object(&w);
    json_object_end(&w);
    json_array_end(&w);
    json_key_str(&w, STR("x<"));
    json_str(&w, STR("y"));
    struct part p = { .name = STR("n") };
    json_key(&w, "part");
    json_obj(&w, &type_part, &p);
    json_object_end(&w);
    written("{\"list\":[1,-2,0.5,true,null,\"c\",\"aGk=\",[],{}],\"x\\u003c\":\"y\","
            "\"part\":{\"Name\":\"n\",\"Weight\":0,\"Count\":0}}");
}

static void bytes_are_base64_and_nil_is_null(void **state)
{
    (void)state;
    static const char *const rows[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
        { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "\xff\xfe\xfd", "//79" },
        { "\xfb\xef\xbe", "++++" } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str s = str_of(rows[i][0]), back;
        base64_encode(s, &out);
        assert_str(buf_str(&out), rows[i][1]);
        assert_true(base64_decode(buf_str(&out), &arena, &back));
        assert_true(str_eq(back, s));
        buf_clear(&out);
    }
    struct str nil = STR_NIL;
    json_encode(&type_bytes, &nil, false, &out);
    written("null");
}

static void broken_base64_names_the_byte(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int at; /* -1: good */
    } rows[] = { { "***", 0 }, { "short", 4 }, { "Zg=", 3 }, { "Zg", 0 }, { "Zm8", 0 },
        { "Zm9vYg", 4 }, { "=", 0 }, { "Z===", 1 }, { "Zg==x", 4 }, { "Zm8=x", 4 }, { "Zg=x", 2 },
        { "Zm\n9v\r\n", -1 }, { "Zg=\n=\n", -1 }, { "Zm9v====", 4 }, { "Zm9-", 3 } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str bytes;
        char text[64] = "";
        int rc = base64_parse(str_of(rows[i].text), &arena, &bytes, &err);
        if (rows[i].at >= 0)
            snprintf(text, sizeof text, "illegal base64 data at input byte %d", rows[i].at);
        assert_int_equal(rc != 0, rows[i].at >= 0);
        if (rc) assert_string_equal(err.text, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped_as_go_does),
        cmocka_unit_test(invalid_utf8_becomes_a_replacement_per_byte),
        cmocka_unit_test(floats_are_shortest_and_in_gos_form),
        cmocka_unit_test(random_floats_read_back),
        cmocka_unit_test(integers_keep_all_digits),
        cmocka_unit_test(records_follow_declaration_order_and_flags),
        cmocka_unit_test(empty_fields_are_left_out_where_go_does),
        cmocka_unit_test(map_keys_are_sorted_bytewise),
        cmocka_unit_test(pretty_is_four_blanks_with_empties_on_one_line),
        cmocka_unit_test(the_streaming_writer_places_commas),
        cmocka_unit_test(bytes_are_base64_and_nil_is_null),
        cmocka_unit_test(broken_base64_names_the_byte),
    };
    return cmocka_run_group_tests(tests, sample_setup, teardown);
}
