/* SPDX-License-Identifier: Apache-2.0 */
/* What a built configuration must satisfy. The order of the checks decides which fault is told
 * when there are several, so it is that of agent.md 3. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "config_build.h"
#include "consuld/model/ca_settings.h"
#include "local_state.h"

/* --- words ------------------------------------------------------------------------------------ */

static bool is_word(struct str s, bool upper, const char *also)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (upper && c >= 'A' && c <= 'Z') ||
                  (c >= '0' && c <= '9') || (c && strchr(also, c));
        if (!ok) return false;
    }
    return s.n > 0;
}

static bool is_datacenter(struct str s)
{
    return is_word(s, false, "_-");
}

/* Is the path /vN/ ? */
static bool is_version_path(struct str s)
{
    if (s.n < 4 || s.p[0] != '/' || s.p[1] != 'v' || s.p[s.n - 1] != '/') return false;
    uint64_t n;
    return str_to_u64(str_slice(s, 2, s.n - 1), &n);
}

/* --- (c) in order ----------------------------------------------------------------------------- */

static int check_basics(struct config_load *load)
{
    struct agent_config *c = load->config;
    if (c->datacenter.n == 0) return config_refuse(load, "datacenter cannot be empty");
    if (!is_datacenter(c->datacenter))
        return config_refuse(load, "datacenter cannot be \"%.*s\". Please use only [a-z0-9-_]",
            STR_ARG(c->datacenter));
    if (c->data_dir.n == 0 && !c->dev_mode) return config_refuse(load, "data_dir cannot be empty");
    if (!is_word(c->ui_content_path, true, "/_-"))
        return config_refuse(load,
            "ui-content-path can only contain alphanumeric, -, _, or /. received: %.*s",
            STR_ARG(c->ui_content_path));
    if (is_version_path(c->ui_content_path))
        return config_refuse(load, "ui-content-path cannot have 'v[0-9]'. received: %.*s",
            STR_ARG(c->ui_content_path));
    return 0;
}

static int check_data_dir(struct config_load *load)
{
    struct agent_config *c = load->config;
    struct stat st;
    if (c->dev_mode) return 0;
    if (stat(str_c(load->arena, c->data_dir), &st) != 0) {
        int code = errno;
        return code == ENOENT ? 0
                              : config_refuse(load, "Error getting info on data_dir: stat %.*s: %s",
                                    STR_ARG(c->data_dir), strerror(code));
    }
    if (!S_ISDIR(st.st_mode))
        return config_refuse(load, "data_dir \"%.*s\" is not a directory", STR_ARG(c->data_dir));
    return 0;
}

static int check_node_name(struct config_load *load)
{
    struct str name = load->config->node_name;
    if (name.n == 0) return config_refuse(load, "node_name cannot be empty");
    if (!is_word(name, true, "-"))
        config_warn(load,
            "Node name \"%.*s\" will not be discoverable via DNS due to invalid "
            "characters. Valid characters include all alpha-numerics and dashes.",
            STR_ARG(name));
    else if (name.n > 63)
        config_warn(load,
            "Node name \"%.*s\" will not be discoverable via DNS due to it being "
            "too long. Valid lengths are between 1 and 63 bytes.",
            STR_ARG(name));
    return 0;
}

static int check_addresses(struct config_load *load)
{
    struct agent_config *c = load->config;
    if (config_ip_is_any(c->advertise_addr_lan))
        return config_refuse(load, "Advertise address cannot be 0.0.0.0, :: or [::]");
    if (config_ip_is_any(c->advertise_addr_wan))
        return config_refuse(load, "Advertise WAN address cannot be 0.0.0.0, :: or [::]");
    const struct value *segments = config_get(load, "segments");
    if (c->segment_name.n || (segments && segments->list.n))
        return config_refuse(load, "Network segments are not supported in this version of Consul");
    for (size_t i = 0; i < c->dns_addrs.n; i++)
        if (str_has_prefix(LIST_AT(&c->dns_addrs, struct str, i), STR("unix://")))
            return config_refuse(load, "DNS address cannot be a unix socket");
    for (size_t i = 0; i < c->dns_recursors.n; i++)
        if (config_ip_is_any(LIST_AT(&c->dns_recursors, struct str, i)))
            return config_refuse(load, "DNS recursor address cannot be 0.0.0.0, :: or [::]");
    return 0;
}

