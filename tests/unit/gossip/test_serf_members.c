/* SPDX-License-Identifier: Apache-2.0 */
/* Members come, fail, leave, are removed and come back. */
#include "serf_core.h"
#include "serf_bed.h"

#define DETECTED 60000 /* more than a probe round and a suspicion take */

static void everybody_sees(const struct pool *p, size_t who, enum serf_status status)
{
    for (size_t i = 0; i < p->n; i++)
        if (i != who && p->node[i].running) assert_int_equal(status_of(p, i, who), status);
}

static void a_join_is_seen_by_all_with_tags(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct pool *p = pool_of(3);
    struct peer *d = prepare(p);
    dict_set_str(&a, &d->o.tags, STR("role"), STR("consul"));
    start(p, 3);
    join(p, 3, 1);
    assert_true(told(p, 3, "result 77 0 joined 1\n"));
    run_for(p, 3000);
    for (size_t i = 0; i < 3; i++) {
        assert_true(told(p, i, "member-join d\n"));
        const struct serf_member *m = serf_find(p->node[i].serf, STR("d"));
        assert_true(str_is(serf_tag(m->meta, "role"), "consul"));
        assert_true(m->status_ltime > 0);
        struct gossip_address want = address_of(3);
        assert_true(gossip_address_equal(&m->address, &want));
    }
    pool_destroy(p);
    arena_free(&a);
}

static void a_join_to_nobody_fails_with_its_address(void **state)
{
    (void)state;
    struct pool *p = pool_create();
    prepare(p);
    start(p, 0);
    join(p, 0, 7);
    run_for(p, 100);
    assert_true(told(p, 0, "result 77 -9 1 error occurred:\n\t* Failed to join 127.0.11.8: "));
    struct serf_event ev = { .type = SERF_JOIN };
    ev.join.handle = 78;
    give(p, 0, &ev);
    assert_true(told(p, 0, "result 78 -2 no address to join\n"));
    pool_destroy(p);
}

static void a_killed_node_fails_and_returns(void **state)
{
    (void)state;
    struct pool *p = pool_of(4);
    stop(p, 2);
    run_for(p, DETECTED);
    everybody_sees(p, 2, SERF_FAILED);
    assert_true(told(p, 0, "member-failed c\n"));
    assert_false(told(p, 0, "member-leave"));
    start(p, 2);
    join(p, 2, 0);
    run_for(p, 5000);
    everybody_sees(p, 2, SERF_ALIVE);
    assert_true(told(p, 3, "member-join c\n"));
    pool_destroy(p);
}

static void a_leave_is_left_for_all_and_waits_for_its_transmissions(void **state)
{
    (void)state;
    struct pool *p = pool_of(4);
    leave(p, 1);
    assert_int_equal(serf_state(p->node[1].serf), SERF_STATE_LEAVING);
    assert_false(told(p, 1, "result 9"));
    assert_true(run_until_told(p, 1, "result 9 0 \n", 5000));
    assert_int_equal(serf_state(p->node[1].serf), SERF_STATE_LEFT);
    stop(p, 1);
    run_for(p, DETECTED);
    everybody_sees(p, 1, SERF_LEFT);
    for (size_t i = 0; i < 4; i++)
        assert_false(told(p, i, "member-failed"));
    pool_destroy(p);
}

static void a_leave_alone_is_done_at_once(void **state)
{
    (void)state;
    struct pool *p = pool_create();
    prepare(p);
    start(p, 0);
    leave(p, 0);
    run_for(p, 10);
    assert_true(told(p, 0, "result 9 0 \n"));
    leave(p, 0);
    assert_int_equal(serf_state(p->node[0].serf), SERF_STATE_LEFT);
    pool_destroy(p);
}

static void a_leave_nobody_hears_is_reported(void **state)
{
    (void)state;
    struct pool *p = pool_create();
    for (size_t i = 0; i < 2; i++) {
        struct peer *n = prepare(p);
        n->o.swim.gossip_interval_ms = n->o.swim.probe_interval_ms = 1000000;
        start(p, i);
    }
    join(p, 1, 0);
    run_for(p, 100);
    assert_int_equal(status_of(p, 1, 0), SERF_ALIVE);
    leave(p, 1);
    run_for(p, 20000);
    assert_true(told(p, 1, "result 9 -13 timeout while waiting for graceful leave\n"));
    assert_int_equal(serf_state(p->node[1].serf), SERF_STATE_LEFT);
    pool_destroy(p);
}

