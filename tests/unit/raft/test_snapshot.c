/* SPDX-License-Identifier: Apache-2.0 */
#include "bed.h"

static struct bed b;
static struct raft_configuration five;

/* Node a follows b in term 3; its log: configuration, then terms 2, 2, 3. */
static void follow(void)
{
    const uint64_t terms[] = { 2, 2, 3 };
    struct raft_configuration c = bed_configuration("abc", "");
    struct raft_options o = bed_options("a");
    bed_open(&b, &o, &c, 3, terms, 3);
    bed_tick(&b, 0);
    five = bed_configuration("abcde", "");
}

static struct raft_message snapshot(uint64_t term, uint64_t index, uint64_t last_term)
{
    return (struct raft_message){ .type = RAFT_INSTALL_SNAPSHOT,
        .rpc = 40,
        .term = term,
        .install_snapshot = { .leader = STR("b:8300"),
            .last_log_index = index,
            .last_log_term = last_term,
            .configuration = &five,
            .configuration_index = 1 } };
}

static void installed(bool failed)
{
    struct raft_event ev = { .type = RAFT_SNAPSHOT_INSTALLED };
    ev.snapshot_installed.failed = failed;
    bed_step(&b, &ev);
}

static void snapshot_ahead_of_the_log_replaces_it(void **state)
{
    (void)state;
    follow();
    bed_receive(&b, snapshot(3, 20, 3));
    assert_true(b.out.install.present);
    assert_int_equal(b.out.install.rpc, 40);
    assert_int_equal(b.out.install.index, 20);
    assert_int_equal(b.out.install.configuration->n, 5);
    bed_expect_none(&b, RAFT_INSTALL_SNAPSHOT_RESPONSE);
    installed(false);
    assert_true(b.out.write.reset);
    assert_true(
        bed_expect(&b, RAFT_INSTALL_SNAPSHOT_RESPONSE, NULL).install_snapshot_response.success);
    struct raft_state st = bed_state(&b);
    assert_int_equal(st.last_index, 20);
    assert_int_equal(st.first_index, 21);
    assert_int_equal(st.applied_index, 20);
    assert_int_equal(st.latest->n, 5);
    assert_int_equal(st.committed->n, 5);
    bed_persist(&b);
    struct raft_entry e = { .index = 21, .term = 3 };
    struct raft_message m = bed_append_from("b:8300", 3, 20, 3, 21);
    m.append_entries.entries = &e;
    m.append_entries.n = 1;
    bed_receive(&b, m);
    bed_persist(&b);
    assert_int_equal(b.out.apply_to, 21);
    bed_close(&b);
}

static void suffix_behind_a_matching_snapshot_is_kept(void **state)
{
    (void)state;
    follow();
    bed_receive(&b, snapshot(3, 3, 2));
    installed(false);
    assert_false(b.out.write.reset);
    struct raft_state st = bed_state(&b);
    assert_int_equal(st.last_index, 4);
    assert_int_equal(st.snapshot_index, 3);
    assert_int_equal(st.commit_index, 3);
    bed_close(&b);
}

static void contradicted_log_goes_with_all_its_suffix(void **state)
{
    (void)state;
    follow();
    bed_receive(&b, snapshot(4, 3, 4));
    bed_persist(&b);
    installed(false);
    assert_true(b.out.write.reset);
    assert_int_equal(bed_state(&b).last_index, 3);
    assert_int_equal(raft_term_at(b.r, 3), 4);
    assert_int_equal(raft_term_at(b.r, 4), 0);
    bed_close(&b);
}

static void nothing_is_applied_or_stored_while_installing(void **state)
{
    (void)state;
    follow();
    bed_receive(&b, snapshot(3, 20, 3));
    bed_forget(&b);
    struct raft_entry e = { .index = 5, .term = 3 };
    struct raft_message m = bed_append_from("b:8300", 3, 4, 3, 4);
    m.append_entries.entries = &e;
    m.append_entries.n = 1;
    bed_receive(&b, m);
    assert_false(
        bed_expect(&b, RAFT_APPEND_ENTRIES_RESPONSE, NULL).append_entries_response.success);
    assert_int_equal(b.out.apply_to, 0);
    bed_receive(&b, bed_append_from("b:8300", 3, 0, 0, 0)); /* heartbeats go on */
    assert_true(bed_expect(&b, RAFT_APPEND_ENTRIES_RESPONSE, NULL).append_entries_response.success);
    bed_receive(&b, snapshot(3, 30, 3));
    assert_false(
        bed_expect(&b, RAFT_INSTALL_SNAPSHOT_RESPONSE, NULL).install_snapshot_response.success);
    bed_tick(&b, 5000); /* no campaign either */
    assert_int_equal(b.messages_n, 0);
    bed_close(&b);
}

