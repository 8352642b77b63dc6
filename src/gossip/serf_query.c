/* SPDX-License-Identifier: Apache-2.0 */
/* Queries of others and the answers to them (gossip.md 9.9). */
#include <stdlib.h>

#include "serf_core.h"

#define QUERY_TIMEOUT_MAX_MS (24u * 3600 * 1000)
#define RELAY_PROTOCOL_MIN 5 /* memberlist protocol that knows relays */
#define PORT_MAX 65535

/* --- seen queries -------------------------------------------------------------------------- */

enum seen { SEEN_NEW, SEEN_BEFORE, SEEN_NO_ROOM };

static enum seen remember(struct serf *s, const struct serf_query_message *m)
{
    struct query_slot *slot = &s->queries[m->ltime % s->o.query_buffer];
    if (slot->n && slot->ltime != m->ltime) slot->n = 0;
    for (size_t i = 0; i < slot->n; i++)
        if (slot->ids[i] == m->id) return SEEN_BEFORE;
    if (slot->n >= SERF_SLOT_ENTRIES_MAX) return SEEN_NO_ROOM;
    slot->ids = xrealloc(slot->ids, (slot->n + 1) * sizeof *slot->ids);
    slot->ids[slot->n++] = (uint32_t)m->id;
    slot->ltime = m->ltime;
    return SEEN_NEW;
}

void serf__queries_free(struct serf *s)
{
    for (size_t i = 0; s->queries && i < s->o.query_buffer; i++)
        free(s->queries[i].ids);
    free(s->queries);
}

/* --- receiving ----------------------------------------------------------------------------- */

static bool fresh(struct serf *s, const struct serf_query_message *m)
{
    serf__witness(&s->query_clock, m->ltime);
    if (m->ltime < s->query_min) return false;
    uint64_t reach = s->o.query_buffer;
    if (s->query_clock > reach && m->ltime < s->query_clock - reach) {
        s->counters.too_old++;
        serf__log(s, LOG_WARN, "serf: received old query %.*s from time %llu (current: %llu)",
            STR_ARG(m->name), (unsigned long long)m->ltime, (unsigned long long)s->query_clock);
        return false;
    }
    switch (remember(s, m)) {
    case SEEN_NEW:
        return true;
    case SEEN_BEFORE:
        s->counters.duplicates++;
        return false;
    case SEEN_NO_ROOM:
        s->counters.slot_full++;
        return false;
    }
    return false;
}

static bool origin_of(
    const struct serf *s, const struct serf_query_message *m, struct serf_query_origin *o)
{
    memset(o, 0, sizeof *o);
    if (m->source_node.n > SWIM_NAME_MAX) return false;
    if (!gossip_address_set(&o->address, m->addr, (uint16_t)m->port)) return false;
    if (m->source_node.n) memcpy(o->node, m->source_node.p, m->source_node.n);
    o->ltime = m->ltime;
    o->id = (uint32_t)m->id;
    o->relay_factor = (uint8_t)m->relay_factor;
    uint64_t timeout = m->timeout_ns > 0 ? (uint64_t)m->timeout_ns / 1000000 : 0;
    o->deadline_ms = s->now_ms + sooner(timeout, QUERY_TIMEOUT_MAX_MS);
    return true;
}

static void deliver(
    struct serf *s, const struct serf_query_message *m, const struct serf_query_origin *o)
{
    struct serf_notice *notice = serf__notice(s, SERF_QUERIED);
    notice->queried.origin = arena_copy(&s->out.arena, o, sizeof *o);
    notice->queried.name = serf__keep(s, m->name);
    notice->queried.payload = serf__keep(s, m->payload);
}

bool serf__query(struct serf *s, const struct serf_query_message *m)
{
    if (!fresh(s, m)) return false;
    bool pass_on = !(m->flags & SERF_QUERY_NO_BROADCAST);
    serf_snapshot_query_clock(&s->snapshot, s->now_ms, m->ltime);
    if (!serf__filters_match(s, &m->filters)) {
        s->counters.filtered++;
        return pass_on;
    }
    struct serf_query_origin o;
    if (!origin_of(s, m, &o)) {
        s->counters.malformed++;
        return pass_on;
    }
    s->counters.queries++;
    struct error err;
    if ((m->flags & SERF_QUERY_ACK) && serf__respond(s, &o, SERF_QUERY_ACK, STR_NIL, &err))
        serf__log(s, LOG_WARN, "serf: failed to send ack: %s", err.text);
    if (serf__internal(m->name)) {
        serf__internal_query(s, &o, m->name, m->payload);
    } else {
        deliver(s, m, &o);
    }
    return pass_on;
}

