/* SPDX-License-Identifier: Apache-2.0 */
#include "bed.h"

static struct bed b;

static void lead(const char *voters)
{
    bed_member(&b, voters, "");
    bed_elect(&b, voters + 1);
}

static struct raft_message say_yes(struct raft_message request, const char *from)
{
    struct raft_message m = bed_answer(&request, from, RAFT_APPEND_ENTRIES_RESPONSE, request.term);
    m.append_entries_response.success = true;
    return m;
}

static void replication_starts_before_the_disk_is_done(void **state)
{
    (void)state;
    lead("abc");
    bed_follow(&b, "b");
    bed_persist(&b);
    bed_forget(&b);
    bed_propose(&b, 11, "x");
    assert_int_equal(b.out.write.n, 1);
    struct raft_message m = bed_expect(&b, RAFT_APPEND_ENTRIES, "b");
    assert_int_equal(m.append_entries.n, 1);
    assert_int_equal(m.channel, RAFT_CHANNEL_PIPELINE);
    bed_close(&b);
}

static void own_vote_for_an_entry_counts_after_its_write(void **state)
{
    (void)state;
    lead("abc");
    bed_follow(&b, "b");
    assert_int_equal(bed_state(&b).commit_index, 0);
    assert_int_equal(b.out.apply_to, 0);
    bed_persist(&b);
    assert_int_equal(bed_state(&b).commit_index, 2);
    assert_int_equal(b.out.apply_to, 2);
    bed_close(&b);
}

static void entry_needs_a_majority(void **state)
{
    (void)state;
    lead("abcde");
    bed_persist(&b);
    bed_follow(&b, "b");
    assert_int_equal(bed_state(&b).commit_index, 0);
    bed_follow(&b, "c");
    assert_int_equal(bed_state(&b).commit_index, 2);
    bed_close(&b);
}

static void entries_of_older_terms_commit_only_with_one_of_the_own(void **state)
{
    (void)state;
    const uint64_t terms[] = { 2, 2 };
    struct raft_configuration c = bed_configuration("abc", "");
    struct raft_options o = bed_options("a");
    o.append_entries = 1;
    bed_open(&b, &o, &c, 3, terms, 2);
    bed_tick(&b, 0);
    bed_elect(&b, "bc");
    bed_persist(&b);
    /* b lacks everything and is led up to entry 3, of term 2. */
    struct raft_message m = bed_expect(&b, RAFT_APPEND_ENTRIES, "b");
    while (m.append_entries.heartbeat)
        m = bed_expect(&b, RAFT_APPEND_ENTRIES, "b");
    assert_int_equal(m.append_entries.prev_index, 3);
    struct raft_message no = bed_answer(&m, "b", RAFT_APPEND_ENTRIES_RESPONSE, m.term);
    no.append_entries_response.no_retry_backoff = true;
    no.append_entries_response.last_log = 1;
    bed_receive(&b, no);
    m = bed_expect(&b, RAFT_APPEND_ENTRIES, "b");
    assert_int_equal(m.append_entries.prev_index, 1);
    bed_receive(&b, say_yes(m, "b"));
    m = bed_expect(&b, RAFT_APPEND_ENTRIES, "b");
    assert_int_equal(m.append_entries.prev_index, 2);
    bed_receive(&b, say_yes(m, "b"));
    assert_int_equal(bed_state(&b).commit_index, 0);
    m = bed_expect(&b, RAFT_APPEND_ENTRIES, "b");
    assert_int_equal(m.append_entries.prev_index, 3);
    bed_receive(&b, say_yes(m, "b"));
    assert_int_equal(bed_state(&b).commit_index, 4);
    bed_close(&b);
}

static void proposals_of_one_step_are_one_write(void **state)
{
    (void)state;
    bed_member(&b, "a", "");
    bed_persist(&b);
    bed_apply(&b);
    struct raft_proposal v[100];
    for (size_t i = 0; i < 100; i++)
        v[i] = (struct raft_proposal){ .handle = i + 1, .data = STR("x"), .type = RAFT_COMMAND };
    bed_step(&b, &(struct raft_event){ .type = RAFT_PROPOSE, .propose = { v, 100 } });
    assert_int_equal(b.out.write.first, 3);
    assert_int_equal(b.out.write.n, 100);
    assert_int_equal(b.results_n, 0);
    assert_int_equal(b.out.apply_to, 2);
    bed_persist(&b);
    assert_int_equal(b.out.apply_to, 102);
    assert_int_equal(raft_entry_at(b.r, 50)->handle, 48);
    bed_close(&b);
}

