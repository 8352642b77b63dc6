/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#define REACHED_MS 20000 /* "lately" */

struct sim sim;

uint64_t sim_random(uint64_t bound)
{
    sim.seed += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = sim.seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % bound;
}

/* --- records -------------------------------------------------------------------------------- */

static void list_gateways(struct arena *a, int dc, struct list *out)
{
    for (size_t i = 0; i < sim.n; i++) {
        const struct sim_gateway *g = &sim.gateways[i];
        if (g->dc != dc || !g->listed) continue;
        struct check_service_node *c = LIST_PUSH(a, out, struct check_service_node);
        struct str host;
        uint16_t port;
        must(fed_split_address(str_of(g->address), &host, &port));
        c->node = arena_new(a, struct node);
        c->service = arena_new(a, struct node_service);
        c->service->kind = STR("mesh-gateway");
        c->service->address = str_dup(a, host);
        c->service->port = port;
        dict_set_str(a, &c->service->meta, STR(FED_META_KEY), STR("1"));
    }
}

static struct federation_state *stored(struct sim_dc *d, struct str name)
{
    for (size_t i = 0; i < d->states.n; i++) {
        struct federation_state *s = &LIST_AT(&d->states, struct federation_state, i);
        if (str_eq(s->datacenter, name)) return s;
    }
    return NULL;
}

static void put(struct sim_dc *d, const struct federation_state *from)
{
    struct federation_state *s = stored(d, from->datacenter);
    if (!s) s = LIST_PUSH(&d->arena, &d->states, struct federation_state);
    record_copy(&d->arena, &type_federation_state, s, from);
    s->modify_index = ++d->index;
    if (!s->primary_modify_index) s->primary_modify_index = s->modify_index;
    d->writes++;
}

static void drop(struct sim_dc *d, struct str name)
{
    struct federation_state *s = stored(d, name);
    if (!s) return;
    *s = LIST_AT(&d->states, struct federation_state, d->states.n - 1);
    d->states.n--;
    d->index++;
    d->writes++;
}

static void publish(int dc)
{
    struct arena a = ARENA_INIT;
    struct list own = { 0 };
    list_gateways(&a, dc, &own);
    for (int i = 0; i < SERVERS; i++)
        if (sim.dcs[dc].servers[i].up)
            (void)fed_states(sim.dcs[dc].servers[i].d, &sim.dcs[dc].states, &own);
    arena_free(&a);
}

/* --- the network ---------------------------------------------------------------------------- */

static struct sim_gateway *at_address(struct str address)
{
    if (str_is(address, "gw.dc1.test:443")) address = str_of(sim.configured);
    for (size_t i = 0; i < sim.n; i++)
        if (str_eq(str_of(sim.gateways[i].address), address)) return &sim.gateways[i];
    return NULL;
}

static struct sim_gateway *at_host(struct str host)
{
    struct arena a = ARENA_INIT;
    struct sim_gateway *g =
        at_address(str_printf(&a, sim.v6 ? "[%.*s]:443" : "%.*s:443", STR_ARG(host)));
    arena_free(&a);
    return g;
}

static bool takes(const struct sim_gateway *g)
{
    return g && g->up && !g->gone && !g->swallows;
}

/* As a gateway of `dc` sees it, which knows what its datacenter has stored. */
static bool leads_on(int dc, int target)
{
    struct federation_state *s = stored(&sim.dcs[dc], str_of(sim.dcs[target].name));
    for (size_t i = 0; s && i < s->mesh_gateways.n; i++) {
        const struct check_service_node *c =
            &LIST_AT(&s->mesh_gateways, struct check_service_node, i);
        if (takes(at_host(c->service->address))) return true;
    }
    return false;
}

static bool own_gateway_works(int dc, int target)
{
    for (size_t i = 0; i < sim.n; i++) {
        const struct sim_gateway *g = &sim.gateways[i];
        if (g->dc == dc && g->listed && takes(g)) return leads_on(dc, target);
    }
    return false;
}

