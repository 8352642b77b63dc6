/* SPDX-License-Identifier: Apache-2.0 */
#include "bed.h"

static struct bed b;

static struct raft_message ask(
    const char *candidate, uint64_t term, uint64_t last, uint64_t last_term)
{
    return (struct raft_message){ .type = RAFT_REQUEST_VOTE,
        .term = term,
        .request_vote = {
            .candidate = str_of(candidate), .last_log_index = last, .last_log_term = last_term } };
}

static bool granted(struct raft_message m)
{
    bed_receive(&b, m);
    bed_persist(&b);
    return bed_expect(&b, RAFT_REQUEST_VOTE_RESPONSE, NULL).request_vote_response.granted;
}

static void sole_voter_leads_without_waiting(void **state)
{
    (void)state;
    bed_member(&b, "a", "");
    assert_true(b.out.write.hard_state);
    assert_int_equal(b.out.write.term, 2);
    assert_int_equal(bed_state(&b).role, RAFT_CANDIDATE);
    bed_persist(&b);
    struct raft_state st = bed_state(&b);
    assert_int_equal(st.role, RAFT_LEADER);
    assert_int_equal(st.last_index, 2);
    assert_int_equal(st.commit_index, 2);
    assert_string_equal(st.leader_id, "a");
    assert_int_equal(b.now, 1000);
    assert_true(b.out.wake_ms == RAFT_NEVER);
    bed_close(&b);
}

static void pristine_node_waits_and_bootstraps_once(void **state)
{
    (void)state;
    struct raft_configuration none = { 0 }, one = bed_configuration("a", "");
    struct raft_options o = bed_options("a");
    bed_open(&b, &o, &none, 0, NULL, 0);
    bed_tick(&b, 0);
    bed_tick(&b, 100000);
    assert_true(b.out.wake_ms == RAFT_NEVER);
    assert_int_equal(bed_state(&b).term, 0);
    bed_step(&b, &(struct raft_event){ .type = RAFT_BOOTSTRAP, .bootstrap = &one });
    bed_persist(&b);
    assert_int_equal(bed_state(&b).role, RAFT_LEADER);
    assert_int_equal(bed_state(&b).term, 2);
    assert_int_equal(bed_state(&b).commit_index, 2);
    struct raft_event again = { .type = RAFT_BOOTSTRAP, .bootstrap = &one };
    assert_int_equal(raft_step(b.r, b.now, &again, &b.out), ERR_BAD_REQUEST);
    bed_close(&b);
}

static void follower_campaigns_only_after_its_timeout(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    assert_in_range(b.out.wake_ms, 1000 + 1000, 1000 + 2000);
    bed_tick(&b, 999);
    assert_int_equal(b.messages_n, 0);
    bed_tick(&b, 1001);
    bed_expect(&b, RAFT_PROBE, "b");
    bed_expect(&b, RAFT_PROBE, "c");
    bed_expect_none(&b, RAFT_REQUEST_VOTE);
    bed_close(&b);
}

static void unreachable_majority_leaves_the_term(void **state)
{
    (void)state;
    bed_member(&b, "abcde", "");
    for (int i = 0; i < 20; i++) {
        bed_tick(&b, 2000);
        struct raft_message m = bed_expect(&b, RAFT_PROBE, "b");
        bed_receive(&b, bed_answer(&m, "b", RAFT_PROBE_RESPONSE, 0));
        while (bed_take(&b, RAFT_PROBE, NULL, &m)) {
            struct raft_event failed = { .type = RAFT_RPC_FAILED,
                .rpc_failed = { "c", m.rpc, false } };
            bed_step(&b, &failed);
        }
    }
    assert_int_equal(bed_state(&b).term, 1);
    assert_int_equal(b.seq, 0);
    bed_close(&b);
}

