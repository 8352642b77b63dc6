/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cluster/lone_driver.h"

static void a_lone_server_elects_itself(void **state)
{
    struct fixture *f = *state;
    boot(f);
    struct raft_driver_state st = state_of(f);
    assert_int_equal(st.role, DRIVER_LEADER);
    assert_int_equal(f->role, DRIVER_LEADER);
    assert_int_equal(st.term, 2);
    assert_int_equal(st.last_log_index, 2);
    assert_int_equal(st.applied_index, 2);
    assert_int_equal(st.servers_n, 1);
    assert_true(str_is(st.leader_address, "127.0.0.1:8300"));
    assert_true(raft_driver_is_leader(f->driver));
}

static void a_leader_has_applied_what_was_acknowledged(void **state)
{
    struct fixture *f = *state;
    char path[4200];
    boot(f);
    put(f, "a", "1");
    halt(f);
    snprintf(path, sizeof path, "%s/state", f->dir);
    scratch_remove_tree(path);
    struct error err = { 0 };
    f->role = DRIVER_FOLLOWER;
    if (try_boot(f, &err)) fail_msg("%s", err.text);
    f->observer = (struct raft_driver_observer){ .changed = on_changed, .ctx = f };
    raft_driver_observe(f->driver, &f->observer);
    raft_driver_start(f->driver);
    assert_false(has(f, "a", "1"));
    for (int i = 0; i < 100 && !raft_driver_is_leader(f->driver); i++) {
        assert_int_not_equal(f->role, DRIVER_LEADER);
        assert_int_equal(state_of(f).leader_address.n, 0);
        fake_world_turn(&f->world);
        if (!raft_driver_is_leader(f->driver)) fake_world_run_job(&f->world);
    }
    assert_true(has(f, "a", "1"));
    assert_int_equal(f->role, DRIVER_LEADER);
}

static void without_bootstrap_it_waits(void **state)
{
    struct fixture *f = *state;
    boot(f);
    halt(f);
    scratch_destroy(f->dir);
    f->dir = scratch_create();
    snprintf(f->raft_dir, sizeof f->raft_dir, "%s/raft", f->dir);
    struct error err;
    f->options.bootstrap = false;
    struct store_options so = { .dir = f->dir, .map_size = 1u << 30, .boot_id = "one" };
    struct store_report report;
    assert_int_equal(store_open(&so, &f->store, &report, &err), 0);
    f->options.store = f->store;
    assert_int_equal(raft_driver_create(&f->options, &f->driver, &err), 0);
    f->observer = (struct raft_driver_observer){ .changed = on_changed, .ctx = f };
    raft_driver_observe(f->driver, &f->observer);
    raft_driver_start(f->driver);
    fake_world_advance(&f->world, 20000);
    assert_int_equal(state_of(f).role, DRIVER_FOLLOWER);
    struct request q = request();
    propose(f, &q, "a", STR("1"));
    fake_world_advance(&f->world, 20);
    assert_int_equal(q.done, 1);
    assert_string_equal(q.r.err.text, RAFT_ERR_NOT_LEADER);
}

static void a_proposal_is_answered_when_durable_and_applied(void **state)
{
    struct fixture *f = *state;
    boot(f);
    struct request q = request();
    propose(f, &q, "a", STR("1"));
    assert_int_equal(q.done, 0);
    fake_world_turn(&f->world);
    fake_world_turn(&f->world);
    assert_int_equal(q.done, 0); /* the commit still runs */
    assert_false(has(f, "a", "1"));
    fake_world_run_jobs(&f->world);
    fake_world_turn(&f->world);
    assert_int_equal(q.done, 1);
    assert_int_equal(q.code, 0);
    assert_int_equal(q.index, 3);
    assert_int_equal(q.kind, RESULT_NIL);
    assert_true(has(f, "a", "1"));
}

static void proposals_of_one_turn_share_one_commit(void **state)
{
    struct fixture *f = *state;
    struct request q[200];
    boot(f);
    uint64_t commits = raft_driver_counters(f->driver).commits;
    uint64_t batches = raft_driver_counters(f->driver).apply_batches;
    for (size_t i = 0; i < 200; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%zu", i);
        q[i] = request();
        propose(f, &q[i], key, STR("v"));
    }
    fake_world_turn(&f->world);
    fake_world_run_jobs(&f->world);
    fake_world_turn(&f->world);
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(q[i].done, 1);
        assert_int_equal(q[i].code, 0);
        assert_int_equal(q[i].index, 3 + i);
    }
    assert_int_equal(raft_driver_counters(f->driver).commits, commits + 1);
    assert_int_equal(raft_driver_counters(f->driver).apply_batches, batches + 1);
}

