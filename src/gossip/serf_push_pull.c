/* SPDX-License-Identifier: Apache-2.0 */
/* The state that serf adds to push/pulls (gossip.md 9.8). */
#include "serf_core.h"

void serf__local_state(struct serf *s, struct buf *out)
{
    struct arena a = ARENA_INIT;
    struct serf_push_pull m = { .ltime = s->member_clock,
        .event_ltime = s->event_clock,
        .query_ltime = s->query_clock,
        .status_ltimes = { .v = arena_array(
                               &a, s->members_n, sizeof(struct str) + sizeof(uint64_t)) },
        .left_members = LIST_EMPTY };
    m.status_ltimes.cap = s->members_n;
    for (size_t i = 0; i < s->members_n; i++) {
        const struct serf_member *v = &s->members[i]->view;
        struct {
            struct str name;
            uint64_t ltime;
        } *entry = m.status_ltimes.v;
        /* Names are known to differ: no look-up as dict_put does. */
        entry[m.status_ltimes.n].name = v->name;
        entry[m.status_ltimes.n++].ltime = v->status_ltime;
        if (v->status == SERF_LEFT) *LIST_PUSH(&a, &m.left_members, struct str) = v->name;
    }
    serf__past_events(s, &a, &m.events);
    serf_message_encode(SERF_MSG_PUSH_PULL, &type_serf_push_pull, &m, out);
    arena_free(&a);
}

static void witness_before(uint64_t *clock, uint64_t ltime)
{
    if (ltime > 0) serf__witness(clock, ltime - 1);
}

static bool plausible(const struct serf_push_pull *m)
{
    if (m->ltime > SERF_LTIME_MAX || m->event_ltime > SERF_LTIME_MAX ||
        m->query_ltime > SERF_LTIME_MAX)
        return false;
    for (size_t i = 0; i < m->status_ltimes.n; i++)
        if (*(uint64_t *)dict_at(&m->status_ltimes, &type_uint, i) > SERF_LTIME_MAX) return false;
    return true;
}

static const uint64_t no_ltime = 0;

/* Names of left members with their status times. */
static void collect_left(const struct serf_push_pull *m, struct map *left)
{
    for (size_t i = 0; i < m->left_members.n; i++) {
        struct str name = LIST_AT(&m->left_members, struct str, i);
        if (serf__name_valid(name)) map_put(left, name, (void *)(uintptr_t)&no_ltime);
    }
    for (size_t i = 0; i < m->status_ltimes.n; i++) {
        struct str name = dict_key(&m->status_ltimes, &type_uint, i);
        if (map_get(left, name)) map_put(left, name, dict_at(&m->status_ltimes, &type_uint, i));
    }
}

static void merge_members(struct serf *s, const struct serf_push_pull *m)
{
    struct map left = MAP_INIT;
    collect_left(m, &left);
    for (size_t i = 0; i < m->left_members.n; i++) {
        struct serf_leave_intent intent = { .node = LIST_AT(&m->left_members, struct str, i) };
        const uint64_t *ltime = map_get(&left, intent.node);
        if (!ltime) continue;
        intent.ltime = *ltime + 1;
        serf__leave_intent(s, &intent);
    }
    for (size_t i = 0; i < m->status_ltimes.n; i++) {
        struct serf_join_intent intent = { .node = dict_key(&m->status_ltimes, &type_uint, i),
            .ltime = *(uint64_t *)dict_at(&m->status_ltimes, &type_uint, i) };
        if (!serf__name_valid(intent.node) || map_get(&left, intent.node)) continue;
        bool raised = serf__join_intent(s, &intent);
        /* Somebody said that this one leaves: who believes it hears a later word. */
        if (raised && s->state == SERF_STATE_ALIVE && str_eq(intent.node, s->o.swim.name))
            serf__announce(s);
    }
    map_deinit(&left);
}

static void merge_events(struct serf *s, const struct list *events)
{
    for (size_t i = 0; i < events->n; i++) {
        const struct serf_past_events *slot = LIST_AT(events, struct serf_past_events *, i);
        if (!slot || slot->ltime > SERF_LTIME_MAX) continue;
        for (size_t j = 0; j < slot->events.n; j++) {
            const struct serf_past_event *e = &LIST_AT(&slot->events, struct serf_past_event, j);
            struct serf_user_event event = {
                .ltime = slot->ltime, .name = e->name, .payload = e->payload
            };
            if (e->name.n + e->payload.n <= SERF_RECEIVED_EVENT_MAX) serf__user_event(s, &event);
        }
    }
}

void serf__merge_state(struct serf *s, struct str state, bool join)
{
    struct arena a = ARENA_INIT;
    struct serf_push_pull m;
    struct error err;
    if (state.n == 0 || state.p[0] != SERF_MSG_PUSH_PULL ||
        serf_message_decode(
            str_slice(state, 1, state.n), &a, &type_serf_push_pull, &m, NULL, &err) ||
        !plausible(&m)) {
        s->counters.malformed++;
        serf__log(s, LOG_ERROR, "serf: Remote state cannot be read");
        arena_free(&a);
        return;
    }
    witness_before(&s->member_clock, m.ltime);
    witness_before(&s->event_clock, m.event_ltime);
    witness_before(&s->query_clock, m.query_ltime);
    merge_members(s, &m);
    if (join && serf__joining_new_only(s) && m.event_ltime > s->event_min)
        s->event_min = m.event_ltime;
    merge_events(s, &m.events);
    arena_free(&a);
}
