/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/agent/local.h"
#include "world/fake_outside.h"
#include "world/fake_world.h"
#include "world/scratch.h"

/* A catalog that remembers what one node registered. */
struct catalog {
    struct rpc_client client;
    struct arena arena;
    struct list services; /* struct node_service */
    struct list checks;   /* struct health_check */
    struct node node;
    size_t registers, deregisters, reads;
    size_t orphans; /* checks that came before their service */
    bool down;
    void (*meanwhile)(struct catalog *c); /* once, while a registration is on its way */
};

struct bench {
    struct world world;
    struct catalog catalog;
    struct local *local;
};

static void drop_service(struct list *l, struct str id)
{
    for (size_t i = 0; i < l->n; i++) {
        if (!str_eq(LIST_AT(l, struct node_service, i).id, id)) continue;
        LIST_AT(l, struct node_service, i) = LIST_AT(l, struct node_service, --l->n);
        return;
    }
}

static void drop_check(struct list *l, struct str id, bool by_service)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct health_check *c = &LIST_AT(l, struct health_check, i);
        if (!str_eq(by_service ? c->service_id : c->check_id, id)) continue;
        LIST_AT(l, struct health_check, i) = LIST_AT(l, struct health_check, --l->n);
        i--;
    }
}

static bool has_service(const struct catalog *c, struct str id)
{
    for (size_t i = 0; i < c->services.n; i++) {
        if (str_eq(LIST_AT(&c->services, struct node_service, i).id, id)) return true;
    }
    return false;
}

static void catalog_check(struct catalog *c, const struct health_check *check)
{
    if (check->service_id.n && !has_service(c, check->service_id)) c->orphans++;
    drop_check(&c->checks, check->check_id, false);
    record_copy(&c->arena, &type_health_check,
        LIST_PUSH(&c->arena, &c->checks, struct health_check), check);
}

static void catalog_register(struct catalog *c, const struct register_request *r)
{
    c->registers++;
    void (*meanwhile)(struct catalog *) = c->meanwhile;
    c->meanwhile = NULL;
    if (meanwhile) meanwhile(c);
    if (!r->skip_node_update) {
        struct node n = { .id = r->id,
            .node = r->node,
            .address = r->address,
            .tagged_addresses = r->tagged_addresses,
            .meta = r->node_meta };
        record_copy(&c->arena, &type_node, &c->node, &n);
    }
    if (r->service) {
        drop_service(&c->services, r->service->id);
        record_copy(&c->arena, &type_node_service,
            LIST_PUSH(&c->arena, &c->services, struct node_service), r->service);
    }
    if (r->check) catalog_check(c, r->check);
    for (size_t i = 0; i < r->checks.n; i++)
        catalog_check(c, &LIST_AT(&r->checks, struct health_check, i));
}

static void catalog_deregister(struct catalog *c, const struct deregister_request *r)
{
    c->deregisters++;
    if (r->service_id.n) {
        drop_service(&c->services, r->service_id);
        drop_check(&c->checks, r->service_id, true);
    } else {
        drop_check(&c->checks, r->check_id, false);
    }
}

static void answer_services(struct catalog *c, struct rpc_call *call)
{
    call->reply = rpc_reply_create(&type_indexed_node_service_list);
    struct indexed_node_service_list *out =
        arena_new(&call->reply->arena, struct indexed_node_service_list);
    if (c->node.node.n) {
        out->node_services.node = arena_new(&call->reply->arena, struct node);
        record_copy(&call->reply->arena, &type_node, out->node_services.node, &c->node);
    }
    record_copy(
        &call->reply->arena, &type_node_service_list, &out->node_services.services, &c->services);
    call->reply->record = out;
}

static void answer_checks(struct catalog *c, struct rpc_call *call)
{
    call->reply = rpc_reply_create(&type_indexed_health_checks);
    struct indexed_health_checks *out =
        arena_new(&call->reply->arena, struct indexed_health_checks);
    record_copy(&call->reply->arena, &type_health_check_list, &out->health_checks, &c->checks);
    call->reply->record = out;
}

