/* SPDX-License-Identifier: Apache-2.0 */
/* Saving and restoring archives (rpc.md 10, raft.md 6.13). A restore is over when the leader has
 * taken up its duties anew on the state restored. */
#include <stdlib.h>

#include "consuld/cluster/snapshot_remote.h"
#include "server.h"

struct snapshot_work {
    struct server *server;
    struct snapshot_call remote; /* the call as the leader gets it */
    bool forwarded;
    struct snapshot_call *call; /* NULL: cancelled */
    struct raft_driver_request raft;
    struct tick tick; /* ends a call that is refused at once */
    struct link link; /* in server->snapshots */
};

static void drop_forwarded(struct snapshot_work *w)
{
    struct snapshot_client *leader = snapshot_remote_client(w->server->remote_snapshots);
    if (w->forwarded) leader->cancel(leader, &w->remote);
    w->forwarded = false;
}

static void end(struct snapshot_work *w, int code, const struct error *err)
{
    struct snapshot_call *c = w->call;
    if (c && code && err != &c->err) c->err = *err;
    raft_driver_forget(&w->raft);
    tick_cancel(&w->tick);
    link_remove(&w->link);
    drop_forwarded(w);
    free(w);
    if (!c) return;
    c->impl = NULL;
    c->code = code;
    c->done(c);
}

static void refused(struct tick *t)
{
    struct snapshot_work *w = container_of(t, struct snapshot_work, tick);
    end(w, w->call ? w->call->err.code : 0, w->call ? &w->call->err : NULL);
}

static void ask(struct snapshot_work *w, void (*done)(struct raft_driver_request *r))
{
    raft_driver_forget(&w->raft);
    w->raft = (struct raft_driver_request){ .done = done, .ctx = w };
}

/* --- save ----------------------------------------------------------------------------------- */

static void saved(struct raft_driver_request *r)
{
    struct snapshot_work *w = r->ctx;
    struct snapshot_call *c = w->call;
    struct raft_driver_state state = raft_driver_state(w->server->raft);
    if (c && !r->code) {
        c->saved = r->archive;
        r->archive = NULL;
        c->index = r->index;
        c->known_leader = state.leader_address.n > 0;
        c->last_contact_ns = (int64_t)state.last_contact_ms * 1000000;
    }
    shared_body_unref(r->archive);
    end(w, r->code, &r->err);
}

static void save(struct snapshot_work *w)
{
    ask(w, saved);
    raft_driver_save(w->server->raft, &w->raft);
}

static void verified(struct raft_driver_request *r)
{
    struct snapshot_work *w = r->ctx;
    if (r->code)
        end(w, r->code, &r->err);
    else
        save(w);
}

/* --- restore -------------------------------------------------------------------------------- */

static void settled(struct raft_driver_request *r)
{
    struct snapshot_work *w = r->ctx;
    if (!r->code) server__leader_again(w->server);
    end(w, r->code, &r->err);
}

static void restored(struct raft_driver_request *r)
{
    struct snapshot_work *w = r->ctx;
    if (r->code) {
        end(w, r->code, &r->err);
        return;
    }
    log_info(SERVER_LOG, "restored the state from an archive");
    ask(w, settled);
    raft_driver_barrier(w->server->raft, &w->raft);
}

/* --- at the leader --------------------------------------------------------------------------- */

static void leader_answered(struct snapshot_call *remote)
{
    struct snapshot_work *w = remote->ctx;
    struct snapshot_call *c = w->call;
    w->forwarded = false;
    if (c && !remote->code) {
        c->saved = remote->saved;
        c->index = remote->index;
        c->known_leader = remote->known_leader;
        c->last_contact_ns = remote->last_contact_ns;
        remote->saved = NULL;
    }
    shared_body_unref(remote->saved);
    end(w, remote->code, &remote->err);
}

static void forward(struct snapshot_work *w)
{
    struct snapshot_client *leader = snapshot_remote_client(w->server->remote_snapshots);
    struct snapshot_call *c = w->call;
    w->remote = (struct snapshot_call){ .restore = c->restore,
        .allow_stale = c->allow_stale,
        .datacenter = c->datacenter,
        .token = c->token,
        .archive = c->archive,
        .done = leader_answered,
        .ctx = w };
    w->forwarded = true;
    leader->submit(leader, &w->remote);
}

static bool is_foreign(const struct server *s, const struct snapshot_call *c)
{
    return c->datacenter.n && !str_eq(c->datacenter, s->opts.datacenter);
}

static bool target(
    void *ctx, const struct snapshot_call *c, struct arena *a, struct rpc_target *out)
{
    if (is_foreign(ctx, c)) return server__route_target(ctx, c->datacenter, a, out);
    return server__leader_target(ctx, a, out);
}

void server__snapshots_init(struct server *s)
{
    s->remote_snapshots =
        snapshot_remote_create(&(struct snapshot_remote_options){ .world = s->world,
            .target = target,
            .ctx = s,
            .unknown = RPC_ERR_NO_LEADER,
            .tls = s->opts.tls,
            .gateways = s->opts.gateways,
            .domain = s->opts.domain,
            .spool_dir = s->opts.spool_dir });
}

/* --- calls ---------------------------------------------------------------------------------- */

static const char *refusal(const struct server *s, const struct snapshot_call *c)
{
    bool leader = raft_driver_is_leader(s->raft);
    if (is_foreign(s, c)) return server__route_known(s, c->datacenter) ? NULL : RPC_ERR_NO_DC_PATH;
    if (c->restore && c->allow_stale) return "stale not allowed for restore";
    if (c->allow_stale) return NULL;
    if (s->leaving) return RPC_ERR_NO_LEADER;
    return s->ready || !leader ? NULL : RPC_ERR_NOT_READY;
}

void server__snapshot_submit(struct snapshot_client *client, struct snapshot_call *call)
{
    struct server *s = container_of(client, struct server, snapshots_client);
    struct snapshot_work *w = xcalloc(1, sizeof *w);
    const char *why = refusal(s, call);
    call->impl = w;
    call->err.code = 0;
    w->server = s;
    w->call = call;
    tick_init(&w->tick, s->world, refused);
    link_init(&w->link);
    link_push(&s->snapshots, &w->link);
    if (why) {
        error_set(&call->err, ERR_INTERNAL, "%s", why);
        tick_mark(&w->tick);
    } else if (is_foreign(s, call) || (!call->allow_stale && !raft_driver_is_leader(s->raft))) {
        forward(w);
    } else if (call->restore) {
        ask(w, restored);
        raft_driver_restore(s->raft, &w->raft, call->archive);
    } else if (call->allow_stale) {
        save(w);
    } else {
        ask(w, verified);
        raft_driver_verify_leader(s->raft, &w->raft);
    }
}

void server__snapshot_cancel(struct snapshot_client *client, struct snapshot_call *call)
{
    struct snapshot_work *w = call->impl;
    (void)client;
    call->impl = NULL;
    if (!w) return;
    w->call = NULL;
    if (w->forwarded && !call->restore) end(w, 0, NULL);
}

void server__snapshots_end(struct server *s, const char *why)
{
    struct error err;
    error_set(&err, ERR_INTERNAL, "%s", why);
    for (struct link *it; (it = link_pop(&s->snapshots));)
        end(container_of(it, struct snapshot_work, link), ERR_INTERNAL, &err);
    snapshot_remote_destroy(s->remote_snapshots);
    s->remote_snapshots = NULL;
}

struct snapshot_client *server_snapshots(struct server *s)
{
    return &s->snapshots_client;
}
