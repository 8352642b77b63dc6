/* SPDX-License-Identifier: Apache-2.0 */
/* What autopilot and the joining of servers decide, as pure functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/server/autopilot.h"

#define SECOND INT64_C(1000000000)

struct cluster {
    struct raft_driver_server raft[8];
    size_t raft_n;
    struct lan_server lan[8];
    size_t lan_n;
    struct autopilot_stats stats[8];
    bool heard[8];
};

static const char *const ids[] = { "a", "b", "c", "d", "e", "f", "g", "h" };
static const char *const addresses[] = { "10.0.0.1:8300", "10.0.0.2:8300", "10.0.0.3:8300",
    "10.0.0.4:8300", "10.0.0.5:8300", "10.0.0.6:8300", "10.0.0.7:8300", "10.0.0.8:8300" };

/* n healthy servers, all voters, all members. */
static struct cluster cluster_of(size_t n)
{
    struct cluster c = { .raft_n = n, .lan_n = n };
    for (size_t i = 0; i < n; i++) {
        c.raft[i] = (struct raft_driver_server){ str_of(ids[i]), str_of(addresses[i]), 0 };
        c.lan[i] = (struct lan_server){ .name = str_of(ids[i]),
            .id = str_of(ids[i]),
            .address = str_of(addresses[i]),
            .version = STR("1.8.6"),
            .raft_version = 3,
            .status = SERF_ALIVE };
        c.stats[i] = (struct autopilot_stats){ .known = true, .last_term = 3, .last_index = 1000 };
    }
    return c;
}

static struct list members(struct cluster *c)
{
    return (struct list){ .v = c->lan, .n = c->lan_n };
}

static struct raft_driver_state state_of(const struct cluster *c)
{
    return (struct raft_driver_state){ .servers = c->raft,
        .servers_n = c->raft_n,
        .leader_address = str_of(addresses[0]),
        .last_log_term = 3,
        .last_log_index = 1000 };
}

static const struct autopilot_config defaults = { .cleanup_dead_servers = true,
    .last_contact_threshold = SECOND / 5,
    .max_trailing_logs = 250,
    .server_stabilization_time = 10 * SECOND };

static void judge_at(struct autopilot_table *t, struct cluster *c, int64_t now)
{
    struct raft_driver_state state = state_of(c);
    struct list l = members(c);
    autopilot_judge(t, &state, &l, c->stats, &defaults, now);
}

static void all_well_tolerates_a_minority(void **unused)
{
    struct autopilot_table t = { 0 };
    struct cluster c = cluster_of(5);
    (void)unused;
    judge_at(&t, &c, SECOND);
    assert_true(t.healthy);
    assert_int_equal(t.n, 5);
    assert_int_equal(t.failure_tolerance, 2);
    assert_true(t.rows[0].leader);
    assert_false(t.rows[1].leader);
    c = cluster_of(1);
    judge_at(&t, &c, SECOND);
    assert_true(t.healthy);
    assert_int_equal(t.failure_tolerance, 0);
}

static void each_reason_makes_a_server_unhealthy(void **unused)
{
    (void)unused;
    for (int reason = 0; reason < 6; reason++) {
        struct autopilot_table t = { 0 };
        struct cluster c = cluster_of(3);
        if (reason == 0) c.lan[1].status = SERF_FAILED;
        if (reason == 1) c.stats[1].last_contact_ns = SECOND / 5 + 1;
        if (reason == 2) c.stats[1].last_contact_ns = -1;
        if (reason == 3) c.stats[1].last_term = 2;
        if (reason == 4) c.stats[1].last_index = 749;
        if (reason == 5) c.stats[1].known = false;
        judge_at(&t, &c, SECOND);
        assert_false(t.rows[1].healthy);
        assert_false(t.healthy);
        assert_true(t.rows[2].healthy);
        assert_int_equal(t.failure_tolerance, 0);
    }
}

static void as_many_entries_behind_as_allowed_is_healthy(void **unused)
{
    struct autopilot_table t = { 0 };
    struct cluster c = cluster_of(3);
    (void)unused;
    c.stats[1].last_index = 750;
    c.stats[2].last_contact_ns = SECOND / 5;
    judge_at(&t, &c, SECOND);
    assert_true(t.healthy);
}

static void a_server_that_left_is_no_member(void **unused)
{
    struct autopilot_table t = { 0 };
    struct cluster c = cluster_of(3);
    (void)unused;
    c.lan[2].status = SERF_LEFT;
    judge_at(&t, &c, SECOND);
    assert_int_equal(t.rows[2].status, SERF_NONE);
    assert_string_equal(t.rows[2].name, "");
    assert_int_equal(t.rows[2].last_contact_ns, -1);
}

