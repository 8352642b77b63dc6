/* SPDX-License-Identifier: Apache-2.0 */
/* Dialling through gateways, packets on their way, calls: the network and TLS are the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/base/tls.h"
#include "consuld/cluster/gateways.h"
#include "consuld/cluster/packet_roads.h"
#include "consuld/cluster/rpc_pool.h"
#include "consuld/model.h"
#include "world/fake_stream.h"
#include "world/fake_world.h"

#define DIALS_MAX 256

struct far {
    struct dial *dial; /* NULL: ended */
    char to[64], from[64];
    struct fake_stream stream;
    bool open;
    struct tls_options tls;
    char name[TLS_NAME_MAX], alpn[64];
};

static struct {
    struct world world;
    struct tls tls;
    struct gateways *g;
    struct packet_roads *roads;
    struct far far[DIALS_MAX];
    size_t n;
    size_t failed, failed_remote;
    char failed_name[64];
} w;

/* --- the outside ---------------------------------------------------------------------------- */

void dial_start(struct dial *d)
{
    assert_true(w.n < DIALS_MAX);
    struct far *f = &w.far[w.n++];
    f->dial = d;
    snprintf(f->to, sizeof f->to, "%.*s:%u", STR_ARG(d->host), d->port);
    snprintf(f->from, sizeof f->from, "%.*s", STR_ARG(d->source));
    d->impl = (struct dial_impl *)(void *)d;
}
void dial_cancel(struct dial *d)
{
    for (size_t i = 0; i < w.n; i++)
        if (w.far[i].dial == d) w.far[i].dial = NULL;
    d->impl = NULL;
}

static struct stream *start_tls(struct tls *t, struct stream *below, const struct tls_options *o)
{
    struct far *f = container_of(fake_stream_of(below), struct far, stream);
    (void)t;
    f->tls = *o;
    snprintf(f->name, sizeof f->name, "%.*s", STR_ARG(o->server_name));
    assert_int_equal(o->use, TLS_DIAL_ALPN);
    assert_int_equal(o->n_alpn, 1);
    snprintf(f->alpn, sizeof f->alpn, "%s", o->alpn[0]);
    below->events = o->events;
    below->owner = o->owner;
    return below;
}
static void state_of_tls(const struct stream *s, struct tls_state *out)
{
    (void)s;
    *out = (struct tls_state){ .why = "could not negotiate ALPN protocol \"x\" with \"y\"" };
}
static const struct tls_ops tls_ops = { .start = start_tls, .state = state_of_tls };

/* --- what the network does ------------------------------------------------------------------ */

static void turn(void)
{
    for (int i = 0; i < 3; i++) {
        fake_world_turn(&w.world);
        for (size_t k = 0; k < w.n; k++)
            if (w.far[k].open) fake_stream_settle(&w.far[k].stream);
    }
}

static void pass_ms(uint64_t ms)
{
    for (uint64_t end = w.world.now_ms + ms; w.world.now_ms < end;) {
        w.world.now_ms += 50;
        turn();
    }
}

static void refuse(size_t i)
{
    struct dial *d = w.far[i].dial;
    assert_non_null(d);
    w.far[i].dial = NULL;
    d->impl = NULL;
    error_set(&d->err, ERR_IO, "dial tcp %s: connect: connection refused", w.far[i].to);
    d->done(d, NULL);
    turn();
}

static struct far *tcp(size_t i)
{
    struct far *f = &w.far[i];
    struct dial *d = f->dial;
    assert_non_null(d);
    f->dial = NULL;
    d->impl = NULL;
    fake_stream_init(&f->stream, "10.1.0.1");
    f->open = true;
    f->stream.base.events = d->events;
    f->stream.base.owner = d->owner;
    d->done(d, &f->stream.base);
    return f;
}

static struct far *connect_to(size_t i)
{
    struct far *f = tcp(i);
    f->tls.ready(&f->stream.base);
    turn();
    return f;
}

