/* SPDX-License-Identifier: Apache-2.0 */
/* The gossip pools of an agent: what they are made of, and what their members mean to it
 * (gossip.md 12). */
#include <string.h>

#include "consuld/cluster/member.h"
#include "consuld/cluster/packet_roads.h"
#include "consuld/lang/regex.h"
#include "run.h"

#define NS_PER_MS 1000000

static uint32_t ms(int64_t ns)
{
    return ns > 0 ? (uint32_t)(ns / NS_PER_MS) : 0;
}

static void put(struct arena *a, struct dict *tags, const char *key, struct str value)
{
    dict_set_str(a, tags, str_of(key), value);
}

static struct str decimal(struct arena *a, int64_t v)
{
    return str_printf(a, "%lld", (long long)v);
}

/* gossip.md 12.2 */
static struct dict make_tags(const struct run *r, struct arena *a, bool wan)
{
    const struct agent_config *c = r->config;
    struct dict t = { 0 };
    put(a, &t, "acls", STR("0"));
    put(a, &t, "build", STR(CONSUL_VERSION ":"));
    put(a, &t, "dc", c->datacenter);
    put(a, &t, "id", str_of(r->node_id));
    put(a, &t, "role", c->server_mode ? STR("consul") : STR("node"));
    put(a, &t, "segment", STR(""));
    put(a, &t, "vsn", decimal(a, c->rpc_protocol > 0 ? c->rpc_protocol : 2));
    put(a, &t, "vsn_max", STR("3"));
    put(a, &t, "vsn_min", STR("2"));
    if (!c->server_mode) return t;
    if (c->bootstrap) put(a, &t, "bootstrap", STR("1"));
    if (c->bootstrap_expect > 0) put(a, &t, "expect", decimal(a, c->bootstrap_expect));
    put(a, &t, "ft_fs", STR("1"));
    if (c->non_voting_server) put(a, &t, "nonvoter", STR("1"));
    put(a, &t, "port", decimal(a, c->server_port));
    put(a, &t, "raft_vsn", decimal(a, c->raft_protocol > 0 ? c->raft_protocol : 3));
    if (c->ca_file.n || c->ca_path.n) put(a, &t, "use_tls", STR("1"));
    if (!wan && c->serf_port_wan > 0) put(a, &t, "wan_join_port", decimal(a, c->serf_port_wan));
    return t;
}

/* --- rules ------------------------------------------------------------------------------------ */

static int lan_merge(void *ctx, const struct swim_node *nodes, size_t n, struct error *err)
{
    const struct run *r = ctx;
    struct merge_rules own = { .name = r->config->node_name,
        .id = str_of(r->node_id),
        .datacenter = r->config->datacenter,
        .segment = STR("") };
    return consul_merge_nodes(&own, nodes, n, err);
}

static int wan_merge(void *ctx, const struct swim_node *nodes, size_t n, struct error *err)
{
    (void)ctx;
    return consul_merge_nodes(&(struct merge_rules){ .wan = true }, nodes, n, err);
}

static bool search(void *ctx, struct str expression, struct str text)
{
    (void)ctx;
    return regex_found(expression, text);
}

/* --- making ----------------------------------------------------------------------------------- */

static void networks(struct arena *a, const struct list *texts, struct swim_options *o)
{
    struct gossip_network *all = arena_array(a, texts->n, sizeof *all);
    for (size_t i = 0; i < texts->n; i++)
        if (gossip_network_parse(&all[o->allowed_n], LIST_AT(texts, struct str, i))) o->allowed_n++;
    o->allowed = all;
}

static void address(struct arena *a, struct str text, struct gossip_address *out)
{
    struct config_addr addr;
    if (!config_addr_parse(text, &addr) ||
        !gossip_address_parse(out, str_c(a, addr.host), (uint16_t)addr.port))
        *out = (struct gossip_address){ 0 };
}

