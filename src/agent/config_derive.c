/* SPDX-License-Identifier: Apache-2.0 */
/* Members that follow from several options. */
#include <float.h>
#include <string.h>

#include "config_build.h"

/* --- names and ACLs --------------------------------------------------------------------------- */

static struct str lower(struct config_load *load, const char *path)
{
    return str_lower(load->arena, config_get_str(load, path));
}

static void datacenters(struct config_load *load)
{
    struct agent_config *c = load->config;
    c->datacenter = lower(load, "datacenter");
    c->primary_datacenter = lower(load, "primary_datacenter");
    c->acls_enabled = false;
    if (config_get(load, "acl_datacenter")) {
        config_warn(load, "The 'acl_datacenter' field is deprecated. Use the "
                          "'primary_datacenter' field instead.");
        if (c->primary_datacenter.n == 0) c->primary_datacenter = lower(load, "acl_datacenter");
        c->acls_enabled = true;
    }
    c->acls_enabled = config_get_bool(load, "acl.enabled", c->acls_enabled);
    if (c->primary_datacenter.n == 0) c->primary_datacenter = c->datacenter;
    c->acl_datacenter = c->primary_datacenter;
}

/* The present key, else its older twin. */
static struct str either(struct config_load *load, const char *path, const char *old)
{
    return config_get_str(load, config_get(load, path) ? path : old);
}

static void acls(struct config_load *load)
{
    struct agent_config *c = load->config;
    c->acl_master_token = either(load, "acl.tokens.master", "acl_master_token");
    c->acl_agent_token = either(load, "acl.tokens.agent", "acl_agent_token");
    c->acl_agent_master_token = either(load, "acl.tokens.agent_master", "acl_agent_master_token");
    c->acl_replication_token = either(load, "acl.tokens.replication", "acl_replication_token");
    c->acl_token = either(load, "acl.tokens.default", "acl_token");
    c->acl_default_policy = either(load, "acl.default_policy", "acl_default_policy");
    c->acl_down_policy = either(load, "acl.down_policy", "acl_down_policy");
    const char *ttl = config_get(load, "acl.token_ttl") ? "acl.token_ttl" : "acl_ttl";
    c->acl_token_ttl = config_duration(load, ttl, config_get_str(load, ttl));
    c->acl_enable_key_list_policy = config_get_bool(load, "acl.enable_key_list_policy",
        config_get_bool(load, "acl_enable_key_list_policy", false));
    c->acl_token_replication = config_get_bool(load, "acl.enable_token_replication",
        config_get_bool(
            load, "enable_acl_replication", config_get(load, "acl_replication_token") != NULL));
}

static void node(struct config_load *load)
{
    struct agent_config *c = load->config;
    const struct value *name = config_get(load, "node_name");
    c->node_name = str_trim(name && name->s.n ? name->s : load->args->host.name);
    c->leave_on_term = config_get_bool(load, "leave_on_terminate", !c->server_mode);
    c->skip_leave_on_int = config_get_bool(load, "skip_leave_on_interrupt", c->server_mode);
    c->enable_local_script_checks =
        config_get_bool(load, "enable_local_script_checks", c->enable_remote_script_checks);
    c->verify_outgoing =
        config_get_bool(load, "verify_outgoing", false) || c->verify_server_hostname;
    if (c->auto_encrypt_allow_tls || c->auto_config.authorizer.enabled) c->connect_enabled = true;
}

/* --- DNS and HTTP ----------------------------------------------------------------------------- */

static bool contains(const struct list *l, struct str s)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(LIST_AT(l, struct str, i), s)) return true;
    return false;
}

static int recursors(struct config_load *load)
{
    struct list given = config_get_list(load, "recursors");
    load->config->dns_recursors = LIST_EMPTY;
    for (size_t i = 0; i < given.n; i++) {
        struct str text = LIST_AT(&given, struct str, i), rest, why;
        if (config_template(load, text, &rest, &why) != 0)
            return config_refuse(
                load, "Invalid DNS recursor template \"%.*s\": %.*s", STR_ARG(text), STR_ARG(why));
        while ((rest = str_trim(rest)).n > 0) {
            struct str word;
            if (!str_cut(rest, ' ', &word, &rest)) rest = STR("");
            if (str_has_prefix(word, STR("unix://")))
                return config_refuse(
                    load, "DNS Recursors cannot be unix sockets: %.*s", STR_ARG(word));
            if (!contains(&load->config->dns_recursors, word))
                *LIST_PUSH(load->arena, &load->config->dns_recursors, struct str) = word;
        }
    }
    return 0;
}

