/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions, the locks they hold, and transactions over them. */
#include "unit/store/fsm_log.h"

#define S1 "50000000-0000-0000-0000-000000000001"
#define S2 "50000000-0000-0000-0000-000000000002"
#define NOW 1000 /* of every batch, fsm_log.h */

struct fixture {
    struct store *s;
    struct arena a;
};

static struct fixture setup(void)
{
    struct fixture f = { .s = store_fresh() };
    node_register(f.s, &f.a, "n1", "10.0.0.1");
    check_register(f.s, &f.a, "n1", NULL, "serfHealth", "passing");
    return f;
}

static void teardown(struct fixture *f)
{
    store_close(f->s);
    arena_free(&f->a);
}

static struct command_result lock_op(
    struct fixture *f, const char *op, const char *key, const char *id)
{
    struct kvs_request r = { .op = str_of(op),
        .dir_ent = { .key = str_of(key), .session = str_of(id) } };
    return command(f->s, &f->a, COMMAND_KVS, &r);
}

static struct command_result create(
    struct fixture *f, const char *id, const char *behavior, int64_t delay_ns)
{
    struct session_request r = { .op = STR("create"),
        .session = { .id = str_of(id),
            .node = STR("n1"),
            .behavior = str_of(behavior),
            .lock_delay = delay_ns } };
    *LIST_PUSH(&f->a, &r.session.node_checks, struct str) = STR("serfHealth");
    return command(f->s, &f->a, COMMAND_SESSION, &r);
}

static struct dir_entry entry(struct fixture *f, const char *key, bool *found)
{
    struct dir_entry e = { 0 };
    store_kv_get(store_read(f->s), NULL, str_of(key), &f->a, &e, found);
    return e;
}

static bool session_exists(struct fixture *f, const char *id)
{
    struct session *s;
    store_session(store_read(f->s), NULL, str_of(id), &f->a, &s);
    return s != NULL;
}

static void destroyed_session_releases_its_locks_and_delays_the_next(void **state)
{
    (void)state;
    struct fixture f = setup();
    bool found;
    create(&f, S1, "release", 15000000000);
    assert_true(lock_op(&f, "lock", "l", S1).ok);
    assert_int_equal(store_kv_lock_delay(f.s, STR("l"), NOW), 0);
    session(f.s, &f.a, "destroy", S1, NULL, NULL);
    struct dir_entry e = entry(&f, "l", &found);
    assert_true(found);
    assert_int_equal(e.session.n, 0);
    assert_int_equal(e.lock_index, 1);
    assert_int_equal(store_kv_lock_delay(f.s, STR("l"), NOW), 15000);
    assert_int_equal(store_kv_lock_delay(f.s, STR("l"), NOW + 14999), 1);
    assert_int_equal(store_kv_lock_delay(f.s, STR("l"), NOW + 15000), 0);
    assert_int_equal(store_kv_lock_delay(f.s, STR("other"), NOW), 0);
    teardown(&f);
}

static void lock_delay_is_at_most_a_minute_and_may_be_none(void **state)
{
    (void)state;
    struct fixture f = setup();
    create(&f, S1, "release", INT64_C(3600000000000));
    create(&f, S2, "release", 0);
    lock_op(&f, "lock", "a", S1);
    lock_op(&f, "lock", "b", S2);
    session(f.s, &f.a, "destroy", S1, NULL, NULL);
    session(f.s, &f.a, "destroy", S2, NULL, NULL);
    assert_int_equal(store_kv_lock_delay(f.s, STR("a"), NOW), 60000);
    assert_int_equal(store_kv_lock_delay(f.s, STR("b"), NOW), 0);
    teardown(&f);
}

