/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "consuld/base/outside.h"
#include "consuld/base/packet.h"
#include "consuld/net.h"

#define IP "127.0.41.4"
#define DEADLINE_S 20

static const char ip_bytes[4] = { 127, 0, 41, 4 };

struct end {
    struct packet_socket *socket;
    uint16_t port;
    int packets;
    struct buf last;
    char from_ip[16];
    size_t from_ip_n;
    uint16_t from_port;
    uint64_t at_us;
};

static void on_receive(void *ctx, struct str ip, uint16_t port, struct str bytes, uint64_t at_us)
{
    struct end *e = ctx;
    e->packets++;
    e->last.n = 0;
    buf_put_str(&e->last, bytes);
    e->from_ip_n = ip.n;
    memcpy(e->from_ip, ip.p, ip.n);
    e->from_port = port;
    e->at_us = at_us;
}

static void end_open(struct world *w, struct end *e, const char *ip, size_t receive_buffer)
{
    struct packet_options o = {
        .ip = ip, .receive_buffer = receive_buffer, .receive = on_receive, .ctx = e
    };
    struct error err;
    *e = (struct end){ .last = BUF_INIT(70000) };
    assert_int_equal(packet_socket_open(w, &o, &e->socket, &err), 0);
    e->port = packet_socket_port(e->socket);
}

static void end_close(struct end *e)
{
    packet_socket_close(e->socket);
    buf_deinit(&e->last);
}

static struct str home(void)
{
    return (struct str){ ip_bytes, 4 };
}

static void poll_for(struct world *w, const int *value, int wanted)
{
    time_t end = time(NULL) + DEADLINE_S;
    while (*value < wanted && time(NULL) < end)
        net_world_poll(w);
    assert_int_equal(*value, wanted);
}

static void refused(struct dial *d, struct stream *s)
{
    (void)d;
    assert_null(s);
}

static void packet_arrives_with_its_sender_and_time(void **state)
{
    (void)state;
    struct world *w = net_world_create();
    struct end a, b;
    end_open(w, &a, IP, 2u << 20);
    end_open(w, &b, IP, 0);
    uint64_t before = world_now_us(w);
    assert_int_equal(packet_socket_send(a.socket, home(), b.port, STR("hello")), 0);
    poll_for(w, &b.packets, 1);
    assert_true(str_is(buf_str(&b.last), "hello"));
    assert_int_equal(b.from_ip_n, 4);
    assert_memory_equal(b.from_ip, ip_bytes, 4);
    assert_int_equal(b.from_port, a.port);
    assert_true(b.at_us >= before && b.at_us <= world_now_us(w));
    assert_int_equal(packet_socket_counters(a.socket).sent, 1);
    assert_int_equal(packet_socket_counters(b.socket).received_bytes, 5);
    assert_int_equal(a.packets, 0);
    end_close(&a);
    end_close(&b);
    net_world_destroy(w);
}

static void W6_what_leaves_for_a_forbidden_address_is_counted(void **state)
{
    (void)state;
    struct world *w = net_world_create();
    struct end a, b;
    end_open(w, &a, IP, 0);
    end_open(w, &b, IP, 0);
    struct endpoint other = { .ip = { 127, 0, 41, 4 }, .ip_n = 4, .port = a.port },
                    same = { .ip = { 127, 0, 41, 4 }, .ip_n = 4, .port = b.port };
    world_off_limits(w, &other, 1);
    assert_int_equal(packet_socket_send(a.socket, home(), b.port, STR("fine")), 0);
    assert_int_equal(world_trespasses(w), 0);
    world_off_limits(w, &same, 1);
    assert_int_equal(packet_socket_send(a.socket, home(), b.port, STR("not")), 0);
    assert_int_equal(world_trespasses(w), 1);
    poll_for(w, &b.packets, 2); /* counted, not kept back */
    struct dial d = { .world = w, .host = STR(IP), .port = b.port, .done = refused };
    dial_start(&d);
    assert_int_equal(world_trespasses(w), 2);
    world_off_limits(w, NULL, 0);
    assert_int_equal(packet_socket_send(a.socket, home(), b.port, STR("fine")), 0);
    assert_int_equal(world_trespasses(w), 2);
    dial_cancel(&d);
    end_close(&a);
    end_close(&b);
    net_world_destroy(w);
}

static void largest_datagram_passes_and_a_longer_one_is_refused(void **state)
{
    (void)state;
    struct world *w = net_world_create();
    struct end a, b;
    static char bytes[65508];
    end_open(w, &a, IP, 0);
    end_open(w, &b, IP, 0);
    assert_int_equal(
        packet_socket_send(a.socket, home(), b.port, (struct str){ bytes, 65508 }), ERR_TOO_LARGE);
    assert_int_equal(packet_socket_send(a.socket, home(), b.port, (struct str){ bytes, 65507 }), 0);
    poll_for(w, &b.packets, 1);
    assert_int_equal(b.last.n, 65507);
    end_close(&a);
    end_close(&b);
    net_world_destroy(w);
}

static void empty_datagram_is_not_handed_on(void **state)
{
    (void)state;
    struct world *w = net_world_create();
    struct end a, b;
    end_open(w, &a, IP, 0);
    end_open(w, &b, IP, 0);
    assert_int_equal(packet_socket_send(a.socket, home(), b.port, STR("")), 0);
    assert_int_equal(packet_socket_send(a.socket, home(), b.port, STR("x")), 0);
    poll_for(w, &b.packets, 1);
    assert_true(str_is(buf_str(&b.last), "x"));
    end_close(&a);
    end_close(&b);
    net_world_destroy(w);
}

