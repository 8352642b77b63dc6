/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints whose part of the servers is not built: their methods and the answers that need no
 * state are Consul's. */
#include "state_call.h"
#include "state_routes.h"

static void acl(struct api_request *req)
{
    api_reply_text(req, 401, "ACL support disabled");
}

#define ROW(path, allowed, handler) \
    { \
        path, allowed, API_BODY_PLAIN, 0, handler \
    }

/* clang-format off */
const struct api_route api_absent_routes[] = {
    ROW("/v1/acl/auth-method",            API_PUT, acl),
    ROW("/v1/acl/auth-method/",           API_GET | API_PUT | API_DELETE, acl),
    ROW("/v1/acl/auth-methods",           API_GET, acl),
    ROW("/v1/acl/binding-rule",           API_PUT, acl),
    ROW("/v1/acl/binding-rule/",          API_GET | API_PUT | API_DELETE, acl),
    ROW("/v1/acl/binding-rules",          API_GET, acl),
    ROW("/v1/acl/bootstrap",              API_PUT, acl),
    ROW("/v1/acl/clone/",                 API_PUT, acl),
    ROW("/v1/acl/create",                 API_PUT, acl),
    ROW("/v1/acl/destroy/",               API_PUT, acl),
    ROW("/v1/acl/info/",                  API_GET, acl),
    ROW("/v1/acl/list",                   API_GET, acl),
    ROW("/v1/acl/login",                  API_POST, acl),
    ROW("/v1/acl/logout",                 API_POST, acl),
    ROW("/v1/acl/policies",               API_GET, acl),
    ROW("/v1/acl/policy",                 API_PUT, acl),
    ROW("/v1/acl/policy/",                API_GET | API_PUT | API_DELETE, acl),
    ROW("/v1/acl/policy/name/",           API_GET, acl),
    ROW("/v1/acl/replication",            API_GET, acl),
    ROW("/v1/acl/role",                   API_PUT, acl),
    ROW("/v1/acl/role/",                  API_GET | API_PUT | API_DELETE, acl),
    ROW("/v1/acl/role/name/",             API_GET, acl),
    ROW("/v1/acl/roles",                  API_GET, acl),
    ROW("/v1/acl/rules/translate",        API_POST, acl),
    ROW("/v1/acl/rules/translate/",       API_GET, acl),
    ROW("/v1/acl/token",                  API_PUT, acl),
    ROW("/v1/acl/token/",                 API_GET | API_PUT | API_DELETE, acl),
    ROW("/v1/acl/token/self",             API_GET, acl),
    ROW("/v1/acl/tokens",                 API_GET, acl),
    ROW("/v1/acl/update",                 API_PUT, acl),
    ROW("/v1/internal/acl/authorize",     API_POST, acl),
    { 0 },
};
/* clang-format on */

const struct api_route *const api_state_tables[] = { api_kv_routes, api_session_routes,
    api_txn_routes, api_catalog_routes, api_health_routes, api_coordinate_routes, api_query_routes,
    api_internal_routes, api_operator_routes, api_snapshot_routes, api_config_routes,
    api_intention_routes, api_connect_ca_routes, api_absent_routes, NULL };
