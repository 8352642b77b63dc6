/* SPDX-License-Identifier: Apache-2.0 */
/* Ports, and addresses the agent binds and advertises. */
#include <string.h>

#include "config_build.h"

/* --- ports ------------------------------------------------------------------------------------ */

#define PORT(name, member) \
    { \
        "ports." name, offsetof(struct agent_config, member) \
    }

static const struct port {
    const char *path;
    size_t offset;
} ports[] = {
    PORT("dns", dns_port),
    PORT("http", http_port),
    PORT("https", https_port),
    PORT("server", server_port),
    PORT("grpc", grpc_port),
    PORT("serf_lan", serf_port_lan),
    PORT("serf_wan", serf_port_wan),
    PORT("sidecar_min_port", connect_sidecar_min_port),
    PORT("sidecar_max_port", connect_sidecar_max_port),
    PORT("expose_min_port", expose_min_port),
    PORT("expose_max_port", expose_max_port),
};

static int64_t port_value(struct config_load *load, const char *path)
{
    int64_t port = config_get_int(load, path, 0);
    return port < 1 ? -1 : port;
}

int config_ports(struct config_load *load)
{
    static const char *const ranges[] = { "proxy", "sidecar", "expose" };
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        int64_t port = port_value(load, ports[i].path);
        if (port > 65535)
            config_soft(load, "%s: invalid port: %lld", ports[i].path, (long long)port);
        *(int64_t *)(void *)((char *)load->config + ports[i].offset) = port;
    }
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        struct str min = str_printf(load->arena, "ports.%s_min_port", ranges[i]);
        struct str max = str_printf(load->arena, "ports.%s_max_port", ranges[i]);
        if (port_value(load, max.p) < port_value(load, min.p))
            return config_refuse(load,
                "%s_min_port must be less than %s_max_port. To disable, set both to zero.",
                ranges[i], ranges[i]);
    }
    return 0;
}

/* --- expansion -------------------------------------------------------------------------------- */

static bool is_unix(struct str address)
{
    return str_has_prefix(address, STR("unix://"));
}

static bool next_word(struct str *rest, struct str *word)
{
    *rest = str_trim(*rest);
    size_t n = 0;
    while (n < rest->n && !strchr(" \t\r\n", rest->p[n]))
        n++;
    *word = str_slice(*rest, 0, n);
    *rest = str_slice(*rest, n, rest->n);
    return n > 0;
}

static bool expand_text(
    struct config_load *load, const char *path, struct str text, struct str *out)
{
    struct str why;
    if (config_template(load, text, out, &why) == 0) return true;
    config_soft(load, "%s: error parsing \"%.*s\": %.*s", path, STR_ARG(text), STR_ARG(why));
    return false;
}

/* IP addresses in their usual form and sockets as given; none when something is wrong. */
static struct list expand(struct config_load *load, const char *path)
{
    struct list found = LIST_EMPTY;
    struct str rest, word;
    if (!expand_text(load, path, config_get_str(load, path), &rest)) return found;
    while (next_word(&rest, &word)) {
        struct config_ip ip;
        bool parsed = config_ip_parse(word, &ip);
        if (!parsed && !is_unix(word)) {
            config_soft(load, "%s: invalid ip address: %.*s", path, STR_ARG(word));
            return LIST_EMPTY;
        }
        *LIST_PUSH(load->arena, &found, struct str) =
            parsed ? config_ip_text(load->arena, &ip) : str_dup(load->arena, word);
    }
    return found;
}

/* The only address at `path`, `fallback` when there is none. */
static struct str expand_one(struct config_load *load, const char *path, struct str fallback)
{
    struct list found = expand(load, path);
    if (found.n == 0) return fallback;
    struct str first = LIST_AT(&found, struct str, 0);
    if (found.n > 1) {
        config_soft(
            load, "%s: multiple addresses found: %.*s", path, STR_ARG(config_get_str(load, path)));
        return fallback;
    }
    if (is_unix(first)) {
        config_soft(load, "%s cannot be a unix socket", path);
        return fallback;
    }
    return first;
}

