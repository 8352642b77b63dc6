/* SPDX-License-Identifier: Apache-2.0 */
#include "bed.h"

static struct bed b;

static void lead(void)
{
    bed_member(&b, "abc", "");
    bed_elect(&b, "bc");
    bed_persist(&b);
}

static struct raft_message log_request(const char *to)
{
    struct raft_message m = bed_expect(&b, RAFT_APPEND_ENTRIES, to);
    while (m.append_entries.heartbeat)
        m = bed_expect(&b, RAFT_APPEND_ENTRIES, to);
    return m;
}

static bool log_request_pending(const char *to)
{
    struct raft_message m;
    while (bed_take(&b, RAFT_APPEND_ENTRIES, to, &m))
        if (!m.append_entries.heartbeat) return true;
    return false;
}

static void refuse(struct raft_message request, const char *from, uint64_t last, bool retry)
{
    struct raft_message m = bed_answer(&request, from, RAFT_APPEND_ENTRIES_RESPONSE, request.term);
    m.append_entries_response.last_log = last;
    m.append_entries_response.no_retry_backoff = retry;
    bed_receive(&b, m);
}

static void accept(struct raft_message request, const char *from)
{
    struct raft_message m = bed_answer(&request, from, RAFT_APPEND_ENTRIES_RESPONSE, request.term);
    m.append_entries_response.success = true;
    bed_receive(&b, m);
}

static void break_off(struct raft_message request, const char *to, bool missing)
{
    struct raft_event ev = { .type = RAFT_RPC_FAILED, .rpc_failed = { to, request.rpc, missing } };
    bed_step(&b, &ev);
}

static void one_request_at_a_time_until_the_first_success(void **state)
{
    (void)state;
    lead();
    struct raft_message m = log_request("b");
    assert_int_equal(m.channel, RAFT_CHANNEL_PLAIN);
    bed_propose(&b, 1, "x");
    bed_propose(&b, 2, "y");
    assert_false(log_request_pending("b"));
    accept(m, "b");
    m = log_request("b");
    assert_int_equal(m.channel, RAFT_CHANNEL_PIPELINE);
    assert_int_equal(m.append_entries.prev_index, 2);
    assert_int_equal(m.append_entries.n, 2);
    bed_propose(&b, 3, "z");
    m = log_request("b");
    assert_int_equal(m.append_entries.prev_index, 4);
    bed_close(&b);
}

static void pipeline_is_bounded(void **state)
{
    (void)state;
    lead();
    bed_follow(&b, "b");
    for (uint64_t i = 1; i <= RAFT_PIPELINE_MAX + 50; i++)
        bed_propose(&b, i, "x");
    size_t sent = 0;
    struct raft_message first = { 0 }, m;
    while (bed_take(&b, RAFT_APPEND_ENTRIES, "b", &m)) {
        if (m.append_entries.heartbeat) continue;
        if (!sent++) first = m;
    }
    assert_int_equal(sent, RAFT_PIPELINE_MAX);
    accept(first, "b");
    m = log_request("b");
    assert_int_equal(m.append_entries.n, 50);
    bed_close(&b);
}

static void refusal_in_the_pipeline_falls_back_to_what_is_known(void **state)
{
    (void)state;
    lead();
    bed_follow(&b, "b");
    bed_propose(&b, 1, "x");
    bed_propose(&b, 2, "y");
    struct raft_message first = log_request("b"), second = log_request("b");
    refuse(first, "b", 2, true);
    struct raft_message m = log_request("b");
    assert_int_equal(m.channel, RAFT_CHANNEL_PLAIN);
    assert_int_equal(m.append_entries.prev_index, 2);
    assert_int_equal(m.append_entries.n, 2);
    /* What was in the pipeline no longer counts, whatever comes of it. */
    refuse(second, "b", 0, true);
    struct raft_peer_state p;
    assert_true(raft_get_peer(b.r, "b", &p));
    assert_int_equal(p.next_index, 3);
    bed_close(&b);
}

static void answers_out_of_order_count(void **state)
{
    (void)state;
    lead();
    bed_follow(&b, "b");
    bed_propose(&b, 1, "x");
    bed_propose(&b, 2, "y");
    bed_persist(&b);
    struct raft_message first = log_request("b"), second = log_request("b");
    accept(second, "b");
    assert_int_equal(bed_state(&b).commit_index, 4);
    accept(first, "b");
    assert_int_equal(bed_state(&b).commit_index, 4);
    accept(second, "b"); /* a repeated answer is nobody's */
    struct raft_peer_state p;
    assert_true(raft_get_peer(b.r, "b", &p));
    assert_int_equal(p.match_index, 4);
    bed_close(&b);
}

/* The next log request to b; c keeps us in office meanwhile. */
static struct raft_message await_request(void)
{
    for (uint64_t start = b.now; b.now < start + 2000; bed_tick(&b, 5)) {
        struct raft_message m;
        bed_follow(&b, "c");
        while (bed_take(&b, RAFT_APPEND_ENTRIES, "b", &m))
            if (!m.append_entries.heartbeat) return m;
    }
    fail_msg("b is not asked again");
    return (struct raft_message){ 0 };
}

