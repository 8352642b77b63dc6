/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot file: what it holds, how it is read, how it is rewritten, and rejoining by it. */
#include "serf_bed.h"
#include "serf_snapshot.h"

static struct serf_snapshot replayed(const char *text, bool rejoin_after_leave)
{
    struct serf_snapshot f;
    serf_snapshot_init(&f, true, rejoin_after_leave);
    serf_snapshot_replay(&f, str_of(text));
    return f;
}

static void assert_alive(const struct serf_snapshot *f, const char *name, const char *address)
{
    char text[GOSSIP_ADDRESS_TEXT_MAX];
    const struct gossip_address *a = map_get(&f->alive, str_of(name));
    assert_non_null(a);
    assert_string_equal(gossip_address_text(a, text), address);
}

static void recorded_files_are_understood(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    const struct value *entries = entries_of(&a, "files");
    size_t seen = 0;
    for (size_t i = 0; i < entries->list.n; i++) {
        struct str text = text_of(member_of(&entries->list.v[i], "data"), "text");
        if (!str_has_prefix(text, STR("alive: "))) continue;
        struct serf_snapshot f;
        serf_snapshot_init(&f, true, false);
        assert_int_equal(serf_snapshot_replay(&f, text), 0);
        assert_int_equal(f.size, text.n);
        assert_false(f.broken);
        if (seen++ == 0) {
            assert_int_equal(f.clock, 12);
            assert_int_equal(f.event_clock, 3);
            assert_int_equal(f.query_clock, 4);
            assert_int_equal(f.alive.n, 4);
            assert_alive(&f, "srv-b", "127.0.11.2:8301");
            assert_null(map_get(&f.alive, STR("cli-a")));
        }
        serf_snapshot_deinit(&f);
    }
    assert_true(seen >= 2);
    arena_free(&a);
}

static void lines_are_read_as_they_may_come(void **state)
{
    (void)state;
    struct serf_snapshot f = replayed("# old\n"
                                      "alive: two words 10.0.0.1:8301\n"
                                      "alive: six [fe80::1]:8301\n"
                                      "alive: gone 10.0.0.3:8301\n"
                                      "coordinate: {}\n"
                                      "not-alive: gone\n"
                                      "not-alive: never seen\n"
                                      "clock: 9\n"
                                      "clock: 7",
        false);
    assert_int_equal(f.alive.n, 2);
    assert_alive(&f, "two words", "10.0.0.1:8301");
    assert_alive(&f, "six", "[fe80::1]:8301");
    assert_int_equal(f.clock, 9);
    /* The unfinished line would swallow the next one. */
    assert_true(f.broken);
    serf_snapshot_deinit(&f);
    serf_snapshot_init(&f, true, false);
    assert_int_equal(
        serf_snapshot_replay(&f, STR("alive: x\nalive: x y\nalive: x 1:2:3\nclock: -1\n"
                                     "clock: 99999999999999999999\nwhat\n\n")),
        7);
    assert_int_equal(f.alive.n, 0);
    assert_int_equal(f.clock, 0);
    serf_snapshot_deinit(&f);
}

static void a_leave_forgets_unless_rejoin_is_wanted(void **state)
{
    (void)state;
    static const char text[] = "alive: a 10.0.0.1:8301\nclock: 4\nevent-clock: 5\nquery-clock: 6\n"
                               "leave\nclock: 8\n";
    struct serf_snapshot f = replayed(text, false);
    assert_int_equal(f.alive.n, 0);
    assert_int_equal(f.clock, 8);
    assert_int_equal(f.event_clock, 0);
    serf_snapshot_deinit(&f);
    f = replayed(text, true);
    assert_int_equal(f.alive.n, 1);
    assert_int_equal(f.event_clock, 5);
    serf_snapshot_deinit(&f);
}

/* The file as the outputs make it. */
static void apply(struct serf_snapshot *f, struct buf *file)
{
    if (f->rewriting) {
        buf_clear(file);
        buf_put_str(file, buf_str(&f->rewrite));
    }
    buf_put_str(file, buf_str(&f->append));
    serf_snapshot_taken(f);
}

