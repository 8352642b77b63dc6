/* SPDX-License-Identifier: Apache-2.0 */
/* Members into the catalog (leader.md 4): what the catalog lacks of what gossip says about a node,
 * and which nodes with a serfHealth check are no members any more. */
#include "consuld/cluster/member.h"
#include "consuld/cluster/pool.h"
#include "server.h"

#define SERF_CHECK_ID STR("serfHealth")
#define SERF_CHECK_NAME STR("Serf Health Status")
#define SERF_ALIVE_OUTPUT STR("Agent alive and reachable")
#define SERF_FAILED_OUTPUT STR("Agent not live or unreachable")
#define SERVER_SERVICE STR("consul")

struct member {
    struct str name, id, address;
    enum serf_status status;      /* SERF_NONE: not a member (any more) */
    struct node_service *service; /* of a server, NULL for a client */
    unsigned port;                /* of a server that is no member any more */
};

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

static struct health_check *serf_check(struct arena *a, struct str node, bool alive)
{
    struct health_check *c = arena_new(a, struct health_check);
    c->node = node;
    c->check_id = SERF_CHECK_ID;
    c->name = SERF_CHECK_NAME;
    c->status = alive ? STR("passing") : STR("critical");
    c->output = alive ? SERF_ALIVE_OUTPUT : SERF_FAILED_OUTPUT;
    return c;
}

/* What gossip says about a node; false for one that is none of ours. */
static bool member_of(struct server *s, struct str name, struct arena *a, struct member *out)
{
    *out = (struct member){ .name = name, .status = SERF_NONE };
    if (!s->opts.lan) {
        if (!str_eq(name, s->opts.self.name)) return true;
        out->status = SERF_ALIVE;
        out->id = s->opts.self.id;
        out->address = s->opts.self.address;
        out->service = server_service(&s->opts.self, a);
        return true;
    }
    const struct serf_member *m = serf_find(pool_serf(s->opts.lan), name);
    if (!m) return true;
    struct dict tags;
    struct error ignored;
    struct consul_server server;
    struct str dc;
    char ip[GOSSIP_ADDRESS_TEXT_MAX];
    if (serf_tags_decode(m->meta, a, &tags, &ignored) != 0) return false;
    out->status = m->status;
    out->id = str_dup(a, dict_str(&tags, STR("id")));
    out->address = str_dup(a, str_of(gossip_ip_text(&m->address, ip)));
    if (consul_client_read(&tags, &dc)) return str_eq(dc, s->opts.datacenter);
    if (!consul_server_read(name, &tags, &server)) return false;
    struct server_member known = { .port = (uint16_t)server.port,
        .version = str_dup(a, server.version),
        .raft_version = (uint64_t)server.raft_version,
        .protocol_min = m->vsn[0],
        .protocol_max = m->vsn[1],
        .protocol_current = m->vsn[2],
        .non_voter = str_is(dict_str(&tags, STR("non_voter")), "true") };
    out->service = server_service(&known, a);
    return str_eq(server.datacenter, s->opts.datacenter) && server.segment.n == 0;
}

static enum member_change register_member(struct server *s, struct store_read *rd, struct arena *a,
    const struct member *m, struct register_request *out)
{
    struct node *node = NULL;
    struct node_service *service = NULL;
    struct health_check *check = NULL;
    bool alive = m->status == SERF_ALIVE;
    store_node(rd, NULL, m->name, a, &node);
    if (m->service) store_node_service(rd, NULL, m->name, SERVER_SERVICE, a, &service);
    store_node_check(rd, NULL, m->name, SERF_CHECK_ID, a, &check);
    bool same = node && str_eq(node->address, m->address) && check &&
                str_is(check->status, alive ? "passing" : "critical");
    if (alive && m->service)
        same = same && service && record_equal(&type_map_str, &service->meta, &m->service->meta);
    if (same || (!alive && !node)) return MEMBER_SETTLED;
    *out = (struct register_request){ .datacenter = s->opts.datacenter,
        .node = m->name,
        .id = m->id,
        .address = m->address,
        .service = alive ? m->service : NULL,
        .check = serf_check(a, m->name, alive),
        /* A node that is unknown may just be registering itself: what it says of itself stays. */
        .skip_node_update = !alive || !node };
    if (node) {
        out->tagged_addresses = node->tagged_addresses;
        out->node_meta = node->meta;
    }
    return MEMBER_REGISTER;
}

