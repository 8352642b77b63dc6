/* SPDX-License-Identifier: Apache-2.0 */
/* Queries of our own and the collection of their answers (gossip.md 9.9). */
#include <stdlib.h>

#include "serf_core.h"

#define ID_BOUND (UINT64_C(1) << 31)
#define ANSWERS_SPARE 64 /* names beyond the members we know that may answer */

static size_t digits(size_t n)
{
    size_t d = 0;
    for (size_t power = 1; power < n; power *= 10)
        d++;
    return d;
}

/* 16 gossip intervals for each factor of ten in the size of the pool. */
static uint64_t default_timeout(const struct serf *s)
{
    return (uint64_t)s->o.swim.gossip_interval_ms * s->o.query_timeout_mult *
           digits(swim_count_alive(s->swim) + 1);
}

static void release(struct serf *s, struct ask *q)
{
    link_remove(&q->link);
    s->asks_n--;
    map_deinit(&q->acked);
    map_deinit(&q->answered);
    arena_free(&q->arena);
    free(q);
}

static struct ask *add(struct serf *s, const struct ask_options *o, uint64_t timeout_ms)
{
    struct ask *q = xcalloc(1, sizeof *q);
    q->kind = o->kind;
    q->handle = o->handle;
    q->ltime = s->query_clock;
    q->id = (uint32_t)swim_random(s->swim, ID_BOUND);
    q->deadline_ms = s->now_ms + timeout_ms;
    q->nodes = swim_count_alive(s->swim);
    q->ends_early = o->kind != ASK_CONFLICT && o->filters.n == 0 && !o->ack;
    link_push(&s->asks, &q->link);
    s->asks_n++;
    return q;
}

void serf__ask(struct serf *s, const struct ask_options *o)
{
    if (s->asks_n >= SERF_QUERIES_MAX) {
        serf__result(s, o->handle, ERR_FULL, "too many queries at once");
        return;
    }
    uint64_t timeout = o->timeout_ms ? o->timeout_ms : default_timeout(s);
    struct ask *q = add(s, o, timeout);
    uint8_t relay_factor =
        o->relay_factor < SERF_RELAY_FACTOR_MAX ? o->relay_factor : SERF_RELAY_FACTOR_MAX;
    struct serf_query_message m = { .ltime = q->ltime,
        .id = q->id,
        .addr = gossip_address_ip(&s->o.swim.advertise),
        .port = s->o.swim.advertise.port,
        .source_node = s->o.swim.name,
        .filters = o->filters,
        .flags = o->ack ? SERF_QUERY_ACK : 0,
        .relay_factor = relay_factor,
        .timeout_ns = (int64_t)timeout * 1000000,
        .name = o->name,
        .payload = o->payload };
    struct buf out = BUF_INIT(4 * SERF_QUERY_MAX);
    serf_message_encode(SERF_MSG_QUERY, &type_serf_query_message, &m, &out);
    if (out.overflow || out.n > SERF_QUERY_MAX) {
        serf__result(
            s, o->handle, ERR_TOO_LARGE, "query exceeds limit of %d bytes", SERF_QUERY_MAX);
        release(s, q);
    } else {
        serf__query(s, &m);
        broadcast_queue_add(s->query_queue, &(struct broadcast){ .message = buf_str(&out) });
        swim_wake(s->swim);
    }
    buf_deinit(&out);
}

/* --- answers ------------------------------------------------------------------------------- */

static struct ask *find(struct serf *s, uint64_t ltime, uint64_t id)
{
    link_each (l, &s->asks) {
        struct ask *q = container_of(l, struct ask, link);
        if (q->ltime == ltime && q->id == id) return q;
    }
    return NULL;
}

/* True for the first of its kind from that name. */
static bool first_from(struct serf *s, struct ask *q, struct map *seen, struct str from)
{
    if (map_get(seen, from) || seen->n >= s->members_n + ANSWERS_SPARE) {
        s->counters.twice_answers++;
        return false;
    }
    map_put(seen, from, q);
    return true;
}

static void take(struct serf *s, struct ask *q, const struct serf_query_response *m, bool ack)
{
    switch (q->kind) {
    case ASK_USER: {
        struct serf_notice *notice = serf__notice(s, SERF_ANSWER);
        notice->answer.handle = q->handle;
        notice->answer.from = serf__keep(s, m->from);
        notice->answer.payload = serf__keep(s, m->payload);
        notice->answer.ack = ack;
        break;
    }
    case ASK_KEYS:
        if (!ack) serf__keys_answer(q, m->from, m->payload);
        break;
    case ASK_CONFLICT:
        if (!ack) serf__conflict_answer(s, q, m->payload);
        break;
    }
}

void serf__answer(struct serf *s, const struct serf_query_response *m)
{
    struct ask *q = find(s, m->ltime, m->id);
    if (!q) {
        s->counters.strange_answers++;
        serf__log(s, LOG_DEBUG,
            "serf: reply for non-running query (LTime: %llu, ID: %u) From: %.*s",
            (unsigned long long)m->ltime, (unsigned)m->id, STR_ARG(m->from));
        return;
    }
    if (s->now_ms > q->deadline_ms) {
        s->counters.late_answers++;
        return;
    }
    bool ack = m->flags & SERF_QUERY_ACK;
    if (!first_from(s, q, ack ? &q->acked : &q->answered, m->from)) return;
    s->counters.responses++;
    take(s, q, m, ack);
    if (q->ends_early && q->answered.n >= q->nodes) s->todo = true;
}

/* --- ends ---------------------------------------------------------------------------------- */

static void done(struct serf *s, struct ask *q)
{
    switch (q->kind) {
    case ASK_USER: {
        struct serf_notice *notice = serf__result(s, q->handle, 0, "%s", "");
        if (!notice) break;
        notice->result.acks = q->acked.n;
        notice->result.responses = q->answered.n;
        break;
    }
    case ASK_KEYS:
        serf__keys_done(s, q);
        break;
    case ASK_CONFLICT:
        serf__conflict_done(s, q);
        break;
    }
    release(s, q);
}

void serf__asks_due(struct serf *s)
{
    link_each (l, &s->asks) {
        struct ask *q = container_of(l, struct ask, link);
        bool all = q->ends_early && q->answered.n >= q->nodes;
        if (all || s->now_ms >= q->deadline_ms) done(s, q);
    }
}

uint64_t serf__asks_wake(const struct serf *s)
{
    uint64_t wake = SWIM_NEVER;
    for (const struct link *l = s->asks.next; l != &s->asks; l = l->next)
        wake = sooner(wake, container_of(l, struct ask, link)->deadline_ms);
    return wake;
}

void serf__asks_free(struct serf *s)
{
    link_each (l, &s->asks)
        release(s, container_of(l, struct ask, link));
}
