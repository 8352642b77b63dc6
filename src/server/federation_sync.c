/* SPDX-License-Identifier: Apache-2.0 */
/* Leader duties of federation states (wanfed.md 10.3, 11, 12): the own gateways go into the
 * primary's state, a secondary replicates what the primary has, the primary drops datacenters that
 * nobody knows any more. What to write is decided in `fed`. */
#include <stdio.h>
#include <stdlib.h>

#include "consuld/cluster/gateways.h"
#include "consuld/cluster/member.h"
#include "consuld/cluster/pool.h"
#include "consuld/fed/sync.h"
#include "replicator.h"
#include "server.h"

#define WRITES_BURST 5
#define WRITE_MS 5000
#define RETRY_MIN_MS 2000
#define RETRY_MAX_MS 256000
#define UNSUPPORTED_MS 1000
#define PRUNE_MS 3600000
#define SENT_MS 60000 /* what the primary took should be back by then */

struct federation_sync {
    struct server *server;
    bool supported; /* once true, always */
    bool busy, again;
    struct watch_set ws;
    struct tick tick;
    struct timer timer, prune;
    uint64_t write_at_ms; /* leaky bucket */
    unsigned failures;
    struct raft_driver_request raft, pruning;
    struct rpc_call call;
    struct error err;
    struct arena arena; /* of the call, and of what was sent last */
    const struct federation_state *sent;
    uint64_t sent_ms;
    struct server_sync_status status;
    char last_error[ERROR_TEXT_MAX];
};

static bool is_secondary(const struct server *s)
{
    return s->opts.primary_datacenter.n && !str_eq(s->opts.primary_datacenter, s->opts.datacenter);
}

/* --- do all servers take part? -------------------------------------------------------------- */

/* Those that are alive, or should be. */
static void each_server(struct pool *p, struct str datacenter,
    void (*look)(void *ctx, const struct consul_server *c, const struct dict *tags), void *ctx)
{
    const struct serf *serf = pool_serf(p);
    struct arena a = ARENA_INIT;
    for (size_t i = 0; i < serf_count(serf); i++) {
        const struct serf_member *m = serf_at(serf, i);
        struct consul_server c;
        struct dict tags;
        if ((m->status != SERF_ALIVE && m->status != SERF_FAILED) ||
            serf_tags_decode(m->meta, &a, &tags, NULL) != 0 ||
            !consul_server_read(m->name, &tags, &c) || !str_eq(c.datacenter, datacenter))
            continue;
        look(ctx, &c, &tags);
        arena_reset(&a);
    }
    arena_free(&a);
}

struct count {
    size_t servers, able;
    const char *version;
};

static void count_states(void *ctx, const struct consul_server *c, const struct dict *tags)
{
    struct count *n = ctx;
    (void)c;
    n->servers++;
    n->able += str_is(dict_str(tags, STR("ft_fs")), "1");
}

static void count_version(void *ctx, const struct consul_server *c, const struct dict *tags)
{
    struct count *n = ctx;
    (void)tags;
    n->servers++;
    n->able += consul_version_at_least(c->version, n->version);
}

bool server__servers_at_least(struct pool *p, struct str datacenter, const char *version)
{
    struct count n = { .version = version };
    each_server(p, datacenter, count_version, &n);
    return n.servers > 0 && n.able == n.servers;
}

static bool any_stored(struct server *s)
{
    struct arena a = ARENA_INIT;
    struct list states = { 0 };
    store_federation_states(store_read(s->store), NULL, &a, &states);
    bool any = states.n > 0;
    arena_free(&a);
    return any;
}

bool server__federation_supported(struct server *s)
{
    struct federation_sync *f = s->federation;
    struct count primary = { 0 }, own = { 0 };
    struct fed_support all = { .secondary = is_secondary(s) };
    if (f->supported) return true;
    all.states_stored = any_stored(s);
    if (all.secondary && s->opts.wan)
        each_server(s->opts.wan, s->opts.primary_datacenter, count_states, &primary);
    if (s->opts.lan)
        each_server(s->opts.lan, s->opts.datacenter, count_states, &own);
    else
        own.servers = own.able = 1;
    all.primary_servers = primary.servers;
    all.primary_able = primary.able;
    all.own_servers = own.servers;
    all.own_able = own.able;
    return f->supported = fed_supported(&all);
}

/* --- our own record ------------------------------------------------------------------------- */

static void run(struct federation_sync *f);