static void failures_back_off_up_to_half_the_heartbeat_timeout(void **state)
{
    (void)state;
    lead();
    uint64_t longest = 0;
    struct raft_message m = log_request("b");
    for (int i = 0; i < 15; i++) {
        uint64_t start = b.now;
        break_off(m, "b", false);
        m = await_request();
        if (b.now - start > longest) longest = b.now - start;
    }
    assert_in_range(longest, 490, 510);
    bed_close(&b);
}

static void peer_without_the_beginning_gets_a_snapshot(void **state)
{
    (void)state;
    lead();
    bed_follow(&b, "b");
    bed_propose(&b, 1, "x");
    bed_persist(&b);
    bed_follow(&b, "b");
    bed_apply(&b);
    struct raft_event taken = { .type = RAFT_SNAPSHOT_TAKEN, .snapshot_taken = { 3, 2, 0 } };
    bed_step(&b, &taken);
    assert_int_equal(b.out.compact_to, 3);
    refuse(log_request("c"), "c", 0, true);
    struct raft_message m = bed_expect(&b, RAFT_INSTALL_SNAPSHOT, "c");
    assert_int_equal(m.install_snapshot.last_log_index, 3);
    assert_int_equal(m.install_snapshot.last_log_term, 2);
    assert_int_equal(m.install_snapshot.configuration_index, 1);
    struct raft_message yes = bed_answer(&m, "c", RAFT_INSTALL_SNAPSHOT_RESPONSE, 2);
    yes.install_snapshot_response.success = true;
    bed_receive(&b, yes);
    struct raft_peer_state p;
    assert_true(raft_get_peer(b.r, "c", &p));
    assert_int_equal(p.match_index, 3);
    bed_propose(&b, 2, "y");
    m = log_request("c");
    assert_int_equal(m.append_entries.prev_index, 3);
    assert_int_equal(m.append_entries.prev_term, 2);
    bed_close(&b);
}

static void unreadable_entries_lead_to_a_snapshot(void **state)
{
    (void)state;
    lead();
    bed_follow(&b, "b");
    bed_propose(&b, 1, "x");
    bed_persist(&b);
    bed_follow(&b, "b");
    bed_apply(&b);
    struct raft_event taken = { .type = RAFT_SNAPSHOT_TAKEN, .snapshot_taken = { 2, 2, 0 } };
    bed_step(&b, &taken);
    break_off(log_request("c"), "c", true);
    for (int i = 0; i < 20; i++) {
        bed_follow(&b, "b");
        bed_tick(&b, 10);
    }
    bed_expect(&b, RAFT_INSTALL_SNAPSHOT, "c");
    bed_close(&b);
}

static void idle_peers_learn_of_a_commit(void **state)
{
    (void)state;
    lead();
    bed_follow(&b, "b");
    bed_follow(&b, "c");
    bed_propose(&b, 1, "x");
    bed_persist(&b);
    bed_follow(&b, "b");
    bed_follow(&b, "c");
    assert_int_equal(bed_state(&b).commit_index, 3);
    bed_forget(&b);
    bed_tick(&b, 100);
    struct raft_message m = log_request("b");
    assert_int_equal(m.append_entries.n, 0);
    assert_int_equal(m.append_entries.commit_index, 3);
    assert_int_equal(m.append_entries.prev_index, 3);
    /* and are not told again */
    bed_follow(&b, "c");
    accept(m, "b");
    bed_forget(&b);
    bed_tick(&b, 100);
    assert_false(log_request_pending("b"));
    bed_close(&b);
}

static void batches_respect_the_count(void **state)
{
    (void)state;
    lead();
    bed_follow(&b, "b");
    struct raft_proposal v[200];
    for (size_t i = 0; i < 200; i++)
        v[i] = (struct raft_proposal){ .handle = i + 1, .data = STR("x"), .type = RAFT_COMMAND };
    bed_step(&b, &(struct raft_event){ .type = RAFT_PROPOSE, .propose = { v, 200 } });
    size_t n = 0;
    struct raft_message m;
    while (bed_take(&b, RAFT_APPEND_ENTRIES, "b", &m)) {
        assert_true(m.append_entries.n <= RAFT_APPEND_ENTRIES_MAX);
        n += m.append_entries.n;
    }
    assert_int_equal(n, 200);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request_at_a_time_until_the_first_success),
        cmocka_unit_test(pipeline_is_bounded),
        cmocka_unit_test(refusal_in_the_pipeline_falls_back_to_what_is_known),
        cmocka_unit_test(answers_out_of_order_count),
        cmocka_unit_test(failures_back_off_up_to_half_the_heartbeat_timeout),
        cmocka_unit_test(peer_without_the_beginning_gets_a_snapshot),
        cmocka_unit_test(unreadable_entries_lead_to_a_snapshot),
        cmocka_unit_test(idle_peers_learn_of_a_commit),
        cmocka_unit_test(batches_respect_the_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
