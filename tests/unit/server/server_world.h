/* SPDX-License-Identifier: Apache-2.0 */
/* A lone server in virtual time: store and raft driver in memory, calls as a client makes them. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "consuld/cluster.h"
#include "consuld/model.h"
#include "consuld/server.h"
#include "consuld/store.h"
#include "world/fake_outside.h"
#include "world/fake_world.h"
#include "world/openssl_digest.h"

struct fixture {
    struct world world;
    struct store *store;
    struct raft_driver *raft;
    struct server *server;
    struct server_options options;
    struct arena arena;
    bool stopped;
    int gained, lost;
};

/* A call with its outcome. Zeroed calls of an array may be used at once. */
struct test_call {
    struct rpc_call rpc;
    struct error err; /* of rpc */
    struct arena arena;
    int ended;
};

static void on_leadership(void *ctx, bool leader)
{
    struct fixture *f = ctx;
    if (leader)
        f->gained++;
    else
        f->lost++;
}

/* Everything but elections: without raft_driver_start nobody leads. */
static void build(struct fixture *f)
{
    struct error err = { 0 };
    struct store_options so = { .map_size = 64u << 20, .boot_id = "one" };
    struct store_report report;
    fake_world_init(&f->world);
    if (store_open(&so, &f->store, &report, &err)) fail_msg("%s", err.text);
    struct raft_driver_options ro = {
        .world = &f->world,
        .store = f->store,
        .id = STR("11111111-2222-3333-4444-555555555555"),
        .address = STR("127.0.0.1:8300"),
        .bootstrap = true,
        .multiplier = 1,
        .digest = &digest_openssl,
    };
    if (raft_driver_create(&ro, &f->raft, &err)) fail_msg("%s", err.text);
    f->options.world = &f->world;
    f->options.store = f->store;
    f->options.raft = f->raft;
    if (!f->options.datacenter.n) f->options.datacenter = STR("dc1");
    f->options.self = (struct server_member){
        .name = STR("s1"),
        .id = ro.id,
        .address = STR("127.0.0.1"),
        .port = 8300,
        .version = STR("1.8.6"),
        .raft_version = 3,
        .protocol_min = 1,
        .protocol_max = 5,
        .protocol_current = 2,
    };
    f->options.raft_address = ro.address;
    f->options.leadership = on_leadership;
    f->options.ctx = f;
    if (server_create(&f->options, &f->server, &err)) fail_msg("%s", err.text);
}

static void elect(struct fixture *f)
{
    raft_driver_start(f->raft);
    for (int i = 0; i < 100 && !server_ready(f->server); i++)
        fake_world_advance(&f->world, 100);
    assert_true(server_ready(f->server));
    fake_world_advance(&f->world, 50);
}

static void on_stopped(void *ctx)
{
    ((struct fixture *)ctx)->stopped = true;
}

static void take_down(struct fixture *f)
{
    server_destroy(f->server);
    raft_driver_stop(f->raft, on_stopped, f);
    for (int i = 0; i < 100 && !f->stopped; i++)
        fake_world_advance(&f->world, 10);
    assert_true(f->stopped);
    raft_driver_destroy(f->raft);
    fake_world_run_jobs(&f->world);
    store_close(f->store);
    arena_free(&f->arena);
}

__attribute__((unused)) static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    model_init();
    build(f);
    elect(f);
    *state = f;
    return 0;
}

__attribute__((unused)) static int setup_leaderless(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    model_init();
    build(f);
    *state = f;
    return 0;
}

__attribute__((unused)) static int teardown(void **state)
{
    take_down(*state);
    free(*state);
    return 0;
}

static void on_ended(struct rpc_call *rpc)
{
    struct test_call *c = rpc->ctx;
    c->ended++;
}

static void submit(struct fixture *f, struct test_call *c, const char *method, const void *args)
{
    c->rpc = (struct rpc_call){ .method = method,
        .args = args,
        .arena = &c->arena,
        .done = on_ended,
        .ctx = c,
        .err = &c->err };
    rpc_submit(server_rpc(f->server), &c->rpc);
}

static void release(struct test_call *c)
{
    rpc_reply_unref(c->rpc.reply);
    arena_free(&c->arena);
    *c = (struct test_call){ 0 };
}

/* Ends within ten virtual seconds. */
__attribute__((unused)) static void settle(struct fixture *f, struct test_call *c)
{
    for (int i = 0; i < 1000 && !c->ended; i++)
        fake_world_advance(&f->world, 10);
    assert_int_equal(c->ended, 1);
}

__attribute__((unused)) static void expect_error(
    struct fixture *f, const char *method, const void *args, const char *text)
{
    struct test_call c = { 0 };
    submit(f, &c, method, args);
    settle(f, &c);
    assert_true(c.rpc.code < 0);
    assert_string_equal(c.err.text, text);
    release(&c);
}

__attribute__((unused)) static void expect_ok(
    struct fixture *f, const char *method, const void *args)
{
    struct test_call c = { 0 };
    submit(f, &c, method, args);
    settle(f, &c);
    if (c.rpc.code) fail_msg("%s: %s", method, c.err.text);
    release(&c);
}

/* --- keys ----------------------------------------------------------------------------------- */

__attribute__((unused)) static bool kv_apply(
    struct fixture *f, const char *op, const char *key, const char *value, struct str session)
{
    struct test_call c = { 0 };
    struct kvs_request req = {
        .datacenter = STR("dc1"),
        .op = str_of(op),
        .dir_ent = { .key = str_of(key), .value = str_of(value), .session = session },
    };
    submit(f, &c, "KVS.Apply", &req);
    settle(f, &c);
    if (c.rpc.code) fail_msg("%s %s: %s", op, key, c.err.text);
    bool ok = *(bool *)c.rpc.reply->record;
    release(&c);
    return ok;
}

__attribute__((unused)) static void kv_set(struct fixture *f, const char *key, const char *value)
{
    kv_apply(f, "set", key, value, STR_NIL);
}

__attribute__((unused)) static struct key_request key_request(const char *key, uint64_t index)
{
    return (struct key_request){
        .datacenter = STR("dc1"), .key = str_of(key), .min_query_index = index
    };
}

/* Index of an immediate read. */
__attribute__((unused)) static uint64_t kv_index(struct fixture *f, const char *key)
{
    struct test_call c = { 0 };
    struct key_request req = key_request(key, 0);
    submit(f, &c, "KVS.Get", &req);
    assert_int_equal(c.ended, 1);
    uint64_t index = c.rpc.reply->index;
    release(&c);
    return index;
}

__attribute__((unused)) static struct str kv_value(const struct test_call *c)
{
    const struct indexed_dir_entries *r = c->rpc.reply->record;
    return r->entries.n ? LIST_AT(&r->entries, struct dir_entry, 0).value : STR_NIL;
}

#define test_on_server(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define test_without_leader(name) cmocka_unit_test_setup_teardown(name, setup_leaderless, teardown)
