/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the server module: the method table's row, a read in evaluation, a write on its way
 * through the log, parked queries, leader duties. */
#pragma once
#include "consuld/base/certify.h"
#include "consuld/cluster/raft_driver.h"
#include "consuld/cluster/rpc_pool.h"
#include "consuld/cluster/snapshot_call.h"
#include "consuld/gossip/serf.h"
#include "consuld/model.h"
#include "consuld/server.h"
#include "consuld/store.h"
#include "consuld/store/tables.h"
#include "lan_servers.h"

#define SERVER_LOG "agent.server"

struct method;
struct parked_query;
struct pending;

/* --- the method table ---------------------------------------------------------------------- */

enum method_mode {
    MODE_READ,            /* leader, or any server when stale is allowed */
    MODE_READ_CONSISTENT, /* leader and verified, whatever was asked */
    MODE_WRITE,           /* leader */
    MODE_LOCAL,           /* whoever got it */
};

enum method_flag {
    METHOD_BLOCKING = 1,
    METHOD_PRIMARY = 2,     /* Datacenter becomes the primary's first */
    METHOD_DC_OPTIONAL = 4, /* an empty Datacenter is the own one */
    METHOD_TARGET_DC = 8,   /* routed by TargetDatacenter */
    METHOD_SHARED = 16,     /* blocking; answers may be large: kept while nothing is applied */
    METHOD_DC_IGNORED = 32, /* for whoever got it; the handler asks other datacenters itself */
};

/* A read in evaluation. */
struct eval {
    struct server *server;
    const struct method *method;
    const void *args;
    struct rpc_reply *reply; /* record zeroed; the handler fills record and index */
    struct store_read *rd;
    struct watch_set *ws; /* NULL: nobody waits for changes */
    struct error *err;
};

/* A write on its way. Lives in the call's arena. */
struct write;

enum { WRITE_DONE = 0, WRITE_PENDING = 1 };

struct method {
    const char *name;
    uint8_t mode;
    uint8_t flags;
    /* MODE_WRITE, and MODE_LOCAL with `write`: checks the arguments, then begins (WRITE_PENDING) or
     * fills the reply (WRITE_DONE). Others: reads. Negative: the error's code. NULL: part `part` is
     * not built. */
    int (*read)(struct eval *e);
    int (*write)(struct write *w);
    const char *part;
    /* May be NULL: what whoever got the call refuses, wherever it belongs. */
    int (*admit)(const struct server *s, const void *args, struct error *err);
    /* A read's: the reply is not all; the call goes on and ends on its own. NULL: it ends. */
    bool (*more)(struct pending *p, struct rpc_reply *reply);
};

extern const struct method server__methods[];
extern const size_t server__method_count;

/* Where the groups all rows share sit in the argument and result records; -1: not there. */
struct method_layout {
    const struct type *args, *reply;
    int datacenter, min_query_index, max_query_time, allow_stale, require_consistent, token;
    int index, last_contact, known_leader;
};

/* --- calls that wait ----------------------------------------------------------------------- */

enum pending_kind {
    PENDING_HELD,    /* for a leader, or for consistent reads */
    PENDING_VERIFY,  /* for the leadership check of a consistent read */
    PENDING_WRITE,   /* for the log */
    PENDING_PARKED,  /* for a change */
    PENDING_REMOTE,  /* for another datacenter's answer */
    PENDING_FORWARD, /* for the leader's answer */
};

/* What call->impl points to while a call waits; memory of the call's arena. */
struct pending {
    enum pending_kind kind;
    struct server *server;
    struct rpc_call *call;
    const struct method *method;
    const struct method_layout *layout;
    const void *args;       /* the call's, or a copy with Datacenter set */
    struct link link;       /* in server->calls or parked_query->waiters */
    struct timer timer;     /* deadline, or the end of the wait */
    uint64_t held_since_ms; /* 0: never held */
    bool verified;
    bool pausing;      /* held before the next attempt to reach the leader */
    uint64_t began_us; /* of a write, or of a verification */
    bool forwarded;    /* `inner` is on its way, since ... */
    uint64_t forwarded_ms;
    uint64_t asked;                   /* ... to the leader with this hash of its address */
    struct rpc_call inner;            /* the call as the leader gets it */
    struct raft_driver_request *raft; /* the last one made, NULL: none */
    struct pool_request *gossip;      /* the one under way, NULL: none */
    struct remote_call *remote;       /* the same */
    struct failover *failover;        /* the same */
    /* PENDING_PARKED */
    struct parked_query *query;
    uint64_t min_index;
    /* PENDING_WRITE */
    unsigned proposals; /* made so far */
    int (*finish)(struct write *w, const struct command_result *res);
    void *state;                        /* the handler's own */
    void (*abandon)(struct pending *p); /* NULL, or tells the handler that the call ends */
};

