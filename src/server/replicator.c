/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator.h"

#include <stdio.h>
#include <stdlib.h>

#include "server.h"

#define ROUNDS_BURST 5
#define ROUND_MS 1000 /* per round, once the burst is used up */
#define APPLY_MS 10   /* between two commands, once that many ... */
#define APPLY_BURST 10
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 120000
#define UNREADY_MS 1000

struct replicator {
    struct server *server;
    const struct replication_kind *kind;
    bool running, calling;
    struct timer timer;
    uint64_t round_at_ms; /* virtual start of the next round, as a leaky bucket has it */
    struct rpc_call call;
    struct error err;
    struct arena arena; /* of one round */
    struct rpc_reply *reply;
    uint64_t last_index, remote_index;
    unsigned failures;
    struct list commands;
    size_t applied, deferred; /* of the present pass over the commands */
    bool made_way, makes_way; /* in the last round, in this one; never in two that follow */
    char refusal[ERROR_TEXT_MAX];
    struct raft_driver_request raft;
    struct server_sync_status status;
    char last_error[ERROR_TEXT_MAX];
    uint64_t next_at_ms;
};

static void wait(struct replicator *r, uint64_t ms)
{
    r->next_at_ms = world_now_ms(r->server->world) + ms;
    timer_start(&r->timer, ms);
}

static void end_round(struct replicator *r)
{
    rpc_reply_unref(r->reply);
    r->reply = NULL;
    r->commands = (struct list){ 0 };
    r->applied = r->deferred = 0;
    r->made_way = r->makes_way;
    r->makes_way = false;
    arena_reset(&r->arena);
}

static void failed(struct replicator *r, const char *why)
{
    struct server *s = r->server;
    uint64_t ms = (uint64_t)RETRY_MIN_MS << (r->failures < 7 ? r->failures : 7);
    int64_t now = world_wall_ns(s->world);
    snprintf(r->last_error, sizeof r->last_error, "%s", why);
    r->failures++;
    r->last_index = 0;
    r->status.last_error_ns = now;
    if (!r->status.failing_since_ns) r->status.failing_since_ns = now;
    if (ms > RETRY_MAX_MS) ms = RETRY_MAX_MS;
    log_warn("agent.server.replication", "replication error (will retry if still leader)", "type",
        r->kind->name, "error", why);
    end_round(r);
    wait(r, ms + world_random_below(s->world, ms / 10 + 1));
}

/* --- applying ------------------------------------------------------------------------------- */

static void apply_next(struct replicator *r);

static void proposed(struct raft_driver_request *q)
{
    struct replicator *r = q->ctx;
    struct replicated *all = r->commands.v;
    if (q->code) {
        failed(r, q->err.text);
        return;
    }
    if (q->result && q->result->kind == RESULT_ERROR) {
        /* perhaps another one has to come first */
        snprintf(r->refusal, sizeof r->refusal, "%.*s", STR_ARG(q->result->text));
        all[r->deferred++] = all[r->applied];
    } else {
        r->status.writes++;
    }
    r->applied++;
    if (r->applied < r->commands.n && r->applied >= APPLY_BURST)
        wait(r, APPLY_MS);
    else
        apply_next(r);
}

static void round_fine(struct replicator *r)
{
    struct server *s = r->server;
    uint64_t now = world_now_ms(s->world);
    bool failing = r->status.failing_since_ns != 0;
    r->last_index = r->makes_way ? 0 : r->remote_index; /* what was taken away has to come back */
    r->failures = 0;
    r->status.rounds++;
    r->status.last_success_ns = world_wall_ns(s->world);
    r->status.failing_since_ns = 0;
    if (failing)
        log_info("agent.server.replication", "replication works again", "type", r->kind->name);
    end_round(r);
    if (r->round_at_ms < now) r->round_at_ms = now;
    r->round_at_ms += ROUND_MS;
    uint64_t slack = (uint64_t)ROUNDS_BURST * ROUND_MS;
    wait(r, r->round_at_ms > now + slack ? r->round_at_ms - now - slack : 0);
}

/* No order of the commands helps. */
static bool make_way(struct replicator *r)
{
    struct list way = { 0 }, stuck = r->commands;
    if (!r->kind->make_way || r->made_way || r->makes_way) return false;
    r->kind->make_way(r->server, store_read(r->server->store), &stuck, &r->arena, &way);
    if (way.n == 0) return false;
    for (size_t i = 0; i < stuck.n; i++)
        *LIST_PUSH(&r->arena, &way, struct replicated) = LIST_AT(&stuck, struct replicated, i);
    r->commands = way;
    r->makes_way = true;
    return true;
}

