/* SPDX-License-Identifier: Apache-2.0 */
/* Join and leave intents (gossip.md 9.5), and what a prune asks for. */
#include <stdlib.h>

#include "serf_core.h"

/* --- about unknown names ------------------------------------------------------------------- */

const struct intent *serf__intent_find(
    const struct serf *s, struct str name, enum serf_message_type type)
{
    const struct intent *i = map_get(&s->intents, name);
    return i && i->type == type ? i : NULL;
}

/* True if it is newer than what is kept. */
static bool keep(struct serf *s, struct str name, enum serf_message_type type, uint64_t ltime)
{
    struct intent *i = map_get(&s->intents, name);
    if (i && ltime <= i->ltime) return false;
    if (!i) {
        if (s->intents.n >= SERF_INTENTS_MAX) {
            s->counters.intents_dropped++;
            return false;
        }
        i = xmalloc(sizeof *i);
        map_put(&s->intents, name, i);
    }
    *i = (struct intent){ .type = type, .ltime = ltime, .since_ms = s->now_ms };
    return true;
}

void serf__intents_expire(struct serf *s)
{
    struct str name;
    void *value;
    for (size_t it = 0; map_next(&s->intents, &it, &name, &value);) {
        const struct intent *i = value;
        if (s->now_ms - i->since_ms > s->o.recent_intent_timeout_ms)
            free(map_remove(&s->intents, name));
    }
}

void serf__intents_free(struct serf *s)
{
    struct str name;
    void *value;
    for (size_t it = 0; map_next(&s->intents, &it, &name, &value);)
        free(value);
    map_deinit(&s->intents);
}

/* --- sending ------------------------------------------------------------------------------- */

static void send_intent(struct serf *s, struct str message, bool urgent, uint64_t tag)
{
    broadcast_queue_add(
        s->intent_queue, &(struct broadcast){ .message = message, .tag = tag, .urgent = urgent });
    swim_wake(s->swim);
}

void serf__send_leave_intent(struct serf *s, const struct serf_leave_intent *m, uint64_t tag)
{
    struct buf out = BUF_INIT(2 * SWIM_NAME_MAX);
    serf_message_encode(SERF_MSG_LEAVE, &type_serf_leave_intent, m, &out);
    send_intent(s, buf_str(&out), true, tag);
    buf_deinit(&out);
}

void serf__announce(struct serf *s)
{
    struct serf_join_intent m = { .ltime = s->member_clock, .node = s->o.swim.name };
    serf__join_intent(s, &m);
    struct buf out = BUF_INIT(2 * SWIM_NAME_MAX);
    serf_message_encode(SERF_MSG_JOIN, &type_serf_join_intent, &m, &out);
    send_intent(s, buf_str(&out), false, 0);
    buf_deinit(&out);
}

/* --- pruning ------------------------------------------------------------------------------- */

static void bury(struct serf *s, struct str name)
{
    struct burial *b = xcalloc(1, sizeof *b + name.n);
    b->name_n = name.n;
    memcpy(b->name, name.p, name.n);
    link_push(&s->burials, &b->link);
    s->todo = true;
}

static void erase_pruned(struct serf *s, struct member *m)
{
    bury(s, m->view.name);
    (void)keep(s, m->view.name, SERF_MSG_JOIN, m->view.status_ltime);
    s->counters.pruned++;
    serf__member_erase(s, m);
}

static uint64_t prune_delay(const struct serf *s)
{
    return s->o.broadcast_timeout_ms + s->o.leave_propagate_ms;
}

static void prune(struct serf *s, struct member *m)
{
    serf__log(s, LOG_INFO, "serf: EventMemberReap (forced): %.*s", STR_ARG(m->view.name));
    if (m->view.status != SERF_LEAVING) {
        erase_pruned(s, m);
        return;
    }
    struct prune_op *op = xcalloc(1, sizeof *op + m->view.name.n);
    op->due_ms = s->now_ms + prune_delay(s);
    op->name_n = m->view.name.n;
    memcpy(op->name, m->view.name.p, op->name_n);
    link_push(&s->prunes, &op->link);
}

