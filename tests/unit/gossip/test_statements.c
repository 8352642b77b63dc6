/* SPDX-License-Identifier: Apache-2.0 */
/* What is believed of statements, beyond the recorded trace: suspicion times, refusals, moves,
 * buried names, odd values. */
#include "swim_bed.h"

/* Four peers, so that two confirmations are wanted; suspicion 4 s at least, 24 s at most. */
static void start(struct bed *b)
{
    bed_init(b);
    bed_start(b);
    say_alive(b, "a", "10.0.0.1", 1);
    say_alive(b, "b", "10.0.0.2", 1);
    say_alive(b, "c", "10.0.0.3", 1);
    say_alive(b, "d", "10.0.0.4", 1);
    b->s->o.probe_interval_ms = 1000; /* for the formulas alone: no rounds are scheduled */
}

/* Milliseconds from now until `name` is dead. */
static uint64_t time_of_death(struct bed *b, const char *name)
{
    uint64_t from = b->now;
    while (state_of(b, name) != SWIM_DEAD) {
        assert_true(b->out.wake_ms != SWIM_NEVER && b->now - from < 1000000);
        tick(b, b->out.wake_ms - b->now);
    }
    return b->now - from;
}

static void one_accuser_waits_longest(void **state)
{
    (void)state;
    struct bed b;
    start(&b);
    accuse(&b, SWIM_MSG_SUSPECT, "a", 1, "b");
    assert_int_equal(time_of_death(&b, "a"), 24000);
    assert_true(was_told(&b, "leave a"));
    bed_end(&b);
}

static void accusers_shorten_the_suspicion(void **state)
{
    (void)state;
    struct bed b;
    start(&b);
    accuse(&b, SWIM_MSG_SUSPECT, "a", 1, "b");
    accuse(&b, SWIM_MSG_SUSPECT, "a", 1, "c");
    uint64_t one = b.out.wake_ms - b.now;
    assert_int_equal(one, swim_suspicion_remaining_ms(1, 2, 0, 4000, 24000));
    accuse(&b, SWIM_MSG_SUSPECT, "a", 1, "d");
    assert_int_equal(time_of_death(&b, "a"), 4000);
    bed_end(&b);
}

static void an_accuser_counts_once(void **state)
{
    (void)state;
    struct bed b;
    start(&b);
    accuse(&b, SWIM_MSG_SUSPECT, "a", 1, "b");
    broadcast_queue_prune(b.s->queue, 0);
    accuse(&b, SWIM_MSG_SUSPECT, "a", 1, "b");
    assert_int_equal(swim_queue_length(b.s), 0);
    assert_int_equal(time_of_death(&b, "a"), 24000);
    bed_end(&b);
}

static void a_late_accuser_ends_what_is_overdue(void **state)
{
    (void)state;
    struct bed b;
    start(&b);
    accuse(&b, SWIM_MSG_SUSPECT, "a", 1, "b");
    accuse(&b, SWIM_MSG_SUSPECT, "a", 1, "c");
    uint64_t until = b.now + 5000;
    run_until(&b, until, NULL, NULL);
    assert_int_equal(state_of(&b, "a"), SWIM_SUSPECT);
    accuse(&b, SWIM_MSG_SUSPECT, "a", 1, "d");
    assert_int_equal(state_of(&b, "a"), SWIM_DEAD);
    bed_end(&b);
}

static void a_refuted_suspicion_is_over(void **state)
{
    (void)state;
    struct bed b;
    start(&b);
    accuse(&b, SWIM_MSG_SUSPECT, "a", 1, "b");
    say_alive(&b, "a", "10.0.0.1", 2);
    assert_int_equal(b.events_n, 0);
    assert_int_equal(state_of(&b, "a"), SWIM_ALIVE);
    run_until(&b, b.now + 100000, NULL, NULL);
    assert_int_equal(state_of(&b, "a"), SWIM_ALIVE);
    bed_end(&b);
}

/* --- refusals -------------------------------------------------------------------------------- */

static int refuse_b(void *ctx, const struct swim_node *node, struct error *err)
{
    (void)ctx;
    assert_int_equal(node->state, SWIM_ALIVE);
    return str_is(node->name, "b") ? error_set(err, ERR_DENIED, "not you") : 0;
}

static void the_delegate_refuses_members(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    b.o.delegate.alive = refuse_b;
    bed_start(&b);
    say_alive(&b, "a", "10.0.0.1", 1);
    say_alive(&b, "b", "10.0.0.2", 1);
    assert_non_null(swim_find(b.s, STR("a")));
    assert_null(swim_find(b.s, STR("b")));
    bed_end(&b);
}

