/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/store/fsm_log.h"

struct waiter {
    struct watch_set ws;
    int fired;
    bool abandoned;
    struct waiter *victim; /* cleared when this one fires */
};

static void on_fire(struct watch_set *ws)
{
    struct waiter *w = container_of(ws, struct waiter, ws);
    w->fired++;
    w->abandoned = ws->abandoned;
    if (w->victim) watch_set_clear(&w->victim->ws);
}

struct fixture {
    struct store *s;
    struct arena a;
    struct waiter w;
};

static struct fixture setup(void)
{
    struct fixture f = { .s = store_fresh() };
    return f;
}

static void teardown(struct fixture *f)
{
    assert_int_equal(store_stats(f->s).watch_links, 0);
    assert_int_equal(store_stats(f->s).watch_sets, 0);
    store_close(f->s);
    arena_free(&f->a);
}

static struct watch_set *arm(struct fixture *f, struct waiter *w)
{
    watch_set_init(&w->ws, f->s, on_fire);
    w->fired = 0;
    return &w->ws;
}

static void watch_kv(struct fixture *f, struct waiter *w, const char *key)
{
    struct dir_entry e;
    bool found;
    store_kv_get(store_read(f->s), arm(f, w), str_of(key), &f->a, &e, &found);
}

static void watch_tree(struct fixture *f, struct waiter *w, const char *prefix)
{
    struct list out = { 0 };
    store_kv_list(store_read(f->s), arm(f, w), str_of(prefix), &f->a, &out);
}

static void watch_health(struct fixture *f, struct waiter *w, const char *service)
{
    struct list out = { 0 };
    store_check_service_nodes(store_read(f->s), arm(f, w), str_of(service), NULL, &f->a, &out);
}

static void key_watch_wakes_once_for_its_key_alone(void **state)
{
    (void)state;
    struct fixture f = setup();
    kv(f.s, &f.a, "set", "a", "1");
    watch_kv(&f, &f.w, "a");
    kv(f.s, &f.a, "set", "b", "1");
    kv(f.s, &f.a, "set", "aa", "1");
    kv(f.s, &f.a, "set", "a", "1");
    assert_int_equal(f.w.fired, 0);
    kv(f.s, &f.a, "set", "a", "2");
    assert_int_equal(f.w.fired, 1);
    assert_false(f.w.abandoned);
    kv(f.s, &f.a, "set", "a", "3");
    assert_int_equal(f.w.fired, 1);
    teardown(&f);
}

static void missing_key_watch_wakes_when_the_key_comes(void **state)
{
    (void)state;
    struct fixture f = setup();
    watch_kv(&f, &f.w, "a");
    kv(f.s, &f.a, "set", "b", "1");
    kv(f.s, &f.a, "delete", "b", NULL);
    assert_int_equal(f.w.fired, 0);
    kv(f.s, &f.a, "set", "a", "1");
    assert_int_equal(f.w.fired, 1);
    teardown(&f);
}

static void prefix_watch_wakes_for_keys_under_it(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct waiter all = { 0 };
    watch_tree(&f, &f.w, "dir/");
    watch_tree(&f, &all, "");
    kv(f.s, &f.a, "set", "dir", "1");
    assert_int_equal(f.w.fired, 0);
    assert_int_equal(all.fired, 1);
    kv(f.s, &f.a, "set", "dir/x", "1");
    assert_int_equal(f.w.fired, 1);
    watch_tree(&f, &f.w, "dir/x");
    kv(f.s, &f.a, "delete-tree", "di", NULL);
    assert_int_equal(f.w.fired, 1);
    teardown(&f);
}

