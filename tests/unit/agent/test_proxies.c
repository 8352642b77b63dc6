/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/agent/cache.h"
#include "consuld/agent/leaf.h"
#include "consuld/agent/local.h"
#include "consuld/agent/proxies.h"
#include "consuld/wire/json.h"
#include "world/fake_outside.h"
#include "world/fake_world.h"

#define PARKED_MAX 64

/* Servers whose answers are as told; a query that has their index waits for the next one. */
static struct world world;
static struct servers {
    struct rpc_client client;
    uint64_t index;
    const char *chain_target; /* of every discovery chain */
    size_t nodes;             /* instances of every service */
    struct rpc_call *parked[PARKED_MAX];
    size_t n_parked;
    bool down;
} servers;
static struct local *local;
static struct cache *cache;
static struct leaves *leaves;
static struct proxies *proxies;
static struct arena arena;

static void *field_at(const struct type *t, void *record, const char *name)
{
    const struct field *f = t->kind == KIND_REC ? record_field(t->record, str_of(name)) : NULL;
    return f ? (char *)record + f->offset : NULL;
}

static void fill(struct rpc_reply *r, const char *method)
{
    struct arena *a = &r->arena;
    if (strcmp(method, "ConnectCA.Roots") == 0) {
        struct indexed_ca_roots *roots = r->record;
        roots->active_root_id = STR("root");
        roots->trust_domain = STR("td.consul");
    } else if (strcmp(method, "ConnectCA.Sign") == 0) {
        struct issued_cert *cert = r->record;
        cert->modify_index = r->index;
        cert->cert_pem = STR("certificate");
        cert->valid_before = gotime_from_unix_ns(INT64_MAX / 2);
    } else if (strcmp(method, "DiscoveryChain.Get") == 0) {
        struct discovery_chain_response *d = r->record;
        d->chain = arena_new(a, struct compiled_discovery_chain);
        struct discovery_target *t =
            dict_put(a, &d->chain->targets, &type_discovery_target, str_of(servers.chain_target));
        t->id = t->service = str_of(servers.chain_target);
        t->datacenter = STR("dc1");
    } else if (strcmp(method, "Health.ServiceNodes") == 0) {
        struct indexed_check_service_nodes *n = r->record;
        for (size_t i = 0; i < servers.nodes; i++)
            LIST_PUSH(a, &n->nodes, struct check_service_node);
    }
}

static void answer(struct rpc_call *call)
{
    if (servers.down) {
        call->code = error_set(call->err, ERR_INTERNAL, "No cluster leader");
    } else {
        const struct type *t = method_find(str_of(call->method))->reply;
        struct rpc_reply *r = rpc_reply_create(t);
        r->record = arena_alloc(&r->arena, t->size);
        r->index = servers.index;
        fill(r, call->method);
        uint64_t *index = field_at(t, r->record, "Index");
        if (index) *index = r->index;
        call->code = 0;
        call->reply = r;
    }
    call->done(call);
}

static void submit(struct rpc_client *client, struct rpc_call *call)
{
    const struct type *t = method_find(str_of(call->method))->args;
    const uint64_t *index = field_at(t, (void *)(uintptr_t)call->args, "MinQueryIndex");
    (void)client;
    if (!servers.down && index && *index >= servers.index) {
        assert_true(servers.n_parked < PARKED_MAX);
        servers.parked[servers.n_parked++] = call;
        return;
    }
    answer(call);
}

static void cancel(struct rpc_client *client, struct rpc_call *call)
{
    (void)client;
    for (size_t i = 0; i < servers.n_parked; i++)
        if (servers.parked[i] == call) servers.parked[i--] = servers.parked[--servers.n_parked];
}

/* Everything that waits at the servers is answered. */
static void change(void)
{
    struct rpc_call *calls[PARKED_MAX];
    size_t n = servers.n_parked;
    memcpy(calls, servers.parked, sizeof calls);
    servers.n_parked = 0;
    servers.index++;
    for (size_t i = 0; i < n; i++)
        answer(calls[i]);
    fake_world_advance(&world, 30);
}

