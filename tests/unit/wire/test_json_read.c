/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

static struct arena arena;
static struct error err;

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* --- texts --------------------------------------------------------------------------------- */

static void syntax_errors_are_gos(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "", "EOF" },
        { " \n\t ", "EOF" },
        { "{", "unexpected EOF" },
        { "[1,", "unexpected EOF" },
        { "\"abc", "unexpected EOF" },
        { "tru", "unexpected EOF" },
        { "-", "unexpected EOF" },
        { "1.", "unexpected EOF" },
        { "{\"a\"", "unexpected EOF" },
        { "x", "invalid character 'x' looking for beginning of value" },
        { "}", "invalid character '}' looking for beginning of value" },
        { "[1,]", "invalid character ']' looking for beginning of value" },
        { "'a'", "invalid character '\\'' looking for beginning of value" },
        { "\x01", "invalid character '\\x01' looking for beginning of value" },
        { "\x80", "invalid character '\\u0080' looking for beginning of value" },
        { "\xef\xbb\xbf{}", "invalid character '\xc3\xaf' looking for beginning of value" },
        { "nope", "invalid character 'o' in literal null (expecting 'u')" },
        { "truE", "invalid character 'E' in literal true (expecting 'e')" },
        { "{1:2}", "invalid character '1' looking for beginning of object key string" },
        { "{\"a\":1,}", "invalid character '}' looking for beginning of object key string" },
        { "{\"a\" 1}", "invalid character '1' after object key" },
        { "{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair" },
        { "[1 2]", "invalid character '2' after array element" },
        { "[01]", "invalid character '1' after array element" },
        { "\"a\nb\"", "invalid character '\\n' in string literal" },
        { "\"a\\qb\"", "invalid character 'q' in string escape code" },
        { "\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape" },
        { "-a", "invalid character 'a' in numeric literal" },
        { "1.x", "invalid character 'x' after decimal point in numeric literal" },
        { "1ex", "invalid character 'x' in exponent of numeric literal" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct value v;
        assert_int_not_equal(json_parse(str_of(rows[i][0]), &arena, &v, &err), 0);
        assert_string_equal(err.text, rows[i][1]);
    }
}

static void only_a_whole_document_minds_what_follows(void **state)
{
    (void)state;
    struct value v;
    assert_int_equal(json_parse(STR("{} rest"), &arena, &v, &err), 0);
    assert_int_equal(json_parse_whole(STR(" {}\n "), &arena, &v, &err), 0);
    assert_int_not_equal(json_parse_whole(STR("{} rest"), &arena, &v, &err), 0);
    assert_string_equal(err.text, "invalid character 'r' after top-level value");
    assert_int_not_equal(json_parse_whole(STR("{\"a\":"), &arena, &v, &err), 0);
    assert_string_equal(err.text, "unexpected end of JSON input");
    assert_int_not_equal(json_parse_whole(STR_NIL, &arena, &v, &err), 0);
    assert_string_equal(err.text, "unexpected end of JSON input");
}

static struct str parsed_string(struct str text)
{
    struct value v;
    if (json_parse(text, &arena, &v, &err)) fail_msg("%s", err.text);
    assert_int_equal(v.kind, V_STR);
    return v.s;
}