struct write {
    struct pending p; /* first: a write is a pending call */
    struct rpc_reply *reply;
    struct error *err;
};

struct parked_query {
    struct str key; /* method and arguments without index, wait */
    struct server *server;
    const struct method *method;
    const struct method_layout *layout;
    const void *args; /* own copy */
    struct arena arena;
    struct watch_set ws;
    struct rpc_reply *reply; /* of the state at evaluated_at */
    uint64_t evaluated_at;
    struct link waiters;
    struct link link; /* server->fired or server->idle; else unlinked */
    bool armed;       /* the watch set is filled */
    bool fired;
    bool abandoned;
    uint64_t idle_since_ms; /* 0: in use */
    size_t idle_bytes;
};

/* gateway_watch.c */
struct gateway_watch {
    struct watch_set ws;
    struct tick tick;
    bool settled;
};

/* auto_encrypt.c */
struct root_watch {
    struct watch_set ws;
    struct tick tick;
    struct timer again;
};

/* --- the server ---------------------------------------------------------------------------- */

struct bootstrap;

struct server {
    struct rpc_client client;
    struct snapshot_client snapshots_client;
    struct server_options opts;
    struct arena arena; /* copies of the options' strings */
    struct world *world;
    struct store *store;
    struct raft_driver *raft;
    struct raft_driver_observer observer;
    struct method_layout *layouts; /* one per row */
    bool leader, ready, leaving;
    struct link calls; /* held, verifying, writing and forwarded calls */
    struct gateway_watch gateway_watch;
    struct root_watch root_watch;
    struct federation_sync *federation;
    struct replication *replication;
    struct map routes;     /* datacenter -> its servers: routes.c */
    struct link detached;  /* commands proposed outside of calls */
    struct link snapshots; /* calls to save and restore */
    struct map parked;     /* key -> struct parked_query */
    struct link fired;     /* to be evaluated at the end of the turn */
    struct link idle;      /* without waiters, kept for the next round */
    size_t idle_n, idle_bytes;
    struct tick tick; /* evaluates what fired */
    struct timer idle_timer;
    struct buf scratch; /* encoding of commands and keys */
    struct arena key_arena;
    struct server_stats stats;
    struct duties *duties;
    struct session_timers *session_timers;
    struct coordinate_batch *coordinates;
    struct tombstone_gc *tombstones;
    struct server_gossip *gossip;
    struct autopilot *autopilot;
    struct bootstrap *bootstrap;              /* NULL: nothing is expected */
    struct snapshot_remote *remote_snapshots; /* those of the leader; NULL: cannot be reached */
    struct measures *measures;
    struct primary_roots *primary_roots; /* of a secondary's leader; NULL: not known */
    int64_t csr_busy;                    /* certificates being signed, where that is limited ... */
    struct link csr_line;                /* ... and who waits for that -> struct signing */
    bool signing;                        /* a worker is at it; the others wait: -> struct signing */
    struct link signing_line;
    int64_t csr_next_us;  /* when the next certificate may be signed */
    uint64_t leader_hash; /* of the leader's address, to see it change */
};