/* What the raft configuration needs first (leader.md 5). */
static bool raft_step_of(struct server *s, struct arena *a, const struct member *m,
    const struct node *node, struct raft_wish *out)
{
    struct raft_driver_state state = raft_driver_state(s->raft);
    struct lan_server server;
    struct list all;
    bool self = str_eq_nocase(m->name, s->opts.self.name);
    if (m->status == SERF_NONE) {
        /* Gossip has forgotten it: the catalog still knows where it was. */
        struct str address =
            node && m->port
                ? str_printf(a, str_find_char(node->address, ':') >= 0 ? "[%.*s]:%u" : "%.*s:%u",
                      STR_ARG(node->address), m->port)
                : STR_NIL;
        return !self && address.n &&
               raft_leave_change(state.servers, state.servers_n, STR_NIL, address, out);
    }
    if (!m->service || !server__lan_server(s, m->name, a, &server)) return false;
    server__lan_servers(s, a, &all);
    if (m->status != SERF_ALIVE)
        return !self &&
               raft_leave_change(state.servers, state.servers_n, server.id, server.address, out);
    enum raft_join join =
        raft_join_change(state.servers, state.servers_n, &all, &server, self, out);
    if (join == RAFT_JOIN_CLASH)
        log_error(SERVER_LOG, "two servers are in bootstrap mode, one is not added", "node",
            str_c(a, m->name));
    return join == RAFT_JOIN_REMOVE || join == RAFT_JOIN_ADD;
}

/* Too many members failed at once: the catalog keeps what it has. */
static bool preserving(const struct server *s)
{
    return s->opts.lan && serf_preserving(pool_serf(s->opts.lan));
}

static enum member_change drop_member(struct server *s, struct store_read *rd, struct arena *a,
    struct member *m, struct member_step *out)
{
    struct node *node = NULL;
    struct node_service *service = NULL;
    struct health_check *check = NULL;
    if (str_eq_nocase(m->name, s->opts.self.name)) return MEMBER_SETTLED;
    store_node(rd, NULL, m->name, a, &node);
    store_node_check(rd, NULL, m->name, SERF_CHECK_ID, a, &check);
    store_node_service(rd, NULL, m->name, SERVER_SERVICE, a, &service);
    if (m->status == SERF_NONE && !check) return MEMBER_SETTLED;
    if (m->status == SERF_NONE && service && service->port > 0) m->port = (unsigned)service->port;
    if (raft_step_of(s, a, m, node, &out->raft)) return MEMBER_RAFT;
    if (!node || preserving(s)) return MEMBER_SETTLED;
    out->dereg = (struct deregister_request){ .datacenter = s->opts.datacenter, .node = m->name };
    return MEMBER_DEREGISTER;
}

/* The catalog has another node of that name: one that was wiped and came back with a new id. Gossip
 * knows one node by a name, so the old one is gone; its entry would keep the new one out. */
static bool other_node(struct store_read *rd, struct arena *a, const struct member *m)
{
    struct node *node = NULL;
    store_node(rd, NULL, m->name, a, &node);
    return node && node->id.n && m->id.n && !str_eq_nocase(node->id, m->id);
}

enum member_change server__member_change(struct server *s, struct store_read *rd, struct arena *a,
    struct str name, struct member_step *out)
{
    struct member m;
    if (!member_of(s, str_dup(a, name), a, &m)) return MEMBER_SETTLED;
    switch (m.status) {
    case SERF_ALIVE:
        if (raft_step_of(s, a, &m, NULL, &out->raft)) return MEMBER_RAFT;
        if (other_node(rd, a, &m)) {
            out->dereg =
                (struct deregister_request){ .datacenter = s->opts.datacenter, .node = m.name };
            return MEMBER_DEREGISTER;
        }
        return register_member(s, rd, a, &m, &out->reg);
    case SERF_FAILED:
        return register_member(s, rd, a, &m, &out->reg);
    case SERF_LEAVING:
        return MEMBER_SETTLED;
    case SERF_LEFT:
    case SERF_NONE:
        break;
    }
    return drop_member(s, rd, a, &m, out);
}

static bool is_member(struct server *s, struct str name)
{
    if (str_eq_nocase(name, s->opts.self.name)) return true;
    return s->opts.lan && serf_find(pool_serf(s->opts.lan), name) != NULL;
}

bool server__member_forgotten(
    struct server *s, struct store_read *rd, struct arena *a, struct str *name)
{
    struct list checks = { 0 };
    if (preserving(s)) return false;
    store_checks_in_state(rd, NULL, STR("any"), NULL, a, &checks);
    for (size_t i = 0; i < checks.n; i++) {
        const struct health_check *c = &LIST_AT(&checks, struct health_check, i);
        if (!str_eq(c->check_id, SERF_CHECK_ID) || is_member(s, c->node)) continue;
        *name = c->node;
        return true;
    }
    return false;
}
