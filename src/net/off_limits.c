/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "consuld/base.h"
#include "consuld/base/outside.h"
#include "world.h"

#define KEY_MAX 18

static struct str key_of(struct str ip, uint16_t port, char out[KEY_MAX])
{
    size_t n = ip.n < 16 ? ip.n : 16;
    if (n) memcpy(out, ip.p, n);
    memcpy(out + n, &port, sizeof port);
    return (struct str){ out, n + sizeof port };
}

void world_off_limits(struct world *w, const struct endpoint *all, size_t n)
{
    char key[KEY_MAX];
    map_deinit(&w->off_limits);
    w->off_limits = (struct map)MAP_INIT;
    for (size_t i = 0; i < n; i++) {
        struct str ip = { (const char *)all[i].ip, all[i].ip_n };
        (void)map_put(&w->off_limits, key_of(ip, all[i].port, key), w);
    }
}

uint64_t world_trespasses(const struct world *w)
{
    return w->trespasses;
}

void net__leaves_for(struct world *w, const char *how, struct str ip, uint16_t port)
{
    char key[KEY_MAX], text[INET6_ADDRSTRLEN] = "", where[INET6_ADDRSTRLEN + 8], times[24];
    if (w->off_limits.n == 0 || !map_get(&w->off_limits, key_of(ip, port, key))) return;
    w->trespasses++;
    if (w->trespasses & (w->trespasses - 1)) return; /* told at 1, 2, 4, 8 ... */
    inet_ntop(ip.n == 4 ? AF_INET : AF_INET6, ip.p, text, sizeof text);
    snprintf(where, sizeof where, ip.n == 4 ? "%s:%u" : "[%s]:%u", text, port);
    snprintf(times, sizeof times, "%llu", (unsigned long long)w->trespasses);
    log_warn("agent", "sent to an address that only mesh gateways lead to", "address", where, "how",
        how, "times", times);
}
