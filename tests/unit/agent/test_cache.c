/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cache.h"
#include "world/fake_world.h"

/* Servers whose answer is an index; queries that have it wait. */
struct servers {
    struct rpc_client client;
    uint64_t index;
    struct rpc_call *parked[8];
    size_t n_parked, asked, cancelled;
    bool down, silent;
    struct service_specific_request last;
};

static struct world world;
static struct servers servers;
static struct cache *cache;

static void answer(struct rpc_call *call)
{
    if (servers.down) {
        call->code = error_set(call->err, ERR_INTERNAL, "No cluster leader");
    } else {
        const struct type *t = method_find(str_of(call->method))->reply;
        struct rpc_reply *r = rpc_reply_create(t);
        r->record = arena_alloc(&r->arena, t->size);
        r->index = servers.index;
        call->code = 0;
        call->reply = r;
    }
    call->done(call);
}

static void submit(struct rpc_client *client, struct rpc_call *call)
{
    uint64_t index = 0;
    (void)client;
    servers.asked++;
    if (strcmp(call->method, "Health.ServiceNodes") == 0) {
        servers.last = *(const struct service_specific_request *)call->args;
        index = servers.last.min_query_index;
    }
    if (servers.silent || (!servers.down && index && index >= servers.index)) {
        assert_true(servers.n_parked < 8);
        servers.parked[servers.n_parked++] = call;
        return;
    }
    answer(call);
}

static void cancel(struct rpc_client *client, struct rpc_call *call)
{
    (void)client;
    servers.cancelled++;
    for (size_t i = 0; i < servers.n_parked; i++)
        if (servers.parked[i] == call) servers.parked[i] = servers.parked[--servers.n_parked];
}

/* Everything that waits at the servers is answered. */
static void release(void)
{
    struct rpc_call *calls[8];
    size_t n = servers.n_parked;
    memcpy(calls, servers.parked, sizeof calls);
    servers.n_parked = 0;
    for (size_t i = 0; i < n; i++)
        answer(calls[i]);
    fake_world_turn(&world);
}

static void change(void)
{
    servers.index++;
    release();
}

static void go_down(void)
{
    servers.down = true;
    release();
}

/* --- readers -------------------------------------------------------------------------------- */

struct reader {
    struct rpc_call call;
    struct cache_outcome outcome;
    struct arena arena;
    struct error err;
    struct service_specific_request service;
    struct prepared_query_execute_request query;
    int ended;
};

static void done(struct rpc_call *call)
{
    ((struct reader *)call->ctx)->ended++;
}

static void ask(struct reader *r, const char *method, const void *args)
{
    rpc_reply_unref(r->call.reply);
    r->call = (struct rpc_call){
        .method = method, .args = args, .arena = &r->arena, .done = done, .ctx = r, .err = &r->err
    };
    r->ended = 0;
    cache_submit(cache, &r->call, &r->outcome);
}

static void ask_service(struct reader *r, const char *name)
{
    r->service.datacenter = STR("dc1");
    r->service.service_name = str_of(name);
    ask(r, "Health.ServiceNodes", &r->service);
}

static void ask_query(struct reader *r)
{
    r->query.datacenter = STR("dc1");
    r->query.query_id_or_name = STR("q");
    ask(r, "PreparedQuery.Execute", &r->query);
}

static void end(struct reader *r)
{
    rpc_reply_unref(r->call.reply);
    arena_free(&r->arena);
}

static void assert_answer(const struct reader *r, bool hit, uint64_t index)
{
    assert_int_equal(r->ended, 1);
    assert_int_equal(r->call.code, 0);
    assert_int_equal(r->outcome.hit, hit);
    assert_int_equal(r->call.reply->index, index);
}

static int setup(void **state)
{
    (void)state;
    model_init();
    fake_world_init(&world);
    servers = (struct servers){ .client = { submit, cancel }, .index = 7 };
    cache = cache_create(&(struct cache_options){ .world = &world, .rpc = &servers.client });
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cache_destroy(cache);
    return 0;
}

/* --- behaviours ----------------------------------------------------------------------------- */

static void first_read_is_a_miss_and_the_second_a_hit(void **state)
{
    (void)state;
    struct reader a = { 0 }, b = { 0 };
    ask_service(&a, "web");
    assert_answer(&a, false, 7);
    ask_service(&b, "web");
    assert_answer(&b, true, 7);
    assert_int_equal(b.outcome.age_ns, 0);
    assert_int_equal(servers.asked, 1);
    end(&a);
    end(&b);
}

static void an_entry_is_kept_current_behind_its_readers(void **state)
{
    (void)state;
    struct reader a = { 0 };
    ask_service(&a, "web");
    fake_world_turn(&world);
    assert_int_equal(servers.n_parked, 1);
    assert_int_equal(servers.last.min_query_index, 7);
    assert_int_equal(servers.last.max_query_time, INT64_C(600000000000));
    assert_true(servers.last.allow_stale);
    change();
    ask_service(&a, "web");
    assert_answer(&a, true, 8);
    assert_int_equal(servers.n_parked, 1);
    end(&a);
}

