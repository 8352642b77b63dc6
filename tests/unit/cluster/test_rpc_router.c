/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_world.h"

#include "consuld/cluster/rpc_router.h"

static struct rpc_router *router;

static const struct rpc_target servers[] = {
    { { "s1", 2 }, { "dc1", 3 }, { "10.0.0.1", 8 }, 8300 },
    { { "s2", 2 }, { "dc1", 3 }, { "10.0.0.2", 8 }, 8300 },
    { { "s3", 2 }, { "dc1", 3 }, { "10.0.0.3", 8 }, 8300 },
};

static void make(double rate, uint64_t burst)
{
    rpc_world_begin();
    router = rpc_router_create(&(struct rpc_router_options){
        .world = &w.world, .pool = w.pool, .rate = rate, .burst = burst });
}

static int begin(void **state)
{
    (void)state;
    make(0, 0);
    return 0;
}
static int end(void **state)
{
    (void)state;
    rpc_router_destroy(router);
    router = NULL;
    rpc_world_end();
    return 0;
}

static void add(size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(rpc_router_add(router, &servers[i]), 0);
}

static void call(struct test_call *c, const char *method)
{
    rpc_submit(rpc_router_client(router), prepare(c, method, "a"));
}

/* All dials that are open succeed. */
static void connect_all(void)
{
    for (size_t i = 0; i < w.n_dials; i++) {
        if (w.dials[i]) connect_dial(i);
    }
}

static void assert_order(const char *names)
{
    char got[64] = "";
    for (size_t i = 0; i < rpc_router_servers(router); i++) {
        size_t n = strlen(got);
        snprintf(got + n, sizeof got - n, "%s%.*s", i ? " " : "",
            STR_ARG(rpc_router_at(router, i)->name));
    }
    assert_string_equal(got, names);
}

static void without_servers_calls_fail_at_once(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    call(&c, "KVS.Get");
    assert_failed(&c, "No known Consul servers");
    release(&c);
}

static void early_calls_wait_for_the_first_server(void **state)
{
    (void)state;
    struct test_call c = { 0 }, late = { 0 };
    rpc_router_destroy(router);
    router = rpc_router_create(
        &(struct rpc_router_options){ .world = &w.world, .pool = w.pool, .early_ms = 1000 });
    call(&c, "KVS.Get");
    pass_ms(500);
    assert_int_equal(c.ended, 0);
    add(1);
    pass_ms(50);
    connect_all();
    turn();
    assert_key(&c, "a");
    release(&c);
    rpc_router_remove(router, STR("s1"));
    call(&late, "KVS.Apply");
    assert_failed(&late, "No known Consul servers");
    release(&late);
}

static void the_list_follows_what_gossip_says(void **state)
{
    (void)state;
    add(3);
    assert_order("s1 s2 s3");
    struct rpc_target moved = servers[1];
    moved.address = STR("10.0.0.99");
    assert_int_equal(rpc_router_add(router, &moved), 0);
    assert_order("s1 s2 s3");
    assert_true(str_is(rpc_router_at(router, 1)->address, "10.0.0.99"));
    rpc_router_remove(router, STR("s1"));
    rpc_router_remove(router, STR("s1"));
    assert_order("s2 s3");
    add(1);
    assert_order("s2 s3 s1");
}

static void the_first_server_is_asked(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    add(3);
    call(&c, "KVS.Get");
    connect_all();
    assert_key(&c, "a");
    assert_int_equal(w.n_dials, 1);
    assert_order("s1 s2 s3");
    release(&c);
}

static void a_call_that_was_never_sent_goes_to_the_next_server(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    add(3);
    call(&c, "KVS.Apply");
    refuse_dial(0);
    assert_int_equal(c.ended, 0);
    assert_order("s2 s3 s1");
    connect_dial(1);
    turn();
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rpc.code, 0);
    release(&c);
}

