/* SPDX-License-Identifier: Apache-2.0 */
#include "fed_words.h"

static struct federation_state *put(
    struct list *l, const char *dc, uint64_t modify, uint64_t primary, int64_t updated)
{
    struct federation_state *s = LIST_PUSH(&w.arena, l, struct federation_state);
    s->datacenter = str_of(dc);
    s->modify_index = modify;
    s->primary_modify_index = primary;
    s->updated_at = gotime_from_unix_ns(updated);
    return s;
}

static void an_own_record_is_written_once_though_there_are_no_gateways(void **state)
{
    (void)state;
    struct federation_state out, have = { .datacenter = STR("dc1") };
    struct list none = { 0 };
    assert_true(fed_own_state(STR("dc1"), NULL, &none, &out));
    assert_false(fed_own_state(STR("dc1"), &have, &none, &out));
}

static void raft_indexes_and_times_do_not_count_but_checks_and_order_do(void **state)
{
    (void)state;
    struct federation_state out, have = { .datacenter = STR("dc1") };
    struct list now = { 0 };
    add_gateway(&have.mesh_gateways, "10.0.0.1", NULL, 443);
    add_gateway(&have.mesh_gateways, "10.0.0.2", NULL, 443);
    struct check_service_node *first = add_gateway(&now, "10.0.0.1", NULL, 443);
    first->node->modify_index = 17;
    first->service->modify_index = 18;
    struct check_service_node *second = add_gateway(&now, "10.0.0.2", NULL, 443);
    have.updated_at = gotime_from_unix_ns(5);
    assert_false(fed_own_state(STR("dc1"), &have, &now, &out));
    check(second, "critical");
    assert_true(fed_own_state(STR("dc1"), &have, &now, &out));
    second->checks = (struct list){ 0 };
    assert_false(fed_own_state(STR("dc1"), &have, &now, &out));
    LIST_AT(&now, struct check_service_node, 0) = *add_gateway(&now, "10.0.0.3", NULL, 443);
    now.n = 2;
    assert_true(fed_own_state(STR("dc1"), &have, &now, &out));
    assert_int_equal(out.mesh_gateways.n, 2);
}

static void what_the_primary_lacks_is_deleted_what_it_has_is_taken(void **state)
{
    (void)state;
    struct list local = { 0 }, remote = { 0 };
    struct fed_changes c;
    put(&local, "dc4", 3, 3, 1);
    put(&local, "dc2", 2, 9, 1);
    put(&remote, "dc3", 12, 12, 1);
    put(&remote, "dc2", 9, 9, 1);
    put(&remote, "dc1", 11, 11, 1);
    fed_changes(&local, &remote, 0, &w.arena, &c);
    assert_int_equal(c.deletes.n, 1);
    assert_true(str_is(LIST_AT(&c.deletes, struct federation_state, 0).datacenter, "dc4"));
    assert_int_equal(c.upserts.n, 2);
    const struct federation_state *first = &LIST_AT(&c.upserts, struct federation_state, 0);
    assert_true(str_is(first->datacenter, "dc1"));
    assert_int_equal(first->primary_modify_index, 11);
}

static void W11_what_is_equal_is_not_written_again(void **state)
{
    (void)state;
    struct list local = { 0 }, remote = { 0 };
    struct fed_changes c;
    put(&local, "dc1", 100, 7, 5);
    struct federation_state *there = put(&remote, "dc1", 7, 7, 5);
    fed_changes(&local, &remote, 0, &w.arena, &c); /* a new leader begins at 0 */
    assert_int_equal(c.deletes.n + c.upserts.n, 0);
    there->modify_index = 8;
    there->updated_at = gotime_from_unix_ns(6);
    fed_changes(&local, &remote, 7, &w.arena, &c);
    assert_int_equal(c.upserts.n, 1);
    fed_changes(&local, &remote, 8, &w.arena, &c); /* seen before */
    assert_int_equal(c.upserts.n, 0);
}

static struct config_entry *entry(
    struct list *l, const char *name, const char *protocol, uint64_t at)
{
    struct config_entry *e = LIST_PUSH(&w.arena, l, struct config_entry);
    assert_true(config_entry_make(&w.arena, STR("service-defaults"), e));
    e->service_defaults->name = str_of(name);
    e->service_defaults->protocol = str_of(protocol);
    e->service_defaults->modify_index = at;
    return e;
}

static void W11_entries_that_are_equal_are_not_written(void **state)
{
    (void)state;
    struct list local = { 0 }, remote = { 0 };
    struct fed_changes c;
    entry(&local, "gone", "tcp", 1);
    entry(&local, "same", "http", 2);
    entry(&local, "other", "http", 3);
    entry(&remote, "other", "grpc", 40);
    entry(&remote, "same", "http", 50);
    entry(&remote, "fresh", "tcp", 60);
    fed_entry_changes(&local, &remote, &w.arena, &c);
    assert_int_equal(c.deletes.n, 1);
    assert_true(str_is(LIST_AT(&c.deletes, struct config_entry, 0).service_defaults->name, "gone"));
    assert_int_equal(c.upserts.n, 2);
    assert_true(
        str_is(LIST_AT(&c.upserts, struct config_entry, 0).service_defaults->name, "fresh"));
    assert_true(
        str_is(LIST_AT(&c.upserts, struct config_entry, 1).service_defaults->name, "other"));
}

static bool only_dc1(void *ctx, struct str datacenter)
{
    (void)ctx;
    return str_is(datacenter, "dc1");
}
static bool every(void *ctx, struct str datacenter)
{
    (void)ctx;
    (void)datacenter;
    return true;
}

static void W28_datacenters_that_nobody_knows_are_pruned(void **state)
{
    (void)state;
    struct list all = { 0 };
    put(&all, "dc1", 1, 1, 1);
    put(&all, "dc2", 1, 1, 1);
    assert_true(str_is(fed_prunable(&all, only_dc1, NULL)->datacenter, "dc2"));
    assert_null(fed_prunable(&all, every, NULL));
}

static void all_servers_must_take_part_once(void **state)
{
    (void)state;
    static const struct {
        struct fed_support s;
        bool supported;
    } rows[] = {
        { { .own_servers = 3, .own_able = 3 }, true },
        { { .own_servers = 3, .own_able = 2 }, false },
        { { 0 }, false },
        { { .own_servers = 1, .own_able = 1, .secondary = true }, false },
        { { .own_servers = 1,
              .own_able = 1,
              .secondary = true,
              .primary_servers = 2,
              .primary_able = 1 },
            false },
        { { .own_servers = 1,
              .own_able = 1,
              .secondary = true,
              .primary_servers = 2,
              .primary_able = 2 },
            true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(fed_supported(&rows[i].s), rows[i].supported);
}

static void W3_stored_states_say_that_all_took_part(void **state)
{
    (void)state;
    struct fed_support one_is_down = { .own_servers = 0, .secondary = true, .states_stored = true };
    assert_true(fed_supported(&one_is_down));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_own_record_is_written_once_though_there_are_no_gateways),
        CASE(raft_indexes_and_times_do_not_count_but_checks_and_order_do),
        CASE(what_the_primary_lacks_is_deleted_what_it_has_is_taken),
        CASE(W11_what_is_equal_is_not_written_again),
        CASE(W11_entries_that_are_equal_are_not_written),
        CASE(W28_datacenters_that_nobody_knows_are_pruned),
        CASE(all_servers_must_take_part_once),
        CASE(W3_stored_states_say_that_all_took_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