static void a_second_leave_is_refused_while_the_first_runs(void **state)
{
    (void)state;
    struct pool *p = pool_of(2);
    leave(p, 0);
    struct serf_event ev = { .type = SERF_LEAVE };
    ev.leave.handle = 10;
    give(p, 0, &ev);
    assert_true(told(p, 0, "result 10 -5 Leave already in progress\n"));
    pool_destroy(p);
}

static void a_failed_member_is_made_to_leave(void **state)
{
    (void)state;
    struct pool *p = pool_of(4);
    stop(p, 3);
    run_for(p, DETECTED);
    force_leave(p, 0, "d", false);
    assert_true(run_until_told(p, 0, "result 5 0 \n", 5000));
    run_for(p, 3000);
    everybody_sees(p, 3, SERF_LEFT);
    assert_true(told(p, 2, "member-leave d\n"));
    assert_false(told(p, 2, "member-reap"));
    pool_destroy(p);
}

static void a_living_member_refutes_a_forced_leave(void **state)
{
    (void)state;
    struct pool *p = pool_of(3);
    force_leave(p, 0, "b", true);
    run_for(p, 20000);
    everybody_sees(p, 1, SERF_ALIVE);
    assert_false(told(p, 0, "member-reap"));
    pool_destroy(p);
}

/* What was told of a leave reached one member alone, at the time of its last word. */
static void who_does_not_leave_is_alive_again(void **state)
{
    (void)state;
    struct pool *p = pool_of(3);
    struct serf *a = p->node[0].serf;
    struct serf_leave_intent m = { .node = STR("b") };
    m.ltime = serf__member(a, m.node)->view.status_ltime + 1;
    assert_true(serf__leave_intent(a, &m));
    serf__member(p->node[1].serf, m.node)->view.status_ltime = m.ltime;
    assert_int_equal(status_of(p, 0, 1), SERF_LEAVING);
    run_for(p, 30000);
    assert_int_equal(status_of(p, 0, 1), SERF_LEAVING);
    run_for(p, 60000);
    everybody_sees(p, 1, SERF_ALIVE);
    assert_true(told(p, 0, "member-update b\n"));
    pool_destroy(p);
}

static void a_later_time_of_ones_own_is_answered(void **state)
{
    (void)state;
    struct pool *p = pool_of(3);
    struct serf *a = p->node[0].serf;
    struct serf_leave_intent m = { .node = STR("b") };
    m.ltime = serf__member(a, m.node)->view.status_ltime + 5;
    assert_true(serf__leave_intent(a, &m));
    assert_int_equal(status_of(p, 0, 1), SERF_LEAVING);
    join(p, 0, 1); /* push/pull tells b the time alone */
    run_for(p, 5000);
    everybody_sees(p, 1, SERF_ALIVE);
    assert_true(serf__member(a, m.node)->view.status_ltime > m.ltime);
    pool_destroy(p);
}

static void a_pruned_member_does_not_come_back_by_push_pull(void **state)
{
    (void)state;
    struct pool *p = pool_of(4);
    /* c sleeps while d dies and is pruned: to it d is alive. */
    p->node[2].paused = true;
    p->node[2].reachable = false;
    stop(p, 3);
    run_for(p, 2 * DETECTED);
    force_leave(p, 0, "d", true);
    run_for(p, 10000);
    assert_true(told(p, 1, "member-reap d\n"));
    assert_int_equal(status_of(p, 0, 3), SERF_NONE);
    assert_int_equal(status_of(p, 1, 3), SERF_NONE);
    assert_int_equal(status_of(p, 2, 3), SERF_ALIVE);
    hear_nothing_more(p);
    p->node[2].paused = false;
    p->node[2].reachable = true;
    join(p, 0, 2);
    assert_true(told(p, 0, "result 77 0 joined 1\n"));
    run_for(p, 5 * DETECTED);
    everybody_sees(p, 2, SERF_ALIVE);
    assert_false(told(p, 0, " d\n"));
    assert_false(told(p, 1, " d\n"));
    /* One that really returns is welcome. */
    start(p, 3);
    join(p, 3, 0);
    run_for(p, 5000);
    assert_int_equal(status_of(p, 0, 3), SERF_ALIVE);
    pool_destroy(p);
}