/* The first labels of names in the DNS interface can't begin a second domain. */
static int check_alt_domain(struct config_load *load)
{
    static const char *const labels[] = { "service", "connect", "node", "query", "addr" };
    struct agent_config *c = load->config;
    struct str first, rest;
    str_cut(c->dns_alt_domain, '.', &first, &rest);
    bool taken = c->dns_alt_domain.n && str_eq_nocase(first, c->datacenter);
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        if (str_eq_nocase(first, str_of(labels[i]))) taken = true;
    if (!taken) return 0;
    return config_refuse(load,
        "alt_domain cannot start with {service,connect,node,query,addr,%.*s}",
        STR_ARG(c->datacenter));
}

static int check_bootstrap(struct config_load *load)
{
    struct agent_config *c = load->config;
    if (c->bootstrap && !c->server_mode)
        return config_refuse(load, "'bootstrap = true' requires 'server = true'");
    if (c->bootstrap_expect < 0)
        return config_refuse(load,
            "bootstrap_expect cannot be %lld. Must be greater than or equal to zero",
            (long long)c->bootstrap_expect);
    if (c->bootstrap_expect > 0 && !c->server_mode)
        return config_refuse(load, "'bootstrap_expect > 0' requires 'server = true'");
    if (c->bootstrap_expect > 0 && c->dev_mode)
        return config_refuse(load, "'bootstrap_expect > 0' not allowed in dev mode");
    if (c->bootstrap_expect > 0 && c->bootstrap)
        return config_refuse(
            load, "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive");
    return 0;
}

static int check_not_negative(struct config_load *load, const char *key, int64_t value)
{
    if (value >= 0) return 0;
    return config_refuse(
        load, "%s cannot be %lld. Must be greater than or equal to zero", key, (long long)value);
}

static int check_limits(struct config_load *load)
{
    struct agent_config *c = load->config;
    if (c->check_output_max_size < 1)
        return config_refuse(load, "check_output_max_size must be positive, to discard check "
                                   "output use the discard_check_output flag");
    int rc =
        check_not_negative(load, "autopilot.max_trailing_logs", c->autopilot_max_trailing_logs);
    if (rc) return rc;
    if (c->acl_datacenter.n && !is_datacenter(c->acl_datacenter))
        return config_refuse(load, "acl_datacenter cannot be \"%.*s\". Please use only [a-z0-9-_]",
            STR_ARG(c->acl_datacenter));
    if (!c->dev_mode && c->enable_ui && c->ui_dir.n)
        return config_refuse(load,
            "Both the ui and ui-dir flags were specified, please provide only one.\n"
            "If trying to use your own web UI resources, use the ui-dir flag.\n"
            "The web UI is included in the binary so use ui to enable it");
    rc = check_not_negative(load, "dns_config.udp_answer_limit", c->dns_udp_answer_limit);
    return rc ? rc : check_not_negative(load, "dns_config.a_record_limit", c->dns_a_record_limit);
}

static int check_node(struct config_load *load)
{
    struct agent_config *c = load->config;
    struct error err;
    struct str key;
    if (service_meta_validate(&c->node_meta, false, &err) != 0)
        return config_refuse(load, "node_meta invalid: %s", err.text);
    if (c->encrypt_key.n && base64_parse(c->encrypt_key, load->arena, &key, &err) != 0)
        return config_refuse(load, "encrypt has invalid key: %s", err.text);
    return 0;
}

static int check_federation(struct config_load *load)
{
    struct agent_config *c = load->config;
    static const char key[] = "'connect.enable_mesh_gateway_wan_federation = true'";
    if (c->connect_mesh_gateway_wan_federation_enabled) {
        if (!c->connect_enabled)
            return config_refuse(load, "'connect.enable_mesh_gateway_wan_federation=true' "
                                       "requires 'connect.enabled=true'");
        if (!c->server_mode) return config_refuse(load, "%s requires 'server = true'", key);
        if (str_find_char(c->node_name, '/') >= 0)
            return config_refuse(
                load, "%s requires that 'node_name' not contain '/' characters", key);
        if (c->start_join_addrs_wan.n)
            return config_refuse(load, "'start_join_wan' is incompatible with %s", key);
        if (c->retry_join_wan.n)
            return config_refuse(load, "'retry_join_wan' is incompatible with %s", key);
    }
    if (c->primary_gateways.n == 0) return 0;
    if (!c->server_mode) return config_refuse(load, "'primary_gateways' requires 'server = true'");
    if (str_eq(c->primary_datacenter, c->datacenter))
        return config_refuse(
            load, "'primary_gateways' should only be configured in a secondary datacenter");
    return 0;
}