/* The node takes part in no term that nobody else would. */
static void votes_are_asked_for_before_the_term_is_entered(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    bed_tick(&b, 2000);
    struct raft_message m = bed_expect(&b, RAFT_PROBE, "c");
    bed_receive(&b, bed_answer(&m, "c", RAFT_PROBE_RESPONSE, 0));
    m = bed_expect(&b, RAFT_REQUEST_VOTE, "b");
    assert_int_equal(m.term, 2);
    assert_int_equal(m.request_vote.last_log_index, 1);
    assert_int_equal(bed_state(&b).term, 1);
    assert_int_equal(b.seq, 0);
    struct raft_message yes = bed_answer(&m, "b", RAFT_REQUEST_VOTE_RESPONSE, 2);
    yes.request_vote_response.granted = true;
    bed_receive(&b, yes);
    assert_true(b.out.write.hard_state);
    assert_int_equal(b.out.write.vote_term, 2);
    assert_true(str_is(b.out.write.vote_candidate, "a:8300"));
    assert_int_equal(bed_state(&b).role, RAFT_CANDIDATE);
    bed_persist(&b);
    assert_int_equal(bed_state(&b).role, RAFT_LEADER);
    assert_int_equal(bed_state(&b).term, 2);
    bed_close(&b);
}

static void a_candidate_claims_only_what_is_stored(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    struct raft_entry e = { .index = 2, .term = 1, .type = RAFT_NOOP };
    struct raft_message append = bed_append_from("b:8300", 1, 1, 1, 0);
    append.append_entries.entries = &e;
    append.append_entries.n = 1;
    bed_receive(&b, append);
    bed_tick(&b, 2000);
    struct raft_message m = bed_expect(&b, RAFT_PROBE, "c");
    bed_receive(&b, bed_answer(&m, "c", RAFT_PROBE_RESPONSE, 0));
    bed_expect_none(&b, RAFT_REQUEST_VOTE);
    bed_persist(&b);
    m = bed_expect(&b, RAFT_REQUEST_VOTE, "c");
    assert_int_equal(m.request_vote.last_log_index, 2);
    bed_close(&b);
}

static void who_still_hears_the_leader_is_asked_again_soon(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    bed_tick(&b, 2000);
    struct raft_message m = bed_expect(&b, RAFT_PROBE, "c");
    bed_receive(&b, bed_answer(&m, "c", RAFT_PROBE_RESPONSE, 0));
    m = bed_expect(&b, RAFT_REQUEST_VOTE, "b");
    bed_expect(&b, RAFT_REQUEST_VOTE, "c");
    bed_receive(&b, bed_answer(&m, "b", RAFT_REQUEST_VOTE_RESPONSE, 1));
    bed_tick(&b, 99);
    bed_expect_none(&b, RAFT_REQUEST_VOTE);
    assert_int_equal(b.out.wake_ms, b.now + 1);
    bed_tick(&b, 1);
    bed_support(&b, "b"); /* only who refused so is asked */
    bed_expect_none(&b, RAFT_REQUEST_VOTE);
    assert_int_equal(bed_state(&b).role, RAFT_CANDIDATE);
    bed_persist(&b);
    assert_int_equal(bed_state(&b).role, RAFT_LEADER);
    bed_close(&b);
}

/* It gave nobody its vote yet, so it can give it to who asks in the same term. */
static void a_candidate_votes_for_another_of_its_term(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    bed_tick(&b, 2000);
    struct raft_message m = bed_expect(&b, RAFT_PROBE, "c");
    bed_receive(&b, bed_answer(&m, "c", RAFT_PROBE_RESPONSE, 0));
    m = bed_expect(&b, RAFT_REQUEST_VOTE, "c");
    bed_receive(&b, bed_answer(&m, "c", RAFT_REQUEST_VOTE_RESPONSE, 1));
    assert_true(granted(ask("c:8300", 2, 1, 1)));
    assert_int_equal(bed_state(&b).role, RAFT_FOLLOWER);
    bed_close(&b);
}

