/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "consuld/lang/hcl.h"
#include "consuld/wire/json.h"

static struct arena arena;

/* The value of `text` as compact JSON, or the error text behind "error: ". */
static const char *reading(struct str text)
{
    struct value v;
    struct error err;
    struct buf out = BUF_INIT(1 << 20);
    if (hcl_parse(text, &arena, &v, &err)) {
        buf_printf(&out, "error: %s", err.text);
    } else {
        json_encode_value(&v, false, &out);
    }
    const char *copy = str_c(&arena, buf_str(&out));
    buf_deinit(&out);
    return copy;
}

struct row {
    const char *text, *reading;
};

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_string_equal(reading(str_of(rows[i].text)), rows[i].reading);
}

#define CHECK(rows) check_rows(rows, sizeof rows / sizeof rows[0])

static void scalars_have_their_kinds(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "", "{}" },
        { "a = 1", "{\"a\":1}" },
        { "a = -12", "{\"a\":-12}" },
        { "a = 0x1F b = 017 c = 0", "{\"a\":31,\"b\":15,\"c\":0}" },
        { "a = 1.5 b = .25 c = 1e3 d = -2.5e-1", "{\"a\":1.5,\"b\":0.25,\"c\":1000,\"d\":-0.25}" },
        { "a = true b = false", "{\"a\":true,\"b\":false}" },
        { "a = \"x\"", "{\"a\":\"x\"}" },
        { "\"quoted key\" = \"x\"", "{\"quoted key\":\"x\"}" },
        { "a.b-c_d = 1", "{\"a.b-c_d\":1}" },
        { "\xC3\xBC = 1", "{\"\xC3\xBC\":1}" },
        { "a = 1 a = 2", "{\"a\":2}" },
    };
    CHECK(rows);
}

static void integers_and_reals_are_told_apart(void **state)
{
    (void)state;
    struct value v;
    assert_int_equal(hcl_parse(STR("i = 1 f = 1.0"), &arena, &v, NULL), 0);
    assert_int_equal(value_get(&v, STR("i"))->kind, V_INT);
    assert_int_equal(value_get(&v, STR("f"))->kind, V_FLOAT);
}

static void strings_are_unescaped(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "a = \"q\\\"q\\\\ n\\n t\\t\"", "{\"a\":\"q\\\"q\\\\ n\\n t\\t\"}" },
        { "a = \"\\x41\\u00e9\\U0001F600\\101\"", "{\"a\":\"A\xC3\xA9\xF0\x9F\x98\x80"
                                                  "A\"}" },
        { "a = \"${env(\"x\")}-\\n\"", "{\"a\":\"${env(\\\"x\\\")}-\\n\"}" },
        { "a = \"\\q\"", "error: At 1:7: illegal char escape" },
        { "a = \"\\ud800\"", "error: At 1:5: illegal char escape" },
    };
    CHECK(rows);
}

static void heredocs_keep_their_lines(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "a = <<EOF\none\n two\nEOF\n", "{\"a\":\"one\\n two\\n\"}" },
        { "a = <<EOF\n  one\n  EOF\nb = 1\n", "{\"a\":\"  one\\n  \",\"b\":1}" },
        { "a = <<-EOF\n    one\n      two\n    EOF\n", "{\"a\":\"one\\n  two\\n\"}" },
        { "a = <<-EOF\n  one\n    EOF\n", "{\"a\":\"  one\\n\"}" },
        { "a = <<-EOF\nEOF\n", "{\"a\":\"\"}" },
        { "a = [<<A\nx\nA\n, \"y\"]", "{\"a\":[\"x\\n\",\"y\"]}" },
        { "a = <<EOF\none", "error: At 2:4: heredoc not terminated" },
        { "a = <EOF\n", "error: At 1:6: heredoc expected second '<', didn't see it" },
        { "a = <<\n", "error: At 1:7: zero-length heredoc anchor" },
        { "a = <<E F\nE\n", "error: At 1:8: invalid characters in heredoc anchor" },
    };
    CHECK(rows);
}

static void comments_are_skipped(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "# one\na = 1 // two\n/* three\n */ b = 2 #", "{\"a\":1,\"b\":2}" },
        { "a = [ 1, # x\n 2 /* y */ ]", "{\"a\":[1,2]}" },
        { "a = 1 /* open", "error: At 1:14: comment not terminated" },
        { "a = 1 / 2", "error: At 1:7: expected '/' for comment" },
    };
    CHECK(rows);
}

static void objects_stand_in_lists(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "b { c = true }", "{\"b\":[{\"c\":true}]}" },
        { "b = { c = 1, d = 2 }", "{\"b\":[{\"c\":1,\"d\":2}]}" },
        { "b { } b { x = 1 }", "{\"b\":[{},{\"x\":1}]}" },
        { "b { c { d = 1 } }", "{\"b\":[{\"c\":[{\"d\":1}]}]}" },
        { "s \"web\" { port = 1 }", "{\"s\":[{\"web\":[{\"port\":1}]}]}" },
        { "s \"a\" \"b\" { } s \"c\" \"d\" { }",
            "{\"s\":[{\"a\":[{\"b\":[{}]}]},{\"c\":[{\"d\":[{}]}]}]}" },
        { "l = [{ a = 1 }, { }]", "{\"l\":[{\"a\":1},{}]}" },
        { "l = [1] l = [2]", "{\"l\":[1,2]}" },
        { "l = [[1], [2]]", "{\"l\":[[1],[2]]}" },
        { "l = [\"a\", \"b\",]", "{\"l\":[\"a\",\"b\"]}" },
    };
    CHECK(rows);
}