/* `to` < 0: any server there. True if it was reached. */
static bool dial(int dc, int from, int target, int to)
{
    struct sim_server *s = &sim.dcs[dc].servers[from];
    char name[32];
    if (to < 0)
        snprintf(name, sizeof name, "*.%s", sim.dcs[target].name);
    else
        snprintf(name, sizeof name, "s%d.%s", to, sim.dcs[target].name);
    struct fed_peer peer = { .datacenter = str_of(sim.dcs[target].name), .name = str_of(name) };
    struct fed_choice c = fed_choose(s->d, sim.now, &peer);
    if (c.verdict != FED_GATEWAY) return false;
    if (c.wait_ms) {
        s->waits++;
        return false;
    }
    char text[64];
    snprintf(text, sizeof text, "%.*s", STR_ARG(c.address));
    struct sim_gateway *g = at_address(str_of(text));
    s->dials++;
    if (!g) sim.direct++;
    if (c.source != FED_LOCAL && from != sim.dcs[dc].leader && own_gateway_works(dc, target))
        sim.past_local++;
    bool connected = g && g->up && !g->gone && !sim.cut[dc][g->dc];
    bool led = connected && takes(g) && (g->dc == target || leads_on(g->dc, target));
    bool answered = false;
    for (int i = 0; led && i < SERVERS; i++)
        answered |= sim.dcs[target].servers[i].up && (to < 0 || to == i);
    if (answered) {
        fed_path_works(s->d, sim.now, &peer, str_of(text));
        s->reached_ms[target] = sim.now;
        return true;
    }
    s->failures++;
    fed_path_failed(s->d, sim.now, &peer, str_of(text),
        connected ? FED_FAILED_PATH : FED_FAILED_GATEWAY,
        connected ? STR("EOF") : STR("connection refused"));
    return false;
}

/* --- what servers do by themselves ---------------------------------------------------------- */

static void keep_own_record(int dc)
{
    struct sim_dc *d = &sim.dcs[dc], *primary = &sim.dcs[0];
    struct arena a = ARENA_INIT;
    struct list own = { 0 };
    struct federation_state want;
    list_gateways(&a, dc, &own);
    if (fed_own_state(str_of(d->name), stored(d, str_of(d->name)), &own, &want)) {
        want.updated_at = gotime_from_unix_ns((int64_t)sim.now * 1000000);
        if (dc == 0 || dial(dc, d->leader, 0, -1)) put(primary, &want);
    }
    arena_free(&a);
}

static void replicate(int dc)
{
    struct sim_dc *d = &sim.dcs[dc], *primary = &sim.dcs[0];
    struct fed_directory *dir = d->servers[d->leader].d;
    struct arena a = ARENA_INIT;
    struct fed_changes c;
    bool fine = dial(dc, d->leader, 0, -1);
    fed_replicated(dir, fine);
    if (fine) {
        fed_changes(&d->states, &primary->states, d->last_remote, &a, &c);
        for (size_t i = 0; i < c.deletes.n; i++)
            drop(d, str_dup(&a, LIST_AT(&c.deletes, struct federation_state, i).datacenter));
        for (size_t i = 0; i < c.upserts.n; i++)
            put(d, &LIST_AT(&c.upserts, struct federation_state, i));
        d->last_remote = primary->index;
    } else {
        d->last_remote = 0;
    }
    arena_free(&a);
}

static bool is_known(void *ctx, struct str name)
{
    (void)ctx;
    for (int i = 0; i < DCS; i++)
        if (str_eq(str_of(sim.dcs[i].name), name)) return !sim.dcs[i].left;
    return false;
}

static void prune(void)
{
    const struct federation_state *gone = fed_prunable(&sim.dcs[0].states, is_known, NULL);
    if (!gone) return;
    sim.pruned++;
    drop(&sim.dcs[0], gone->datacenter);
}

static void elect(struct sim_dc *d)
{
    if (d->servers[d->leader].up) return;
    for (int i = 0; i < SERVERS; i++) {
        if (!d->servers[i].up) continue;
        d->leader = i;
        d->last_remote = 0;
        return;
    }
}

static void round_of(int dc)
{
    struct sim_dc *d = &sim.dcs[dc];
    elect(d);
    if (d->left || !d->servers[d->leader].up) return;
    keep_own_record(dc);
    if (dc > 0) replicate(dc);
    publish(dc);
    for (int i = 0; i < SERVERS; i++) {
        if (!d->servers[i].up) continue;
        for (int target = 0; target < DCS; target++) {
            if (target == dc || sim.dcs[target].left) continue;
            (void)dial(dc, i, target, (int)sim_random(SERVERS));
        }
    }
}