static void stable_since_changes_with_health_alone(void **unused)
{
    struct autopilot_table t = { 0 };
    struct cluster c = cluster_of(3);
    (void)unused;
    judge_at(&t, &c, 1 * SECOND);
    judge_at(&t, &c, 3 * SECOND);
    assert_int_equal(t.rows[1].stable_since_ns, 1 * SECOND);
    c.lan[1].status = SERF_FAILED;
    judge_at(&t, &c, 5 * SECOND);
    judge_at(&t, &c, 7 * SECOND);
    assert_int_equal(t.rows[1].stable_since_ns, 5 * SECOND);
    assert_int_equal(t.rows[0].stable_since_ns, 1 * SECOND);
}

static void a_stable_non_voter_is_promoted_and_no_other(void **unused)
{
    struct autopilot_table t = { 0 };
    struct cluster c = cluster_of(4);
    (void)unused;
    c.raft[1].suffrage = 2;
    c.raft[3].suffrage = 1;
    judge_at(&t, &c, 0);
    assert_null(autopilot_promotion(&t, &defaults, 10 * SECOND - 1));
    const struct autopilot_row *r = autopilot_promotion(&t, &defaults, 10 * SECOND);
    assert_non_null(r);
    assert_string_equal(r->id, "d");
    c.stats[3].known = false;
    judge_at(&t, &c, 0);
    assert_null(autopilot_promotion(&t, &defaults, 60 * SECOND));
}

static void contact_is_read_as_servers_write_it(void **unused)
{
    (void)unused;
    assert_int_equal(autopilot_contact_ns(STR("0")), 0);
    assert_int_equal(autopilot_contact_ns(STR("never")), -1);
    assert_int_equal(autopilot_contact_ns(STR("12.5ms")), 12500000);
    assert_int_equal(autopilot_contact_ns(STR("soon")), -1);
}

/* --- the dead -------------------------------------------------------------------------------- */

static struct autopilot_dead dead_of(struct cluster *c, const struct autopilot_config *config)
{
    struct autopilot_dead out;
    struct raft_driver_state state = state_of(c);
    struct list l = members(c);
    autopilot_find_dead(&out, &state, &l, c->heard, config);
    return out;
}

static void one_dead_voter_of_three_is_cleaned_up(void **unused)
{
    struct cluster c = cluster_of(3);
    (void)unused;
    c.lan[2].status = SERF_FAILED;
    struct autopilot_dead d = dead_of(&c, &defaults);
    assert_null(d.refused);
    assert_int_equal(d.force_n, 1);
    assert_true(str_is(d.force[0], "c"));
    assert_int_equal(d.stale_n, 0);
}

static void a_dead_majority_or_half_is_kept(void **unused)
{
    (void)unused;
    for (size_t n = 2; n <= 4; n += 2) {
        struct cluster c = cluster_of(n);
        for (size_t i = n / 2; i < n; i++)
            c.lan[i].status = SERF_FAILED;
        struct autopilot_dead d = dead_of(&c, &defaults);
        assert_non_null(d.refused);
        assert_int_equal(d.force_n + d.stale_n, 0);
    }
}

static void the_least_quorum_is_kept(void **unused)
{
    struct autopilot_config config = defaults;
    struct cluster c = cluster_of(5);
    (void)unused;
    c.lan[4].status = SERF_FAILED;
    config.min_quorum = 5;
    assert_non_null(dead_of(&c, &config).refused);
    config.min_quorum = 4;
    assert_null(dead_of(&c, &config).refused);
    config.cleanup_dead_servers = false;
    assert_int_equal(dead_of(&c, &config).force_n, 0);
}

static void dead_non_voters_go_whatever_the_count(void **unused)
{
    struct cluster c = cluster_of(4);
    (void)unused;
    c.raft[3].suffrage = 1;
    c.lan[3].status = c.lan[2].status = c.lan[1].status = SERF_FAILED;
    struct autopilot_dead d = dead_of(&c, &defaults);
    assert_non_null(d.refused);
    assert_int_equal(d.force_n, 1);
    assert_true(str_is(d.force[0], "d"));
}

static void who_is_no_member_leaves_raft(void **unused)
{
    struct cluster c = cluster_of(3);
    (void)unused;
    c.lan_n = 2;
    struct autopilot_dead d = dead_of(&c, &defaults);
    assert_null(d.refused);
    assert_int_equal(d.stale_n, 1);
    assert_true(str_is(d.stale[0].id, "c"));
    assert_int_equal(d.stale[0].op, DRIVER_REMOVE);
}

