/* SPDX-License-Identifier: Apache-2.0 */
#include "server_world.h"

#include "consuld/store/tables.h"

static void leader_writes_the_autopilot_defaults(void **state)
{
    struct fixture *f = *state;
    struct autopilot_config *config = NULL;
    store_autopilot(store_read(f->store), NULL, &f->arena, &config);
    assert_non_null(config);
    assert_true(config->cleanup_dead_servers);
    assert_int_equal(config->last_contact_threshold, 200000000);
    assert_int_equal(config->max_trailing_logs, 250);
    assert_int_equal(config->server_stabilization_time, INT64_C(10000000000));
    /* configuration, noop, barrier come before it in every log */
    assert_int_equal(config->create_index, 4);
}

static void leader_registers_itself(void **state)
{
    struct fixture *f = *state;
    struct store_read *rd = store_read(f->store);
    struct node *node = NULL;
    struct node_service *service = NULL;
    struct health_check *check = NULL;
    store_node(rd, NULL, STR("s1"), &f->arena, &node);
    store_node_service(rd, NULL, STR("s1"), STR("consul"), &f->arena, &service);
    store_node_check(rd, NULL, STR("s1"), STR("serfHealth"), &f->arena, &check);
    assert_non_null(node);
    assert_non_null(service);
    assert_non_null(check);
    assert_true(str_is(node->address, "127.0.0.1"));
    assert_int_equal(service->port, 8300);
    assert_true(str_is(dict_str(&service->meta, STR("version")), "1.8.6"));
    assert_true(str_is(dict_str(&service->meta, STR("non_voter")), "false"));
    assert_int_equal(service->meta.n, 6);
    assert_true(str_is(check->status, "passing"));
    assert_true(str_is(check->output, "Agent alive and reachable"));
}

static void leader_writes_its_federation_state(void **state)
{
    struct fixture *f = *state;
    struct federation_state *fs = NULL;
    store_federation_state(store_read(f->store), NULL, STR("dc1"), &f->arena, &fs);
    assert_non_null(fs);
    assert_null(fs->mesh_gateways.v);
    assert_false(gotime_is_zero(fs->updated_at));
}

static void a_quiet_leader_writes_nothing(void **state)
{
    struct fixture *f = *state;
    struct raft_driver_state before = raft_driver_state(f->raft);
    fake_world_advance(&f->world, 300000);
    struct raft_driver_state after = raft_driver_state(f->raft);
    assert_int_equal(before.last_log_index, after.last_log_index);
}

static void leadership_is_told_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->gained, 1);
    assert_int_equal(f->lost, 0);
}

static void missing_own_registration_is_repaired(void **state)
{
    struct fixture *f = *state;
    struct node *node = NULL;
    struct deregister_request gone = { .datacenter = STR("dc1"), .node = STR("s1") };
    expect_ok(f, "Catalog.Deregister", &gone);
    store_node(store_read(f->store), NULL, STR("s1"), &f->arena, &node);
    assert_null(node);
    fake_world_advance(&f->world, 61000);
    store_node(store_read(f->store), NULL, STR("s1"), &f->arena, &node);
    assert_non_null(node);
}

static void nodes_with_serf_health_that_are_no_members_are_removed(void **state)
{
    struct fixture *f = *state;
    struct node *node = NULL;
    struct health_check serf = {
        .check_id = STR("serfHealth"), .name = STR("x"), .status = STR("passing")
    };
    const char *names[] = { "old1", "old2", "external" };
    for (int i = 0; i < 3; i++) {
        struct register_request req = {
            .datacenter = STR("dc1"), .node = str_of(names[i]), .address = STR("10.0.0.1")
        };
        if (i < 2) req.check = &serf;
        expect_ok(f, "Catalog.Register", &req);
    }
    fake_world_advance(&f->world, 61000);
    for (int i = 0; i < 3; i++) {
        store_node(store_read(f->store), NULL, str_of(names[i]), &f->arena, &node);
        if (i < 2)
            assert_null(node);
        else
            assert_non_null(node);
    }
}

