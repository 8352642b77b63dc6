/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/auto_encrypt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/agent/cache.h"
#include "consuld/agent/leaf.h"
#include "consuld/agent/retry_join.h"
#include "consuld/base/outside.h"
#include "consuld/cluster/rpc_pool.h"
#include "consuld/gossip/address.h"
#include "consuld/lang/spiffe.h"

#define LOG "agent.auto_config"
#define RETRY_MAX_MS (UINT64_C(600) * 1000)
#define WATCH_RETRY_MAX_MS UINT64_C(30000)
#define EXPIRED_MS UINT64_C(10000)    /* after its end a certificate is asked for anew */
#define UNKNOWN_DOMAIN STR("unknown") /* servers put theirs in its place */

struct host {
    struct str name;
    uint16_t port;
};

struct auto_encrypt {
    struct auto_encrypt_options opts;
    bool upgraded, stopped;
    /* the credentials */
    struct arena arena;
    struct auto_credentials now;
    struct list manual;       /* -> struct str, the first of now.cas */
    struct issued_cert *cert; /* with its private key */
    struct timer expired;
    /* asking without a certificate: hosts, and the addresses of each, one after the other */
    bool asking;
    struct arena ask;   /* of key and request */
    struct arena round; /* of hosts */
    struct certify_job *job;
    struct str key, request;
    struct list hosts; /* -> struct host */
    size_t host, address;
    struct resolve resolve;
    char ip[GOSSIP_ADDRESS_TEXT_MAX];
    char where[GOSSIP_ADDRESS_TEXT_MAX + 8];
    struct rpc_call call;
    struct arena call_arena;
    struct error err;
    bool calling;
    unsigned failures;
    struct timer retry;
    /* following */
    struct leaves *leaves;
    struct cache *cache;
    struct leaf_call leaf;
    struct arena leaf_arena; /* of its token */
    bool leaf_waits;
    struct rpc_call roots;
    struct cache_outcome outcome;
    struct arena roots_arena;
    struct error roots_err;
    uint64_t roots_index;
    bool roots_wait;
    unsigned roots_failures;
    struct timer leaf_again, roots_again;
};

static void next_host(struct auto_encrypt *e);

/* --- credentials ------------------------------------------------------------------------------ */

static void copy_texts(struct arena *a, struct list *to, const struct list *from)
{
    for (size_t i = 0; i < from->n; i++)
        *LIST_PUSH(a, to, struct str) = str_dup(a, LIST_AT(from, struct str, i));
}

/* Nothing is changed if they cannot be taken into use. `roots` -> struct ca_root. */
static int use(struct auto_encrypt *e, const struct list *manual, const struct list *roots,
    const struct issued_cert *cert, bool verify_names, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct list kept = { 0 };
    struct auto_credentials c = { .verify_names = verify_names };
    struct issued_cert *own = arena_new(&a, struct issued_cert);
    copy_texts(&a, &kept, manual);
    copy_texts(&a, &c.cas, manual);
    for (size_t i = 0; i < roots->n; i++)
        *LIST_PUSH(&a, &c.cas, struct str) =
            str_dup(&a, LIST_AT(roots, struct ca_root, i).root_cert);
    record_copy(&a, &type_issued_cert, own, cert);
    c.cert = own->cert_pem;
    c.key = own->private_key_pem;
    int rc = e->opts.changed(e->opts.ctx, &c, err);
    if (rc) {
        arena_free(&a);
        return rc;
    }
    arena_free(&e->arena);
    e->arena = a;
    e->manual = kept;
    e->now = c;
    e->cert = own;
    int64_t left_ms =
        (gotime_to_unix_ns(own->valid_before) - world_wall_ns(e->opts.world)) / 1000000;
    timer_start(&e->expired, (left_ms > 0 ? (uint64_t)left_ms : 0) + EXPIRED_MS);
    return 0;
}

/* As one of the leaves. */
static struct leaf_call own_leaf(const struct auto_encrypt *e)
{
    return (struct leaf_call){ .agent = e->opts.node_name,
        .token = e->opts.token(e->opts.ctx),
        .dns_names = e->opts.dns_names,
        .addresses = e->opts.addresses };
}

static void put_leaf(const struct auto_encrypt *e)
{
    struct leaf_call own = own_leaf(e);
    leaf_put(e->leaves, &own, e->cert);
}

/* --- asking without a certificate --------------------------------------------------------------
 */

