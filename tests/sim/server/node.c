/* SPDX-License-Identifier: Apache-2.0 */
/* One server, made of the parts that an agent makes it of, and its ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../world/scratch.h"
#include "consuld/cluster/member.h"
#include "consuld/model.h"
#include "sim.h"

#define PORT 8300
#define PORT_SERF 8301
#define TURNS_MAX 100000
#define JOIN_MS 3000
#define LEAVE_MS 8000

/* --- gossip ----------------------------------------------------------------------------------- */

static struct dict tags_of(const struct sim_node *n, struct arena *a)
{
    struct dict t = { 0 };
    const struct {
        const char *key, *value;
    } fixed[] = { { "acls", "0" }, { "build", "1.8.6:" }, { "dc", "dc1" }, { "ft_fs", "1" },
        { "id", n->id }, { "port", "8300" }, { "raft_vsn", "3" }, { "role", "consul" },
        { "segment", "" }, { "vsn", "2" }, { "vsn_max", "3" }, { "vsn_min", "2" } };
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        dict_set_str(a, &t, str_of(fixed[i].key), str_of(fixed[i].value));
    if (n->number < n->sim->initial_n)
        dict_set_str(a, &t, STR("expect"), str_printf(a, "%d", n->sim->initial_n));
    return t;
}

static int merge(void *ctx, const struct swim_node *nodes, size_t k, struct error *err)
{
    const struct sim_node *n = ctx;
    struct merge_rules own = {
        .name = str_of(n->name), .id = str_of(n->id), .datacenter = STR("dc1"), .segment = STR("")
    };
    return consul_merge_nodes(&own, nodes, k, err);
}

static void pool_open(struct sim_node *n)
{
    struct arena a = ARENA_INIT;
    struct error err;
    struct pool_options o = { .world = &n->world,
        .label = "LAN",
        .bind_ip = n->ip,
        .port = PORT_SERF,
        .disk = &n->disk.disk };
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%.4000s/local.snapshot", n->data);
    o.serf = serf_options_lan();
    o.serf.swim.name = str_of(n->name);
    o.serf.tags = tags_of(n, &a);
    o.serf.merge = merge;
    o.serf.rejoin_after_leave = true;
    o.serf.ctx = n;
    o.snapshot_path = path;
    if (pool_create(&o, &n->lan, &err)) sim_fail(n->sim, "%s: pool: %s", n->name, err.text);
    arena_free(&a);
}

/* As the agent knows the others by what gossip says of their ids. */
static void on_member(
    struct pool_observer *o, enum serf_notice_type type, const struct serf_member *m)
{
    struct sim_node *n = o->ctx;
    struct arena a = ARENA_INIT;
    struct dict tags;
    struct consul_server s;
    char ip[GOSSIP_ADDRESS_TEXT_MAX];
    if (serf_tags_decode(m->meta, &a, &tags, NULL) == 0 && consul_server_read(m->name, &tags, &s)) {
        struct place *p = n->places;
        while (p < n->places + n->places_n && !str_is(s.id, p->id))
            p++;
        bool known = p < n->places + n->places_n;
        bool here = type == SERF_MEMBER_JOINED || type == SERF_MEMBER_UPDATED;
        if (here && !known && n->places_n < sizeof n->places / sizeof n->places[0]) n->places_n++;
        gossip_ip_text(&m->address, ip);
        if (here) {
            snprintf(p->id, sizeof p->id, "%.*s", STR_ARG(s.id));
            snprintf(p->address, sizeof p->address, "%.15s:%d", ip, PORT);
        } else if (known) {
            *p = n->places[--n->places_n];
        }
    }
    arena_free(&a);
}

static bool locate(void *ctx, struct str id, char *out, size_t out_n)
{
    const struct sim_node *n = ctx;
    for (size_t i = 0; i < n->places_n; i++) {
        if (!str_is(id, n->places[i].id)) continue;
        snprintf(out, out_n, "%s", n->places[i].address);
        return true;
    }
    return false;
}

static void on_joined(struct pool_request *r)
{
    ((struct sim_node *)r->ctx)->joining = false;
}

/* As retry_join does, until somebody is there. */
static void join(struct timer *t)
{
    struct sim_node *n = container_of(t, struct sim_node, join_timer);
    struct str texts[NODES_MAX];
    size_t k = 0;
    for (int i = 0; i < n->sim->nodes_n; i++)
        if (i != n->number) texts[k++] = str_of(n->sim->nodes[i].ip);
    if (!n->joining && serf_count(pool_serf(n->lan)) < 2) {
        n->joining = true;
        n->join = (struct pool_request){ .done = on_joined, .ctx = n };
        pool_join(n->lan, &n->join, texts, k);
    }
    timer_start(t, JOIN_MS);
}

/* --- start ------------------------------------------------------------------------------------ */

static void on_raft_stream(void *ctx, struct stream *s)
{
    raft_transport_accept(((struct sim_node *)ctx)->transport, s);
}

