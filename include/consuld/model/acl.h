/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens, policies, roles, binding rules, auth methods, and the legacy forms. */
#pragma once
#include "consuld/model/rpc.h"

/* clang-format off */
#define ACL_AGENT_RULE_FIELDS(X, S) \
    X(S, node,   STR, "Node") \
    X(S, policy, STR, "Policy")
DECLARE_RECORD(acl_agent_rule, ACL_AGENT_RULE_FIELDS)

#define ACL_EVENT_RULE_FIELDS(X, S) \
    X(S, event,  STR, "Event") \
    X(S, policy, STR, "Policy")
DECLARE_RECORD(acl_event_rule, ACL_EVENT_RULE_FIELDS)

#define ACL_KEY_RULE_FIELDS(X, S) \
    X(S, prefix, STR, "Prefix") \
    X(S, policy, STR, "Policy")
DECLARE_RECORD(acl_key_rule, ACL_KEY_RULE_FIELDS)

#define ACL_NODE_RULE_FIELDS(X, S) \
    X(S, name,   STR, "Name") \
    X(S, policy, STR, "Policy")
DECLARE_RECORD(acl_node_rule, ACL_NODE_RULE_FIELDS)

#define ACL_RULE_SET_FIELDS(X, S) \
    X(S, id,                      STR,                           "ID") \
    X(S, revision,                UINT,                          "Revision") \
    X(S, acl,                     STR,                           "ACL") \
    X(S, agents,                  LIST(acl_agent_rule),          "Agents") \
    X(S, agent_prefixes,          LIST(acl_agent_rule),          "AgentPrefixes") \
    X(S, keys,                    LIST(acl_key_rule),            "Keys") \
    X(S, key_prefixes,            LIST(acl_key_rule),            "KeyPrefixes") \
    X(S, nodes,                   LIST(acl_node_rule),           "Nodes") \
    X(S, node_prefixes,           LIST(acl_node_rule),           "NodePrefixes") \
    X(S, services,                LIST(acl_service_rule),        "Services") \
    X(S, service_prefixes,        LIST(acl_service_rule),        "ServicePrefixes") \
    X(S, sessions,                LIST(acl_session_rule),        "Sessions") \
    X(S, session_prefixes,        LIST(acl_session_rule),        "SessionPrefixes") \
    X(S, events,                  LIST(acl_event_rule),          "Events") \
    X(S, event_prefixes,          LIST(acl_event_rule),          "EventPrefixes") \
    X(S, prepared_queries,        LIST(acl_prepared_query_rule), "PreparedQueries") \
    X(S, prepared_query_prefixes, LIST(acl_prepared_query_rule), "PreparedQueryPrefixes") \
    X(S, keyring,                 STR,                           "Keyring") \
    X(S, operator,                STR,                           "Operator")
DECLARE_RECORD(acl_rule_set, ACL_RULE_SET_FIELDS)

#define ACL_PREPARED_QUERY_RULE_FIELDS(X, S) \
    X(S, prefix, STR, "Prefix") \
    X(S, policy, STR, "Policy")
DECLARE_RECORD(acl_prepared_query_rule, ACL_PREPARED_QUERY_RULE_FIELDS)

#define ACL_SERVICE_RULE_FIELDS(X, S) \
    X(S, name,       STR, "Name") \
    X(S, policy,     STR, "Policy") \
    X(S, intentions, STR, "Intentions")
DECLARE_RECORD(acl_service_rule, ACL_SERVICE_RULE_FIELDS)

#define ACL_SESSION_RULE_FIELDS(X, S) \
    X(S, node,   STR, "Node") \
    X(S, policy, STR, "Policy")
DECLARE_RECORD(acl_session_rule, ACL_SESSION_RULE_FIELDS)

#define ACL_FIELDS(X, S) \
    X(S, id,    STR, "ID") \
    X(S, name,  STR, "Name") \
    X(S, type,  STR, "Type") \
    X(S, rules, STR, "Rules") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(acl, ACL_FIELDS)

#define ACL_AUTH_METHOD_FIELDS(X, S) \
    X(S, max_token_ttl,  DUR, "MaxTokenTTL", .flags = JSON_DUR_TEXT | JSON_TEXT_OMIT_ZERO) \
    X(S, name,           STR, "Name") \
    X(S, type,           STR, "Type") \
    X(S, display_name,   STR, "DisplayName", .flags = JSON_OMIT) \
    X(S, description,    STR, "Description", .flags = JSON_OMIT) \
    X(S, token_locality, STR, "TokenLocality", .flags = JSON_OMIT) \
    X(S, config,         ANY, "Config", .flags = ANY_MAP) \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(acl_auth_method, ACL_AUTH_METHOD_FIELDS)

