/* SPDX-License-Identifier: Apache-2.0 */
#include "swim_bed.h"

struct round {
    struct bed b;
    uint64_t rtt_us;
    size_t round_trips;
    char payload[32];
};

static void on_round_trip(void *ctx, const struct swim_node *node, uint64_t rtt_us, struct str p)
{
    struct round *r = ctx;
    (void)node;
    r->rtt_us = rtt_us;
    r->round_trips++;
    snprintf(r->payload, sizeof r->payload, "%.*s", STR_ARG(p));
}

/* A node that probes; no gossip, no push/pull. */
static void start(struct round *r)
{
    memset(r, 0, sizeof *r);
    bed_init(&r->b);
    r->b.o.probe_interval_ms = 1000;
    r->b.o.delegate.ctx = r;
    r->b.o.delegate.member = NULL;
    r->b.o.delegate.conflict = NULL;
    r->b.o.delegate.round_trip = on_round_trip;
    bed_start(&r->b);
    broadcast_queue_prune(r->b.s->queue, 0);
}

static void know(struct round *r, const char *name, const char *ip)
{
    say_alive(&r->b, name, ip, 1);
    broadcast_queue_prune(r->b.s->queue, 0);
}

/* Runs until a ping leaves; returns it. */
static struct swim_ping next_ping(struct round *r)
{
    struct swim_ping p;
    for (int i = 0; i < 100; i++) {
        tick(&r->b, r->b.out.wake_ms > r->b.now ? r->b.out.wake_ms - r->b.now : 0);
        if (sent(&r->b, SWIM_MSG_PING, &type_swim_ping, &p)) return p;
    }
    fail_msg("nobody is probed");
    return p;
}

static void answer(struct round *r, uint64_t seq, const char *from, const char *payload)
{
    struct swim_ack ack = { .seq_no = seq, .payload = str_of(payload) };
    receive(&r->b, from, message_of(&r->b, SWIM_MSG_ACK, &type_swim_ack, &ack));
}

static void say_nack(struct round *r, uint64_t seq, const char *from)
{
    struct swim_nack nack = { .seq_no = seq };
    receive(&r->b, from, message_of(&r->b, SWIM_MSG_NACK, &type_swim_nack, &nack));
}

static size_t count_sent(struct bed *b, enum swim_message_type type)
{
    struct sent v[64];
    size_t n = sent_messages(b, v, 64), found = 0;
    for (size_t i = 0; i < n; i++)
        found += v[i].type == type;
    return found;
}

/* --- answered -------------------------------------------------------------------------------- */

static void an_answer_ends_the_round_and_tells_the_round_trip(void **state)
{
    (void)state;
    struct round r;
    start(&r);
    know(&r, "peer", "10.0.0.1");
    struct swim_ping ping = next_ping(&r);
    assert_true(str_is(ping.node, "peer"));
    assert_true(str_is(ping.source_node, "self"));
    assert_int_equal(ping.source_port, 7946);
    r.b.now += 7;
    answer(&r, ping.seq_no, "10.0.0.1", "coordinate");
    assert_int_equal(r.round_trips, 1);
    assert_int_equal(r.rtt_us, 7000);
    assert_string_equal(r.payload, "coordinate");
    tick(&r.b, 2000);
    assert_int_equal(state_of(&r.b, "peer"), SWIM_ALIVE);
    bed_end(&r.b);
}

static void an_answer_with_another_number_is_none(void **state)
{
    (void)state;
    struct round r;
    start(&r);
    know(&r, "peer", "10.0.0.1");
    struct swim_ping ping = next_ping(&r);
    answer(&r, ping.seq_no + 1, "10.0.0.1", "");
    assert_int_equal(r.round_trips, 0);
    tick(&r.b, 500);
    tick(&r.b, 500);
    assert_int_equal(state_of(&r.b, "peer"), SWIM_SUSPECT);
    bed_end(&r.b);
}

/* --- not answered ------------------------------------------------------------------------------
 */

/* Three helpers and a silent target; gives the round's ping when the target's turn comes. */
static struct swim_ping silent_target(struct round *r)
{
    start(r);
    know(r, "target", "10.0.0.9");
    know(r, "h1", "10.0.0.1");
    know(r, "h2", "10.0.0.2");
    know(r, "h3", "10.0.0.3");
    for (;;) {
        struct swim_ping p = next_ping(r);
        if (str_is(p.node, "target")) return p;
        answer(r, p.seq_no, "10.0.0.1", "");
    }
}