static void critical_check_destroys_sessions_and_deletes_their_keys(void **state)
{
    (void)state;
    struct fixture f = setup();
    bool found;
    create(&f, S1, "delete", 1000000000);
    lock_op(&f, "lock", "l", S1);
    check_register(f.s, &f.a, "n1", NULL, "serfHealth", "critical");
    assert_false(session_exists(&f, S1));
    entry(&f, "l", &found);
    assert_false(found);
    assert_int_equal(store_tombstone_last(store_read(f.s)), store_applied_index(f.s));
    assert_int_equal(store_kv_lock_delay(f.s, STR("l"), NOW), 1000);
    assert_int_equal(table_count(&store_read(f.s)->view, TABLE_SESSION_CHECKS), 0);
    struct command_result res = create(&f, S1, "delete", 0);
    assert_int_equal(res.kind, RESULT_ERROR);
    assert_true(str_is(res.text, "Check 'serfHealth' is in critical state"));
    teardown(&f);
}

static void deleted_node_takes_its_sessions_along(void **state)
{
    (void)state;
    struct fixture f = setup();
    create(&f, S1, "release", 0);
    deregister(f.s, &f.a, "n1", NULL, NULL);
    assert_false(session_exists(&f, S1));
    teardown(&f);
}

/* --- transactions -------------------------------------------------------------------------- */

static struct txn_kv_op *kv_op(struct fixture *f, struct list *ops, const char *verb,
    const char *key, const char *session_id, uint64_t index)
{
    struct txn_kv_op *op = arena_new(&f->a, struct txn_kv_op);
    *op = (struct txn_kv_op){ .verb = str_of(verb),
        .dir_ent = { .key = str_of(key), .session = str_of(session_id), .modify_index = index } };
    LIST_PUSH(&f->a, ops, struct txn_op)->kv = op;
    return op;
}

static struct txn_response run(struct fixture *f, struct list ops)
{
    struct txn_request r = { .ops = ops };
    struct command_result res = command(f->s, &f->a, COMMAND_TXN, &r);
    assert_int_equal(res.kind, RESULT_TXN);
    return *res.txn;
}

static void expect_error(const struct txn_response *r, size_t i, const char *what)
{
    assert_true(i < r->errors.n);
    const struct txn_error *e = &LIST_AT(&r->errors, struct txn_error, i);
    if (!str_is(e->what, what)) fail_msg("%.*s", STR_ARG(e->what));
}

static void refused_key_operations_say_why_and_leave_no_trace(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct list ops = { 0 };
    bool found;
    create(&f, S1, "release", 0);
    create(&f, S2, "release", 0);
    kv(f.s, &f.a, "set", "k", "1");
    uint64_t at = store_applied_index(f.s);
    lock_op(&f, "lock", "held", S1);
    kv_op(&f, &ops, "set", "new", NULL, 0);
    kv_op(&f, &ops, "cas", "k", NULL, at + 1);
    kv_op(&f, &ops, "lock", "held", S2, 0);
    kv_op(&f, &ops, "unlock", "held", S2, 0);
    kv_op(&f, &ops, "delete-cas", "k", NULL, 1);
    kv_op(&f, &ops, "check-session", "none", S1, 0);
    kv_op(&f, &ops, "check-session", "held", S2, 0);
    kv_op(&f, &ops, "check-index", "none", NULL, 1);
    kv_op(&f, &ops, "bogus", "k", NULL, 0);
    kv_op(&f, &ops, "check-not-exists", "new", NULL, 0);
    struct txn_response r = run(&f, ops);
    expect_error(&r, 0, "failed to set key \"k\", index is stale");
    expect_error(&r, 1, "failed to lock key \"held\", lock is already held");
    expect_error(
        &r, 2, "failed to unlock key \"held\", lock isn't held, or is held by another session");
    expect_error(&r, 3, "failed to delete key \"k\", index is stale");
    expect_error(&r, 4, "failed to check session, key \"none\" doesn't exist");
    expect_error(
        &r, 5, "failed session check for key \"held\", current session \"" S1 "\" != \"" S2 "\"");
    expect_error(&r, 6, "failed to check index, key \"none\" doesn't exist");
    expect_error(&r, 7, "unknown KV verb \"bogus\"");
    expect_error(&r, 8, "key \"new\" exists");
    assert_int_equal(r.errors.n, 9);
    assert_int_equal(LIST_AT(&r.errors, struct txn_error, 8).op_index, 9);
    assert_int_equal(r.results.n, 0);
    entry(&f, "new", &found);
    assert_false(found);
    teardown(&f);
}

