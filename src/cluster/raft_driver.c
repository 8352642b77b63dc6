/* SPDX-License-Identifier: Apache-2.0 */
#include "raft_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_wake(struct timer *t)
{
    struct raft_driver *d = container_of(t, struct raft_driver, wake);
    tick_mark(&d->tick);
}

static void on_retry(struct timer *t)
{
    struct raft_driver *d = container_of(t, struct raft_driver, retry);
    tick_mark(&d->tick);
    if (d->refused) timer_start(&d->retry, DRIVER_RETRY_MS);
    d->retry_now = true;
}

static int copy_names(struct raft_driver *d, const struct raft_driver_options *o, struct error *err)
{
    size_t dir_n = o->dir ? strlen(o->dir) : 0;
    if (o->id.n == 0 || o->id.n >= sizeof d->id)
        return error_set(err, ERR_BAD_REQUEST, "raft: a node ID of %zu bytes", o->id.n);
    if (o->address.n == 0 || o->address.n >= sizeof d->address)
        return error_set(err, ERR_BAD_REQUEST, "raft: an address of %zu bytes", o->address.n);
    if (dir_n > DRIVER_PATH_MAX - 128)
        return error_set(err, ERR_BAD_REQUEST, "raft: the path %s is too long", o->dir);
    memcpy(d->id, o->id.p, o->id.n);
    memcpy(d->address, o->address.p, o->address.n);
    if (o->dir) memcpy(d->dir, o->dir, dir_n);
    if (o->dir) snprintf(d->snapshots, sizeof d->snapshots, "%s/snapshots", d->dir);
    return 0;
}

static struct raft *make_core(struct raft_driver *d, uint32_t multiplier)
{
    struct raft_options o = raft_options_default(multiplier ? multiplier : 5);
    o.id = d->id;
    o.address = d->address;
    d->silence_ms = o.heartbeat_timeout_ms / 2;
    world_random(d->world, &o.seed, sizeof o.seed);
    return raft_create(&o);
}

int raft_driver_create(
    const struct raft_driver_options *opts, struct raft_driver **out, struct error *err)
{
    struct raft_driver *d = xcalloc(1, sizeof *d);
    *out = NULL;
    snapshot_init();
    d->world = opts->world;
    d->store = opts->store;
    d->disk = opts->disk ? opts->disk : disk_system();
    d->digest = opts->digest;
    d->transport = opts->transport;
    raft_metrics_init(&d->metrics, d->world, opts->metrics);
    d->bootstrap = opts->bootstrap;
    d->snapshot_threshold = opts->snapshot_threshold ? opts->snapshot_threshold : 16384;
    d->snapshot_interval_ms = opts->snapshot_interval_ms ? opts->snapshot_interval_ms : 30000;
    d->trailing_logs = opts->trailing_logs ? opts->trailing_logs : 10240;
    d->wake_ms = RAFT_NEVER;
    driver_requests_init(d);
    link_init(&d->observers);
    tick_init(&d->tick, d->world, driver_turn);
    timer_init(&d->wake, d->world, on_wake);
    timer_init(&d->retry, d->world, on_retry);
    timer_init(&d->snapshot_timer, d->world, driver_snapshot_timer);
    int code = copy_names(d, opts, err);
    struct raft_log_options log = { .world = d->world,
        .dir = opts->dir ? d->dir : NULL,
        .disk = d->disk,
        .generation_entries = d->trailing_logs,
        .flushed = driver_flushed,
        .ctx = d };
    if (!code) code = raft_log_open(&log, &d->log, err);
    if (!code) d->raft = make_core(d, opts->multiplier);
    if (!code) code = driver_open(d, err);
    if (code) {
        raft_driver_destroy(d);
        return code;
    }
    *out = d;
    return 0;
}

static void bootstrap(struct raft_driver *d)
{
    struct raft_configuration c = { 0 };
    struct raft_event ev = { .type = RAFT_BOOTSTRAP, .bootstrap = &c };
    if (!raft_configuration_add(&c, str_of(d->id), str_of(d->address), RAFT_VOTER)) return;
    driver_step(d, &ev);
}

bool raft_driver_pristine(const struct raft_driver *d)
{
    struct raft_state st;
    raft_get_state(d->raft, &st);
    return st.term == 0 && st.last_index == 0 && st.snapshot_index == 0;
}

int raft_driver_bootstrap(
    struct raft_driver *d, const struct raft_driver_server *servers, size_t n, struct error *err)
{
    struct raft_configuration c = { 0 };
    struct raft_event ev = { .type = RAFT_BOOTSTRAP, .bootstrap = &c };
    bool fits = d->started && !d->stopping && raft_driver_pristine(d);
    for (size_t i = 0; fits && i < n; i++)
        fits = raft_configuration_add(&c, servers[i].id, servers[i].address,
            servers[i].suffrage == RAFT_VOTER ? RAFT_VOTER : RAFT_NONVOTER);
    if (!fits || !raft_configuration_valid(&c))
        return error_set(err, ERR_BAD_REQUEST, "bootstrap only works on new clusters");
    driver_step(d, &ev);
    tick_mark(&d->tick);
    return 0;
}

void raft_driver_start(struct raft_driver *d)
{
    struct raft_event ev = { .type = RAFT_TICK };
    ensure(!d->started);
    d->started = true;
    if (raft_driver_pristine(d) && d->bootstrap)
        bootstrap(d);
    else
        driver_step(d, &ev);
    d->changed = true;
    driver_snapshot_arm(d);
    tick_mark(&d->tick);
}

