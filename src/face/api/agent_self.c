/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/agent/self, members, host, metrics, monitor and the agent's own controls
 * (http-api.md 3.8). */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "consuld/agent/config.h"
#include "consuld/cluster.h"
#include "consuld/cluster/rpc_router.h"
#include "consuld/server.h"

#include "agent_form.h"
#include "agent_routes.h"

static const struct face_context *context(const struct api_request *req)
{
    return req->ctx;
}

/* --- members -------------------------------------------------------------------------------------
 */

static void tag(struct arena *a, struct dict *tags, const char *key, struct str value)
{
    dict_set_str(a, tags, str_of(key), value);
}

static struct str decimal(struct arena *a, int64_t v)
{
    return str_printf(a, "%lld", (long long)v);
}

/* This node as gossip would tell of it. */
static void member_of_self(
    const struct face_context *ctx, struct arena *a, bool wan, struct agent_member *out)
{
    const struct agent_config *c = ctx->config;
    *out = (struct agent_member){ .name = c->node_name,
        .addr = wan ? c->advertise_addr_wan : c->advertise_addr_lan,
        .port = wan ? c->serf_port_wan : c->serf_port_lan,
        .status = 1,
        .protocol_min = 1,
        .protocol_max = 5,
        .protocol_cur = 2,
        .delegate_min = 2,
        .delegate_max = 5,
        .delegate_cur = 4 };
    if (wan) {
        out->name = str_printf(a, "%.*s.%.*s", STR_ARG(c->node_name), STR_ARG(c->datacenter));
    }
    struct dict *t = &out->tags;
    tag(a, t, "acls", STR("0"));
    tag(a, t, "build", STR(CONSUL_VERSION ":"));
    tag(a, t, "dc", c->datacenter);
    tag(a, t, "id", ctx->node_id);
    tag(a, t, "segment", STR(""));
    tag(a, t, "vsn", STR("2"));
    tag(a, t, "vsn_max", STR("3"));
    tag(a, t, "vsn_min", STR("2"));
    if (!c->server_mode) {
        tag(a, t, "role", STR("node"));
        return;
    }
    tag(a, t, "role", STR("consul"));
    if (c->bootstrap) tag(a, t, "bootstrap", STR("1"));
    if (c->bootstrap_expect > 0) tag(a, t, "expect", decimal(a, c->bootstrap_expect));
    tag(a, t, "ft_fs", STR("1"));
    tag(a, t, "port", decimal(a, c->server_port));
    tag(a, t, "raft_vsn", decimal(a, c->raft_protocol > 0 ? c->raft_protocol : 3));
    if (!wan) tag(a, t, "wan_join_port", decimal(a, c->serf_port_wan));
}