static void follower_refuses_proposals(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    bed_propose(&b, 5, "x");
    assert_int_equal(bed_status(&b, 5), RAFT_NOT_LEADER);
    assert_int_equal(b.out.write.seq, 0);
    bed_close(&b);
}

static void full_leader_refuses_and_recovers(void **state)
{
    (void)state;
    bed_member(&b, "a", "");
    bed_persist(&b);
    bed_apply(&b);
    for (uint64_t i = 1; i <= RAFT_UNCOMMITTED_MAX; i++)
        bed_propose(&b, i, "x");
    assert_int_equal(b.results_n, 0);
    bed_propose(&b, 9999, "x");
    assert_int_equal(bed_status(&b, 9999), RAFT_BUSY);
    bed_persist(&b);
    bed_propose(&b, 10000, "x");
    assert_int_equal(bed_status(&b, 10000), RAFT_BUSY);
    bed_apply(&b);
    bed_forget(&b);
    bed_propose(&b, 10001, "x");
    assert_int_equal(b.results_n, 0);
    bed_close(&b);
}

static void leader_that_hears_of_a_newer_term_fails_what_is_open(void **state)
{
    (void)state;
    lead("abc");
    bed_persist(&b);
    bed_follow(&b, "b");
    bed_propose(&b, 5, "x");
    struct raft_message m = bed_expect(&b, RAFT_APPEND_ENTRIES, "b");
    bed_receive(&b, bed_answer(&m, "b", RAFT_APPEND_ENTRIES_RESPONSE, 9));
    assert_int_equal(bed_state(&b).role, RAFT_FOLLOWER);
    assert_int_equal(bed_state(&b).term, 9);
    assert_int_equal(bed_status(&b, 5), RAFT_LEADERSHIP_LOST);
    bed_close(&b);
}

static void committed_proposal_is_not_failed_by_losing_leadership(void **state)
{
    (void)state;
    lead("abc");
    bed_persist(&b);
    bed_follow(&b, "b");
    bed_propose(&b, 5, "x");
    bed_persist(&b);
    bed_follow(&b, "b");
    assert_int_equal(b.out.apply_to, 3);
    bed_receive(&b, bed_append_from("c:8300", 9, 0, 0, 0));
    assert_false(bed_answered(&b, 5));
    assert_int_equal(raft_entry_at(b.r, 3)->handle, 5);
    bed_close(&b);
}

static void leader_without_answers_steps_down_when_its_lease_ends(void **state)
{
    (void)state;
    lead("abc");
    bed_persist(&b);
    bed_tick(&b, 500);
    assert_int_equal(bed_state(&b).role, RAFT_LEADER);
    bed_tick(&b, 1);
    assert_int_equal(bed_state(&b).role, RAFT_FOLLOWER);
    assert_in_range(b.out.wake_ms, b.now + 1000, b.now + 2000);
    bed_close(&b);
}

static void answers_of_a_majority_keep_the_lease(void **state)
{
    (void)state;
    lead("abcde");
    bed_persist(&b);
    for (int i = 0; i < 40; i++) {
        bed_tick(&b, 100);
        bed_follow(&b, "b");
        bed_follow(&b, "d");
        bed_forget(&b);
    }
    assert_int_equal(bed_state(&b).role, RAFT_LEADER);
    assert_true(raft_lease_valid(b.r, b.now));
    bed_close(&b);
}

static void heartbeats_go_out_at_once_and_regularly(void **state)
{
    (void)state;
    lead("abc");
    size_t beats = 0;
    for (int i = 0; i < 100; i++) {
        struct raft_message m;
        while (bed_take(&b, RAFT_APPEND_ENTRIES, "b", &m)) {
            beats += m.channel == RAFT_CHANNEL_HEARTBEAT;
            assert_true(m.channel != RAFT_CHANNEL_HEARTBEAT ||
                        (m.append_entries.prev_index == 0 && m.append_entries.commit_index == 0));
            bed_receive(&b, say_yes(m, "b"));
        }
        bed_follow(&b, "c");
        bed_tick(&b, b.out.wake_ms > b.now ? b.out.wake_ms - b.now : 0);
    }
    uint64_t ran = b.now - 3000;
    assert_in_range(beats, ran / 200, ran / 100 + 2);
    bed_close(&b);
}

