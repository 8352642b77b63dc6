/* SPDX-License-Identifier: Apache-2.0 */
/* Connect: certificate authority, leaf certificates, intentions. */
#pragma once
#include "consuld/model/rpc.h"

/* clang-format off */
#define CA_ROOT_FIELDS(X, S) \
    X(S, id,                    STR,      "ID") \
    X(S, name,                  STR,      "Name") \
    X(S, serial_number,         UINT,     "SerialNumber") \
    X(S, signing_key_id,        STR,      "SigningKeyID") \
    X(S, external_trust_domain, STR,      "ExternalTrustDomain") \
    X(S, not_before,            TIME,     "NotBefore") \
    X(S, not_after,             TIME,     "NotAfter") \
    X(S, root_cert,             STR,      "RootCert") \
    X(S, intermediate_certs,    LIST_STR, "IntermediateCerts") \
    X(S, signing_cert,          STR,      "SigningCert", .flags = JSON_OMIT) \
    X(S, signing_key,           STR,      "SigningKey", .flags = JSON_OMIT) \
    X(S, active,                BOOL,     "Active") \
    X(S, rotated_out_at,        TIME,     "RotatedOutAt", .flags = JSON_SKIP) \
    X(S, private_key_type,      STR,      "PrivateKeyType") \
    X(S, private_key_bits,      INT,      "PrivateKeyBits") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(ca_root, CA_ROOT_FIELDS)

#define INDEXED_CA_ROOTS_FIELDS(X, S) \
    X(S, active_root_id, STR,           "ActiveRootID") \
    X(S, trust_domain,   STR,           "TrustDomain") \
    X(S, roots,          LIST(ca_root), "Roots") \
    QUERY_META_HIDDEN_FIELDS(X, S)
DECLARE_RECORD(indexed_ca_roots, INDEXED_CA_ROOTS_FIELDS)

#define CA_SIGN_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    X(S, csr,        STR, "CSR") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(ca_sign_request, CA_SIGN_REQUEST_FIELDS)

#define ISSUED_CERT_FIELDS(X, S) \
    X(S, serial_number,   STR,  "SerialNumber") \
    X(S, cert_pem,        STR,  "CertPEM") \
    X(S, private_key_pem, STR,  "PrivateKeyPEM", .flags = JSON_OMIT) \
    X(S, service,         STR,  "Service", .flags = JSON_OMIT) \
    X(S, service_uri,     STR,  "ServiceURI", .flags = JSON_OMIT) \
    X(S, agent,           STR,  "Agent", .flags = JSON_OMIT) \
    X(S, agent_uri,       STR,  "AgentURI", .flags = JSON_OMIT) \
    X(S, valid_after,     TIME, "ValidAfter") \
    X(S, valid_before,    TIME, "ValidBefore") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(issued_cert, ISSUED_CERT_FIELDS)

#define SIGNED_RESPONSE_FIELDS(X, S) \
    X(S, issued_cert,            REC(issued_cert),      "IssuedCert") \
    X(S, connect_ca_roots,       REC(indexed_ca_roots), "ConnectCARoots") \
    X(S, manual_ca_roots,        LIST_STR,              "ManualCARoots") \
    X(S, gossip_key,             STR,                   "GossipKey") \
    X(S, verify_server_hostname, BOOL,                  "VerifyServerHostname")
DECLARE_RECORD(signed_response, SIGNED_RESPONSE_FIELDS)

#define CA_CONFIGURATION_FIELDS(X, S) \
    X(S, cluster_id,                  STR,     "ClusterID", .flags = JSON_SKIP) \
    X(S, provider,                    STR,     "Provider") \
    X(S, config,                      ANY,     "Config", .flags = ANY_MAP) \
    X(S, state,                       MAP_STR, "State") \
    X(S, force_without_cross_signing, BOOL,    "ForceWithoutCrossSigning", .alias = "force_without_cross_signing") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(ca_configuration, CA_CONFIGURATION_FIELDS)

/* What Config says for the built-in provider; ca_settings.h reads it. */
#define CA_SETTINGS_FIELDS(X, S) \
    X(S, leaf_cert_ttl,         DUR,  "LeafCertTTL") \
    X(S, intermediate_cert_ttl, DUR,  "IntermediateCertTTL") \
    X(S, skip_validate,         BOOL, "SkipValidate") \
    X(S, csr_max_per_second,    F32,  "CSRMaxPerSecond") \
    X(S, csr_max_concurrent,    INT,  "CSRMaxConcurrent") \
    X(S, private_key_type,      STR,  "PrivateKeyType") \
    X(S, private_key_bits,      INT,  "PrivateKeyBits") \
    X(S, private_key,           STR,  "PrivateKey") \
    X(S, root_cert,             STR,  "RootCert") \
    X(S, rotation_period,       DUR,  "RotationPeriod") \
    X(S, disable_cross_signing, BOOL, "DisableCrossSigning")
