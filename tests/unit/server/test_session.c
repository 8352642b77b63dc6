/* SPDX-License-Identifier: Apache-2.0 */
#include "server_world.h"

static struct session_request session_request(const char *op)
{
    struct session_request req = { .datacenter = STR("dc1"), .op = str_of(op) };
    if (str_is(req.op, "create")) req.session.node = STR("s1");
    return req;
}

/* The ID is the fixture's arena's. */
static struct str create(struct fixture *f, struct session_request *req)
{
    struct test_call c = { 0 };
    submit(f, &c, "Session.Apply", req);
    settle(f, &c);
    if (c.rpc.code) fail_msg("%s", c.err.text);
    struct str id = str_dup(&f->arena, *(struct str *)c.rpc.reply->record);
    release(&c);
    return id;
}

static size_t found(struct fixture *f, const char *method, struct str id)
{
    struct test_call c = { 0 };
    struct session_specific_request req = { .datacenter = STR("dc1"), .session_id = id };
    submit(f, &c, method, &req);
    assert_int_equal(c.ended, 1);
    size_t n = ((struct indexed_sessions *)c.rpc.reply->record)->sessions.n;
    release(&c);
    return n;
}

static void leader_makes_the_id(void **state)
{
    struct fixture *f = *state;
    struct session_request req = session_request("create");
    req.session.id = STR("11111111-2222-3333-4444-555555555555");
    struct str id = create(f, &req);
    assert_true(uuid_valid(id));
    assert_false(str_eq(id, req.session.id));
    assert_int_equal(found(f, "Session.Get", id), 1);
}

static void bad_sessions_are_refused_with_the_reason(void **state)
{
    struct fixture *f = *state;
    struct session_request req = session_request("create");
    req.session.node = STR("");
    expect_error(f, "Session.Apply", &req, "Must provide Node");
    req = session_request("create");
    req.session.behavior = STR("keep");
    expect_error(f, "Session.Apply", &req, "Invalid Behavior setting 'keep'");
    req = session_request("create");
    req.session.ttl = STR("5s");
    expect_error(f, "Session.Apply", &req,
        "Invalid Session TTL '5000000000', must be between [10s=24h0m0s]");
    req.session.ttl = STR("abc");
    expect_error(
        f, "Session.Apply", &req, "Session TTL 'abc' invalid: time: invalid duration \"abc\"");
    req = session_request("destroy");
    expect_error(f, "Session.Apply", &req, "Must provide ID");
    req.session.id = STR("bad");
    expect_error(
        f, "Session.Apply", &req, "failed session lookup: index error: UUID must be 36 characters");
}

static void an_id_needs_hexadecimal_digits_and_at_most_four_hyphens(void **state)
{
    static const char *const refused[][2] = {
        { "zzzzzzzz-0000-0000-0000-000000000000",
            "Invalid UUID: encoding/hex: invalid byte: U+007A 'z'" },
        { "0000000000000000000000000000000-0000", "Input (without hyphens) must be even length" },
        { "0-0-0-0-0-00000000000000000000000000", "UUID should have maximum of 4 \"-\"; got 5" },
    };
    struct fixture *f = *state;
    struct session_request req = session_request("destroy");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "failed session lookup: index error: %s", refused[i][1]);
        req.session.id = str_of(refused[i][0]);
        expect_error(f, "Session.Apply", &req, text);
    }
    req.session.id = STR("111111111111111111111111111111111111");
    expect_ok(f, "Session.Apply", &req);
    assert_int_equal(found(f, "Session.Get", req.session.id), 0);
}

static void session_is_destroyed_after_twice_its_ttl(void **state)
{
    struct fixture *f = *state;
    struct session_request req = session_request("create");
    req.session.ttl = STR("10s");
    struct str id = create(f, &req);
    assert_int_equal(server_stats(f->server).sessions_ttl, 1);
    fake_world_advance(&f->world, 19500);
    assert_int_equal(found(f, "Session.Get", id), 1);
    fake_world_advance(&f->world, 1000);
    assert_int_equal(found(f, "Session.Get", id), 0);
    assert_int_equal(server_stats(f->server).sessions_ttl, 0);
}

static void renewal_starts_the_ttl_anew(void **state)
{
    struct fixture *f = *state;
    struct session_request req = session_request("create");
    req.session.ttl = STR("10s");
    struct str id = create(f, &req);
    fake_world_advance(&f->world, 15000);
    assert_int_equal(found(f, "Session.Renew", id), 1);
    fake_world_advance(&f->world, 15000);
    assert_int_equal(found(f, "Session.Get", id), 1);
    fake_world_advance(&f->world, 6000);
    assert_int_equal(found(f, "Session.Get", id), 0);
}

static void session_without_ttl_has_no_timer(void **state)
{
    struct fixture *f = *state;
    struct session_request req = session_request("create");
    req.session.ttl = STR("0s");
    create(f, &req);
    assert_int_equal(server_stats(f->server).sessions_ttl, 0);
}

static void destroying_stops_the_timer(void **state)
{
    struct fixture *f = *state;
    struct session_request req = session_request("create");
    req.session.ttl = STR("10s");
    struct str id = create(f, &req);
    struct session_request destroy = session_request("destroy");
    destroy.session.id = id;
    expect_ok(f, "Session.Apply", &destroy);
    assert_int_equal(server_stats(f->server).sessions_ttl, 0);
}

static void lock_is_refused_during_the_lock_delay(void **state)
{
    struct fixture *f = *state;
    struct session_request first = session_request("create"), second = first;
    first.session.lock_delay = 2 * INT64_C(1000000000);
    struct str one = create(f, &first), two = create(f, &second);
    assert_true(kv_apply(f, "lock", "k", "x", one));
    struct session_request destroy = session_request("destroy");
    destroy.session.id = one;
    expect_ok(f, "Session.Apply", &destroy);
    struct raft_driver_state before = raft_driver_state(f->raft);
    assert_false(kv_apply(f, "lock", "k", "x", two));
    struct raft_driver_state after = raft_driver_state(f->raft);
    assert_int_equal(before.last_log_index, after.last_log_index);
    fake_world_advance(&f->world, 2100);
    assert_true(kv_apply(f, "lock", "k", "x", two));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_on_server(leader_makes_the_id),
        test_on_server(bad_sessions_are_refused_with_the_reason),
        test_on_server(an_id_needs_hexadecimal_digits_and_at_most_four_hyphens),
        test_on_server(session_is_destroyed_after_twice_its_ttl),
        test_on_server(renewal_starts_the_ttl_anew),
        test_on_server(session_without_ttl_has_no_timer),
        test_on_server(destroying_stops_the_timer),
        test_on_server(lock_is_refused_during_the_lock_delay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
