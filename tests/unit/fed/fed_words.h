/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of federation say: records of datacenters, a directory in a datacenter, dials. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/fed/directory.h"
#include "consuld/fed/sync.h"

#define GATEWAY_TEXT 300

struct words {
    struct arena arena;
    struct fed_directory *d;
    struct list states; /* struct federation_state */
    struct list own;    /* gateways of the own catalog */
    uint64_t now;
};
static struct words w;

static struct federation_state *state_of(const char *dc)
{
    for (size_t i = 0; i < w.states.n; i++) {
        struct federation_state *s = &LIST_AT(&w.states, struct federation_state, i);
        if (str_is(s->datacenter, dc)) return s;
    }
    struct federation_state *s = LIST_PUSH(&w.arena, &w.states, struct federation_state);
    s->datacenter = str_of(dc);
    return s;
}

/* A gateway of `dc` that is marked for federation, reached inside at `lan`, outside at `wan`. */
static struct check_service_node *add_gateway(
    struct list *gateways, const char *lan, const char *wan, int port)
{
    struct check_service_node *g = LIST_PUSH(&w.arena, gateways, struct check_service_node);
    g->node = arena_new(&w.arena, struct node);
    g->node->node = str_printf(&w.arena, "node-%s", lan);
    g->node->address = STR("198.51.100.1");
    g->service = arena_new(&w.arena, struct node_service);
    g->service->kind = STR("mesh-gateway");
    g->service->id = g->service->service = STR("mesh-gateway");
    g->service->address = str_of(lan);
    g->service->port = port;
    dict_set_str(&w.arena, &g->service->meta, STR(FED_META_KEY), STR("1"));
    if (wan) {
        struct service_address *at =
            dict_put(&w.arena, &g->service->tagged_addresses, &type_service_address, STR("wan"));
        *at = (struct service_address){ .address = str_of(wan), .port = port };
    }
    return g;
}

__attribute__((unused)) static struct check_service_node *gateway(
    const char *dc, const char *lan, const char *wan, int port)
{
    return add_gateway(&state_of(dc)->mesh_gateways, lan, wan, port);
}

__attribute__((unused)) static void check(struct check_service_node *g, const char *status)
{
    struct health_check *c = LIST_PUSH(&w.arena, &g->checks, struct health_check);
    c->check_id = STR("alive");
    c->status = str_of(status);
}

__attribute__((unused)) static void stored(void)
{
    (void)fed_states(w.d, &w.states, &w.own);
}

__attribute__((unused)) static void no_gateways(const char *dc)
{
    state_of(dc)->mesh_gateways = (struct list){ 0 };
}

__attribute__((unused)) static void live_in(const char *dc, const char *primary)
{
    fed_destroy(w.d);
    w.d = fed_create(&(struct fed_options){ .datacenter = str_of(dc), .primary = str_of(primary) });
}

__attribute__((unused)) static struct fed_peer peer(const char *name)
{
    struct str node, dc;
    str_cut(str_of(name), '.', &node, &dc);
    return (struct fed_peer){ .datacenter = dc, .name = str_of(name) };
}

__attribute__((unused)) static struct fed_choice choose(const char *name)
{
    struct fed_peer p = peer(name);
    return fed_choose(w.d, w.now, &p);
}

__attribute__((unused)) static void assert_gateway(const char *name, const char *address)
{
    struct fed_choice c = choose(name);
    char text[GATEWAY_TEXT];
    assert_int_equal(c.verdict, FED_GATEWAY);
    snprintf(text, sizeof text, "%.*s", STR_ARG(c.address));
    assert_string_equal(text, address);
}

__attribute__((unused)) static void gateway_dead(const char *name, const char *address)
{
    struct fed_peer p = peer(name);
    fed_path_failed(w.d, w.now, &p, str_of(address), FED_FAILED_GATEWAY, STR("connection refused"));
}

__attribute__((unused)) static void path_dead(const char *name, const char *address)
{
    struct fed_peer p = peer(name);
    fed_path_failed(w.d, w.now, &p, str_of(address), FED_FAILED_PATH, STR("EOF"));
}

__attribute__((unused)) static void path_works(const char *name, const char *address)
{
    struct fed_peer p = peer(name);
    fed_path_works(w.d, w.now, &p, str_of(address));
}

static int begin(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    model_init();
    w.now = 1000000;
    return 0;
}

static int end(void **state)
{
    (void)state;
    fed_destroy(w.d);
    arena_free(&w.arena);
    return 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
