/* SPDX-License-Identifier: Apache-2.0 */
/* ConnectCA.* (rpc.md 13, connect-xds.md 1). */
#include "ca.h"
#include "consuld/lang/spiffe.h"
#include "consuld/wire/quote.h"

int server__ca_enabled(struct server *s, struct error *err)
{
    if (s->opts.certifier) return 0;
    return error_set(err, ERR_INTERNAL, "Connect must be enabled in order to use this endpoint");
}

/* --- reads ----------------------------------------------------------------------------------- */

int connect_ca_roots(struct eval *e)
{
    struct indexed_ca_roots *out = eval_reply(e, indexed_ca_roots);
    struct arena *a = &e->reply->arena;
    struct ca_configuration *config = NULL;
    int rc = server__ca_enabled(e->server, e->err);
    if (rc) return rc;
    out->roots = LIST_EMPTY;
    uint64_t roots = store_ca_roots(e->rd, e->ws, a, &out->roots);
    uint64_t changed = store_ca_configuration(e->rd, e->ws, a, &config);
    e->reply->index = roots > changed ? roots : changed;
    if (config) out->trust_domain = spiffe_trust_domain(a, config->cluster_id);
    for (size_t i = 0; i < out->roots.n; i++) {
        struct ca_root *r = &LIST_AT(&out->roots, struct ca_root, i);
        r->signing_key = r->signing_cert = STR_NIL;
        if (r->active) out->active_root_id = r->id;
    }
    /* Consul's answer has no metadata but the index. */
    e->reply->known_leader = false;
    e->reply->last_contact_ns = 0;
    return 0;
}

int connect_ca_configuration_get(struct eval *e)
{
    struct ca_configuration *config = NULL;
    int rc = server__ca_enabled(e->server, e->err);
    if (rc) return rc;
    e->reply->index = store_ca_configuration(e->rd, e->ws, &e->reply->arena, &config);
    if (config) *eval_reply(e, ca_configuration) = *config;
    return 0;
}

/* --- configuration --------------------------------------------------------------------------- */

#define CANNOT_VOUCH \
    "The current CA Provider does not support cross-signing. You can try again with " \
    "ForceWithoutCrossSigningSet but this may cause disruption - see documentation for more."

struct change {
    struct ca_configuration config; /* the wanted one */
    struct str old_provider;        /* id of the state that goes when the roots are changed */
    struct ca_progress ca;
    struct write *write;
};

static int advance(struct write *w);

static int refused(struct error *err)
{
    return error_set(err, ERR_INTERNAL, "the CA was changed by somebody else meanwhile");
}

static int stepped(struct write *w, const struct command_result *res)
{
    struct change *c = w->p.state;
    if (res->kind == RESULT_ERROR) return write_finish(w, res);
    if (res->kind == RESULT_UINT) c->ca.serial = res->number;
    return advance(w);
}

static int written(struct write *w, const struct command_result *res)
{
    if (res->kind == RESULT_BOOL && !res->ok) return refused(w->err);
    return write_finish(w, res);
}

static int rotated(struct write *w, const struct command_result *res)
{
    struct change *c = w->p.state;
    struct ca_consul_provider_state old = { .id = c->old_provider };
    if (res->kind == RESULT_ERROR) return write_finish(w, res);
    if (res->kind == RESULT_BOOL && !res->ok) return refused(w->err);
    struct ca_request req = { .op = STR("delete-provider-state"), .provider_state = &old };
    return write_propose(w, COMMAND_CONNECT_CA, &req);
}

static int set_config(struct write *w)
{
    struct change *c = w->p.state;
    const struct ca_request *args = w->p.args;
    struct ca_request req = {
        .op = STR("set-config"), .datacenter = args->datacenter, .config = &c->config
    };
    return write_propose_then(w, COMMAND_CONNECT_CA, &req, written);
}

