/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime configuration as records: every value an agent runs with, under the names that
 * /v1/agent/self shows as DebugConfig, in the byte order of those names. Durations are
 * nanoseconds. Addresses with a port are texts "tcp://IP:PORT", "udp://IP:PORT" or "unix://PATH"
 * (config_addr_parse splits them), "" when off; ports are -1 when off. Spec: agent.md 1, 2. */
#pragma once
#include "consuld/model.h"

#define TELEMETRY_CONFIG_FIELDS(X, S) \
    X(S, allowed_prefixes, LIST_STR, "AllowedPrefixes") \
    X(S, blocked_prefixes, LIST_STR, "BlockedPrefixes") \
    X(S, circonus_api_app, STR, "CirconusAPIApp") \
    X(S, circonus_api_token, STR, "CirconusAPIToken") \
    X(S, circonus_api_url, STR, "CirconusAPIURL") \
    X(S, circonus_broker_id, STR, "CirconusBrokerID") \
    X(S, circonus_broker_select_tag, STR, "CirconusBrokerSelectTag") \
    X(S, circonus_check_display_name, STR, "CirconusCheckDisplayName") \
    X(S, circonus_check_force_metric_activation, STR, "CirconusCheckForceMetricActivation") \
    X(S, circonus_check_id, STR, "CirconusCheckID") \
    X(S, circonus_check_instance_id, STR, "CirconusCheckInstanceID") \
    X(S, circonus_check_search_tag, STR, "CirconusCheckSearchTag") \
    X(S, circonus_check_tags, STR, "CirconusCheckTags") \
    X(S, circonus_submission_interval, STR, "CirconusSubmissionInterval") \
    X(S, circonus_submission_url, STR, "CirconusSubmissionURL") \
    X(S, disable, BOOL, "Disable") \
    X(S, disable_hostname, BOOL, "DisableHostname") \
    X(S, dogstatsd_addr, STR, "DogstatsdAddr") \
    X(S, dogstatsd_tags, LIST_STR, "DogstatsdTags") \
    X(S, filter_default, BOOL, "FilterDefault") \
    X(S, metrics_prefix, STR, "MetricsPrefix") \
    X(S, prometheus_retention_time, DUR, "PrometheusRetentionTime", .flags = JSON_DUR_TEXT) \
    X(S, statsd_addr, STR, "StatsdAddr") \
    X(S, statsite_addr, STR, "StatsiteAddr")
DECLARE_RECORD(telemetry_config, TELEMETRY_CONFIG_FIELDS)

#define LOGGING_CONFIG_FIELDS(X, S) \
    X(S, enable_syslog, BOOL, "EnableSyslog") \
    X(S, log_file_path, STR, "LogFilePath") \
    X(S, log_json, BOOL, "LogJSON") \
    X(S, log_level, STR, "LogLevel") \
    X(S, log_rotate_bytes, INT, "LogRotateBytes") \
    X(S, log_rotate_duration, DUR, "LogRotateDuration", .flags = JSON_DUR_TEXT) \
    X(S, log_rotate_max_files, INT, "LogRotateMaxFiles") \
    X(S, name, STR, "Name") \
    X(S, syslog_facility, STR, "SyslogFacility")
DECLARE_RECORD(logging_config, LOGGING_CONFIG_FIELDS)

#define CACHE_CONFIG_FIELDS(X, S) \
    X(S, entry_fetch_max_burst, INT, "EntryFetchMaxBurst") \
    X(S, entry_fetch_rate, F64, "EntryFetchRate")
DECLARE_RECORD(cache_config, CACHE_CONFIG_FIELDS)

#define DNS_SOA_CONFIG_FIELDS(X, S) \
    X(S, expire, UINT, "Expire") \
    X(S, minttl, UINT, "Minttl") \
    X(S, refresh, UINT, "Refresh") \
    X(S, retry, UINT, "Retry")
DECLARE_RECORD(dns_soa_config, DNS_SOA_CONFIG_FIELDS)

#define AUTO_CONFIG_INDEX_FIELDS(X, S) \
    X(S, create_index, UINT, "CreateIndex") \
    X(S, modify_index, UINT, "ModifyIndex")
DECLARE_RECORD(auto_config_index, AUTO_CONFIG_INDEX_FIELDS)