#define ACL_AUTH_METHOD_DELETE_REQUEST_FIELDS(X, S) \
    X(S, auth_method_name, STR, "AuthMethodName") \
    X(S, datacenter,       STR, "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_auth_method_delete_request, ACL_AUTH_METHOD_DELETE_REQUEST_FIELDS)

#define ACL_AUTH_METHOD_GET_REQUEST_FIELDS(X, S) \
    X(S, auth_method_name, STR, "AuthMethodName") \
    X(S, datacenter,       STR, "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_auth_method_get_request, ACL_AUTH_METHOD_GET_REQUEST_FIELDS)

#define ACL_AUTH_METHOD_LIST_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_auth_method_list_request, ACL_AUTH_METHOD_LIST_REQUEST_FIELDS)

#define ACL_AUTH_METHOD_LIST_RESPONSE_FIELDS(X, S) \
    X(S, auth_methods, LIST(acl_auth_method_list_stub), "AuthMethods") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_auth_method_list_response, ACL_AUTH_METHOD_LIST_RESPONSE_FIELDS)

#define ACL_AUTH_METHOD_LIST_STUB_FIELDS(X, S) \
    X(S, name,         STR,  "Name") \
    X(S, type,         STR,  "Type") \
    X(S, display_name, STR,  "DisplayName", .flags = JSON_OMIT) \
    X(S, description,  STR,  "Description", .flags = JSON_OMIT) \
    X(S, create_index, UINT, "CreateIndex", .flags = COMPARE_SKIP) \
    X(S, modify_index, UINT, "ModifyIndex", .flags = COMPARE_SKIP)
DECLARE_RECORD(acl_auth_method_list_stub, ACL_AUTH_METHOD_LIST_STUB_FIELDS)

#define ACL_AUTH_METHOD_RESPONSE_FIELDS(X, S) \
    X(S, auth_method, PTR(acl_auth_method), "AuthMethod") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_auth_method_response, ACL_AUTH_METHOD_RESPONSE_FIELDS)

