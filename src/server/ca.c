/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in provider (leader.md 9, connect-xds.md 1). */
#include "ca.h"
#include "consuld/lang/spiffe.h"

#define ROOT_YEARS 10
#define ROOTS_TABLE STR("connect-ca-roots")

/* --- what is not in the state ---------------------------------------------------------------- */

static void made(struct certify_job *j)
{
    struct ca_progress *p = j->ctx;
    p->job = NULL;
    p->code = j->code;
    p->err = j->err;
    p->key = str_dup(p->arena, j->key);
    p->made = j->code ? STR_NIL : str_dup(p->arena, j->made);
    p->resume(p);
}

int server__ca_make(struct server *s, struct ca_progress *p, const struct certify_job *wanted)
{
    struct certify_job j = *wanted;
    j.by = s->opts.certifier;
    j.done = made;
    j.ctx = p;
    p->job = certify_submit(s->world, &j);
    return CA_WAITS;
}

int server__ca_failed(struct ca_progress *p, struct error *err)
{
    int code = p->code;
    if (code) *err = p->err;
    p->code = 0;
    return code;
}

void server__ca_used(struct ca_progress *p)
{
    p->serial = 0;
    p->key = p->made = p->issued = STR_NIL;
}

void server__ca_forget(struct ca_progress *p)
{
    certify_forget(p->job);
    p->job = NULL;
    if (p->calling) rpc_cancel(p->calling, &p->call);
    p->calling = NULL;
    arena_free(&p->call_arena);
    p->code = 0;
    server__ca_used(p);
}

/* --- the provider ---------------------------------------------------------------------------- */

bool server__ca_is_primary(const struct server *s)
{
    struct str primary = s->opts.primary_datacenter;
    return primary.n == 0 || str_eq(primary, s->opts.datacenter);
}

/* The keys of the configuration, as ids of providers hold them. */
static struct str provider_keys(struct arena *a, const struct ca_configuration *config)
{
    struct ca_settings c;
    struct error err;
    if (ca_settings_read(&config->config, a, &c, &err)) c.private_key = c.root_cert = STR("");
    return str_printf(a, "%.*s,%.*s", STR_ARG(c.private_key), STR_ARG(c.root_cert));
}

static struct str provider_id(
    struct server *s, struct arena *a, const struct ca_configuration *config)
{
    struct str keys = provider_keys(a, config);
    return s->opts.certifier->digest(
        a, str_printf(a, "%.*s,%s", STR_ARG(keys), server__ca_is_primary(s) ? "true" : "false"));
}

struct ca_consul_provider_state *server__ca_provider(
    struct server *s, struct store_read *rd, struct arena *a, const struct ca_configuration *config)
{
    struct ca_consul_provider_state *found = NULL;
    store_ca_provider_state(rd, NULL, provider_id(s, a, config), a, &found);
    return found;
}

static int make_root(struct server *s, struct arena *a, const struct ca_configuration *config,
    const struct ca_settings *settings, struct ca_progress *p)
{
    uint8_t random[8];
    struct str domain = spiffe_trust_domain(a, config->cluster_id);
    struct spiffe_id id = { .kind = SPIFFE_SIGNING, .host = domain };
    int64_t now = world_wall_ns(s->world) / SECOND_NS;
    world_random(s->world, random, sizeof random);
    struct certify_job wanted = { .make = s->opts.certifier->root,
        .key_type = settings->private_key.n ? STR_NIL : settings->private_key_type,
        .key_bits = settings->private_key_bits,
        .order = { .key = settings->private_key,
            .common_name = spiffe_authority_name(a, true, config->provider, domain, random),
            .uri = spiffe_uri(a, &id),
            .serial = p->serial,
            .not_before_s = now,
            .not_after_s = now + ROOT_YEARS * INT64_C(365) * 86400 } };
    return server__ca_make(s, p, &wanted);
}

int server__ca_set_state(struct ca_request *req, struct ca_consul_provider_state *state)
{
    req->op = STR("set-provider-state");
    req->provider_state = state;
    return CA_COMMAND;
}

int server__ca_open_state(struct server *s, struct store_read *rd, struct arena *a,
    const struct ca_configuration *config, struct ca_request *req,
    struct ca_consul_provider_state **out)
{
    struct ca_consul_provider_state *former = NULL;
    store_ca_provider_state(rd, NULL, provider_keys(a, config), a, &former);
    *out = server__ca_provider(s, rd, a, config);
    if (*out && !former) return CA_SETTLED;
    if (*out) {
        server__ca_set_state(req, former);
        req->op = STR("delete-provider-state");
        return CA_COMMAND;
    }
    *out = former ? former : arena_new(a, struct ca_consul_provider_state);
    (*out)->id = provider_id(s, a, config);
    return server__ca_set_state(req, *out);
}

