/* SPDX-License-Identifier: Apache-2.0 */
/* Members, joining and forced leaves (http-api.md 3.8). */
#include "agent_gossip.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent_routes.h"
#include "consuld/agent/config.h"
#include "consuld/agent/retry_join.h"
#include "consuld/cluster/pool.h"

#define DATACENTERS_MAX 64

void agent_member_of(const struct serf_member *m, struct arena *a, struct agent_member *out)
{
    char ip[GOSSIP_ADDRESS_TEXT_MAX];
    struct error ignored;
    *out = (struct agent_member){ .name = str_dup(a, m->name),
        .addr = str_dup(a, str_of(gossip_ip_text(&m->address, ip))),
        .port = m->address.port,
        .status = (int64_t)m->status,
        .protocol_min = m->vsn[0],
        .protocol_max = m->vsn[1],
        .protocol_cur = m->vsn[2],
        .delegate_min = m->vsn[3],
        .delegate_max = m->vsn[4],
        .delegate_cur = m->vsn[5] };
    struct str meta = str_dup(a, m->meta); /* tags point into it */
    if (serf_tags_decode(meta, a, &out->tags, &ignored) != 0) out->tags = DICT_EMPTY;
    if (!out->tags.v) out->tags = DICT_EMPTY;
}

static void number(struct json_writer *w, const char *key, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    json_key(w, key);
    json_c(w, text);
}

/* What peers sent that could not be taken, by peer and kind; nothing if all was well, as with the
 * original, which does not count it. */
static void faults(struct json_writer *w, const char *key, const struct pool *p)
{
    const struct swim_offender *all;
    size_t n = swim_offenders(serf_swim(pool_serf(p)), &all);
    char text[GOSSIP_ADDRESS_TEXT_MAX + 64];
    if (n == 0) return;
    snprintf(text, sizeof text, "%s_faults", key);
    json_key(w, text);
    json_object(w);
    for (size_t i = 0; i < n; i++) {
        char ip[GOSSIP_ADDRESS_TEXT_MAX];
        gossip_ip_text(&all[i].from, ip);
        for (size_t k = 0; k < SWIM_FAULTS; k++) {
            if (!all[i].faults[k]) continue;
            snprintf(text, sizeof text, "%s %s", ip, swim_fault_name((enum swim_fault)k));
            number(w, text, all[i].faults[k]);
        }
    }
    json_object_end(w);
}

void agent_pool_stats(struct json_writer *w, const char *key, const struct pool *p)
{
    struct serf_stats s;
    serf_get_stats(pool_serf(p), &s);
    json_key(w, key);
    json_object(w);
    number(w, "coordinate_resets", s.coordinate_resets);
    json_key(w, "encrypted");
    json_c(w, s.encrypted ? "true" : "false");
    number(w, "event_queue", s.event_queue);
    number(w, "event_time", s.event_time);
    number(w, "failed", s.failed);
    number(w, "health_score", s.health_score);
    number(w, "intent_queue", s.intent_queue);
    number(w, "left", s.left);
    number(w, "member_time", s.member_time);
    number(w, "members", s.members);
    number(w, "query_queue", s.query_queue);
    number(w, "query_time", s.query_time);
    if (s.self_preservation) {
        json_key(w, "self_preservation");
        json_c(w, serf_preserving(pool_serf(p)) ? "true" : "false");
    }
    json_object_end(w);
    faults(w, key, p);
}

void agent_coordinate(struct json_writer *w, const struct pool *p)
{
    struct position start = position_start();
    const struct position *here = p ? serf_position(pool_serf(p)) : &start;
    json_key(w, "Coord");
    json_object(w);
    json_key(w, "Vec");
    json_array(w);
    for (size_t i = 0; i < COORDINATE_DIMENSIONS; i++)
        json_f64(w, here->vec[i]);
    json_array_end(w);
    json_key(w, "Error");
    json_f64(w, here->error);
    json_key(w, "Adjustment");
    json_f64(w, here->adjustment);
    json_key(w, "Height");
    json_f64(w, here->height);
    json_object_end(w);
}

size_t agent_datacenters(const struct pool *wan)
{
    struct str seen[DATACENTERS_MAX];
    size_t n = 0;
    if (!wan) return 1;
    for (size_t i = 0; i < serf_count(pool_serf(wan)); i++) {
        struct str dc = serf_tag(serf_at(pool_serf(wan), i)->meta, "dc");
        size_t k = 0;
        while (k < n && !str_eq(seen[k], dc))
            k++;
        if (k == n && n < DATACENTERS_MAX) seen[n++] = dc;
    }
    return n ? n : 1;
}

