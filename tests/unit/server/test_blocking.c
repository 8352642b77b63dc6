/* SPDX-License-Identifier: Apache-2.0 */
#include "server_world.h"

static void query_with_an_older_index_is_answered_at_once(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    kv_set(f, "a", "1");
    struct key_request req = key_request("a", kv_index(f, "a") - 1);
    submit(f, &c, "KVS.Get", &req);
    assert_int_equal(c.ended, 1);
    assert_true(str_is(kv_value(&c), "1"));
    release(&c);
}

static void query_waits_for_its_key_and_for_nothing_else(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    kv_set(f, "a", "1");
    struct key_request req = key_request("a", kv_index(f, "a"));
    submit(f, &c, "KVS.Get", &req);
    assert_int_equal(c.ended, 0);
    kv_set(f, "b", "1");
    fake_world_advance(&f->world, 1000);
    assert_int_equal(c.ended, 0);
    kv_set(f, "a", "2");
    fake_world_advance(&f->world, 20);
    assert_int_equal(c.ended, 1);
    assert_true(str_is(kv_value(&c), "2"));
    assert_true(c.rpc.reply->index > req.min_query_index);
    release(&c);
}

static void equal_value_wakes_nobody(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    kv_set(f, "a", "1");
    struct key_request req = key_request("a", kv_index(f, "a"));
    submit(f, &c, "KVS.Get", &req);
    kv_set(f, "a", "1");
    fake_world_advance(&f->world, 1000);
    assert_int_equal(c.ended, 0);
    kv_set(f, "a", "2");
    fake_world_advance(&f->world, 20);
    assert_int_equal(c.ended, 1);
    release(&c);
}

/* Nothing that tells one node, service or check from another has changed: nobody is woken. */
static void equal_registration_wakes_nobody(void **state)
{
    static const char *const reads[] = { "Health.ServiceNodes", "Catalog.ServiceNodes" };
    struct fixture *f = *state;
    struct test_call calls[2] = { 0 };
    struct node_service service = { .service = STR("web"), .port = 80 };
    struct health_check check = { .name = STR("up"), .status = STR("passing") };
    struct register_request req = { .datacenter = STR("dc1"),
        .node = STR("n"),
        .address = STR("10.0.0.1"),
        .service = &service,
        .check = &check };
    struct service_specific_request read[2];
    expect_ok(f, "Catalog.Register", &req);
    for (int i = 0; i < 2; i++) {
        read[i] = (struct service_specific_request){ .datacenter = STR("dc1"),
            .service_name = STR("web") };
        submit(f, &calls[i], reads[i], &read[i]);
        assert_int_equal(calls[i].ended, 1);
        read[i].min_query_index = calls[i].rpc.reply->index;
        release(&calls[i]);
        submit(f, &calls[i], reads[i], &read[i]);
    }
    expect_ok(f, "Catalog.Register", &req);
    fake_world_advance(&f->world, 1000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(calls[i].ended, 0);
    service.port = 81;
    expect_ok(f, "Catalog.Register", &req);
    fake_world_advance(&f->world, 20);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(calls[i].ended, 1);
        release(&calls[i]);
    }
}

static void absent_key_waits_for_its_creation_alone(void **state)
{
    struct fixture *f = *state;
    struct test_call waiting = { 0 }, late = { 0 };
    kv_set(f, "other", "1");
    struct key_request req = key_request("none", kv_index(f, "none"));
    submit(f, &waiting, "KVS.Get", &req);
    kv_set(f, "other", "2");
    fake_world_advance(&f->world, 100);
    assert_int_equal(waiting.ended, 0);
    /* The table's index has moved: whoever asks anew with the old one is answered. */
    submit(f, &late, "KVS.Get", &req);
    assert_int_equal(late.ended, 1);
    assert_true(late.rpc.reply->index > req.min_query_index);
    kv_set(f, "none", "1");
    fake_world_advance(&f->world, 20);
    assert_int_equal(waiting.ended, 1);
    release(&waiting);
    release(&late);
}

static void set_federation_state(struct fixture *f, const char *op, const char *datacenter)
{
    struct federation_state state = { .datacenter = str_of(datacenter) };
    struct federation_state_request req = {
        .datacenter = STR("dc1"), .op = str_of(op), .state = &state
    };
    expect_ok(f, "FederationState.Apply", &req);
    fake_world_advance(&f->world, 50);
}

static struct federation_state_query about_dc9(struct fixture *f)
{
    return (struct federation_state_query){ .datacenter = STR("dc9"),
        .target_datacenter = STR("dc1"),
        .min_query_index = store_index(store_read(f->store), NULL, STR("federation-states")) };
}