#define AUTO_CONFIG_AUTH_METHOD_FIELDS(X, S) \
    X(S, acl_auth_method_enterprise_fields, ANY, "ACLAuthMethodEnterpriseFields") \
    X(S, config, ANY, "Config") \
    X(S, description, STR, "Description") \
    X(S, display_name, STR, "DisplayName") \
    X(S, enterprise_meta, ANY, "EnterpriseMeta") \
    X(S, max_token_ttl, DUR, "MaxTokenTTL", .flags = JSON_DUR_TEXT) \
    X(S, name, STR, "Name") \
    X(S, raft_index, REC(auto_config_index), "RaftIndex") \
    X(S, token_locality, STR, "TokenLocality") \
    X(S, type, STR, "Type")
DECLARE_RECORD(auto_config_auth_method, AUTO_CONFIG_AUTH_METHOD_FIELDS)

#define AUTO_CONFIG_AUTHORIZER_FIELDS(X, S) \
    X(S, allow_reuse, BOOL, "AllowReuse") \
    X(S, auth_method, REC(auto_config_auth_method), "AuthMethod") \
    X(S, claim_assertions, LIST_STR, "ClaimAssertions") \
    X(S, enabled, BOOL, "Enabled")
DECLARE_RECORD(auto_config_authorizer, AUTO_CONFIG_AUTHORIZER_FIELDS)

#define AUTO_CONFIG_FIELDS(X, S) \
    X(S, authorizer, REC(auto_config_authorizer), "Authorizer") \
    X(S, dns_sans, LIST_STR, "DNSSANs") \
    X(S, enabled, BOOL, "Enabled") \
    X(S, ip_sans, LIST_STR, "IPSANs") \
    X(S, intro_token, STR, "IntroToken") \
    X(S, intro_token_file, STR, "IntroTokenFile") \
    X(S, server_addresses, LIST_STR, "ServerAddresses")
DECLARE_RECORD(auto_config, AUTO_CONFIG_FIELDS)

/* ANY members: connect_ca_config is a map with
 * internal key names (LeafCertTTL ...), watches a list of maps; segments is always nil. Elements of
 * services and checks are struct service_definition and struct check_definition; a service's own
 * checks are in its `checks` alone (`check` stays empty). dns_service_ttl holds nanoseconds. */
