/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of services: the servers' authority and the worker are the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cache.h"
#include "consuld/agent/leaf.h"
#include "world/fake_certifier.h"
#include "world/fake_world.h"

#define HOUR_NS (INT64_C(3600) * 1000000000)

/* One authority, its root numbered. */
static struct {
    struct rpc_client client;
    uint64_t root; /* and index of the roots */
    struct rpc_call *parked;
    size_t signed_n;
    const char *refusal;
    char csr[128];
} servers;

static struct world world;
static struct cache *cache;
static struct leaves *leaves;

static void answer(struct rpc_call *call, const struct type *type, const void *record)
{
    struct rpc_reply *r = call->reply = rpc_reply_create(type);
    r->record = arena_alloc(&r->arena, type->size);
    record_copy(&r->arena, type, r->record, record);
    r->index = servers.root;
    call->code = 0;
    call->done(call);
}

static void roots(struct rpc_call *call)
{
    const struct dc_specific_request *args = call->args;
    struct arena a = ARENA_INIT;
    struct indexed_ca_roots out = { .trust_domain = STR("11.consul"), .active_root_id = STR("r") };
    if (args->min_query_index >= servers.root) {
        servers.parked = call;
        return;
    }
    struct ca_root *r = LIST_PUSH(&a, &out.roots, struct ca_root);
    r->id = STR("r");
    r->active = true;
    r->signing_key_id = str_printf(&a, "key of root %d", (int)servers.root);
    answer(call, &type_indexed_ca_roots, &out);
    arena_free(&a);
}

static void sign(struct rpc_call *call)
{
    const struct ca_sign_request *args = call->args;
    char pem[64];
    if (servers.refusal) {
        call->code = error_set(call->err, ERR_INTERNAL, "%s", servers.refusal);
        call->done(call);
        return;
    }
    snprintf(servers.csr, sizeof servers.csr, "%.*s", STR_ARG(args->csr));
    snprintf(pem, sizeof pem, "leaf %zu by root %d", ++servers.signed_n, (int)servers.root);
    struct issued_cert cert = { .cert_pem = str_of(pem),
        .valid_after = gotime_from_unix_ns(world_wall_ns(&world)),
        .valid_before = gotime_from_unix_ns(world_wall_ns(&world) + 72 * HOUR_NS),
        .modify_index = 100 + servers.signed_n };
    answer(call, &type_issued_cert, &cert);
}

static void submit(struct rpc_client *client, struct rpc_call *call)
{
    (void)client;
    if (strcmp(call->method, "ConnectCA.Roots") == 0)
        roots(call);
    else
        sign(call);
}

static void cancel(struct rpc_client *client, struct rpc_call *call)
{
    (void)client;
    if (servers.parked == call) servers.parked = NULL;
}

static void another_root(void)
{
    struct rpc_call *call = servers.parked;
    servers.root++;
    servers.parked = NULL;
    if (call) roots(call);
}

/* What says by whom a leaf was signed. */
static int facts(struct arena *a, struct str certificate, struct cert_facts *out, struct error *err)
{
    ptrdiff_t by = str_find(certificate, STR("root "));
    (void)err;
    *out = (struct cert_facts){ 0 };
    out->authority_id =
        str_printf(a, "key of %.*s", STR_ARG(str_slice(certificate, (size_t)by, certificate.n)));
    return 0;
}

static struct certifier certifier;

static int begin(void **state)
{
    (void)state;
    model_init();
    fake_world_init(&world);
    memset(&servers, 0, sizeof servers);
    memset(&fake_certify, 0, sizeof fake_certify);
    servers.client = (struct rpc_client){ submit, cancel };
    servers.root = 1;
    certifier = fake_certifier;
    certifier.facts = facts;
    cache = cache_create(&(struct cache_options){ .world = &world, .rpc = &servers.client });
    leaves = leaves_create(&(struct leaves_options){ .world = &world,
        .rpc = &servers.client,
        .cache = cache,
        .certifier = &certifier,
        .datacenter = STR("dc1") });
    return 0;
}

static int end(void **state)
{
    (void)state;
    leaves_destroy(leaves);
    cache_destroy(cache);
    fake_world_run_jobs(&world);
    return 0;
}