static void write_failed(struct federation_sync *f, const char *why)
{
    uint64_t ms = (uint64_t)RETRY_MIN_MS << (f->failures < 7 ? f->failures : 7);
    f->failures++;
    f->busy = false;
    f->sent = NULL;
    snprintf(f->last_error, sizeof f->last_error, "%s", why);
    f->status.last_error_ns = world_wall_ns(f->server->world);
    if (!f->status.failing_since_ns) f->status.failing_since_ns = f->status.last_error_ns;
    log_warn(SERVER_LOG, "error performing federation state anti-entropy", "error", why);
    timer_start(&f->timer, ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS);
}

static void write_fine(struct federation_sync *f)
{
    f->busy = false;
    f->failures = 0;
    f->status.writes++;
    f->status.last_success_ns = world_wall_ns(f->server->world);
    f->status.failing_since_ns = 0;
    log_info(SERVER_LOG, "federation state anti-entropy synced");
    timer_start(&f->timer, SENT_MS);
    if (f->again) tick_mark(&f->tick);
}

static void proposed(struct raft_driver_request *r)
{
    struct federation_sync *f = r->ctx;
    f->sent = NULL; /* it is in the state */
    if (r->code)
        write_failed(f, r->err.text);
    else
        write_fine(f);
}

static void answered(struct rpc_call *call)
{
    struct federation_sync *f = call->ctx;
    rpc_reply_unref(call->reply);
    if (call->code)
        write_failed(f, call->err->text);
    else
        write_fine(f);
}

static void send(struct federation_sync *f, const struct federation_state *want)
{
    struct server *s = f->server;
    f->busy = true;
    if (!is_secondary(s)) {
        struct federation_state_request req = { .op = STR("upsert"),
            .state = (struct federation_state *)(uintptr_t)want };
        f->raft = (struct raft_driver_request){ .done = proposed, .ctx = f };
        server__propose(s, &f->raft, COMMAND_FEDERATION_STATE, &req);
        return;
    }
    arena_reset(&f->arena);
    struct federation_state *copy = arena_new(&f->arena, struct federation_state);
    record_copy(&f->arena, &type_federation_state, copy, want);
    f->sent = copy;
    f->sent_ms = world_now_ms(s->world);
    struct federation_state_request *req = arena_new(&f->arena, struct federation_state_request);
    req->datacenter = s->opts.primary_datacenter;
    req->op = STR("upsert");
    req->state = copy;
    req->token = s->opts.replication_token;
    f->call = (struct rpc_call){ .method = "FederationState.Apply",
        .args = req,
        .arena = &f->arena,
        .done = answered,
        .ctx = f,
        .err = &f->err };
    rpc_submit(&s->client, &f->call);
}

/* It was sent already and is on its way back by replication. */
static bool sent_lately(const struct federation_sync *f, const struct federation_state *want)
{
    return f->sent && world_now_ms(f->server->world) < f->sent_ms + SENT_MS &&
           record_equal(
               &type_check_service_node_list, &f->sent->mesh_gateways, &want->mesh_gateways);
}

/* True: a write may begin; else the timer is set to when it may. */
static bool take_turn(struct federation_sync *f)
{
    uint64_t now = world_now_ms(f->server->world), slack = (uint64_t)(WRITES_BURST - 1) * WRITE_MS;
    if (f->write_at_ms > now + slack) {
        timer_start(&f->timer, f->write_at_ms - now - slack);
        return false;
    }
    if (f->write_at_ms < now) f->write_at_ms = now;
    f->write_at_ms += WRITE_MS;
    return true;
}

static void run(struct federation_sync *f)
{
    struct server *s = f->server;
    struct arena a = ARENA_INIT;
    struct federation_state *stored = NULL, want;
    struct list gateways = { 0 };
    struct str kind = STR("mesh-gateway");
    if (!s->ready) return;
    f->again = f->busy;
    if (f->busy) return;
    timer_stop(&f->timer);
    if (!server__federation_supported(s)) {
        timer_start(&f->timer, UNSUPPORTED_MS);
        return;
    }
    watch_set_clear(&f->ws);
    struct store_read *rd = store_read(s->store);
    store_federation_state(rd, &f->ws, s->opts.datacenter, &a, &stored);
    store_service_dump(rd, &f->ws, &kind, &a, &gateways);
    bool wanted = fed_own_state(s->opts.datacenter, stored, &gateways, &want);
    if (store_read_failed(rd, NULL)) {
        write_failed(f, "the state can't be read");
    } else if (wanted && !sent_lately(f, &want) && take_turn(f)) {
        want.updated_at = gotime_from_unix_ns(world_wall_ns(s->world));
        send(f, &want);
    }
    arena_free(&a);
}

static void tick_fired(struct tick *t)
{
    run(container_of(t, struct federation_sync, tick));
}

static void timer_fired(struct timer *t)
{
    run(container_of(t, struct federation_sync, timer));
}