/* The new root as the old authority vouches for it. */
static int cross_sign(
    struct write *w, const struct ca_consul_provider_state *old, const struct ca_root *root)
{
    struct server *s = w->p.server;
    struct change *c = w->p.state;
    int64_t now = world_wall_ns(s->world) / SECOND_NS;
    struct certify_job wanted = { .make = s->opts.certifier->cross_sign,
        .order = { .crossed = root->root_cert,
            .signer = old->root_cert,
            .signer_key = old->private_key,
            .serial = c->ca.serial,
            .not_before_s = now - 60,
            .not_after_s = now + 7 * 86400 } };
    server__ca_make(s, &c->ca, &wanted);
    return WRITE_PENDING;
}

static bool vouches(struct write *w, const struct ca_configuration *stored)
{
    struct ca_settings old;
    return ca_settings_read(&stored->config, w->p.call->arena, &old, NULL) ||
           !old.disable_cross_signing;
}

static int rotate(struct write *w, struct store_read *rd, struct list *roots,
    const struct ca_configuration *stored, struct ca_root *root)
{
    struct server *s = w->p.server;
    struct arena *a = w->p.call->arena;
    struct change *c = w->p.state;
    struct ca_request req = { .datacenter = ((const struct ca_request *)w->p.args)->datacenter };
    struct ca_consul_provider_state *old = server__ca_provider(s, rd, a, stored);
    if (!old) return error_set(w->err, ERR_INTERNAL, "internal error: CA provider is nil");
    if (!vouches(w, stored)) {
        if (!c->config.force_without_cross_signing)
            return error_set(w->err, ERR_INTERNAL, CANNOT_VOUCH);
    } else if (!c->ca.serial) {
        req = (struct ca_request){ .op = STR("increment-provider-serial") };
        return write_propose_then(w, COMMAND_CONNECT_CA, &req, stepped);
    } else if (!c->ca.made.p) {
        return cross_sign(w, old, root);
    }
    if (c->ca.made.p) *LIST_PUSH(a, &root->intermediate_certs, struct str) = c->ca.made;
    for (size_t i = 0; i < roots->n; i++) {
        struct ca_root *r = &LIST_AT(roots, struct ca_root, i);
        if (str_eq_nocase(r->id, root->id)) continue;
        if (r->active) r->rotated_out_at = gotime_from_unix_ns(world_wall_ns(s->world));
        r->active = false;
        *LIST_PUSH(a, &req.roots, struct ca_root) = *r;
    }
    *LIST_PUSH(a, &req.roots, struct ca_root) = *root;
    c->old_provider = old->id;
    c->config.modify_index = stored->modify_index;
    req.op = STR("set-roots-config");
    req.index = store_index(rd, NULL, STR("connect-ca-roots"));
    req.config = &c->config;
    return write_propose_then(w, COMMAND_CONNECT_CA, &req, rotated);
}

static int next(struct write *w)
{
    struct server *s = w->p.server;
    struct arena *a = w->p.call->arena;
    struct change *c = w->p.state;
    struct ca_request req = { 0 };
    struct list roots = { 0 };
    struct ca_root root;
    struct ca_configuration *stored = NULL;
    struct store_read *rd = store_read(s->store);
    int rc = server__ca_provider_step(s, rd, a, &c->config, &c->ca, &req, w->err);
    if (rc < 0) return rc;
    if (rc == CA_WAITS) return WRITE_PENDING;
    if (rc == CA_COMMAND) return write_propose_then(w, COMMAND_CONNECT_CA, &req, stepped);
    store_ca_configuration(rd, NULL, a, &stored);
    store_ca_roots(rd, NULL, a, &roots);
    const struct ca_consul_provider_state *state = server__ca_provider(s, rd, a, &c->config);
    if (store_read_failed(rd, w->err)) return ERR_IO;
    if (!stored || !state)
        return error_set(w->err, ERR_INTERNAL, "internal error: CA provider is nil");
    rc = server__ca_root(s, a, &c->config, state->root_cert, &root, w->err);
    if (rc) return rc;
    const struct ca_root *active = server__ca_active(&roots);
    if (active && str_eq_nocase(active->id, root.id)) return set_config(w);
    return rotate(w, rd, &roots, stored, &root);
}

