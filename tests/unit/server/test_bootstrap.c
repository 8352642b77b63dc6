/* SPDX-License-Identifier: Apache-2.0 */
/* When a server that expects others writes the first configuration. The pools, the calls and raft
 * are stood in for by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/cluster.h"
#include "consuld/cluster/pool.h"
#include "consuld/cluster/rpc_pool.h"
#include "consuld/gossip.h"
#include "consuld/model.h"
#include "consuld/server.h"
#include "world/fake_world.h"

#define SERVERS 6

static struct {
    struct world world;
    struct serf_member members[SERVERS];
    struct buf tags[SERVERS];
    size_t n;
    bool pristine;
    struct pool_observer *observer;
    struct rpc_call *asked[64];
    char asked_names[64][32];
    size_t asked_n, written;
    char first[256];
    char log[8192];
} seen;

static void fake_observe(struct pool *p, struct pool_observer *o)
{
    (void)p;
    seen.observer = o;
}

static void fake_unobserve(struct pool_observer *o)
{
    (void)o;
    seen.observer = NULL;
}

static void fake_submit(struct rpc_pool *p, const struct rpc_target *to, struct rpc_call *call)
{
    (void)p;
    assert_string_equal(call->method, "Status.Peers");
    assert_true(seen.asked_n < 64);
    snprintf(seen.asked_names[seen.asked_n], 32, "%.*s", STR_ARG(to->name));
    seen.asked[seen.asked_n++] = call;
}

static void fake_cancel(struct rpc_pool *p, struct rpc_call *call)
{
    (void)p;
    (void)call;
}

static int fake_bootstrap(
    struct raft_driver *d, const struct raft_driver_server *servers, size_t n, struct error *err)
{
    (void)d;
    (void)err;
    seen.written++;
    for (size_t i = 0; i < n; i++) {
        size_t at = strlen(seen.first);
        snprintf(seen.first + at, sizeof seen.first - at, "%.*s=%.*s/%d ", STR_ARG(servers[i].id),
            STR_ARG(servers[i].address), servers[i].suffrage);
    }
    return 0;
}

#define pool_observe fake_observe
#define pool_unobserve fake_unobserve
#define pool_serf(p) ((void)(p), NULL)
#define serf_count(s) ((void)(s), seen.n)
#define serf_at(s, i) ((void)(s), &seen.members[i])
#define rpc_pool_submit fake_submit
#define rpc_pool_cancel fake_cancel
#define raft_driver_bootstrap fake_bootstrap
#define raft_driver_pristine(d) ((void)(d), seen.pristine)
#include "bootstrap.c"

static void keep_line(void *ctx, enum log_level level, const char *line, size_t n)
{
    size_t at = strlen(seen.log);
    (void)ctx;
    (void)level;
    snprintf(seen.log + at, sizeof seen.log - at, "%.*s\n", (int)n, line);
}

static bool said(const char *text)
{
    return strstr(seen.log, text) != NULL;
}

struct fixture {
    struct server server;
    int tap;
};

static int setup(void **state)
{
    struct fixture *f = *state = calloc(1, sizeof *f);
    memset(&seen, 0, sizeof seen);
    fake_world_init(&seen.world);
    seen.pristine = true;
    f->tap = log_tap_add(keep_line, NULL, LOG_INFO, false);
    f->server.world = &seen.world;
    f->server.opts = (struct server_options){ .world = &seen.world,
        .lan = (struct pool *)&seen,
        .rpc_pool = (struct rpc_pool *)&seen,
        .datacenter = STR("dc1"),
        .self = { .name = STR("s1"), .id = STR("id-1") },
        .bootstrap_expect = 3 };
    server__bootstrap_init(&f->server);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    server__bootstrap_deinit(&f->server);
    assert_null(seen.observer);
    log_tap_remove(f->tap);
    for (size_t i = 0; i < SERVERS; i++)
        buf_deinit(&seen.tags[i]);
    free(f);
    return 0;
}

/* Server s<n>, expecting 3, with more tags: "key=value" or "key" ... NULL. */
static void join(int number, const char *more, ...)
{
    struct arena a = ARENA_INIT;
    struct dict tags = { 0 };
    struct error err;
    char name[16], id[16];
    snprintf(name, sizeof name, "s%d", number);
    snprintf(id, sizeof id, "id-%d", number);
    const char *const pairs[][2] = { { "role", "consul" }, { "dc", "dc1" }, { "id", id },
        { "port", "8300" }, { "vsn", "2" }, { "build", "1.8.6:x" }, { "expect", "3" } };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        dict_set_str(&a, &tags, str_of(pairs[i][0]), str_of(pairs[i][1]));
    va_list ap;
    va_start(ap, more);
    for (const char *key = more; key; key = va_arg(ap, const char *))
        dict_set_str(&a, &tags, str_of(key), str_of(va_arg(ap, const char *)));
    va_end(ap);
    struct buf *meta = &seen.tags[seen.n];
    *meta = (struct buf)BUF_INIT(4096);
    if (serf_tags_encode(&tags, meta, &err)) fail_msg("%s", err.text);
    struct serf_member *m = &seen.members[seen.n++];
    *m = (struct serf_member){ .name = str_of(number == 1   ? "s1"
                                              : number == 2 ? "s2"
                                              : number == 3 ? "s3"
                                                            : "s4"),
        .meta = buf_str(meta),
        .address = { .ip = { 10, 0, 0, (uint8_t)number }, .ip_n = 4, .port = 8301 },
        .status = SERF_ALIVE };
    arena_free(&a);
    if (seen.observer) seen.observer->member(seen.observer, SERF_MEMBER_JOINED, m);
    fake_world_advance(&seen.world, 10);
}