static void calls_to_a_server_that_failed_end_and_reads_go_elsewhere(void **state)
{
    (void)state;
    struct test_call read = { 0 }, write = { 0 };
    add(2);
    w.hold = true;
    call(&read, "KVS.Get");
    call(&write, "KVS.Apply");
    connect_dial(0);
    rpc_router_remove(router, STR("s1"));
    rpc_router_add(router, &servers[2]);
    rpc_pool_server_failed(w.pool, STR("dc1"), STR("s1"));
    turn();
    assert_failed(&write, "rpc error making call: EOF");
    assert_int_equal(read.ended, 0);
    w.hold = false;
    pass_ms(600);
    connect_dial(1);
    assert_key(&read, "a");
    release(&read);
    release(&write);
}

static void a_dial_to_a_server_that_failed_is_given_up(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    add(2);
    call(&c, "KVS.Apply");
    rpc_router_remove(router, STR("s1"));
    rpc_router_add(router, &servers[2]);
    rpc_pool_server_failed(w.pool, STR("dc1"), STR("s1"));
    assert_null(w.dials[0]);
    connect_dial(1);
    turn();
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rpc.code, 0);
    release(&c);
}

static void no_server_is_tried_twice_without_a_connection(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    add(2);
    call(&c, "KVS.Get");
    refuse_dial(0);
    refuse_dial(1);
    assert_failed(&c, "rpc error getting client: failed to get conn: dial tcp 10.0.0.2:8300: "
                      "connect: connection refused");
    assert_order("s1 s2");
    assert_int_equal(w.n_dials, 2);
    release(&c);
}

static void without_a_leader_a_call_is_made_again_for_the_hold_time(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    add(2);
    w.say = "No cluster leader";
    call(&c, "KVS.Apply");
    for (int i = 0; i < 40; i++) {
        connect_all();
        pass_ms(100);
    }
    assert_int_equal(c.ended, 0);
    assert_true(w.submitted > 3);
    w.say = NULL;
    pass_ms(600);
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rpc.code, 0);
    release(&c);
    w.say = "No cluster leader";
    call(&c, "KVS.Apply");
    pass_ms(8000);
    assert_failed(&c, "rpc error making call: No cluster leader");
    release(&c);
}

static void what_may_be_tried_again(void **state)
{
    (void)state;
    struct rpc_call read = { .method = "KVS.Get" }, write = { .method = "KVS.Apply" };
    assert_true(rpc_may_retry(&write, STR("rpc error making call: No cluster leader")));
    assert_true(rpc_may_retry(&read, STR("rpc error making call: stream closed")));
    assert_true(rpc_may_retry(&read, STR("rpc error making call: session shutdown")));
    assert_true(rpc_may_retry(&read, STR("EOF")));
    assert_false(rpc_may_retry(&read, STR("rpc error making call: EOF")));
    assert_false(rpc_may_retry(&write, STR("rpc error making call: stream closed")));
    assert_false(rpc_may_retry(&read, STR("Permission denied")));
}

static void a_read_that_was_cut_short_is_made_again_elsewhere(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    add(2);
    w.hold = true;
    call(&c, "KVS.Get");
    connect_dial(0);
    pass_ms(20000);
    stream_close(&w.pairs[0].far.base);
    turn();
    assert_int_equal(c.ended, 0);
    w.hold = false;
    pass_ms(600);
    connect_all();
    turn();
    assert_key(&c, "a");
    assert_order("s2 s1");
    release(&c);
}

static void a_write_that_was_cut_short_is_not(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    add(2);
    w.hold = true;
    call(&c, "KVS.Apply");
    connect_dial(0);
    stream_close(&w.pairs[0].far.base);
    turn();
    assert_failed(&c, "rpc error making call: EOF");
    assert_order("s2 s1");
    release(&c);
}

static void the_only_server_s_end_is_told(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    add(1);
    w.hold = true;
    call(&c, "KVS.Get");
    connect_dial(0);
    stream_close(&w.pairs[0].far.base);
    turn();
    assert_failed(&c, "rpc error making call: EOF");
    release(&c);
}

static void what_did_not_reach_the_leader_is_said_again(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    add(1);
    w.say = "rpc error getting client: failed to get conn: dial tcp 10.0.0.9:8300: refused";
    call(&c, "KVS.Apply");
    connect_dial(0);
    pass_ms(1000);
    assert_int_equal(c.ended, 0);
    w.say = NULL;
    pass_ms(600);
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rpc.code, 0);
    release(&c);
}

