/* SPDX-License-Identifier: Apache-2.0 */
/* Autopilot while leading (leader.md 8): every two seconds all servers are asked how far their log
 * is; what they answer decides about health, promotion and clean-up. A server alone asks nobody. */
#include "autopilot.h"

#include <stdlib.h>
#include <string.h>

#include "consuld/cluster/pool.h"
#include "consuld/cluster/rpc_pool.h"
#include "server.h"

#define HEALTH_PERIOD_MS 2000
#define HEALTH_DEADLINE_MS 1000
#define PRUNE_PERIOD_MS 10000

/* One server asked for its stats; a slow answer counts for the round in which it comes. */
struct fetch {
    struct autopilot *owner;
    char id[64];
    struct rpc_call call;
    struct arena arena;
    struct error err;
    bool busy;
    struct autopilot_stats stats; /* of this round */
};

struct autopilot {
    struct server *server;
    bool running, pruning, pruned;
    struct timer round, deadline, prune;
    struct tick soon;
    struct fetch fetches[AUTOPILOT_SERVERS_MAX];
    struct autopilot_table table;
    struct raft_driver_request raft;
    bool changing;
    struct pool_request lan, wan;
    const char *refused; /* what was said last */
};

void server__autopilot_defaults(const struct server *s, struct autopilot_config *out)
{
    const struct server_options *o = &s->opts;
    *out = (struct autopilot_config){ .cleanup_dead_servers = !o->autopilot_keep_dead_servers,
        .last_contact_threshold = o->autopilot_last_contact_ns,
        .max_trailing_logs = o->autopilot_max_trailing_logs,
        .min_quorum = o->autopilot_min_quorum,
        .server_stabilization_time = o->autopilot_stabilization_ns };
}

static bool read_config(struct server *s, struct autopilot_config *out)
{
    struct arena a = ARENA_INIT;
    struct autopilot_config *stored = NULL;
    struct store_read *rd = store_read(s->store);
    store_autopilot(rd, NULL, &a, &stored);
    bool found = stored && !store_read_failed(rd, NULL);
    if (found) *out = *stored; /* its texts are not looked at */
    arena_free(&a);
    return found;
}

/* --- changes of the raft configuration ------------------------------------------------------- */

static void changed(struct raft_driver_request *r)
{
    struct autopilot *p = r->ctx;
    p->changing = false;
    if (r->code) {
        log_error(SERVER_LOG ".autopilot", "failed to change the raft configuration", "error",
            r->err.text);
        return;
    }
    tick_mark(&p->soon);
}

static void change(struct autopilot *p, const char *what, const struct raft_wish *wish)
{
    struct arena a = ARENA_INIT;
    if (p->changing) return;
    log_info(SERVER_LOG ".autopilot", what, "id", str_c(&a, wish->id), "address",
        str_c(&a, wish->address));
    arena_free(&a);
    p->changing = true;
    p->raft = (struct raft_driver_request){ .done = changed, .ctx = p };
    raft_driver_change(p->server->raft, &p->raft, wish->op, wish->id, wish->address);
}

static void promote(struct autopilot *p, const struct autopilot_config *config)
{
    const struct autopilot_row *r =
        autopilot_promotion(&p->table, config, world_wall_ns(p->server->world));
    struct raft_wish wish;
    if (!r) return;
    wish = (struct raft_wish){ DRIVER_ADD_VOTER, str_of(r->id), str_of(r->address) };
    change(p, "Promoting server to voter", &wish);
}

/* --- the dead --------------------------------------------------------------------------------- */

static void pushed_out(struct pool_request *r)
{
    struct autopilot *p = r->ctx;
    p->pruning = false;
    if (r->code)
        log_error(SERVER_LOG ".autopilot", "failed to remove a dead server", "error", r->err.text);
    else
        tick_mark(&p->soon);
}

static void ignored(struct pool_request *r)
{
    (void)r;
}

static void push_out(struct autopilot *p, struct str name)
{
    struct server *s = p->server;
    struct arena a = ARENA_INIT;
    log_info(SERVER_LOG ".autopilot", "Attempting removal of failed server node", "name",
        str_c(&a, name));
    p->pruning = true;
    p->lan = (struct pool_request){ .done = pushed_out, .ctx = p };
    pool_force_leave(s->opts.lan, &p->lan, name, false);
    if (s->opts.wan) {
        pool_forget(&p->wan);
        p->wan = (struct pool_request){ .done = ignored, .ctx = p };
        pool_force_leave(s->opts.wan, &p->wan,
            str_printf(&a, "%.*s.%.*s", STR_ARG(name), STR_ARG(s->opts.datacenter)), false);
    }
    arena_free(&a);
}