static void of_candidates_that_crossed_the_lower_address_goes_on(void **state)
{
    (void)state;
    for (int higher = 0; higher < 2; higher++) {
        struct raft_configuration c = bed_configuration("abc", "");
        struct raft_options o = bed_options(higher ? "c" : "a");
        const char *other = higher ? "a:8300" : "c:8300";
        bed_open(&b, &o, &c, 1, NULL, 0);
        bed_tick(&b, 0);
        bed_tick(&b, 2000);
        struct raft_message m = bed_expect(&b, RAFT_PROBE, "b");
        bed_receive(&b, bed_answer(&m, "b", RAFT_PROBE_RESPONSE, 0));
        assert_int_equal(granted(ask(other, 2, 1, 1)), higher);
        assert_int_equal(bed_state(&b).role, higher ? RAFT_FOLLOWER : RAFT_CANDIDATE);
        assert_int_equal(bed_state(&b).term, higher ? 2 : 1);
        bed_close(&b);
    }
}

/* A peer of another kind asked in the same term, with the older log: it waits for its own timeout
 * now, this one does not. */
static void a_candidate_with_the_better_log_goes_on_in_the_next_term(void **state)
{
    (void)state;
    const uint64_t terms[] = { 1 };
    struct raft_configuration c = bed_configuration("abc", "");
    struct raft_options o = bed_options("a");
    bed_open(&b, &o, &c, 1, terms, 1);
    bed_tick(&b, 0);
    bed_tick(&b, 2000);
    struct raft_message m = bed_expect(&b, RAFT_PROBE, "c");
    bed_receive(&b, bed_answer(&m, "c", RAFT_PROBE_RESPONSE, 0));
    m = bed_expect(&b, RAFT_REQUEST_VOTE, "c");
    bed_receive(&b, bed_answer(&m, "c", RAFT_REQUEST_VOTE_RESPONSE, 1));
    bed_forget(&b);
    assert_false(granted(ask("c:8300", 2, 1, 1)));
    assert_in_range(b.out.wake_ms, b.now, b.now + 100);
    bed_tick(&b, 100);
    bed_support(&b, "bc");
    assert_int_equal(bed_state(&b).term, 3);
    bed_close(&b);
}

static void majority_of_votes_makes_a_leader(void **state)
{
    (void)state;
    bed_member(&b, "abcde", "");
    bed_tick(&b, 2000);
    struct raft_message m;
    while (bed_take(&b, RAFT_PROBE, NULL, &m))
        bed_receive(&b, bed_answer(&m, "b", RAFT_PROBE_RESPONSE, 0));
    assert_int_equal(bed_state(&b).role, RAFT_FOLLOWER); /* one voice answered for all */
    bed_close(&b);

    bed_member(&b, "abcde", "");
    bed_tick(&b, 2000);
    bed_support(&b, "b");
    assert_int_equal(bed_state(&b).role, RAFT_FOLLOWER);
    bed_support(&b, "c");
    assert_int_equal(bed_state(&b).role, RAFT_CANDIDATE);
    bed_support(&b, "b");
    bed_persist(&b);
    assert_int_equal(bed_state(&b).role, RAFT_LEADER);
    bed_close(&b);
}

static void leader_that_is_gone_is_not_waited_for(void **state)
{
    (void)state;
    struct raft_event other = { .type = RAFT_LEADER_GONE, .leader_gone = STR("c:8300") };
    struct raft_event gone = { .type = RAFT_LEADER_GONE, .leader_gone = STR("b:8300") };
    bed_member(&b, "abc", "");
    bed_receive(&b, bed_append_from("b:8300", 2, 0, 0, 0));
    bed_persist(&b);
    bed_forget(&b);
    bed_step(&b, &other);
    bed_tick(&b, 300);
    bed_expect_none(&b, RAFT_PROBE);
    assert_true(str_is(bed_state(&b).leader_address, "b:8300"));
    bed_step(&b, &gone);
    assert_int_equal(bed_state(&b).leader_address.n, 0);
    bed_tick(&b, 49); /* not all at once */
    bed_expect_none(&b, RAFT_PROBE);
    bed_tick(&b, 51);
    bed_expect(&b, RAFT_PROBE, "c");
    assert_int_equal(bed_state(&b).term, 2);
    bed_close(&b);
}

