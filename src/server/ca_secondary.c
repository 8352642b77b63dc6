/* SPDX-License-Identifier: Apache-2.0 */
/* The authority of a secondary datacenter (leader.md 9.3, connect-xds.md 2): its intermediate is
 * signed by the primary, whose root is its own. What the primary has comes through a replicator;
 * what the own state lacks of it is found step by step, as in the primary. */
#include "ca.h"

#include <stdlib.h>

#include "consuld/lang/spiffe.h"
#include "replicator.h"

#define DRIFT_S 60 /* certificates begin that long before they are made */
#define PRIMARY_VERSION_MIN "1.6.0"

/* --- the primary's roots --------------------------------------------------------------------- */

struct primary_roots {
    struct arena arena;
    struct indexed_ca_roots roots;
};

void server__ca_forget_primary(struct server *s)
{
    if (s->primary_roots) arena_free(&s->primary_roots->arena);
    free(s->primary_roots);
    s->primary_roots = NULL;
}

static bool ready(struct server *s)
{
    return s->opts.certifier &&
           (!s->opts.wan || server__servers_at_least(
                                s->opts.wan, s->opts.primary_datacenter, PRIMARY_VERSION_MIN));
}

static int keep(struct server *s, struct store_read *rd, const void *reply, uint64_t last_index,
    struct arena *a, struct list *out)
{
    (void)rd;
    (void)last_index;
    (void)a;
    (void)out;
    server__ca_forget_primary(s);
    s->primary_roots = xcalloc(1, sizeof *s->primary_roots);
    record_copy(&s->primary_roots->arena, &type_indexed_ca_roots, &s->primary_roots->roots, reply);
    server__ca_soon(s);
    return 0;
}

const struct replication_kind server__ca_roots_kind = { .name = "CA root",
    .plural = "CA roots",
    .label = "ca_root_replication",
    .method = "ConnectCA.Roots",
    .from_leader = true,
    .ready = ready,
    .diff = keep };

/* --- the intermediate ------------------------------------------------------------------------ */

/* One run of the steps. */
struct secondary {
    struct server *server;
    struct store_read *rd;
    struct arena *a;
    struct ca_configuration config; /* the stored one, of the primary's cluster */
    const struct ca_root *top;      /* the primary's active one */
    struct ca_consul_provider_state *state;
    struct cert_facts intermediate; /* of the state; no id: there is none */
    struct list roots;              /* the stored ones */
    const struct ca_root *active;
    struct ca_progress *progress;
    struct ca_request *req;
    struct error *err;
};

static struct str signing_uri(struct secondary *c)
{
    struct spiffe_id id = { .kind = SPIFFE_SIGNING,
        .host = spiffe_trust_domain(c->a, c->config.cluster_id) };
    return spiffe_uri(c->a, &id);
}

static int make_request(struct secondary *c)
{
    struct server *s = c->server;
    struct ca_settings settings;
    uint8_t random[8];
    int rc = ca_settings_read(&c->config.config, c->a, &settings, c->err);
    if (rc) return rc;
    world_random(s->world, random, sizeof random);
    struct certify_job wanted = { .make = s->opts.certifier->request,
        .key_type = settings.private_key_type,
        .key_bits = settings.private_key_bits,
        .order = { .common_name = spiffe_authority_name(
                       c->a, false, STR("consul"), c->config.cluster_id, random),
            .uri = signing_uri(c),
            .authority = true } };
    return server__ca_make(s, c->progress, &wanted);
}

static void answered(struct rpc_call *call)
{
    struct ca_progress *p = call->ctx;
    p->calling = NULL;
    p->code = call->code;
    if (call->code == 0) {
        p->issued = str_dup(p->arena, *(const struct str *)call->reply->record);
        rpc_reply_unref(call->reply);
        log_info(CA_LOG, "received new intermediate certificate from primary datacenter");
    } else {
        log_warn(CA_LOG, "Primary datacenter refused to sign our intermediate CA certificate",
            "error", p->err.text);
    }
    arena_free(&p->call_arena);
    p->resume(p);
}

static int ask_primary(struct secondary *c)
{
    struct server *s = c->server;
    struct ca_progress *p = c->progress;
    struct ca_sign_request *args = arena_new(&p->call_arena, struct ca_sign_request);
    args->datacenter = s->opts.primary_datacenter;
    args->token = s->opts.replication_token;
    args->csr = p->made;
    p->call = (struct rpc_call){ .method = "ConnectCA.SignIntermediate",
        .args = args,
        .arena = &p->call_arena,
        .done = answered,
        .ctx = p,
        .err = &p->err };
    p->calling = &s->client;
    rpc_submit(p->calling, &p->call);
    return CA_WAITS;
}

static int check_issued(struct secondary *c)
{
    const struct certifier *by = c->server->opts.certifier;
    struct ca_progress *p = c->progress;
    struct cert_order order = { .key = p->key, .signer = c->top->root_cert };
    struct cert_facts f;
    struct str uri = signing_uri(c);
    int rc = by->facts(c->a, p->issued, &f, c->err);
    if (rc == 0) rc = by->check_issued(&order, p->issued, c->err);
    if (rc) return rc;
    if (!f.authority)
        return error_set(c->err, ERR_INTERNAL, "intermediate is not a CA certificate");
    if (f.uris.n != 1)
        return error_set(c->err, ERR_INTERNAL,
            "incoming intermediate cert has unexpected number of URIs: %zu", f.uris.n);
    if (!str_eq(f.uris.first, uri))
        return error_set(c->err, ERR_INTERNAL,
            "incoming cert URI \"%.*s\" does not match current URI: \"%.*s\"",
            STR_ARG(f.uris.first), STR_ARG(uri));
    return 0;
}

