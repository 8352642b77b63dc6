/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/leaf.h"

#include <stdlib.h>

#include "consuld/agent/cache.h"
#include "consuld/base/map.h"
#include "consuld/base/world.h"
#include "consuld/lang/spiffe.h"

#define WAIT_MS (UINT64_C(600) * 1000)
#define SPREAD_MS UINT64_C(30000) /* of renewals after a change of the root, or at the limit */
#define RETRY_MAX_MS UINT64_C(60000)
#define SOON_MS (UINT64_C(600) * 1000) /* so short a life leaves no time to choose from */

struct leaf {
    struct leaves *all;
    struct arena keys; /* of what it is of */
    struct str key, service, agent, token, datacenter;
    struct list dns_names, addresses;
    struct link link; /* all->idle_first, the one unused for longest first */
    struct link waiters;
    uint64_t used_ms;
    /* the value */
    struct arena arena;
    struct issued_cert *cert; /* NULL: none yet */
    struct str signed_by;     /* key id */
    uint64_t fetched_ms;
    struct timer renewal;
    unsigned failures;
    /* what is under way */
    bool asking_roots, asking_sign;
    struct certify_job *job; /* key and request */
    struct rpc_call call;
    struct cache_outcome outcome;
    struct arena call_arena;
    struct error err;
    struct str private_key;
};

struct leaves {
    struct leaves_options opts;
    struct arena arena;
    struct map map;
    struct link all;
    struct cache_type_stats stats;
    /* the roots, watched from the first certificate on */
    bool watching;
    unsigned watch_failures;
    uint64_t roots_index;
    struct rpc_call watch;
    struct cache_outcome outcome;
    struct arena watch_arena;
    struct error err;
    struct timer again;
};

static void fetch(struct leaf *f);
static void watch_roots(struct leaves *l);

/* --- ends ------------------------------------------------------------------------------------ */

static void end_call(struct leaf_call *c, bool hit)
{
    struct leaf *f = c->leaf;
    timer_stop(&c->late);
    link_remove(&c->link);
    c->code = 0;
    c->cert = f->cert;
    c->hit = hit;
    c->age_ms = world_now_ms(f->all->opts.world) - f->fetched_ms;
    c->done(c);
}

static void fail_call(struct leaf_call *c, const struct error *err)
{
    timer_stop(&c->late);
    link_remove(&c->link);
    c->err = *err;
    c->code = err->code ? err->code : ERR_INTERNAL;
    c->done(c);
}

/* Those who wait for a later index go on waiting when it failed. */
static void settle(struct leaf *f, const struct error *err)
{
    struct link now;
    link_init(&now);
    link_each (it, &f->waiters) {
        struct leaf_call *c = container_of(it, struct leaf_call, link);
        bool ready = !f->cert || err || f->cert->modify_index > c->min_index;
        if (err && f->cert) ready = false;
        if (!ready) continue;
        link_remove(it);
        link_push(&now, it);
    }
    while (!link_empty(&now)) {
        struct leaf_call *c = container_of(now.next, struct leaf_call, link);
        if (err)
            fail_call(c, err);
        else
            end_call(c, false);
    }
}

static void late(struct timer *t)
{
    struct leaf_call *c = container_of(t, struct leaf_call, late);
    struct error err;
    if (c->leaf->cert) {
        end_call(c, false);
        return;
    }
    error_set(&err, ERR_INTERNAL, "timeout waiting for a certificate");
    fail_call(c, &err);
}

/* --- getting one ----------------------------------------------------------------------------- */

static void stop_fetch(struct leaf *f)
{
    if (f->asking_roots) cache_cancel(f->all->opts.cache, &f->call);
    if (f->asking_sign) rpc_cancel(f->all->opts.rpc, &f->call);
    f->asking_roots = f->asking_sign = false;
    certify_forget(f->job);
    f->job = NULL;
    arena_reset(&f->call_arena);
}

static uint64_t pause_ms(unsigned failures)
{
    uint64_t wait = UINT64_C(1000) << (failures < 6 ? failures : 6);
    return wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS;
}

