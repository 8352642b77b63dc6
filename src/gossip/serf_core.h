/* SPDX-License-Identifier: Apache-2.0 */
/* State of the serf core and the functions its files share. serf__* is private to the module.
 * The flow of one step: the swim core or a command handles the event (swim calls back through the
 * delegate), then `advance` does what is due: key jobs, waits that ended, timers. Results of
 * the swim core are seen when the output is collected; what they ask for is done in the next step,
 * for which wake_ms is at once. */
#pragma once
#include "consuld/gossip/serf.h"

#include <string.h>

#include "serf_message.h"
#include "serf_snapshot.h"

struct member {
    struct serf_member view; /* name and meta are owned */
    size_t at;               /* in serf.members */
    struct latency_filter filter;
    struct position *place; /* NULL: unknown */
};

/* About a name that is not known (yet). */
struct intent {
    enum serf_message_type type; /* JOIN or LEAVE */
    uint64_t ltime;
    uint64_t since_ms;
};

struct past_event {
    struct str name, payload; /* one allocation, name.p */
};

struct event_slot {
    uint64_t ltime;
    size_t bytes;
    struct past_event *v;
    size_t n;
};

struct query_slot {
    uint64_t ltime;
    uint32_t *ids;
    size_t n;
};

/* --- waits ---------------------------------------------------------------------------------- */

/* A join by addresses. */
struct join_op {
    struct link link;
    uint64_t id;
    uint64_t handle;
    bool ignore_old;
    bool announce;  /* reached somebody: the intent is to be sent */
    size_t pending; /* addresses without a result */
    size_t n;
    size_t joined;
    struct arena arena;
    struct gossip_address *addresses;
    struct serf_join_failure *failures;
    size_t failures_n;
};

/* A forced leave whose broadcast is under way. */
struct force_op {
    struct link link;
    uint64_t tag;
    uint64_t handle;
    uint64_t deadline_ms;
    bool ended, sent;
};

/* A living member to be erased once it had time to refute. */
struct prune_op {
    struct link link;
    uint64_t due_ms;
    size_t name_n;
    char name[];
};

/* A name to be buried between steps of the swim core. */
struct burial {
    struct link link;
    size_t name_n;
    char name[];
};

enum leave_phase { LEAVE_NONE, LEAVE_INTENT, LEAVE_SWIM, LEAVE_DONE };

struct leave_op {
    enum leave_phase phase;
    uint64_t handle;
    uint64_t deadline_ms;
    bool ended, sent; /* of the intent's broadcast */
    bool late;        /* the intent was not sent to its limit */
};

/* A query that changes or lists our keys: done between steps of the swim core, answered when the
 * file is written. */
struct key_job {
    struct link link;
    uint64_t save; /* 0: not done yet */
    enum serf_key_action action;
    struct serf_query_origin origin;
    struct str key;
    uint8_t key_bytes[KEYRING_KEY_MAX];
};

enum ask_kind { ASK_USER, ASK_KEYS, ASK_CONFLICT };

struct key_tally {
    size_t errors;
    struct list messages;           /* of struct str_pair */
    struct list keys, primary_keys; /* of struct serf_key_count */
};

/* A query of ours. */
struct ask {
    struct link link;
    enum ask_kind kind;
    uint64_t handle;
    uint64_t ltime;
    uint32_t id;
    uint64_t deadline_ms;
    size_t nodes;               /* living members when it was asked */
    bool ends_early;            /* when all of them have answered */
    struct map acked, answered; /* names */
    size_t matching;            /* CONFLICT: votes for us */
    struct arena arena;
    struct key_tally keys;
};

/* Tags of ours on their way to the others. */
struct tags_op {
    uint64_t id;
    uint64_t handle; /* 0: nobody waits */
};

/* --- core ----------------------------------------------------------------------------------- */

struct serf_outbox {
    struct arena arena;
    struct serf_notice *v;
    size_t n, cap;
    bool handed; /* given out; cleared by the next step */
};

