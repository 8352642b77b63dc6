/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/config_record.h"

DEFINE_RECORD(telemetry_config, TELEMETRY_CONFIG_FIELDS, "TelemetryConfig")
DEFINE_RECORD(logging_config, LOGGING_CONFIG_FIELDS, "LoggingConfig")
DEFINE_RECORD(cache_config, CACHE_CONFIG_FIELDS, "CacheConfig")
DEFINE_RECORD(dns_soa_config, DNS_SOA_CONFIG_FIELDS, "DNSSOAConfig")
DEFINE_RECORD(auto_config_index, AUTO_CONFIG_INDEX_FIELDS, "RaftIndex")
DEFINE_RECORD(auto_config_auth_method, AUTO_CONFIG_AUTH_METHOD_FIELDS, "AuthMethod")
DEFINE_RECORD(auto_config_authorizer, AUTO_CONFIG_AUTHORIZER_FIELDS, "Authorizer")
DEFINE_RECORD(auto_config, AUTO_CONFIG_FIELDS, "AutoConfig")
DEFINE_RECORD(agent_config, AGENT_CONFIG_FIELDS, "AgentConfig")
