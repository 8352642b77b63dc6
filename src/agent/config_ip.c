/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>

#include "config_build.h"

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF };

bool config_ip_parse(struct str text, struct config_ip *out)
{
    char c[INET6_ADDRSTRLEN];
    if (str_is(text, "[::]")) text = STR("::");
    if (text.n >= sizeof c || text.n == 0) return false;
    memcpy(c, text.p, text.n);
    c[text.n] = '\0';
    *out = (struct config_ip){ .v6 = false };
    if (inet_pton(AF_INET, c, out->bytes) == 1) return true;
    if (inet_pton(AF_INET6, c, out->bytes) != 1) return false;
    out->v6 = memcmp(out->bytes, mapped, sizeof mapped) != 0;
    if (!out->v6) memmove(out->bytes, out->bytes + 12, 4);
    return true;
}

struct str config_ip_text(struct arena *a, const struct config_ip *ip)
{
    char c[INET6_ADDRSTRLEN];
    inet_ntop(ip->v6 ? AF_INET6 : AF_INET, ip->bytes, c, sizeof c);
    return str_dup(a, str_of(c));
}

bool config_ip_is_any(struct str text)
{
    return str_is(text, "0.0.0.0") || str_is(text, "::") || str_is(text, "[::]");
}

struct str config_addr_text(struct arena *a, const char *network, struct str ip, int64_t port)
{
    bool v6 = str_find_char(ip, ':') >= 0;
    return str_printf(a, "%s://%s%.*s%s:%lld", network, v6 ? "[" : "", STR_ARG(ip), v6 ? "]" : "",
        (long long)port);
}

bool config_addr_parse(struct str text, struct config_addr *out)
{
    ptrdiff_t at = str_find(text, STR("://"));
    if (at < 0) return false;
    *out = (struct config_addr){ .network = str_slice(text, 0, (size_t)at) };
    struct str rest = str_slice(text, (size_t)at + 3, text.n);
    if (str_is(out->network, "unix")) {
        out->host = rest;
        return rest.n > 0;
    }
    if (!str_is(out->network, "tcp") && !str_is(out->network, "udp")) return false;
    size_t colon = rest.n;
    while (colon > 0 && rest.p[colon - 1] != ':')
        colon--;
    uint64_t port;
    if (colon == 0 || !str_to_u64(str_slice(rest, colon, rest.n), &port) || port > 65535)
        return false;
    out->port = (int)port;
    out->host = str_slice(rest, 0, colon - 1);
    if (out->host.n > 2 && out->host.p[0] == '[')
        out->host = str_slice(out->host, 1, out->host.n - 1);
    return true;
}

bool config_cidr_valid(struct str text)
{
    struct str address, length;
    struct config_ip ip;
    uint64_t bits;
    if (!str_cut(text, '/', &address, &length) || !config_ip_parse(address, &ip)) return false;
    return str_to_u64(length, &bits) && bits <= (ip.v6 ? 128 : 32);
}

/* --- templates -------------------------------------------------------------------------------- */

struct block {
    bool v6;
    uint8_t bytes[16];
    unsigned bits;
};

/* Addresses that the internet does not route. The two loopbacks come first. */
static const struct block private_blocks[] = {
    { false, { 127 }, 8 },       /* RFC 1122 loopback */
    { true, { [15] = 1 }, 128 }, /* RFC 4291 loopback */
    { false, { 10 }, 8 },        /* RFC 1918 */
    { false, { 172, 16 }, 12 }, { false, { 192, 168 }, 16 },
    { false, { 100, 64 }, 10 },               /* RFC 6598 shared */
    { false, { 169, 254 }, 16 },              /* RFC 3927 link local */
    { false, { 192, 0, 0 }, 24 },             /* RFC 6890 protocols */
    { false, { 192, 0, 2 }, 24 },             /* RFC 5737 documentation */
    { true, { 0xFC }, 7 },                    /* RFC 4193 unique local */
    { true, { 0xFE, 0x80 }, 10 },             /* RFC 4291 link local */
    { true, { 0xFE, 0xC0 }, 10 },             /* RFC 3879 site local */
    { true, { 0x20, 0x01, 0x0D, 0xB8 }, 32 }, /* RFC 3849 documentation */
};

static bool within(const struct config_ip *ip, const struct block *b)
{
    if (ip->v6 != b->v6) return false;
    for (unsigned i = 0; i < b->bits; i++) {
        uint8_t mask = (uint8_t)(0x80 >> i % 8);
        if ((ip->bytes[i / 8] & mask) != (b->bytes[i / 8] & mask)) return false;
    }
    return true;
}

static bool is_private(const struct config_ip *ip)
{
    for (size_t i = 0; i < sizeof private_blocks / sizeof private_blocks[0]; i++)
        if (within(ip, &private_blocks[i])) return true;
    return false;
}

