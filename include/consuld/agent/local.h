/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's local state: its services and checks, authoritative for its node, kept in the data
 * directory and pushed into the catalog by anti-entropy (agent.md 4 to 7).
 *
 * Invariant: what is shown by local_service_get and local_check_get is registered here; entries on
 * their way out of the catalog are not shown. */
#pragma once
#include "consuld/base.h"
#include "consuld/cluster/rpc.h"
#include "consuld/model.h"

struct local;

struct local_options {
    struct world *world;
    struct rpc_client *rpc;
    struct tls *tls; /* of checks over https; NULL: such checks fail */
    struct str datacenter;
    struct str node_name;
    struct str node_id;
    struct str address;           /* advertised IP */
    struct dict tagged_addresses; /* string to string */
    struct dict node_meta;
    struct str data_dir;      /* nil: nothing is kept */
    int64_t sidecar_min_port; /* both 0: no allocation */
    int64_t sidecar_max_port;
    int64_t expose_min_port; /* of checks that go through a proxy; the end is not part of it */
    int64_t expose_max_port;
    int64_t check_output_max;         /* bytes; 0: 4096 */
    int64_t check_update_interval_ms; /* output-only changes; 0: at once */
    bool discard_check_output;
    bool enable_remote_scripts; /* enable_script_checks */
    bool enable_local_scripts;
    bool central_config; /* enable_central_service_config */
    struct str default_token;
    struct str agent_token;
    uint64_t sync_interval_ms;       /* 0: 60 s */
    uint64_t check_reap_interval_ms; /* 0: 30 s */
};

/* Options are copied. `rpc` may be not yet ready: failed syncs are tried again. */
int local_create(
    const struct local_options *opts, struct local **out, struct error *err) must_check;
/* Stops checks and syncing; nothing is deregistered. */
void local_destroy(struct local *l);
/* Starts anti-entropy. */
void local_start(struct local *l);

enum local_source {
    LOCAL_FROM_CONFIG, /* "local": configuration files and maintenance */
    LOCAL_FROM_API,    /* "remote": registered over HTTP, persisted */
};

struct local_register_options {
    enum local_source source;
    struct str token;
    bool replace_checks;
};

/* Registers a service with its checks and, if asked for, its sidecar; a refusal leaves nothing
 * behind. err->code ERR_BAD_REQUEST: HTTP 400 with the plain text; else 500 with the text. */
int local_service_register(struct local *l, const struct service_definition *def,
    const struct local_register_options *opts, struct error *err) must_check;
/* The same, but a proxy or gateway under central configuration is registered only when the servers
 * have said what applies to it; if they can't, nothing is. Embedded in its owner. */
struct local_registration {
    /* the owner's, kept until the end */
    const struct service_definition *def;
    struct local_register_options opts;
    void (*done)(struct local_registration *r); /* maybe before the call returns */
    /* the outcome */
    int code;
    struct error err;
    /* the callee's */
    struct local *local;
    struct arena arena;
    struct node_service service;
    struct rpc_call call;
    bool calling;
    struct link link;
};
void local_service_register_wait(struct local *l, struct local_registration *r);
/* Only before `done`. */
void local_registration_cancel(struct local_registration *r);
/* Removes the service, its checks and the sidecar that its registration made. ERR_NOT_FOUND for an
 * unknown ID (callers answer success). */
int local_service_deregister(struct local *l, struct str id);
/* An agent-level check, or one of a registered service. `id` may be empty (then its name). */
int local_check_register(struct local *l, struct str id, struct str service_id,
    const struct check_type *type, const struct local_register_options *opts,
    struct error *err) must_check;
int local_check_deregister(struct local *l, struct str id);
/* A registration that could not be written to the data directory: if there was nothing before
 * (`fresh`) it is taken back, else what was registered is written again by the next one. */
void local_service_unkept(struct local *l, struct str id, bool fresh);
void local_check_unkept(struct local *l, struct str id, bool fresh);
/* TTL update; status is one of passing, warning, critical. */
int local_check_update(struct local *l, struct str id, struct str status, struct str output,
    struct error *err) must_check;

/* Maintenance mode of a service (ERR_NOT_FOUND if unknown) or of the node. Idempotent. */
int local_service_maintenance(struct local *l, struct str id, bool enable, struct str reason,
    struct str token, struct error *err) must_check;
