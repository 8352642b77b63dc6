/* SPDX-License-Identifier: Apache-2.0 */
/* ConnectCA.Sign, SignIntermediate (rpc.md 13, connect-xds.md 1.4, 2). */
#include "ca.h"
#include "consuld/lang/spiffe.h"
#include "consuld/wire/quote.h"

#define CSR_WAIT_US INT64_C(500000)
#define DRIFT_S 60 /* certificates begin that long before they are made */

/* A certificate on its way: in turn, a number, the worker, the end. */
struct signing {
    struct str csr, datacenter;
    struct spiffe_id id;
    struct str own_uri; /* nil: the request's is taken over */
    struct ca_configuration *config;
    struct ca_settings settings;
    uint64_t serial;
    certify_make *make;
    int64_t ttl_ns;
    struct certify_job wanted, *job; /* job: under way */
    struct link jobs;
    int (*made)(struct write *w, struct str certificate);
    struct str certificate;
    int (*answer)(struct write *w, const struct issued_cert *cert);
    /* its turn */
    struct write *write;
    struct link line;
    bool busy;
    void (*fire)(struct timer *t); /* what the call's timer does otherwise */
};

static int no_ca(struct error *err, const char *what)
{
    return error_set(err, ERR_INTERNAL, "internal error: CA %s is nil", what);
}

/* --- the worker ------------------------------------------------------------------------------ */

/* One at a time: the disk wants workers too. */
static void next_job(struct server *s)
{
    struct link *l = s->signing ? NULL : link_pop(&s->signing_line);
    if (!l) return;
    struct signing *g = container_of(l, struct signing, jobs);
    s->signing = true;
    g->job = certify_submit(s->world, &g->wanted);
}

static void end_job(struct server *s, struct signing *g)
{
    if (!g->job) return;
    g->job = NULL;
    s->signing = false;
    next_job(s);
}

static void done(struct certify_job *j)
{
    struct write *w = j->ctx;
    struct signing *g = w->p.state;
    int rc = j->code;
    end_job(w->p.server, g);
    if (rc) {
        *w->err = j->err;
        rc = error_prefix(w->err, "error generating certificate: ");
    } else {
        rc = g->made(w, j->made);
    }
    write_answer(w, rc);
}

static int numbered(struct write *w, const struct command_result *res)
{
    struct signing *g = w->p.state;
    struct server *s = w->p.server;
    struct arena *a = w->p.call->arena;
    if (res->kind == RESULT_ERROR) return write_finish(w, res);
    const struct ca_consul_provider_state *state =
        server__ca_provider(s, store_read(s->store), a, g->config);
    if (!state || !state->private_key.n)
        return error_set(w->err, ERR_INTERNAL, "provider not initialized");
    int64_t from = world_wall_ns(s->world) / SECOND_NS - DRIFT_S;
    bool primary = server__ca_is_primary(s);
    g->wanted = (struct certify_job){ .by = s->opts.certifier,
        .make = g->make,
        .order = { .request = g->csr,
            .signer = primary ? state->root_cert : state->intermediate_cert,
            .signer_key = state->private_key,
            .common_name = spiffe_common_name(a, &g->id),
            .uri = g->own_uri,
            .serial = res->number,
            .not_before_s = from,
            .not_after_s = from + g->ttl_ns / SECOND_NS },
        .done = done,
        .ctx = w };
    link_push(&s->signing_line, &g->jobs);
    next_job(s);
    return WRITE_PENDING;
}

static int take_number(struct write *w)
{
    struct ca_request req = { .op = STR("increment-provider-serial") };
    return write_propose_then(w, COMMAND_CONNECT_CA, &req, numbered);
}

/* --- turns ----------------------------------------------------------------------------------- */

static int limited(struct error *err)
{
    return error_set(err, ERR_INTERNAL, RPC_ERR_SIGNING_LIMIT);
}

static void occupy(struct signing *g)
{
    g->busy = true;
    g->write->p.server->csr_busy++;
}

/* However the call ends. */
static void leave(struct pending *p)
{
    struct signing *g = p->state;
    struct server *s = p->server;
    certify_forget(g->job);
    link_remove(&g->jobs);
    end_job(s, g);
    link_remove(&g->line);
    timer_stop(&p->timer);
    p->timer.fire = g->fire;
    if (!g->busy) return;
    g->busy = false;
    s->csr_busy--;
    struct link *l = link_pop(&s->csr_line);
    if (!l) return;
    struct signing *next = container_of(l, struct signing, line);
    timer_stop(&next->write->p.timer);
    occupy(next);
    take_number(next->write);
}

static void on_turn(struct timer *t)
{
    take_number(container_of(t, struct write, p.timer));
}

static void on_late(struct timer *t)
{
    struct write *w = container_of(t, struct write, p.timer);
    write_answer(w, limited(w->err));
}

