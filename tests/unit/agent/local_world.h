/* SPDX-License-Identifier: Apache-2.0 */
/* A local state with a catalog that remembers what it is told. */
#pragma once
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

/* The service as it is now, to compare with later. */
static inline const struct node_service *copy_of(struct bench *b, struct str id)
{
    struct node_service *copy = arena_new(&b->catalog.arena, struct node_service);
    record_copy(&b->catalog.arena, &type_node_service, copy, local_service_get(b->local, id));
    return copy;
}

static inline bool is_as(struct bench *b, struct str id, const struct node_service *before)
{
    return record_equal(&type_node_service, local_service_get(b->local, id), before);
}

static inline void drop_service(struct list *l, struct str id)
{
    for (size_t i = 0; i < l->n; i++) {
        if (!str_eq(LIST_AT(l, struct node_service, i).id, id)) continue;
        LIST_AT(l, struct node_service, i) = LIST_AT(l, struct node_service, --l->n);
        return;
    }
}

static inline void drop_check(struct list *l, struct str id, bool by_service)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct health_check *c = &LIST_AT(l, struct health_check, i);
        if (!str_eq(by_service ? c->service_id : c->check_id, id)) continue;
        LIST_AT(l, struct health_check, i) = LIST_AT(l, struct health_check, --l->n);
        i--;
    }
}

static inline bool has_service(const struct catalog *c, struct str id)
{
    for (size_t i = 0; i < c->services.n; i++) {
        if (str_eq(LIST_AT(&c->services, struct node_service, i).id, id)) return true;
    }
    return false;
}

static inline void catalog_check(struct catalog *c, const struct health_check *check)
{
    if (check->service_id.n && !has_service(c, check->service_id)) c->orphans++;
    drop_check(&c->checks, check->check_id, false);
    record_copy(&c->arena, &type_health_check,
        LIST_PUSH(&c->arena, &c->checks, struct health_check), check);
}

static inline void catalog_register(struct catalog *c, const struct register_request *r)
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

static inline void catalog_deregister(struct catalog *c, const struct deregister_request *r)
{
    c->deregisters++;
    if (r->service_id.n) {
        drop_service(&c->services, r->service_id);
        drop_check(&c->checks, r->service_id, true);
    } else {
        drop_check(&c->checks, r->check_id, false);
    }
}

static inline void answer_services(struct catalog *c, struct rpc_call *call)
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

static inline void answer_checks(struct catalog *c, struct rpc_call *call)
{
    call->reply = rpc_reply_create(&type_indexed_health_checks);
    struct indexed_health_checks *out =
        arena_new(&call->reply->arena, struct indexed_health_checks);
    record_copy(&call->reply->arena, &type_health_check_list, &out->health_checks, &c->checks);
    call->reply->record = out;
}

static inline void submit(struct rpc_client *client, struct rpc_call *call)
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

static inline void cancel(struct rpc_client *client, struct rpc_call *call)
{
    (void)client;
    (void)call;
}

static inline void local_open(struct bench *b, const char *data_dir)
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
    struct bench *b = *state;
    local_destroy(b->local);
    fake_world_run_jobs(&b->world);
    arena_free(&b->catalog.arena);
    free(b);
    return 0;
}

/* Registers a definition written as the HTTP API takes it. */
static inline int register_json_at_once(struct bench *b, const char *json, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct service_definition def = { 0 };
    assert_int_equal(json_decode(str_of(json), &a, &type_service_definition, &def, 0, err), 0);
    struct local_register_options o = { .source = LOCAL_FROM_API };
    int code = local_service_register(b->local, &def, &o, err);
    arena_free(&a);
    return code;
}

static inline int register_json(struct bench *b, const char *json, struct error *err)
{
    int code = register_json_at_once(b, json, err);
    fake_world_turn(&b->world);
    return code;
}

static inline void given(struct bench *b, const char *json)
{
    struct error err = { 0 };
    if (register_json(b, json, &err) != 0) fail_msg("%s", err.text);
}

/* The turn goes on. */
static inline void given_at_once(struct bench *b, const char *json)
{
    struct error err = { 0 };
    if (register_json_at_once(b, json, &err) != 0) fail_msg("%s", err.text);
}

static inline const struct node_service *in_catalog(struct bench *b, const char *id)
{
    for (size_t i = 0; i < b->catalog.services.n; i++) {
        const struct node_service *s = &LIST_AT(&b->catalog.services, struct node_service, i);
        if (str_is(s->id, id)) return s;
    }
    return NULL;
}

static inline void check_is(struct bench *b, const char *id, const char *status, const char *output)
{
    const struct health_check *c = local_check_get(b->local, str_of(id));
    assert_non_null(c);
    assert_string_equal(status, c->status.p);
    if (!str_is(c->output, output)) fail_msg("output is %.*s", STR_ARG(c->output));
}
