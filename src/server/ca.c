/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in provider (leader.md 9, connect-xds.md 1). */
#include "ca.h"

#include "consuld/lang/spiffe.h"

#define SECOND_NS INT64_C(1000000000)
#define HOUR_NS (3600 * SECOND_NS)
#define ROOT_YEARS 10
#define ROOTS_TABLE STR("connect-ca-roots")

/* --- settings -------------------------------------------------------------------------------- */

/* Names of settings are found in any case. */
static const struct value *setting(const struct value *config, const char *name)
{
    for (size_t i = config->kind == V_MAP ? config->map.n : 0; i-- > 0;)
        if (str_eq_nocase(config->map.v[i].key, str_of(name))) return &config->map.v[i].value;
    return NULL;
}

static struct str text_of(const struct value *config, const char *name, struct str fallback)
{
    const struct value *v = setting(config, name);
    return v && (v->kind == V_STR || v->kind == V_BYTES) && v->s.n ? v->s : fallback;
}

static double number_of(const struct value *config, const char *name, double fallback)
{
    const struct value *v = setting(config, name);
    uint64_t n;
    if (!v) return fallback;
    switch (v->kind) {
    case V_INT:
        return (double)v->i;
    case V_UINT:
        return (double)v->u;
    case V_FLOAT:
    case V_FLOAT32:
        return v->f;
    case V_NUMBER:
    case V_STR:
        return str_to_u64(v->s, &n) ? (double)n : fallback;
    default:
        return fallback;
    }
}

static int duration_of(const struct value *config, const char *name, const char *fallback,
    int64_t *out, struct error *err)
{
    struct error why;
    if (duration_parse(text_of(config, name, str_of(fallback)), out, &why) == 0) return 0;
    return error_set(err, ERR_INTERNAL,
        "error decoding config: 1 error(s) decoding:\n\n* error decoding '%s': %s", name, why.text);
}

static int check_times(const struct ca_settings *c, struct error *err)
{
    if (c->leaf_ttl_ns < HOUR_NS)
        return error_set(err, ERR_INTERNAL, "leaf cert TTL must be greater or equal than 1h0m0s");
    if (c->leaf_ttl_ns > 8760 * HOUR_NS)
        return error_set(err, ERR_INTERNAL, "leaf cert TTL must be less than 8760h0m0s");
    if (c->intermediate_ttl_ns < 3 * HOUR_NS)
        return error_set(
            err, ERR_INTERNAL, "Intermediate Cert TTL must be greater or equal than 3h");
    if (c->intermediate_ttl_ns / 3 >= c->leaf_ttl_ns) return 0;
    struct buf b = BUF_INIT(64);
    duration_format(3 * c->leaf_ttl_ns, &b);
    error_set(err, ERR_INTERNAL,
        "Intermediate Cert TTL must be greater or equal than 3 * LeafCertTTL (>=%.*s).",
        STR_ARG(buf_str(&b)));
    buf_deinit(&b);
    return ERR_INTERNAL;
}

static int check_key(const struct ca_settings *c, struct error *err)
{
    int64_t n = c->key_bits;
    bool ec = str_is(c->key_type, "ec"), rsa = str_is(c->key_type, "rsa");
    if (!ec && !rsa)
        return error_set(err, ERR_INTERNAL, "private key type must be either 'ec' or 'rsa'");
    if (ec && n != 224 && n != 256 && n != 384 && n != 521)
        return error_set(
            err, ERR_INTERNAL, "EC key length must be one of (224, 256, 384, 521) bits");
    if (rsa && n != 2048 && n != 4096)
        return error_set(err, ERR_INTERNAL, "RSA key length must be 2048 or 4096 bits");
    if (c->root_cert.n && !c->private_key.n)
        return error_set(
            err, ERR_INTERNAL, "must provide a private key when providing a root cert");
    return 0;
}

int server__ca_settings(
    const struct value *config, struct arena *a, struct ca_settings *out, struct error *err)
{
    double bits = number_of(config, "PrivateKeyBits", 256);
    *out = (struct ca_settings){
        .private_key = str_dup(a, text_of(config, "PrivateKey", STR(""))),
        .root_cert = str_dup(a, text_of(config, "RootCert", STR(""))),
        .key_type = str_dup(a, text_of(config, "PrivateKeyType", STR("ec"))),
        .key_bits = bits >= 0 && bits <= 65536 ? (int64_t)bits : 0,
        .csr_per_second = number_of(config, "CSRMaxPerSecond", 50),
    };
    int rc = duration_of(config, "LeafCertTTL", "72h", &out->leaf_ttl_ns, err);
    if (rc == 0)
        rc = duration_of(config, "IntermediateCertTTL", "8760h", &out->intermediate_ttl_ns, err);
    if (rc == 0) rc = check_times(out, err);
    if (rc == 0) rc = check_key(out, err);
    return rc;
}

/* --- the provider ---------------------------------------------------------------------------- */

static struct str provider_id(
    struct server *s, struct arena *a, const struct ca_configuration *config)
{
    struct str key = text_of(&config->config, "PrivateKey", STR(""));
    struct str root = text_of(&config->config, "RootCert", STR(""));
    return s->opts.certifier->digest(
        a, str_printf(a, "%.*s,%.*s,true", STR_ARG(key), STR_ARG(root)));
}