/* dispatch.c */
void server__submit(struct rpc_client *client, struct rpc_call *call);
void server__cancel(struct rpc_client *client, struct rpc_call *call);
/* Has the call made in another datacenter, whatever its arguments say. */
void server__submit_to(struct server *s, struct rpc_call *call, struct str datacenter);
void server__layouts_init(struct server *s);
/* Runs held calls again: leadership or readiness changed. */
void server__release_held(struct server *s);
/* Ends a call; its pending state must be unlinked before. */
void server__finish(struct rpc_call *call, struct rpc_reply *reply);
void server__fail(struct rpc_call *call, int code);
/* Holds a call for a random pause before it is routed again; false: its time is up. */
bool server__hold_again(struct pending *p);
/* What is left of the time that a call may be held; the first question begins it. */
uint64_t server__hold_left_ms(struct pending *p);
/* Routes an unlinked call, as at its beginning. */
void server__route(struct pending *p);
/* Evaluates a read now. NULL and *err on failure. */
struct rpc_reply *server__evaluate(struct server *s, const struct method *m,
    const struct method_layout *layout, const void *args, struct watch_set *ws, struct error *err);
void *server__field(const void *record, int offset);
/* Ends every held, verifying and writing call. */
void server__fail_calls(struct server *s, const char *why);

/* A new request to the raft driver, of the call's arena, forgotten when the call ends. */
struct raft_driver_request *server__request(
    struct pending *p, void (*done)(struct raft_driver_request *r), void *ctx);

/* forward.c: the error of a write that did not become an entry, since this or the asked server does
 * not lead, or is handing over. */
bool server__not_written(struct str why);
/* Sends a call to the leader; false: it is not known. */
bool server__forward(struct pending *p);
/* Another server leads, or nobody: calls that were passed on and will get no answer go elsewhere.
 */
void server__forward_review(struct server *s);
/* The error of a write that may have happened. */
#define FORWARD_ERR_DOUBT "rpc error making call: " RAFT_ERR_LEADERSHIP_LOST
/* Where the leader's port is, texts of `a`; false if it is not known, or is this server. */
bool server__leader_target(struct server *s, struct arena *a, struct rpc_target *out);

/* blocking.c */
void server__block(struct pending *p);
void server__unpark(struct pending *p);
/* A read without index of a METHOD_SHARED row, on the leader. */
void server__read_shared(struct server *s, struct rpc_call *call, const struct method *m,
    const struct method_layout *l, const void *args);
/* Forgets the replies kept: this server leads no more. */
void server__drop_idle(struct server *s);
void server__blocking_init(struct server *s);
void server__blocking_deinit(struct server *s);

/* write.c: what write handlers call */
int write_propose(struct write *w, enum command_type type, const void *body);
/* With a function that makes the reply of the command's result; NULL is the plain one. */
int write_propose_then(struct write *w, enum command_type type, const void *body,
    int (*finish)(struct write *w, const struct command_result *res));
/* The plain ending: error results become errors; booleans, texts and numbers the reply. */
int write_finish(struct write *w, const struct command_result *res);
struct rpc_reply *write_reply(struct write *w);
int write_reply_bool(struct write *w, bool v);
int write_reply_str(struct write *w, struct str v);
/* Ends a write whose handler started `r` itself. */
void write_end(struct write *w, const struct raft_driver_request *r);
/* Ends a write that was pending for another reason: WRITE_DONE with the reply made, or the code of
 * the error that w->err holds. */
void write_answer(struct write *w, int rc);
/* Runs a write method's handler for a pending call. */
void server__write(struct pending *p);
/* Proposes a command outside of any call (duties, timers). */
void server__propose(
    struct server *s, struct raft_driver_request *r, enum command_type type, const void *body);
/* The same with a request of its own; a failure is logged. */
void server__propose_detached(
    struct server *s, enum command_type type, const void *body, const char *failure);
void server__forget_detached(struct server *s);

/* leader.c */
void server__leader_init(struct server *s);
void server__leader_deinit(struct server *s);
void server__leader_changed(struct server *s, const struct raft_driver_state *state);

/* A new state was restored under a leader: it takes up its duties anew. */
void server__leader_again(struct server *s);

/* federation_sync.c */
void server__federation_init(struct server *s);
void server__federation_deinit(struct server *s);
void server__federation_start(struct server *s);
void server__federation_stop(struct server *s);
bool server__federation_supported(struct server *s);
/* There are servers of a datacenter, and all run at least this version. */
bool server__servers_at_least(struct pool *p, struct str datacenter, const char *version);
void server__federation_status(const struct server *s, struct server_sync_status *out);

