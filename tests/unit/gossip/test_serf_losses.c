/* SPDX-License-Identifier: Apache-2.0 */
/* Self-preservation: many failures at once are kept until they are few again. */
#include "serf_bed.h"

#define NODES 10
#define DETECTED 60000 /* more than a probe round and a suspicion take */
#define RECONNECT 120000

static struct pool *guarded(bool on)
{
    struct pool *p = pool_create();
    for (size_t i = 0; i < NODES; i++) {
        struct peer *n = prepare(p);
        n->o.self_preservation = on;
        n->o.reconnect_timeout_ms = RECONNECT;
    }
    meet(p);
    return p;
}

static bool preserving(const struct pool *p)
{
    return serf_preserving(p->node[0].serf);
}

static size_t kept(const struct pool *p, enum serf_status status)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        n += status_of(p, 0, i) == status;
    return n;
}

/* The last n nodes die in the same moment. */
static void die(struct pool *p, size_t n)
{
    for (size_t i = p->n - n; i < p->n; i++)
        stop(p, i);
    run_for(p, DETECTED);
    assert_int_equal(kept(p, SERF_FAILED), n);
}

static void four_of_ten_failing_at_once_are_kept(void **state)
{
    (void)state;
    struct pool *p = guarded(true);
    die(p, 4);
    assert_true(preserving(p));
    run_for(p, 10 * RECONNECT);
    assert_int_equal(kept(p, SERF_FAILED), 4);
    assert_false(told(p, 0, "member-reap"));
    pool_destroy(p);
}

static void three_of_ten_are_not_too_many(void **state)
{
    (void)state;
    struct pool *p = guarded(true);
    die(p, 3);
    assert_false(preserving(p));
    run_for(p, 2 * RECONNECT);
    assert_int_equal(kept(p, SERF_FAILED), 0);
    pool_destroy(p);
}

static void it_ends_when_they_return(void **state)
{
    (void)state;
    struct pool *p = guarded(true);
    die(p, 4);
    start(p, NODES - 1);
    join(p, NODES - 1, 0);
    run_for(p, 5000);
    assert_false(preserving(p));
    run_for(p, 2 * RECONNECT);
    assert_int_equal(kept(p, SERF_FAILED), 0);
    assert_int_equal(kept(p, SERF_ALIVE), 7);
    pool_destroy(p);
}

static void it_ends_when_they_are_removed(void **state)
{
    (void)state;
    struct pool *p = guarded(true);
    die(p, 5);
    force_leave(p, 0, "j", false);
    force_leave(p, 0, "i", true);
    assert_true(preserving(p)); /* three of eight */
    force_leave(p, 0, "h", true);
    run_for(p, 5000);
    assert_false(preserving(p)); /* two of seven */
    pool_destroy(p);
}

static void failures_one_after_the_other_are_not_too_many(void **state)
{
    (void)state;
    struct pool *p = guarded(true);
    for (size_t i = NODES - 1; i > 5; i--) {
        stop(p, i);
        run_for(p, DETECTED);
        assert_false(preserving(p));
    }
    pool_destroy(p);
}

static void leaves_are_no_failures(void **state)
{
    (void)state;
    struct pool *p = guarded(true);
    for (size_t i = 4; i < NODES; i++)
        leave(p, i);
    run_for(p, DETECTED);
    assert_int_equal(kept(p, SERF_LEFT), 6);
    assert_false(preserving(p));
    pool_destroy(p);
}

static void without_the_switch_nothing_is_kept(void **state)
{
    (void)state;
    struct pool *p = guarded(false);
    die(p, 6);
    assert_false(preserving(p));
    run_for(p, 2 * RECONNECT);
    assert_int_equal(kept(p, SERF_FAILED), 0);
    pool_destroy(p);
}

int main(void)
{
    swim_message_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_of_ten_failing_at_once_are_kept),
        cmocka_unit_test(three_of_ten_are_not_too_many),
        cmocka_unit_test(it_ends_when_they_return),
        cmocka_unit_test(it_ends_when_they_are_removed),
        cmocka_unit_test(failures_one_after_the_other_are_not_too_many),
        cmocka_unit_test(leaves_are_no_failures),
        cmocka_unit_test(without_the_switch_nothing_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
