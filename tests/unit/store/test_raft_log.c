/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world/fake_world.h"
#include "world/faulty_disk.h"
#include "world/scratch.h"

struct fixture {
    struct world world;
    struct faulty_disk disk;
    char *dir;
    struct raft_log *log;
    int flushes, failures;
    struct error err;
};

static void on_flushed(void *ctx, const struct error *err)
{
    struct fixture *f = ctx;
    f->flushes++;
    if (!err) return;
    f->failures++;
    f->err = *err;
}

static int try_open(struct fixture *f, const char *dir, struct error *err)
{
    struct raft_log_options opts = { .world = &f->world,
        .dir = dir,
        .map_size = 64u << 20,
        .disk = &f->disk.disk,
        .flushed = on_flushed,
        .ctx = f };
    return raft_log_open(&opts, &f->log, err);
}

static void open_log(struct fixture *f, const char *dir)
{
    struct error err = { 0 };
    if (try_open(f, dir, &err)) fail_msg("%s", err.text);
}

static void close_log(struct fixture *f)
{
    raft_log_close(f->log);
    f->log = NULL;
    fake_world_run_jobs(&f->world);
}

static void reopen(struct fixture *f)
{
    close_log(f);
    open_log(f, f->dir);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fake_world_init(&f->world);
    faulty_disk_init(&f->disk, ENOSPC);
    f->dir = scratch_create();
    open_log(f, f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close_log(f);
    scratch_destroy(f->dir);
    free(f);
    return 0;
}

/* --- words --------------------------------------------------------------------------------- */

static void append_bytes(struct fixture *f, uint64_t index, uint64_t term, struct str data)
{
    struct error err = { 0 };
    struct log_entry e = { .index = index, .term = term, .data = data };
    if (raft_log_append(f->log, &e, &err)) fail_msg("%s", err.text);
}

static void append(struct fixture *f, uint64_t from, uint64_t to, uint64_t term)
{
    char text[64];
    for (uint64_t i = from; i <= to; i++) {
        int n = snprintf(text, sizeof text, "entry %llu of term %llu", (unsigned long long)i,
            (unsigned long long)term);
        append_bytes(f, i, term, (struct str){ text, (size_t)n });
    }
}

static void flush(struct fixture *f)
{
    raft_log_flush(f->log);
    fake_world_run_jobs(&f->world);
}

static void assert_entries(struct fixture *f, uint64_t from, uint64_t to, uint64_t term)
{
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct log_entry e;
    char text[64];
    for (uint64_t i = from; i <= to; i++) {
        snprintf(text, sizeof text, "entry %llu of term %llu", (unsigned long long)i,
            (unsigned long long)term);
        if (raft_log_entry(f->log, i, &a, &e, &err)) fail_msg("%s", err.text);
        assert_int_equal(e.index, i);
        assert_int_equal(e.term, term);
        assert_true(str_is(e.data, text));
        assert_int_equal(raft_log_term(f->log, i), term);
    }
    arena_free(&a);
}

static void assert_range(struct fixture *f, uint64_t first, uint64_t last)
{
    assert_int_equal(raft_log_first(f->log), first);
    assert_int_equal(raft_log_last(f->log), last);
}

static size_t folders(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));)
        n += strncmp(e->d_name, "log-", 4) == 0;
    closedir(d);
    return n;
}

static void new_generation(struct fixture *f, uint64_t keep)
{
    raft_log_compact(f->log, keep);
    flush(f);
}

/* --- behaviours ---------------------------------------------------------------------------- */

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
    assert_int_equal(folders(f->dir), 2);
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
        if (prng_below(r, 4)) break;
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
            flush(f);
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
        T(the_vote_follows_into_the_new_generation),
        T(cutting_the_tail_reaches_into_older_generations),
        T(cutting_all_leaves_the_place_of_the_next),
        T(a_reset_leaves_a_hole_and_nothing_before_it),
        T(an_empty_log_continues_at_any_index),
        T(a_missing_generation_is_named),
        T(a_cut_off_file_is_named),
        T(garbage_instead_of_a_file_is_named),
        T(a_damaged_entry_is_named),
        T(any_failing_operation_is_repeated_with_success),
        T(a_commit_reported_failed_after_it_happened_is_repeated),
        T(a_full_disk_keeps_reads_and_recovers),
        T(whatever_a_kill_leaves_is_a_reported_state),
        T(a_log_in_memory_is_durable_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