static void who_answers_is_not_dead_though_gossip_lost_it(void **unused)
{
    struct cluster c = cluster_of(3);
    (void)unused;
    c.lan_n = 2;
    c.heard[2] = true;
    struct autopilot_dead d = dead_of(&c, &defaults);
    assert_null(d.refused);
    assert_int_equal(d.stale_n, 0);
}

/* --- joining ---------------------------------------------------------------------------------- */

static enum raft_join join(struct cluster *c, size_t member, bool self, struct raft_wish *out)
{
    struct list l = members(c);
    return raft_join_change(c->raft, c->raft_n, &l, &c->lan[member], self, out);
}

static void a_new_server_comes_in_as_a_non_voter(void **unused)
{
    struct cluster c = cluster_of(3);
    struct raft_wish w;
    (void)unused;
    assert_int_equal(join(&c, 2, false, &w), RAFT_JOIN_NONE);
    c.raft_n = 2;
    assert_int_equal(join(&c, 2, false, &w), RAFT_JOIN_ADD);
    assert_int_equal(w.op, DRIVER_ADD_NONVOTER);
    assert_true(str_is(w.id, "c"));
    assert_true(str_is(w.address, "10.0.0.3:8300"));
}

static void an_old_protocol_brings_voters(void **unused)
{
    struct cluster c = cluster_of(3);
    struct raft_wish w;
    (void)unused;
    c.raft_n = 2;
    c.lan[0].raft_version = 2;
    assert_int_equal(join(&c, 2, false, &w), RAFT_JOIN_ADD);
    assert_int_equal(w.op, DRIVER_ADD_VOTER);
    assert_true(str_is(w.id, "c"));
    c.lan[0].raft_version = 1;
    assert_int_equal(join(&c, 2, false, &w), RAFT_JOIN_ADD);
    assert_true(str_is(w.id, "10.0.0.3:8300"));
}

static void who_moved_keeps_its_place_and_gets_the_new_address(void **unused)
{
    (void)unused;
    for (size_t n = 1; n < 5; n++) {
        struct cluster c = cluster_of(n);
        struct raft_wish w;
        c.raft[n - 1].address = STR("10.9.9.9:8300");
        for (int self = 0; self < 2; self++) {
            assert_int_equal(join(&c, n - 1, self, &w), RAFT_JOIN_ADD);
            assert_true(str_is(w.id, ids[n - 1]) && str_is(w.address, addresses[n - 1]));
        }
    }
}

static void a_reused_address_is_removed_first(void **unused)
{
    struct cluster c = cluster_of(3);
    struct raft_wish w;
    (void)unused;
    c.raft[2].id = STR("old");
    assert_int_equal(join(&c, 2, false, &w), RAFT_JOIN_REMOVE);
    assert_true(str_is(w.id, "old"));
}

static void two_bootstrapping_servers_stay_apart(void **unused)
{
    struct cluster c = cluster_of(2);
    struct raft_wish w;
    (void)unused;
    c.raft_n = 1;
    c.lan[0].bootstrap = c.lan[1].bootstrap = true;
    assert_int_equal(join(&c, 1, false, &w), RAFT_JOIN_CLASH);
    c.lan[0].bootstrap = false;
    assert_int_equal(join(&c, 1, false, &w), RAFT_JOIN_ADD);
}

static void a_small_cluster_leaves_its_leader_alone(void **unused)
{
    struct cluster c = cluster_of(2);
    struct raft_wish w;
    (void)unused;
    c.raft[0].id = STR("old");
    assert_int_equal(join(&c, 0, true, &w), RAFT_JOIN_NONE);
}

static void who_leaves_is_found_by_id_then_by_address(void **unused)
{
    struct cluster c = cluster_of(3);
    struct raft_wish w;
    (void)unused;
    assert_true(raft_leave_change(c.raft, 3, STR("b"), STR("1.1.1.1:1"), &w));
    assert_true(str_is(w.address, "10.0.0.2:8300"));
    assert_true(raft_leave_change(c.raft, 3, STR("x"), STR("10.0.0.3:8300"), &w));
    assert_true(str_is(w.id, "c"));
    assert_false(raft_leave_change(c.raft, 3, STR_NIL, STR("1.1.1.1:1"), &w));
}

/* --- any configuration ------------------------------------------------------------------------ */

static uint64_t seed;

static size_t below(size_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(seed >> 33) % n;
}