static void service_ttls(struct config_load *load)
{
    const struct value *v = config_get(load, "dns_config.service_ttl");
    load->config->dns_service_ttl = DICT_EMPTY;
    for (size_t i = 0; v && i < v->map.n; i++) {
        struct str name = v->map.v[i].key;
        struct str key = str_printf(load->arena, "dns_config.service_ttl[\"%.*s\"]", STR_ARG(name));
        int64_t *ns =
            dict_put(load->arena, &load->config->dns_service_ttl, type_map_int.elem, name);
        *ns = config_duration(load, key.p, v->map.v[i].value.s);
    }
}

static struct list networks(struct config_load *load, const char *path, struct list *wrong)
{
    struct list given = config_get_list(load, path), out = LIST_EMPTY;
    for (size_t i = 0; i < given.n; i++) {
        struct str text = str_trim(LIST_AT(&given, struct str, i));
        if (config_cidr_valid(text))
            *LIST_PUSH(load->arena, &out, struct str) = text;
        else
            *LIST_PUSH(load->arena, wrong, struct str) =
                str_printf(load->arena, "invalid cidr: %.*s", STR_ARG(text));
    }
    return out;
}

static void http_networks(struct config_load *load)
{
    struct list wrong = { 0 };
    load->config->allow_write_http_from =
        networks(load, "http_config.allow_write_http_from", &wrong);
    for (size_t i = 0; i < wrong.n; i++)
        config_soft(load, "allow_write_http_from: %.*s", STR_ARG(LIST_AT(&wrong, struct str, i)));
}

static int serf_networks(struct config_load *load, const char *path, struct list *out)
{
    struct list wrong = { 0 };
    *out = networks(load, path, &wrong);
    if (wrong.n == 0) return 0;
    config_refuse(load, "%s: ", path);
    config_put_errors(load->error, &wrong);
    return ERR_BAD_REQUEST;
}

static void ui_path(struct config_load *load)
{
    struct str path = config_get_str(load, "ui_content_path");
    if (path.n == 0) path = STR("ui");
    while (path.n && path.p[0] == '/')
        path = str_slice(path, 1, path.n);
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    load->config->ui_content_path = str_printf(load->arena, "/%.*s/", STR_ARG(path));
}

/* --- TLS and Connect -------------------------------------------------------------------------- */

static void cipher_suites(struct config_load *load)
{
    static const char *const known[] = { "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" };
    struct str rest = config_get_str(load, "tls_cipher_suites"), word;
    load->config->tls_cipher_suites = LIST_EMPTY;
    bool more = rest.n > 0;
    while (more) {
        more = str_cut(rest, ',', &word, &rest);
        word = str_trim(word);
        size_t i = 0;
        while (i < sizeof known / sizeof known[0] && !str_is(word, known[i]))
            i++;
        if (i < sizeof known / sizeof known[0]) {
            *LIST_PUSH(load->arena, &load->config->tls_cipher_suites, struct str) = word;
            continue;
        }
        config_soft(load,
            "tls_cipher_suites: invalid tls cipher suites: unsupported cipher "
            "\"%.*s\"",
            STR_ARG(word));
        load->config->tls_cipher_suites = LIST_EMPTY;
        return;
    }
}

/* Providers know their settings by these names. */
static struct str ca_setting(struct str key)
{
    static const char *const names[][2] = {
        { "address", "Address" },
        { "ca_file", "CAFile" },
        { "ca_path", "CAPath" },
        { "cert_file", "CertFile" },
        { "csr_max_concurrent", "CSRMaxConcurrent" },
        { "csr_max_per_second", "CSRMaxPerSecond" },
        { "delete_on_exit", "DeleteOnExit" },
        { "existing_arn", "ExistingARN" },
        { "intermediate_cert_ttl", "IntermediateCertTTL" },
        { "intermediate_pki_path", "IntermediatePKIPath" },
        { "key_file", "KeyFile" },
        { "leaf_cert_ttl", "LeafCertTTL" },
        { "private_key", "PrivateKey" },
        { "private_key_bits", "PrivateKeyBits" },
        { "private_key_type", "PrivateKeyType" },
        { "root_cert", "RootCert" },
        { "root_pki_path", "RootPKIPath" },
        { "rotation_period", "RotationPeriod" },
        { "tls_server_name", "TLSServerName" },
        { "tls_skip_verify", "TLSSkipVerify" },
        { "token", "Token" },
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq_nocase(key, str_of(names[i][0]))) return str_of(names[i][1]);
    return key;
}

