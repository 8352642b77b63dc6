/* SPDX-License-Identifier: Apache-2.0 */
/* ConnectCA.Sign (rpc.md 13, connect-xds.md 1.4). */
#include "ca.h"
#include "consuld/lang/spiffe.h"

#define CSR_WAIT_US INT64_C(500000)

struct signing {
    struct spiffe_id id;
    struct str own_uri; /* nil: the request's is taken over */
    struct ca_configuration *config;
    struct ca_settings settings;
    uint64_t serial;
    struct certify_job *job; /* under way */
    struct str certificate;
    void (*fire)(struct timer *t); /* what the call's timer does otherwise */
};

static int check_identity(struct write *w, struct signing *g)
{
    struct server *s = w->p.server;
    struct arena *a = w->p.call->arena;
    struct str own = s->opts.datacenter, domain = spiffe_trust_domain(a, g->config->cluster_id);
    if (g->id.kind == SPIFFE_AGENT) {
        g->id.host = domain;
        g->own_uri = spiffe_uri(a, &g->id);
        return 0;
    }
    if (!str_eq(g->id.datacenter, own))
        return error_set(w->err, ERR_INTERNAL,
            "SPIFFE ID in CSR from a different datacenter: %.*s, we are %.*s",
            STR_ARG(g->id.datacenter), STR_ARG(own));
    if (!str_eq_nocase(g->id.host, domain))
        return error_set(w->err, ERR_INTERNAL,
            "SPIFFE ID in CSR from a different trust domain: %.*s, we are %.*s",
            STR_ARG(g->id.host), STR_ARG(domain));
    return 0;
}

static int answered(struct write *w, const struct command_result *res)
{
    struct signing *g = w->p.state;
    struct cert_facts f;
    if (res->kind == RESULT_ERROR) return write_finish(w, res);
    struct rpc_reply *reply = write_reply(w);
    struct arena *a = &reply->arena;
    struct issued_cert *out = reply->record;
    int rc = w->p.server->opts.certifier->facts(a, g->certificate, &f, w->err);
    if (rc) return rc;
    struct str uri = spiffe_uri(a, &g->id);
    bool service = g->id.kind == SPIFFE_SERVICE;
    *out = (struct issued_cert){ .serial_number = f.serial_text,
        .cert_pem = str_dup(a, g->certificate),
        .service = service ? str_dup(a, g->id.service) : STR(""),
        .service_uri = service ? uri : STR(""),
        .agent = service ? STR("") : str_dup(a, g->id.agent),
        .agent_uri = service ? STR("") : uri,
        .valid_after = gotime_from_unix_ns(f.not_before_s * SECOND_NS),
        .valid_before = gotime_from_unix_ns(f.not_after_s * SECOND_NS),
        .create_index = res->number,
        .modify_index = res->number };
    return WRITE_DONE;
}

/* Behind the certificate comes what leads from the active root to others that are trusted. */
static int add_chain(struct write *w, struct signing *g, struct str certificate)
{
    struct arena *a = w->p.call->arena;
    struct list roots = { 0 };
    store_ca_roots(store_read(w->p.server->store), NULL, a, &roots);
    const struct ca_root *active = server__ca_active(&roots);
    if (!active) return error_set(w->err, ERR_INTERNAL, "internal error: CA root is nil");
    g->certificate = str_dup(a, certificate);
    for (size_t i = 0; i < active->intermediate_certs.n; i++)
        g->certificate = str_printf(a, "%.*s%.*s", STR_ARG(g->certificate),
            STR_ARG(LIST_AT(&active->intermediate_certs, struct str, i)));
    return 0;
}

static int count(struct write *w)
{
    struct ca_leaf_request req = { .op = STR("increment-index"),
        .datacenter = ((const struct ca_sign_request *)w->p.args)->datacenter };
    return write_propose_then(w, COMMAND_CA_LEAF, &req, answered);
}

static void made(struct certify_job *j)
{
    struct write *w = j->ctx;
    struct signing *g = w->p.state;
    g->job = NULL;
    int rc = j->code;
    if (rc)
        *w->err = j->err;
    else
        rc = add_chain(w, g, j->made);
    write_answer(w, rc ? rc : count(w));
}