static void tombstones_are_reaped_after_their_time(void **state)
{
    struct fixture *f = *state;
    kv_set(f, "a/1", "x");
    kv_apply(f, "delete", "a/1", "", STR_NIL);
    assert_true(store_tombstone_last(store_read(f->store)) > 0);
    fake_world_advance(&f->world, 14 * 60000);
    assert_true(store_tombstone_last(store_read(f->store)) > 0);
    fake_world_advance(&f->world, 2 * 60000);
    assert_int_equal(store_tombstone_last(store_read(f->store)), 0);
}

static void coordinates_are_written_in_batches(void **state)
{
    struct fixture *f = *state;
    struct list stored = { 0 };
    double zero[8] = { 0 };
    struct vivaldi_coordinate coord = { .vec = { .v = zero, .n = 8 }, .error = 1 };
    struct coordinate_update_request req = {
        .datacenter = STR("dc1"), .node = STR("s1"), .coord = &coord
    };
    struct raft_driver_state before = raft_driver_state(f->raft);
    for (int i = 0; i < 3; i++) {
        coord.height = i;
        expect_ok(f, "Coordinate.Update", &req);
    }
    struct raft_driver_state waiting = raft_driver_state(f->raft);
    assert_int_equal(before.last_log_index, waiting.last_log_index);
    fake_world_advance(&f->world, 5100);
    store_node_coordinates(store_read(f->store), NULL, STR("s1"), &f->arena, &stored);
    assert_int_equal(stored.n, 1);
    assert_true(LIST_AT(&stored, struct coordinate, 0).coord->height > 1.5);
    struct raft_driver_state after = raft_driver_state(f->raft);
    assert_int_equal(after.last_log_index, before.last_log_index + 1);
    coord.vec.n = 3;
    expect_error(f, "Coordinate.Update", &req, "incompatible coordinate");
}

/* A splitter is refused as long as its service speaks no HTTP. */
static int setup_refused_entry(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct config_entry *e;
    model_init();
    e = LIST_PUSH(&f->arena, &f->options.config_entries, struct config_entry);
    assert_true(config_entry_make(&f->arena, STR("service-splitter"), e));
    *config_entry_ref(e).name = STR("web");
    LIST_PUSH(&f->arena, &e->service_splitter->splits, struct service_split)->weight = 100;
    build(f);
    elect(f);
    *state = f;
    return 0;
}

static bool has_entry(struct fixture *f, const char *kind, const char *name)
{
    struct config_entry have = { 0 };
    struct store_read *rd = store_read(f->store);
    store_config_entry(rd, NULL, str_of(kind), str_of(name), &f->arena, &have);
    return config_entry_is_set(&have);
}

static void a_duty_that_fails_is_repeated_and_unseats_nobody(void **state)
{
    struct fixture *f = *state;
    fake_world_advance(&f->world, 120000);
    assert_true(server_ready(f->server));
    assert_int_equal(f->gained, 1);
    assert_int_equal(f->lost, 0);
    assert_false(has_entry(f, "service-splitter", "web"));
    leader_writes_its_federation_state(state); /* the others are done */
    leader_registers_itself(state);
    struct config_entry_request req = { .op = STR("upsert"), .datacenter = STR("dc1") };
    assert_true(config_entry_make(&f->arena, STR("service-defaults"), &req.entry));
    req.entry.service_defaults->name = STR("web");
    req.entry.service_defaults->protocol = STR("http");
    expect_ok(f, "ConfigEntry.Apply", &req);
    fake_world_advance(&f->world, 120000);
    assert_true(has_entry(f, "service-splitter", "web"));
    assert_int_equal(f->lost, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_on_server(leader_writes_the_autopilot_defaults),
        test_on_server(leader_registers_itself),
        test_on_server(leader_writes_its_federation_state),
        test_on_server(a_quiet_leader_writes_nothing),
        test_on_server(leadership_is_told_once),
        test_on_server(missing_own_registration_is_repaired),
        test_on_server(nodes_with_serf_health_that_are_no_members_are_removed),
        test_on_server(tombstones_are_reaped_after_their_time),
        test_on_server(coordinates_are_written_in_batches),
        cmocka_unit_test_setup_teardown(
            a_duty_that_fails_is_repeated_and_unseats_nobody, setup_refused_entry, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