static void assert_same_state(const struct serf_snapshot *f, struct str file)
{
    struct serf_snapshot back;
    struct str name;
    void *address;
    serf_snapshot_init(&back, true, false);
    assert_int_equal(serf_snapshot_replay(&back, file), 0);
    assert_int_equal(back.clock, f->clock);
    assert_int_equal(back.event_clock, f->event_clock);
    assert_int_equal(back.query_clock, f->query_clock);
    assert_int_equal(back.alive.n, f->alive.n);
    for (size_t it = 0; map_next(&f->alive, &it, &name, &address);)
        assert_true(gossip_address_equal(map_get(&back.alive, name), address));
    serf_snapshot_deinit(&back);
}

static void a_long_run_is_compacted_and_says_the_same(void **state)
{
    (void)state;
    struct serf_snapshot f;
    struct buf file = BUF_INIT(4 << 20);
    struct prng r;
    size_t largest = 0;
    prng_seed(&r, 42);
    serf_snapshot_init(&f, true, false);
    for (uint64_t i = 1; i <= 20000; i++) {
        char name[16];
        struct gossip_address at = address_of(prng_below(&r, 200));
        snprintf(name, sizeof name, "n%u", (unsigned)prng_below(&r, 300));
        if (prng_chance(&r, 1, 2)) {
            serf_snapshot_member_alive(&f, i, str_of(name), &at);
        } else {
            serf_snapshot_member_gone(&f, i, str_of(name));
        }
        serf_snapshot_clock(&f, i, 1 + i / 2);
        serf_snapshot_event_clock(&f, i, i / 3);
        serf_snapshot_query_clock(&f, i, i / 5);
        if (prng_chance(&r, 1, 3)) apply(&f, &file);
        if (file.n > largest) largest = file.n;
    }
    apply(&f, &file);
    assert_true(f.rewrites >= 2);
    assert_int_equal(f.size, file.n);
    assert_true(largest < SNAPSHOT_SIZE_MIN + 4096);
    assert_same_state(&f, buf_str(&file));
    serf_snapshot_deinit(&f);
    buf_deinit(&file);
}

static void a_failed_write_is_made_good_by_a_rewrite(void **state)
{
    (void)state;
    struct serf_snapshot f;
    struct buf file = BUF_INIT(1 << 20);
    struct gossip_address at = address_of(0);
    serf_snapshot_init(&f, true, false);
    serf_snapshot_member_alive(&f, 1000, STR("a"), &at);
    apply(&f, &file);
    serf_snapshot_member_alive(&f, 1000, STR("b"), &at);
    serf_snapshot_taken(&f);
    serf_snapshot_failed(&f, 1000);
    serf_snapshot_member_alive(&f, 2000, STR("c"), &at);
    serf_snapshot_clock(&f, 2000, 8);
    assert_false(f.rewriting);
    assert_int_equal(f.append.n, 0);
    serf_snapshot_tick(&f, 1000 + SNAPSHOT_RETRY_MS - 1);
    assert_false(f.rewriting);
    serf_snapshot_tick(&f, 1000 + SNAPSHOT_RETRY_MS);
    assert_true(f.rewriting);
    apply(&f, &file);
    assert_int_equal(f.alive.n, 3);
    assert_same_state(&f, buf_str(&file));
    serf_snapshot_deinit(&f);
    buf_deinit(&file);
}

static void names_with_line_ends_are_not_written(void **state)
{
    (void)state;
    struct serf_snapshot f;
    struct gossip_address at = address_of(0);
    serf_snapshot_init(&f, true, false);
    serf_snapshot_member_alive(&f, 1, STR("a\nleave"), &at);
    serf_snapshot_member_gone(&f, 1, STR("b\nleave"));
    assert_int_equal(f.append.n, 0);
    serf_snapshot_deinit(&f);
}

/* --- in a pool ----------------------------------------------------------------------------- */

static struct pool *pool_with_file(bool rejoin_after_leave)
{
    struct pool *p = pool_create();
    for (size_t i = 0; i < 3; i++) {
        struct peer *n = prepare(p);
        n->o.snapshot = i == 2;
        n->o.rejoin_after_leave = rejoin_after_leave;
        start(p, i);
    }
    join(p, 1, 0);
    join(p, 2, 0);
    run_for(p, 5000);
    hear_nothing_more(p);
    return p;
}

