/* SPDX-License-Identifier: Apache-2.0 */
#include "raft_wire.h"

#include "consuld/model.h"
#include "consuld/raft/message.h"

static struct raft_driver_request request;
static bool answered;

static void on_done(struct raft_driver_request *r)
{
    (void)r;
    answered = true;
}

/* A KV write of `n` bytes at the leader; true when it was accepted. */
static bool set_key(struct wire_node *at, const char *key, size_t n)
{
    struct buf b = BUF_INIT((size_t)8 << 20);
    buf_put_char(&b, 2);
    msgpack_put_map(&b, 2);
    msgpack_put_str(&b, STR("DirEnt"));
    msgpack_put_map(&b, 2);
    msgpack_put_str(&b, STR("Key"));
    msgpack_put_str(&b, str_of(key));
    msgpack_put_str(&b, STR("Value"));
    char *value = calloc(1, n + 1);
    msgpack_put_bytes(&b, (struct str){ value, n });
    free(value);
    msgpack_put_str(&b, STR("Op"));
    msgpack_put_str(&b, STR("set"));
    answered = false;
    request = (struct raft_driver_request){ .done = on_done };
    raft_driver_propose(at->driver, &request, buf_str(&b));
    buf_deinit(&b);
    for (int i = 0; i < 600 && !answered; i++)
        pass_ms(20);
    assert_true(answered);
    return request.code == 0;
}

static bool has_key(struct wire_node *n, const char *key)
{
    struct arena a = ARENA_INIT;
    struct dir_entry e = { 0 };
    bool found = false;
    store_kv_get(store_read(n->store), NULL, str_of(key), &a, &e, &found);
    arena_free(&a);
    return found;
}

static void wait_key(struct wire_node *n, const char *key)
{
    for (int i = 0; i < 600 && !has_key(n, key); i++)
        pass_ms(50);
    assert_true(has_key(n, key));
}

static void servers_elect_one_and_hold_the_same(void **state)
{
    (void)state;
    wire_begin(3);
    bootstrap_all();
    struct wire_node *l = elect();
    assert_true(set_key(l, "a", 10));
    assert_true(set_key(l, "large", 600000));
    for (size_t i = 0; i < w.n; i++)
        wait_key(&w.nodes[i], "large");
    struct raft_transport_counters c = raft_transport_counters(l->transport);
    assert_int_equal(c.requests_failed, 0);
    assert_true(c.outgoing <= 8);
    wire_end();
}

static void a_dead_leader_is_replaced(void **state)
{
    (void)state;
    wire_begin(3);
    bootstrap_all();
    struct wire_node *first = elect();
    assert_true(set_key(first, "a", 10));
    node_stop((size_t)(first - w.nodes));
    uint64_t killed = w.world.now_ms;
    struct wire_node *second = elect();
    assert_ptr_not_equal(first, second);
    assert_true(w.world.now_ms - killed < 500); /* its port refuses: nobody waits for it */
    assert_true(set_key(second, "b", 10));
    node_start((size_t)(first - w.nodes));
    wait_key(first, "b");
    wire_end();
}

static void a_server_that_was_away_gets_the_snapshot(void **state)
{
    (void)state;
    char key[16];
    wire_begin(3);
    bootstrap_all();
    struct wire_node *l = elect(), *late = &w.nodes[l == &w.nodes[0] ? 1 : 0];
    node_stop((size_t)(late - w.nodes));
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_true(set_key(l, key, 3000));
    }
    answered = false;
    request = (struct raft_driver_request){ .done = on_done };
    raft_driver_snapshot(l->driver, &request);
    pass_ms(1000);
    assert_true(answered && request.code == 0 && request.index > 20);
    node_start((size_t)(late - w.nodes));
    wait_key(late, "k39");
    assert_true(raft_driver_state(late->driver).last_snapshot_index >= request.index);
    assert_int_equal(raft_transport_counters(l->transport).snapshots_sent, 1);
    assert_int_equal(raft_transport_counters(late->transport).snapshots_received, 1);
    assert_true(set_key(l, "after", 10));
    wait_key(late, "after");
    wire_end();
}

static void leadership_is_handed_over(void **state)
{
    (void)state;
    wire_begin(3);
    bootstrap_all();
    struct wire_node *l = elect(), *heir = &w.nodes[l == &w.nodes[2] ? 1 : 2];
    assert_true(set_key(l, "a", 10));
    wait_key(heir, "a");
    answered = false;
    request = (struct raft_driver_request){ .done = on_done };
    raft_driver_transfer(l->driver, &request, str_of(heir->id));
    pass_ms(500);
    assert_true(answered && request.code == 0);
    assert_ptr_equal(leader(), heir);
    wire_end();
}

