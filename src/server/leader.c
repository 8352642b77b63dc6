/* SPDX-License-Identifier: Apache-2.0 */
/* What a server does because it leads (leader.md 1-4, 12). Each duty is its own retried machine: a
 * failing one delays no other. Leadership is established when the barrier is behind us. */
#include <stdlib.h>

#include "ca.h"

#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 60000
#define CA_PERIOD_MS (UINT64_C(3600) * 1000)
#define RECONCILE_MEMBERS_MAX 256 /* in one turn */

/* One duty: `run` proposes at most one command through d->raft and returns 1, or finds nothing to
 * do and returns 0, or fails with a negative code. */
struct duty {
    const char *name;
    int (*run)(struct duty *d);
    uint64_t period_ms; /* 0: when something changes alone */
    struct server *server;
    struct timer timer;
    struct watch_set ws; /* what the duty looked at: a change runs it again */
    struct tick tick;
    struct raft_driver_request raft;
    unsigned failures;
    bool busy, again;
    struct error err; /* of `run`; no text: the state can't be read */
    struct ca_progress ca;
    struct arena made; /* by `ca` */
};

enum {
    DUTY_CONFIG_ENTRIES,
    DUTY_AUTOPILOT,
    DUTY_RECONCILE,
    DUTY_REAP,
    DUTY_CA,
    DUTY_CA_ROOTS,
    DUTY_COUNT
};

struct duties {
    struct raft_driver_request barrier;
    uint64_t barrier_us; /* when it was begun */
    struct timer barrier_retry;
    uint64_t members_at_ms; /* when all members are looked at again */
    uint64_t reconcile_us;  /* when that began; 0: nobody counts, or it is over */
    struct duty duty[DUTY_COUNT];
};

static void run(struct duty *d);

