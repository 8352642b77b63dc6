/* SPDX-License-Identifier: Apache-2.0 */
/* Dialling through gateways, and packets on their way. */
#include "gateway_world.h"

/* --- packets -------------------------------------------------------------------------------- */

static void names_say_where_a_server_is(void **state)
{
    (void)state;
    struct str node, dc;
    assert_true(packet_road_name(STR("s1.dc1"), &node, &dc));
    assert_true(str_is(node, "s1") && str_is(dc, "dc1"));
    assert_true(packet_road_name(STR(".dc1"), &node, &dc));
    assert_int_equal(node.n, 0);
    assert_false(packet_road_name(STR("a.b.dc1"), &node, &dc));
    assert_false(packet_road_name(STR("s1"), &node, &dc));
    assert_false(packet_road_name(STR(""), &node, &dc));
}

static void packets_go_by_the_servers_name_in_one_record_each(void **state)
{
    (void)state;
    packet("s2.dc2", "one");
    packet("s2.dc2", "two");
    assert_int_equal(w.n, 1);
    assert_string_equal(w.far[0].to, "10.1.0.1:443");
    struct far *f = connect_to(0);
    assert_string_equal(f->name, "s2.server.dc2.consul");
    assert_string_equal(f->alpn, "consul/wan-gossip/packet");
    ASSERT_SENT(f, "\0\0\0\3one\0\0\0\3two");
    packet("s2.dc2", "three");
    assert_int_equal(w.n, 1);
    ASSERT_SENT(f, "\0\0\0\3one\0\0\0\3two\0\0\0\5three");
}

static void an_unused_road_is_closed_after_two_minutes(void **state)
{
    (void)state;
    packet("s2.dc2", "one");
    struct far *f = connect_to(0);
    pass_ms(100000);
    packet("s2.dc2", "two");
    pass_ms(ROAD_IDLE_MS - 1000);
    assert_false(f->stream.closed);
    pass_ms(2000);
    assert_true(f->stream.closed);
    packet("s2.dc2", "three");
    assert_int_equal(w.n, 2);
}

static void a_packet_without_a_way_is_no_fault_of_the_member(void **state)
{
    (void)state;
    states = (struct list){ 0 };
    gateways_states(w.g, &states, &nobody);
    packet("s2.dc2", "one");
    assert_int_equal(w.n, 0);
    assert_int_equal(w.failed, 1);
    assert_int_equal(w.failed_remote, 0);
    assert_string_equal(w.failed_name, "s2.dc2");
}

static void a_gateway_that_refuses_is_left_for_another(void **state)
{
    (void)state;
    gateway("dc1", "10.1.0.2");
    gateways_states(w.g, &states, &nobody);
    packet("s2.dc2", "one");
    refuse(0);
    assert_int_equal(w.failed_remote, 1);
    packet("s2.dc2", "two");
    assert_int_equal(w.n, 2);
    assert_string_not_equal(w.far[0].to, w.far[1].to);
    ASSERT_SENT(connect_to(1), "\0\0\0\3two");
}

static void a_lone_gateway_that_refuses_is_spared_for_a_second(void **state)
{
    (void)state;
    packet("s2.dc2", "one");
    refuse(0);
    packet("s2.dc2", "two");
    packet("s3.dc2", "three");
    assert_int_equal(w.n, 1);
    pass_ms(FED_BACKOFF_MIN_MS + 100);
    assert_int_equal(w.n, 3);
    ASSERT_SENT(connect_to(1), "\0\0\0\3two");
}

static void W23_a_road_that_takes_nothing_is_given_up_after_a_second(void **state)
{
    (void)state;
    gateway("dc1", "10.1.0.2");
    gateways_states(w.g, &states, &nobody);
    packet("s2.dc2", "one");
    struct far *f = connect_to(0);
    f->stream.stuck = true;
    packet("s2.dc2", "two");
    packet("s2.dc2", "three");
    pass_ms(ROAD_STUCK_MS - 200);
    assert_false(f->stream.closed);
    pass_ms(400);
    assert_true(f->stream.closed);
    assert_int_equal(w.n, 2);
    assert_string_not_equal(w.far[0].to, w.far[1].to);
    ASSERT_SENT(connect_to(1), "\0\0\0\5three");
}

static void W23_a_road_that_takes_nothing_delays_no_other(void **state)
{
    (void)state;
    packet("s2.dc2", "one");
    packet("s3.dc3", "one");
    connect_to(0)->stream.stuck = true;
    struct far *other = connect_to(1);
    for (int i = 0; i < 10; i++) {
        packet("s2.dc2", "held");
        packet("s3.dc3", "x");
        pass_ms(50);
    }
    assert_int_equal(other->stream.sent.n, 7 + 10 * 5);
}

static void W23_the_oldest_packets_fall_out(void **state)
{
    (void)state;
    char text[16];
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "%03d", i);
        packet("s2.dc2", text);
    }
    struct far *f = connect_to(0);
    assert_int_equal(f->stream.sent.n, ROAD_QUEUE_MAX * 7);
    assert_memory_equal(f->stream.sent.p, "\0\0\0\003136", 7);
    assert_memory_equal(f->stream.sent.p + f->stream.sent.n - 7, "\0\0\0\003199", 7);
    assert_int_equal(gateways_counters(w.g)->packets_dropped, 200 - ROAD_QUEUE_MAX);
}

