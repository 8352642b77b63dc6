/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "directory.h"

/* --- addresses of records (wanfed.md 8.1) ---------------------------------------------------- */

static bool usable(const struct check_service_node *g)
{
    if (!g->node || !g->service) return false;
    if (!str_is(dict_str(&g->service->meta, STR(FED_META_KEY)), "1")) return false;
    for (size_t i = 0; i < g->checks.n; i++) {
        if (str_is(LIST_AT(&g->checks, struct health_check, i).status, "critical")) return false;
    }
    return true;
}

struct str fed_address(const struct check_service_node *g, enum fed_side side, int64_t *port)
{
    const struct dict *tagged = &g->service->tagged_addresses;
    *port = g->service->port;
    for (size_t i = 0; side == FED_WAN && i < tagged->n; i++) {
        const struct service_address *at = dict_at(tagged, &type_service_address, i);
        if (!str_is(dict_key(tagged, &type_service_address, i), "wan") || !at->address.n) continue;
        *port = at->port;
        return at->address;
    }
    if (g->service->address.n) return g->service->address;
    struct str wan = dict_str(&g->node->tagged_addresses, STR("wan"));
    return side == FED_WAN && wan.n ? wan : g->node->address;
}

void fed_read_gateways(
    const struct list *gateways, enum fed_side side, struct arena *a, struct list *out)
{
    for (size_t i = 0; i < gateways->n; i++) {
        const struct check_service_node *g = &LIST_AT(gateways, struct check_service_node, i);
        int64_t port;
        if (!usable(g)) continue;
        struct str host = fed_address(g, side, &port);
        if (host.n == 0 || port <= 0 || port > UINT16_MAX) continue;
        bool v6 = str_find_char(host, ':') >= 0;
        *LIST_PUSH(a, out, struct str) =
            str_printf(a, v6 ? "[%.*s]:%d" : "%.*s:%d", STR_ARG(host), (int)port);
    }
}

bool fed_split_address(struct str text, struct str *host, uint16_t *port)
{
    ptrdiff_t colon = -1;
    uint64_t number;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == ':') colon = (ptrdiff_t)i;
    if (colon <= 0) return false;
    *host = str_slice(text, 0, (size_t)colon);
    if (!str_to_u64(str_slice(text, (size_t)colon + 1, text.n), &number)) return false;
    if (number == 0 || number > UINT16_MAX) return false;
    *port = (uint16_t)number;
    bool bracketed = host->p[0] == '[' && host->n > 2 && host->p[host->n - 1] == ']';
    if (bracketed) *host = str_slice(*host, 1, host->n - 1);
    return bracketed || str_find_char(*host, ':') < 0;
}

/* --- lists ---------------------------------------------------------------------------------- */

static int text_order(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void fed_addresses_clear(struct fed_addresses *l)
{
    arena_free(&l->arena);
    *l = (struct fed_addresses){ .arena = ARENA_INIT };
}

bool fed_addresses_set(struct fed_addresses *l, const struct str *texts, size_t n)
{
    struct fed_addresses fresh = { .arena = ARENA_INIT };
    fresh.v = arena_array(&fresh.arena, n + 1, sizeof *fresh.v);
    for (size_t i = 0; i < n; i++)
        fresh.v[i] = str_dup(&fresh.arena, texts[i]);
    if (n) qsort(fresh.v, n, sizeof *fresh.v, text_order);
    for (size_t i = 0; i < n; i++)
        if (fresh.n == 0 || !str_eq(fresh.v[fresh.n - 1], fresh.v[i]))
            fresh.v[fresh.n++] = fresh.v[i];
    if (fresh.n > FED_GATEWAYS_MAX) fresh.n = FED_GATEWAYS_MAX;
    bool same = fresh.n == l->n;
    for (size_t i = 0; same && i < l->n; i++)
        same = str_eq(fresh.v[i], l->v[i]);
    if (same) {
        arena_free(&fresh.arena);
        return false;
    }
    fed_addresses_clear(l);
    *l = fresh;
    return true;
}

bool fed_addresses_has(const struct fed_addresses *l, struct str text)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i], text)) return true;
    return false;
}