static void candidacy_nobody_took_up_is_repeated_in_its_term(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    for (int i = 0; i < 5; i++) {
        bed_tick(&b, 2000);
        struct raft_message m;
        while (bed_take(&b, RAFT_PROBE, "b", &m))
            bed_receive(&b, bed_answer(&m, "b", RAFT_PROBE_RESPONSE, 0));
        bed_persist(&b);
        m = bed_expect(&b, RAFT_REQUEST_VOTE, "b");
        assert_int_equal(m.term, 2);
        bed_receive(&b, bed_answer(&m, "b", RAFT_REQUEST_VOTE_RESPONSE, 1)); /* knows a leader */
    }
    /* A split vote is taken up: the next candidacy needs a new term. */
    bed_tick(&b, 2000);
    struct raft_message m = bed_expect(&b, RAFT_PROBE, "b");
    bed_receive(&b, bed_answer(&m, "b", RAFT_PROBE_RESPONSE, 0));
    bed_persist(&b);
    m = bed_expect(&b, RAFT_REQUEST_VOTE, "b");
    bed_receive(&b, bed_answer(&m, "b", RAFT_REQUEST_VOTE_RESPONSE, 2));
    bed_tick(&b, 2000);
    m = bed_expect(&b, RAFT_PROBE, "b");
    bed_receive(&b, bed_answer(&m, "b", RAFT_PROBE_RESPONSE, 0));
    m = bed_expect(&b, RAFT_REQUEST_VOTE, "b");
    assert_int_equal(m.term, 3);
    assert_int_equal(bed_state(&b).term, 1);
    bed_close(&b);
}

static void vote_is_stored_before_it_is_sent(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    bed_receive(&b, ask("b:8300", 5, 1, 1));
    assert_true(b.out.write.hard_state);
    assert_int_equal(b.out.write.vote_term, 5);
    assert_int_equal(b.messages_n, 0);
    bed_persist(&b);
    struct raft_message m = bed_expect(&b, RAFT_REQUEST_VOTE_RESPONSE, NULL);
    assert_true(m.request_vote_response.granted);
    assert_int_equal(m.term, 5);
    bed_close(&b);
}

static void one_vote_per_term(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    assert_true(granted(ask("b:8300", 5, 1, 1)));
    assert_true(granted(ask("b:8300", 5, 1, 1)));
    assert_false(granted(ask("c:8300", 5, 1, 1)));
    assert_false(granted(ask("c:8300", 4, 9, 4)));
    assert_true(granted(ask("c:8300", 6, 1, 1)));
    bed_close(&b);
}

static void candidate_with_an_older_log_is_refused_but_heard(void **state)
{
    (void)state;
    const uint64_t terms[] = { 2, 3 };
    struct raft_configuration c = bed_configuration("abc", "");
    struct raft_options o = bed_options("a");
    bed_open(&b, &o, &c, 3, terms, 2);
    bed_tick(&b, 0);
    assert_false(granted(ask("b:8300", 7, 9, 2)));
    assert_int_equal(bed_state(&b).term, 7);
    assert_false(granted(ask("b:8300", 8, 2, 3)));
    assert_true(granted(ask("b:8300", 9, 3, 3)));
    bed_close(&b);
}

static void known_leader_keeps_votes_back(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    bed_receive(&b, bed_append_from("b:8300", 2, 0, 0, 0));
    bed_persist(&b);
    bed_forget(&b);
    assert_false(granted(ask("c:8300", 9, 9, 2)));
    assert_int_equal(bed_state(&b).term, 2);
    struct raft_message transfer = ask("c:8300", 9, 9, 2);
    transfer.request_vote.leadership_transfer = true;
    assert_true(granted(transfer));
    bed_close(&b);
}

static void silent_leader_is_forgotten_for_votes(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    bed_receive(&b, bed_append_from("b:8300", 2, 0, 0, 0));
    bed_persist(&b);
    bed_forget(&b);
    b.now += 999;
    assert_false(granted(ask("c:8300", 3, 9, 2)));
    b.now += 1;
    assert_true(granted(ask("c:8300", 3, 9, 2)));
    bed_close(&b);
}

