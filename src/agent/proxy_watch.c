/* SPDX-License-Identifier: Apache-2.0 */
/* One watch of a proxy: what the cache (or the leaves, or the local state) has, again and again. */
#include <stdlib.h>

#include "consuld/agent/cache.h"
#include "consuld/agent/local.h"
#include "consuld/model/method.h"
#include "proxy.h"

#define WAIT_NS (INT64_C(600) * 1000000000)
#define RETRY_MIN_MS UINT64_C(1000)
#define RETRY_MAX_MS UINT64_C(60000)
#define CERT_ROOM 1024 /* of a certificate, beside the chain */
#define CALL_ROOM 384  /* of the cache, beside the arguments: watches are many and live long */

/* --- answers --------------------------------------------------------------------------------- */

static void failed(struct proxy_subscription *s, const struct error *err)
{
    struct world *w = proxies__options(s->all)->world;
    uint64_t wait = RETRY_MIN_MS << (s->failures < 6 ? s->failures : 6);
    if (wait > RETRY_MAX_MS) wait = RETRY_MAX_MS;
    if (s->failures++ == 0) proxy__failing(s, err);
    s->index = 0;
    timer_start(&s->again, wait / 2 + world_random_below(w, wait / 2 + 1));
}

static void *field_at(void *record, const struct type *t, const char *name)
{
    const struct field *f = t->record ? record_field(t->record, str_of(name)) : NULL;
    return f ? (char *)record + f->offset : NULL;
}

/* A copy without what an answer says of itself. */
static void *bare(struct arena *a, const struct rpc_reply *r)
{
    void *copy = arena_copy(a, r->record, r->type->size);
    uint64_t *index = field_at(copy, r->type, "Index");
    int64_t *contact = field_at(copy, r->type, "LastContact");
    bool *leader = field_at(copy, r->type, "KnownLeader");
    if (index) *index = 0;
    if (contact) *contact = 0;
    if (leader) *leader = false;
    return copy;
}

static bool same_value(const struct rpc_reply *x, const struct rpc_reply *y)
{
    struct arena a = ARENA_INIT;
    bool same = x == y || record_equal(x->type, bare(&a, x), bare(&a, y));
    arena_free(&a);
    return same;
}

/* Takes over a reference. */
static void take(struct proxy_subscription *s, struct rpc_reply *reply)
{
    bool same = s->value && same_value(s->value, reply);
    if (s->failures) proxy__fine(s);
    s->failures = 0;
    rpc_reply_unref(s->value);
    s->value = reply;
    if (!same) proxy__value(s);
}

/* A blocking query follows another through the timer: answers that come at once do not nest. */
static void done(struct rpc_call *call)
{
    struct proxy_subscription *s = call->ctx;
    struct world *w = proxies__options(s->all)->world;
    const int64_t *max_age = field_at(s->args, proxy_part_args(s->part), "MaxAge");
    s->asking = false;
    if (call->code) {
        failed(s, call->err);
        return;
    }
    uint64_t wait = 0;
    if (*max_age) {
        uint64_t most = (uint64_t)(*max_age / 1000000), age = (uint64_t)s->outcome.age_ns / 1000000;
        wait = (age < most ? most - age : 0) + world_random_below(w, most / 16) + 1;
    }
    s->index = call->reply->index ? call->reply->index : 1;
    timer_start(&s->again, wait);
    take(s, call->reply);
}

static void leaf_done(struct leaf_call *call)
{
    struct proxy_subscription *s = call->ctx;
    s->asking = false;
    if (call->code) {
        failed(s, &call->err);
        return;
    }
    struct rpc_reply *reply = rpc_reply_create(&type_issued_cert);
    arena_reserve(&reply->arena, call->cert->cert_pem.n + CERT_ROOM);
    struct issued_cert *cert = arena_new(&reply->arena, struct issued_cert);
    record_copy(&reply->arena, &type_issued_cert, cert, call->cert);
    reply->record = cert;
    s->index = reply->index = cert->modify_index;
    timer_start(&s->again, 0);
    take(s, reply);
}

/* --- asking ---------------------------------------------------------------------------------- */

static void ask_cache(struct proxy_subscription *s)
{
    const struct type *t = proxy_part_args(s->part);
    arena_reset(&s->call_arena);
    void *args = arena_copy(&s->call_arena, s->args, t->size);
    *(uint64_t *)field_at(args, t, "MinQueryIndex") = s->index;
    *(int64_t *)field_at(args, t, "MaxQueryTime") = s->index ? WAIT_NS : 0;
    s->call = (struct rpc_call){ .method = proxy_parts[s->part].method,
        .args = args,
        .arena = &s->call_arena,
        .done = done,
        .ctx = s,
        .err = proxies__error(s->all) };
    cache_submit(proxies__options(s->all)->cache, &s->call, &s->outcome);
}

static void ask_leaves(struct proxy_subscription *s)
{
    const struct proxy_leaf_args *args = s->args;
    *s->leaf = (struct leaf_call){ .service = args->service,
        .dns_names = args->dns_names,
        .token = s->token,
        .min_index = s->index,
        .done = leaf_done,
        .ctx = s };
    leaf_submit(proxies__options(s->all)->leaves, s->leaf);
}

void proxy__checks_read(struct proxy_subscription *s)
{
    const struct proxy_checks_args *args = s->args;
    struct rpc_reply *reply = rpc_reply_create(&type_proxy_checks);
    struct proxy_checks *out = arena_new(&reply->arena, struct proxy_checks);
    local_http_checks(
        proxies__options(s->all)->local, args->service_id, &reply->arena, &out->checks);
    reply->record = out;
    take(s, reply);
}

static void ask(struct proxy_subscription *s)
{
    if (s->part == PROXY_CHECKS) {
        proxy__checks_read(s);
        return;
    }
    s->asking = true;
    if (s->leaf)
        ask_leaves(s);
    else
        ask_cache(s);
}

static void on_again(struct timer *t)
{
    ask(container_of(t, struct proxy_subscription, again));
}

/* --- life ------------------------------------------------------------------------------------ */

struct proxy_subscription *proxy__subscribe(
    struct proxies *all, struct proxy *proxy, struct str token, const struct proxy_want *want)
{
    const struct type *t = proxy_part_args(want->part);
    struct arena a = ARENA_INIT;
    arena_reserve(&a, sizeof(struct proxy_subscription) + 2 * t->size + want->id.n + token.n + 64);
    struct proxy_subscription *s = arena_new(&a, struct proxy_subscription);
    s->all = all;
    s->proxy = proxy;
    s->part = want->part;
    s->id = str_dup(&a, want->id);
    s->token = str_dup(&a, token);
    s->args = arena_alloc(&a, t->size);
    record_copy(&a, t, s->args, want->args);
    if (s->part == PROXY_LEAF)
        s->leaf = arena_new(&a, struct leaf_call);
    else
        arena_reserve(&s->call_arena, t->size + CALL_ROOM);
    timer_init(&s->again, proxies__options(all)->world, on_again);
    s->arena = a;
    ask(s);
    return s;
}

void proxy__unsubscribe(struct proxy_subscription *s)
{
    timer_stop(&s->again);
    if (s->failures) proxy__fine(s);
    if (s->asking && s->leaf)
        leaf_cancel(s->leaf);
    else if (s->asking)
        cache_cancel(proxies__options(s->all)->cache, &s->call);
    rpc_reply_unref(s->value);
    arena_free(&s->call_arena);
    struct arena a = s->arena;
    arena_free(&a);
}
