/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/cluster/snapshot_call.h"
#include "server_world.h"

struct outcome {
    struct snapshot_call call;
    int ended;
};

static void on_end(struct snapshot_call *c)
{
    ((struct outcome *)c->ctx)->ended++;
}

static void ask(struct fixture *f, struct outcome *o)
{
    struct snapshot_client *client = server_snapshots(f->server);
    o->call.done = on_end;
    o->call.ctx = o;
    client->submit(client, &o->call);
    assert_int_equal(o->ended, 0);
}

static void wait(struct fixture *f, struct outcome *o)
{
    for (int i = 0; i < 1000 && !o->ended; i++) {
        fake_world_run_jobs(&f->world);
        fake_world_advance(&f->world, 10);
    }
    assert_int_equal(o->ended, 1);
}

static void refused(struct fixture *f, struct snapshot_call call, const char *why)
{
    struct outcome o = { .call = call };
    ask(f, &o);
    wait(f, &o);
    assert_true(o.call.code < 0);
    assert_string_equal(o.call.err.text, why);
    assert_null(o.call.saved);
}

static void saved_state_comes_back(void **state)
{
    struct fixture *f = *state;
    struct outcome save = { 0 };
    kv_set(f, "k", "before");
    ask(f, &save);
    wait(f, &save);
    if (save.call.code) fail_msg("%s", save.call.err.text);
    assert_true(save.call.saved->n > 0 && save.call.known_leader);
    assert_int_equal(save.call.index, kv_index(f, "k"));
    kv_set(f, "k", "after");
    struct test_call watch = { 0 };
    struct key_request req = key_request("k", kv_index(f, "k"));
    submit(f, &watch, "KVS.Get", &req);
    assert_int_equal(watch.ended, 0);
    struct outcome restore = { .call = { .restore = true, .archive = save.call.saved } };
    ask(f, &restore);
    wait(f, &restore);
    if (restore.call.code) fail_msg("%s", restore.call.err.text);
    assert_true(server_ready(f->server));
    settle(f, &watch);
    assert_true(str_is(kv_value(&watch), "before"));
    release(&watch);
    kv_set(f, "k", "later");
    shared_body_unref(save.call.saved);
}

static void what_cannot_be_done_is_said(void **state)
{
    struct fixture *f = *state;
    refused(f, (struct snapshot_call){ .datacenter = STR("dc2") }, "No path to datacenter");
    refused(f, (struct snapshot_call){ .restore = true, .allow_stale = true },
        "stale not allowed for restore");
    struct shared_body *none = shared_body_create(STR("no snapshot"));
    refused(f, (struct snapshot_call){ .restore = true, .archive = none },
        "failed to decompress snapshot: gzip: invalid header");
    shared_body_unref(none);
    assert_true(server_ready(f->server));
}

static void without_a_leader_there_is_no_answer(void **state)
{
    struct fixture *f = *state;
    refused(f, (struct snapshot_call){ 0 }, "No cluster leader");
    refused(f, (struct snapshot_call){ .restore = true }, "No cluster leader");
}

static void stale_save_asks_no_leader(void **state)
{
    struct fixture *f = *state;
    struct outcome save = { .call.allow_stale = true };
    ask(f, &save);
    wait(f, &save);
    assert_int_equal(save.call.code, 0);
    shared_body_unref(save.call.saved);
}

static void cancelled_call_does_not_end(void **state)
{
    struct fixture *f = *state;
    struct outcome save = { 0 }, other = { 0 };
    struct snapshot_client *client = server_snapshots(f->server);
    ask(f, &save);
    client->cancel(client, &save.call);
    ask(f, &other);
    wait(f, &other);
    assert_int_equal(save.ended, 0);
    shared_body_unref(other.call.saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_on_server(saved_state_comes_back),
        test_on_server(what_cannot_be_done_is_said),
        test_without_leader(without_a_leader_there_is_no_answer),
        test_on_server(stale_save_asks_no_leader),
        test_on_server(cancelled_call_does_not_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
