/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_world.h"

static const struct rpc_target one = { { "s1", 2 }, { "dc1", 3 }, { "10.0.0.1", 8 }, 8300 };
static const struct rpc_target two = { { "s2", 2 }, { "dc1", 3 }, { "10.0.0.2", 8 }, 8300 };

static void call(struct test_call *c, const struct rpc_target *to, const char *key)
{
    rpc_pool_submit(w.pool, to, prepare(c, "KVS.Get", key));
}

static int begin(void **state)
{
    (void)state;
    rpc_world_begin();
    return 0;
}
static int end(void **state)
{
    (void)state;
    rpc_world_end();
    return 0;
}

static void a_call_is_answered_over_a_new_connection(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    call(&c, &one, "a");
    assert_int_equal(c.ended, 0);
    connect_dial(0);
    assert_key(&c, "a");
    assert_int_equal(c.rpc.reply->index, 17);
    assert_int_equal(c.rpc.reply->last_contact_ns, 5);
    assert_true(c.rpc.reply->known_leader);
    release(&c);
}

static void calls_of_one_server_share_a_connection(void **state)
{
    (void)state;
    struct test_call c[5] = { 0 };
    for (int i = 0; i < 4; i++)
        call(&c[i], &one, "a");
    assert_int_equal(w.n_dials, 1);
    connect_dial(0);
    call(&c[4], &two, "b");
    assert_int_equal(w.n_dials, 2);
    connect_dial(1);
    for (int i = 0; i < 4; i++)
        assert_key(&c[i], "a");
    assert_key(&c[4], "b");
    assert_int_equal(rpc_pool_counters(w.pool).connections, 2);
    for (int i = 0; i < 5; i++)
        release(&c[i]);
}

static void streams_are_used_again(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct test_call c = { 0 };
        call(&c, &one, "a");
        if (i == 0) connect_dial(0);
        turn();
        assert_key(&c, "a");
        release(&c);
    }
    /* header, SYN's ACK and so on: one stream in all */
    assert_int_equal(rpc_port_counters(w.port).requests, 20);
    assert_int_equal(rpc_pool_counters(w.pool).dials, 1);
}

static void big_answers_come_whole(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    char *key = xcalloc(1, 700001);
    memset(key, 'k', 700000);
    call(&c, &one, key);
    connect_dial(0);
    turn();
    assert_key(&c, key);
    /* The key is not a copy of what came. */
    const struct indexed_dir_entries *out = c.rpc.reply->record;
    struct str got = LIST_AT(&out->entries, struct dir_entry, 0).key;
    const struct shared_body *bytes = c.rpc.reply->bytes;
    assert_non_null(bytes);
    assert_true(got.p >= bytes->bytes && got.p + got.n <= bytes->bytes + bytes->n);
    assert_int_equal(bytes->refs, 1);
    rpc_reply_spent(c.rpc.reply, got.p + got.n);
    rpc_reply_spent(c.rpc.reply, "elsewhere");
    release(&c);
    free(key);
}

/* The replies of three equal calls and a fourth, with different flags. */
static void ask_four(struct test_call *c, const char *key)
{
    for (int i = 0; i < 4; i++) {
        w.flags = i == 3;
        call(&c[i], &one, key);
        if (w.n_connected == 0) connect_dial(0);
        turn();
        assert_key(&c[i], key);
    }
}

static uint64_t flags_of(const struct test_call *c)
{
    const struct indexed_dir_entries *out = c->rpc.reply->record;
    return LIST_AT(&out->entries, struct dir_entry, 0).flags;
}

static void equal_answers_to_equal_questions_are_read_once(void **state)
{
    (void)state;
    struct test_call c[4] = { 0 }, other = { 0 };
    ask_four(c, "a");
    assert_ptr_equal(c[1].rpc.reply, c[2].rpc.reply);
    assert_ptr_not_equal(c[2].rpc.reply, c[3].rpc.reply);
    assert_int_equal(flags_of(&c[2]), 0);
    assert_int_equal(flags_of(&c[3]), 1);
    w.flags = 0;
    call(&other, &one, "b");
    turn();
    assert_key(&other, "b");
    for (int i = 0; i < 4; i++)
        release(&c[i]);
    release(&other);
}

