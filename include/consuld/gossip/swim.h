/* SPDX-License-Identifier: Apache-2.0 */
/* SWIM with Lifeguard as memberlist 0.2.2 speaks it (gossip.md 3 to 8), as a pure core: swim_step
 * takes one event and the time and returns effects as values. It owns no socket, clock or thread;
 * its random choices come from a seed, its nonces from the cipher.
 *
 * The one invariant: a member is declared dead by us only after its suspicion ran for its whole
 * time *as this process lived it*. Time in which the process did not run (the step comes later than
 * asked for) is added to every deadline under way, so that a stalled node suspects nobody for it.
 *
 * A driver's turn: step an event, then carry out the output at once:
 *   1. out->packets: send each as one datagram (copy now).
 *   2. out->streams: dial, write, close (copy now).
 *   3. out->results: answer the handles.
 *   4. out->wake_ms: step SWIM_TICK at that time.
 * All pointers in an output are valid until the next step. With out == NULL the effects are kept
 * and come with the next swim_collect or step that has one.
 *
 * The layer above (serf) sits in a delegate: plain synchronous functions without effects of their
 * own. Within them only swim_send_user and the views may be called. What it queues for broadcast
 * between steps counts from the next swim_collect on. */
#pragma once
#include "consuld/gossip/address.h"
#include "consuld/gossip/keyring.h"
#include "consuld/gossip/queue.h"

#define SWIM_NAME_MAX 512    /* bytes of a node name; longer ones are refused */
#define SWIM_META_MAX 512    /* bytes of node meta */
#define SWIM_NODES_MAX 65536 /* members known; further ones are refused and counted */
#define SWIM_STREAMS_MAX 256 /* incoming streams at once */
#define SWIM_STREAM_BYTES_MAX (64u * 1024 * 1024) /* of streams that are not whole, together */
#define SWIM_WAITERS_MAX 64                       /* leaves and updates waited for */
#define SWIM_DIALS_MAX 256                        /* outgoing streams at once */
#define SWIM_RELAYS_MAX 512                       /* indirect pings for others under way */
#define SWIM_GRAVES_MAX 4096                      /* buried names */
#define SWIM_OFFENDERS_MAX 64 /* peers whose malformed packets are counted apart */
#define SWIM_NETWORKS_MAX 64  /* allowed networks */
#define SWIM_VSN_SIZE 6
#define SWIM_NEVER UINT64_MAX

struct swim;

enum swim_state { SWIM_ALIVE = 0, SWIM_SUSPECT = 1, SWIM_DEAD = 2, SWIM_LEFT = 3 };
const char *swim_state_name(enum swim_state s); /* "alive" ... */

/* What is known of a member. Borrowed from the core: a view handed to a delegate or returned is
 * valid until the next step; fields change in between. */
struct swim_node {
    struct str name;
    struct str meta;
    struct gossip_address address;
    uint8_t vsn[SWIM_VSN_SIZE]; /* protocol min, max, current; delegate min, max, current */
    uint32_t incarnation;
    enum swim_state state;
    uint64_t since_ms; /* of the state */
};

/* --- delegate -------------------------------------------------------------------------------- */

enum swim_member_event { SWIM_JOINED, SWIM_DEPARTED, SWIM_UPDATED };

/* Where broadcasts of the delegate are put into a packet. */
enum swim_turn {
    SWIM_TURN_URGENT, /* before the core's own messages: leave intents */
    SWIM_TURN_PLAIN,  /* behind them */
};

/* Every function may be NULL. `ctx` is handed back. */
struct swim_delegate {
    void *ctx;

    /* Node meta to announce, at most SWIM_META_MAX bytes; asked at swim_start and SWIM_UPDATE. */
    struct str (*meta)(void *ctx);