void serf__prune_due(struct serf *s)
{
    link_each (l, &s->prunes) {
        struct prune_op *op = container_of(l, struct prune_op, link);
        if (s->now_ms < op->due_ms) return;
        struct member *m = serf__member(s, (struct str){ op->name, op->name_n });
        link_remove(&op->link);
        if (m && m->view.status == SERF_LEAVING) {
            /* It still answers: until it is gone, or is found not to leave. */
            op->due_ms = s->now_ms + prune_delay(s);
            link_push(&s->prunes, &op->link);
            continue;
        }
        /* One that refuted in the meantime stays. */
        if (m && m->view.status != SERF_ALIVE) erase_pruned(s, m);
        free(op);
    }
}

uint64_t serf__prune_wake(const struct serf *s)
{
    if (link_empty(&s->prunes)) return SWIM_NEVER;
    return container_of(s->prunes.next, struct prune_op, link)->due_ms;
}

void serf__bury_due(struct serf *s)
{
    struct link *l;
    while ((l = link_pop(&s->burials))) {
        struct burial *b = container_of(l, struct burial, link);
        swim_bury(
            s->swim, (struct str){ b->name, b->name_n }, s->now_ms + s->o.tombstone_timeout_ms);
        free(b);
    }
}

void serf__prunes_free(struct serf *s)
{
    struct link *l;
    while ((l = link_pop(&s->prunes)))
        free(container_of(l, struct prune_op, link));
    while ((l = link_pop(&s->burials)))
        free(container_of(l, struct burial, link));
}

/* --- receiving ----------------------------------------------------------------------------- */

bool serf__join_intent(struct serf *s, const struct serf_join_intent *m)
{
    serf__witness(&s->member_clock, m->ltime);
    struct member *member = serf__member(s, m->node);
    if (!member) return keep(s, m->node, SERF_MSG_JOIN, m->ltime);
    if (m->ltime <= member->view.status_ltime) return false;
    member->view.status_ltime = m->ltime;
    if (member->view.status == SERF_LEAVING) {
        member->view.gone_ms = 0;
        serf__member_status(s, member, SERF_ALIVE);
    }
    return true;
}

static void failed_has_left(struct serf *s, struct member *m)
{
    serf__member_status(s, m, SERF_LEFT);
    char ip[GOSSIP_ADDRESS_TEXT_MAX];
    serf__log(s, LOG_INFO, "serf: EventMemberLeave (forced): %.*s %s", STR_ARG(m->view.name),
        gossip_ip_text(&m->view.address, ip));
    serf__member_notice(s, SERF_MEMBER_LEFT, m);
    serf_snapshot_member_gone(&s->snapshot, s->now_ms, m->view.name);
    serf__clock_line(s);
}

bool serf__leave_intent(struct serf *s, const struct serf_leave_intent *m)
{
    serf__witness(&s->member_clock, m->ltime);
    struct member *member = serf__member(s, m->node);
    /* Who comes after a prune is alive: the same word heard once more must not make it leave. */
    if (!member) return keep(s, m->node, m->prune ? SERF_MSG_JOIN : SERF_MSG_LEAVE, m->ltime);
    /* The time of one that left creeps on by push/pull; that must not save it from being pruned. */
    bool overdue = m->prune && member->view.status == SERF_LEFT;
    bool self = str_eq(m->node, s->o.swim.name) && s->state == SERF_STATE_ALIVE;
    bool equal = self && m->ltime == member->view.status_ltime;
    if (m->ltime <= member->view.status_ltime && !overdue && !equal) return false;
    if (self) {
        serf__log(s, LOG_DEBUG, "serf: Refuting an older leave intent");
        serf__announce(s);
        return false;
    }
    if (m->ltime > member->view.status_ltime) member->view.status_ltime = m->ltime;
    switch (member->view.status) {
    case SERF_ALIVE:
        member->view.gone_ms = s->now_ms;
        serf__member_status(s, member, SERF_LEAVING);
        break;
    case SERF_FAILED:
        failed_has_left(s, member);
        break;
    case SERF_NONE:
    case SERF_LEAVING:
    case SERF_LEFT:
        break;
    }
    if (m->prune) prune(s, member);
    return true;
}
