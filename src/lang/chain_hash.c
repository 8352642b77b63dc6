/* SPDX-License-Identifier: Apache-2.0 */
/* The customization hash (connect-xds.md 8.3): FNV-1 over names and values of a structure. */
#include <stdio.h>

#include "consuld/lang/chain.h"

static uint64_t named(const char *name, uint64_t value)
{
    return record_hash_pair(record_hash_text(str_of(name)), value);
}

struct str chain_customization_hash(
    struct str mesh_gateway_mode, struct str protocol, int64_t connect_timeout, struct arena *a)
{
    uint64_t gateway = record_hash_text(STR("MeshGatewayConfig")) ^
                       named("Mode", record_hash_text(mesh_gateway_mode));
    uint64_t h = record_hash_text(STR("")) ^ named("OverrideMeshGateway", gateway) ^
                 named("OverrideProtocol", record_hash_text(protocol)) ^
                 named("OverrideConnectTimeout", record_hash_number((uint64_t)connect_timeout));
    char hex[17];
    int n = snprintf(hex, sizeof hex, "%llx", (unsigned long long)h);
    return str_dup(a, (struct str){ hex, n < 8 ? (size_t)n : 8 });
}
