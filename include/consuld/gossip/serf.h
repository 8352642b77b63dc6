/* SPDX-License-Identifier: Apache-2.0 */
/* serf 0.9.4 (gossip.md 9 to 11) as a pure core on top of the swim core, which it owns: a driver
 * sees one core. serf_step takes one event and the time and returns effects as values. Members with
 * tags, intents ordered by Lamport clocks, user events, queries, coordinates, key management, the
 * lines of the snapshot file.
 *
 * The one invariant: what is delivered once is delivered once. A user event or query already in its
 * buffer, or older than the buffer reaches back, is neither delivered nor passed on.
 *
 * A driver's turn: step one or more events (out == NULL keeps the effects), then carry out:
 *   1. out->snapshot: append or rewrite (copy now), before
 *   2. out->swim: packets, streams, wake_ms as swim.h says (its results are the core's own and not
 *      shown), and
 *   3. out->notices in order.
 *   4. out->wake_ms: step SERF_TICK at that time (swim's included).
 * All pointers in an output are valid until the next step. */
#pragma once
#include "consuld/gossip/coordinate.h"
#include "consuld/gossip/swim.h"

#define SERF_TAGS_MAX SWIM_META_MAX /* bytes of the encoded tags */
#define SERF_EVENT_BUFFER 512       /* slots, by Lamport time */
#define SERF_QUERY_BUFFER 512
#define SERF_USER_EVENT_MAX 512            /* bytes of name and payload; and of all, encoded */
#define SERF_QUERY_MAX 1024                /* bytes of an encoded query, response or relay */
#define SERF_RECEIVED_EVENT_MAX (9 * 1024) /* name and payload as a peer may send them */
#define SERF_SLOT_BYTES_MAX (16 * 1024)    /* remembered events of one Lamport time */
#define SERF_SLOT_ENTRIES_MAX 64           /* remembered events or query ids of one Lamport time */
#define SERF_INTENTS_MAX 4096              /* intents about unknown names */
#define SERF_QUERIES_MAX 256               /* own queries under way */
#define SERF_JOINS_MAX 64                  /* joins under way */
#define SERF_JOIN_ADDRESSES_MAX 256        /* of one join */
#define SERF_FORCES_MAX 256                /* removals under way */
#define SERF_KEY_SAVES_MAX 16              /* key changes waiting for the file */
#define SERF_RELAY_FACTOR_MAX 5
#define SERF_QUEUE_MAX 4096       /* broadcasts, if not more by the number of members */
#define SERF_LOSS_WINDOW_MS 30000 /* self-preservation: failures within that time ... */
#define SERF_LOSS_PERCENT 30      /* ... of more than this share of those that lived before it */

struct serf;

/* Status of a member, with serf's names: "none", "alive", "leaving", "left", "failed". */
enum serf_status {
    SERF_NONE = 0,
    SERF_ALIVE = 1,
    SERF_LEAVING = 2,
    SERF_LEFT = 3,
    SERF_FAILED = 4
};
const char *serf_status_name(enum serf_status s);

/* Borrowed view; valid until the next step. */
struct serf_member {
    struct str name;
    struct str meta; /* encoded tags: serf_tags_decode, serf_tag */
    struct gossip_address address;
    uint8_t vsn[SWIM_VSN_SIZE];
    enum serf_status status;
    uint64_t status_ltime;
    uint64_t gone_ms; /* leaving, left or failed since, else 0 */
};

/* --- tags (gossip.md 9.2) ------------------------------------------------------------------- */

/* Appends the encoding of a map of strings (type_map_str). ERR_TOO_LARGE with serf's text. */
int serf_tags_encode(const struct dict *tags, struct buf *out, struct error *err) must_check;
/* The tags of node meta; meta that is not a map is the tag "role". Texts point into `meta`.
 * Undecodable: ERR_DECODE, *out is empty. */
int serf_tags_decode(
    struct str meta, struct arena *a, struct dict *out, struct error *err) must_check;