static void members(struct api_request *req)
{
    const struct face_context *ctx = context(req);
    struct str segment = api_param_str(req, "segment");
    bool wan = api_param_str(req, "wan").n > 0;
    struct list all = LIST_EMPTY;
    if (wan && segment.n && !str_is(segment, "_all")) {
        api_reply_text(req, 400, "Cannot provide a segment with wan=true");
        return;
    }
    if (segment.n && !str_is(segment, "_all")) {
        api_reply_text(req, 500, "Network segments are not supported in this version of Consul");
        return;
    }
    if (!wan || ctx->server)
        member_of_self(ctx, req->arena, wan, LIST_PUSH(req->arena, &all, struct agent_member));
    api_reply_json(req, &type_agent_member_list, &all);
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
    pair(w, "known_datacenters", "1");
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

/* A pool of one: what serf would count. */
static void stats_serf(struct json_writer *w, const char *pool)
{
    static const char *const zeros[] = { "coordinate_resets", "encrypted", "event_queue",
        "event_time", "failed", "health_score", "intent_queue", "left", "member_time", "members",
        "query_queue", "query_time" };
    json_key(w, pool);
    json_object(w);
    for (size_t i = 0; i < sizeof zeros / sizeof zeros[0]; i++) {
        const char *value = "0";
        if (strcmp(zeros[i], "encrypted") == 0) value = "false";
        if (strstr("event_time member_time members query_time", zeros[i])) value = "1";
        pair(w, zeros[i], value);
    }
    json_object_end(w);
}

static void coordinate(struct json_writer *w)
{
    json_key(w, "Coord");
    json_object(w);
    json_key(w, "Vec");
    json_array(w);
    for (int i = 0; i < 8; i++)
        json_f64(w, 0);
    json_array_end(w);
    json_key(w, "Error");
    json_f64(w, 1.5);
    json_key(w, "Adjustment");
    json_f64(w, 0);
    json_key(w, "Height");
    json_f64(w, 1e-5);
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

static void self(struct api_request *req)
{
    const struct face_context *ctx = context(req);
    struct agent_member member;
    member_of_self(ctx, req->arena, false, &member);
    struct json_writer *w = api_json_begin(req);
    json_object(w);
    config_part(ctx, w);
    if (!ctx->disable_coordinates) coordinate(w);
    json_key(w, "Member");
    json_obj(w, &type_agent_member, &member);
    json_key(w, "Stats");
    json_object(w);
    stats_agent(ctx, w);
    if (ctx->raft) {
        stats_server(ctx, req->arena, w);
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
    stats_serf(w, "serf_lan");
    if (ctx->raft) stats_serf(w, "serf_wan");
    json_object_end(w);
    json_key(w, "Meta");
    json_obj(w, &type_map_str, &ctx->node_meta);
    json_object_end(w);
    api_json_end(req, 200);
}

/* --- metrics
 * ------------------------------------------------------------------------------------------ */

static void gauge(struct json_writer *w, const struct face_context *ctx, const char *name, double v)
{
    char full[256];
    snprintf(full, sizeof full, "%.*s.%s", STR_ARG(ctx->config->telemetry.metrics_prefix), name);
    json_object(w);
    pair(w, "Name", full);
    json_key(w, "Value");
    json_f64(w, v);
    json_key(w, "Labels");
    json_object(w);
    json_object_end(w);
    json_object_end(w);
}

static void gauges(const struct face_context *ctx, struct json_writer *w)
{
    struct rusage use;
    json_array(w);
    if (ctx->raft) {
        struct raft_driver_state raft = raft_driver_state(ctx->raft);
        struct server_stats server = server_stats(ctx->server);
        gauge(w, ctx, "raft.applied_index", (double)raft.applied_index);
        gauge(w, ctx, "raft.last_index", (double)raft.last_log_index);
        gauge(w, ctx, "rpc.queries_blocking", (double)server.parked);
    }
    if (getrusage(RUSAGE_SELF, &use) == 0)
        gauge(w, ctx, "runtime.sys_bytes", (double)use.ru_maxrss * 1024);
    if (ctx->server)
        gauge(w, ctx, "session_ttl.active", (double)server_stats(ctx->server).sessions_ttl);
    json_array_end(w);
}

static void counter(
    struct json_writer *w, const struct face_context *ctx, const char *name, uint64_t count)
{
    char full[256];
    snprintf(full, sizeof full, "%.*s.%s", STR_ARG(ctx->config->telemetry.metrics_prefix), name);
    json_object(w);
    pair(w, "Name", full);
    json_key(w, "Count");
    json_u64(w, count);
    json_key(w, "Labels");
    json_object(w);
    json_object_end(w);
    json_object_end(w);
}

static bool wants_prometheus(const struct api_request *req)
{
    struct str accept = api_request_header(req, "Accept");
    if (str_is(api_param_str(req, "format"), "prometheus")) return true;
    if (str_has_prefix(accept, STR("application/openmetrics-text"))) return true;
    return str_has_prefix(accept, STR("text/plain")) && str_find(accept, STR("0.4.0")) >= 0;
}

static void metrics(struct api_request *req)
{
    const struct face_context *ctx = context(req);
    char stamp[64];
    if (wants_prometheus(req)) {
        api_reply_text(req, 415,
            ctx->config->telemetry.prometheus_retention_time > 0
                ? "Prometheus metrics are not part of this build"
                : "Prometheus is not enabled since its retention time is not positive");
        return;
    }
    time_t now = (time_t)(world_wall_ns(ctx->world) / 1000000000);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S +0000 UTC", &tm);
    struct json_writer *w = api_json_begin(req);
    json_object(w);
    pair(w, "Timestamp", stamp);
    json_key(w, "Gauges");
    gauges(ctx, w);
    json_key(w, "Points");
    json_array(w);
    json_array_end(w);
    json_key(w, "Counters");
    json_array(w);
    if (ctx->server) counter(w, ctx, "rpc.request", server_stats(ctx->server).calls);
    if (ctx->server) counter(w, ctx, "rpc.query", server_stats(ctx->server).evaluations);
    json_array_end(w);
    json_key(w, "Samples");
    json_array(w);
    json_array_end(w);
    json_object_end(w);
    api_json_end(req, 200);
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

static void join(struct api_request *req)
{
    api_reply_text(req, 500, "Joining other agents is not part of this build");
}

static void force_leave(struct api_request *req)
{
    const struct agent_config *c = context(req)->config;
    if (str_eq(req->tail, c->node_name)) {
        api_reply_empty(req, 200);
        return;
    }
    api_reply_text(req, 500, "agent: No node found with name '%.*s'", STR_ARG(req->tail));
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
    { "/v1/agent/force-leave/", API_PUT, 0, 0, force_leave },
    { "/v1/agent/join/", API_PUT, 0, 0, join },
    { "/v1/agent/leave", API_PUT, 0, 0, leave },
    { "/v1/agent/members", API_GET, 0, 0, members },
    { "/v1/agent/metrics", API_GET, 0, 0, metrics },
    { "/v1/agent/monitor", API_GET, 0, 0, monitor },
    { "/v1/agent/reload", API_PUT, 0, 0, reload },
    { "/v1/agent/self", API_GET, 0, 0, self },
    { "/v1/agent/token/", API_PUT, 0, 0, token },
    { 0 },
};
