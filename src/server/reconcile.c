/* SPDX-License-Identifier: Apache-2.0 */
/* Members into the catalog (leader.md 4): what the register entry of an alive server holds, and
 * which nodes with a serfHealth check are no members any more. */
#include "server.h"

#define SERF_CHECK_ID STR("serfHealth")
#define SERF_CHECK_NAME STR("Serf Health Status")
#define SERF_ALIVE_OUTPUT STR("Agent alive and reachable")
#define SERVER_SERVICE STR("consul")

static struct node_service *server_service(const struct server_member *m, struct arena *a)
{
    struct node_service *ns = arena_new(a, struct node_service);
    ns->id = ns->service = SERVER_SERVICE;
    ns->port = m->port;
    ns->weights = arena_new(a, struct weights);
    *ns->weights = (struct weights){ .passing = 1, .warning = 1 };
    dict_set_str(a, &ns->meta, STR("non_voter"), m->non_voter ? STR("true") : STR("false"));
    dict_set_str(a, &ns->meta, STR("raft_version"),
        str_printf(a, "%llu", (unsigned long long)m->raft_version));
    dict_set_str(a, &ns->meta, STR("serf_protocol_current"),
        str_printf(a, "%llu", (unsigned long long)m->protocol_current));
    dict_set_str(a, &ns->meta, STR("serf_protocol_max"),
        str_printf(a, "%llu", (unsigned long long)m->protocol_max));
    dict_set_str(a, &ns->meta, STR("serf_protocol_min"),
        str_printf(a, "%llu", (unsigned long long)m->protocol_min));
    dict_set_str(a, &ns->meta, STR("version"), m->version);
    return ns;
}

bool server__member_registration(
    struct server *s, struct store_read *rd, struct arena *a, struct register_request *out)
{
    const struct server_member *m = &s->opts.self;
    struct node *node = NULL;
    struct node_service *service = NULL, *want = server_service(m, a);
    struct health_check *check = NULL;
    store_node(rd, NULL, m->name, a, &node);
    store_node_service(rd, NULL, m->name, SERVER_SERVICE, a, &service);
    store_node_check(rd, NULL, m->name, SERF_CHECK_ID, a, &check);
    if (node && str_eq(node->address, m->address) && service &&
        record_equal(&type_map_str, &service->meta, &want->meta) && check &&
        str_is(check->status, "passing")) {
        return false;
    }
    struct health_check *serf = arena_new(a, struct health_check);
    serf->node = m->name;
    serf->check_id = SERF_CHECK_ID;
    serf->name = SERF_CHECK_NAME;
    serf->status = STR("passing");
    serf->output = SERF_ALIVE_OUTPUT;
    *out = (struct register_request){
        .datacenter = s->opts.datacenter,
        .node = m->name,
        .id = m->id,
        .address = m->address,
        .service = want,
        .check = serf,
    };
    if (node) {
        out->tagged_addresses = node->tagged_addresses;
        out->node_meta = node->meta;
    }
    return true;
}

bool server__member_removal(
    struct server *s, struct store_read *rd, struct arena *a, struct deregister_request *out)
{
    struct list checks = { 0 };
    store_checks_in_state(rd, NULL, STR("any"), NULL, a, &checks);
    for (size_t i = 0; i < checks.n; i++) {
        const struct health_check *c = &LIST_AT(&checks, struct health_check, i);
        if (!str_eq(c->check_id, SERF_CHECK_ID)) continue;
        if (str_eq_nocase(c->node, s->opts.self.name)) continue;
        *out = (struct deregister_request){ .datacenter = s->opts.datacenter, .node = c->node };
        return true;
    }
    return false;
}

bool server__federation_wanted(struct server *s, struct store_read *rd, struct watch_set *ws,
    struct arena *a, struct federation_state *want)
{
    struct federation_state *stored = NULL;
    struct str kind = STR("mesh-gateway");
    *want = (struct federation_state){ .datacenter = s->opts.datacenter };
    if (s->opts.primary_datacenter.n && !str_eq(s->opts.primary_datacenter, s->opts.datacenter)) {
        return false;
    }
    store_federation_state(rd, ws, s->opts.datacenter, a, &stored);
    store_service_dump(rd, ws, &kind, a, &want->mesh_gateways);
    if (stored &&
        record_equal(&type_check_service_node_list, &stored->mesh_gateways, &want->mesh_gateways)) {
        return false;
    }
    want->updated_at = gotime_from_unix_ns(world_wall_ns(s->world));
    return true;
}
