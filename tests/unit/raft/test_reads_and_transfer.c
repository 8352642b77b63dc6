/* SPDX-License-Identifier: Apache-2.0 */
#include "bed.h"

static struct bed b;

static void lead(const char *voters)
{
    bed_member(&b, voters, "");
    bed_elect(&b, voters + 1);
    bed_persist(&b);
    for (const char *p = voters + 1; *p; p++)
        bed_follow(&b, (char[]){ *p, 0 });
    bed_forget(&b);
}

static void verify(uint64_t handle)
{
    bed_step(&b, &(struct raft_event){ .type = RAFT_VERIFY, .verify = { handle } });
}

static void lone_leader_confirms_at_once(void **state)
{
    (void)state;
    bed_member(&b, "a", "");
    bed_persist(&b);
    verify(7);
    assert_int_equal(bed_status(&b, 7), RAFT_DONE);
    assert_int_equal(b.results[0].index, 2);
    bed_close(&b);
}

static void read_waits_for_answers_to_later_requests(void **state)
{
    (void)state;
    lead("abc");
    bed_tick(&b, 200); /* heartbeats of before the question */
    struct raft_message before = bed_expect(&b, RAFT_APPEND_ENTRIES, "b");
    verify(7);
    struct raft_message yes = bed_answer(&before, "b", RAFT_APPEND_ENTRIES_RESPONSE, before.term);
    yes.append_entries_response.success = true;
    bed_receive(&b, yes);
    assert_false(bed_answered(&b, 7));
    bed_follow(&b, "b"); /* asked again at once */
    assert_int_equal(bed_status(&b, 7), RAFT_DONE);
    bed_close(&b);
}

static void read_needs_a_majority_of_voters(void **state)
{
    (void)state;
    struct raft_configuration c = bed_configuration("abc", "de");
    struct raft_options o = bed_options("a");
    bed_open(&b, &o, &c, 1, NULL, 0);
    bed_tick(&b, 0);
    bed_elect(&b, "bc");
    bed_persist(&b);
    bed_follow(&b, "b");
    bed_follow(&b, "d");
    bed_follow(&b, "e");
    bed_tick(&b, 200);
    verify(7);
    bed_follow(&b, "d");
    bed_follow(&b, "e");
    assert_false(bed_answered(&b, 7));
    bed_follow(&b, "c");
    assert_true(bed_answered(&b, 7));
    bed_close(&b);
}

static void new_leader_confirms_reads_after_its_first_commit(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    bed_elect(&b, "bc");
    verify(7);
    struct raft_message m;
    while (bed_take(&b, RAFT_APPEND_ENTRIES, "b", &m)) {
        if (!m.append_entries.heartbeat) continue;
        struct raft_message yes = bed_answer(&m, "b", RAFT_APPEND_ENTRIES_RESPONSE, m.term);
        yes.append_entries_response.success = true;
        bed_receive(&b, yes);
    }
    assert_false(bed_answered(&b, 7));
    bed_persist(&b);
    bed_follow(&b, "c");
    assert_int_equal(bed_status(&b, 7), RAFT_DONE);
    assert_int_equal(b.results[0].index, 2);
    bed_close(&b);
}

static void reads_fail_with_leadership(void **state)
{
    (void)state;
    lead("abc");
    verify(7);
    bed_tick(&b, 501);
    assert_int_equal(bed_status(&b, 7), RAFT_LEADERSHIP_LOST);
    verify(8);
    assert_int_equal(bed_status(&b, 8), RAFT_NOT_LEADER);
    bed_close(&b);
}

static void waiting_reads_are_bounded(void **state)
{
    (void)state;
    lead("abc");
    for (uint64_t i = 1; i <= RAFT_VERIFIES_MAX; i++)
        verify(i);
    assert_int_equal(b.results_n, 0);
    verify(9999);
    assert_int_equal(bed_status(&b, 9999), RAFT_BUSY);
    b.results_n = 0;
    bed_tick(&b, 0);
    bed_close(&b);
}

