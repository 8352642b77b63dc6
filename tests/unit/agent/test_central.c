/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "central.h"
#include "consuld/wire/json.h"
#include "world/fake_outside.h"
#include "world/fake_world.h"
#include "world/scratch.h"

/* Servers that know one answer; queries with its index wait. */
struct servers {
    struct rpc_client client;
    struct arena arena;
    struct service_config_response answer;
    uint64_t index;
    struct rpc_call *parked[4];
    size_t n_parked, asked, cancelled;
    bool down;
};

struct bench {
    struct world world;
    struct servers servers;
    struct local *local;
    char *dir;
};

static void answer(struct servers *s, struct rpc_call *call)
{
    if (s->down) {
        call->code = error_set(call->err, ERR_INTERNAL, "No cluster leader");
    } else {
        struct rpc_reply *r = rpc_reply_create(&type_service_config_response);
        r->record = arena_alloc(&r->arena, sizeof s->answer);
        record_copy(&r->arena, &type_service_config_response, r->record, &s->answer);
        r->index = ((struct service_config_response *)r->record)->index = s->index;
        call->code = 0;
        call->reply = r;
    }
    call->done(call);
}

static void submit(struct rpc_client *client, struct rpc_call *call)
{
    struct servers *s = container_of(client, struct servers, client);
    if (strcmp(call->method, "ConfigEntry.ResolveServiceConfig") != 0) {
        call->code = error_set(call->err, ERR_INTERNAL, "not here");
        call->done(call);
        return;
    }
    const struct service_config_request *req = call->args;
    s->asked++;
    if (!s->down && req->min_query_index >= s->index) {
        assert_true(s->n_parked < 4);
        s->parked[s->n_parked++] = call;
        return;
    }
    answer(s, call);
}

static void cancel(struct rpc_client *client, struct rpc_call *call)
{
    struct servers *s = container_of(client, struct servers, client);
    s->cancelled++;
    for (size_t i = 0; i < s->n_parked; i++)
        if (s->parked[i] == call) s->parked[i] = s->parked[--s->n_parked];
}

static void say(struct bench *b, const char *json)
{
    struct servers *s = &b->servers;
    struct error err;
    memset(&s->answer, 0, sizeof s->answer);
    if (json_decode(str_of(json), &s->arena, &type_service_config_response, &s->answer, 0, &err))
        fail_msg("%s", err.text);
    s->index++;
    while (s->n_parked)
        answer(s, s->parked[--s->n_parked]);
    fake_world_advance(&b->world, 5);
}

static void local_open(struct bench *b)
{
    struct error err;
    struct local_options o = { .world = &b->world,
        .rpc = &b->servers.client,
        .datacenter = STR("dc1"),
        .node_name = STR("n"),
        .data_dir = str_of(b->dir),
        .sidecar_min_port = 21000,
        .sidecar_max_port = 21255,
        .central_config = true };
    assert_int_equal(local_create(&o, &b->local, &err), 0);
}

