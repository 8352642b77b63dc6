/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into packets, and leaving: the pool is told, and we know when it has been. */
#include "swim_bed.h"
#include "world/openssl_cipher.h"

struct talk {
    struct bed b;
    struct broadcast_queue *urgent, *plain;
};

static size_t broadcasts(void *ctx, enum swim_turn turn, size_t overhead, size_t limit,
    broadcast_sink sink, void *sink_ctx)
{
    struct talk *t = ctx;
    return broadcast_queue_take(
        turn == SWIM_TURN_URGENT ? t->urgent : t->plain, 100, overhead, limit, sink, sink_ctx);
}

static bool waiting(void *ctx)
{
    struct talk *t = ctx;
    return broadcast_queue_length(t->urgent) + broadcast_queue_length(t->plain) > 0;
}

static void start(struct talk *t)
{
    struct broadcast_queue_options q = { .retransmit_mult = 4 };
    memset(t, 0, sizeof *t);
    bed_init(&t->b);
    t->urgent = broadcast_queue_create(&q);
    t->plain = broadcast_queue_create(&q);
    t->b.o.gossip_interval_ms = 200;
    t->b.o.delegate =
        (struct swim_delegate){ .ctx = t, .broadcasts = broadcasts, .broadcasts_waiting = waiting };
}

static void end(struct talk *t)
{
    bed_end(&t->b);
    broadcast_queue_destroy(t->urgent);
    broadcast_queue_destroy(t->plain);
}

static void peers(struct talk *t, int n)
{
    for (int i = 0; i < n; i++) {
        char name[64], ip[32];
        snprintf(name, sizeof name, "peer-with-a-long-name-%03d", i);
        snprintf(ip, sizeof ip, "10.0.1.%d", i + 1);
        say_alive(&t->b, name, ip, 1);
    }
}

static void one_round(struct talk *t)
{
    tick(&t->b, t->b.out.wake_ms - t->b.now);
}

static void packets_keep_the_budget(void **state)
{
    (void)state;
    struct talk t;
    start(&t);
    bed_start(&t.b);
    peers(&t, 60);
    one_round(&t);
    assert_int_equal(t.b.out.packets_n, 3);
    for (size_t i = 0; i < t.b.out.packets_n; i++) {
        assert_true(t.b.out.packets[i].bytes.n <= PACKET_BUDGET + 5);
        assert_true(t.b.out.packets[i].bytes.n > PACKET_BUDGET - 150);
        assert_int_equal((uint8_t)t.b.out.packets[i].bytes.p[0], SWIM_MSG_CRC);
    }
    end(&t);
}

static void sealed_packets_keep_the_budget_too(void **state)
{
    (void)state;
    struct talk t;
    struct error err;
    struct keyring ring = { 0 };
    assert_int_equal(keyring_install(&ring, STR("0123456789abcdef"), &err), 0);
    for (uint8_t protocol = 1; protocol <= 2; protocol++) {
        start(&t);
        t.b.o.keys = &ring;
        t.b.o.cipher = &cipher_openssl;
        t.b.o.protocol = protocol;
        t.b.o.verify_incoming = false;
        bed_start(&t.b);
        peers(&t, 60);
        one_round(&t);
        assert_int_equal(t.b.out.packets_n, 3);
        for (size_t i = 0; i < t.b.out.packets_n; i++) {
            struct str p = t.b.out.packets[i].bytes;
            assert_true(p.n <= PACKET_BUDGET + 5);
            assert_int_equal((uint8_t)p.p[0], protocol > 1);
        }
        end(&t);
    }
}

static void urgent_before_our_own_before_the_rest(void **state)
{
    (void)state;
    struct talk t;
    start(&t);
    bed_start(&t.b);
    t.b.s->o.probe_interval_ms = 1000; /* for the time of suspicion alone */
    say_alive(&t.b, "peer", "10.0.0.1", 1);
    broadcast_queue_prune(t.b.s->queue, 0);
    accuse(&t.b, SWIM_MSG_SUSPECT, "peer", 1, "x");
    broadcast_queue_add(t.plain, &(struct broadcast){ .message = STR("plain") });
    broadcast_queue_add(t.urgent, &(struct broadcast){ .message = STR("urgent") });
    swim_wake(t.b.s);
    swim_collect(t.b.s, &t.b.out);
    one_round(&t);
    struct sent v[8];
    assert_int_equal(sent_messages(&t.b, v, 8), 3);
    assert_true(v[0].type == SWIM_MSG_USER && str_is(v[0].body, "urgent"));
    assert_int_equal(v[1].type, SWIM_MSG_SUSPECT);
    assert_true(v[2].type == SWIM_MSG_USER && str_is(v[2].body, "plain"));
    end(&t);
}