static void equal_answers_may_come_in_pieces(void **state)
{
    (void)state;
    struct test_call c[4] = { 0 };
    char key[5001];
    memset(key, 'k', 5000);
    key[5000] = '\0';
    ask_four(c, key);
    assert_ptr_equal(c[1].rpc.reply, c[2].rpc.reply);
    assert_int_equal(flags_of(&c[3]), 1);
    for (int i = 0; i < 4; i++)
        release(&c[i]);
}

static void answers_are_not_kept_for_long(void **state)
{
    (void)state;
    struct test_call c[2] = { 0 };
    for (int i = 0; i < 2; i++) {
        call(&c[i], &one, "a");
        if (i == 0) connect_dial(0);
        turn();
    }
    assert_int_equal(c[1].rpc.reply->refs, 2);
    pass_ms(11000);
    assert_int_equal(c[1].rpc.reply->refs, 1);
    for (int i = 0; i < 2; i++)
        release(&c[i]);
}

static void an_error_of_the_server_gets_the_prefix_of_the_pool(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    w.say = "Permission denied";
    call(&c, &one, "a");
    connect_dial(0);
    assert_failed(&c, "rpc error making call: Permission denied");
    assert_int_equal(c.rpc.code, ERR_DENIED);
    release(&c);
}

static void a_refused_connection_fails_all_who_waited(void **state)
{
    (void)state;
    struct test_call c[3] = { 0 };
    for (int i = 0; i < 3; i++)
        call(&c[i], &one, "a");
    refuse_dial(0);
    assert_failed(&c[0], "rpc error getting client: failed to get conn: dial tcp 10.0.0.1:8300: "
                         "connect: connection refused");
    for (int i = 1; i < 3; i++)
        assert_failed(&c[i], "rpc error getting client: failed to get conn: rpc error: lead thread "
                             "didn't get connection");
    for (int i = 0; i < 3; i++)
        release(&c[i]);
    call(&c[0], &one, "again");
    connect_dial(1);
    assert_key(&c[0], "again");
    release(&c[0]);
}

static void a_call_without_certificate_has_a_connection_of_its_own(void **state)
{
    (void)state;
    struct test_call plain = { 0 }, c[3] = { 0 };
    struct ca_sign_request args = { .datacenter = STR("dc1"), .csr = STR("request") };
    call(&plain, &one, "a");
    for (int i = 0; i < 3; i++) {
        prepare(&c[i], "AutoEncrypt.Sign", "")->args = &args;
        rpc_pool_submit(w.pool, &one, &c[i].rpc);
    }
    assert_int_equal(w.n_dials, 4);
    refuse_dial(1);
    assert_failed(&c[0], "rpcinsecure error establishing connection: dial tcp 10.0.0.1:8300: "
                         "connect: connection refused");
    rpc_pool_cancel(w.pool, &c[1].rpc);
    assert_null(w.dials[2]);
    connect_dial(0);
    assert_key(&plain, "a");
    fake_world_advance(&w.world, 61000);
    assert_failed(&c[2], "rpcinsecure error making call: i/o deadline reached");
    assert_null(w.dials[3]);
    for (int i = 0; i < 3; i++)
        release(&c[i]);
    release(&plain);
}

static void a_call_without_certificate_stays_in_the_datacenter(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    struct rpc_target far = one;
    struct ca_sign_request args = { .datacenter = STR("dc2") };
    far.datacenter = STR("dc2");
    prepare(&c, "AutoEncrypt.Sign", "")->args = &args;
    rpc_pool_submit(w.pool, &far, &c.rpc);
    assert_failed(&c, "insecure dialing prohibited between datacenters");
    assert_int_equal(w.n_dials, 0);
    release(&c);
}

