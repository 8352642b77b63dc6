/* SPDX-License-Identifier: Apache-2.0 */
#include "bed.h"

static struct bed b;

/* Node a follows b in term 3; its log: configuration, then terms 2, 2, 3. */
static void follow(void)
{
    const uint64_t terms[] = { 2, 2, 3 };
    struct raft_configuration c = bed_configuration("abc", "");
    struct raft_options o = bed_options("a");
    bed_open(&b, &o, &c, 3, terms, 3);
    bed_tick(&b, 0);
}

static struct raft_message send(
    uint64_t term, uint64_t prev, uint64_t prev_term, const struct raft_entry *v, size_t n)
{
    struct raft_message m = bed_append_from("b:8300", term, prev, prev_term, 0);
    m.append_entries.entries = v;
    m.append_entries.n = n;
    bed_receive(&b, m);
    return m;
}

static struct raft_append_entries_response answer(void)
{
    return bed_expect(&b, RAFT_APPEND_ENTRIES_RESPONSE, NULL).append_entries_response;
}

static void success_waits_for_the_disk(void **state)
{
    (void)state;
    follow();
    struct raft_entry e = { .index = 5, .term = 3, .data = STR("x") };
    send(3, 4, 3, &e, 1);
    assert_int_equal(b.out.write.first, 5);
    assert_int_equal(b.out.write.n, 1);
    assert_int_equal(b.messages_n, 0);
    bed_persist(&b);
    struct raft_append_entries_response a = answer();
    assert_true(a.success);
    assert_int_equal(a.last_log, 4);
    assert_true(str_is(raft_entry_at(b.r, 5)->data, "x"));
    bed_close(&b);
}

static void heartbeat_is_answered_while_a_write_is_under_way(void **state)
{
    (void)state;
    follow();
    struct raft_entry e = { .index = 5, .term = 3 };
    send(3, 4, 3, &e, 1);
    send(3, 0, 0, NULL, 0);
    assert_true(answer().success);
    bed_expect_none(&b, RAFT_APPEND_ENTRIES_RESPONSE);
    bed_persist(&b);
    assert_true(answer().success);
    bed_close(&b);
}

static void newer_term_is_stored_before_any_answer(void **state)
{
    (void)state;
    follow();
    send(9, 0, 0, NULL, 0);
    assert_int_equal(b.messages_n, 0);
    assert_true(b.out.write.hard_state);
    bed_persist(&b);
    assert_int_equal(bed_expect(&b, RAFT_APPEND_ENTRIES_RESPONSE, NULL).term, 9);
    bed_close(&b);
}

static void gap_and_mismatch_are_refused_for_an_early_retry(void **state)
{
    (void)state;
    follow();
    struct raft_entry e = { .index = 9, .term = 3 };
    send(3, 8, 3, &e, 1);
    struct raft_append_entries_response a = answer();
    assert_false(a.success);
    assert_true(a.no_retry_backoff);
    assert_int_equal(a.last_log, 4);
    e.index = 5;
    send(3, 4, 2, &e, 1);
    a = answer();
    assert_false(a.success);
    assert_true(a.no_retry_backoff);
    assert_int_equal(bed_state(&b).last_index, 4);
    bed_close(&b);
}

static void older_term_is_refused(void **state)
{
    (void)state;
    follow();
    send(2, 0, 0, NULL, 0);
    struct raft_message m = bed_expect(&b, RAFT_APPEND_ENTRIES_RESPONSE, NULL);
    assert_false(m.append_entries_response.success);
    assert_int_equal(m.term, 3);
    assert_int_equal(bed_state(&b).leader_address.n, 0);
    bed_close(&b);
}

static void conflicting_suffix_is_replaced_in_one_write(void **state)
{
    (void)state;
    follow();
    struct raft_entry v[] = { { .index = 3, .term = 4 }, { .index = 4, .term = 4 } };
    send(4, 2, 2, v, 2);
    assert_int_equal(b.out.write.first, 3);
    assert_int_equal(b.out.write.n, 2);
    bed_persist(&b);
    assert_true(answer().success);
    assert_int_equal(raft_term_at(b.r, 3), 4);
    assert_int_equal(bed_state(&b).last_index, 4);
    bed_close(&b);
}

static void entries_held_already_are_not_written_again(void **state)
{
    (void)state;
    follow();
    struct raft_entry v[] = { { .index = 3, .term = 2 }, { .index = 4, .term = 3 } };
    send(3, 2, 2, v, 2);
    assert_int_equal(b.out.write.seq, 0);
    assert_true(answer().success);
    /* A shorter, older request does not cut the log either. */
    send(3, 2, 2, v, 1);
    assert_true(answer().success);
    assert_int_equal(bed_state(&b).last_index, 4);
    bed_close(&b);
}

static void commit_stops_at_what_the_request_proves(void **state)
{
    (void)state;
    follow();
    struct raft_message m = bed_append_from("b:8300", 4, 2, 2, 100);
    bed_receive(&b, m);
    bed_persist(&b);
    assert_true(answer().success);
    assert_int_equal(bed_state(&b).commit_index, 2); /* 3 and 4 may be a remnant */
    assert_int_equal(b.out.apply_to, 2);
    bed_close(&b);
}