/* Entries with ids and addresses of eight each, none twice, and members in any state. */
static struct cluster any_cluster(void)
{
    struct cluster c = cluster_of(8);
    for (size_t i = 8; i > 1; i--) {
        size_t k = below(i);
        struct str address = c.raft[i - 1].address;
        c.raft[i - 1].address = c.raft[k].address;
        c.raft[k].address = address;
    }
    c.raft_n = below(9);
    c.lan_n = 1 + below(8);
    for (size_t i = 0; i < 8; i++) {
        c.raft[i].suffrage = (uint8_t)below(2);
        c.heard[i] = below(4) == 0;
        c.lan[i].status = (enum serf_status)(SERF_ALIVE + below(4));
    }
    return c;
}

static void apply_wish(struct cluster *c, const struct raft_wish *w)
{
    if (w->op != DRIVER_REMOVE) {
        size_t i = 0;
        while (i < c->raft_n && !str_eq(c->raft[i].id, w->id))
            i++;
        if (i == c->raft_n) c->raft[c->raft_n++] = (struct raft_driver_server){ w->id, STR(""), 1 };
        c->raft[i].address = w->address;
        return;
    }
    size_t at = 0;
    while (at < c->raft_n && !str_eq(c->raft[at].id, w->id))
        at++;
    assert_true(at < c->raft_n);
    for (c->raft_n--; at < c->raft_n; at++)
        c->raft[at] = c->raft[at + 1];
}

static void joining_ends_with_the_one_right_entry(void **unused)
{
    (void)unused;
    for (seed = 1; seed < 3000; seed += 7) {
        struct cluster c = any_cluster();
        const struct lan_server *m = &c.lan[0];
        struct raft_wish w;
        c.lan[0].status = SERF_ALIVE;
        for (int steps = 0; join(&c, 0, false, &w) != RAFT_JOIN_NONE; steps++) {
            assert_true(steps < 4);
            apply_wish(&c, &w);
        }
        size_t own = 0;
        for (size_t i = 0; i < c.raft_n; i++) {
            bool id = str_eq(c.raft[i].id, m->id), address = str_eq(c.raft[i].address, m->address);
            assert_true(id == address);
            own += id;
        }
        assert_int_equal(own, 1);
    }
}

static void a_clean_up_never_takes_half_of_the_voters(void **unused)
{
    struct autopilot_config config = defaults;
    (void)unused;
    for (seed = 1; seed < 3000; seed += 7) {
        struct cluster c = any_cluster();
        size_t voters = 0, dead = 0;
        config.min_quorum = below(4);
        struct autopilot_dead d = dead_of(&c, &config);
        for (size_t i = 0; i < c.raft_n; i++)
            voters += c.raft[i].suffrage == 0;
        for (size_t i = 0; i < d.force_n; i++)
            for (size_t k = 0; k < c.raft_n; k++)
                dead += c.raft[k].suffrage == 0 && (str_eq(c.raft[k].id, d.force[i]));
        dead += d.stale_n;
        if (dead == 0) continue;
        assert_true(2 * dead < voters && voters - dead >= config.min_quorum);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_well_tolerates_a_minority),
        cmocka_unit_test(each_reason_makes_a_server_unhealthy),
        cmocka_unit_test(as_many_entries_behind_as_allowed_is_healthy),
        cmocka_unit_test(a_server_that_left_is_no_member),
        cmocka_unit_test(stable_since_changes_with_health_alone),
        cmocka_unit_test(a_stable_non_voter_is_promoted_and_no_other),
        cmocka_unit_test(contact_is_read_as_servers_write_it),
        cmocka_unit_test(one_dead_voter_of_three_is_cleaned_up),
        cmocka_unit_test(a_dead_majority_or_half_is_kept),
        cmocka_unit_test(the_least_quorum_is_kept),
        cmocka_unit_test(dead_non_voters_go_whatever_the_count),
        cmocka_unit_test(who_is_no_member_leaves_raft),
        cmocka_unit_test(who_answers_is_not_dead_though_gossip_lost_it),
        cmocka_unit_test(a_new_server_comes_in_as_a_non_voter),
        cmocka_unit_test(an_old_protocol_brings_voters),
        cmocka_unit_test(who_moved_keeps_its_place_and_gets_the_new_address),
        cmocka_unit_test(a_reused_address_is_removed_first),
        cmocka_unit_test(two_bootstrapping_servers_stay_apart),
        cmocka_unit_test(a_small_cluster_leaves_its_leader_alone),
        cmocka_unit_test(who_leaves_is_found_by_id_then_by_address),
        cmocka_unit_test(joining_ends_with_the_one_right_entry),
        cmocka_unit_test(a_clean_up_never_takes_half_of_the_voters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
