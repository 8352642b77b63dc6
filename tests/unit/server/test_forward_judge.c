/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../src/server/forward_judge.h"

static void every_case(void **state)
{
    static const struct {
        struct forward_view v; /* asked leads, other leads, sent, write */
        enum forward_fate fate;
    } rows[] = {
        { { true, false, true, true }, FORWARD_WAIT },
        { { true, false, true, false }, FORWARD_WAIT },
        { { true, false, false, true }, FORWARD_WAIT },
        { { false, true, true, false }, FORWARD_AGAIN },
        { { false, false, true, false }, FORWARD_AGAIN },
        { { false, true, false, true }, FORWARD_AGAIN },
        { { false, false, false, true }, FORWARD_AGAIN },
        { { false, false, true, true }, FORWARD_DOUBT },
        { { false, true, true, true }, FORWARD_LAST },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(server__forward_judge(&rows[i].v), rows[i].fate);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_case) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
