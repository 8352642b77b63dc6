/* SPDX-License-Identifier: Apache-2.0 */
#include "local_world.h"

static void registration_reaches_the_catalog_once(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"web\",\"Port\":80,\"Tags\":[\"a\"],\"Check\":{\"TTL\":\"1h\"}}");
    assert_non_null(in_catalog(b, "web"));
    assert_int_equal(b->catalog.checks.n, 1);
    size_t before = b->catalog.registers;
    given(b, "{\"Name\":\"web\",\"Port\":80,\"Tags\":[\"a\"],\"Check\":{\"TTL\":\"1h\"}}");
    assert_int_equal(b->catalog.registers, before);
    given(b, "{\"Name\":\"web\",\"Port\":81,\"Tags\":[\"a\"]}");
    assert_int_equal(b->catalog.registers, before + 1);
    assert_int_equal(in_catalog(b, "web")->port, 81);
}

static void node_info_is_sent_first(void **state)
{
    struct bench *b = *state;
    assert_true(str_is(b->catalog.node.node, "n1"));
    assert_int_equal(b->catalog.registers, 1);
}

static void refused_registration_leaves_nothing(void **state)
{
    struct bench *b = *state;
    struct error err;
    assert_int_equal(register_json(b,
                         "{\"Name\":\"a\",\"Checks\":[{\"TTL\":\"5s\"},"
                         "{\"Name\":\"nothing\"}]}",
                         &err),
        ERR_BAD_REQUEST);
    assert_string_equal(err.text, "Invalid check: TTL must be > 0 for TTL checks");
    assert_null(local_service_get(b->local, STR("a")));
    assert_int_equal(local_count(b->local).checks, 0);
    assert_null(in_catalog(b, "a"));
}

static void alias_of_a_service_without_checks_passes_at_once(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"bare\"}");
    given(b, "{\"Name\":\"al\",\"Check\":{\"CheckID\":\"alc\",\"AliasService\":\"bare\"}}");
    check_is(b, "alc", "passing", "No checks found.");
}

static void alias_follows_its_target(void **state)
{
    struct bench *b = *state;
    struct error err;
    given(b, "{\"Name\":\"web\",\"Check\":{\"CheckID\":\"wc\",\"Name\":\"w\",\"TTL\":\"1h\"}}");
    given(b, "{\"Name\":\"al\",\"Check\":{\"CheckID\":\"alc\",\"AliasService\":\"web\"}}");
    check_is(b, "alc", "critical", "Aliased check \"w\" failing: ");
    assert_int_equal(local_check_update(b->local, STR("wc"), STR("passing"), STR("ok"), &err), 0);
    fake_world_turn(&b->world);
    check_is(b, "alc", "passing", "All checks passing.");
    assert_int_equal(local_check_update(b->local, STR("wc"), STR("warning"), STR("slow"), &err), 0);
    fake_world_turn(&b->world);
    check_is(b, "alc", "warning", "Aliased check \"w\" failing: slow");
}

static void alias_of_an_unknown_service_is_critical(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"al\",\"Check\":{\"CheckID\":\"alc\",\"AliasService\":\"ghost\"}}");
    check_is(b, "alc", "critical", "Service ghost could not be found on node ");
}

static void ttl_check_expires_with_its_last_note(void **state)
{
    struct bench *b = *state;
    struct error err;
    given(b, "{\"Name\":\"t\",\"Check\":{\"CheckID\":\"tc\",\"TTL\":\"1s\"}}");
    assert_int_equal(local_check_update(b->local, STR("tc"), STR("passing"), STR("fine"), &err), 0);
    fake_world_advance(&b->world, 900);
    check_is(b, "tc", "passing", "fine");
    fake_world_advance(&b->world, 200);
    check_is(b, "tc", "critical", "TTL expired (last output before timeout follows): fine");
}

static void tcp_check_takes_its_first_result_at_once(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"t\",\"Check\":{\"CheckID\":\"tc\",\"TCP\":\"127.0.0.1:1\","
             "\"Interval\":\"1s\",\"Status\":\"passing\",\"FailuresBeforeCritical\":3}}");
    check_is(b, "tc", "passing", "");
    fake_world_advance(&b->world, 1100);
    fake_dial_refuse();
    check_is(b, "tc", "critical", "dial tcp 127.0.0.1:1: connect: connection refused");
}

