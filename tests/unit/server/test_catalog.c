/* SPDX-License-Identifier: Apache-2.0 */
#include "server_world.h"

static struct register_request node(const char *name)
{
    return (struct register_request){
        .datacenter = STR("dc1"), .node = str_of(name), .address = STR("10.0.0.1")
    };
}

static void bad_registrations_are_refused_with_the_reason(void **state)
{
    struct fixture *f = *state;
    struct node_service service = { .id = STR("x") };
    struct register_request req = node("");
    expect_error(f, "Catalog.Register", &req, "Must provide node");
    req = node("n");
    req.address = STR("");
    expect_error(f, "Catalog.Register", &req, "Must provide address if SkipNodeUpdate is not set");
    req = node("n");
    req.id = STR("short");
    expect_error(f, "Catalog.Register", &req, "Bad node ID: uuid string is wrong length");
    req = node("n");
    req.service = &service;
    expect_error(f, "Catalog.Register", &req, "Must provide service name with ID");
    service = (struct node_service){ .service = STR("x"), .address = STR("0.0.0.0") };
    expect_error(f, "Catalog.Register", &req, "Invalid service address");
    service = (struct node_service){ .service = STR("x"), .kind = STR("connect-proxy") };
    expect_error(f, "Catalog.Register", &req,
        "2 errors occurred:\n"
        "\t* Proxy.DestinationServiceName must be non-empty for Connect proxy services\n"
        "\t* Port must be set for a Connect proxy\n\n");
}

static void registration_completes_services_and_checks(void **state)
{
    struct fixture *f = *state;
    struct node_service service = { .service = STR("web"), .port = 80 };
    struct health_check check = {
        .name = STR("up"),
        .status = STR("passing"),
        .service_id = STR("web"),
        .definition = { .http = STR("http://x"), .interval = 1000000000 },
    };
    struct register_request req = node("n");
    struct test_call c = { 0 };
    req.service = &service;
    req.check = &check;
    expect_ok(f, "Catalog.Register", &req);
    struct service_specific_request read = { .datacenter = STR("dc1"), .service_name = STR("web") };
    submit(f, &c, "Health.ServiceNodes", &read);
    assert_int_equal(c.ended, 1);
    const struct indexed_check_service_nodes *r = c.rpc.reply->record;
    assert_int_equal(r->nodes.n, 1);
    const struct check_service_node *n = &LIST_AT(&r->nodes, struct check_service_node, 0);
    assert_true(str_is(n->service->id, "web"));
    assert_int_equal(n->checks.n, 1);
    const struct health_check *stored = &LIST_AT(&n->checks, struct health_check, 0);
    assert_true(str_is(stored->check_id, "up"));
    assert_true(str_is(stored->node, "n"));
    assert_true(str_is(stored->type, "http"));
    assert_int_equal(service.id.n, 0); /* the caller's record is untouched */
    release(&c);
}

static void deregistering_the_unknown_succeeds(void **state)
{
    struct fixture *f = *state;
    struct deregister_request req = { .datacenter = STR("dc1"), .node = STR("ghost") };
    expect_ok(f, "Catalog.Deregister", &req);
    req.node = STR("");
    expect_error(f, "Catalog.Deregister", &req, "Must provide node");
}

static void filters_select_and_bad_ones_are_errors(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    struct register_request one = node("n1"), two = node("n2");
    expect_ok(f, "Catalog.Register", &one);
    expect_ok(f, "Catalog.Register", &two);
    struct dc_specific_request req = { .datacenter = STR("dc1"),
        .filter = STR("Node matches \"^n\" and Node != n1") };
    submit(f, &c, "Catalog.ListNodes", &req);
    const struct indexed_nodes *r = c.rpc.reply->record;
    assert_int_equal(r->nodes.n, 1);
    assert_true(str_is(LIST_AT(&r->nodes, struct node, 0).node, "n2"));
    release(&c);
    req.filter = STR("Node == nobody");
    submit(f, &c, "Catalog.ListNodes", &req);
    r = c.rpc.reply->record;
    assert_int_equal(r->nodes.n, 0);
    assert_non_null(r->nodes.v);
    release(&c);
    req.filter = STR("Nope == 1");
    expect_error(f, "Catalog.ListNodes", &req,
        "Failed to create boolean expression evaluator: Selector \"Nope\" is not valid");
}

static void near_sorts_by_round_trip_estimate(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    const char *names[] = { "n1", "n2", "n3" };
    double height[] = { 0.3, 0.2, 0.1 };
    double zero[8] = { 0 };
    for (int i = 0; i < 3; i++) {
        struct register_request reg = node(names[i]);
        struct vivaldi_coordinate coord = {
            .vec = { .v = zero, .n = 8 }, .error = 1, .height = height[i]
        };
        struct coordinate_update_request update = {
            .datacenter = STR("dc1"), .node = str_of(names[i]), .coord = &coord
        };
        expect_ok(f, "Catalog.Register", &reg);
        expect_ok(f, "Coordinate.Update", &update);
    }
    fake_world_advance(&f->world, 5100);
    struct dc_specific_request req = { .datacenter = STR("dc1"),
        .source = { .datacenter = STR("dc1"), .node = STR("n3") } };
    submit(f, &c, "Catalog.ListNodes", &req);
    const struct indexed_nodes *r = c.rpc.reply->record;
    const char *order[] = { "n3", "n2", "n1", "s1" }; /* unknown ones last */
    assert_int_equal(r->nodes.n, 4);
    for (int i = 0; i < 4; i++) {
        assert_true(str_is(LIST_AT(&r->nodes, struct node, i).node, order[i]));
    }
    release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_on_server(bad_registrations_are_refused_with_the_reason),
        test_on_server(registration_completes_services_and_checks),
        test_on_server(deregistering_the_unknown_succeeds),
        test_on_server(filters_select_and_bad_ones_are_errors),
        test_on_server(near_sorts_by_round_trip_estimate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
