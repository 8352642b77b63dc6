/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to other datacenters go through gateways. */
#include "gateway_world.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(W6_calls_elsewhere_never_dial_a_servers_address),
        CASE(calls_come_from_the_configured_address_on_either_way),
        CASE(W7_W8_equal_names_and_addresses_in_two_datacenters_are_two_servers),
        CASE(calls_leave_a_gateway_that_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