static void stop_asking(struct auto_encrypt *e)
{
    timer_stop(&e->retry);
    certify_forget(e->job);
    e->job = NULL;
    resolve_cancel(&e->resolve);
    if (e->calling) e->opts.cancel(e->opts.ctx, &e->call);
    e->calling = e->asking = false;
    arena_reset(&e->call_arena);
    arena_reset(&e->ask);
}

/* The first repetition is at once, then they become rarer. */
static void try_later(struct auto_encrypt *e, const char *why)
{
    struct world *w = e->opts.world;
    log_error(LOG, why);
    e->failures++;
    uint64_t wait = 0;
    if (e->failures > 1) {
        unsigned shift = e->failures - 2 < 20 ? e->failures - 2 : 20;
        wait = UINT64_C(1000) << shift;
        if (wait > RETRY_MAX_MS) wait = RETRY_MAX_MS;
        wait += world_random_below(w, wait / 4);
    }
    timer_start(&e->retry, wait);
}

/* The text of a join without its port. */
static struct str host_of(struct arena *a, struct str text)
{
    struct gossip_address address;
    ptrdiff_t colon = -1;
    if (gossip_address_parse(&address, str_c(a, text), 1)) return text;
    if (text.n && text.p[0] == '[') {
        ptrdiff_t close = str_find_char(text, ']');
        return close < 0 ? text : str_slice(text, 1, (size_t)close);
    }
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == ':') colon = (ptrdiff_t)i;
    return colon < 0 ? text : str_slice(text, 0, (size_t)colon);
}

static void add_hosts(struct auto_encrypt *e, const struct list *texts)
{
    for (size_t i = 0; i < texts->n; i++) {
        struct str text = LIST_AT(texts, struct str, i);
        struct str fault = join_discovery_fault(text, &e->round);
        if (!fault.p) {
            *LIST_PUSH(&e->round, &e->hosts, struct host) =
                (struct host){ host_of(&e->round, text), e->opts.port };
            continue;
        }
        log_error(LOG, "failed to resolve servers", "configuration", str_c(&e->round, text),
            "error", str_c(&e->round, fault));
    }
}

static void begin_round(struct timer *t)
{
    struct auto_encrypt *e = container_of(t, struct auto_encrypt, retry);
    struct rpc_target known;
    arena_reset(&e->round);
    e->hosts = (struct list){ 0 };
    e->host = 0;
    if (e->opts.server(e->opts.ctx, &e->round, &known)) {
        *LIST_PUSH(&e->round, &e->hosts, struct host) = (struct host){ known.address, known.port };
    } else {
        add_hosts(e, e->opts.start_join);
        add_hosts(e, e->opts.retry_join);
    }
    if (e->hosts.n)
        next_host(e);
    else
        try_later(e, "no auto-encrypt server addresses available for use");
}

static int take(struct auto_encrypt *e, const struct signed_response *r)
{
    struct issued_cert cert = r->issued_cert;
    cert.private_key_pem = e->key;
    return use(e, &r->manual_ca_roots, &r->connect_ca_roots.roots, &cert, r->verify_server_hostname,
        &e->err);
}

static void next_address(struct auto_encrypt *e);

static void answered(struct rpc_call *call)
{
    struct auto_encrypt *e = call->ctx;
    struct rpc_reply *reply = call->reply;
    e->calling = false;
    int rc = call->code ? call->code : take(e, reply->record);
    rpc_reply_unref(reply);
    if (rc) {
        log_error(LOG, "AutoEncrypt.Sign RPC failed", "addr", e->where, "error", e->err.text);
        e->address++;
        next_address(e);
        return;
    }
    stop_asking(e);
    if (e->leaves) put_leaf(e);
    log_info(LOG, "automatically upgraded to TLS");
    if (e->upgraded) return;
    e->upgraded = true;
    e->opts.upgraded(e->opts.ctx);
}