static void suspicions_and_refutations_go_before_joins(void **state)
{
    (void)state;
    struct talk t;
    start(&t);
    bed_start(&t.b);
    t.b.s->o.probe_interval_ms = 1000; /* for the time of suspicion alone */
    peers(&t, 60);
    accuse(&t.b, SWIM_MSG_SUSPECT, "peer-with-a-long-name-003", 1, "x");
    accuse(&t.b, SWIM_MSG_SUSPECT, "self", 1, "x");
    for (int round = 0; round < 3; round++) { /* at each transmission, not at the first alone */
        one_round(&t);
        struct sent v[200];
        assert_true(sent_messages(&t.b, v, 200) > 2);
        struct swim_alive a;
        struct error err;
        assert_int_equal(v[0].type, SWIM_MSG_ALIVE);
        assert_int_equal(swim_message_decode(v[0].body, &t.b.a, &type_swim_alive, &a, &err), 0);
        assert_true(str_is(a.node, "self") && a.incarnation == 2);
        assert_int_equal(v[1].type, SWIM_MSG_SUSPECT);
    }
    end(&t);
}

static void broadcasts_ride_on_answers(void **state)
{
    (void)state;
    struct talk t;
    struct swim_ping ping = { .seq_no = 5, .node = STR("self") };
    start(&t);
    bed_start(&t.b);
    broadcast_queue_add(t.plain, &(struct broadcast){ .message = STR("news") });
    receive(&t.b, "10.0.0.1", message_of(&t.b, SWIM_MSG_PING, &type_swim_ping, &ping));
    struct sent v[8];
    assert_int_equal(t.b.out.packets_n, 1);
    size_t n = sent_messages(&t.b, v, 8);
    assert_int_equal(v[0].type, SWIM_MSG_ACK);
    assert_true(n == 3 && str_is(v[2].body, "news")); /* and our own alive */
    end(&t);
}

static void user_messages_go_alone(void **state)
{
    (void)state;
    struct talk t;
    struct gossip_address to = address_of("10.0.0.1", 99);
    start(&t);
    bed_start(&t.b);
    say_alive(&t.b, "peer", "10.0.0.1", 1);
    swim_send_user(t.b.s, &to, STR_NIL, STR("direct"));
    swim_send_user(t.b.s, &to, STR("peer"), STR("direct"));
    swim_collect(t.b.s, &t.b.out);
    assert_int_equal(t.b.out.packets_n, 2);
    assert_bytes(t.b.out.packets[0].bytes,
        STR("\x08"
            "direct"),
        STR("unknown node"));
    assert_int_equal((uint8_t)t.b.out.packets[1].bytes.p[0], SWIM_MSG_CRC);
    end(&t);
}

static void a_pool_with_no_news_is_not_woken(void **state)
{
    (void)state;
    struct talk t;
    start(&t);
    bed_start(&t.b);
    broadcast_queue_prune(t.b.s->queue, 0);
    tick(&t.b, 0);
    assert_true(t.b.out.wake_ms == SWIM_NEVER);
    say_alive(&t.b, "peer", "10.0.0.1", 1);
    assert_true(t.b.out.wake_ms <= t.b.now + 200);
    for (int i = 0; i < 100 && t.b.out.wake_ms != SWIM_NEVER; i++)
        one_round(&t);
    assert_true(t.b.out.wake_ms == SWIM_NEVER); /* said as often as the limit asks */
    end(&t);
}

static size_t heard_by(struct talk *t, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < t->b.out.packets_n; i++)
        n += str_is(t->b.out.packets[i].node, name);
    return n;
}

