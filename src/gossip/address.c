/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/gossip/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

static bool is_mapped(const struct gossip_address *a)
{
    return a->ip_n == 16 && memcmp(a->ip, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool gossip_address_equal(const struct gossip_address *a, const struct gossip_address *b)
{
    return a->port == b->port && a->ip_n == b->ip_n && memcmp(a->ip, b->ip, a->ip_n) == 0;
}

bool gossip_address_set(struct gossip_address *a, struct str ip, uint16_t port)
{
    *a = (struct gossip_address){ .port = port };
    if (ip.n != 4 && ip.n != 16) return false;
    a->ip_n = (uint8_t)ip.n;
    memcpy(a->ip, ip.p, ip.n);
    return true;
}

bool gossip_address_parse(struct gossip_address *a, const char *ip, uint16_t port)
{
    *a = (struct gossip_address){ .port = port };
    if (inet_pton(AF_INET, ip, a->ip) == 1) {
        a->ip_n = 4;
        return true;
    }
    if (inet_pton(AF_INET6, ip, a->ip) != 1) return false;
    a->ip_n = 16;
    if (is_mapped(a)) {
        memmove(a->ip, a->ip + 12, 4);
        memset(a->ip + 4, 0, 12);
        a->ip_n = 4;
    }
    return true;
}

struct str gossip_address_ip(const struct gossip_address *a)
{
    return (struct str){ (const char *)a->ip, a->ip_n };
}

const char *gossip_ip_text(const struct gossip_address *a, char out[GOSSIP_ADDRESS_TEXT_MAX])
{
    if (a->ip_n == 4 || is_mapped(a)) {
        inet_ntop(AF_INET, a->ip + (a->ip_n == 16 ? 12 : 0), out, GOSSIP_ADDRESS_TEXT_MAX);
    } else if (a->ip_n == 16) {
        inet_ntop(AF_INET6, a->ip, out, GOSSIP_ADDRESS_TEXT_MAX);
    } else {
        memcpy(out, "<nil>", sizeof "<nil>");
    }
    return out;
}

const char *gossip_address_text(const struct gossip_address *a, char out[GOSSIP_ADDRESS_TEXT_MAX])
{
    char ip[GOSSIP_ADDRESS_TEXT_MAX];
    gossip_ip_text(a, ip);
    bool v6 = strchr(ip, ':') != NULL;
    snprintf(
        out, GOSSIP_ADDRESS_TEXT_MAX, "%s%.46s%s:%u", v6 ? "[" : "", ip, v6 ? "]" : "", a->port);
    return out;
}

bool gossip_network_parse(struct gossip_network *n, struct str text)
{
    struct str ip, bits;
    char room[GOSSIP_ADDRESS_TEXT_MAX];
    uint64_t width = 0;
    if (!str_cut(text, '/', &ip, &bits) || ip.n >= sizeof room) return false;
    memcpy(room, ip.p, ip.n);
    room[ip.n] = '\0';
    if (!gossip_address_parse(&n->base, room, 0)) return false;
    if (!str_to_u64(bits, &width) || width > 8u * n->base.ip_n) return false;
    n->bits = (uint8_t)width;
    return true;
}

bool gossip_network_contains(const struct gossip_network *n, const struct gossip_address *a)
{
    const uint8_t *ip = a->ip;
    size_t size = a->ip_n;
    if (size == 16 && n->base.ip_n == 4 && is_mapped(a)) {
        ip += 12;
        size = 4;
    }
    if (size == 0 || size != n->base.ip_n) return false;
    size_t whole = n->bits / 8u, rest = n->bits % 8u;
    if (memcmp(ip, n->base.ip, whole) != 0) return false;
    if (rest == 0) return true;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return ((ip[whole] ^ n->base.ip[whole]) & mask) == 0;
}