static void who_reaches_nobody_keeps_its_term(void **state)
{
    (void)state;
    wire_begin(3);
    bootstrap_all();
    struct wire_node *l = elect(), *alone = &w.nodes[l == &w.nodes[0] ? 1 : 0];
    uint64_t term = raft_driver_state(l->driver).term;
    for (size_t i = 0; i < w.n; i++)
        if (&w.nodes[i] != alone) node_stop(i);
    pass_ms(30000);
    assert_int_equal(raft_driver_state(alone->driver).term, term);
    assert_true(raft_transport_counters(alone->transport).dials_failed > 4);
    wire_end();
}

static void a_silent_peer_ends_requests_by_their_time(void **state)
{
    (void)state;
    wire_begin(3);
    bootstrap_all();
    struct wire_node *l = elect(), *silent = &w.nodes[l == &w.nodes[0] ? 1 : 0];
    assert_true(set_key(l, "a", 10));
    silent->away = AWAY_SILENT;
    pass_ms(15000);
    assert_true(set_key(l, "b", 10));
    struct raft_transport_counters c = raft_transport_counters(l->transport);
    assert_true(c.requests_timed_out > 0);
    assert_true(c.outgoing < 40);
    silent->away = AWAY_NO;
    wait_key(silent, "b");
    wire_end();
}

/* --- one connection, byte by byte ------------------------------------------------------------- */

static struct buf heard;
static bool hung_up;

static void hear(struct stream *s, struct str bytes)
{
    (void)s;
    buf_put_str(&heard, bytes);
}
static void hear_closed(struct stream *s, int code)
{
    (void)s;
    (void)code;
}
static void hear_eof(struct stream *s)
{
    hung_up = true;
    stream_close(s);
}
static const struct stream_events hearing = {
    .data = hear, .eof = hear_eof, .closed = hear_closed
};

static struct wire_pair *converse(struct wire_node *with)
{
    struct wire_pair *p = pair_take();
    heard = (struct buf)BUF_INIT((size_t)1 << 20);
    hung_up = false;
    p->to = with;
    p->streams.a.base.events = &hearing;
    p->streams.b.base.events = &port_events;
    p->streams.b.base.owner = p;
    struct stream_part byte = { "\x01", 1, NULL };
    assert_int_equal(stream_write(&p->streams.a.base, &byte, 1), 0);
    return p;
}

static void say(struct wire_pair *p, const void *bytes, size_t n)
{
    struct stream_part part = { bytes, n, NULL };
    assert_int_equal(stream_write(&p->streams.a.base, &part, 1), 0);
    turn();
}

static void say_message(struct wire_pair *p, const struct raft_message *m)
{
    struct buf b = BUF_INIT(1 << 20);
    raft_request_encode(m, &b);
    say(p, b.p, b.n);
    buf_deinit(&b);
}

static struct raft_message vote(uint64_t term, const char *candidate)
{
    return (struct raft_message){ .type = RAFT_REQUEST_VOTE,
        .term = term,
        .request_vote = {
            .candidate = str_of(candidate), .last_log_index = 9, .last_log_term = 9 } };
}

/* The next answer heard, to a request of this type. */
static int take_answer(enum raft_message_type type, struct raft_message *out)
{
    struct arena a = ARENA_INIT;
    struct cursor c;
    struct error err;
    cursor_init(&c, heard.p, heard.n, &err);
    int code = raft_response_decode(&c, &a, type, out, &err);
    if (code == 0 || code == ERR_INTERNAL) buf_consume(&heard, heard.n - cursor_left(&c));
    arena_free(&a);
    return code;
}

static void requests_are_answered_in_their_order(void **state)
{
    (void)state;
    struct raft_message m;
    wire_begin(1);
    struct wire_pair *p = converse(&w.nodes[0]);
    p->streams.piece = 7;
    struct raft_message heartbeat = { .type = RAFT_APPEND_ENTRIES,
        .term = 4,
        .append_entries = { .leader = STR("10.0.0.9:8300"), .heartbeat = true } };
    struct raft_message stale = vote(1, "10.0.0.8:8300"), wanted = vote(3, "10.0.0.9:8300");
    struct buf all = BUF_INIT(4096);
    raft_request_encode(&wanted, &all);
    raft_request_encode(&heartbeat, &all);
    raft_request_encode(&stale, &all);
    say(p, all.p, all.n);
    buf_deinit(&all);
    assert_int_equal(take_answer(RAFT_REQUEST_VOTE, &m), 0);
    assert_true(m.request_vote_response.granted && m.term == 3);
    assert_int_equal(take_answer(RAFT_APPEND_ENTRIES, &m), 0);
    assert_true(m.append_entries_response.success && m.term == 4);
    assert_int_equal(take_answer(RAFT_REQUEST_VOTE, &m), 0);
    assert_false(m.request_vote_response.granted);
    assert_int_equal(heard.n, 0);
    assert_false(hung_up);
    buf_deinit(&heard);
    stream_close(&p->streams.a.base);
    turn();
    wire_end();
}

