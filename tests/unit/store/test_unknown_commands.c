/* SPDX-License-Identifier: Apache-2.0 */
/* What a log holds that this state machine does not know: it never goes on in silence. */
#include "unit/store/fsm_log.h"

static int apply_bytes(struct store *s, struct arena *a, uint64_t index, const char *bytes,
    size_t n, struct command_result *res, struct error *err)
{
    struct store_entry e = { .index = index, .term = 2, .data = { bytes, n } };
    return apply_one(s, &e, a, res, err);
}

static void every_unknown_type_stops_unless_it_may_be_ignored(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct store *s = store_fresh();
    uint64_t index = 0, unknown = 0;
    for (unsigned type = 0; type < COMMAND_IGNORABLE; type++) {
        const struct command *c = command_get((uint8_t)type);
        if (c && c->body) continue; /* of the log */
        struct command_result res = { 0 };
        struct error err = { 0 };
        char bytes[2] = { (char)type, (char)0x80 }, text[128];
        uint64_t before = store_applied_index(s);
        assert_int_equal(apply_bytes(s, &a, index + 1, bytes, 2, &res, &err), ERR_NOT_FOUND);
        snprintf(text, sizeof text, "cannot apply entry %llu: unknown command type %u",
            (unsigned long long)index + 1, type);
        assert_string_equal(err.text, text);
        assert_int_equal(store_applied_index(s), before);
        bytes[0] = (char)(type | COMMAND_IGNORABLE);
        assert_int_equal(apply_bytes(s, &a, ++index, bytes, 2, &res, &err), STORE_APPLIED);
        assert_int_equal(res.kind, RESULT_SKIPPED);
        assert_int_equal(store_applied_index(s), index);
        unknown++;
    }
    assert_true(unknown > 64);
    store_close(s);
    arena_free(&a);
}

static void a_known_command_that_cannot_be_read_stops_also_when_ignorable(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct store *s = store_fresh();
    for (unsigned bit = 0; bit <= COMMAND_IGNORABLE; bit += COMMAND_IGNORABLE) {
        struct command_result res = { 0 };
        struct error err = { 0 };
        char bytes[3] = { (char)(COMMAND_KVS | bit), (char)0x81, (char)0xa2 };
        assert_int_equal(apply_bytes(s, &a, 1, bytes, 3, &res, &err), ERR_DECODE);
        assert_int_equal(store_applied_index(s), 0);
    }
    store_close(s);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_unknown_type_stops_unless_it_may_be_ignored),
        cmocka_unit_test(a_known_command_that_cannot_be_read_stops_also_when_ignorable),
    };
    model_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
