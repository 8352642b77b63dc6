/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/store/log_world.h"

static void a_new_log_is_empty(void **state)
{
    struct fixture *f = *state;
    assert_range(f, 0, 0);
    assert_int_equal(raft_log_next(f->log), 1);
    assert_int_equal(raft_log_stable(f->log)->term, 0);
    assert_false(raft_log_dirty(f->log));
}

static void flushed_entries_and_vote_survive(void **state)
{
    struct fixture *f = *state;
    struct log_stable s = { .term = 7, .vote_term = 6, .vote = "127.0.0.1:8300", .vote_n = 14 };
    raft_log_stable_set(f->log, &s);
    append(f, 1, 20, 7);
    flush(f);
    reopen(f);
    assert_range(f, 1, 20);
    assert_entries(f, 1, 20, 7);
    assert_int_equal(raft_log_stable(f->log)->term, 7);
    assert_int_equal(raft_log_stable(f->log)->vote_term, 6);
    assert_int_equal(raft_log_stable(f->log)->vote_n, 14);
    assert_memory_equal(raft_log_stable(f->log)->vote, "127.0.0.1:8300", 14);
}

static void queued_entries_are_read_but_not_durable(void **state)
{
    struct fixture *f = *state;
    append(f, 1, 3, 1);
    assert_entries(f, 1, 3, 1);
    assert_int_equal(raft_log_durable(f->log), 0);
    raft_log_flush(f->log);
    assert_true(raft_log_busy(f->log));
    assert_int_equal(raft_log_durable(f->log), 0);
    fake_world_run_jobs(&f->world);
    assert_int_equal(raft_log_durable(f->log), 3);
    assert_int_equal(f->flushes, 1);
}

static void entries_queued_during_a_commit_share_the_next(void **state)
{
    struct fixture *f = *state;
    append(f, 1, 1, 1);
    raft_log_flush(f->log);
    for (uint64_t i = 2; i <= 50; i++) {
        append(f, i, i, 1);
        raft_log_flush(f->log);
    }
    fake_world_run_job(&f->world);
    assert_int_equal(raft_log_durable(f->log), 1);
    flush(f);
    assert_int_equal(raft_log_durable(f->log), 50);
    assert_int_equal(f->flushes, 2);
    reopen(f);
    assert_entries(f, 1, 50, 1);
}

static void truncation_during_a_commit_is_not_undone_by_it(void **state)
{
    struct fixture *f = *state;
    append(f, 1, 10, 1);
    raft_log_flush(f->log);
    raft_log_truncate(f->log, 4);
    append(f, 4, 5, 2);
    fake_world_run_job(&f->world);
    assert_int_equal(raft_log_durable(f->log), 3);
    assert_entries(f, 4, 5, 2);
    flush(f);
    assert_int_equal(raft_log_durable(f->log), 5);
    reopen(f);
    assert_range(f, 1, 5);
    assert_entries(f, 1, 3, 1);
    assert_entries(f, 4, 5, 2);
}

static void nil_and_empty_data_stay_apart(void **state)
{
    struct fixture *f = *state;
    struct arena a = ARENA_INIT;
    struct error err;
    struct log_entry e;
    append_bytes(f, 1, 1, STR_NIL);
    append_bytes(f, 2, 1, STR(""));
    flush(f);
    assert_int_equal(raft_log_entry(f->log, 1, &a, &e, &err), 0);
    assert_null(e.data.p);
    assert_int_equal(raft_log_entry(f->log, 2, &a, &e, &err), 0);
    assert_non_null(e.data.p);
    assert_int_equal(e.data.n, 0);
    arena_free(&a);
}

