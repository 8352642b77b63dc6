/* SPDX-License-Identifier: Apache-2.0 */
/* A running agent: the one place where all parts meet. run_start builds them in the order in which
 * they need each other, run_shutdown takes them down in the reverse order, step by step on the
 * loop. */
#pragma once
#include "consuld/base/metrics.h"
#include "consuld/agent/auto_encrypt.h"
#include "consuld/agent/cache.h"
#include "consuld/agent/config.h"
#include "consuld/agent/local.h"
#include "consuld/agent/proxies.h"
#include "consuld/agent/retry_join.h"
#include "consuld/agent/remote_exec.h"
#include "consuld/agent/user_events.h"
#include "consuld/cluster.h"
#include "consuld/cluster/gateways.h"
#include "consuld/cluster/pool.h"
#include "consuld/cluster/rpc_port.h"
#include "consuld/cluster/rpc_router.h"
#include "consuld/cluster/snapshot_remote.h"
#include "consuld/face/api.h"
#include "consuld/face/context.h"
#include "consuld/gossip/event_payload.h"
#include "consuld/gossip/serf.h"
#include "consuld/net.h"
#include "consuld/server.h"
#include "consuld/store.h"

#define RUN_SIGNALS 3

struct run_logfile;
struct watches;
struct run_raft;

struct run {
    struct world *world;
    struct config_args *args;
    struct arena arena;        /* of args and the first configuration */
    struct arena reload_arena; /* of the configuration after the last reload */
    struct agent_config *config;
    char node_id[UUID_TEXT_LEN + 1];
    struct store *store;
    struct raft_driver *raft;
    int data_lock;             /* on the data directory, of a server */
    struct run_raft *raft_net; /* servers only */
    struct server *server;
    struct rpc_port *port; /* of RPC; servers only */
    struct metrics *metrics;
    struct run_metrics *telemetry;
    struct metrics_source gossip_metrics;
    struct rpc_pool *rpc_pool;
    struct str domain;         /* of the names in certificates */
    struct str source;         /* IP that servers are dialled from; nil: any */
    const char *spool_dir;     /* for what is too large for memory */
    struct rpc_router *router; /* clients only, as the next */
    struct rpc_limit limit;    /* of a server's own calls */
    struct snapshot_remote *snapshots;
    struct pool *lan, *wan;    /* wan: servers only, NULL when off */
    struct gateways *gateways; /* NULL: servers elsewhere are dialled */
    struct timer gateways_timer;
    void (*gateways_found)(struct run *r);
    struct list wan_texts; /* of the join through gateways */
    struct pool_observer lan_observer, wan_observer;
    struct pool_request join, leave;
    void (*pools_left)(struct run *r);
    void (*pools_stopped)(void *ctx);
    struct retry_join *retry_lan, *retry_wan;
    struct user_events *events;
    struct remote_exec *remote_exec; /* NULL: not allowed */
    struct timer place_timer;        /* of pushing our coordinate */
    struct rpc_call place_call;
    struct error place_err;
    struct arena place_arena;
    bool place_busy;
    struct cache *cache;
    struct leaves *leaves;
    struct local *local;
    struct proxies *proxies;
    struct watches *watches; /* of the configuration */
    struct tls *tls;
    struct auto_credentials given; /* what TLS has beside the configuration */
    struct arena given_arena;
    struct auto_encrypt *auto_encrypt; /* NULL: off */
    bool starting;                     /* waits for it */
    struct api *api;
    struct face_context context;
    struct net_signal *signals[RUN_SIGNALS];
    struct local_push reload_push;
    struct api_request *reload_req; /* waits for the reload, NULL for a signal's */
    bool reloading;
    struct api_request *leave_req; /* waits for the leave, NULL for a signal's */
    bool leaving;
    bool stopping;
    struct timer drain;       /* of a leave: of what is on its way, then of calls */
    struct timer leave_timer; /* most a leave may take */
    struct timer leave_step;  /* of a server that leaves its raft */
    uint64_t leave_until_ms;
    struct raft_driver_request leave_raft;
    struct raft_driver_observer seen_raft; /* as the next: of noting that we are in the cluster */
    struct timer seen_timer;
    bool seen; /* noted since the start */
    void (*leave_then)(struct run *r);
    struct timer memory_timer;
    size_t memory_turn;
    struct run_logfile *logfile; /* NULL: not asked for */
    int syslog_slot;             /* of the log's taps, -1: not asked for */
    int exit_code;
};

/* run_identity.c: data directory, node id, pid file. */
/* Makes the folder and those above it, durably. */
int run_prepare_folder(struct disk *disk, struct str dir, struct error *err) must_check;
int run_node_id(struct run *r, struct error *err) must_check;
int run_write_pid(const struct run *r, struct error *err) must_check;

/* run_rejoin.c: refuses, or warns, when this server was away for too long; notes that it is not. */
int run_rejoin_check(struct run *r, struct error *err) must_check;
void run_rejoin_start(struct run *r);
void run_rejoin_stop(struct run *r);

