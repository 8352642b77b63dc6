/* SPDX-License-Identifier: Apache-2.0 */
#include "ca_world.h"

#include "ca.h"

static int meanwhile; /* writes acknowledged while something was made */

/* A write goes through the log, back and forth between loop and disk. */
static void write_a_key(void *ctx)
{
    kv_set(ctx, "meanwhile", "yes");
    meanwhile++;
}

static int setup_connect(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    model_init();
    meanwhile = 0;
    memset(&fake_certify, 0, sizeof fake_certify);
    fake_certify.life_s = 86400;
    f->options.certifier = &fake_certifier;
    build(f);
    *state = f;
    return 0;
}

static struct ca_sign_request sign_request(struct fixture *f)
{
    struct str domain = roots_of(f).trust_domain;
    return (struct ca_sign_request){ .datacenter = STR("dc1"),
        .csr = str_printf(
            &f->arena, "request(k)<spiffe://%.*s/ns/default/dc/dc1/svc/web>", STR_ARG(domain)) };
}

static void set_key(struct fixture *f, struct test_call *c, const char *key, bool by_force)
{
    struct ca_configuration *config = arena_new(&f->arena, struct ca_configuration);
    struct ca_request *req = arena_new(&f->arena, struct ca_request);
    config->provider = STR("consul");
    config->config.kind = V_MAP;
    *value_map_add(&f->arena, &config->config, STR("PrivateKey")) = value_of_str(str_of(key));
    req->datacenter = STR("dc1");
    req->config = config;
    config->force_without_cross_signing = by_force;
    submit(f, c, "ConnectCA.ConfigurationSet", req);
}

static void a_leader_answers_while_its_first_key_is_made(void **state)
{
    struct fixture *f = *state;
    fake_certify.meanwhile = write_a_key;
    fake_certify.ctx = f;
    elect(f);
    assert_int_equal(meanwhile, 1);
    struct indexed_ca_roots roots = roots_of(f);
    assert_int_equal(roots.roots.n, 1);
    assert_int_equal(fake_certify.keys, 1);
}

static void a_leader_answers_while_it_signs(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    elect(f);
    struct ca_sign_request req = sign_request(f);
    fake_certify.meanwhile = write_a_key;
    fake_certify.ctx = f;
    submit(f, &c, "ConnectCA.Sign", &req);
    settle(f, &c);
    assert_int_equal(c.rpc.code, 0);
    assert_int_equal(meanwhile, 1);
    release(&c);
}

static struct test_call cancelled;

static void cancel(void *ctx)
{
    struct fixture *f = ctx;
    rpc_cancel(server_rpc(f->server), &cancelled.rpc);
    meanwhile++;
}

static void a_call_may_go_while_its_leaf_is_made(void **state)
{
    struct fixture *f = *state;
    elect(f);
    struct ca_sign_request req = sign_request(f);
    fake_certify.meanwhile = cancel;
    fake_certify.ctx = f;
    submit(f, &cancelled, "ConnectCA.Sign", &req);
    fake_world_advance(&f->world, 1000);
    assert_int_equal(meanwhile, 1);
    assert_int_equal(cancelled.ended, 0);
    release(&cancelled);
    fake_world_advance(&f->world, 1000);
}

static void a_key_that_cannot_be_used_is_tried_again(void **state)
{
    struct fixture *f = *state;
    fake_certify.fault = "out of paper";
    elect(f);
    assert_int_equal(roots_of(f).roots.n, 0);
    fake_certify.fault = NULL;
    fake_world_advance(&f->world, 10000);
    assert_int_equal(roots_of(f).roots.n, 1);
}