static void submit(struct rpc_client *client, struct rpc_call *call)
{
    struct catalog *c = container_of(client, struct catalog, client);
    call->code = 0;
    if (c->down) {
        call->code = error_set(call->err, ERR_INTERNAL, "No cluster leader");
    } else if (!strcmp(call->method, "Catalog.Register")) {
        catalog_register(c, call->args);
    } else if (!strcmp(call->method, "Catalog.Deregister")) {
        catalog_deregister(c, call->args);
    } else if (!strcmp(call->method, "Catalog.NodeServiceList")) {
        c->reads++;
        answer_services(c, call);
    } else if (!strcmp(call->method, "Health.NodeChecks")) {
        answer_checks(c, call);
    } else {
        fail_msg("unexpected call of %s", call->method);
    }
    call->done(call);
}

static void cancel(struct rpc_client *client, struct rpc_call *call)
{
    (void)client;
    (void)call;
}

static void local_open(struct bench *b, const char *data_dir)
{
    struct error err;
    struct local_options o = { .world = &b->world,
        .rpc = &b->catalog.client,
        .datacenter = STR("dc1"),
        .node_name = STR("n1"),
        .node_id = STR("11111111-2222-3333-4444-555555555555"),
        .address = STR("127.0.0.1"),
        .data_dir = data_dir ? str_of(data_dir) : STR_NIL,
        .sidecar_min_port = 21000,
        .sidecar_max_port = 21002 };
    assert_int_equal(local_create(&o, &b->local, &err), 0);
}

static int setup(void **state)
{
    struct bench *b = xcalloc(1, sizeof *b);
    model_init();
    fake_world_init(&b->world);
    b->catalog.client = (struct rpc_client){ submit, cancel };
    local_open(b, NULL);
    local_start(b->local);
    fake_world_advance(&b->world, 20);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    local_destroy(b->local);
    fake_world_run_jobs(&b->world);
    arena_free(&b->catalog.arena);
    free(b);
    return 0;
}

/* Registers a definition written as the HTTP API takes it. */
static int register_json(struct bench *b, const char *json, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct service_definition def = { 0 };
    assert_int_equal(json_decode(str_of(json), &a, &type_service_definition, &def, 0, err), 0);
    struct local_register_options o = { .source = LOCAL_FROM_API };
    int code = local_service_register(b->local, &def, &o, err);
    arena_free(&a);
    fake_world_turn(&b->world);
    return code;
}

static void given(struct bench *b, const char *json)
{
    struct error err = { 0 };
    if (register_json(b, json, &err) != 0) fail_msg("%s", err.text);
}

static const struct node_service *in_catalog(struct bench *b, const char *id)
{
    for (size_t i = 0; i < b->catalog.services.n; i++) {
        const struct node_service *s = &LIST_AT(&b->catalog.services, struct node_service, i);
        if (str_is(s->id, id)) return s;
    }
    return NULL;
}

static void check_is(struct bench *b, const char *id, const char *status, const char *output)
{
    const struct health_check *c = local_check_get(b->local, str_of(id));
    assert_non_null(c);
    assert_string_equal(status, c->status.p);
    if (!str_is(c->output, output)) fail_msg("output is %.*s", STR_ARG(c->output));
}

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