/* Nobody reads: the receiver's buffer fills, the sender never waits. */
static void flood_never_blocks_the_sender(void **state)
{
    (void)state;
    struct world *w = net_world_create();
    struct end a, b;
    static char bytes[1400];
    end_open(w, &a, IP, 0);
    end_open(w, &b, IP, 4096);
    for (int i = 0; i < 5000; i++) {
        int rc = packet_socket_send(a.socket, home(), b.port, (struct str){ bytes, sizeof bytes });
        assert_true(rc == 0 || rc == ERR_FULL);
    }
    while (b.packets == 0)
        net_world_poll(w);
    assert_int_equal(b.last.n, sizeof bytes);
    end_close(&a);
    end_close(&b);
    net_world_destroy(w);
}

static void taken_port_is_an_error_with_its_address(void **state)
{
    (void)state;
    struct world *w = net_world_create();
    struct end a, b = { 0 };
    end_open(w, &a, IP, 0);
    struct packet_options o = { .ip = IP, .port = a.port, .receive = on_receive, .ctx = &b };
    struct packet_socket *s;
    struct error err;
    char want[128];
    assert_int_equal(packet_socket_open(w, &o, &s, &err), ERR_IO);
    snprintf(want, sizeof want, "listen udp %s:%u: bind: address already in use", IP, a.port);
    assert_string_equal(err.text, want);
    end_close(&a);
    net_world_destroy(w);
}

static void addresses_of_the_other_family_are_refused_or_mapped(void **state)
{
    (void)state;
    struct world *w = net_world_create();
    struct end a, b;
    char v6[16] = { 0x20, 1 }, mapped[16] = { [10] = (char)0xff, [11] = (char)0xff };
    memcpy(mapped + 12, ip_bytes, 4);
    end_open(w, &a, IP, 0);
    end_open(w, &b, IP, 0);
    assert_int_equal(packet_socket_send(a.socket, (struct str){ v6, 16 }, 9, STR("x")), ERR_IO);
    assert_int_equal(packet_socket_send(a.socket, (struct str){ v6, 3 }, 9, STR("x")), ERR_IO);
    assert_int_equal(packet_socket_send(a.socket, (struct str){ mapped, 16 }, b.port, STR("m")), 0);
    poll_for(w, &b.packets, 1);
    end_close(&a);
    end_close(&b);
    net_world_destroy(w);
}

/* --- names ------------------------------------------------------------------------------------ */

static int resolved;

static void on_resolved(struct resolve *r)
{
    (void)r;
    resolved++;
}

static void address_text_resolves_to_itself(void **state)
{
    (void)state;
    struct world *w = net_world_create();
    struct resolve r = { .world = w, .host = STR(IP), .done = on_resolved };
    resolved = 0;
    resolve_start(&r);
    assert_int_equal(resolved, 0);
    poll_for(w, &resolved, 1);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.addresses[0].ip_n, 4);
    assert_memory_equal(r.addresses[0].ip, ip_bytes, 4);
    net_world_destroy(w);
}

static void unknown_name_is_an_error(void **state)
{
    (void)state;
    struct world *w = net_world_create();
    struct resolve r = { .world = w, .host = STR("no such name"), .done = on_resolved };
    resolved = 0;
    resolve_start(&r);
    poll_for(w, &resolved, 1);
    assert_int_equal(r.n, 0);
    assert_string_equal(r.err.text, "lookup no such name: no such host");
    net_world_destroy(w);
}

static void forgotten_resolve_tells_nobody(void **state)
{
    (void)state;
    struct world *w = net_world_create();
    resolved = 0;
    {
        struct resolve r = { .world = w, .host = STR(IP), .done = on_resolved };
        resolve_start(&r);
        resolve_cancel(&r);
        resolve_cancel(&r);
    }
    net_world_destroy(w);
    assert_int_equal(resolved, 0);
}

/* --- listeners of the seam -------------------------------------------------------------------- */

static int accepted;

static void on_accept(void *ctx, struct stream *s)
{
    (void)ctx;
    accepted++;
    stream_close(s);
}

static void listener_accepts_until_closed(void **state)
{
    (void)state;
    struct world *w = net_world_create();
    struct listener_options o = { .ip = IP, .accept = on_accept };
    struct listener *l;
    struct error err;
    accepted = 0;
    assert_int_equal(listener_open(w, &o, &l, &err), 0);
    assert_true(listener_port(l) > 0);
    struct net_connect_options c = { .ip = IP, .port = listener_port(l) };
    static const struct stream_events none;
    c.events = &none;
    struct stream *s = net_connect(w, &c, &err);
    assert_non_null(s);
    poll_for(w, &accepted, 1);
    stream_close(s);
    listener_close(l);
    net_world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packet_arrives_with_its_sender_and_time),
        cmocka_unit_test(W6_what_leaves_for_a_forbidden_address_is_counted),
        cmocka_unit_test(largest_datagram_passes_and_a_longer_one_is_refused),
        cmocka_unit_test(empty_datagram_is_not_handed_on),
        cmocka_unit_test(flood_never_blocks_the_sender),
        cmocka_unit_test(taken_port_is_an_error_with_its_address),
        cmocka_unit_test(addresses_of_the_other_family_are_refused_or_mapped),
        cmocka_unit_test(address_text_resolves_to_itself),
        cmocka_unit_test(unknown_name_is_an_error),
        cmocka_unit_test(forgotten_resolve_tells_nobody),
        cmocka_unit_test(listener_accepts_until_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
