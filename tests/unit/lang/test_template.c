/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/lang/template.h"
#include "consuld/model.h"

struct fixture {
    struct arena a;
    struct error err;
    struct prepared_query query, out;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    model_init();
    f->query.name = STR("geo-");
    f->query.template.type = STR("name_prefix_match");
    f->query.service.service = STR("web");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_free(&f->a);
    free(f);
    return 0;
}

static int compile(struct fixture *f, struct query_template **t)
{
    return query_template_compile(&f->query, &f->a, t, &f->err);
}

static void refused(struct fixture *f, const char *why)
{
    struct query_template *t;
    assert_true(compile(f, &t) < 0);
    assert_string_equal(f->err.text, why);
}

/* What the service text becomes for a name. */
static void becomes(struct fixture *f, const char *text, const char *name, const char *want)
{
    struct query_template *t;
    f->query.service.service = str_of(text);
    if (compile(f, &t)) fail_msg("%s: %s", text, f->err.text);
    if (query_template_render(t, str_of(name), STR("seg"), &f->a, &f->out, &f->err))
        fail_msg("%s: %s", text, f->err.text);
    if (!str_is(f->out.service.service, want))
        fail_msg("%s: %.*s", text, STR_ARG(f->out.service.service));
}

static void names_and_groups_are_filled_in(void **state)
{
    struct fixture *f = *state;
    f->query.template.regexp = STR("^geo-(.*?)-([^\\-]+)$");
    becomes(f, "${match(1)}", "geo-web-blue", "web");
    becomes(f, "${match(2)}/${match(0)}", "geo-web-blue", "blue/geo-web-blue");
    becomes(f, "${name.full} ${name.prefix} ${name.suffix}", "geo-a-b", "geo-a-b geo- a-b");
    becomes(f, "${agent.segment}", "geo-a-b", "seg");
    becomes(f, "${match(3)}${match(-1)}", "geo-a-b", "");
    becomes(f, "${match(1)}", "geo-x", "");
}

static void language_has_texts_and_arithmetic(void **state)
{
    struct fixture *f = *state;
    becomes(f, "plain \\n $ { $x }", "geo-", "plain \\n $ { $x }");
    becomes(f, "$${name.full}", "geo-", "${name.full}");
    becomes(f, "${ \"a\\\"${name.suffix}\\\"\" }", "geo-x", "a\"x\"");
    becomes(f, "${1 + 2 * 3 - 4 % 3}", "geo-", "6");
    becomes(f, "${(1 + 2) * -3}", "geo-", "-9");
    becomes(f, "${7 / 2} ${7.0 / 2}", "geo-", "3 3.5");
    becomes(f, "${\"1\" + \"2\"}", "geo-", "3");
}

static void every_text_of_the_service_is_rendered(void **state)
{
    struct fixture *f = *state;
    struct query_template *t;
    struct service_query *q = &f->query.service;
    *LIST_PUSH(&f->a, &q->tags, struct str) = STR("${name.suffix}");
    *LIST_PUSH(&f->a, &q->tags, struct str) = STR("");
    *LIST_PUSH(&f->a, &q->failover.datacenters, struct str) = STR("dc-${name.suffix}");
    dict_set_str(&f->a, &q->node_meta, STR("${name.full}"), STR("${name.full}"));
    q->near = STR("${name.prefix}");
    assert_int_equal(compile(f, &t), 0);
    assert_int_equal(query_template_render(t, STR("geo-x"), STR(""), &f->a, &f->out, &f->err), 0);
    assert_true(str_is(LIST_AT(&f->out.service.tags, struct str, 0), "x"));
    assert_int_equal(f->out.service.tags.n, 2);
    assert_true(str_is(LIST_AT(&f->out.service.failover.datacenters, struct str, 0), "dc-x"));
    assert_true(str_is(dict_str(&f->out.service.node_meta, STR("${name.full}")), "geo-x"));
    assert_true(str_is(f->out.service.near, "geo-"));
    assert_true(str_is(LIST_AT(&q->tags, struct str, 0), "${name.suffix}"));
}

static void empty_tags_go_when_asked(void **state)
{
    struct fixture *f = *state;
    struct query_template *t;
    f->query.template.remove_empty_tags = true;
    *LIST_PUSH(&f->a, &f->query.service.tags, struct str) = STR("${match(1)}");
    *LIST_PUSH(&f->a, &f->query.service.tags, struct str) = STR("b");
    assert_int_equal(compile(f, &t), 0);
    assert_int_equal(query_template_render(t, STR("geo-x"), STR(""), &f->a, &f->out, &f->err), 0);
    assert_int_equal(f->out.service.tags.n, 1);
    assert_true(str_is(LIST_AT(&f->out.service.tags, struct str, 0), "b"));
}

static void what_does_not_compile_is_named(void **state)
{
    struct fixture *f = *state;
    f->query.template.type = STR("odd");
    refused(f, "Bad Template.Type 'odd'");
    f->query.template.type = STR("name_prefix_match");
    f->query.template.regexp = STR("(");
    refused(f, "Bad Regexp: error parsing regexp: missing closing ): `(`");
    f->query.template.regexp = STR_NIL;
    f->query.service.service = STR("${nope(}");
    refused(f, "Bad format '${nope(}' in Service.Service: parse error: syntax error");
    static const char *const broken[] = { "${", "${}", "${name.full", "${1 +}", "${\"a}",
        "${name full}", "${(1}", "${match(1,)}", "${\"\\x\"}", "${1 2}" };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct query_template *t;
        f->query.service.service = str_of(broken[i]);
        if (compile(f, &t) == 0) fail_msg("%s", broken[i]);
        assert_true(str_has_suffix(str_of(f->err.text), STR("parse error: syntax error")));
    }
}

static void what_cannot_be_evaluated_is_refused_at_once(void **state)
{
    struct fixture *f = *state;
    f->query.service.service = STR("${nope(1)}");
    refused(f, "Bad evaluation for '${nope(1)}' in Service.Service: 1:3: unknown "
               "function called: nope");
    f->query.service.service = STR("a\n${ nope }");
    refused(f, "Bad evaluation for 'a\n${ nope }' in Service.Service: 2:4: unknown "
               "variable accessed: nope");
    static const char *const broken[] = { "${1 / 0}", "${1 % 0}", "${match()}", "${match(1, 2)}",
        "${match(\"x\")}", "${name.full + 1}", "${1.5 % 2}", "${1.0 / 0}" };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct query_template *t;
        f->query.service.service = str_of(broken[i]);
        if (compile(f, &t) == 0) fail_msg("%s", broken[i]);
    }
}

static void deep_nesting_is_refused(void **state)
{
    struct fixture *f = *state;
    static char text[30000];
    memset(text, '(', sizeof text - 1);
    memcpy(text, "${", 2);
    struct query_template *t;
    f->query.service.service = str_of(text);
    assert_true(compile(f, &t) < 0);
    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "\"${", 3);
    assert_true(compile(f, &t) < 0);
    memset(text + 2, '-', sizeof text - 3);
    memcpy(text, "${", 2);
    assert_true(compile(f, &t) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_and_groups_are_filled_in, setup, teardown),
        cmocka_unit_test_setup_teardown(language_has_texts_and_arithmetic, setup, teardown),
        cmocka_unit_test_setup_teardown(every_text_of_the_service_is_rendered, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_tags_go_when_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_compile_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_cannot_be_evaluated_is_refused_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(deep_nesting_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
