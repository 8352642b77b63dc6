/* SPDX-License-Identifier: Apache-2.0 */
#include "directory.h"

#include <stdlib.h>
#include <string.h>

#define FORGIVEN_MS 60000 /* a failure this old counts no more against others that work */

struct fed_directory {
    struct str datacenter, primary;
    struct fed_addresses lists[FED_SOURCES];
    bool read; /* the state was, once */
    uint64_t generation;
    struct fed_paths paths;
    uint32_t replication_failures; /* in a row */
    uint32_t local_failures;       /* in a row, of our gateways on the way to the primary */
    uint64_t bypass_until_ms, bypass_ms;
    struct arena arena;
};

struct fed_directory *fed_create(const struct fed_options *o)
{
    struct fed_directory *d = xcalloc(1, sizeof *d);
    d->datacenter = str_dup(&d->arena, o->datacenter);
    d->primary = str_dup(&d->arena, o->primary.n ? o->primary : o->datacenter);
    d->bypass_ms = FED_BYPASS_MIN_MS;
    return d;
}

void fed_destroy(struct fed_directory *d)
{
    if (!d) return;
    for (size_t i = 0; i < FED_SOURCES; i++)
        fed_addresses_clear(&d->lists[i]);
    fed_paths_deinit(&d->paths);
    arena_free(&d->arena);
    free(d);
}

bool fed_is_primary(const struct fed_directory *d)
{
    return str_eq(d->datacenter, d->primary);
}

/* --- what is told --------------------------------------------------------------------------- */

static bool replace(struct fed_directory *d, enum fed_source s, const struct list *texts)
{
    if (!fed_addresses_set(&d->lists[s], texts->v, texts->n)) return false;
    d->generation++;
    return true;
}

bool fed_states(struct fed_directory *d, const struct list *states, const struct list *own)
{
    struct arena a = ARENA_INIT;
    struct list local = { 0 }, primary = { 0 };
    for (size_t i = 0; i < states->n; i++) {
        const struct federation_state *s = &LIST_AT(states, struct federation_state, i);
        if (own->n == 0 && str_eq_nocase(s->datacenter, d->datacenter))
            fed_read_gateways(&s->mesh_gateways, FED_LAN, &a, &local);
        if (str_eq_nocase(s->datacenter, d->primary))
            fed_read_gateways(&s->mesh_gateways, FED_WAN, &a, &primary);
    }
    fed_read_gateways(own, FED_LAN, &a, &local);
    bool changed = replace(d, FED_LOCAL, &local);
    changed = replace(d, FED_PRIMARY, &primary) || changed;
    if (!d->read) d->generation++;
    d->read = true;
    arena_free(&a);
    return changed;
}

bool fed_fallback(struct fed_directory *d, const struct str *addresses, size_t n)
{
    struct list texts = { .v = (void *)(uintptr_t)addresses, .n = n };
    return replace(d, FED_FALLBACK, &texts);
}

void fed_replicated(struct fed_directory *d, bool fine)
{
    if (fine)
        d->replication_failures = 0;
    else if (d->replication_failures < UINT32_MAX)
        d->replication_failures++;
}

void fed_leads_not(struct fed_directory *d)
{
    d->replication_failures = 0;
}

/* Our gateways on the way to the primary. */
static bool is_way_round(const struct fed_directory *d, struct str datacenter, struct str address)
{
    return !fed_is_primary(d) && str_eq(datacenter, d->primary) &&
           fed_addresses_has(&d->lists[FED_LOCAL], address);
}

void fed_path_failed(struct fed_directory *d, uint64_t now, const struct fed_peer *peer,
    struct str address, enum fed_failure what, struct str why)
{
    struct fed_path *p =
        fed_paths_touch(&d->paths, what == FED_FAILED_GATEWAY ? STR("") : peer->name, address);
    size_t n = why.n < sizeof p->why - 1 ? why.n : sizeof p->why - 1;
    p->failures++;
    p->failed_ms = now;
    if (n) memcpy(p->why, why.p, n);
    p->why[n] = '\0';
    if (!is_way_round(d, peer->datacenter, address)) return;
    if (++d->local_failures < FED_FAILURES_MAX) return;
    d->local_failures = 0;
    d->bypass_until_ms = now + d->bypass_ms;
    if ((d->bypass_ms *= 2) > FED_BYPASS_MAX_MS) d->bypass_ms = FED_BYPASS_MAX_MS;
}

void fed_path_works(
    struct fed_directory *d, uint64_t now, const struct fed_peer *peer, struct str address)
{
    const struct str of[] = { STR(""), peer->name };
    for (size_t i = 0; i < 2; i++) {
        struct fed_path *p = fed_paths_touch(&d->paths, of[i], address);
        p->failures = 0;
        p->worked_ms = now;
    }
    if (!is_way_round(d, peer->datacenter, address)) return;
    d->local_failures = 0;
    d->bypass_until_ms = 0;
    d->bypass_ms = FED_BYPASS_MIN_MS;
}

/* --- the choice ----------------------------------------------------------------------------- */

struct candidate {
    struct str address;
    enum fed_source source;
    bool spare;  /* only if all others failed lately */
    bool failed; /* not so long ago */
    uint64_t failed_ms, spared_ms;
    uint64_t rank; /* of this peer's order */
};

