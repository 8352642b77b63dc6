/* SPDX-License-Identifier: Apache-2.0 */
/* One member is probed per round: gossip.md 8.5. */
#include "swim_core.h"

#define INDIRECT_CHECKS_MAX 16

static void finish(struct swim *s, int32_t score_delta)
{
    s->counters.probes_over++;
    if (s->now_us > s->probe.sent_us) s->counters.probe_us += s->now_us - s->probe.sent_us;
    s->probe = (struct probe){ 0 };
    swim__score(s, score_delta);
}

/* Next member worth a probe, or NULL after one look at everybody. */
static struct member *candidate(struct swim *s)
{
    for (size_t looked = 0; looked <= s->n; looked++) {
        if (s->probe_index >= s->n) {
            swim__members_reset(s);
            s->probe_index = 0;
            continue;
        }
        struct member *m = s->members[s->probe_index++];
        if (m != s->self && !swim__dead_or_left(m)) return m;
    }
    return NULL;
}

static struct swim_ping ping_of(const struct swim *s, const struct member *m, uint32_t seq)
{
    const struct swim_node *self = &s->self->node;
    return (struct swim_ping){ .seq_no = seq,
        .node = m->node.name,
        .source_addr = gossip_address_ip(&self->address),
        .source_port = self->address.port,
        .source_node = self->name };
}

/* The ping alone for an alive member, with the accusation for a suspect so that it can refute. */
static void send_ping(struct swim *s, const struct member *m, const struct swim_ping *ping)
{
    if (m->node.state == SWIM_ALIVE)
        swim__send_record(s, &m->node.address, m->node.name, SWIM_MSG_PING, &type_swim_ping, ping);
    else
        swim__send_accused(s, m, SWIM_MSG_PING, &type_swim_ping, ping);
}

static void start(struct swim *s)
{
    struct member *m = candidate(s);
    if (!m) return;
    uint64_t interval = (uint64_t)s->o.probe_interval_ms * (s->score + 1);
    s->probe = (struct probe){ .stage = PROBE_DIRECT,
        .target = m,
        .seq = ++s->seq,
        .incarnation = m->node.incarnation,
        .sent_us = s->now_us,
        .direct_until_ms = s->now + s->o.probe_timeout_ms,
        .deadline_ms = s->now + interval };
    s->counters.probes++;
    struct swim_ping ping = ping_of(s, m, s->probe.seq);
    send_ping(s, m, &ping);
}

/* --- asking others --------------------------------------------------------------------------- */

static bool can_help(const struct swim *s, const struct member *m, const void *target)
{
    return m != s->self && m != target && m->node.state == SWIM_ALIVE;
}

static void ask_others(struct swim *s)
{
    struct member *helpers[INDIRECT_CHECKS_MAX];
    struct member *m = s->probe.target;
    size_t k =
        s->o.indirect_checks < INDIRECT_CHECKS_MAX ? s->o.indirect_checks : INDIRECT_CHECKS_MAX;
    size_t n = swim__members_pick(s, k, can_help, m, helpers);
    const struct swim_node *self = &s->self->node;
    for (size_t i = 0; i < n; i++) {
        struct swim_indirect_ping p = { .seq_no = s->probe.seq,
            .target = gossip_address_ip(&m->node.address),
            .port = m->node.address.port,
            .node = m->node.name,
            .nack = helpers[i]->node.vsn[1] >= 4,
            .source_addr = gossip_address_ip(&self->address),
            .source_port = self->address.port,
            .source_node = self->name };
        s->probe.nacks_expected += p.nack;
        swim__send_record(s, &helpers[i]->node.address, helpers[i]->node.name,
            SWIM_MSG_INDIRECT_PING, &type_swim_indirect_ping, &p);
    }
}

static void indirect(struct swim *s)
{
    struct member *m = s->probe.target;
    const struct swim_delegate *d = &s->o.delegate;
    s->probe.stage = PROBE_INDIRECT;
    ask_others(s);
    if (!s->o.tcp_pings || m->node.vsn[1] < 3) return;
    if (d->tcp_ping && !d->tcp_ping(d->ctx, &m->node)) return;
    s->counters.tcp_probes++;
    swim__dial(s, CONN_PING, &m->node.address, m->node.name, 0);
}

static void failed(struct swim *s)
{
    struct probe p = s->probe;
    int32_t delta = 1;
    if (p.nacks_expected > 0)
        delta = p.nacks < p.nacks_expected ? (int32_t)(p.nacks_expected - p.nacks) : 0;
    s->counters.probes_failed++;
    finish(s, delta);
    if (swim__dead_or_left(p.target)) return;
    swim__log(s, LOG_INFO, "memberlist: Suspect %.*s has failed, no acks received",
        STR_ARG(p.target->node.name));
    struct swim_accusation a = {
        .incarnation = p.incarnation, .node = p.target->node.name, .from = s->o.name
    };
    swim__suspect(s, &a);
}

static void over(struct swim *s)
{
    if (!s->probe.reached_by_stream) {
        failed(s);
        return;
    }
    swim__log(s, LOG_WARN,
        "memberlist: Was able to connect to %.*s but other probes failed, network may be "
        "misconfigured",
        STR_ARG(s->probe.target->node.name));
    finish(s, -1);
}

void swim__probe_run(struct swim *s)
{
    bool due = s->now >= s->probe_ms;
    if (due) {
        s->probe_ms += s->o.probe_interval_ms;
        if (s->probe_ms <= s->now) s->probe_ms = s->now + s->o.probe_interval_ms;
    }
    if (s->probe.stage == PROBE_DIRECT && s->now >= s->probe.direct_until_ms) indirect(s);
    if (s->probe.stage == PROBE_INDIRECT && s->now >= s->probe.deadline_ms) over(s);
    due = due || s->probe_waiting;
    s->probe_waiting = due && s->probe.stage != PROBE_NONE;
    if (due && s->probe.stage == PROBE_NONE) start(s);
}

/* --- what comes back ------------------------------------------------------------------------- */

void swim__probe_ack(struct swim *s, struct str payload)
{
    struct probe p = s->probe;
    const struct swim_delegate *d = &s->o.delegate;
    finish(s, -1);
    if (p.stage != PROBE_DIRECT || p.lagged || !d->round_trip || s->now_us < p.sent_us) return;
    d->round_trip(d->ctx, &p.target->node, s->now_us - p.sent_us, payload);
}

void swim__probe_stream_over(struct swim *s, bool reached)
{
    s->probe.stream = 0;
    if (reached) s->probe.reached_by_stream = true;
}

void swim__probe_unreachable(struct swim *s, struct str node, bool remote)
{
    if (s->probe.stage != PROBE_DIRECT || !str_eq(s->probe.target->node.name, node)) return;
    if (remote) {
        indirect(s);
    } else {
        finish(s, 0);
    }
}

void swim__probe_forget(struct swim *s, const struct member *m)
{
    if (s->probe.stage != PROBE_NONE && s->probe.target == m) s->probe = (struct probe){ 0 };
}