/* One tag, borrowed from `meta`; STR_NIL if it is missing. Allocates nothing. */
struct str serf_tag(struct str meta, const char *name);

/* --- options -------------------------------------------------------------------------------- */

/* `swim.delegate` is filled by the core; all else of it is the driver's: name, advertise,
 * bind_port, seed, keys, cipher, networks ... */
struct serf_options {
    struct swim_options swim;
    struct dict tags;                  /* our own, copied; must encode into SERF_TAGS_MAX */
    uint64_t broadcast_timeout_ms;     /* of leave intents and tag updates, 5 s */
    uint64_t leave_propagate_ms;       /* until a pruned living member is erased: with the former */
    uint64_t reconnect_timeout_ms;     /* failed members are reaped, 72 h */
    uint64_t tombstone_timeout_ms;     /* left members are reaped, 24 h; pruned names stay buried */
    uint64_t reap_interval_ms;         /* 15 s */
    uint64_t reconnect_interval_ms;    /* 30 s */
    uint64_t recent_intent_timeout_ms; /* 5 min */
    uint64_t queue_check_interval_ms;  /* 30 s */
    uint32_t query_timeout_mult;       /* 16 */
    uint32_t event_buffer, query_buffer; /* slots, default and bound SERF_EVENT_BUFFER */
    bool coordinates;                    /* on */
    bool resolve_conflicts;              /* our name claimed elsewhere: vote. Off in Consul */
    bool self_preservation;              /* serf_preserving can become true. Off in Consul */

    bool snapshot; /* lines are wanted */
    bool rejoin_after_leave;
    struct str snapshot_text; /* what the file holds at start; read by serf_create only */
    bool save_keys;           /* a key ring file is kept: key changes are SERF_SAVE_KEYS */

    /* May these nodes be in our pool? Asked for all nodes of a joining push/pull, and for every
     * alive message alone. 0, or a negative code and the text. NULL: everybody. */
    int (*merge)(void *ctx, const struct swim_node *nodes, size_t n, struct error *err);
    /* RE2 expression found anywhere in the text; false for a bad one. NULL: tag filters never
     * match. */
    bool (*search)(void *ctx, struct str expression, struct str text);
    /* May this member be pinged over TCP? NULL: yes. */
    bool (*tcp_ping)(void *ctx, const struct swim_node *node);
    void *ctx;
    const char *log_name; /* "agent.server.serf.lan"; NULL: silent. Borrowed for life */
};

/* Consul's profiles (gossip.md 12.3); names, addresses, tags and seed are left to fill. */
struct serf_options serf_options_lan(void);
struct serf_options serf_options_wan(void);

/* --- events: what comes in ------------------------------------------------------------------ */

enum serf_event_type {
    SERF_TICK,        /* time passed */
    SERF_SWIM,        /* of the transport: packet, stream, send failure (not JOIN, LEAVE, UPDATE) */
    SERF_JOIN,        /* join by addresses */
    SERF_LEAVE,       /* leave the pool; go on stepping until the result */
    SERF_FORCE_LEAVE, /* declare a member, or a name nobody knows, left */
    SERF_FIRE,        /* user event */
    SERF_QUERY,       /* ask the pool */
    SERF_RESPOND,     /* answer a query of SERF_QUERIED */
    SERF_KEYS,        /* key management query */
    SERF_KEYS_SAVED,  /* outcome of SERF_SAVE_KEYS */
    SERF_SET_TAGS,    /* announce other tags */
    SERF_SNAPSHOT_FAILED, /* the file could not be written: it will be rewritten later */
};

struct serf_join_address {
    struct gossip_address address;
    struct str node; /* name for the transport, may be empty */
};

/* Where answers to a query go. A value to keep for SERF_RESPOND. */
struct serf_query_origin {
    uint64_t ltime;
    uint32_t id;
    struct gossip_address address;
    char node[SWIM_NAME_MAX + 1];
    uint8_t relay_factor;
    uint64_t deadline_ms;
};

enum serf_key_action { SERF_KEY_LIST, SERF_KEY_INSTALL, SERF_KEY_USE, SERF_KEY_REMOVE };