static void the_dead_hear_of_it_for_a_while_the_left_do_not(void **state)
{
    (void)state;
    struct talk t;
    start(&t);
    bed_start(&t.b);
    say_alive(&t.b, "dead", "10.0.0.1", 1);
    say_alive(&t.b, "left", "10.0.0.2", 1);
    accuse(&t.b, SWIM_MSG_DEAD, "left", 1, "left");
    accuse(&t.b, SWIM_MSG_DEAD, "dead", 1, "x");
    one_round(&t);
    assert_int_equal(heard_by(&t, "left"), 0);
    assert_int_equal(heard_by(&t, "dead"), 1);
    run_until(&t.b, t.b.now + 30300, NULL, NULL);
    broadcast_queue_add(t.plain, &(struct broadcast){ .message = STR("late") });
    tick(&t.b, 0);
    one_round(&t);
    assert_int_equal(t.b.out.packets_n, 0);
    end(&t);
}

static void telling_the_dead_does_not_count(void **state)
{
    (void)state;
    struct talk t;
    start(&t);
    bed_start(&t.b);
    say_alive(&t.b, "lives", "10.0.0.9", 1);
    for (int i = 0; i < 3; i++) {
        char name[32], ip[32];
        snprintf(name, sizeof name, "dead%d", i);
        snprintf(ip, sizeof ip, "10.0.0.%d", i + 1);
        say_alive(&t.b, name, ip, 1);
        accuse(&t.b, SWIM_MSG_DEAD, name, 1, "x");
    }
    broadcast_queue_prune(t.b.s->queue, 0);
    broadcast_queue_add(t.b.s->queue, &(struct broadcast){ .message = STR("news") });
    size_t heard = 0, buried = 0;
    for (int i = 0; i < 100 && broadcast_queue_length(t.b.s->queue); i++) {
        one_round(&t);
        heard += heard_by(&t, "lives");
        buried += t.b.out.packets_n - heard_by(&t, "lives");
    }
    assert_int_equal(broadcast_queue_length(t.b.s->queue), 0);
    assert_int_equal(heard, broadcast_limit(4, 5));
    assert_true(buried > 0);
    end(&t);
}

static void names_may_be_required(void **state)
{
    (void)state;
    struct talk t;
    struct swim_ping nameless = { .seq_no = 5, .node = STR("self") };
    struct swim_ping named = { .seq_no = 5, .node = STR("self"), .source_node = STR("peer.dc2") };
    start(&t);
    t.b.o.names_required = true;
    bed_start(&t.b);
    receive(&t.b, "10.0.0.1", message_of(&t.b, SWIM_MSG_PING, &type_swim_ping, &nameless));
    assert_int_equal(t.b.out.packets_n, 0);
    receive(&t.b, "10.0.0.1", message_of(&t.b, SWIM_MSG_PING, &type_swim_ping, &named));
    assert_int_equal(t.b.out.packets_n, 1);
    assert_true(str_is(t.b.out.packets[0].node, "peer.dc2"));
    end(&t);
}

/* --- leaving and announcing ------------------------------------------------------------------ */

static void leave(struct talk *t, uint64_t timeout_ms)
{
    struct swim_event ev = { .type = SWIM_LEAVE };
    ev.leave.handle = 42;
    ev.leave.timeout_ms = timeout_ms;
    step(&t->b, &ev);
}

static void leaving_alone_needs_nobody(void **state)
{
    (void)state;
    struct talk t;
    start(&t);
    bed_start(&t.b);
    leave(&t, 5000);
    assert_int_equal(t.b.out.results_n, 1);
    assert_int_equal(t.b.out.results[0].handle, 42);
    assert_int_equal(t.b.out.results[0].code, 0);
    assert_int_equal(state_of(&t.b, "self"), SWIM_LEFT);
    end(&t);
}

