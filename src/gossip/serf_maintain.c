/* SPDX-License-Identifier: Apache-2.0 */
/* What serf does from time to time (gossip.md 9.9): reap, reconnect, keep the queues short. */
#include "serf_core.h"

static uint64_t patience(const struct serf *s, enum serf_status status)
{
    if (status == SERF_FAILED) return s->preserving ? SWIM_NEVER : s->o.reconnect_timeout_ms;
    return status == SERF_LEFT ? s->o.tombstone_timeout_ms : SWIM_NEVER;
}

/* Who leaves is gone within seconds. One that still answers after this time did not hear that it
 * was made to leave, and its own word was not newer: it stays, also for those who heard it. */
#define LEAVING_MAX_MS 60000

static void end_leaving(struct serf *s, struct member *m)
{
    bool self = str_eq(m->view.name, s->o.swim.name);
    if (self || m->view.status != SERF_LEAVING) return;
    if (s->now_ms - m->view.gone_ms <= LEAVING_MAX_MS) return;
    m->view.gone_ms = 0;
    serf__member_status(s, m, SERF_ALIVE);
    serf__log(s, LOG_WARN, "serf: %.*s did not leave", STR_ARG(m->view.name));
    serf__member_notice(s, SERF_MEMBER_UPDATED, m);
}

static void reap(struct serf *s)
{
    for (size_t i = s->members_n; i-- > 0;) {
        struct member *m = s->members[i];
        end_leaving(s, m);
        if (s->now_ms - m->view.gone_ms > patience(s, m->view.status)) serf__member_erase(s, m);
    }
    serf__intents_expire(s);
}

static const struct member *nth_failed(const struct serf *s, size_t n)
{
    for (size_t i = 0; i < s->members_n; i++)
        if (s->members[i]->view.status == SERF_FAILED && n-- == 0) return s->members[i];
    return NULL;
}

static void reconnect(struct serf *s)
{
    if (s->failed_n == 0 || s->state != SERF_STATE_ALIVE) return;
    size_t others = s->members_n - s->failed_n - s->left_n;
    if (swim_random(s->swim, others ? others : 1) >= s->failed_n) return;
    const struct member *m = nth_failed(s, (size_t)swim_random(s->swim, s->failed_n));
    ensure(m);
    char address[GOSSIP_ADDRESS_TEXT_MAX];
    serf__log(s, LOG_INFO, "serf: attempting reconnect to %.*s %s", STR_ARG(m->view.name),
        gossip_address_text(&m->view.address, address));
    struct swim_event join = { .type = SWIM_JOIN };
    join.join.handle = serf__call(CALL_RECONNECT, 0, 0);
    join.join.address = m->view.address;
    join.join.node = m->view.name;
    swim_step(s->swim, s->now_ms, &join, NULL);
}

static void check_queues(struct serf *s)
{
    size_t retain = 2 * s->members_n > SERF_QUEUE_MAX ? 2 * s->members_n : SERF_QUEUE_MAX;
    struct broadcast_queue *const queues[] = { s->intent_queue, s->query_queue, s->event_queue };
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++)
        broadcast_queue_prune(queues[i], retain);
}

static bool due(struct serf *s, uint64_t *at, uint64_t interval)
{
    if (s->now_ms < *at) return false;
    *at = s->now_ms + interval;
    return true;
}

void serf__maintain(struct serf *s)
{
    if (due(s, &s->reap_ms, s->o.reap_interval_ms)) reap(s);
    if (due(s, &s->reconnect_ms, s->o.reconnect_interval_ms)) reconnect(s);
    if (due(s, &s->queue_check_ms, s->o.queue_check_interval_ms)) check_queues(s);
}