/* Addresses to join: only templates are touched, other texts may hold blanks. */
static struct list expand_all(struct config_load *load, const char *path)
{
    struct list given = config_get_list(load, path), out = LIST_EMPTY;
    for (size_t i = 0; i < given.n; i++) {
        struct str text = LIST_AT(&given, struct str, i), rest, word;
        if (!expand_text(load, path, text, &rest)) return LIST_EMPTY;
        if (str_eq(rest, text)) {
            *LIST_PUSH(load->arena, &out, struct str) = text;
            continue;
        }
        while (next_word(&rest, &word))
            *LIST_PUSH(load->arena, &out, struct str) = str_dup(load->arena, word);
    }
    return out;
}

/* --- what is bound ---------------------------------------------------------------------------- */

static int bind_address(struct config_load *load)
{
    struct list found = expand(load, "bind_addr");
    if (found.n == 0) return config_refuse(load, "bind_addr cannot be empty");
    if (found.n > 1)
        return config_refuse(load, "bind_addr cannot contain multiple addresses. Use "
                                   "'addresses.{dns,http,https}' instead.");
    load->config->bind_addr = LIST_AT(&found, struct str, 0);
    if (is_unix(load->config->bind_addr))
        return config_refuse(load, "bind_addr cannot be a unix socket");
    return 0;
}

static struct list client_addresses(struct config_load *load)
{
    struct list found = expand(load, "client_addr");
    for (size_t i = 0; i < found.n; i++) {
        if (!is_unix(LIST_AT(&found, struct str, i))) continue;
        config_soft(load, "client_addr cannot be a unix socket");
        return LIST_EMPTY;
    }
    return found;
}

static struct list listen_on(struct config_load *load, const char *path, int64_t port, bool udp)
{
    struct list hosts = expand(load, path), out = LIST_EMPTY;
    if (port < 0) return out;
    if (hosts.n == 0) hosts = load->config->client_addrs;
    for (size_t i = 0; i < hosts.n; i++) {
        struct str host = LIST_AT(&hosts, struct str, i);
        if (is_unix(host)) {
            *LIST_PUSH(load->arena, &out, struct str) = host;
            continue;
        }
        *LIST_PUSH(load->arena, &out, struct str) =
            config_addr_text(load->arena, "tcp", host, port);
        if (udp)
            *LIST_PUSH(load->arena, &out, struct str) =
                config_addr_text(load->arena, "udp", host, port);
    }
    return out;
}

/* "" when the port is off. */
static struct str tcp(struct config_load *load, struct str host, int64_t port)
{
    return port < 0 ? STR("") : config_addr_text(load->arena, "tcp", host, port);
}

/* --- what is advertised ----------------------------------------------------------------------- */

static int detect(struct config_load *load, bool v6, struct str *out)
{
    const char *kind = v6 ? "public IPv6" : "private IPv4";
    struct list found = config_host_addresses(load, v6, v6 ? 6 : 4);
    if (found.n == 0) return config_refuse(load, "No %s address found", kind);
    if (found.n > 1)
        return config_refuse(load,
            "Multiple %s addresses found. Please configure one with "
            "'bind' and/or 'advertise'.",
            kind);
    *out = LIST_AT(&found, struct str, 0);
    return 0;
}

static bool is_v6(struct str ip)
{
    return str_find_char(ip, ':') >= 0;
}

/* The address of one family: its own key, else the general one when that is of the family. */
static int family_address(
    struct config_load *load, const char *path, struct str general, bool v6, struct str *out)
{
    *out = expand_one(load, path, is_v6(general) == v6 ? general : STR(""));
    if (out->n && is_v6(*out) != v6)
        return config_refuse(load, "%s must be an ipv%d address", path, v6 ? 6 : 4);
    return 0;
}