#define ACL_AUTH_METHOD_SET_REQUEST_FIELDS(X, S) \
    X(S, auth_method, REC(acl_auth_method), "AuthMethod") \
    X(S, datacenter,  STR,                  "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_auth_method_set_request, ACL_AUTH_METHOD_SET_REQUEST_FIELDS)

#define ACL_AUTHORIZATION_REQUEST_FIELDS(X, S) \
    X(S, resource, STR, "Resource") \
    X(S, segment,  STR, "Segment") \
    X(S, access,   STR, "Access")
DECLARE_RECORD(acl_authorization_request, ACL_AUTHORIZATION_REQUEST_FIELDS)

#define ACL_AUTHORIZATION_RESPONSE_FIELDS(X, S) \
    X(S, resource, STR,  "Resource") \
    X(S, segment,  STR,  "Segment", .flags = JSON_OMIT) \
    X(S, access,   STR,  "Access") \
    X(S, allow,    BOOL, "Allow")
DECLARE_RECORD(acl_authorization_response, ACL_AUTHORIZATION_RESPONSE_FIELDS)

#define ACL_BINDING_RULE_FIELDS(X, S) \
    X(S, id,          STR, "ID") \
    X(S, description, STR, "Description") \
    X(S, auth_method, STR, "AuthMethod") \
    X(S, selector,    STR, "Selector") \
    X(S, bind_type,   STR, "BindType") \
    X(S, bind_name,   STR, "BindName") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(acl_binding_rule, ACL_BINDING_RULE_FIELDS)

#define ACL_BINDING_RULE_DELETE_REQUEST_FIELDS(X, S) \
    X(S, binding_rule_id, STR, "BindingRuleID") \
    X(S, datacenter,      STR, "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_binding_rule_delete_request, ACL_BINDING_RULE_DELETE_REQUEST_FIELDS)

#define ACL_BINDING_RULE_GET_REQUEST_FIELDS(X, S) \
    X(S, binding_rule_id, STR, "BindingRuleID") \
    X(S, datacenter,      STR, "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_binding_rule_get_request, ACL_BINDING_RULE_GET_REQUEST_FIELDS)

#define ACL_BINDING_RULE_LIST_REQUEST_FIELDS(X, S) \
    X(S, auth_method, STR, "AuthMethod") \
    X(S, datacenter,  STR, "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_binding_rule_list_request, ACL_BINDING_RULE_LIST_REQUEST_FIELDS)

#define ACL_BINDING_RULE_LIST_RESPONSE_FIELDS(X, S) \
    X(S, binding_rules, LIST(acl_binding_rule), "BindingRules") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_binding_rule_list_response, ACL_BINDING_RULE_LIST_RESPONSE_FIELDS)

#define ACL_BINDING_RULE_RESPONSE_FIELDS(X, S) \
    X(S, binding_rule, PTR(acl_binding_rule), "BindingRule") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_binding_rule_response, ACL_BINDING_RULE_RESPONSE_FIELDS)

#define ACL_BINDING_RULE_SET_REQUEST_FIELDS(X, S) \
    X(S, binding_rule, REC(acl_binding_rule), "BindingRule") \
    X(S, datacenter,   STR,                   "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_binding_rule_set_request, ACL_BINDING_RULE_SET_REQUEST_FIELDS)

#define ACL_LOGIN_PARAMS_FIELDS(X, S) \
    X(S, auth_method,  STR,     "AuthMethod") \
    X(S, bearer_token, STR,     "BearerToken") \
    X(S, meta,         MAP_STR, "Meta", .flags = JSON_OMIT)
DECLARE_RECORD(acl_login_params, ACL_LOGIN_PARAMS_FIELDS)

#define ACL_LOGIN_REQUEST_FIELDS(X, S) \
    X(S, auth,       PTR(acl_login_params), "Auth") \
    X(S, datacenter, STR,                   "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_login_request, ACL_LOGIN_REQUEST_FIELDS)

#define ACL_LOGOUT_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_logout_request, ACL_LOGOUT_REQUEST_FIELDS)

#define ACL_NODE_IDENTITY_FIELDS(X, S) \
    X(S, node_name,  STR, "NodeName") \
    X(S, datacenter, STR, "Datacenter")
DECLARE_RECORD(acl_node_identity, ACL_NODE_IDENTITY_FIELDS)

#define ACL_POLICY_FIELDS(X, S) \
    X(S, id,          STR,      "ID") \
    X(S, name,        STR,      "Name") \
    X(S, description, STR,      "Description") \
    X(S, rules,       STR,      "Rules") \
    X(S, syntax,      INT,      "Syntax", .flags = JSON_SKIP) \
    X(S, datacenters, LIST_STR, "Datacenters", .flags = JSON_OMIT) \
    X(S, hash,        BYTES,    "Hash") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(acl_policy, ACL_POLICY_FIELDS)

#define ACL_POLICY_BATCH_GET_REQUEST_FIELDS(X, S) \
    X(S, policy_ids, LIST_STR, "PolicyIDs") \
    X(S, datacenter, STR,      "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_policy_batch_get_request, ACL_POLICY_BATCH_GET_REQUEST_FIELDS)

#define ACL_POLICY_BATCH_RESPONSE_FIELDS(X, S) \
    X(S, policies, LIST(acl_policy), "Policies") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_policy_batch_response, ACL_POLICY_BATCH_RESPONSE_FIELDS)

#define ACL_POLICY_DELETE_REQUEST_FIELDS(X, S) \
    X(S, policy_id,  STR, "PolicyID") \
    X(S, datacenter, STR, "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_policy_delete_request, ACL_POLICY_DELETE_REQUEST_FIELDS)

#define ACL_POLICY_GET_REQUEST_FIELDS(X, S) \
    X(S, policy_id,   STR, "PolicyID") \
    X(S, policy_name, STR, "PolicyName") \
    X(S, datacenter,  STR, "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_policy_get_request, ACL_POLICY_GET_REQUEST_FIELDS)

#define ACL_POLICY_LIST_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_policy_list_request, ACL_POLICY_LIST_REQUEST_FIELDS)

#define ACL_POLICY_LIST_RESPONSE_FIELDS(X, S) \
    X(S, policies, LIST(acl_policy_list_stub), "Policies") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_policy_list_response, ACL_POLICY_LIST_RESPONSE_FIELDS)

#define ACL_POLICY_LIST_STUB_FIELDS(X, S) \
    X(S, id,           STR,      "ID") \
    X(S, name,         STR,      "Name") \
    X(S, description,  STR,      "Description") \
    X(S, datacenters,  LIST_STR, "Datacenters") \
    X(S, hash,         BYTES,    "Hash") \
    X(S, create_index, UINT,     "CreateIndex", .flags = COMPARE_SKIP) \
    X(S, modify_index, UINT,     "ModifyIndex", .flags = COMPARE_SKIP)
DECLARE_RECORD(acl_policy_list_stub, ACL_POLICY_LIST_STUB_FIELDS)

#define ACL_POLICY_RESOLVE_LEGACY_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    X(S, acl,        STR, "ACL") \
    X(S, e_tag,      STR, "ETag") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_policy_resolve_legacy_request, ACL_POLICY_RESOLVE_LEGACY_REQUEST_FIELDS)

#define ACL_POLICY_RESOLVE_LEGACY_RESPONSE_FIELDS(X, S) \
    X(S, e_tag,  STR,               "ETag") \
    X(S, parent, STR,               "Parent") \
    X(S, policy, PTR(acl_rule_set), "Policy") \
    X(S, ttl,    DUR,               "TTL") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_policy_resolve_legacy_response, ACL_POLICY_RESOLVE_LEGACY_RESPONSE_FIELDS)

#define ACL_POLICY_RESPONSE_FIELDS(X, S) \
    X(S, policy, PTR(acl_policy), "Policy") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_policy_response, ACL_POLICY_RESPONSE_FIELDS)

#define ACL_POLICY_SET_REQUEST_FIELDS(X, S) \
    X(S, policy,     REC(acl_policy), "Policy") \
    X(S, datacenter, STR,             "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_policy_set_request, ACL_POLICY_SET_REQUEST_FIELDS)

#define ACL_REPLICATION_STATUS_FIELDS(X, S) \
    X(S, enabled,                BOOL, "Enabled") \
    X(S, running,                BOOL, "Running") \
    X(S, source_datacenter,      STR,  "SourceDatacenter") \
    X(S, replication_type,       STR,  "ReplicationType") \
    X(S, replicated_index,       UINT, "ReplicatedIndex") \
    X(S, replicated_role_index,  UINT, "ReplicatedRoleIndex") \
    X(S, replicated_token_index, UINT, "ReplicatedTokenIndex") \
    X(S, last_success,           TIME, "LastSuccess") \
    X(S, last_error,             TIME, "LastError")
DECLARE_RECORD(acl_replication_status, ACL_REPLICATION_STATUS_FIELDS)

#define ACL_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,      "Datacenter") \
    X(S, op,         STR,      "Op") \
    X(S, acl,        REC(acl), "ACL") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_request, ACL_REQUEST_FIELDS)

#define ACL_ROLE_FIELDS(X, S) \
    X(S, id,                 STR,                        "ID") \
    X(S, name,               STR,                        "Name") \
    X(S, description,        STR,                        "Description") \
    X(S, policies,           LIST(acl_role_policy_link), "Policies", .flags = JSON_OMIT) \
    X(S, service_identities, LIST(acl_service_identity), "ServiceIdentities", .flags = JSON_OMIT) \
    X(S, node_identities,    LIST(acl_node_identity),    "NodeIdentities", .flags = JSON_OMIT) \
    X(S, hash,               BYTES,                      "Hash") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(acl_role, ACL_ROLE_FIELDS)

#define ACL_ROLE_BATCH_GET_REQUEST_FIELDS(X, S) \
    X(S, role_ids,   LIST_STR, "RoleIDs") \
    X(S, datacenter, STR,      "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_role_batch_get_request, ACL_ROLE_BATCH_GET_REQUEST_FIELDS)

#define ACL_ROLE_BATCH_RESPONSE_FIELDS(X, S) \
    X(S, roles, LIST(acl_role), "Roles") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_role_batch_response, ACL_ROLE_BATCH_RESPONSE_FIELDS)

#define ACL_ROLE_DELETE_REQUEST_FIELDS(X, S) \
    X(S, role_id,    STR, "RoleID") \
    X(S, datacenter, STR, "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_role_delete_request, ACL_ROLE_DELETE_REQUEST_FIELDS)

#define ACL_ROLE_GET_REQUEST_FIELDS(X, S) \
    X(S, role_id,    STR, "RoleID") \
    X(S, role_name,  STR, "RoleName") \
    X(S, datacenter, STR, "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_role_get_request, ACL_ROLE_GET_REQUEST_FIELDS)

#define ACL_ROLE_LIST_REQUEST_FIELDS(X, S) \
    X(S, policy,     STR, "Policy") \
    X(S, datacenter, STR, "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_role_list_request, ACL_ROLE_LIST_REQUEST_FIELDS)

#define ACL_ROLE_LIST_RESPONSE_FIELDS(X, S) \
    X(S, roles, LIST(acl_role), "Roles") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_role_list_response, ACL_ROLE_LIST_RESPONSE_FIELDS)

#define ACL_ROLE_POLICY_LINK_FIELDS(X, S) \
    X(S, id,   STR, "ID") \
    X(S, name, STR, "Name")
DECLARE_RECORD(acl_role_policy_link, ACL_ROLE_POLICY_LINK_FIELDS)

#define ACL_ROLE_RESPONSE_FIELDS(X, S) \
    X(S, role, PTR(acl_role), "Role") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_role_response, ACL_ROLE_RESPONSE_FIELDS)

#define ACL_ROLE_SET_REQUEST_FIELDS(X, S) \
    X(S, role,       REC(acl_role), "Role") \
    X(S, datacenter, STR,           "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_role_set_request, ACL_ROLE_SET_REQUEST_FIELDS)

#define ACL_SERVICE_IDENTITY_FIELDS(X, S) \
    X(S, service_name, STR,      "ServiceName") \
    X(S, datacenters,  LIST_STR, "Datacenters", .flags = JSON_OMIT)
DECLARE_RECORD(acl_service_identity, ACL_SERVICE_IDENTITY_FIELDS)

#define ACL_SPECIFIC_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR, "Datacenter") \
    X(S, acl,        STR, "ACL") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_specific_request, ACL_SPECIFIC_REQUEST_FIELDS)

#define ACL_TOKEN_FIELDS(X, S) \
    X(S, expiration_ttl,     DUR,                         "ExpirationTTL", .flags = JSON_DUR_TEXT | JSON_TEXT_OMIT_ZERO) \
    X(S, accessor_id,        STR,                         "AccessorID") \
    X(S, secret_id,          STR,                         "SecretID") \
    X(S, description,        STR,                         "Description") \
    X(S, policies,           LIST(acl_token_policy_link), "Policies", .flags = JSON_OMIT) \
    X(S, roles,              LIST(acl_token_role_link),   "Roles", .flags = JSON_OMIT) \
    X(S, service_identities, LIST(acl_service_identity),  "ServiceIdentities", .flags = JSON_OMIT) \
    X(S, node_identities,    LIST(acl_node_identity),     "NodeIdentities", .flags = JSON_OMIT) \
    X(S, type,               STR,                         "Type", .flags = JSON_SKIP) \
    X(S, rules,              STR,                         "Rules", .flags = JSON_OMIT) \
    X(S, local,              BOOL,                        "Local") \
    X(S, auth_method,        STR,                         "AuthMethod", .flags = JSON_OMIT) \
    X(S, expiration_time,    TIME,                        "ExpirationTime", .flags = JSON_OMIT | TIME_PTR) \
    X(S, create_time,        TIME,                        "CreateTime") \
    X(S, hash,               BYTES,                       "Hash") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(acl_token, ACL_TOKEN_FIELDS)

#define ACL_TOKEN_BATCH_GET_REQUEST_FIELDS(X, S) \
    X(S, accessor_ids, LIST_STR, "AccessorIDs") \
    X(S, datacenter,   STR,      "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_token_batch_get_request, ACL_TOKEN_BATCH_GET_REQUEST_FIELDS)

#define ACL_TOKEN_BATCH_RESPONSE_FIELDS(X, S) \
    X(S, tokens,   LIST(acl_token), "Tokens") \
    X(S, redacted, BOOL,            "Redacted") \
    X(S, removed,  BOOL,            "Removed") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_token_batch_response, ACL_TOKEN_BATCH_RESPONSE_FIELDS)

#define ACL_TOKEN_DELETE_REQUEST_FIELDS(X, S) \
    X(S, token_id,   STR, "TokenID") \
    X(S, datacenter, STR, "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_token_delete_request, ACL_TOKEN_DELETE_REQUEST_FIELDS)

#define ACL_TOKEN_GET_REQUEST_FIELDS(X, S) \
    X(S, token_id,      STR, "TokenID") \
    X(S, token_id_type, STR, "TokenIDType") \
    X(S, datacenter,    STR, "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_token_get_request, ACL_TOKEN_GET_REQUEST_FIELDS)

#define ACL_TOKEN_LIST_REQUEST_FIELDS(X, S) \
    X(S, include_local,  BOOL, "IncludeLocal") \
    X(S, include_global, BOOL, "IncludeGlobal") \
    X(S, policy,         STR,  "Policy") \
    X(S, role,           STR,  "Role") \
    X(S, auth_method,    STR,  "AuthMethod") \
    X(S, datacenter,     STR,  "Datacenter") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(acl_token_list_request, ACL_TOKEN_LIST_REQUEST_FIELDS)

#define ACL_TOKEN_LIST_RESPONSE_FIELDS(X, S) \
    X(S, tokens, LIST(acl_token_list_stub), "Tokens") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_token_list_response, ACL_TOKEN_LIST_RESPONSE_FIELDS)

#define ACL_TOKEN_LIST_STUB_FIELDS(X, S) \
    X(S, accessor_id,        STR,                         "AccessorID") \
    X(S, description,        STR,                         "Description") \
    X(S, policies,           LIST(acl_token_policy_link), "Policies", .flags = JSON_OMIT) \
    X(S, roles,              LIST(acl_token_role_link),   "Roles", .flags = JSON_OMIT) \
    X(S, service_identities, LIST(acl_service_identity),  "ServiceIdentities", .flags = JSON_OMIT) \
    X(S, node_identities,    LIST(acl_node_identity),     "NodeIdentities", .flags = JSON_OMIT) \
    X(S, local,              BOOL,                        "Local") \
    X(S, auth_method,        STR,                         "AuthMethod", .flags = JSON_OMIT) \
    X(S, expiration_time,    TIME,                        "ExpirationTime", .flags = JSON_OMIT | TIME_PTR) \
    X(S, create_time,        TIME,                        "CreateTime") \
    X(S, hash,               BYTES,                       "Hash") \
    X(S, create_index,       UINT,                        "CreateIndex", .flags = COMPARE_SKIP) \
    X(S, modify_index,       UINT,                        "ModifyIndex", .flags = COMPARE_SKIP) \
    X(S, legacy,             BOOL,                        "Legacy", .flags = JSON_OMIT)
DECLARE_RECORD(acl_token_list_stub, ACL_TOKEN_LIST_STUB_FIELDS)

#define ACL_TOKEN_POLICY_LINK_FIELDS(X, S) \
    X(S, id,   STR, "ID") \
    X(S, name, STR, "Name")
DECLARE_RECORD(acl_token_policy_link, ACL_TOKEN_POLICY_LINK_FIELDS)

#define ACL_TOKEN_RESPONSE_FIELDS(X, S) \
    X(S, token,             PTR(acl_token), "Token") \
    X(S, redacted,          BOOL,           "Redacted") \
    X(S, source_datacenter, STR,            "SourceDatacenter") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(acl_token_response, ACL_TOKEN_RESPONSE_FIELDS)

#define ACL_TOKEN_ROLE_LINK_FIELDS(X, S) \
    X(S, id,   STR, "ID") \
    X(S, name, STR, "Name")
DECLARE_RECORD(acl_token_role_link, ACL_TOKEN_ROLE_LINK_FIELDS)

#define ACL_TOKEN_SET_REQUEST_FIELDS(X, S) \
    X(S, acl_token,  REC(acl_token), "ACLToken") \
    X(S, create,     BOOL,           "Create") \
    X(S, datacenter, STR,            "Datacenter") \
    WRITE_REQUEST_FIELDS(X, S)
DECLARE_RECORD(acl_token_set_request, ACL_TOKEN_SET_REQUEST_FIELDS)

#define INDEXED_ACLS_FIELDS(X, S) \
    X(S, acls, LIST(acl), "ACLs") \
    QUERY_META_FIELDS(X, S)
DECLARE_RECORD(indexed_acls, INDEXED_ACLS_FIELDS)

#define REMOTE_ACL_AUTHORIZATION_REQUEST_FIELDS(X, S) \
    X(S, datacenter, STR,                             "Datacenter") \
    X(S, requests,   LIST(acl_authorization_request), "Requests") \
    QUERY_OPTIONS_FIELDS(X, S)
DECLARE_RECORD(remote_acl_authorization_request, REMOTE_ACL_AUTHORIZATION_REQUEST_FIELDS)

#define ACL_TOKEN_BOOTSTRAP_REQUEST_FIELDS(X, S) \
    X(S, token,       REC(acl_token), "Token") \
    X(S, reset_index, UINT,           "ResetIndex")
DECLARE_RECORD(acl_token_bootstrap_request, ACL_TOKEN_BOOTSTRAP_REQUEST_FIELDS)

#define ACL_TOKEN_BATCH_SET_REQUEST_FIELDS(X, S) \
    X(S, tokens,                LIST(acl_token), "Tokens") \
    X(S, cas,                   BOOL,            "CAS") \
    X(S, allow_missing_links,   BOOL,            "AllowMissingLinks") \
    X(S, prohibit_unprivileged, BOOL,            "ProhibitUnprivileged")
DECLARE_RECORD(acl_token_batch_set_request, ACL_TOKEN_BATCH_SET_REQUEST_FIELDS)

#define ACL_TOKEN_BATCH_DELETE_REQUEST_FIELDS(X, S) \
    X(S, token_ids, LIST_STR, "TokenIDs")
DECLARE_RECORD(acl_token_batch_delete_request, ACL_TOKEN_BATCH_DELETE_REQUEST_FIELDS)

#define ACL_POLICY_BATCH_SET_REQUEST_FIELDS(X, S) \
    X(S, policies, LIST(acl_policy), "Policies")
DECLARE_RECORD(acl_policy_batch_set_request, ACL_POLICY_BATCH_SET_REQUEST_FIELDS)

#define ACL_POLICY_BATCH_DELETE_REQUEST_FIELDS(X, S) \
    X(S, policy_ids, LIST_STR, "PolicyIDs")
DECLARE_RECORD(acl_policy_batch_delete_request, ACL_POLICY_BATCH_DELETE_REQUEST_FIELDS)

#define ACL_ROLE_BATCH_SET_REQUEST_FIELDS(X, S) \
    X(S, roles,               LIST(acl_role), "Roles") \
    X(S, allow_missing_links, BOOL,           "AllowMissingLinks")
DECLARE_RECORD(acl_role_batch_set_request, ACL_ROLE_BATCH_SET_REQUEST_FIELDS)

#define ACL_ROLE_BATCH_DELETE_REQUEST_FIELDS(X, S) \
    X(S, role_ids, LIST_STR, "RoleIDs")
DECLARE_RECORD(acl_role_batch_delete_request, ACL_ROLE_BATCH_DELETE_REQUEST_FIELDS)

#define ACL_BINDING_RULE_BATCH_SET_REQUEST_FIELDS(X, S) \
    X(S, binding_rules, LIST(acl_binding_rule), "BindingRules")
DECLARE_RECORD(acl_binding_rule_batch_set_request, ACL_BINDING_RULE_BATCH_SET_REQUEST_FIELDS)

#define ACL_BINDING_RULE_BATCH_DELETE_REQUEST_FIELDS(X, S) \
    X(S, binding_rule_ids, LIST_STR, "BindingRuleIDs")
DECLARE_RECORD(acl_binding_rule_batch_delete_request, ACL_BINDING_RULE_BATCH_DELETE_REQUEST_FIELDS)

#define ACL_AUTH_METHOD_BATCH_SET_REQUEST_FIELDS(X, S) \
    X(S, auth_methods, LIST(acl_auth_method), "AuthMethods")
DECLARE_RECORD(acl_auth_method_batch_set_request, ACL_AUTH_METHOD_BATCH_SET_REQUEST_FIELDS)

#define ACL_AUTH_METHOD_BATCH_DELETE_REQUEST_FIELDS(X, S) \
    X(S, auth_method_names, LIST_STR, "AuthMethodNames")
DECLARE_RECORD(acl_auth_method_batch_delete_request, ACL_AUTH_METHOD_BATCH_DELETE_REQUEST_FIELDS)

#define ACL_BOOTSTRAP_FIELDS(X, S) \
    X(S, allow_bootstrap, BOOL, "AllowBootstrap") \
    RAFT_INDEX_FIELDS(X, S)
DECLARE_RECORD(acl_bootstrap, ACL_BOOTSTRAP_FIELDS)