static void helpers_are_asked_under_the_same_number(void **state)
{
    (void)state;
    struct round r;
    struct swim_ping ping = silent_target(&r);
    struct swim_indirect_ping ind;
    tick(&r.b, 499);
    assert_int_equal(count_sent(&r.b, SWIM_MSG_INDIRECT_PING), 0);
    tick(&r.b, 1);
    size_t asked = count_sent(&r.b, SWIM_MSG_INDIRECT_PING);
    assert_true(asked > 0 && asked <= 3);
    assert_non_null(sent(&r.b, SWIM_MSG_INDIRECT_PING, &type_swim_indirect_ping, &ind));
    assert_int_equal(ind.seq_no, ping.seq_no);
    assert_true(str_is(ind.node, "target"));
    assert_true(ind.nack);
    for (size_t i = 0; i < r.b.out.packets_n; i++)
        assert_false(str_is(r.b.out.packets[i].node, "target"));
    /* and the target itself over a stream */
    assert_int_equal(r.b.out.streams_n, 1);
    assert_int_equal(r.b.out.streams[0].action, SWIM_DIAL);
    assert_true(str_is(r.b.out.streams[0].node, "target"));
    bed_end(&r.b);
}

static void silence_makes_a_suspect_at_the_deadline(void **state)
{
    (void)state;
    struct round r;
    silent_target(&r);
    uint32_t score = swim_health_score(r.b.s);
    tick(&r.b, 500);
    size_t asked = count_sent(&r.b, SWIM_MSG_INDIRECT_PING);
    tick(&r.b, 499);
    assert_int_equal(state_of(&r.b, "target"), SWIM_ALIVE);
    tick(&r.b, 1);
    assert_int_equal(state_of(&r.b, "target"), SWIM_SUSPECT);
    assert_int_equal(swim_queue_length(r.b.s), 1);
    /* no helper sent a nack: we are to blame for each */
    assert_int_equal(swim_health_score(r.b.s), score + asked);
    bed_end(&r.b);
}

static void nacks_clear_our_own_health(void **state)
{
    (void)state;
    struct round r;
    struct swim_ping ping = silent_target(&r);
    tick(&r.b, 500);
    size_t asked = count_sent(&r.b, SWIM_MSG_INDIRECT_PING);
    for (size_t i = 0; i < asked; i++)
        say_nack(&r, ping.seq_no, "10.0.0.1");
    tick(&r.b, 500);
    assert_int_equal(state_of(&r.b, "target"), SWIM_SUSPECT);
    assert_int_equal(swim_health_score(r.b.s), 0);
    bed_end(&r.b);
}

static void a_helper_s_answer_counts_but_tells_no_round_trip(void **state)
{
    (void)state;
    struct round r;
    struct swim_ping ping = silent_target(&r);
    size_t before = r.round_trips;
    tick(&r.b, 500);
    answer(&r, ping.seq_no, "10.0.0.2", "");
    tick(&r.b, 1000);
    assert_int_equal(state_of(&r.b, "target"), SWIM_ALIVE);
    assert_int_equal(r.round_trips, before);
    bed_end(&r.b);
}

static void a_stream_that_answers_prevents_suspicion(void **state)
{
    (void)state;
    struct round r;
    struct swim_ping ping = silent_target(&r);
    tick(&r.b, 500);
    uint64_t id = r.b.out.streams[0].id;
    struct swim_ack ack = { .seq_no = ping.seq_no };
    struct swim_event ev = { .type = SWIM_STREAM_DATA };
    ev.stream.id = id;
    ev.stream.bytes = message_of(&r.b, SWIM_MSG_ACK, &type_swim_ack, &ack);
    step(&r.b, &ev);
    assert_int_equal(r.b.out.streams_n, 1);
    assert_int_equal(r.b.out.streams[0].action, SWIM_CLOSE);
    tick(&r.b, 500);
    assert_int_equal(state_of(&r.b, "target"), SWIM_ALIVE);
    bed_end(&r.b);
}