static void W19_a_missing_federation_state_waits_for_its_creation_alone(void **state)
{
    struct fixture *f = *state;
    static const char *const ops[] = { "upsert", "upsert", "delete" };
    for (size_t i = 0; i < 3; i++) { /* it is created, changed, deleted */
        struct test_call c = { 0 };
        struct federation_state_query req = about_dc9(f);
        submit(f, &c, "FederationState.Get", &req);
        set_federation_state(f, "upsert", "dc2");
        set_federation_state(f, "upsert", "dc99");
        set_federation_state(f, "delete", "dc2");
        assert_int_equal(c.ended, 0);
        set_federation_state(f, ops[i], "DC9"); /* keys are lower-cased */
        assert_int_equal(c.ended, 1);
        const struct federation_state_response *r = c.rpc.reply->record;
        assert_int_equal(r->state != NULL, i < 2);
        assert_true(c.rpc.reply->index > req.min_query_index);
        release(&c);
    }
}

static void wait_ends_with_the_unchanged_answer(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    kv_set(f, "a", "1");
    uint64_t index = kv_index(f, "a");
    struct key_request req = key_request("a", index + 1000);
    req.max_query_time = 2 * INT64_C(1000000000);
    submit(f, &c, "KVS.Get", &req);
    fake_world_advance(&f->world, 1990);
    assert_int_equal(c.ended, 0);
    fake_world_advance(&f->world, 2000 / 16 + 30);
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rpc.code, 0);
    assert_int_equal(c.rpc.reply->index, index);
    release(&c);
}

#define WATCHERS 200

static void equal_queries_share_one_evaluation_and_one_reply(void **state)
{
    struct fixture *f = *state;
    struct test_call *c = calloc(WATCHERS, sizeof *c);
    kv_set(f, "a", "1");
    struct key_request req = key_request("a", kv_index(f, "a"));
    uint64_t before = server_stats(f->server).evaluations;
    for (int i = 0; i < WATCHERS; i++) {
        struct key_request *own = arena_copy(&f->arena, &req, sizeof req);
        own->max_query_time = (60 + i) * INT64_C(1000000000); /* the wait may differ */
        submit(f, &c[i], "KVS.Get", own);
    }
    assert_int_equal(server_stats(f->server).evaluations - before, 1);
    assert_int_equal(server_stats(f->server).parked, WATCHERS);
    assert_int_equal(server_stats(f->server).shared, 1);
    kv_set(f, "a", "2");
    fake_world_advance(&f->world, 20);
    assert_int_equal(server_stats(f->server).evaluations - before, 2);
    assert_int_equal(server_stats(f->server).parked, 0);
    for (int i = 0; i < WATCHERS; i++) {
        assert_int_equal(c[i].ended, 1);
        assert_ptr_equal(c[i].rpc.reply, c[0].rpc.reply);
    }
    /* They come back with the new index: the query is still armed, nothing is evaluated. */
    uint64_t index = c[0].rpc.reply->index;
    for (int i = 0; i < WATCHERS; i++)
        release(&c[i]);
    req.min_query_index = index;
    for (int i = 0; i < WATCHERS; i++)
        submit(f, &c[i], "KVS.Get", &req);
    assert_int_equal(server_stats(f->server).evaluations - before, 2);
    for (int i = 0; i < WATCHERS; i++) {
        rpc_cancel(server_rpc(f->server), &c[i].rpc);
        assert_int_equal(c[i].ended, 0);
        release(&c[i]);
    }
    free(c);
}

static void different_arguments_do_not_share(void **state)
{
    struct fixture *f = *state;
    struct test_call c[2] = { { .ended = 0 } };
    kv_set(f, "a", "1");
    struct key_request one = key_request("a", kv_index(f, "a")), two = one;
    two.token = STR("secret");
    submit(f, &c[0], "KVS.Get", &one);
    submit(f, &c[1], "KVS.Get", &two);
    assert_int_equal(server_stats(f->server).shared, 2);
    for (int i = 0; i < 2; i++) {
        rpc_cancel(server_rpc(f->server), &c[i].rpc);
        release(&c[i]);
    }
}

static void waiter_with_a_higher_index_stays_when_others_leave(void **state)
{
    struct fixture *f = *state;
    struct test_call low = { 0 }, high = { 0 };
    kv_set(f, "a", "1");
    uint64_t index = kv_index(f, "a");
    struct key_request at = key_request("a", index), ahead = key_request("a", index + 100);
    submit(f, &low, "KVS.Get", &at);
    submit(f, &high, "KVS.Get", &ahead);
    kv_set(f, "a", "2");
    fake_world_advance(&f->world, 20);
    assert_int_equal(low.ended, 1);
    assert_int_equal(high.ended, 0);
    rpc_cancel(server_rpc(f->server), &high.rpc);
    release(&low);
    release(&high);
}

