/* SPDX-License-Identifier: Apache-2.0 */
/* The customization hash (connect-xds.md 8.3): FNV-1 over names and values of a structure. */
#include <stdio.h>

#include "consuld/lang/chain.h"

#define FNV_OFFSET UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

static uint64_t fnv(const void *p, size_t n)
{
    const uint8_t *b = p;
    uint64_t h = FNV_OFFSET;
    for (size_t i = 0; i < n; i++)
        h = h * FNV_PRIME ^ b[i];
    return h;
}

static uint64_t text(struct str s)
{
    return fnv(s.p, s.n);
}

static void put(uint8_t out[8], uint64_t v)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t number(uint64_t v)
{
    uint8_t bytes[8];
    put(bytes, v);
    return fnv(bytes, sizeof bytes);
}

static uint64_t ordered(uint64_t a, uint64_t b)
{
    uint8_t bytes[16];
    put(bytes, a);
    put(bytes + 8, b);
    return fnv(bytes, sizeof bytes);
}

struct str chain_customization_hash(
    struct str mesh_gateway_mode, struct str protocol, int64_t connect_timeout, struct arena *a)
{
    uint64_t gateway =
        text(STR("MeshGatewayConfig")) ^ ordered(text(STR("Mode")), text(mesh_gateway_mode));
    uint64_t h = text(STR("")) ^ ordered(text(STR("OverrideMeshGateway")), gateway) ^
                 ordered(text(STR("OverrideProtocol")), text(protocol)) ^
                 ordered(text(STR("OverrideConnectTimeout")), number((uint64_t)connect_timeout));
    char hex[17];
    int n = snprintf(hex, sizeof hex, "%llx", (unsigned long long)h);
    return str_dup(a, (struct str){ hex, n < 8 ? (size_t)n : 8 });
}