static void a_stream_with_another_number_does_not(void **state)
{
    (void)state;
    struct round r;
    struct swim_ping ping = silent_target(&r);
    tick(&r.b, 500);
    struct swim_ack ack = { .seq_no = ping.seq_no + 1 };
    struct swim_event ev = { .type = SWIM_STREAM_DATA };
    ev.stream.id = r.b.out.streams[0].id;
    ev.stream.bytes = message_of(&r.b, SWIM_MSG_ACK, &type_swim_ack, &ack);
    step(&r.b, &ev);
    tick(&r.b, 500);
    assert_int_equal(state_of(&r.b, "target"), SWIM_SUSPECT);
    bed_end(&r.b);
}

static size_t told_when_asking(struct round *r, const char *ip)
{
    struct gossip_address from = address_of(ip, 7946);
    struct swim_ping ping = { .seq_no = 5,
        .node = STR("self"),
        .source_addr = gossip_address_ip(&from),
        .source_port = 7946,
        .source_node = STR("peer") };
    struct swim_accusation a;
    struct swim_ack ack;
    receive(&r->b, ip, message_of(&r->b, SWIM_MSG_PING, &type_swim_ping, &ping));
    assert_non_null(sent(&r->b, SWIM_MSG_ACK, &type_swim_ack, &ack));
    assert_int_equal(ack.seq_no, 5);
    /* what others said may ride along */
    if (!sent(&r->b, SWIM_MSG_DEAD, &type_swim_accusation, &a) || !str_is(a.from, "self")) return 0;
    assert_true(str_is(a.node, "peer"));
    return (size_t)a.incarnation;
}

static void a_member_held_for_dead_that_asks_is_told_so(void **state)
{
    (void)state;
    struct round r;
    start(&r);
    say_alive(&r.b, "peer", "10.0.0.1", 7);
    assert_int_equal(told_when_asking(&r, "10.0.0.1"), 0);
    accuse(&r.b, SWIM_MSG_DEAD, "peer", 7, "somebody");
    run_until(&r.b, r.b.now + 25000, NULL, NULL); /* nobody else speaks of it any more */
    assert_int_equal(told_when_asking(&r, "10.0.0.1"), 7);
    assert_int_equal(told_when_asking(&r, "10.0.0.2"), 0); /* another one of that name */
    say_alive(&r.b, "peer", "10.0.0.1", 8);
    accuse(&r.b, SWIM_MSG_DEAD, "peer", 8, "peer"); /* it left */
    run_until(&r.b, r.b.now + 25000, NULL, NULL);
    assert_int_equal(told_when_asking(&r, "10.0.0.1"), 0);
    bed_end(&r.b);
}

static void a_suspect_is_told_of_its_suspicion(void **state)
{
    (void)state;
    struct round r;
    struct swim_accusation a;
    start(&r);
    know(&r, "peer", "10.0.0.1");
    accuse(&r.b, SWIM_MSG_SUSPECT, "peer", 1, "somebody");
    struct swim_ping ping = next_ping(&r);
    assert_true(str_is(ping.node, "peer"));
    struct sent v[8];
    assert_int_equal(sent_messages(&r.b, v, 8), 2); /* and nothing more rides along */
    const struct swim_packet *p = sent(&r.b, SWIM_MSG_SUSPECT, &type_swim_accusation, &a);
    assert_non_null(p);
    assert_true(str_is(a.node, "peer") && str_is(a.from, "self"));
    assert_int_equal((uint8_t)p->bytes.p[0], SWIM_MSG_CRC);
    bed_end(&r.b);
}

static void the_dead_and_the_left_are_not_probed(void **state)
{
    (void)state;
    struct round r;
    start(&r);
    know(&r, "gone", "10.0.0.1");
    know(&r, "dead", "10.0.0.2");
    accuse(&r.b, SWIM_MSG_DEAD, "gone", 1, "gone");
    accuse(&r.b, SWIM_MSG_DEAD, "dead", 1, "other");
    for (int i = 0; i < 20; i++) {
        tick(&r.b, 1000);
        assert_int_equal(count_sent(&r.b, SWIM_MSG_PING), 0);
    }
    bed_end(&r.b);
}

static void bad_health_gives_more_time(void **state)
{
    (void)state;
    struct round r;
    start(&r);
    know(&r, "peer", "10.0.0.1");
    accuse(&r.b, SWIM_MSG_SUSPECT, "self", 1, "somebody");
    accuse(&r.b, SWIM_MSG_SUSPECT, "self", 2, "somebody");
    assert_int_equal(swim_health_score(r.b.s), 2);
    next_ping(&r);
    uint64_t begun = r.b.now;
    run_until(&r.b, begun + 2999, NULL, NULL);
    assert_int_equal(state_of(&r.b, "peer"), SWIM_ALIVE);
    run_until(&r.b, begun + 3000, NULL, NULL);
    assert_int_equal(state_of(&r.b, "peer"), SWIM_SUSPECT);
    bed_end(&r.b);
}