/* replication.c: what a secondary's leader takes over from the primary */
void server__replication_init(struct server *s);
void server__replication_deinit(struct server *s);
void server__replication_start(struct server *s);
void server__replication_stop(struct server *s);

/* gateway_watch.c */
void server__gateway_watch_init(struct server *s);
void server__gateway_watch_deinit(struct server *s);
/* Raft may have heard from a leader. */
void server__gateway_watch_raft(struct server *s);

/* auto_encrypt.c: tells of the roots, on every server */
void server__root_watch_init(struct server *s);
void server__root_watch_deinit(struct server *s);

/* routes.c: other datacenters, as the WAN pool knows them */
void server__routes_member(
    struct server *s, enum serf_notice_type type, const struct serf_member *m);
void server__routes_deinit(struct server *s);
/* The own one, or one with a server in any state. */
bool server__route_known(const struct server *s, struct str datacenter);
/* The server to be asked there, texts of `a`; false: none is known. */
bool server__route_target(
    struct server *s, struct str datacenter, struct arena *a, struct rpc_target *out);
/* Has the call made there and answers with what comes back. */
void server__remote(struct pending *p, struct str datacenter);
void server__remote_cancel(struct pending *p);
/* All of them -> struct str, the nearest first: the own one has no distance, an unknown distance is
 * the largest; by name where they are equal. */
void server__datacenters(struct server *s, struct arena *a, struct list *out);

/* snapshot.c */
void server__snapshots_init(struct server *s);
void server__snapshot_submit(struct snapshot_client *client, struct snapshot_call *call);
void server__snapshot_cancel(struct snapshot_client *client, struct snapshot_call *call);
void server__snapshots_end(struct server *s, const char *why);

/* session_timer.c */
void server__sessions_init(struct server *s);
void server__sessions_deinit(struct server *s);
/* Leader only: (re)starts the timer of a session with a TTL; stops it for one without. */
void server__session_touch(struct server *s, const struct session *session);
void server__session_drop(struct server *s, struct str id);
/* All sessions of the store get a timer; none keeps one. */
void server__sessions_start(struct server *s);
void server__sessions_stop(struct server *s);
/* The TTL in milliseconds; 0 for none or a malformed one. */
uint64_t server__session_ttl_ms(struct str ttl);

/* coordinate.c */
void server__coordinates_init(struct server *s);
void server__coordinates_deinit(struct server *s);

/* tombstone.c */
void server__tombstones_init(struct server *s);
void server__tombstones_deinit(struct server *s);
void server__tombstones_start(struct server *s);
void server__tombstones_stop(struct server *s);

/* leader.c: looks at the members that are due at the end of the turn. */
void server__reconcile_soon(struct server *s);

/* ca.c: the built-in authority of Connect (leader.md 9). Who goes its way, a leader's duty or a
 * change of the configuration, takes one step after another (ca.h). */
struct ca_progress {
    /* what was waited for came to an end: the next step is due */
    void (*resume)(struct ca_progress *p);
    struct arena *arena; /* of what was made */
    /* got, but not yet in the state */
    uint64_t serial;      /* of the last increment-provider-serial; 0: none */
    struct str key, made; /* nil: none */
    struct str issued;    /* by the primary; nil: nothing */
    /* under way, and how it ended */
    struct certify_job *job;
    struct rpc_call call;
    struct rpc_client *calling; /* whom; NULL: nobody */
    struct arena call_arena;
    int code;
    struct error err;
};
/* Ends what is under way. */
void server__ca_forget(struct ca_progress *p);
int server__ca_step(struct server *s, struct store_read *rd, struct arena *a, struct ca_progress *p,
    struct ca_request *req, struct error *err);
int server__ca_prune(struct server *s, struct store_read *rd, struct arena *a,
    struct ca_progress *p, struct ca_request *req, struct error *err);

/* connect_ca_sign.c: has a leaf signed for a request; `answer` makes the reply of it. */
int server__ca_sign(struct write *w, struct str csr, struct str datacenter,
    int (*answer)(struct write *w, const struct issued_cert *cert));
