/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>

#include "front.h"

/* IPv4 becomes ::ffff:a.b.c.d. Returns 4 or 6, 0 if malformed. */
static int address_parse(struct str text, struct in6_addr *out)
{
    char c[PEER_TEXT_MAX];
    if (text.n >= sizeof c) return 0;
    memcpy(c, text.p, text.n);
    c[text.n] = '\0';
    if (inet_pton(AF_INET6, c, out) == 1) return 6;
    memset(out, 0, sizeof *out);
    out->s6_addr[10] = out->s6_addr[11] = 0xff;
    return inet_pton(AF_INET, c, &out->s6_addr[12]) == 1 ? 4 : 0;
}

bool cidr__parse(struct str text, struct cidr *out)
{
    struct str address, bits;
    uint64_t n;
    if (!str_cut(text, '/', &address, &bits) || !str_to_u64(bits, &n)) return false;
    int family = address_parse(address, &out->addr);
    if (!family || n > (family == 4 ? 32 : 128)) return false;
    out->bits = (unsigned)n + (family == 4 ? 96 : 0);
    return true;
}

static bool within(const struct cidr *net, const struct in6_addr *addr)
{
    size_t whole = net->bits / 8, rest = net->bits % 8;
    if (memcmp(net->addr.s6_addr, addr->s6_addr, whole) != 0) return false;
    if (!rest) return true;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return ((net->addr.s6_addr[whole] ^ addr->s6_addr[whole]) & mask) == 0;
}

bool cidr__contains(const struct cidr *nets, size_t n, const char *ip)
{
    struct in6_addr addr;
    if (!address_parse(str_of(ip), &addr)) return false;
    for (size_t i = 0; i < n; i++)
        if (within(&nets[i], &addr)) return true;
    return false;
}