/* --- what does not count -------------------------------------------------------------------------
 */

static void a_stalled_node_suspects_nobody_for_it(void **state)
{
    (void)state;
    struct round r;
    struct swim_ping ping = silent_target(&r);
    tick(&r.b, 5000); /* asked to be woken after 500 */
    assert_int_equal(state_of(&r.b, "target"), SWIM_ALIVE);
    assert_int_equal(swim_counters(r.b.s)->lags, 1);
    size_t before = r.round_trips;
    answer(&r, ping.seq_no, "10.0.0.9", "");
    assert_int_equal(r.round_trips, before); /* the time says nothing */
    tick(&r.b, 400);
    assert_int_equal(state_of(&r.b, "target"), SWIM_ALIVE);
    bed_end(&r.b);
}

static void silence_after_a_stall_still_counts(void **state)
{
    (void)state;
    struct round r;
    silent_target(&r);
    tick(&r.b, 5000);
    run_until(&r.b, r.b.now + 2000, NULL, NULL);
    assert_int_equal(state_of(&r.b, "target"), SWIM_SUSPECT);
    bed_end(&r.b);
}

static void a_stall_does_not_shorten_a_suspicion(void **state)
{
    (void)state;
    struct round r;
    start(&r);
    know(&r, "peer", "10.0.0.1");
    accuse(&r.b, SWIM_MSG_SUSPECT, "peer", 1, "somebody");
    uint64_t min = swim_suspicion_timeout_ms(4, 2, 1000);
    tick(&r.b, 10 * min);
    assert_int_equal(state_of(&r.b, "peer"), SWIM_SUSPECT);
    run_until(&r.b, r.b.now + min + 1000, NULL, NULL);
    assert_int_equal(state_of(&r.b, "peer"), SWIM_DEAD);
    bed_end(&r.b);
}

static void our_own_failure_to_send_is_no_verdict(void **state)
{
    (void)state;
    struct round r;
    silent_target(&r);
    struct swim_event ev = { .type = SWIM_SEND_FAILED };
    ev.send_failed.node = STR("target");
    step(&r.b, &ev);
    tick(&r.b, 400);
    assert_int_equal(state_of(&r.b, "target"), SWIM_ALIVE);
    assert_int_equal(swim_health_score(r.b.s), 0);
    bed_end(&r.b);
}

static void a_broken_road_asks_the_helpers_at_once(void **state)
{
    (void)state;
    struct round r;
    silent_target(&r);
    struct swim_event ev = { .type = SWIM_SEND_FAILED };
    ev.send_failed.node = STR("target");
    ev.send_failed.remote = true;
    step(&r.b, &ev);
    assert_true(count_sent(&r.b, SWIM_MSG_INDIRECT_PING) > 0);
    bed_end(&r.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_ends_the_round_and_tells_the_round_trip),
        cmocka_unit_test(an_answer_with_another_number_is_none),
        cmocka_unit_test(helpers_are_asked_under_the_same_number),
        cmocka_unit_test(silence_makes_a_suspect_at_the_deadline),
        cmocka_unit_test(nacks_clear_our_own_health),
        cmocka_unit_test(a_helper_s_answer_counts_but_tells_no_round_trip),
        cmocka_unit_test(a_stream_that_answers_prevents_suspicion),
        cmocka_unit_test(a_stream_with_another_number_does_not),
        cmocka_unit_test(a_suspect_is_told_of_its_suspicion),
        cmocka_unit_test(a_member_held_for_dead_that_asks_is_told_so),
        cmocka_unit_test(the_dead_and_the_left_are_not_probed),
        cmocka_unit_test(bad_health_gives_more_time),
        cmocka_unit_test(a_stalled_node_suspects_nobody_for_it),
        cmocka_unit_test(silence_after_a_stall_still_counts),
        cmocka_unit_test(a_stall_does_not_shorten_a_suspicion),
        cmocka_unit_test(our_own_failure_to_send_is_no_verdict),
        cmocka_unit_test(a_broken_road_asks_the_helpers_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