static void large_entries_come_back_whole(void **state)
{
    struct fixture *f = *state;
    struct arena a = ARENA_INIT;
    struct error err;
    size_t sizes[] = { 1800, 1899, 1900, 1901, 4079, 4080, 4081, 8160, 600000 };
    size_t n = sizeof sizes / sizeof sizes[0];
    char *bytes = malloc(600000);
    for (size_t i = 0; i < 600000; i++)
        bytes[i] = (char)(i * 31 + i / 255);
    for (size_t i = 0; i < n; i++) {
        struct log_entry e = { .index = i + 1, .term = 3, .data = { bytes + i, sizes[i] - i } };
        e.extensions = (struct str){ bytes, i };
        assert_int_equal(raft_log_append(f->log, &e, &err), 0);
    }
    flush(f);
    reopen(f);
    for (size_t i = 0; i < n; i++) {
        struct log_entry e;
        assert_int_equal(raft_log_entry(f->log, i + 1, &a, &e, &err), 0);
        assert_int_equal(e.data.n, sizes[i] - i);
        assert_memory_equal(e.data.p, bytes + i, sizes[i] - i);
        assert_int_equal(e.extensions.n, i);
        if (i) assert_memory_equal(e.extensions.p, bytes, i);
    }
    free(bytes);
    arena_free(&a);
}

static void too_large_entries_are_refused(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char *bytes = calloc(1, LOG_ENTRY_MAX + 1);
    struct log_entry e = { .index = 1, .term = 1, .data = { bytes, LOG_ENTRY_MAX + 1 } };
    assert_int_equal(raft_log_append(f->log, &e, &err), ERR_TOO_LARGE);
    assert_range(f, 0, 0);
    free(bytes);
}

static void a_compaction_begins_a_generation_and_unlinks_what_is_not_kept(void **state)
{
    struct fixture *f = *state;
    append(f, 1, 10, 1);
    flush(f);
    new_generation(f, 5);
    assert_int_equal(raft_log_generations(f->log), 2);
    append(f, 11, 20, 1);
    flush(f);
    assert_entries(f, 1, 20, 1);
    new_generation(f, 11);
    assert_int_equal(raft_log_generations(f->log), 2);
    assert_int_equal(folders(f->dir), 2);
    assert_range(f, 11, 20);
    append(f, 21, 22, 1);
    flush(f);
    reopen(f);
    assert_range(f, 11, 22);
    assert_entries(f, 11, 22, 1);
}

/* Bytes of all files of the log. */
static uint64_t disk_space(const char *dir)
{
    uint64_t total = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));) {
        char path[512];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s/data.mdb", dir, e->d_name);
        if (stat(path, &st) == 0) total += (uint64_t)st.st_size;
    }
    closedir(d);
    return total;
}

static void after_a_burst_a_compaction_leaves_less_than_twice_what_is_kept(void **state)
{
    enum { KEPT = 100, BURST = 5000, SIZE = 1000, ENTRY = 4096 / 3, PAGES = 16 * 4096 };
    struct fixture *f = *state;
    char bytes[SIZE] = { 0 };
    f->generation_entries = KEPT;
    reopen(f);
    for (uint64_t i = 1; i <= BURST; i++) {
        append_bytes(f, i, 1, (struct str){ bytes, SIZE });
        if (i % 10 == 0) flush(f);
    }
    assert_true(disk_space(f->dir) > (uint64_t)BURST * SIZE);
    new_generation(f, BURST - KEPT + 1);
    assert_true(raft_log_first(f->log) > BURST - 2 * KEPT);
    assert_true(raft_log_first(f->log) <= BURST - KEPT + 1);
    assert_int_equal(raft_log_last(f->log), BURST);
    assert_true(disk_space(f->dir) < 2 * KEPT * ENTRY + raft_log_generations(f->log) * PAGES);
    reopen(f);
    assert_true(raft_log_first(f->log) > BURST - 2 * KEPT);
    assert_int_equal(raft_log_term(f->log, BURST - KEPT + 1), 1);
}

static void a_log_that_is_never_compacted_has_a_bounded_number_of_generations(void **state)
{
    struct fixture *f = *state;
    f->generation_entries = 2;
    reopen(f);
    for (uint64_t i = 1; i <= 300; i += 2) {
        append(f, i, i + 1, 1);
        flush(f);
    }
    assert_int_equal(raft_log_generations(f->log), LOG_GENERATIONS_FULL);
    new_generation(f, 2);
    assert_int_equal(raft_log_generations(f->log), LOG_GENERATIONS_FULL + 1);
    reopen(f);
    assert_entries(f, 1, 300, 1);
}