    /* A user message without its type byte, from a packet or (from.ip_n == 0) a stream. */
    void (*user_message)(void *ctx, struct str message, const struct gossip_address *from);
    /* Puts queued messages, without type byte, that fit into `limit` bytes when each takes
     * `overhead` more into `sink` (broadcast_queue_take does it), and returns the bytes used. */
    size_t (*broadcasts)(void *ctx, enum swim_turn turn, size_t overhead, size_t limit,
        broadcast_sink sink, void *sink_ctx);
    /* True if `broadcasts` might have something; NULL: always. */
    bool (*broadcasts_waiting)(void *ctx);

    /* Push/pull: appends the local state; takes the peer's, which is not empty. */
    void (*local_state)(void *ctx, bool join, struct buf *out);
    void (*merge_state)(void *ctx, struct str state, bool join);

    /* Refusals: 0 to accept, else a negative code and the text. `alive` is asked for every alive
     * message, our own and those of push/pulls included, with state SWIM_ALIVE; `merge` for all
     * nodes of a push/pull with Join, with their states. */
    int (*alive)(void *ctx, const struct swim_node *node, struct error *err);
    int (*merge)(void *ctx, const struct swim_node *nodes, size_t n, struct error *err);

    /* Another address claims the name of a member (perhaps ours). */
    void (*conflict)(
        void *ctx, const struct swim_node *existing, const struct gossip_address *other);

    /* `node` is the state after the event; of SWIM_DEPARTED it says SWIM_DEAD or SWIM_LEFT. */
    void (*member)(void *ctx, enum swim_member_event event, const struct swim_node *node);
    /* A dead member is forgotten by the core. */
    void (*forgotten)(void *ctx, struct str name);

    /* Payload of acks to pings by packet; and the round trip of a direct ack with its payload. */
    void (*ack_payload)(void *ctx, struct buf *out);
    void (*round_trip)(
        void *ctx, const struct swim_node *node, uint64_t rtt_us, struct str payload);

    /* May this member be pinged over TCP? NULL: yes (options.tcp_pings permitting). */
    bool (*tcp_ping)(void *ctx, const struct swim_node *node);
};

/* --- options --------------------------------------------------------------------------------- */

struct swim_options {
    struct str name;
    struct gossip_address advertise; /* what others are told */
    uint16_t bind_port;              /* stands in for a received port 0 */
    uint64_t seed;
    uint8_t protocol;        /* 1..5, spoken; default 2 */
    uint8_t delegate_vsn[3]; /* min, max, current */

    uint32_t stream_timeout_ms;
    uint32_t indirect_checks;
    uint32_t retransmit_mult;
    uint32_t suspicion_mult;
    uint32_t suspicion_max_timeout_mult;
    uint32_t push_pull_interval_ms;
    uint32_t probe_interval_ms;
    uint32_t probe_timeout_ms;
    uint32_t awareness_max;
    uint32_t gossip_interval_ms;
    uint32_t gossip_nodes;
    uint32_t gossip_to_the_dead_ms;
    uint32_t dead_node_reclaim_ms; /* 0: off */
    bool compression;
    bool tcp_pings;
    bool names_required; /* packets and streams without a node name are not sent (wanfed) */

    const struct cipher *cipher; /* may be NULL without keys */
    struct keyring *keys;        /* outlives the core, may change between steps; NULL: none */
    bool verify_incoming, verify_outgoing;

    const struct gossip_network *allowed; /* copied; n == 0: everybody */
    size_t allowed_n;

    size_t queue_max;     /* own broadcasts; 0: BROADCAST_QUEUE_MAX */
    const char *log_name; /* "agent.server.memberlist.lan"; NULL: silent. Borrowed for life */
    struct swim_delegate delegate;
};

/* Tables of gossip.md 8.1. name, advertise, bind_port, seed and delegate are left to fill. */
struct swim_options swim_options_lan(void);
struct swim_options swim_options_wan(void);

/* --- events ---------------------------------------------------------------------------------- */

/* Streams have ids. Those the core dials are even and chosen by it, those accepted are odd and
 * chosen by the driver, never used twice. */
