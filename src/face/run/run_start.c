/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consuld/base/digest.h"
#include "consuld/base/tls.h"
#include "consuld/model.h"
#include "consuld/net/tls.h"
#include "consuld/store_log.h"
#include "consuld/store_raft_db.h"
#include "consuld/agent/leaf.h"
#include "run.h"

#include "../api/agent_routes.h"
#include "../watch/watch.h"

#define NS_PER_MS 1000000

static uint64_t ms(int64_t ns)
{
    return ns > 0 ? (uint64_t)(ns / NS_PER_MS) : 0;
}

/* --- the server ----------------------------------------------------------------------------------
 */

/* "ip:port" as other servers reach this one. */
static struct str raft_address(struct run *r)
{
    struct config_addr addr;
    if (!config_addr_parse(r->config->rpc_advertise_addr, &addr)) return STR("");
    bool v6 = str_find_char(addr.host, ':') >= 0;
    return str_printf(&r->arena, v6 ? "[%.*s]:%d" : "%.*s:%d", STR_ARG(addr.host), addr.port);
}

/* A log of Consul's is taken over, and the data directory is locked until the process ends. */
static int data_dir_take(struct run *r, const char *dir, struct error *err)
{
    struct raft_db_report report;
    int failed = raft_db_take(disk_system(), dir, &r->data_lock, &report, err);
    if (failed || !report.moved) return failed;
    char entries[64];
    snprintf(entries, sizeof entries, "%llu to %llu of term %llu", (unsigned long long)report.first,
        (unsigned long long)report.last, (unsigned long long)report.term);
    log_info(
        "agent.server.raft", "took over the log of Consul, see raft/raft.db", "entries", entries);
    return 0;
}

static int raft_start(struct run *r, struct error *err)
{
    const struct agent_config *c = r->config;
    struct arena a = ARENA_INIT;
    struct store_report report;
    bool kept = c->data_dir.n > 0 && !c->dev_mode;
    const char *dir = str_c(&a, c->data_dir);
    struct store_options store = { .dir = kept ? dir : NULL };
    int failed = kept ? data_dir_take(r, dir, err) : 0;
    if (!failed) failed = store_open(&store, &r->store, &report, err);
    const char *log_dir = kept ? str_printf(&a, "%s/raft", dir).p : NULL;
    if (!failed && kept && report.reason && access(log_dir, F_OK) == 0)
        log_warn(
            "agent.server", "state will be rebuilt from snapshot and log", "reason", report.reason);
    struct raft_driver_options raft = { .world = r->world,
        .store = r->store,
        .dir = log_dir,
        .id = str_of(r->node_id),
        .address = raft_address(r),
        .bootstrap = c->bootstrap || c->dev_mode,
        .multiplier = (uint32_t)(c->consul_raft_heartbeat_timeout / INT64_C(1000000000)),
        .snapshot_threshold = (uint64_t)c->raft_snapshot_threshold,
        .snapshot_interval_ms = ms(c->raft_snapshot_interval),
        .trailing_logs = (uint64_t)c->raft_trailing_logs,
        .digest = &digest_openssl,
        .metrics = r->metrics };
    if (raft.multiplier == 0) raft.multiplier = 1;
    raft.transport = run_raft_create(r);
    if (!failed) failed = raft_driver_create(&raft, &r->raft, err);
    arena_free(&a);
    return failed;
}

static void on_leadership(void *ctx, bool leader)
{
    struct run *r = ctx;
    if (leader && r->local) local_sync_full(r->local, 0);
}