/* Every command with a handle is answered by exactly one SERF_RESULT of that handle. */
struct serf_event {
    enum serf_event_type type;
    union {
        struct swim_event swim;
        struct {
            uint64_t handle;
            const struct serf_join_address *v;
            size_t n;        /* at most SERF_JOIN_ADDRESSES_MAX, asked all at once */
            bool ignore_old; /* older user events of the pool are not delivered (Consul's way) */
        } join;
        struct {
            uint64_t handle; /* code 0: every broadcast was transmitted to its limit */
        } leave;
        struct {
            uint64_t handle;
            struct str name;
            bool prune; /* erase it, and keep stale push/pulls from bringing it back */
        } force_leave;
        struct {
            uint64_t handle;
            struct str name, payload;
            bool coalesce;
        } fire;
        struct {
            uint64_t handle; /* answers are SERF_ANSWER; the result comes at the deadline, or when
                                every living member has answered */
            struct str name, payload;
            const struct str *nodes; /* filter: only these; nodes_n == 0: all */
            size_t nodes_n;
            const struct str_pair *tags; /* filter: tag and RE2 expression */
            size_t tags_n;
            bool ack;             /* ask for acknowledgements */
            uint8_t relay_factor; /* 0..SERF_RELAY_FACTOR_MAX */
            uint64_t timeout_ms;  /* 0: by the size of the pool */
        } query;
        struct {
            struct serf_query_origin origin;
            struct str payload;
        } respond;
        struct {
            uint64_t handle;
            enum serf_key_action action;
            struct str key; /* raw bytes; not for LIST */
            uint8_t relay_factor;
        } keys;
        struct {
            uint64_t save;
            struct str error; /* empty: it was written */
        } keys_saved;
        struct {
            uint64_t handle;
            struct dict tags;
        } set_tags;
    };
};

/* --- output --------------------------------------------------------------------------------- */

enum serf_notice_type {
    SERF_MEMBER_JOINED,
    SERF_MEMBER_LEFT,
    SERF_MEMBER_FAILED,
    SERF_MEMBER_UPDATED,
    SERF_MEMBER_REAPED, /* erased: timed out or pruned */
    SERF_USER_EVENT,
    SERF_QUERIED,   /* a query for us that is not internal */
    SERF_ANSWER,    /* one ack or response to a query of ours */
    SERF_RESULT,    /* of a command */
    SERF_SAVE_KEYS, /* write the key ring file, then step SERF_KEYS_SAVED */
    SERF_NAME_LOST, /* the pool voted that our name is another's: shut down */
};
const char *serf_notice_name(enum serf_notice_type t); /* "member-join" ... */

struct serf_join_failure {
    struct gossip_address address;
    struct str text;
};

struct serf_key_count {
    struct str key; /* base64 */
    size_t nodes;   /* that have it */
};

/* Outcome of a key query. */
struct serf_key_outcome {
    size_t nodes;                    /* alive and suspect members */
    size_t responses;                /* answers */
    size_t errors;                   /* answers that report failure */
    const struct str_pair *messages; /* node, text: of answers with one */
    size_t messages_n;
    const struct serf_key_count *keys, *primary_keys; /* LIST */
    size_t keys_n, primary_keys_n;
};

struct serf_notice {
    enum serf_notice_type type;
    union {
        struct serf_member member; /* MEMBER_*: as it was right after the event */
        struct {
            uint64_t ltime;
            struct str name, payload;
            bool coalesce;
        } user_event;
        struct {
            struct serf_query_origin *origin;
            struct str name, payload;
        } queried;
        struct {
            uint64_t handle;
            struct str from, payload;
            bool ack;
        } answer;
        struct {
            uint64_t handle;
            int code; /* 0, or a negative code with a text */
            struct str text;
            size_t joined; /* JOIN: addresses that answered */
            const struct serf_join_failure *failures;
            size_t failures_n;
            size_t acks, responses;              /* QUERY */
            const struct serf_key_outcome *keys; /* KEYS, if it was asked at all */
        } result;
        struct {
            uint64_t save;
            struct str text; /* content of the file */
        } save_keys;
    };
};