static void cancelled_query_is_never_answered(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    kv_set(f, "a", "1");
    struct key_request req = key_request("a", kv_index(f, "a"));
    submit(f, &c, "KVS.Get", &req);
    rpc_cancel(server_rpc(f->server), &c.rpc);
    assert_int_equal(server_stats(f->server).parked, 0);
    kv_set(f, "a", "2");
    fake_world_advance(&f->world, 1000);
    assert_int_equal(c.ended, 0);
    release(&c);
}

/* Answered first, it cancels all the others, as a closing connection may. */
struct rivals {
    struct fixture *f;
    struct test_call call[3];
};

static void cancel_the_others(struct rpc_call *rpc)
{
    struct rivals *r = rpc->ctx;
    for (int i = 0; i < 3; i++) {
        if (&r->call[i].rpc == rpc)
            r->call[i].ended++;
        else
            rpc_cancel(server_rpc(r->f->server), &r->call[i].rpc);
    }
}

static void answer_may_cancel_calls_answered_in_the_same_round(void **state)
{
    struct fixture *f = *state;
    struct rivals r = { .f = f };
    int ended = 0;
    kv_set(f, "a", "1");
    struct key_request req = key_request("a", kv_index(f, "a"));
    for (int i = 0; i < 3; i++) {
        r.call[i].rpc = (struct rpc_call){ .method = "KVS.Get",
            .args = &req,
            .arena = &r.call[i].arena,
            .done = cancel_the_others,
            .ctx = &r,
            .err = &r.call[i].err };
        rpc_submit(server_rpc(f->server), &r.call[i].rpc);
    }
    kv_set(f, "a", "2");
    fake_world_advance(&f->world, 20);
    for (int i = 0; i < 3; i++) {
        ended += r.call[i].ended;
        release(&r.call[i]);
    }
    assert_int_equal(ended, 1);
}

static void restore_answers_every_waiter(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    kv_set(f, "a", "1");
    struct key_request req = key_request("a", kv_index(f, "a") + 1000);
    submit(f, &c, "KVS.Get", &req);
    assert_int_equal(c.ended, 0);
    store_abandon_all(f->store);
    fake_world_advance(&f->world, 20);
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rpc.code, 0);
    release(&c);
}

static void equal_large_reads_share_a_reply_until_something_is_applied(void **state)
{
    struct fixture *f = *state;
    struct test_call c[3] = { { .ended = 0 } };
    struct dc_specific_request req = { .datacenter = STR("dc1") };
    uint64_t before = server_stats(f->server).evaluations;
    submit(f, &c[0], "Catalog.ListNodes", &req);
    submit(f, &c[1], "Catalog.ListNodes", &req);
    assert_ptr_equal(c[0].rpc.reply, c[1].rpc.reply);
    assert_int_equal(server_stats(f->server).evaluations - before, 1);
    kv_set(f, "a", "1");
    submit(f, &c[2], "Catalog.ListNodes", &req);
    assert_int_equal(server_stats(f->server).evaluations - before, 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(c[i].ended, 1);
        release(&c[i]);
    }
}

static void waiter_joining_a_kept_reply_is_woken(void **state)
{
    struct fixture *f = *state;
    struct test_call read = { 0 }, wait = { 0 };
    struct dc_specific_request req = { .datacenter = STR("dc1") };
    struct register_request node = {
        .datacenter = STR("dc1"), .node = STR("n"), .address = STR("10.0.0.1")
    };
    submit(f, &read, "Catalog.ListNodes", &req);
    req.min_query_index = read.rpc.reply->index;
    submit(f, &wait, "Catalog.ListNodes", &req);
    assert_int_equal(wait.ended, 0);
    expect_ok(f, "Catalog.Register", &node);
    fake_world_advance(&f->world, 20);
    assert_int_equal(wait.ended, 1);
    release(&read);
    release(&wait);
}

static void idle_queries_are_given_up_after_a_while(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    kv_set(f, "a", "1");
    struct key_request req = key_request("a", kv_index(f, "a"));
    submit(f, &c, "KVS.Get", &req);
    rpc_cancel(server_rpc(f->server), &c.rpc);
    assert_int_equal(server_stats(f->server).shared, 1);
    fake_world_advance(&f->world, 11000);
    assert_int_equal(server_stats(f->server).shared, 0);
    release(&c);
}

/* --- random histories: no wake-up is lost, none is early ------------------------------------- */

#define KEYS 4
#define WAITERS 8
#define STEPS 60