static void prune(struct autopilot *p)
{
    struct server *s = p->server;
    struct autopilot_config config;
    struct autopilot_dead dead;
    struct arena a = ARENA_INIT;
    struct list servers;
    if (!s->opts.lan || p->pruning || p->changing || !read_config(s, &config)) return;
    struct raft_driver_state state = raft_driver_state(s->raft);
    server__lan_servers(s, &a, &servers);
    bool heard[AUTOPILOT_SERVERS_MAX] = { 0 };
    for (size_t i = 0; i < state.servers_n && i < AUTOPILOT_SERVERS_MAX; i++) {
        struct raft_driver_peer peer;
        heard[i] = str_eq(state.servers[i].id, s->opts.self.id) ||
                   (raft_driver_peer(s->raft, state.servers[i].id, &peer) && peer.contact_known &&
                       peer.last_contact_ms < PRUNE_PERIOD_MS);
    }
    autopilot_find_dead(&dead, &state, &servers, heard, &config);
    if (dead.refused && dead.refused != p->refused)
        log_warn(SERVER_LOG ".autopilot", "Dead servers are kept", "reason", dead.refused);
    p->refused = dead.refused;
    if (dead.force_n)
        push_out(p, dead.force[0]);
    else if (dead.stale_n)
        change(p, "Attempting removal of stale server", &dead.stale[0]);
    arena_free(&a);
}

static void run_soon(struct tick *t)
{
    struct autopilot *p = container_of(t, struct autopilot, soon);
    if (p->running) prune(p);
}

static void run_prune(struct timer *t)
{
    struct autopilot *p = container_of(t, struct autopilot, prune);
    prune(p);
    timer_start(t, PRUNE_PERIOD_MS);
}

void server__autopilot_prune(struct server *s)
{
    if (s->autopilot->running) tick_mark(&s->autopilot->soon);
}

/* --- health ----------------------------------------------------------------------------------- */

static void own_stats(const struct raft_driver_state *state, struct autopilot_stats *out)
{
    *out = (struct autopilot_stats){
        .known = true, .last_term = state->last_log_term, .last_index = state->last_log_index
    };
}

static struct fetch *fetch_of(struct autopilot *p, struct str id)
{
    struct fetch *unused = NULL;
    for (size_t i = 0; i < AUTOPILOT_SERVERS_MAX; i++) {
        struct fetch *f = &p->fetches[i];
        if (str_is(id, f->id)) return f;
        if (!unused && !f->busy && f->id[0] == '\0') unused = f;
    }
    return unused;
}

static void judge(struct autopilot *p)
{
    struct server *s = p->server;
    struct autopilot_config config;
    struct autopilot_stats stats[AUTOPILOT_SERVERS_MAX] = { 0 };
    struct arena a = ARENA_INIT;
    struct list servers;
    bool stored = read_config(s, &config);
    if (!stored) server__autopilot_defaults(s, &config);
    struct raft_driver_state state = raft_driver_state(s->raft);
    server__lan_servers(s, &a, &servers);
    for (size_t i = 0; i < state.servers_n && i < AUTOPILOT_SERVERS_MAX; i++) {
        struct str id = state.servers[i].id;
        if (str_eq(id, s->opts.self.id)) {
            own_stats(&state, &stats[i]);
            continue;
        }
        const struct fetch *f = fetch_of(p, id);
        if (f && str_is(id, f->id)) stats[i] = f->stats;
    }
    autopilot_judge(&p->table, &state, &servers, stats, &config, world_wall_ns(s->world));
    arena_free(&a);
    if (stored) promote(p, &config);
}

static void round_over(struct timer *t)
{
    judge(container_of(t, struct autopilot, deadline));
}

static void fetched(struct rpc_call *call)
{
    struct fetch *f = call->ctx;
    struct autopilot *p = f->owner;
    f->busy = false;
    if (!call->code) {
        const struct autopilot_server_stats *r = call->reply->record;
        f->stats = (struct autopilot_stats){ .known = true,
            .last_contact_ns = autopilot_contact_ns(r->last_contact),
            .last_term = r->last_term,
            .last_index = r->last_index };
    }
    rpc_reply_unref(call->reply);
    arena_reset(&f->arena);
    if (!timer_active(&p->deadline)) return;
    for (size_t i = 0; i < AUTOPILOT_SERVERS_MAX; i++)
        if (p->fetches[i].busy) return;
    timer_stop(&p->deadline);
    judge(p);
}