static void watch_does_not_wake_before_the_commit_nor_for_an_aborted_batch(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct kvs_request r = { .op = STR("set"), .dir_ent = { .key = STR("a") } };
    struct buf data = BUF_INIT(4096);
    struct command_result res;
    struct error err;
    command_encode(COMMAND_KVS, &r, &data);
    struct store_entry e = { .index = 1, .term = 1, .data = buf_str(&data) };
    watch_kv(&f, &f.w, "a");
    for (int commit = 0; commit < 2; commit++) {
        struct store_batch *b = store_apply_begin(f.s, 0);
        assert_int_equal(store_apply(b, &e, &f.a, &res, &err), STORE_APPLIED);
        assert_int_equal(f.w.fired, 0);
        if (commit)
            assert_int_equal(store_apply_commit(b, &err), 0);
        else
            store_apply_abort(b);
        assert_int_equal(f.w.fired, commit);
    }
    buf_deinit(&data);
    teardown(&f);
}

static void refused_transaction_wakes_nobody(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct txn_kv_op set = { .verb = STR("set"), .dir_ent = { .key = STR("a") } };
    struct txn_kv_op bad = { .verb = STR("get"), .dir_ent = { .key = STR("missing") } };
    struct txn_request r = { 0 };
    LIST_PUSH(&f.a, &r.ops, struct txn_op)->kv = &set;
    LIST_PUSH(&f.a, &r.ops, struct txn_op)->kv = &bad;
    watch_kv(&f, &f.w, "a");
    struct command_result res = command(f.s, &f.a, COMMAND_TXN, &r);
    assert_int_equal(res.kind, RESULT_TXN);
    assert_int_equal(res.txn->errors.n, 1);
    assert_int_equal(f.w.fired, 0);
    watch_set_clear(&f.w.ws);
    teardown(&f);
}

static void health_watch_wakes_for_its_service_node_and_node_checks(void **state)
{
    (void)state;
    struct fixture f = setup();
    node_register(f.s, &f.a, "n1", "10.0.0.1");
    node_register(f.s, &f.a, "n2", "10.0.0.2");
    service_register(f.s, &f.a, "n1", "web1", "web");
    service_register(f.s, &f.a, "n2", "db1", "db");
    watch_health(&f, &f.w, "web");
    check_register(f.s, &f.a, "n2", "db1", "c", "passing");
    check_register(f.s, &f.a, "n2", NULL, "c2", "passing");
    node_register(f.s, &f.a, "n2", "10.0.0.3");
    assert_int_equal(f.w.fired, 0);
    check_register(f.s, &f.a, "n1", NULL, "serfHealth", "passing");
    assert_int_equal(f.w.fired, 1);
    watch_health(&f, &f.w, "web");
    node_register(f.s, &f.a, "n1", "10.0.0.9");
    assert_int_equal(f.w.fired, 1);
    watch_health(&f, &f.w, "web");
    deregister(f.s, &f.a, "n1", "web1", NULL);
    assert_int_equal(f.w.fired, 1);
    teardown(&f);
}

static void missing_service_watch_wakes_when_it_comes(void **state)
{
    (void)state;
    struct fixture f = setup();
    node_register(f.s, &f.a, "n1", "10.0.0.1");
    watch_health(&f, &f.w, "web");
    service_register(f.s, &f.a, "n1", "db1", "db");
    deregister(f.s, &f.a, "n1", "db1", NULL);
    assert_int_equal(f.w.fired, 0);
    service_register(f.s, &f.a, "n1", "web1", "web");
    assert_int_equal(f.w.fired, 1);
    teardown(&f);
}

static void set_cleared_by_another_one_of_the_same_commit_does_not_fire(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct waiter other = { 0 };
    watch_kv(&f, &f.w, "a");
    watch_kv(&f, &other, "a");
    f.w.victim = &other;
    other.victim = &f.w;
    kv(f.s, &f.a, "set", "a", "1");
    assert_int_equal(f.w.fired + other.fired, 1);
    teardown(&f);
}