/* Key and root of the configuration: what is no PEM is not stored. */
static int check_given(
    struct server *s, struct arena *a, const struct ca_settings *c, struct error *err)
{
    struct cert_facts f;
    int rc = c->root_cert.n ? s->opts.certifier->facts(a, c->root_cert, &f, err) : 0;
    if (rc) return error_prefix(err, "error parsing root fingerprint: ");
    struct cert_order own = { .key = c->private_key };
    if (c->root_cert.n && s->opts.certifier->check_issued(&own, c->root_cert, err))
        return error_set(err, ERR_INTERNAL,
            "error generating CA root certificate: the private key is not the root's");
    if (!c->private_key.n || str_find(c->private_key, STR("-----BEGIN")) >= 0) return 0;
    return error_set(err, ERR_INTERNAL,
        "error generating CA root certificate: error generating CA: "
        "error parsing private key: no PEM-encoded data found");
}

int server__ca_provider_step(struct server *s, struct store_read *rd, struct arena *a,
    const struct ca_configuration *config, struct ca_progress *p, struct ca_request *req,
    struct error *err)
{
    struct ca_settings settings;
    int rc = ca_settings_read(&config->config, a, &settings, err);
    if (rc) return error_prefix(err, "error configuring provider: ");
    rc = check_given(s, a, &settings, err);
    if (rc) return rc;
    rc = server__ca_failed(p, err);
    if (rc) return error_prefix(err, "error generating CA root certificate: ");
    struct ca_consul_provider_state *state;
    if (server__ca_open_state(s, rd, a, config, req, &state)) return CA_COMMAND;
    if (state->private_key.n && state->root_cert.n) return CA_SETTLED;
    state->private_key = settings.private_key;
    state->root_cert = settings.root_cert;
    if (!settings.root_cert.n && !p->made.p) {
        if (p->serial) return make_root(s, a, config, &settings, p);
        req->op = STR("increment-provider-serial");
        return CA_COMMAND;
    }
    if (!settings.root_cert.n) {
        state->private_key = str_dup(a, p->key);
        state->root_cert = str_dup(a, p->made);
        server__ca_used(p);
    }
    return server__ca_set_state(req, state);
}

int server__ca_root(struct server *s, struct arena *a, const struct ca_configuration *config,
    struct str certificate, struct ca_root *out, struct error *err)
{
    struct cert_facts f;
    int rc = s->opts.certifier->facts(a, certificate, &f, err);
    if (rc) return rc;
    *out = (struct ca_root){ .id = f.id,
        .name = STR("Consul CA Root Cert"),
        .serial_number = f.serial,
        .signing_key_id = f.key_id,
        .external_trust_domain = config->cluster_id,
        .not_before = gotime_from_unix_ns(f.not_before_s * SECOND_NS),
        .not_after = gotime_from_unix_ns(f.not_after_s * SECOND_NS),
        .root_cert = certificate,
        .active = true,
        .rotated_out_at = GOTIME_ZERO,
        .private_key_type = f.key_type,
        .private_key_bits = f.key_bits };
    return 0;
}

struct ca_root *server__ca_active(const struct list *roots)
{
    for (size_t i = 0; i < roots->n; i++) {
        struct ca_root *r = &LIST_AT(roots, struct ca_root, i);
        if (r->active) return r;
    }
    return NULL;
}

/* --- the leader's duty ----------------------------------------------------------------------- */

int server__ca_cluster_id(const struct value *given, struct str *out, struct error *err)
{
    const struct value *v = value_get(given, STR("cluster_id"));
    *out = v && v->kind == V_STR ? v->s : STR_NIL;
    if (!v || uuid_valid(*out)) return 0;
    return error_set(err, ERR_INTERNAL, "cluster_id was supplied but was not a valid UUID");
}

