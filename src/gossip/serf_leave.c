/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving the pool and making others leave (gossip.md 9.4). A leave is done when its broadcasts
 * were transmitted as often as the size of the pool asks, not after a fixed time. */
#include <stdlib.h>

#include "serf_core.h"

#define LEAVE_TAG 1 /* operations are numbered above */

/* --- our own ------------------------------------------------------------------------------- */

static void leave_swim(struct serf *s)
{
    s->leave.phase = LEAVE_SWIM;
    struct swim_event leave = { .type = SWIM_LEAVE };
    leave.leave.handle = serf__call(CALL_LEAVE, 0, 0);
    leave.leave.timeout_ms = s->o.broadcast_timeout_ms;
    swim_step(s->swim, s->now_ms, &leave, NULL);
}

void serf__leave(struct serf *s, uint64_t handle)
{
    if (s->state == SERF_STATE_LEFT) {
        serf__result(s, handle, 0, "%s", "");
        return;
    }
    if (s->state == SERF_STATE_LEAVING) {
        serf__result(s, handle, ERR_CONFLICT, "Leave already in progress");
        return;
    }
    s->state = SERF_STATE_LEAVING;
    s->leave = (struct leave_op){ .phase = LEAVE_INTENT,
        .handle = handle,
        .deadline_ms = s->now_ms + s->o.broadcast_timeout_ms };
    serf_snapshot_leave(&s->snapshot, s->now_ms);
    struct serf_leave_intent m = { .ltime = s->member_clock++, .node = s->o.swim.name };
    serf__leave_intent(s, &m);
    if (serf__others_alive(s)) {
        serf__send_leave_intent(s, &m, LEAVE_TAG);
    } else {
        s->leave.ended = s->leave.sent = true;
    }
}

void serf__leave_result(struct serf *s, const struct swim_result *r)
{
    if (s->leave.phase != LEAVE_SWIM) return;
    s->leave.phase = LEAVE_DONE;
    s->state = SERF_STATE_LEFT;
    if (s->leave.late) {
        serf__result(s, s->leave.handle, ERR_CANCELLED, "timeout while waiting for graceful leave");
    } else {
        serf__result(s, s->leave.handle, r->code, "%.*s", STR_ARG(r->text));
    }
}

static void leave_advance(struct serf *s)
{
    struct leave_op *op = &s->leave;
    if (op->phase != LEAVE_INTENT) return;
    if (!op->ended && s->now_ms < op->deadline_ms) return;
    op->late = !op->sent;
    leave_swim(s);
}

/* --- others -------------------------------------------------------------------------------- */

void serf__force_leave(struct serf *s, uint64_t handle, struct str name, bool prune)
{
    if (!serf__name_valid(name) || s->forces_n >= SERF_FORCES_MAX) {
        serf__result(s, handle, name.n ? ERR_FULL : ERR_BAD_REQUEST, "cannot remove node '%.*s'",
            STR_ARG(name));
        return;
    }
    /* Others may know of an earlier removal by push/pull, which puts it one tick later. */
    const struct member *member = serf__member(s, name);
    if (member) serf__witness(&s->member_clock, member->view.status_ltime + 1);
    struct serf_leave_intent m = { .ltime = s->member_clock++, .node = name, .prune = prune };
    serf__leave_intent(s, &m);
    if (!serf__others_alive(s)) {
        serf__result(s, handle, 0, "%s", "");
        return;
    }
    struct force_op *op = xcalloc(1, sizeof *op);
    op->tag = s->next_id++;
    op->handle = handle;
    op->deadline_ms = s->now_ms + s->o.broadcast_timeout_ms;
    link_push(&s->forces, &op->link);
    s->forces_n++;
    serf__send_leave_intent(s, &m, op->tag);
}

static void release(struct serf *s, struct force_op *op)
{
    link_remove(&op->link);
    s->forces_n--;
    free(op);
}

static void forces_advance(struct serf *s)
{
    link_each (l, &s->forces) {
        struct force_op *op = container_of(l, struct force_op, link);
        if (!op->ended && s->now_ms < op->deadline_ms) continue;
        if (op->sent) {
            serf__result(s, op->handle, 0, "%s", "");
        } else {
            serf__result(s, op->handle, ERR_CANCELLED, "timed out broadcasting node removal");
        }
        release(s, op);
    }
}

void serf__leave_advance(struct serf *s)
{
    leave_advance(s);
    forces_advance(s);
}

void serf__broadcast_ended(void *ctx, uint64_t tag, enum broadcast_end end)
{
    struct serf *s = ctx;
    bool sent = end == BROADCAST_SENT;
    if (tag == LEAVE_TAG) {
        s->leave.ended = true;
        s->leave.sent = sent;
    }
    link_each (l, &s->forces) {
        struct force_op *op = container_of(l, struct force_op, link);
        if (op->tag != tag) continue;
        op->ended = true;
        op->sent = sent;
    }
    s->todo = true;
}

uint64_t serf__leave_wake(const struct serf *s)
{
    uint64_t wake = SWIM_NEVER;
    if (s->leave.phase == LEAVE_INTENT) wake = s->leave.deadline_ms;
    for (const struct link *l = s->forces.next; l != &s->forces; l = l->next)
        wake = sooner(wake, container_of(l, struct force_op, link)->deadline_ms);
    return wake;
}

void serf__forces_free(struct serf *s)
{
    link_each (l, &s->forces)
        release(s, container_of(l, struct force_op, link));
}