static void failed(struct leaf *f)
{
    struct error err = f->err;
    bool limited = str_find(str_of(err.text), STR("Rate limit reached")) >= 0;
    uint64_t wait = pause_ms(f->failures++);
    f->all->stats.failed++;
    arena_reset(&f->call_arena);
    if (limited) wait = SPREAD_MS / 2 + world_random_below(f->all->opts.world, SPREAD_MS);
    if (f->cert) timer_start(&f->renewal, wait);
    settle(f, &err);
}

/* Between 60 and 90 percent of its life. */
static uint64_t renewal_ms(struct leaf *f)
{
    struct world *w = f->all->opts.world;
    int64_t from = gotime_to_unix_ns(f->cert->valid_after) / 1000000;
    int64_t until = gotime_to_unix_ns(f->cert->valid_before) / 1000000;
    int64_t now = world_wall_ns(w) / 1000000;
    uint64_t life = until > from ? (uint64_t)(until - from) : 0;
    int64_t at = from + (int64_t)(life * 6 / 10 + world_random_below(w, life * 3 / 10 + 1));
    if (life < SOON_MS) at = from + (int64_t)(life * 6 / 10);
    return at > now ? (uint64_t)(at - now) : 1000;
}

/* The new certificate; its texts are not the former one's. */
static int take(struct leaf *f, const struct issued_cert *got, struct str private_key)
{
    struct cert_facts facts = { 0 };
    int rc = f->all->opts.certifier->facts(&f->call_arena, got->cert_pem, &facts, &f->err);
    if (rc) return rc;
    arena_reset(&f->arena);
    f->cert = arena_new(&f->arena, struct issued_cert);
    record_copy(&f->arena, &type_issued_cert, f->cert, got);
    f->cert->private_key_pem = str_dup(&f->arena, private_key);
    f->signed_by = str_dup(&f->arena, facts.authority_id);
    f->fetched_ms = world_now_ms(f->all->opts.world);
    f->all->stats.fetched++;
    f->failures = 0;
    arena_reset(&f->call_arena);
    timer_start(&f->renewal, renewal_ms(f));
    watch_roots(f->all);
    settle(f, NULL);
    return 0;
}

static void signed_done(struct rpc_call *call)
{
    struct leaf *f = call->ctx;
    struct rpc_reply *reply = call->reply;
    f->asking_sign = false;
    if (call->code || take(f, reply->record, f->private_key) != 0) failed(f);
    rpc_reply_unref(reply);
}

static void ask_sign(struct certify_job *j)
{
    struct leaf *f = j->ctx;
    struct arena *a = &f->call_arena;
    f->job = NULL;
    if (j->code) {
        f->err = j->err;
        failed(f);
        return;
    }
    struct ca_sign_request *args = arena_new(a, struct ca_sign_request);
    args->datacenter = f->datacenter;
    args->token = f->token;
    args->csr = str_dup(a, j->made);
    f->private_key = str_dup(a, j->key);
    f->asking_sign = true;
    f->call = (struct rpc_call){ .method = "ConnectCA.Sign",
        .args = args,
        .arena = a,
        .done = signed_done,
        .ctx = f,
        .err = &f->err };
    rpc_submit(f->all->opts.rpc, &f->call);
}

static void make_request(struct leaf *f, struct str trust_domain)
{
    struct arena *a = &f->call_arena;
    const struct leaves_options *o = &f->all->opts;
    struct spiffe_id id = { .kind = f->agent.n ? SPIFFE_AGENT : SPIFFE_SERVICE,
        .host = trust_domain,
        .namespace = STR("default"),
        .datacenter = f->datacenter,
        .service = f->service,
        .agent = f->agent };
    struct certify_job wanted = { .by = o->certifier,
        .make = o->certifier->request,
        .key_type = STR("ec"),
        .key_bits = 256,
        .order = { .common_name = spiffe_common_name(a, &id),
            .uri = spiffe_uri(a, &id),
            .dns_names = f->dns_names.v,
            .n_dns_names = f->dns_names.n,
            .addresses = f->addresses.v,
            .n_addresses = f->addresses.n },
        .done = ask_sign,
        .ctx = f };
    f->job = certify_submit(o->world, &wanted);
}