static void more_proposals_than_the_core_takes_are_all_answered(void **state)
{
    struct fixture *f = *state;
    enum { N = 9000 };
    struct request *q = calloc(N, sizeof *q);
    boot(f);
    for (size_t i = 0; i < N; i++) {
        q[i] = request();
        propose(f, &q[i], "same", STR("v"));
    }
    fake_world_advance(&f->world, 1000);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(q[i].done, 1);
        assert_int_equal(q[i].code, 0);
    }
    free(q);
}

static void what_waits_is_bounded(void **state)
{
    struct fixture *f = *state;
    enum { N = 300 };
    struct request *q = calloc(N, sizeof *q);
    char *value = calloc(1, 1 << 20);
    boot(f);
    size_t refused = 0;
    for (size_t i = 0; i < N; i++) {
        q[i] = request();
        propose(f, &q[i], "big", (struct str){ value, 1 << 20 });
    }
    fake_world_advance(&f->world, 5000);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(q[i].done, 1);
        assert_true(q[i].code == 0 || q[i].code == ERR_LIMIT);
        refused += q[i].code != 0;
    }
    assert_true(refused > 0 && refused < N / 2);
    put(f, "after", "1");
    free(value);
    free(q);
}

static void a_command_the_state_machine_refuses_is_an_answer(void **state)
{
    struct fixture *f = *state;
    boot(f);
    struct buf out = BUF_INIT(4096);
    struct request q = request();
    struct kvs_request req = { .op = STR("nonsense"), .dir_ent = { .key = STR("a") } };
    command_encode(COMMAND_KVS, &req, &out);
    q.r.ctx = &q;
    raft_driver_propose(f->driver, &q.r, buf_str(&out));
    buf_deinit(&out);
    fake_world_advance(&f->world, 50);
    assert_int_equal(q.done, 1);
    assert_int_equal(q.code, 0);
    assert_int_equal(q.kind, RESULT_ERROR);
}

static void a_forgotten_request_is_not_called(void **state)
{
    struct fixture *f = *state;
    boot(f);
    struct request q = request();
    propose(f, &q, "a", STR("1"));
    raft_driver_forget(&q.r);
    fake_world_advance(&f->world, 50);
    assert_int_equal(q.done, 0);
    struct request p = request();
    propose(f, &p, "b", STR("1"));
    fake_world_turn(&f->world);
    raft_driver_forget(&p.r);
    fake_world_advance(&f->world, 50);
    assert_int_equal(p.done, 0);
    assert_true(has(f, "b", "1"));
}

static void large_kv_commands_go_in_chunks(void **state)
{
    struct fixture *f = *state;
    boot(f);
    size_t n = 1200000;
    char *value = malloc(n + 1);
    memset(value, 'x', n);
    value[n] = '\0';
    struct request q = request();
    propose(f, &q, "big", (struct str){ value, n });
    fake_world_advance(&f->world, 100);
    assert_int_equal(q.done, 1);
    assert_int_equal(q.code, 0);
    assert_int_equal(q.index, 5);
    assert_true(has(f, "big", value));
    free(value);
}

static void barrier_and_verify_are_answered(void **state)
{
    struct fixture *f = *state;
    boot(f);
    struct request barrier = request(), verify = request();
    barrier.r.ctx = &barrier;
    verify.r.ctx = &verify;
    raft_driver_barrier(f->driver, &barrier.r);
    raft_driver_verify_leader(f->driver, &verify.r);
    fake_world_turn(&f->world);
    assert_int_equal(verify.done, 1);
    assert_int_equal(verify.code, 0);
    assert_int_equal(barrier.done, 0);
    fake_world_advance(&f->world, 50);
    assert_int_equal(barrier.done, 1);
    assert_int_equal(barrier.index, 3);
}

static void everything_is_there_after_a_restart(void **state)
{
    struct fixture *f = *state;
    boot(f);
    put(f, "a", "1");
    put(f, "b", "2");
    uint64_t term = state_of(f).term;
    halt(f);
    f->role = DRIVER_FOLLOWER;
    boot(f);
    assert_int_equal(state_of(f).role, DRIVER_LEADER);
    assert_true(state_of(f).term > term);
    assert_true(has(f, "a", "1"));
    assert_true(has(f, "b", "2"));
    put(f, "c", "3");
    assert_true(has(f, "c", "3"));
}

static void a_lost_state_is_rebuilt_from_the_log(void **state)
{
    struct fixture *f = *state;
    char path[4200];
    boot(f);
    put(f, "a", "1");
    uint64_t applied = state_of(f).applied_index;
    halt(f);
    snprintf(path, sizeof path, "%s/state", f->dir);
    scratch_remove_tree(path);
    boot(f);
    assert_true(state_of(f).applied_index > applied);
    assert_true(has(f, "a", "1"));
}

