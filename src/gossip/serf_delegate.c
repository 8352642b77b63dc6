/* SPDX-License-Identifier: Apache-2.0 */
/* What the swim core asks of serf while it steps. */
#include "serf_core.h"

/* Longer messages would wait for a packet that has room for them for ever. */
#define PASS_ON_MAX 1300

/* --- user messages ------------------------------------------------------------------------- */

static bool leave(struct serf *s, struct arena *a, struct str body)
{
    struct serf_leave_intent m;
    if (serf_message_decode(body, a, &type_serf_leave_intent, &m, NULL, NULL) ||
        m.ltime > SERF_LTIME_MAX || !serf__name_valid(m.node)) {
        s->counters.malformed++;
        return false;
    }
    serf__log(s, LOG_DEBUG, "serf: messageLeaveType: %.*s", STR_ARG(m.node));
    return serf__leave_intent(s, &m);
}

static bool join(struct serf *s, struct arena *a, struct str body)
{
    struct serf_join_intent m;
    if (serf_message_decode(body, a, &type_serf_join_intent, &m, NULL, NULL) ||
        m.ltime > SERF_LTIME_MAX || !serf__name_valid(m.node)) {
        s->counters.malformed++;
        return false;
    }
    serf__log(s, LOG_DEBUG, "serf: messageJoinType: %.*s", STR_ARG(m.node));
    return serf__join_intent(s, &m);
}

static bool user_event(struct serf *s, struct arena *a, struct str body)
{
    struct serf_user_event m;
    if (serf_message_decode(body, a, &type_serf_user_event, &m, NULL, NULL) ||
        m.ltime > SERF_LTIME_MAX || m.name.n + m.payload.n > SERF_RECEIVED_EVENT_MAX) {
        s->counters.malformed++;
        return false;
    }
    serf__log(s, LOG_DEBUG, "serf: messageUserEventType: %.*s", STR_ARG(m.name));
    return serf__user_event(s, &m);
}

static bool query(struct serf *s, struct arena *a, struct str body)
{
    struct serf_query_message m;
    if (serf_message_decode(body, a, &type_serf_query_message, &m, NULL, NULL) ||
        m.ltime > SERF_LTIME_MAX) {
        s->counters.malformed++;
        return false;
    }
    serf__log(s, LOG_DEBUG, "serf: messageQueryType: %.*s", STR_ARG(m.name));
    return serf__query(s, &m);
}

static bool query_response(struct serf *s, struct arena *a, struct str body)
{
    struct serf_query_response m;
    if (serf_message_decode(body, a, &type_serf_query_response, &m, NULL, NULL)) {
        s->counters.malformed++;
    } else {
        serf__log(s, LOG_DEBUG, "serf: messageQueryResponseType: %.*s", STR_ARG(m.from));
        serf__answer(s, &m);
    }
    return false;
}

static bool relay(struct serf *s, struct arena *a, struct str body)
{
    (void)a;
    serf__relay(s, body);
    return false;
}

static const struct {
    bool (*receive)(struct serf *s, struct arena *a, struct str body); /* true: pass it on */
    size_t queue;                                                      /* offset of its queue */
    bool urgent;
} messages[] = {
    [SERF_MSG_LEAVE] = { leave, offsetof(struct serf, intent_queue), true },
    [SERF_MSG_JOIN] = { join, offsetof(struct serf, intent_queue), false },
    [SERF_MSG_USER_EVENT] = { user_event, offsetof(struct serf, event_queue), false },
    [SERF_MSG_QUERY] = { query, offsetof(struct serf, query_queue), false },
    [SERF_MSG_QUERY_RESPONSE] = { query_response, 0, false },
    [SERF_MSG_RELAY] = { relay, 0, false },
};

static void pass_on(struct serf *s, struct str message, size_t queue, bool urgent)
{
    if (message.n > PASS_ON_MAX) {
        s->counters.malformed++;
        return;
    }
    struct broadcast_queue *q = *(struct broadcast_queue **)(void *)((char *)s + queue);
    broadcast_queue_add(q, &(struct broadcast){ .message = message, .urgent = urgent });
    swim_wake(s->swim);
}

static void on_user_message(void *ctx, struct str message, const struct gossip_address *from)
{
    (void)from;
    struct serf *s = ctx;
    uint8_t type = message.n ? (uint8_t)message.p[0] : UINT8_MAX;
    s->counters.messages_in++;
    s->counters.message_bytes_in += message.n;
    if (type >= sizeof messages / sizeof messages[0] || !messages[type].receive) {
        s->counters.malformed++;
        serf__log(s, LOG_WARN, "serf: Received message of unknown type: %d", type);
        return;
    }
    struct arena a = ARENA_INIT;
    if (messages[type].receive(s, &a, str_slice(message, 1, message.n)))
        pass_on(s, message, messages[type].queue, messages[type].urgent);
    arena_free(&a);
}

/* --- broadcasts ---------------------------------------------------------------------------- */

