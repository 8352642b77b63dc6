/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of the state: saved, restored, refused; with and without a disk. */
#include "unit/cluster/lone_driver.h"

static struct shared_body *file_body(const char *path)
{
    FILE *in = fopen(path, "rb");
    if (!in) fail_msg("%s", path);
    fseek(in, 0, SEEK_END);
    size_t n = (size_t)ftell(in);
    rewind(in);
    char *p = malloc(n);
    assert_int_equal(fread(p, 1, n, in), n);
    fclose(in);
    struct shared_body *b = shared_body_create((struct str){ p, n });
    free(p);
    return b;
}

static void restore(struct fixture *f, struct request *q, struct shared_body *archive)
{
    q->r.ctx = q;
    raft_driver_restore(f->driver, &q->r, archive);
    fake_world_advance(&f->world, 100);
    assert_int_equal(q->done, 1);
}

static void on_saved(struct raft_driver_request *r)
{
    struct request *q = r->ctx;
    q->saved = r->archive;
    r->archive = NULL;
    on_done(r);
}

static struct shared_body *save(struct fixture *f)
{
    struct request q = request();
    q.r.done = on_saved;
    q.r.ctx = &q;
    raft_driver_save(f->driver, &q.r);
    fake_world_advance(&f->world, 100);
    assert_int_equal(q.done, 1);
    if (q.code) fail_msg("%s", q.r.err.text);
    return q.saved;
}

static void a_dev_server_needs_no_disk(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store_report report;
    struct store_options so = { .map_size = 1u << 30, .boot_id = "one" };
    f->options.dir = NULL;
    assert_int_equal(store_open(&so, &f->store, &report, &err), 0);
    f->options.world = &f->world;
    f->options.store = f->store;
    f->options.id = STR("n");
    f->options.address = STR("127.0.0.1:8300");
    f->options.bootstrap = true;
    f->options.multiplier = 1;
    f->options.digest = &digest_openssl;
    assert_int_equal(raft_driver_create(&f->options, &f->driver, &err), 0);
    f->observer = (struct raft_driver_observer){ .changed = on_changed, .ctx = f };
    raft_driver_observe(f->driver, &f->observer);
    raft_driver_start(f->driver);
    fake_world_turn(&f->world);
    assert_true(raft_driver_is_leader(f->driver));
    struct request q = request();
    propose(f, &q, "a", STR("1"));
    fake_world_turn(&f->world);
    assert_int_equal(q.done, 1);
    assert_int_equal(q.code, 0);
    assert_int_equal(f->world.jobs_run, 0);
    struct shared_body *archive = save(f);
    put(f, "a", "2");
    struct request r = request();
    restore(f, &r, archive);
    assert_int_equal(r.code, 0);
    assert_true(has(f, "a", "1"));
    put(f, "b", "1");
    shared_body_unref(archive);
}

static void an_archive_replaces_the_state(void **state)
{
    struct fixture *f = *state;
    struct shared_body *archive = file_body(TESTS_DIR "/vectors/fsm/catalog/snapshot.tgz");
    boot(f);
    put(f, "mine", "1");
    struct request q = request();
    restore(f, &q, archive);
    if (q.code) fail_msg("%s", q.r.err.text);
    assert_int_equal(q.index, 224);
    assert_false(has(f, "mine", "1"));
    assert_true(state_of(f).applied_index >= 225);
    assert_int_equal(state_of(f).servers_n, 1);
    put(f, "after", "2");
    struct list nodes = { 0 };
    struct arena a = ARENA_INIT;
    store_nodes(store_read(f->store), NULL, NULL, &a, &nodes);
    assert_true(nodes.n > 3);
    arena_free(&a);
    halt(f);
    boot(f);
    assert_true(has(f, "after", "2"));
    assert_false(has(f, "mine", "1"));
    assert_int_equal(raft_driver_is_leader(f->driver), true);
    shared_body_unref(archive);
}

static void a_damaged_archive_is_refused_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    boot(f);
    put(f, "mine", "1");
    struct request q = request(), r = request();
    struct shared_body *none = shared_body_create(STR("no archive"));
    restore(f, &q, none);
    shared_body_unref(none);
    assert_int_equal(q.code, ERR_DECODE);
    struct shared_body *archive = file_body(TESTS_DIR "/vectors/fsm/catalog/snapshot.tgz");
    struct shared_body *half =
        shared_body_create(str_slice(shared_body_str(archive), 0, archive->n / 2));
    restore(f, &r, half);
    shared_body_unref(half);
    assert_int_equal(r.code, ERR_DECODE);
    shared_body_unref(archive);
    assert_true(has(f, "mine", "1"));
    put(f, "more", "1");
}

static void a_restore_that_cannot_be_stored_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct shared_body *archive = file_body(TESTS_DIR "/vectors/fsm/acl/snapshot.tgz");
    boot(f);
    put(f, "mine", "1");
    f->disk.fail_at = f->disk.count + 3;
    struct request q = request(), r = request();
    restore(f, &q, archive);
    assert_true(q.code < 0);
    assert_true(has(f, "mine", "1"));
    put(f, "more", "1");
    restore(f, &r, archive);
    assert_int_equal(r.code, 0);
    assert_false(has(f, "mine", "1"));
    shared_body_unref(archive);
}

static void a_saved_archive_restores(void **state)
{
    struct fixture *f = *state;
    boot(f);
    put(f, "mine", "1");
    struct shared_body *archive = save(f);
    put(f, "mine", "2");
    put(f, "later", "1");
    struct request q = request();
    restore(f, &q, archive);
    assert_int_equal(q.code, 0);
    assert_true(has(f, "mine", "1"));
    assert_false(has(f, "later", "1"));
    shared_body_unref(archive);
}

static void restores_fail_safely_at_any_operation(void **state)
{
    struct shared_body *archive = file_body(TESTS_DIR "/vectors/fsm/acl/snapshot.tgz");
    bool failed = true;
    for (long k = 1; failed && k < 100; k++) {
        teardown(state);
        setup(state);
        struct fixture *f = *state;
        boot(f);
        put(f, "mine", "1");
        f->disk.count = f->disk.failures = 0;
        f->disk.fail_at = k;
        struct request q = request();
        restore(f, &q, archive);
        failed = f->disk.failures > 0;
        fake_world_advance(&f->world, 2000);
        f->disk.fail_at = 0;
        assert_true(has(f, "mine", "1") == (q.code != 0));
        put(f, "after", "1");
        halt(f);
        boot(f);
        assert_true(has(f, "after", "1"));
    }
    shared_body_unref(archive);
}

int main(void)
{
    model_init();
    snapshot_init();
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_dev_server_needs_no_disk),
        T(an_archive_replaces_the_state),
        T(a_damaged_archive_is_refused_and_changes_nothing),
        T(a_restore_that_cannot_be_stored_changes_nothing),
        T(a_saved_archive_restores),
        T(restores_fail_safely_at_any_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