struct serf {
    struct serf_options o;
    struct swim *swim;
    struct buf meta; /* our encoded tags */
    char *name;      /* our own, for the options */
    uint64_t now_ms;
    enum serf_state state;
    bool started;
    bool todo; /* something waits for the next step */

    uint64_t member_clock, event_clock, query_clock;
    uint64_t event_min, query_min;

    struct map by_name; /* -> struct member */
    struct member **members;
    size_t members_n, members_cap;
    size_t failed_n, left_n;
    bool statuses_moved;   /* since losses were judged */
    bool preserving;       /* too many failed at once */
    uint64_t losses_since; /* of it: failures that count */

    struct map intents;        /* name -> struct intent */
    struct event_slot *events; /* o.event_buffer of them */
    struct query_slot *queries;

    struct broadcast_queue *intent_queue, *event_queue, *query_queue;
    uint64_t next_id; /* of operations, saves and broadcast tags; never 0 */

    struct link joins, forces, prunes, burials, key_jobs, asks;
    size_t joins_n, forces_n, key_jobs_n, asks_n;
    struct leave_op leave;
    struct tags_op tags;

    struct serf_join_address *previous; /* members of the snapshot still to try */
    char *previous_names;
    size_t previous_n;
    bool rejoining; /* an attempt is under way */

    struct coordinate_client coordinates;
    struct serf_snapshot snapshot;
    uint64_t clock_line_ms; /* when the grown clock is written; SWIM_NEVER: it is */
    uint64_t reap_ms, reconnect_ms, queue_check_ms;

    struct serf_outbox out;
    struct serf_counters counters;
};

/* Handles of the swim core: what a result belongs to. */
enum swim_call { CALL_JOIN = 1, CALL_REJOIN, CALL_RECONNECT, CALL_LEAVE, CALL_TAGS };
uint64_t serf__call(enum swim_call call, uint64_t id, size_t index);