static void next_address(struct auto_encrypt *e)
{
    const struct host *h = &LIST_AT(&e->hosts, struct host, e->host);
    if (e->address == e->resolve.n) {
        e->host++;
        next_host(e);
        return;
    }
    const struct resolved_ip *found = &e->resolve.addresses[e->address];
    struct gossip_address address;
    arena_reset(&e->call_arena);
    struct ca_sign_request *args = arena_new(&e->call_arena, struct ca_sign_request);
    args->datacenter = e->opts.datacenter;
    args->csr = e->request;
    args->token = e->opts.token(e->opts.ctx);
    if (!gossip_address_set(
            &address, (struct str){ (const char *)found->ip, found->ip_n }, h->port)) {
        e->address++;
        next_address(e);
        return;
    }
    struct rpc_target to = { .name = e->opts.node_name,
        .datacenter = e->opts.datacenter,
        .address = str_of(gossip_ip_text(&address, e->ip)),
        .port = h->port };
    snprintf(e->where, sizeof e->where, found->ip_n == 16 ? "[%s]:%u" : "%s:%u", e->ip, h->port);
    log_debug(LOG, "making AutoEncrypt.Sign RPC", "addr", e->where);
    e->calling = true;
    e->call = (struct rpc_call){ .method = "AutoEncrypt.Sign",
        .args = args,
        .arena = &e->call_arena,
        .done = answered,
        .ctx = e,
        .err = &e->err };
    e->opts.submit(e->opts.ctx, &to, &e->call);
}

static void resolved(struct resolve *r)
{
    struct auto_encrypt *e = container_of(r, struct auto_encrypt, resolve);
    if (r->n == 0) log_warn(LOG, "IP resolution failed", "error", r->err.text);
    e->address = 0;
    next_address(e);
}

static void next_host(struct auto_encrypt *e)
{
    if (e->host == e->hosts.n) {
        try_later(e, "No servers successfully responded to the auto-encrypt request");
        return;
    }
    e->resolve = (struct resolve){ .world = e->opts.world,
        .host = LIST_AT(&e->hosts, struct host, e->host).name,
        .done = resolved };
    resolve_start(&e->resolve);
}

/* One key and one request serve all rounds. */
static void made(struct certify_job *j)
{
    struct auto_encrypt *e = j->ctx;
    e->job = NULL;
    if (j->code) {
        log_error(LOG, "Cannot generate CSR", "error", j->err.text);
        return;
    }
    e->key = str_dup(&e->ask, j->key);
    e->request = str_dup(&e->ask, j->made);
    timer_start(&e->retry, 0);
}

static void ask(struct auto_encrypt *e)
{
    const struct auto_encrypt_options *o = &e->opts;
    struct arena *a = &e->ask;
    struct spiffe_id id = { .kind = SPIFFE_AGENT,
        .host = UNKNOWN_DOMAIN,
        .datacenter = o->datacenter,
        .agent = o->node_name };
    struct certify_job wanted = { .by = o->certifier,
        .make = o->certifier->request,
        .key_type = o->key_type,
        .key_bits = o->key_bits,
        .order = { .common_name = spiffe_common_name(a, &id),
            .uri = spiffe_uri(a, &id),
            .dns_names = o->dns_names.v,
            .n_dns_names = o->dns_names.n,
            .addresses = o->addresses.v,
            .n_addresses = o->addresses.n },
        .done = made,
        .ctx = e };
    if (e->asking) return;
    e->asking = true;
    e->failures = 0;
    e->job = certify_submit(o->world, &wanted);
}

static void on_expired(struct timer *t)
{
    struct auto_encrypt *e = container_of(t, struct auto_encrypt, expired);
    if (e->stopped) return;
    log_warn(LOG, "agent's client certificate has expired");
    ask(e);
}

/* --- following ---------------------------------------------------------------------------------
 */

static void watch_leaf(struct auto_encrypt *e);
static void watch_roots(struct auto_encrypt *e);

static void leaf_done(struct leaf_call *c)
{
    struct auto_encrypt *e = c->ctx;
    struct error err;
    e->leaf_waits = false;
    if (e->stopped) return;
    if (c->code) {
        log_error(LOG, "leaf watch returned an error", "error", c->err.text);
        timer_start(&e->leaf_again, WATCH_RETRY_MAX_MS);
        return;
    }
    if (c->cert->modify_index != e->cert->modify_index) {
        struct list roots = { 0 };
        struct arena a = ARENA_INIT;
        struct auto_credentials now = e->now;
        for (size_t i = e->manual.n; i < now.cas.n; i++)
            LIST_PUSH(&a, &roots, struct ca_root)->root_cert = LIST_AT(&now.cas, struct str, i);
        if (use(e, &e->manual, &roots, c->cert, now.verify_names, &err))
            log_error(LOG, "failed to update the agent leaf cert", "error", err.text);
        else if (e->asking)
            stop_asking(e);
        arena_free(&a);
    }
    timer_start(&e->leaf_again, 0);
}