static int wait(struct write *w, int64_t us, void (*fire)(struct timer *t))
{
    w->p.timer.fire = fire;
    timer_start(&w->p.timer, (uint64_t)(us + 999) / 1000);
    return WRITE_PENDING;
}

/* Evenly spread, one at a time; who would have to wait for long is refused. */
static int at_rate(struct write *w, double rate)
{
    struct server *s = w->p.server;
    int64_t now = (int64_t)world_now_us(s->world);
    int64_t at = s->csr_next_us > now ? s->csr_next_us : now;
    if (at - now > CSR_WAIT_US) return limited(w->err);
    s->csr_next_us = at + (int64_t)(1e6 / rate);
    return at == now ? take_number(w) : wait(w, at - now, on_turn);
}

static int in_turn(struct write *w, struct signing *g)
{
    struct server *s = w->p.server;
    if (g->settings.csr_max_per_second > 0) return at_rate(w, g->settings.csr_max_per_second);
    if (g->settings.csr_max_concurrent <= 0) return take_number(w);
    if (s->csr_busy >= g->settings.csr_max_concurrent) {
        link_push(&s->csr_line, &g->line);
        return wait(w, CSR_WAIT_US, on_late);
    }
    occupy(g);
    return take_number(w);
}

static struct signing *begin(struct write *w, struct str csr, struct str datacenter)
{
    struct signing *g = arena_new(w->p.call->arena, struct signing);
    *g = (struct signing){
        .csr = csr, .datacenter = datacenter, .write = w, .fire = w->p.timer.fire
    };
    link_init(&g->line);
    link_init(&g->jobs);
    w->p.state = g;
    w->p.abandon = leave;
    return g;
}

/* The authority's own side of it. */
static int open_authority(struct write *w, struct signing *g)
{
    struct server *s = w->p.server;
    struct arena *a = w->p.call->arena;
    struct list roots = { 0 };
    struct store_read *rd = store_read(s->store);
    store_ca_configuration(rd, NULL, a, &g->config);
    store_ca_roots(rd, NULL, a, &roots);
    if (!g->config) return no_ca(w->err, "provider");
    if (!server__ca_active(&roots)) return no_ca(w->err, "root");
    return ca_settings_read(&g->config->config, a, &g->settings, w->err);
}

/* --- leaves ---------------------------------------------------------------------------------- */

static int check_identity(struct write *w, struct signing *g)
{
    struct arena *a = w->p.call->arena;
    struct str domain = spiffe_trust_domain(a, g->config->cluster_id);
    if (g->id.kind == SPIFFE_AGENT) {
        g->id.host = domain;
        g->own_uri = spiffe_uri(a, &g->id);
        return 0;
    }
    if (str_eq_nocase(g->id.host, domain)) return 0;
    return error_set(w->err, ERR_INTERNAL,
        "SPIFFE ID in CSR from a different trust domain: %.*s, we are %.*s", STR_ARG(g->id.host),
        STR_ARG(domain));
}

static int counted(struct write *w, const struct command_result *res)
{
    struct signing *g = w->p.state;
    struct arena *a = w->p.call->arena;
    struct cert_facts f;
    if (res->kind == RESULT_ERROR) return write_finish(w, res);
    int rc = w->p.server->opts.certifier->facts(a, g->certificate, &f, w->err);
    if (rc) return rc;
    struct str uri = spiffe_uri(a, &g->id);
    bool service = g->id.kind == SPIFFE_SERVICE;
    struct issued_cert cert = { .serial_number = f.serial_text,
        .cert_pem = g->certificate,
        .service = service ? g->id.service : STR(""),
        .service_uri = service ? uri : STR(""),
        .agent = service ? STR("") : g->id.agent,
        .agent_uri = service ? STR("") : uri,
        .valid_after = gotime_from_unix_ns(f.not_before_s * SECOND_NS),
        .valid_before = gotime_from_unix_ns(f.not_after_s * SECOND_NS),
        .create_index = res->number,
        .modify_index = res->number };
    return g->answer(w, &cert);
}

static void append(struct arena *a, struct str *pem, struct str more)
{
    *pem = str_printf(a, "%.*s%.*s", STR_ARG(*pem), STR_ARG(more));
}

/* Behind the leaf comes what leads from the active root to others that are trusted, then the own
 * intermediate, though it is among them. */
