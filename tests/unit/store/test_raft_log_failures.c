/* SPDX-License-Identifier: Apache-2.0 */
/* The log with damaged files, on disks that refuse, and after kills. */
#include "unit/store/log_world.h"

static void a_missing_generation_is_named(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    char path[4200];
    append(f, 1, 10, 1);
    flush(f);
    new_generation(f, 2);
    append(f, 11, 20, 1);
    flush(f);
    new_generation(f, 3);
    append(f, 21, 30, 1);
    flush(f);
    close_log(f);
    snprintf(path, sizeof path, "%s/log-2", f->dir);
    scratch_remove_tree(path);
    assert_int_equal(try_open(f, f->dir, &err), ERR_IO);
    assert_non_null(strstr(err.text, "entries 11 to 20 are missing"));
    assert_non_null(strstr(err.text, "log-1 ends at 10"));
    assert_non_null(strstr(err.text, "log-3 begins at 21"));
}

static void half_a_generation_is_removed(void **state)
{
    struct fixture *f = *state;
    char path[4200];
    append(f, 1, 10, 1);
    flush(f);
    close_log(f);
    snprintf(path, sizeof path, "%s/part-2", f->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/part-2/data.mdb", f->dir);
    FILE *file = fopen(path, "wb");
    for (int i = 0; i < 5000; i++)
        fputc(0, file);
    fclose(file);
    open_log(f, f->dir);
    assert_int_equal(access(path, F_OK), -1);
    assert_entries(f, 1, 10, 1);
    new_generation(f, 5);
    append(f, 11, 12, 1);
    flush(f);
    reopen(f);
    assert_entries(f, 5, 12, 1);
}

static void a_generation_without_its_file_is_named(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    char path[4200];
    append(f, 1, 10, 1);
    flush(f);
    close_log(f);
    snprintf(path, sizeof path, "%s/log-1/data.mdb", f->dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(try_open(f, f->dir, &err), ERR_IO);
    assert_non_null(strstr(err.text, "log-1/data.mdb: No such file"));
}

static void a_cut_off_file_is_named(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    char path[4200];
    append(f, 1, 500, 1);
    flush(f);
    close_log(f);
    snprintf(path, sizeof path, "%s/log-1/data.mdb", f->dir);
    assert_int_equal(truncate(path, 3 * 4096), 0);
    assert_int_equal(try_open(f, f->dir, &err), ERR_IO);
    assert_non_null(strstr(err.text, "log-1/data.mdb is cut off"));
}

static void garbage_instead_of_a_file_is_named(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    char path[4200];
    append(f, 1, 5, 1);
    flush(f);
    close_log(f);
    snprintf(path, sizeof path, "%s/log-1/data.mdb", f->dir);
    FILE *file = fopen(path, "wb");
    for (int i = 0; i < 20000; i++)
        fputc(i * 7, file);
    fclose(file);
    assert_int_equal(try_open(f, f->dir, &err), ERR_IO);
    assert_non_null(strstr(err.text, "log-1"));
}

static void a_damaged_entry_is_named(void **state)
{
    struct fixture *f = *state;
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct log_entry e;
    char path[4200];
    append(f, 1, 5, 1);
    flush(f);
    close_log(f);
    snprintf(path, sizeof path, "%s/log-1/data.mdb", f->dir);
    FILE *file = fopen(path, "r+b");
    char *bytes = malloc(1 << 20);
    size_t n = fread(bytes, 1, 1 << 20, file);
    for (size_t i = 0; i + 7 < n; i++) {
        if (memcmp(bytes + i, "entry 3", 7) != 0) continue;
        fseek(file, (long)i, SEEK_SET);
        fputc('E', file);
    }
    fclose(file);
    free(bytes);
    open_log(f, f->dir);
    assert_int_equal(raft_log_entry(f->log, 2, &a, &e, &err), 0);
    assert_int_equal(raft_log_entry(f->log, 3, &a, &e, &err), ERR_IO);
    assert_non_null(strstr(err.text, "entry 3 in"));
    arena_free(&a);
}

static void a_generation_that_cannot_be_unlinked_keeps_those_behind_it(void **state)
{
    struct fixture *f = *state;
    append(f, 1, 10, 1);
    flush(f);
    new_generation(f, 2);
    append(f, 11, 20, 1);
    flush(f);
    new_generation(f, 3);
    append(f, 21, 30, 1);
    flush(f);
    raft_log_compact(f->log, 21); /* gives up log-1 and log-2 */
    raft_log_flush(f->log);
    f->disk.fail_at = f->disk.count + 1;
    f->disk.stays = true;
    fake_world_run_job(&f->world); /* log-1 stays ... */
    f->disk.fail_at = 0;
    fake_world_run_jobs(&f->world);
    assert_int_equal(f->disk.failures > 0, true);
    reopen(f); /* ... so log-2 is there too */
    assert_entries(f, 21, 30, 1);
    append(f, 31, 40, 1);
    flush(f);
    new_generation(f, 31);
    fake_world_run_jobs(&f->world);
    assert_true(folders(f->dir) <= 2);
    reopen(f);
    assert_entries(f, 31, 40, 1);
}

static void run_jobs_in_vain(struct fixture *f)
{
    f->disk.fail_at = f->disk.count + 1;
    f->disk.stays = true;
    fake_world_run_jobs(&f->world);
    f->disk.fail_at = 0;
}

static void what_a_start_cannot_unlink_leaves_before_what_ended_it(void **state)
{
    struct fixture *f = *state;
    append(f, 1, 10, 1);
    flush(f);
    raft_log_reset(f->log, 100);
    raft_log_flush(f->log);
    fake_world_run_job(&f->world);
    run_jobs_in_vain(f);
    reopen(f);
    run_jobs_in_vain(f);
    assert_int_equal(folders(f->dir), 2);
    append(f, 100, 110, 2);
    flush(f);
    new_generation(f, 111);
    run_jobs_in_vain(f);
    reopen(f);
    assert_int_equal(raft_log_next(f->log), 111);
    append(f, 111, 111, 2);
    flush(f);
    assert_int_equal(folders(f->dir), 1);
}

static char last_synced[4352]; /* a folder */

static int watched_open(struct disk *d, const char *path, int flags, int *fd)
{
    if (flags & O_DIRECTORY) snprintf(last_synced, sizeof last_synced, "%s", path);
    return disk_system()->open(d, path, flags, fd);
}

static void the_folder_of_the_log_is_there_after_a_loss_of_power(void **state)
{
    struct fixture *f = *state;
    char path[4200];
    f->disk.disk.open = watched_open;
    last_synced[0] = '\0';
    snprintf(path, sizeof path, "%s/fresh", f->dir);
    close_log(f);
    open_log(f, path);
    assert_string_equal(last_synced, f->dir); /* which has its name */
}

/* Runs a fixed history with the k-th disk operation failing; each failed flush is tried again. */
static bool history_with_failure(struct fixture *f, long k, bool after)
{
    f->disk.count = f->disk.failures = 0;
    f->disk.fail_at = k;
    f->disk.after = after;
    for (uint64_t i = 0; i < 6; i++) {
        uint64_t at = raft_log_next(f->log);
        append(f, at, at + 4, i + 1);
        struct log_stable s = { .term = i + 1, .vote_term = i + 1, .vote = "me", .vote_n = 2 };
        raft_log_stable_set(f->log, &s);
        if (i == 2) raft_log_compact(f->log, 4);
        if (i == 3) raft_log_truncate(f->log, 9);
        if (i == 4) raft_log_compact(f->log, 9);
        uint64_t durable = raft_log_durable(f->log);
        int failures = f->failures;
        flush(f);
        if (f->failures == failures) continue;
        assert_non_null(strstr(f->err.text, "No space left on device"));
        assert_true(raft_log_durable(f->log) <= durable);
        assert_true(raft_log_dirty(f->log));
        flush(f);
        assert_false(raft_log_dirty(f->log));
    }
    assert_int_equal(raft_log_durable(f->log), raft_log_last(f->log));
    return f->disk.failures > 0;
}

static void assert_history(struct fixture *f)
{
    assert_int_equal(raft_log_last(f->log), 18);
    assert_true(raft_log_first(f->log) <= 9);
    assert_entries(f, 9, 13, 5);
    assert_entries(f, 14, 18, 6);
    assert_int_equal(raft_log_stable(f->log)->term, 6);
}

static void loop_of_failures(void **state, bool after)
{
    bool failed = true;
    for (long k = 1; failed; k++) {
        struct fixture *f = *state;
        teardown(state);
        setup(state);
        f = *state;
        failed = history_with_failure(f, k, after);
        f->disk.fail_at = 0;
        assert_history(f);
        reopen(f);
        assert_history(f);
        assert_true(k < 200);
    }
}

static void any_failing_operation_is_repeated_with_success(void **state)
{
    loop_of_failures(state, false);
}

static void a_commit_reported_failed_after_it_happened_is_repeated(void **state)
{
    loop_of_failures(state, true);
}

static void a_full_disk_keeps_reads_and_recovers(void **state)
{
    struct fixture *f = *state;
    append(f, 1, 5, 1);
    flush(f);
    f->disk.fail_at = f->disk.count + 1;
    f->disk.stays = true;
    append(f, 6, 9, 1);
    for (int i = 0; i < 5; i++)
        flush(f);
    assert_int_equal(f->failures, 5);
    assert_int_equal(raft_log_durable(f->log), 5);
    assert_entries(f, 1, 9, 1);
    f->disk.fail_at = 0;
    flush(f);
    assert_int_equal(raft_log_durable(f->log), 9);
    reopen(f);
    assert_entries(f, 1, 9, 1);
}

/* What the log should hold: term by index. */
struct model {
    uint64_t first, next;
    uint64_t terms[4096];
    uint64_t term;
};

static void model_check(struct fixture *f, const struct model *m)
{
    assert_int_equal(raft_log_next(f->log), m->next);
    if (m->first < m->next) assert_true(raft_log_first(f->log) <= m->first);
    for (uint64_t i = m->first; i < m->next; i++)
        assert_entries(f, i, i, m->terms[i]);
    assert_int_equal(raft_log_stable(f->log)->term, m->term);
}

static void random_change(struct fixture *f, struct prng *r, struct model *m, uint64_t step)
{
    uint64_t n = prng_below(r, 6), from;
    switch (prng_below(r, 10)) {
    case 0:
        from = m->next - prng_below(r, m->next - m->first + 1);
        raft_log_truncate(f->log, from);
        m->next = from;
        break;
    case 1:
        from = m->first + prng_below(r, m->next - m->first + 1);
        raft_log_compact(f->log, from);
        m->first = from;
        break;
    case 2:
        if (prng_below(r, 2)) break;
        m->first = m->next = m->next + 1 + prng_below(r, 20);
        raft_log_reset(f->log, m->next);
        break;
    case 3: {
        struct log_stable s = { .term = step };
        raft_log_stable_set(f->log, &s);
        m->term = step;
        break;
    }
    default:
        for (; n > 0; n--, m->next++) {
            append(f, m->next, m->next, step);
            m->terms[m->next] = step;
        }
    }
}

/* Commits, with or without the unlinking that waits before it. */
static void commit(struct fixture *f, struct prng *r)
{
    raft_log_flush(f->log);
    while (raft_log_busy(f->log)) {
        if (prng_below(r, 2)) link_push(&f->world.jobs, link_pop(&f->world.jobs));
        fake_world_run_job(&f->world);
    }
    if (prng_below(r, 8) == 0) fake_world_run_jobs(&f->world);
}

/* A killed process leaves the folder as some commit left it: never less than was reported. */
static void whatever_a_kill_leaves_is_a_reported_state(void **state)
{
    struct fixture *f = *state;
    struct fixture *killed = calloc(1, sizeof *killed);
    struct model *m = calloc(1, sizeof *m), *durable = calloc(1, sizeof *m);
    struct prng r;
    prng_seed(&r, 42);
    m->first = m->next = 1;
    *durable = *m;
    fake_world_init(&killed->world);
    faulty_disk_init(&killed->disk, EIO);
    char *copies = scratch_create(), path[4200];
    for (uint64_t step = 1; step <= 400; step++) {
        random_change(f, &r, m, step);
        if (m->next > 3000) break;
        if (prng_below(&r, 3) == 0) {
            commit(f, &r);
            *durable = *m;
        }
        model_check(f, m);
        if (step % 4) continue;
        snprintf(path, sizeof path, "%s/%llu", copies, (unsigned long long)step);
        scratch_copy_tree(f->dir, path);
        open_log(killed, path);
        model_check(killed, durable);
        close_log(killed);
        scratch_remove_tree(path);
    }
    scratch_destroy(copies);
    free(killed);
    free(m);
    free(durable);
}

static void whatever_a_kill_leaves_of_short_generations_is_a_reported_state(void **state)
{
    struct fixture *f = *state;
    f->generation_entries = 5;
    reopen(f);
    whatever_a_kill_leaves_is_a_reported_state(state);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_missing_generation_is_named),
        T(half_a_generation_is_removed),
        T(a_generation_without_its_file_is_named),
        T(a_cut_off_file_is_named),
        T(garbage_instead_of_a_file_is_named),
        T(a_damaged_entry_is_named),
        T(a_generation_that_cannot_be_unlinked_keeps_those_behind_it),
        T(what_a_start_cannot_unlink_leaves_before_what_ended_it),
        T(the_folder_of_the_log_is_there_after_a_loss_of_power),
        T(any_failing_operation_is_repeated_with_success),
        T(a_commit_reported_failed_after_it_happened_is_repeated),
        T(a_full_disk_keeps_reads_and_recovers),
        T(whatever_a_kill_leaves_is_a_reported_state),
        T(whatever_a_kill_leaves_of_short_generations_is_a_reported_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