/* leader.c: the authority's duty is due. */
void server__ca_soon(struct server *s);
/* ca_secondary.c: this server leads no more. */
void server__ca_forget_primary(struct server *s);

/* bootstrap.c: waits for the servers that bootstrap_expect speaks of. */
void server__bootstrap_init(struct server *s);
void server__bootstrap_deinit(struct server *s);

/* measure.c: metrics. */
void server__measures_init(struct server *s);
void server__measures_deinit(struct server *s);
void server__measure_role(struct server *s, enum raft_driver_role role);
/* A time for the functions below; 0 when nobody counts. */
uint64_t server__measure_from(const struct server *s);
bool server__measured(const struct server *s, const struct method *m);
void server__measure_call(struct server *s, const struct method *m, uint64_t began_us);
enum measure {
    MEASURE_CONSISTENT_READ,
    MEASURE_COMMIT,
    MEASURE_BARRIER,
    MEASURE_RECONCILE,
    MEASURE_RECONCILE_MEMBER,
    MEASURE_SESSION_INVALIDATE,
};
void server__measure(struct server *s, enum measure what, uint64_t began_us);
/* Counts a question for a service, the first few of its tags as labels. */
void server__measure_service(
    struct server *s, const char *name, struct str service, const struct str *tags, size_t n);

/* autopilot.c: runs while the server leads. */
struct autopilot_table;
void server__autopilot_init(struct server *s);
void server__autopilot_deinit(struct server *s);
/* What the first leader stores. */
void server__autopilot_defaults(const struct server *s, struct autopilot_config *out);
void server__autopilot_start(struct server *s);
void server__autopilot_stop(struct server *s);
/* The raft configuration changed. */
void server__autopilot_changed(struct server *s);
/* Dead servers are looked for now: a server came. */
void server__autopilot_prune(struct server *s);
/* Health as known; judged anew when nobody has to be asked for it. */
const struct autopilot_table *server__autopilot_table(struct server *s);

/* gossip.c */
void server__gossip_init(struct server *s);
void server__gossip_deinit(struct server *s);
void server__announce_leader(struct server *s);
/* All members are due; the first one; it needs nothing; it was changed, or should have been. */
void server__members_due(struct server *s);
bool server__member_due(struct server *s, struct str *name);
void server__member_settled(struct server *s);
void server__member_tried(struct server *s);

/* reconcile.c: what the state lacks of what gossip says about a node. */
enum member_change { MEMBER_SETTLED, MEMBER_RAFT, MEMBER_REGISTER, MEMBER_DEREGISTER };
struct member_step { /* the one of the change returned */
    struct raft_wish raft;
    struct register_request reg;
    struct deregister_request dereg;
};
enum member_change server__member_change(struct server *s, struct store_read *rd, struct arena *a,
    struct str name, struct member_step *out);
/* A node with a serfHealth check that is no member; false: there is none. */
bool server__member_forgotten(
    struct server *s, struct store_read *rd, struct arena *a, struct str *name);

/* --- what read handlers share (read.c) ----------------------------------------------------- */

#define eval_args(e, tag) ((const struct tag *)(e)->args)
#define eval_reply(e, tag) ((struct tag *)(e)->reply->record)
/* Keeps the elements that match the call's Filter; a list emptied so is not nil. */
int eval_filter(struct eval *e, struct str expr, const struct type *elem, struct list *l);
/* By round-trip estimate from source->node, when it names one and its datacenter is the own. */
void eval_sort(
    struct eval *e, const struct query_source *source, const struct type *elem, struct list *l);
/* Node meta as the store takes it: NULL for none. */
const struct dict *eval_node_meta(const struct dict *meta);
/* All pairs of `want`; an empty value is also matched by an absent key. */
bool eval_has_meta(const struct dict *have, const struct dict *want);
/* The tags to filter by, NULL when the request has no tag filter. `one` is storage. */
const struct list *eval_tags(
    struct eval *e, const struct service_specific_request *args, struct list *one);
/* An ID that is no UUID, as a lookup by it says: "what: index error: ...". */
int server__check_uuid(struct str id, const char *what, struct error *err) must_check;
/* Counts a question for a service that had `found` answers; `of` is catalog or health. */
void eval_count_service(
    struct eval *e, const char *of, const struct service_specific_request *args, size_t found);
