/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/agent/auto_encrypt.h"
#include "consuld/agent/cache.h"
#include "consuld/agent/leaf.h"
#include "consuld/cluster/rpc_pool.h"
#include "world/fake_certifier.h"
#include "world/fake_outside.h"
#include "world/fake_world.h"

#define HOUR_MS (UINT64_C(3600) * 1000)
#define LIFE_MS (72 * HOUR_MS)

/* An agent between its world and the servers. */
static struct {
    struct world world;
    struct auto_encrypt *e;
    struct rpc_client rpc;
    struct cache *cache;
    struct leaves *leaves;
    struct list start_join, retry_join, names;
    struct arena arena;
    struct rpc_call *asked; /* without certificate */
    char where[64];
    struct rpc_call *waiting; /* for later roots */
    int signs, upgrades, changes;
    uint64_t index;
    char roots[64], used_cas[256], used_cert[256];
    bool down; /* ordinary calls fail */
    bool gossip_knows;
    const char *refuse; /* new credentials */
    struct str token;
} t;

/* --- the servers ------------------------------------------------------------------------------ */

static void fill_cert(struct arena *a, struct issued_cert *out, const char *by)
{
    int64_t now = world_wall_ns(&t.world);
    *out = (struct issued_cert){ .cert_pem = str_printf(a, "cert %d by %s", ++t.signs, by),
        .valid_after = gotime_from_unix_ns(now),
        .valid_before = gotime_from_unix_ns(now + (int64_t)LIFE_MS * 1000000),
        .modify_index = ++t.index };
}

static void fill_roots(struct arena *a, struct indexed_ca_roots *out)
{
    struct ca_root *r = LIST_PUSH(a, &out->roots, struct ca_root);
    *r = (struct ca_root){ .id = STR("1"),
        .root_cert = str_dup(a, str_of(t.roots)),
        .signing_key_id = STR(""),
        .active = true };
    out->active_root_id = STR("1");
    out->trust_domain = STR("x.consul");
    out->index = ++t.index;
}

static struct rpc_reply *reply_of(const struct type *type)
{
    struct rpc_reply *r = rpc_reply_create(type);
    r->record = arena_alloc(&r->arena, type->size);
    return r;
}

static void succeed(struct rpc_call *call, struct rpc_reply *r)
{
    call->code = 0;
    call->reply = r;
    call->done(call);
}

static void end_badly(struct rpc_call *call, const char *why)
{
    call->reply = NULL;
    call->code = error_set(call->err, ERR_IO, "%s", why);
    call->done(call);
}

static void submit(struct rpc_client *c, struct rpc_call *call)
{
    (void)c;
    if (t.down) {
        end_badly(call, "no server");
    } else if (strcmp(call->method, "ConnectCA.Sign") == 0) {
        const struct ca_sign_request *args = call->args;
        assert_true(str_find(args->csr, STR("agent/client/dc/dc1/id/c1")) >= 0);
        struct rpc_reply *r = reply_of(&type_issued_cert);
        fill_cert(&r->arena, r->record, "call");
        succeed(call, r);
    } else if (((const struct dc_specific_request *)call->args)->min_query_index) {
        t.waiting = call;
    } else {
        struct rpc_reply *r = reply_of(&type_indexed_ca_roots);
        fill_roots(&r->arena, r->record);
        r->index = t.index;
        succeed(call, r);
    }
}

static void cancel(struct rpc_client *c, struct rpc_call *call)
{
    (void)c;
    if (t.waiting == call) t.waiting = NULL;
}

static void new_roots(const char *text)
{
    struct rpc_call *call = t.waiting;
    struct rpc_reply *r = reply_of(&type_indexed_ca_roots);
    snprintf(t.roots, sizeof t.roots, "%s", text);
    fill_roots(&r->arena, r->record);
    r->index = t.index;
    t.waiting = NULL;
    succeed(call, r);
}

/* --- the agent -------------------------------------------------------------------------------- */

static struct str token(void *ctx)
{
    (void)ctx;
    return t.token;
}