static void ca_config(struct config_load *load)
{
    const struct value *v = config_get(load, "connect.ca_config");
    struct value *out = &load->config->connect_ca_config;
    *out = (struct value){ .kind = V_MAP };
    for (size_t i = 0; v && i < v->map.n; i++)
        *value_map_add(load->arena, out, ca_setting(v->map.v[i].key)) = v->map.v[i].value;
}

static struct list addresses_only(struct config_load *load, const char *path, const char *label)
{
    struct list given = config_get_list(load, path), out = LIST_EMPTY;
    for (size_t i = 0; i < given.n; i++) {
        struct config_ip ip;
        struct str text = LIST_AT(&given, struct str, i);
        if (config_ip_parse(text, &ip))
            *LIST_PUSH(load->arena, &out, struct str) = config_ip_text(load->arena, &ip);
        else
            config_warn(load, "Cannot parse ip \"%.*s\" from %s", STR_ARG(text), label);
    }
    return out;
}

/* What /v1/agent/self shows of the method that authorizes tokens for auto-config. */
static void auto_config_method(struct config_load *load)
{
    static const struct {
        const char *key, *name;
    } settings[] = {
        { "bound_audiences", "BoundAudiences" },
        { "bound_issuer", "BoundIssuer" },
        { "claim_mappings", "ClaimMappings" },
        { "clock_skew_leeway", "ClockSkewLeeway" },
        { "expiration_leeway", "ExpirationLeeway" },
        { "jwks_ca_cert", "JWKSCACert" },
        { "jwks_url", "JWKSURL" },
        { "jwt_supported_algs", "JWTSupportedAlgs" },
        { "jwt_validation_pub_keys", "JWTValidationPubKeys" },
        { "list_claim_mappings", "ListClaimMappings" },
        { "not_before_leeway", "NotBeforeLeeway" },
        { "oidc_discovery_ca_cert", "OIDCDiscoveryCACert" },
        { "oidc_discovery_url", "OIDCDiscoveryURL" },
    };
    struct auto_config_auth_method *m = &load->config->auto_config.authorizer.auth_method;
    m->name = STR("Auto Config Authorizer");
    m->type = STR("jwt");
    m->config = (struct value){ .kind = V_MAP };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        struct str path =
            str_printf(load->arena, "auto_config.authorization.static.%s", settings[i].key);
        const struct value *given = config_get(load, path.p);
        struct value *v = value_map_add(load->arena, &m->config, str_of(settings[i].name));
        bool leeway = str_has_suffix(path, STR("_leeway"));
        bool text = strstr(settings[i].key, "url") || strstr(settings[i].key, "cert") ||
                    strstr(settings[i].key, "issuer");
        if (leeway)
            *v = (struct value){ .kind = V_INT,
                .i = config_duration(load, path.p, given ? given->s : STR_NIL) };
        else if (given)
            *v = *given;
        else if (text)
            *v = value_of_str(STR(""));
    }
}

static void auto_config(struct config_load *load)
{
    struct auto_config *c = &load->config->auto_config;
    struct str from_environment = load->args->host.intro_token;
    c->intro_token = config_get_str(load, "auto_config.intro_token");
    if (from_environment.n) {
        if (c->intro_token.n)
            config_warn(load,
                "Both auto_config.intro_token and the CONSUL_INTRO_TOKEN "
                "environment variable are set. Using the value from the environment variable");
        c->intro_token = from_environment;
    }
    c->ip_sans = addresses_only(load, "auto_config.ip_sans", "auto_config.ip_sans");
    auto_config_method(load);
}

