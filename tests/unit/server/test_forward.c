/* SPDX-License-Identifier: Apache-2.0 */
/* A follower: another server leads, as AppendEntries tell, and its port answers what the follower
 * passes on. */
#include "../cluster/rpc_world.h"
#include "consuld/cluster/raft_driver.h"
#include "consuld/raft.h"
#include "consuld/server.h"
#include "consuld/store.h"

#define HOLD_MS 7000

static struct {
    struct store *store;
    struct raft_driver *raft;
    struct server *server;
    bool stopped;
    uint64_t rpc; /* of the last message received */
} f;

void resolve_start(struct resolve *r)
{
    r->impl = NULL;
}
void resolve_cancel(struct resolve *r)
{
    r->impl = NULL;
}

static void follower_begin(void)
{
    struct error err = { 0 };
    struct store_report report;
    struct store_options so = { .map_size = 64u << 20, .boot_id = "one" };
    struct raft_driver_options ro = { .world = &w.world,
        .id = STR("11111111-2222-3333-4444-555555555555"),
        .address = STR("10.0.0.1:8300"),
        .multiplier = 10 };
    memset(&f, 0, sizeof f);
    if (store_open(&so, &f.store, &report, &err)) fail_msg("%s", err.text);
    ro.store = f.store;
    if (raft_driver_create(&ro, &f.raft, &err)) fail_msg("%s", err.text);
    struct server_options o = { .world = &w.world,
        .store = f.store,
        .raft = f.raft,
        .rpc_pool = w.pool,
        .datacenter = STR("dc1"),
        .self = { .name = STR("s1"),
            .id = ro.id,
            .address = STR("10.0.0.1"),
            .port = 8300,
            .version = STR("1.8.6"),
            .raft_version = 3 },
        .raft_address = ro.address,
        .rpc_hold_timeout_ms = HOLD_MS };
    if (server_create(&o, &f.server, &err)) fail_msg("%s", err.text);
    raft_driver_start(f.raft);
    turn();
}

static void on_stopped(void *ctx)
{
    (void)ctx;
    f.stopped = true;
}

static int setup(void **state)
{
    (void)state;
    rpc_world_begin();
    follower_begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_destroy(f.server);
    raft_driver_stop(f.raft, on_stopped, NULL);
    pass_ms(1000);
    assert_true(f.stopped);
    raft_driver_destroy(f.raft);
    fake_world_run_jobs(&w.world);
    store_close(f.store);
    rpc_world_end();
    return 0;
}

static void hear_of(struct str address, uint64_t term)
{
    struct raft_message m = { .type = RAFT_APPEND_ENTRIES,
        .rpc = ++f.rpc,
        .term = term,
        .append_entries = { .leader = address, .heartbeat = true } };
    raft_driver_receive(f.raft, &m);
    turn();
}

/* 10.0.0.9 leads, says raft. */
static void hear_of_the_leader(void)
{
    hear_of(STR("10.0.0.9:8300"), 4);
}

static void hear_of_another_leader(void)
{
    hear_of(STR("10.0.0.8:8300"), 5);
}

/* A vote for another term: the leader is no more, and nobody knows who will be. */
static void lose_the_leader(void)
{
    struct raft_message m = { .type = RAFT_REQUEST_VOTE,
        .rpc = ++f.rpc,
        .term = 5,
        .request_vote = { .candidate = STR("10.0.0.8:8300"), .leadership_transfer = true } };
    raft_driver_receive(f.raft, &m);
    turn();
}

static void call(struct test_call *c, const char *key)
{
    rpc_submit(server_rpc(f.server), prepare(c, "KVS.Get", key));
    turn();
}

static void a_read_is_the_leaders_answer(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    hear_of_the_leader();
    call(&c, "a");
    connect_dial(0);
    assert_key(&c, "a");
    assert_int_equal(c.rpc.reply->index, 17);
    assert_int_equal(w.submitted, 1);
    assert_int_equal(server_stats(f.server).forwarded, 1);
    release(&c);
}

static void calls_wait_for_a_leader_and_go_to_it_when_it_is_known(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    call(&c, "a");
    pass_ms(2000);
    assert_int_equal(w.n_dials, 0);
    hear_of_the_leader();
    connect_dial(0);
    assert_key(&c, "a");
    release(&c);
}

static void without_a_leader_calls_fail_when_held_too_long(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    call(&c, "a");
    pass_ms(HOLD_MS - 100);
    assert_int_equal(c.ended, 0);
    pass_ms(200);
    assert_failed(&c, RPC_ERR_NO_LEADER);
    release(&c);
}