static bool known(void *ctx, struct arena *a, struct rpc_target *out)
{
    (void)ctx;
    *out =
        (struct rpc_target){ .name = STR("s9"), .address = str_dup(a, STR("10.9.9.9")), .port = 9 };
    return t.gossip_knows;
}

static void ask(void *ctx, const struct rpc_target *to, struct rpc_call *call)
{
    const struct ca_sign_request *args = call->args;
    (void)ctx;
    assert_null(t.asked);
    assert_string_equal(call->method, "AutoEncrypt.Sign");
    assert_true(str_is(args->token, "secret"));
    assert_true(str_find(args->csr, STR("spiffe://unknown/agent/client/dc/dc1/id/c1")) >= 0);
    snprintf(t.where, sizeof t.where, "%.*s:%u", STR_ARG(to->address), to->port);
    t.asked = call;
}

static void forget(void *ctx, struct rpc_call *call)
{
    (void)ctx;
    assert_ptr_equal(t.asked, call);
    t.asked = NULL;
}

static int changed(void *ctx, const struct auto_credentials *c, struct error *err)
{
    struct buf cas = BUF_INIT(sizeof t.used_cas);
    (void)ctx;
    if (t.refuse) return error_set(err, ERR_BAD_REQUEST, "%s", t.refuse);
    for (size_t i = 0; i < c->cas.n; i++)
        buf_printf(&cas, "%s%.*s", i ? "," : "", STR_ARG(LIST_AT(&c->cas, struct str, i)));
    snprintf(t.used_cas, sizeof t.used_cas, "%.*s", STR_ARG(buf_str(&cas)));
    snprintf(t.used_cert, sizeof t.used_cert, "%.*s", STR_ARG(c->cert));
    assert_true(c->key.n > 0 && c->verify_names);
    buf_deinit(&cas);
    t.changes++;
    return 0;
}

static void upgraded(void *ctx)
{
    (void)ctx;
    t.upgrades++;
}

static void push(struct list *l, const char *text)
{
    *LIST_PUSH(&t.arena, l, struct str) = str_of(text);
}

static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    model_init();
    fake_world_init(&t.world);
    t.index = 10;
    t.token = STR("secret");
    snprintf(t.roots, sizeof t.roots, "root");
    t.rpc = (struct rpc_client){ submit, cancel };
    push(&t.names, "localhost");
    return 0;
}

static void begin(void)
{
    t.e = auto_encrypt_create(&(struct auto_encrypt_options){ .world = &t.world,
        .certifier = &fake_certifier,
        .datacenter = STR("dc1"),
        .node_name = STR("c1"),
        .start_join = &t.start_join,
        .retry_join = &t.retry_join,
        .port = 8300,
        .dns_names = t.names,
        .key_type = STR("ec"),
        .key_bits = 256,
        .token = token,
        .submit = ask,
        .cancel = forget,
        .server = known,
        .changed = changed,
        .upgraded = upgraded });
    fake_world_run_jobs(&t.world);
}

static int teardown(void **state)
{
    (void)state;
    auto_encrypt_destroy(t.e);
    leaves_destroy(t.leaves);
    cache_destroy(t.cache);
    fake_world_run_jobs(&t.world);
    assert_null(t.asked);
    arena_free(&t.arena);
    return 0;
}

/* When the next timer is due, or `end`. */
static uint64_t next_due(uint64_t end)
{
    for (size_t i = 0; i < FAKE_TIMERS_MAX; i++) {
        const struct timer *timer = t.world.timers[i];
        if (timer && timer->due_ms < end) end = timer->due_ms;
    }
    return end;
}

static void pass(uint64_t ms)
{
    uint64_t end = t.world.now_ms + ms;
    for (;;) {
        fake_world_turn(&t.world);
        fake_world_run_jobs(&t.world);
        uint64_t next = next_due(end + 1);
        if (next > end) break;
        if (next > t.world.now_ms) t.world.now_ms = next;
    }
    t.world.now_ms = end;
}