struct history {
    struct fixture *f;
    struct prng random;
    uint64_t changed[KEYS]; /* step of the key's last change */
    struct {
        struct test_call call;
        struct key_request req;
        bool list;
        int key;
        uint64_t since; /* step in which it began to wait */
    } waiter[WAITERS];
};

static const char *const history_keys[KEYS] = { "p/a", "p/b", "q/a", "q/b" };

static bool touches(const struct history *h, int w, int key)
{
    if (h->waiter[w].list) return h->waiter[w].key / 2 == key / 2;
    return h->waiter[w].key == key;
}

static void begin_waiting(struct history *h, int w, uint64_t step)
{
    struct test_call now = { 0 };
    int key = (int)prng_below(&h->random, KEYS);
    bool list = prng_chance(&h->random, 1, 3);
    const char *prefix = key < 2 ? "p/" : "q/";
    const char *method = list ? "KVS.List" : "KVS.Get";
    struct key_request req = key_request(list ? prefix : history_keys[key], 0);
    submit(h->f, &now, method, &req);
    assert_int_equal(now.ended, 1);
    req.min_query_index = now.rpc.reply->index;
    release(&now);
    h->waiter[w].req = req;
    h->waiter[w].list = list;
    h->waiter[w].key = key;
    h->waiter[w].since = step;
    submit(h->f, &h->waiter[w].call, method, &h->waiter[w].req);
}

static bool present(struct fixture *f, const char *key)
{
    struct dir_entry e;
    bool found = false;
    store_kv_get(store_read(f->store), NULL, str_of(key), &f->arena, &e, &found);
    return found;
}

/* One write that changes a key for sure, or is known not to. */
static void random_write(struct history *h, uint64_t step)
{
    int key = (int)prng_below(&h->random, KEYS);
    char value[24];
    if (prng_chance(&h->random, 2, 3)) {
        snprintf(value, sizeof value, "%llu", (unsigned long long)step);
        kv_set(h->f, history_keys[key], value);
        h->changed[key] = step;
        return;
    }
    if (present(h->f, history_keys[key])) h->changed[key] = step;
    kv_apply(h->f, "delete", history_keys[key], "", STR_NIL);
}

static void check_waiters(struct history *h, uint64_t step)
{
    for (int w = 0; w < WAITERS; w++) {
        struct test_call *c = &h->waiter[w].call;
        bool due = false;
        for (int key = 0; key < KEYS; key++) {
            if (touches(h, w, key) && h->changed[key] > h->waiter[w].since) due = true;
        }
        assert_int_equal(c->ended, due);
        if (!due) continue;
        assert_int_equal(c->rpc.code, 0);
        assert_true(c->rpc.reply->index > h->waiter[w].req.min_query_index);
        release(c);
        begin_waiting(h, w, step);
    }
}

static void random_histories_wake_exactly_whom_they_concern(void **state)
{
    struct fixture *f = *state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct history *h = calloc(1, sizeof *h);
        h->f = f;
        prng_seed(&h->random, seed);
        kv_apply(f, "delete-tree", "", "", STR_NIL);
        for (int w = 0; w < WAITERS; w++)
            begin_waiting(h, w, 0);
        for (uint64_t step = 1; step <= STEPS; step++) {
            random_write(h, step);
            fake_world_advance(&f->world, 20);
            check_waiters(h, step);
        }
        for (int w = 0; w < WAITERS; w++) {
            rpc_cancel(server_rpc(f->server), &h->waiter[w].call.rpc);
            release(&h->waiter[w].call);
        }
        free(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_on_server(query_with_an_older_index_is_answered_at_once),
        test_on_server(query_waits_for_its_key_and_for_nothing_else),
        test_on_server(equal_value_wakes_nobody),
        test_on_server(equal_registration_wakes_nobody),
        test_on_server(absent_key_waits_for_its_creation_alone),
        test_on_server(W19_a_missing_federation_state_waits_for_its_creation_alone),
        test_on_server(wait_ends_with_the_unchanged_answer),
        test_on_server(equal_queries_share_one_evaluation_and_one_reply),
        test_on_server(different_arguments_do_not_share),
        test_on_server(waiter_with_a_higher_index_stays_when_others_leave),
        test_on_server(cancelled_query_is_never_answered),
        test_on_server(answer_may_cancel_calls_answered_in_the_same_round),
        test_on_server(restore_answers_every_waiter),
        test_on_server(equal_large_reads_share_a_reply_until_something_is_applied),
        test_on_server(waiter_joining_a_kept_reply_is_woken),
        test_on_server(random_histories_wake_exactly_whom_they_concern),
        test_on_server(idle_queries_are_given_up_after_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