/* serf_core.c */
void serf__log(const struct serf *s, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void serf__witness(uint64_t *clock, uint64_t ltime);
/* Names taken from the wire. */
bool serf__name_valid(struct str name);
/* Writes the clock's line of the snapshot file now, behind that of a member. */
void serf__clock_line(struct serf *s);

/* serf_output.c */
struct serf_notice *serf__notice(struct serf *s, enum serf_notice_type type);
struct str serf__keep(struct serf *s, struct str text); /* a copy for notices */
void serf__member_notice(struct serf *s, enum serf_notice_type type, const struct member *m);
/* A result with a formatted text, if the handle is not 0; NULL then. */
struct serf_notice *serf__result(struct serf *s, uint64_t handle, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* serf_delegate.c */
struct swim_delegate serf__delegate(struct serf *s);

/* serf_member.c */
struct member *serf__member(const struct serf *s, struct str name);
void serf__member_event(struct serf *s, enum swim_member_event event, const struct swim_node *node);
void serf__member_status(struct serf *s, struct member *m, enum serf_status status);
/* With notice and coordinates; frees it. */
void serf__member_erase(struct serf *s, struct member *m);
void serf__members_free(struct serf *s);
/* Another member is alive. */
bool serf__others_alive(const struct serf *s);

/* serf_intent.c: true if the message is to be passed on. */
bool serf__join_intent(struct serf *s, const struct serf_join_intent *m);
bool serf__leave_intent(struct serf *s, const struct serf_leave_intent *m);
const struct intent *serf__intent_find(
    const struct serf *s, struct str name, enum serf_message_type type);
void serf__intents_expire(struct serf *s);
void serf__intents_free(struct serf *s);
/* Our own join at the current clock: applied and sent. */
void serf__announce(struct serf *s);
void serf__send_leave_intent(struct serf *s, const struct serf_leave_intent *m, uint64_t tag);
void serf__prune_due(struct serf *s);
void serf__bury_due(struct serf *s);
uint64_t serf__prune_wake(const struct serf *s);
void serf__prunes_free(struct serf *s);

/* serf_join.c */
void serf__join(struct serf *s, const struct serf_event *ev);
void serf__join_result(struct serf *s, uint64_t id, size_t index, const struct swim_result *r);
void serf__join_advance(struct serf *s);
bool serf__joining_new_only(const struct serf *s); /* old events are not wanted */
void serf__rejoin_begin(struct serf *s);
void serf__rejoin_result(struct serf *s, const struct swim_result *r);
void serf__rejoin_advance(struct serf *s);
void serf__joins_free(struct serf *s);

/* serf_leave.c */
void serf__leave(struct serf *s, uint64_t handle);
void serf__leave_result(struct serf *s, const struct swim_result *r);
void serf__force_leave(struct serf *s, uint64_t handle, struct str name, bool prune);
void serf__leave_advance(struct serf *s);
void serf__broadcast_ended(void *ctx, uint64_t tag, enum broadcast_end end);
uint64_t serf__leave_wake(const struct serf *s);
void serf__forces_free(struct serf *s);

/* serf_event.c */
void serf__fire(struct serf *s, const struct serf_event *ev);
bool serf__user_event(struct serf *s, const struct serf_user_event *m);
void serf__past_events(struct serf *s, struct arena *a, struct list *out);
void serf__events_free(struct serf *s);

/* serf_query.c */
bool serf__query(struct serf *s, const struct serf_query_message *m);
void serf__queries_free(struct serf *s);
/* Sends an answer to the origin, relayed if it asks for it. */
int serf__respond(struct serf *s, const struct serf_query_origin *o, uint32_t flags,
    struct str payload, struct error *err) must_check;
/* Encodes one; ERR_TOO_LARGE, ERR_CANCELLED with serf's texts. */
int serf__response_encode(const struct serf *s, const struct serf_query_origin *o, uint32_t flags,
    struct str payload, struct buf *out, struct error *err) must_check;
void serf__relay(struct serf *s, struct str body);

/* serf_filter.c */
bool serf__filters_match(const struct serf *s, const struct list *filters);
/* A list of encoded filters, nil if there are none. */
struct list serf__filters(struct arena *a, const struct str *nodes, size_t nodes_n,
    const struct str_pair *tags, size_t tags_n);

/* serf_ask.c */
struct ask_options {
    enum ask_kind kind;
    uint64_t handle;
    struct str name, payload;
    struct list filters;
    bool ack;
    uint8_t relay_factor;
    uint64_t timeout_ms;
};
void serf__ask(struct serf *s, const struct ask_options *o);
void serf__answer(struct serf *s, const struct serf_query_response *m);
void serf__asks_due(struct serf *s);
uint64_t serf__asks_wake(const struct serf *s);
void serf__asks_free(struct serf *s);

/* serf_internal.c: queries whose name begins with _serf_. */
bool serf__internal(struct str name);
void serf__internal_query(
    struct serf *s, const struct serf_query_origin *o, struct str name, struct str payload);
void serf__conflict_answer(struct serf *s, struct ask *q, struct str payload);
void serf__conflict_done(struct serf *s, const struct ask *q);

/* serf_keys.c */
void serf__keys_ask(struct serf *s, const struct serf_event *ev);
void serf__keys_answer(struct ask *q, struct str from, struct str payload);
void serf__keys_done(struct serf *s, struct ask *q);

/* serf_key_job.c */
void serf__key_query(struct serf *s, const struct serf_query_origin *o, enum serf_key_action action,
    struct str payload);
void serf__key_jobs_run(struct serf *s);
void serf__key_saved(struct serf *s, uint64_t save, struct str error);
void serf__key_jobs_free(struct serf *s);

/* serf_push_pull.c */
void serf__local_state(struct serf *s, struct buf *out);
void serf__merge_state(struct serf *s, struct str state, bool join);

/* serf_maintain.c */
void serf__maintain(struct serf *s);

/* serf_losses.c */
void serf__losses_judge(struct serf *s);

/* Smaller of two times. */
static inline uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
