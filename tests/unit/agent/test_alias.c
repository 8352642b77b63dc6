/* SPDX-License-Identifier: Apache-2.0 */
/* An alias is a function of what it looks at, whatever happened before. */
#include <stdio.h>

#include "local_world.h"

enum { TARGETS = 4, STEPS = 3000 };

static const char *const targets[TARGETS] = { "a", "b", "c", "d" };
static const char *const statuses[] = { "passing", "warning", "critical" };

static bool looked_at(const struct health_check *c, const char *target)
{
    return c->service_id.n == 0 || str_is(c->service_id, target);
}

/* Written down once more, without any memory. */
static void expected(
    struct bench *b, const char *target, struct arena *a, struct str *status, struct str *output)
{
    const struct health_check *c;
    bool seen = false, any = false;
    *status = STR("passing");
    for (size_t it = 0; (c = local_check_next(b->local, &it));) {
        if (!looked_at(c, target)) continue;
        any = true;
        seen = seen || c->service_id.n;
        bool worse = str_is(c->status, "critical") ||
                     (str_is(c->status, "warning") && str_is(*status, "passing"));
        if (!worse || str_is(*status, "critical")) continue;
        *status = c->status;
        *output = str_printf(
            a, "Aliased check \"%.*s\" failing: %.*s", STR_ARG(c->name), STR_ARG(c->output));
    }
    if (!seen && !local_service_get(b->local, str_of(target))) {
        *output = str_printf(a, "Service %s could not be found on node ", target);
        *status = STR("critical");
    } else if (str_is(*status, "passing")) {
        *output = any ? STR("All checks passing.") : STR("No checks found.");
    }
}

static void aliases_are_right(struct bench *b, size_t step, const char *what)
{
    struct arena a = ARENA_INIT;
    for (size_t i = 0; i < TARGETS; i++) {
        struct str status, output = STR_NIL;
        struct str id = str_printf(&a, "alias-%s", targets[i]);
        const struct health_check *c = local_check_get(b->local, id);
        expected(b, targets[i], &a, &status, &output);
        if (!str_eq(c->status, status) || !str_eq(c->output, output)) {
            fail_msg("step %zu (%s): %s is %.*s '%.*s' instead of %.*s '%.*s'", step, what,
                targets[i], STR_ARG(c->status), STR_ARG(c->output), STR_ARG(status),
                STR_ARG(output));
        }
    }
    arena_free(&a);
}

static const char *something_happens(struct bench *b, struct prng *dice)
{
    struct arena a = ARENA_INIT;
    struct error err;
    int refused = 0; /* what is not there */
    const char *t = targets[prng_below(dice, TARGETS)];
    unsigned n = (unsigned)prng_below(dice, 3);
    const char *what = "";
    bool on = prng_below(dice, 2);
    switch (prng_below(dice, 8)) {
    case 0:
        what = "register";
        given_at_once(b, str_printf(&a, "{\"Name\":\"%s\",\"Port\":%u}", t, n).p);
        break;
    case 1:
        what = "register with check";
        given_at_once(b, str_printf(&a,
                             "{\"Name\":\"%s\",\"Check\":{\"CheckID\":\"%s%u\",\"Name\":\"%s%u\","
                             "\"TTL\":\"1h\",\"Status\":\"%s\"}}",
                             t, t, n, t, n, statuses[prng_below(dice, 3)])
                             .p);
        break;
    case 2:
        what = "deregister";
        (void)local_service_deregister(b->local, str_of(t));
        break;
    case 3:
        what = "deregister check";
        (void)local_check_deregister(b->local, str_printf(&a, "%s%u", t, n));
        break;
    case 4:
        what = "service maintenance";
        refused += local_service_maintenance(b->local, str_of(t), on, STR("m"), STR_NIL, &err) != 0;
        break;
    case 5:
        what = "node maintenance";
        if (prng_below(dice, 4) == 0) local_node_maintenance(b->local, on, STR("m"), STR_NIL);
        break;
    default:
        what = "update";
        refused +=
            local_check_update(b->local, str_printf(&a, "%s%u", t, n),
                str_of(statuses[prng_below(dice, 3)]), str_printf(&a, "note %u", n), &err) != 0;
        break;
    }
    arena_free(&a);
    return refused ? "refused" : what;
}

static void alias_equals_the_function_of_its_target_after_any_history(void **state)
{
    struct bench *b = *state;
    struct prng dice;
    for (size_t i = 0; i < TARGETS; i++) {
        char json[200];
        snprintf(json, sizeof json,
            "{\"Name\":\"of-%s\",\"Check\":{\"CheckID\":\"alias-%s\",\"AliasService\":\"%s\"}}",
            targets[i], targets[i], targets[i]);
        given(b, json);
    }
    prng_seed(&dice, 20201125);
    for (size_t step = 0; step < STEPS; step++) {
        const char *what = something_happens(b, &dice);
        if (prng_below(&dice, 3)) continue;
        b->catalog.down = prng_below(&dice, 10) == 0;
        fake_world_turn(&b->world);
        aliases_are_right(b, step, what);
    }
}

static void a_check_of_the_node_wakes_aliases(void **state)
{
    struct bench *b = *state;
    struct error err;
    given(b, "{\"Name\":\"x\",\"Check\":{\"CheckID\":\"ax\",\"AliasService\":\"y\"}}");
    given(b, "{\"Name\":\"y\"}");
    struct check_type ttl = { .ttl = INT64_C(3600000000000) };
    struct local_register_options opts = { .source = LOCAL_FROM_API };
    assert_int_equal(local_check_register(b->local, STR("n"), STR(""), &ttl, &opts, &err), 0);
    fake_world_turn(&b->world);
    assert_true(str_is(local_check_get(b->local, STR("ax"))->status, "critical"));
    assert_int_equal(local_check_update(b->local, STR("n"), STR("passing"), STR(""), &err), 0);
    fake_world_turn(&b->world);
    assert_true(str_is(local_check_get(b->local, STR("ax"))->status, "passing"));
}

/* Two services that alias each other: their texts must not grow with every turn. */
static void aliases_of_each_other_come_to_rest(void **state)
{
    struct bench *b = *state;
    struct error err;
    given(b, "{\"Name\":\"x\",\"Checks\":[{\"CheckID\":\"own\",\"TTL\":\"1h\"},"
             "{\"CheckID\":\"ax\",\"AliasService\":\"y\"}]}");
    given(b, "{\"Name\":\"y\",\"Check\":{\"CheckID\":\"ay\",\"AliasService\":\"x\"}}");
    for (int i = 0; i < 100; i++)
        fake_world_turn(&b->world);
    assert_true(local_check_get(b->local, STR("ax"))->output.n < 300);
    assert_int_equal(local_check_update(b->local, STR("own"), STR("passing"), STR(""), &err), 0);
    for (int i = 0; i < 100; i++)
        fake_world_turn(&b->world);
    assert_true(local_check_get(b->local, STR("ay"))->output.n < 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            alias_equals_the_function_of_its_target_after_any_history, setup, teardown),
        cmocka_unit_test_setup_teardown(a_check_of_the_node_wakes_aliases, setup, teardown),
        cmocka_unit_test_setup_teardown(aliases_of_each_other_come_to_rest, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
