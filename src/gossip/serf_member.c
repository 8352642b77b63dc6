/* SPDX-License-Identifier: Apache-2.0 */
/* The member table and what the swim core tells about members (gossip.md 9.6). Names and metas are
 * shared with it: what it hands over is what it keeps. */
#include <stdlib.h>

#include "serf_core.h"
#include "shared_text.h"

const char *serf_status_name(enum serf_status s)
{
    static const char *const names[] = {
        [SERF_NONE] = "none",
        [SERF_ALIVE] = "alive",
        [SERF_LEAVING] = "leaving",
        [SERF_LEFT] = "left",
        [SERF_FAILED] = "failed",
    };
    return names[s];
}

struct member *serf__member(const struct serf *s, struct str name)
{
    return map_get(&s->by_name, name);
}

static size_t *list_of(struct serf *s, enum serf_status status)
{
    if (status == SERF_FAILED) return &s->failed_n;
    return status == SERF_LEFT ? &s->left_n : NULL;
}

void serf__member_status(struct serf *s, struct member *m, enum serf_status status)
{
    size_t *from = list_of(s, m->view.status), *to = list_of(s, status);
    if (from) --*from;
    if (to) ++*to;
    m->view.status = status;
    s->statuses_moved = true;
}

static void refresh(struct member *m, const struct swim_node *node)
{
    m->view.address = node->address;
    memcpy(m->view.vsn, node->vsn, sizeof m->view.vsn);
    if (m->view.meta.p == node->meta.p) return;
    shared_text_drop(&m->view.meta);
    m->view.meta = shared_text_ref(node->meta);
}

static struct member *add(struct serf *s, const struct swim_node *node)
{
    if (s->members_n == s->members_cap) {
        s->members_cap = s->members_cap ? s->members_cap * 2 : 16;
        s->members = xrealloc(s->members, s->members_cap * sizeof(struct member *));
    }
    struct member *m = xcalloc(1, sizeof *m);
    m->view.name = shared_text_ref(node->name);
    m->at = s->members_n;
    s->members[s->members_n++] = m;
    map_put(&s->by_name, m->view.name, m);
    return m;
}

static void release(struct member *m)
{
    shared_text_drop(&m->view.name);
    shared_text_drop(&m->view.meta);
    free(m->place);
    free(m);
}

static void log_member(const struct serf *s, const char *event, const struct member *m)
{
    char ip[GOSSIP_ADDRESS_TEXT_MAX];
    serf__log(s, LOG_INFO, "serf: %s: %.*s %s", event, STR_ARG(m->view.name),
        gossip_ip_text(&m->view.address, ip));
}

static void joined(struct serf *s, const struct swim_node *node)
{
    struct member *m = serf__member(s, node->name);
    if (!m) {
        m = add(s, node);
        m->view.status = SERF_ALIVE;
        const struct intent *join = serf__intent_find(s, node->name, SERF_MSG_JOIN);
        const struct intent *leave = serf__intent_find(s, node->name, SERF_MSG_LEAVE);
        if (join) m->view.status_ltime = join->ltime;
        if (leave) {
            m->view.status_ltime = leave->ltime;
            m->view.status = SERF_LEAVING;
            m->view.gone_ms = s->now_ms;
        }
    } else {
        serf__member_status(s, m, SERF_ALIVE);
        m->view.gone_ms = 0;
    }
    refresh(m, node);
    log_member(s, "EventMemberJoin", m);
    serf__member_notice(s, SERF_MEMBER_JOINED, m);
    serf_snapshot_member_alive(&s->snapshot, s->now_ms, m->view.name, &m->view.address);
    serf__clock_line(s);
}

static void departed(struct serf *s, const struct swim_node *node)
{
    struct member *m = serf__member(s, node->name);
    if (!m) return;
    if (m->view.status != SERF_LEAVING && m->view.status != SERF_ALIVE) {
        serf__log(s, LOG_WARN, "serf: Bad state when leave: %s", serf_status_name(m->view.status));
        return;
    }
    /* A death that the member announced itself is a leave, even if its intent was missed. */
    bool leaving = m->view.status == SERF_LEAVING || node->state == SWIM_LEFT;
    serf__member_status(s, m, leaving ? SERF_LEFT : SERF_FAILED);
    m->view.gone_ms = s->now_ms;
    log_member(s, leaving ? "EventMemberLeave" : "EventMemberFailed", m);
    serf__member_notice(s, leaving ? SERF_MEMBER_LEFT : SERF_MEMBER_FAILED, m);
    serf_snapshot_member_gone(&s->snapshot, s->now_ms, m->view.name);
    serf__clock_line(s);
}

static void updated(struct serf *s, const struct swim_node *node)
{
    struct member *m = serf__member(s, node->name);
    if (!m) return;
    refresh(m, node);
    serf__log(s, LOG_INFO, "serf: EventMemberUpdate: %.*s", STR_ARG(m->view.name));
    serf__member_notice(s, SERF_MEMBER_UPDATED, m);
    serf__clock_line(s);
}

void serf__member_event(struct serf *s, enum swim_member_event event, const struct swim_node *node)
{
    switch (event) {
    case SWIM_JOINED:
        joined(s, node);
        break;
    case SWIM_DEPARTED:
        departed(s, node);
        break;
    case SWIM_UPDATED:
        updated(s, node);
        break;
    }
}

void serf__member_erase(struct serf *s, struct member *m)
{
    serf__log(s, LOG_INFO, "serf: EventMemberReap: %.*s", STR_ARG(m->view.name));
    serf__member_notice(s, SERF_MEMBER_REAPED, m);
    serf__member_status(s, m, SERF_NONE);
    map_remove(&s->by_name, m->view.name);
    struct member *last = s->members[--s->members_n];
    s->members[m->at] = last;
    last->at = m->at;
    release(m);
    serf__clock_line(s);
}

void serf__members_free(struct serf *s)
{
    for (size_t i = 0; i < s->members_n; i++)
        release(s->members[i]);
    free(s->members);
    map_deinit(&s->by_name);
}

bool serf__others_alive(const struct serf *s)
{
    const struct serf_member *self = serf_self(s);
    for (size_t i = 0; i < s->members_n; i++)
        if (s->members[i]->view.status == SERF_ALIVE && &s->members[i]->view != self) return true;
    return false;
}

size_t serf_count(const struct serf *s)
{
    return s->members_n;
}

const struct serf_member *serf_at(const struct serf *s, size_t i)
{
    ensure(i < s->members_n);
    return &s->members[i]->view;
}

const struct serf_member *serf_find(const struct serf *s, struct str name)
{
    const struct member *m = serf__member(s, name);
    return m ? &m->view : NULL;
}

const struct serf_member *serf_self(const struct serf *s)
{
    return serf_find(s, s->o.swim.name);
}
