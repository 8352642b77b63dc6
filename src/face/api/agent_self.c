/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/agent/self, members, host, monitor and the agent's own controls
 * (http-api.md 3.8). */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "consuld/agent/config.h"
#include "consuld/agent/proxies.h"
#include "consuld/cluster.h"
#include "consuld/cluster/pool.h"
#include "consuld/cluster/rpc_port.h"
#include "consuld/cluster/rpc_router.h"
#include "consuld/server.h"

#include "agent_federation.h"
#include "agent_form.h"
#include "agent_gossip.h"
#include "agent_routes.h"
#include "consuld/agent/user_events.h"

static const struct face_context *context(const struct api_request *req)
{
    return req->ctx;
}

/* --- self
 * ------------------------------------------------------------------------------------------ */

static void pair(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_c(w, value);
}

static void pair_i64(struct json_writer *w, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    pair(w, key, text);
}

static void stats_agent(const struct face_context *ctx, struct json_writer *w)
{
    struct local_counts n = local_count(ctx->local);
    json_key(w, "agent");
    json_object(w);
    pair_i64(w, "check_monitors", (int64_t)n.monitors);
    pair_i64(w, "check_ttls", (int64_t)n.ttl_checks);
    pair_i64(w, "checks", (int64_t)n.checks);
    pair_i64(w, "services", (int64_t)n.services);
    json_object_end(w);
    json_key(w, "build");
    json_object(w);
    pair(w, "prerelease", "");
    pair(w, "revision", "");
    pair(w, "version", CONSUL_VERSION);
    json_object_end(w);
}

static void stats_server(const struct face_context *ctx, struct arena *a, struct json_writer *w)
{
    struct raft_driver_state raft = raft_driver_state(ctx->raft);
    const struct raft_driver_stat *stats;
    json_key(w, "consul");
    json_object(w);
    pair(w, "acl", "disabled");
    pair(w, "bootstrap", ctx->config->bootstrap ? "true" : "false");
    pair_i64(w, "known_datacenters", (int64_t)agent_datacenters(ctx->wan));
    pair(w, "leader", raft_driver_is_leader(ctx->raft) ? "true" : "false");
    pair(w, "leader_addr", str_c(a, raft.leader_address));
    pair(w, "server", "true");
    json_object_end(w);
    json_key(w, "raft");
    json_object(w);
    size_t n = raft_driver_stats(ctx->raft, a, &stats);
    for (size_t i = 0; i < n; i++)
        pair(w, stats[i].key, str_c(a, stats[i].value));
    json_object_end(w);
}

static void stats_runtime(struct json_writer *w)
{
    struct utsname os;
    uname(&os);
    json_key(w, "runtime");
    json_object(w);
    pair(w, "arch", strcmp(os.machine, "x86_64") == 0 ? "amd64" : os.machine);
    pair_i64(w, "cpu_count", sysconf(_SC_NPROCESSORS_ONLN));
    pair(w, "goroutines", "0");
    pair_i64(w, "max_procs", sysconf(_SC_NPROCESSORS_ONLN));
    pair(w, "os", "linux");
    pair(w, "version", "c11");
    json_object_end(w);
}

static void config_part(const struct face_context *ctx, struct json_writer *w)
{
    const struct agent_config *c = ctx->config;
    json_key(w, "Config");
    json_object(w);
    json_key(w, "Datacenter");
    json_str(w, c->datacenter);
    json_key(w, "NodeName");
    json_str(w, c->node_name);
    json_key(w, "NodeID");
    json_str(w, ctx->node_id);
    pair(w, "Revision", "");
    json_key(w, "Server");
    json_bool(w, c->server_mode);
    pair(w, "Version", CONSUL_VERSION);
    json_object_end(w);
    json_key(w, "DebugConfig");
    config_debug_json(ctx->config_at_start, w);
}

static void stats(const struct face_context *ctx, struct arena *a, struct json_writer *w)
{
    json_key(w, "Stats");
    json_object(w);
    stats_agent(ctx, w);
    if (ctx->raft) {
        stats_server(ctx, a, w);
    } else {
        json_key(w, "consul");
        json_object(w);
        pair(w, "acl", "disabled");
        char known[16];
        snprintf(known, sizeof known, "%zu", ctx->router ? rpc_router_servers(ctx->router) : 0);
        pair(w, "known_servers", known);
        pair(w, "server", "false");
        json_object_end(w);
    }
    stats_runtime(w);
    agent_pool_stats(w, "serf_lan", ctx->lan);
    if (ctx->wan) agent_pool_stats(w, "serf_wan", ctx->wan);
    agent_federation_stats(ctx, a, w);
    json_object_end(w);
}