/* --- the rest --------------------------------------------------------------------------------- */

static void prefix_filter(struct config_load *load)
{
    struct list rules = config_get_list(load, "telemetry.prefix_filter");
    struct telemetry_config *t = &load->config->telemetry;
    t->allowed_prefixes = t->blocked_prefixes = LIST_EMPTY;
    for (size_t i = 0; i < rules.n; i++) {
        struct str rule = LIST_AT(&rules, struct str, i);
        if (rule.n == 0) {
            config_warn(load, "Cannot have empty filter rule in prefix_filter");
        } else if (rule.p[0] == '+' || rule.p[0] == '-') {
            struct list *to = rule.p[0] == '+' ? &t->allowed_prefixes : &t->blocked_prefixes;
            *LIST_PUSH(load->arena, to, struct str) = str_slice(rule, 1, rule.n);
        } else {
            config_warn(
                load, "Filter rule must begin with either '+' or '-': \"%.*s\"", STR_ARG(rule));
        }
    }
}

static int raft_timings(struct config_load *load)
{
    struct agent_config *c = load->config;
    int64_t multiplier = config_get_int(load, "performance.raft_multiplier", 5);
    if (multiplier < 1 || multiplier > 10)
        return config_refuse(load,
            "performance.raft_multiplier cannot be %lld. Must be between 1 and 10",
            (long long)multiplier);
    c->consul_raft_election_timeout *= multiplier;
    c->consul_raft_heartbeat_timeout *= multiplier;
    c->consul_raft_leader_lease_timeout *= multiplier;
    return 0;
}

static int cache(struct config_load *load)
{
    struct cache_config *c = &load->config->cache;
    if (!config_get(load, "cache.entry_fetch_rate")) c->entry_fetch_rate = DBL_MAX;
    if (c->entry_fetch_max_burst <= 0)
        return config_refuse(load,
            "cache.entry_fetch_max_burst must be strictly positive, was: %lld",
            (long long)c->entry_fetch_max_burst);
    if (c->entry_fetch_rate <= 0)
        return config_refuse(
            load, "cache.entry_fetch_rate must be strictly positive, was: %g", c->entry_fetch_rate);
    return 0;
}

static int bootstrap_entries(struct config_load *load)
{
    const struct value *v = config_get(load, "config_entries.bootstrap");
    load->config->config_entry_bootstrap = LIST_EMPTY;
    for (size_t i = 0; v && i < v->list.n; i++) {
        struct error err;
        struct config_entry entry;
        if (config_entry_read(&v->list.v[i], load->arena, &entry, &err) != 0)
            return config_refuse(load, "config_entries.bootstrap[%zu]: %s", i, err.text);
        if (config_entry_ref(&entry).name->n == 0)
            return config_refuse(load, "config_entries.bootstrap[%zu]: Name is required", i);
        *LIST_PUSH(load->arena, &load->config->config_entry_bootstrap, struct config_entry) = entry;
    }
    return 0;
}

static void bootstrap(struct config_load *load)
{
    struct agent_config *c = load->config;
    if (c->bootstrap_expect != 1) return;
    c->bootstrap = true;
    c->bootstrap_expect = 0;
    config_warn(load, "BootstrapExpect is set to 1; this is the same as Bootstrap mode.");
}

int config_derive(struct config_load *load)
{
    struct agent_config *c = load->config;
    service_ttls(load);
    int rc = recursors(load);
    if (rc) return rc;
    datacenters(load);
    acls(load);
    node(load);
    prefix_filter(load);
    c->auto_encrypt_ip_san = addresses_only(load, "auto_encrypt.ip_san", "AutoEncrypt.IPSAN");
    auto_config(load);
    http_networks(load);
    ui_path(load);
    cipher_suites(load);
    ca_config(load);
    rc = raft_timings(load);
    if (rc == 0) rc = serf_networks(load, "serf_lan_allowed_cidrs", &c->serf_allowed_cidrs_lan);
    if (rc == 0) rc = serf_networks(load, "serf_wan_allowed_cidrs", &c->serf_allowed_cidrs_wan);
    if (rc == 0) rc = bootstrap_entries(load);
    if (rc == 0) rc = cache(load);
    if (rc == 0) bootstrap(load);
    return rc;
}