bool fed_through_local(const struct fed_directory *d, uint64_t now)
{
    return !fed_is_primary(d) && d->lists[FED_LOCAL].n > 0 &&
           d->replication_failures < FED_FAILURES_MAX && now >= d->bypass_until_ms;
}

static uint64_t mix(uint64_t h, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * UINT64_C(0x100000001b3);
    h ^= h >> 29;
    return h * UINT64_C(0xbf58476d1ce4e5b9);
}

static void judge(
    const struct fed_directory *d, uint64_t now, const struct fed_peer *peer, struct candidate *c)
{
    const struct fed_path *of[] = { fed_paths_find(&d->paths, STR(""), c->address),
        fed_paths_find(&d->paths, peer->name, c->address) };
    for (size_t i = 0; i < 2; i++) {
        if (!of[i] || of[i]->failures == 0) continue;
        uint64_t spared = fed_path_spared_ms(of[i]);
        if (now < of[i]->failed_ms + FORGIVEN_MS) c->failed = true;
        if (of[i]->failed_ms > c->failed_ms) c->failed_ms = of[i]->failed_ms;
        if (spared > c->spared_ms) c->spared_ms = spared;
    }
    c->rank = mix(mix(UINT64_C(0xcbf29ce484222325), peer->name), c->address);
}

/* True if x is the better one. */
static bool better(const struct candidate *x, const struct candidate *y, uint64_t now)
{
    bool x_waits = x->spared_ms > now, y_waits = y->spared_ms > now;
    if (x_waits != y_waits) return y_waits;
    if (x->spare != y->spare) return y->spare;
    if (x->failed != y->failed) return y->failed;
    if (x->failed && x->failed_ms != y->failed_ms) return x->failed_ms < y->failed_ms;
    return x->rank > y->rank;
}

struct choosing {
    const struct fed_directory *d;
    uint64_t now;
    const struct fed_peer *peer;
    struct candidate best;
    size_t n;
};

static void consider(struct choosing *c, enum fed_source s, bool spare)
{
    const struct fed_addresses *l = &c->d->lists[s];
    for (size_t i = 0; i < l->n; i++) {
        struct candidate one = { .address = l->v[i], .source = s, .spare = spare };
        struct str host;
        uint16_t port;
        if (!fed_split_address(one.address, &host, &port)) continue;
        /* one that is both is told of as the primary's */
        if (s == FED_FALLBACK && fed_addresses_has(&c->d->lists[FED_PRIMARY], one.address))
            continue;
        judge(c->d, c->now, c->peer, &one);
        if (c->n == 0 || better(&one, &c->best, c->now)) c->best = one;
        c->n++;
    }
}

static const char *reason_of(const struct choosing *c)
{
    if (c->best.spare) return "the primary's gateways failed, ours are tried again";
    if (c->best.spared_ms > c->now) return "all failed lately, this one the longest ago";
    if (c->n == 1) return "there is no other";
    if (c->best.failed) return "all failed, this one the longest ago";
    return "this peer's own among those that work";
}

struct fed_choice fed_choose(
    const struct fed_directory *d, uint64_t now, const struct fed_peer *peer)
{
    struct choosing c = { .d = d, .now = now, .peer = peer };
    struct fed_choice out = { .verdict = FED_NONE };
    if (!d->read) {
        out.verdict = FED_UNREAD;
        return out;
    }
    if (fed_is_primary(d) || !str_eq(peer->datacenter, d->primary) || fed_through_local(d, now)) {
        consider(&c, FED_LOCAL, false);
    } else {
        consider(&c, FED_PRIMARY, false);
        consider(&c, FED_FALLBACK, false);
        consider(&c, FED_LOCAL, true);
    }
    if (c.n == 0) return out;
    out = (struct fed_choice){ .verdict = FED_GATEWAY,
        .address = c.best.address,
        .source = c.best.source,
        .wait_ms = c.best.spared_ms > now ? c.best.spared_ms - now : 0,
        .others = c.n - 1,
        .reason = reason_of(&c) };
    ensure(fed_split_address(out.address, &out.host, &out.port));
    return out;
}

/* --- views ---------------------------------------------------------------------------------- */

bool fed_listed(const struct fed_directory *d, struct str datacenter, struct str address)
{
    if (fed_addresses_has(&d->lists[FED_LOCAL], address)) return true;
    if (fed_is_primary(d) || !str_eq(datacenter, d->primary)) return false;
    return fed_addresses_has(&d->lists[FED_PRIMARY], address) ||
           fed_addresses_has(&d->lists[FED_FALLBACK], address);
}

uint64_t fed_generation(const struct fed_directory *d)
{
    return d->generation;
}

bool fed_primary_known(const struct fed_directory *d)
{
    return d->lists[FED_PRIMARY].n > 0;
}

const char *fed_source_name(enum fed_source s)
{
    switch (s) {
    case FED_LOCAL:
        return "local";
    case FED_PRIMARY:
        return "primary";
    case FED_FALLBACK:
        return "fallback";
    }
    return "";
}

const struct str *fed_gateways(const struct fed_directory *d, enum fed_source s, size_t *n)
{
    *n = d->lists[s].n;
    return d->lists[s].v;
}

size_t fed_path_count(const struct fed_directory *d)
{
    return d->paths.n;
}

const struct fed_path *fed_path_at(const struct fed_directory *d, size_t i)
{
    return i < d->paths.n ? d->paths.v[i] : NULL;
}