static void a_pruned_member_may_return_at_once(void **state)
{
    (void)state;
    struct pool *p = pool_of(4);
    stop(p, 3);
    run_for(p, DETECTED / 4);
    everybody_sees(p, 3, SERF_FAILED);
    force_leave(p, 0, "d", true);
    run_for(p, 1000);
    everybody_sees(p, 3, SERF_NONE);
    start(p, 3);
    join(p, 3, 0);
    run_for(p, 3000);
    everybody_sees(p, 3, SERF_ALIVE);
    pool_destroy(p);
}

static void a_prune_reaches_whom_push_pull_told_of_the_removal(void **state)
{
    (void)state;
    struct pool *p = pool_of(4);
    stop(p, 3);
    run_for(p, DETECTED / 4);
    p->node[2].reachable = false;
    force_leave(p, 0, "d", false);
    run_for(p, 2000);
    p->node[2].reachable = true;
    assert_int_equal(status_of(p, 2, 3), SERF_FAILED);
    join(p, 2, 0);
    everybody_sees(p, 3, SERF_LEFT);
    force_leave(p, 1, "d", true);
    run_for(p, 2000);
    everybody_sees(p, 3, SERF_NONE);
    pool_destroy(p);
}

static void a_prune_heard_again_does_not_harm_who_returned_by_its_snapshot(void **state)
{
    (void)state;
    struct pool *p = pool_create();
    for (size_t i = 0; i < 4; i++)
        prepare(p)->o.snapshot = true;
    meet(p);
    stop(p, 3);
    run_for(p, DETECTED / 4);
    for (size_t i = 0; i < 3; i++) /* all of them send it, and hear it of the others */
        force_leave(p, i, "d", true);
    run_for(p, 3000);
    everybody_sees(p, 3, SERF_NONE);
    start(p, 3);
    run_for(p, 5000);
    everybody_sees(p, 3, SERF_ALIVE);
    pool_destroy(p);
}

static void a_prune_that_a_living_member_never_heard_of_does_not_take_it_away(void **state)
{
    (void)state;
    struct pool *p = pool_of(4);
    p->node[3].reachable = false;
    force_leave(p, 0, "d", true);
    run_for(p, 300);
    p->node[3].reachable = true;
    run_for(p, 90000);
    everybody_sees(p, 3, SERF_ALIVE);
    pool_destroy(p);
}

static void a_name_nobody_knows_can_be_removed(void **state)
{
    (void)state;
    struct pool *p = pool_of(2);
    force_leave(p, 0, "nobody", false);
    assert_true(run_until_told(p, 0, "result 5 0 \n", 5000));
    force_leave(p, 0, "", false);
    assert_true(told(p, 0, "result 5 -2 "));
    assert_int_equal(serf_count(p->node[0].serf), 2);
    pool_destroy(p);
}

static void the_gone_are_reaped_in_time(void **state)
{
    (void)state;
    struct pool *p = pool_create();
    for (int i = 0; i < 3; i++) {
        struct peer *n = prepare(p);
        n->o.reconnect_timeout_ms = 120000;
        n->o.tombstone_timeout_ms = 60000;
    }
    for (size_t i = 0; i < 3; i++)
        start(p, i);
    join(p, 1, 0);
    join(p, 2, 0);
    run_for(p, 3000);
    leave(p, 1);
    run_for(p, 5000);
    stop(p, 1);
    stop(p, 2);
    run_for(p, 40000);
    assert_int_equal(status_of(p, 0, 1), SERF_LEFT);
    assert_int_equal(status_of(p, 0, 2), SERF_FAILED);
    run_for(p, 40000);
    assert_true(told(p, 0, "member-reap b\n"));
    assert_int_equal(status_of(p, 0, 2), SERF_FAILED);
    run_for(p, 120000);
    assert_true(told(p, 0, "member-reap c\n"));
    assert_int_equal(serf_count(p->node[0].serf), 1);
    struct serf_stats stats;
    serf_get_stats(p->node[0].serf, &stats);
    assert_int_equal(stats.failed, 0);
    assert_int_equal(stats.left, 0);
    pool_destroy(p);
}

static void a_failed_member_is_looked_for_again(void **state)
{
    (void)state;
    struct pool *p = pool_of(2);
    p->node[1].reachable = false;
    run_for(p, 2 * DETECTED);
    assert_int_equal(status_of(p, 0, 1), SERF_FAILED);
    assert_int_equal(status_of(p, 1, 0), SERF_FAILED);
    p->node[1].reachable = true;
    run_for(p, 4 * DETECTED);
    assert_int_equal(status_of(p, 0, 1), SERF_ALIVE);
    assert_int_equal(status_of(p, 1, 0), SERF_ALIVE);
    pool_destroy(p);
}

