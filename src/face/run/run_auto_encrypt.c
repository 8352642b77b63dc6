/* SPDX-License-Identifier: Apache-2.0 */
/* A client agent's automatic certificate: what it is asked for with, and where it goes. */
#include "consuld/agent/auto_encrypt.h"
#include "consuld/agent/leaf.h"
#include "consuld/net/tls.h"
#include "run.h"

static struct str token(void *ctx)
{
    const struct agent_config *c = ((const struct run *)ctx)->config;
    return c->acl_agent_token.n ? c->acl_agent_token : c->acl_token;
}

static bool first_server(void *ctx, struct arena *a, struct rpc_target *out)
{
    const struct run *r = ctx;
    const struct rpc_target *first = rpc_router_at(r->router, 0);
    if (!first) return false;
    *out = (struct rpc_target){ .name = str_dup(a, first->name),
        .datacenter = str_dup(a, first->datacenter),
        .address = str_dup(a, first->address),
        .port = first->port };
    return true;
}

static void submit(void *ctx, const struct rpc_target *to, struct rpc_call *call)
{
    rpc_pool_submit(((struct run *)ctx)->rpc_pool, to, call);
}

static void cancel(void *ctx, struct rpc_call *call)
{
    rpc_pool_cancel(((struct run *)ctx)->rpc_pool, call);
}

static int changed(void *ctx, const struct auto_credentials *given, struct error *err)
{
    return run_tls_give(ctx, given, err);
}

static struct list joined(
    struct arena *a, const struct str *first, size_t n, const struct list *more)
{
    struct list out = { 0 };
    for (size_t i = 0; i < n; i++)
        *LIST_PUSH(a, &out, struct str) = first[i];
    for (size_t i = 0; i < more->n; i++)
        *LIST_PUSH(a, &out, struct str) = LIST_AT(more, struct str, i);
    return out;
}

void run_auto_encrypt_start(struct run *r, void (*upgraded)(void *ctx))
{
    const struct str names[] = { STR("localhost") }, addresses[] = { STR("127.0.0.1"), STR("::1") };
    const struct agent_config *c = r->config;
    const struct value *type = value_get(&c->connect_ca_config, STR("PrivateKeyType"));
    const struct value *bits = value_get(&c->connect_ca_config, STR("PrivateKeyBits"));
    const struct auto_encrypt_options o = { .world = r->world,
        .certifier = &net_certifier,
        .datacenter = c->datacenter,
        .node_name = c->node_name,
        .start_join = &c->start_join_addrs_lan,
        .retry_join = &c->retry_join_lan,
        .port = (uint16_t)c->server_port,
        .key_type = type && type->kind == V_STR && type->s.n ? type->s : STR("ec"),
        .key_bits = bits && bits->kind == V_INT && bits->i ? bits->i : 256,
        .dns_names = joined(&r->arena, names, 1, &c->auto_encrypt_dns_san),
        .addresses = joined(&r->arena, addresses, 2, &c->auto_encrypt_ip_san),
        .token = token,
        .submit = submit,
        .cancel = cancel,
        .server = first_server,
        .changed = changed,
        .upgraded = upgraded,
        .ctx = r };
    r->auto_encrypt = auto_encrypt_create(&o);
}