static int server_start(struct run *r, struct error *err)
{
    const struct agent_config *c = r->config;
    struct server_options s = { .world = r->world,
        .store = r->store,
        .raft = r->raft,
        .lan = r->lan,
        .wan = r->wan,
        .rpc_pool = r->rpc_pool,
        .gateways = r->gateways,
        .tls = r->tls,
        .domain = r->domain,
        .config_entries = c->config_entry_bootstrap,
        .certifier = c->connect_enabled ? &net_certifier : NULL,
        .ca_provider = c->connect_ca_provider,
        .ca_config = c->connect_ca_config,
        .auto_encrypt = c->auto_encrypt_allow_tls,
        .auto_config = c->auto_config.authorizer.enabled,
        .metrics = r->metrics,
        .spool_dir = r->spool_dir,
        .datacenter = c->datacenter,
        .primary_datacenter = c->primary_datacenter,
        .replication_token = c->acl_replication_token,
        .self = { .name = c->node_name,
            .id = str_of(r->node_id),
            .address = c->advertise_addr_lan,
            .port = (uint16_t)c->server_port,
            .version = STR(CONSUL_VERSION),
            .raft_version = 3,
            .protocol_min = 1,
            .protocol_max = 5,
            .protocol_current = 2,
            .non_voter = c->non_voting_server },
        .raft_address = raft_address(r),
        .bootstrap_expect = c->bootstrap_expect > 0 ? (uint64_t)c->bootstrap_expect : 0,
        .default_query_time_ms = ms(c->default_query_time),
        .max_query_time_ms = ms(c->max_query_time),
        .rpc_hold_timeout_ms = ms(c->rpc_hold_timeout),
        .session_ttl_min_ms = ms(c->session_ttl_min),
        .coordinate_period_ms = ms(c->consul_coordinate_update_period),
        .autopilot_keep_dead_servers = !c->autopilot_cleanup_dead_servers,
        .autopilot_last_contact_ns = c->autopilot_last_contact_threshold,
        .autopilot_stabilization_ns = c->autopilot_server_stabilization_time,
        .autopilot_max_trailing_logs = (uint64_t)c->autopilot_max_trailing_logs,
        .autopilot_min_quorum = c->autopilot_min_quorum,
        .leadership = on_leadership,
        .ctx = r };
    if (c->connect_enabled && (s.auto_encrypt || s.auto_config)) s.roots_changed = run_tls_roots;
    return server_create(&s, &r->server, err);
}

/* Port 8300. */
static int port_start(struct run *r, struct error *err)
{
    const struct agent_config *c = r->config;
    struct config_addr addr;
    if (!config_addr_parse(c->rpc_bind_addr, &addr)) return 0;
    struct arena a = ARENA_INIT;
    struct rpc_port_options o = { .world = r->world,
        .rpc = server_rpc(r->server),
        .tls = r->tls,
        .datacenter = c->datacenter,
        .domain = r->domain,
        .snapshots = server_snapshots(r->server),
        .spool_dir = r->spool_dir,
        .ip = str_c(&a, addr.host),
        .port = (uint16_t)addr.port,
        .handshake_timeout_ms = ms(c->rpc_handshake_timeout),
        .conns_per_client_max = (uint32_t)c->rpc_max_conns_per_client,
        .raft = run_raft_accept,
        .gossip_packets = run_gossip_packets,
        .gossip_stream = run_gossip_stream,
        .ctx = r };
    int failed = rpc_port_open(&o, &r->port, err);
    if (failed) error_prefix(err, "Failed to start Consul server: Failed to start RPC layer: ");
    arena_free(&a);
    return failed;
}

/* --- the local state
 * ------------------------------------------------------------------------------ */

