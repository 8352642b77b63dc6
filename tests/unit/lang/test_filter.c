/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "consuld/lang/filter.h"
#include "consuld/model.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    model_init();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static struct check_service_node sample(void)
{
    struct check_service_node n = { 0 };
    n.node = arena_new(&arena, struct node);
    n.node->node = STR("ra");
    dict_set_str(&arena, &n.node->meta, STR("zone"), STR("east"));
    n.service = arena_new(&arena, struct node_service);
    n.service->service = STR("web");
    n.service->port = 80;
    *LIST_PUSH(&arena, &n.service->tags, struct str) = STR("v1");
    *LIST_PUSH(&arena, &n.service->tags, struct str) = STR("prod");
    struct service_address *wan =
        dict_put(&arena, &n.service->tagged_addresses, &type_service_address, STR("wan"));
    *wan = (struct service_address){ .address = STR("9.9.9.9"), .port = 99 };
    LIST_PUSH(&arena, &n.checks, struct health_check)->status = STR("passing");
    LIST_PUSH(&arena, &n.checks, struct health_check)->status = STR("warning");
    return n;
}

static bool matches(const char *expr)
{
    struct check_service_node n = sample();
    struct error err;
    struct filter *f;
    bool match;
    if (filter_compile(str_of(expr), &type_check_service_node, &arena, &f, &err)) {
        fail_msg("%s: %s", expr, err.text);
    }
    if (filter_match(f, &n, &match, &err)) fail_msg("%s: %s", expr, err.text);
    return match;
}

static const char *refusal(const char *expr)
{
    struct error err;
    struct filter *f;
    if (!filter_compile(str_of(expr), &type_check_service_node, &arena, &f, &err)) {
        fail_msg("accepted: %s", expr);
    }
    return str_dup(&arena, str_of(err.text)).p;
}

static void each_operator_holds_and_fails(void **state)
{
    (void)state;
    static const struct {
        const char *expr;
        bool match;
    } rows[] = {
        { "Node.Node == ra", true },
        { "Node.Node==\"ra\"", true },
        { "Node.Node == `rb`", false },
        { "Node.Node != ra", false },
        { "Service.Port == 80", true },
        { "Service.Port == \"80\"", true },
        { "Service.Port != 81", true },
        { "Service.EnableTagOverride == false", true },
        { "v1 in Service.Tags", true },
        { "\"v2\" in Service.Tags", false },
        { "v2 not in Service.Tags", true },
        { "Service.Tags contains prod", true },
        { "Service.Tags not contains prod", false },
        { "Service.Tags is empty", false },
        { "Service.Tags is not empty", true },
        { "zone in Node.Meta", true },
        { "Node.Meta is empty", false },
        { "\"r\" in Node.Node", true },
        { "Node.Node matches \"^r[ab]$\"", true },
        { "Node.Node not matches \"^x\"", true },
        { "Service.Proxy.Upstreams is empty", true },
        { "Service.TaggedAddresses.wan.Port == 99", true },
        { "Service.TaggedAddresses[\"wan\"].Address == \"9.9.9.9\"", true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (matches(rows[i].expr) != rows[i].match) fail_msg("%s", rows[i].expr);
    }
}

static void and_binds_tighter_than_or(void **state)
{
    (void)state;
    assert_true(matches("Node.Node == ra or Node.Node == rb and Service.Port == 1"));
    assert_false(matches("(Node.Node == ra or Node.Node == rb) and Service.Port == 1"));
    assert_true(matches("not Node.Node == rb and not ( Service.Port == 1 )"));
    assert_true(matches(" Node.Node == ra\tand\n Service.Port == 80 "));
}

static void selector_through_a_list_matches_any_element(void **state)
{
    (void)state;
    assert_true(matches("Checks.Status == warning"));
    assert_false(matches("Checks.Status == critical"));
    assert_true(matches("Checks.Status != passing"));
}

static void absent_map_key_equals_nothing(void **state)
{
    (void)state;
    assert_false(matches("Node.Meta.none == x"));
    assert_true(matches("Node.Meta.none != x"));
    assert_true(matches("Node.Meta.none matches \"^w\"")); /* as recorded */
}

static void words_of_the_grammar_are_values_too(void **state)
{
    (void)state;
    assert_false(matches("not in Node.Meta"));
    assert_true(matches("Node.Node != in"));
}

static void escapes_are_those_of_go(void **state)
{
    (void)state;
    assert_true(matches("Node.Node == \"\\x72\\141\""));
    assert_true(matches("Node.Node == \"\\u0072a\""));
    refusal("Node.Node == \"\\q\"");
}

static void wrong_expressions_are_refused_with_the_reason(void **state)
{
    (void)state;
    assert_string_equal(refusal("Nope == 1"), "Selector \"Nope\" is not valid");
    assert_string_equal(
        refusal("Node.CreateIndex == 1"), "Selector \"Node.CreateIndex\" is not valid");
    assert_string_equal(
        refusal("Service.Proxy.Config.a == 1"), "Selector \"Service.Proxy.Config.a\" is not valid");
    assert_string_equal(refusal("Node.Node is empty"),
        "Invalid match operator \"Is Empty\" for selector \"Node.Node\"");
    assert_string_equal(refusal("Service.Port == x"),
        "Failed to coerce value \"x\" for selector \"Service.Port\": strconv.ParseInt: parsing "
        "\"x\": invalid syntax");
    static const char *const broken[] = { "", " ", "Node.Node", "Node.Node ==", "Node.Node = x",
        "Node.Node == \"ra", "(Node.Node == ra", "Node.Node == ra and", "and Node.Node == ra",
        "Node.Node in \"ra\"", "Node.Node == ra AND Node.Node == ra", "Node.Node == ra)",
        "Node. == x", "Node[ == x", "Node[\"a\" == x", "Node.Node == 1x", "Node.Node matches \"[\"",
        "Node.Node matches \"(?=a)\"", "Node.Node matches \"(a)\\\\1\"" };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        assert_true(strlen(refusal(broken[i])) > 0);
    }
}

