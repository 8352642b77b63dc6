/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the pool driver: pool.c has life and turns, pool_stream.c the TCP side, pool_request.c
 * commands, pool_join.c address texts, pool_keys.c the key ring file. */
#pragma once
#include "append_file.h"
#include "consuld/base/outside.h"
#include "consuld/base/world.h"
#include "consuld/cluster/packet_roads.h"
#include "consuld/cluster/pool.h"

#define POOL_RECEIVE_BUFFER (2u << 20)
#define POOL_STREAM_QUEUE_MAX (24u << 20) /* a whole push/pull */
#define POOL_LAG_MS 500                   /* later than asked for: counted */

struct pool {
    struct pool_options opts; /* of its pointers only label, cipher and disk live on */
    struct world *world;
    struct serf *core;
    const char *log_name;
    struct keyring *keys;
    struct packet_socket *socket;
    struct listener *listener;
    struct packet_roads *roads; /* NULL: without gateways */
    uint16_t port;
    uint64_t stream_timeout_ms;
    struct tick tick;
    struct timer timer; /* the core's wake-up */
    struct link streams;
    size_t streams_open;
    uint64_t next_stream_id; /* odd ones */
    struct link requests;    /* the core has them, or their addresses are looked up */
    struct link answered;    /* told at the end of the turn */
    size_t requests_n;
    uint64_t next_handle;
    struct link observers;
    struct append_file *snapshot;
    struct append_file *keyring;
    char *keyring_path;
    bool keys_unproven; /* no peer was read with the key yet */
    struct arena arena; /* of one turn's notices */
    struct pool_counters counters;
    bool started, leaving;
    bool name_lost; /* the pool voted against us */
    bool closed;    /* for that reason, or because it is stopping */
    bool stopping, stopped;
    size_t files_open;
    void (*on_stopped)(void *ctx);
    void *stopped_ctx;
};

/* pool.c */
/* Steps the core and sees to it that the effects are carried out. */
int pool__step(struct pool *p, const struct serf_event *ev);
int pool__step_swim(struct pool *p, const struct swim_event *ev);

/* True for a member of another datacenter behind a gateway, and its parts; false also for a name
 * that does not say where it is. */
bool pool__behind_gateway(
    const struct pool *p, struct str name, struct str *node, struct str *datacenter);

/* pool_stream.c */
void pool__accept(void *ctx, struct stream *s);
void pool__stream_act(struct pool *p, const struct swim_stream *act);
void pool__streams_close(struct pool *p);

/* pool_request.c */
/* Takes it in; false when there are too many (it is answered so). */
bool pool__request_begin(struct pool *p, struct pool_request *r);
/* Ends a request: its `done` is called at the end of the turn. */
void pool__request_fail(struct pool_request *r, int code, const char *text);
void pool__request_result(struct pool *p, const struct serf_notice *n);
/* Calls `done` of all that ended. */
void pool__requests_tell(struct pool *p);
void pool__requests_fail_all(struct pool *p);

/* pool_join.c */
/* The outcome of a join the core made. */
void pool__join_result(struct pool_request *r, const struct serf_notice *n);
void pool__join_free(struct pool_request *r);

/* pool_keys.c */
int pool__keys_load(struct pool *p, const struct pool_options *o, struct error *err) must_check;
/* Remembers that a peer was read with the key. */
void pool__keys_prove(struct pool *p);
void pool__keys_written(void *ctx, uint64_t save, const char *why);
