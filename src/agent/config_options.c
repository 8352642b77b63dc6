/* SPDX-License-Identifier: Apache-2.0 */
/* Every configuration key, one row each. The order is that of docs/configuration.md. */
#include "consuld/agent/config.h"

/* The member a row fills as it is, or takes part in deriving. */
#define MEMBER(name) .member = offsetof(struct agent_config, name) + 1
#define DERIVED(name) .derived = true, MEMBER(name)
#define OPTION(name, kind, ...) { .path = name, .type = CONFIG_##kind, __VA_ARGS__ },
#define RELOAD .marks = CONFIG_RELOAD
#define FIXED .marks = CONFIG_FIXED
#define DEPRECATED .marks = CONFIG_DEPRECATED
#define ENTERPRISE .marks = CONFIG_ENTERPRISE

/* clang-format off */
const struct config_option config_options[] = {
    OPTION("acl_agent_master_token", STRING, DERIVED(acl_agent_master_token),
        .marks = CONFIG_RELOAD | CONFIG_DEPRECATED)
    OPTION("acl_agent_token", STRING, DERIVED(acl_agent_token),
        .marks = CONFIG_RELOAD | CONFIG_DEPRECATED)
    OPTION("acl_datacenter", STRING, DERIVED(acl_datacenter), DEPRECATED)
    OPTION("acl_default_policy", STRING, .value = "allow", DERIVED(acl_default_policy), DEPRECATED)
    OPTION("acl_down_policy", STRING, .value = "extend-cache", DERIVED(acl_down_policy), DEPRECATED)
    OPTION("acl_enable_key_list_policy", BOOL, DERIVED(acl_enable_key_list_policy), DEPRECATED)
    OPTION("acl_master_token", STRING, DERIVED(acl_master_token), DEPRECATED)
    OPTION("acl_replication_token", STRING, DERIVED(acl_replication_token),
        .marks = CONFIG_RELOAD | CONFIG_DEPRECATED)
    OPTION("acl_ttl", DURATION, .value = "30s", DERIVED(acl_token_ttl), DEPRECATED)
    OPTION("acl_token", STRING, DERIVED(acl_token), .marks = CONFIG_RELOAD | CONFIG_DEPRECATED)
    OPTION("acl.enabled", BOOL, DERIVED(acls_enabled))
    OPTION("acl.enable_token_replication", BOOL, DERIVED(acl_token_replication))
    OPTION("acl.policy_ttl", DURATION, .value = "30s", MEMBER(acl_policy_ttl))
    OPTION("acl.role_ttl", DURATION, MEMBER(acl_role_ttl))
    OPTION("acl.token_ttl", DURATION, DERIVED(acl_token_ttl))
    OPTION("acl.down_policy", STRING, DERIVED(acl_down_policy))
    OPTION("acl.default_policy", STRING, DERIVED(acl_default_policy))
    OPTION("acl.enable_key_list_policy", BOOL, DERIVED(acl_enable_key_list_policy))
    OPTION("acl.tokens.master", STRING, DERIVED(acl_master_token))
    OPTION("acl.tokens.replication", STRING, DERIVED(acl_replication_token), RELOAD)
    OPTION("acl.tokens.agent_master", STRING, DERIVED(acl_agent_master_token), RELOAD)
    OPTION("acl.tokens.default", STRING, DERIVED(acl_token), RELOAD)
    OPTION("acl.tokens.agent", STRING, DERIVED(acl_agent_token), RELOAD)
    OPTION("acl.tokens.managed_service_provider[].accessor_id", STRING, ENTERPRISE)
    OPTION("acl.tokens.managed_service_provider[].secret_id", STRING, ENTERPRISE)
    OPTION("acl.disabled_ttl", DURATION, .value = "120s", MEMBER(acl_disabled_ttl), FIXED)
    OPTION("acl.enable_token_persistence", BOOL, MEMBER(acl_enable_token_persistence))
    OPTION("acl.msp_disable_bootstrap", BOOL, ENTERPRISE)
    OPTION("addresses.dns", STRING, DERIVED(dns_addrs))
    OPTION("addresses.http", STRING, DERIVED(http_addrs))
    OPTION("addresses.https", STRING, DERIVED(https_addrs))
    OPTION("addresses.grpc", STRING, DERIVED(grpc_addrs))
    OPTION("advertise_addr", STRING, .flag = "advertise", DERIVED(advertise_addr_lan),
        .usage = "Address shown to other members, when it is not the bind address.")
    OPTION("advertise_addr_ipv4", STRING, .marks = 0)
    OPTION("advertise_addr_ipv6", STRING, .marks = 0)
    OPTION("advertise_addr_wan", STRING, .flag = "advertise-wan", DERIVED(advertise_addr_wan),
        .usage = "Address shown to members of other datacenters.")
    OPTION("advertise_addr_wan_ipv4", STRING, .marks = 0)
    OPTION("auto_config.enabled", BOOL, MEMBER(auto_config.enabled))
    OPTION("auto_config.intro_token", STRING, DERIVED(auto_config.intro_token))
    OPTION("auto_config.intro_token_file", STRING, MEMBER(auto_config.intro_token_file))
    OPTION("auto_config.server_addresses", LIST, MEMBER(auto_config.server_addresses))
    OPTION("auto_config.dns_sans", LIST, MEMBER(auto_config.dns_sans))
    OPTION("auto_config.ip_sans", LIST, DERIVED(auto_config.ip_sans))
    OPTION("auto_config.authorization.enabled", BOOL, MEMBER(auto_config.authorizer.enabled))
    OPTION("auto_config.authorization.static.claim_assertions", LIST,
        MEMBER(auto_config.authorizer.claim_assertions))
    OPTION("auto_config.authorization.static.allow_reuse", BOOL,
        MEMBER(auto_config.authorizer.allow_reuse))
    OPTION("auto_config.authorization.static.jwt_supported_algs", LIST, .marks = 0)
    OPTION("auto_config.authorization.static.bound_audiences", LIST, .marks = 0)
    OPTION("auto_config.authorization.static.claim_mappings", MAP, .marks = 0)
    OPTION("auto_config.authorization.static.list_claim_mappings", MAP, .marks = 0)
    OPTION("auto_config.authorization.static.oidc_discovery_url", STRING, .marks = 0)
    OPTION("auto_config.authorization.static.oidc_discovery_ca_cert", STRING, .marks = 0)
    OPTION("auto_config.authorization.static.jwks_url", STRING, .marks = 0)
    OPTION("auto_config.authorization.static.jwks_ca_cert", STRING, .marks = 0)
    OPTION("auto_config.authorization.static.jwt_validation_pub_keys", LIST, .marks = 0)
    OPTION("auto_config.authorization.static.bound_issuer", STRING, .marks = 0)
    OPTION("auto_config.authorization.static.expiration_leeway", DURATION, .marks = 0)
    OPTION("auto_config.authorization.static.not_before_leeway", DURATION, .marks = 0)
    OPTION("auto_config.authorization.static.clock_skew_leeway", DURATION, .marks = 0)
    OPTION("autopilot.cleanup_dead_servers", BOOL, .value = "true",
        MEMBER(autopilot_cleanup_dead_servers))
    OPTION("autopilot.last_contact_threshold", DURATION, .value = "200ms",
        MEMBER(autopilot_last_contact_threshold))
    OPTION("autopilot.max_trailing_logs", INT, .value = "250", MEMBER(autopilot_max_trailing_logs))
    OPTION("autopilot.min_quorum", UINT, MEMBER(autopilot_min_quorum))
    OPTION("autopilot.server_stabilization_time", DURATION, .value = "10s",
        MEMBER(autopilot_server_stabilization_time))
    OPTION("autopilot.disable_upgrade_migration", BOOL,
        MEMBER(autopilot_disable_upgrade_migration), ENTERPRISE)
    OPTION("autopilot.redundancy_zone_tag", STRING, MEMBER(autopilot_redundancy_zone_tag),
        ENTERPRISE)
    OPTION("autopilot.upgrade_version_tag", STRING, MEMBER(autopilot_upgrade_version_tag),
        ENTERPRISE)
    OPTION("bind_addr", STRING, .value = "0.0.0.0", .flag = "bind", DERIVED(bind_addr),
        .usage = "Address the cluster listens on.")
    OPTION("bootstrap", BOOL, .flag = "bootstrap", MEMBER(bootstrap),
        .usage = "Lets this server elect itself without waiting for others.")
    OPTION("bootstrap_expect", INT, .flag = "bootstrap-expect", MEMBER(bootstrap_expect),
        .usage = "Number of servers to wait for before the first election.")
    OPTION("cache.entry_fetch_max_burst", INT, .value = "2", MEMBER(cache.entry_fetch_max_burst),
        RELOAD)
    OPTION("cache.entry_fetch_rate", NUMBER, MEMBER(cache.entry_fetch_rate), RELOAD)
    OPTION("ca_file", STRING, MEMBER(ca_file), RELOAD)
    OPTION("ca_path", STRING, MEMBER(ca_path), RELOAD)
    OPTION("cert_file", STRING, MEMBER(cert_file), RELOAD)
    OPTION("check", CHECK, DERIVED(checks), RELOAD)
    OPTION("check_output_max_size", INT, .value = "4096", .flag = "check_output_max_size",
        MEMBER(check_output_max_size),
        .usage = "Most bytes of output kept of one check.")
    OPTION("check_update_interval", DURATION, .value = "5m", MEMBER(check_update_interval))
    OPTION("checks", CHECKS, DERIVED(checks), RELOAD)
    OPTION("client_addr", STRING, .value = "127.0.0.1", .flag = "client", DERIVED(client_addrs),
        .usage = "Addresses that HTTP, HTTPS, gRPC and DNS listen on.")
    OPTION("config_entries.bootstrap", FREE_LIST, DERIVED(config_entry_bootstrap))
    OPTION("auto_encrypt.tls", BOOL, MEMBER(auto_encrypt_tls), RELOAD)
    OPTION("auto_encrypt.dns_san", LIST, MEMBER(auto_encrypt_dns_san))
    OPTION("auto_encrypt.ip_san", LIST, DERIVED(auto_encrypt_ip_san))
    OPTION("auto_encrypt.allow_tls", BOOL, MEMBER(auto_encrypt_allow_tls))
    OPTION("connect.enabled", BOOL, MEMBER(connect_enabled))
    OPTION("connect.ca_provider", STRING, MEMBER(connect_ca_provider))
    OPTION("connect.ca_config", FREE, DERIVED(connect_ca_config))
    OPTION("connect.enable_mesh_gateway_wan_federation", BOOL,
        MEMBER(connect_mesh_gateway_wan_federation_enabled))
    OPTION("connect.test_ca_leaf_root_change_spread", DURATION,
        MEMBER(connect_test_ca_leaf_root_change_spread), FIXED)
    OPTION("dns_config.allow_stale", BOOL, .value = "true", MEMBER(dns_allow_stale), RELOAD)
    OPTION("dns_config.a_record_limit", INT, MEMBER(dns_a_record_limit), RELOAD)
    OPTION("dns_config.disable_compression", BOOL, MEMBER(dns_disable_compression), RELOAD)
    OPTION("dns_config.enable_truncate", BOOL, MEMBER(dns_enable_truncate), RELOAD)
    OPTION("dns_config.max_stale", DURATION, .value = "87600h", MEMBER(dns_max_stale), RELOAD)
    OPTION("dns_config.node_ttl", DURATION, MEMBER(dns_node_ttl), RELOAD)
    OPTION("dns_config.only_passing", BOOL, MEMBER(dns_only_passing), RELOAD)
    OPTION("dns_config.recursor_timeout", DURATION, .value = "2s", MEMBER(dns_recursor_timeout),
        RELOAD)
    OPTION("dns_config.service_ttl", MAP, DERIVED(dns_service_ttl), RELOAD)
    OPTION("dns_config.udp_answer_limit", INT, .value = "3", MEMBER(dns_udp_answer_limit), RELOAD)
    OPTION("dns_config.enable_additional_node_meta_txt", BOOL, .value = "true",
        MEMBER(dns_node_meta_txt), RELOAD)
    OPTION("dns_config.soa.refresh", UINT32, .value = "3600", MEMBER(dns_soa.refresh), RELOAD)
    OPTION("dns_config.soa.retry", UINT32, .value = "600", MEMBER(dns_soa.retry), RELOAD)
    OPTION("dns_config.soa.expire", UINT32, .value = "86400", MEMBER(dns_soa.expire), RELOAD)
    OPTION("dns_config.soa.min_ttl", UINT32, .value = "0", MEMBER(dns_soa.minttl), RELOAD)
    OPTION("dns_config.use_cache", BOOL, MEMBER(dns_use_cache), RELOAD)
    OPTION("dns_config.cache_max_age", DURATION, MEMBER(dns_cache_max_age), RELOAD)
    OPTION("dns_config.prefer_namespace", BOOL, .marks = CONFIG_RELOAD | CONFIG_ENTERPRISE)
    OPTION("domain", STRING, .value = "consul.", .flag = "domain", MEMBER(dns_domain),
        .usage = "Domain of the DNS answers.")
    OPTION("alt_domain", STRING, .flag = "alt-domain", MEMBER(dns_alt_domain),
        .usage = "A second domain of the DNS answers.")
    OPTION("recursors", LIST, .flag = "recursor", DERIVED(dns_recursors), RELOAD,
        .usage = "Name server for names outside of the domain. May be repeated.")
    OPTION("data_dir", STRING, .flag = "data-dir", MEMBER(data_dir),
        .usage = "Folder that keeps the state of the agent.")
    OPTION("datacenter", STRING, .value = "dc1", .flag = "datacenter", DERIVED(datacenter),
        .usage = "Datacenter of the agent.")
    OPTION("default_query_time", DURATION, .value = "300s", .flag = "default-query-time",
        MEMBER(default_query_time),
        .usage = "Wait of a blocking query that names none.")
    OPTION("disable_anonymous_signature", BOOL, MEMBER(disable_anonymous_signature))
    OPTION("disable_coordinates", BOOL, MEMBER(disable_coordinates))
    OPTION("disable_host_node_id", BOOL, .value = "true", .flag = "disable-host-node-id",
        MEMBER(disable_host_node_id),
        .usage = "Makes the node id random instead of deriving it from the host.")
    OPTION("disable_http_unprintable_char_filter", BOOL,
        MEMBER(disable_http_unprintable_char_filter))
    OPTION("disable_keyring_file", BOOL, .flag = "disable-keyring-file",
        MEMBER(disable_keyring_file),
        .usage = "Keeps the gossip keys out of the data folder.")
    OPTION("disable_remote_exec", BOOL, .value = "true", MEMBER(disable_remote_exec))
    OPTION("disable_update_check", BOOL, MEMBER(disable_update_check))
    OPTION("discard_check_output", BOOL, MEMBER(discard_check_output), RELOAD)
    OPTION("discovery_max_stale", DURATION, MEMBER(discovery_max_stale))
    OPTION("enable_acl_replication", BOOL, DERIVED(acl_token_replication), DEPRECATED)
    OPTION("enable_agent_tls_for_checks", BOOL, MEMBER(enable_agent_tls_for_checks), RELOAD)
    OPTION("enable_central_service_config", BOOL, MEMBER(enable_central_service_config))
    OPTION("enable_debug", BOOL, MEMBER(enable_debug))
    OPTION("enable_script_checks", BOOL, .flag = "enable-script-checks",
        MEMBER(enable_remote_script_checks),
        .usage = "Allows script checks from files and over HTTP.")
    OPTION("enable_local_script_checks", BOOL, .flag = "enable-local-script-checks",
        DERIVED(enable_local_script_checks),
        .usage = "Allows script checks from files alone.")
    OPTION("enable_syslog", BOOL, .flag = "syslog", MEMBER(logging.enable_syslog),
        .usage = "Sends the log to syslog too.")
    OPTION("encrypt", STRING, .flag = "encrypt", MEMBER(encrypt_key),
        .usage = "Gossip key, base64.")
    OPTION("encrypt_verify_incoming", BOOL, .value = "true", MEMBER(encrypt_verify_incoming))
    OPTION("encrypt_verify_outgoing", BOOL, .value = "true", MEMBER(encrypt_verify_outgoing))
    OPTION("gossip_lan.gossip_nodes", INT, .value = "3", MEMBER(gossip_lan_gossip_nodes))
    OPTION("gossip_lan.gossip_interval", DURATION, .value = "200ms",
        MEMBER(gossip_lan_gossip_interval))
    OPTION("gossip_lan.probe_interval", DURATION, .value = "1s", MEMBER(gossip_lan_probe_interval))
    OPTION("gossip_lan.probe_timeout", DURATION, .value = "500ms", MEMBER(gossip_lan_probe_timeout))
    OPTION("gossip_lan.suspicion_mult", INT, .value = "4", MEMBER(gossip_lan_suspicion_mult))
    OPTION("gossip_lan.retransmit_mult", INT, .value = "4", MEMBER(gossip_lan_retransmit_mult))
    OPTION("gossip_wan.gossip_nodes", INT, .value = "3", MEMBER(gossip_wan_gossip_nodes))
    OPTION("gossip_wan.gossip_interval", DURATION, .value = "500ms",
        MEMBER(gossip_wan_gossip_interval))
    OPTION("gossip_wan.probe_interval", DURATION, .value = "5s", MEMBER(gossip_wan_probe_interval))
    OPTION("gossip_wan.probe_timeout", DURATION, .value = "3s", MEMBER(gossip_wan_probe_timeout))
    OPTION("gossip_wan.suspicion_mult", INT, .value = "6", MEMBER(gossip_wan_suspicion_mult))
    OPTION("gossip_wan.retransmit_mult", INT, .value = "4", MEMBER(gossip_wan_retransmit_mult))
    OPTION("http_config.block_endpoints", LIST, MEMBER(http_block_endpoints))
    OPTION("http_config.allow_write_http_from", LIST, .flag = "allow-write-http-from",
        DERIVED(allow_write_http_from),
        .usage = "Network that may use writing HTTP endpoints. May be repeated.")
    OPTION("http_config.response_headers", MAP, MEMBER(http_response_headers))
    OPTION("http_config.use_cache", BOOL, .value = "true", MEMBER(http_use_cache))
    OPTION("key_file", STRING, MEMBER(key_file), RELOAD)
    OPTION("leave_on_terminate", BOOL, DERIVED(leave_on_term))
    OPTION("limits.http_max_conns_per_client", INT, .value = "200",
        MEMBER(http_max_conns_per_client), RELOAD)
    OPTION("limits.http_refuse_silently", BOOL, MEMBER(http_refuse_silently),
        .marks = CONFIG_RELOAD | CONFIG_OWN)
    OPTION("limits.https_handshake_timeout", DURATION, .value = "5s",
        MEMBER(https_handshake_timeout))
    OPTION("limits.rpc_handshake_timeout", DURATION, .value = "5s", MEMBER(rpc_handshake_timeout))
    OPTION("limits.rpc_max_burst", INT, .value = "1000", MEMBER(rpc_max_burst), RELOAD)
    OPTION("limits.rpc_max_conns_per_client", INT, .value = "100", MEMBER(rpc_max_conns_per_client))
    OPTION("limits.rpc_rate", NUMBER, .value = "-1", MEMBER(rpc_rate_limit), RELOAD)
    OPTION("limits.kv_max_value_size", UINT64, .value = "524288", MEMBER(kv_max_value_size))
    OPTION("limits.txn_max_req_len", UINT64, .value = "524288", MEMBER(txn_max_req_len))
    OPTION("log_level", STRING, .value = "INFO", .flag = "log-level", MEMBER(logging.log_level),
        RELOAD,
        .usage = "Least level of log lines: trace, debug, info, warn, err.")
    OPTION("log_json", BOOL, .flag = "log-json", MEMBER(logging.log_json),
        .usage = "Writes log lines as JSON.")
    OPTION("log_file", STRING, .flag = "log-file", MEMBER(logging.log_file_path),
        .usage = "Path of the log files.")
    OPTION("log_rotate_duration", DURATION, .flag = "log-rotate-duration",
        MEMBER(logging.log_rotate_duration),
        .usage = "Age at which a log file is closed.")
    OPTION("log_rotate_bytes", INT, .flag = "log-rotate-bytes", MEMBER(logging.log_rotate_bytes),
        .usage = "Size at which a log file is closed.")
    OPTION("log_rotate_max_files", INT, .flag = "log-rotate-max-files",
        MEMBER(logging.log_rotate_max_files),
        .usage = "Number of closed log files to keep.")
    OPTION("max_query_time", DURATION, .value = "600s", .flag = "max-query-time",
        MEMBER(max_query_time),
        .usage = "Longest wait of a blocking query.")
    OPTION("node_id", STRING, .flag = "node-id", MEMBER(node_id),
        .usage = "Id of the node, a UUID.")
    OPTION("node_meta", MAP, .flag = "node-meta", MEMBER(node_meta), RELOAD,
        .usage = "A pair key:value of node metadata. May be repeated.")
    OPTION("node_name", STRING, .flag = "node", DERIVED(node_name),
        .usage = "Name of the node.")
    OPTION("performance.leave_drain_time", DURATION, .value = "5s", MEMBER(leave_drain_time))
    OPTION("performance.raft_multiplier", INT, .value = "5")
    OPTION("performance.rpc_hold_timeout", DURATION, .value = "7s", MEMBER(rpc_hold_timeout))
    OPTION("pid_file", STRING, .flag = "pid-file", MEMBER(pid_file),
        .usage = "File that holds the process id while the agent runs.")
    OPTION("ports.dns", INT, .value = "8600", .flag = "dns-port", DERIVED(dns_port),
        .usage = "Port of DNS.")
    OPTION("ports.http", INT, .value = "8500", .flag = "http-port", DERIVED(http_port),
        .usage = "Port of HTTP.")
    OPTION("ports.https", INT, .value = "-1", .flag = "https-port", DERIVED(https_port),
        .usage = "Port of HTTPS.")
    OPTION("ports.serf_lan", INT, .value = "8301", .flag = "serf-lan-port", DERIVED(serf_port_lan),
        .usage = "Port of gossip within the datacenter.")
    OPTION("ports.serf_wan", INT, .value = "8302", .flag = "serf-wan-port", DERIVED(serf_port_wan),
        .usage = "Port of gossip between datacenters.")
    OPTION("ports.server", INT, .value = "8300", .flag = "server-port", DERIVED(server_port),
        .usage = "Port of RPC between agents.")
    OPTION("ports.grpc", INT, .value = "-1", .flag = "grpc-port", DERIVED(grpc_port),
        .usage = "Port of gRPC (xDS).")
    OPTION("ports.proxy_min_port", INT, .value = "20000")
    OPTION("ports.proxy_max_port", INT, .value = "20255")
    OPTION("ports.sidecar_min_port", INT, .value = "21000", DERIVED(connect_sidecar_min_port))
    OPTION("ports.sidecar_max_port", INT, .value = "21255", DERIVED(connect_sidecar_max_port))
    OPTION("ports.expose_min_port", INT, .value = "21500", DERIVED(expose_min_port))
    OPTION("ports.expose_max_port", INT, .value = "21755", DERIVED(expose_max_port))
    OPTION("primary_datacenter", STRING, DERIVED(primary_datacenter))
    OPTION("primary_gateways", LIST, .flag = "primary-gateway", DERIVED(primary_gateways),
        .usage = "Mesh gateway of the primary datacenter. May be repeated.")
    OPTION("primary_gateways_interval", DURATION, .value = "30s", MEMBER(primary_gateways_interval))
    OPTION("protocol", INT, .value = "2", .flag = "protocol", MEMBER(rpc_protocol),
        .usage = "Gossip protocol version.")
    OPTION("raft_protocol", INT, .flag = "raft-protocol", MEMBER(raft_protocol),
        .usage = "Raft protocol version.")
    OPTION("raft_snapshot_threshold", INT, MEMBER(raft_snapshot_threshold))
    OPTION("raft_snapshot_interval", DURATION, MEMBER(raft_snapshot_interval))
    OPTION("raft_trailing_logs", INT, MEMBER(raft_trailing_logs))
    OPTION("reconnect_timeout", DURATION, MEMBER(reconnect_timeout_lan))
    OPTION("reconnect_timeout_wan", DURATION, MEMBER(reconnect_timeout_wan))
    OPTION("rejoin_after_leave", BOOL, .flag = "rejoin", MEMBER(rejoin_after_leave),
        .usage = "Joins the known members again after having left.")
    OPTION("retry_interval", DURATION, .value = "30s", .flag = "retry-interval",
        MEMBER(retry_join_interval_lan),
        .usage = "Pause between attempts to join.")
    OPTION("retry_interval_wan", DURATION, .value = "30s", .flag = "retry-interval-wan",
        MEMBER(retry_join_interval_wan),
        .usage = "Pause between attempts to join other datacenters.")
    OPTION("retry_join", LIST, .flag = "retry-join", DERIVED(retry_join_lan),
        .usage = "Address to join until it succeeds. May be repeated.")
    OPTION("retry_max", INT, .flag = "retry-max", MEMBER(retry_join_max_attempts_lan),
        .usage = "Attempts to join before the agent ends; 0 is no limit.")
    OPTION("retry_max_wan", INT, .flag = "retry-max-wan", MEMBER(retry_join_max_attempts_wan),
        .usage = "Attempts to join other datacenters before the agent ends; 0 is no limit.")
    OPTION("retry_join_wan", LIST, .flag = "retry-join-wan", DERIVED(retry_join_wan),
        .usage = "Address of another datacenter to join until it succeeds. May be repeated.")
    OPTION("self_preservation", BOOL, MEMBER(self_preservation), .marks = CONFIG_OWN)
    OPTION("serf_lan_allowed_cidrs", LIST, .flag = "serf-lan-allowed-cidrs",
        DERIVED(serf_allowed_cidrs_lan),
        .usage = "Network that members may come from. May be repeated.")
    OPTION("serf_wan_allowed_cidrs", LIST, .flag = "serf-wan-allowed-cidrs",
        DERIVED(serf_allowed_cidrs_wan),
        .usage = "Network that members of other datacenters may come from. May be repeated.")
    OPTION("serf_lan", STRING, .flag = "serf-lan-bind", DERIVED(serf_bind_addr_lan),
        .usage = "Address of gossip within the datacenter.")
    OPTION("serf_wan", STRING, .flag = "serf-wan-bind", DERIVED(serf_bind_addr_wan),
        .usage = "Address of gossip between datacenters.")
    OPTION("server", BOOL, .flag = "server", MEMBER(server_mode),
        .usage = "Makes the agent a server.")
    OPTION("server_name", STRING, MEMBER(server_name), RELOAD)
    OPTION("server_rejoin_age_max", DURATION, MEMBER(server_rejoin_age_max), .marks = CONFIG_OWN)
    OPTION("service", SERVICE, DERIVED(services), RELOAD)
    OPTION("services", SERVICES, DERIVED(services), RELOAD)
    OPTION("session_ttl_min", DURATION, MEMBER(session_ttl_min))
    OPTION("skip_leave_on_interrupt", BOOL, DERIVED(skip_leave_on_int))
    OPTION("start_join", LIST, .flag = "join", DERIVED(start_join_addrs_lan),
        .usage = "Address to join at start. May be repeated.")
    OPTION("start_join_wan", LIST, .flag = "join-wan", DERIVED(start_join_addrs_wan),
        .usage = "Address of another datacenter to join at start. May be repeated.")
    OPTION("syslog_facility", STRING, .value = "LOCAL0", MEMBER(logging.syslog_facility))
    OPTION("tls_cipher_suites", STRING, DERIVED(tls_cipher_suites), RELOAD)
    OPTION("tls_min_version", STRING, .value = "tls12", MEMBER(tls_min_version), RELOAD)
    OPTION("tls_prefer_server_cipher_suites", BOOL, MEMBER(tls_prefer_server_cipher_suites), RELOAD)
    OPTION("tagged_addresses", MAP, DERIVED(tagged_addresses))
    OPTION("telemetry.circonus_api_app", STRING, MEMBER(telemetry.circonus_api_app))
    OPTION("telemetry.circonus_api_token", STRING, MEMBER(telemetry.circonus_api_token))
    OPTION("telemetry.circonus_api_url", STRING, MEMBER(telemetry.circonus_api_url))
    OPTION("telemetry.circonus_broker_id", STRING, MEMBER(telemetry.circonus_broker_id))
    OPTION("telemetry.circonus_broker_select_tag", STRING,
        MEMBER(telemetry.circonus_broker_select_tag))
    OPTION("telemetry.circonus_check_display_name", STRING,
        MEMBER(telemetry.circonus_check_display_name))
    OPTION("telemetry.circonus_check_force_metric_activation", STRING,
        MEMBER(telemetry.circonus_check_force_metric_activation))
    OPTION("telemetry.circonus_check_id", STRING, MEMBER(telemetry.circonus_check_id))
    OPTION("telemetry.circonus_check_instance_id", STRING,
        MEMBER(telemetry.circonus_check_instance_id))
    OPTION("telemetry.circonus_check_search_tag", STRING,
        MEMBER(telemetry.circonus_check_search_tag))
    OPTION("telemetry.circonus_check_tags", STRING, MEMBER(telemetry.circonus_check_tags))
    OPTION("telemetry.circonus_submission_interval", STRING,
        MEMBER(telemetry.circonus_submission_interval))
    OPTION("telemetry.circonus_submission_url", STRING, MEMBER(telemetry.circonus_submission_url))
    OPTION("telemetry.disable_hostname", BOOL, MEMBER(telemetry.disable_hostname))
    OPTION("telemetry.dogstatsd_addr", STRING, MEMBER(telemetry.dogstatsd_addr))
    OPTION("telemetry.dogstatsd_tags", LIST, MEMBER(telemetry.dogstatsd_tags))
    OPTION("telemetry.filter_default", BOOL, .value = "true", MEMBER(telemetry.filter_default))
    OPTION("telemetry.prefix_filter", LIST, DERIVED(telemetry.allowed_prefixes), RELOAD)
    OPTION("telemetry.metrics_prefix", STRING, .value = "consul", MEMBER(telemetry.metrics_prefix))
    OPTION("telemetry.prometheus_retention_time", DURATION,
        MEMBER(telemetry.prometheus_retention_time))
    OPTION("telemetry.statsd_address", STRING, MEMBER(telemetry.statsd_addr))
    OPTION("telemetry.statsite_address", STRING, MEMBER(telemetry.statsite_addr))
    OPTION("translate_wan_addrs", BOOL, MEMBER(translate_wan_addrs))
    OPTION("ui", BOOL, .flag = "ui", MEMBER(enable_ui), .usage = "Serves the built-in web UI.")
    OPTION("ui_content_path", STRING, .value = "/ui/", .flag = "ui-content-path",
        DERIVED(ui_content_path),
        .usage = "Path that the web UI is served under.")
    OPTION("ui_dir", STRING, .flag = "ui-dir", MEMBER(ui_dir),
        .usage = "Folder that holds a web UI.")
    OPTION("unix_sockets.group", STRING, MEMBER(unix_socket_group))
    OPTION("unix_sockets.mode", STRING, MEMBER(unix_socket_mode))
    OPTION("unix_sockets.user", STRING, MEMBER(unix_socket_user))
    OPTION("verify_incoming", BOOL, MEMBER(verify_incoming), RELOAD)
    OPTION("verify_incoming_https", BOOL, MEMBER(verify_incoming_https), RELOAD)
    OPTION("verify_incoming_rpc", BOOL, MEMBER(verify_incoming_rpc), RELOAD)
    OPTION("verify_outgoing", BOOL, DERIVED(verify_outgoing), RELOAD)
    OPTION("verify_server_hostname", BOOL, MEMBER(verify_server_hostname), RELOAD)
    OPTION("watches", FREE_LIST, MEMBER(watches), RELOAD)
    OPTION("snapshot_agent", FREE, .marks = CONFIG_IGNORED)
    OPTION("acl_disabled_ttl", DURATION, .marks = CONFIG_DEPRECATED | CONFIG_FIXED)
    OPTION("ae_interval", DURATION, .value = "1m", MEMBER(ae_interval), FIXED)
    OPTION("check_deregister_interval_min", DURATION, .value = "1m",
        MEMBER(check_deregister_interval_min), FIXED)
    OPTION("check_reap_interval", DURATION, .value = "30s", MEMBER(check_reap_interval), FIXED)
    OPTION("consul.coordinate.update_batch_size", INT, .value = "128",
        MEMBER(consul_coordinate_update_batch_size), FIXED)
    OPTION("consul.coordinate.update_max_batches", INT, .value = "5",
        MEMBER(consul_coordinate_update_max_batches), FIXED)
    OPTION("consul.coordinate.update_period", DURATION, .value = "5s",
        MEMBER(consul_coordinate_update_period), FIXED)
    OPTION("consul.raft.election_timeout", DURATION, .value = "1s",
        MEMBER(consul_raft_election_timeout), FIXED)
    OPTION("consul.raft.heartbeat_timeout", DURATION, .value = "1s",
        MEMBER(consul_raft_heartbeat_timeout), FIXED)
    OPTION("consul.raft.leader_lease_timeout", DURATION, .value = "500ms",
        MEMBER(consul_raft_leader_lease_timeout), FIXED)
    OPTION("consul.server.health_interval", DURATION, .value = "2s",
        MEMBER(consul_server_health_interval), FIXED)
    OPTION("revision", STRING, MEMBER(revision), FIXED)
    OPTION("segment_limit", INT, .value = "64", MEMBER(segment_limit), FIXED)
    OPTION("segment_name_limit", INT, .value = "64", MEMBER(segment_name_limit), FIXED)
    OPTION("sync_coordinate_interval_min", DURATION, .value = "15s",
        MEMBER(sync_coordinate_interval_min), FIXED)
    OPTION("sync_coordinate_rate_target", NUMBER, .value = "64",
        MEMBER(sync_coordinate_rate_target), FIXED)
    OPTION("version", STRING, .value = CONSUL_VERSION, MEMBER(version), FIXED)
    OPTION("version_prerelease", STRING, MEMBER(version_prerelease), FIXED)
    OPTION("audit.enabled", BOOL, ENTERPRISE)
    OPTION("audit.sink", FREE, ENTERPRISE)
    OPTION("non_voting_server", BOOL, .flag = "non-voting-server", MEMBER(non_voting_server),
        ENTERPRISE,
        .usage = "(Enterprise) no effect.")
    OPTION("segment", STRING, .flag = "segment", MEMBER(segment_name), ENTERPRISE,
        .usage = "(Enterprise) refused.")
    OPTION("segments[].advertise", STRING, ENTERPRISE)
    OPTION("segments[].bind", STRING, ENTERPRISE)
    OPTION("segments[].name", STRING, ENTERPRISE)
    OPTION("segments[].port", INT, ENTERPRISE)
    OPTION("segments[].rpc_listener", BOOL, ENTERPRISE)
};
/* clang-format on */

const size_t config_options_n = sizeof config_options / sizeof config_options[0];