static void refusals_name_all_that_could_have_stood_there(void **state)
{
    (void)state;
    static const struct {
        const char *expr, *why;
    } rows[] = {
        { "Node",
            "1:5 (4): no match found, expected: \"!=\", \".\", \"==\", \"[\", [ \\t\\r\\n] or "
            "[a-zA-Z0-9_]" },
        { "Node ",
            "1:6 (5): no match found, expected: \"!=\", \"==\", \"contains\", \"in\", \"is\", "
            "\"matches\", \"not\" or [ \\t\\r\\n]" },
        { "a == ",
            "1:6 (5): no match found, expected: \"-\", \"0\", \"\\\"\", \"`\", [ \\t\\r\\n], [1-9] "
            "or [a-zA-Z]" },
        { "( )",
            "1:3 (2): no match found, expected: \"(\", \"-\", \"0\", \"\\\"\", \"`\", \"not\", [ "
            "\\t\\r\\n], [1-9] or [a-zA-Z]" },
        { "a == b c", "1:8 (7): no match found, expected: \"and\", \"or\", [ \\t\\r\\n] or EOF" },
        { "a == n1\nand", "2:4 (11): no match found, expected: [ \\t\\r\\n]" },
        { "(a == b", "1:8 (7): rule \"grouping\": Unmatched parentheses" },
        { "(a == b[x]", "1:9 (8): rule \"index\": Invalid index\n1:8 (7): rule \"grouping\": "
                        "Unmatched parentheses" },
        { "a[\"x", "1:5 (4): rule \"string\": Unterminated string literal\n1:3 (2): rule "
                   "\"index\": Invalid index" },
        { "a[\"x\" == 3", "1:7 (6): rule \"index\": Unclosed index expression" },
        { "a == \"\\q\" and b == \"\\z\"", "1:6 (5): rule \"string\": invalid syntax\n1:20 (19): "
                                           "rule \"string\": invalid syntax" },
        { "1. in x", "1:2 (1): rule \"number\": Invalid number literal" },
        { "a in 5", "1:6 (5): rule \"match\": Invalid selector" },
        { "Node.Foo.Bar == 1", "Selector \"Node.Foo\" is not valid" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(refusal(rows[i].expr), rows[i].why);
}

static void nesting_and_length_are_bounded(void **state)
{
    (void)state;
    struct buf deep = BUF_INIT(1u << 20), longer = BUF_INIT(1u << 20);
    for (int i = 0; i < 5000; i++)
        buf_put_char(&deep, '(');
    buf_put_char(&deep, '\0');
    refusal((const char *)deep.p);
    buf_clear(&deep);
    for (int i = 0; i < 5000; i++)
        buf_put_c(&deep, "not ");
    buf_put_char(&deep, '\0');
    refusal((const char *)deep.p);
    for (size_t i = 0; i < FILTER_TEXT_MAX + 1; i++)
        buf_put_char(&longer, 'a');
    buf_put_char(&longer, '\0');
    refusal((const char *)longer.p);
    buf_deinit(&deep);
    buf_deinit(&longer);
}

static void long_chains_are_no_nesting(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1u << 20);
    for (int i = 0; i < 2500; i++)
        buf_put_c(&b, "Service.Port != 1 and ");
    buf_put_c(&b, "Service.Port == 80");
    buf_put_char(&b, '\0');
    assert_true(matches((const char *)b.p));
    buf_deinit(&b);
}

static void costly_expressions_end_with_an_error(void **state)
{
    (void)state;
    struct check_service_node n = sample();
    struct error err;
    struct filter *f;
    bool match;
    struct buf text = BUF_INIT(1000);
    for (int i = 0; i < 200; i++)
        buf_put_char(&text, 'a');
    n.node->node = buf_str(&text);
    assert_int_equal(filter_compile(STR("Node.Node matches \"^(a+)+$|(a*)*b\""),
                         &type_check_service_node, &arena, &f, &err),
        0);
    text.p[199] = '!';
    assert_true(filter_match(f, &n, &match, &err) < 0);
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operator_holds_and_fails),
        cmocka_unit_test(and_binds_tighter_than_or),
        cmocka_unit_test(selector_through_a_list_matches_any_element),
        cmocka_unit_test(absent_map_key_equals_nothing),
        cmocka_unit_test(words_of_the_grammar_are_values_too),
        cmocka_unit_test(escapes_are_those_of_go),
        cmocka_unit_test(wrong_expressions_are_refused_with_the_reason),
        cmocka_unit_test(refusals_name_all_that_could_have_stood_there),
        cmocka_unit_test(nesting_and_length_are_bounded),
        cmocka_unit_test(long_chains_are_no_nesting),
        cmocka_unit_test(costly_expressions_end_with_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
