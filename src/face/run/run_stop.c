/* SPDX-License-Identifier: Apache-2.0 */
/* Signals, leaving and the way down: endpoints, local state, server, raft, store (agent.md 8). */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consuld/agent/leaf.h"
#include "run.h"

#include "../watch/watch.h"

#define LEAVE_TIMEOUT_MS 15000
#define WRITES_TIMEOUT_MS 2000

static void all_stopped(void *ctx)
{
    struct run *r = ctx;
    run_federation_destroy(r);
    user_events_destroy(r->events);
    r->events = NULL;
    run_metrics_stop(r);
    log_info("agent", "shutdown complete");
    for (size_t i = 0; i < RUN_SIGNALS; i++) {
        if (r->signals[i]) net_signal_destroy(r->signals[i]);
        r->signals[i] = NULL;
    }
    net_world_stop(r->world);
}

static void calls_stopped(void *ctx)
{
    run_pools_stop(ctx, all_stopped);
}

static void raft_alone(void *ctx)
{
    struct run *r = ctx;
    server_destroy(r->server);
    raft_driver_destroy(r->raft);
    store_close(r->store);
    r->server = NULL;
    r->raft = NULL;
    r->store = NULL;
    run_servers_stop(r, calls_stopped);
}

static void raft_stopped(void *ctx)
{
    run_raft_stop(ctx, raft_alone);
}

static void store_alone(void *ctx)
{
    struct run *r = ctx;
    store_close(r->store);
    r->store = NULL;
    run_pools_stop(r, all_stopped);
}

static void pool_gone(void *ctx)
{
    struct run *r = ctx;
    if (r->raft) {
        raft_driver_stop(r->raft, raft_stopped, r);
    } else {
        run_raft_stop(r, store_alone);
    }
}

static void port_gone(void *ctx)
{
    struct run *r = ctx;
    r->port = NULL;
    r->context.port = NULL;
    if (r->events) {
        user_events_services(r->events, NULL);
        user_events_exec(r->events, NULL);
    }
    remote_exec_destroy(r->remote_exec);
    r->remote_exec = NULL;
    proxies_destroy(r->proxies);
    r->proxies = r->context.proxies = NULL;
    local_destroy(r->local);
    r->local = NULL;
    auto_encrypt_destroy(r->auto_encrypt);
    r->auto_encrypt = NULL;
    leaves_destroy(r->leaves);
    r->leaves = r->context.leaves = NULL;
    cache_destroy(r->cache);
    r->cache = r->context.cache = NULL;
    if (r->raft)
        pool_gone(r); /* the server makes calls to its end */
    else
        run_servers_stop(r, pool_gone);
}

static void api_gone(void *ctx)
{
    struct run *r = ctx;
    log_info("agent", "Endpoints down");
    r->api = NULL;
    if (r->port) {
        rpc_port_close(r->port, port_gone, r);
    } else {
        port_gone(r);
    }
}

void run_shutdown(struct run *r, int exit_code)
{
    if (r->stopping) return;
    r->stopping = true;
    r->exit_code = exit_code;
    if (r->leaving) {
        timer_stop(&r->drain);
        timer_stop(&r->leave_timer);
        run_raft_leave_stop(r);
        pool_forget(&r->leave);
    }
    auto_encrypt_stop(r->auto_encrypt);
    run_joins_stop(r);
    run_rejoin_stop(r);
    watches_destroy(r->watches);
    r->watches = NULL;
    run_memory_stop(r);
    log_info("agent", "Requesting shutdown");
    if (r->config->pid_file.n) {
        struct arena a = ARENA_INIT;
        unlink(str_c(&a, r->config->pid_file));
        arena_free(&a);
    }
    log_info("agent", "Waiting for endpoints to shut down");
    if (r->api) {
        api_destroy(r->api, api_gone, r);
    } else {
        api_gone(r);
    }
}