/* The request is kept over refusals, but not over another cluster. */
static bool is_ours(struct secondary *c)
{
    struct cert_uris uris;
    struct error err;
    return c->server->opts.certifier->request_uris(c->a, c->progress->made, &uris, &err) == 0 &&
           str_eq(uris.first, signing_uri(c));
}

/* Key and intermediate are stored together: until then the former sign. */
static int renew(struct secondary *c)
{
    struct ca_progress *p = c->progress;
    if (p->made.p && !is_ours(c)) server__ca_used(p);
    if (!p->made.p) return make_request(c);
    if (!p->issued.p) return ask_primary(c);
    int rc = check_issued(c);
    if (rc) {
        server__ca_used(p);
        return error_prefix(
            c->err, "Failed to set the intermediate certificate with the CA provider: ");
    }
    c->state->private_key = str_dup(c->a, p->key);
    c->state->intermediate_cert = str_dup(c->a, p->issued);
    c->state->root_cert = c->top->root_cert;
    server__ca_used(p);
    return server__ca_set_state(c->req, c->state);
}

/* Half of its life is over. */
static bool ages(struct secondary *c)
{
    int64_t from = c->intermediate.not_before_s + DRIFT_S, until = c->intermediate.not_after_s;
    return world_wall_ns(c->server->world) / SECOND_NS >= from + (until - from) / 2;
}

/* --- the roots ------------------------------------------------------------------------------- */

static bool is_stored(const struct secondary *c, struct str signing_key)
{
    return c->active && str_eq(c->active->id, c->top->id) &&
           str_eq(c->active->signing_key_id, signing_key);
}

/* The primary's root, led to by the intermediate if there is one; the former become old. */
static int set_roots(struct secondary *c, const struct cert_facts *intermediate)
{
    struct ca_request *req = c->req;
    struct ca_root fresh = *c->top;
    fresh.intermediate_certs = LIST_EMPTY;
    for (size_t i = 0; i < c->top->intermediate_certs.n; i++)
        *LIST_PUSH(c->a, &fresh.intermediate_certs, struct str) =
            LIST_AT(&c->top->intermediate_certs, struct str, i);
    if (intermediate) {
        *LIST_PUSH(c->a, &fresh.intermediate_certs, struct str) = c->state->intermediate_cert;
        fresh.signing_key_id = intermediate->key_id;
    }
    for (size_t i = 0; i < c->roots.n; i++) {
        struct ca_root old = LIST_AT(&c->roots, struct ca_root, i);
        if (str_eq(old.id, fresh.id)) continue;
        if (old.active) old.rotated_out_at = gotime_from_unix_ns(world_wall_ns(c->server->world));
        old.active = false;
        if (!old.external_trust_domain.n) old.external_trust_domain = c->config.cluster_id;
        *LIST_PUSH(c->a, &req->roots, struct ca_root) = old;
    }
    *LIST_PUSH(c->a, &req->roots, struct ca_root) = fresh;
    req->op = STR("set-roots-config");
    req->index = store_index(c->rd, NULL, STR("connect-ca-roots"));
    req->config = arena_copy(c->a, &c->config, sizeof c->config);
    log_info(CA_LOG, "updated root certificates from primary datacenter");
    return CA_COMMAND;
}

static int next(struct secondary *c)
{
    const struct certifier *by = c->server->opts.certifier;
    struct str kept = c->state->root_cert;
    if (c->state->intermediate_cert.n) {
        int rc = by->facts(c->a, c->state->intermediate_cert, &c->intermediate, c->err);
        if (rc) return rc;
    }
    if (c->progress->code) {
        /* agents are told the root, even if nobody can sign in its name yet */
        if (!c->active || !str_eq(c->active->id, c->top->id)) return set_roots(c, NULL);
        return server__ca_failed(c->progress, c->err);
    }
    bool begun = c->progress->issued.p != NULL;
    if (begun || !c->intermediate.id.n || !str_eq(kept, c->top->root_cert) || ages(c))
        return renew(c);
    if (is_stored(c, c->intermediate.key_id)) return CA_SETTLED;
    return set_roots(c, &c->intermediate);
}

static const struct ca_root *top_of(const struct indexed_ca_roots *roots)
{
    for (size_t i = 0; i < roots->roots.n; i++) {
        const struct ca_root *r = &LIST_AT(&roots->roots, struct ca_root, i);
        if (r->active && str_eq(r->id, roots->active_root_id)) return r;
    }
    return NULL;
}

int server__ca_secondary_step(struct server *s, struct store_read *rd, struct arena *a,
    const struct ca_configuration *config, struct ca_progress *p, struct ca_request *req,
    struct error *err)
{
    struct secondary c = { s, rd, a, *config, .progress = p, .req = req, .err = err };
    struct str rest;
    if (!s->primary_roots) { /* until the replicator brings them */
        if (!ready(s))
            log_warn(CA_LOG, "no server of the primary datacenter is known that could sign - "
                             "deferring initialization of the secondary datacenter CA");
        return CA_SETTLED;
    }
    const struct indexed_ca_roots *primary = &s->primary_roots->roots;
    c.top = top_of(primary);
    if (!primary->trust_domain.n)
        return error_set(
            err, ERR_INTERNAL, "trust domain from primary datacenter is not initialized");
    if (!c.top)
        return error_set(
            err, ERR_INTERNAL, "primary datacenter does not have an active root CA for Connect");
    str_cut(primary->trust_domain, '.', &c.config.cluster_id, &rest);
    if (server__ca_open_state(s, rd, a, config, req, &c.state)) return CA_COMMAND;
    store_ca_roots(rd, NULL, a, &c.roots);
    c.active = server__ca_active(&c.roots);
    return next(&c);
}