static bool is_loopback(const struct config_ip *ip)
{
    return within(ip, &private_blocks[0]) || within(ip, &private_blocks[1]);
}

enum want { WANT_PRIVATE, WANT_PUBLIC, WANT_INTERFACE };

/* Has the machine nothing but its loopback? Only then that counts. */
static bool is_alone(const struct config_load *load)
{
    const struct list *all = &load->args->host.interfaces;
    struct config_ip ip;
    for (size_t i = 0; i < all->n; i++)
        if (config_ip_parse(LIST_AT(all, struct config_interface, i).ip, &ip) && !is_loopback(&ip))
            return false;
    return true;
}

static struct list matching(
    const struct config_load *load, enum want want, struct str name, int family)
{
    struct list found = { 0 };
    bool alone = is_alone(load);
    for (size_t i = 0; i < load->args->host.interfaces.n; i++) {
        const struct config_interface *at =
            &LIST_AT(&load->args->host.interfaces, struct config_interface, i);
        struct config_ip ip;
        if (!config_ip_parse(at->ip, &ip)) continue;
        if (family && (family == 6) != ip.v6) continue;
        bool fits = want == WANT_INTERFACE
                        ? str_eq(at->name, name)
                        : is_private(&ip) == (want == WANT_PRIVATE) && (alone || !is_loopback(&ip));
        if (fits) *LIST_PUSH(load->arena, &found, struct str) = config_ip_text(load->arena, &ip);
    }
    return found;
}

struct list config_host_addresses(const struct config_load *load, bool public, int family)
{
    return matching(load, public ? WANT_PUBLIC : WANT_PRIVATE, STR(""), family);
}

static const struct function {
    const char *name;
    enum want want;
    bool takes_name, all;
} functions[] = {
    { "GetPrivateIP", WANT_PRIVATE, false, false },
    { "GetPrivateIPs", WANT_PRIVATE, false, true },
    { "GetPublicIP", WANT_PUBLIC, false, false },
    { "GetPublicIPs", WANT_PUBLIC, false, true },
    { "GetInterfaceIP", WANT_INTERFACE, true, false },
    { "GetInterfaceIPs", WANT_INTERFACE, true, true },
};

static const struct function *function_named(struct str name)
{
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (str_is(name, functions[i].name)) return &functions[i];
    return NULL;
}

/* The quoted word behind a function's name. */
static bool argument(struct str rest, struct str *out)
{
    rest = str_trim(rest);
    if (rest.n < 2 || rest.p[0] != '"' || rest.p[rest.n - 1] != '"') return false;
    *out = str_slice(rest, 1, rest.n - 1);
    return str_find_char(*out, '"') < 0;
}

static int evaluate(const struct config_load *load, struct str whole, struct str call,
    struct buf *out, struct str *why)
{
    struct str name, rest = STR(""), interface = STR("");
    if (!str_cut(str_trim(call), ' ', &name, &rest)) rest = STR("");
    const struct function *f = function_named(name);
    const char *problem = !f ? "not defined"
                          : (f->takes_name ? !argument(rest, &interface) : rest.n > 0)
                              ? "used in a way that is not supported"
                              : NULL;
    if (problem) {
        *why = str_printf(load->arena,
            "unable to parse template \"%.*s\": template: "
            "sockaddr.Parse:1: function \"%.*s\" %s",
            STR_ARG(whole), STR_ARG(name), problem);
        return ERR_BAD_REQUEST;
    }
    struct list found = matching(load, f->want, interface, f->want == WANT_INTERFACE ? 0 : 4);
    for (size_t i = 0; i < found.n && (f->all || i == 0); i++) {
        if (i) buf_put_char(out, ' ');
        buf_put_str(out, LIST_AT(&found, struct str, i));
    }
    return 0;
}

int config_template(
    const struct config_load *load, struct str text, struct str *out, struct str *why)
{
    struct buf b = BUF_INIT(64u << 10);
    struct str rest = text;
    int rc = 0;
    for (ptrdiff_t at; rc == 0 && (at = str_find(rest, STR("{{"))) >= 0;) {
        buf_put_str(&b, str_slice(rest, 0, (size_t)at));
        rest = str_slice(rest, (size_t)at + 2, rest.n);
        ptrdiff_t end = str_find(rest, STR("}}"));
        if (end < 0) {
            *why = str_printf(load->arena,
                "unable to parse template \"%.*s\": template: "
                "sockaddr.Parse:1: unclosed action",
                STR_ARG(text));
            rc = ERR_BAD_REQUEST;
            break;
        }
        rc = evaluate(load, text, str_slice(rest, 0, (size_t)end), &b, why);
        rest = str_slice(rest, (size_t)end + 2, rest.n);
    }
    buf_put_str(&b, rest);
    *out = str_dup(load->arena, buf_str(&b));
    buf_deinit(&b);
    return rc;
}