static void sidecar_takes_defaults_from_its_parent(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"web\",\"ID\":\"w1\",\"Port\":80,\"Tags\":[\"x\"],"
             "\"Connect\":{\"SidecarService\":{}}}");
    const struct node_service *s = local_service_get(b->local, STR("w1-sidecar-proxy"));
    assert_non_null(s);
    assert_true(str_is(s->service, "web-sidecar-proxy"));
    assert_true(str_is(s->kind, "connect-proxy"));
    assert_int_equal(s->port, 21000);
    assert_int_equal(s->tags.n, 1);
    assert_true(str_is(s->proxy.destination_service_id, "w1"));
    assert_int_equal(s->proxy.local_service_port, 80);
    check_is(b, "service:w1-sidecar-proxy:2", "passing", "No checks found.");
    assert_null(local_service_get(b->local, STR("w1"))->connect.sidecar_service);
}

static void sidecar_port_is_kept_and_the_range_ends(void **state)
{
    struct bench *b = *state;
    struct error err;
    given(b, "{\"Name\":\"a\",\"Connect\":{\"SidecarService\":{}}}");
    given(b, "{\"Name\":\"b\",\"Port\":21001}");
    given(b, "{\"Name\":\"c\",\"Connect\":{\"SidecarService\":{}}}");
    given(b, "{\"Name\":\"a\",\"Port\":5,\"Connect\":{\"SidecarService\":{}}}");
    assert_int_equal(local_service_get(b->local, STR("a-sidecar-proxy"))->port, 21000);
    assert_int_equal(local_service_get(b->local, STR("c-sidecar-proxy"))->port, 21002);
    assert_int_equal(register_json(b, "{\"Name\":\"d\",\"Connect\":{\"SidecarService\":{}}}", &err),
        ERR_INTERNAL);
    assert_string_equal(err.text,
        "Bad request: Invalid SidecarService: no port provided for sidecar_service and none left "
        "in the configured range [21000, 21002]");
    assert_null(local_service_get(b->local, STR("d")));
}

static void parent_takes_only_its_own_sidecar_along(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"a\",\"Connect\":{\"SidecarService\":{}}}");
    given(b, "{\"Name\":\"hand\",\"ID\":\"h-sidecar-proxy\",\"Kind\":\"connect-proxy\",\"Port\":5,"
             "\"Proxy\":{\"DestinationServiceName\":\"h\"}}");
    given(b, "{\"Name\":\"h\"}");
    assert_int_equal(local_service_deregister(b->local, STR("a")), 0);
    assert_int_equal(local_service_deregister(b->local, STR("h")), 0);
    fake_world_turn(&b->world);
    assert_null(local_service_get(b->local, STR("a-sidecar-proxy")));
    assert_null(in_catalog(b, "a-sidecar-proxy"));
    assert_non_null(local_service_get(b->local, STR("h-sidecar-proxy")));
    assert_non_null(in_catalog(b, "h-sidecar-proxy"));
    assert_int_equal(local_service_deregister(b->local, STR("a")), ERR_NOT_FOUND);
}

static void full_sync_removes_strangers_but_not_consul(void **state)
{
    struct bench *b = *state;
    struct node_service ghost = { .id = STR("ghost"), .service = STR("ghost") };
    struct node_service own = { .id = STR("consul"), .service = STR("consul") };
    *LIST_PUSH(&b->catalog.arena, &b->catalog.services, struct node_service) = ghost;
    *LIST_PUSH(&b->catalog.arena, &b->catalog.services, struct node_service) = own;
    struct health_check serf = { .check_id = STR("serfHealth") };
    *LIST_PUSH(&b->catalog.arena, &b->catalog.checks, struct health_check) = serf;
    local_sync_full(b->local, 0);
    fake_world_advance(&b->world, 30);
    assert_null(in_catalog(b, "ghost"));
    assert_non_null(in_catalog(b, "consul"));
    assert_int_equal(b->catalog.checks.n, 1);
    assert_null(local_service_get(b->local, STR("ghost")));
}