enum swim_event_type {
    SWIM_TICK,         /* time passed */
    SWIM_PACKET,       /* a datagram arrived */
    SWIM_SEND_FAILED,  /* a packet to a member was not sent */
    SWIM_ACCEPTED,     /* an incoming stream */
    SWIM_CONNECTED,    /* a dialled stream stands */
    SWIM_STREAM_DATA,  /* bytes of a stream */
    SWIM_STREAM_ENDED, /* closed or failed, or the dial failed; the id is over */
    SWIM_JOIN,         /* push/pull with Join to one address */
    SWIM_LEAVE,        /* leave the pool; the core goes on serving packets */
    SWIM_UPDATE,       /* announce the delegate's meta anew */
};

struct swim_event {
    enum swim_event_type type;
    /* Microseconds of a monotonic clock at which the event happened: for packets their arrival.
     * 0 in every event: now_ms is good enough. Round trips are measured with it. */
    uint64_t at_us;
    union {
        struct {
            struct gossip_address from;
            struct str bytes;
        } packet;
        struct {
            struct str node; /* as in swim_packet */
            bool remote;     /* the road to it is broken, not our own socket (wanfed) */
        } send_failed;
        struct {
            uint64_t id;
            struct gossip_address from; /* ACCEPTED: for logs and counters */
            struct str bytes;           /* STREAM_DATA */
            struct str error;           /* STREAM_ENDED: text, empty for a clean end */
        } stream;
        struct {
            uint64_t handle; /* answered by one result */
            struct gossip_address address;
            struct str node; /* name for the transport, may be empty */
        } join;
        struct {
            uint64_t handle;     /* answered when the message was sent as often as the limit asks */
            uint64_t timeout_ms; /* most to wait; then the result is ERR_CANCELLED */
        } leave, update;
    };
};

/* --- output ---------------------------------------------------------------------------------- */

struct swim_packet {
    struct gossip_address to; /* never port 0 or no address */
    struct str node;          /* its name for the transport; empty if unknown */
    struct str bytes;
};

enum swim_stream_action {
    SWIM_DIAL,  /* connect to `to`, then write `bytes` */
    SWIM_WRITE, /* write `bytes` to an accepted stream, then close it: once they are out, or after
                   the stream timeout. No further event of this id is wanted */
    SWIM_CLOSE, /* close now; no further event of this id is wanted */
};

struct swim_stream {
    enum swim_stream_action action;
    uint64_t id;
    struct gossip_address to; /* DIAL */
    struct str node;          /* DIAL */
    struct str bytes;
};

struct swim_result {
    uint64_t handle;
    int code; /* 0, or a negative code with a text */
    struct str text;
};

struct swim_output {
    const struct swim_packet *packets;
    size_t packets_n;
    const struct swim_stream *streams;
    size_t streams_n;
    const struct swim_result *results;
    size_t results_n;
    uint64_t wake_ms; /* SWIM_NEVER: no need */
};

/* --- life ------------------------------------------------------------------------------------ */

struct swim *swim_create(const struct swim_options *o);
void swim_destroy(struct swim *s);

/* Announces ourselves: applies the first alive message. Before the first step, with the delegate
 * ready. Fails with the delegate's text if it refuses us. */
int swim_start(struct swim *s, uint64_t now_ms, struct error *err) must_check;

/* One event. Returns 0, or ERR_FULL for a stream that cannot be accepted (close it). Events of
 * streams that are over are passed by. */
int swim_step(
    struct swim *s, uint64_t now_ms, const struct swim_event *ev, struct swim_output *out);
/* All effects since the last collection. */
void swim_collect(struct swim *s, struct swim_output *out);

/* --- for the layer above, allowed within delegate functions
 * --------------------------------------- */

/* A user message as a packet of its own, nothing piggybacked. `node` is the member's name if it is
 * known (then it may get a CRC), else empty. */
void swim_send_user(
    struct swim *s, const struct gossip_address *to, struct str node, struct str message);
/* The delegate has queued a broadcast: it goes with the next regular gossip round, which the next
 * swim_collect asks for. */
void swim_wake(struct swim *s);

/* --- for the layer above, between steps
 * ------------------------------------------------------------ */

