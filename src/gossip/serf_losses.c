/* SPDX-License-Identifier: Apache-2.0 */
/* Self-preservation: have too many members failed at once? */
#include "serf_core.h"

static bool too_many(const struct serf *s, uint64_t since, size_t *lost, size_t *all)
{
    *lost = *all = 0;
    for (size_t i = 0; i < s->members_n; i++) {
        const struct serf_member *m = &s->members[i]->view;
        bool failed = m->status == SERF_FAILED && m->gone_ms >= since;
        *lost += failed;
        *all += failed || m->status == SERF_ALIVE || m->status == SERF_LEAVING;
    }
    return *lost * 100 > *all * SERF_LOSS_PERCENT;
}

void serf__losses_judge(struct serf *s)
{
    size_t lost, all;
    if (!s->o.self_preservation || !s->statuses_moved) return;
    s->statuses_moved = false;
    if (!s->preserving)
        s->losses_since = s->now_ms > SERF_LOSS_WINDOW_MS ? s->now_ms - SERF_LOSS_WINDOW_MS : 0;
    bool now = too_many(s, s->losses_since, &lost, &all);
    if (now == s->preserving) return;
    s->preserving = now;
    if (now)
        serf__log(s, LOG_WARN,
            "serf: self-preservation: %zu of %zu members failed within %u seconds, what is lost is "
            "kept",
            lost, all, SERF_LOSS_WINDOW_MS / 1000);
    else
        serf__log(s, LOG_WARN,
            "serf: self-preservation is over: of those that failed %zu are still missing, in a "
            "pool of %zu",
            lost, all);
}

bool serf_preserving(const struct serf *s)
{
    return s->preserving;
}
