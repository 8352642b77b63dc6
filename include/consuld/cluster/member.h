/* SPDX-License-Identifier: Apache-2.0 */
/* What Consul reads from the tags of gossip members: who is a server, who a client, and who may be
 * in our pools (gossip.md 12.2, 12.4). Pure functions. */
#pragma once
#include "consuld/gossip.h"

/* A member that is a server. Texts point into its name and tags. */
struct consul_server {
    struct str name;       /* as gossip has it */
    struct str short_name; /* without the suffix of its datacenter */
    struct str id;
    struct str datacenter;
    struct str segment;
    struct str acls;    /* "0" off, "1" on, "2" legacy, "3" unknown */
    struct str version; /* of the build: "1.8.6" */
    int64_t protocol;
    int64_t port; /* of RPC; no range is checked */
    int64_t expect;
    int64_t raft_version;
    int64_t wan_join_port;
    bool bootstrap, use_tls, non_voter;
};

/* False if anything that is needed is missing or anything that is there cannot be read. */
bool consul_server_read(struct str name, const struct dict *tags, struct consul_server *out);
/* Of a build's version: 1.8.6+ent. `least` is "1.6.0". */
bool consul_version_at_least(struct str text, const char *least);
/* True for a client; its datacenter, perhaps nil. */
bool consul_client_read(const struct dict *tags, struct str *datacenter);

struct merge_member {
    struct str name;
    struct dict tags;
    bool left;
};

/* Who we are, for those who want to join us. */
struct merge_rules {
    bool wan;
    struct str name;
    struct str id;
    struct str datacenter;
    struct str segment;
};

/* 0, or ERR_DENIED and the text about the first member that has no place in the pool. */
int consul_merge_check(const struct merge_rules *own, const struct merge_member *members, size_t n,
    struct error *err) must_check;
/* The same for nodes of gossip; undecodable tags are none. */
int consul_merge_nodes(const struct merge_rules *own, const struct swim_node *nodes, size_t n,
    struct error *err) must_check;