static size_t parked(const char *method)
{
    size_t n = 0;
    for (size_t i = 0; i < servers.n_parked; i++)
        n += strcmp(servers.parked[i]->method, method) == 0;
    return n;
}

/* --- certificates ---------------------------------------------------------------------------- */

static int make_key(
    struct arena *a, struct str type, int64_t bits, struct str *key, struct error *err)
{
    (void)type;
    (void)bits;
    (void)err;
    *key = str_dup(a, STR("private"));
    return 0;
}

static int make_request(
    struct arena *a, const struct cert_order *r, struct str *request, struct error *err)
{
    (void)r;
    (void)err;
    *request = str_dup(a, STR("request"));
    return 0;
}

static int read_facts(
    struct arena *a, struct str certificate, struct cert_facts *out, struct error *err)
{
    (void)a;
    (void)certificate;
    (void)err;
    *out = (struct cert_facts){ .authority_id = STR("root") };
    return 0;
}

static const struct certifier certifier = {
    .key = make_key, .request = make_request, .facts = read_facts
};

/* --- the agent ------------------------------------------------------------------------------- */

static void begin(void)
{
    proxies = proxies_create(&(struct proxies_options){ .world = &world,
        .local = local,
        .cache = cache,
        .leaves = leaves,
        .datacenter = STR("dc1"),
        .node_name = STR("n1"),
        .domain = STR("consul.") });
    fake_world_turn(&world);
}

static int setup(void **state)
{
    (void)state;
    struct error err;
    model_init();
    fake_world_init(&world);
    servers = (struct servers){
        .client = { submit, cancel }, .index = 7, .chain_target = "db", .nodes = 1
    };
    struct local_options o = { .world = &world,
        .rpc = &servers.client,
        .datacenter = STR("dc1"),
        .node_name = STR("n1"),
        .sidecar_min_port = 21000,
        .sidecar_max_port = 21255 };
    assert_int_equal(local_create(&o, &local, &err), 0);
    cache = cache_create(&(struct cache_options){ .world = &world, .rpc = &servers.client });
    leaves = leaves_create(&(struct leaves_options){ .world = &world,
        .rpc = &servers.client,
        .cache = cache,
        .certifier = &certifier,
        .datacenter = STR("dc1") });
    begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    proxies_destroy(proxies);
    local_destroy(local);
    leaves_destroy(leaves);
    cache_destroy(cache);
    arena_free(&arena);
    arena = (struct arena)ARENA_INIT;
    return 0;
}

static void given_as(const char *token, const char *json)
{
    struct service_definition def = { 0 };
    struct error err;
    struct local_register_options o = { .source = LOCAL_FROM_API, .token = str_of(token) };
    if (json_decode(str_of(json), &arena, &type_service_definition, &def, 0, &err) ||
        local_service_register(local, &def, &o, &err))
        fail_msg("%s", err.text);
    fake_world_advance(&world, 60);
}

static void given(const char *json)
{
    given_as(NULL, json);
}

#define WEB \
    "{\"Name\":\"web\",\"Port\":80,\"Connect\":{\"SidecarService\":{\"Proxy\":{" \
    "\"Upstreams\":[{\"DestinationName\":\"db\",\"LocalBindPort\":1}]}}}}"
#define WEB_PROXY STR("web-sidecar-proxy")

