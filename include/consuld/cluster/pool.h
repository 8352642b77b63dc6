/* SPDX-License-Identifier: Apache-2.0 */
/* A gossip pool as a running thing: the serf core, its sockets, streams, files and clock. An agent
 * has one for its LAN; a server has a second for the WAN. Written against the seams of base, so
 * that a simulator runs the same code.
 *
 * Inputs (packets, stream bytes, commands, finished jobs) step the core as they come; its effects
 * are carried out once at the end of the loop turn: file lines queued, packets sent, streams
 * driven, then members and events told to observers. Requests are answered there too, so never from
 * inside the call that made them. Specs: gossip.md 6, 8.13, 9.4, 11, 12. */
#pragma once
#include "consuld/base.h"
#include "consuld/base/packet.h"
#include "consuld/gossip/serf.h"

struct disk;
struct gateways;
struct packet_roads;
struct stream;
struct pool;
struct resolve;

#define POOL_JOIN_TEXTS_MAX 128 /* address texts of one join */
#define POOL_REQUESTS_MAX 1024  /* waiting */

struct pool_options {
    struct world *world;
    /* Profile, name, tags, merge and search rules; swim.advertise without address means the bound
     * one, without port the bound port. Seed, keys, cipher, snapshot and delegate are the pool's.
     */
    struct serf_options serf;
    const char *label; /* "LAN", "WAN": for its own log lines and errors. Borrowed for life */
    const char *bind_ip;
    uint16_t port;             /* of UDP and TCP; 0: the system chooses */
    const char *snapshot_path; /* NULL: none */
    const char *keyring_path;  /* NULL: keys live in memory alone */
    struct str key;            /* of -encrypt, raw; empty: none */
    bool keep_ring;            /* the file's ring counts, even if no peer was read with it yet */
    const struct cipher *cipher;
    bool verify_incoming, verify_outgoing;
    struct disk *disk; /* NULL: the real one (consuld/store_log.h) */
    /* The way to members of other datacenters, which are named "node.dc" (wanfed.md 5); NULL:
     * they are sent to as all others. */
    struct gateways *gateways;
};

/* Reads the files, binds the sockets, makes the core. Errors in Consul's words: Failed to configure
 * keyring: no keys present in keyring: PATH, Failed to start LAN Serf: Failed to start UDP listener
 * ... */
int pool_create(const struct pool_options *o, struct pool **out, struct error *err) must_check;
/* Announces ourselves and begins. Fails with the text of the merge rule if it refuses us. */
int pool_start(struct pool *p, struct error *err) must_check;
/* Fails what waits, closes everything, lets running jobs end and what was recorded reach the disk,
 * then calls `stopped`, from where pool_destroy may be called. A member that did not leave is seen
 * as failed by the others. */
void pool_stop(struct pool *p, void (*stopped)(void *ctx), void *ctx);
/* Of a stopped pool. NULL is ignored. */
void pool_destroy(struct pool *p);

/* What came for the pool by another way than its sockets. A packet of a peer at that IP; a stream
 * before its first byte, which is taken over. */
void pool_take_packet(struct pool *p, const char *ip, uint16_t port, struct str bytes);
void pool_take_stream(struct pool *p, struct stream *s);

/* --- requests ------------------------------------------------------------------------------- */

/* One command to the pool. Embedded in its owner, which fills the first part and keeps it alive
 * until `done`, which is called once, or pool_forget. */
struct pool_request {
    void (*done)(struct pool_request *r);
    void *ctx;
    /* the outcome: code 0, or negative with err filled */
    int code;
    struct error err;
    size_t joined;                       /* pool_join: addresses that answered */
    const struct serf_key_outcome *keys; /* pool_keys: valid during `done`, NULL: not asked */
    /* the pool's */
    struct link link;
    struct pool *pool;
    uint64_t handle;
    struct pool_join *join;
};

/* "ip", "ip:port", "[v6]:port", "name", "name:port", each maybe behind "node/". Names give all
 * their addresses. Code 0 when at least one answered; else err lists each failure as Consul does.
 */
void pool_join(struct pool *p, struct pool_request *r, const struct str *texts, size_t n);
/* Done when the intent and our death are known; then the pool serves on until it is stopped. */
void pool_leave(struct pool *p, struct pool_request *r);
void pool_force_leave(struct pool *p, struct pool_request *r, struct str name, bool prune);
void pool_fire(struct pool *p, struct pool_request *r, struct str name, struct str payload);
void pool_set_tags(struct pool *p, struct pool_request *r, const struct dict *tags);
/* `key` is raw; empty for SERF_KEY_LIST. */
void pool_keys(struct pool *p, struct pool_request *r, enum serf_key_action action, struct str key,
    uint8_t relay_factor);
/* Forgets a request whose owner goes away; the command itself goes on. Idempotent; fine on a zero
 * one. */
void pool_forget(struct pool_request *r);

/* --- what happens --------------------------------------------------------------------------- */

/* Told at the end of the turn. What they get is valid during the call, in which requests may be
 * made. Either may be NULL. */
struct pool_observer {
    /* SERF_MEMBER_*; the member as it was right after the event */
    void (*member)(
        struct pool_observer *o, enum serf_notice_type type, const struct serf_member *m);
    void (*user_event)(
        struct pool_observer *o, uint64_t ltime, struct str name, struct str payload);
    void *ctx;
    struct link link;
};
void pool_observe(struct pool *p, struct pool_observer *o);
/* Idempotent; fine on a zero one. */
void pool_unobserve(struct pool_observer *o);

/* --- state ---------------------------------------------------------------------------------- */

/* The core, for its views: serf_at, serf_find, serf_position, serf_get_stats ... */
const struct serf *pool_serf(const struct pool *p);
uint16_t pool_port(const struct pool *p);
bool pool_encrypted(const struct pool *p);
/* The key of -encrypt was written to the file, but no peer was read with it, ever. */
bool pool_keys_unproven(const struct pool *p);
/* True once pool_leave has begun. */
bool pool_leaving(const struct pool *p);

struct pool_counters {
    struct packet_counters packets;
    uint64_t turns, turns_us;     /* in which the core had something to do, and their time */
    uint64_t records, records_us; /* additions to the snapshot, and the time to hand them over */
    uint64_t streams_accepted;    /* incoming */
    uint64_t streams_refused;     /* by a full table */
    uint64_t streams_dialled;
    uint64_t stream_messages, stream_bytes; /* sent */
    uint64_t streams_cut;                   /* their time was up */
    uint64_t file_failures;                 /* snapshot or key ring not written */
    uint64_t requests_refused;              /* by POOL_REQUESTS_MAX */
    uint64_t lags;   /* steps that came later than asked for, by half a second and more */
    uint64_t lag_ms; /* their time together */
    uint64_t lag_max_ms;
};
struct pool_counters pool_counters(const struct pool *p);
/* Of packets to other datacenters; NULL without gateways. */
const struct packet_roads *pool_roads(const struct pool *p);