DECLARE_RECORD(ca_settings, CA_SETTINGS_FIELDS)

#define CA_CONSUL_PROVIDER_STATE_FIELDS(X, S) \
    X(S, id,                STR, "ID") \
    X(S, private_key,       STR, "PrivateKey") \
    X(S, root_cert,         STR, "RootCert") \
    X(S, intermediate_cert, STR, "IntermediateCert") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(ca_consul_provider_state, CA_CONSUL_PROVIDER_STATE_FIELDS)

#define CA_REQUEST_FIELDS(X, S) \
    X(S, op,             STR,                           "Op") \
    X(S, datacenter,     STR,                           "Datacenter") \
    X(S, index,          UINT,                          "Index") \
    X(S, roots,          LIST(ca_root),                 "Roots") \
    X(S, config,         PTR(ca_configuration),         "Config") \
    X(S, provider_state, PTR(ca_consul_provider_state), "ProviderState") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(ca_request, CA_REQUEST_FIELDS)

#define CA_LEAF_REQUEST_FIELDS(X, S) \
    X(S, op,         STR, "Op") \
    X(S, datacenter, STR, "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(ca_leaf_request, CA_LEAF_REQUEST_FIELDS)

#define INTENTION_FIELDS(X, S) \
    X(S, id,               STR,     "ID") \
    X(S, description,      STR,     "Description") \
    X(S, source_ns,        STR,     "SourceNS") \
    X(S, source_name,      STR,     "SourceName") \
    X(S, destination_ns,   STR,     "DestinationNS") \
    X(S, destination_name, STR,     "DestinationName") \
    X(S, source_type,      STR,     "SourceType") \
    X(S, action,           STR,     "Action") \
    X(S, default_addr,     STR,     "DefaultAddr") \
    X(S, default_port,     INT,     "DefaultPort") \
    X(S, meta,             MAP_STR, "Meta") \
    X(S, precedence,       INT,     "Precedence") \
    X(S, created_at,       TIME,    "CreatedAt") \
    X(S, updated_at,       TIME,    "UpdatedAt") \
    X(S, hash,             BYTES,   "Hash") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(intention, INTENTION_FIELDS)

#define INTENTION_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,            "Datacenter") \
    X(S, op,         STR,            "Op") \
    X(S, intention,  PTR(intention), "Intention") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(intention_request, INTENTION_REQUEST_FIELDS)

#define INTENTION_MATCH_ENTRY_FIELDS(X, S) \
    X(S, namespace, STR, "Namespace") \
    X(S, name,      STR, "Name")
DECLARE_RECORD(intention_match_entry, INTENTION_MATCH_ENTRY_FIELDS)

#define INTENTION_QUERY_MATCH_FIELDS(X, S) \
    X(S, type,    STR,                         "Type") \
    X(S, entries, LIST(intention_match_entry), "Entries")
DECLARE_RECORD(intention_query_match, INTENTION_QUERY_MATCH_FIELDS)

#define INTENTION_QUERY_CHECK_FIELDS(X, S) \
    X(S, source_ns,        STR, "SourceNS") \
    X(S, source_name,      STR, "SourceName") \
    X(S, destination_ns,   STR, "DestinationNS") \
    X(S, destination_name, STR, "DestinationName") \
    X(S, source_type,      STR, "SourceType")
DECLARE_RECORD(intention_query_check, INTENTION_QUERY_CHECK_FIELDS)

#define INTENTION_QUERY_REQUEST_FIELDS(X, S) \
    X(S, datacenter,   STR,                        "Datacenter") \
    X(S, intention_id, STR,                        "IntentionID") \
    X(S, match,        PTR(intention_query_match), "Match") \
    X(S, check,        PTR(intention_query_check), "Check") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(intention_query_request, INTENTION_QUERY_REQUEST_FIELDS)

#define INTENTION_QUERY_CHECK_RESPONSE_FIELDS(X, S) \
    X(S, allowed, BOOL, "Allowed")
DECLARE_RECORD(intention_query_check_response, INTENTION_QUERY_CHECK_RESPONSE_FIELDS)

#define INDEXED_INTENTIONS_FIELDS(X, S) \
    X(S, intentions, LIST(intention), "Intentions") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_intentions, INDEXED_INTENTIONS_FIELDS)

#define INDEXED_INTENTION_MATCHES_FIELDS(X, S) \
    X(S, matches, LIST_LIST(intention), "Matches") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_intention_matches, INDEXED_INTENTION_MATCHES_FIELDS)