static int local_begin(struct run *r, struct error *err)
{
    const struct agent_config *c = r->config;
    struct arena a = ARENA_INIT;
    struct dict *meta = &r->context.node_meta;
    record_copy(&r->arena, &type_map_str, meta, &c->node_meta);
    dict_set_str(&r->arena, meta, STR("consul-network-segment"), STR(""));
    struct local_options l = { .world = r->world,
        .rpc = r->context.rpc,
        .tls = r->tls,
        .datacenter = c->datacenter,
        .node_name = c->node_name,
        .node_id = str_of(r->node_id),
        .address = c->advertise_addr_lan,
        .tagged_addresses = c->tagged_addresses,
        .node_meta = *meta,
        .data_dir = c->dev_mode && c->data_dir.n == 0 ? STR_NIL : c->data_dir,
        .sidecar_min_port = c->connect_sidecar_min_port,
        .sidecar_max_port = c->connect_sidecar_max_port,
        .expose_min_port = c->expose_min_port,
        .expose_max_port = c->expose_max_port,
        .check_output_max = c->check_output_max_size,
        .check_update_interval_ms = (int64_t)ms(c->check_update_interval),
        .discard_check_output = c->discard_check_output,
        .enable_remote_scripts = c->enable_remote_script_checks,
        .central_config = c->enable_central_service_config,
        .enable_local_scripts = c->enable_local_script_checks,
        .default_token = c->acl_token,
        .agent_token = c->acl_agent_token };
    int failed = local_create(&l, &r->local, err);
    r->context.local = r->local;
    if (!failed) failed = local_load(r->local, &c->services, &c->checks, err);
    arena_free(&a);
    return failed;
}

/* --- the HTTP API
 * ----------------------------------------------------------------------------------- */