struct serf_snapshot_output {
    /* p != NULL: replace the whole file by this, through a new file and a rename. */
    struct str rewrite;
    struct str append; /* then append this */
    bool sync;         /* then make it durable */
};

struct serf_output {
    struct serf_snapshot_output snapshot;
    struct swim_output swim;
    const struct serf_notice *notices;
    size_t notices_n;
    uint64_t wake_ms; /* SWIM_NEVER: no need */
};

/* --- life ----------------------------------------------------------------------------------- */

/* NULL and *err for tags that are too long. */
struct serf *serf_create(const struct serf_options *o, struct error *err) must_check;
void serf_destroy(struct serf *s);
/* Announces ourselves and begins to rejoin from the snapshot. Before the first step. Fails with the
 * text of options.merge if it refuses us. */
int serf_start(struct serf *s, uint64_t now_ms, struct error *err) must_check;
/* One event. Returns 0, or ERR_BAD_REQUEST as swim_step (SERF_SWIM), or ERR_TOO_LARGE or
 * ERR_CANCELLED for an answer that is too long or too late (SERF_RESPOND). Notices that are not
 * taken are kept. */
int serf_step(
    struct serf *s, uint64_t now_ms, const struct serf_event *ev, struct serf_output *out);
void serf_collect(struct serf *s, struct serf_output *out);

/* --- views, valid until the next step ------------------------------------------------------- */

enum serf_state { SERF_STATE_ALIVE, SERF_STATE_LEAVING, SERF_STATE_LEFT };
enum serf_state serf_state(const struct serf *s);

/* All members, ourselves, left and failed ones included, in no order. */
size_t serf_count(const struct serf *s);
const struct serf_member *serf_at(const struct serf *s, size_t i);
const struct serf_member *serf_find(const struct serf *s, struct str name);
const struct serf_member *serf_self(const struct serf *s);

/* With options.self_preservation: so many members failed at once that the fault is rather the
 * network's than theirs. True from then on until the failed of that time are no more than
 * SERF_LOSS_PERCENT of the pool again, because they returned or were removed; meanwhile failed
 * members are not reaped. */
bool serf_preserving(const struct serf *s);

/* Our own coordinate; and the last known one of a member (our own by our name). */
const struct position *serf_position(const struct serf *s);
bool serf_position_of(const struct serf *s, struct str name, struct position *out);

const struct swim *serf_swim(const struct serf *s);

struct serf_stats {
    uint64_t member_time, event_time, query_time;
    size_t members, failed, left;
    size_t intent_queue, event_queue, query_queue;
    uint32_t health_score;
    bool encrypted;
    bool self_preservation; /* the option */
    uint64_t coordinate_resets;
};
void serf_get_stats(const struct serf *s, struct serf_stats *out);

struct serf_counters {
    uint64_t malformed; /* messages that cannot be read, of an unknown type or out of bounds */
    uint64_t user_events, queries, responses, relayed;
    uint64_t duplicates;      /* events and queries seen before */
    uint64_t too_old;         /* older than the buffer reaches */
    uint64_t slot_full;       /* events and queries beyond the bounds of one Lamport time */
    uint64_t intents_dropped; /* buffer of intents full */
    uint64_t filtered;        /* queries not for us */
    uint64_t late_answers, strange_answers, twice_answers;
    uint64_t coordinates_refused;
    uint64_t pruned; /* members erased by prune */
    uint64_t snapshot_rewrites, snapshot_failures;
    uint64_t messages_in, message_bytes_in;
    uint64_t coordinate_updates, coordinate_us; /* and by how much they moved this node */
};
const struct serf_counters *serf_counters(const struct serf *s);
const struct broadcast_queue_counters *serf_intent_queue_counters(const struct serf *s);
const struct broadcast_queue_counters *serf_event_queue_counters(const struct serf *s);
const struct broadcast_queue_counters *serf_query_queue_counters(const struct serf *s);
