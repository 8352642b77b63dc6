/* SPDX-License-Identifier: Apache-2.0 */
/* What the leader of a secondary datacenter does for each kind of record that the primary owns
 * (leader.md 11): one blocking call to the primary, what differs becomes commands of the own log,
 * one after another; then the next round. What the state refuses is tried again behind the others,
 * as long as that helps. A failure begins from scratch after a growing pause.
 *
 * The one invariant: what is equal is not written, so a quiet primary costs no log entries. */
#pragma once
#include "consuld/cluster/rpc.h"
#include "consuld/model.h"
#include "consuld/server.h"
#include "consuld/store.h"

struct server;
struct replicator;

/* One command of a round. */
struct replicated {
    enum command_type type;
    const void *body;
};

struct replication_kind {
    const char *name;   /* "federation state", "config entry": for logs */
    const char *plural; /* "federation states" */
    const char *label;  /* "federation_state_replication": of the status */
    const char *method; /* asked of the primary */
    bool from_leader;   /* of its leader alone; else any server there may answer */
    /* Its arguments but Datacenter, Token and the query options, of `a`; NULL: all zero. */
    void *(*args)(struct server *s, struct arena *a);
    /* May a round begin? NULL: always. */
    bool (*ready)(struct server *s);
    /* Appends what makes the own state equal to `reply` -> struct replicated, of `a`. */
    int (*diff)(struct server *s, struct store_read *rd, const void *reply, uint64_t last_index,
        struct arena *a, struct list *out);
    /* Appends what has to be written before `stuck` -> struct replicated, none of which the state
     * takes: the next round puts right what that takes away. NULL: nothing can be done. */
    void (*make_way)(struct server *s, struct store_read *rd, const struct list *stuck,
        struct arena *a, struct list *out);
    /* How asking the primary went; NULL: nobody wants to know. */
    void (*outcome)(struct server *s, bool fine);
};

/* The kinds there are. */
extern const struct replication_kind server__federation_kind; /* federation_sync.c */
extern const struct replication_kind server__config_kind;     /* config_replication.c */
extern const struct replication_kind server__ca_roots_kind;   /* ca_secondary.c */
extern const struct replication_kind server__intention_kind;  /* intention_replication.c */

struct replicator *replicator_create(struct server *s, const struct replication_kind *kind);
void replicator_destroy(struct replicator *r);
/* This server leads, or leads no more. Idempotent. */
void replicator_start(struct replicator *r);
void replicator_stop(struct replicator *r);
void replicator_status(const struct replicator *r, struct server_sync_status *out);