static void disk_failure_unseats_a_leader_with_peers(void **state)
{
    (void)state;
    lead("abc");
    bed_persist(&b);
    bed_follow(&b, "b");
    bed_propose(&b, 5, "x");
    bed_step(&b, &(struct raft_event){ .type = RAFT_PERSIST_FAILED });
    assert_int_equal(bed_state(&b).role, RAFT_FOLLOWER);
    assert_int_equal(bed_state(&b).last_index, 2);
    assert_int_equal(bed_status(&b, 5), RAFT_FAILED);
    bed_close(&b);
}

static void disk_failure_leaves_a_lone_leader_in_place(void **state)
{
    (void)state;
    bed_member(&b, "a", "");
    bed_persist(&b);
    bed_propose(&b, 5, "x");
    bed_step(&b, &(struct raft_event){ .type = RAFT_PERSIST_FAILED });
    assert_int_equal(bed_state(&b).role, RAFT_LEADER);
    assert_int_equal(bed_status(&b, 5), RAFT_FAILED);
    bed_propose(&b, 6, "y");
    assert_int_equal(b.out.write.first, 3);
    bed_persist(&b);
    assert_int_equal(b.out.apply_to, 3);
    bed_close(&b);
}

static void lone_leader_whose_first_entry_was_lost_writes_it_again(void **state)
{
    (void)state;
    bed_member(&b, "a", "");
    uint64_t seq = b.seq;
    b.seq = 0;
    bed_step(&b, &(struct raft_event){ .type = RAFT_PERSISTED, .seq = seq });
    assert_int_equal(bed_state(&b).role, RAFT_LEADER);
    assert_int_equal(b.out.write.first, 2);
    bed_step(&b, &(struct raft_event){ .type = RAFT_PERSIST_FAILED });
    assert_int_equal(bed_state(&b).last_index, 1);
    assert_true(b.out.wake_ms != RAFT_NEVER);
    bed_tick(&b, b.out.wake_ms - b.now);
    assert_int_equal(b.out.write.first, 2);
    bed_persist(&b);
    assert_int_equal(b.out.apply_to, 2);
    bed_close(&b);
}

static void term_and_vote_that_were_not_stored_are_taken_back(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    bed_tick(&b, 2000);
    bed_support(&b, "bc");
    assert_int_equal(bed_state(&b).term, 2);
    bed_step(&b, &(struct raft_event){ .type = RAFT_PERSIST_FAILED });
    assert_int_equal(bed_state(&b).role, RAFT_FOLLOWER);
    assert_int_equal(bed_state(&b).term, 1);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replication_starts_before_the_disk_is_done),
        cmocka_unit_test(own_vote_for_an_entry_counts_after_its_write),
        cmocka_unit_test(entry_needs_a_majority),
        cmocka_unit_test(entries_of_older_terms_commit_only_with_one_of_the_own),
        cmocka_unit_test(proposals_of_one_step_are_one_write),
        cmocka_unit_test(follower_refuses_proposals),
        cmocka_unit_test(full_leader_refuses_and_recovers),
        cmocka_unit_test(leader_that_hears_of_a_newer_term_fails_what_is_open),
        cmocka_unit_test(committed_proposal_is_not_failed_by_losing_leadership),
        cmocka_unit_test(leader_without_answers_steps_down_when_its_lease_ends),
        cmocka_unit_test(answers_of_a_majority_keep_the_lease),
        cmocka_unit_test(heartbeats_go_out_at_once_and_regularly),
        cmocka_unit_test(disk_failure_unseats_a_leader_with_peers),
        cmocka_unit_test(disk_failure_leaves_a_lone_leader_in_place),
        cmocka_unit_test(lone_leader_whose_first_entry_was_lost_writes_it_again),
        cmocka_unit_test(term_and_vote_that_were_not_stored_are_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
