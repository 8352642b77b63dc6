/* SPDX-License-Identifier: Apache-2.0 */
#include "bed.h"

static struct bed b;

static void lead(const char *voters)
{
    bed_member(&b, voters, "");
    if (voters[1]) bed_elect(&b, voters + 1);
    bed_persist(&b);
    for (const char *p = voters + 1; *p; p++)
        bed_follow(&b, (char[]){ *p, 0 });
    bed_forget(&b);
}

static void change(uint64_t handle, enum raft_change_type type, const char *id)
{
    static char address[64];
    snprintf(address, sizeof address, "%s:8300", id);
    struct raft_event ev = { .type = RAFT_CHANGE,
        .change = { type, str_of(id), str_of(address), handle } };
    bed_step(&b, &ev);
}

static void settle(const char *followers)
{
    bed_persist(&b);
    for (const char *p = followers; *p; p++)
        bed_follow(&b, (char[]){ *p, 0 });
}

static void new_voter_counts_from_the_moment_it_is_appended(void **state)
{
    (void)state;
    lead("a");
    change(1, RAFT_ADD_VOTER, "b");
    assert_int_equal(b.out.write.n, 1);
    assert_int_equal(raft_entry_at(b.r, 3)->type, RAFT_CONFIGURATION);
    assert_int_equal(raft_entry_at(b.r, 3)->handle, 1);
    bed_persist(&b);
    assert_int_equal(bed_state(&b).commit_index, 2);
    bed_follow(&b, "b");
    assert_int_equal(bed_state(&b).commit_index, 3);
    assert_int_equal(bed_state(&b).committed->n, 2);
    bed_close(&b);
}

static void one_change_at_a_time(void **state)
{
    (void)state;
    lead("abc");
    change(1, RAFT_ADD_NONVOTER, "d");
    change(2, RAFT_ADD_NONVOTER, "e");
    assert_int_equal(bed_status(&b, 2), RAFT_CHANGE_IN_PROGRESS);
    settle("bc");
    change(3, RAFT_ADD_VOTER, "d");
    assert_false(bed_answered(&b, 3));
    assert_true(raft_configuration_is_voter(bed_state(&b).latest, "d"));
    bed_close(&b);
}

static void leader_changes_nothing_before_its_first_commit(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    bed_elect(&b, "bc");
    change(1, RAFT_ADD_VOTER, "d");
    assert_int_equal(bed_status(&b, 1), RAFT_CHANGE_IN_PROGRESS);
    bed_close(&b);
}

static void non_voter_is_fed_but_does_not_count(void **state)
{
    (void)state;
    lead("abc");
    change(1, RAFT_ADD_NONVOTER, "d");
    bed_persist(&b);
    bed_follow(&b, "d");
    assert_int_equal(bed_state(&b).commit_index, 2);
    struct raft_peer_state p;
    assert_true(raft_get_peer(b.r, "d", &p));
    assert_int_equal(p.match_index, 3);
    bed_follow(&b, "b");
    assert_int_equal(bed_state(&b).commit_index, 3);
    bed_close(&b);
}

static void known_server_keeps_its_suffrage_and_takes_the_new_address(void **state)
{
    (void)state;
    lead("abc");
    struct raft_event ev = { .type = RAFT_CHANGE,
        .change = { RAFT_ADD_NONVOTER, STR("b"), STR("elsewhere:1"), 1 } };
    bed_step(&b, &ev);
    const struct raft_member *s = raft_configuration_find(bed_state(&b).latest, "b");
    assert_int_equal(s->suffrage, RAFT_VOTER);
    assert_string_equal(s->address, "elsewhere:1");
    settle("bc");
    change(2, RAFT_DEMOTE, "b");
    assert_false(raft_configuration_is_voter(bed_state(&b).latest, "b"));
    bed_close(&b);
}