static uint64_t take_snapshot(struct fixture *f)
{
    struct request q = request();
    q.r.ctx = &q;
    raft_driver_snapshot(f->driver, &q.r);
    fake_world_advance(&f->world, 100);
    if (q.done != 1 || q.code) fail_msg("snapshot: %s", q.r.err.text);
    return q.index;
}

static void a_lost_state_is_rebuilt_from_snapshot_and_log(void **state)
{
    struct fixture *f = *state;
    char path[4200];
    f->options.trailing_logs = 1;
    boot(f);
    put(f, "a", "1");
    put(f, "b", "1");
    assert_int_equal(take_snapshot(f), 4);
    assert_int_equal(take_snapshot(f), 0);
    put(f, "b", "2");
    put(f, "c", "3");
    assert_int_equal(state_of(f).last_snapshot_index, 4);
    halt(f);
    snprintf(path, sizeof path, "%s/state", f->dir);
    scratch_remove_tree(path);
    boot(f);
    assert_true(has(f, "a", "1"));
    assert_true(has(f, "b", "2"));
    assert_true(has(f, "c", "3"));
    assert_int_equal(state_of(f).last_snapshot_index, 4);
    assert_int_equal(state_of(f).servers_n, 1);
}

static void snapshots_follow_the_threshold_and_give_up_the_log(void **state)
{
    struct fixture *f = *state;
    f->options.snapshot_threshold = 50;
    f->options.snapshot_interval_ms = 1000;
    f->options.trailing_logs = 10;
    boot(f);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 60; i++)
            put(f, "k", round % 2 ? "odd" : "even");
        fake_world_advance(&f->world, 3000);
    }
    assert_true(raft_driver_counters(f->driver).snapshots >= 4);
    assert_true(state_of(f).last_snapshot_index > 200);
    halt(f);
    boot(f);
    assert_true(has(f, "k", "odd"));
}

static void missing_log_files_are_named(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    boot(f);
    put(f, "a", "1");
    halt(f);
    scratch_remove_tree(f->raft_dir);
    assert_int_equal(try_boot(f, &err), ERR_IO);
    f->driver = NULL;
    assert_non_null(strstr(err.text, "the raft log in"));
    assert_non_null(strstr(err.text, "ends at 0"));
}

static void a_full_disk_refuses_writes_keeps_reads_and_recovers(void **state)
{
    struct fixture *f = *state;
    boot(f);
    put(f, "a", "1");
    f->disk.fail_at = f->disk.count + 1;
    f->disk.stays = true;
    struct request waiting = request(), next = request(), verify = request();
    propose(f, &waiting, "b", STR("1"));
    fake_world_advance(&f->world, 50);
    assert_int_equal(waiting.done, 1);
    assert_int_equal(waiting.code, ERR_IO);
    assert_non_null(strstr(waiting.r.err.text, "No space left on device"));
    propose(f, &next, "c", STR("1"));
    verify.r.ctx = &verify;
    raft_driver_verify_leader(f->driver, &verify.r);
    fake_world_advance(&f->world, 20);
    assert_int_equal(next.code, ERR_IO);
    assert_int_equal(verify.done, 1);
    assert_int_equal(verify.code, 0);
    assert_true(state_of(f).writes_refused);
    assert_true(has(f, "a", "1"));
    assert_false(has(f, "b", "1"));
    fake_world_advance(&f->world, 5000);
    assert_true(raft_driver_counters(f->driver).commit_failures >= 5);
    assert_int_equal(state_of(f).role, DRIVER_LEADER);
    f->disk.fail_at = 0;
    fake_world_advance(&f->world, 2000);
    assert_false(state_of(f).writes_refused);
    put(f, "d", "1");
    halt(f);
    boot(f);
    assert_true(has(f, "a", "1"));
    assert_true(has(f, "d", "1"));
    assert_false(has(f, "c", "1"));
}

/* Any one failing disk operation: what was answered with success is there, now and after a
 * restart. */
static void no_failing_operation_loses_an_acknowledged_write(void **state)
{
    bool failed = true;
    for (long k = 1; failed && k < 300; k++) {
        teardown(state);
        setup(state);
        struct fixture *f = *state;
        f->options.trailing_logs = 2;
        boot(f);
        f->disk.count = f->disk.failures = 0;
        f->disk.fail_at = k;
        bool acknowledged[12] = { 0 };
        for (size_t i = 0; i < 12; i++) {
            char key[16];
            struct request q = request();
            snprintf(key, sizeof key, "k%zu", i);
            propose(f, &q, key, STR("v"));
            fake_world_advance(&f->world, 30);
            assert_int_equal(q.done, 1);
            acknowledged[i] = q.code == 0;
            if (q.code) fake_world_advance(&f->world, 2000);
            if (i != 5) continue;
            struct request s = request();
            s.r.ctx = &s;
            raft_driver_snapshot(f->driver, &s.r);
            fake_world_advance(&f->world, 100);
            assert_int_equal(s.done, 1);
        }
        failed = f->disk.failures > 0;
        f->disk.fail_at = 0;
        for (int restarted = 0; restarted < 2; restarted++) {
            for (size_t i = 0; i < 12; i++) {
                char key[16];
                snprintf(key, sizeof key, "k%zu", i);
                if (acknowledged[i]) assert_true(has(f, key, "v"));
            }
            if (restarted) break;
            halt(f);
            boot(f);
        }
    }
}