static void a_delegate_needs_all_versions(void **state)
{
    (void)state;
    struct bed b;
    struct swim_alive m = {
        .incarnation = 1, .node = STR("old"), .addr = STR("\x0a\0\0\1"), .port = 1
    };
    bed_init(&b);
    bed_start(&b);
    receive(&b, "10.0.0.1", message_of(&b, SWIM_MSG_ALIVE, &type_swim_alive, &m));
    assert_non_null(swim_find(b.s, STR("old")));
    bed_end(&b);
    bed_init(&b);
    b.o.delegate.alive = refuse_b;
    bed_start(&b);
    receive(&b, "10.0.0.1", message_of(&b, SWIM_MSG_ALIVE, &type_swim_alive, &m));
    assert_null(swim_find(b.s, STR("old")));
    bed_end(&b);
}

static void a_node_that_is_refused_does_not_start(void **state)
{
    (void)state;
    struct bed b;
    struct error err;
    bed_init(&b);
    b.o.name = STR("b");
    b.o.delegate.alive = refuse_b;
    b.s = swim_create(&b.o);
    assert_int_not_equal(swim_start(b.s, b.now, &err), 0);
    bed_end(&b);
}

static void only_allowed_networks_are_heard(void **state)
{
    (void)state;
    struct bed b;
    struct gossip_network nets[2];
    bed_init(&b);
    assert_true(gossip_network_parse(&nets[0], STR("10.0.0.0/24")));
    assert_true(gossip_network_parse(&nets[1], STR("127.0.0.0/8")));
    b.o.allowed = nets;
    b.o.allowed_n = 2;
    bed_start(&b);
    say_alive(&b, "in", "10.0.0.1", 1);
    say_alive(&b, "out", "10.0.1.1", 1);
    assert_non_null(swim_find(b.s, STR("in")));
    assert_null(swim_find(b.s, STR("out")));
    assert_int_equal(swim_counters(b.s)->faults[SWIM_FAULT_NETWORK], 1);
    bed_end(&b);
}

static void impossible_members_are_refused(void **state)
{
    (void)state;
    struct bed b;
    static char big[SWIM_META_MAX + 1];
    const struct swim_alive odd[] = {
        { .incarnation = 1, .node = STR_NIL, .addr = STR("\x0a\0\0\1"), .port = 1 },
        { .incarnation = 1, .node = { big, sizeof big }, .addr = STR("\x0a\0\0\1"), .port = 1 },
        { .incarnation = 1, .node = STR("x"), .addr = STR("\x0a\0\0"), .port = 1 },
        { .incarnation = 1, .node = STR("x"), .addr = STR_NIL, .port = 1 },
        { .incarnation = 1,
            .node = STR("x"),
            .addr = STR("\x0a\0\0\1"),
            .port = 1,
            .meta = { big, sizeof big } },
        { .incarnation = 1,
            .node = STR("x"),
            .addr = STR("\x0a\0\0\1"),
            .port = 1,
            .vsn = STR("\1\5\2") },
    };
    bed_init(&b);
    bed_start(&b);
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        receive(&b, "10.0.0.1", message_of(&b, SWIM_MSG_ALIVE, &type_swim_alive, &odd[i]));
        assert_int_equal(swim_count(b.s), 1);
        assert_int_equal(swim_counters(b.s)->faults[SWIM_FAULT_VALUE], i + 1);
    }
    bed_end(&b);
}

static void port_zero_is_our_own_port(void **state)
{
    (void)state;
    struct bed b;
    struct swim_alive m = { .incarnation = 1, .node = STR("p"), .addr = STR("\x0a\0\0\1") };
    bed_init(&b);
    b.o.bind_port = 4711;
    bed_start(&b);
    receive(&b, "10.0.0.1", message_of(&b, SWIM_MSG_ALIVE, &type_swim_alive, &m));
    assert_int_equal(swim_find(b.s, STR("p"))->address.port, 4711);
    bed_end(&b);
}

/* --- moves and graves ------------------------------------------------------------------------ */

static void a_dead_member_moves_after_the_reclaim_time(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    b.o.dead_node_reclaim_ms = 30000;
    bed_start(&b);
    say_alive(&b, "a", "10.0.0.1", 5);
    accuse(&b, SWIM_MSG_DEAD, "a", 5, "x");
    b.now += 30000;
    say_alive(&b, "a", "10.0.0.7", 1);
    assert_true(was_told(&b, "conflict a 10.0.0.1:7946 vs 10.0.0.7:7946"));
    b.now += 1;
    say_alive(&b, "a", "10.0.0.7", 1);
    assert_true(was_told(&b, "join a"));
    assert_int_equal(incarnation_of(&b, "a"), 1);
    assert_int_equal(swim_count_alive(b.s), 2);
    bed_end(&b);
}