static size_t on_broadcasts(void *ctx, enum swim_turn turn, size_t overhead, size_t limit,
    broadcast_sink sink, void *sink_ctx)
{
    struct serf *s = ctx;
    size_t nodes = s->members_n;
    if (turn == SWIM_TURN_URGENT)
        return broadcast_queue_take_urgent(s->intent_queue, nodes, overhead, limit, sink, sink_ctx);
    struct broadcast_queue *const queues[] = { s->intent_queue, s->query_queue, s->event_queue };
    size_t used = 0;
    for (size_t i = 0; i < sizeof queues / sizeof queues[0] && used < limit; i++)
        used +=
            broadcast_queue_take_plain(queues[i], nodes, overhead, limit - used, sink, sink_ctx);
    return used;
}

static bool on_broadcasts_waiting(void *ctx)
{
    const struct serf *s = ctx;
    return broadcast_queue_length(s->intent_queue) || broadcast_queue_length(s->query_queue) ||
           broadcast_queue_length(s->event_queue);
}

/* --- the rest ------------------------------------------------------------------------------ */

static struct str on_meta(void *ctx)
{
    const struct serf *s = ctx;
    return buf_str(&s->meta);
}

static void on_local_state(void *ctx, bool join, struct buf *out)
{
    (void)join;
    serf__local_state(ctx, out);
}

static void on_merge_state(void *ctx, struct str state, bool join)
{
    serf__merge_state(ctx, state, join);
}

static int on_alive(void *ctx, const struct swim_node *node, struct error *err)
{
    const struct serf *s = ctx;
    return s->o.merge(s->o.ctx, node, 1, err);
}

static int on_merge(void *ctx, const struct swim_node *nodes, size_t n, struct error *err)
{
    const struct serf *s = ctx;
    return s->o.merge(s->o.ctx, nodes, n, err);
}

static void on_conflict(
    void *ctx, const struct swim_node *existing, const struct gossip_address *other)
{
    struct serf *s = ctx;
    char ours[GOSSIP_ADDRESS_TEXT_MAX], theirs[GOSSIP_ADDRESS_TEXT_MAX];
    gossip_address_text(&existing->address, ours);
    gossip_address_text(other, theirs);
    if (!str_eq(existing->name, s->o.swim.name)) {
        serf__log(s, LOG_WARN, "serf: Name conflict for '%.*s' both %s and %s are claiming",
            STR_ARG(existing->name), ours, theirs);
        return;
    }
    serf__log(s, LOG_ERROR,
        "serf: Node name conflicts with another node at %s. Names must be "
        "unique! (Resolution enabled: %s)",
        theirs, s->o.resolve_conflicts ? "true" : "false");
    if (!s->o.resolve_conflicts) return;
    for (const struct link *l = s->asks.next; l != &s->asks; l = l->next)
        if (container_of(l, struct ask, link)->kind == ASK_CONFLICT) return;
    serf__ask(
        s, &(struct ask_options){
               .kind = ASK_CONFLICT, .name = STR("_serf_conflict"), .payload = s->o.swim.name });
}

static void on_member(void *ctx, enum swim_member_event event, const struct swim_node *node)
{
    serf__member_event(ctx, event, node);
}

static void on_ack_payload(void *ctx, struct buf *out)
{
    const struct serf *s = ctx;
    if (s->o.coordinates) position_encode(&s->coordinates.here, out);
}

static void on_round_trip(
    void *ctx, const struct swim_node *node, uint64_t rtt_us, struct str payload)
{
    struct serf *s = ctx;
    struct member *m = serf__member(s, node->name);
    if (!s->o.coordinates || !m || payload.n == 0) return;
    struct position there;
    struct error err;
    struct position before = s->coordinates.here;
    int64_t rtt_ns = rtt_us < INT64_MAX / 1000 ? (int64_t)rtt_us * 1000 : INT64_MAX;
    if (position_decode(payload, &there, &err) ||
        coordinate_client_update(&s->coordinates, &m->filter, &there, rtt_ns, &err)) {
        s->counters.coordinates_refused++;
        serf__log(
            s, LOG_DEBUG, "serf: Rejected coordinate from %.*s: %s", STR_ARG(node->name), err.text);
        return;
    }
    s->counters.coordinate_updates++;
    double moved = position_distance(&before, &s->coordinates.here);
    if (moved < 10) s->counters.coordinate_us += (uint64_t)(1e6 * moved);
    if (!m->place) m->place = xmalloc(sizeof *m->place);
    *m->place = there;
}

static bool on_tcp_ping(void *ctx, const struct swim_node *node)
{
    const struct serf *s = ctx;
    return s->o.tcp_ping(s->o.ctx, node);
}

struct swim_delegate serf__delegate(struct serf *s)
{
    return (struct swim_delegate){
        .ctx = s,
        .meta = on_meta,
        .user_message = on_user_message,
        .broadcasts = on_broadcasts,
        .broadcasts_waiting = on_broadcasts_waiting,
        .local_state = on_local_state,
        .merge_state = on_merge_state,
        .alive = s->o.merge ? on_alive : NULL,
        .merge = s->o.merge ? on_merge : NULL,
        .conflict = on_conflict,
        .member = on_member,
        .ack_payload = on_ack_payload,
        .round_trip = on_round_trip,
        .tcp_ping = s->o.tcp_ping ? on_tcp_ping : NULL,
    };
}
