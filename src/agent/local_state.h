/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the local state share: entries, dirt marks, events. */
#pragma once
#include "consuld/agent/local.h"
#include "file_queue.h"

#define NODE_MAINTENANCE_ID "_node_maintenance"
#define SERVICE_MAINTENANCE_ID "_service_maintenance:"

struct local_service {
    struct arena arena;
    struct link unsynced;    /* of local->unsynced_services or a sync run's list, unless in sync */
    struct node_service svc; /* as shown and pushed */
    struct node_service own; /* as registered: without what central configuration adds */
    struct str token;
    enum local_source source;
    uint64_t version; /* grows with each change, so that a sync knows what it sent */
    bool in_sync;     /* by local__service_mark */
    bool deleted;     /* gone here, not yet in the catalog */
    bool stale;       /* while loading again: not seen yet */
    bool kept;        /* written to the data directory as it is */
    uint64_t seen;    /* the last comparison that found it in the catalog */
    bool exposes;     /* a proxy that checks of its destination go through */
};

/* The checks of one service (of the node: empty ID) and the aliases that look at it. There is one
 * as long as it has either. */
struct local_group {
    struct str id;       /* owned */
    struct link checks;  /* struct local_check, the deleted ones too */
    struct link aliases; /* struct check_runner of local aliases */
    struct link touched; /* of local->touched_groups: its aliases must be evaluated */
};

struct check_runner;
struct local_check;

/* How a kind of check is run (law 5). start is called once the check is in the map. */
struct check_kind {
    const char *word; /* HealthCheck.Type */
    bool (*fits)(const struct check_type *t);
    struct check_runner *(*start)(struct local_check *c);
    void (*stop)(struct check_runner *r);
};

struct local_check {
    struct arena arena;
    struct local *local;
    struct local_group *group;
    struct link of_group;
    struct link unsynced;      /* as of a service */
    struct health_check check; /* output points into `output` */
    struct check_type type;
    bool has_type; /* false: maintenance */
    struct buf output;
    struct str token;
    enum local_source source;
    uint64_t version;
    bool in_sync; /* by local__check_mark */
    bool deleted;
    bool stale;
    bool kept;
    uint64_t seen;      /* as of a service */
    struct timer defer; /* an output-only change waits to be sent */
    uint64_t critical_since_ms;
    uint64_t successes, failures;
    int64_t exposed_port; /* 0: none given */
    const struct check_kind *kind;
    struct check_runner *runner;
};

#define WATCH_BUCKETS 256
#define CHECK_SCRIPTS_MAX 256

struct local {
    struct local_options opts;
    struct arena arena; /* of opts */
    struct prng prng;
    struct map services;                            /* ID -> struct local_service */
    struct map checks;                              /* CheckID -> struct local_check */
    struct map groups;                              /* service ID -> struct local_group */
    struct link unsynced_services, unsynced_checks; /* the next sync run's work */
    struct link touched_groups;
    uint64_t comparisons;
    size_t exposing_n; /* services that `exposes` */
    bool all_touched;  /* a check of the node changed: every alias must be evaluated */
    struct str *order; /* scratch of iteration: sorted IDs */
    size_t order_n, order_cap;
    struct link watches[WATCH_BUCKETS]; /* by hash of the ID */
    struct link touched;                /* watches to fire with the next tick */
    struct tick tick;                   /* runs aliases, fires watches, starts syncs */
    struct link aliases;
    struct timer reap;
    size_t scripts_running;      /* at most CHECK_SCRIPTS_MAX at a time */
    struct link scripts_waiting; /* struct check_runner of scripts whose turn it is not yet */
    struct map centrals;         /* service ID -> struct central */
    struct link registrations;   /* waiting for their first answer */
    struct str initial_id;       /* the answer for this service came before its registration */
    const struct service_config_response *initial;      /* NULL: none */
    void (*observer)(void *ctx, struct str service_id); /* or NULL */
    void *observer_ctx;
    struct file_queue *files; /* NULL without data directory */
    uint64_t files_told;      /* up to here others wait for what was queued */
    struct sync *sync;
};

/* Something must be pushed or evaluated at the end of the turn. */
void local_changed(struct local *l);
void local_fire(struct local *l, struct str id);
/* Tells the observer. */
void local__touched(struct local *l, struct str service_id);

struct local_service *local__service(struct local *l, struct str id);
struct local_check *local__check(struct local *l, struct str id);
/* Adds or replaces; takes over nothing. The check keeps status and output of an old one. */
struct local_service *local__service_put(
    struct local *l, const struct node_service *svc, struct str token, enum local_source source);
struct local_check *local__check_put(struct local *l, const struct health_check *check,
    const struct check_type *type, struct str token, enum local_source source);
