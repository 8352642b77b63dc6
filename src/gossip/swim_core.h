/* SPDX-License-Identifier: Apache-2.0 */
/* State of the SWIM core and the functions its files share. The flow of one step: account for lag,
 * handle the event, run what is due, work out the next wake. */
#pragma once
#include <string.h>

#include "consuld/gossip/packet.h"
#include "consuld/gossip/swim.h"

#define SUSPICION_CONFIRMERS_MAX 16

/* A suspicion under way, part of the list in struct swim. */
struct suspicion {
    struct link link;
    struct member *member;
    uint64_t start_ms, due_ms, min_ms, max_ms;
    uint32_t k, confirmations;
    uint64_t
        from[SUSPICION_CONFIRMERS_MAX + 1]; /* hashes of accusers' names, the first one's too */
};

/* `node` is first, so that a view is a member. Its name and meta are owned. */
struct member {
    struct swim_node node;
    size_t at; /* position in swim.members */
    struct suspicion *suspicion;
};

enum probe_stage { PROBE_NONE, PROBE_DIRECT, PROBE_INDIRECT };

struct probe {
    enum probe_stage stage;
    struct member *target;
    uint32_t seq;
    uint32_t incarnation; /* of the target when it was chosen */
    uint64_t sent_us;
    uint64_t direct_until_ms, deadline_ms;
    uint32_t nacks_expected, nacks;
    uint64_t stream; /* of the TCP ping, 0: none */
    bool reached_by_stream;
    bool lagged; /* the round trip says nothing */
};

/* An indirect ping for another node. */
struct relay {
    struct link link;
    uint32_t seq;       /* ours */
    uint32_t their_seq; /* the requester's */
    uint64_t due_ms;
    bool nack;
    struct gossip_address to;
    struct str node; /* requester's name, owned behind the struct */
};

enum conn_kind { CONN_ACCEPTED, CONN_JOIN, CONN_PUSH_PULL, CONN_PING };

struct conn {
    struct link link;
    uint64_t id;
    enum conn_kind kind;
    uint64_t handle; /* JOIN */
    uint32_t seq;    /* PING */
    uint64_t deadline_ms, since_us;
    struct gossip_address peer;
    struct stream_reader reader;
};

/* Somebody waits for the transmission of a broadcast. */
struct waiter {
    struct link link;
    uint64_t tag;
    uint64_t handle;
    uint64_t deadline_ms;
    const char *late; /* text when the time is over */
};

/* A name whose old statements are not believed. */
struct grave {
    uint32_t incarnation; /* 0: not known; that of the next statement then */
    uint64_t since_ms, until_ms;
};

struct outbox {
    bool collected; /* to be emptied before the next effect */
    struct arena arena;
    struct swim_packet *packets;
    size_t packets_n, packets_cap;
    struct swim_stream *streams;
    size_t streams_n, streams_cap;
    struct swim_result *results;
    size_t results_n, results_cap;
};

struct swim {
    struct swim_options o;
    struct packet_sealing sealing;
    struct prng prng;
    uint64_t now, now_us;
    uint64_t promised; /* when the driver was asked to step again, at the latest */
    bool started, left;

    uint32_t seq, incarnation, score;
    struct member *self;
    struct member **members; /* in probe order */
    size_t n, cap, probe_index;
    size_t alive_n; /* alive and suspect */
    struct map names;
    struct link suspicions;
    uint64_t suspicion_due; /* none is due before */

    uint64_t probe_ms, gossip_ms, push_pull_ms; /* next rounds */
    bool probe_waiting;                         /* a round fell due during the last */
    struct probe probe;
    struct link relays; /* by due time */
    size_t relays_n;
    struct link conns;
    size_t accepted_n, dialled_n;
    size_t stream_bytes;
    uint64_t next_stream;
    struct link waiters;
    size_t waiters_n;
    uint64_t next_tag;
    struct map graves;

    struct broadcast_queue *queue;
    struct buf scratch;  /* the message that is being written */
    struct buf datagram; /* the packet that is being written */
    struct outbox out;
    struct swim_counters counters;
    struct gossip_address claimant; /* of the last name conflict */
    uint64_t claims;                /* of that one in a row */
    struct swim_offender offenders[SWIM_OFFENDERS_MAX];
    size_t offenders_n;
    uint64_t fault_minute_ms; /* since when lines about faults are counted */
    uint32_t fault_lines;
};

/* Where a statement comes from. */
enum swim_source { FROM_SELF, FROM_PACKET, FROM_STREAM };

/* swim_members.c */
struct member *swim__member(const struct swim *s, struct str name);
/* A new record in state dead with incarnation 0, at a random place; NULL if the pool is full. */
struct member *swim__member_add(
    struct swim *s, struct str name, const struct gossip_address *address);
void swim__member_remove(struct swim *s, struct member *m);
void swim__member_free(struct member *m);
void swim__member_set_meta(struct member *m, struct str meta);
void swim__member_set_state(struct swim *s, struct member *m, enum swim_state state);
/* End of a probe cycle: forgets those long dead, shuffles. */
void swim__members_reset(struct swim *s);
typedef bool (*member_wanted)(const struct swim *s, const struct member *m, const void *arg);
/* Up to k different wanted members; may find fewer than there are. */
size_t swim__members_pick(
    struct swim *s, size_t k, member_wanted wanted, const void *arg, struct member **out);