/* --- members -----------------------------------------------------------------------------------
 */

static const struct face_context *context(const struct api_request *req)
{
    return req->ctx;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct agent_member *)a)->name, ((const struct agent_member *)b)->name);
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
        if (ctx->server)
            api_reply_text(
                req, 500, "Network segments are not supported in this version of Consul");
        else
            api_reply_text(req, 500, "segment \"%.*s\" not found", STR_ARG(segment));
        return;
    }
    const struct pool *p = wan ? ctx->wan : ctx->lan;
    if (!p) all = (struct list){ 0 };
    for (size_t i = 0; p && i < serf_count(pool_serf(p)); i++)
        agent_member_of(
            serf_at(pool_serf(p), i), req->arena, LIST_PUSH(req->arena, &all, struct agent_member));
    if (all.n) qsort(all.v, all.n, sizeof(struct agent_member), by_name);
    api_reply_json(req, &type_agent_member_list, &all);
}

/* --- commands ----------------------------------------------------------------------------------
 */

struct work {
    struct api_request *req;
    struct pool_request pool;
    const char *label;
    struct str name;
    bool prune;
};

static struct work *begin(struct api_request *req, void (*done)(struct pool_request *r));

static void aborted(struct api_request *req)
{
    struct work *w = req->state;
    pool_forget(&w->pool);
}

static void reply(struct work *w)
{
    w->req->on_abort = NULL;
    if (w->pool.code)
        api_reply_text(w->req, 500, "%s", w->pool.err.text);
    else
        api_reply_empty(w->req, 200);
}

static struct work *begin(struct api_request *req, void (*done)(struct pool_request *r))
{
    struct work *w = arena_new(req->arena, struct work);
    w->req = req;
    w->pool = (struct pool_request){ .done = done, .ctx = w };
    req->state = w;
    req->on_abort = aborted;
    return w;
}

static void joined(struct pool_request *r)
{
    struct work *w = r->ctx;
    join_log_outcome(r, w->label);
    reply(w);
}

static void join(struct api_request *req)
{
    const struct face_context *ctx = context(req);
    bool wan = api_param_str(req, "wan").n > 0;
    if (wan && ctx->config->connect_mesh_gateway_wan_federation_enabled) {
        api_reply_text(
            req, 500, "WAN join is disabled when wan federation via mesh gateways is enabled");
        return;
    }
    struct pool *p = wan ? ctx->wan : ctx->lan;
    if (!p) {
        api_reply_text(req, 500, wan ? "Must be a server to join WAN cluster" : "no gossip pool");
        return;
    }
    struct work *w = begin(req, joined);
    w->label = wan ? "WAN" : "LAN";
    join_logged(p, &w->pool, w->label, &req->tail, 1);
}

static void wan_removed(struct pool_request *r)
{
    reply(r->ctx);
}

/* Then the WAN, where a server's name has its datacenter behind it. */
static void lan_removed(struct pool_request *r)
{
    struct work *w = r->ctx;
    const struct face_context *ctx = context(w->req);
    if (r->code || !ctx->wan) {
        reply(w);
        return;
    }
    struct str suffix = str_printf(w->req->arena, ".%.*s", STR_ARG(ctx->datacenter));
    struct str name = str_has_suffix(w->name, suffix) ? w->name
                                                      : str_printf(w->req->arena, "%.*s%.*s",
                                                            STR_ARG(w->name), STR_ARG(suffix));
    w->pool = (struct pool_request){ .done = wan_removed, .ctx = w };
    pool_force_leave(ctx->wan, &w->pool, name, w->prune);
}

static void force_leave(struct api_request *req)
{
    const struct face_context *ctx = context(req);
    if (!ctx->lan || !serf_find(pool_serf(ctx->lan), req->tail)) {
        api_reply_text(req, 500, "agent: No node found with name '%.*s'", STR_ARG(req->tail));
        return;
    }
    struct work *w = begin(req, lan_removed);
    w->name = req->tail;
    w->prune = api_has_param(req, "prune");
    log_info("agent", "Force leaving node", "node", str_c(req->arena, req->tail));
    pool_force_leave(ctx->lan, &w->pool, req->tail, w->prune);
}

const struct api_route api_agent_gossip_routes[] = {
    { "/v1/agent/force-leave/", API_PUT, 0, 0, force_leave },
    { "/v1/agent/join/", API_PUT, 0, 0, join },
    { "/v1/agent/members", API_GET, 0, 0, members },
    { 0 },
};