static void changes_that_break_the_configuration_are_refused(void **state)
{
    (void)state;
    lead("a");
    change(1, RAFT_REMOVE, "a");
    assert_int_equal(bed_status(&b, 1), RAFT_INVALID);
    change(2, RAFT_DEMOTE, "a");
    assert_int_equal(bed_status(&b, 2), RAFT_INVALID);
    change(3, RAFT_ADD_VOTER, "");
    assert_int_equal(bed_status(&b, 3), RAFT_INVALID);
    struct raft_event ev = { .type = RAFT_CHANGE,
        .change = { RAFT_ADD_VOTER, STR("z"), STR("a:8300"), 4 } };
    bed_step(&b, &ev);
    assert_int_equal(bed_status(&b, 4), RAFT_INVALID);
    assert_int_equal(bed_state(&b).last_index, 2);
    change(5, RAFT_REMOVE, "unknown"); /* as the original: an entry without effect */
    assert_false(bed_answered(&b, 5));
    bed_close(&b);
}

static void removed_leader_serves_until_the_removal_commits_and_names_an_heir(void **state)
{
    (void)state;
    lead("abc");
    change(1, RAFT_REMOVE, "a");
    assert_int_equal(bed_state(&b).role, RAFT_LEADER);
    bed_propose(&b, 2, "x");
    assert_int_equal(bed_status(&b, 2), RAFT_NOT_LEADER);
    bed_persist(&b);
    bed_follow(&b, "b");
    assert_int_equal(bed_state(&b).role, RAFT_LEADER); /* b alone is no majority of b, c */
    bed_follow(&b, "c");
    assert_int_equal(bed_state(&b).role, RAFT_FOLLOWER);
    bed_expect(&b, RAFT_TIMEOUT_NOW, NULL);
    assert_false(bed_answered(&b, 1));
    assert_int_equal(b.out.apply_to, 3);
    /* and stays quiet */
    bed_forget(&b);
    for (int i = 0; i < 5; i++)
        bed_tick(&b, 2000);
    assert_int_equal(b.messages_n, 0);
    bed_close(&b);
}

static void removed_follower_is_told(void **state)
{
    (void)state;
    lead("abc");
    change(1, RAFT_REMOVE, "c");
    bed_persist(&b);
    bed_follow(&b, "b");
    assert_int_equal(bed_state(&b).commit_index, 3);
    uint64_t commit = 0, last = 0;
    for (int i = 0; i < 40; i++) {
        struct raft_message m;
        while (bed_take(&b, RAFT_APPEND_ENTRIES, "c", &m)) {
            struct raft_message yes = bed_answer(&m, "c", RAFT_APPEND_ENTRIES_RESPONSE, m.term);
            yes.append_entries_response.success = true;
            bed_receive(&b, yes);
            if (m.append_entries.heartbeat) continue;
            commit = m.append_entries.commit_index;
            last = m.append_entries.prev_index + m.append_entries.n;
        }
        bed_follow(&b, "b");
        bed_tick(&b, 10);
    }
    assert_int_equal(last, 3);
    assert_int_equal(commit, 3);
    struct raft_peer_state p;
    assert_false(raft_get_peer(b.r, "c", &p)); /* and then left alone */
    bed_close(&b);
}

static void removed_follower_that_is_gone_is_given_up(void **state)
{
    (void)state;
    lead("abc");
    change(1, RAFT_REMOVE, "c");
    bed_persist(&b);
    for (int i = 0; i < 30; i++) {
        bed_tick(&b, 100);
        bed_follow(&b, "b");
        bed_forget(&b);
    }
    struct raft_peer_state p;
    assert_false(raft_get_peer(b.r, "c", &p));
    assert_int_equal(bed_state(&b).role, RAFT_LEADER);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_voter_counts_from_the_moment_it_is_appended),
        cmocka_unit_test(one_change_at_a_time),
        cmocka_unit_test(leader_changes_nothing_before_its_first_commit),
        cmocka_unit_test(non_voter_is_fed_but_does_not_count),
        cmocka_unit_test(known_server_keeps_its_suffrage_and_takes_the_new_address),
        cmocka_unit_test(changes_that_break_the_configuration_are_refused),
        cmocka_unit_test(removed_leader_serves_until_the_removal_commits_and_names_an_heir),
        cmocka_unit_test(removed_follower_is_told),
        cmocka_unit_test(removed_follower_that_is_gone_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