void local_node_maintenance(struct local *l, bool enable, struct str reason, struct str token);

/* --- reading ------------------------------------------------------------------------------- */

/* Valid until the loop's next turn. NULL if unknown. */
const struct node_service *local_service_get(struct local *l, struct str id);
const struct health_check *local_check_get(struct local *l, struct str id);
/* The port of its proxy at which a check of a service is exposed; 0: it is not. */
int64_t local_check_exposed_port(struct local *l, struct str check_id);
/* In the order of IDs: for (size_t it = 0; (s = local_service_next(l, &it));) ... Registering or
 * deregistering ends the iteration. */
const struct node_service *local_service_next(struct local *l, size_t *it);
const struct health_check *local_check_next(struct local *l, size_t *it);

/* The token it was registered with, or the agent's default one. Valid as the service; nil: unknown.
 */
struct str local_service_token(struct local *l, struct str id);
/* HTTP and gRPC checks of a service with where its proxy exposes them (ProxyHTTP, ProxyGRPC):
 * struct check_type, owned by `a`. */
void local_http_checks(struct local *l, struct str service_id, struct arena *a, struct list *out);

struct local_counts {
    size_t services, checks, ttl_checks, monitors;
};
struct local_counts local_count(const struct local *l);

/* A one-shot wake-up when the service `id` is added, changes or goes, at the end of the loop turn.
 * Embedded in its owner. */
struct local_watch {
    struct link link;
    struct str id; /* owned by the watcher until fired or cancelled */
    void (*fire)(struct local_watch *w);
};
void local_watch_add(struct local *l, struct local_watch *w);
void local_watch_cancel(struct local_watch *w);

/* `touched` is called whenever a service is added, changes (its token or checks too) or goes; it
 * may only take note. One observer at most; NULL: none. */
void local_observe(struct local *l, void (*touched)(void *ctx, struct str service_id), void *ctx);

/* --- syncing ------------------------------------------------------------------------------- */

/* A part of those who wait for the data directory. */
struct file_wait {
    struct link link;
    uint64_t from, upto;
    struct error err; /* code 0: all is on disk */
    void (*done)(struct file_wait *w);
};

/* Pushes what changed and calls `done` when that run has ended (well or badly) and the data
 * directory has what was changed in this turn since the last push; files.err tells if it has not.
 * With `whole`, nothing at all waits to be written when `done` is called. */
struct local_push {
    bool whole;
    void (*done)(struct local_push *p);
    struct file_wait files;
    /* the callee's */
    struct local *local;
    struct link link;
    bool synced, written;
};
void local_push(struct local *l, struct local_push *p);
void local_push_cancel(struct local_push *p);
/* A server showed up: everything is compared again within `spread_ms`. */
void local_sync_full(struct local *l, uint64_t spread_ms);
/* For an agent that leaves: from now on nothing is sent to the catalog, and pushes end at once.
 * `done` is called, never from within, when nothing is on its way any more: what came there after
 * the agent has left would bring it back. Called again it replaces `done`; NULL: nobody waits. */
void local_retire(struct local *l, void (*done)(void *ctx), void *ctx);

/* --- configuration -------------------------------------------------------------------------- */

/* The kind of check that a definition describes. */
void local_check_type(const struct check_definition *def, struct check_type *out);
/* What every check must hold: ERR_BAD_REQUEST with Consul's text. */
int local_check_validate(const struct check_type *type, struct error *err) must_check;
/* passing, warning, critical. */
bool local_check_status_valid(struct str status);
/* At start: definitions from files (struct service_definition, struct check_definition) first, then
 * what the data directory keeps. */
int local_load(struct local *l, const struct list *services, const struct list *checks,
    struct error *err) must_check;
/* What a configuration says of the local state; elements as in local_load. */
struct local_configured {
    const struct list *services;
    const struct list *checks;
    struct dict node_meta;
};
/* Reload: everything is dropped and loaded again, check results are kept; waiters on hashes and
 * syncing are held meanwhile. If `fresh` is refused all is as it was with `present`. The data
 * directory is read: call it from the done of a `whole` local_push. */
int local_reload(struct local *l, const struct local_configured *present,
    const struct local_configured *fresh, struct error *err) must_check;
