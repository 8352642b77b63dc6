/* SPDX-License-Identifier: Apache-2.0 */
/* What /v1/agent/self tells of federation: which gateways are known, which way is taken and why,
 * what failed, and how the primary's records come here. */
#include <stdio.h>

#include "consuld/base/outside.h"
#include "consuld/cluster/gateways.h"
#include "consuld/cluster/packet_roads.h"
#include "consuld/cluster/pool.h"
#include "consuld/server.h"

#include "agent_federation.h"

#define PATHS_SHOWN 32

static void pair(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_c(w, value);
}

static void pair_u64(struct json_writer *w, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    pair(w, key, text);
}

static void pair_time(struct json_writer *w, struct arena *a, const char *key, int64_t ns)
{
    struct buf text = BUF_INIT(64);
    gotime_format(gotime_from_unix_ns(ns), &text);
    pair(w, key, ns ? str_c(a, buf_str(&text)) : "never");
    buf_deinit(&text);
}

static void addresses(const struct fed_directory *d, struct arena *a, struct json_writer *w,
    enum fed_source source, const char *key)
{
    struct buf text = BUF_INIT(65536);
    size_t n;
    const struct str *v = fed_gateways(d, source, &n);
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%s%.*s", i ? " " : "", STR_ARG(v[i]));
    pair(w, key, str_c(a, buf_str(&text)));
    buf_deinit(&text);
}

static void paths(const struct face_context *ctx, const struct fed_directory *d, struct arena *a,
    struct json_writer *w)
{
    uint64_t now = world_now_ms(ctx->world);
    for (size_t i = 0; i < fed_path_count(d) && i < PATHS_SHOWN; i++) {
        const struct fed_path *p = fed_path_at(d, i);
        struct str key = str_printf(
            a, "path %.*s%s%.*s", STR_ARG(p->peer), p->peer.n ? " " : "", STR_ARG(p->address));
        struct str value =
            p->failures
                ? str_printf(a, "failed %u times, last %llu ms ago: %s", p->failures,
                      (unsigned long long)(now - p->failed_ms), p->why)
                : str_printf(a, "works since %llu ms", (unsigned long long)(now - p->worked_ms));
        pair(w, str_c(a, key), str_c(a, value));
    }
}

static void gateways(const struct face_context *ctx, struct arena *a, struct json_writer *w)
{
    const struct fed_directory *d = gateways_directory(ctx->gateways);
    const struct gateways_counters *c = gateways_counters(ctx->gateways);
    struct str primary = ctx->config->primary_datacenter;
    json_key(w, "wan_federation");
    json_object(w);
    addresses(d, a, w, FED_LOCAL, "gateways_local");
    addresses(d, a, w, FED_PRIMARY, "gateways_primary");
    addresses(d, a, w, FED_FALLBACK, "gateways_configured");
    if (!fed_is_primary(d)) {
        struct fed_peer any = { .datacenter = primary,
            .name = str_printf(a, "*.%.*s", STR_ARG(primary)) };
        struct fed_choice choice = fed_choose(d, world_now_ms(ctx->world), &any);
        pair(w, "primary_through",
            choice.verdict == FED_GATEWAY ? fed_source_name(choice.source) : "none");
        pair(w, "primary_gateway", str_c(a, choice.address.n ? choice.address : STR("")));
        pair(w, "primary_gateway_reason", choice.reason ? choice.reason : "");
    }
    pair_u64(w, "dials", c->dials);
    pair_u64(w, "dials_failed", c->failed);
    pair_u64(w, "unreachable", c->unreachable);
    pair_u64(w, "packets_sent", c->packets_sent);
    pair_u64(w, "packets_received", c->packets_received);
    pair_u64(w, "packets_dropped", c->packets_dropped);
    pair_u64(w, "direct", world_trespasses(ctx->world));
    if (ctx->wan && pool_roads(ctx->wan)) {
        struct packet_roads_counters roads = packet_roads_counters(pool_roads(ctx->wan));
        pair_u64(w, "roads", roads.roads);
        pair_u64(w, "roads_stuck", roads.stuck);
        pair_u64(w, "roads_retired", roads.retired);
    }
    paths(ctx, d, a, w);
    json_object_end(w);
}

void agent_federation_stats(const struct face_context *ctx, struct arena *a, struct json_writer *w)
{
    struct server_sync_status s;
    bool secondary = !str_eq(ctx->config->primary_datacenter, ctx->config->datacenter);
    if (!ctx->server || (!ctx->gateways && !secondary)) return;
    if (ctx->gateways) gateways(ctx, a, w);
    for (size_t i = 0; server_sync_status(ctx->server, i, &s); i++) {
        json_key(w, s.name);
        json_object(w);
        pair(w, "running", s.running ? "true" : "false");
        pair_u64(w, "last_index", s.last_index);
        pair_u64(w, "writes", s.writes);
        pair_time(w, a, "last_success", s.last_success_ns);
        pair_time(w, a, "last_error_at", s.last_error_ns);
        pair(w, "last_error", s.last_error);
        pair_time(w, a, "failing_since", s.failing_since_ns);
        pair_u64(w, "next_try_ms", s.next_try_ms);
        json_object_end(w);
    }
}
