/* SPDX-License-Identifier: Apache-2.0 */
/* Joining at start (agent.md 8): start_join once before the agent runs, retry_join in the
 * background, and what the agent tells the servers of its place in the network. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "run.h"

static uint64_t ms(int64_t ns)
{
    return ns > 0 ? (uint64_t)(ns / 1000000) : 0;
}

/* --- the service manager -----------------------------------------------------------------------
 */

static void notify_ready(void)
{
    static const char text[] = "READY=1";
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path) return;
    memcpy(to.sun_path, path, strlen(path));
    if (path[0] == '@') to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (sendto(fd, text, sizeof text - 1, MSG_NOSIGNAL, (const struct sockaddr *)&to, n) < 0)
        log_debug("agent", "systemd notify failed");
    close(fd);
}

/* --- in the background -------------------------------------------------------------------------
 */

static void lan_joined(void *ctx)
{
    struct run *r = ctx;
    if (r->local) local_sync_full(r->local, 3000);
    notify_ready();
}

static void wan_joined(void *ctx)
{
    (void)ctx;
}

static void exhausted(void *ctx)
{
    run_shutdown(ctx, 1);
}

static void start_wan_retries(struct run *r, struct list addresses)
{
    const struct agent_config *c = r->context.config_at_start;
    struct retry_join_options wan = { .world = r->world,
        .pool = r->wan,
        .label = "WAN",
        .addresses = addresses,
        .interval_ms = ms(c->retry_join_interval_wan),
        .attempts_max = c->retry_join_max_attempts_wan,
        .joined = wan_joined,
        .exhausted = exhausted,
        .ctx = r };
    if (r->wan && addresses.n) r->retry_wan = retry_join_create(&wan);
}

/* Any server of the primary; the address stands for none (wanfed.md 9). */
static void join_primary(struct run *r)
{
    const struct agent_config *c = r->context.config_at_start;
    *LIST_PUSH(&r->arena, &r->wan_texts, struct str) =
        str_printf(&r->arena, "*.%.*s/192.0.2.2", STR_ARG(c->primary_datacenter));
    start_wan_retries(r, r->wan_texts);
}

static void start_retries(struct run *r)
{
    const struct agent_config *c = r->context.config_at_start;
    struct retry_join_options lan = { .world = r->world,
        .pool = r->lan,
        .label = "LAN",
        .addresses = c->retry_join_lan,
        .interval_ms = ms(c->retry_join_interval_lan),
        .attempts_max = c->retry_join_max_attempts_lan,
        .joined = lan_joined,
        .exhausted = exhausted,
        .ctx = r };
    if (lan.addresses.n) r->retry_lan = retry_join_create(&lan);
    if (!r->gateways)
        start_wan_retries(r, c->retry_join_wan);
    else if (!fed_is_primary(gateways_directory(r->gateways)))
        run_gateways_find(r, join_primary);
}

/* --- our coordinate ----------------------------------------------------------------------------
 */

static void schedule_push(struct run *r)
{
    const struct agent_config *c = r->context.config_at_start;
    size_t members = serf_count(pool_serf(r->lan));
    double rate = c->sync_coordinate_rate_target > 0 ? c->sync_coordinate_rate_target : 64;
    uint64_t period = (uint64_t)((double)members * 1000 / rate);
    uint64_t least = ms(c->sync_coordinate_interval_min);
    if (period < least) period = least;
    if (period == 0) period = 15000;
    timer_start(&r->place_timer, period + world_random_below(r->world, period));
}

static void place_pushed(struct rpc_call *call)
{
    struct run *r = call->ctx;
    if (call->code) log_warn("agent", "Coordinate update error", "error", call->err->text);
    rpc_reply_unref(call->reply);
    r->place_busy = false;
    arena_reset(&r->place_arena);
}

static void push_place(struct timer *t)
{
    struct run *r = container_of(t, struct run, place_timer);
    schedule_push(r);
    if (r->place_busy) return;
    struct coordinate_update_request *args =
        arena_new(&r->place_arena, struct coordinate_update_request);
    args->datacenter = r->config->datacenter;
    args->node = r->config->node_name;
    args->token = r->config->acl_agent_token;
    args->coord = arena_new(&r->place_arena, struct vivaldi_coordinate);
    position_to_record(serf_position(pool_serf(r->lan)), &r->place_arena, args->coord);
    r->place_busy = true;
    r->place_call = (struct rpc_call){ .method = "Coordinate.Update",
        .args = args,
        .arena = &r->place_arena,
        .err = &r->place_err,
        .done = place_pushed,
        .ctx = r };
    rpc_submit(r->context.rpc, &r->place_call);
}

/* --- once --------------------------------------------------------------------------------------
 */

static void began(struct run *r)
{
    start_retries(r);
    if (!r->config->disable_coordinates) schedule_push(r);
    run_running(r);
}

static void start_wan(struct run *r);

static void synced(const char *text, const struct pool_request *req)
{
    char count[24];
    snprintf(count, sizeof count, "%zu", req->joined);
    log_info("agent", text, "agent_count", count);
}

static void wan_answered(struct pool_request *req)
{
    struct run *r = req->ctx;
    join_log_outcome(req, "WAN");
    if (req->code) {
        log_error("agent", req->err.text);
        run_shutdown(r, 1);
        return;
    }
    synced("Join -wan completed. Initial agents synced with", req);
    began(r);
}

static void lan_answered(struct pool_request *req)
{
    struct run *r = req->ctx;
    join_log_outcome(req, "LAN");
    if (req->code) {
        log_error("agent", req->err.text);
        run_shutdown(r, 1);
    } else {
        synced("Join completed. Initial agents synced with", req);
        lan_joined(r);
        start_wan(r);
    }
}

static void start_once(struct run *r, struct pool *p, const char *label, const struct list *texts,
    void (*done)(struct pool_request *r))
{
    bool wan = p == r->wan;
    r->join = (struct pool_request){ .done = done, .ctx = r };
    if (!r->config->logging.log_json) printf("==> Joining %scluster...\n", wan ? "-wan " : "");
    fflush(stdout);
    join_logged(p, &r->join, label, texts->v, texts->n);
}

static void start_wan(struct run *r)
{
    const struct list *texts = &r->context.config_at_start->start_join_addrs_wan;
    if (r->wan && texts->n)
        start_once(r, r->wan, "WAN", texts, wan_answered);
    else
        began(r);
}

void run_joins_start(struct run *r)
{
    timer_init(&r->place_timer, r->world, push_place);
    const struct list *texts = &r->context.config_at_start->start_join_addrs_lan;
    if (texts->n)
        start_once(r, r->lan, "LAN", texts, lan_answered);
    else
        start_wan(r);
}

void run_joins_stop(struct run *r)
{
    run_gateways_forget(r);
    retry_join_destroy(r->retry_lan);
    retry_join_destroy(r->retry_wan);
    r->retry_lan = r->retry_wan = NULL;
    pool_forget(&r->join);
    if (r->place_timer.world) timer_stop(&r->place_timer);
    if (r->place_busy) rpc_cancel(r->context.rpc, &r->place_call);
    r->place_busy = false;
    arena_free(&r->place_arena);
}
