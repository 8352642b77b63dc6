/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/store/fsm_log.h"

#include "consuld/model/intention.h"
#include "consuld/store/tables.h"

static void compare(struct arena *a, const struct value *line, int number, void *arg)
{
    int *seen = arg;
    (void)number;
    if (get_number(line, "log_type") != 0 || get_number(line, "fsm_type") != COMMAND_INTENTION)
        return;
    struct str data = recorded_bytes(a, line, "data_");
    struct intention_request req = { 0 };
    struct cursor c;
    struct error err;
    cursor_init(&c, data.p + 1, data.n - 1, &err);
    if (msgpack_decode(&c, a, &type_intention_request, &req)) fail_msg("entry does not decode");
    const struct intention *x = req.intention;
    if (x->hash.n == 0) return;
    struct str hash = store_intention_hash(x, a);
    if (!str_eq(hash, x->hash)) fail_msg("%.*s", STR_ARG(x->description));
    assert_int_equal(intention_precedence(x), x->precedence);
    assert_int_equal(intention_validate(x, NULL), 0);
    ++*seen;
}

static void recorded_hashes_are_those_of_the_content(void **state)
{
    int seen = 0;
    (void)state;
    each_line(VECTORS "fsm/catalog/log.jsonl", compare, &seen);
    assert_true(seen >= 5);
}

static void order_of_metadata_does_not_matter(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct intention x = { .id = STR("i") }, y = x;
    dict_set_str(&a, &x.meta, STR("a"), STR("1"));
    dict_set_str(&a, &x.meta, STR("b"), STR("2"));
    dict_set_str(&a, &y.meta, STR("b"), STR("2"));
    dict_set_str(&a, &y.meta, STR("a"), STR("1"));
    assert_true(str_eq(store_intention_hash(&x, &a), store_intention_hash(&y, &a)));
    y.action = STR("deny");
    assert_false(str_eq(store_intention_hash(&x, &a), store_intention_hash(&y, &a)));
    arena_free(&a);
}

static int setup(void **state)
{
    (void)state;
    model_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_hashes_are_those_of_the_content),
        cmocka_unit_test(order_of_metadata_does_not_matter),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