static void lan_options(const struct run *r, struct arena *a, struct serf_options *o)
{
    const struct agent_config *c = r->config;
    bool server = c->server_mode;
    *o = serf_options_lan();
    o->swim.name = c->node_name;
    o->swim.gossip_interval_ms = ms(c->gossip_lan_gossip_interval);
    o->swim.gossip_nodes = (uint32_t)c->gossip_lan_gossip_nodes;
    o->swim.probe_interval_ms = ms(c->gossip_lan_probe_interval);
    o->swim.probe_timeout_ms = ms(c->gossip_lan_probe_timeout);
    o->swim.retransmit_mult = (uint32_t)c->gossip_lan_retransmit_mult;
    o->swim.suspicion_mult = (uint32_t)c->gossip_lan_suspicion_mult;
    if (c->reconnect_timeout_lan > 0)
        o->reconnect_timeout_ms = (uint64_t)(c->reconnect_timeout_lan / NS_PER_MS);
    o->resolve_conflicts = !server;
    o->self_preservation = server && c->self_preservation;
    o->merge = lan_merge;
    o->log_name = server ? "agent.server.serf.lan" : "agent.client.serf.lan";
    o->swim.log_name = server ? "agent.server.memberlist.lan" : "agent.client.memberlist.lan";
    networks(a, &c->serf_allowed_cidrs_lan, &o->swim);
    address(a, c->serf_advertise_addr_lan, &o->swim.advertise);
}

/* Over TCP a ping to another datacenter would take the road of the packet. */
static bool wan_tcp_ping(void *ctx, const struct swim_node *node)
{
    const struct run *r = ctx;
    struct str name, datacenter;
    return !packet_road_name(node->name, &name, &datacenter) ||
           str_eq(datacenter, r->config->datacenter);
}

static void wan_options(const struct run *r, struct arena *a, struct serf_options *o)
{
    const struct agent_config *c = r->config;
    *o = serf_options_wan();
    o->swim.name = str_printf(a, "%.*s.%.*s", STR_ARG(c->node_name), STR_ARG(c->datacenter));
    o->swim.gossip_interval_ms = ms(c->gossip_wan_gossip_interval);
    o->swim.gossip_nodes = (uint32_t)c->gossip_wan_gossip_nodes;
    o->swim.probe_interval_ms = ms(c->gossip_wan_probe_interval);
    o->swim.probe_timeout_ms = ms(c->gossip_wan_probe_timeout);
    o->swim.retransmit_mult = (uint32_t)c->gossip_wan_retransmit_mult;
    o->swim.suspicion_mult = (uint32_t)c->gossip_wan_suspicion_mult;
    if (c->reconnect_timeout_wan > 0)
        o->reconnect_timeout_ms = (uint64_t)(c->reconnect_timeout_wan / NS_PER_MS);
    o->merge = wan_merge;
    if (r->gateways) o->tcp_ping = wan_tcp_ping;
    o->log_name = "agent.server.serf.wan";
    o->swim.log_name = "agent.server.memberlist.wan";
    networks(a, &c->serf_allowed_cidrs_wan, &o->swim);
    address(a, c->serf_advertise_addr_wan, &o->swim.advertise);
}

static int create(struct run *r, bool wan, struct pool **out, struct error *err)
{
    const struct agent_config *c = r->config;
    struct arena a = ARENA_INIT;
    struct config_addr bind;
    struct str key = STR("");
    struct error ignored;
    bool kept = c->data_dir.n > 0 && !c->dev_mode;
    const char *dir = str_c(&a, c->data_dir), *name = wan ? "remote" : "local";
    struct pool_options o = { .world = r->world,
        .label = wan ? "WAN" : "LAN",
        .gateways = wan ? r->gateways : NULL,
        /* a lone server is no doubt about the key of its datacenter */
        .keep_ring = wan && !pool_keys_unproven(r->lan),
        .cipher = &cipher_openssl,
        .verify_incoming = c->encrypt_verify_incoming,
        .verify_outgoing = c->encrypt_verify_outgoing };
    if (wan)
        wan_options(r, &a, &o.serf);
    else
        lan_options(r, &a, &o.serf);
    o.serf.tags = make_tags(r, &a, wan);
    o.serf.search = search;
    o.serf.ctx = r;
    o.serf.coordinates = !c->disable_coordinates;
    o.serf.rejoin_after_leave = c->rejoin_after_leave;
    if (!config_addr_parse(wan ? c->serf_bind_addr_wan : c->serf_bind_addr_lan, &bind)) {
        arena_free(&a);
        return error_set(err, ERR_BAD_REQUEST, "Failed to start %s Serf: no bind address", o.label);
    }
    o.bind_ip = str_c(&a, bind.host);
    o.port = (uint16_t)bind.port;
    if (kept) o.snapshot_path = str_printf(&a, "%s/serf/%s.snapshot", dir, name).p;
    if (kept && !c->disable_keyring_file)
        o.keyring_path = str_printf(&a, "%s/serf/%s.keyring", dir, name).p;
    if (c->encrypt_key.n && base64_parse(c->encrypt_key, &a, &key, &ignored) == 0) o.key = key;
    int failed = pool_create(&o, out, err);
    arena_free(&a);
    return failed;
}

