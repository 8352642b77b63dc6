/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "server_world.h"

#include "server.h"

static void table_has_every_procedure_of_the_model_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < server__method_count; i++) {
        if (i) assert_true(strcmp(server__methods[i - 1].name, server__methods[i].name) < 0);
        assert_non_null(method_find(str_of(server__methods[i].name)));
    }
    assert_int_equal(server__method_count, method_count);
    assert_int_equal(server__method_count, 110);
}

static void each_row_has_the_one_handler_its_mode_needs(void **state)
{
    (void)state;
    for (size_t i = 0; i < server__method_count; i++) {
        const struct method *m = &server__methods[i];
        int handlers = (m->read != NULL) + (m->write != NULL) + (m->part != NULL);
        assert_int_equal(handlers, 1);
        if (m->write) assert_true(m->mode == MODE_WRITE || m->mode == MODE_LOCAL);
        if (m->read) assert_int_not_equal(m->mode, MODE_WRITE);
    }
}

static void unknown_procedures_are_refused_by_name(void **state)
{
    struct fixture *f = *state;
    struct nothing none = { 0 };
    expect_error(f, "KVS.Nope", &none, "rpc: can't find method KVS.Nope");
}

static void procedures_of_parts_not_built_say_so(void **state)
{
    struct fixture *f = *state;
    struct dc_specific_request req = { .datacenter = STR("dc1") };
    expect_error(f, "ACL.ReplicationStatus", &req,
        "ACL.ReplicationStatus is not available in this build yet: ACL system");
}

static void other_datacenters_have_no_path(void **state)
{
    struct fixture *f = *state;
    struct key_request req = { .datacenter = STR("dc9"), .key = STR("a") };
    expect_error(f, "KVS.Get", &req, "No path to datacenter");
    req.datacenter = STR("");
    expect_error(f, "KVS.Get", &req, "No path to datacenter");
}

static void status_takes_an_empty_datacenter_as_its_own(void **state)
{
    struct fixture *f = *state;
    struct dc_specific_request req = { 0 };
    struct test_call c = { 0 };
    submit(f, &c, "Status.Leader", &req);
    assert_int_equal(c.ended, 1);
    assert_true(str_is(*(struct str *)c.rpc.reply->record, "127.0.0.1:8300"));
    release(&c);
}

static void calls_without_leader_are_held_then_refused(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    struct key_request req = key_request("a", 0);
    submit(f, &c, "KVS.Get", &req);
    fake_world_advance(&f->world, 6900);
    assert_int_equal(c.ended, 0);
    fake_world_advance(&f->world, 200);
    assert_int_equal(c.ended, 1);
    assert_string_equal(c.err.text, "No cluster leader");
    release(&c);
}

static void held_calls_go_on_with_the_leader(void **state)
{
    struct fixture *f = *state;
    struct test_call read = { 0 }, write = { 0 };
    struct key_request get = key_request("a", 0);
    struct kvs_request set = {
        .datacenter = STR("dc1"), .op = STR("set"), .dir_ent = { .key = STR("a") }
    };
    submit(f, &read, "KVS.Get", &get);
    submit(f, &write, "KVS.Apply", &set);
    elect(f);
    assert_int_equal(read.ended, 1);
    assert_int_equal(read.rpc.code, 0);
    assert_int_equal(write.ended, 1);
    assert_int_equal(write.rpc.code, 0);
    release(&read);
    release(&write);
}

static void stale_reads_need_to_have_heard_of_a_leader(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    struct key_request req = key_request("a", 0);
    req.allow_stale = true;
    submit(f, &c, "KVS.Get", &req);
    assert_int_equal(c.ended, 0);
    rpc_cancel(server_rpc(f->server), &c.rpc);
    release(&c);
}

static void consistent_reads_are_verified_first(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    struct key_request req = key_request("a", 0);
    req.require_consistent = true;
    submit(f, &c, "KVS.Get", &req);
    assert_int_equal(c.ended, 0);
    settle(f, &c);
    assert_int_equal(c.rpc.code, 0);
    assert_true(c.rpc.reply->known_leader);
    release(&c);
}

static void cancelled_calls_never_end(void **state)
{
    struct fixture *f = *state;
    struct test_call read = { 0 }, write = { 0 };
    struct key_request get = key_request("a", 0);
    struct kvs_request set = {
        .datacenter = STR("dc1"), .op = STR("set"), .dir_ent = { .key = STR("a") }
    };
    get.require_consistent = true;
    submit(f, &read, "KVS.Get", &get);
    submit(f, &write, "KVS.Apply", &set);
    rpc_cancel(server_rpc(f->server), &read.rpc);
    rpc_cancel(server_rpc(f->server), &write.rpc);
    fake_world_advance(&f->world, 8000);
    assert_int_equal(read.ended + write.ended, 0);
    release(&read);
    release(&write);
}

static void leaving_server_refuses_what_needs_a_leader(void **state)
{
    struct fixture *f = *state;
    struct key_request req = key_request("a", 0);
    server_leave(f->server);
    expect_error(f, "KVS.Get", &req, "No cluster leader");
}

static void shutdown_ends_every_call(void **state)
{
    struct fixture *f = *state;
    struct test_call parked = { 0 }, held = { 0 };
    kv_set(f, "a", "1");
    struct key_request wait = key_request("a", kv_index(f, "a"));
    struct kvs_request set = {
        .datacenter = STR("dc1"), .op = STR("set"), .dir_ent = { .key = STR("a") }
    };
    submit(f, &parked, "KVS.Get", &wait);
    submit(f, &held, "KVS.Apply", &set);
    server_destroy(f->server);
    f->server = NULL;
    assert_int_equal(parked.ended, 1);
    assert_int_equal(held.ended, 1);
    assert_true(parked.rpc.code < 0 && held.rpc.code < 0);
    release(&parked);
    release(&held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_has_every_procedure_of_the_model_in_order),
        cmocka_unit_test(each_row_has_the_one_handler_its_mode_needs),
        test_on_server(unknown_procedures_are_refused_by_name),
        test_on_server(procedures_of_parts_not_built_say_so),
        test_on_server(other_datacenters_have_no_path),
        test_on_server(status_takes_an_empty_datacenter_as_its_own),
        test_without_leader(calls_without_leader_are_held_then_refused),
        test_without_leader(held_calls_go_on_with_the_leader),
        test_without_leader(stale_reads_need_to_have_heard_of_a_leader),
        test_on_server(consistent_reads_are_verified_first),
        test_on_server(cancelled_calls_never_end),
        test_on_server(leaving_server_refuses_what_needs_a_leader),
        test_on_server(shutdown_ends_every_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