struct asked {
    struct leaf_call call;
    int ended;
    char pem[64], key[32];
};

static void on_done(struct leaf_call *c)
{
    struct asked *x = container_of(c, struct asked, call);
    x->ended++;
    if (c->code) return;
    snprintf(x->pem, sizeof x->pem, "%.*s", STR_ARG(c->cert->cert_pem));
    snprintf(x->key, sizeof x->key, "%.*s", STR_ARG(c->cert->private_key_pem));
}

static void ask(struct asked *x, const char *service, uint64_t index)
{
    *x = (struct asked){ .call = {
                             .service = str_of(service), .min_index = index, .done = on_done } };
    leaf_submit(leaves, &x->call);
}

static void the_key_is_made_beside_the_loop_and_stays_here(void **state)
{
    (void)state;
    struct asked x;
    ask(&x, "web", 0);
    fake_world_turn(&world);
    assert_int_equal(fake_certify.keys, 0);
    assert_int_equal(x.ended, 0);
    fake_world_advance(&world, 100);
    assert_int_equal(x.ended, 1);
    assert_string_equal(x.pem, "leaf 1 by root 1");
    assert_string_equal(x.key, "ec-256-1");
    assert_string_equal(
        servers.csr, "request(ec-256-1)<spiffe://11.consul/ns/default/dc/dc1/svc/web>");
}

static void however_many_ask_for_one_it_is_made_once(void **state)
{
    (void)state;
    struct asked x[3], later;
    for (int i = 0; i < 3; i++)
        ask(&x[i], "web", 0);
    fake_world_advance(&world, 100);
    ask(&later, "web", 0);
    assert_int_equal(later.ended, 1);
    for (int i = 0; i < 3; i++)
        assert_string_equal(x[i].pem, later.pem);
    assert_int_equal(servers.signed_n, 1);
}

static void who_goes_while_the_key_is_made_is_not_told(void **state)
{
    (void)state;
    struct asked x;
    ask(&x, "web", 0);
    fake_world_turn(&world);
    leaf_cancel(&x.call);
    fake_world_advance(&world, 100);
    assert_int_equal(x.ended, 0);
}

static void an_agent_that_ends_while_a_key_is_made_ends_the_wait(void **state)
{
    (void)state;
    struct asked x;
    ask(&x, "web", 0);
    fake_world_turn(&world);
    leaves_destroy(leaves);
    leaves = NULL;
    assert_int_equal(x.ended, 1);
    assert_true(x.call.code < 0);
    fake_world_run_jobs(&world);
    assert_int_equal(servers.signed_n, 0);
}

static void another_root_brings_another_leaf_within_half_a_minute(void **state)
{
    (void)state;
    struct asked x, next;
    ask(&x, "web", 0);
    fake_world_advance(&world, 100);
    ask(&next, "web", 101);
    fake_world_advance(&world, 60000);
    assert_int_equal(next.ended, 0);
    another_root();
    fake_world_advance(&world, 31000);
    assert_int_equal(next.ended, 1);
    assert_string_equal(next.pem, "leaf 2 by root 2");
    assert_string_equal(next.key, "ec-256-2");
}

static void a_leaf_is_kept_while_the_servers_sign_too_much(void **state)
{
    (void)state;
    struct asked x, next, now;
    ask(&x, "web", 0);
    fake_world_advance(&world, 100);
    ask(&next, "web", 101);
    servers.refusal = RPC_ERR_SIGNING_LIMIT;
    another_root();
    fake_world_advance(&world, 40000);
    ask(&now, "web", 0);
    assert_string_equal(now.pem, "leaf 1 by root 1");
    assert_int_equal(next.ended, 0);
    servers.refusal = NULL;
    fake_world_advance(&world, 90000);
    assert_int_equal(next.ended, 1);
    assert_string_equal(next.pem, "leaf 2 by root 2");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_key_is_made_beside_the_loop_and_stays_here),
        CASE(however_many_ask_for_one_it_is_made_once),
        CASE(who_goes_while_the_key_is_made_is_not_told),
        CASE(an_agent_that_ends_while_a_key_is_made_ends_the_wait),
        CASE(another_root_brings_another_leaf_within_half_a_minute),
        CASE(a_leaf_is_kept_while_the_servers_sign_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