/* The name that is looked up now has these addresses, 10.0.0.X each. */
static void resolves(const char *host, const char *last_bytes)
{
    struct resolve *r = fake_lookup;
    assert_non_null(r);
    assert_true(str_is(r->host, host));
    fake_lookup = NULL;
    r->impl = NULL;
    for (r->n = 0; last_bytes[r->n]; r->n++)
        r->addresses[r->n] =
            (struct resolved_ip){ .ip = { 10, 0, 0, (uint8_t)(last_bytes[r->n] - '0') },
                .ip_n = 4 };
    error_set(&r->err, ERR_IO, "lookup %s: no such host", host);
    r->done(r);
}

static void refused_at(const char *where)
{
    struct rpc_call *call = t.asked;
    assert_non_null(call);
    assert_string_equal(t.where, where);
    t.asked = NULL;
    end_badly(call, "connection refused");
}

static void signed_at(const char *where)
{
    struct rpc_call *call = t.asked;
    struct rpc_reply *r = reply_of(&type_signed_response);
    struct signed_response *out = r->record;
    assert_non_null(call);
    assert_string_equal(t.where, where);
    fill_cert(&r->arena, &out->issued_cert, "entrance");
    fill_roots(&r->arena, &out->connect_ca_roots);
    *LIST_PUSH(&r->arena, &out->manual_ca_roots, struct str) = STR("manual");
    out->verify_server_hostname = true;
    t.asked = NULL;
    succeed(call, r);
}

/* As an agent that runs. */
static void follow(void)
{
    t.cache = cache_create(&(struct cache_options){ .world = &t.world, .rpc = &t.rpc });
    t.leaves = leaves_create(&(struct leaves_options){ .world = &t.world,
        .rpc = &t.rpc,
        .cache = t.cache,
        .certifier = &fake_certifier,
        .datacenter = STR("dc1") });
    auto_encrypt_follow(t.e, t.leaves, t.cache);
    pass(10);
}

static void begin_following(void)
{
    push(&t.retry_join, "10.0.0.1");
    begin();
    pass(0);
    resolves("10.0.0.1", "1");
    signed_at("10.0.0.1:8300");
    follow();
}

/* --- asking ----------------------------------------------------------------------------------- */

static void hosts_are_asked_in_turn_at_the_servers_port(void **state)
{
    (void)state;
    push(&t.start_join, "one:8301");
    push(&t.start_join, "provider=aws tag_key=x");
    push(&t.retry_join, "nowhere");
    push(&t.retry_join, "[::1]:8301");
    begin();
    pass(0);
    resolves("one", "12");
    refused_at("10.0.0.1:8300");
    refused_at("10.0.0.2:8300");
    resolves("nowhere", "");
    resolves("::1", "3");
    assert_int_equal(t.upgrades, 0);
    signed_at("10.0.0.3:8300");
    assert_int_equal(t.upgrades, 1);
    assert_string_equal(t.used_cas, "manual,root");
    assert_string_equal(t.used_cert, "cert 1 by entrance");
}

static void rounds_become_rarer(void **state)
{
    (void)state;
    push(&t.retry_join, "10.0.0.1");
    begin();
    pass(0);
    for (int round = 0; round < 14; round++) {
        uint64_t least = round ? UINT64_C(1000) << (round - 1) : 0;
        if (least > 600000) least = 600000;
        resolves("10.0.0.1", "1");
        refused_at("10.0.0.1:8300");
        if (least) pass(least - 1);
        if (least) assert_null(fake_lookup);
        pass(least / 4 + 2);
        assert_non_null(fake_lookup);
    }
}

static void without_a_host_it_goes_on_looking(void **state)
{
    (void)state;
    begin();
    pass(0);
    pass(0);
    t.gossip_knows = true;
    pass(1500);
    resolves("10.9.9.9", "9");
    signed_at("10.0.0.9:9");
    assert_int_equal(t.upgrades, 1);
}