static void another_service_comes(struct catalog *c)
{
    given(container_of(c, struct bench, catalog),
        "{\"Name\":\"late\",\"Check\":{\"CheckID\":\"l\",\"TTL\":\"1h\"}}");
}

static void check_does_not_overtake_its_service(void **state)
{
    struct bench *b = *state;
    fake_world_turn(&b->world);
    b->catalog.meanwhile = another_service_comes;
    given(b, "{\"Name\":\"web\"}");
    fake_world_turn(&b->world);
    fake_world_turn(&b->world);
    assert_non_null(in_catalog(b, "late"));
    assert_int_equal(b->catalog.checks.n, 1);
    assert_int_equal(b->catalog.orphans, 0);
}

static void failed_sync_is_tried_again(void **state)
{
    struct bench *b = *state;
    b->catalog.down = true;
    given(b, "{\"Name\":\"web\"}");
    assert_null(in_catalog(b, "web"));
    b->catalog.down = false;
    fake_world_advance(&b->world, 31000);
    assert_non_null(in_catalog(b, "web"));
}

static void count_fire(struct local_watch *w);
static size_t fired;
static void count_fire(struct local_watch *w)
{
    (void)w;
    fired++;
}

/* The tags of the catalog count if the registration says so, else they are put right. */
static void tag_override_decides_whose_tags_count(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"free\",\"Tags\":[\"own\"],\"EnableTagOverride\":true}");
    given(b, "{\"Name\":\"firm\",\"Tags\":[\"own\"]}");
    struct list other = { 0 };
    *LIST_PUSH(&b->catalog.arena, &other, struct str) = STR("other");
    for (size_t i = 0; i < b->catalog.services.n; i++)
        LIST_AT(&b->catalog.services, struct node_service, i).tags = other;
    const struct node_service *before = copy_of(b, STR("free"));
    size_t registers = b->catalog.registers;
    local_sync_full(b->local, 1);
    fake_world_advance(&b->world, 10);
    assert_int_equal(b->catalog.registers, registers + 1);
    assert_true(str_is(LIST_AT(&in_catalog(b, "free")->tags, struct str, 0), "other"));
    assert_true(str_is(LIST_AT(&in_catalog(b, "firm")->tags, struct str, 0), "own"));
    const struct node_service *shown = local_service_get(b->local, STR("free"));
    assert_true(str_is(LIST_AT(&shown->tags, struct str, 0), "other"));
    assert_false(is_as(b, STR("free"), before));
}

static void sidecar_of_a_sidecar_goes_too(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"b\",\"ID\":\"a-sidecar-proxy\",\"Port\":1,\"Connect\":{"
             "\"SidecarService\":{}}}");
    given(b, "{\"Name\":\"a\",\"Port\":1,\"Connect\":{\"SidecarService\":{}}}");
    assert_non_null(local_service_get(b->local, STR("a-sidecar-proxy-sidecar-proxy")));
    assert_int_equal(local_service_deregister(b->local, STR("a")), 0);
    fake_world_turn(&b->world);
    assert_int_equal(local_count(b->local).services, 0);
    assert_int_equal(b->catalog.services.n, 0);
}

/* Of two checks with one ID the last one stands, as it would alone. */
static void last_check_of_an_id_stands(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"a\",\"Checks\":[{\"CheckID\":\"c\",\"TTL\":\"1h\"},{\"CheckID\":\"c\","
             "\"TTL\":\"2h\",\"Status\":\"passing\"}]}");
    check_is(b, "c", "passing", "");
    assert_int_equal(b->catalog.checks.n, 1);
}

static void watch_fires_when_the_service_changes_and_only_then(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"a\",\"Port\":1}");
    const struct node_service *before = copy_of(b, STR("a"));
    struct local_watch w = { .id = STR("a"), .fire = count_fire };
    fired = 0;
    local_watch_add(b->local, &w);
    given(b, "{\"Name\":\"b\"}");
    given(b, "{\"Name\":\"a\",\"Port\":1}");
    fake_world_turn(&b->world);
    assert_int_equal(fired, 0);
    given(b, "{\"Name\":\"a\",\"Port\":2}");
    fake_world_turn(&b->world);
    assert_int_equal(fired, 1);
    assert_false(is_as(b, STR("a"), before));
    given(b, "{\"Name\":\"a\",\"Port\":1}");
    assert_true(is_as(b, STR("a"), before));
    fake_world_turn(&b->world);
    assert_int_equal(fired, 1);
}