int run_pools_create(struct run *r, struct error *err)
{
    int failed = create(r, false, &r->lan, err);
    if (!failed && r->config->server_mode && r->config->serf_port_wan > 0)
        failed = create(r, true, &r->wan, err);
    r->context.lan = r->lan;
    r->context.wan = r->wan;
    return failed;
}

/* --- what members mean ------------------------------------------------------------------------ */

static void on_lan_member(
    struct pool_observer *o, enum serf_notice_type type, const struct serf_member *m)
{
    run_servers_member(o->ctx, type, m);
}

static void on_lan_event(
    struct pool_observer *o, uint64_t ltime, struct str name, struct str payload)
{
    struct run *r = o->ctx;
    struct arena a = ARENA_INIT;
    if (str_is(name, EVENT_NEW_LEADER))
        log_info(r->server ? "agent.server" : "agent.client", "New leader elected", "payload",
            str_c(&a, payload));
    else
        user_events_take(r->events, ltime, name, payload);
    arena_free(&a);
}

int run_pools_start(struct run *r, struct error *err)
{
    r->lan_observer =
        (struct pool_observer){ .member = on_lan_member, .user_event = on_lan_event, .ctx = r };
    pool_observe(r->lan, &r->lan_observer);
    run_metrics_gossip(r);
    int failed = pool_start(r->lan, err);
    return failed || !r->wan ? failed : pool_start(r->wan, err);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void lan_stopped(void *ctx)
{
    struct run *r = ctx;
    pool_destroy(r->lan);
    r->lan = r->context.lan = NULL;
    r->pools_stopped(r);
}

static void stop_lan(struct run *r)
{
    if (r->lan)
        pool_stop(r->lan, lan_stopped, r);
    else
        r->pools_stopped(r);
}

static void wan_stopped(void *ctx)
{
    struct run *r = ctx;
    pool_destroy(r->wan);
    r->wan = r->context.wan = NULL;
    stop_lan(r);
}

void run_pools_stop(struct run *r, void (*stopped)(void *ctx))
{
    r->pools_stopped = stopped;
    pool_unobserve(&r->lan_observer);
    pool_unobserve(&r->wan_observer);
    run_metrics_pools_end(r);
    run_metrics_gossip_end(r);
    if (r->wan)
        pool_stop(r->wan, wan_stopped, r);
    else
        stop_lan(r);
}

static void lan_left(struct pool_request *req)
{
    struct run *r = req->ctx;
    if (req->code) log_warn("agent", "The LAN was left unheard", "error", req->err.text);
    r->pools_left(r);
}

static void leave_lan(struct run *r)
{
    r->leave = (struct pool_request){ .done = lan_left, .ctx = r };
    pool_leave(r->lan, &r->leave);
}

static void wan_left(struct pool_request *req)
{
    if (req->code) log_warn("agent", "The WAN was left unheard", "error", req->err.text);
    leave_lan(req->ctx);
}

void run_pools_leave(struct run *r, void (*left)(struct run *r))
{
    r->pools_left = left;
    if (r->wan) {
        r->leave = (struct pool_request){ .done = wan_left, .ctx = r };
        pool_leave(r->wan, &r->leave);
    } else {
        leave_lan(r);
    }
}