/* Alive statements about `name` in push/pulls are refused until then, unless their incarnation is
 * above the one known now: a pruned member does not come back by stale state. A member that really
 * returns announces itself by packets, which are heard. Forgets a dead or left member at once; a
 * time that is over does only that. */
void swim_bury(struct swim *s, struct str name, uint64_t until_ms);

/* --- views ----------------------------------------------------------------------------------- */

const struct swim_node *swim_self(const struct swim *s);
const struct swim_node *swim_find(const struct swim *s, struct str name);
/* Members in probe order, ourselves, dead and left ones included. */
size_t swim_count(const struct swim *s);
const struct swim_node *swim_at(const struct swim *s, size_t i);
/* Alive and suspect ones, ourselves included. */
size_t swim_count_alive(const struct swim *s);
uint32_t swim_health_score(const struct swim *s);
size_t swim_queue_length(const struct swim *s);
bool swim_leaving(const struct swim *s);
/* Uniform choice from the core's generator. */
uint64_t swim_random(struct swim *s, uint64_t bound);
/* Sealing in use: keys are there. */
bool swim_encrypted(const struct swim *s);

/* What was wrong with a message that was dropped. */
enum swim_fault {
    SWIM_FAULT_OPEN, /* cannot be opened, or is not sealed and has to be */
    SWIM_FAULT_CRC,
    SWIM_FAULT_TYPE, /* unknown or not for a packet */
    SWIM_FAULT_COMPOUND,
    SWIM_FAULT_COMPRESSED,
    SWIM_FAULT_DEPTH,
    SWIM_FAULT_RECORD, /* body cannot be decoded */
    SWIM_FAULT_EMPTY,
    SWIM_FAULT_VALUE,   /* name, address or versions that cannot be */
    SWIM_FAULT_NETWORK, /* outside of the allowed networks */
    SWIM_FAULT_STREAM,
    SWIM_FAULTS,
};
const char *swim_fault_name(enum swim_fault f);

struct swim_counters {
    uint64_t packets_in, packets_out, bytes_in, bytes_out;
    uint64_t faults[SWIM_FAULTS];
    uint64_t probes, probes_failed, tcp_probes, suspicions, refutations, deaths, conflicts;
    uint64_t alives; /* statements believed */
    uint64_t push_pulls, push_pulls_failed, streams_refused, relays_refused, nodes_refused;
    uint64_t strangers;    /* pings meant for another node */
    uint64_t unsent;       /* packets to nowhere: no address, port or required name */
    uint64_t lags, lag_ms; /* stalls, and their time together */
    uint64_t buried;       /* statements refused by swim_bury */
    /* Rounds that ended, well or not, and their time together. */
    uint64_t probes_over, probe_us;
    uint64_t push_pulls_over, push_pull_us; /* begun by this node, joins too */
};
const struct swim_counters *swim_counters(const struct swim *s);
const struct broadcast_queue_counters *swim_queue_counters(const struct swim *s);

struct swim_offender {
    struct gossip_address from; /* port is that of the last packet */
    uint64_t last_ms;
    uint64_t faults[SWIM_FAULTS];
};
/* Peers that sent malformed packets, at most SWIM_OFFENDERS_MAX: the longest silent makes room. */
size_t swim_offenders(const struct swim *s, const struct swim_offender **out);

/* --- formulas (gossip.md 8) ---------------------------------------------------------------------
 */

uint64_t swim_suspicion_timeout_ms(uint32_t mult, size_t nodes, uint64_t interval_ms);
/* Time left of a suspicion after `confirmations` of k; may be negative. */
int64_t swim_suspicion_remaining_ms(
    uint32_t confirmations, uint32_t k, uint64_t elapsed_ms, uint64_t min_ms, uint64_t max_ms);
uint64_t swim_push_pull_interval_ms(uint64_t interval_ms, size_t nodes);
/* Health score after a change. */
uint32_t swim_awareness_apply(uint32_t score, int32_t delta, uint32_t max);
