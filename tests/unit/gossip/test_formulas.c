/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

static uint64_t u(const struct value *v, const char *key)
{
    return (uint64_t)number_at(v, key);
}

static int64_t computed(const struct value *c, struct str fn)
{
    if (str_is(fn, "suspicion_timeout_ms"))
        return (int64_t)swim_suspicion_timeout_ms(
            (uint32_t)u(c, "mult"), u(c, "nodes"), u(c, "interval_ms"));
    if (str_is(fn, "suspicion_remaining_ms"))
        return swim_suspicion_remaining_ms((uint32_t)u(c, "confirmations"), (uint32_t)u(c, "k"),
            u(c, "elapsed_ms"), u(c, "min_ms"), u(c, "max_ms"));
    if (str_is(fn, "retransmit_limit"))
        return broadcast_limit((uint32_t)u(c, "mult"), u(c, "nodes"));
    if (str_is(fn, "push_pull_interval_ms"))
        return (int64_t)swim_push_pull_interval_ms(u(c, "interval_ms"), u(c, "nodes"));
    if (str_is(fn, "encrypted_length"))
        return (int64_t)packet_sealed_length((uint8_t)u(c, "version"), u(c, "plain"));
    assert_true(str_is(fn, "encrypt_overhead"));
    return u(c, "version") == 0 ? SEAL_OVERHEAD_V0 : SEAL_OVERHEAD_V1;
}

static void check_awareness(const struct value *c)
{
    const struct value *steps = member_of(c, "steps");
    uint32_t score = 0;
    for (size_t i = 0; i < steps->list.n; i++) {
        const struct value *s = &steps->list.v[i];
        score = swim_awareness_apply(score, (int32_t)number_at(s, "delta"), (uint32_t)u(c, "max"));
        assert_int_equal(score, number_at(s, "score"));
        assert_int_equal(1000 * (score + 1), number_at(s, "scaled_1000ms"));
    }
}

static void formulas_give_the_recorded_values(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    const struct value *data = member_of(&entries_of(&a, "formulas")->list.v[0], "data");
    assert_true(data->list.n > 300);
    for (size_t i = 0; i < data->list.n; i++) {
        const struct value *c = &data->list.v[i];
        struct str fn = text_of(c, "fn");
        if (str_is(fn, "awareness")) {
            check_awareness(c);
            continue;
        }
        int64_t got = computed(c, fn), want = number_at(c, "result");
        if (got != want)
            fail_msg("case %zu, %.*s: %lld instead of %lld", i, STR_ARG(fn), (long long)got,
                (long long)want);
    }
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formulas_give_the_recorded_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