/* What the dump shows. */
static struct str dump(void)
{
    struct buf out = BUF_INIT((size_t)1 << 20);
    struct json_writer w;
    json_begin(&w, &out, false);
    proxies_dump(proxies, &w);
    struct str text = str_dup(&arena, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static bool shows(const char *what)
{
    return str_find(dump(), str_of(what)) >= 0;
}

/* --- a reader of leaves and a watcher --------------------------------------------------------- */

static void leaf_done(struct leaf_call *c)
{
    *(bool *)c->ctx = true;
}

static void assert_leaf_is_there(const char *service)
{
    bool ended = false;
    struct leaf_call call = { .service = str_of(service), .done = leaf_done, .ctx = &ended };
    leaf_submit(leaves, &call);
    assert_true(ended);
    assert_int_equal(call.code, 0);
    assert_true(call.hit);
}

struct told {
    struct proxy_watcher watcher;
    size_t n;
    struct proxy_view *view;
};

static void on_changed(struct proxy_watcher *w, struct proxy_view *v)
{
    struct told *t = container_of(w, struct told, watcher);
    proxy_view_unref(t->view);
    t->view = proxy_view_ref(v);
    t->n++;
}

static void watch(struct told *t)
{
    t->watcher = (struct proxy_watcher){ .id = WEB_PROXY, .changed = on_changed };
    proxy_watch(proxies, &t->watcher);
}

static void unwatch(struct told *t)
{
    proxy_watcher_cancel(&t->watcher);
    proxy_view_unref(t->view);
}

static const struct list *targets(const struct told *t)
{
    return &LIST_AT(&t->view->snapshot.connect->upstreams, struct proxy_upstream, 0).targets;
}

/* --- behaviours ------------------------------------------------------------------------------ */

static void without_proxies_nothing_is_asked(void **state)
{
    (void)state;
    given("{\"Name\":\"web\",\"Port\":80}");
    assert_int_equal(servers.n_parked, 0);
    assert_int_equal(cache_stats(cache).entries, 0);
    assert_true(str_is(dump(), "[]"));
}

static void what_a_sidecar_needs_is_there_before_it_asks(void **state)
{
    (void)state;
    given(WEB);
    assert_leaf_is_there("web");
    assert_int_equal(parked("Intention.Match"), 1);
    assert_int_equal(parked("DiscoveryChain.Get"), 1);
    assert_int_equal(parked("Health.ServiceNodes"), 1);
    assert_true(shows("\"Valid\":true"));
    assert_true(shows("upstream-target:db:db"));
    assert_false(shows("private"));
}

static void what_was_registered_at_start_is_followed(void **state)
{
    (void)state;
    proxies_destroy(proxies);
    given(WEB);
    assert_int_equal(parked("Intention.Match"), 0);
    begin();
    fake_world_advance(&world, 60);
    assert_leaf_is_there("web");
}

static void watches_end_with_the_registration(void **state)
{
    (void)state;
    given(WEB);
    assert_int_equal(local_service_deregister(local, STR("web")), 0);
    fake_world_turn(&world);
    assert_true(str_is(dump(), "[]"));
    /* nobody waits for the entries any more: they give way */
    change();
    assert_true(str_is(dump(), "[]"));
}

static void equal_watches_share_an_entry(void **state)
{
    (void)state;
    given(WEB);
    size_t entries = cache_stats(cache).entries;
    given("{\"Name\":\"web\",\"ID\":\"web2\",\"Port\":81,\"Connect\":{\"SidecarService\":{"
          "\"Proxy\":{\"Upstreams\":[{\"DestinationName\":\"db\",\"LocalBindPort\":2}]}}}}");
    assert_true(shows("web2-sidecar-proxy"));
    assert_int_equal(cache_stats(cache).entries, entries);
}

static void another_token_begins_anew(void **state)
{
    (void)state;
    given_as("one", WEB);
    size_t entries = cache_stats(cache).entries;
    given_as("two", WEB);
    assert_true(shows("\"Valid\":true"));
    assert_true(cache_stats(cache).entries > entries);
}

static void a_changed_chain_changes_what_is_watched(void **state)
{
    (void)state;
    given(WEB);
    servers.chain_target = "other";
    change();
    assert_true(shows("upstream-target:other:db"));
    assert_false(shows("upstream-target:db:db"));
}

static void an_upstream_that_goes_is_watched_no_more(void **state)
{
    (void)state;
    given(WEB);
    given("{\"Name\":\"web\",\"Port\":80,\"Connect\":{\"SidecarService\":{}}}");
    assert_false(shows("discovery-chain"));
    assert_true(shows("\"Valid\":true"));
}

static void changes_are_told_together(void **state)
{
    (void)state;
    struct told t = { 0 };
    given(WEB);
    watch(&t);
    fake_world_advance(&world, 1);
    assert_int_equal(t.n, 1);
    assert_int_equal(targets(&t)->n, 1);
    servers.nodes = 2;
    change();
    servers.nodes = 3;
    change();
    assert_int_equal(t.n, 1);
    fake_world_advance(&world, PROXY_PUSH_MS);
    assert_int_equal(t.n, 2);
    assert_int_equal(LIST_AT(targets(&t), struct proxy_endpoints, 0).nodes.n, 3);
    unwatch(&t);
}

static void equal_answers_are_not_told(void **state)
{
    (void)state;
    struct told t = { 0 };
    given(WEB);
    watch(&t);
    fake_world_advance(&world, PROXY_PUSH_MS);
    change();
    fake_world_advance(&world, PROXY_PUSH_MS);
    assert_int_equal(t.n, 1);
    unwatch(&t);
}

static void a_proxy_may_be_watched_before_it_is_registered(void **state)
{
    (void)state;
    struct told t = { 0 };
    watch(&t);
    fake_world_advance(&world, PROXY_PUSH_MS);
    assert_int_equal(t.n, 0);
    given(WEB);
    fake_world_advance(&world, PROXY_PUSH_MS);
    assert_int_equal(t.n, 1);
    unwatch(&t);
}

static void a_view_outlives_its_proxy(void **state)
{
    (void)state;
    struct told t = { 0 };
    given(WEB);
    watch(&t);
    fake_world_advance(&world, 1);
    assert_int_equal(local_service_deregister(local, STR("web")), 0);
    fake_world_turn(&world);
    assert_true(str_eq(t.view->snapshot.service.id, WEB_PROXY));
    assert_true(str_is(t.view->snapshot.connect->leaf->private_key_pem, "private"));
    assert_int_equal(targets(&t)->n, 1);
    unwatch(&t);
}

static void servers_that_fail_are_asked_again(void **state)
{
    (void)state;
    servers.down = true;
    given(WEB);
    assert_true(shows("\"Valid\":false"));
    servers.down = false;
    fake_world_advance(&world, 60000);
    assert_true(shows("\"Valid\":true"));
}

static void checks_of_the_service_are_followed(void **state)
{
    (void)state;
    struct error err;
    given("{\"Name\":\"web\",\"Port\":80,\"Connect\":{\"SidecarService\":{\"Proxy\":{\"Expose\":{"
          "\"Checks\":true}}}}}");
    assert_true(shows("\"Checks\":null"));
    struct check_type check = {
        .http = STR("http://127.0.0.1:80/ok"), .interval = INT64_C(60000000000), .name = STR("ok")
    };
    struct local_register_options o = { .source = LOCAL_FROM_API };
    assert_int_equal(local_check_register(local, STR("ok"), STR("web"), &check, &o, &err), 0);
    fake_world_turn(&world);
    assert_true(shows("http://127.0.0.1:80/ok"));
    assert_int_equal(local_check_deregister(local, STR("ok")), 0);
    fake_world_turn(&world);
    assert_true(shows("\"Checks\":null"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_proxies_nothing_is_asked),
        TEST(what_a_sidecar_needs_is_there_before_it_asks),
        TEST(what_was_registered_at_start_is_followed),
        TEST(watches_end_with_the_registration),
        TEST(equal_watches_share_an_entry),
        TEST(another_token_begins_anew),
        TEST(a_changed_chain_changes_what_is_watched),
        TEST(an_upstream_that_goes_is_watched_no_more),
        TEST(changes_are_told_together),
        TEST(equal_answers_are_not_told),
        TEST(a_proxy_may_be_watched_before_it_is_registered),
        TEST(a_view_outlives_its_proxy),
        TEST(servers_that_fail_are_asked_again),
        TEST(checks_of_the_service_are_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