static void roots_done(struct rpc_call *call)
{
    struct leaf *f = call->ctx;
    f->asking_roots = false;
    if (call->code) {
        failed(f);
        return;
    }
    struct rpc_reply *reply = call->reply;
    const struct indexed_ca_roots *roots = reply->record;
    int rc = 0;
    if (!roots->trust_domain.n || !roots->active_root_id.n)
        rc = error_set(&f->err, ERR_INTERNAL, "cluster has no CA bootstrapped yet");
    if (rc == 0) make_request(f, roots->trust_domain);
    rpc_reply_unref(reply);
    if (rc) failed(f);
}

static const struct dc_specific_request *roots_args(
    struct leaves *l, struct arena *a, struct str token, uint64_t min_index)
{
    struct dc_specific_request *args = arena_new(a, struct dc_specific_request);
    args->datacenter = l->opts.datacenter;
    args->token = token;
    args->min_query_index = min_index;
    return args;
}

static void fetch(struct leaf *f)
{
    if (f->asking_roots || f->asking_sign || f->job) return;
    timer_stop(&f->renewal);
    f->asking_roots = true;
    f->call = (struct rpc_call){ .method = "ConnectCA.Roots",
        .args = roots_args(f->all, &f->call_arena, f->token, 0),
        .arena = &f->call_arena,
        .done = roots_done,
        .ctx = f,
        .err = &f->err };
    cache_submit(f->all->opts.cache, &f->call, &f->outcome);
}

static void destroy(struct leaf *f)
{
    struct error err;
    stop_fetch(f);
    timer_stop(&f->renewal);
    error_set(&err, ERR_INTERNAL, "the agent is shutting down");
    while (!link_empty(&f->waiters))
        fail_call(container_of(f->waiters.next, struct leaf_call, link), &err);
    map_remove(&f->all->map, f->key);
    link_remove(&f->link);
    arena_free(&f->call_arena);
    arena_free(&f->arena);
    arena_free(&f->keys);
    free(f);
}

static void renew(struct timer *t)
{
    struct leaf *f = container_of(t, struct leaf, renewal);
    uint64_t unused = world_now_ms(f->all->opts.world) - f->used_ms;
    if (link_empty(&f->waiters) && unused > LEAF_KEPT_MS)
        destroy(f);
    else
        fetch(f);
}

/* --- the roots ------------------------------------------------------------------------------- */

static struct str active_key(const struct indexed_ca_roots *roots)
{
    for (size_t i = 0; i < roots->roots.n; i++) {
        const struct ca_root *r = &LIST_AT(&roots->roots, struct ca_root, i);
        if (r->active) return r->signing_key_id;
    }
    return STR_NIL;
}

static void watched(struct rpc_call *call)
{
    struct leaves *l = call->ctx;
    uint64_t wait = 1;
    l->watching = false;
    if (call->code) {
        l->roots_index = 0;
        wait = pause_ms(l->watch_failures++);
    } else {
        l->watch_failures = 0;
        struct str key = active_key(call->reply->record);
        l->roots_index = call->reply->index;
        link_each (it, &l->all) {
            struct leaf *f = container_of(it, struct leaf, link);
            if (!f->cert || !key.n || str_eq(f->signed_by, key)) continue;
            timer_start(&f->renewal, world_random_below(l->opts.world, SPREAD_MS));
        }
        rpc_reply_unref(call->reply);
    }
    arena_reset(&l->watch_arena);
    timer_start(&l->again, wait);
}

static void watch_roots(struct leaves *l)
{
    if (l->watching || timer_active(&l->again)) return;
    l->watching = true;
    l->watch = (struct rpc_call){ .method = "ConnectCA.Roots",
        .args = roots_args(l, &l->watch_arena, STR_NIL, l->roots_index),
        .arena = &l->watch_arena,
        .done = watched,
        .ctx = l,
        .err = &l->err };
    cache_submit(l->opts.cache, &l->watch, &l->outcome);
}

static void watch_again(struct timer *t)
{
    watch_roots(container_of(t, struct leaves, again));
}

/* --- calls ----------------------------------------------------------------------------------- */

