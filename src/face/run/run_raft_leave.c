/* SPDX-License-Identifier: Apache-2.0 */
/* A server leaves its raft cluster (leader.md 5.3). One that leads hands over first, so that writes
 * go on; if nobody takes over it removes itself. The others' leader removes it when gossip says
 * that it left, and it stays until it has seen that. */
#include <stdlib.h>

#include "run.h"

#define REMOVAL_MS 5000
#define POLL_MS 50

static size_t other_voters(struct run *r)
{
    struct raft_driver_state st = raft_driver_state(r->raft);
    size_t n = 0;
    for (size_t i = 0; i < st.servers_n; i++)
        n += st.servers[i].suffrage == 0 && !str_is(st.servers[i].id, r->node_id);
    return n;
}

static bool configured(struct run *r)
{
    struct raft_driver_state st = raft_driver_state(r->raft);
    for (size_t i = 0; i < st.servers_n; i++)
        if (str_is(st.servers[i].id, r->node_id)) return true;
    return false;
}

static void over(struct run *r)
{
    raft_driver_forget(&r->leave_raft);
    timer_stop(&r->leave_step);
    r->leave_then(r);
}

static void removed(struct raft_driver_request *req)
{
    struct run *r = req->ctx;
    if (req->code)
        log_error("agent.server", "failed to remove ourself as raft peer", "error", req->err.text);
    over(r);
}

static void removal_late(struct timer *t)
{
    struct run *r = container_of(t, struct run, leave_step);
    log_warn("agent.server", "failed to leave raft configuration gracefully, timeout");
    over(r);
}

static void transferred(struct raft_driver_request *req)
{
    struct run *r = req->ctx;
    if (!req->code || !raft_driver_is_leader(r->raft)) {
        over(r);
        return;
    }
    log_warn("agent.server", "leadership could not be handed over", "error", req->err.text);
    r->leave_raft = (struct raft_driver_request){ .done = removed, .ctx = r };
    raft_driver_change(r->raft, &r->leave_raft, DRIVER_REMOVE, str_of(r->node_id), STR(""));
    timer_init(&r->leave_step, r->world, removal_late);
    timer_start(&r->leave_step, REMOVAL_MS);
}

void run_raft_hand_over(struct run *r, void (*then)(struct run *r))
{
    r->leave_then = then;
    timer_init(&r->leave_step, r->world, removal_late);
    if (!raft_driver_is_leader(r->raft) || other_voters(r) == 0) {
        then(r);
        return;
    }
    r->leave_raft = (struct raft_driver_request){ .done = transferred, .ctx = r };
    raft_driver_transfer(r->raft, &r->leave_raft, STR(""));
}

static void look(struct timer *t)
{
    struct run *r = container_of(t, struct run, leave_step);
    bool late = world_now_ms(r->world) >= r->leave_until_ms;
    if (!configured(r)) {
        over(r);
    } else if (late) {
        removal_late(t);
    } else {
        timer_start(t, POLL_MS);
    }
}

void run_raft_await_removal(struct run *r, void (*then)(struct run *r))
{
    r->leave_then = then;
    timer_init(&r->leave_step, r->world, look);
    if (raft_driver_is_leader(r->raft) || other_voters(r) == 0) {
        then(r);
        return;
    }
    r->leave_until_ms = world_now_ms(r->world) + REMOVAL_MS;
    timer_start(&r->leave_step, 0);
}

void run_raft_leave_stop(struct run *r)
{
    raft_driver_forget(&r->leave_raft);
    if (r->leave_step.world) timer_stop(&r->leave_step);
}