static void self(struct api_request *req)
{
    const struct face_context *ctx = context(req);
    struct agent_member member;
    agent_member_of(serf_self(pool_serf(ctx->lan)), req->arena, &member);
    struct json_writer *w = api_json_begin(req);
    json_object(w);
    config_part(ctx, w);
    if (!ctx->disable_coordinates) agent_coordinate(w, ctx->lan);
    json_key(w, "Member");
    json_obj(w, &type_agent_member, &member);
    stats(ctx, req->arena, w);
    json_key(w, "Meta");
    json_obj(w, &type_map_str, &ctx->node_meta);
    json_object_end(w);
    api_json_end(req, 200);
}

/* --- state ------------------------------------------------------------------------------------ */

static void members(struct api_request *req, struct json_writer *w, const struct pool *p)
{
    json_array(w);
    for (size_t i = 0; p && i < serf_count(pool_serf(p)); i++) {
        struct agent_member member;
        agent_member_of(serf_at(pool_serf(p), i), req->arena, &member);
        json_obj(w, &type_agent_member, &member);
    }
    json_array_end(w);
}

/* What the agent's parts know at this moment, for people. */
static void state(struct api_request *req)
{
    const struct face_context *ctx = context(req);
    if (!ctx->config->enable_debug) {
        api_reply_text(req, 401, "ACL support disabled");
        return;
    }
    struct json_writer *w = api_json_begin(req);
    json_object(w);
    stats(ctx, req->arena, w);
    json_key(w, "LAN");
    members(req, w, ctx->lan);
    json_key(w, "WAN");
    members(req, w, ctx->wan);
    if (!ctx->disable_coordinates) agent_coordinate(w, ctx->lan);
    json_key(w, "Events");
    json_array(w);
    for (size_t i = 0; i < user_events_count(ctx->events); i++)
        json_obj(w, &type_user_event, user_events_at(ctx->events, i));
    json_array_end(w);
    if (ctx->proxies) {
        json_key(w, "Proxies");
        proxies_dump(ctx->proxies, w);
    }
    json_object_end(w);
    api_json_end(req, 200);
}

/* Go's profiles; there are none of this program. */
static void profiles(struct api_request *req)
{
    if (context(req)->config->enable_debug)
        api_reply_text(req, 404, "consuld has no profiles; its state is at /debug/state");
    else
        api_reply_text(req, 401, "ACL support disabled");
}

/* --- monitor
 * ------------------------------------------------------------------------------------------ */

struct monitor {
    struct api_request *req;
    int slot;
};

static void monitor_line(void *ctx, enum log_level level, const char *line, size_t n)
{
    struct monitor *m = ctx;
    (void)level;
    /* a reader that is too slow loses lines, not the agent its memory */
    if (api_stream_write(m->req, (struct str){ line, n }) == 0)
        (void)api_stream_write(m->req, STR("\n"));
}

static void monitor_gone(struct api_request *req)
{
    struct monitor *m = req->state;
    log_tap_remove(m->slot);
}

static void monitor(struct api_request *req)
{
    enum log_level level = LOG_INFO;
    struct str text = api_param_str(req, "loglevel");
    if (text.n && !log_level_parse(str_c(req->arena, text), &level)) {
        api_reply_bad_request(req, "Unknown log level: %.*s", STR_ARG(text));
        return;
    }
    struct monitor *m = arena_new(req->arena, struct monitor);
    m->req = req;
    m->slot = log_tap_add(monitor_line, m, level, api_has_param(req, "logjson"));
    if (m->slot < 0) {
        api_reply_text(req, 500, "Too many monitors: at most %d", LOG_TAPS_MAX);
        return;
    }
    req->state = m;
    req->on_abort = monitor_gone;
    api_stream_begin(req, 200, NULL);
}

/* --- controls
 * ----------------------------------------------------------------------------------------- */

static void reload(struct api_request *req)
{
    context(req)->reload(req);
}
static void leave(struct api_request *req)
{
    context(req)->leave(req);
}

static void token(struct api_request *req)
{
    if (!context(req)->config->acls_enabled) {
        api_reply_text(req, 401, "ACL support disabled");
        return;
    }
    api_reply_text(req, 500, "ACL tokens are not part of this build");
}

const struct api_route api_agent_self_routes[] = {
    { "/debug/pprof/", API_GET, API_BODY_PLAIN, 0, profiles },
    { "/debug/state", API_GET, API_BODY_PLAIN, 0, state },
    { "/v1/agent/leave", API_PUT, 0, 0, leave },
    { "/v1/agent/monitor", API_GET, 0, 0, monitor },
    { "/v1/agent/reload", API_PUT, 0, 0, reload },
    { "/v1/agent/self", API_GET, 0, 0, self },
    { "/v1/agent/token/", API_PUT, 0, 0, token },
    { 0 },
};
