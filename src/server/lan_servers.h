/* SPDX-License-Identifier: Apache-2.0 */
/* The servers of the own datacenter as gossip shows them, and what the raft configuration should
 * become because one of them came or went (leader.md 5). The latter are pure functions. */
#pragma once
#include "consuld/base.h"
#include "consuld/cluster/raft_driver.h"
#include "consuld/gossip/serf.h"

struct server;

struct lan_server {
    struct str name;    /* of the node */
    struct str id;      /* of the node; empty for very old ones */
    struct str address; /* "ip:port" as in the raft configuration */
    struct str ip;
    uint16_t port;
    struct str version;
    uint64_t raft_version;
    enum serf_status status;
    bool bootstrap;
};

/* -> struct lan_server, memory of `a`. Without a pool the own server alone. */
void server__lan_servers(const struct server *s, struct arena *a, struct list *out);
/* One of them by node name; false if it is none. */
bool server__lan_server(
    const struct server *s, struct str name, struct arena *a, struct lan_server *out);
const struct lan_server *lan_server_by_id(const struct list *servers, struct str id);
/* A living one is preferred. */
const struct lan_server *lan_server_by_address(const struct list *servers, struct str address);
/* The lowest raft protocol among the living; 0: there is none. */
uint64_t lan_raft_version_min(const struct list *servers);

/* One change of the raft configuration. */
struct raft_wish {
    enum raft_driver_change_op op;
    struct str id, address;
};

enum raft_join {
    RAFT_JOIN_NONE,   /* it is in, or has no need to be */
    RAFT_JOIN_CLASH,  /* it and another one are told to bootstrap: it stays out */
    RAFT_JOIN_REMOVE, /* first another entry with its address must go */
    RAFT_JOIN_ADD,
};
/* What brings the living server `m` into the configuration `have`. */
enum raft_join raft_join_change(const struct raft_driver_server *have, size_t n,
    const struct list *servers, const struct lan_server *m, bool self, struct raft_wish *out);
/* What takes a server that left out of it, by id or else by address; false: it is not in. */
bool raft_leave_change(const struct raft_driver_server *have, size_t n, struct str id,
    struct str address, struct raft_wish *out);
