/* SPDX-License-Identifier: Apache-2.0 */
/* Every procedure of rpc.md 12, sorted by name (checked by a test against the model's table). */
#include "server.h"

#define B METHOD_BLOCKING
#define P METHOD_PRIMARY
#define S (METHOD_BLOCKING | METHOD_SHARED)
#define READ(method, how, fn) \
    { \
        .name = method, .mode = MODE_READ, .flags = how, .read = fn \
    }
#define READ_MORE(method, how, fn, then) \
    { \
        .name = method, .mode = MODE_READ, .flags = how, .read = fn, .more = then \
    }
#define VERIFIED(method, fn) \
    { \
        .name = method, .mode = MODE_READ_CONSISTENT, .read = fn \
    }
#define WRITE(method, how, fn) \
    { \
        .name = method, .mode = MODE_WRITE, .flags = how, .write = fn \
    }
#define ADMITTED(method, check, fn) \
    { \
        .name = method, .mode = MODE_WRITE, .admit = check, .write = fn \
    }
#define LOCAL(method, how, fn) \
    { \
        .name = method, .mode = MODE_LOCAL, .flags = how, .read = fn \
    }
#define LOCAL_WORK(method, how, fn) \
    { \
        .name = method, .mode = MODE_LOCAL, .flags = how, .write = fn \
    }
#define ABSENT(method, kind, needs) \
    { \
        .name = method, .mode = MODE_##kind, .part = needs \
    }

/* Refused by whichever server is asked. */
#define ACL_OFF(method) LOCAL(method, METHOD_DC_OPTIONAL, acl_disabled)

#define ACL "ACL system"