static void watch_fires_when_the_service_changes_and_only_then(void **state)
{
    struct bench *b = *state;
    given(b, "{\"Name\":\"a\",\"Port\":1}");
    uint64_t hash = local_service_hash(b->local, STR("a"));
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
    assert_true(local_service_hash(b->local, STR("a")) != hash);
    given(b, "{\"Name\":\"a\",\"Port\":1}");
    assert_true(local_service_hash(b->local, STR("a")) == hash);
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

static void registrations_survive_a_restart(void **state)
{
    struct bench *b = *state;
    struct error err;
    struct list none = { 0 };
    char *dir = scratch_create();
    local_destroy(b->local);
    local_open(b, dir);
    local_start(b->local);
    given(b, "{\"Name\":\"web\",\"Port\":80,\"Check\":{\"CheckID\":\"wc\",\"TTL\":\"1h\"},"
             "\"Connect\":{\"SidecarService\":{}}}");
    assert_int_equal(local_check_update(b->local, STR("wc"), STR("passing"), STR("up"), &err), 0);
    fake_world_run_jobs(&b->world);
    local_destroy(b->local);
    local_open(b, dir);
    assert_int_equal(local_load(b->local, &none, &none, &err), 0);
    assert_int_equal(local_service_get(b->local, STR("web"))->port, 80);
    check_is(b, "wc", "passing", "up");
    assert_int_equal(local_service_deregister(b->local, STR("web")), 0);
    assert_null(local_service_get(b->local, STR("web-sidecar-proxy")));
    fake_world_run_jobs(&b->world);
    scratch_destroy(dir);
}

static void reload_keeps_check_results(void **state)
{
    struct bench *b = *state;
    struct error err;
    struct arena a = ARENA_INIT;
    struct list services = { 0 }, checks = { 0 };
    struct service_definition *web = LIST_PUSH(&a, &services, struct service_definition);
    *web = (struct service_definition){ .name = STR("web"), .port = 1 };
    *LIST_PUSH(&a, &checks, struct check_definition) = (struct check_definition){
        .id = STR("c"), .name = STR("c"), .ttl = INT64_C(3600000000000)
    };
    assert_int_equal(local_load(b->local, &services, &checks, &err), 0);
    assert_int_equal(local_check_update(b->local, STR("c"), STR("passing"), STR("up"), &err), 0);
    fake_world_turn(&b->world);
    struct local_watch w = { .id = STR("web"), .fire = count_fire };
    fired = 0;
    local_watch_add(b->local, &w);
    web->port = 2;
    struct local_configured all = { &services, &checks, DICT_EMPTY };
    assert_int_equal(local_reload(b->local, &all, &all, &err), 0);
    fake_world_turn(&b->world);
    assert_int_equal(fired, 1);
    check_is(b, "c", "passing", "up");
    assert_int_equal(local_service_get(b->local, STR("web"))->port, 2);
    services.n = 0;
    assert_int_equal(local_reload(b->local, &all, &all, &err), 0);
    fake_world_turn(&b->world);
    assert_null(local_service_get(b->local, STR("web")));
    assert_null(in_catalog(b, "web"));
    arena_free(&a);
}

static void refused_reload_changes_nothing(void **state)
{
    struct bench *b = *state;
    struct error err;
    struct arena a = ARENA_INIT;
    struct list services = { 0 }, more = { 0 }, checks = { 0 }, wrong = { 0 };
    struct service_definition web = { .name = STR("web"), .port = 1 };
    struct service_definition web_other = { .name = STR("web"), .port = 2 };
    struct check_definition ttl = {
        .id = STR("c"), .name = STR("c"), .ttl = INT64_C(3600000000000)
    };
    *LIST_PUSH(&a, &services, struct service_definition) = web;
    *LIST_PUSH(&a, &checks, struct check_definition) = ttl;
    assert_int_equal(local_load(b->local, &services, &checks, &err), 0);
    assert_int_equal(local_check_update(b->local, STR("c"), STR("passing"), STR("up"), &err), 0);
    fake_world_turn(&b->world);
    *LIST_PUSH(&a, &more, struct service_definition) = web_other;
    *LIST_PUSH(&a, &more, struct service_definition) =
        (struct service_definition){ .name = STR("new"), .port = 3 };
    *LIST_PUSH(&a, &wrong, struct check_definition) =
        (struct check_definition){ .id = STR("bad"), .name = STR("bad") };
    struct local_configured present = { &services, &checks, DICT_EMPTY };
    struct local_configured fresh = { &more, &wrong, DICT_EMPTY };
    assert_int_not_equal(local_reload(b->local, &present, &fresh, &err), 0);
    fake_world_turn(&b->world);
    assert_null(local_service_get(b->local, STR("new")));
    assert_null(in_catalog(b, "new"));
    assert_int_equal(local_service_get(b->local, STR("web"))->port, 1);
    check_is(b, "c", "passing", "up");
    arena_free(&a);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test_setup_teardown(
            watch_fires_when_the_service_changes_and_only_then, setup, teardown),
        cmocka_unit_test_setup_teardown(
            watch_may_change_the_service_it_was_fired_by, setup, teardown),
        cmocka_unit_test_setup_teardown(
            maintenance_is_a_check_that_comes_and_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(registrations_survive_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(reload_keeps_check_results, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_reload_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(push_is_answered_when_the_run_has_ended, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