struct swim_push_node swim__member_record(const struct member *m);
bool swim__address_allowed(const struct swim *s, const struct gossip_address *a);

/* swim_state.c: the rules for statements */
void swim__alive(struct swim *s, struct swim_alive *a, enum swim_source source,
    const struct gossip_address *from, uint64_t tag);
void swim__suspect(struct swim *s, const struct swim_accusation *a);
void swim__dead(struct swim *s, const struct swim_accusation *a, uint64_t tag);
struct swim_alive swim__alive_of_self(const struct swim *s);
void swim__score(struct swim *s, int32_t delta);

/* swim_suspicion.c */
void swim__suspicion_start(struct swim *s, struct member *m, struct str from);
/* True if the accuser is news. */
/* The process did not run for that long. */
void swim__suspicions_shift(struct swim *s, uint64_t late_ms, uint64_t least_ms);
bool swim__suspicion_confirm(struct swim *s, struct member *m, struct str from);
void swim__suspicion_end(struct swim *s, struct member *m);
void swim__suspicions_run(struct swim *s);

/* swim_probe.c */
void swim__probe_run(struct swim *s);
void swim__probe_forget(struct swim *s, const struct member *m);
void swim__probe_ack(struct swim *s, struct str payload);
/* The TCP ping came back, or failed. */
void swim__probe_stream_over(struct swim *s, bool reached);
void swim__probe_unreachable(struct swim *s, struct str node, bool remote);

/* swim_relay.c */
void swim__relay_start(
    struct swim *s, const struct swim_indirect_ping *p, const struct gossip_address *from);
/* True if the ack was for a relay. */
bool swim__relay_ack(struct swim *s, uint32_t seq);
void swim__relays_run(struct swim *s);
void swim__relays_free(struct swim *s);

/* swim_send.c */
void swim__send(
    struct swim *s, const struct gossip_address *to, struct str node, struct str message, bool crc);
/* Encodes a record and sends it with as many broadcasts as fit. */
void swim__send_record(struct swim *s, const struct gossip_address *to, struct str node,
    enum swim_message_type type, const struct type *t, const void *obj);
/* To a member that is not alive to us: the record, and what we hold against it, to be refuted. */
void swim__send_accused(struct swim *s, const struct member *m, enum swim_message_type type,
    const struct type *t, const void *record);
void swim__gossip_run(struct swim *s);
bool swim__nothing_to_say(const struct swim *s);
void swim__broadcast(struct swim *s, struct str name, enum swim_message_type type,
    const struct type *t, const void *obj, uint64_t tag);

/* swim_receive.c */
void swim__receive(struct swim *s, const struct gossip_address *from, struct str datagram);

/* swim_exchange.c, swim_conn.c */
void swim__dial(struct swim *s, enum conn_kind kind, const struct gossip_address *to,
    struct str node, uint64_t handle);
int swim__conn_accepted(struct swim *s, uint64_t id, const struct gossip_address *from);
void swim__conn_connected(struct swim *s, uint64_t id);
void swim__conn_data(struct swim *s, uint64_t id, struct str bytes);
void swim__conn_ended(struct swim *s, uint64_t id, struct str error);
void swim__conns_run(struct swim *s);
void swim__conns_free(struct swim *s);
void swim__push_pull_run(struct swim *s);
/* The whole of our state as a stream message. */
void swim__state_write(struct swim *s, bool join, struct buf *out);
int swim__state_merge(struct swim *s, struct str message, struct error *err);

/* swim_wait.c */
void swim__leave(struct swim *s, uint64_t handle, uint64_t timeout_ms);
void swim__update(struct swim *s, uint64_t handle, uint64_t timeout_ms);
void swim__broadcast_finished(void *ctx, uint64_t tag, enum broadcast_end end);
void swim__waiters_run(struct swim *s);
void swim__waiters_free(struct swim *s);

/* swim_output.c */
void swim__put_packet(
    struct swim *s, const struct gossip_address *to, struct str node, struct str bytes);
void swim__put_stream(struct swim *s, enum swim_stream_action action, uint64_t id,
    const struct gossip_address *to, struct str node, struct str bytes);
void swim__put_result(struct swim *s, uint64_t handle, int code, const char *text);
void swim__out_free(struct swim *s);

/* swim_fault.c */
void swim__fault(
    struct swim *s, const struct gossip_address *from, enum swim_fault fault, const char *detail);
/* An alive message from, or about, an address outside of the allowed networks. */
void swim__blocked(
    struct swim *s, const struct gossip_address *from, const struct gossip_address *claimed);
void swim__log(const struct swim *s, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static inline bool swim__dead_or_left(const struct member *m)
{
    return m->node.state == SWIM_DEAD || m->node.state == SWIM_LEFT;
}

/* Nobody else is alive or suspect. */
static inline bool swim__alone(const struct swim *s)
{
    return s->alive_n <= !swim__dead_or_left(s->self);
}