void sim_run(uint64_t ms)
{
    for (uint64_t end = sim.now + ms; sim.now < end; sim.now += STEP_MS) {
        uint64_t step = sim.now / STEP_MS;
        for (int dc = 0; dc < DCS; dc++)
            if (step % ROUND_STEPS == (uint64_t)dc) round_of(dc);
        if (step % 36000 == 0) prune();
        must(sim.direct == 0);
    }
}

bool sim_until(bool (*holds)(void), uint64_t ms)
{
    for (uint64_t end = sim.now + ms; sim.now < end;) {
        if (holds()) return true;
        sim_run(1000);
    }
    return holds();
}

/* --- what holds ----------------------------------------------------------------------------- */

bool sim_all_reach_all(void)
{
    for (int dc = 0; dc < DCS; dc++) {
        for (int i = 0; i < SERVERS && !sim.dcs[dc].left; i++) {
            const struct sim_server *s = &sim.dcs[dc].servers[i];
            for (int target = 0; target < DCS && s->up; target++) {
                const struct sim_dc *t = &sim.dcs[target];
                bool there = !t->left && (t->servers[0].up || t->servers[1].up || t->servers[2].up);
                if (target != dc && there && s->reached_ms[target] + REACHED_MS < sim.now)
                    return false;
            }
        }
    }
    return true;
}

bool sim_states_equal(void)
{
    for (int dc = 0; dc < DCS; dc++) {
        struct sim_dc *d = &sim.dcs[dc];
        struct arena a = ARENA_INIT;
        struct fed_changes c;
        if (d->left || !d->servers[d->leader].up) continue;
        fed_changes(&d->states, &sim.dcs[0].states, 0, &a, &c);
        bool same = dc == 0 || (c.deletes.n == 0 && c.upserts.n == 0);
        struct list own = { 0 };
        struct federation_state want;
        list_gateways(&a, dc, &own);
        same = same && !fed_own_state(str_of(d->name), stored(d, str_of(d->name)), &own, &want);
        arena_free(&a);
        if (!same) return false;
    }
    return true;
}

bool sim_healed(void)
{
    return sim_states_equal() && sim_all_reach_all();
}

/* --- life ----------------------------------------------------------------------------------- */

struct sim_gateway *sim_add_gateway(int dc)
{
    must(sim.n < ADDRESSES_MAX);
    struct sim_gateway *g = &sim.gateways[sim.n++];
    *g = (struct sim_gateway){ .dc = dc, .up = true, .listed = true };
    snprintf(g->address, sizeof g->address, sim.v6 ? "[fd00:%x::%zx:%zx]:443" : "10.%d.%zu.%zu:443",
        dc + 1, sim.n / 250, sim.n % 250);
    return g;
}

void sim_server_stop(int dc, int i)
{
    struct sim_server *s = &sim.dcs[dc].servers[i];
    s->up = false;
    fed_destroy(s->d);
    s->d = NULL;
}

void sim_server_start(int dc, int i)
{
    struct sim_server *s = &sim.dcs[dc].servers[i];
    struct str configured[] = { STR("gw.dc1.test:443") };
    *s = (struct sim_server){ .up = true };
    s->d = fed_create(
        &(struct fed_options){ .datacenter = str_of(sim.dcs[dc].name), .primary = STR("dc1") });
    if (dc > 0) (void)fed_fallback(s->d, configured, 1);
}

void sim_begin(uint64_t seed)
{
    model_init();
    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.v6 = seed % 2 == 0; /* W10 */
    sim.now = 1000000;
    for (int dc = 0; dc < DCS; dc++) {
        snprintf(sim.dcs[dc].name, sizeof sim.dcs[dc].name, "dc%d", dc + 1);
        for (int i = 0; i < SERVERS; i++)
            sim_server_start(dc, i);
        for (int i = 0; i < GATEWAYS; i++)
            (void)sim_add_gateway(dc);
    }
    snprintf(sim.configured, sizeof sim.configured, "%s", sim.gateways[0].address);
}

void sim_end(void)
{
    for (int dc = 0; dc < DCS; dc++) {
        for (int i = 0; i < SERVERS; i++)
            fed_destroy(sim.dcs[dc].servers[i].d);
        arena_free(&sim.dcs[dc].arena);
    }
}