static void ask(struct autopilot *p, const struct raft_driver_server *to, struct list *servers)
{
    static const struct nothing none;
    struct server *s = p->server;
    const struct lan_server *m = lan_server_by_id(servers, to->id);
    if (!m) m = lan_server_by_address(servers, to->address);
    struct fetch *f = fetch_of(p, to->id);
    if (!m || m->status == SERF_LEFT || !f || f->busy || to->id.n >= sizeof f->id) return;
    memset(f->id, 0, sizeof f->id);
    memcpy(f->id, to->id.p, to->id.n);
    f->owner = p;
    f->stats.known = false;
    f->busy = true;
    f->call = (struct rpc_call){ .method = "Status.RaftStats",
        .args = &none,
        .arena = &f->arena,
        .done = fetched,
        .ctx = f,
        .err = &f->err };
    struct rpc_target target = {
        .name = m->name, .datacenter = s->opts.datacenter, .address = m->ip, .port = m->port
    };
    rpc_pool_submit(s->opts.rpc_pool, &target, &f->call);
}

/* Rows of servers that are not configured any more are free again. */
static void forget_gone(struct autopilot *p, const struct raft_driver_state *state)
{
    for (size_t i = 0; i < AUTOPILOT_SERVERS_MAX; i++) {
        struct fetch *f = &p->fetches[i];
        bool there = f->busy;
        for (size_t k = 0; k < state->servers_n && !there; k++)
            there = str_is(state->servers[k].id, f->id);
        if (!there) f->id[0] = '\0';
    }
}

static bool alone(struct autopilot *p, const struct raft_driver_state *state)
{
    return !p->server->opts.rpc_pool ||
           (state->servers_n == 1 && str_eq(state->servers[0].id, p->server->opts.self.id));
}

static void run_round(struct timer *t)
{
    struct autopilot *p = container_of(t, struct autopilot, round);
    struct server *s = p->server;
    struct raft_driver_state state = raft_driver_state(s->raft);
    if (alone(p, &state)) return; /* until the configuration changes */
    timer_start(t, HEALTH_PERIOD_MS);
    if (!timer_active(&p->prune)) timer_start(&p->prune, PRUNE_PERIOD_MS);
    struct arena a = ARENA_INIT;
    struct list servers;
    server__lan_servers(s, &a, &servers);
    forget_gone(p, &state);
    /* The deadline first: an answer may come at once. */
    timer_start(&p->deadline, HEALTH_DEADLINE_MS);
    for (size_t i = 0; i < state.servers_n && i < AUTOPILOT_SERVERS_MAX; i++)
        if (!str_eq(state.servers[i].id, s->opts.self.id)) ask(p, &state.servers[i], &servers);
    arena_free(&a);
}

const struct autopilot_table *server__autopilot_table(struct server *s)
{
    struct autopilot *p = s->autopilot;
    struct raft_driver_state state = raft_driver_state(s->raft);
    if (alone(p, &state) || p->table.n == 0) judge(p);
    return &p->table;
}

/* --- life ------------------------------------------------------------------------------------- */

void server__autopilot_start(struct server *s)
{
    struct autopilot *p = s->autopilot;
    p->running = true;
    p->table.n = 0;
    p->refused = NULL;
    judge(p);
    run_round(&p->round);
}

void server__autopilot_changed(struct server *s)
{
    struct autopilot *p = s->autopilot;
    if (p->running && !timer_active(&p->round)) run_round(&p->round);
}

void server__autopilot_stop(struct server *s)
{
    struct autopilot *p = s->autopilot;
    p->running = p->pruning = p->changing = false;
    timer_stop(&p->round);
    timer_stop(&p->deadline);
    timer_stop(&p->prune);
    tick_cancel(&p->soon);
    raft_driver_forget(&p->raft);
    pool_forget(&p->lan);
    pool_forget(&p->wan);
    for (size_t i = 0; i < AUTOPILOT_SERVERS_MAX; i++) {
        struct fetch *f = &p->fetches[i];
        if (f->busy) rpc_pool_cancel(s->opts.rpc_pool, &f->call);
        arena_free(&f->arena);
        *f = (struct fetch){ 0 };
    }
    p->table.n = 0;
}

void server__autopilot_init(struct server *s)
{
    struct autopilot *p = s->autopilot = xcalloc(1, sizeof *p);
    p->server = s;
    timer_init(&p->round, s->world, run_round);
    timer_init(&p->deadline, s->world, round_over);
    timer_init(&p->prune, s->world, run_prune);
    tick_init(&p->soon, s->world, run_soon);
}

void server__autopilot_deinit(struct server *s)
{
    server__autopilot_stop(s);
    free(s->autopilot);
}