static void leave_end(struct run *r)
{
    log_info("agent", "Graceful exit completed");
    if (r->leave_req) {
        r->leave_req->on_abort = NULL;
        api_reply_empty(r->leave_req, 200);
        r->leave_req = NULL;
    }
    run_shutdown(r, 0);
}

static void drained(struct timer *t)
{
    struct run *r = container_of(t, struct run, drain);
    if (r->raft)
        run_raft_await_removal(r, leave_end);
    else
        leave_end(r);
}

static void forget_request(struct api_request *req)
{
    struct run *r = req->state;
    r->leave_req = NULL;
}

void run_leave_for(struct run *r, struct api_request *req)
{
    if (r->leaving || r->stopping) {
        api_reply_empty(req, 200);
        return;
    }
    r->leave_req = req;
    req->state = r;
    req->on_abort = forget_request;
    run_leave(r);
}

static void left(struct run *r)
{
    if (!r->server) {
        timer_start(&r->drain, 0);
        return;
    }
    struct buf text = BUF_INIT(64);
    duration_format(r->config->leave_drain_time, &text);
    buf_put_char(&text, '\0');
    server_leave(r->server);
    log_info("agent.server", "Waiting to drain RPC traffic", "drain_time", (const char *)text.p);
    timer_start(&r->drain, (uint64_t)(r->config->leave_drain_time / 1000000));
    buf_deinit(&text);
}

static void leave_too_long(struct timer *t)
{
    struct run *r = container_of(t, struct run, leave_timer);
    log_warn("agent", "Timeout on graceful leave. Exiting");
    run_shutdown(r, 1);
}

static void leave_pools(struct run *r)
{
    run_pools_leave(r, left);
}

static void writes_ended(void *ctx)
{
    struct run *r = ctx;
    timer_stop(&r->drain);
    timer_init(&r->drain, r->world, drained);
    if (r->server)
        run_raft_hand_over(r, leave_pools);
    else
        leave_pools(r);
}

static void writes_late(struct timer *t)
{
    struct run *r = container_of(t, struct run, drain);
    local_retire(r->local, NULL, NULL);
    writes_ended(r);
}

void run_leave(struct run *r)
{
    if (r->leaving || r->stopping) return;
    r->leaving = true;
    timer_init(&r->drain, r->world, writes_late);
    timer_init(&r->leave_timer, r->world, leave_too_long);
    uint64_t drain = r->server ? (uint64_t)(r->config->leave_drain_time / 1000000) : 0;
    timer_start(&r->leave_timer, LEAVE_TIMEOUT_MS + drain);
    if (r->server)
        log_info("agent.server", "server starting leave");
    else
        log_info("agent.client", "client starting leave");
    timer_start(&r->drain, WRITES_TIMEOUT_MS);
    local_retire(r->local, writes_ended, r);
}

void run_signal(void *ctx, int signum)
{
    struct run *r = ctx;
    const char *name = signum == SIGHUP ? "hangup" : signum == SIGINT ? "interrupt" : "terminated";
    if (r->starting && signum == SIGHUP) {
        log_error("agent", "Caught", "signal", name, "error", "cannot reload before agent started");
        return;
    }
    log_info("agent", "Caught", "signal", name);
    if (r->starting) {
        auto_encrypt_stop(r->auto_encrypt);
        log_error("agent", "Error starting agent", "error", "context canceled");
        run_shutdown(r, 1);
        return;
    }
    if (signum == SIGHUP) {
        run_reload(r, NULL);
        return;
    }
    if (r->leaving) {
        log_info("agent", "Caught second signal, Exiting", "signal", name);
        run_shutdown(r, 1);
        return;
    }
    bool leave = signum == SIGINT ? !r->config->skip_leave_on_int : r->config->leave_on_term;
    if (!leave) {
        log_info("agent", "Graceful shutdown disabled. Exiting");
        run_shutdown(r, 1);
        return;
    }
    log_info("agent", "Gracefully shutting down agent...");
    run_leave(r);
}