static void answer(size_t i, size_t peers)
{
    struct rpc_call *c = seen.asked[i];
    c->code = 0;
    c->reply = rpc_reply_create(&type_list_str);
    struct list *l = c->reply->record = arena_new(&c->reply->arena, struct list);
    for (size_t j = 0; j < peers; j++)
        *LIST_PUSH(&c->reply->arena, l, struct str) = STR("10.9.9.9:8300");
    c->done(c);
}

static void fail_call(size_t i)
{
    struct rpc_call *c = seen.asked[i];
    c->code = error_set(c->err, ERR_IO, "no way there");
    c->done(c);
}

static void expected_servers_without_peers_write_one_list(void **state)
{
    (void)state;
    join(1, NULL);
    join(2, NULL);
    assert_int_equal(seen.asked_n, 0);
    join(3, NULL);
    assert_int_equal(seen.asked_n, 2);
    assert_string_equal(seen.asked_names[0], "s2");
    assert_string_equal(seen.asked_names[1], "s3");
    answer(0, 0);
    assert_int_equal(seen.written, 0);
    answer(1, 0);
    assert_int_equal(seen.written, 1);
    assert_string_equal(
        seen.first, "id-1=10.0.0.1:8300/0 id-2=10.0.0.2:8300/0 id-3=10.0.0.3:8300/0 ");
    assert_true(said("Found expected number of peers, attempting bootstrap: "
                     "peers=10.0.0.1:8300,10.0.0.2:8300,10.0.0.3:8300"));
    join(4, NULL);
    assert_int_equal(seen.asked_n, 2); /* it is over */
}

static void one_that_knows_peers_ends_it(void **state)
{
    (void)state;
    join(1, NULL);
    join(2, NULL);
    join(3, NULL);
    answer(0, 1);
    assert_int_equal(seen.written, 0);
    assert_true(said("Existing Raft peers reported by server, disabling bootstrap mode"));
    join(4, NULL);
    fake_world_advance(&seen.world, 120000);
    assert_int_equal(seen.written, 0);
    assert_int_equal(seen.asked_n, 2);
}

static void a_silent_server_is_asked_six_times_then_taken_as_empty(void **state)
{
    (void)state;
    join(1, NULL);
    join(2, NULL);
    join(3, NULL);
    answer(0, 0);
    for (size_t asked = 1; asked < 7; asked++) {
        assert_int_equal(seen.asked_n, asked + 1);
        assert_int_equal(seen.written, 0);
        uint64_t before = seen.world.now_ms;
        fail_call(asked);
        for (int i = 0; i < 7000 && seen.asked_n == asked + 1 && !seen.written; i++)
            fake_world_advance(&seen.world, 10);
        if (asked < 6) assert_in_range(seen.world.now_ms - before, 1, 40000);
    }
    assert_int_equal(seen.asked_n, 7);
    assert_int_equal(seen.written, 1);
    assert_true(said("Failed to confirm peer status for server: server=s3 error=\"no way there\""));
}

static void servers_that_expect_otherwise_or_bootstrap_hold_it_up(void **state)
{
    struct fixture *f = *state;
    join(1, NULL);
    join(2, NULL);
    join(3, "expect", "5", NULL);
    assert_int_equal(seen.asked_n, 0);
    assert_true(said("Member has a conflicting expect value. All nodes should expect the same "
                     "number: member=s3"));
    seen.n--;
    buf_deinit(&seen.tags[2]);
    join(3, "bootstrap", "1", NULL);
    assert_int_equal(seen.asked_n, 0);
    assert_true(said("Member has bootstrap mode. Expect disabled.: member=s3"));
    seen.n--;
    buf_deinit(&seen.tags[2]);
    join(3, NULL); /* it changed its mind */
    assert_int_equal(seen.asked_n, 2);
    (void)f;
}

static void only_living_voters_of_the_datacenter_count(void **state)
{
    (void)state;
    join(1, NULL);
    join(2, "dc", "dc2", NULL);
    join(3, "nonvoter", "1", NULL);
    join(4, "role", "node", NULL);
    join(2, NULL);
    seen.members[4].status = SERF_FAILED;
    assert_int_equal(seen.asked_n, 0);
    join(4, NULL);
    assert_int_equal(seen.asked_n, 0);
    seen.members[4].status = SERF_ALIVE;
    seen.observer->member(seen.observer, SERF_MEMBER_UPDATED, &seen.members[4]);
    fake_world_advance(&seen.world, 10);
    assert_int_equal(seen.asked_n, 3);
    for (size_t i = 0; i < 3; i++)
        answer(i, 0);
    assert_string_equal(seen.first, "id-1=10.0.0.1:8300/0 id-3=10.0.0.3:8300/1 "
                                    "id-2=10.0.0.2:8300/0 id-4=10.0.0.4:8300/0 ");
}

static void a_server_with_state_never_begins(void **state)
{
    (void)state;
    seen.pristine = false;
    join(1, NULL);
    join(2, NULL);
    join(3, NULL);
    assert_int_equal(seen.asked_n, 0);
    seen.pristine = true;
    join(4, NULL);
    assert_int_equal(seen.asked_n, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(expected_servers_without_peers_write_one_list),
        T(one_that_knows_peers_ends_it),
        T(a_silent_server_is_asked_six_times_then_taken_as_empty),
        T(servers_that_expect_otherwise_or_bootstrap_hold_it_up),
        T(only_living_voters_of_the_datacenter_count),
        T(a_server_with_state_never_begins),
    };
    model_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