static void watch_leaf(struct auto_encrypt *e)
{
    e->leaf_waits = true;
    e->leaf = own_leaf(e);
    arena_reset(&e->leaf_arena);
    e->leaf.token = str_dup(&e->leaf_arena, e->leaf.token);
    e->leaf.min_index = e->cert->modify_index;
    e->leaf.done = leaf_done;
    e->leaf.ctx = e;
    leaf_submit(e->leaves, &e->leaf);
}

static bool same_roots(const struct auto_encrypt *e, const struct list *roots)
{
    if (roots->n != e->now.cas.n - e->manual.n) return false;
    for (size_t i = 0; i < roots->n; i++)
        if (!str_eq(LIST_AT(roots, struct ca_root, i).root_cert,
                LIST_AT(&e->now.cas, struct str, e->manual.n + i)))
            return false;
    return true;
}

static void roots_done(struct rpc_call *call)
{
    struct auto_encrypt *e = call->ctx;
    struct error err;
    e->roots_wait = false;
    uint64_t wait = 1;
    if (call->code) {
        e->roots_index = 0;
        wait = UINT64_C(1000) << (e->roots_failures < 5 ? e->roots_failures++ : 5);
        if (wait > WATCH_RETRY_MAX_MS) wait = WATCH_RETRY_MAX_MS;
    } else {
        e->roots_failures = 0;
        const struct indexed_ca_roots *got = call->reply->record;
        e->roots_index = call->reply->index;
        if (got->roots.n && !same_roots(e, &got->roots) &&
            use(e, &e->manual, &got->roots, e->cert, e->now.verify_names, &err))
            log_error(LOG, "failed to update Connect CA certificates", "error", err.text);
        rpc_reply_unref(call->reply);
    }
    arena_reset(&e->roots_arena);
    timer_start(&e->roots_again, wait);
}

static void watch_roots(struct auto_encrypt *e)
{
    struct dc_specific_request *args = arena_new(&e->roots_arena, struct dc_specific_request);
    args->datacenter = e->opts.datacenter;
    args->min_query_index = e->roots_index;
    e->roots_wait = true;
    e->roots = (struct rpc_call){ .method = "ConnectCA.Roots",
        .args = args,
        .arena = &e->roots_arena,
        .done = roots_done,
        .ctx = e,
        .err = &e->roots_err };
    cache_submit(e->cache, &e->roots, &e->outcome);
}

static void leaf_again(struct timer *t)
{
    watch_leaf(container_of(t, struct auto_encrypt, leaf_again));
}

static void roots_again(struct timer *t)
{
    watch_roots(container_of(t, struct auto_encrypt, roots_again));
}

void auto_encrypt_follow(struct auto_encrypt *e, struct leaves *leaves, struct cache *cache)
{
    ensure(e->cert && !e->leaves);
    e->leaves = leaves;
    e->cache = cache;
    put_leaf(e);
    watch_leaf(e);
    watch_roots(e);
}

void auto_encrypt_token(struct auto_encrypt *e)
{
    if (!e->leaf_waits || str_eq(e->leaf.token, e->opts.token(e->opts.ctx))) return;
    leaf_cancel(&e->leaf);
    watch_leaf(e);
}

/* --- life ---------------------------------------------------------------------------------------
 */

struct auto_encrypt *auto_encrypt_create(const struct auto_encrypt_options *o)
{
    struct auto_encrypt *e = xcalloc(1, sizeof *e);
    e->opts = *o;
    timer_init(&e->retry, o->world, begin_round);
    timer_init(&e->expired, o->world, on_expired);
    timer_init(&e->leaf_again, o->world, leaf_again);
    timer_init(&e->roots_again, o->world, roots_again);
    ask(e);
    return e;
}

void auto_encrypt_stop(struct auto_encrypt *e)
{
    if (!e || e->stopped) return;
    e->stopped = true;
    if (!e->upgraded)
        log_info(LOG, "interrupted during retrieval of auto-encrypt certificates", "err",
            "context canceled");
    stop_asking(e);
    timer_stop(&e->expired);
    timer_stop(&e->leaf_again);
    timer_stop(&e->roots_again);
    if (e->leaf_waits) leaf_cancel(&e->leaf);
    if (e->roots_wait) cache_cancel(e->cache, &e->roots);
    e->leaf_waits = e->roots_wait = false;
}

void auto_encrypt_destroy(struct auto_encrypt *e)
{
    if (!e) return;
    auto_encrypt_stop(e);
    arena_free(&e->leaf_arena);
    arena_free(&e->roots_arena);
    arena_free(&e->call_arena);
    arena_free(&e->round);
    arena_free(&e->ask);
    arena_free(&e->arena);
    free(e);
}