static void json_texts_take_the_same_shape(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { " {\"key\": {\"\": {\"policy\": \"read\"}}}",
            "{\"key\":[{\"\":[{\"policy\":\"read\"}]}]}" },
        { "{\"a\": [1, 2.5, {\"b\": {}}]}", "{\"a\":[1,2.5,{\"b\":[{}]}]}" },
    };
    CHECK(rows);
}

static void errors_name_line_and_column(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "service {", "error: At 1:11: object expected closing RBRACE got: EOF" },
        { "a {", "error: At 1:5: object expected closing RBRACE got: EOF" },
        { "key \"a\" {", "error: At 1:11: object expected closing RBRACE got: EOF" },
        { "zz", "error: At 1:4: key 'zz' expected start of object ('{') or assignment ('=')" },
        { "key \"a", "error: At 1:7: literal not terminated" },
        { "a = 1\nb = \"x\ny = 2", "error: At 2:7: literal not terminated" },
        { "a = ]", "error: At 1:5: Unknown token: 1:5 RBRACK ]" },
        { "a = foo", "error: At 1:5: Unknown token: 1:5 IDENT foo" },
        { "a b = 1", "error: At 1:5: nested object expected: LBRACE got: ASSIGN" },
        { "= 1", "error: At 1:1: no object keys found!" },
        { "{{}}", "error: invalid character '{' looking for beginning of object key string" },
        { "a = [1 2]",
            "error: At 1:8: error parsing list, expected comma or list end, got: NUMBER" },
        { "a = [b]", "error: At 1:6: unexpected token while parsing list: IDENT" },
        { "a = [{ b }]", "error: At 1:6: error while trying to parse object within list: "
                         "At 1:10: key 'b' expected start of object ('{') or assignment ('=')" },
        { "}", "error: At 1:1: expected: IDENT | STRING | ASSIGN | LBRACE got: RBRACE" },
        { "a = 09", "error: At 1:7: illegal octal number" },
        { "a = 0x", "error: At 1:7: illegal hexadecimal number" },
        { "a = 99999999999999999999",
            "error: strconv.ParseInt: parsing \"99999999999999999999\": value out of range" },
        { "a = ?", "error: At 1:5: illegal character" },
        { "a = \"\xFF\"", "error: At 1:6: illegal UTF-8 encoding" },
    };
    CHECK(rows);
}

static void a_key_without_value_at_the_end_is_dropped(void **state)
{
    (void)state;
    assert_string_equal(reading(STR("a = 1 b =")), "{\"a\":1}");
}

static void null_bytes_are_refused(void **state)
{
    (void)state;
    assert_string_equal(
        reading((struct str){ "a = \"\0\"", 7 }), "error: At 1:6: literal not terminated");
}

static void values_carry_their_lines(void **state)
{
    (void)state;
    struct value v;
    assert_int_equal(hcl_parse(STR("a = 1\n\nb {\n c = 2\n}"), &arena, &v, NULL), 0);
    assert_int_equal(value_get(&v, STR("a"))->line, 1);
    struct value *b = value_get(&v, STR("b"));
    assert_int_equal(b->line, 3);
    assert_int_equal(value_get(&b->list.v[0], STR("c"))->line, 4);
}

static struct str repeated(const char *part, size_t n)
{
    struct buf b = BUF_INIT(1 << 22);
    for (size_t i = 0; i < n; i++)
        buf_put_c(&b, part);
    struct str s = str_dup(&arena, buf_str(&b));
    buf_deinit(&b);
    return s;
}

static void depth_and_key_counts_are_bounded(void **state)
{
    (void)state;
    struct value v;
    assert_int_equal(hcl_parse(repeated("a {", 100000), &arena, &v, NULL), ERR_DECODE);
    assert_int_equal(hcl_parse(repeated("a = [", 1), &arena, &v, NULL), ERR_DECODE);
    assert_int_not_equal(hcl_parse(repeated("a \"b\" ", 100), &arena, &v, NULL), 0);
    struct buf b = BUF_INIT(1 << 22);
    buf_put_c(&b, "a = ");
    buf_put_str(&b, repeated("[", 100000));
    assert_int_equal(hcl_parse(buf_str(&b), &arena, &v, NULL), ERR_DECODE);
    buf_clear(&b);
    for (int i = 0; i < 5000; i++)
        buf_printf(&b, "k%d = 1\n", i);
    assert_int_equal(hcl_parse(buf_str(&b), &arena, &v, NULL), ERR_DECODE);
    buf_deinit(&b);
}

static int end(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_have_their_kinds),
        cmocka_unit_test(integers_and_reals_are_told_apart),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(heredocs_keep_their_lines),
        cmocka_unit_test(comments_are_skipped),
        cmocka_unit_test(objects_stand_in_lists),
        cmocka_unit_test(json_texts_take_the_same_shape),
        cmocka_unit_test(errors_name_line_and_column),
        cmocka_unit_test(a_key_without_value_at_the_end_is_dropped),
        cmocka_unit_test(null_bytes_are_refused),
        cmocka_unit_test(values_carry_their_lines),
        cmocka_unit_test(depth_and_key_counts_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