/* run_log.c: log files and syslog. */
int run_log_open(struct run *r, struct error *err) must_check;
void run_log_close(struct run *r);

/* run_tls.c */
struct tls_material;
/* Of a configuration and of what was given beside it. */
int run_tls_load(const struct run *r, const struct agent_config *c, struct tls_material **out,
    struct error *err) must_check;
/* Takes authorities and a certificate into use beside the configured ones. */
int run_tls_give(struct run *r, const struct auto_credentials *given, struct error *err) must_check;
/* Takes the authority's roots (-> struct ca_root) into use; ctx is the run. */
int run_tls_roots(void *ctx, const struct list *roots);
int run_tls_create(struct run *r, struct error *err) must_check;
/* run_socket.c: owner, group and mode of a unix socket as configured. */
int run_socket_access(const struct agent_config *c, const char *path, struct error *err) must_check;
/* Says so if something is there already. */
void run_socket_replace(const char *path);
/* Warns of a certificate near its end. */
void run_tls_tell(const struct run *r);

/* run_auto_encrypt.c: asks for the certificate, then calls `upgraded` with the run. */
void run_auto_encrypt_start(struct run *r, void (*upgraded)(void *ctx));

/* run_banner.c */
void run_banner(const struct run *r);

/* run_metrics.c: telemetry. Stop comes after everything that counts. */
void run_metrics_start(struct run *r);
/* The pools are made. */
void run_metrics_pools(struct run *r);
void run_metrics_pools_end(struct run *r);
void run_metrics_reload(struct run *r);
void run_metrics_stop(struct run *r);

/* run_metrics_gossip.c: what the pools refused. */
void run_metrics_gossip(struct run *r);
void run_metrics_gossip_end(struct run *r);

/* run_start.c: everything from the store to the listeners. */
int run_start(struct run *r, struct error *err) must_check;
void run_api_options(const struct run *r, struct arena *a, struct api_options *out);

/* run_raft.c: raft with other servers. Created before the driver; its stop comes after the
 * driver's and before the store is closed. */
struct raft_driver_transport *run_raft_create(struct run *r);
void run_raft_start(struct run *r);
void run_raft_stop(struct run *r, void (*stopped)(void *ctx));
/* A stream of port 8300 behind its first byte; ctx is the run. */
void run_raft_accept(void *ctx, struct stream *s);

/* run_raft_leave.c: before the pools are left, and after it. */
void run_raft_hand_over(struct run *r, void (*then)(struct run *r));
void run_raft_await_removal(struct run *r, void (*then)(struct run *r));
void run_raft_leave_stop(struct run *r);

/* run_pool.c: the gossip pools. The callbacks come later, never from inside the call. */
int run_pools_create(struct run *r, struct error *err) must_check;
int run_pools_start(struct run *r, struct error *err) must_check;
/* WAN first, then LAN. */
void run_pools_leave(struct run *r, void (*left)(struct run *r));
void run_pools_stop(struct run *r, void (*stopped)(void *ctx));

/* run_join.c: joins of the configuration; then run_running. */
void run_joins_start(struct run *r);
void run_joins_stop(struct run *r);

/* run.c: says that the agent runs. */
void run_running(struct run *r);

/* run_federation.c: through mesh gateways, if the configuration wants it. */
bool run_federates(const struct run *r);
void run_federation_create(struct run *r);
void run_federation_destroy(struct run *r);
/* The pools are made: their servers elsewhere are off limits to all that connects. */
void run_federation_watch(struct run *r);
/* Handlers of port 8300; ctx is the struct run. */
void run_gossip_packets(void *ctx, struct stream *s);
void run_gossip_stream(void *ctx, struct stream *s);
/* Publishes the configured gateways of the primary, then calls `found`, perhaps at once. */
void run_gateways_find(struct run *r, void (*found)(struct run *r));
void run_gateways_forget(struct run *r);

/* run_servers.c: limits.rpc_rate and rpc_max_burst, at the start and after a reload. */
void run_calls_limit(struct run *r);
/* run_servers.c: calls to servers; a client agent's way to those of its datacenter. */
void run_calls_start(struct run *r);
void run_servers_start(struct run *r);
void run_servers_stop(struct run *r, void (*stopped)(void *ctx));
/* What the LAN pool tells of a member. */
void run_servers_member(struct run *r, enum serf_notice_type type, const struct serf_member *m);

/* run_memory.c */
void run_memory_start(struct run *r);
void run_memory_stop(struct run *r);

/* run_stop.c */
void run_leave(struct run *r);
/* Answers when the agent has left, just before it ends. */
void run_leave_for(struct run *r, struct api_request *req);
void run_shutdown(struct run *r, int exit_code);
void run_signal(void *ctx, int signum);

/* run_reload.c */
void run_reload(struct run *r, struct api_request *req);
