/* SPDX-License-Identifier: Apache-2.0 */
/* Queries that serf answers itself (gossip.md 9.10), and the vote about a contested name. */
#include "serf_core.h"

#define INTERNAL_PREFIX "_serf_"

bool serf__internal(struct str name)
{
    return str_has_prefix(name, STR(INTERNAL_PREFIX));
}

/* --- conflicts ----------------------------------------------------------------------------- */

static void put_member(struct arena *a, const struct serf_member *m, struct buf *out)
{
    struct serf_conflict_member r = { .name = m->name,
        .addr = gossip_address_ip(&m->address),
        .port = m->address.port,
        .status = m->status,
        .protocol_min = m->vsn[0],
        .protocol_max = m->vsn[1],
        .protocol_cur = m->vsn[2],
        .delegate_min = m->vsn[3],
        .delegate_max = m->vsn[4],
        .delegate_cur = m->vsn[5] };
    if (serf_tags_decode(m->meta, a, &r.tags, NULL)) r.tags = DICT_EMPTY;
    serf_message_encode(SERF_MSG_CONFLICT_RESPONSE, &type_serf_conflict_member, &r, out);
}

static void answer_conflict(struct serf *s, const struct serf_query_origin *o, struct str name)
{
    if (str_eq(name, s->o.swim.name)) return;
    serf__log(s, LOG_DEBUG, "serf: Got conflict resolution query for '%.*s'", STR_ARG(name));
    struct arena a = ARENA_INIT;
    struct buf out = BUF_INIT(4 * SERF_QUERY_MAX);
    const struct serf_member *m = serf_find(s, name);
    if (m) {
        put_member(&a, m, &out);
    } else {
        buf_put_char(&out, SERF_MSG_CONFLICT_RESPONSE);
        msgpack_put_nil(&out);
    }
    struct error err;
    if (serf__respond(s, o, 0, buf_str(&out), &err))
        serf__log(s, LOG_ERROR, "serf: Failed to respond to conflict query: %s", err.text);
    buf_deinit(&out);
    arena_free(&a);
}

void serf__conflict_answer(struct serf *s, struct ask *q, struct str payload)
{
    struct serf_conflict_member m;
    struct gossip_address claimed;
    if (payload.n == 0 || payload.p[0] != SERF_MSG_CONFLICT_RESPONSE ||
        serf_message_decode(str_slice(payload, 1, payload.n), &q->arena, &type_serf_conflict_member,
            &m, NULL, NULL)) {
        s->counters.malformed++;
        return;
    }
    if (gossip_address_set(&claimed, m.addr, (uint16_t)m.port) &&
        gossip_address_equal(&claimed, &s->o.swim.advertise))
        q->matching++;
}

void serf__conflict_done(struct serf *s, const struct ask *q)
{
    size_t majority = q->answered.n / 2 + 1;
    bool lost = q->matching < majority;
    serf__log(s, lost ? LOG_WARN : LOG_INFO, "serf: %s in name conflict resolution%s [%zu / %zu]",
        lost ? "minority" : "majority", lost ? ", quiting" : "", q->matching, q->answered.n);
    if (lost) serf__notice(s, SERF_NAME_LOST);
}

/* --- all of them --------------------------------------------------------------------------- */

enum internal { PING, CONFLICT, KEYS };

static const struct {
    const char *name;
    enum internal what;
    enum serf_key_action action;
} internals[] = {
    { "_serf_conflict", CONFLICT, 0 },
    { "_serf_install-key", KEYS, SERF_KEY_INSTALL },
    { "_serf_list-keys", KEYS, SERF_KEY_LIST },
    { "_serf_ping", PING, 0 },
    { "_serf_remove-key", KEYS, SERF_KEY_REMOVE },
    { "_serf_use-key", KEYS, SERF_KEY_USE },
};

void serf__internal_query(
    struct serf *s, const struct serf_query_origin *o, struct str name, struct str payload)
{
    for (size_t i = 0; i < sizeof internals / sizeof internals[0]; i++) {
        if (!str_is(name, internals[i].name)) continue;
        switch (internals[i].what) {
        case PING:
            break;
        case CONFLICT:
            answer_conflict(s, o, payload);
            break;
        case KEYS:
            serf__key_query(s, o, internals[i].action, payload);
            break;
        }
        return;
    }
    serf__log(s, LOG_WARN, "serf: Unhandled internal query '%.*s'", STR_ARG(name));
}