static const struct api_route *const *route_tables(struct arena *a)
{
    static const struct api_route *const own[] = { api_agent_service_routes, api_agent_check_routes,
        api_agent_health_routes, api_agent_self_routes, api_agent_host_routes,
        api_agent_gossip_routes, api_agent_metrics_routes, api_event_routes, api_keyring_routes };
    size_t n = 0;
    while (api_state_tables[n])
        n++;
    const struct api_route **all = arena_array(a, n + sizeof own / sizeof own[0] + 1, sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = api_state_tables[i];
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        all[n + i] = own[i];
    return all;
}

void run_api_options(const struct run *r, struct arena *a, struct api_options *out)
{
    const struct agent_config *c = r->config;
    struct list headers = { 0 };
    for (size_t i = 0; i < c->http_response_headers.n; i++) {
        const struct str_pair *pair = &((const struct str_pair *)c->http_response_headers.v)[i];
        *LIST_PUSH(a, &headers, struct api_header_option) =
            (struct api_header_option){ pair->key, pair->value };
    }
    *out = (struct api_options){ .ctx = (void *)(uintptr_t)&r->context,
        .tables = route_tables(a),
        .response_headers = headers.v,
        .n_response_headers = headers.n,
        .block_endpoints = c->http_block_endpoints.v,
        .n_block_endpoints = c->http_block_endpoints.n,
        .allow_write_http_from = c->allow_write_http_from.v,
        .n_allow_write_http_from = c->allow_write_http_from.n,
        .translate_wan_addrs = c->translate_wan_addrs,
        .disable_unprintable_char_filter = c->disable_http_unprintable_char_filter,
        .pretty = c->dev_mode,
        .ui_path = c->enable_ui ? str_c(a, c->ui_content_path) : NULL,
        .datacenter = c->datacenter,
        .default_token = c->acl_token,
        .discovery_max_stale = c->discovery_max_stale,
        .use_cache = c->http_use_cache,
        .max_conns_per_client = (uint32_t)c->http_max_conns_per_client,
        .refuse_silently = c->http_refuse_silently,
        .kv_max_value_size = c->kv_max_value_size,
        .txn_max_req_len = c->txn_max_req_len,
        .spool_dir = r->spool_dir,
        .metrics = r->metrics,
        .node_name = c->node_name };
}

static int listen_at(
    struct run *r, const struct config_addr *addr, const char *host, bool tls, struct error *err)
{
    bool is_unix = str_is(addr->network, "unix");
    uint16_t port = (uint16_t)addr->port;
    struct api_listen_tls o = { .tls = r->tls,
        .handshake_timeout_ms = ms(r->config->https_handshake_timeout),
        .ip = host,
        .port = port,
        .unix_path = is_unix ? host : NULL };
    int failed;
    if (is_unix) run_socket_replace(host);
    if (tls)
        failed = api_listen_tls(r->api, &o, NULL, err);
    else
        failed = is_unix ? api_listen_unix(r->api, host, 0, err)
                         : api_listen_tcp(r->api, host, port, NULL, err);
    return is_unix && !failed ? run_socket_access(r->config, host, err) : failed;
}

static int listen_on(struct run *r, const struct list *addrs, bool tls, struct error *err)
{
    struct arena a = ARENA_INIT;
    int failed = 0;
    for (size_t i = 0; i < addrs->n && !failed; i++) {
        struct config_addr addr;
        if (!config_addr_parse(LIST_AT(addrs, struct str, i), &addr)) continue;
        const char *host = str_c(&a, addr.host);
        failed = listen_at(r, &addr, host, tls, err);
        if (failed) break;
        struct str at = addr.host;
        if (!str_is(addr.network, "unix")) {
            bool v6 = str_find_char(addr.host, ':') >= 0;
            at = str_printf(&a, v6 ? "[%s]:%d" : "%s:%d", host, addr.port);
        }
        log_info("agent", tls ? "Started HTTPS server" : "Started HTTP server", "address",
            str_c(&a, at), "network", str_c(&a, addr.network));
    }
    arena_free(&a);
    return failed;
}

static int listen_all(struct run *r, struct error *err)
{
    int failed = listen_on(r, &r->config->http_addrs, false, err);
    if (!failed) failed = listen_on(r, &r->config->https_addrs, true, err);
    run_tls_tell(r);
    if (!failed && r->config->https_addrs.n && !r->tls->facts.can_serve)
        log_warn("agent", "HTTPS needs a certificate: set cert_file and key_file");
    return failed;
}

static int api_start(struct run *r, struct error *err)
{
    struct api_options o;
    run_api_options(r, &r->arena, &o);
    r->api = api_create(r->world, &o, err);
    return r->api ? listen_all(r, err) : err->code;
}

/* --- all of it
 * ---------------------------------------------------------------------------------------- */

static int late_check(int (*check)(const struct agent_config *c, struct buf *why),
    const struct agent_config *c, struct error *err)
{
    struct buf why = BUF_INIT(CONFIG_MESSAGE_MAX);
    int failed = check(c, &why);
    if (failed) error_set(err, failed, "%.*s", STR_ARG(buf_str(&why)));
    buf_deinit(&why);
    return failed;
}

/* What was asked for and is no part of this build is said, not silently left out. */
static void tell_missing(const struct agent_config *c)
{
    if (c->dns_port > 0) log_warn("agent", "The DNS server is not part of this build");
    if (c->grpc_port > 0) log_warn("agent", "The gRPC server is not part of this build");
    if (c->enable_ui && !c->dev_mode)
        log_warn("agent", "The web interface is not part of this build, only its API");
    if (c->acls_enabled) log_warn("agent", "ACLs are not part of this build and not enforced");
}

static void remote_exec_begin(struct run *r)
{
    const struct agent_config *c = r->config;
    if (c->disable_remote_exec) return;
    struct remote_exec_options o = { .world = r->world,
        .rpc = r->context.rpc,
        .datacenter = c->datacenter,
        .node_name = c->node_name,
        .token = c->acl_agent_token.n ? c->acl_agent_token : c->acl_token };
    r->remote_exec = remote_exec_create(&o);
    user_events_exec(r->events, r->remote_exec);
}

static void watches_begin(struct run *r)
{
    r->watches = watches_create(&(struct watches_options){ .world = r->world,
        .rpc = r->context.rpc,
        .events = r->events,
        .tls = r->tls,
        .datacenter = r->config->datacenter,
        .token = r->config->acl_token });
    watches_set(r->watches, &r->config->watches);
}

static void proxies_begin(struct run *r)
{
    r->proxies = r->context.proxies = proxies_create(&(struct proxies_options){ .world = r->world,
        .local = r->local,
        .cache = r->cache,
        .leaves = r->leaves,
        .datacenter = r->config->datacenter,
        .node_name = r->config->node_name,
        .domain = r->config->dns_domain,
        .alt_domain = r->config->dns_alt_domain });
}

static const int signums[RUN_SIGNALS] = { SIGINT, SIGTERM, SIGHUP };

static int start_rest(struct run *r, struct error *err);

static void upgraded(void *ctx)
{
    struct run *r = ctx;
    struct error err;
    r->starting = false;
    if (start_rest(r, &err) == 0) return;
    log_error("agent", "Error starting agent", "error", err.text);
    run_shutdown(r, 1);
}

int run_start(struct run *r, struct error *err)
{
    const struct agent_config *c = r->config;
    int failed = late_check(config_check_keyring, c, err);
    if (!failed) failed = late_check(config_check_protocols, c, err);
    if (failed) return failed;
    r->context.world = r->world;
    r->context.datacenter = c->datacenter;
    r->context.node_name = c->node_name;
    r->context.node_id = str_of(r->node_id);
    r->context.config = c;
    r->context.config_at_start = c;
    r->context.disable_coordinates = c->disable_coordinates;
    r->context.kv_max_value_size = c->kv_max_value_size;
    r->context.txn_max_req_len = c->txn_max_req_len;
    r->context.run = r;
    signal(SIGPIPE, SIG_IGN);
    run_metrics_start(r);
    for (size_t i = 0; i < RUN_SIGNALS; i++)
        r->signals[i] = net_signal_create(r->world, signums[i], run_signal, r);
    r->events = r->context.events = user_events_create(c->node_name);
    run_federation_create(r);
    if (!c->server_mode) run_servers_start(r);
    if (!c->auto_encrypt_tls) return start_rest(r, err);
    r->starting = true;
    run_auto_encrypt_start(r, upgraded);
    return 0;
}

static int start_rest(struct run *r, struct error *err)
{
    const struct agent_config *c = r->config;
    int failed = run_pools_create(r, err);
    if (failed) return failed;
    run_metrics_pools(r);
    run_federation_watch(r);
    if (c->server_mode) {
        run_calls_start(r);
        failed = run_rejoin_check(r, err);
        if (!failed) failed = raft_start(r, err);
        if (!failed) failed = server_start(r, err);
        if (!failed) failed = port_start(r, err);
        if (failed) return failed;
        rpc_limit_init(&r->limit, r->world, server_rpc(r->server));
        run_calls_limit(r);
        r->context.rpc = &r->limit.client;
        r->context.snapshots = server_snapshots(r->server);
        r->context.server = r->server;
        r->context.raft = r->raft;
        r->context.port = r->port;
    }
    r->cache = r->context.cache = cache_create(&(struct cache_options){ .world = r->world,
        .rpc = r->context.rpc,
        .fetch_rate = c->cache.entry_fetch_rate,
        .fetch_burst = (uint64_t)c->cache.entry_fetch_max_burst });
    r->leaves = r->context.leaves = leaves_create(&(struct leaves_options){ .world = r->world,
        .rpc = r->context.rpc,
        .cache = r->cache,
        .certifier = &net_certifier,
        .datacenter = c->datacenter });
    failed = run_pools_start(r, err);
    if (!failed) failed = local_begin(r, err);
    if (!failed) failed = run_write_pid(r, err);
    if (!failed) failed = api_start(r, err);
    if (!failed) failed = late_check(config_check_watches, c, err);
    if (failed) return failed;
    tell_missing(c);
    if (r->raft) run_raft_start(r);
    if (r->raft) run_rejoin_start(r);
    log_info("agent", "started state syncer");
    local_start(r->local);
    user_events_services(r->events, r->local);
    remote_exec_begin(r);
    proxies_begin(r);
    watches_begin(r);
    if (r->auto_encrypt) auto_encrypt_follow(r->auto_encrypt, r->leaves, r->cache);
    run_joins_start(r);
    run_memory_start(r);
    return 0;
}