static void who_leads_no_more_is_asked_again_after_a_pause(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    hear_of_the_leader();
    w.say = RPC_ERR_NO_LEADER;
    call(&c, "a");
    connect_dial(0);
    assert_int_equal(c.ended, 0);
    assert_int_equal(w.submitted, 1);
    w.say = NULL;
    pass_ms(HOLD_MS / 16 + 100);
    assert_key(&c, "a");
    assert_int_equal(w.submitted, 2);
    release(&c);
}

static void other_errors_of_the_leader_are_the_answer(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    hear_of_the_leader();
    w.say = "Invalid Behavior setting 'keep'";
    call(&c, "a");
    connect_dial(0);
    assert_failed(&c, "rpc error making call: Invalid Behavior setting 'keep'");
    assert_int_equal(w.submitted, 1);
    release(&c);
}

/* Nothing was sent, so a write may be tried again as well. */
static void a_write_that_did_not_reach_the_leader_is_tried_again(void **state)
{
    struct test_call c = { 0 };
    struct kvs_request args = {
        .datacenter = STR("dc1"), .op = STR("set"), .dir_ent.key = STR("k")
    };
    (void)state;
    hear_of_the_leader();
    prepare(&c, "KVS.Apply", "");
    c.rpc.args = &args;
    rpc_submit(server_rpc(f.server), &c.rpc);
    turn();
    refuse_dial(0);
    assert_int_equal(c.ended, 0);
    for (int i = 0; i < 10 && open_dials() == 0; i++)
        pass_ms(100);
    connect_dial(w.n_dials - 1);
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rpc.code, 0);
    assert_int_equal(w.submitted, 1);
    release(&c);
}

static void a_read_that_lost_its_connection_is_made_again_but_no_write(void **state)
{
    struct test_call read = { 0 }, write = { 0 };
    struct kvs_request args = {
        .datacenter = STR("dc1"), .op = STR("set"), .dir_ent.key = STR("k")
    };
    (void)state;
    hear_of_the_leader();
    w.hold = true;
    call(&read, "a");
    prepare(&write, "KVS.Apply", "");
    write.rpc.args = &args;
    rpc_submit(server_rpc(f.server), &write.rpc);
    turn();
    connect_dial(0);
    assert_int_equal(w.submitted, 2);
    stream_close(&w.pairs[0].far.base);
    turn();
    assert_int_equal(write.ended, 1);
    assert_true(write.rpc.code < 0);
    assert_int_equal(read.ended, 0);
    w.hold = false;
    for (int i = 0; i < 10 && open_dials() == 0; i++)
        pass_ms(100);
    connect_dial(w.n_dials - 1);
    assert_key(&read, "a");
    release(&read);
    release(&write);
}

static void a_blocking_read_that_is_made_again_waits_for_the_rest(void **state)
{
    const int64_t second = INT64_C(1000000000);
    struct test_call c = { 0 };
    struct key_request args = { .datacenter = STR("dc1"),
        .key = STR("a"),
        .min_query_index = 7,
        .max_query_time = 10 * second };
    (void)state;
    hear_of_the_leader();
    w.hold = true;
    prepare(&c, "KVS.Get", "");
    c.rpc.args = &args;
    rpc_submit(server_rpc(f.server), &c.rpc);
    turn();
    connect_dial(0);
    pass_ms(4000);
    stream_close(&w.pairs[0].far.base);
    memset(w.waiting, 0, sizeof w.waiting);
    for (int i = 0; i < 10 && open_dials() == 0; i++)
        pass_ms(100);
    connect_dial(w.n_dials - 1);
    assert_non_null(w.waiting[0]);
    const struct key_request *again = w.waiting[0]->args;
    assert_true(again->max_query_time > 4 * second && again->max_query_time <= 6 * second);
    assert_int_equal(args.max_query_time, 10 * second);
    rpc_cancel(server_rpc(f.server), &c.rpc);
    release(&c);
}

static void write_key(struct test_call *c)
{
    static const struct kvs_request args = {
        .datacenter = { "dc1", 3 }, .op = { "set", 3 }, .dir_ent.key = { "k", 1 }
    };
    prepare(c, "KVS.Apply", "");
    c->rpc.args = &args;
    rpc_submit(server_rpc(f.server), &c->rpc);
    turn();
}

static void a_read_leaves_a_leader_that_does_not_answer_for_the_next(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    hear_of_the_leader();
    w.hold = true;
    call(&c, "a");
    connect_dial(0);
    lose_the_leader();
    assert_int_equal(c.ended, 0);
    assert_int_equal(w.cancelled, 1);
    w.hold = false;
    hear_of_another_leader();
    connect_dial(1);
    assert_key(&c, "a");
    release(&c);
}