static void failed_install_leaves_everything(void **state)
{
    (void)state;
    follow();
    bed_receive(&b, snapshot(3, 20, 3));
    installed(true);
    assert_false(
        bed_expect(&b, RAFT_INSTALL_SNAPSHOT_RESPONSE, NULL).install_snapshot_response.success);
    assert_int_equal(bed_state(&b).last_index, 4);
    assert_int_equal(bed_state(&b).snapshot_index, 0);
    bed_close(&b);
}

static void snapshot_of_what_is_committed_is_not_installed(void **state)
{
    (void)state;
    follow();
    bed_receive(&b, bed_append_from("b:8300", 3, 4, 3, 4));
    bed_forget(&b);
    bed_receive(&b, snapshot(3, 3, 2));
    assert_false(b.out.install.present);
    assert_true(
        bed_expect(&b, RAFT_INSTALL_SNAPSHOT_RESPONSE, NULL).install_snapshot_response.success);
    bed_close(&b);
}

static void unusable_snapshot_is_refused(void **state)
{
    (void)state;
    follow();
    struct raft_message bad[] = { snapshot(2, 20, 2), snapshot(3, 0, 3), snapshot(3, 20, 0),
        snapshot(3, 20, 4), snapshot(3, 20, 3), snapshot(3, 20, 3) };
    bad[4].install_snapshot.configuration = NULL;
    bad[5].install_snapshot.configuration_index = 21;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        bed_receive(&b, bad[i]);
        assert_false(b.out.install.present);
        assert_false(
            bed_expect(&b, RAFT_INSTALL_SNAPSHOT_RESPONSE, NULL).install_snapshot_response.success);
    }
    bed_close(&b);
}

static void compaction_keeps_the_trailing_entries(void **state)
{
    (void)state;
    bed_member(&b, "a", "");
    bed_persist(&b);
    bed_apply(&b);
    for (uint64_t i = 1; i <= 20; i++)
        bed_propose(&b, i, "x");
    bed_persist(&b);
    bed_apply(&b);
    struct raft_event ev = { .type = RAFT_SNAPSHOT_TAKEN, .snapshot_taken = { 20, 2, 10 } };
    bed_step(&b, &ev);
    assert_int_equal(b.out.compact_to, 12);
    assert_int_equal(bed_state(&b).first_index, 13);
    assert_int_equal(raft_term_at(b.r, 13), 2);
    assert_int_equal(raft_term_at(b.r, 12), 0);
    assert_int_equal(raft_term_at(b.r, 20), 2);
    bed_close(&b);
}

static void user_restore_makes_a_hole_that_followers_are_sent_over(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    bed_elect(&b, "bc");
    bed_persist(&b);
    bed_follow(&b, "b");
    bed_follow(&b, "c");
    bed_propose(&b, 5, "x");
    bed_persist(&b);
    bed_forget(&b);
    struct raft_event ev = { .type = RAFT_RESTORE, .restore = { 100, 9 } };
    bed_step(&b, &ev);
    assert_true(b.out.install.present);
    assert_int_equal(b.out.install.rpc, 0);
    assert_int_equal(b.out.install.index, 101);
    assert_int_equal(b.out.install.term, 2);
    bed_propose(&b, 6, "y");
    assert_int_equal(bed_status(&b, 6), RAFT_BUSY);
    installed(false);
    assert_int_equal(bed_status(&b, 9), RAFT_DONE);
    assert_int_equal(bed_status(&b, 5), RAFT_RESTORED);
    assert_true(b.out.write.reset);
    assert_int_equal(b.out.write.first, 102);
    bed_persist(&b);
    assert_int_equal(bed_state(&b).applied_index, 101);
    /* As recorded: an append behind the hole is refused, then the snapshot goes out. */
    struct raft_message m = bed_expect(&b, RAFT_APPEND_ENTRIES, "b");
    while (m.append_entries.prev_index < 101)
        m = bed_expect(&b, RAFT_APPEND_ENTRIES, "b");
    struct raft_message no = bed_answer(&m, "b", RAFT_APPEND_ENTRIES_RESPONSE, m.term);
    no.append_entries_response.last_log = 3;
    no.append_entries_response.no_retry_backoff = true;
    bed_receive(&b, no);
    m = bed_expect(&b, RAFT_INSTALL_SNAPSHOT, "b");
    assert_int_equal(m.install_snapshot.last_log_index, 101);
    bed_close(&b);
}

/* What the disk holds is loaded again. */
static struct error err;

static int load(uint64_t index, uint64_t term)
{
    struct raft_entry e = { .index = index, .term = term, .type = RAFT_NOOP };
    return raft_load_entry(b.r, &e, &err);
}