static void who_asks_makes_no_other_entry(void **state)
{
    (void)state;
    struct reader a = { 0 }, b = { 0 };
    a.service.source.node = STR("n1");
    ask_service(&a, "web");
    assert_answer(&a, false, 7);
    assert_true(str_is(servers.last.source.node, "n1"));
    ask_service(&b, "web");
    assert_answer(&b, true, 7);
    b.query.agent.node = STR("n1");
    ask_query(&a);
    ask_query(&b);
    assert_true(b.outcome.hit);
    end(&a);
    end(&b);
}

static void what_happened_is_counted_by_type(void **state)
{
    (void)state;
    struct reader a = { 0 };
    struct cache_type_stats s = { 0 };
    ask_service(&a, "web");
    ask_service(&a, "web");
    fake_world_turn(&world);
    go_down();
    for (size_t i = 0; cache_type_stats_at(cache, i, &s); i++)
        if (strcmp(s.name, "health-services") == 0) break;
    assert_int_equal(s.hits, 1);
    assert_int_equal(s.misses_new, 1);
    assert_int_equal(s.misses_block, 0);
    assert_int_equal(s.fetched, 1);
    assert_true(s.failed > 0);
    end(&a);
}

static void equal_reads_share_one_call(void **state)
{
    (void)state;
    struct reader a = { 0 }, b = { 0 };
    servers.silent = true;
    ask_service(&a, "web");
    ask_service(&b, "web");
    assert_int_equal(servers.asked, 1);
    assert_int_equal(a.ended + b.ended, 0);
    release();
    assert_answer(&a, false, 7);
    assert_answer(&b, false, 7);
    end(&a);
    end(&b);
}

static void names_tokens_and_datacenters_have_entries_of_their_own(void **state)
{
    (void)state;
    struct reader r = { 0 };
    ask_service(&r, "web");
    ask_service(&r, "db");
    assert_answer(&r, false, 7);
    r.service.token = STR("secret");
    ask_service(&r, "web");
    assert_answer(&r, false, 7);
    r.service.connect = true;
    ask_service(&r, "web");
    assert_answer(&r, false, 7);
    assert_int_equal(cache_stats(cache).entries, 4);
    end(&r);
}

static void datacenters_are_the_same_for_every_token(void **state)
{
    (void)state;
    struct reader r = { 0 };
    struct datacenters_request args = { .token = STR("one") };
    ask(&r, "Catalog.ListDatacenters", &args);
    args.token = STR("two");
    ask(&r, "Catalog.ListDatacenters", &args);
    assert_answer(&r, true, 7);
    end(&r);
}

static void a_read_with_the_present_index_waits_for_a_newer_one(void **state)
{
    (void)state;
    struct reader a = { 0 };
    ask_service(&a, "web");
    a.service.min_query_index = 7;
    ask_service(&a, "web");
    fake_world_turn(&world);
    assert_int_equal(a.ended, 0);
    assert_int_equal(servers.asked, 2);
    change();
    assert_answer(&a, false, 8);
    end(&a);
}

static void a_wait_ends_with_what_there_is(void **state)
{
    (void)state;
    struct reader a = { 0 };
    ask_service(&a, "web");
    a.service.min_query_index = 7;
    a.service.max_query_time = INT64_C(50000000);
    ask_service(&a, "web");
    fake_world_advance(&world, 40);
    assert_int_equal(a.ended, 0);
    fake_world_advance(&world, 30);
    assert_answer(&a, false, 7);
    end(&a);
}

static void a_refreshed_entry_does_not_care_for_max_age(void **state)
{
    (void)state;
    struct reader a = { 0 };
    ask_service(&a, "web");
    fake_world_advance(&world, 5000);
    a.service.max_age = 1;
    a.service.must_revalidate = true;
    ask_service(&a, "web");
    assert_answer(&a, true, 7);
    end(&a);
}

static void age_counts_from_the_loss_of_contact(void **state)
{
    (void)state;
    struct reader a = { 0 };
    ask_service(&a, "web");
    fake_world_advance(&world, 3000);
    go_down();
    fake_world_advance(&world, 2000);
    ask_service(&a, "web");
    assert_answer(&a, true, 7);
    assert_in_range(a.outcome.age_ns, INT64_C(1900000000), INT64_C(2100000000));
    servers.down = false;
    fake_world_advance(&world, 130000);
    ask_service(&a, "web");
    assert_int_equal(a.outcome.age_ns, 0);
    end(&a);
}

static void failing_refreshes_back_off(void **state)
{
    (void)state;
    struct reader a = { 0 };
    ask_service(&a, "web");
    fake_world_turn(&world);
    go_down();
    size_t before = servers.asked;
    fake_world_advance(&world, 60000);
    assert_in_range(servers.asked - before, 3, 12);
    end(&a);
}