static void a_write_in_doubt_ends_soon_after_another_leads_and_is_not_repeated(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    hear_of_the_leader();
    w.hold = true;
    write_key(&c);
    connect_dial(0);
    lose_the_leader();
    pass_ms(2000);
    assert_int_equal(c.ended, 0);
    hear_of_another_leader();
    pass_ms(HOLD_MS / 16 + 100);
    assert_failed(&c, "rpc error making call: leadership lost while committing log");
    assert_int_equal(w.submitted, 1);
    assert_int_equal(w.n_dials, 1);
    release(&c);
}

static void a_write_in_doubt_without_a_leader_ends_when_held_too_long(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    hear_of_the_leader();
    w.hold = true;
    write_key(&c);
    connect_dial(0);
    lose_the_leader();
    pass_ms(HOLD_MS - 200);
    assert_int_equal(c.ended, 0);
    pass_ms(300);
    assert_failed(&c, "rpc error making call: leadership lost while committing log");
    release(&c);
}

static void a_write_in_doubt_is_answered_by_who_was_asked(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    hear_of_the_leader();
    w.hold = true;
    write_key(&c);
    connect_dial(0);
    lose_the_leader();
    hear_of_another_leader();
    assert_int_equal(c.ended, 0);
    answer_call(w.waiting[0]);
    turn();
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rpc.code, 0);
    release(&c);
}

static void a_write_that_was_not_sent_yet_goes_to_the_next_leader(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    hear_of_the_leader();
    write_key(&c);
    assert_int_equal(w.n_dials, 1);
    hear_of_another_leader();
    assert_int_equal(w.n_dials, 2);
    connect_dial(1);
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rpc.code, 0);
    assert_int_equal(w.submitted, 1);
    release(&c);
}

/* Half of the heartbeat timeout at multiplier 10. */
static void nothing_is_sent_to_a_leader_that_fell_silent(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    hear_of_the_leader();
    pass_ms(5100);
    write_key(&c);
    pass_ms(500);
    assert_int_equal(w.n_dials, 0);
    hear_of_the_leader();
    pass_ms(200);
    connect_dial(0);
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rpc.code, 0);
    release(&c);
}

static void a_cancelled_call_is_cancelled_at_the_leader(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    hear_of_the_leader();
    w.hold = true;
    call(&c, "a");
    connect_dial(0);
    rpc_cancel(server_rpc(f.server), &c.rpc);
    turn();
    assert_int_equal(c.ended, 0);
    assert_int_equal(w.cancelled, 1);
    release(&c);
}

static void a_leaving_server_passes_nothing_on(void **state)
{
    struct test_call held = { 0 }, late = { 0 };
    (void)state;
    call(&held, "a");
    server_leave(f.server);
    turn();
    assert_failed(&held, RPC_ERR_NO_LEADER);
    hear_of_the_leader();
    call(&late, "a");
    assert_failed(&late, RPC_ERR_NO_LEADER);
    assert_int_equal(w.n_dials, 0);
    release(&held);
    release(&late);
}

static void stale_reads_are_answered_here(void **state)
{
    struct test_call c = { 0 };
    (void)state;
    hear_of_the_leader();
    prepare(&c, "KVS.Get", "a");
    c.args.allow_stale = true;
    rpc_submit(server_rpc(f.server), &c.rpc);
    turn();
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rpc.code, 0);
    assert_true(c.rpc.reply->known_leader);
    assert_int_equal(w.n_dials, 0);
    release(&c);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_read_is_the_leaders_answer),
        T(calls_wait_for_a_leader_and_go_to_it_when_it_is_known),
        T(without_a_leader_calls_fail_when_held_too_long),
        T(who_leads_no_more_is_asked_again_after_a_pause),
        T(other_errors_of_the_leader_are_the_answer),
        T(a_write_that_did_not_reach_the_leader_is_tried_again),
        T(a_read_that_lost_its_connection_is_made_again_but_no_write),
        T(a_blocking_read_that_is_made_again_waits_for_the_rest),
        T(a_read_leaves_a_leader_that_does_not_answer_for_the_next),
        T(a_write_in_doubt_ends_soon_after_another_leads_and_is_not_repeated),
        T(a_write_in_doubt_without_a_leader_ends_when_held_too_long),
        T(a_write_in_doubt_is_answered_by_who_was_asked),
        T(a_write_that_was_not_sent_yet_goes_to_the_next_leader),
        T(nothing_is_sent_to_a_leader_that_fell_silent),
        T(a_cancelled_call_is_cancelled_at_the_leader),
        T(a_leaving_server_passes_nothing_on),
        T(stale_reads_are_answered_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