static void leaving_is_done_when_it_was_transmitted(void **state)
{
    (void)state;
    struct talk t;
    struct swim_accusation a;
    start(&t);
    bed_start(&t.b);
    peers(&t, 60); /* a queue full of other news */
    leave(&t, 60000);
    assert_int_equal(t.b.out.results_n, 0);
    size_t told = 0;
    while (t.b.out.results_n == 0) {
        one_round(&t);
        struct sent v[200];
        size_t n = sent_messages(&t.b, v, 200);
        for (size_t i = 0; i < n; i++) {
            struct error err;
            if (v[i].type != SWIM_MSG_DEAD) continue;
            assert_int_equal(
                swim_message_decode(v[i].body, &t.b.a, &type_swim_accusation, &a, &err), 0);
            told += str_is(a.node, "self") && str_is(a.from, "self");
        }
        assert_true(told > 0); /* before the news that waited longer */
    }
    assert_int_equal(told, broadcast_limit(4, 61));
    assert_int_equal(t.b.out.results[0].code, 0);
    end(&t);
}

static void leaving_gives_up_after_its_time(void **state)
{
    (void)state;
    struct talk t;
    start(&t);
    t.b.o.gossip_interval_ms = 0;
    bed_start(&t.b);
    peers(&t, 1);
    leave(&t, 5000);
    tick(&t.b, 4999);
    assert_int_equal(t.b.out.results_n, 0);
    tick(&t.b, 1);
    assert_int_equal(t.b.out.results_n, 1);
    assert_int_equal(t.b.out.results[0].code, ERR_CANCELLED);
    assert_true(str_is(t.b.out.results[0].text, "timeout waiting for leave broadcast"));
    end(&t);
}

static void who_has_left_does_not_refute(void **state)
{
    (void)state;
    struct talk t;
    start(&t);
    bed_start(&t.b);
    leave(&t, 0);
    accuse(&t.b, SWIM_MSG_SUSPECT, "self", 9, "x");
    accuse(&t.b, SWIM_MSG_DEAD, "self", 9, "x");
    say_alive(&t.b, "self", "127.0.11.9", 12);
    assert_int_equal(state_of(&t.b, "self"), SWIM_LEFT);
    assert_int_equal(incarnation_of(&t.b, "self"), 1);
    end(&t);
}

static struct str meta_of_test(void *ctx)
{
    (void)ctx;
    return STR("new tags");
}

static void an_update_is_announced_and_waited_for(void **state)
{
    (void)state;
    struct talk t;
    struct swim_alive a;
    start(&t);
    bed_start(&t.b);
    peers(&t, 1);
    broadcast_queue_prune(t.b.s->queue, 0);
    t.b.s->o.delegate.meta = meta_of_test;
    struct swim_event ev = { .type = SWIM_UPDATE };
    ev.update.handle = 7;
    ev.update.timeout_ms = 60000;
    step(&t.b, &ev);
    assert_int_equal(t.b.out.results_n, 0);
    one_round(&t);
    assert_non_null(sent(&t.b, SWIM_MSG_ALIVE, &type_swim_alive, &a));
    assert_int_equal(a.incarnation, 2);
    assert_true(str_is(a.meta, "new tags"));
    assert_int_equal(a.vsn.n, 6);
    for (int i = 0; i < 50 && t.b.out.results_n == 0; i++)
        one_round(&t);
    assert_int_equal(t.b.out.results[0].handle, 7);
    assert_int_equal(t.b.out.results[0].code, 0);
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_keep_the_budget),
        cmocka_unit_test(sealed_packets_keep_the_budget_too),
        cmocka_unit_test(urgent_before_our_own_before_the_rest),
        cmocka_unit_test(suspicions_and_refutations_go_before_joins),
        cmocka_unit_test(broadcasts_ride_on_answers),
        cmocka_unit_test(user_messages_go_alone),
        cmocka_unit_test(a_pool_with_no_news_is_not_woken),
        cmocka_unit_test(the_dead_hear_of_it_for_a_while_the_left_do_not),
        cmocka_unit_test(telling_the_dead_does_not_count),
        cmocka_unit_test(names_may_be_required),
        cmocka_unit_test(leaving_alone_needs_nobody),
        cmocka_unit_test(leaving_is_done_when_it_was_transmitted),
        cmocka_unit_test(leaving_gives_up_after_its_time),
        cmocka_unit_test(who_has_left_does_not_refute),
        cmocka_unit_test(an_update_is_announced_and_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
