/* SPDX-License-Identifier: Apache-2.0 */
/* The world around gateways: the network and TLS are the test's. */
#pragma once
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

__attribute__((unused)) static void pass_ms(uint64_t ms)
{
    for (uint64_t end = w.world.now_ms + ms; w.world.now_ms < end;) {
        w.world.now_ms += 50;
        turn();
    }
}

__attribute__((unused)) static void refuse(size_t i)
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

__attribute__((unused)) static struct far *connect_to(size_t i)
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

__attribute__((unused)) static void gateway(const char *dc, const char *address)
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

__attribute__((unused)) static void only_gateway(const char *dc, const char *address)
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

__attribute__((unused)) static void packet(const char *name, const char *bytes)
{
    struct str node, dc;
    assert_true(packet_road_name(str_of(name), &node, &dc));
    packet_roads_send(w.roads, str_of(name), node, dc, str_of(bytes));
    turn();
}

__attribute__((unused)) static void assert_sent(const struct far *f, const char *bytes, size_t n)
{
    assert_int_equal(f->stream.sent.n, n);
    assert_memory_equal(f->stream.sent.p, bytes, n);
}
#define ASSERT_SENT(f, literal) assert_sent(f, literal, sizeof(literal) - 1)

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