static void transfer(uint64_t handle, const char *to)
{
    struct raft_event ev = { .type = RAFT_TRANSFER, .transfer = { str_of(to), handle } };
    bed_step(&b, &ev);
}

static void transfer_waits_until_the_target_has_everything(void **state)
{
    (void)state;
    lead("abc");
    bed_propose(&b, 1, "x");
    bed_persist(&b);
    transfer(7, "b");
    bed_expect_none(&b, RAFT_TIMEOUT_NOW);
    bed_propose(&b, 2, "y");
    assert_int_equal(bed_status(&b, 2), RAFT_TRANSFERRING);
    bed_follow(&b, "b");
    bed_expect(&b, RAFT_TIMEOUT_NOW, "b");
    assert_false(raft_lease_valid(b.r, b.now));
    struct raft_message vote = { .type = RAFT_REQUEST_VOTE,
        .term = 3,
        .request_vote = { .candidate = STR("b:8300"),
            .last_log_index = 3,
            .last_log_term = 2,
            .leadership_transfer = true } };
    bed_receive(&b, vote);
    bed_persist(&b);
    assert_true(bed_expect(&b, RAFT_REQUEST_VOTE_RESPONSE, NULL).request_vote_response.granted);
    assert_int_equal(bed_status(&b, 7), RAFT_DONE);
    bed_close(&b);
}

static void transfer_waits_until_all_is_committed(void **state)
{
    (void)state;
    lead("abc");
    bed_propose(&b, 1, "x");
    transfer(7, "b");
    bed_follow(&b, "b"); /* it has all, we do not yet */
    bed_expect_none(&b, RAFT_TIMEOUT_NOW);
    bed_persist(&b);
    bed_expect(&b, RAFT_TIMEOUT_NOW, "b");
    bed_close(&b);
}

static void transfer_takes_the_voter_that_is_furthest(void **state)
{
    (void)state;
    lead("abc");
    bed_propose(&b, 1, "x");
    bed_persist(&b);
    bed_follow(&b, "c");
    transfer(7, NULL);
    bed_expect(&b, RAFT_TIMEOUT_NOW, "c");
    bed_close(&b);
}

static void transfer_that_leads_nowhere_ends_after_an_election_timeout(void **state)
{
    (void)state;
    lead("abc");
    transfer(7, "b");
    bed_expect(&b, RAFT_TIMEOUT_NOW, "b");
    for (int i = 0; i < 10; i++) {
        bed_follow(&b, "b");
        bed_tick(&b, 100);
    }
    assert_int_equal(bed_status(&b, 7), RAFT_TIMED_OUT);
    bed_propose(&b, 2, "y");
    assert_false(bed_answered(&b, 2));
    bed_close(&b);
}

static void transfer_to_a_stranger_is_refused(void **state)
{
    (void)state;
    lead("abc");
    transfer(7, "x");
    assert_int_equal(bed_status(&b, 7), RAFT_INVALID);
    bed_close(&b);
    bed_member(&b, "a", "");
    bed_persist(&b);
    transfer(8, NULL);
    assert_int_equal(bed_status(&b, 8), RAFT_INVALID);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lone_leader_confirms_at_once),
        cmocka_unit_test(read_waits_for_answers_to_later_requests),
        cmocka_unit_test(read_needs_a_majority_of_voters),
        cmocka_unit_test(new_leader_confirms_reads_after_its_first_commit),
        cmocka_unit_test(reads_fail_with_leadership),
        cmocka_unit_test(waiting_reads_are_bounded),
        cmocka_unit_test(transfer_waits_until_the_target_has_everything),
        cmocka_unit_test(transfer_waits_until_all_is_committed),
        cmocka_unit_test(transfer_takes_the_voter_that_is_furthest),
        cmocka_unit_test(transfer_that_leads_nowhere_ends_after_an_election_timeout),
        cmocka_unit_test(transfer_to_a_stranger_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
