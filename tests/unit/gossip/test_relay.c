/* SPDX-License-Identifier: Apache-2.0 */
#include "swim_bed.h"

static struct swim_indirect_ping request(uint32_t seq)
{
    return (struct swim_indirect_ping){ .seq_no = seq,
        .target = STR("\x0a\x00\x00\x09"),
        .port = 7000,
        .node = STR("target"),
        .nack = true,
        .source_addr = STR("\x0a\x00\x00\x01"),
        .source_port = 7001,
        .source_node = STR("asker") };
}

static void ask(struct bed *b, const struct swim_indirect_ping *p)
{
    receive(b, "10.0.0.200", message_of(b, SWIM_MSG_INDIRECT_PING, &type_swim_indirect_ping, p));
}

static void answer(struct bed *b, uint64_t seq)
{
    struct swim_ack ack = { .seq_no = seq, .payload = STR("coordinate") };
    receive(b, "10.0.0.9", message_of(b, SWIM_MSG_ACK, &type_swim_ack, &ack));
}

static void start(struct bed *b)
{
    bed_init(b);
    bed_start(b);
    broadcast_queue_prune(b->s->queue, 0);
}

static void assert_to(const struct swim_packet *p, const char *address)
{
    char text[GOSSIP_ADDRESS_TEXT_MAX];
    assert_non_null(p);
    assert_string_equal(gossip_address_text(&p->to, text), address);
}

static void the_target_is_pinged_in_our_name(void **state)
{
    (void)state;
    struct bed b;
    struct swim_ping ping;
    start(&b);
    struct swim_indirect_ping p = request(900);
    ask(&b, &p);
    assert_to(sent(&b, SWIM_MSG_PING, &type_swim_ping, &ping), "10.0.0.9:7000");
    assert_true(str_is(ping.node, "target"));
    assert_true(str_is(ping.source_node, "self"));
    assert_int_not_equal(ping.seq_no, 900);
    bed_end(&b);
}

static void the_answer_goes_to_who_asked_without_payload(void **state)
{
    (void)state;
    struct bed b;
    struct swim_ping ping;
    struct swim_ack ack;
    start(&b);
    struct swim_indirect_ping p = request(900);
    ask(&b, &p);
    sent(&b, SWIM_MSG_PING, &type_swim_ping, &ping);
    answer(&b, ping.seq_no);
    assert_to(sent(&b, SWIM_MSG_ACK, &type_swim_ack, &ack), "10.0.0.1:7001");
    assert_int_equal(ack.seq_no, 900);
    assert_null(ack.payload.p);
    answer(&b, ping.seq_no); /* once only, and no nack later */
    assert_int_equal(b.out.packets_n, 0);
    run_until(&b, b.now + 2000, NULL, NULL);
    assert_int_equal(b.out.packets_n, 0);
    bed_end(&b);
}

static void silence_gives_a_nack_if_asked_for(void **state)
{
    (void)state;
    struct bed b;
    struct swim_nack nack;
    start(&b);
    struct swim_indirect_ping p = request(901), quiet = request(902);
    quiet.nack = false;
    ask(&b, &p);
    ask(&b, &quiet);
    tick(&b, 499);
    assert_int_equal(b.out.packets_n, 0);
    tick(&b, 1);
    assert_int_equal(b.out.packets_n, 1);
    assert_to(sent(&b, SWIM_MSG_NACK, &type_swim_nack, &nack), "10.0.0.1:7001");
    assert_int_equal(nack.seq_no, 901);
    bed_end(&b);
}

static void without_a_source_the_sender_is_answered(void **state)
{
    (void)state;
    struct bed b;
    struct swim_nack nack;
    start(&b);
    struct swim_indirect_ping p = request(903);
    p.source_port = 0;
    ask(&b, &p);
    tick(&b, 500);
    assert_to(sent(&b, SWIM_MSG_NACK, &type_swim_nack, &nack), "10.0.0.200:7946");
    bed_end(&b);
}

static void nothing_is_sent_to_nowhere(void **state)
{
    (void)state;
    struct bed b;
    start(&b);
    struct swim_indirect_ping p = request(904);
    p.target = STR("\0\0\0\0");
    ask(&b, &p);
    assert_int_equal(b.out.packets_n, 0);
    assert_int_equal(swim_counters(b.s)->unsent, 1);
    p.target = STR_NIL;
    ask(&b, &p);
    assert_int_equal(b.out.packets_n, 0);
    assert_int_equal(swim_counters(b.s)->faults[SWIM_FAULT_VALUE], 1);
    bed_end(&b);
}

static void relays_are_bounded(void **state)
{
    (void)state;
    struct bed b;
    start(&b);
    for (uint32_t i = 0; i < SWIM_RELAYS_MAX + 3; i++) {
        struct swim_indirect_ping p = request(i);
        ask(&b, &p);
        arena_reset(&b.a);
    }
    assert_int_equal(swim_counters(b.s)->relays_refused, 3);
    tick(&b, 500);
    assert_int_equal(b.out.packets_n, SWIM_RELAYS_MAX);
    bed_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_target_is_pinged_in_our_name),
        cmocka_unit_test(the_answer_goes_to_who_asked_without_payload),
        cmocka_unit_test(silence_gives_a_nack_if_asked_for),
        cmocka_unit_test(without_a_source_the_sender_is_answered),
        cmocka_unit_test(nothing_is_sent_to_nowhere),
        cmocka_unit_test(relays_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