struct ca_consul_provider_state *server__ca_provider(
    struct server *s, struct store_read *rd, struct arena *a, const struct ca_configuration *config)
{
    struct ca_consul_provider_state *found = NULL;
    store_ca_provider_state(rd, NULL, provider_id(s, a, config), a, &found);
    return found;
}

static int make_root(struct server *s, struct arena *a, const struct ca_configuration *config,
    uint64_t serial, struct ca_consul_provider_state *state, struct error *err)
{
    uint8_t random[8];
    struct str domain = spiffe_trust_domain(a, config->cluster_id);
    struct spiffe_id id = { .kind = SPIFFE_SIGNING, .host = domain };
    int64_t now = world_wall_ns(s->world) / SECOND_NS;
    world_random(s->world, random, sizeof random);
    struct cert_order order = { .key = state->private_key,
        .common_name = spiffe_root_name(a, config->provider, domain, random),
        .uri = spiffe_uri(a, &id),
        .serial = serial,
        .not_before_s = now,
        .not_after_s = now + ROOT_YEARS * INT64_C(365) * 86400 };
    return s->opts.certifier->root(a, &order, &state->root_cert, err);
}

static int set_state(struct ca_request *req, struct ca_consul_provider_state *state)
{
    req->op = STR("set-provider-state");
    req->provider_state = state;
    return 1;
}

int server__ca_provider_step(struct server *s, struct store_read *rd, struct arena *a,
    const struct ca_configuration *config, uint64_t *serial, struct ca_request *req,
    struct error *err)
{
    struct ca_settings settings;
    int rc = server__ca_settings(&config->config, a, &settings, err);
    if (rc) return rc;
    struct ca_consul_provider_state *state = server__ca_provider(s, rd, a, config);
    if (!state) {
        state = arena_new(a, struct ca_consul_provider_state);
        state->id = provider_id(s, a, config);
        return set_state(req, state);
    }
    if (state->private_key.n && state->root_cert.n) return 0;
    state->root_cert = settings.root_cert;
    if (!state->root_cert.n && !*serial) {
        req->op = STR("increment-provider-serial");
        return 1;
    }
    if (!state->private_key.n) state->private_key = settings.private_key;
    if (!state->private_key.n)
        rc = s->opts.certifier->key(
            a, settings.key_type, settings.key_bits, &state->private_key, err);
    if (rc == 0 && !state->root_cert.n) rc = make_root(s, a, config, *serial, state, err);
    *serial = 0;
    return rc ? rc : set_state(req, state);
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
    return 1;
}

static int complete_config(struct arena *a, struct ca_configuration *config, struct ca_request *req)
{
    if (setting(&config->config, "IntermediateCertTTL")) return 0;
    if (config->config.kind != V_MAP) config->config = (struct value){ .kind = V_MAP };
    config->config = value_copy(a, &config->config);
    *value_map_add(a, &config->config, STR("IntermediateCertTTL")) = value_of_str(STR("8760h0m0s"));
    req->op = STR("set-config");
    req->config = config;
    return 1;
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
    return 1;
}

int server__ca_step(struct server *s, struct store_read *rd, struct arena *a, uint64_t *serial,
    struct ca_request *req, struct error *err)
{
    struct str primary = s->opts.primary_datacenter;
    struct ca_configuration *config = NULL;
    if (primary.n && !str_eq(primary, s->opts.datacenter)) return 0;
    store_ca_configuration(rd, NULL, a, &config);
    if (store_read_failed(rd, err)) return ERR_IO;
    if (!config) return first_config(s, a, arena_new(a, struct ca_configuration), req);
    if (!str_is(config->provider, "consul"))
        return error_set(err, ERR_INTERNAL, "the CA provider %.*s is not available in this build",
            STR_ARG(config->provider));
    int rc = complete_config(a, config, req);
    if (rc == 0) rc = server__ca_provider_step(s, rd, a, config, serial, req, err);
    return rc ? rc : first_roots(s, rd, a, config, req, err);
}

int server__ca_prune(struct server *s, struct store_read *rd, struct arena *a, uint64_t *serial,
    struct ca_request *req, struct error *err)
{
    struct ca_configuration *config = NULL;
    struct ca_settings settings;
    struct list roots = { 0 };
    (void)serial;
    store_ca_configuration(rd, NULL, a, &config);
    if (!config) return 0;
    int rc = server__ca_settings(&config->config, a, &settings, err);
    if (rc) return rc;
    store_ca_roots(rd, NULL, a, &roots);
    int64_t before = world_wall_ns(s->world) - 2 * settings.leaf_ttl_ns;
    for (size_t i = 0; i < roots.n; i++) {
        const struct ca_root *r = &LIST_AT(&roots, struct ca_root, i);
        bool gone = !r->active && !gotime_is_zero(r->rotated_out_at) &&
                    gotime_to_unix_ns(r->rotated_out_at) < before;
        if (!gone) *LIST_PUSH(a, &req->roots, struct ca_root) = *r;
    }
    if (req->roots.n == roots.n) return 0;
    req->op = STR("set-roots");
    req->index = store_index(rd, NULL, ROOTS_TABLE);
    return 1;
}
