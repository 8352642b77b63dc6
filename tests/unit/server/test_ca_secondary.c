/* SPDX-License-Identifier: Apache-2.0 */
/* The authority of a secondary datacenter; the primary is the test's. */
#include "ca_world.h"

#define CLUSTER "11111111-2222-3333-4444-555555555555"

static struct {
    uint64_t index;
    const char *root; /* NULL: it has none yet */
    const char *refusal;
    bool deaf; /* requests for signatures stay without an answer */
    int signed_n;
    struct world *world;
    struct rpc_call *waiting; /* for the next index */
    struct rpc_call *asking;
    void (*submit)(struct rpc_client *c, struct rpc_call *call);
} primary;

static void answer(struct rpc_call *call, const struct type *type, const void *record)
{
    call->reply = rpc_reply_create(type);
    call->reply->record = arena_alloc(&call->reply->arena, type->size);
    record_copy(&call->reply->arena, type, call->reply->record, record);
    call->reply->index = primary.index;
    call->code = 0;
    call->done(call);
}

static void refuse(struct rpc_call *call, const char *why)
{
    call->code = error_set(call->err, ERR_INTERNAL, "%s", why);
    call->done(call);
}

static void answer_roots(struct rpc_call *call)
{
    struct arena a = ARENA_INIT;
    struct indexed_ca_roots out = { .trust_domain = STR(CLUSTER ".consul") };
    if (primary.root) {
        struct ca_root *r = LIST_PUSH(&a, &out.roots, struct ca_root);
        r->id = r->root_cert = out.active_root_id = str_of(primary.root);
        r->signing_key_id = STR("the primary's");
        r->external_trust_domain = STR(CLUSTER);
        r->active = true;
    }
    answer(call, &type_indexed_ca_roots, &out);
    arena_free(&a);
}

static void sign(struct rpc_call *call)
{
    const struct ca_sign_request *req = call->args;
    primary.asking = primary.deaf ? call : NULL;
    if (primary.deaf) return;
    if (primary.refusal) {
        refuse(call, primary.refusal);
        return;
    }
    primary.signed_n++;
    fake_certify.now_s = world_wall_ns(primary.world) / 1000000000;
    struct arena a = ARENA_INIT;
    struct str pem = str_printf(&a, "intermediate(%.*s)by %s", STR_ARG(req->csr), primary.root);
    answer(call, &type_str, &pem);
    arena_free(&a);
}

static void submit_far(struct rpc_client *c, struct rpc_call *call)
{
    const struct dc_specific_request *req = call->args;
    const struct ca_sign_request *wanted = call->args;
    if (strcmp(call->method, "ConnectCA.SignIntermediate") == 0 &&
        str_is(wanted->datacenter, "dc0")) {
        sign(call);
    } else if (strcmp(call->method, "ConnectCA.Roots") != 0 || !str_is(req->datacenter, "dc0")) {
        primary.submit(c, call);
    } else if (req->min_query_index >= primary.index) {
        primary.waiting = call;
    } else {
        answer_roots(call);
    }
}

static void cancel_far(struct rpc_client *c, struct rpc_call *call)
{
    if (call == primary.waiting)
        primary.waiting = NULL;
    else if (call == primary.asking)
        primary.asking = NULL;
    else
        server__cancel(c, call);
}

static void new_root(const char *root)
{
    struct rpc_call *call = primary.waiting;
    primary.root = root;
    primary.index++;
    primary.waiting = NULL;
    if (call) answer_roots(call);
}

static int setup_secondary(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    model_init();
    memset(&fake_certify, 0, sizeof fake_certify);
    fake_certify.life_s = 86400;
    memset(&primary, 0, sizeof primary);
    primary.index = 7;
    primary.root = "root one";
    f->options.certifier = &fake_certifier;
    f->options.primary_datacenter = STR("dc0");
    build(f);
    primary.world = &f->world;
    primary.submit = f->server->client.submit;
    f->server->client.submit = submit_far;
    f->server->client.cancel = cancel_far;
    *state = f;
    return 0;
}

static const struct ca_root *active_of(struct fixture *f)
{
    struct indexed_ca_roots roots = roots_of(f);
    for (size_t i = 0; i < roots.roots.n; i++)
        if (LIST_AT(&roots.roots, struct ca_root, i).active)
            return &LIST_AT(&roots.roots, struct ca_root, i);
    return NULL;
}

static struct str intermediate_of(const struct ca_root *r)
{
    return r && r->intermediate_certs.n ? LIST_AT(&r->intermediate_certs, struct str, 0) : STR("");
}

static struct str leaf_of(struct fixture *f)
{
    struct test_call c = { 0 };
    struct ca_sign_request req = { .datacenter = STR("dc1"),
        .csr = STR("request(k)<spiffe://" CLUSTER ".consul/ns/default/dc/dc1/svc/web>") };
    submit(f, &c, "ConnectCA.Sign", &req);
    settle(f, &c);
    if (c.rpc.code) fail_msg("%s", c.err.text);
    const struct issued_cert *cert = c.rpc.reply->record;
    struct str pem = str_dup(&f->arena, cert->cert_pem);
    release(&c);
    return pem;
}

