/* SPDX-License-Identifier: Apache-2.0 */
/* User events and the buffer that tells which were seen (gossip.md 9.7). */
#include <stdlib.h>

#include "serf_core.h"

static void slot_clear(struct event_slot *slot)
{
    for (size_t i = 0; i < slot->n; i++)
        free((void *)(uintptr_t)slot->v[i].name.p);
    free(slot->v);
    *slot = (struct event_slot){ 0 };
}

static struct past_event keep(struct str name, struct str payload)
{
    char *p = xmalloc(name.n + payload.n + 1);
    if (name.n) memcpy(p, name.p, name.n);
    if (payload.n) memcpy(p + name.n, payload.p, payload.n);
    return (struct past_event){
        .name = { p, name.n },
        .payload = { payload.p ? p + name.n : NULL, payload.n },
    };
}

enum seen { SEEN_NEW, SEEN_BEFORE, SEEN_NO_ROOM };

static enum seen remember(struct serf *s, const struct serf_user_event *m)
{
    struct event_slot *slot = &s->events[m->ltime % s->o.event_buffer];
    if (slot->n && slot->ltime != m->ltime) slot_clear(slot);
    for (size_t i = 0; i < slot->n; i++)
        if (str_eq(slot->v[i].name, m->name) && str_eq(slot->v[i].payload, m->payload))
            return SEEN_BEFORE;
    size_t bytes = m->name.n + m->payload.n;
    if (slot->n >= SERF_SLOT_ENTRIES_MAX || slot->bytes + bytes > SERF_SLOT_BYTES_MAX)
        return SEEN_NO_ROOM;
    slot->v = xrealloc(slot->v, (slot->n + 1) * sizeof *slot->v);
    slot->v[slot->n++] = keep(m->name, m->payload);
    slot->bytes += bytes;
    slot->ltime = m->ltime;
    return SEEN_NEW;
}

static void deliver(struct serf *s, const struct serf_user_event *m)
{
    struct serf_notice *notice = serf__notice(s, SERF_USER_EVENT);
    notice->user_event.ltime = m->ltime;
    notice->user_event.name = serf__keep(s, m->name);
    notice->user_event.payload = serf__keep(s, m->payload);
    notice->user_event.coalesce = m->cc;
    s->counters.user_events++;
    serf_snapshot_event_clock(&s->snapshot, s->now_ms, m->ltime);
}

bool serf__user_event(struct serf *s, const struct serf_user_event *m)
{
    serf__witness(&s->event_clock, m->ltime);
    if (m->ltime < s->event_min) return false;
    uint64_t reach = s->o.event_buffer;
    if (s->event_clock > reach && m->ltime < s->event_clock - reach) {
        s->counters.too_old++;
        serf__log(s, LOG_WARN, "serf: received old event %.*s from time %llu (current: %llu)",
            STR_ARG(m->name), (unsigned long long)m->ltime, (unsigned long long)s->event_clock);
        return false;
    }
    switch (remember(s, m)) {
    case SEEN_NEW:
        break;
    case SEEN_BEFORE:
        s->counters.duplicates++;
        return false;
    case SEEN_NO_ROOM:
        s->counters.slot_full++;
        return false;
    }
    deliver(s, m);
    return true;
}

void serf__fire(struct serf *s, const struct serf_event *ev)
{
    uint64_t handle = ev->fire.handle;
    if (ev->fire.name.n + ev->fire.payload.n > SERF_USER_EVENT_MAX) {
        serf__result(s, handle, ERR_TOO_LARGE,
            "user event exceeds configured limit of %d bytes before encoding", SERF_USER_EVENT_MAX);
        return;
    }
    struct serf_user_event m = { .ltime = s->event_clock,
        .name = ev->fire.name,
        .payload = ev->fire.payload,
        .cc = ev->fire.coalesce };
    struct buf out = BUF_INIT(2 * SERF_USER_EVENT_MAX);
    serf_message_encode(SERF_MSG_USER_EVENT, &type_serf_user_event, &m, &out);
    if (out.overflow || out.n > SERF_USER_EVENT_MAX) {
        serf__result(s, handle, ERR_TOO_LARGE,
            "encoded user event exceeds configured limit of %d bytes after encoding",
            SERF_USER_EVENT_MAX);
    } else {
        s->event_clock++;
        serf__user_event(s, &m);
        broadcast_queue_add(s->event_queue, &(struct broadcast){ .message = buf_str(&out) });
        swim_wake(s->swim);
        serf__result(s, handle, 0, "%s", "");
    }
    buf_deinit(&out);
}

static struct serf_past_events *past(struct arena *a, const struct event_slot *slot)
{
    struct serf_past_events *out = arena_new(a, struct serf_past_events);
    out->ltime = slot->ltime;
    for (size_t i = 0; i < slot->n; i++) {
        struct serf_past_event *e = LIST_PUSH(a, &out->events, struct serf_past_event);
        e->name = slot->v[i].name;
        e->payload = slot->v[i].payload;
    }
    return out;
}

void serf__past_events(struct serf *s, struct arena *a, struct list *out)
{
    out->v = arena_array(a, s->o.event_buffer, sizeof(struct serf_past_events *));
    out->n = s->o.event_buffer;
    for (size_t i = 0; i < out->n; i++)
        if (s->events[i].n) LIST_AT(out, struct serf_past_events *, i) = past(a, &s->events[i]);
}

void serf__events_free(struct serf *s)
{
    for (size_t i = 0; s->events && i < s->o.event_buffer; i++)
        slot_clear(&s->events[i]);
    free(s->events);
}