/* --- the directory -------------------------------------------------------------------------- */

static struct arena texts;
static struct list states;
static const struct list nobody;

static void gateway(const char *dc, const char *address)
{
    struct federation_state *s = NULL;
    for (size_t i = 0; i < states.n; i++)
        if (str_is(LIST_AT(&states, struct federation_state, i).datacenter, dc))
            s = &LIST_AT(&states, struct federation_state, i);
    if (!s) {
        s = LIST_PUSH(&texts, &states, struct federation_state);
        s->datacenter = str_of(dc);
    }
    struct check_service_node *g = LIST_PUSH(&texts, &s->mesh_gateways, struct check_service_node);
    g->node = arena_new(&texts, struct node);
    g->service = arena_new(&texts, struct node_service);
    g->service->address = str_of(address);
    g->service->port = 443;
    dict_set_str(&texts, &g->service->meta, STR(FED_META_KEY), STR("1"));
}

static void only_gateway(const char *dc, const char *address)
{
    for (size_t i = 0; i < states.n; i++)
        LIST_AT(&states, struct federation_state, i).mesh_gateways = (struct list){ 0 };
    gateway(dc, address);
    gateways_states(w.g, &states, &nobody);
}

static void on_failed(void *ctx, struct str name, bool remote)
{
    (void)ctx;
    w.failed++;
    w.failed_remote += remote;
    snprintf(w.failed_name, sizeof w.failed_name, "%.*s", STR_ARG(name));
}

static int begin(void **state)
{
    (void)state;
    model_init();
    memset(&w, 0, sizeof w);
    fake_world_init(&w.world);
    w.world.now_ms = 1000000;
    w.tls = (struct tls){ .ops = &tls_ops, .facts = { .mutual = true } };
    w.g = gateways_create(&(struct gateways_options){
        .world = &w.world, .tls = &w.tls, .datacenter = STR("dc1"), .domain = STR("consul.") });
    w.roads = packet_roads_create(
        &(struct packet_roads_options){ .world = &w.world, .gateways = w.g, .failed = on_failed });
    gateway("dc1", "10.1.0.1");
    gateways_states(w.g, &states, &nobody);
    return 0;
}

static int end(void **state)
{
    (void)state;
    packet_roads_destroy(w.roads);
    turn();
    gateways_destroy(w.g);
    for (size_t i = 0; i < w.n; i++)
        fake_stream_deinit(&w.far[i].stream);
    states = (struct list){ 0 };
    arena_free(&texts);
    return 0;
}

static void packet(const char *name, const char *bytes)
{
    struct str node, dc;
    assert_true(packet_road_name(str_of(name), &node, &dc));
    packet_roads_send(w.roads, str_of(name), node, dc, str_of(bytes));
    turn();
}

static void assert_sent(const struct far *f, const char *bytes, size_t n)
{
    assert_int_equal(f->stream.sent.n, n);
    assert_memory_equal(f->stream.sent.p, bytes, n);
}
#define ASSERT_SENT(f, literal) assert_sent(f, literal, sizeof(literal) - 1)

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

/* --- calls ---------------------------------------------------------------------------------- */

struct test_call {
    struct rpc_call rpc;
    struct error err;
    struct arena arena;
    struct key_request args;
    int ended;
};

static void on_ended(struct rpc_call *rpc)
{
    ((struct test_call *)rpc->ctx)->ended++;
}

static void call(struct rpc_pool *p, struct test_call *c, const struct rpc_target *to)
{
    c->args = (struct key_request){ .datacenter = to->datacenter, .key = STR("a") };
    c->rpc = (struct rpc_call){ .method = "KVS.Get",
        .args = &c->args,
        .arena = &c->arena,
        .done = on_ended,
        .ctx = c,
        .err = &c->err };
    rpc_pool_submit(p, to, &c->rpc);
    turn();
}

static void on_closed_pool(void *ctx)
{
    *(bool *)ctx = true;
}

