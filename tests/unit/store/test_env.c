/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept, what is thrown away, and what a full disk does. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/store/fsm_log.h"

struct fixture {
    char dir[64];
    struct arena a;
    struct store *s;
    struct store_report report;
    uint64_t map_size;
};

static void reopen(struct fixture *f, const char *boot_id)
{
    struct error err;
    struct store_options opts = {
        .dir = f->dir, .boot_id = boot_id, .map_size = f->map_size ? f->map_size : UINT64_C(1) << 28
    };
    if (store_open(&opts, &f->s, &f->report, &err) != 0) fail_msg("%s", err.text);
}

static struct fixture setup(void)
{
    struct fixture f = { .dir = "/tmp/consuld-test-XXXXXX" };
    assert_non_null(mkdtemp(f.dir));
    reopen(&f, "boot-1");
    assert_true(f.report.needs_rebuild);
    return f;
}

static const char *path_in(struct fixture *f, const char *name)
{
    return str_printf(&f->a, "%s/%s", f->dir, name).p;
}

static void teardown(struct fixture *f)
{
    store_close(f->s);
    state_dir_remove(path_in(f, "state"));
    state_dir_remove(path_in(f, "state.new"));
    state_dir_remove(path_in(f, "state.old"));
    assert_int_equal(rmdir(f->dir), 0);
    arena_free(&f->a);
}

static bool has(struct fixture *f, const char *key)
{
    struct dir_entry e;
    bool found;
    store_kv_get(store_read(f->s), NULL, str_of(key), &f->a, &e, &found);
    return found;
}

static void state_survives_a_clean_stop_and_another_boot(void **state)
{
    (void)state;
    struct fixture f = setup();
    kv(f.s, &f.a, "set", "a", "1");
    store_close(f.s);
    reopen(&f, "boot-2");
    assert_false(f.report.needs_rebuild);
    assert_int_equal(store_applied_index(f.s), 1);
    assert_int_equal(store_applied_term(f.s), 1);
    assert_true(has(&f, "a"));
    teardown(&f);
}

