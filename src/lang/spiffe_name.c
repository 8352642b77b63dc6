/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/lang/spiffe.h"

#define LABEL_MAX 43 /* of service and namespace together */
#define LABEL_MIN 15
#define PROVIDER_MAX 32
#define DOMAIN_MAX 8
#define ROOT_MAX 8

struct str spiffe_trust_domain(struct arena *a, struct str cluster_id)
{
    return str_lower(a, str_printf(a, "%.*s.consul", STR_ARG(cluster_id)));
}

/* As in a path: what is not unreserved there is escaped. */
static struct str escape(struct arena *a, struct str s)
{
    static const char digits[] = "0123456789ABCDEF";
    static const char plain[] = "$&+,/:;=@-_.~";
    char *out = arena_alloc(a, s.n * 3 + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (letter || str_find_char(STR(plain), (char)c) >= 0) {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '%';
        out[n++] = digits[c >> 4];
        out[n++] = digits[c & 15];
    }
    return (struct str){ out, n };
}

struct str spiffe_uri(struct arena *a, const struct spiffe_id *id)
{
    struct str dc = escape(a, id->datacenter), who;
    switch (id->kind) {
    case SPIFFE_SERVICE:
        who = escape(a, id->service);
        return str_printf(a, "spiffe://%.*s/ns/%.*s/dc/%.*s/svc/%.*s", STR_ARG(id->host),
            STR_ARG(escape(a, id->namespace)), STR_ARG(dc), STR_ARG(who));
    case SPIFFE_AGENT:
        who = escape(a, id->agent);
        return str_printf(a, "spiffe://%.*s/agent/client/dc/%.*s/id/%.*s", STR_ARG(id->host),
            STR_ARG(dc), STR_ARG(who));
    case SPIFFE_SIGNING:
        break;
    }
    return str_printf(a, "spiffe://%.*s", STR_ARG(id->host));
}

/* Lower case, letters and digits alone. */
static struct str label(struct arena *a, struct str s)
{
    struct str low = str_lower(a, s);
    char *out = arena_alloc(a, low.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < low.n; i++) {
        char c = low.p[i];
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out[n++] = c;
    }
    return (struct str){ out, n };
}

static struct str cut(struct str s, size_t n)
{
    return s.n > n ? str_slice(s, 0, n) : s;
}

struct str spiffe_common_name(struct arena *a, const struct spiffe_id *id)
{
    struct str domain = cut(id->host, DOMAIN_MAX);
    if (id->kind == SPIFFE_AGENT)
        return str_printf(a, "%.*s.agnt.%.*s.consul", STR_ARG(cut(label(a, id->agent), LABEL_MAX)),
            STR_ARG(domain));
    struct str service = label(a, id->service), ns = label(a, id->namespace);
    if (service.n + ns.n > LABEL_MAX) {
        size_t left = LABEL_MAX - (ns.n < LABEL_MIN ? ns.n : LABEL_MIN);
        service = cut(service, left);
        ns = cut(ns, LABEL_MAX - service.n);
    }
    return str_printf(
        a, "%.*s.svc.%.*s.%.*s.consul", STR_ARG(service), STR_ARG(ns), STR_ARG(domain));
}

/* A signed number in base 36; its sign does not show. */
static struct str base36(struct arena *a, const uint8_t bytes[8])
{
    uint64_t bits = 0;
    for (size_t i = 8; i-- > 0;)
        bits = bits << 8 | bytes[i];
    bool negative = bits >> 63;
    uint64_t v = negative ? -bits : bits;
    char text[16];
    size_t at = sizeof text;
    do {
        text[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[v % 36];
        v /= 36;
    } while (v);
    struct str digits = { text + at, sizeof text - at };
    return str_dup(a, cut(digits, negative ? ROOT_MAX - 1 : ROOT_MAX));
}

struct str spiffe_authority_name(struct arena *a, bool primary, struct str provider,
    struct str trust_domain, const uint8_t random[8])
{
    return str_printf(a, "%s-%.*s.%.*s.ca.%.*s.consul", primary ? "pri" : "sec",
        STR_ARG(base36(a, random)), STR_ARG(cut(label(a, provider), PROVIDER_MAX)),
        STR_ARG(cut(trust_domain, DOMAIN_MAX)));
}