static void server_that_is_no_voter_does_not_campaign(void **state)
{
    (void)state;
    struct raft_configuration c = bed_configuration("bc", "a");
    struct raft_options o = bed_options("a");
    bed_open(&b, &o, &c, 1, NULL, 0);
    raft_load_applied(b.r, 1); /* the configuration is committed */
    bed_tick(&b, 0);
    for (int i = 0; i < 10; i++)
        bed_tick(&b, 2000);
    assert_int_equal(b.messages_n, 0);
    bed_close(&b);
}

static void timeout_now_is_obeyed_at_once(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    bed_receive(&b, bed_append_from("b:8300", 2, 0, 0, 0));
    bed_persist(&b);
    bed_forget(&b);
    bed_receive(&b, (struct raft_message){ .type = RAFT_TIMEOUT_NOW });
    bed_persist(&b);
    bed_expect(&b, RAFT_TIMEOUT_NOW_RESPONSE, NULL);
    struct raft_message m = bed_expect(&b, RAFT_REQUEST_VOTE, "c");
    assert_true(m.request_vote.leadership_transfer);
    assert_int_equal(m.term, 3);
    bed_expect_none(&b, RAFT_PROBE);
    bed_close(&b);
}

static void vote_of_an_earlier_life_holds(void **state)
{
    (void)state;
    struct raft_configuration c = bed_configuration("abc", "");
    struct raft_options o = bed_options("a");
    bed_open(&b, &o, &c, 1, NULL, 0);
    raft_load_hard_state(b.r, 5, 5, STR("b:8300"));
    assert_false(granted(ask("c:8300", 5, 9, 4)));
    assert_true(granted(ask("b:8300", 5, 9, 4)));
    bed_close(&b);
}

static void unusable_candidate_is_refused(void **state)
{
    (void)state;
    bed_member(&b, "abc", "");
    char longest[RAFT_ADDRESS_MAX + 1];
    memset(longest, 'x', sizeof longest);
    struct raft_message m = ask("", 5, 9, 4);
    assert_false(granted(m));
    m.request_vote.candidate = (struct str){ longest, RAFT_ADDRESS_MAX };
    assert_false(granted(m));
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sole_voter_leads_without_waiting),
        cmocka_unit_test(pristine_node_waits_and_bootstraps_once),
        cmocka_unit_test(follower_campaigns_only_after_its_timeout),
        cmocka_unit_test(unreachable_majority_leaves_the_term),
        cmocka_unit_test(votes_are_asked_for_before_the_term_is_entered),
        cmocka_unit_test(a_candidate_claims_only_what_is_stored),
        cmocka_unit_test(who_still_hears_the_leader_is_asked_again_soon),
        cmocka_unit_test(a_candidate_votes_for_another_of_its_term),
        cmocka_unit_test(of_candidates_that_crossed_the_lower_address_goes_on),
        cmocka_unit_test(a_candidate_with_the_better_log_goes_on_in_the_next_term),
        cmocka_unit_test(majority_of_votes_makes_a_leader),
        cmocka_unit_test(leader_that_is_gone_is_not_waited_for),
        cmocka_unit_test(candidacy_nobody_took_up_is_repeated_in_its_term),
        cmocka_unit_test(vote_is_stored_before_it_is_sent),
        cmocka_unit_test(one_vote_per_term),
        cmocka_unit_test(candidate_with_an_older_log_is_refused_but_heard),
        cmocka_unit_test(known_leader_keeps_votes_back),
        cmocka_unit_test(silent_leader_is_forgotten_for_votes),
        cmocka_unit_test(server_that_is_no_voter_does_not_campaign),
        cmocka_unit_test(timeout_now_is_obeyed_at_once),
        cmocka_unit_test(vote_of_an_earlier_life_holds),
        cmocka_unit_test(unusable_candidate_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