static void end_pool(struct rpc_pool *p)
{
    bool closed = false;
    rpc_pool_close(p, on_closed_pool, &closed);
    turn();
    assert_true(closed);
}

static const struct rpc_target near1 = { { "s1", 2 }, { "dc1", 3 }, { "10.0.0.1", 8 }, 8300 };
static const struct rpc_target far1 = { { "s1", 2 }, { "dc2", 3 }, { "10.0.0.1", 8 }, 8300 };

static void W6_calls_elsewhere_never_dial_a_servers_address(void **state)
{
    (void)state;
    struct test_call c = { 0 }, d = { 0 };
    struct rpc_pool *p = rpc_pool_create(
        &(struct rpc_pool_options){ .world = &w.world, .gateways = w.g, .tls = &w.tls });
    call(p, &c, &far1);
    call(p, &d, &near1);
    assert_int_equal(w.n, 2);
    assert_string_equal(w.far[0].to, "10.1.0.1:443");
    assert_string_equal(w.far[1].to, "10.0.0.1:8300");
    struct far *f = connect_to(0);
    assert_string_equal(f->name, "s1.server.dc2.consul");
    assert_string_equal(f->alpn, "consul/rpc-multi");
    assert_memory_equal(f->stream.sent.p, "\0\1\0\1", 4); /* no type byte before yamux */
    refuse(1);
    end_pool(p);
    assert_int_equal(c.ended, 1);
    assert_int_equal(d.ended, 1);
    arena_free(&c.arena);
    arena_free(&d.arena);
}

static void calls_come_from_the_configured_address_on_either_way(void **state)
{
    (void)state;
    struct test_call c = { 0 }, d = { 0 };
    struct rpc_pool *p = rpc_pool_create(&(struct rpc_pool_options){
        .world = &w.world, .gateways = w.g, .tls = &w.tls, .source = STR("10.0.0.9") });
    call(p, &c, &far1);
    call(p, &d, &near1);
    packet("s2.dc2", "one"); /* gossip comes from any */
    assert_string_equal(w.far[0].from, "10.0.0.9");
    assert_string_equal(w.far[1].from, "10.0.0.9");
    assert_string_equal(w.far[2].from, "");
    end_pool(p);
    arena_free(&c.arena);
    arena_free(&d.arena);
}

static void W7_W8_equal_names_and_addresses_in_two_datacenters_are_two_servers(void **state)
{
    (void)state;
    struct test_call c = { 0 }, d = { 0 };
    struct rpc_pool *p = rpc_pool_create(&(struct rpc_pool_options){ .world = &w.world });
    call(p, &c, &near1);
    call(p, &d, &far1);
    assert_int_equal(w.n, 2);
    refuse(0);
    assert_int_equal(c.ended, 1);
    assert_int_equal(d.ended, 0);
    refuse(1);
    assert_int_equal(d.ended, 1);
    end_pool(p);
    arena_free(&c.arena);
    arena_free(&d.arena);
}

static void calls_leave_a_gateway_that_left(void **state)
{
    (void)state;
    struct test_call c = { 0 }, d = { 0 };
    struct rpc_pool *p = rpc_pool_create(
        &(struct rpc_pool_options){ .world = &w.world, .gateways = w.g, .tls = &w.tls });
    call(p, &c, &far1);
    (void)connect_to(0);
    only_gateway("dc1", "10.1.0.7");
    call(p, &d, &far1);
    assert_int_equal(w.n, 2);
    assert_string_equal(w.far[1].to, "10.1.0.7:443");
    end_pool(p);
    arena_free(&c.arena);
    arena_free(&d.arena);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

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
        CASE(W6_calls_elsewhere_never_dial_a_servers_address),
        CASE(calls_come_from_the_configured_address_on_either_way),
        CASE(W7_W8_equal_names_and_addresses_in_two_datacenters_are_two_servers),
        CASE(calls_leave_a_gateway_that_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