/* A push/pull that says `name` is alive. */
static void push(struct bed *b, const char *name, const char *ip, uint32_t incarnation)
{
    struct gossip_address at = address_of(ip, 7946);
    struct swim_push_pull head = { .nodes = 1 };
    struct swim_push_node n = { .name = str_of(name),
        .addr = gossip_address_ip(&at),
        .port = 7946,
        .incarnation = incarnation,
        .vsn = { vsn_of_peers, 6 } };
    struct buf m = BUF_INIT(1 << 16);
    static uint64_t id = 1;
    swim_message_encode(SWIM_MSG_PUSH_PULL, &type_swim_push_pull, &head, &m);
    msgpack_encode(&type_swim_push_node, &n, &m);
    struct swim_event ev = { .type = SWIM_ACCEPTED };
    ev.stream.id = id += 2;
    step(b, &ev);
    ev.type = SWIM_STREAM_DATA;
    ev.stream.bytes = buf_str(&m);
    step(b, &ev);
    buf_deinit(&m);
}

static void a_buried_name_does_not_come_back_by_push_pull(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    bed_start(&b);
    say_alive(&b, "a", "10.0.0.1", 3);
    accuse(&b, SWIM_MSG_DEAD, "a", 3, "x");
    swim_bury(b.s, STR("a"), b.now + 1000000);
    assert_null(swim_find(b.s, STR("a")));
    push(&b, "a", "10.0.0.1", 3);
    assert_null(swim_find(b.s, STR("a")));
    assert_int_equal(swim_counters(b.s)->buried, 1);
    push(&b, "other", "10.0.0.2", 1);
    assert_non_null(swim_find(b.s, STR("other")));
    push(&b, "a", "10.0.0.1", 4); /* it refuted: it lives */
    assert_non_null(swim_find(b.s, STR("a")));
    bed_end(&b);
}

static void a_buried_member_that_returns_is_heard(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    bed_start(&b);
    say_alive(&b, "a", "10.0.0.1", 3);
    accuse(&b, SWIM_MSG_DEAD, "a", 3, "x");
    swim_bury(b.s, STR("a"), b.now + 1000000);
    b.now += 1000;
    say_alive(&b, "a", "10.0.0.1", 1); /* a late packet of old news */
    assert_null(swim_find(b.s, STR("a")));
    b.now += 60000;
    say_alive(&b, "a", "10.0.0.1", 1); /* started again */
    assert_non_null(swim_find(b.s, STR("a")));
    push(&b, "a", "10.0.0.1", 2);
    assert_int_equal(incarnation_of(&b, "a"), 2);
    bed_end(&b);
}

static void graves_end(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    bed_start(&b);
    swim_bury(b.s, STR("a"), b.now + 5000);
    push(&b, "a", "10.0.0.1", 0);
    b.now += 5000;
    push(&b, "a", "10.0.0.1", 1);
    assert_non_null(swim_find(b.s, STR("a")));
    bed_end(&b);
}

static void the_highest_incarnation_does_not_wrap(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    bed_start(&b);
    accuse(&b, SWIM_MSG_SUSPECT, "self", UINT32_MAX, "x");
    assert_int_equal(incarnation_of(&b, "self"), UINT32_MAX);
    assert_int_equal(state_of(&b, "self"), SWIM_ALIVE);
    accuse(&b, SWIM_MSG_DEAD, "self", UINT32_MAX, "x");
    assert_int_equal(incarnation_of(&b, "self"), UINT32_MAX);
    bed_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_accuser_waits_longest),
        cmocka_unit_test(accusers_shorten_the_suspicion),
        cmocka_unit_test(an_accuser_counts_once),
        cmocka_unit_test(a_late_accuser_ends_what_is_overdue),
        cmocka_unit_test(a_refuted_suspicion_is_over),
        cmocka_unit_test(the_delegate_refuses_members),
        cmocka_unit_test(a_delegate_needs_all_versions),
        cmocka_unit_test(a_node_that_is_refused_does_not_start),
        cmocka_unit_test(only_allowed_networks_are_heard),
        cmocka_unit_test(impossible_members_are_refused),
        cmocka_unit_test(port_zero_is_our_own_port),
        cmocka_unit_test(a_dead_member_moves_after_the_reclaim_time),
        cmocka_unit_test(a_buried_name_does_not_come_back_by_push_pull),
        cmocka_unit_test(a_buried_member_that_returns_is_heard),
        cmocka_unit_test(graves_end),
        cmocka_unit_test(the_highest_incarnation_does_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