struct filter;
int eval_filter_compile(
    struct eval *e, struct str expr, const struct type *elem, struct filter **out);

/* --- endpoints ------------------------------------------------------------------------------ */

int kvs_get(struct eval *e);
int kvs_list(struct eval *e);
int kvs_list_keys(struct eval *e);
int kvs_apply(struct write *w);
int session_get(struct eval *e);
int session_list(struct eval *e);
int session_node_sessions(struct eval *e);
int session_renew(struct eval *e);
int session_apply(struct write *w);
int txn_apply(struct write *w);
int txn_read(struct eval *e);
int catalog_list_datacenters(struct eval *e);
int catalog_list_nodes(struct eval *e);
int catalog_list_services(struct eval *e);
int catalog_service_list(struct eval *e);
int catalog_service_nodes(struct eval *e);
int catalog_node_services(struct eval *e);
int catalog_node_service_list(struct eval *e);
int catalog_gateway_services(struct eval *e);
int catalog_register(struct write *w);
int catalog_deregister(struct write *w);
int health_checks_in_state(struct eval *e);
int health_node_checks(struct eval *e);
int health_service_checks(struct eval *e);
int health_service_nodes(struct eval *e);
int status_leader(struct eval *e);
int status_peers(struct eval *e);
int acl_disabled(struct eval *e);
int status_ping(struct eval *e);
int status_raft_stats(struct eval *e);
int internal_node_info(struct eval *e);
int internal_node_dump(struct eval *e);
int internal_service_dump(struct eval *e);
int internal_gateway_service_dump(struct eval *e);
int coordinate_list_datacenters(struct eval *e);
int coordinate_list_nodes(struct eval *e);
int coordinate_node(struct eval *e);
int coordinate_update(struct write *w);
int federation_state_get(struct eval *e);
int federation_state_list(struct eval *e);
int federation_state_list_mesh_gateways(struct eval *e);
int federation_state_apply(struct write *w);
int operator_raft_configuration(struct eval *e);
int operator_autopilot_get(struct eval *e);
int operator_autopilot_set(struct write *w);
int operator_server_health(struct eval *e);
int operator_remove_peer_by_id(struct write *w);
int operator_remove_peer_by_address(struct write *w);
int config_entry_get(struct eval *e);
int config_entry_list(struct eval *e);
int config_entry_list_all(struct eval *e);
int config_entry_resolve_service_config(struct eval *e);
int config_entry_apply(struct write *w);
int config_entry_delete(struct write *w);
int connect_ca_configuration_get(struct eval *e);
int connect_ca_configuration_set(struct write *w);
int connect_ca_roots(struct eval *e);
int connect_ca_sign(struct write *w);
int connect_ca_sign_intermediate(struct write *w);
int auto_encrypt_admit(const struct server *s, const void *args, struct error *err);
int auto_encrypt_sign(struct write *w);
int auto_config_admit(const struct server *s, const void *args, struct error *err);
int auto_config_initial(struct write *w);
int discovery_chain_get(struct eval *e);
int intentions_list(struct eval *e);
int intentions_get(struct eval *e);
int intentions_match(struct eval *e);
int intentions_check(struct eval *e);
int intentions_apply(struct write *w);
int internal_event_fire(struct write *w);
int internal_keyring_operation(struct write *w);
int prepared_query_get(struct eval *e);
int prepared_query_list(struct eval *e);
int prepared_query_apply(struct write *w);
int prepared_query_execute(struct eval *e);
int prepared_query_execute_remote(struct eval *e);
/* The query that an execution asks for, rendered. */
int prepared_query_resolve(struct eval *e, struct prepared_query *out);
bool prepared_query_failover(struct pending *p, struct rpc_reply *reply);
void server__failover_cancel(struct pending *p);
int prepared_query_explain(struct eval *e);

/* What registrations must hold, also inside transactions (register.c). */
int server__validate_node(struct str name, struct str id, struct error *err);
int server__validate_node_service(const struct node_service *ns, struct error *err);
/* Node, CheckID and Type where they are missing. */
void server__complete_check(struct health_check *c, struct str node);
