/* SPDX-License-Identifier: Apache-2.0 */
/* The log of a server goes to a raft.db and comes back from it. */
#include "unit/store/log_world.h"

#include "consuld/store_raft_db.h"
#include "consuld/wire/msgpack.h"

#include "../../src/store/bolt.h"

#define LARGE 70000 /* bytes of an entry that takes several pages */

struct place {
    struct fixture *f;
    char raft[512], db[600];
};

static struct place place_of(struct fixture *f)
{
    struct place p = { .f = f };
    snprintf(p.raft, sizeof p.raft, "%s/raft", f->dir);
    snprintf(p.db, sizeof p.db, "%s/raft.db", p.raft);
    return p;
}

static int take(struct fixture *f, struct raft_db_report *report, struct error *err)
{
    int fd, code = raft_db_take(&f->disk.disk, f->dir, &fd, report, err);
    if (!code) close(fd);
    return code;
}

static void must_take(struct fixture *f, struct raft_db_report *report)
{
    struct error err = { 0 };
    if (take(f, report, &err)) fail_msg("%s", err.text);
}

static int give(struct fixture *f, struct raft_db_report *report, struct error *err)
{
    return raft_db_give(&f->disk.disk, f->dir, report, err);
}

static void must_give(struct fixture *f, struct raft_db_report *report)
{
    struct error err = { 0 };
    if (give(f, report, &err)) fail_msg("%s", err.text);
}

static const struct log_stable vote = {
    .term = 9, .vote_term = 8, .vote = "127.0.0.1:8300", .vote_n = 14
};

/* A data directory of this program with entries 1 to n, one of them large, and a vote. */
static void make_log(struct fixture *f, struct place *p, uint64_t n)
{
    static char large[LARGE];
    struct raft_db_report report;
    close_log(f);
    must_take(f, &report);
    assert_false(report.moved);
    open_log(f, p->raft);
    raft_log_stable_set(f->log, &vote);
    append(f, 1, n - 1, 9);
    memset(large, 'x', sizeof large);
    append_bytes(f, n, 9, (struct str){ large, sizeof large });
    flush(f);
    close_log(f);
}

static void assert_log(struct fixture *f, struct place *p, uint64_t first, uint64_t n)
{
    struct arena a = ARENA_INIT;
    struct error err;
    struct log_entry e;
    open_log(f, p->raft);
    assert_range(f, first, n);
    assert_entries(f, first, n - 1, 9);
    assert_int_equal(raft_log_entry(f->log, n, &a, &e, &err), 0);
    assert_int_equal(e.data.n, LARGE);
    assert_int_equal(e.data.p[LARGE - 1], 'x');
    assert_null(e.extensions.p);
    const struct log_stable *s = raft_log_stable(f->log);
    assert_int_equal(s->term, vote.term);
    assert_int_equal(s->vote_term, vote.vote_term);
    assert_int_equal(s->vote_n, vote.vote_n);
    assert_memory_equal(s->vote, vote.vote, vote.vote_n);
    arena_free(&a);
    close_log(f);
}

static void a_log_survives_both_directions(void **state)
{
    struct fixture *f = *state;
    struct place p = place_of(f);
    struct raft_db_report report;
    char folder[600];
    make_log(f, &p, 9000);
    snprintf(folder, sizeof folder, "%s/state", f->dir);
    mkdir(folder, 0700);
    must_give(f, &report);
    assert_true(report.moved);
    assert_int_equal(report.first, 1);
    assert_int_equal(report.last, 9000);
    assert_int_equal(report.term, 9);
    assert_int_equal(folders(p.raft), 0);
    assert_int_not_equal(access(folder, F_OK), 0);
    mkdir(folder, 0700);
    must_take(f, &report);
    assert_true(report.moved);
    assert_int_equal(report.first, 1);
    assert_int_equal(report.last, 9000);
    assert_int_equal(folders(p.raft), 1);
    assert_int_not_equal(access(folder, F_OK), 0);
    assert_log(f, &p, 1, 9000);
    must_take(f, &report);
    assert_false(report.moved);
    assert_log(f, &p, 1, 9000);
}