static int leaf_made(struct write *w, struct str certificate)
{
    struct signing *g = w->p.state;
    struct server *s = w->p.server;
    struct arena *a = w->p.call->arena;
    struct list roots = { 0 };
    struct store_read *rd = store_read(s->store);
    store_ca_roots(rd, NULL, a, &roots);
    const struct ca_root *active = server__ca_active(&roots);
    const struct ca_consul_provider_state *state = server__ca_provider(s, rd, a, g->config);
    if (!active) return no_ca(w->err, "root");
    g->certificate = certificate;
    for (size_t i = 0; i < active->intermediate_certs.n; i++)
        append(a, &g->certificate, LIST_AT(&active->intermediate_certs, struct str, i));
    if (!server__ca_is_primary(s) && state) append(a, &g->certificate, state->intermediate_cert);
    g->certificate = str_dup(a, g->certificate);
    struct ca_leaf_request req = { .op = STR("increment-index"), .datacenter = g->datacenter };
    return write_propose_then(w, COMMAND_CA_LEAF, &req, counted);
}

int server__ca_sign(struct write *w, struct str csr, struct str datacenter,
    int (*answer)(struct write *w, const struct issued_cert *cert))
{
    struct server *s = w->p.server;
    struct str own = s->opts.datacenter;
    struct arena *a = w->p.call->arena;
    struct signing *g = begin(w, csr, datacenter);
    struct cert_uris uris;
    int rc = server__ca_enabled(s, w->err);
    if (rc == 0) rc = s->opts.certifier->request_uris(a, csr, &uris, w->err);
    if (rc == 0 && uris.n == 0)
        rc = error_set(w->err, ERR_INTERNAL, "x509: the request names no URI");
    if (rc == 0 && spiffe_parse(uris.first, a, &g->id, w->err)) rc = w->err->code = ERR_INTERNAL;
    if (rc) return rc;
    if (g->id.kind == SPIFFE_SIGNING)
        return error_set(w->err, ERR_INTERNAL, "SPIFFE ID in CSR must be a service or agent ID");
    if (g->id.kind == SPIFFE_SERVICE && !str_eq(g->id.datacenter, own))
        return error_set(w->err, ERR_INTERNAL,
            "SPIFFE ID in CSR from a different datacenter: %.*s, we are %.*s",
            STR_ARG(g->id.datacenter), STR_ARG(own));
    rc = open_authority(w, g);
    if (rc == 0) rc = check_identity(w, g);
    g->make = s->opts.certifier->leaf;
    g->ttl_ns = g->settings.leaf_cert_ttl;
    g->made = leaf_made;
    g->answer = answer;
    return rc ? rc : in_turn(w, g);
}

static int answer_leaf(struct write *w, const struct issued_cert *cert)
{
    struct rpc_reply *reply = write_reply(w);
    record_copy(&reply->arena, &type_issued_cert, reply->record, cert);
    return WRITE_DONE;
}

int connect_ca_sign(struct write *w)
{
    const struct ca_sign_request *args = w->p.args;
    return server__ca_sign(w, args->csr, args->datacenter, answer_leaf);
}

/* --- intermediates of other datacenters ------------------------------------------------------ */

/* None, the cluster's or one of the cluster's services. */
static int check_authority(struct write *w, struct signing *g, const struct cert_uris *uris)
{
    struct arena *a = w->p.call->arena;
    struct spiffe_id id,
        own = { .kind = SPIFFE_SIGNING, .host = spiffe_trust_domain(a, g->config->cluster_id) };
    if (uris->n == 0) return 0;
    if (uris->n > 1)
        return error_set(
            w->err, ERR_INTERNAL, "incoming CSR has unexpected number of URIs: %zu", uris->n);
    if (spiffe_parse(uris->first, a, &id, w->err)) return w->err->code = ERR_INTERNAL;
    if (id.kind != SPIFFE_AGENT && str_eq_nocase(id.host, own.host)) return 0;
    struct buf asked = BUF_INIT(8192), ours = BUF_INIT(8192);
    quote_go(&asked, uris->first);
    quote_go(&ours, spiffe_uri(a, &own));
    error_set(w->err, ERR_INTERNAL, "incoming CSR domain %.*s is not valid for our domain %.*s",
        STR_ARG(buf_str(&asked)), STR_ARG(buf_str(&ours)));
    buf_deinit(&asked);
    buf_deinit(&ours);
    return ERR_INTERNAL;
}

int connect_ca_sign_intermediate(struct write *w)
{
    const struct ca_sign_request *args = w->p.args;
    struct server *s = w->p.server;
    struct signing *g = begin(w, args->csr, args->datacenter);
    struct cert_uris uris;
    int rc = server__ca_enabled(s, w->err);
    if (rc) return rc;
    if (!server__ca_is_primary(s))
        return error_set(w->err, ERR_INTERNAL, "not the primary datacenter");
    rc = s->opts.certifier->request_uris(w->p.call->arena, args->csr, &uris, w->err);
    if (rc == 0) rc = open_authority(w, g);
    if (rc == 0) rc = check_authority(w, g, &uris);
    g->make = s->opts.certifier->intermediate;
    g->ttl_ns = g->settings.intermediate_cert_ttl;
    g->made = write_reply_str;
    return rc ? rc : take_number(w);
}
