/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/model/method.h"

#include "consuld/model.h"

/* clang-format off */
const struct method_types method_table[] = {
    { "ACL.Apply",                          &type_acl_request,                           &type_str },
    { "ACL.AuthMethodDelete",               &type_acl_auth_method_delete_request,        &type_bool },
    { "ACL.AuthMethodList",                 &type_acl_auth_method_list_request,          &type_acl_auth_method_list_response },
    { "ACL.AuthMethodRead",                 &type_acl_auth_method_get_request,           &type_acl_auth_method_response },
    { "ACL.AuthMethodSet",                  &type_acl_auth_method_set_request,           &type_acl_auth_method },
    { "ACL.Authorize",                      &type_remote_acl_authorization_request,      &type_acl_authorization_response_list },
    { "ACL.BindingRuleDelete",              &type_acl_binding_rule_delete_request,       &type_bool },
    { "ACL.BindingRuleList",                &type_acl_binding_rule_list_request,         &type_acl_binding_rule_list_response },
    { "ACL.BindingRuleRead",                &type_acl_binding_rule_get_request,          &type_acl_binding_rule_response },
    { "ACL.BindingRuleSet",                 &type_acl_binding_rule_set_request,          &type_acl_binding_rule },
    { "ACL.Bootstrap",                      &type_dc_specific_request,                   &type_acl },
    { "ACL.BootstrapTokens",                &type_dc_specific_request,                   &type_acl_token },
    { "ACL.Get",                            &type_acl_specific_request,                  &type_indexed_acls },
    { "ACL.GetPolicy",                      &type_acl_policy_resolve_legacy_request,     &type_acl_policy_resolve_legacy_response },
    { "ACL.List",                           &type_dc_specific_request,                   &type_indexed_acls },
    { "ACL.Login",                          &type_acl_login_request,                     &type_acl_token },
    { "ACL.Logout",                         &type_acl_logout_request,                    &type_bool },
    { "ACL.PolicyBatchRead",                &type_acl_policy_batch_get_request,          &type_acl_policy_batch_response },
    { "ACL.PolicyDelete",                   &type_acl_policy_delete_request,             &type_str },
    { "ACL.PolicyList",                     &type_acl_policy_list_request,               &type_acl_policy_list_response },
    { "ACL.PolicyRead",                     &type_acl_policy_get_request,                &type_acl_policy_response },
    { "ACL.PolicyResolve",                  &type_acl_policy_batch_get_request,          &type_acl_policy_batch_response },
    { "ACL.PolicySet",                      &type_acl_policy_set_request,                &type_acl_policy },
    { "ACL.ReplicationStatus",              &type_dc_specific_request,                   &type_acl_replication_status },
    { "ACL.RoleBatchRead",                  &type_acl_role_batch_get_request,            &type_acl_role_batch_response },
    { "ACL.RoleDelete",                     &type_acl_role_delete_request,               &type_str },
    { "ACL.RoleList",                       &type_acl_role_list_request,                 &type_acl_role_list_response },
    { "ACL.RoleRead",                       &type_acl_role_get_request,                  &type_acl_role_response },
    { "ACL.RoleResolve",                    &type_acl_role_batch_get_request,            &type_acl_role_batch_response },
    { "ACL.RoleSet",                        &type_acl_role_set_request,                  &type_acl_role },
    { "ACL.TokenBatchRead",                 &type_acl_token_batch_get_request,           &type_acl_token_batch_response },
    { "ACL.TokenClone",                     &type_acl_token_set_request,                 &type_acl_token },
    { "ACL.TokenDelete",                    &type_acl_token_delete_request,              &type_str },
    { "ACL.TokenList",                      &type_acl_token_list_request,                &type_acl_token_list_response },
    { "ACL.TokenRead",                      &type_acl_token_get_request,                 &type_acl_token_response },
    { "ACL.TokenSet",                       &type_acl_token_set_request,                 &type_acl_token },
    { "AutoConfig.InitialConfiguration",    &type_bytes,                                 &type_bytes },
    { "AutoEncrypt.Sign",                   &type_ca_sign_request,                       &type_signed_response },
    { "Catalog.Deregister",                 &type_deregister_request,                    &type_nothing },
    { "Catalog.GatewayServices",            &type_service_specific_request,              &type_indexed_gateway_services },
    { "Catalog.ListDatacenters",            &type_datacenters_request,                   &type_list_str },
    { "Catalog.ListNodes",                  &type_dc_specific_request,                   &type_indexed_nodes },
    { "Catalog.ListServices",               &type_dc_specific_request,                   &type_indexed_services },
    { "Catalog.NodeServiceList",            &type_node_specific_request,                 &type_indexed_node_service_list },
    { "Catalog.NodeServices",               &type_node_specific_request,                 &type_indexed_node_services },
    { "Catalog.Register",                   &type_register_request,                      &type_nothing },
    { "Catalog.ServiceList",                &type_dc_specific_request,                   &type_indexed_service_list },
    { "Catalog.ServiceNodes",               &type_service_specific_request,              &type_indexed_service_nodes },
    { "ConfigEntry.Apply",                  &type_config_entry_request,                  &type_bool },
    { "ConfigEntry.Delete",                 &type_config_entry_request,                  &type_nothing },
    { "ConfigEntry.Get",                    &type_config_entry_query,                    &type_config_entry_response },
    { "ConfigEntry.List",                   &type_config_entry_query,                    &type_indexed_config_entries },
    { "ConfigEntry.ListAll",                &type_dc_specific_request,                   &type_indexed_generic_config_entries },
    { "ConfigEntry.ResolveServiceConfig",   &type_service_config_request,                &type_service_config_response },
    { "ConnectCA.ConfigurationGet",         &type_dc_specific_request,                   &type_ca_configuration },
    { "ConnectCA.ConfigurationSet",         &type_ca_request,                            &type_any },
    { "ConnectCA.Roots",                    &type_dc_specific_request,                   &type_indexed_ca_roots },
    { "ConnectCA.Sign",                     &type_ca_sign_request,                       &type_issued_cert },
    { "ConnectCA.SignIntermediate",         &type_ca_sign_request,                       &type_str },
    { "Coordinate.ListDatacenters",         &type_nothing,                               &type_datacenter_map_list },
    { "Coordinate.ListNodes",               &type_dc_specific_request,                   &type_indexed_coordinates },
    { "Coordinate.Node",                    &type_node_specific_request,                 &type_indexed_coordinates },
    { "Coordinate.Update",                  &type_coordinate_update_request,             &type_nothing },
    { "DiscoveryChain.Get",                 &type_discovery_chain_request,               &type_discovery_chain_response },
    { "FederationState.Apply",              &type_federation_state_request,              &type_bool },
    { "FederationState.Get",                &type_federation_state_query,                &type_federation_state_response },
    { "FederationState.List",               &type_dc_specific_request,                   &type_indexed_federation_states },
    { "FederationState.ListMeshGateways",   &type_dc_specific_request,                   &type_datacenter_indexed_check_service_nodes },
    { "Health.ChecksInState",               &type_checks_in_state_request,               &type_indexed_health_checks },
    { "Health.NodeChecks",                  &type_node_specific_request,                 &type_indexed_health_checks },
    { "Health.ServiceChecks",               &type_service_specific_request,              &type_indexed_health_checks },
    { "Health.ServiceNodes",                &type_service_specific_request,              &type_indexed_check_service_nodes },
    { "Intention.Apply",                    &type_intention_request,                     &type_str },
    { "Intention.Check",                    &type_intention_query_request,               &type_intention_query_check_response },
    { "Intention.Get",                      &type_intention_query_request,               &type_indexed_intentions },
    { "Intention.List",                     &type_dc_specific_request,                   &type_indexed_intentions },
    { "Intention.Match",                    &type_intention_query_request,               &type_indexed_intention_matches },
    { "Internal.EventFire",                 &type_event_fire_request,                    &type_event_fire_response },
    { "Internal.GatewayServiceDump",        &type_service_specific_request,              &type_indexed_service_dump },
    { "Internal.KeyringOperation",          &type_keyring_request,                       &type_keyring_responses },
    { "Internal.NodeDump",                  &type_dc_specific_request,                   &type_indexed_node_dump },
    { "Internal.NodeInfo",                  &type_node_specific_request,                 &type_indexed_node_dump },
    { "Internal.ServiceDump",               &type_service_dump_request,                  &type_indexed_check_service_nodes },
    { "KVS.Apply",                          &type_kvs_request,                           &type_bool },
    { "KVS.Get",                            &type_key_request,                           &type_indexed_dir_entries },
    { "KVS.List",                           &type_key_request,                           &type_indexed_dir_entries },
    { "KVS.ListKeys",                       &type_key_list_request,                      &type_indexed_key_list },
    { "Operator.AutopilotGetConfiguration", &type_dc_specific_request,                   &type_autopilot_config },
    { "Operator.AutopilotSetConfiguration", &type_autopilot_set_config_request,          &type_bool },
    { "Operator.RaftGetConfiguration",      &type_dc_specific_request,                   &type_raft_configuration_response },
    { "Operator.RaftRemovePeerByAddress",   &type_raft_remove_peer_request,              &type_nothing },
    { "Operator.RaftRemovePeerByID",        &type_raft_remove_peer_request,              &type_nothing },
    { "Operator.ServerHealth",              &type_dc_specific_request,                   &type_autopilot_operator_health_reply },
    { "PreparedQuery.Apply",                &type_prepared_query_request,                &type_str },
    { "PreparedQuery.Execute",              &type_prepared_query_execute_request,        &type_prepared_query_execute_response },
    { "PreparedQuery.ExecuteRemote",        &type_prepared_query_execute_remote_request, &type_prepared_query_execute_response },
    { "PreparedQuery.Explain",              &type_prepared_query_execute_request,        &type_prepared_query_explain_response },
    { "PreparedQuery.Get",                  &type_prepared_query_specific_request,       &type_indexed_prepared_queries },
    { "PreparedQuery.List",                 &type_dc_specific_request,                   &type_indexed_prepared_queries },
    { "Session.Apply",                      &type_session_request,                       &type_str },
    { "Session.Get",                        &type_session_specific_request,              &type_indexed_sessions },
    { "Session.List",                       &type_session_specific_request,              &type_indexed_sessions },
    { "Session.NodeSessions",               &type_node_specific_request,                 &type_indexed_sessions },
    { "Session.Renew",                      &type_session_specific_request,              &type_indexed_sessions },
    { "Status.Leader",                      &type_dc_specific_request,                   &type_str },
    { "Status.Peers",                       &type_dc_specific_request,                   &type_list_str },
    { "Status.Ping",                        &type_nothing,                               &type_nothing },
    { "Status.RaftStats",                   &type_nothing,                               &type_autopilot_server_stats },
    { "Txn.Apply",                          &type_txn_request,                           &type_txn_response },
    { "Txn.Read",                           &type_txn_read_request,                      &type_txn_read_response },
};
/* clang-format on */
const size_t method_count = sizeof method_table / sizeof method_table[0];

const struct method_types *method_find(struct str method)
{
    size_t low = 0, high = method_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_cmp(str_of(method_table[middle].method), method);
        if (order == 0) return &method_table[middle];
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

bool method_service_insecure(struct str service)
{
    return str_is(service, "AutoEncrypt") || str_is(service, "AutoConfig");
}