static void restore_wakes_everybody_and_says_so(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct waiter tree = { 0 };
    struct error err;
    struct dir_entry restored = { .key = STR("r"), .create_index = 7, .modify_index = 9 };
    struct dir_entry e;
    bool found;
    kv(f.s, &f.a, "set", "a", "1");
    watch_kv(&f, &f.w, "a");
    watch_tree(&f, &tree, "zzz");
    struct store_batch *b = store_restore_begin(f.s, &err);
    assert_non_null(b);
    restore_kv(b, &restored);
    assert_true(store_restore_checkpoint(b));
    store_kv_get(store_read(f.s), NULL, STR("a"), &f.a, &e, &found);
    assert_true(found);
    assert_int_equal(store_restore_commit(b, 9, 3, &err), 0);
    assert_int_equal(f.w.fired, 1);
    assert_int_equal(tree.fired, 1);
    assert_true(tree.abandoned);
    assert_int_equal(store_applied_index(f.s), 9);
    store_kv_get(store_read(f.s), NULL, STR("a"), &f.a, &e, &found);
    assert_false(found);
    assert_int_equal(store_kv_get(store_read(f.s), NULL, STR("r"), &f.a, &e, &found), 9);
    assert_true(found);
    teardown(&f);
}

/* --- never lost: random commands, every kind of read ---------------------------------------- */

#define NAMES 4
#define QUERIES 15

static uint64_t query(struct fixture *f, size_t which, struct watch_set *ws)
{
    struct store_read *rd = store_read(f->s);
    struct list l = { 0 };
    struct dict d = { 0 };
    struct dir_entry e;
    struct session *session;
    struct node_services *ns;
    bool found;
    switch (which) {
    case 0:
        return store_nodes(rd, ws, NULL, &f->a, &l);
    case 1:
        return store_services(rd, ws, NULL, &f->a, &d);
    case 2:
        return store_service_nodes(rd, ws, STR("s1"), NULL, &f->a, &l);
    case 3:
        return store_check_service_nodes(rd, ws, STR("s2"), NULL, &f->a, &l);
    case 4:
        return store_checks_in_state(rd, ws, STR("any"), NULL, &f->a, &l);
    case 5:
        return store_node_services(rd, ws, STR("n1"), &f->a, &ns);
    case 6:
        return store_kv_get(rd, ws, STR("k1"), &f->a, &e, &found);
    case 7:
        return store_kv_list(rd, ws, STR("k"), &f->a, &l);
    case 8:
        return store_kv_list(rd, ws, STR(""), &f->a, &l);
    case 9:
        return store_kv_keys(rd, ws, STR("k2"), STR("/"), &f->a, &l);
    case 10:
        return store_sessions(rd, ws, &f->a, &l);
    case 11:
        return store_session(rd, ws, STR("sess-1"), &f->a, &session);
    case 12:
        return store_service_dump(rd, ws, NULL, &f->a, &l);
    case 13:
        return store_node_dump(rd, ws, STR_NIL, &f->a, &l);
    default:
        return store_service_dump(rd, ws, &STR(""), &f->a, &l);
    }
}

/* Reads of something missing report the index of whole tables, which may move unnoticed: only the
 * coming of the thing counts. */
static bool may_sleep(struct fixture *f, size_t which)
{
    struct list l = { 0 };
    struct dir_entry e;
    bool found = true;
    struct store_read *rd = store_read(f->s);
    if (which == 2) store_service_nodes(rd, NULL, STR("s1"), NULL, &f->a, &l);
    if (which == 3) store_service_nodes(rd, NULL, STR("s2"), NULL, &f->a, &l);
    if (which == 9) store_kv_list(rd, NULL, STR("k2"), &f->a, &l);
    if (which == 7) store_kv_list(rd, NULL, STR("k"), &f->a, &l);
    if (which == 6) {
        store_kv_get(rd, NULL, STR("k1"), &f->a, &e, &found);
        return !found;
    }
    return (which == 2 || which == 3 || which == 7 || which == 9) && !l.n;
}