static void another_key_is_another_root_that_the_old_one_vouches_for(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    elect(f);
    struct str first = roots_of(f).active_root_id;
    set_key(f, &c, "-----BEGIN mine", false);
    settle(f, &c);
    assert_int_equal(c.rpc.code, 0);
    release(&c);
    struct indexed_ca_roots roots = roots_of(f);
    assert_int_equal(roots.roots.n, 2);
    assert_false(str_eq(first, roots.active_root_id));
    const struct ca_root *now = &LIST_AT(&roots.roots, struct ca_root, 1);
    if (!now->active) now = &LIST_AT(&roots.roots, struct ca_root, 0);
    assert_true(str_has_prefix(now->id, STR("root(-----BEGIN mine)")));
    assert_int_equal(now->intermediate_certs.n, 1);
    assert_true(str_has_prefix(
        LIST_AT(&now->intermediate_certs, struct str, 0), STR("crossed(root(-----BEGIN mine)")));
}

static struct str stored_states(struct fixture *f, const char *key)
{
    struct ca_consul_provider_state *state = NULL;
    struct str id = str_printf(&f->arena, "digest of %s,,true", key);
    store_ca_provider_state(store_read(f->store), NULL, id, &f->arena, &state);
    return state ? state->id : STR_NIL;
}

static void propose(struct fixture *f, const struct ca_request *req)
{
    server__propose_detached(f->server, COMMAND_CONNECT_CA, req, "it was refused");
    fake_world_advance(&f->world, 100);
}

static void what_an_earlier_version_stored_is_taken_over(void **state)
{
    struct fixture *f = *state;
    struct ca_consul_provider_state *left = NULL, old = {
        .id = STR(","), .private_key = STR("old key"), .root_cert = STR("old root")
    };
    struct ca_configuration config = {
        .provider = STR("consul"), .cluster_id = STR("1"), .config = { .kind = V_MAP }
    };
    struct ca_request states = { .op = STR("set-provider-state"), .provider_state = &old };
    struct ca_request configs = { .op = STR("set-config"), .config = &config };
    f->server->opts.certifier = NULL;
    elect(f);
    propose(f, &states);
    propose(f, &configs);
    f->server->opts.certifier = &fake_certifier;
    server__ca_soon(f->server);
    fake_world_advance(&f->world, 1000);
    assert_true(str_is(roots_of(f).active_root_id, "old root"));
    assert_int_equal(fake_certify.keys, 0);
    store_ca_provider_state(store_read(f->store), NULL, STR(","), &f->arena, &left);
    assert_null(left);
}

static void who_does_not_vouch_for_others_is_left_by_force_alone(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    struct value no = { .kind = V_BOOL, .b = true };
    struct ca_configuration config = { .provider = STR("consul"), .config = { .kind = V_MAP } };
    struct ca_request req = { .datacenter = STR("dc1"), .config = &config };
    *value_map_add(&f->arena, &config.config, STR("DisableCrossSigning")) = no;
    elect(f);
    struct str first = roots_of(f).active_root_id;
    expect_ok(f, "ConnectCA.ConfigurationSet", &req);
    set_key(f, &c, "-----BEGIN mine", false);
    settle(f, &c);
    assert_true(str_has_prefix(
        str_of(c.err.text), STR("The current CA Provider does not support cross-signing.")));
    release(&c);
    assert_true(str_eq(first, roots_of(f).active_root_id));
    fake_world_advance(&f->world, 100);
    assert_false(stored_states(f, "-----BEGIN mine").p);
    set_key(f, &c, "-----BEGIN mine", true);
    settle(f, &c);
    assert_int_equal(c.rpc.code, 0);
    release(&c);
    assert_false(str_eq(first, roots_of(f).active_root_id));
}

static void roots_are_dropped_when_no_leaf_of_theirs_can_be_left(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    elect(f);
    set_key(f, &c, "-----BEGIN mine", false);
    settle(f, &c);
    release(&c);
    f->world.now_ms += UINT64_C(143) * 3600000;
    fake_world_advance(&f->world, 1000);
    assert_int_equal(roots_of(f).roots.n, 2);
    f->world.now_ms += UINT64_C(2) * 3600000;
    fake_world_advance(&f->world, 1000);
    assert_int_equal(roots_of(f).roots.n, 1);
}