static void what_is_no_request_ends_the_connection(void **state)
{
    (void)state;
    static const char *const bad[] = { "\x07\x80", "\x01\xc1", "\x00\xa3xyz", "\x02\x01" };
    wire_begin(1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct wire_pair *p = converse(&w.nodes[0]);
        say(p, bad[i], strlen(bad[i]) ? strlen(bad[i]) : 5);
        assert_true(hung_up);
        assert_int_equal(heard.n, 0);
        buf_deinit(&heard);
    }
    assert_int_equal(raft_transport_counters(w.nodes[0].transport).incoming, 0);
    wire_end();
}

static void a_refused_snapshot_is_read_to_its_end(void **state)
{
    (void)state;
    struct raft_configuration c = { 0 };
    struct raft_message m, newer = vote(9, "10.0.0.9:8300");
    char bytes[3000] = { 0 };
    assert_true(raft_configuration_add(&c, STR("x"), STR("10.0.0.8:8300"), RAFT_VOTER));
    wire_begin(1);
    struct wire_pair *p = converse(&w.nodes[0]);
    say_message(p, &newer);
    assert_int_equal(take_answer(RAFT_REQUEST_VOTE, &m), 0);
    struct raft_message install = { .type = RAFT_INSTALL_SNAPSHOT,
        .term = 3,
        .install_snapshot = { .leader = STR("10.0.0.8:8300"),
            .last_log_index = 50,
            .last_log_term = 2,
            .configuration = &c,
            .size = sizeof bytes } };
    say_message(p, &install);
    say(p, bytes, sizeof bytes - 1);
    assert_int_equal(heard.n, 0);
    say(p, bytes, 1);
    assert_int_equal(take_answer(RAFT_INSTALL_SNAPSHOT, &m), 0);
    assert_false(m.install_snapshot_response.success);
    assert_int_equal(m.term, 9);
    say_message(p, &newer);
    assert_int_equal(take_answer(RAFT_REQUEST_VOTE, &m), 0);
    assert_true(m.request_vote_response.granted);
    assert_int_equal(raft_driver_state(w.nodes[0].driver).last_snapshot_index, 0);
    buf_deinit(&heard);
    stream_close(&p->streams.a.base);
    turn();
    wire_end();
}

static void a_snapshot_that_stops_coming_ends_the_connection(void **state)
{
    (void)state;
    struct raft_configuration c = { 0 };
    assert_true(raft_configuration_add(&c, STR("x"), STR("10.0.0.8:8300"), RAFT_VOTER));
    wire_begin(1);
    struct wire_pair *p = converse(&w.nodes[0]);
    struct raft_message install = { .type = RAFT_INSTALL_SNAPSHOT,
        .term = 3,
        .install_snapshot = { .leader = STR("10.0.0.8:8300"),
            .last_log_index = 50,
            .last_log_term = 2,
            .configuration = &c,
            .size = UINT64_C(1) << 39 } };
    say_message(p, &install);
    say(p, "beginning", 9);
    assert_false(hung_up);
    pass_ms(11000);
    assert_true(hung_up);
    buf_deinit(&heard);
    wire_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_elect_one_and_hold_the_same),
        cmocka_unit_test(a_dead_leader_is_replaced),
        cmocka_unit_test(a_server_that_was_away_gets_the_snapshot),
        cmocka_unit_test(leadership_is_handed_over),
        cmocka_unit_test(who_reaches_nobody_keeps_its_term),
        cmocka_unit_test(a_silent_peer_ends_requests_by_their_time),
        cmocka_unit_test(requests_are_answered_in_their_order),
        cmocka_unit_test(what_is_no_request_ends_the_connection),
        cmocka_unit_test(a_refused_snapshot_is_read_to_its_end),
        cmocka_unit_test(a_snapshot_that_stops_coming_ends_the_connection),
    };
    model_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