static void stopping_fails_what_waits(void **state)
{
    struct fixture *f = *state;
    boot(f);
    struct request q = request(), r = request();
    propose(f, &q, "a", STR("1"));
    fake_world_turn(&f->world);
    propose(f, &r, "b", STR("1"));
    f->stopped = false;
    raft_driver_unobserve(&f->observer);
    raft_driver_stop(f->driver, on_stopped, f);
    fake_world_turn(&f->world);
    assert_int_equal(q.done, 1);
    assert_int_equal(r.done, 1);
    assert_string_equal(q.r.err.text, RAFT_ERR_SHUTDOWN);
    assert_string_equal(r.r.err.text, RAFT_ERR_SHUTDOWN);
    assert_false(f->stopped); /* the commit still runs */
    struct request late = request();
    propose(f, &late, "c", STR("1"));
    assert_int_equal(late.done, 0);
    fake_world_turn(&f->world);
    assert_int_equal(late.done, 1);
    assert_string_equal(late.r.err.text, RAFT_ERR_SHUTDOWN);
    fake_world_advance(&f->world, 50);
    assert_true(f->stopped);
    raft_driver_destroy(f->driver);
    f->driver = NULL;
    store_close(f->store);
}

static void an_idle_leader_wakes_for_nothing(void **state)
{
    struct fixture *f = *state;
    boot(f);
    fake_world_advance(&f->world, 1000);
    size_t running = 0;
    for (size_t i = 0; i < FAKE_TIMERS_MAX; i++)
        running += f->world.timers[i] && f->world.timers[i]->due_ms < f->world.now_ms + 20000;
    assert_int_equal(running, 0);
}

static void stats_have_the_keys_of_the_api(void **state)
{
    struct fixture *f = *state;
    struct arena a = ARENA_INIT;
    const struct raft_driver_stat *rows;
    boot(f);
    put(f, "a", "1");
    size_t n = raft_driver_stats(f->driver, &a, &rows);
    assert_int_equal(n, 18);
    for (size_t i = 1; i < n; i++)
        assert_true(strcmp(rows[i - 1].key, rows[i].key) < 0);
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(rows[i].key, "state")) assert_true(str_is(rows[i].value, "Leader"));
        if (!strcmp(rows[i].key, "applied_index")) assert_true(str_is(rows[i].value, "3"));
        if (!strcmp(rows[i].key, "num_peers")) assert_true(str_is(rows[i].value, "0"));
        if (!strcmp(rows[i].key, "last_contact")) assert_true(str_is(rows[i].value, "0"));
        if (!strcmp(rows[i].key, "latest_configuration"))
            assert_true(
                str_is(rows[i].value, "[{Suffrage:Voter ID:11111111-2222-3333-4444-555555555555 "
                                      "Address:127.0.0.1:8300}]"));
    }
    arena_free(&a);
}

int main(void)
{
    model_init();
    snapshot_init();
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_lone_server_elects_itself),
        T(a_leader_has_applied_what_was_acknowledged),
        T(without_bootstrap_it_waits),
        T(a_proposal_is_answered_when_durable_and_applied),
        T(proposals_of_one_turn_share_one_commit),
        T(more_proposals_than_the_core_takes_are_all_answered),
        T(what_waits_is_bounded),
        T(a_command_the_state_machine_refuses_is_an_answer),
        T(a_forgotten_request_is_not_called),
        T(large_kv_commands_go_in_chunks),
        T(barrier_and_verify_are_answered),
        T(everything_is_there_after_a_restart),
        T(a_lost_state_is_rebuilt_from_the_log),
        T(a_lost_state_is_rebuilt_from_snapshot_and_log),
        T(snapshots_follow_the_threshold_and_give_up_the_log),
        T(missing_log_files_are_named),
        T(a_full_disk_refuses_writes_keeps_reads_and_recovers),
        T(no_failing_operation_loses_an_acknowledged_write),
        T(stopping_fails_what_waits),
        T(an_idle_leader_wakes_for_nothing),
        T(stats_have_the_keys_of_the_api),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