static void a_server_without_a_log_gives_an_empty_one(void **state)
{
    struct fixture *f = *state;
    struct place p = place_of(f);
    struct raft_db_report report;
    close_log(f);
    must_take(f, &report);
    must_give(f, &report);
    assert_true(report.moved);
    assert_int_equal(report.last, 0);
    must_take(f, &report);
    assert_true(report.moved);
    open_log(f, p.raft);
    assert_range(f, 0, 0);
    assert_int_equal(raft_log_stable(f->log)->term, 0);
}

static void what_is_not_kept_here_is_not_given(void **state)
{
    struct fixture *f = *state;
    struct place p = place_of(f);
    struct raft_db_report report;
    close_log(f);
    must_give(f, &report);
    assert_false(report.moved);
    make_log(f, &p, 3);
    must_give(f, &report);
    must_give(f, &report);
    assert_false(report.moved);
    must_take(f, &report);
    assert_log(f, &p, 1, 3);
}

static void a_running_server_keeps_others_out(void **state)
{
    struct fixture *f = *state;
    struct raft_db_report report;
    struct error err = { 0 };
    int fd;
    close_log(f);
    assert_int_equal(raft_db_take(&f->disk.disk, f->dir, &fd, &report, &err), 0);
    assert_int_equal(take(f, &report, &err), ERR_IO);
    assert_non_null(strstr(err.text, "another agent runs in this data directory"));
    assert_int_equal(give(f, &report, &err), ERR_IO);
    close(fd);
    must_take(f, &report);
}

static void put_entry(struct bolt_writer *w, uint64_t index, struct error *err)
{
    char key[8] = { 0 };
    struct buf out = BUF_INIT(1024);
    char text[64];
    int n = snprintf(text, sizeof text, "entry %llu of term 9", (unsigned long long)index);
    key[7] = (char)index;
    msgpack_put_map(&out, 4);
    msgpack_put_str(&out, STR("Data"));
    msgpack_put_bytes(&out, (struct str){ text, (size_t)n });
    msgpack_put_str(&out, STR("Index"));
    msgpack_put_uint(&out, index);
    msgpack_put_str(&out, STR("Term"));
    msgpack_put_uint(&out, 9);
    msgpack_put_str(&out, STR("Type"));
    msgpack_put_uint(&out, 0);
    assert_int_equal(bolt_put(w, (struct str){ key, 8 }, buf_str(&out), err), 0);
    buf_deinit(&out);
}

static void what_is_before_a_gap_is_dead(void **state)
{
    struct fixture *f = *state;
    struct place p = place_of(f);
    struct raft_db_report report;
    struct bolt_writer w;
    struct error err = { 0 };
    close_log(f);
    mkdir(p.raft, 0700);
    assert_int_equal(bolt_begin(&w, &f->disk.disk, p.db, &err), 0);
    for (uint64_t i = 3; i <= 12; i++)
        if (i < 6 || i > 8) put_entry(&w, i, &err);
    assert_int_equal(bolt_bucket(&w, STR("logs"), &err), 0);
    assert_int_equal(bolt_end(&w, &err), 0);
    bolt_abort(&w);
    must_take(f, &report);
    assert_int_equal(report.first, 9);
    assert_int_equal(report.last, 12);
    open_log(f, p.raft);
    assert_range(f, 9, 12);
    assert_entries(f, 9, 12, 9);
}