static void a_call_that_waits_to_be_made_again_can_be_cancelled(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    add(1);
    w.say = "No cluster leader";
    call(&c, "KVS.Apply");
    connect_all();
    rpc_cancel(rpc_router_client(router), &c.rpc);
    size_t before = w.submitted;
    pass_ms(8000);
    assert_int_equal(c.ended, 0);
    assert_int_equal(w.submitted, before);
    release(&c);
}

static void calls_over_the_rate_are_refused(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    make(2, 3);
    add(1);
    w.hold = false;
    for (int i = 0; i < 3; i++) {
        call(&c, "KVS.Get");
        connect_all();
        turn();
        assert_key(&c, "a");
        release(&c);
    }
    call(&c, "KVS.Get");
    assert_failed(&c, "RPC rate limit exceeded");
    release(&c);
    pass_ms(500);
    call(&c, "KVS.Get");
    turn();
    assert_key(&c, "a");
    release(&c);
}

static void the_list_is_shuffled_when_its_new_first_answers(void **state)
{
    (void)state;
    add(3);
    for (int i = 0; i < 30 && rpc_router_counters(router).rebalances < 3; i++) {
        pass_ms(60000);
        connect_all();
        turn();
    }
    assert_int_equal(rpc_router_counters(router).rebalances, 3);
    assert_int_equal(rpc_router_servers(router), 3);
    assert_true(w.submitted >= 3);
}

static void nothing_changes_while_nobody_answers_pings(void **state)
{
    (void)state;
    add(3);
    for (int i = 0; i < 10; i++) {
        pass_ms(60000);
        for (size_t k = 0; k < w.n_dials; k++) {
            if (w.dials[k]) refuse_dial(k);
        }
    }
    assert_int_equal(rpc_router_counters(router).rebalances, 0);
    assert_order("s1 s2 s3");
    assert_true(w.n_dials >= 3);
}

static void servers_come_and_go_while_one_is_pinged(void **state)
{
    (void)state;
    add(3);
    for (int i = 0; i < 5 && !open_dials(); i++)
        pass_ms(60000);
    assert_int_equal(open_dials(), 1);
    struct rpc_target fresh = servers[0];
    fresh.name = STR("s4");
    assert_int_equal(rpc_router_add(router, &fresh), 0);
    for (size_t i = 0; i < 3; i++)
        rpc_router_remove(router, servers[i].name);
    assert_order("s4");
    connect_all();
    assert_order("s4");
}

static void going_away_ends_what_waits(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    add(1);
    call(&c, "KVS.Get");
    rpc_router_destroy(router);
    router = NULL;
    assert_failed(&c, "rpc error: shutdown");
    release(&c);
}

static int end_own(void **state)
{
    return end(state);
}

#define with_router(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_router(without_servers_calls_fail_at_once),
        with_router(early_calls_wait_for_the_first_server),
        with_router(the_list_follows_what_gossip_says),
        with_router(the_first_server_is_asked),
        with_router(a_call_that_was_never_sent_goes_to_the_next_server),
        with_router(a_read_that_was_cut_short_is_made_again_elsewhere),
        with_router(a_write_that_was_cut_short_is_not),
        with_router(the_only_server_s_end_is_told),
        with_router(what_did_not_reach_the_leader_is_said_again),
        with_router(calls_to_a_server_that_failed_end_and_reads_go_elsewhere),
        with_router(a_dial_to_a_server_that_failed_is_given_up),
        with_router(no_server_is_tried_twice_without_a_connection),
        with_router(without_a_leader_a_call_is_made_again_for_the_hold_time),
        cmocka_unit_test(what_may_be_tried_again),
        with_router(a_call_that_waits_to_be_made_again_can_be_cancelled),
        cmocka_unit_test_teardown(calls_over_the_rate_are_refused, end_own),
        with_router(the_list_is_shuffled_when_its_new_first_answers),
        with_router(nothing_changes_while_nobody_answers_pings),
        with_router(servers_come_and_go_while_one_is_pinged),
        with_router(going_away_ends_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