struct again {
    struct local_watch watch;
    struct bench *bench;
};

static void change_again(struct local_watch *w)
{
    struct bench *b = container_of(w, struct again, watch)->bench;
    fired++;
    given(b, "{\"Name\":\"a\",\"Port\":3}");
}

static void watch_may_change_the_service_it_was_fired_by(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"a\",\"Port\":1}");
    struct again first = { { .id = STR("a"), .fire = change_again }, b };
    struct local_watch second = { .id = STR("a"), .fire = count_fire };
    fired = 0;
    local_watch_add(b->local, &first.watch);
    local_watch_add(b->local, &second);
    given(b, "{\"Name\":\"a\",\"Port\":2}");
    fake_world_turn(&b->world);
    assert_int_equal(fired, 2);
    assert_int_equal(local_service_get(b->local, STR("a"))->port, 3);
}

static void maintenance_is_a_check_that_comes_and_goes(void **state)
{
    struct bench *b = *state;
    struct error err;
    given(b, "{\"Name\":\"m\"}");
    assert_int_equal(
        local_service_maintenance(b->local, STR("m"), true, STR("why"), STR_NIL, &err), 0);
    assert_true(str_is(local_check_get(b->local, STR("_service_maintenance:m"))->notes, "why"));
    assert_int_equal(
        local_service_maintenance(b->local, STR("m"), false, STR_NIL, STR_NIL, &err), 0);
    assert_null(local_check_get(b->local, STR("_service_maintenance:m")));
    assert_int_equal(
        local_service_maintenance(b->local, STR("x"), true, STR_NIL, STR_NIL, &err), ERR_NOT_FOUND);
}

static void push_is_answered_when_the_run_has_ended(void **state);
static void count_push(struct local_push *p);
static size_t pushed;
static void count_push(struct local_push *p)
{
    (void)p;
    pushed++;
}

static void push_is_answered_when_the_run_has_ended(void **state)
{
    struct bench *b = *state;
    struct local_push ok = { .done = count_push }, down = { .done = count_push };
    pushed = 0;
    local_push(b->local, &ok);
    assert_int_equal(pushed, 0);
    fake_world_turn(&b->world);
    assert_int_equal(pushed, 1);
    b->catalog.down = true;
    given(b, "{\"Name\":\"web\"}");
    local_push(b->local, &down);
    fake_world_turn(&b->world);
    assert_int_equal(pushed, 2);
}

static void on_rest(void *ctx)
{
    ++*(int *)ctx;
}

static void retired_sends_nothing_and_holds_nobody_up(void **state)
{
    struct bench *b = *state;
    struct local_push push = { .done = count_push };
    int rests = 0;
    given(b, "{\"Name\":\"early\"}");
    fake_world_turn(&b->world);
    assert_non_null(in_catalog(b, "early"));
    local_retire(b->local, on_rest, &rests);
    assert_int_equal(rests, 0);
    given(b, "{\"Name\":\"late\"}");
    fake_world_turn(&b->world);
    assert_int_equal(rests, 1);
    pushed = 0;
    local_push(b->local, &push);
    local_sync_full(b->local, 1000);
    fake_world_advance(&b->world, 300000);
    assert_int_equal(pushed, 1);
    assert_int_equal(rests, 1);
    assert_null(in_catalog(b, "late"));
}

/* --- checks ------------------------------------------------------------------------------------
 */

static void node_maintenance_reaches_every_alias(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"bare\"}");
    given(b, "{\"Name\":\"al\",\"Check\":{\"CheckID\":\"alc\",\"AliasService\":\"bare\"}}");
    local_node_maintenance(b->local, true, STR("why"), STR_NIL);
    fake_world_turn(&b->world);
    check_is(b, "alc", "critical", "Aliased check \"Node Maintenance Mode\" failing: ");
    local_node_maintenance(b->local, false, STR_NIL, STR_NIL);
    fake_world_turn(&b->world);
    check_is(b, "alc", "passing", "No checks found.");
}