static void nothing_unstored_is_applied(void **state)
{
    (void)state;
    follow();
    struct raft_entry e = { .index = 5, .term = 3 };
    struct raft_message m = bed_append_from("b:8300", 3, 4, 3, 5);
    m.append_entries.entries = &e;
    m.append_entries.n = 1;
    bed_receive(&b, m);
    assert_int_equal(b.out.apply_to, 4);
    bed_persist(&b);
    assert_int_equal(b.out.apply_to, 5);
    bed_close(&b);
}

static void committed_entries_are_never_replaced(void **state)
{
    (void)state;
    follow();
    bed_receive(&b, bed_append_from("b:8300", 3, 4, 3, 4));
    bed_forget(&b);
    struct raft_entry e = { .index = 3, .term = 5 };
    struct raft_message m = bed_append_from("b:8300", 5, 2, 2, 0);
    m.append_entries.entries = &e;
    m.append_entries.n = 1;
    m.rpc = 77;
    struct raft_event ev = { .type = RAFT_RECEIVE, .message = &m };
    assert_int_equal(raft_step(b.r, b.now, &ev, &b.out), ERR_BAD_REQUEST);
    assert_int_equal(raft_term_at(b.r, 3), 2);
    assert_int_equal(bed_state(&b).last_index, 4);
    bed_close(&b);
}

static void malformed_entry_lists_are_refused(void **state)
{
    (void)state;
    const struct raft_entry bad[][2] = {
        { { .index = 6, .term = 3 }, { .index = 7, .term = 3 } }, /* does not follow prev */
        { { .index = 5, .term = 3 }, { .index = 7, .term = 3 } }, /* a hole */
        { { .index = 5, .term = 3 }, { .index = 6, .term = 2 } }, /* terms fall */
        { { .index = 5, .term = 3 }, { .index = 6, .term = 4 } }, /* above the leader's */
        { { .index = 5, .term = 0 }, { .index = 6, .term = 3 } },
        { { .index = 5, .term = 3 },
            { .index = 6, .term = 3, .type = RAFT_CONFIGURATION, .data = STR("junk") } },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        follow();
        struct raft_message m = bed_append_from("b:8300", 3, 4, 3, 9);
        m.append_entries.entries = bad[i];
        m.append_entries.n = 2;
        m.rpc = 5;
        struct raft_event ev = { .type = RAFT_RECEIVE, .message = &m };
        assert_int_not_equal(raft_step(b.r, b.now, &ev, &b.out), 0);
        assert_int_equal(b.out.messages_n, 1);
        assert_int_equal(b.out.messages[0].rpc, 5);
        assert_false(b.out.messages[0].append_entries_response.success);
        assert_int_equal(bed_state(&b).last_index, 4);
        bed_close(&b);
    }
}

static void answers_that_wait_for_the_disk_are_bounded(void **state)
{
    (void)state;
    follow();
    struct raft_entry e = { .index = 5, .term = 3 };
    size_t refused = 0;
    for (size_t i = 0; i < RAFT_HELD_MAX + 10; i++) {
        send(3, 4, 3, &e, 1);
        struct raft_message m;
        while (bed_take(&b, RAFT_APPEND_ENTRIES_RESPONSE, NULL, &m))
            refused += !m.append_entries_response.success;
    }
    assert_int_equal(refused, 10);
    assert_int_equal(raft_get_counters(b.r)->refused_held, 10);
    struct raft_event ev = { .type = RAFT_PERSISTED, .seq = b.seq };
    assert_int_equal(raft_step(b.r, b.now, &ev, &b.out), 0);
    assert_int_equal(b.out.messages_n, RAFT_HELD_MAX);
    bed_close(&b);
}

static void unstored_entries_in_memory_are_bounded(void **state)
{
    (void)state;
    follow();
    struct raft_entry v[RAFT_APPEND_ENTRIES_MAX];
    uint64_t last = 4;
    while (!raft_get_counters(b.r)->refused_memory) {
        for (size_t i = 0; i < RAFT_APPEND_ENTRIES_MAX; i++)
            v[i] = (struct raft_entry){ .index = last + 1 + i, .term = 3 };
        send(3, last, 3, v, RAFT_APPEND_ENTRIES_MAX);
        last = bed_state(&b).last_index;
        assert_true(last <= 4 + RAFT_UNCOMMITTED_MAX);
    }
    assert_int_equal(last, 4 + RAFT_UNCOMMITTED_MAX);
    assert_false(answer().success);
    bed_persist(&b);
    bed_forget(&b);
    send(3, last, 3, v, RAFT_APPEND_ENTRIES_MAX); /* room again */
    bed_persist(&b);
    assert_true(answer().success);
    bed_close(&b);
}