static int setup(void **state)
{
    struct bench *b = xcalloc(1, sizeof *b);
    model_init();
    fake_world_init(&b->world);
    b->servers.client = (struct rpc_client){ submit, cancel };
    b->servers.index = 1;
    b->dir = scratch_create();
    local_open(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    local_destroy(b->local);
    fake_world_run_jobs(&b->world);
    arena_free(&b->servers.arena);
    scratch_destroy(b->dir);
    free(b);
    return 0;
}

struct registering {
    struct local_registration r;
    struct arena a;
    struct service_definition def;
    int ended;
};

static void ended(struct local_registration *r)
{
    container_of(r, struct registering, r)->ended++;
}

static void enroll(struct bench *b, struct registering *w, const char *json)
{
    struct error err;
    *w = (struct registering){ .r.done = ended, .r.opts.source = LOCAL_FROM_API };
    w->r.def = &w->def;
    if (json_decode(str_of(json), &w->a, &type_service_definition, &w->def, 0, &err))
        fail_msg("%s", err.text);
    local_service_register_wait(b->local, &w->r);
    for (int i = 0; i < 3; i++)
        fake_world_advance(&b->world, 5);
}

static void registers(struct bench *b, const char *json)
{
    struct registering w;
    enroll(b, &w, json);
    assert_int_equal(w.ended, 1);
    if (w.r.code) fail_msg("%s", w.r.err.text);
    arena_free(&w.a);
}

/* The proxy configuration of the sidecar as JSON. */
static void shows(struct bench *b, const char *want)
{
    const struct node_service *s = local_service_get(b->local, STR("web-sidecar-proxy"));
    struct buf text = BUF_INIT(1 << 16);
    assert_non_null(s);
    json_encode_value(&s->proxy.config, false, &text);
    buf_put_char(&text, ' ');
    buf_put_str(&text, s->proxy.mesh_gateway.mode);
    buf_put_char(&text, '\0');
    assert_string_equal((const char *)text.p, want);
    buf_deinit(&text);
}

#define WEB \
    "{\"Name\": \"web\", \"Port\": 80, \"Connect\": {\"SidecarService\": {\"Proxy\": " \
    "{\"Config\": {\"mine\": 1}, \"Upstreams\": [{\"DestinationName\": \"db\", " \
    "\"LocalBindPort\": 1}]}}}}"

static void gaps_are_filled_and_nothing_is_replaced(void **state)
{
    struct bench *b = *state;
    say(b, "{\"ProxyConfig\": {\"mine\": 2, \"other\": 3}, \"MeshGateway\": {\"Mode\": \"local\"}, "
           "\"UpstreamIDConfigs\": [{\"Upstream\": {\"ID\": \"db\"}, \"Config\": {\"protocol\": "
           "\"grpc\"}}], \"Expose\": {\"Checks\": true}}");
    registers(b, WEB);
    shows(b, "{\"mine\":1,\"other\":3} local");
    const struct node_service *s = local_service_get(b->local, STR("web-sidecar-proxy"));
    const struct upstream *u = &LIST_AT(&s->proxy.upstreams, struct upstream, 0);
    assert_true(str_is(value_get(&u->config, STR("protocol"))->s, "grpc"));
    assert_true(str_is(u->mesh_gateway.mode, "local"));
    assert_true(s->proxy.expose.checks);
    assert_int_equal(local_service_get(b->local, STR("web"))->proxy.config.kind, V_NIL);
}

static void changes_at_the_servers_change_the_registration(void **state)
{
    struct bench *b = *state;
    registers(b, WEB);
    shows(b, "{\"mine\":1} ");
    say(b, "{\"ProxyConfig\": {\"x\": 1}}");
    shows(b, "{\"mine\":1,\"x\":1} ");
    say(b, "{\"MeshGateway\": {\"Mode\": \"none\"}}");
    shows(b, "{\"mine\":1} none");
    say(b, "{}");
    shows(b, "{\"mine\":1} ");
}

static void nothing_is_registered_without_the_first_answer(void **state)
{
    struct bench *b = *state;
    struct registering w;
    b->servers.down = true;
    enroll(b, &w, WEB);
    assert_int_equal(w.ended, 1);
    assert_int_equal(w.r.code, ERR_INTERNAL);
    assert_string_equal(w.r.err.text, "could not retrieve initial service_defaults config for "
                                      "service \"web-sidecar-proxy\": No cluster leader");
    assert_null(local_service_get(b->local, STR("web")));
    arena_free(&w.a);
    registers(b, "{\"Name\": \"plain\"}");
}

static void bad_definition_is_refused_before_anybody_is_asked(void **state)
{
    struct bench *b = *state;
    struct registering w;
    enroll(b, &w,
        "{\"Name\": \"p\", \"Kind\": \"connect-proxy\", \"Proxy\": "
        "{\"DestinationServiceName\": \"x\"}}");
    assert_int_equal(w.r.code, ERR_BAD_REQUEST);
    assert_int_equal(b->servers.asked, 0);
    arena_free(&w.a);
}

static void watcher_goes_with_its_service(void **state)
{
    struct bench *b = *state;
    registers(b, WEB);
    assert_int_equal(b->servers.n_parked, 1);
    registers(b, WEB);
    assert_int_equal(b->servers.n_parked, 1);
    assert_int_equal(b->servers.cancelled, 0);
    assert_int_equal(local_service_deregister(b->local, STR("web")), 0);
    fake_world_advance(&b->world, 5);
    assert_int_equal(b->servers.n_parked, 0);
    assert_int_equal(b->servers.cancelled, 1);
}

static void other_upstreams_are_asked_for_anew(void **state)
{
    struct bench *b = *state;
    registers(b, WEB);
    registers(b, "{\"Name\": \"web\", \"Port\": 80, \"Connect\": {\"SidecarService\": {}}}");
    assert_int_equal(b->servers.n_parked, 1);
    const struct service_config_request *req = b->servers.parked[0]->args;
    assert_int_equal(req->upstream_ids.n, 0);
    assert_true(str_is(req->name, "web"));
}

static void restart_begins_with_what_was_known(void **state)
{
    struct bench *b = *state;
    struct error err;
    struct list none = { 0 };
    say(b, "{\"ProxyConfig\": {\"x\": 1}}");
    registers(b, WEB);
    fake_world_run_jobs(&b->world);
    fake_world_advance(&b->world, 5);
    fake_world_run_jobs(&b->world);
    local_destroy(b->local);
    fake_world_run_jobs(&b->world);
    b->servers.down = true;
    local_open(b);
    assert_int_equal(local_load(b->local, &none, &none, &err), 0);
    shows(b, "{\"mine\":1,\"x\":1} ");
    b->servers.down = false;
    say(b, "{\"ProxyConfig\": {\"y\": 1}}");
    fake_world_advance(&b->world, 70000);
    shows(b, "{\"mine\":1,\"y\":1} ");
}

static void failing_servers_are_asked_again(void **state)
{
    struct bench *b = *state;
    registers(b, WEB);
    size_t before = b->servers.asked;
    b->servers.down = true;
    say(b, "{}");
    fake_world_advance(&b->world, 600000);
    assert_in_range(b->servers.asked - before, 8, 20);
    b->servers.down = false;
    say(b, "{\"ProxyConfig\": {\"z\": 1}}");
    fake_world_advance(&b->world, 70000);
    shows(b, "{\"mine\":1,\"z\":1} ");
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(gaps_are_filled_and_nothing_is_replaced),
        test(changes_at_the_servers_change_the_registration),
        test(nothing_is_registered_without_the_first_answer),
        test(bad_definition_is_refused_before_anybody_is_asked),
        test(watcher_goes_with_its_service),
        test(other_upstreams_are_asked_for_anew),
        test(restart_begins_with_what_was_known),
        test(failing_servers_are_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