static void strings_are_unescaped_and_made_valid(void **state)
{
    (void)state;
    assert_str(parsed_string(STR("\"\"")), "");
    assert_str(parsed_string(STR("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"")), "a\"\\/\b\f\n\r\tz");
    assert_str(parsed_string(STR("\"\\u00e9\\u20AC\"")), "\xc3\xa9\xe2\x82\xac");
    assert_str(parsed_string(STR("\"\\ud83d\\udc3b!\"")), "\xf0\x9f\x90\xbb!");
    assert_str(parsed_string(STR("\"\\ud83d!\"")), "\xef\xbf\xbd!");
    assert_str(parsed_string(STR("\"\\ud83d\\u0041\"")), "\xef\xbf\xbd"
                                                         "A");
    assert_str(parsed_string(STR("\"\\udc3b\"")), "\xef\xbf\xbd");
    assert_str(parsed_string(STR("\"a\xff\xe2\x82"
                                 "b\"")),
        "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
        "b");
    assert_int_equal(parsed_string(STR("\"a\\u0000b\"")).n, 3);
}

static void values_know_their_line_and_keep_numbers_as_texts(void **state)
{
    (void)state;
    struct value v;
    assert_int_equal(json_parse(STR("{\n \"a\": 18446744073709551615,\n\n \"b\": [1e3,\n-0.5]}"),
                         &arena, &v, &err),
        0);
    const struct value *a = value_get(&v, STR("a")), *b = value_get(&v, STR("b"));
    assert_int_equal(v.line, 1);
    assert_int_equal(a->line, 2);
    assert_str(a->s, "18446744073709551615");
    assert_int_equal(b->line, 4);
    assert_str(b->list.v[0].s, "1e3");
    assert_int_equal(b->list.v[1].line, 5);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    static char text[2 * JSON_DEPTH_MAX + 2];
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    struct value v;
    assert_int_not_equal(json_parse((struct str){ text, sizeof text }, &arena, &v, &err), 0);
    assert_string_equal(err.text, "exceeded max depth");
    assert_int_equal(json_parse((struct str){ text + 1, sizeof text - 2 }, &arena, &v, &err), 0);
}

/* --- records ------------------------------------------------------------------------------- */

static struct sample decode(const char *text)
{
    struct sample s = { 0 };
    if (json_decode(str_of(text), &arena, &type_sample, &s, 0, &err))
        fail_msg("%s: %s", text, err.text);
    return s;
}

static void refused(const struct type *t, const char *text, const char *message)
{
    char obj[2048] = { 0 };
    assert_true(t->size <= sizeof obj);
    assert_int_not_equal(json_decode(str_of(text), &arena, t, obj, 0, &err), 0);
    assert_string_equal(err.text, message);
}

static void keys_match_without_case_and_the_last_one_wins(void **state)
{
    (void)state;
    struct sample s = decode("{\"zONE\":\"a\",\"PORT\":80,\"TAGS\":[\"x\"]}");
    assert_str(s.zone, "a");
    assert_int_equal(s.port, 80);
    assert_int_equal(s.tags.n, 1);
    s = decode("{\"Zone\":\"a\",\"zone\":\"b\"}");
    assert_str(s.zone, "b");
    s = decode("{} trailing");
    assert_null(s.zone.p);
    s = decode("null");
    assert_null(s.zone.p);
}

static void aliases_give_way_to_the_normal_name(void **state)
{
    (void)state;
    assert_int_equal(decode("{\"the_port\":1}").port, 1);
    assert_int_equal(decode("{\"Portal\":2}").port, 2);
    assert_int_equal(decode("{\"port\":3,\"the_port\":1}").port, 3);
    assert_int_equal(decode("{\"the_port\":1,\"port\":3}").port, 3);
}

static void unknown_keys_are_an_error_unless_told(void **state)
{
    (void)state;
    refused(&type_sample, "{\"Bogus\":1}", "json: unknown field \"Bogus\"");
    refused(&type_sample, "{\"Part\":{\"a\\\"b\":1}}", "json: unknown field \"a\\\"b\"");
    refused(&type_sample, "{\"Secret\":\"x\"}", "json: unknown field \"Secret\"");
    refused(&type_sample, "{\"the\":1}", "json: unknown field \"the\"");
    struct sample s = { 0 };
    assert_int_equal(json_decode(STR("{\"Bogus\":{\"a\":[1]},\"Zone\":\"z\"}"), &arena,
                         &type_sample, &s, JSON_UNKNOWN_IGNORED, &err),
        0);
    assert_str(s.zone, "z");
}

static void null_leaves_scalars_and_empties_the_rest(void **state)
{
    (void)state;
    struct part p = { 0 };
    struct sample s = { .port = 8, .zone = STR("z"), .maybe = &p, .tags = LIST_EMPTY };
    assert_int_equal(
        json_decode(STR("{\"Port\":null,\"Zone\":null,\"Maybe\":null,\"tags\":null,\"Wait\":null,"
                        "\"Part\":null,\"Wrapped\":{\"Config\":null}}"),
            &arena, &type_sample, &s, 0, &err),
        0);
    assert_int_equal(s.port, 8);
    assert_str(s.zone, "z");
    assert_null(s.maybe);
    assert_null(s.tags.v);
}

static void wrong_types_are_named_with_their_path(void **state)
{
    (void)state;
    const struct type *t = &type_sample;
    refused(t, "{\"Port\":\"80\"}",
        "json: cannot unmarshal string into Go struct field Sample.Port of type int");
    refused(t, "{\"port\":1.5}",
        "json: cannot unmarshal number 1.5 into Go struct field Sample.Port of type int");
    refused(t, "{\"Flags\":-1}",
        "json: cannot unmarshal number -1 into Go struct field Sample.Flags of type uint64");
    refused(t, "{\"Tiny\":128}",
        "json: cannot unmarshal number 128 into Go struct field Sample.Tiny of type int8");
    refused(t, "{\"Small\":4294967296}",
        "json: cannot unmarshal number 4294967296 into Go struct field Sample.Small of type "
        "uint32");
    refused(t, "{\"Port\":1e2}",
        "json: cannot unmarshal number 1e2 into Go struct field Sample.Port of type int");
    refused(t, "{\"Port\":9223372036854775808}",
        "json: cannot unmarshal number 9223372036854775808 into Go struct field Sample.Port of "
        "type int");
    refused(t, "{\"Ratio\":1e999}",
        "json: cannot unmarshal number 1e999 into Go struct field Sample.Ratio of type float64");
    refused(t, "{\"tags\":\"x\"}",
        "json: cannot unmarshal string into Go struct field Sample.tags of type []string");
    refused(t, "{\"tags\":[5]}",
        "json: cannot unmarshal number into Go struct field Sample.tags of type string");
    refused(t, "{\"Meta\":{\"k\":1}}",
        "json: cannot unmarshal number into Go struct field Sample.Meta of type string");
    refused(t, "{\"Part\":{\"Name\":true}}",
        "json: cannot unmarshal bool into Go struct field Part.Part.Name of type string");
    refused(t, "{\"Maybe\":[]}",
        "json: cannot unmarshal array into Go struct field Sample.Maybe of type structs.Part");
    refused(t, "{\"Parts\":{}}",
        "json: cannot unmarshal object into Go struct field Sample.Parts of type []structs.Part");
    refused(t, "{\"Value\":5}",
        "json: cannot unmarshal number into Go struct field Sample.Value of type []uint8");
    refused(t, "{\"Value\":\"***\"}", "illegal base64 data at input byte 0");
    refused(t, "{\"Wrapped\":{\"Config\":[]}}",
        "json: cannot unmarshal array into Go struct field Carrier.Wrapped.Config of type "
        "map[string]interface {}");
    refused(t, "[]", "json: cannot unmarshal array into Go value of type api.Sample");
    refused(
        &type_part, "\"x\"", "json: cannot unmarshal string into Go value of type structs.Part");
    refused(&type_sample_list, "{}",
        "json: cannot unmarshal object into Go value of type []api.Sample");
    refused(t, "{\"RawWait\":\"1s\"}",
        "json: cannot unmarshal string into Go struct field Sample.RawWait of type time.Duration");
}

#define LAX_FIELDS(X, S) \
    X(S, port, INT, "Port") \
    X(S, part, REC(part), "Part")
DECLARE_RECORD(lax, LAX_FIELDS)
DEFINE_RECORD_WITH(lax, LAX_FIELDS, "Lax", .flags = RECORD_LAX)

static void lax_records_pass_over_unknown_keys_but_those_inside_do_not(void **state)
{
    (void)state;
    struct lax l = { 0 };
    struct str text = STR("{\"Bogus\":1,\"port\":5}");
    assert_int_equal(json_decode(text, &arena, &type_lax, &l, 0, &err), 0);
    assert_int_equal(l.port, 5);
    refused(&type_lax, "{\"Part\":{\"Bogus\":1}}", "json: unknown field \"Bogus\"");
}

#define UNNAMED_FIELDS(X, S) X(S, port, INT, "Port")
DECLARE_RECORD(unnamed, UNNAMED_FIELDS)
DEFINE_RECORD_WITH(unnamed, UNNAMED_FIELDS, "Service",
    .json_type = "struct { LockDelay interface {}; *structs.Alias }")

static void types_without_a_name_show_none(void **state)
{
    (void)state;
    refused(&type_unnamed, "{\"Port\":\"80\"}",
        "json: cannot unmarshal string into Go struct field .Port of type int");
    refused(&type_unnamed, "[]",
        "json: cannot unmarshal array into Go value of type struct { LockDelay interface {}; "
        "*structs.Alias }");
}

static void durations_are_texts_or_nanoseconds(void **state)
{
    (void)state;
    assert_int_equal(decode("{\"Wait\":\"1m30s\"}").wait, 90000000000);
    assert_int_equal(decode("{\"Wait\":1500}").wait, 1500);
    assert_int_equal(decode("{\"Wait\":1.5e9}").wait, 1500000000);
    assert_int_equal(decode("{\"Wait\":true}").wait, 0);
    assert_int_equal(decode("{\"RawWait\":7}").raw_wait, 7);
    refused(&type_sample, "{\"Wait\":\"zz\"}", "time: invalid duration \"zz\"");
    refused(&type_sample, "{\"Wait\":\"5\"}", "time: missing unit in duration \"5\"");
}

static void times_are_rfc3339(void **state)
{
    (void)state;
    struct sample s = decode("{\"Created\":\"2020-01-02T03:04:05.6Z\",\"Expires\":null}");
    assert_true(gotime_to_unix_ns(s.created) == INT64_C(1577934245600000000));
    refused(&type_sample, "{\"Created\":\"abc\"}",
        "parsing time \"\\\"abc\\\"\" as \"\\\"2006-01-02T15:04:05Z07:00\\\"\": cannot parse "
        "\"abc\\\"\" as "
        "\"2006\"");
}

static void free_form_numbers_are_floats_and_keys_are_unique(void **state)
{
    (void)state;
    struct sample s = decode("{\"Any\":{\"a\":1,\"b\":[2,{\"c\":3}],\"a\":4}}");
    assert_int_equal(s.any.kind, V_MAP);
    assert_int_equal(s.any.map.n, 2);
    const struct value *a = value_get(&s.any, STR("a"));
    assert_int_equal(a->kind, V_FLOAT);
    assert_true(a->f == 4);
    const struct value *c = value_get(&value_get(&s.any, STR("b"))->list.v[1], STR("c"));
    assert_int_equal(c->kind, V_FLOAT);
    refused(&type_sample, "{\"Any\":[1e999]}",
        "json: cannot unmarshal number 1e999 into Go struct field Sample.Any of type float64");
    s = decode("{\"Meta\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}}");
    assert_int_equal(s.meta.n, 2);
    assert_str(dict_str(&s.meta, STR("a")), "3");
}

static void random_records_survive_a_round_trip(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(1 << 26);
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct generator g = { .a = &arena, .json = true };
        prng_seed(&g.rng, seed);
        struct sample s = { 0 }, back = { 0 };
        random_fill(&g, &type_sample, 0, 4, &s);
        json_encode(&type_sample, &s, seed % 2, &out);
        if (json_decode(buf_str(&out), &arena, &type_sample, &back, 0, &err))
            fail_msg("seed %d: %s", (int)seed, err.text);
        if (!record_equal(&type_sample, &s, &back))
            fail_msg("seed %d: %.*s", (int)seed, (int)out.n, out.p);
        buf_clear(&out);
        arena_reset(&arena);
    }
    buf_deinit(&out);
}

static void every_truncation_is_an_error(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(1 << 26);
    struct generator g = { .a = &arena, .json = true };
    prng_seed(&g.rng, 4);
    struct sample s = { 0 };
    random_fill(&g, &type_sample, 0, 3, &s);
    json_encode(&type_sample, &s, false, &out);
    size_t step = out.n / 300 + 1;
    for (size_t n = 1; n < out.n; n += step) {
        struct arena own = ARENA_INIT;
        struct value v;
        char *exact = arena_copy(&own, out.p, n);
        assert_int_not_equal(json_parse((struct str){ exact, n }, &own, &v, &err), 0);
        assert_string_equal(err.text, "unexpected EOF");
        arena_free(&own);
    }
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(syntax_errors_are_gos),
        cmocka_unit_test(only_a_whole_document_minds_what_follows),
        cmocka_unit_test(strings_are_unescaped_and_made_valid),
        cmocka_unit_test(values_know_their_line_and_keep_numbers_as_texts),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(keys_match_without_case_and_the_last_one_wins),
        cmocka_unit_test(aliases_give_way_to_the_normal_name),
        cmocka_unit_test(unknown_keys_are_an_error_unless_told),
        cmocka_unit_test(lax_records_pass_over_unknown_keys_but_those_inside_do_not),
        cmocka_unit_test(null_leaves_scalars_and_empties_the_rest),
        cmocka_unit_test(wrong_types_are_named_with_their_path),
        cmocka_unit_test(types_without_a_name_show_none),
        cmocka_unit_test(durations_are_texts_or_nanoseconds),
        cmocka_unit_test(times_are_rfc3339),
        cmocka_unit_test(free_form_numbers_are_floats_and_keys_are_unique),
        cmocka_unit_test(random_records_survive_a_round_trip),
        cmocka_unit_test(every_truncation_is_an_error),
    };
    return cmocka_run_group_tests(tests, sample_setup, teardown);
}