/* The one unused for longest that nobody waits for gives way. */
static void make_room(struct leaves *l)
{
    if (l->map.n < LEAVES_MAX) return;
    link_each (it, &l->all) {
        struct leaf *f = container_of(it, struct leaf, link);
        if (!link_empty(&f->waiters)) continue;
        destroy(f);
        return;
    }
}

static struct leaf *find(struct leaves *l, const struct leaf_call *c)
{
    struct arena a = ARENA_INIT;
    struct str datacenter = c->datacenter.n ? c->datacenter : l->opts.datacenter;
    struct str name = c->agent.n ? c->agent : c->service;
    struct str key = str_printf(&a, "%s%zu:%.*s%zu:%.*s%.*s", c->agent.n ? "agent" : "", name.n,
        STR_ARG(name), datacenter.n, STR_ARG(datacenter), STR_ARG(c->token));
    for (size_t i = 0; i < c->dns_names.n; i++)
        key = str_printf(
            &a, "%.*s\n%.*s", STR_ARG(key), STR_ARG(LIST_AT(&c->dns_names, struct str, i)));
    struct leaf *f = map_get(&l->map, key);
    if (!f) {
        make_room(l);
        f = xcalloc(1, sizeof *f);
        f->all = l;
        f->key = str_dup(&f->keys, key);
        f->service = str_dup(&f->keys, c->service);
        f->agent = str_dup(&f->keys, c->agent);
        f->token = str_dup(&f->keys, c->token);
        f->datacenter = str_dup(&f->keys, datacenter);
        record_copy(&f->keys, &type_list_str, &f->dns_names, &c->dns_names);
        record_copy(&f->keys, &type_list_str, &f->addresses, &c->addresses);
        link_init(&f->link);
        link_init(&f->waiters);
        timer_init(&f->renewal, l->opts.world, renew);
        map_put(&l->map, f->key, f);
    }
    link_remove(&f->link);
    link_push(&l->all, &f->link);
    f->used_ms = world_now_ms(l->opts.world);
    arena_free(&a);
    return f;
}

void leaf_put(struct leaves *l, const struct leaf_call *of, const struct issued_cert *cert)
{
    struct leaf *f = find(l, of);
    struct arena a = ARENA_INIT;
    stop_fetch(f);
    if (take(f, cert, str_dup(&a, cert->private_key_pem)) != 0) failed(f);
    arena_free(&a);
}

void leaf_submit(struct leaves *l, struct leaf_call *c)
{
    struct leaf *f = c->leaf = find(l, c);
    uint64_t wait = c->wait_ms && c->wait_ms < WAIT_MS ? c->wait_ms : WAIT_MS;
    link_init(&c->link);
    timer_init(&c->late, l->opts.world, late);
    bool expired =
        f->cert && gotime_to_unix_ns(f->cert->valid_before) <= world_wall_ns(l->opts.world);
    if (f->cert && !expired && f->cert->modify_index > c->min_index) {
        l->stats.hits++;
        end_call(c, true);
        return;
    }
    *(c->min_index ? &l->stats.misses_block : &l->stats.misses_new) += 1;
    link_push(&f->waiters, &c->link);
    timer_start(&c->late, wait);
    if (!f->cert || expired) fetch(f);
}

void leaf_cancel(struct leaf_call *c)
{
    timer_stop(&c->late);
    link_remove(&c->link);
}

struct cache_type_stats leaves_stats(const struct leaves *l, size_t *kept)
{
    *kept = l->map.n;
    return l->stats;
}

struct leaves *leaves_create(const struct leaves_options *o)
{
    struct leaves *l = xcalloc(1, sizeof *l);
    l->opts = *o;
    l->stats.name = "connect-ca-leaf";
    l->opts.datacenter = str_dup(&l->arena, o->datacenter);
    link_init(&l->all);
    timer_init(&l->again, o->world, watch_again);
    return l;
}

void leaves_destroy(struct leaves *l)
{
    if (!l) return;
    timer_stop(&l->again);
    if (l->watching) cache_cancel(l->opts.cache, &l->watch);
    while (!link_empty(&l->all))
        destroy(container_of(l->all.next, struct leaf, link));
    map_deinit(&l->map);
    arena_free(&l->watch_arena);
    arena_free(&l->arena);
    free(l);
}