static void random_command(struct fixture *f, struct prng *r)
{
    static const char *const nodes[NAMES] = { "n0", "n1", "n2", "n3" };
    static const char *const services[NAMES] = { "s0", "s1", "s2", "s3" };
    static const char *const keys[NAMES] = { "k1", "k2/a", "k2/b", "other" };
    static const char *const values[NAMES] = { "0", "1", "2", "3" };
    static const char *const states[NAMES] = { "passing", "warning", "critical", "passing" };
    static const char *const ids[NAMES] = { "sess-0", "sess-1", "sess-2", "sess-3" };
    const char *n = nodes[prng_below(r, NAMES)], *s = services[prng_below(r, NAMES)];
    const char *k = keys[prng_below(r, NAMES)], *v = values[prng_below(r, NAMES)];
    const char *id = ids[prng_below(r, NAMES)];
    switch (prng_below(r, 11)) {
    case 0:
        node_register(f->s, &f->a, n, v);
        break;
    case 1:
        service_register(f->s, &f->a, n, s, services[prng_below(r, NAMES)]);
        break;
    case 2:
        check_register(f->s, &f->a, n, s, "c", states[prng_below(r, NAMES)]);
        break;
    case 3:
        check_register(f->s, &f->a, n, NULL, "nc", states[prng_below(r, NAMES)]);
        break;
    case 4:
        deregister(f->s, &f->a, n, s, NULL);
        break;
    case 5:
        deregister(f->s, &f->a, n, NULL, "nc");
        break;
    case 6:
        if (prng_chance(r, 1, 4)) deregister(f->s, &f->a, n, NULL, NULL);
        break;
    case 7:
        kv(f->s, &f->a, "set", k, v);
        break;
    case 8:
        kv(f->s, &f->a, prng_chance(r, 1, 2) ? "delete" : "delete-tree", k, NULL);
        break;
    case 9:
        session(f->s, &f->a, "create", id, n, prng_chance(r, 1, 2) ? "nc" : NULL);
        break;
    default:
        session(f->s, &f->a, "destroy", id, NULL, NULL);
        break;
    }
}

static void index_of_a_read_never_grows_without_waking_it(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct waiter w[QUERIES] = { 0 };
    uint64_t index[QUERIES];
    bool asleep[QUERIES];
    struct prng r;
    int woken = 0;
    prng_seed(&r, 4711);
    for (int step = 0; step < 1500; step++) {
        for (size_t q = 0; q < QUERIES; q++) {
            index[q] = query(&f, q, arm(&f, &w[q]));
            asleep[q] = may_sleep(&f, q);
        }
        random_command(&f, &r);
        for (size_t q = 0; q < QUERIES; q++) {
            uint64_t now = query(&f, q, NULL);
            bool excused = asleep[q] && may_sleep(&f, q);
            if (now > index[q] && !w[q].fired && !excused)
                fail_msg("step %d: query %zu went from %llu to %llu unseen", step, q,
                    (unsigned long long)index[q], (unsigned long long)now);
            woken += w[q].fired;
            watch_set_clear(&w[q].ws);
        }
        arena_reset(&f.a);
    }
    assert_true(woken > 1000);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_watch_wakes_once_for_its_key_alone),
        cmocka_unit_test(missing_key_watch_wakes_when_the_key_comes),
        cmocka_unit_test(prefix_watch_wakes_for_keys_under_it),
        cmocka_unit_test(watch_does_not_wake_before_the_commit_nor_for_an_aborted_batch),
        cmocka_unit_test(refused_transaction_wakes_nobody),
        cmocka_unit_test(health_watch_wakes_for_its_service_node_and_node_checks),
        cmocka_unit_test(missing_service_watch_wakes_when_it_comes),
        cmocka_unit_test(set_cleared_by_another_one_of_the_same_commit_does_not_fire),
        cmocka_unit_test(restore_wakes_everybody_and_says_so),
        cmocka_unit_test(index_of_a_read_never_grows_without_waking_it),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