#define AGENT_CONFIG_FIELDS(X, S) \
    X(S, acl_agent_master_token, STR, "ACLAgentMasterToken") \
    X(S, acl_agent_token, STR, "ACLAgentToken") \
    X(S, acl_datacenter, STR, "ACLDatacenter") \
    X(S, acl_default_policy, STR, "ACLDefaultPolicy") \
    X(S, acl_disabled_ttl, DUR, "ACLDisabledTTL", .flags = JSON_DUR_TEXT) \
    X(S, acl_down_policy, STR, "ACLDownPolicy") \
    X(S, acl_enable_key_list_policy, BOOL, "ACLEnableKeyListPolicy") \
    X(S, acl_enable_token_persistence, BOOL, "ACLEnableTokenPersistence") \
    X(S, acl_master_token, STR, "ACLMasterToken") \
    X(S, acl_policy_ttl, DUR, "ACLPolicyTTL", .flags = JSON_DUR_TEXT) \
    X(S, acl_replication_token, STR, "ACLReplicationToken") \
    X(S, acl_role_ttl, DUR, "ACLRoleTTL", .flags = JSON_DUR_TEXT) \
    X(S, acl_token, STR, "ACLToken") \
    X(S, acl_token_replication, BOOL, "ACLTokenReplication") \
    X(S, acl_token_ttl, DUR, "ACLTokenTTL", .flags = JSON_DUR_TEXT) \
    X(S, acls_enabled, BOOL, "ACLsEnabled") \
    X(S, ae_interval, DUR, "AEInterval", .flags = JSON_DUR_TEXT) \
    X(S, advertise_addr_lan, STR, "AdvertiseAddrLAN") \
    X(S, advertise_addr_wan, STR, "AdvertiseAddrWAN") \
    X(S, allow_write_http_from, LIST_STR, "AllowWriteHTTPFrom") \
    X(S, auto_config, REC(auto_config), "AutoConfig") \
    X(S, auto_encrypt_allow_tls, BOOL, "AutoEncryptAllowTLS") \
    X(S, auto_encrypt_dns_san, LIST_STR, "AutoEncryptDNSSAN") \
    X(S, auto_encrypt_ip_san, LIST_STR, "AutoEncryptIPSAN") \
    X(S, auto_encrypt_tls, BOOL, "AutoEncryptTLS") \
    X(S, autopilot_cleanup_dead_servers, BOOL, "AutopilotCleanupDeadServers") \
    X(S, autopilot_disable_upgrade_migration, BOOL, "AutopilotDisableUpgradeMigration") \
    X(S, autopilot_last_contact_threshold, DUR, "AutopilotLastContactThreshold", \
        .flags = JSON_DUR_TEXT) \
    X(S, autopilot_max_trailing_logs, INT, "AutopilotMaxTrailingLogs") \
    X(S, autopilot_min_quorum, UINT, "AutopilotMinQuorum") \
    X(S, autopilot_redundancy_zone_tag, STR, "AutopilotRedundancyZoneTag") \
    X(S, autopilot_server_stabilization_time, DUR, "AutopilotServerStabilizationTime", \
        .flags = JSON_DUR_TEXT) \
    X(S, autopilot_upgrade_version_tag, STR, "AutopilotUpgradeVersionTag") \
    X(S, bind_addr, STR, "BindAddr") \
    X(S, bootstrap, BOOL, "Bootstrap") \
    X(S, bootstrap_expect, INT, "BootstrapExpect") \
    X(S, ca_file, STR, "CAFile") \
    X(S, ca_path, STR, "CAPath") \
    X(S, cache, REC(cache_config), "Cache") \
    X(S, cert_file, STR, "CertFile") \
    X(S, check_deregister_interval_min, DUR, "CheckDeregisterIntervalMin", .flags = JSON_DUR_TEXT) \
    X(S, check_output_max_size, INT, "CheckOutputMaxSize") \
    X(S, check_reap_interval, DUR, "CheckReapInterval", .flags = JSON_DUR_TEXT) \
    X(S, check_update_interval, DUR, "CheckUpdateInterval", .flags = JSON_DUR_TEXT) \
    X(S, checks, LIST(check_definition), "Checks") \
    X(S, client_addrs, LIST_STR, "ClientAddrs") \
    X(S, config_entry_bootstrap, LIST(config_entry), "ConfigEntryBootstrap") \
    X(S, connect_ca_config, ANY, "ConnectCAConfig") \
    X(S, connect_ca_provider, STR, "ConnectCAProvider") \
    X(S, connect_enabled, BOOL, "ConnectEnabled") \
    X(S, connect_mesh_gateway_wan_federation_enabled, BOOL, \
        "ConnectMeshGatewayWANFederationEnabled") \
    X(S, connect_sidecar_max_port, INT, "ConnectSidecarMaxPort") \
    X(S, connect_sidecar_min_port, INT, "ConnectSidecarMinPort") \
    X(S, connect_test_ca_leaf_root_change_spread, DUR, "ConnectTestCALeafRootChangeSpread", \
        .flags = JSON_DUR_TEXT) \
    X(S, consul_coordinate_update_batch_size, INT, "ConsulCoordinateUpdateBatchSize") \
    X(S, consul_coordinate_update_max_batches, INT, "ConsulCoordinateUpdateMaxBatches") \
    X(S, consul_coordinate_update_period, DUR, "ConsulCoordinateUpdatePeriod", \
        .flags = JSON_DUR_TEXT) \
    X(S, consul_raft_election_timeout, DUR, "ConsulRaftElectionTimeout", .flags = JSON_DUR_TEXT) \
    X(S, consul_raft_heartbeat_timeout, DUR, "ConsulRaftHeartbeatTimeout", .flags = JSON_DUR_TEXT) \
    X(S, consul_raft_leader_lease_timeout, DUR, "ConsulRaftLeaderLeaseTimeout", \
        .flags = JSON_DUR_TEXT) \
    X(S, consul_server_health_interval, DUR, "ConsulServerHealthInterval", .flags = JSON_DUR_TEXT) \
    X(S, dns_a_record_limit, INT, "DNSARecordLimit") \
    X(S, dns_addrs, LIST_STR, "DNSAddrs") \
    X(S, dns_allow_stale, BOOL, "DNSAllowStale") \
    X(S, dns_alt_domain, STR, "DNSAltDomain") \
    X(S, dns_cache_max_age, DUR, "DNSCacheMaxAge", .flags = JSON_DUR_TEXT) \
    X(S, dns_disable_compression, BOOL, "DNSDisableCompression") \
    X(S, dns_domain, STR, "DNSDomain") \
    X(S, dns_enable_truncate, BOOL, "DNSEnableTruncate") \
    X(S, dns_max_stale, DUR, "DNSMaxStale", .flags = JSON_DUR_TEXT) \
    X(S, dns_node_meta_txt, BOOL, "DNSNodeMetaTXT") \
    X(S, dns_node_ttl, DUR, "DNSNodeTTL", .flags = JSON_DUR_TEXT) \
    X(S, dns_only_passing, BOOL, "DNSOnlyPassing") \
    X(S, dns_port, INT, "DNSPort") \
    X(S, dns_recursor_timeout, DUR, "DNSRecursorTimeout", .flags = JSON_DUR_TEXT) \
    X(S, dns_recursors, LIST_STR, "DNSRecursors") \
    X(S, dns_soa, REC(dns_soa_config), "DNSSOA") \
    X(S, dns_service_ttl, MAP_INT, "DNSServiceTTL", .flags = JSON_DUR_TEXT) \
    X(S, dns_udp_answer_limit, INT, "DNSUDPAnswerLimit") \
    X(S, dns_use_cache, BOOL, "DNSUseCache") \
    X(S, data_dir, STR, "DataDir") \
    X(S, datacenter, STR, "Datacenter") \
    X(S, default_query_time, DUR, "DefaultQueryTime", .flags = JSON_DUR_TEXT) \
    X(S, dev_mode, BOOL, "DevMode") \
    X(S, disable_anonymous_signature, BOOL, "DisableAnonymousSignature") \
    X(S, disable_coordinates, BOOL, "DisableCoordinates") \
    X(S, disable_http_unprintable_char_filter, BOOL, "DisableHTTPUnprintableCharFilter") \
    X(S, disable_host_node_id, BOOL, "DisableHostNodeID") \
    X(S, disable_keyring_file, BOOL, "DisableKeyringFile") \
    X(S, disable_remote_exec, BOOL, "DisableRemoteExec") \
    X(S, disable_update_check, BOOL, "DisableUpdateCheck") \
    X(S, discard_check_output, BOOL, "DiscardCheckOutput") \
    X(S, discovery_max_stale, DUR, "DiscoveryMaxStale", .flags = JSON_DUR_TEXT) \
    X(S, enable_agent_tls_for_checks, BOOL, "EnableAgentTLSForChecks") \
    X(S, enable_central_service_config, BOOL, "EnableCentralServiceConfig") \
    X(S, enable_debug, BOOL, "EnableDebug") \
    X(S, enable_local_script_checks, BOOL, "EnableLocalScriptChecks") \
    X(S, enable_remote_script_checks, BOOL, "EnableRemoteScriptChecks") \
    X(S, enable_ui, BOOL, "EnableUI") \
    X(S, encrypt_key, STR, "EncryptKey") \
    X(S, encrypt_verify_incoming, BOOL, "EncryptVerifyIncoming") \
    X(S, encrypt_verify_outgoing, BOOL, "EncryptVerifyOutgoing") \
    X(S, enterprise_runtime_config, ANY, "EnterpriseRuntimeConfig") \
    X(S, expose_max_port, INT, "ExposeMaxPort") \
    X(S, expose_min_port, INT, "ExposeMinPort") \
    X(S, grpc_addrs, LIST_STR, "GRPCAddrs") \
    X(S, grpc_port, INT, "GRPCPort") \
    X(S, gossip_lan_gossip_interval, DUR, "GossipLANGossipInterval", .flags = JSON_DUR_TEXT) \
    X(S, gossip_lan_gossip_nodes, INT, "GossipLANGossipNodes") \
    X(S, gossip_lan_probe_interval, DUR, "GossipLANProbeInterval", .flags = JSON_DUR_TEXT) \
    X(S, gossip_lan_probe_timeout, DUR, "GossipLANProbeTimeout", .flags = JSON_DUR_TEXT) \
    X(S, gossip_lan_retransmit_mult, INT, "GossipLANRetransmitMult") \
    X(S, gossip_lan_suspicion_mult, INT, "GossipLANSuspicionMult") \
    X(S, gossip_wan_gossip_interval, DUR, "GossipWANGossipInterval", .flags = JSON_DUR_TEXT) \
    X(S, gossip_wan_gossip_nodes, INT, "GossipWANGossipNodes") \
    X(S, gossip_wan_probe_interval, DUR, "GossipWANProbeInterval", .flags = JSON_DUR_TEXT) \
    X(S, gossip_wan_probe_timeout, DUR, "GossipWANProbeTimeout", .flags = JSON_DUR_TEXT) \
    X(S, gossip_wan_retransmit_mult, INT, "GossipWANRetransmitMult") \
    X(S, gossip_wan_suspicion_mult, INT, "GossipWANSuspicionMult") \
    X(S, http_addrs, LIST_STR, "HTTPAddrs") \
    X(S, http_block_endpoints, LIST_STR, "HTTPBlockEndpoints") \
    X(S, http_max_conns_per_client, INT, "HTTPMaxConnsPerClient") \
    X(S, http_port, INT, "HTTPPort") \
    X(S, http_refuse_silently, BOOL, "HTTPRefuseSilently", .flags = WIRE_OMIT) \
    X(S, http_response_headers, MAP_STR, "HTTPResponseHeaders") \
    X(S, https_addrs, LIST_STR, "HTTPSAddrs") \
    X(S, https_handshake_timeout, DUR, "HTTPSHandshakeTimeout", .flags = JSON_DUR_TEXT) \
    X(S, https_port, INT, "HTTPSPort") \
    X(S, http_use_cache, BOOL, "HTTPUseCache") \
    X(S, kv_max_value_size, UINT, "KVMaxValueSize") \
    X(S, key_file, STR, "KeyFile") \
    X(S, leave_drain_time, DUR, "LeaveDrainTime", .flags = JSON_DUR_TEXT) \
    X(S, leave_on_term, BOOL, "LeaveOnTerm") \
    X(S, logging, REC(logging_config), "Logging") \
    X(S, max_query_time, DUR, "MaxQueryTime", .flags = JSON_DUR_TEXT) \
    X(S, node_id, STR, "NodeID") \
    X(S, node_meta, MAP_STR, "NodeMeta") \
    X(S, node_name, STR, "NodeName") \
    X(S, non_voting_server, BOOL, "NonVotingServer") \
    X(S, pid_file, STR, "PidFile") \
    X(S, primary_datacenter, STR, "PrimaryDatacenter") \
    X(S, primary_gateways, LIST_STR, "PrimaryGateways") \
    X(S, primary_gateways_interval, DUR, "PrimaryGatewaysInterval", .flags = JSON_DUR_TEXT) \
    X(S, rpc_advertise_addr, STR, "RPCAdvertiseAddr") \
    X(S, rpc_bind_addr, STR, "RPCBindAddr") \
    X(S, rpc_handshake_timeout, DUR, "RPCHandshakeTimeout", .flags = JSON_DUR_TEXT) \
    X(S, rpc_hold_timeout, DUR, "RPCHoldTimeout", .flags = JSON_DUR_TEXT) \
    X(S, rpc_max_burst, INT, "RPCMaxBurst") \
    X(S, rpc_max_conns_per_client, INT, "RPCMaxConnsPerClient") \
    X(S, rpc_protocol, INT, "RPCProtocol") \
    X(S, rpc_rate_limit, F64, "RPCRateLimit") \
    X(S, raft_protocol, INT, "RaftProtocol") \
    X(S, raft_snapshot_interval, DUR, "RaftSnapshotInterval", .flags = JSON_DUR_TEXT) \
    X(S, raft_snapshot_threshold, INT, "RaftSnapshotThreshold") \
    X(S, raft_trailing_logs, INT, "RaftTrailingLogs") \
    X(S, reconnect_timeout_lan, DUR, "ReconnectTimeoutLAN", .flags = JSON_DUR_TEXT) \
    X(S, reconnect_timeout_wan, DUR, "ReconnectTimeoutWAN", .flags = JSON_DUR_TEXT) \
    X(S, rejoin_after_leave, BOOL, "RejoinAfterLeave") \
    X(S, retry_join_interval_lan, DUR, "RetryJoinIntervalLAN", .flags = JSON_DUR_TEXT) \
    X(S, retry_join_interval_wan, DUR, "RetryJoinIntervalWAN", .flags = JSON_DUR_TEXT) \
    X(S, retry_join_lan, LIST_STR, "RetryJoinLAN") \
    X(S, retry_join_max_attempts_lan, INT, "RetryJoinMaxAttemptsLAN") \
    X(S, retry_join_max_attempts_wan, INT, "RetryJoinMaxAttemptsWAN") \
    X(S, retry_join_wan, LIST_STR, "RetryJoinWAN") \
    X(S, revision, STR, "Revision") \
    X(S, segment_limit, INT, "SegmentLimit") \
    X(S, segment_name, STR, "SegmentName") \
    X(S, segment_name_limit, INT, "SegmentNameLimit") \
    X(S, segments, LIST_STR, "Segments") \
    X(S, self_preservation, BOOL, "SelfPreservation", .flags = WIRE_OMIT) \
    X(S, serf_advertise_addr_lan, STR, "SerfAdvertiseAddrLAN") \
    X(S, serf_advertise_addr_wan, STR, "SerfAdvertiseAddrWAN") \
    X(S, serf_allowed_cidrs_lan, LIST_STR, "SerfAllowedCIDRsLAN") \
    X(S, serf_allowed_cidrs_wan, LIST_STR, "SerfAllowedCIDRsWAN") \
    X(S, serf_bind_addr_lan, STR, "SerfBindAddrLAN") \
    X(S, serf_bind_addr_wan, STR, "SerfBindAddrWAN") \
    X(S, serf_port_lan, INT, "SerfPortLAN") \
    X(S, serf_port_wan, INT, "SerfPortWAN") \
    X(S, server_mode, BOOL, "ServerMode") \
    X(S, server_name, STR, "ServerName") \
    X(S, server_port, INT, "ServerPort") \
    X(S, server_rejoin_age_max, DUR, "ServerRejoinAgeMax", .flags = JSON_DUR_TEXT | WIRE_OMIT) \
    X(S, services, LIST(service_definition), "Services") \
    X(S, session_ttl_min, DUR, "SessionTTLMin", .flags = JSON_DUR_TEXT) \
    X(S, skip_leave_on_int, BOOL, "SkipLeaveOnInt") \
    X(S, start_join_addrs_lan, LIST_STR, "StartJoinAddrsLAN") \
    X(S, start_join_addrs_wan, LIST_STR, "StartJoinAddrsWAN") \
    X(S, sync_coordinate_interval_min, DUR, "SyncCoordinateIntervalMin", .flags = JSON_DUR_TEXT) \
    X(S, sync_coordinate_rate_target, F64, "SyncCoordinateRateTarget") \
    X(S, tls_cipher_suites, LIST_STR, "TLSCipherSuites") \
    X(S, tls_min_version, STR, "TLSMinVersion") \
    X(S, tls_prefer_server_cipher_suites, BOOL, "TLSPreferServerCipherSuites") \
    X(S, tagged_addresses, MAP_STR, "TaggedAddresses") \
    X(S, telemetry, REC(telemetry_config), "Telemetry") \
    X(S, translate_wan_addrs, BOOL, "TranslateWANAddrs") \
    X(S, txn_max_req_len, UINT, "TxnMaxReqLen") \
    X(S, ui_content_path, STR, "UIContentPath") \
    X(S, ui_dir, STR, "UIDir") \
    X(S, unix_socket_group, STR, "UnixSocketGroup") \
    X(S, unix_socket_mode, STR, "UnixSocketMode") \
    X(S, unix_socket_user, STR, "UnixSocketUser") \
    X(S, verify_incoming, BOOL, "VerifyIncoming") \
    X(S, verify_incoming_https, BOOL, "VerifyIncomingHTTPS") \
    X(S, verify_incoming_rpc, BOOL, "VerifyIncomingRPC") \
    X(S, verify_outgoing, BOOL, "VerifyOutgoing") \
    X(S, verify_server_hostname, BOOL, "VerifyServerHostname") \
    X(S, version, STR, "Version") \
    X(S, version_prerelease, STR, "VersionPrerelease") \
    X(S, watches, ANY, "Watches")
DECLARE_RECORD(agent_config, AGENT_CONFIG_FIELDS)