static void numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    follow();
    struct raft_message bad[] = { bed_append_from("b:8300", UINT64_MAX, 0, 0, 0),
        bed_append_from("b:8300", 3, UINT64_MAX, 3, 0),
        { .type = RAFT_REQUEST_VOTE,
            .term = UINT64_MAX,
            .request_vote = { .candidate = STR("b:8300"), .last_log_index = 99 } },
        { .type = RAFT_INSTALL_SNAPSHOT,
            .term = 3,
            .install_snapshot = { .leader = STR("b:8300"),
                .last_log_index = UINT64_MAX,
                .last_log_term = 3,
                .configuration = bed_state(&b).latest } } };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        bad[i].rpc = i + 1;
        struct raft_event ev = { .type = RAFT_RECEIVE, .message = &bad[i] };
        assert_int_equal(raft_step(b.r, b.now, &ev, &b.out), ERR_BAD_REQUEST);
        assert_int_equal(b.out.messages_n, 1);
    }
    struct raft_message answer_of_none = {
        .type = RAFT_REQUEST_VOTE_RESPONSE, .term = UINT64_MAX, .peer_id = "b"
    };
    struct raft_event ev = { .type = RAFT_RECEIVE, .message = &answer_of_none };
    assert_int_equal(raft_step(b.r, b.now, &ev, &b.out), ERR_BAD_REQUEST);
    assert_int_equal(bed_state(&b).term, 3);
    bed_close(&b);
}

static void configuration_is_in_force_when_appended_and_goes_with_its_entry(void **state)
{
    (void)state;
    follow();
    struct raft_configuration four = bed_configuration("abcd", "");
    struct buf data = BUF_INIT(4096);
    raft_configuration_encode(&four, &data);
    struct raft_entry e = {
        .index = 5, .term = 3, .type = RAFT_CONFIGURATION, .data = buf_str(&data)
    };
    send(3, 4, 3, &e, 1);
    buf_deinit(&data);
    assert_int_equal(bed_state(&b).latest->n, 4);
    assert_int_equal(bed_state(&b).committed->n, 3);
    assert_true(b.out.configuration_changed);
    bed_persist(&b);
    struct raft_entry other = { .index = 5, .term = 6 };
    send(6, 4, 3, &other, 1);
    assert_int_equal(bed_state(&b).latest->n, 3);
    assert_int_equal(bed_state(&b).latest_index, 1);
    bed_close(&b);
}

static void failed_write_takes_entries_and_answers_back(void **state)
{
    (void)state;
    follow();
    struct raft_entry e = { .index = 5, .term = 8 };
    send(8, 4, 3, &e, 1);
    bed_step(&b, &(struct raft_event){ .type = RAFT_PERSIST_FAILED });
    struct raft_message m = bed_expect(&b, RAFT_APPEND_ENTRIES_RESPONSE, NULL);
    assert_false(m.append_entries_response.success);
    assert_int_equal(m.term, 3);
    assert_int_equal(bed_state(&b).last_index, 4);
    assert_int_equal(bed_state(&b).term, 3);
    /* The disk is back: the same request goes through. */
    send(8, 4, 3, &e, 1);
    bed_persist(&b);
    assert_true(answer().success);
    assert_int_equal(bed_state(&b).last_index, 5);
    bed_close(&b);
}

static void request_below_the_compacted_log_matches(void **state)
{
    (void)state;
    follow();
    bed_receive(&b, bed_append_from("b:8300", 3, 4, 3, 4));
    bed_apply(&b);
    struct raft_event taken = { .type = RAFT_SNAPSHOT_TAKEN, .snapshot_taken = { 4, 3, 0 } };
    bed_step(&b, &taken);
    assert_int_equal(b.out.compact_to, 4);
    bed_forget(&b);
    struct raft_entry v[] = { { .index = 3, .term = 2 }, { .index = 4, .term = 3 },
        { .index = 5, .term = 3 } };
    send(3, 2, 2, v, 3);
    bed_persist(&b);
    assert_true(answer().success);
    assert_int_equal(bed_state(&b).last_index, 5);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(success_waits_for_the_disk),
        cmocka_unit_test(heartbeat_is_answered_while_a_write_is_under_way),
        cmocka_unit_test(newer_term_is_stored_before_any_answer),
        cmocka_unit_test(gap_and_mismatch_are_refused_for_an_early_retry),
        cmocka_unit_test(older_term_is_refused),
        cmocka_unit_test(conflicting_suffix_is_replaced_in_one_write),
        cmocka_unit_test(entries_held_already_are_not_written_again),
        cmocka_unit_test(commit_stops_at_what_the_request_proves),
        cmocka_unit_test(nothing_unstored_is_applied),
        cmocka_unit_test(committed_entries_are_never_replaced),
        cmocka_unit_test(malformed_entry_lists_are_refused),
        cmocka_unit_test(answers_that_wait_for_the_disk_are_bounded),
        cmocka_unit_test(unstored_entries_in_memory_are_bounded),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(configuration_is_in_force_when_appended_and_goes_with_its_entry),
        cmocka_unit_test(failed_write_takes_entries_and_answers_back),
        cmocka_unit_test(request_below_the_compacted_log_matches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