static int check_old_data(struct config_load *load)
{
    struct agent_config *c = load->config;
    struct stat st;
    if (!c->server_mode || c->data_dir.n == 0) return 0;
    const char *mdb = str_printf(load->arena, "%.*s/mdb", STR_ARG(c->data_dir)).p;
    if (stat(mdb, &st) != 0) return 0;
    return config_refuse(load,
        "CRITICAL: Deprecated data folder found at \"%s\"!\n"
        "Consul will refuse to boot with this directory present.\n"
        "See https://www.consul.io/docs/upgrade-specific.html for more information.",
        mdb);
}

/* --- addresses are used once ------------------------------------------------------------------ */

struct used {
    const char *by;
    struct str address; /* "127.0.0.1:8500" */
    bool udp;
};

static int use(struct config_load *load, struct list *all, const char *by, struct str text)
{
    if (text.n == 0) return 0;
    ptrdiff_t at = str_find(text, STR("://"));
    struct used u = { by, text, str_has_prefix(text, STR("udp://")) };
    if (at >= 0 && !str_has_prefix(text, STR("unix://")))
        u.address = str_slice(text, (size_t)at + 3, text.n);
    for (size_t i = 0; i < all->n; i++) {
        const struct used *other = &LIST_AT(all, struct used, i);
        if (str_eq(other->address, u.address) && other->udp == u.udp)
            return config_refuse(load, "%s address %.*s already configured for %s", by,
                STR_ARG(u.address), other->by);
    }
    *LIST_PUSH(load->arena, all, struct used) = u;
    return 0;
}

static int check_clashes(struct config_load *load)
{
    struct agent_config *c = load->config;
    const struct {
        const char *by;
        const struct list *list;
    } lists[] = { { "DNS", &c->dns_addrs }, { "HTTP", &c->http_addrs },
        { "HTTPS", &c->https_addrs } };
    struct list all = { 0 };
    int rc = 0;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (size_t k = 0; rc == 0 && k < lists[i].list->n; k++)
            rc = use(load, &all, lists[i].by, LIST_AT(lists[i].list, struct str, k));
    if (rc == 0) rc = use(load, &all, "RPC Advertise", c->rpc_advertise_addr);
    if (rc == 0) rc = use(load, &all, "Serf Advertise LAN", c->serf_advertise_addr_lan);
    if (rc == 0) rc = use(load, &all, "Serf Advertise WAN", c->serf_advertise_addr_wan);
    return rc;
}

/* --- (d) and (e) ------------------------------------------------------------------------------ */

static int check_soft(struct config_load *load)
{
    if (load->soft.n == 0) return 0;
    config_put_errors(load->error, &load->soft);
    return ERR_BAD_REQUEST;
}

static int check_services(struct config_load *load)
{
    for (size_t i = 0; i < load->config->services.n; i++) {
        struct service_definition s =
            LIST_AT(&load->config->services, struct service_definition, i);
        struct str name = s.name;
        struct error err;
        if (name.n == 0) s.name = STR("x"); /* told when it is registered */
        if (service_validate(&s, LOCAL_FROM_CONFIG, &err) != 0)
            return config_refuse(load, "service \"%.*s\": %s", STR_ARG(name), err.text);
    }
    return 0;
}

static int check_ca(struct config_load *load)
{
    struct str provider = load->config->connect_ca_provider;
    if (str_is(provider, "consul")) {
        struct ca_settings settings;
        struct error err;
        if (ca_settings_read(&load->config->connect_ca_config, load->arena, &settings, &err) == 0)
            return 0;
        return config_refuse(load, "%s", err.text);
    }
    if (provider.n == 0 || str_is(provider, "vault") || str_is(provider, "aws-pca")) return 0;
    return config_refuse(load, "%.*s is not a valid CA provider", STR_ARG(provider));
}

static int check_auto_encrypt(struct config_load *load)
{
    struct agent_config *c = load->config;
    if (c->server_mode && c->auto_encrypt_tls)
        return config_refuse(load, "auto_encrypt.tls can only be used on a client.");
    if (!c->server_mode && c->auto_encrypt_allow_tls)
        return config_refuse(load, "auto_encrypt.allow_tls can only be used on a server.");
    if (c->auto_encrypt_tls && c->auto_config.enabled)
        return config_refuse(
            load, "both auto_encrypt.tls and auto_config.enabled cannot be set to true.");
    return 0;
}