static void checks_of_a_changed_owner_change_groups(void **state)
{
    struct bench *b = *state;
    struct error err;
    given(
        b, "{\"Name\":\"a\",\"Check\":{\"CheckID\":\"c\",\"TTL\":\"1h\",\"Status\":\"passing\"}}");
    given(
        b, "{\"Name\":\"b\",\"Check\":{\"CheckID\":\"c\",\"TTL\":\"1h\",\"Status\":\"passing\"}}");
    assert_true(str_is(local_check_get(b->local, STR("c"))->service_id, "b"));
    assert_int_equal(local_service_deregister(b->local, STR("a")), 0);
    fake_world_turn(&b->world);
    assert_int_equal(local_check_update(b->local, STR("c"), STR("warning"), STR("x"), &err), 0);
    assert_int_equal(local_service_deregister(b->local, STR("b")), 0);
    fake_world_turn(&b->world);
    assert_null(local_check_get(b->local, STR("c")));
    assert_int_equal(b->catalog.checks.n, 0);
}

static void check_critical_since_its_registration_is_not_reaped(void **state)
{
    struct bench *b = *state;
    struct error err;
    given(b, "{\"Name\":\"web\",\"Check\":{\"CheckID\":\"c\",\"TTL\":\"1h\","
             "\"DeregisterCriticalServiceAfter\":\"1m\"}}");
    fake_world_advance(&b->world, 200000);
    assert_non_null(local_service_get(b->local, STR("web")));
    assert_int_equal(local_check_update(b->local, STR("c"), STR("critical"), STR(""), &err), 0);
    fake_world_advance(&b->world, 50000);
    assert_non_null(local_service_get(b->local, STR("web")));
    fake_world_advance(&b->world, 50000);
    assert_null(local_service_get(b->local, STR("web")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sidecar_of_a_sidecar_goes_too, setup, teardown),
        cmocka_unit_test_setup_teardown(tag_override_decides_whose_tags_count, setup, teardown),
        cmocka_unit_test_setup_teardown(last_check_of_an_id_stands, setup, teardown),
        cmocka_unit_test_setup_teardown(node_info_is_sent_first, setup, teardown),
        cmocka_unit_test_setup_teardown(registration_reaches_the_catalog_once, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_registration_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(
            alias_of_a_service_without_checks_passes_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(alias_follows_its_target, setup, teardown),
        cmocka_unit_test_setup_teardown(alias_of_an_unknown_service_is_critical, setup, teardown),
        cmocka_unit_test_setup_teardown(ttl_check_expires_with_its_last_note, setup, teardown),
        cmocka_unit_test_setup_teardown(tcp_check_takes_its_first_result_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(sidecar_takes_defaults_from_its_parent, setup, teardown),
        cmocka_unit_test_setup_teardown(sidecar_port_is_kept_and_the_range_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(parent_takes_only_its_own_sidecar_along, setup, teardown),
        cmocka_unit_test_setup_teardown(
            full_sync_removes_strangers_but_not_consul, setup, teardown),
        cmocka_unit_test_setup_teardown(check_does_not_overtake_its_service, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_sync_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(retired_sends_nothing_and_holds_nobody_up, setup, teardown),
        cmocka_unit_test_setup_teardown(
            watch_fires_when_the_service_changes_and_only_then, setup, teardown),
        cmocka_unit_test_setup_teardown(
            watch_may_change_the_service_it_was_fired_by, setup, teardown),
        cmocka_unit_test_setup_teardown(
            maintenance_is_a_check_that_comes_and_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(node_maintenance_reaches_every_alias, setup, teardown),
        cmocka_unit_test_setup_teardown(checks_of_a_changed_owner_change_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(
            check_critical_since_its_registration_is_not_reaped, setup, teardown),
        cmocka_unit_test_setup_teardown(push_is_answered_when_the_run_has_ended, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