static void closing_ends_calls_without_certificate_too(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    struct ca_sign_request args = { .datacenter = STR("dc1") };
    prepare(&c, "AutoEncrypt.Sign", "")->args = &args;
    rpc_pool_submit(w.pool, &one, &c.rpc);
    rpc_pool_close(w.pool, on_pool_closed, NULL);
    w.pool = NULL;
    assert_failed(&c, "rpc error: shutdown");
    turn();
    assert_true(w.pool_closed);
    release(&c);
}

static void a_lost_connection_fails_its_calls_at_once(void **state)
{
    (void)state;
    struct test_call c[2] = { 0 };
    w.hold = true;
    call(&c[0], &one, "a");
    call(&c[1], &one, "b");
    connect_dial(0);
    assert_int_equal(w.submitted, 2);
    stream_close(&w.pairs[0].far.base);
    turn();
    for (int i = 0; i < 2; i++) {
        assert_failed(&c[i], "rpc error making call: EOF");
        release(&c[i]);
    }
    assert_int_equal(rpc_pool_counters(w.pool).connections, 0);
    w.hold = false;
    call(&c[0], &one, "a");
    connect_dial(1);
    assert_key(&c[0], "a");
    release(&c[0]);
}

static void a_cancelled_call_is_cancelled_at_the_server(void **state)
{
    (void)state;
    struct test_call c = { 0 }, other = { 0 };
    w.hold = true;
    call(&c, &one, "a");
    connect_dial(0);
    rpc_pool_cancel(w.pool, &c.rpc);
    turn();
    assert_int_equal(w.cancelled, 1);
    assert_int_equal(c.ended, 0);
    w.hold = false;
    call(&other, &one, "b");
    turn();
    assert_key(&other, "b");
    assert_int_equal(w.n_dials, 1);
    release(&c);
    release(&other);
}

static void a_call_may_be_cancelled_before_there_is_a_connection(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    call(&c, &one, "a");
    rpc_pool_cancel(w.pool, &c.rpc);
    connect_dial(0);
    assert_int_equal(c.ended, 0);
    assert_int_equal(w.submitted, 0);
    release(&c);
}

static void every_call_has_a_deadline(void **state)
{
    (void)state;
    struct test_call c = { 0 }, blocking = { 0 }, undialled = { 0 };
    w.hold = true;
    call(&c, &one, "a");
    prepare(&blocking, "KVS.Get", "b");
    blocking.args.min_query_index = 1;
    blocking.args.max_query_time = 160 * SECOND_NS;
    rpc_pool_submit(w.pool, &one, &blocking.rpc);
    connect_dial(0);
    call(&undialled, &two, "c");
    pass_ms(59900);
    assert_int_equal(c.ended + undialled.ended, 0);
    pass_ms(200);
    assert_failed(&c, "rpc error making call: i/o deadline reached");
    assert_failed(&undialled, "rpc error making call: i/o deadline reached");
    assert_int_equal(w.cancelled, 1);
    pass_ms(169000);
    assert_int_equal(blocking.ended, 0);
    pass_ms(1000);
    assert_failed(&blocking, "rpc error making call: i/o deadline reached");
    release(&c);
    release(&blocking);
    release(&undialled);
}

static void an_unused_connection_is_closed(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    call(&c, &one, "a");
    connect_dial(0);
    release(&c);
    pass_ms(126000);
    assert_int_equal(rpc_pool_counters(w.pool).connections, 1);
    pass_ms(2000);
    assert_int_equal(rpc_pool_counters(w.pool).connections, 0);
    assert_int_equal(rpc_port_counters(w.port).open, 0);
}

static void a_server_that_answers_no_ping_loses_its_calls(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    w.hold = true;
    prepare(&c, "KVS.Get", "b");
    c.args.min_query_index = 1;
    rpc_pool_submit(w.pool, &one, &c.rpc);
    connect_dial(0);
    w.pairs[0].open = false; /* nothing is carried any more */
    pass_ms(39900);
    assert_int_equal(c.ended, 0);
    pass_ms(200);
    assert_failed(&c, "rpc error making call: EOF");
    w.pairs[0].open = true;
    turn();
    release(&c);
}