static void W24_roads_of_a_gateway_that_left_are_closed_at_once(void **state)
{
    (void)state;
    packet("s2.dc2", "one");
    struct far *f = connect_to(0);
    only_gateway("dc1", "10.1.0.7");
    turn();
    assert_true(f->stream.closed);
    packet("s2.dc2", "two");
    assert_string_equal(w.far[1].to, "10.1.0.7:443");
}

static void a_road_that_the_gateway_closes_is_dialled_again(void **state)
{
    (void)state;
    packet("s2.dc2", "one");
    struct far *f = connect_to(0);
    f->stream.base.events->eof(&f->stream.base);
    turn();
    packet("s2.dc2", "two");
    ASSERT_SENT(connect_to(1), "\0\0\0\3two");
}

static void roads_are_bounded(void **state)
{
    (void)state;
    states = (struct list){ 0 };
    gateways_states(w.g, &states, &nobody);
    for (int i = 0; i < ROADS_MAX + 50; i++) {
        char name[32];
        snprintf(name, sizeof name, "s%d.dc2", i);
        packet(name, "x");
    }
    assert_int_equal(w.n, 0);
    assert_int_equal(packet_roads_counters(w.roads).roads, 0);
}

/* --- dialling ------------------------------------------------------------------------------- */

struct waiting {
    struct gateway_dial d;
    int ended;
    struct stream *stream;
};

static void on_dialled(struct gateway_dial *d, struct stream *s)
{
    struct waiting *x = container_of(d, struct waiting, d);
    x->ended++;
    x->stream = s;
}

static void quiet_data(struct stream *s, struct str bytes)
{
    (void)s;
    (void)bytes;
}
static void quiet_closed(struct stream *s, int code)
{
    (void)s;
    (void)code;
}
static const struct stream_events quiet = {
    .data = quiet_data, .eof = stream_close, .closed = quiet_closed
};

static void begin_dial(struct waiting *x, const char *node, const char *dc)
{
    *x = (struct waiting){ .d = { .gateways = w.g,
                               .node = str_of(node),
                               .datacenter = str_of(dc),
                               .alpn = ALPN_RPC_MULTI,
                               .events = &quiet,
                               .done = on_dialled } };
    gateway_dial_start(&x->d);
}

static void any_server_has_the_name_of_its_datacenter(void **state)
{
    (void)state;
    static const char *const any[] = { "", "*" };
    for (size_t i = 0; i < 2; i++) {
        struct waiting x;
        begin_dial(&x, any[i], "dc2");
        assert_string_equal(connect_to(i)->name, "server.dc2.consul");
        assert_int_equal(x.ended, 1);
        stream_close(x.stream);
        turn();
    }
}

static void W30_a_gateway_without_the_protocol_is_named(void **state)
{
    (void)state;
    struct waiting x;
    begin_dial(&x, "s2", "dc2");
    struct far *f = tcp(0);
    fake_stream_close(&f->stream.base);
    turn();
    assert_int_equal(x.ended, 1);
    assert_null(x.stream);
    assert_string_equal(x.d.err.text, "could not negotiate ALPN protocol \"x\" with \"y\"");
    assert_string_equal(x.d.address, "10.1.0.1:443");
    const struct fed_path *p = fed_path_at(gateways_directory(w.g), 0);
    assert_true(str_is(p->peer, "s2.dc2"));
}

static void nothing_is_dialled_without_a_certificate(void **state)
{
    (void)state;
    struct waiting x;
    w.tls.facts.mutual = false;
    begin_dial(&x, "s2", "dc2");
    assert_int_equal(x.ended, 0);
    turn();
    assert_int_equal(x.ended, 1);
    assert_string_equal(
        x.d.err.text, "cannot dial via a mesh gateway when outgoing TLS is disabled");
    assert_int_equal(w.n, 0);
}

static void a_forgotten_dial_ends_in_silence_at_any_step(void **state)
{
    (void)state;
    for (int step = 0; step < 4; step++) {
        struct waiting x;
        begin_dial(&x, "s2", "dc2");
        size_t at = w.n - 1;
        if (step > 0) (void)tcp(at);
        if (step > 1) w.far[at].stream.base.events->eof(&w.far[at].stream.base);
        gateway_dial_cancel(&x.d);
        gateway_dial_cancel(&x.d);
        if (step == 3) pass_ms(30000);
        turn();
        assert_int_equal(x.ended, 0);
        w.far[at].dial = NULL;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(names_say_where_a_server_is),
        CASE(packets_go_by_the_servers_name_in_one_record_each),
        CASE(an_unused_road_is_closed_after_two_minutes),
        CASE(a_packet_without_a_way_is_no_fault_of_the_member),
        CASE(a_gateway_that_refuses_is_left_for_another),
        CASE(a_lone_gateway_that_refuses_is_spared_for_a_second),
        CASE(W23_a_road_that_takes_nothing_is_given_up_after_a_second),
        CASE(W23_a_road_that_takes_nothing_delays_no_other),
        CASE(W23_the_oldest_packets_fall_out),
        CASE(W24_roads_of_a_gateway_that_left_are_closed_at_once),
        CASE(a_road_that_the_gateway_closes_is_dialled_again),
        CASE(roads_are_bounded),
        CASE(any_server_has_the_name_of_its_datacenter),
        CASE(W30_a_gateway_without_the_protocol_is_named),
        CASE(nothing_is_dialled_without_a_certificate),
        CASE(a_forgotten_dial_ends_in_silence_at_any_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
