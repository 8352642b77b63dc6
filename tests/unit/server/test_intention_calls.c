/* SPDX-License-Identifier: Apache-2.0 */
#include "server_world.h"

static struct str apply(
    struct fixture *f, const char *op, struct str id, const char *from, const char *to, bool allow)
{
    struct test_call c = { 0 };
    struct intention x = { .id = id,
        .source_name = str_of(from),
        .destination_name = str_of(to),
        .action = allow ? STR("allow") : STR("deny") };
    struct intention_request req = { .datacenter = STR("dc1"), .op = str_of(op), .intention = &x };
    submit(f, &c, "Intention.Apply", &req);
    settle(f, &c);
    if (c.rpc.code) fail_msg("%s", c.err.text);
    struct str made = str_dup(&f->arena, *(struct str *)c.rpc.reply->record);
    release(&c);
    return made;
}

static struct intention stored(struct fixture *f, struct str id)
{
    struct test_call c = { 0 };
    struct intention_query_request req = { .datacenter = STR("dc1"), .intention_id = id };
    struct intention out;
    submit(f, &c, "Intention.Get", &req);
    settle(f, &c);
    if (c.rpc.code) fail_msg("%s", c.err.text);
    const struct indexed_intentions *r = c.rpc.reply->record;
    record_copy(&f->arena, &type_intention, &out, &LIST_AT(&r->intentions, struct intention, 0));
    release(&c);
    return out;
}

static bool allowed(struct fixture *f, const char *from, const char *to)
{
    struct test_call c = { 0 };
    struct intention_query_check check = { .source_ns = STR("default"),
        .source_name = str_of(from),
        .destination_ns = STR("default"),
        .destination_name = str_of(to),
        .source_type = STR("consul") };
    struct intention_query_request req = { .datacenter = STR("dc1"), .check = &check };
    submit(f, &c, "Intention.Check", &req);
    settle(f, &c);
    bool ok = ((const struct intention_query_check_response *)c.rpc.reply->record)->allowed;
    release(&c);
    return ok;
}

static void what_is_logged_is_complete(void **state)
{
    struct fixture *f = *state;
    struct str id = apply(f, "create", STR_NIL, "web", "db", true);
    struct intention x = stored(f, id);
    assert_true(str_is(x.source_ns, "default") && str_is(x.source_type, "consul"));
    assert_int_equal(x.precedence, 9);
    assert_int_equal(x.hash.n, 32);
    assert_false(gotime_is_zero(x.created_at));
    fake_world_advance(&f->world, 1000);
    assert_true(str_eq(apply(f, "update", id, "web", "db", false), id));
    struct intention y = stored(f, id);
    assert_true(str_is(y.action, "deny"));
    assert_false(str_eq(x.hash, y.hash));
    assert_true(gotime_to_unix_ns(x.created_at) == gotime_to_unix_ns(y.created_at));
    assert_true(gotime_to_unix_ns(x.updated_at) < gotime_to_unix_ns(y.updated_at));
}

static void highest_precedence_decides_and_nothing_means_yes(void **state)
{
    struct fixture *f = *state;
    assert_true(allowed(f, "web", "db"));
    apply(f, "create", STR_NIL, "*", "db", false);
    struct str id = apply(f, "create", STR_NIL, "web", "db", true);
    assert_true(allowed(f, "web", "db"));
    assert_false(allowed(f, "api", "db"));
    assert_true(allowed(f, "api", "cache"));
    apply(f, "delete", id, "", "", false);
    assert_false(allowed(f, "web", "db"));
}

static void bad_requests_are_refused_with_the_reason(void **state)
{
    struct fixture *f = *state;
    struct intention x = { .id = STR("11111111-2222-3333-4444-555555555555") };
    struct intention_request req = {
        .datacenter = STR("dc1"), .op = STR("create"), .intention = &x
    };
    expect_error(f, "Intention.Apply", &req, "ID must be empty when creating a new intention");
    req.op = STR("update");
    expect_error(f, "Intention.Apply", &req,
        "Cannot modify non-existent intention: '11111111-2222-3333-4444-555555555555'");
    req.op = STR("delete");
    expect_error(f, "Intention.Apply", &req,
        "Cannot delete non-existent intention: '11111111-2222-3333-4444-555555555555'");
    req.op = STR("odd");
    expect_error(f, "Intention.Apply", &req, "Invalid Intention operation: odd");
    struct intention_query_request ask = { .datacenter = STR("dc1"), .intention_id = x.id };
    expect_error(f, "Intention.Get", &ask, "Intention not found");
    expect_error(f, "Intention.Match", &ask, "Match must be specified on args");
    expect_error(f, "Intention.Check", &ask, "Check must be specified on args");
}

static void match_answers_each_entry_and_waits(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 }, waiting = { 0 };
    apply(f, "create", STR_NIL, "web", "db", true);
    struct intention_query_match match = { .type = STR("destination") };
    struct intention_match_entry *e =
        LIST_PUSH(&f->arena, &match.entries, struct intention_match_entry);
    *e = (struct intention_match_entry){ STR("default"), STR("db") };
    e = LIST_PUSH(&f->arena, &match.entries, struct intention_match_entry);
    *e = (struct intention_match_entry){ STR("default"), STR("other") };
    struct intention_query_request req = { .datacenter = STR("dc1"), .match = &match };
    submit(f, &c, "Intention.Match", &req);
    settle(f, &c);
    const struct indexed_intention_matches *r = c.rpc.reply->record;
    assert_int_equal(r->matches.n, 2);
    assert_int_equal(LIST_AT(&r->matches, struct list, 0).n, 1);
    assert_null(LIST_AT(&r->matches, struct list, 1).v);
    req.min_query_index = c.rpc.reply->index;
    release(&c);
    submit(f, &waiting, "Intention.Match", &req);
    assert_int_equal(waiting.ended, 0);
    apply(f, "create", STR_NIL, "*", "*", false);
    settle(f, &waiting);
    r = waiting.rpc.reply->record;
    assert_int_equal(LIST_AT(&r->matches, struct list, 1).n, 1);
    release(&waiting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_on_server(what_is_logged_is_complete),
        test_on_server(highest_precedence_decides_and_nothing_means_yes),
        test_on_server(bad_requests_are_refused_with_the_reason),
        test_on_server(match_answers_each_entry_and_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
