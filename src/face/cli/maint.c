/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#define NODE_CHECK "_node_maintenance"
#define SERVICE_CHECK "_service_maintenance:"

static int list(struct cli *c)
{
    struct error err;
    struct value self, checks;
    if (client_get(c, STR("/v1/agent/self"), &self, &err) != 0)
        return cli_fail(c, "Error querying Consul agent: %s", err.text);
    if (client_get(c, STR("/v1/agent/checks"), &checks, &err) != 0)
        return cli_fail(c, "Error getting checks: %s", err.text);
    struct str node = value_text(value_at(&self, "Config"), "NodeName");
    struct list sorted = value_sorted(c, &checks);
    for (size_t i = 0; i < sorted.n; i++) {
        const struct value_entry *e = &LIST_AT(&sorted, struct value_entry, i);
        struct str reason = value_text(&e->value, "Notes");
        if (str_is(e->key, NODE_CHECK))
            cli_say(c, "Node:\n  Name:   %.*s\n  Reason: %.*s\n", STR_ARG(node), STR_ARG(reason));
        else if (str_has_prefix(e->key, STR(SERVICE_CHECK)))
            cli_say(c, "Service:\n  ID:     %.*s\n  Reason: %.*s\n",
                STR_ARG(value_text(&e->value, "ServiceID")), STR_ARG(reason));
    }
    return 0;
}

static int set(struct cli *c, bool enable, struct str service)
{
    struct error err;
    struct client_response response;
    struct client_request r = { .method = "PUT", .path = STR("/v1/agent/maintenance") };
    if (service.n) r.path = client_path(c, "/v1/agent/service/maintenance/", service);
    client_query(c, &r, "enable", enable ? STR("true") : STR("false"));
    if (enable) client_query(c, &r, "reason", cli_text(c, "reason"));
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(c, "Error %s %s maintenance: %s", enable ? "enabling" : "disabling",
            service.n ? "service" : "node", err.text);
    const char *now = enable ? "enabled" : "disabled";
    if (service.n)
        cli_say(c, "Service maintenance is now %s for \"%.*s\"", now, STR_ARG(service));
    else
        cli_say(c, "Node maintenance is now %s", now);
    return 0;
}

int cluster_maint(struct cli *c)
{
    bool enable = cli_bool(c, "enable"), disable = cli_bool(c, "disable");
    struct str service = cli_text(c, "service");
    if (enable && disable) return cli_fail(c, "Only one of -enable or -disable may be provided");
    if (!enable && cli_text(c, "reason").n)
        return cli_fail(c, "Reason may only be provided with -enable");
    if (!enable && !disable && service.n)
        return cli_fail(c, "Service requires either -enable or -disable");
    return enable || disable ? set(c, enable, service) : list(c);
}