static struct ca_request *limits(struct fixture *f, int64_t per_second, int64_t concurrent)
{
    struct ca_configuration *config = arena_new(&f->arena, struct ca_configuration);
    struct ca_request *req = arena_new(&f->arena, struct ca_request);
    config->provider = STR("consul");
    config->config.kind = V_MAP;
    *value_map_add(&f->arena, &config->config, STR("CSRMaxPerSecond")) =
        (struct value){ .kind = V_INT, .i = per_second };
    *value_map_add(&f->arena, &config->config, STR("CSRMaxConcurrent")) =
        (struct value){ .kind = V_INT, .i = concurrent };
    req->datacenter = STR("dc1");
    req->config = config;
    return req;
}

#define SIGNERS 6

static void ask_all(struct fixture *f, struct test_call *c, const struct ca_sign_request *req)
{
    for (int i = 0; i < SIGNERS; i++)
        submit(f, &c[i], "ConnectCA.Sign", req);
}

static void count_all(struct test_call *c, int *signed_n, int *refused)
{
    *signed_n = *refused = 0;
    for (int i = 0; i < SIGNERS; i++) {
        assert_int_equal(c[i].ended, 1);
        *signed_n += c[i].rpc.code == 0;
        *refused += c[i].rpc.code && strcmp(c[i].err.text, RPC_ERR_SIGNING_LIMIT) == 0;
        release(&c[i]);
    }
}

static void so_many_a_second_are_signed_and_who_would_wait_for_long_is_refused(void **state)
{
    struct fixture *f = *state;
    struct test_call c[SIGNERS] = { 0 };
    int signed_n, refused;
    elect(f);
    struct ca_sign_request req = sign_request(f);
    expect_ok(f, "ConnectCA.ConfigurationSet", limits(f, 4, 1));
    ask_all(f, c, &req);
    fake_world_advance(&f->world, 2000);
    count_all(c, &signed_n, &refused);
    assert_int_equal(signed_n, 3); /* at once, after 250 ms and 500 ms */
    assert_int_equal(refused, 3);
}

static struct test_call others[SIGNERS];
static struct ca_sign_request others_ask;

/* While the first is signed. */
static void hold_for_a_second(void *ctx)
{
    struct fixture *f = ctx;
    ask_all(f, others, &others_ask);
    fake_world_advance(&f->world, 1000);
}

static void as_many_at_a_time_are_signed_and_who_waited_for_long_is_refused(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 }, later[SIGNERS] = { 0 };
    int signed_n, refused;
    elect(f);
    others_ask = sign_request(f);
    expect_ok(f, "ConnectCA.ConfigurationSet", limits(f, 0, 1));
    fake_certify.meanwhile = hold_for_a_second;
    fake_certify.ctx = f;
    submit(f, &c, "ConnectCA.Sign", &others_ask);
    settle(f, &c);
    assert_int_equal(c.rpc.code, 0);
    release(&c);
    count_all(others, &signed_n, &refused);
    assert_int_equal(refused, SIGNERS);
    ask_all(f, later, &others_ask);
    fake_world_advance(&f->world, 400);
    count_all(later, &signed_n, &refused);
    assert_int_equal(signed_n, SIGNERS);
}

static void a_change_that_fails_on_the_worker_says_so_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    elect(f);
    struct str first = roots_of(f).active_root_id;
    fake_certify.fault = "out of paper";
    set_key(f, &c, "-----BEGIN mine", false);
    settle(f, &c);
    assert_true(c.rpc.code < 0);
    assert_string_equal(c.err.text, "error generating CA root certificate: out of paper");
    release(&c);
    assert_true(str_eq(first, roots_of(f).active_root_id));
}