static void after_a_go_away_a_new_connection_is_made(void **state)
{
    (void)state;
    struct test_call c = { 0 }, next = { 0 };
    w.hold = true;
    call(&c, &one, "a");
    connect_dial(0);
    fake_stream_give(&w.pairs[0].near, STR("\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"));
    call(&next, &one, "b");
    assert_int_equal(open_dials(), 1);
    connect_dial(1);
    answer_call(w.waiting[0]);
    answer_call(w.waiting[1]);
    turn();
    assert_key(&c, "a");
    assert_key(&next, "b");
    assert_int_equal(rpc_pool_counters(w.pool).connections, 1); /* the first had no use any more */
    release(&c);
    release(&next);
}

static void garbage_ends_the_connection(void **state)
{
    (void)state;
    struct test_call c = { 0 };
    w.hold = true;
    call(&c, &one, "a");
    connect_dial(0);
    fake_stream_give(&w.pairs[0].near, STR("HTTP/1.1 400 Bad Request\r\n"));
    turn();
    assert_failed(&c, "rpc error making call: EOF");
    assert_int_equal(rpc_pool_counters(w.pool).sessions_failed, 1);
    release(&c);
}

static void an_unreadable_answer_fails_its_call_alone(void **state)
{
    (void)state;
    struct test_call c = { 0 }, other = { 0 };
    w.hold = true;
    call(&c, &one, "a");
    call(&other, &one, "b");
    connect_dial(0);
    fake_stream_give(&w.pairs[0].near, STR("\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\xc1"));
    assert_failed(&c, "rpc error making call: the answer is no msgpack, or too large");
    turn();
    for (size_t i = 0; i < WAITING_MAX; i++) {
        if (w.waiting[i]) answer_call(w.waiting[i]);
    }
    turn();
    assert_key(&other, "b");
    release(&c);
    release(&other);
}

static void closing_ends_calls_and_refuses_new_ones(void **state)
{
    (void)state;
    struct test_call c = { 0 }, waiting = { 0 };
    w.hold = true;
    call(&c, &one, "a");
    connect_dial(0);
    call(&waiting, &two, "b");
    struct rpc_pool *p = w.pool;
    w.pool = NULL;
    rpc_pool_close(p, on_pool_closed, NULL);
    assert_failed(&waiting, "rpc error: shutdown");
    assert_failed(&c, "rpc error making call: session shutdown");
    turn();
    assert_true(w.pool_closed);
    release(&c);
    release(&waiting);
}

#define with_world(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_world(a_call_is_answered_over_a_new_connection),
        with_world(calls_of_one_server_share_a_connection),
        with_world(streams_are_used_again),
        with_world(big_answers_come_whole),
        with_world(equal_answers_to_equal_questions_are_read_once),
        with_world(equal_answers_may_come_in_pieces),
        with_world(answers_are_not_kept_for_long),
        with_world(an_error_of_the_server_gets_the_prefix_of_the_pool),
        with_world(a_refused_connection_fails_all_who_waited),
        with_world(a_call_without_certificate_has_a_connection_of_its_own),
        with_world(a_call_without_certificate_stays_in_the_datacenter),
        with_world(closing_ends_calls_without_certificate_too),
        with_world(a_lost_connection_fails_its_calls_at_once),
        with_world(a_cancelled_call_is_cancelled_at_the_server),
        with_world(a_call_may_be_cancelled_before_there_is_a_connection),
        with_world(every_call_has_a_deadline),
        with_world(an_unused_connection_is_closed),
        with_world(a_server_that_answers_no_ping_loses_its_calls),
        with_world(after_a_go_away_a_new_connection_is_made),
        with_world(garbage_ends_the_connection),
        with_world(an_unreadable_answer_fails_its_call_alone),
        with_world(closing_ends_calls_and_refuses_new_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
