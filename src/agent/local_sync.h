/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of anti-entropy: local_sync.c is the run with its phases, local_sync_send.c the calls that
 * carry what is marked, and what their ends mean. */
#pragma once
#include "local_state.h"

enum sync_phase { IDLE, READ_SERVICES, READ_CHECKS, SEND_NODE, SEND_SERVICES, SEND_CHECKS };

struct sync {
    struct local *local;
    enum sync_phase phase;
    bool full;      /* of the running run */
    bool want_full; /* of the next */
    bool want;      /* something was marked */
    bool failed;
    bool stepping;
    unsigned paused;
    bool started;
    bool retired; /* starts no run any more */
    void (*retired_done)(void *ctx);
    void *retired_ctx;
    bool node_in_sync;
    struct link ops; /* in flight */
    size_t in_flight;
    struct link pushes;  /* served by the running run */
    struct link waiting; /* wait for the next */
    struct timer timer;  /* next full run */
    struct rpc_reply *services;
    struct link services_todo; /* of the running phase: struct local_service */
    struct link checks_todo;   /* struct local_check */
    struct link checks_going;  /* deleted ones, sent last */
};

/* One call in flight. */
struct sync_op {
    struct link link;
    struct sync *sync;
    struct rpc_call call;
    struct error err; /* of call */
    struct arena arena;
    struct str service_id; /* what it carries; nil if none */
    uint64_t service_version;
    struct list checks; /* of struct sent_check */
    bool node;
    bool deregister;
};

struct sent_check {
    struct str id;
    uint64_t version;
};

/* A call in flight; freed by sync_op_free in its done. */
struct sync_op *sync_op_new(struct sync *s);
void sync_op_free(struct sync_op *op);
void sync_op_submit(
    struct sync_op *op, const char *method, const void *args, void (*done)(struct rpc_call *));
struct str sync_agent_token(const struct local *l);

/* Nothing is sent of a node that is in sync. A service takes its unsynced checks of the same token
 * with it. */
void sync_send_node(struct sync *s);
void sync_send_service(struct sync *s, struct local_service *svc);
void sync_send_check(struct sync *s, struct local_check *c);

/* Moves the run on as far as it goes without waiting. */
void sync_step(struct sync *s);