/* The next step to the wanted configuration. What was begun for one that fails is taken back. */
static int advance(struct write *w)
{
    struct server *s = w->p.server;
    struct arena *a = w->p.call->arena;
    struct change *c = w->p.state;
    int rc = next(w);
    if (rc >= 0) return rc;
    struct store_read *rd = store_read(s->store);
    struct ca_configuration *stored = NULL;
    store_ca_configuration(rd, NULL, a, &stored);
    struct ca_consul_provider_state *now = stored ? server__ca_provider(s, rd, a, stored) : NULL;
    struct ca_consul_provider_state *begun = server__ca_provider(s, rd, a, &c->config);
    if (!begun || (now && str_eq(now->id, begun->id))) return rc;
    struct ca_request req = { .op = STR("delete-provider-state"), .provider_state = begun };
    server__propose_detached(s, COMMAND_CONNECT_CA, &req, "failed to clean up CA provider");
    return rc;
}

static void resume(struct ca_progress *p)
{
    struct change *c = container_of(p, struct change, ca);
    write_answer(c->write, advance(c->write));
}

static void abandon(struct pending *p)
{
    server__ca_forget(&((struct change *)p->state)->ca);
}

static bool same_state(const struct dict *a, const struct dict *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        struct str key = dict_key(a, &type_str, i);
        if (!str_eq(dict_str(a, key), dict_str(b, key))) return false;
    }
    return true;
}

/* What the built-in provider keeps in State is what Config tells it to, or what was there. */
static struct dict own_state(struct arena *a, const struct value *config, const struct dict *former)
{
    struct dict out = { 0 };
    const struct value *given = value_get(config, STR("test_state"));
    if (!given) return *former;
    for (size_t i = 0; given && given->kind == V_MAP && i < given->map.n; i++)
        if (given->map.v[i].value.kind == V_STR)
            dict_set_str(a, &out, given->map.v[i].key, given->map.v[i].value.s);
    return out;
}

static int unknown_provider(struct error *err, struct str name)
{
    struct buf quoted = BUF_INIT(1024);
    if (str_is(name, "vault") || str_is(name, "aws-pca"))
        return error_set(err, ERR_INTERNAL,
            "could not initialize provider: %.*s is not available in this build", STR_ARG(name));
    quote_go(&quoted, name);
    error_set(err, ERR_INTERNAL, "could not initialize provider: unknown CA provider %.*s",
        STR_ARG(buf_str(&quoted)));
    buf_deinit(&quoted);
    return ERR_INTERNAL;
}

int connect_ca_configuration_set(struct write *w)
{
    const struct ca_request *args = w->p.args;
    struct server *s = w->p.server;
    struct arena *a = w->p.call->arena;
    struct change *c = arena_new(a, struct change);
    struct ca_configuration *stored = NULL;
    struct ca_settings settings;
    int rc = server__ca_enabled(s, w->err);
    if (rc) return rc;
    store_ca_configuration(store_read(s->store), NULL, a, &stored);
    if (!stored || !args->config)
        return error_set(w->err, ERR_INTERNAL, "internal error: CA provider is nil");
    c->config = *args->config;
    c->config.cluster_id = stored->cluster_id;
    if (c->config.state.n && !same_state(&c->config.state, &stored->state))
        return error_set(w->err, ERR_INTERNAL, "CA Provider State is read-only");
    c->config.state = own_state(a, &c->config.config, &stored->state);
    if (str_eq(c->config.provider, stored->provider) &&
        value_equal(&c->config.config, &stored->config)) {
        write_reply(w);
        return WRITE_DONE;
    }
    if (!str_is(c->config.provider, "consul")) return unknown_provider(w->err, c->config.provider);
    if (ca_settings_read(&c->config.config, a, &settings, w->err))
        return error_prefix(w->err, "error configuring provider: ");
    if (!server__ca_is_primary(s))
        return error_set(w->err, ERR_INTERNAL,
            "error generating CA root certificate: "
            "provider is not the root certificate authority");
    c->ca = (struct ca_progress){ .resume = resume, .arena = a };
    c->write = w;
    w->p.state = c;
    w->p.abandon = abandon;
    return advance(w);
}