static void the_vote_follows_into_the_new_generation(void **state)
{
    struct fixture *f = *state;
    struct log_stable s = { .term = 3, .vote_term = 3, .vote = "x", .vote_n = 1 };
    raft_log_stable_set(f->log, &s);
    append(f, 1, 10, 1);
    flush(f);
    new_generation(f, 11);
    assert_int_equal(folders(f->dir), 1);
    reopen(f);
    assert_int_equal(raft_log_stable(f->log)->term, 3);
    assert_range(f, 0, 0);
    assert_int_equal(raft_log_next(f->log), 11);
}

static void cutting_the_tail_reaches_into_older_generations(void **state)
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
    assert_int_equal(raft_log_generations(f->log), 3);
    raft_log_truncate(f->log, 6);
    append(f, 6, 7, 2);
    flush(f);
    assert_range(f, 1, 7);
    reopen(f);
    assert_range(f, 1, 7);
    assert_entries(f, 1, 5, 1);
    assert_entries(f, 6, 7, 2);
    new_generation(f, 6); /* what owns nothing goes with what is before it */
    assert_int_equal(folders(f->dir), 2);
    assert_entries(f, 6, 7, 2);
}

static void cutting_all_leaves_the_place_of_the_next(void **state)
{
    struct fixture *f = *state;
    append(f, 1, 10, 1);
    flush(f);
    raft_log_truncate(f->log, 1);
    flush(f);
    assert_range(f, 0, 0);
    reopen(f);
    assert_range(f, 0, 0);
    assert_int_equal(raft_log_next(f->log), 1);
}

static void a_reset_leaves_a_hole_and_nothing_before_it(void **state)
{
    struct fixture *f = *state;
    append(f, 1, 10, 1);
    flush(f);
    raft_log_reset(f->log, 101);
    append(f, 101, 103, 2);
    assert_range(f, 101, 103);
    assert_int_equal(raft_log_term(f->log, 5), 0);
    flush(f);
    assert_int_equal(folders(f->dir), 1);
    reopen(f);
    assert_range(f, 101, 103);
    assert_entries(f, 101, 103, 2);
}

static void an_empty_log_continues_at_any_index(void **state)
{
    struct fixture *f = *state;
    append(f, 57, 60, 2);
    flush(f);
    reopen(f);
    assert_range(f, 57, 60);
    assert_entries(f, 57, 60, 2);
}

static void a_log_in_memory_is_durable_at_once(void **state)
{
    struct fixture *f = *state;
    close_log(f);
    open_log(f, NULL);
    append(f, 1, 10, 1);
    raft_log_flush(f->log);
    assert_false(raft_log_busy(f->log));
    assert_int_equal(raft_log_durable(f->log), 10);
    raft_log_compact(f->log, 6);
    assert_range(f, 6, 10);
    raft_log_truncate(f->log, 9);
    append(f, 9, 9, 2);
    assert_entries(f, 6, 8, 1);
    assert_entries(f, 9, 9, 2);
    raft_log_reset(f->log, 50);
    append(f, 50, 51, 3);
    assert_range(f, 50, 51);
    raft_log_flush(f->log);
    assert_int_equal(raft_log_durable(f->log), 51);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_new_log_is_empty),
        T(flushed_entries_and_vote_survive),
        T(queued_entries_are_read_but_not_durable),
        T(entries_queued_during_a_commit_share_the_next),
        T(truncation_during_a_commit_is_not_undone_by_it),
        T(nil_and_empty_data_stay_apart),
        T(large_entries_come_back_whole),
        T(too_large_entries_are_refused),
        T(a_compaction_begins_a_generation_and_unlinks_what_is_not_kept),
        T(after_a_burst_a_compaction_leaves_less_than_twice_what_is_kept),
        T(a_log_that_is_never_compacted_has_a_bounded_number_of_generations),
        T(the_vote_follows_into_the_new_generation),
        T(cutting_the_tail_reaches_into_older_generations),
        T(cutting_all_leaves_the_place_of_the_next),
        T(a_reset_leaves_a_hole_and_nothing_before_it),
        T(an_empty_log_continues_at_any_index),
        T(a_log_in_memory_is_durable_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
