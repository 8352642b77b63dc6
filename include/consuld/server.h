/* SPDX-License-Identifier: Apache-2.0 */
/* The server: procedures over the store and the raft log, and the duties of a leader. It answers
 * calls through the rpc_client it embeds; nothing else reaches its state.
 *
 * The method table (src/server/methods.c) has a row for each procedure of rpc.md 12; the dispatcher
 * owns what all rows share: datacenter and leader checks, consistency, blocking, query metadata,
 * deadlines. Equal blocking queries share one parked query, one evaluation and one reply per
 * change. */
#pragma once
#include "consuld/cluster/rpc.h"
#include "consuld/wire/value.h"

struct certifier;
struct metrics;
struct world;
struct store;
struct pool;
struct gateways;
struct raft_driver;
struct rpc_pool;
struct server;
struct snapshot_client;

/* What gossip says about one LAN member that is a server (leader.md 4, 5). */
struct server_member {
    struct str name;    /* node name */
    struct str id;      /* node id, UUID text */
    struct str address; /* IP */
    uint16_t port;      /* server port */
    struct str version; /* build without metadata: "1.8.6" */
    uint64_t raft_version;
    uint64_t protocol_min, protocol_max, protocol_current;
    bool non_voter;
};

struct server_options {
    struct world *world;
    struct store *store;
    struct raft_driver *raft;
    struct pool *lan, *wan; /* gossip; NULL: none, then `self` is the only member */
    /* The way to other servers; NULL: none. Outlives the server. */
    struct rpc_pool *rpc_pool;
    /* Gets the federation states; NULL: there is none. Outlives the server. */
    struct gateways *gateways;
    struct tls *tls;   /* of snapshots on their way to and from the leader; NULL: none */
    struct str domain; /* of the names in certificates */
    struct str datacenter;
    struct str primary_datacenter; /* empty: own */
    struct str replication_token;  /* for what a secondary asks of the primary */
    struct server_member self;
    struct str raft_address;   /* "ip:port" as in the raft configuration */
    uint64_t bootstrap_expect; /* servers of the first configuration; 0: it is not ours to write */
    /* 0 stands for the default in the comment */
    uint64_t default_query_time_ms; /* 300 s */
    uint64_t max_query_time_ms;     /* 600 s */
    uint64_t rpc_hold_timeout_ms;   /* 7 s */
    uint64_t session_ttl_min_ms;    /* 10 s */
    uint64_t reconcile_interval_ms; /* 60 s */
    uint64_t coordinate_period_ms;  /* 5 s */
    uint64_t tombstone_ttl_ms;      /* 15 min */
    /* autopilot defaults written by the first leader */
    bool autopilot_keep_dead_servers;
    int64_t autopilot_last_contact_ns;    /* 200 ms */
    int64_t autopilot_stabilization_ns;   /* 10 s */
    uint64_t autopilot_max_trailing_logs; /* 250 */
    uint64_t autopilot_min_quorum;
    /* Configuration entries that the first leader writes if they are missing, in the primary
     * datacenter. -> struct config_entry; borrowed for the life of the server. */
    struct list config_entries;
    /* Makes the certificates of Connect; NULL: Connect is off. Outlives the server. */
    const struct certifier *certifier;
    struct str ca_provider;  /* empty: "consul" */
    struct value ca_config;  /* V_MAP of the provider's settings, over the defaults; copied */
    const char *spool_dir;   /* for archives that come from outside; NULL: memory */
    bool auto_encrypt;       /* client agents without a certificate get one */
    bool auto_config;        /* auto_config.authorization.enabled, which is not built */
    struct metrics *metrics; /* NULL: nobody counts. Outlive the server */
    /* Told all roots of Connect (-> struct ca_root), at the start and whenever they change, on
     * every server; again after a while if it returns an error. May be NULL. */
    int (*roots_changed)(void *ctx, const struct list *roots);
    /* called when leadership was gained and established, and when it was lost; may be NULL */
    void (*leadership)(void *ctx, bool leader);
    void *ctx;
};

/* Strings in options are copied. The store and the raft driver outlive the server. */
int server_create(
    const struct server_options *opts, struct server **out, struct error *err) must_check;
/* Ends every parked call with an error. */
void server_destroy(struct server *s);
struct rpc_client *server_rpc(struct server *s);
struct snapshot_client *server_snapshots(struct server *s);
/* Graceful leave has begun: calls that need a leader fail at once (rpc.md 9.6). */
void server_leave(struct server *s);
/* True once this server leads and has run through its start-up duties. */
bool server_ready(const struct server *s);

/* Counters for metrics, `consul info` and tests. */
struct server_stats {
    uint64_t calls;        /* submitted */
    uint64_t evaluations;  /* of reads */
    uint64_t forwarded;    /* sent to the leader */
    uint64_t queries;      /* that could block */
    uint64_t parked;       /* blocking queries waiting now, shared or not */
    uint64_t shared;       /* distinct queries they wait on */
    uint64_t sessions_ttl; /* running session timers */
};
struct server_stats server_stats(const struct server *s);

/* How the leader brings a kind of record to or from the primary datacenter. */
struct server_sync_status {
    const char *name;        /* "federation_state_replication" */
    bool running;            /* this server leads and it is its duty */
    uint64_t last_index;     /* of the primary; 0 after a failure, and where there is none */
    uint64_t rounds, writes; /* since the start */
    int64_t last_success_ns; /* wall clock; 0: never */
    int64_t last_error_ns;
    const char *last_error;   /* "" without */
    int64_t failing_since_ns; /* 0: it does not fail */
    uint64_t next_try_ms;     /* from now; 0: under way, or nothing to do */
};
/* The i-th; false behind the last. */
bool server_sync_status(const struct server *s, size_t i, struct server_sync_status *out);