static int first_config(
    struct server *s, struct arena *a, struct ca_configuration *config, struct ca_request *req)
{
    static const char *const defaults[][2] = { { "RotationPeriod", "2160h" },
        { "LeafCertTTL", "72h" }, { "IntermediateCertTTL", "8760h" } };
    const struct value *given = &s->opts.ca_config;
    struct value *out = &config->config;
    uint8_t random[16];
    char text[UUID_TEXT_LEN + 1];
    if (server__ca_cluster_id(given, &config->cluster_id, NULL)) return ERR_INTERNAL;
    if (config->cluster_id.n == 0) {
        world_random(s->world, random, sizeof random);
        uuid_format(random, text);
        config->cluster_id = str_dup(a, str_of(text));
    }
    config->provider = s->opts.ca_provider;
    out->kind = V_MAP;
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
        *value_map_add(a, out, str_of(defaults[i][0])) = value_of_str(str_of(defaults[i][1]));
    for (size_t i = 0; given->kind == V_MAP && i < given->map.n; i++) {
        struct value *slot = value_get(out, given->map.v[i].key);
        if (!slot) slot = value_map_add(a, out, given->map.v[i].key);
        *slot = given->map.v[i].value;
    }
    req->op = STR("set-config");
    req->config = config;
    return CA_COMMAND;
}

static int complete_config(struct arena *a, struct ca_configuration *config, struct ca_request *req)
{
    if (value_get(&config->config, STR("IntermediateCertTTL"))) return 0;
    if (config->config.kind != V_MAP) config->config = (struct value){ .kind = V_MAP };
    config->config = value_copy(a, &config->config);
    *value_map_add(a, &config->config, STR("IntermediateCertTTL")) = value_of_str(STR("8760h0m0s"));
    req->op = STR("set-config");
    req->config = config;
    return CA_COMMAND;
}

static int first_roots(struct server *s, struct store_read *rd, struct arena *a,
    const struct ca_configuration *config, struct ca_request *req, struct error *err)
{
    struct list roots = { 0 };
    struct ca_root root;
    struct ca_consul_provider_state *state = server__ca_provider(s, rd, a, config);
    if (!state) return error_set(err, ERR_INTERNAL, "the provider has no state");
    int rc = server__ca_root(s, a, config, state->root_cert, &root, err);
    if (rc) return rc;
    store_ca_roots(rd, NULL, a, &roots);
    const struct ca_root *active = server__ca_active(&roots);
    if (active && str_eq_nocase(active->id, root.id)) return 0;
    if (active)
        return error_set(
            err, ERR_INTERNAL, "the active root is not the provider's: %.*s", STR_ARG(active->id));
    *LIST_PUSH(a, &req->roots, struct ca_root) = root;
    req->op = STR("set-roots");
    req->index = store_index(rd, NULL, ROOTS_TABLE);
    return CA_COMMAND;
}

int server__ca_step(struct server *s, struct store_read *rd, struct arena *a, struct ca_progress *p,
    struct ca_request *req, struct error *err)
{
    struct ca_configuration *config = NULL;
    store_ca_configuration(rd, NULL, a, &config);
    if (store_read_failed(rd, err)) return ERR_IO;
    if (!config) return first_config(s, a, arena_new(a, struct ca_configuration), req);
    if (!str_is(config->provider, "consul"))
        return error_set(err, ERR_INTERNAL, "the CA provider %.*s is not available in this build",
            STR_ARG(config->provider));
    int rc = complete_config(a, config, req);
    if (rc == 0 && !server__ca_is_primary(s))
        return server__ca_secondary_step(s, rd, a, config, p, req, err);
    if (rc == 0) rc = server__ca_provider_step(s, rd, a, config, p, req, err);
    return rc ? rc : first_roots(s, rd, a, config, req, err);
}

int server__ca_prune(struct server *s, struct store_read *rd, struct arena *a,
    struct ca_progress *p, struct ca_request *req, struct error *err)
{
    struct ca_configuration *config = NULL;
    struct ca_settings settings;
    struct list roots = { 0 };
    (void)p;
    store_ca_configuration(rd, NULL, a, &config);
    if (!config) return 0;
    int rc = ca_settings_read(&config->config, a, &settings, err);
    if (rc) return rc;
    store_ca_roots(rd, NULL, a, &roots);
    int64_t before = world_wall_ns(s->world) - 2 * settings.leaf_cert_ttl;
    for (size_t i = 0; i < roots.n; i++) {
        const struct ca_root *r = &LIST_AT(&roots, struct ca_root, i);
        bool gone = !r->active && !gotime_is_zero(r->rotated_out_at) &&
                    gotime_to_unix_ns(r->rotated_out_at) < before;
        if (!gone) *LIST_PUSH(a, &req->roots, struct ca_root) = *r;
    }
    if (req->roots.n == roots.n) return 0;
    req->op = STR("set-roots");
    req->index = store_index(rd, NULL, ROOTS_TABLE);
    return CA_COMMAND;
}