static void session_deleted_by_a_transaction_keeps_its_locks(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct list ops = { 0 };
    bool found;
    struct txn_session_op op = { .verb = STR("delete"), .session = { .id = STR(S1) } };
    create(&f, S1, "release", 15000000000);
    lock_op(&f, "lock", "l", S1);
    LIST_PUSH(&f.a, &ops, struct txn_op)->session = &op;
    assert_int_equal(run(&f, ops).errors.n, 0);
    assert_false(session_exists(&f, S1));
    assert_true(str_is(entry(&f, "l", &found).session, S1));
    assert_int_equal(store_kv_lock_delay(f.s, STR("l"), NOW), 0);
    teardown(&f);
}

static void stale_catalog_operations_are_refused(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct list ops = { 0 };
    struct txn_node_op node = { .verb = STR("cas"), .node = { .node = STR("n1") } };
    struct txn_node_op absent = { .verb = STR("get"), .node = { .node = STR("zz") } };
    struct txn_service_op service = { .verb = STR("delete-cas"),
        .node = STR("n1"),
        .service = { .id = STR("s"), .modify_index = 3 } };
    struct txn_service_op get = {
        .verb = STR("get"), .node = STR("n1"), .service = { .id = STR("s") }
    };
    struct txn_check_op check = { .verb = STR("cas"),
        .check = { .node = STR("n1"), .check_id = STR("serfHealth"), .modify_index = 1 } };
    LIST_PUSH(&f.a, &ops, struct txn_op)->node = &node;
    LIST_PUSH(&f.a, &ops, struct txn_op)->node = &absent;
    LIST_PUSH(&f.a, &ops, struct txn_op)->service = &service;
    LIST_PUSH(&f.a, &ops, struct txn_op)->service = &get;
    LIST_PUSH(&f.a, &ops, struct txn_op)->check = &check;
    struct txn_response r = run(&f, ops);
    expect_error(&r, 0, "failed to set node \"n1\", index is stale");
    expect_error(&r, 1, "node \"zz\" doesn't exist");
    expect_error(&r, 2, "failed to delete service \"s\" on node \"n1\", index is stale");
    expect_error(&r, 3, "service \"s\" on node \"n1\" doesn't exist");
    expect_error(&r, 4, "failed to set check \"serfHealth\" on node \"n1\", index is stale");
    teardown(&f);
}

static void transaction_of_reads_needs_no_log_entry(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct list ops = { 0 };
    struct txn_response out;
    kv(f.s, &f.a, "set", "t/a", "1");
    kv(f.s, &f.a, "set", "t/b", "2");
    kv_op(&f, &ops, "get-tree", "t/", NULL, 0);
    kv_op(&f, &ops, "check-not-exists", "none", NULL, 0);
    assert_true(store_txn_is_read_only(&ops));
    store_txn_read(store_read(f.s), &ops, &f.a, &out);
    assert_int_equal(out.errors.n, 0);
    assert_int_equal(out.results.n, 2);
    assert_true(str_is(LIST_AT(&out.results, struct txn_result, 1).kv->value, "2"));
    kv_op(&f, &ops, "set", "t/c", NULL, 0);
    assert_false(store_txn_is_read_only(&ops));
    store_txn_read(store_read(f.s), &ops, &f.a, &out);
    assert_int_equal(out.errors.n, 1);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(destroyed_session_releases_its_locks_and_delays_the_next),
        cmocka_unit_test(lock_delay_is_at_most_a_minute_and_may_be_none),
        cmocka_unit_test(critical_check_destroys_sessions_and_deletes_their_keys),
        cmocka_unit_test(deleted_node_takes_its_sessions_along),
        cmocka_unit_test(refused_key_operations_say_why_and_leave_no_trace),
        cmocka_unit_test(session_deleted_by_a_transaction_keeps_its_locks),
        cmocka_unit_test(stale_catalog_operations_are_refused),
        cmocka_unit_test(transaction_of_reads_needs_no_log_entry),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
