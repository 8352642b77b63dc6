/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/http_proxy.h"

#include <stdlib.h>
#include <string.h>

#include "config_build.h"
#include "consuld/base/host_port.h"

static struct str variable(const char *upper, const char *lower)
{
    struct str text = str_of(getenv(upper));
    return text.n ? text : str_of(getenv(lower));
}

struct http_proxy_rules http_proxy_environment(void)
{
    return (struct http_proxy_rules){ .http = variable("HTTP_PROXY", "http_proxy"),
        .https = variable("HTTPS_PROXY", "https_proxy"),
        .direct = variable("NO_PROXY", "no_proxy"),
        .cgi = str_of(getenv("REQUEST_METHOD")).n > 0 };
}

/* "10.0.0.0/8" */
static bool network_parse(struct str text, struct config_ip *ip, uint64_t *bits)
{
    struct str address, digits;
    if (!str_cut(text, '/', &address, &digits) || !str_to_u64(digits, bits)) return false;
    if (str_find_char(address, '[') >= 0 || !config_ip_parse(address, ip)) return false;
    bool mapped = !ip->v6 && str_find_char(address, ':') >= 0;
    if (mapped && *bits < 96) return false;
    if (mapped) *bits -= 96;
    return *bits <= (ip->v6 ? 128 : 32);
}

static bool same_start(const struct config_ip *a, const struct config_ip *b, uint64_t bits)
{
    size_t whole = bits / 8, rest = bits % 8;
    if (a->v6 != b->v6 || memcmp(a->bytes, b->bytes, whole) != 0) return false;
    return rest == 0 || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0;
}

/* "a.b" stands for itself and what is below, ".a.b" and "*.a.b" for the latter alone. */
static bool name_has(struct str name, struct str host)
{
    if (str_has_prefix(name, STR("*."))) name = str_slice(name, 1, name.n);
    if (name.p[0] == '.') return str_has_suffix(host, name);
    if (str_eq(name, host)) return true;
    struct str above = str_slice(host, 0, host.n > name.n ? host.n - name.n : 0);
    return str_has_suffix(above, STR(".")) && str_has_suffix(host, name);
}

static bool rule_has(struct str rule, struct str host, const struct config_ip *ip, uint16_t port)
{
    struct str name = rule, digits = STR("");
    struct config_ip own;
    uint64_t number = port, bits;
    if (network_parse(rule, &own, &bits)) return ip && same_start(&own, ip, bits);
    if (host_port_split(rule, &name, &digits) != NULL) name = rule, digits = STR("");
    if (name.n == 0) return false;
    if (digits.n && !str_to_u64(digits, &number)) return false;
    if (number != port) return false;
    if (!config_ip_parse(name, &own)) return name_has(name, host);
    return ip && same_start(&own, ip, own.v6 ? 128 : 32);
}

/* Nothing lies between this machine and the target. */
static bool reached_directly(struct str rules, const struct http_url *target, struct arena *a)
{
    struct config_ip ip;
    bool numeric = config_ip_parse(target->host, &ip);
    struct str host = str_lower(a, str_trim(target->host)), rest = str_lower(a, rules), rule;
    if (str_is(target->host, "localhost")) return true;
    if (numeric && !ip.v6 && ip.bytes[0] == 127) return true;
    if (numeric && str_is(target->host, "::1")) return true;
    for (bool more = true; more;) {
        more = str_cut(rest, ',', &rule, &rest);
        rule = str_trim(rule);
        if (rule.n == 0) continue;
        if (str_is(rule, "*") || rule_has(rule, host, numeric ? &ip : NULL, target->port))
            return true;
    }
    return false;
}

int http_proxy_find(const struct http_proxy_rules *rules, const struct http_url *target,
    struct arena *a, struct http_proxy *out, struct error *err)
{
    struct str text = target->tls ? rules->https : rules->http;
    struct http_url url;
    *out = (struct http_proxy){ 0 };
    if (text.n == 0) return 0;
    if (str_has_prefix(text, STR("socks5://")))
        return error_set(err, ERR_IO, "proxyconnect tcp: SOCKS is not supported");
    bool known = http_url_parse(text, &url) ||
                 http_url_parse(str_printf(a, "http://%.*s", STR_ARG(text)), &url);
    if (!known) return 0;
    if (rules->cgi && !target->tls)
        return error_set(err, ERR_IO,
            "refusing to use HTTP_PROXY value in CGI environment; "
            "see golang.org/s/cgihttpproxy");
    if (reached_directly(rules->direct, target, a)) return 0;
    *out = (struct http_proxy){ .url = url, .authorization = http_url_credentials(&url, a) };
    return 0;
}