/* Whatever fails, the next try finds all of it, in whichever form. */
static void a_failing_disk_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct place p = place_of(f);
    struct raft_db_report report;
    struct error err;
    make_log(f, &p, 40);
    for (int direction = 0; direction < 2; direction++) {
        long k = 0;
        int code;
        do {
            f->disk.count = f->disk.failures = 0;
            f->disk.fail_at = ++k;
            code = direction ? take(f, &report, &err) : give(f, &report, &err);
            f->disk.fail_at = 0;
            if (f->disk.failures) assert_true(code < 0);
            must_take(f, &report);
            assert_log(f, &p, 1, 40);
            if (direction) must_give(f, &report);
        } while (f->disk.failures || k < 2);
        assert_true(k > 8);
        must_give(f, &report);
    }
}

static char *read_all(const char *path, size_t *n)
{
    FILE *in = fopen(path, "rb");
    char *bytes = malloc(1 << 20);
    assert_non_null(in);
    *n = fread(bytes, 1, 1 << 20, in);
    fclose(in);
    return bytes;
}

static void write_all(const char *path, const char *bytes, size_t n)
{
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    fclose(out);
}

/* As where a build that did not know raft.db had kept its log beside it. */
static void a_log_ahead_of_the_file_is_not_dropped(void **state)
{
    struct fixture *f = *state;
    struct place p = place_of(f);
    struct raft_db_report report;
    struct error err = { 0 };
    size_t n;
    make_log(f, &p, 50);
    must_give(f, &report);
    char *whole = read_all(p.db, &n);
    must_take(f, &report);
    open_log(f, p.raft);
    append(f, 51, 60, 9);
    flush(f);
    close_log(f);
    write_all(p.db, whole, n);
    assert_int_equal(take(f, &report, &err), ERR_IO);
    assert_non_null(strstr(err.text, "is ahead, at entry 60 of term 9"));
    open_log(f, p.raft);
    assert_entries(f, 51, 60, 9);
    close_log(f);
    free(whole);
}

static void alone(const struct place *p, const char *bytes, size_t n)
{
    scratch_remove_tree(p->raft);
    mkdir(p->raft, 0700);
    write_all(p->db, bytes, n);
}

static void a_damaged_file_is_refused_or_read(void **state)
{
    struct fixture *f = *state;
    struct place p = place_of(f);
    struct raft_db_report report;
    struct error err;
    size_t n, refused = 0;
    make_log(f, &p, 200);
    must_give(f, &report);
    char *whole = read_all(p.db, &n);
    for (size_t at = 1; at < n; at += 4096 + 613) {
        write_all(p.db, whole, at);
        refused += take(f, &report, &err) != 0;
        assert_int_equal(access(p.db, F_OK), 0);
    }
    assert_true(refused > 5);
    /* Counts, positions, page numbers: the heads of the pages. */
    for (size_t at = 0; at < n; at += at % 4096 < 84 ? 5 : 4096 - 80) {
        whole[at] ^= 0x55;
        alone(&p, whole, n);
        (void)!take(f, &report, &err);
        whole[at] ^= 0x55;
    }
    alone(&p, whole, n);
    must_take(f, &report);
    assert_log(f, &p, 1, 200);
    free(whole);
}

static void a_torn_first_page_leaves_the_second(void **state)
{
    struct fixture *f = *state;
    struct place p = place_of(f);
    struct raft_db_report report;
    size_t n;
    make_log(f, &p, 5);
    must_give(f, &report);
    char *whole = read_all(p.db, &n);
    memset(whole, 0, 64);
    write_all(p.db, whole, n);
    must_take(f, &report);
    assert_log(f, &p, 1, 5);
    free(whole);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_log_survives_both_directions),
        TEST(a_server_without_a_log_gives_an_empty_one),
        TEST(what_is_not_kept_here_is_not_given),
        TEST(a_running_server_keeps_others_out),
        TEST(what_is_before_a_gap_is_dead),
        TEST(a_failing_disk_loses_nothing),
        TEST(a_log_ahead_of_the_file_is_not_dropped),
        TEST(a_damaged_file_is_refused_or_read),
        TEST(a_torn_first_page_leaves_the_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