void raft_driver_stop(struct raft_driver *d, void (*stopped)(void *ctx), void *ctx)
{
    ensure(!d->stopping);
    d->stopping = true;
    d->on_stopped = stopped;
    d->stopped_ctx = ctx;
    timer_stop(&d->wake);
    timer_stop(&d->retry);
    timer_stop(&d->snapshot_timer);
    driver_fail_all(d, true, ERR_INTERNAL, RAFT_ERR_SHUTDOWN);
    tick_mark(&d->tick);
}

void raft_driver_destroy(struct raft_driver *d)
{
    if (!d) return;
    ensure(!d->started || d->stopped);
    timer_stop(&d->wake);
    timer_stop(&d->retry);
    timer_stop(&d->snapshot_timer);
    tick_cancel(&d->tick);
    driver_requests_deinit(d);
    raft_destroy(d->raft);
    raft_log_close(d->log);
    arena_free(&d->arena);
    arena_free(&d->snapshot.arena);
    arena_free(&d->archive.arena);
    buf_deinit(&d->archive.out);
    arena_free(&d->install.arena);
    shared_body_unref(d->install.state);
    free(d->writes);
    free(d->servers);
    free(d);
}

/* --- views ---------------------------------------------------------------------------------- */

const char *raft_driver_role_name(enum raft_driver_role role)
{
    static const char *const names[] = {
        [DRIVER_FOLLOWER] = "Follower",
        [DRIVER_CANDIDATE] = "Candidate",
        [DRIVER_LEADER] = "Leader",
    };
    return names[role];
}

/* An elected server goes on as a candidate until it has applied what came before it. */
static enum raft_driver_role role_of(const struct raft_driver *d, enum raft_role role)
{
    switch (role) {
    case RAFT_FOLLOWER:
        return DRIVER_FOLLOWER;
    case RAFT_CANDIDATE:
        return DRIVER_CANDIDATE;
    case RAFT_LEADER:
        return driver_leads(d) ? DRIVER_LEADER : DRIVER_CANDIDATE;
    }
    return DRIVER_FOLLOWER;
}

static void view_servers(struct raft_driver *d, const struct raft_configuration *c)
{
    if (!d->servers) d->servers = xcalloc(RAFT_SERVERS_MAX, sizeof *d->servers);
    for (size_t i = 0; i < c->n; i++)
        d->servers[i] = (struct raft_driver_server){ .id = str_of(c->servers[i].id),
            .address = str_of(c->servers[i].address),
            .suffrage = (uint8_t)c->servers[i].suffrage };
}

struct raft_driver_state raft_driver_state(struct raft_driver *d)
{
    struct raft_state st;
    raft_get_state(d->raft, &st);
    view_servers(d, st.latest);
    uint64_t now = world_now_ms(d->world);
    bool leader = driver_leads(d), early = st.role == RAFT_LEADER && !leader;
    uint64_t silent = leader || now < st.last_contact_ms ? 0 : now - st.last_contact_ms;
    return (struct raft_driver_state){
        .role = role_of(d, st.role),
        .term = st.term,
        .leader_id = early ? STR("") : str_of(st.leader_id),
        .leader_address = early ? STR("") : st.leader_address,
        .last_log_index = st.last_index,
        .last_log_term = st.last_term,
        .commit_index = st.commit_index,
        .applied_index = driver_applied(d),
        .last_snapshot_index = st.snapshot_index,
        .last_snapshot_term = st.snapshot_term,
        .configuration_index = st.latest_index,
        .servers = d->servers,
        .servers_n = st.latest->n,
        .configuration_pending = st.latest_index != st.committed_index,
        .transferring = st.transferring,
        .contact_known = leader || st.last_contact_ms != 0,
        .last_contact_ms = silent,
        .leader_silent = st.role == RAFT_FOLLOWER && st.leader_address.n && silent >= d->silence_ms,
        .writes_refused = d->refused || d->broken,
    };
}

bool raft_driver_peer(struct raft_driver *d, struct str id, struct raft_driver_peer *out)
{
    char name[RAFT_ID_MAX];
    struct raft_peer_state p;
    *out = (struct raft_driver_peer){ 0 };
    if (id.n >= sizeof name || id.n == 0) return false;
    memcpy(name, id.p, id.n);
    name[id.n] = '\0';
    if (!raft_get_peer(d->raft, name, &p)) return false;
    uint64_t now = world_now_ms(d->world);
    out->match_index = p.match_index;
    out->contact_known = p.last_contact_ms != 0;
    out->last_contact_ms = now > p.last_contact_ms ? now - p.last_contact_ms : 0;
    out->snapshots = p.snapshots;
    return true;
}

bool raft_driver_is_leader(const struct raft_driver *d)
{
    return driver_leads(d);
}

void raft_driver_observe(struct raft_driver *d, struct raft_driver_observer *o)
{
    link_init(&o->link);
    link_push(&d->observers, &o->link);
    d->changed = true;
    tick_mark(&d->tick);
}

void raft_driver_unobserve(struct raft_driver_observer *o)
{
    link_remove(&o->link);
}

struct raft_driver_counters raft_driver_counters(const struct raft_driver *d)
{
    return d->counters;
}