static void watch_fired(struct watch_set *ws)
{
    tick_mark(&container_of(ws, struct federation_sync, ws)->tick);
}

/* --- what the primary has ------------------------------------------------------------------- */

static struct federation_state_request *request_of(
    struct server *s, struct arena *a, const char *op, const struct federation_state *state)
{
    struct federation_state_request *req = arena_new(a, struct federation_state_request);
    req->datacenter = s->opts.datacenter;
    req->op = str_of(op);
    req->state = arena_copy(a, state, sizeof *state);
    return req;
}

static int diff(struct server *s, struct store_read *rd, const void *reply, uint64_t last_index,
    struct arena *a, struct list *out)
{
    const struct indexed_federation_states *remote = reply;
    struct list local = { 0 };
    struct fed_changes c;
    store_federation_states(rd, NULL, a, &local);
    fed_changes(&local, &remote->states, last_index, a, &c);
    for (size_t i = 0; i < c.deletes.n; i++)
        *LIST_PUSH(a, out, struct replicated) = (struct replicated){ COMMAND_FEDERATION_STATE,
            request_of(s, a, "delete", &LIST_AT(&c.deletes, struct federation_state, i)) };
    for (size_t i = 0; i < c.upserts.n; i++)
        *LIST_PUSH(a, out, struct replicated) = (struct replicated){ COMMAND_FEDERATION_STATE,
            request_of(s, a, "upsert", &LIST_AT(&c.upserts, struct federation_state, i)) };
    return 0;
}

static void outcome(struct server *s, bool fine)
{
    if (s->opts.gateways) gateways_replicated(s->opts.gateways, fine);
}

const struct replication_kind server__federation_kind = { .name = "federation state",
    .plural = "federation states",
    .label = "federation_state_replication",
    .method = "FederationState.List",
    .ready = server__federation_supported,
    .diff = diff,
    .outcome = outcome };

/* --- datacenters that are gone -------------------------------------------------------------- */

static bool known(void *ctx, struct str datacenter)
{
    return server__route_known(ctx, datacenter);
}

static void prune(struct timer *t)
{
    struct federation_sync *f = container_of(t, struct federation_sync, prune);
    struct server *s = f->server;
    struct arena a = ARENA_INIT;
    struct list states = { 0 };
    timer_start(t, PRUNE_MS);
    struct store_read *rd = store_read(s->store);
    store_federation_states(rd, NULL, &a, &states);
    const struct federation_state *gone = NULL;
    if (!store_read_failed(rd, NULL)) gone = fed_prunable(&states, known, s);
    if (gone) {
        log_info(SERVER_LOG, "pruning stale federation state", "datacenter",
            str_c(&a, gone->datacenter));
        server__propose_detached(s, COMMAND_FEDERATION_STATE, request_of(s, &a, "delete", gone),
            "failed to prune a federation state");
        timer_start(t, WRITE_MS); /* there may be more of them */
    }
    arena_free(&a);
}

/* --- life ----------------------------------------------------------------------------------- */

void server__federation_init(struct server *s)
{
    struct federation_sync *f = s->federation = xcalloc(1, sizeof *f);
    f->server = s;
    timer_init(&f->timer, s->world, timer_fired);
    timer_init(&f->prune, s->world, prune);
    tick_init(&f->tick, s->world, tick_fired);
    watch_set_init(&f->ws, s->store, watch_fired);
}

void server__federation_start(struct server *s)
{
    struct federation_sync *f = s->federation;
    tick_mark(&f->tick);
    if (!is_secondary(s)) timer_start(&f->prune, PRUNE_MS);
}

void server__federation_stop(struct server *s)
{
    struct federation_sync *f = s->federation;
    bool calling = f->busy && f->sent != NULL;
    timer_stop(&f->timer);
    timer_stop(&f->prune);
    tick_cancel(&f->tick);
    watch_set_clear(&f->ws);
    raft_driver_forget(&f->raft);
    if (calling) rpc_cancel(&s->client, &f->call);
    f->busy = f->again = false;
    f->failures = 0;
    f->sent = NULL;
    if (s->opts.gateways) gateways_leads_not(s->opts.gateways);
}

void server__federation_deinit(struct server *s)
{
    struct federation_sync *f = s->federation;
    server__federation_stop(s);
    arena_free(&f->arena);
    free(f);
}

void server__federation_status(const struct server *s, struct server_sync_status *out)
{
    const struct federation_sync *f = s->federation;
    uint64_t now = world_now_ms(s->world);
    bool due = f->failures && timer_active(&f->timer) && f->timer.due_ms > now;
    *out = f->status;
    out->name = "federation_state";
    out->running = s->ready;
    out->last_error = f->last_error;
    out->next_try_ms = due ? f->timer.due_ms - now : 0;
}