static void credentials_of_no_use_are_asked_for_again(void **state)
{
    (void)state;
    push(&t.retry_join, "10.0.0.1");
    t.refuse = "no certificates found";
    begin();
    pass(0);
    resolves("10.0.0.1", "1");
    signed_at("10.0.0.1:8300");
    assert_int_equal(t.upgrades, 0);
    t.refuse = NULL;
    pass(0);
    resolves("10.0.0.1", "1");
    signed_at("10.0.0.1:8300");
    assert_int_equal(t.upgrades, 1);
}

static void it_can_be_stopped_at_any_point(void **state)
{
    (void)state;
    push(&t.retry_join, "10.0.0.1");
    begin();
    pass(0);
    resolves("10.0.0.1", "1");
    assert_non_null(t.asked);
    auto_encrypt_stop(t.e);
    assert_null(t.asked);
    pass(LIFE_MS);
    assert_null(fake_lookup);
}

/* --- following -------------------------------------------------------------------------------- */

static void it_is_renewed_between_60_and_90_percent_of_its_life(void **state)
{
    (void)state;
    begin_following();
    pass(LIFE_MS * 59 / 100);
    assert_string_equal(t.used_cert, "cert 1 by entrance");
    pass(LIFE_MS * 32 / 100);
    assert_string_equal(t.used_cert, "cert 2 by call");
    assert_string_equal(t.used_cas, "manual,root");
    assert_null(fake_lookup);
    pass(LIFE_MS);
    assert_true(t.signs >= 3);
    assert_null(fake_lookup);
}

static void new_roots_are_taken_into_use(void **state)
{
    (void)state;
    begin_following();
    int changes = t.changes;
    assert_non_null(t.waiting);
    new_roots("second");
    pass(10);
    assert_string_equal(t.used_cas, "manual,second");
    assert_int_equal(t.changes, changes + 1);
    new_roots("second");
    pass(10);
    assert_int_equal(t.changes, changes + 1);
}

static void what_cannot_be_used_yet_is_used_later(void **state)
{
    (void)state;
    begin_following();
    t.refuse = "key does not match";
    new_roots("second");
    pass(LIFE_MS * 91 / 100);
    assert_string_equal(t.used_cas, "manual,root");
    assert_string_equal(t.used_cert, "cert 1 by entrance");
    t.refuse = NULL;
    pass(31000);
    assert_string_equal(t.used_cas, "manual,second");
    assert_string_equal(t.used_cert, "cert 2 by call");
}

static void another_token_brings_another_certificate(void **state)
{
    (void)state;
    begin_following();
    auto_encrypt_token(t.e);
    pass(10);
    assert_int_equal(t.signs, 1);
    t.token = STR("other");
    auto_encrypt_token(t.e);
    pass(10);
    assert_string_equal(t.used_cert, "cert 2 by call");
}

static void one_that_ran_out_is_asked_for_as_at_the_start(void **state)
{
    (void)state;
    begin_following();
    t.down = true;
    t.gossip_knows = true;
    pass(LIFE_MS);
    assert_null(fake_lookup);
    pass(11000);
    resolves("10.9.9.9", "9");
    refused_at("10.0.0.9:9");
    pass(0);
    resolves("10.9.9.9", "9");
    signed_at("10.0.0.9:9");
    assert_string_equal(t.used_cert, "cert 2 by entrance");
    assert_int_equal(t.upgrades, 1);
    t.down = false;
    pass(LIFE_MS * 95 / 100);
    assert_string_equal(t.used_cert, "cert 3 by call");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(hosts_are_asked_in_turn_at_the_servers_port),
        T(rounds_become_rarer),
        T(without_a_host_it_goes_on_looking),
        T(credentials_of_no_use_are_asked_for_again),
        T(it_can_be_stopped_at_any_point),
        T(it_is_renewed_between_60_and_90_percent_of_its_life),
        T(new_roots_are_taken_into_use),
        T(what_cannot_be_used_yet_is_used_later),
        T(another_token_brings_another_certificate),
        T(one_that_ran_out_is_asked_for_as_at_the_start),
    };
    return cmocka_run_group_tests_name("auto_encrypt", tests, NULL, NULL);
}