static void open_with_snapshot(uint64_t index, uint64_t term)
{
    struct raft_options o = bed_options("a");
    struct raft_configuration none = { 0 }, c = bed_configuration("abc", "");
    bed_open(&b, &o, &none, 5, NULL, 0);
    raft_load_snapshot(b.r, index, term, &c, 1);
}

static void log_around_its_snapshot_is_loaded(void **state)
{
    (void)state;
    open_with_snapshot(10, 3);
    for (uint64_t i = 8; i <= 12; i++)
        assert_int_equal(load(i, i < 11 ? 3 : 4), 0);
    bed_tick(&b, 0);
    struct raft_state st = bed_state(&b);
    assert_int_equal(st.first_index, 8);
    assert_int_equal(st.last_index, 12);
    assert_int_equal(st.last_term, 4);
    assert_int_equal(st.commit_index, 10);
    assert_int_equal(raft_term_at(b.r, 9), 3);
    bed_close(&b);
}

static void log_that_ends_below_the_snapshot_is_dead(void **state)
{
    (void)state;
    open_with_snapshot(10, 3);
    for (uint64_t i = 2; i <= 7; i++)
        assert_int_equal(load(i, 2), 0);
    bed_tick(&b, 0);
    assert_int_equal(bed_state(&b).last_index, 10);
    assert_int_equal(bed_state(&b).first_index, 11);
    bed_close(&b);
}

static void log_may_go_on_behind_the_hole(void **state)
{
    (void)state;
    open_with_snapshot(10, 3);
    assert_int_equal(load(2, 2), 0);
    assert_int_equal(load(3, 2), 0);
    assert_int_equal(load(11, 3), 0);
    assert_int_equal(load(12, 3), 0);
    bed_tick(&b, 0);
    assert_int_equal(bed_state(&b).first_index, 11);
    assert_int_equal(bed_state(&b).last_index, 12);
    bed_close(&b);
}

static void log_that_the_snapshot_contradicts_is_deleted(void **state)
{
    (void)state;
    open_with_snapshot(10, 3);
    for (uint64_t i = 9; i <= 14; i++)
        assert_int_equal(load(i, 2), 0);
    bed_tick(&b, 0);
    assert_int_equal(bed_state(&b).last_index, 10);
    struct raft_message m = bed_append_from("b:8300", 6, 0, 0, 0);
    bed_receive(&b, m);
    assert_true(b.out.write.reset); /* with the first write, whatever it is */
    bed_close(&b);
}

static void impossible_logs_are_refused(void **state)
{
    (void)state;
    open_with_snapshot(10, 3);
    assert_int_equal(load(12, 3), ERR_DECODE);
    bed_close(&b);
    open_with_snapshot(10, 3);
    assert_int_equal(load(11, 3), 0);
    assert_int_equal(load(13, 3), ERR_DECODE);
    bed_close(&b);
    open_with_snapshot(10, 3);
    assert_int_equal(load(11, 0), ERR_DECODE);
    struct raft_entry e = {
        .index = 11, .term = 3, .type = RAFT_CONFIGURATION, .data = STR("junk")
    };
    assert_int_equal(raft_load_entry(b.r, &e, &err), ERR_DECODE);
    bed_close(&b);
}

static void surviving_state_machine_is_not_fed_again(void **state)
{
    (void)state;
    const uint64_t terms[] = { 2, 2, 3 };
    struct raft_configuration c = bed_configuration("abc", "");
    struct raft_options o = bed_options("a");
    bed_open(&b, &o, &c, 3, terms, 3);
    raft_load_applied(b.r, 3);
    bed_tick(&b, 0);
    assert_int_equal(b.out.apply_to, 3);
    assert_int_equal(bed_state(&b).applied_index, 3);
    assert_int_equal(bed_state(&b).committed_index, 1);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot_ahead_of_the_log_replaces_it),
        cmocka_unit_test(suffix_behind_a_matching_snapshot_is_kept),
        cmocka_unit_test(contradicted_log_goes_with_all_its_suffix),
        cmocka_unit_test(nothing_is_applied_or_stored_while_installing),
        cmocka_unit_test(failed_install_leaves_everything),
        cmocka_unit_test(snapshot_of_what_is_committed_is_not_installed),
        cmocka_unit_test(unusable_snapshot_is_refused),
        cmocka_unit_test(compaction_keeps_the_trailing_entries),
        cmocka_unit_test(user_restore_makes_a_hole_that_followers_are_sent_over),
        cmocka_unit_test(log_around_its_snapshot_is_loaded),
        cmocka_unit_test(log_that_ends_below_the_snapshot_is_dead),
        cmocka_unit_test(log_may_go_on_behind_the_hole),
        cmocka_unit_test(log_that_the_snapshot_contradicts_is_deleted),
        cmocka_unit_test(impossible_logs_are_refused),
        cmocka_unit_test(surviving_state_machine_is_not_fed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