static void its_root_is_the_primarys_and_an_intermediate_leads_to_it(void **state)
{
    struct fixture *f = *state;
    elect(f);
    const struct ca_root *r = active_of(f);
    assert_non_null(r);
    assert_true(str_is(r->id, "root one"));
    assert_int_equal(r->intermediate_certs.n, 1);
    struct str pem = intermediate_of(r);
    assert_true(str_has_prefix(pem, STR("intermediate(request(ec-256-1)<spiffe://" CLUSTER)));
    assert_true(str_has_prefix(r->signing_key_id, STR("key of intermediate(")));
    assert_true(str_is(roots_of(f).trust_domain, CLUSTER ".consul"));
    assert_int_equal(primary.signed_n, 1);
    struct raft_driver_state before = raft_driver_state(f->raft);
    fake_world_advance(&f->world, 60000);
    assert_int_equal(raft_driver_state(f->raft).last_log_index, before.last_log_index);
}

static void leaves_are_signed_by_the_intermediate_and_bring_it_twice(void **state)
{
    struct fixture *f = *state;
    elect(f);
    struct str pem = intermediate_of(active_of(f));
    struct str want = str_printf(&f->arena,
        "leaf(request(k)<spiffe://%s.consul/ns/default/dc/dc1/svc/web>)<%.*s>%.*s%.*s", CLUSTER,
        STR_ARG(pem), STR_ARG(pem), STR_ARG(pem));
    assert_true(str_eq(leaf_of(f), want));
}

static void another_root_there_is_another_intermediate_here(void **state)
{
    struct fixture *f = *state;
    elect(f);
    struct str old = intermediate_of(active_of(f));
    new_root("root two");
    fake_world_advance(&f->world, 1000);
    const struct ca_root *r = active_of(f);
    assert_true(str_is(r->id, "root two"));
    assert_false(str_eq(intermediate_of(r), old));
    assert_int_equal(roots_of(f).roots.n, 2);
    assert_int_equal(primary.signed_n, 2);
}

static void until_the_new_intermediate_is_there_the_former_signs(void **state)
{
    struct fixture *f = *state;
    elect(f);
    struct str old = intermediate_of(active_of(f));
    primary.deaf = true;
    new_root("root two");
    fake_world_advance(&f->world, 1000);
    assert_non_null(primary.asking);
    assert_true(str_find(leaf_of(f), old) >= 0);
    assert_true(str_is(active_of(f)->id, "root one"));
    primary.deaf = false;
    sign(primary.asking);
    fake_world_advance(&f->world, 1000);
    assert_true(str_is(active_of(f)->id, "root two"));
    assert_true(str_find(leaf_of(f), old) < 0);
}

static void a_refusal_leaves_the_primarys_root_and_is_followed_by_another_request(void **state)
{
    struct fixture *f = *state;
    primary.refusal = "Permission denied";
    elect(f);
    const struct ca_root *r = active_of(f);
    assert_true(str_is(r->id, "root one"));
    assert_int_equal(r->intermediate_certs.n, 0);
    primary.refusal = NULL;
    fake_world_advance(&f->world, 20000);
    assert_int_equal(active_of(f)->intermediate_certs.n, 1);
    assert_int_equal(roots_of(f).roots.n, 1);
    assert_int_equal(fake_certify.keys, 1);
}

static void a_primary_without_a_root_is_waited_for(void **state)
{
    struct fixture *f = *state;
    primary.root = NULL;
    elect(f);
    assert_null(active_of(f));
    new_root("root one");
    fake_world_advance(&f->world, 20000);
    assert_int_equal(active_of(f)->intermediate_certs.n, 1);
}

static void the_intermediate_is_renewed_when_half_of_its_life_is_over(void **state)
{
    struct fixture *f = *state;
    elect(f);
    struct str old = intermediate_of(active_of(f));
    f->world.now_ms += UINT64_C(11) * 3600000;
    fake_world_advance(&f->world, 2000);
    assert_true(str_eq(intermediate_of(active_of(f)), old));
    f->world.now_ms += UINT64_C(2) * 3600000;
    fake_world_advance(&f->world, 2000);
    assert_false(str_eq(intermediate_of(active_of(f)), old));
    assert_int_equal(roots_of(f).roots.n, 1);
}

static void its_configuration_is_the_primarys_to_change(void **state)
{
    struct fixture *f = *state;
    struct ca_configuration config = { .provider = STR("consul"), .config = { .kind = V_MAP } };
    struct ca_request req = { .datacenter = STR("dc1"), .config = &config };
    elect(f);
    expect_error(f, "ConnectCA.ConfigurationSet", &req,
        "error generating CA root certificate: provider is not the root certificate authority");
    struct ca_sign_request wanted = { .datacenter = STR("dc1"), .csr = STR("request(k)") };
    expect_error(f, "ConnectCA.SignIntermediate", &wanted, "not the primary datacenter");
    assert_true(leaf_of(f).n > 0);
}

static void losing_its_server_in_the_middle_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    primary.deaf = true;
    elect(f);
    fake_world_advance(&f->world, 1000);
    assert_non_null(primary.asking);
}

#define test_in_secondary(name) cmocka_unit_test_setup_teardown(name, setup_secondary, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_secondary(its_root_is_the_primarys_and_an_intermediate_leads_to_it),
        test_in_secondary(leaves_are_signed_by_the_intermediate_and_bring_it_twice),
        test_in_secondary(another_root_there_is_another_intermediate_here),
        test_in_secondary(until_the_new_intermediate_is_there_the_former_signs),
        test_in_secondary(a_refusal_leaves_the_primarys_root_and_is_followed_by_another_request),
        test_in_secondary(a_primary_without_a_root_is_waited_for),
        test_in_secondary(the_intermediate_is_renewed_when_half_of_its_life_is_over),
        test_in_secondary(its_configuration_is_the_primarys_to_change),
        test_in_secondary(losing_its_server_in_the_middle_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