/* --- answering ----------------------------------------------------------------------------- */

static bool is_ours(const struct serf *s, const struct serf_query_origin *o)
{
    return str_is(s->o.swim.name, o->node) &&
           gossip_address_equal(&o->address, &s->o.swim.advertise);
}

int serf__response_encode(const struct serf *s, const struct serf_query_origin *o, uint32_t flags,
    struct str payload, struct buf *out, struct error *err)
{
    struct serf_query_response m = {
        .ltime = o->ltime, .id = o->id, .from = s->o.swim.name, .flags = flags, .payload = payload
    };
    serf_message_encode(SERF_MSG_QUERY_RESPONSE, &type_serf_query_response, &m, out);
    if (out->overflow || out->n > SERF_QUERY_MAX)
        return error_set(err, ERR_TOO_LARGE, "response exceeds limit of %d bytes", SERF_QUERY_MAX);
    if (!flags && s->now_ms > o->deadline_ms)
        return error_set(err, ERR_CANCELLED, "response is past the deadline");
    return 0;
}

static bool relays(const struct serf *s, const struct member *m)
{
    return m->view.status == SERF_ALIVE && m->view.vsn[1] >= RELAY_PROTOCOL_MIN &&
           !str_eq(m->view.name, s->o.swim.name);
}

/* Sends `message` to the members in `chosen`, each once. */
static void send_relays(struct serf *s, struct str message, size_t want)
{
    size_t chosen[SERF_RELAY_FACTOR_MAX];
    size_t n = 0;
    for (size_t tries = 3 * s->members_n; tries > 0 && n < want; tries--) {
        size_t at = (size_t)swim_random(s->swim, s->members_n);
        const struct member *m = s->members[at];
        bool again = !relays(s, m);
        for (size_t i = 0; i < n; i++)
            again = again || chosen[i] == at;
        if (again) continue;
        chosen[n++] = at;
        swim_send_user(s->swim, &m->view.address, m->view.name, message);
    }
}

static void relay_out(struct serf *s, const struct serf_query_origin *o, struct str response)
{
    size_t want = o->relay_factor < SERF_RELAY_FACTOR_MAX ? o->relay_factor : SERF_RELAY_FACTOR_MAX;
    if (want == 0 || s->members_n < want + 1) return;
    struct serf_relay head = { .dest_name = str_of(o->node) };
    head.dest_addr.ip = gossip_address_ip(&o->address);
    head.dest_addr.port = o->address.port;
    struct buf out = BUF_INIT(2 * SERF_QUERY_MAX);
    serf_message_encode(SERF_MSG_RELAY, &type_serf_relay, &head, &out);
    buf_put_str(&out, response);
    if (out.overflow || out.n > SERF_QUERY_MAX) {
        serf__log(s, LOG_WARN, "serf: relayed response exceeds limit of %d bytes", SERF_QUERY_MAX);
    } else {
        send_relays(s, buf_str(&out), want);
    }
    buf_deinit(&out);
}

static void answer_ourselves(struct serf *s, struct str response)
{
    struct arena a = ARENA_INIT;
    struct serf_query_response m;
    int code = serf_message_decode(
        str_slice(response, 1, response.n), &a, &type_serf_query_response, &m, NULL, NULL);
    ensure(code == 0);
    serf__answer(s, &m);
    arena_free(&a);
}

int serf__respond(struct serf *s, const struct serf_query_origin *o, uint32_t flags,
    struct str payload, struct error *err)
{
    struct buf out = BUF_INIT(2 * SERF_QUERY_MAX);
    int code = serf__response_encode(s, o, flags, payload, &out, err);
    if (code) {
        buf_deinit(&out);
        return code;
    }
    if (is_ours(s, o)) {
        answer_ourselves(s, buf_str(&out));
    } else {
        swim_send_user(s->swim, &o->address, str_of(o->node), buf_str(&out));
        relay_out(s, o, buf_str(&out));
    }
    buf_deinit(&out);
    return 0;
}

void serf__relay(struct serf *s, struct str body)
{
    struct arena a = ARENA_INIT;
    struct serf_relay head;
    struct str inner;
    struct gossip_address to;
    if (serf_message_decode(body, &a, &type_serf_relay, &head, &inner, NULL) || inner.n == 0 ||
        head.dest_addr.port < 0 || head.dest_addr.port > PORT_MAX ||
        !gossip_address_set(&to, head.dest_addr.ip, (uint16_t)head.dest_addr.port)) {
        s->counters.malformed++;
    } else {
        s->counters.relayed++;
        swim_send_user(s->swim, &to, head.dest_name, inner);
    }
    arena_free(&a);
}