static void a_restarted_node_finds_its_pool_again(void **state)
{
    (void)state;
    struct pool *p = pool_with_file(false);
    stop(p, 2);
    run_for(p, 2000);
    start(p, 2);
    run_for(p, 5000);
    assert_int_equal(serf_count(p->node[2].serf), 3);
    assert_int_equal(status_of(p, 2, 0), SERF_ALIVE);
    assert_true(told(p, 2, "member-join a\n"));
    pool_destroy(p);
}

static void it_tries_one_after_the_other(void **state)
{
    (void)state;
    struct pool *p = pool_with_file(false);
    stop(p, 2);
    stop(p, 0);
    run_for(p, 2000);
    start(p, 2);
    run_for(p, 5000);
    assert_int_equal(status_of(p, 2, 1), SERF_ALIVE);
    pool_destroy(p);
}

static void old_events_are_not_heard_again_after_a_restart(void **state)
{
    (void)state;
    struct pool *p = pool_with_file(false);
    struct serf_event ev = { .type = SERF_FIRE };
    ev.fire.name = STR("deploy");
    give(p, 0, &ev);
    run_for(p, 3000);
    assert_true(told(p, 2, "user deploy 1"));
    stop(p, 2);
    hear_nothing_more(p);
    start(p, 2);
    run_for(p, 40000);
    assert_int_equal(status_of(p, 2, 0), SERF_ALIVE);
    assert_false(told(p, 2, "user deploy"));
    struct serf_stats stats;
    serf_get_stats(p->node[2].serf, &stats);
    assert_int_equal(stats.event_time, 2);
    pool_destroy(p);
}

static void after_a_leave_it_stays_away(void **state)
{
    (void)state;
    for (int rejoin = 0; rejoin < 2; rejoin++) {
        struct pool *p = pool_with_file(rejoin);
        struct serf_event ev = { .type = SERF_LEAVE };
        ev.leave.handle = 9;
        give(p, 2, &ev);
        assert_true(p->node[2].syncs > 0);
        assert_true(run_until_told(p, 2, "result 9 0 \n", 5000));
        stop(p, 2);
        start(p, 2);
        run_for(p, 10000);
        assert_int_equal(status_of(p, 2, 0), rejoin ? SERF_ALIVE : SERF_NONE);
        pool_destroy(p);
    }
}

static void a_disk_that_fails_for_a_while_loses_nothing_for_good(void **state)
{
    (void)state;
    struct pool *p = pool_with_file(false);
    p->node[2].file_fails = true;
    give(p, 2, &(struct serf_event){ .type = SERF_SNAPSHOT_FAILED });
    stop(p, 1);
    run_for(p, 25000);
    assert_true(str_find(buf_str(&p->node[2].file), STR("not-alive")) < 0);
    p->node[2].file_fails = false;
    run_for(p, 40000);
    assert_int_equal(p->node[2].rewrites, 1);
    assert_true(str_find(buf_str(&p->node[2].file), STR("alive: a ")) >= 0);
    assert_true(str_find(buf_str(&p->node[2].file), STR("alive: b ")) < 0);
    pool_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_files_are_understood),
        cmocka_unit_test(lines_are_read_as_they_may_come),
        cmocka_unit_test(a_leave_forgets_unless_rejoin_is_wanted),
        cmocka_unit_test(a_long_run_is_compacted_and_says_the_same),
        cmocka_unit_test(a_failed_write_is_made_good_by_a_rewrite),
        cmocka_unit_test(names_with_line_ends_are_not_written),
        cmocka_unit_test(a_restarted_node_finds_its_pool_again),
        cmocka_unit_test(it_tries_one_after_the_other),
        cmocka_unit_test(old_events_are_not_heard_again_after_a_restart),
        cmocka_unit_test(after_a_leave_it_stays_away),
        cmocka_unit_test(a_disk_that_fails_for_a_while_loses_nothing_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