static void an_error_is_told_and_not_kept(void **state)
{
    (void)state;
    struct reader a = { 0 };
    servers.down = true;
    ask_service(&a, "web");
    assert_int_equal(a.call.code, ERR_INTERNAL);
    assert_string_equal(a.err.text, "No cluster leader");
    fake_world_turn(&world);
    assert_int_equal(cache_stats(cache).entries, 0);
    servers.down = false;
    ask_service(&a, "web");
    assert_answer(&a, false, 7);
    end(&a);
}

static void an_old_query_is_executed_again(void **state)
{
    (void)state;
    struct reader a = { 0 };
    ask_query(&a);
    assert_answer(&a, false, 7);
    fake_world_advance(&world, 2000);
    assert_int_equal(servers.asked, 1);
    ask_query(&a);
    assert_answer(&a, true, 7);
    assert_int_equal(a.outcome.age_ns, INT64_C(2000000000));
    a.query.max_age = INT64_C(1000000000);
    ask_query(&a);
    assert_answer(&a, false, 7);
    ask_query(&a);
    assert_answer(&a, true, 7);
    a.query.must_revalidate = true;
    ask_query(&a);
    assert_answer(&a, false, 7);
    end(&a);
}

static void an_old_answer_does_when_the_servers_fail_and_it_is_young_enough(void **state)
{
    (void)state;
    struct reader a = { 0 };
    ask_query(&a);
    fake_world_advance(&world, 5000);
    servers.down = true;
    a.query.must_revalidate = true;
    ask_query(&a);
    assert_int_equal(a.call.code, ERR_INTERNAL);
    a.query.stale_if_error = INT64_C(4000000000);
    ask_query(&a);
    assert_int_equal(a.call.code, ERR_INTERNAL);
    a.query.stale_if_error = INT64_C(6000000000);
    ask_query(&a);
    assert_answer(&a, true, 7);
    end(&a);
}

static void fetches_of_an_entry_keep_their_rate(void **state)
{
    (void)state;
    struct reader a = { 0 };
    cache_limit(cache, 1, 2);
    ask_service(&a, "web");
    for (int i = 0; i < 50; i++) {
        servers.index++;
        release();
        fake_world_advance(&world, 100);
    }
    assert_in_range(servers.asked, 5, 8);
    end(&a);
}

static void entries_nobody_asks_for_go(void **state)
{
    (void)state;
    struct reader a = { 0 };
    ask_service(&a, "web");
    fake_world_turn(&world);
    world.now_ms += CACHE_KEPT_MS - 1000;
    fake_world_turn(&world);
    assert_int_equal(cache_stats(cache).entries, 1);
    world.now_ms += 2000;
    fake_world_turn(&world);
    assert_int_equal(cache_stats(cache).entries, 0);
    assert_int_equal(servers.cancelled, 1);
    end(&a);
}

static void the_number_of_entries_is_bounded(void **state)
{
    (void)state;
    struct reader a = { 0 };
    servers.down = false;
    for (int i = 0; i < CACHE_ENTRIES_MAX + 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "q%d", i);
        a.query.datacenter = STR("dc1");
        a.query.query_id_or_name = str_of(name);
        ask(&a, "PreparedQuery.Execute", &a.query);
        assert_answer(&a, false, 7);
    }
    assert_int_equal(cache_stats(cache).entries, CACHE_ENTRIES_MAX);
    assert_int_equal(cache_stats(cache).evicted, 3);
    end(&a);
}

static void a_cancelled_read_is_not_answered(void **state)
{
    (void)state;
    struct reader a = { 0 };
    servers.silent = true;
    ask_service(&a, "web");
    cache_cancel(cache, &a.call);
    release();
    assert_int_equal(a.ended, 0);
    end(&a);
}

static void readers_hear_of_the_end(void **state)
{
    (void)state;
    struct reader a = { 0 };
    servers.silent = true;
    ask_service(&a, "web");
    cache_destroy(cache);
    cache = NULL;
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.call.code, ERR_INTERNAL);
    assert_int_equal(servers.cancelled, 1);
    end(&a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(first_read_is_a_miss_and_the_second_a_hit),
        TEST(an_entry_is_kept_current_behind_its_readers),
        TEST(equal_reads_share_one_call),
        TEST(who_asks_makes_no_other_entry),
        TEST(what_happened_is_counted_by_type),
        TEST(names_tokens_and_datacenters_have_entries_of_their_own),
        TEST(datacenters_are_the_same_for_every_token),
        TEST(a_read_with_the_present_index_waits_for_a_newer_one),
        TEST(a_wait_ends_with_what_there_is),
        TEST(a_refreshed_entry_does_not_care_for_max_age),
        TEST(age_counts_from_the_loss_of_contact),
        TEST(failing_refreshes_back_off),
        TEST(an_error_is_told_and_not_kept),
        TEST(an_old_query_is_executed_again),
        TEST(an_old_answer_does_when_the_servers_fail_and_it_is_young_enough),
        TEST(fetches_of_an_entry_keep_their_rate),
        TEST(entries_nobody_asks_for_go),
        TEST(the_number_of_entries_is_bounded),
        TEST(a_cancelled_read_is_not_answered),
        TEST(readers_hear_of_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