static void cluster_id_is_an_uuid_or_nothing(void **state)
{
    static const char *const bad[] = { "", "no", "11111111-2222-3333-4444-55555555555",
        "11111111-2222-3333-4444-55555555555g" };
    static const char good[] = "11111111-2222-3333-4444-555555555555";
    struct value given = { .kind = V_MAP };
    struct arena a = ARENA_INIT;
    struct error err;
    struct str out;
    (void)state;
    assert_int_equal(server__ca_cluster_id(&given, &out, &err), 0);
    assert_int_equal(out.n, 0);
    struct value *id = value_map_add(&a, &given, STR("cluster_id"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        *id = value_of_str(str_of(bad[i]));
        assert_int_not_equal(server__ca_cluster_id(&given, &out, &err), 0);
        assert_string_equal(err.text, "cluster_id was supplied but was not a valid UUID");
    }
    *id = (struct value){ .kind = V_BOOL };
    assert_int_not_equal(server__ca_cluster_id(&given, &out, &err), 0);
    *id = value_of_str(str_of(good));
    assert_int_equal(server__ca_cluster_id(&given, &out, &err), 0);
    assert_true(str_is(out, good));
    arena_free(&a);
}

static struct ca_configuration config_of(struct fixture *f)
{
    struct test_call c = { 0 };
    struct dc_specific_request req = { .datacenter = STR("dc1") };
    struct ca_configuration out;
    submit(f, &c, "ConnectCA.ConfigurationGet", &req);
    settle(f, &c);
    assert_int_equal(c.rpc.code, 0);
    record_copy(&f->arena, &type_ca_configuration, &out, c.rpc.reply->record);
    release(&c);
    return out;
}

static void state_is_what_test_state_says_and_else_read_only(void **state)
{
    struct fixture *f = *state;
    struct test_call c = { 0 };
    elect(f);
    struct ca_configuration config = config_of(f);
    struct ca_request req = { .datacenter = STR("dc1"), .config = &config };
    struct value *given = value_map_add(&f->arena, &config.config, STR("test_state"));
    *given = (struct value){ .kind = V_MAP };
    *value_map_add(&f->arena, given, STR("k")) = value_of_str(STR("v"));
    submit(f, &c, "ConnectCA.ConfigurationSet", &req);
    settle(f, &c);
    assert_int_equal(c.rpc.code, 0);
    release(&c);
    config = config_of(f);
    assert_int_equal(config.state.n, 1);
    assert_true(str_is(dict_str(&config.state, STR("k")), "v"));
    dict_set_str(&f->arena, &config.state, STR("k"), STR("other"));
    expect_error(f, "ConnectCA.ConfigurationSet", &req, "CA Provider State is read-only");
    config = config_of(f);
    assert_true(str_is(dict_str(&config.state, STR("k")), "v"));
}

#define test_with_connect(name) cmocka_unit_test_setup_teardown(name, setup_connect, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_with_connect(a_leader_answers_while_its_first_key_is_made),
        test_with_connect(a_leader_answers_while_it_signs),
        test_with_connect(a_call_may_go_while_its_leaf_is_made),
        test_with_connect(a_key_that_cannot_be_used_is_tried_again),
        test_with_connect(another_key_is_another_root_that_the_old_one_vouches_for),
        test_with_connect(what_an_earlier_version_stored_is_taken_over),
        test_with_connect(who_does_not_vouch_for_others_is_left_by_force_alone),
        test_with_connect(roots_are_dropped_when_no_leaf_of_theirs_can_be_left),
        test_with_connect(so_many_a_second_are_signed_and_who_would_wait_for_long_is_refused),
        test_with_connect(as_many_at_a_time_are_signed_and_who_waited_for_long_is_refused),
        test_with_connect(a_change_that_fails_on_the_worker_says_so_and_changes_nothing),
        cmocka_unit_test(cluster_id_is_an_uuid_or_nothing),
        test_with_connect(state_is_what_test_state_says_and_else_read_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