static void retry(struct duty *d, const char *why)
{
    uint64_t wait = (uint64_t)RETRY_MIN_MS << (d->failures < 6 ? d->failures : 6);
    d->failures++;
    log_error(SERVER_LOG, "leader duty failed", "duty", d->name, "error", why);
    timer_start(&d->timer, wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
}

static void finished(struct duty *d)
{
    d->failures = 0;
    if (d->again) {
        d->again = false;
        tick_mark(&d->tick);
    }
    if (d->period_ms) timer_start(&d->timer, d->period_ms);
}

static void proposed(struct raft_driver_request *r)
{
    struct duty *d = r->ctx;
    d->busy = false;
    if (r->code) {
        retry(d, r->err.text);
    } else if (r->result && r->result->kind == RESULT_ERROR) {
        char text[256];
        struct str why = r->result->text;
        size_t n = why.n < sizeof text - 1 ? why.n : sizeof text - 1;
        for (size_t i = 0; i < n; i++)
            text[i] = why.p[i];
        text[n] = '\0';
        retry(d, text);
    } else {
        if (r->result && r->result->kind == RESULT_UINT) d->ca.serial = r->result->number;
        finished(d);
    }
}

/* Proposes the command of a duty's step. */
static int propose(struct duty *d, enum command_type type, const void *body)
{
    d->busy = true;
    d->raft = (struct raft_driver_request){ .done = proposed, .ctx = d };
    server__propose(d->server, &d->raft, type, body);
    return 1;
}

static void run(struct duty *d)
{
    if (!d->server->ready) return;
    if (d->busy) {
        d->again = true;
        return;
    }
    timer_stop(&d->timer);
    watch_set_clear(&d->ws);
    d->err.text[0] = '\0';
    int rc = d->run(d);
    if (rc < 0)
        retry(d, d->err.text[0] ? d->err.text : "the state can't be read");
    else if (rc == 0)
        finished(d);
}

static void timer_fired(struct timer *t)
{
    run(container_of(t, struct duty, timer));
}

static void tick_fired(struct tick *t)
{
    run(container_of(t, struct duty, tick));
}

static void watch_fired(struct watch_set *ws)
{
    struct duty *d = container_of(ws, struct duty, ws);
    if (d->server->ready) tick_mark(&d->tick);
}

/* --- the duties ----------------------------------------------------------------------------- */

static int run_autopilot(struct duty *d)
{
    struct arena a = ARENA_INIT;
    struct autopilot_config *stored = NULL;
    struct store_read *rd = store_read(d->server->store);
    store_autopilot(rd, NULL, &a, &stored);
    bool failed = store_read_failed(rd, NULL);
    arena_free(&a);
    if (failed) return ERR_IO;
    if (stored) return 0;
    struct autopilot_set_config_request req = { 0 };
    server__autopilot_defaults(d->server, &req.config);
    return propose(d, COMMAND_AUTOPILOT, &req);
}

/* Entries of the configuration that nobody has written yet; those that are there stay. */
static int run_config_entries(struct duty *d)
{
    struct server *s = d->server;
    struct str primary = s->opts.primary_datacenter;
    struct arena a = ARENA_INIT;
    int rc = 0;
    if (primary.n && !str_eq(primary, s->opts.datacenter)) return 0;
    struct store_read *rd = store_read(s->store);
    for (size_t i = 0; i < s->opts.config_entries.n && rc == 0; i++) {
        const struct config_entry *wanted =
            &LIST_AT(&s->opts.config_entries, struct config_entry, i);
        struct config_entry_ref ref = config_entry_ref(wanted);
        struct config_entry have = { 0 };
        store_config_entry(rd, NULL, ref.kind, *ref.name, &a, &have);
        if (store_read_failed(rd, NULL)) rc = ERR_IO;
        if (rc || config_entry_is_set(&have)) continue;
        struct config_entry_request req = { .op = STR("upsert-cas"),
            .datacenter = s->opts.datacenter };
        record_copy(&a, &type_config_entry, &req.entry, wanted);
        d->again = true;
        rc = propose(d, COMMAND_CONFIG_ENTRY, &req);
    }
    arena_free(&a);
    return rc;
}

static int change_raft(struct duty *d, const struct raft_wish *wish)
{
    struct arena a = ARENA_INIT;
    log_info(SERVER_LOG,
        wish->op == DRIVER_REMOVE ? "removing a server from raft" : "adding a server to raft", "id",
        str_c(&a, wish->id), "address", str_c(&a, wish->address));
    arena_free(&a);
    d->busy = true;
    d->raft = (struct raft_driver_request){ .done = proposed, .ctx = d };
    raft_driver_change(d->server->raft, &d->raft, wish->op, wish->id, wish->address);
    if (wish->op != DRIVER_REMOVE) server__autopilot_prune(d->server);
    return 1;
}

/* One member: 1 if something was proposed, 0 if its state is as it should be. */
static int reconcile_member(struct duty *d, struct str name)
{
    struct server *s = d->server;
    uint64_t began = server__measure_from(s);
    struct arena a = ARENA_INIT;
    struct store_read *rd = store_read(s->store);
    struct member_step step;
    enum member_change change = server__member_change(s, rd, &a, name, &step);
    int rc = store_read_failed(rd, NULL) ? ERR_IO : 0;
    if (rc == 0) {
        switch (change) {
        case MEMBER_SETTLED:
            break;
        case MEMBER_RAFT:
            rc = change_raft(d, &step.raft);
            break;
        case MEMBER_REGISTER:
            rc = propose(d, COMMAND_REGISTER, &step.reg);
            break;
        case MEMBER_DEREGISTER:
            rc = propose(d, COMMAND_DEREGISTER, &step.dereg);
            break;
        }
    }
    arena_free(&a);
    server__measure(s, MEASURE_RECONCILE_MEMBER, began);
    return rc;
}

static int reconcile(struct duty *d, struct str name)
{
    struct server *s = d->server;
    int rc = reconcile_member(d, name);
    if (rc == 0) server__member_settled(s);
    if (rc > 0) {
        server__member_tried(s); /* looked at again behind the others */
        d->again = true;
    }
    return rc;
}

static int run_reconcile(struct duty *d)
{
    struct server *s = d->server;
    struct str name;
    uint64_t now = world_now_ms(s->world);
    if (!server__member_due(s, &name) && now >= s->duties->members_at_ms) {
        server__members_due(s);
        s->duties->members_at_ms = now + s->opts.reconcile_interval_ms;
        s->duties->reconcile_us = server__measure_from(s);
    }
    for (int i = 0; i < RECONCILE_MEMBERS_MAX && server__member_due(s, &name); i++) {
        int rc = reconcile(d, name);
        if (rc) return rc;
    }
    d->again = server__member_due(s, &name);
    if (!d->again && s->duties->reconcile_us)
        server__measure(s, MEASURE_RECONCILE, s->duties->reconcile_us);
    if (!d->again) s->duties->reconcile_us = 0;
    return 0;
}

void server__reconcile_soon(struct server *s)
{
    struct duty *d = &s->duties->duty[DUTY_RECONCILE];
    if (s->ready) tick_mark(&d->tick);
}

static int run_reap(struct duty *d)
{
    struct arena a = ARENA_INIT;
    struct str name;
    struct store_read *rd = store_read(d->server->store);
    bool wanted = server__member_forgotten(d->server, rd, &a, &name);
    int rc = store_read_failed(rd, NULL) ? ERR_IO : 0;
    if (rc == 0 && wanted) {
        d->again = true; /* there may be more of them */
        rc = reconcile_member(d, name);
    }
    arena_free(&a);
    return rc;
}

/* What a step of the authority asks for, if anything. */
static int ca_step(
    struct duty *d, int (*step)(struct server *s, struct store_read *rd, struct arena *a,
                        struct ca_progress *p, struct ca_request *req, struct error *err))
{
    if (!d->server->opts.certifier) return 0;
    struct arena a = ARENA_INIT;
    struct ca_request req = { 0 };
    struct store_read *rd = store_read(d->server->store);
    d->busy = true; /* what is waited for may be there before it returns */
    int rc = step(d->server, rd, &a, &d->ca, &req, &d->err);
    if (rc != CA_WAITS) d->busy = false;
    if (rc >= 0 && store_read_failed(rd, &d->err)) rc = ERR_IO;
    if (rc == CA_COMMAND) {
        d->again = true;
        rc = propose(d, COMMAND_CONNECT_CA, &req);
    }
    if (rc == 0 || (rc < 0 && !d->ca.made.p)) { /* what was made is good for another try */
        server__ca_used(&d->ca);
        arena_reset(&d->made);
    }
    arena_free(&a);
    return rc;
}

static void resume_ca(struct ca_progress *p)
{
    struct duty *d = container_of(p, struct duty, ca);
    d->busy = false;
    tick_mark(&d->tick);
}

static int run_ca(struct duty *d)
{
    return ca_step(d, server__ca_step);
}

void server__ca_soon(struct server *s)
{
    struct duty *d = &s->duties->duty[DUTY_CA];
    if (s->ready) tick_mark(&d->tick);
}

static int run_ca_roots(struct duty *d)
{
    return ca_step(d, server__ca_prune);
}

/* --- gain and loss -------------------------------------------------------------------------- */

static void revoke(struct server *s)
{
    struct duties *all = s->duties;
    s->ready = false;
    raft_driver_forget(&all->barrier);
    timer_stop(&all->barrier_retry);
    for (size_t i = 0; i < DUTY_COUNT; i++) {
        struct duty *d = &all->duty[i];
        timer_stop(&d->timer);
        tick_cancel(&d->tick);
        watch_set_clear(&d->ws);
        raft_driver_forget(&d->raft);
        d->busy = d->again = false;
        server__ca_forget(&d->ca);
        arena_free(&d->made);
        d->failures = 0;
    }
    server__replication_stop(s);
    server__ca_forget_primary(s);
    server__federation_stop(s);
    server__tombstones_stop(s);
    server__sessions_stop(s);
    server__autopilot_stop(s);
    server__drop_idle(s);
}

static void start_duties(struct server *s)
{
    s->ready = true;
    server__tombstones_start(s);
    server__sessions_start(s);
    s->duties->members_at_ms = 0;
    for (size_t i = 0; i < DUTY_COUNT; i++)
        run(&s->duties->duty[i]);
    server__federation_start(s);
    server__replication_start(s);
    server__autopilot_start(s);
    server__release_held(s);
}

void server__leader_again(struct server *s)
{
    if (!s->ready) return;
    revoke(s);
    start_duties(s);
}

static void establish(struct server *s)
{
    start_duties(s);
    server__announce_leader(s);
    if (s->opts.leadership) s->opts.leadership(s->opts.ctx, true);
}

static void start_barrier(struct server *s);

static void barrier_done(struct raft_driver_request *r)
{
    struct server *s = r->ctx;
    if (r->code) {
        log_error(SERVER_LOG, "failed to wait for barrier", "error", r->err.text);
        timer_start(&s->duties->barrier_retry, RETRY_MIN_MS);
        return;
    }
    server__measure(s, MEASURE_BARRIER, s->duties->barrier_us);
    establish(s);
}

static void start_barrier(struct server *s)
{
    s->duties->barrier_us = server__measure_from(s);
    s->duties->barrier = (struct raft_driver_request){ .done = barrier_done, .ctx = s };
    raft_driver_barrier(s->raft, &s->duties->barrier);
}

static void retry_barrier(struct timer *t)
{
    struct duties *all = container_of(t, struct duties, barrier_retry);
    start_barrier(all->barrier.ctx);
}

void server__leader_changed(struct server *s, const struct raft_driver_state *state)
{
    bool leader = state->role == DRIVER_LEADER;
    if (leader == s->leader) return;
    s->leader = leader;
    if (leader) {
        log_info(SERVER_LOG, "cluster leadership acquired");
        start_barrier(s);
        server__release_held(s);
        return;
    }
    log_info(SERVER_LOG, "cluster leadership lost");
    bool was_ready = s->ready;
    revoke(s);
    if (was_ready && s->opts.leadership) s->opts.leadership(s->opts.ctx, false);
}

void server__leader_init(struct server *s)
{
    static const struct {
        const char *name;
        int (*run)(struct duty *d);
        bool periodic;
        uint64_t period_ms; /* of its own */
    } rows[DUTY_COUNT] = {
        [DUTY_CONFIG_ENTRIES] = { "configuration entries", run_config_entries, false, 0 },
        [DUTY_AUTOPILOT] = { "autopilot configuration", run_autopilot, false, 0 },
        [DUTY_RECONCILE] = { "member reconciliation", run_reconcile, true, 0 },
        [DUTY_REAP] = { "member reaping", run_reap, true, 0 },
        [DUTY_CA] = { "Connect CA", run_ca, false, CA_PERIOD_MS },
        [DUTY_CA_ROOTS] = { "Connect CA root pruning", run_ca_roots, false, CA_PERIOD_MS },
    };
    struct duties *all = s->duties = xcalloc(1, sizeof *all);
    all->barrier.ctx = s;
    timer_init(&all->barrier_retry, s->world, retry_barrier);
    for (size_t i = 0; i < DUTY_COUNT; i++) {
        struct duty *d = &all->duty[i];
        d->name = rows[i].name;
        d->run = rows[i].run;
        d->period_ms = rows[i].periodic ? s->opts.reconcile_interval_ms : rows[i].period_ms;
        d->server = s;
        d->ca = (struct ca_progress){ .resume = resume_ca, .arena = &d->made };
        timer_init(&d->timer, s->world, timer_fired);
        tick_init(&d->tick, s->world, tick_fired);
        watch_set_init(&d->ws, s->store, watch_fired);
    }
}

void server__leader_deinit(struct server *s)
{
    revoke(s);
    free(s->duties);
}
