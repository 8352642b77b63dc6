/* SPDX-License-Identifier: Apache-2.0 */
#include "server_world.h"

static void instance(struct fixture *f, const char *node, const char *status, const char *tag)
{
    struct node_service service = { .service = STR("web"), .id = STR("w"), .port = 80 };
    struct health_check check = {
        .name = STR("c"), .status = str_of(status), .service_id = STR("w")
    };
    struct register_request req = { .datacenter = STR("dc1"),
        .node = str_of(node),
        .address = STR("10.0.0.1"),
        .service = &service,
        .check = &check };
    *LIST_PUSH(&f->arena, &service.tags, struct str) = str_of(tag);
    expect_ok(f, "Catalog.Register", &req);
}

static void define(struct fixture *f, struct prepared_query q)
{
    struct prepared_query_request req = {
        .datacenter = STR("dc1"), .op = STR("create"), .query = &q
    };
    if (!q.service.service.n) q.service.service = STR("web");
    expect_ok(f, "PreparedQuery.Apply", &req);
}

static struct list run(
    struct fixture *f, struct test_call *c, struct prepared_query_execute_request args)
{
    struct prepared_query_execute_request *req = arena_copy(&f->arena, &args, sizeof args);
    req->datacenter = STR("dc1");
    submit(f, c, "PreparedQuery.Execute", req);
    settle(f, c);
    if (c->rpc.code) fail_msg("%s", c->err.text);
    return ((const struct prepared_query_execute_response *)c->rpc.reply->record)->nodes;
}

static bool has(struct list nodes, const char *name)
{
    for (size_t i = 0; i < nodes.n; i++) {
        if (str_is(LIST_AT(&nodes, struct check_service_node, i).node->node, name)) return true;
    }
    return false;
}

static void unhealthy_and_unwanted_instances_are_left_out(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    instance(f, "a", "passing", "blue");
    instance(f, "b", "warning", "green");
    instance(f, "c", "critical", "blue");
    define(f, (struct prepared_query){ .name = STR("any") });
    struct list nodes =
        run(f, &c, (struct prepared_query_execute_request){ .query_id_or_name = STR("any") });
    assert_int_equal(nodes.n, 2);
    assert_true(has(nodes, "a") && has(nodes, "b"));
    release(&c);
    struct prepared_query q = { .name = STR("not-blue"), .service.only_passing = true };
    *LIST_PUSH(&f->arena, &q.service.tags, struct str) = STR("!BLUE");
    define(f, q);
    nodes =
        run(f, &c, (struct prepared_query_execute_request){ .query_id_or_name = STR("not-blue") });
    assert_int_equal(nodes.n, 0);
    assert_null(nodes.v);
    release(&c);
}

static void asking_node_comes_first_and_limit_counts_after_it(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = { "a", "b", "c", "d", "e" };
    for (size_t i = 0; i < 5; i++)
        instance(f, names[i], "passing", "x");
    define(f, (struct prepared_query){ .name = STR("near"), .service.near = STR("_agent") });
    for (size_t i = 0; i < 5; i++) {
        struct test_call c = { 0 };
        struct list nodes = run(f, &c,
            (struct prepared_query_execute_request){ .query_id_or_name = STR("near"),
                .limit = 1,
                .agent = { .datacenter = STR("dc1"), .node = str_of(names[i]) } });
        assert_int_equal(nodes.n, 1);
        assert_true(has(nodes, names[i]));
        release(&c);
    }
}

static void order_without_source_is_random(void **state)
{
    struct fixture *f = *state;
    bool first_a = false, first_b = false;
    instance(f, "a", "passing", "x");
    instance(f, "b", "passing", "x");
    define(f, (struct prepared_query){ .name = STR("any") });
    for (int i = 0; i < 100 && !(first_a && first_b); i++) {
        struct test_call c = { 0 };
        struct list nodes =
            run(f, &c, (struct prepared_query_execute_request){ .query_id_or_name = STR("any") });
        nodes.n = 1;
        has(nodes, "a") ? (first_a = true) : (first_b = true);
        release(&c);
    }
    assert_true(first_a && first_b);
}

static void template_is_rendered_for_the_name(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    struct prepared_query q = { .name = STR("geo-"),
        .template.type = STR("name_prefix_match"),
        .service.service = STR("${name.suffix}") };
    define(f, q);
    struct prepared_query_execute_request req = { .datacenter = STR("dc1"),
        .query_id_or_name = STR("geo-db") };
    submit(f, &c, "PreparedQuery.Explain", &req);
    settle(f, &c);
    const struct prepared_query_explain_response *r = c.rpc.reply->record;
    assert_true(str_is(r->query.service.service, "db"));
    assert_true(str_is(r->query.name, "geo-"));
    release(&c);
    req.query_id_or_name = STR("ge");
    expect_error(f, "PreparedQuery.Explain", &req, "Query not found");
    req.query_id_or_name = STR("");
    expect_error(f, "PreparedQuery.Execute", &req, "Missing Query ID");
}

static void template_that_does_not_compile_is_refused(void **state)
{
    struct fixture *f = *state;
    struct prepared_query q = { .name = STR("geo-"),
        .template.type = STR("name_prefix_match"),
        .service.service = STR("${name.suffix") };
    struct prepared_query_request req = {
        .datacenter = STR("dc1"), .op = STR("create"), .query = &q
    };
    expect_error(f, "PreparedQuery.Apply", &req,
        "failed compiling template: Bad format '${name.suffix' in Service.Service: parse error: "
        "syntax error");
}

static void remote_execution_takes_the_query_as_given(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    instance(f, "a", "passing", "x");
    instance(f, "b", "passing", "x");
    struct prepared_query_execute_remote_request req = {
        .datacenter = STR("dc1"),
        .query = { .service.service = STR("web"), .dns.ttl = STR("3s") },
        .limit = 1,
    };
    submit(f, &c, "PreparedQuery.ExecuteRemote", &req);
    settle(f, &c);
    const struct prepared_query_execute_response *r = c.rpc.reply->record;
    assert_int_equal(r->nodes.n, 1);
    assert_true(str_is(r->dns.ttl, "3s") && str_is(r->datacenter, "dc1"));
    release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_on_server(unhealthy_and_unwanted_instances_are_left_out),
        test_on_server(asking_node_comes_first_and_limit_counts_after_it),
        test_on_server(order_without_source_is_random),
        test_on_server(template_is_rendered_for_the_name),
        test_on_server(template_that_does_not_compile_is_refused),
        test_on_server(remote_execution_takes_the_query_as_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