static void warn_servers(struct config_load *load)
{
    struct agent_config *c = load->config;
    static const char see[] =
        "See https://www.consul.io/docs/internals/consensus.html#deployment-table";
    bool expects = c->server_mode && !c->dev_mode && !c->bootstrap;
    if (expects && c->bootstrap_expect == 2)
        config_warn(load,
            "bootstrap_expect = 2: A cluster with 2 servers will provide no failure "
            "tolerance. %s",
            see);
    if (expects && c->bootstrap_expect > 2 && c->bootstrap_expect % 2 == 0)
        config_warn(load,
            "bootstrap_expect is even number: A cluster with an even number of "
            "servers does not achieve optimum fault tolerance. %s",
            see);
    if (c->server_mode && c->bootstrap && c->bootstrap_expect == 0)
        config_warn(load, "bootstrap = true: do not enable unless necessary");
    if (expects && c->bootstrap_expect > 1)
        config_warn(
            load, "bootstrap_expect > 0: expecting %lld servers", (long long)c->bootstrap_expect);
    if (c->server_mode && c->auto_encrypt_allow_tls && !c->verify_incoming &&
        !c->verify_incoming_rpc)
        config_warn(load,
            "if auto_encrypt.allow_tls is turned on, either verify_incoming or "
            "verify_incoming_rpc should be enabled. It is necessary to turn it off during a "
            "migration to TLS, but it should definitely be turned on afterwards.");
}

static int check_descriptors(struct config_load *load)
{
    int64_t limit = load->config->http_max_conns_per_client;
    uint64_t max = load->args->host.descriptors_max;
    if (max == 0 || limit < 0 || (uint64_t)limit + 20 <= max) return 0;
    return config_refuse(load,
        "system allows a max of %llu file descriptors, but "
        "limits.http_max_conns_per_client: %lld needs at least %lld",
        (unsigned long long)max, (long long)limit, (long long)limit + 20);
}

static int check_auto_config(struct config_load *load)
{
    struct agent_config *c = load->config;
    if (!c->auto_config.enabled) return 0;
    if (!c->verify_outgoing)
        return config_refuse(load, "auto_config.enabled cannot be set without configuring TLS "
                                   "for server communications");
    if (c->server_mode)
        return config_refuse(load, "auto_config.enabled cannot be set to true for server agents.");
    if (c->auto_config.intro_token.n == 0 && c->auto_config.intro_token_file.n == 0)
        return config_refuse(load,
            "One of auto_config.intro_token, auto_config.intro_token_file "
            "or the CONSUL_INTRO_TOKEN environment variable must be set to enable auto_config");
    if (c->auto_config.server_addresses.n == 0)
        return config_refuse(load, "auto_config.enabled is set without providing a list of "
                                   "addresses");
    return 0;
}

static int check_auto_config_authorizer(struct config_load *load)
{
    struct agent_config *c = load->config;
    if (!c->auto_config.authorizer.enabled) return 0;
    if (c->acls_enabled && !str_eq(c->primary_datacenter, c->datacenter) &&
        !c->acl_token_replication)
        return config_refuse(load,
            "Enabling auto-config authorization (auto_config.authorization.enabled) in non primary "
            "datacenters with ACLs enabled (acl.enabled) requires also enabling ACL token "
            "replication (acl.enable_token_replication)");
    if (!c->server_mode)
        return config_refuse(
            load, "auto_config.authorization.enabled cannot be set to true for client agents");
    if (c->cert_file.n == 0)
        return config_refuse(load, "auto_config.authorization.enabled cannot be set without "
                                   "providing a TLS certificate for the server");
    return 0;
}

static int warn_scripts(struct config_load *load)
{
    struct agent_config *c = load->config;
    if (c->enable_remote_script_checks && !c->acls_enabled && c->allow_write_http_from.n == 0)
        config_warn(load,
            "using enable-script-checks without ACLs and without "
            "allow_write_http_from is DANGEROUS, use enable-local-script-checks instead, see "
            "https://www.hashicorp.com/blog/protecting-consul-from-rce-risk-in-specific-"
            "configurations/");
    return 0;
}

static int warn_all(struct config_load *load)
{
    warn_servers(load);
    return 0;
}

int config_validate_all(struct config_load *load)
{
    static int (*const checks[])(struct config_load *) = { check_basics, check_data_dir,
        check_node_name, check_addresses, check_alt_domain, check_bootstrap, check_limits,
        check_node, check_federation, check_old_data, check_clashes, check_soft, check_services,
        check_ca, check_auto_encrypt, warn_all, check_descriptors, check_auto_config_authorizer,
        check_auto_config, warn_scripts };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof checks / sizeof checks[0]; i++)
        rc = checks[i](load);
    return rc;
}