static int make_leaf(struct write *w, struct signing *g)
{
    struct server *s = w->p.server;
    struct arena *a = w->p.call->arena;
    const struct ca_consul_provider_state *state =
        server__ca_provider(s, store_read(s->store), a, g->config);
    if (!state) return error_set(w->err, ERR_INTERNAL, "internal error: CA provider is nil");
    int64_t from = world_wall_ns(s->world) / SECOND_NS - 60;
    struct certify_job wanted = { .by = s->opts.certifier,
        .make = s->opts.certifier->leaf,
        .order = { .request = ((const struct ca_sign_request *)w->p.args)->csr,
            .signer = state->root_cert,
            .signer_key = state->private_key,
            .common_name = spiffe_common_name(a, &g->id),
            .uri = g->own_uri,
            .serial = g->serial,
            .not_before_s = from,
            .not_after_s = from + g->settings.leaf_ttl_ns / SECOND_NS },
        .done = made,
        .ctx = w };
    g->job = certify_submit(s->world, &wanted);
    return WRITE_PENDING;
}

static int numbered(struct write *w, const struct command_result *res)
{
    struct signing *g = w->p.state;
    if (res->kind == RESULT_ERROR) return write_finish(w, res);
    g->serial = res->number;
    return make_leaf(w, g);
}

static void abandon(struct pending *p)
{
    certify_forget(((struct signing *)p->state)->job);
}

static int take_number(struct write *w)
{
    struct ca_request req = { .op = STR("increment-provider-serial") };
    return write_propose_then(w, COMMAND_CONNECT_CA, &req, numbered);
}

static void waited(struct timer *t)
{
    struct write *w = container_of(t, struct write, p.timer);
    struct signing *g = w->p.state;
    t->fire = g->fire;
    take_number(w);
}

/* One at a time, evenly spread; who would have to wait for long is refused. */
static int sign_in_turn(struct write *w, struct signing *g)
{
    struct server *s = w->p.server;
    double rate = g->settings.csr_per_second;
    if (rate <= 0) return take_number(w);
    int64_t now = (int64_t)world_now_us(s->world);
    int64_t at = s->csr_next_us > now ? s->csr_next_us : now;
    if (at - now > CSR_WAIT_US)
        return error_set(w->err, ERR_INTERNAL, "Rate limit reached, try again later");
    s->csr_next_us = at + (int64_t)(1e6 / rate);
    if (at == now) return take_number(w);
    g->fire = w->p.timer.fire;
    w->p.timer.fire = waited;
    timer_start(&w->p.timer, (uint64_t)(at - now + 999) / 1000);
    return WRITE_PENDING;
}

int connect_ca_sign(struct write *w)
{
    const struct ca_sign_request *args = w->p.args;
    struct server *s = w->p.server;
    struct arena *a = w->p.call->arena;
    struct signing *g = arena_new(a, struct signing);
    struct cert_uris uris;
    int rc = server__ca_enabled(s, w->err);
    if (rc == 0) rc = s->opts.certifier->request_uris(a, args->csr, &uris, w->err);
    if (rc == 0 && uris.n == 0)
        rc = error_set(w->err, ERR_INTERNAL, "x509: the request names no URI");
    if (rc == 0 && spiffe_parse(uris.first, a, &g->id, w->err)) rc = w->err->code = ERR_INTERNAL;
    if (rc) return rc;
    if (g->id.kind == SPIFFE_SIGNING)
        return error_set(w->err, ERR_INTERNAL, "SPIFFE ID in CSR must be a service or agent ID");
    store_ca_configuration(store_read(s->store), NULL, a, &g->config);
    if (!g->config) return error_set(w->err, ERR_INTERNAL, "internal error: CA provider is nil");
    rc = check_identity(w, g);
    if (rc == 0) rc = server__ca_settings(&g->config->config, a, &g->settings, w->err);
    w->p.state = g;
    w->p.abandon = abandon;
    return rc ? rc : sign_in_turn(w, g);
}
