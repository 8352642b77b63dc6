/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consuld/lang/regex.h"

static void refused(const char *text, const char *why)
{
    struct arena a = ARENA_INIT;
    struct error err;
    assert_null(regex_compile(str_of(text), &a, &err));
    assert_string_equal(err.text, why);
    arena_free(&a);
}

static void expression_is_found_anywhere(void **state)
{
    (void)state;
    assert_true(regex_found(STR("li.e$"), STR("alive")));
    assert_false(regex_found(STR("li.e$"), STR("alives")));
    assert_true(regex_found(STR(""), STR("")));
    assert_true(regex_found(STR("^$"), STR_NIL));
    assert_true(regex_found(STR("(?i)WEB"), STR("my-web-1")));
}

static void faults_read_as_in_go(void **state)
{
    (void)state;
    refused("[", "error parsing regexp: missing closing ]: `[`");
    refused("a[b", "error parsing regexp: missing closing ]: `[b`");
    refused("(a", "error parsing regexp: missing closing ): `(a`");
    refused("a)", "error parsing regexp: unexpected ): `a)`");
    refused("*", "error parsing regexp: missing argument to repetition operator: `*`");
    refused("a|*?", "error parsing regexp: missing argument to repetition operator: `*?`");
    refused("a**", "error parsing regexp: invalid nested repetition operator: `**`");
    refused("a{2}+?", "error parsing regexp: invalid nested repetition operator: `{2}+?`");
    refused("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`");
    refused("a{3,2}", "error parsing regexp: invalid repeat count: `{3,2}`");
    refused("b[z-a]", "error parsing regexp: invalid character class range: `z-a`");
    refused("[[:no:]]", "error parsing regexp: invalid character class range: `[:no:]`");
    refused("(?P<x", "error parsing regexp: invalid named capture: `(?P<x`");
    refused("a(?P<x-y>b)", "error parsing regexp: invalid named capture: `(?P<x-y>`");
    refused("a(?=b)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`");
    refused("a\\8", "error parsing regexp: invalid escape sequence: `\\8`");
    refused("a\\", "error parsing regexp: trailing backslash at end of expression: ``");
}

static void what_re2_lacks_is_refused(void **state)
{
    (void)state;
    static const char *const foreign[] = { "(?=a)", "(?<!a)", "(a)\\1", "(?>a)", "a++", "(*ACCEPT)",
        "(?R)" };
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        struct arena a = ARENA_INIT;
        struct error err;
        if (regex_compile(str_of(foreign[i]), &a, &err)) fail_msg("%s", foreign[i]);
        arena_free(&a);
    }
}

static void all_of_re2_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *text, *found;
    } rows[] = { { "a{2,}?b{,2}", "xaab{,2}" }, { "[]a]\\]", "]]" }, { "[^]a]", "b" },
        { "\\Qa.*\\E", "a.*" }, { "[[:alpha:]\\d_-]+\\pL", "a1_-b" }, { "(?i:A)(?P<n1>b)", "ab" },
        { "\\x41\\x{42}\\103\\.", "ABC." }, { "a{b", "a{b" }, { "(|a)*b", "aab" } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!regex_found(str_of(rows[i].text), str_of(rows[i].found))) fail_msg("%s", rows[i].text);
}

static void expensive_search_ends(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct error err;
    struct regex *r = regex_compile(STR("^(a|aa)+$"), &a, &err);
    assert_non_null(r);
    assert_int_equal(regex_search(r, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab")), ERR_LIMIT);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expression_is_found_anywhere),
        cmocka_unit_test(faults_read_as_in_go),
        cmocka_unit_test(what_re2_lacks_is_refused),
        cmocka_unit_test(all_of_re2_is_taken),
        cmocka_unit_test(expensive_search_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
