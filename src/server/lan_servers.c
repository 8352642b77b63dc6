/* SPDX-License-Identifier: Apache-2.0 */
#include "lan_servers.h"

#include "consuld/cluster/member.h"
#include "consuld/cluster/pool.h"
#include "server.h"

static bool read_member(
    const struct server *s, const struct serf_member *m, struct arena *a, struct lan_server *out)
{
    struct dict tags;
    struct error ignored;
    struct consul_server c;
    struct gossip_address rpc = m->address;
    char text[GOSSIP_ADDRESS_TEXT_MAX];
    if (serf_tags_decode(m->meta, a, &tags, &ignored) != 0) return false;
    if (!consul_server_read(m->name, &tags, &c)) return false;
    if (!str_eq(c.datacenter, s->opts.datacenter) || c.segment.n) return false;
    if (c.port <= 0 || c.port > UINT16_MAX) return false;
    rpc.port = (uint16_t)c.port;
    *out = (struct lan_server){ .name = str_dup(a, m->name),
        .id = str_dup(a, c.id),
        .ip = str_dup(a, str_of(gossip_ip_text(&m->address, text))),
        .port = rpc.port,
        .version = str_dup(a, c.version),
        .raft_version = (uint64_t)c.raft_version,
        .status = m->status,
        .bootstrap = c.bootstrap };
    out->address = str_dup(a, str_of(gossip_address_text(&rpc, text)));
    return true;
}

static void own(const struct server *s, struct arena *a, struct list *out)
{
    const struct server_member *self = &s->opts.self;
    *LIST_PUSH(a, out, struct lan_server) = (struct lan_server){ .name = self->name,
        .id = self->id,
        .address = s->opts.raft_address,
        .ip = self->address,
        .port = self->port,
        .version = self->version,
        .raft_version = self->raft_version,
        .status = SERF_ALIVE };
}

void server__lan_servers(const struct server *s, struct arena *a, struct list *out)
{
    *out = (struct list){ 0 };
    if (!s->opts.lan) {
        own(s, a, out);
        return;
    }
    const struct serf *lan = pool_serf(s->opts.lan);
    for (size_t i = 0; i < serf_count(lan); i++) {
        struct lan_server m;
        if (!read_member(s, serf_at(lan, i), a, &m)) continue;
        *LIST_PUSH(a, out, struct lan_server) = m;
    }
}

bool server__lan_server(
    const struct server *s, struct str name, struct arena *a, struct lan_server *out)
{
    if (!s->opts.lan) {
        struct list one = { 0 };
        if (!str_eq(name, s->opts.self.name)) return false;
        own(s, a, &one);
        *out = LIST_AT(&one, struct lan_server, 0);
        return true;
    }
    const struct serf_member *m = serf_find(pool_serf(s->opts.lan), name);
    return m && read_member(s, m, a, out);
}