static int tag_addresses(struct config_load *load)
{
    struct agent_config *c = load->config;
    const struct {
        const char *tag, *path;
        struct str general;
        bool v6;
    } families[] = {
        { "lan_ipv4", "advertise_addr_ipv4", c->advertise_addr_lan, false },
        { "lan_ipv6", "advertise_addr_ipv6", c->advertise_addr_lan, true },
        { "wan_ipv4", "advertise_addr_wan_ipv4", c->advertise_addr_wan, false },
        { "wan_ipv6", "advertise_addr_ipv6", c->advertise_addr_wan, true },
    };
    const struct value *given = config_get(load, "tagged_addresses");
    for (size_t i = 0; given && i < given->map.n; i++)
        dict_set_str(
            load->arena, &c->tagged_addresses, given->map.v[i].key, given->map.v[i].value.s);
    dict_set_str(load->arena, &c->tagged_addresses, STR("lan"), c->advertise_addr_lan);
    dict_set_str(load->arena, &c->tagged_addresses, STR("wan"), c->advertise_addr_wan);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        struct str ip;
        int rc = family_address(load, families[i].path, families[i].general, families[i].v6, &ip);
        if (rc) return rc;
        if (ip.n) dict_set_str(load->arena, &c->tagged_addresses, str_of(families[i].tag), ip);
    }
    return 0;
}

static int advertised(struct config_load *load)
{
    struct agent_config *c = load->config;
    if (config_ip_is_any(config_get_str(load, "advertise_addr")))
        return config_refuse(load, "Advertise address cannot be 0.0.0.0, :: or [::]");
    if (config_ip_is_any(config_get_str(load, "advertise_addr_wan")))
        return config_refuse(load, "Advertise WAN address cannot be 0.0.0.0, :: or [::]");
    c->advertise_addr_lan = expand_one(load, "advertise_addr", c->bind_addr);
    if (config_ip_is_any(c->advertise_addr_lan)) {
        int rc = detect(load, is_v6(c->advertise_addr_lan), &c->advertise_addr_lan);
        if (rc) return rc;
    }
    c->advertise_addr_wan = expand_one(load, "advertise_addr_wan", c->advertise_addr_lan);
    return tag_addresses(load);
}

int config_addresses(struct config_load *load)
{
    struct agent_config *c = load->config;
    int rc = bind_address(load);
    if (rc == 0) rc = advertised(load);
    if (rc) return rc;
    c->rpc_bind_addr = tcp(load, c->bind_addr, c->server_port);
    c->rpc_advertise_addr = tcp(load, c->advertise_addr_lan, c->server_port);
    c->serf_bind_addr_lan = tcp(load, expand_one(load, "serf_lan", c->bind_addr), c->serf_port_lan);
    c->serf_bind_addr_wan = tcp(load, expand_one(load, "serf_wan", c->bind_addr), c->serf_port_wan);
    c->serf_advertise_addr_lan = tcp(load, c->advertise_addr_lan, c->serf_port_lan);
    c->serf_advertise_addr_wan = tcp(load, c->advertise_addr_wan, c->serf_port_wan);
    c->client_addrs = client_addresses(load);
    c->dns_addrs = listen_on(load, "addresses.dns", c->dns_port, true);
    c->http_addrs = listen_on(load, "addresses.http", c->http_port, false);
    c->https_addrs = listen_on(load, "addresses.https", c->https_port, false);
    c->grpc_addrs = listen_on(load, "addresses.grpc", c->grpc_port, false);
    c->start_join_addrs_lan = expand_all(load, "start_join");
    c->start_join_addrs_wan = expand_all(load, "start_join_wan");
    c->retry_join_lan = expand_all(load, "retry_join");
    c->retry_join_wan = expand_all(load, "retry_join_wan");
    c->primary_gateways = expand_all(load, "primary_gateways");
    return 0;
}