static void apply_next(struct replicator *r)
{
    if (r->applied == r->commands.n && r->deferred > 0) {
        bool stuck = r->deferred == r->commands.n;
        if (stuck && !make_way(r)) {
            failed(r, r->refusal);
            return;
        }
        if (!stuck) r->commands.n = r->deferred;
        r->applied = r->deferred = 0;
    }
    if (r->applied == r->commands.n) {
        round_fine(r);
        return;
    }
    const struct replicated *c = &LIST_AT(&r->commands, struct replicated, r->applied);
    r->raft = (struct raft_driver_request){ .done = proposed, .ctx = r };
    server__propose(r->server, &r->raft, c->type, c->body);
}

/* --- asking --------------------------------------------------------------------------------- */

static void answered(struct rpc_call *call)
{
    struct replicator *r = call->ctx;
    struct server *s = r->server;
    r->calling = false;
    if (r->kind->outcome) r->kind->outcome(s, call->code == 0);
    if (call->code) {
        struct arena a = ARENA_INIT;
        struct str why =
            str_printf(&a, "failed to retrieve %s: %s", r->kind->plural, call->err->text);
        failed(r, why.p);
        arena_free(&a);
        return;
    }
    r->reply = call->reply;
    r->remote_index = call->reply->index;
    if (r->remote_index < r->last_index) r->last_index = 0;
    struct store_read *rd = store_read(s->store);
    int rc = r->kind->diff(s, rd, call->reply->record, r->last_index, &r->arena, &r->commands);
    if (store_read_failed(rd, NULL)) rc = ERR_IO;
    if (rc) {
        failed(r, "the state can't be read");
        return;
    }
    r->applied = 0;
    apply_next(r);
}

static void *field(const struct type *t, void *args, const char *name)
{
    const struct field *f = record_field(t->record, str_of(name));
    return f ? (char *)args + f->offset : NULL;
}

static void ask(struct replicator *r)
{
    struct server *s = r->server;
    const struct method_types *m = method_find(str_of(r->kind->method));
    void *args = r->kind->args ? r->kind->args(s, &r->arena) : NULL;
    if (!args) args = arena_alloc(&r->arena, m->args->size);
    *(struct str *)field(m->args, args, "Datacenter") = s->opts.primary_datacenter;
    *(struct str *)field(m->args, args, "Token") = s->opts.replication_token;
    *(bool *)field(m->args, args, "AllowStale") = !r->kind->from_leader;
    *(uint64_t *)field(m->args, args, "MinQueryIndex") = r->last_index;
    r->call = (struct rpc_call){ .method = r->kind->method,
        .args = args,
        .arena = &r->arena,
        .done = answered,
        .ctx = r,
        .err = &r->err };
    r->calling = true;
    r->next_at_ms = 0;
    rpc_submit(&s->client, &r->call);
}

static void on_timer(struct timer *t)
{
    struct replicator *r = container_of(t, struct replicator, timer);
    if (r->applied < r->commands.n) {
        apply_next(r);
    } else if (r->kind->ready && !r->kind->ready(r->server)) {
        wait(r, UNREADY_MS);
    } else {
        ask(r);
    }
}

/* --- life ----------------------------------------------------------------------------------- */

struct replicator *replicator_create(struct server *s, const struct replication_kind *kind)
{
    struct replicator *r = xcalloc(1, sizeof *r);
    r->server = s;
    r->kind = kind;
    timer_init(&r->timer, s->world, on_timer);
    return r;
}

void replicator_stop(struct replicator *r)
{
    if (!r->running) return;
    r->running = false;
    timer_stop(&r->timer);
    if (r->calling) rpc_cancel(&r->server->client, &r->call);
    r->calling = false;
    raft_driver_forget(&r->raft);
    end_round(r);
    r->applied = 0;
    r->last_index = 0;
    r->failures = 0;
    r->status.failing_since_ns = 0;
}

void replicator_start(struct replicator *r)
{
    if (r->running) return;
    r->running = true;
    wait(r, 0);
}

void replicator_destroy(struct replicator *r)
{
    if (!r) return;
    replicator_stop(r);
    arena_free(&r->arena);
    free(r);
}

void replicator_status(const struct replicator *r, struct server_sync_status *out)
{
    uint64_t now = world_now_ms(r->server->world);
    *out = r->status;
    out->name = r->kind->label;
    out->running = r->running;
    out->last_index = r->last_index;
    out->last_error = r->last_error;
    out->next_try_ms = r->running && r->next_at_ms > now ? r->next_at_ms - now : 0;
}