static void other_tags_reach_all(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct pool *p = pool_of(3);
    struct serf_event ev = { .type = SERF_SET_TAGS };
    ev.set_tags.handle = 3;
    dict_set_str(&a, &ev.set_tags.tags, STR("acls"), STR("1"));
    give(p, 2, &ev);
    assert_true(run_until_told(p, 2, "result 3 0 \n", 5000));
    run_for(p, 2000);
    assert_true(told(p, 0, "member-update c\n"));
    assert_true(str_is(serf_tag(serf_find(p->node[1].serf, STR("c"))->meta, "acls"), "1"));
    assert_true(str_is(serf_tag(serf_self(p->node[2].serf)->meta, "acls"), "1"));
    char text[600] = { 0 };
    memset(text, 'x', sizeof text - 1);
    dict_set_str(&a, &ev.set_tags.tags, STR("long"), str_of(text));
    give(p, 2, &ev);
    assert_true(told(p, 2, "result 3 -6 Encoded length of tags exceeds limit of 512 bytes\n"));
    assert_true(str_is(serf_tag(serf_self(p->node[2].serf)->meta, "acls"), "1"));
    pool_destroy(p);
    arena_free(&a);
}

static int refuse_d(void *ctx, const struct swim_node *nodes, size_t n, struct error *err)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        if (str_is(nodes[i].name, "d")) return error_set(err, ERR_DENIED, "no d here");
    return 0;
}

static void a_refused_member_does_not_get_in(void **state)
{
    (void)state;
    struct pool *p = pool_create();
    for (int i = 0; i < 4; i++)
        prepare(p)->o.merge = i < 3 ? refuse_d : NULL;
    for (size_t i = 0; i < 4; i++)
        start(p, i);
    for (size_t i = 1; i < 4; i++)
        join(p, i, 0);
    run_for(p, 10000);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(status_of(p, i, 3), SERF_NONE);
        assert_int_equal(serf_count(p->node[i].serf), 3);
    }
    pool_destroy(p);
}

static void coordinates_tell_distances(void **state)
{
    (void)state;
    struct pool *p = pool_of(3);
    struct position there;
    run_for(p, 30000);
    assert_true(serf_position_of(p->node[0].serf, STR("b"), &there));
    assert_true(position_valid(&there));
    assert_true(serf_position_of(p->node[0].serf, STR("a"), &there));
    assert_memory_equal(&there, serf_position(p->node[0].serf), sizeof there);
    assert_false(serf_position_of(p->node[0].serf, STR("nobody"), &there));
    assert_true(there.error < COORDINATE_ERROR_MAX);
    pool_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_join_is_seen_by_all_with_tags),
        cmocka_unit_test(a_join_to_nobody_fails_with_its_address),
        cmocka_unit_test(a_killed_node_fails_and_returns),
        cmocka_unit_test(a_leave_is_left_for_all_and_waits_for_its_transmissions),
        cmocka_unit_test(a_leave_alone_is_done_at_once),
        cmocka_unit_test(a_leave_nobody_hears_is_reported),
        cmocka_unit_test(a_second_leave_is_refused_while_the_first_runs),
        cmocka_unit_test(a_failed_member_is_made_to_leave),
        cmocka_unit_test(a_living_member_refutes_a_forced_leave),
        cmocka_unit_test(who_does_not_leave_is_alive_again),
        cmocka_unit_test(a_later_time_of_ones_own_is_answered),
        cmocka_unit_test(a_pruned_member_does_not_come_back_by_push_pull),
        cmocka_unit_test(a_pruned_member_may_return_at_once),
        cmocka_unit_test(a_prune_reaches_whom_push_pull_told_of_the_removal),
        cmocka_unit_test(a_prune_heard_again_does_not_harm_who_returned_by_its_snapshot),
        cmocka_unit_test(a_prune_that_a_living_member_never_heard_of_does_not_take_it_away),
        cmocka_unit_test(a_name_nobody_knows_can_be_removed),
        cmocka_unit_test(the_gone_are_reaped_in_time),
        cmocka_unit_test(a_failed_member_is_looked_for_again),
        cmocka_unit_test(other_tags_reach_all),
        cmocka_unit_test(a_refused_member_does_not_get_in),
        cmocka_unit_test(coordinates_tell_distances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
