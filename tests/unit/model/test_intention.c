/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "consuld/model.h"
#include "consuld/model/intention.h"

static struct intention from_to(const char *source, const char *destination)
{
    return (struct intention){ .id = STR("x"),
        .source_ns = STR("default"),
        .source_name = str_of(source),
        .destination_ns = STR("default"),
        .destination_name = str_of(destination),
        .source_type = STR("consul"),
        .action = STR("allow") };
}

static void refused(const struct intention *x, const char *why)
{
    struct error err = { 0 };
    assert_true(intention_validate(x, &err) < 0);
    assert_string_equal(err.text, why);
}

static void every_fault_is_told(void **state)
{
    (void)state;
    struct intention x = { .source_ns = STR("*"),
        .source_name = STR("a"),
        .destination_ns = STR("d*"),
        .source_type = STR("odd") };
    refused(&x, "5 errors occurred:\n"
                "\t* DestinationName must be set\n"
                "\t* SourceName: exact value cannot follow wildcard namespace\n"
                "\t* DestinationNS: wildcard character '*' cannot be used with partial values\n"
                "\t* Action must be set to 'allow' or 'deny'\n"
                "\t* SourceType must be set to 'consul'\n\n");
    x = from_to("a*", "b");
    refused(&x, "1 error occurred:\n\t* SourceName: wildcard character '*' cannot be used with "
                "partial values\n\n");
    x = from_to("*", "*");
    assert_int_equal(intention_validate(&x, NULL), 0);
}

static void precedence_counts_wildcards_of_the_destination_first(void **state)
{
    (void)state;
    static const struct {
        const char *source, *destination;
        int64_t want;
    } rows[] = { { "a", "b", 9 }, { "*", "b", 8 }, { "a", "*", 6 }, { "*", "*", 5 } };
    for (size_t i = 0; i < 4; i++) {
        struct intention x = from_to(rows[i].source, rows[i].destination);
        assert_int_equal(intention_precedence(&x), rows[i].want);
        x.destination_ns = x.destination_name = STR("*");
        assert_int_equal(intention_precedence(&x), i % 2 ? 2 : 3);
    }
}

static void first_that_matches_the_source_decides(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct list l = { 0 };
    struct intention *x = LIST_PUSH(&a, &l, struct intention);
    *x = from_to("web", "db");
    x = LIST_PUSH(&a, &l, struct intention);
    *x = from_to("*", "db");
    x->action = STR("deny");
    x = LIST_PUSH(&a, &l, struct intention);
    *x = from_to("api", "*");
    for (size_t i = 0; i < l.n; i++) {
        x = &LIST_AT(&l, struct intention, i);
        x->precedence = intention_precedence(x);
    }
    qsort(l.v, l.n, sizeof(struct intention), intention_compare);
    assert_true(str_is(intention_decide(&l, STR("default"), STR("web"))->action, "allow"));
    assert_true(str_is(intention_decide(&l, STR("default"), STR("api"))->action, "deny"));
    assert_null(intention_decide(&l, STR("other"), STR("api")));
    struct str text = intention_text(&LIST_AT(&l, struct intention, 1), &a);
    assert_true(str_is(text, "DENY default/* => default/db (ID: x, Precedence: 8)"));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_is_told),
        cmocka_unit_test(precedence_counts_wildcards_of_the_destination_first),
        cmocka_unit_test(first_that_matches_the_source_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
