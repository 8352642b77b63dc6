/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "swim_core.h"

/* Accusers needed to shorten the suspicion to its least: 0 if there are too few members. */
static uint32_t confirmations_wanted(const struct swim *s)
{
    uint32_t k = s->o.suspicion_mult > 2 ? s->o.suspicion_mult - 2 : 0;
    if (k > SUSPICION_CONFIRMERS_MAX) k = SUSPICION_CONFIRMERS_MAX;
    return s->n < (size_t)k + 2 ? 0 : k;
}

static void set_due(struct swim *s, struct suspicion *p, uint64_t due_ms)
{
    p->due_ms = due_ms;
    if (due_ms < s->suspicion_due) s->suspicion_due = due_ms;
}

void swim__suspicion_start(struct swim *s, struct member *m, struct str from)
{
    ensure(!m->suspicion);
    struct suspicion *p = xcalloc(1, sizeof *p);
    p->member = m;
    p->start_ms = s->now;
    p->k = confirmations_wanted(s);
    p->min_ms = swim_suspicion_timeout_ms(s->o.suspicion_mult, s->n, s->o.probe_interval_ms);
    p->max_ms = s->o.suspicion_max_timeout_mult * p->min_ms;
    p->from[0] = hash_bytes(from.p, from.n);
    link_init(&p->link);
    link_push(&s->suspicions, &p->link);
    m->suspicion = p;
    set_due(s, p, s->now + (p->k > 0 ? p->max_ms : p->min_ms));
    s->counters.suspicions++;
}

bool swim__suspicion_confirm(struct swim *s, struct member *m, struct str from)
{
    struct suspicion *p = m->suspicion;
    uint64_t accuser = hash_bytes(from.p, from.n);
    if (p->confirmations >= p->k) return false;
    for (uint32_t i = 0; i <= p->confirmations; i++)
        if (p->from[i] == accuser) return false;
    p->from[++p->confirmations] = accuser;
    int64_t left = swim_suspicion_remaining_ms(
        p->confirmations, p->k, s->now - p->start_ms, p->min_ms, p->max_ms);
    set_due(s, p, s->now + (left > 0 ? (uint64_t)left : 0));
    return true;
}

void swim__suspicion_end(struct swim *s, struct member *m)
{
    struct suspicion *p = m->suspicion;
    if (!p) return;
    m->suspicion = NULL;
    link_remove(&p->link);
    free(p);
    if (link_empty(&s->suspicions)) s->suspicion_due = SWIM_NEVER;
}

static void declare_dead(struct swim *s, struct suspicion *p)
{
    struct member *m = p->member;
    swim__log(s, LOG_INFO,
        "memberlist: Marking %.*s as failed, suspect timeout reached (%u peer confirmations)",
        STR_ARG(m->node.name), p->confirmations);
    struct swim_accusation dead = {
        .incarnation = m->node.incarnation, .node = m->node.name, .from = s->o.name
    };
    s->counters.deaths++;
    swim__dead(s, &dead, 0);
}

void swim__suspicions_run(struct swim *s)
{
    if (s->now < s->suspicion_due) return;
    s->suspicion_due = SWIM_NEVER;
    link_each (it, &s->suspicions) {
        struct suspicion *p = container_of(it, struct suspicion, link);
        if (p->due_ms <= s->now) {
            declare_dead(s, p);
        } else if (p->due_ms < s->suspicion_due) {
            s->suspicion_due = p->due_ms;
        }
    }
}

void swim__suspicions_shift(struct swim *s, uint64_t late_ms, uint64_t least_ms)
{
    s->suspicion_due = SWIM_NEVER;
    link_each (it, &s->suspicions) {
        struct suspicion *p = container_of(it, struct suspicion, link);
        uint64_t due = p->due_ms + late_ms;
        p->start_ms += late_ms;
        set_due(s, p, due > least_ms ? due : least_ms);
    }
}