/* Whether the catalog is known to have it; what is not in sync is in a list of work. */
void local__service_mark(struct local *l, struct local_service *s, bool in_sync);
void local__check_mark(struct local_check *c, bool in_sync);
/* NULL: neither checks nor aliases. */
struct local_group *local__group(struct local *l, struct str service_id);
/* Made if there is none; group_leave frees it once empty. */
struct local_group *local__group_join(struct local *l, struct str service_id);
void local__group_leave(struct local *l, struct local_group *g);
/* Marks as deleted (dropped once the catalog agrees). */
void local__service_drop(struct local *l, struct local_service *s);
void local__check_drop(struct local *l, struct local_check *c);
/* Frees an entry for good. */
void local__service_forget(struct local *l, struct local_service *s);
void local__check_forget(struct local *l, struct local_check *c);
/* Result of a run; thresholds applied unless `direct`. */
void local__check_result(struct local_check *c, struct str status, struct str output, bool direct);

/* check_rules.c */
const char *check_type_word(const struct check_type *t);
bool check_is_script(const struct check_type *t);
bool check_type_empty(const struct check_type *t);
int check_scripts_allowed(const struct local *l, const struct check_type *t,
    enum local_source source, struct error *err) must_check;
const struct check_kind *check_kind_of(const struct check_type *t);

/* service_rules.c */
int service_validate(
    const struct service_definition *def, enum local_source source, struct error *err) must_check;
int service_meta_validate(const struct dict *meta, bool mesh_gateway, struct error *err) must_check;
void service_from_definition(
    struct arena *a, const struct service_definition *def, struct node_service *out);
/* Default lan/wan tagged addresses of an IP address. */
int service_fill_addresses(struct arena *a, struct node_service *svc, struct error *err) must_check;

/* local_register.c: checks a definition as its registration would; *managed and *out when it brings
 * a service under central configuration. */
int local__plan_managed(struct local *l, const struct service_definition *def,
    const struct local_register_options *opts, struct arena *a, struct node_service *out,
    bool *managed, struct error *err) must_check;

/* local_register.c: removes sidecars that were registered with a parent that is not there. */
void local__drop_orphans(struct local *l);

/* sidecar.c: the definition of the sidecar, or NULL in *out if none is asked for. */
int sidecar_make(struct local *l, struct arena *a, const struct service_definition *parent,
    struct str token, struct service_definition **out, struct str *sidecar_token,
    struct error *err) must_check;
#define SIDECAR_SUFFIX "-sidecar-proxy"
struct str sidecar_id(struct arena *a, struct str parent_id);

/* local_persist.c */
/* Nothing is written for an entry that is kept already. */
void persist_service(struct local *l, struct local_service *s);
/* With status and output as registered. */
void persist_check(struct local *l, struct local_check *c, const struct health_check *registered);
/* What central configuration said of a service. */
void persist_defaults(
    struct local *l, struct str id, const struct service_config_response *defaults);
bool persist_load_defaults(
    struct local *l, struct str id, struct arena *a, struct service_config_response *out);
/* The registration alone. */
void persist_forget_registration(struct local *l, struct str id);
void persist_forget_service(struct local *l, struct str id);
void persist_forget_check(struct local *l, struct str id);
void persist_ttl(struct local *l, const struct local_check *c, int64_t expires_unix);
int persist_load_services(struct local *l, struct error *err) must_check;
int persist_load_checks(struct local *l, struct error *err) must_check;
/* Saved TTL state of the check, if not expired. */
bool persist_ttl_state(
    struct local *l, struct str check_id, struct arena *a, struct str *status, struct str *output);

/* local_compare.c */
bool compare_node(const struct local *l, const struct node *remote);
/* Marks what differs; what the catalog alone has gets an entry that is to be deregistered. */
void compare_catalog(
    struct local *l, const struct node_service_listing *services, const struct list *checks);

/* local_sync.c */
struct sync *sync_create(struct local *l);
void sync_destroy(struct sync *s);
void sync_start(struct sync *s);
void sync_kick(struct sync *s);
void sync_full(struct sync *s, uint64_t spread_ms);
void sync_retire(struct sync *s, void (*done)(void *ctx), void *ctx);
void sync_push(struct sync *s, struct local_push *p);
void sync_pause(struct sync *s);
void sync_resume(struct sync *s);
/* The node's own record must be sent again (metadata changed). */
void sync_node_dirty(struct sync *s);

/* check_alias.c: the aliases of a service (empty: every one) must be evaluated again, at the end of
 * the turn. */
void alias_touch(struct local *l, struct str service_id);
void alias_update(struct local *l, bool all);

extern const struct check_kind check_kind_ttl, check_kind_http, check_kind_tcp, check_kind_script,
    check_kind_grpc, check_kind_docker, check_kind_alias;