static void on_state(struct raft_driver_observer *o, const struct raft_driver_state *st)
{
    struct sim_node *n = o->ctx;
    sim_trace(n->sim, n->number, "%s of term %llu, commit %llu, %zu servers",
        raft_driver_role_name(st->role), (unsigned long long)st->term,
        (unsigned long long)st->commit_index, st->servers_n);
    if (st->role == DRIVER_LEADER) invariant_leader(n->sim, n->number, st);
}

static bool raft_open(struct sim_node *n, struct error *err)
{
    struct sim *s = n->sim;
    char boot[16];
    struct store_report report;
    snprintf(boot, sizeof boot, "boot-%u", n->boot);
    struct store_options so = { .dir = n->data, .map_size = 64u << 20, .boot_id = boot };
    if (store_open(&so, &n->store, &report, err)) return false;
    if (report.reason) sim_trace(s, n->number, "state: %s", report.reason);
    n->transport = raft_transport_create(&(struct raft_transport_options){ .world = &n->world,
        .datacenter = STR("dc1"),
        .domain = STR("consul"),
        .locate = locate,
        .ctx = n });
    struct raft_driver_options ro = { .world = &n->world,
        .store = n->store,
        .dir = n->raft_dir,
        .id = str_of(n->id),
        .address = str_of(n->address),
        .multiplier = 1,
        .snapshot_threshold = 60,
        .snapshot_interval_ms = 4000,
        .trailing_logs = 20,
        .transport = raft_transport_driver(n->transport),
        .disk = &n->disk.disk };
    return raft_driver_create(&ro, &n->raft, err) == 0;
}

static bool server_open(struct sim_node *n, struct error *err)
{
    struct server_options o = { .world = &n->world,
        .store = n->store,
        .raft = n->raft,
        .lan = n->lan,
        .rpc_pool = n->rpc_pool,
        .domain = STR("consul"),
        .datacenter = STR("dc1"),
        .self = { .name = str_of(n->name),
            .id = str_of(n->id),
            .address = str_of(n->ip),
            .port = PORT,
            .version = STR("1.8.6"),
            .raft_version = 3,
            .protocol_min = 1,
            .protocol_max = 5,
            .protocol_current = 2 },
        .raft_address = str_of(n->address),
        .bootstrap_expect = n->number < n->sim->initial_n ? (uint64_t)n->sim->initial_n : 0,
        .autopilot_stabilization_ns = INT64_C(2000000000) };
    if (server_create(&o, &n->server, err)) return false;
    struct rpc_port_options po = { .world = &n->world,
        .rpc = server_rpc(n->server),
        .snapshots = server_snapshots(n->server),
        .ip = n->ip,
        .port = PORT,
        .raft = on_raft_stream,
        .ctx = n };
    return rpc_port_open(&po, &n->port, err) == 0;
}

void node_start(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct error err = { 0 };
    world_init(&n->world, s, n->number);
    n->up = true;
    n->off = n->stopped = n->leaving = n->joining = false;
    n->commit_seen = n->places_n = 0;
    snprintf(n->raft_dir, sizeof n->raft_dir, "%.4000s/raft", n->data);
    snprintf(n->image, sizeof n->image, "%.4000s/life-%u", n->folder, n->life + 1);
    disk_init(n);
    sim_trace(s, n->number, "starts");
    pool_open(n);
    if (s->failed) return;
    n->members = (struct pool_observer){ .member = on_member, .ctx = n };
    pool_observe(n->lan, &n->members);
    n->rpc_pool =
        rpc_pool_create(&(struct rpc_pool_options){ .world = &n->world, .domain = STR("consul") });
    if (!raft_open(n, &err) || !server_open(n, &err)) {
        /* A disk that refuses what the start needs is no fault of ours: it is tried again. */
        if (!n->disk.faults) sim_fail(s, "%s does not start: %s", n->name, err.text);
        sim_trace(s, n->number, "does not start: %s", err.text);
        node_stop(n, CRASH_NONE);
        return;
    }
    n->observer = (struct raft_driver_observer){ .changed = on_state, .ctx = n };
    raft_driver_observe(n->raft, &n->observer);
    raft_transport_attach(n->transport, n->raft);
    raft_driver_start(n->raft);
    if (pool_start(n->lan, &err)) sim_fail(s, "%s: %s", n->name, err.text);
    timer_init(&n->join_timer, &n->world, join);
    timer_start(&n->join_timer, 0);
    n->world.touched = true;
}

/* --- end -------------------------------------------------------------------------------------- */

static void on_stopped(void *ctx)
{
    ((struct sim_node *)ctx)->stopped = true;
}

/* Lets the dying world turn until what was asked to end has ended. */
static void await(struct sim_node *n)
{
    for (int i = 0; i < TURNS_MAX && !n->stopped; i++)
        world_wind_down(&n->world);
    ensure(n->stopped);
    n->stopped = false;
}