/* clang-format off */
const struct method server__methods[] = {
    ABSENT("ACL.Apply",               WRITE, ACL),
    ACL_OFF("ACL.AuthMethodDelete"),
    ACL_OFF("ACL.AuthMethodList"),
    ACL_OFF("ACL.AuthMethodRead"),
    ACL_OFF("ACL.AuthMethodSet"),
    ACL_OFF("ACL.Authorize"),
    ACL_OFF("ACL.BindingRuleDelete"),
    ACL_OFF("ACL.BindingRuleList"),
    ACL_OFF("ACL.BindingRuleRead"),
    ACL_OFF("ACL.BindingRuleSet"),
    ABSENT("ACL.Bootstrap",           READ,  ACL),
    ACL_OFF("ACL.BootstrapTokens"),
    ABSENT("ACL.Get",                 READ,  ACL),
    ABSENT("ACL.GetPolicy",           READ,  ACL),
    ABSENT("ACL.List",                READ,  ACL),
    ACL_OFF("ACL.Login"),
    ACL_OFF("ACL.Logout"),
    ACL_OFF("ACL.PolicyBatchRead"),
    ACL_OFF("ACL.PolicyDelete"),
    ACL_OFF("ACL.PolicyList"),
    ACL_OFF("ACL.PolicyRead"),
    ACL_OFF("ACL.PolicyResolve"),
    ACL_OFF("ACL.PolicySet"),
    ABSENT("ACL.ReplicationStatus",   READ,  ACL),
    ACL_OFF("ACL.RoleBatchRead"),
    ACL_OFF("ACL.RoleDelete"),
    ACL_OFF("ACL.RoleList"),
    ACL_OFF("ACL.RoleRead"),
    ACL_OFF("ACL.RoleResolve"),
    ACL_OFF("ACL.RoleSet"),
    ACL_OFF("ACL.TokenBatchRead"),
    ACL_OFF("ACL.TokenClone"),
    ACL_OFF("ACL.TokenDelete"),
    ACL_OFF("ACL.TokenList"),
    ACL_OFF("ACL.TokenRead"),
    ACL_OFF("ACL.TokenSet"),
    ADMITTED("AutoConfig.InitialConfiguration", auto_config_admit, auto_config_initial),
    ADMITTED("AutoEncrypt.Sign", auto_encrypt_admit, auto_encrypt_sign),
    WRITE("Catalog.Deregister",       0,     catalog_deregister),
    READ("Catalog.GatewayServices",   S,     catalog_gateway_services),
    LOCAL("Catalog.ListDatacenters",  0,     catalog_list_datacenters),
    READ("Catalog.ListNodes",         S,     catalog_list_nodes),
    READ("Catalog.ListServices",      S,     catalog_list_services),
    READ("Catalog.NodeServiceList",   S,     catalog_node_service_list),
    READ("Catalog.NodeServices",      S,     catalog_node_services),
    WRITE("Catalog.Register",         0,     catalog_register),
    READ("Catalog.ServiceList",       S,     catalog_service_list),
    READ("Catalog.ServiceNodes",      S,     catalog_service_nodes),
    WRITE("ConfigEntry.Apply",        P,     config_entry_apply),
    WRITE("ConfigEntry.Delete",       P,     config_entry_delete),
    READ("ConfigEntry.Get",           B,     config_entry_get),
    READ("ConfigEntry.List",          S,     config_entry_list),
    READ("ConfigEntry.ListAll",       S,     config_entry_list_all),
    READ("ConfigEntry.ResolveServiceConfig", B, config_entry_resolve_service_config),
    READ("ConnectCA.ConfigurationGet", 0,    connect_ca_configuration_get),
    WRITE("ConnectCA.ConfigurationSet", 0,   connect_ca_configuration_set),
    READ("ConnectCA.Roots",           B,     connect_ca_roots),
    WRITE("ConnectCA.Sign",           0,     connect_ca_sign),
    WRITE("ConnectCA.SignIntermediate", 0,   connect_ca_sign_intermediate),
    LOCAL("Coordinate.ListDatacenters", 0,   coordinate_list_datacenters),
    READ("Coordinate.ListNodes",      S,     coordinate_list_nodes),
    READ("Coordinate.Node",           B,     coordinate_node),
    WRITE("Coordinate.Update",        0,     coordinate_update),
    READ("DiscoveryChain.Get",        B,     discovery_chain_get),
    WRITE("FederationState.Apply",    P,     federation_state_apply),
    READ("FederationState.Get",       B | METHOD_TARGET_DC, federation_state_get),
    READ("FederationState.List",      S,     federation_state_list),
    READ("FederationState.ListMeshGateways", S, federation_state_list_mesh_gateways),
    READ("Health.ChecksInState",      S,     health_checks_in_state),
    READ("Health.NodeChecks",         S,     health_node_checks),
    READ("Health.ServiceChecks",      S,     health_service_checks),
    READ("Health.ServiceNodes",       S,     health_service_nodes),
    WRITE("Intention.Apply",          P,     intentions_apply),
    READ("Intention.Check",           0,     intentions_check),
    READ("Intention.Get",             B,     intentions_get),
    READ("Intention.List",            S,     intentions_list),
    READ("Intention.Match",           B,     intentions_match),
    LOCAL_WORK("Internal.EventFire",  0,     internal_event_fire),
    READ("Internal.GatewayServiceDump", S,   internal_gateway_service_dump),
    LOCAL_WORK("Internal.KeyringOperation", METHOD_DC_IGNORED, internal_keyring_operation),
    READ("Internal.NodeDump",         S,     internal_node_dump),
    READ("Internal.NodeInfo",         S,     internal_node_info),
    READ("Internal.ServiceDump",      S,     internal_service_dump),
    WRITE("KVS.Apply",                0,     kvs_apply),
    READ("KVS.Get",                   B,     kvs_get),
    READ("KVS.List",                  S,     kvs_list),
    READ("KVS.ListKeys",              S,     kvs_list_keys),
    READ("Operator.AutopilotGetConfiguration", 0, operator_autopilot_get),
    WRITE("Operator.AutopilotSetConfiguration", 0, operator_autopilot_set),
    READ("Operator.RaftGetConfiguration", 0, operator_raft_configuration),
    WRITE("Operator.RaftRemovePeerByAddress", 0, operator_remove_peer_by_address),
    WRITE("Operator.RaftRemovePeerByID", 0,  operator_remove_peer_by_id),
    VERIFIED("Operator.ServerHealth",        operator_server_health),
    WRITE("PreparedQuery.Apply",      0,     prepared_query_apply),
    READ_MORE("PreparedQuery.Execute", 0,    prepared_query_execute, prepared_query_failover),
    READ("PreparedQuery.ExecuteRemote", 0,   prepared_query_execute_remote),
    READ("PreparedQuery.Explain",     0,     prepared_query_explain),
    READ("PreparedQuery.Get",         B,     prepared_query_get),
    READ("PreparedQuery.List",        S,     prepared_query_list),
    WRITE("Session.Apply",            0,     session_apply),
    READ("Session.Get",               B,     session_get),
    READ("Session.List",              S,     session_list),
    READ("Session.NodeSessions",      B,     session_node_sessions),
    READ("Session.Renew",             0,     session_renew),
    LOCAL("Status.Leader",            METHOD_DC_OPTIONAL, status_leader),
    LOCAL("Status.Peers",             METHOD_DC_OPTIONAL, status_peers),
    LOCAL("Status.Ping",              0,     status_ping),
    LOCAL("Status.RaftStats",         0,     status_raft_stats),
    WRITE("Txn.Apply",                0,     txn_apply),
    READ("Txn.Read",                  0,     txn_read),
};
/* clang-format on */
const size_t server__method_count = sizeof server__methods / sizeof server__methods[0];