/* A child writes and ends without closing anything. */
static void write_and_die(struct fixture *f, const char *boot_id)
{
    store_close(f->s);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct arena a = ARENA_INIT;
        reopen(f, boot_id);
        for (int i = 0; i < 50; i++)
            kv(f->s, &a, "set", str_printf(&a, "k%d", i).p, "v");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void state_survives_a_killed_process(void **state)
{
    (void)state;
    struct fixture f = setup();
    write_and_die(&f, "boot-1");
    reopen(&f, "boot-1");
    assert_false(f.report.needs_rebuild);
    assert_int_equal(store_applied_index(f.s), 50);
    assert_true(has(&f, "k49"));
    teardown(&f);
}

static void state_is_thrown_away_after_a_crash_of_the_machine(void **state)
{
    (void)state;
    struct fixture f = setup();
    write_and_die(&f, "boot-1");
    reopen(&f, "boot-2");
    assert_true(f.report.needs_rebuild);
    assert_non_null(f.report.reason);
    assert_int_equal(store_applied_index(f.s), 0);
    assert_false(has(&f, "k49"));
    teardown(&f);
}

static void damage_from(long offset)
{
    struct fixture f = setup();
    kv(f.s, &f.a, "set", "a", "1");
    store_close(f.s);
    FILE *file = fopen(path_in(&f, "state/data.mdb"), "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    for (long n = offset; n < (offset ? size : 8192); n++)
        fputc(offset ? 0 : 'j', file);
    fclose(file);
    reopen(&f, "boot-1");
    assert_true(f.report.needs_rebuild);
    assert_int_equal(store_applied_index(f.s), 0);
    kv(f.s, &f.a, "set", "a", "1");
    assert_true(has(&f, "a"));
    teardown(&f);
}

static void damaged_state_is_thrown_away(void **state)
{
    (void)state;
    damage_from(0);
    damage_from(8192); /* it opens, and its pages are empty */
}

static void restored_state_is_what_the_next_start_finds(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct error err;
    struct dir_entry e = { .key = STR("new"), .create_index = 5, .modify_index = 6 };
    kv(f.s, &f.a, "set", "old", "1");
    struct store_batch *b = store_restore_begin(f.s, &err);
    restore_kv(b, &e);
    store_restore_abort(b);
    assert_true(has(&f, "old"));
    b = store_restore_begin(f.s, &err);
    restore_kv(b, &e);
    assert_int_equal(store_restore_commit(b, 40, 2, &err), 0);
    assert_true(has(&f, "new"));
    store_close(f.s);
    reopen(&f, "boot-1");
    assert_false(f.report.needs_rebuild);
    assert_int_equal(store_applied_index(f.s), 40);
    assert_true(has(&f, "new"));
    assert_false(has(&f, "old"));
    teardown(&f);
}

static void worker_view_stays_while_the_state_changes_and_is_replaced(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct error err;
    struct dir_entry e;
    bool found;
    kv(f.s, &f.a, "set", "a", "1");
    struct store_read *rd = store_read_create(f.s);
    assert_non_null(rd);
    kv(f.s, &f.a, "delete", "a", NULL);
    struct store_batch *b = store_restore_begin(f.s, &err);
    assert_int_equal(store_restore_commit(b, 40, 2, &err), 0);
    store_kv_get(rd, NULL, STR("a"), &f.a, &e, &found);
    assert_true(found);
    assert_int_equal(store_read_applied(rd, NULL), 1);
    store_read_destroy(rd);
    assert_false(has(&f, "a"));
    teardown(&f);
}

static void full_state_refuses_the_batch_and_keeps_what_was_there(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct error err;
    struct command_result res;
    store_close(f.s);
    f.map_size = 2u << 20;
    reopen(&f, "boot-1");
    struct kvs_request r = { .op = STR("set") };
    struct buf data = BUF_INIT(1u << 20);
    char *big = arena_alloc(&f.a, 300000);
    r.dir_ent.value = (struct str){ big, 300000 };
    int code = 0;
    uint64_t index = 0;
    while (!code && index < 100) {
        buf_clear(&data);
        r.dir_ent.key = str_printf(&f.a, "k%llu", (unsigned long long)++index);
        command_encode(COMMAND_KVS, &r, &data);
        struct store_entry e = { .index = index, .term = 1, .data = buf_str(&data) };
        code = apply_one(f.s, &e, &f.a, &res, &err);
    }
    buf_deinit(&data);
    assert_int_equal(code, ERR_IO);
    assert_true(index > 2);
    assert_int_equal(store_applied_index(f.s), index - 1);
    assert_true(has(&f, "k1"));
    assert_false(has(&f, str_c(&f.a, r.dir_ent.key)));
    /* With more room the same entry goes through. */
    store_close(f.s);
    f.map_size = 64u << 20;
    reopen(&f, "boot-1");
    assert_int_equal(store_applied_index(f.s), index - 1);
    kv(f.s, &f.a, "set", "small", "1");
    assert_true(has(&f, "small"));
    teardown(&f);
}

/* Files may not grow beyond `bytes`: every write behind them is refused, as on a full disk. */
static void limit_files(rlim_t bytes)
{
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static int apply_keys(struct fixture *f, int first, int n, struct error *err)
{
    struct buf data = BUF_INIT(1u << 20);
    struct command_result res;
    struct store_batch *b = store_apply_begin(f->s, 0);
    int code = STORE_APPLIED;
    for (int i = 0; i < n && code == STORE_APPLIED; i++) {
        static char value[3000];
        struct kvs_request r = { .op = STR("set"),
            .dir_ent = {
                .key = str_printf(&f->a, "k%d", first + i), .value = { value, sizeof value } } };
        buf_clear(&data);
        command_encode(COMMAND_KVS, &r, &data);
        struct store_entry e = {
            .index = store_applied_index(f->s) + 1 + (uint64_t)i, .term = 1, .data = buf_str(&data)
        };
        code = store_apply(b, &e, &f->a, &res, err);
    }
    if (code == STORE_APPLIED)
        code = store_apply_commit(b, err);
    else
        store_apply_abort(b);
    buf_deinit(&data);
    return code;
}

static void commit_refused_at_any_write_changes_nothing_and_goes_through_later(void **state)
{
    (void)state;
    struct fixture f = setup();
    struct error err;
    struct stat st;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(apply_keys(&f, 0, 20, &err), 0);
    int refused = 0, code = -1;
    for (rlim_t k = 0; code != 0; k++) {
        assert_int_equal(stat(path_in(&f, "state/data.mdb"), &st), 0);
        limit_files((rlim_t)st.st_size / 2 + k * 4096);
        code = apply_keys(&f, 1000, 40, &err);
        limit_files(RLIM_INFINITY);
        refused += code != 0;
        assert_true(code == 0 || code == ERR_IO);
        assert_int_equal(store_applied_index(f.s), code ? 20 : 60);
        assert_true(has(&f, "k19"));
        assert_int_equal(has(&f, "k1039"), code == 0);
        assert_false(store_read_failed(store_read(f.s), NULL));
        assert_true(k < 1000);
    }
    assert_true(refused > 5);
    store_close(f.s);
    reopen(&f, "boot-1");
    assert_false(f.report.needs_rebuild);
    assert_int_equal(store_applied_index(f.s), 60);
    assert_true(has(&f, "k1000"));
    teardown(&f);
}

static void temporary_state_leaves_no_file(void **state)
{
    (void)state;
    struct fixture f = { .dir = "/tmp/consuld-test-XXXXXX" };
    struct error err;
    assert_non_null(mkdtemp(f.dir));
    struct store_options opts = { .tmp_dir = f.dir };
    assert_int_equal(store_open(&opts, &f.s, &f.report, &err), 0);
    assert_true(f.report.needs_rebuild);
    assert_int_equal(rmdir(f.dir), 0);
    kv(f.s, &f.a, "set", "a", "1");
    assert_true(has(&f, "a"));
    store_close(f.s);
    arena_free(&f.a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_survives_a_clean_stop_and_another_boot),
        cmocka_unit_test(state_survives_a_killed_process),
        cmocka_unit_test(state_is_thrown_away_after_a_crash_of_the_machine),
        cmocka_unit_test(damaged_state_is_thrown_away),
        cmocka_unit_test(restored_state_is_what_the_next_start_finds),
        cmocka_unit_test(worker_view_stays_while_the_state_changes_and_is_replaced),
        cmocka_unit_test(full_state_refuses_the_batch_and_keeps_what_was_there),
        cmocka_unit_test(commit_refused_at_any_write_changes_nothing_and_goes_through_later),
        cmocka_unit_test(temporary_state_leaves_no_file),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