/* In the order of an agent. What a dying node still does reaches neither network nor disk. */
static void take_down(struct sim_node *n)
{
    timer_stop(&n->join_timer);
    timer_stop(&n->leave_timer);
    pool_forget(&n->join);
    pool_forget(&n->leave);
    n->stopped = false;
    if (n->port) {
        rpc_port_close(n->port, on_stopped, n);
        await(n);
    }
    if (n->raft) {
        raft_driver_unobserve(&n->observer);
        raft_driver_stop(n->raft, on_stopped, n);
        await(n);
    }
    if (n->transport) {
        raft_transport_close(n->transport, on_stopped, n);
        await(n);
    }
    if (n->server) server_destroy(n->server);
    if (n->raft) {
        struct raft_driver_counters c = raft_driver_counters(n->raft);
        n->sim->counts.snapshots += c.snapshots;
        n->sim->counts.installs += c.installs;
    }
    if (n->raft) raft_driver_destroy(n->raft);
    while (!link_empty(&n->world.jobs))
        world_wind_down(&n->world);
    store_close(n->store);
    n->store = NULL;
    rpc_pool_close(n->rpc_pool, on_stopped, n);
    await(n);
    pool_unobserve(&n->members);
    pool_stop(n->lan, on_stopped, n);
    await(n);
    pool_destroy(n->lan);
    n->port = NULL;
    n->raft = NULL;
    n->transport = NULL;
    n->server = NULL;
    n->rpc_pool = NULL;
    n->lan = NULL;
}

static void move_in(struct sim_node *n)
{
    if (access(n->image, F_OK) != 0) return;
    scratch_remove_tree(n->data);
    snprintf(n->data, sizeof n->data, "%s", n->image);
}

static void on_restart(struct sim *s, struct event *e)
{
    struct sim_node *n = e->p;
    if (!n->up && n->life == e->a && !s->failed) node_start(n);
}

void node_start_later(struct sim_node *n, uint64_t delay_ms)
{
    sim_at(n->sim, delay_ms, NULL, on_restart, n, n->life);
}

static void end_life(struct sim_node *n, bool silent)
{
    struct sim *s = n->sim;
    uint64_t rest = s->calm ? 100 : prng_below(&s->prng, prng_chance(&s->prng, 1, 4) ? 8000 : 1500);
    clients_forget(n->sim, n->number);
    n->world.dying = true;
    streams_cut_off(&n->world, silent);
    take_down(n);
    /* Even a clean stop: a crash may have come in one of its operations. */
    n->off = n->disk.dead && n->disk.crash_in == CRASH_MACHINE;
    n->boot += n->off;
    n->up = false;
    world_deinit(&n->world);
    disk_deinit(n);
    move_in(n);
    node_start_later(n, rest);
}

void node_bury(struct sim_node *n)
{
    sim_trace(n->sim, n->number, "crashed in an operation of its disk");
    n->sim->counts.crashes++;
    end_life(n, n->disk.crash_in == CRASH_MACHINE);
}

void node_stop(struct sim_node *n, enum crash crash)
{
    if (!n->up) return;
    sim_trace(n->sim, n->number,
        crash == CRASH_NONE      ? "stops"
        : crash == CRASH_PROCESS ? "is killed"
                                 : "loses power");
    n->sim->counts.crashes += crash != CRASH_NONE;
    if (crash != CRASH_NONE && !n->disk.dead) {
        image_take(n, crash, n->image);
        n->disk.crash_in = crash;
        n->disk.dead = true;
    }
    end_life(n, crash == CRASH_MACHINE);
}

static void on_left(struct pool_request *r)
{
    struct sim_node *n = r->ctx;
    timer_start(&n->leave_timer, 2000);
}

static void on_gone(struct sim *s, struct event *e)
{
    struct sim_node *n = e->p;
    (void)s;
    if (n->up && n->leaving) node_stop(n, CRASH_NONE);
}

static void on_leave_end(struct timer *t)
{
    struct sim_node *n = container_of(t, struct sim_node, leave_timer);
    sim_at(n->sim, 0, NULL, on_gone, n, 0);
}

void node_leave(struct sim_node *n)
{
    if (!n->up || n->leaving) return;
    n->leaving = true;
    n->sim->counts.leaves++;
    sim_trace(n->sim, n->number, "leaves");
    timer_init(&n->leave_timer, &n->world, on_leave_end);
    timer_start(&n->leave_timer, LEAVE_MS);
    server_leave(n->server);
    n->leave = (struct pool_request){ .done = on_left, .ctx = n };
    pool_leave(n->lan, &n->leave);
}

int sim_leader(const struct sim *s)
{
    for (int i = 0; i < s->nodes_n; i++)
        if (s->nodes[i].up && raft_driver_is_leader(s->nodes[i].raft)) return i;
    return -1;
}
