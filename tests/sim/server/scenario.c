/* SPDX-License-Identifier: Apache-2.0 */
/* Situations of whole servers, each with what must come of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/model.h"
#include "sim.h"

#define LEASE_MS 500 /* at multiplier 1 */

/* A write at one server. */
struct attempt {
    struct rpc_call call;
    struct kvs_request args;
    struct arena arena;
    struct error err;
    bool ended;
    uint64_t began, took;
    struct sim *sim;
};

#define expect(s, cond) \
    do { \
        if (!(cond)) sim_fail(s, "%s (line %d)", #cond, __LINE__); \
    } while (0)

static void on_ended(struct rpc_call *call)
{
    struct attempt *a = call->ctx;
    a->ended = true;
    a->took = a->sim->now - a->began;
}

static void begin_write(struct sim *s, struct attempt *a, int node)
{
    *a = (struct attempt){ .sim = s, .began = s->now };
    a->args = (struct kvs_request){ .datacenter = STR("dc1"),
        .op = STR("set"),
        .dir_ent = { .key = STR("key"), .value = STR("1 ") } };
    a->call = (struct rpc_call){ .method = "KVS.Apply",
        .args = &a->args,
        .arena = &a->arena,
        .done = on_ended,
        .ctx = a,
        .err = &a->err };
    rpc_submit(server_rpc(s->nodes[node].server), &a->call);
}

static void end_write(struct attempt *a)
{
    rpc_reply_unref(a->call.reply);
    arena_free(&a->arena);
}

static void cut_off(struct sim *s, int node, bool cut)
{
    for (int i = 0; i < s->nodes_n; i++)
        s->cut[i][node] = s->cut[node][i] = cut && i != node;
}

static uint64_t term_of(struct sim *s, int node)
{
    return raft_driver_state(s->nodes[node].raft).term;
}

static bool settled(struct sim *s, uint64_t ms)
{
    char why[256];
    for (uint64_t end = s->now + ms; !s->failed && s->now < end;) {
        sim_until(s, s->now + 250);
        if (!s->failed && converged(s, why, sizeof why)) return true;
    }
    sim_fail(s, "%s", why);
    return false;
}

/* --- situations ------------------------------------------------------------------------------- */

static void a_leader_without_its_quorum_answers_within_the_lease(struct sim *s)
{
    struct attempt a;
    int leader = sim_leader(s);
    cut_off(s, leader, true);
    begin_write(s, &a, leader);
    sim_until(s, s->now + 2 * LEASE_MS);
    expect(s, a.ended && a.call.code < 0);
    expect(s, a.took <= LEASE_MS + 100);
    expect(s, !raft_driver_is_leader(s->nodes[leader].raft));
    cut_off(s, leader, false);
    end_write(&a);
}

static void a_follower_that_was_cut_off_comes_back_quietly(struct sim *s)
{
    int leader = sim_leader(s), follower = (leader + 1) % s->nodes_n;
    uint64_t term = term_of(s, leader);
    cut_off(s, follower, true);
    sim_until(s, s->now + 60000);
    expect(s, term_of(s, follower) <= term + 1);
    cut_off(s, follower, false);
    settled(s, LIVENESS_MS);
    expect(s, sim_leader(s) >= 0 && term_of(s, sim_leader(s)) <= term + 1);
}

static void a_killed_leader_is_replaced_within_a_second_and_a_half(struct sim *s)
{
    int leader = sim_leader(s);
    uint64_t began = s->now;
    bool written = false;
    node_stop(&s->nodes[leader], CRASH_PROCESS);
    while (!s->failed && !written && s->now < began + 1500) {
        struct attempt a;
        begin_write(s, &a, (leader + 1) % s->nodes_n);
        while (!a.ended && s->now < began + CALL_TIMEOUT_MS)
            sim_until(s, s->now + 10);
        expect(s, a.ended);
        written = a.call.code == 0 && s->now <= began + 1500;
        end_write(&a);
    }
    expect(s, written);
}

/* One write after the other at the leader, besides what the clients do. */
static void write_for(struct sim *s, int leader, uint64_t ms)
{
    for (uint64_t end = s->now + ms; !s->failed && s->now < end;) {
        struct attempt a;
        begin_write(s, &a, leader);
        while (!s->failed && !a.ended)
            sim_until(s, s->now + 5);
        end_write(&a);
    }
}

static void take_line(void *ctx, enum log_level level, const char *line, size_t n)
{
    if (level == LOG_WARN && strstr(line, "slower than the log is given up"))
        snprintf(ctx, 512, "%.*s", n < 511 ? (int)n : 511, line);
}

static void a_slow_follower_is_named_and_kept_up(struct sim *s)
{
    char line[512] = "";
    int leader = sim_leader(s), slow = (leader + 1) % s->nodes_n;
    int tap = log_tap_add(take_line, line, LOG_WARN, false);
    s->weather.client_ms = 15;
    clients_start(s);
    s->nodes[slow].lag_ms = 450;
    write_for(s, leader, 30000);
    expect(s, sim_leader(s) == leader);
    expect(s, strstr(line, s->nodes[slow].id) != NULL);
    struct raft_driver_peer p;
    expect(s, raft_driver_peer(s->nodes[leader].raft, str_of(s->nodes[slow].id), &p));
    expect(s, p.snapshots == 0);
    log_tap_remove(tap);
}

static void a_cluster_that_lost_power_goes_on(struct sim *s)
{
    struct attempt a;
    for (int i = 0; i < s->nodes_n; i++)
        node_stop(&s->nodes[i], CRASH_MACHINE);
    sim_until(s, s->now + 5000);
    settled(s, LIVENESS_MS);
    begin_write(s, &a, 0);
    sim_until(s, s->now + 2000);
    expect(s, a.ended && a.call.code == 0);
    end_write(&a);
}

static void all_disks_full_refuse_and_recover(struct sim *s)
{
    struct attempt a, b;
    int leader = sim_leader(s);
    for (int i = 0; i < s->nodes_n; i++)
        s->nodes[i].disk.full = true;
    begin_write(s, &a, leader);
    sim_until(s, s->now + 12000);
    expect(s, a.ended && a.call.code < 0);
    for (int i = 0; i < s->nodes_n; i++)
        s->nodes[i].disk.full = false;
    settled(s, LIVENESS_MS);
    begin_write(s, &b, 1);
    sim_until(s, s->now + 5000);
    expect(s, b.ended && b.call.code == 0);
    end_write(&a);
    end_write(&b);
}

static const struct scenario {
    const char *name;
    void (*run)(struct sim *s);
} scenarios[] = {
#define SCENARIO(f) \
    { \
#f, f \
    }
    SCENARIO(a_leader_without_its_quorum_answers_within_the_lease),
    SCENARIO(a_follower_that_was_cut_off_comes_back_quietly),
    SCENARIO(a_killed_leader_is_replaced_within_a_second_and_a_half),
    SCENARIO(a_slow_follower_is_named_and_kept_up),
    SCENARIO(a_cluster_that_lost_power_goes_on),
    SCENARIO(all_disks_full_refuse_and_recover),
};

int scenarios_run(bool trace)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        for (uint64_t seed = 1; seed <= 2; seed++) {
            struct sim *s = sim_open(
                &(struct sim_options){ .seed = seed, .nodes = seed == 1 ? 3 : 5, .trace = trace });
            sim_until(s, s->now + 5000);
            if (!s->failed) scenarios[i].run(s);
            printf("%s %s (%d servers)%s%s\n", s->failed ? "FAIL" : "ok  ", scenarios[i].name,
                s->nodes_n, s->failed ? ": " : "", s->failure);
            fflush(stdout);
            failed += s->failed;
            sim_free(s);
        }
    }
    return failed;
}
