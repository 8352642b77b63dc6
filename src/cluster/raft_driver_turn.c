/* SPDX-License-Identifier: Apache-2.0 */
#include "raft_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 64 /* of one turn; what is left waits for the next */

/* --- carrying out ---------------------------------------------------------------------------- */

static void write_note(struct raft_driver *d, uint64_t seq)
{
    if (d->writes_n == d->writes_cap) {
        d->writes_cap = d->writes_cap ? d->writes_cap * 2 : 64;
        d->writes = xrealloc(d->writes, d->writes_cap * sizeof *d->writes);
    }
    d->writes[d->writes_n++] =
        (struct pending_write){ .seq = seq, .sequence = raft_log_sequence(d->log) };
}

static int write_entries(struct raft_driver *d, const struct raft_write *w, struct error *err)
{
    int code = 0;
    if (w->n && w->first < raft_log_next(d->log)) raft_log_truncate(d->log, w->first);
    for (uint64_t i = w->first; !code && i < w->first + w->n; i++) {
        const struct raft_entry *e = raft_entry_at(d->raft, i);
        ensure(e != NULL);
        struct log_entry stored = { .index = i,
            .term = e->term,
            .type = e->type,
            .data = e->data,
            .extensions = e->extensions };
        code = raft_log_append(d->log, &stored, err);
    }
    return code;
}

static int carry_write(struct raft_driver *d, const struct raft_write *w, struct error *err)
{
    if (w->seq == 0) return 0;
    if (w->hard_state) {
        struct log_stable s = { .term = w->term, .vote_term = w->vote_term };
        ensure(w->vote_candidate.n <= sizeof s.vote);
        s.vote_n = w->vote_candidate.n;
        if (s.vote_n) memcpy(s.vote, w->vote_candidate.p, s.vote_n);
        raft_log_stable_set(d->log, &s);
    }
    if (w->reset) {
        struct raft_state st;
        raft_get_state(d->raft, &st);
        raft_log_reset(d->log, w->n ? w->first : st.last_index + 1);
    }
    int code = write_entries(d, w, err);
    if (!code) write_note(d, w->seq);
    return code;
}

bool driver_leads(const struct raft_driver *d)
{
    return d->leader_from && driver_applied(d) >= d->leader_from;
}

/* The log took less than the core believes: beyond LOG_QUEUED_MAX bytes waiting for the disk, which
 * the core's own bounds keep away. */
static void queue_failed(struct raft_driver *d, const struct error *err)
{
    d->broken = true;
    snprintf(d->broken_text, sizeof d->broken_text, "%.500s", err->text);
    log_error(SUBSYSTEM, "the raft log cannot go on", "error", d->broken_text);
}

/* The entry appended on winning is the last one at that moment. */
static void note_leadership(struct raft_driver *d)
{
    struct raft_state st;
    raft_get_state(d->raft, &st);
    if (st.role != RAFT_LEADER)
        d->leader_from = 0;
    else if (d->leader_from == 0 || st.term != d->leader_term)
        d->leader_from = st.last_index;
    d->leader_term = st.term;
    if (st.role == RAFT_LEADER) raft_metrics_since(&d->metrics, RAFT_METRIC_ELECT, d->elect_us);
    if (st.role != RAFT_CANDIDATE)
        d->elect_us = 0;
    else if (!d->elect_us)
        d->elect_us = raft_metrics_from(&d->metrics);
}

void driver_step(struct raft_driver *d, const struct raft_event *ev)
{
    struct raft_output out;
    struct error err = { 0 };
    if (raft_step(d->raft, world_now_ms(d->world), ev, &out) && ev->type != RAFT_RECEIVE)
        log_warn(SUBSYSTEM, "an event made no sense to raft");
    int code = carry_write(d, &out.write, &err);
    for (size_t i = 0; d->transport && i < out.messages_n; i++)
        d->transport->send(d->transport, &out.messages[i]);
    for (size_t i = 0; i < out.results_n; i++)
        driver_result(d, &out.results[i]);
    if (out.apply_to > d->apply_to && !d->commit_us) d->commit_us = raft_metrics_from(&d->metrics);
    d->apply_to = out.apply_to;
    if (out.compact_to && d->log) raft_log_compact(d->log, out.compact_to + 1);
    d->wake_ms = out.wake_ms;
    if (out.state_changed) note_leadership(d);
    if (out.state_changed || out.configuration_changed) d->changed = true;
    if (out.install.present) driver_install(d, &out.install);
    if (code) queue_failed(d, &err);
}

/* --- the disk ------------------------------------------------------------------------------- */

static bool has_peers(const struct raft_driver *d)
{
    struct raft_state st;
    raft_get_state(d->raft, &st);
    for (size_t i = 0; i < st.latest->n; i++)
        if (strcmp(st.latest->servers[i].id, d->id) != 0) return true;
    return false;
}

/* Others may go on with the work. What is queued here stays queued: whether a failed commit
 * happened nobody knows, so it is repeated until it did. */
static void let_another_lead(struct raft_driver *d)
{
    struct raft_state st;
    struct raft_event ev = { .type = RAFT_TRANSFER };
    raft_get_state(d->raft, &st);
    if (st.role == RAFT_LEADER && !st.transferring && has_peers(d)) driver_step(d, &ev);
}

void driver_refuse(struct raft_driver *d, const struct error *err)
{
    if (!d->refused) log_error(SUBSYSTEM, "writes are refused", "error", err->text);
    d->refused = true;
    snprintf(d->refused_text, sizeof d->refused_text, "%.500s", err->text);
    driver_fail_all(d, false, ERR_IO, d->refused_text);
    if (!timer_active(&d->retry)) timer_start(&d->retry, DRIVER_RETRY_MS);
}

void driver_accept(struct raft_driver *d)
{
    if (d->refused) log_info(SUBSYSTEM, "the disk takes writes again");
    d->refused = false;
}

/* On a slow disk the clients answered by one commit come back just after the next began, and each
 * commit carries half of them. A short wait lets all share one. */
static void hold_next(struct raft_driver *d)
{
    uint64_t now = world_now_ms(d->world), took = now - d->commit_began_ms;
    uint64_t hold = took / 8 < DRIVER_HOLD_MAX_MS ? took / 8 : DRIVER_HOLD_MAX_MS;
    if (took < DRIVER_SLOW_COMMIT_MS || !raft_log_dirty(d->log)) return;
    d->hold_until_ms = now + (hold ? hold : 1);
}

static void flush(struct raft_driver *d)
{
    if (raft_log_busy(d->log) || !raft_log_dirty(d->log)) return;
    if (d->flush_failed && !d->retry_now) return;
    if (world_now_ms(d->world) < d->hold_until_ms) return;
    d->commit_began_ms = world_now_ms(d->world);
    d->commit_began_us = world_now_us(d->world);
    uint64_t last = raft_log_last(d->log);
    if (driver_leads(d) && last > d->flushed_to)
        metric_set(d->metrics.at[RAFT_METRIC_DISPATCH_N], (double)(last - d->flushed_to));
    d->flushed_to = last;
    raft_log_flush(d->log);
}

void driver_flushed(void *ctx, const struct error *err)
{
    struct raft_driver *d = ctx;
    tick_mark(&d->tick);
    d->flush_failed = err != NULL;
    if (!err) {
        d->counters.commits++;
        raft_metrics_since(&d->metrics, driver_leads(d) ? RAFT_METRIC_DISPATCH : RAFT_METRIC_STORE,
            d->commit_began_us);
        hold_next(d);
        if (!d->apply_failed) driver_accept(d);
        return;
    }
    d->counters.commit_failures++;
    d->retry_now = false;
    driver_refuse(d, err);
    let_another_lead(d);
}

/* Tells the core what has become durable. */
static bool report_persisted(struct raft_driver *d)
{
    uint64_t durable = raft_log_sequence_durable(d->log), seq = 0;
    size_t n = 0;
    while (n < d->writes_n && d->writes[n].sequence <= durable)
        seq = d->writes[n++].seq;
    if (n == 0) return false;
    memmove(d->writes, d->writes + n, (d->writes_n - n) * sizeof *d->writes);
    d->writes_n -= n;
    struct raft_event ev = { .type = RAFT_PERSISTED, .seq = seq };
    driver_step(d, &ev);
    return true;
}

/* --- one turn ------------------------------------------------------------------------------- */

static bool step_time(struct raft_driver *d)
{
    if (world_now_ms(d->world) < d->wake_ms) return false;
    struct raft_event ev = { .type = RAFT_TICK };
    driver_step(d, &ev);
    return world_now_ms(d->world) >= d->wake_ms;
}

static void tell_observers(struct raft_driver *d)
{
    if (d->announced != driver_leads(d)) d->changed = true;
    if (!d->changed) return;
    d->changed = false;
    d->announced = driver_leads(d);
    struct raft_driver_state st = raft_driver_state(d);
    link_each (l, &d->observers) {
        struct raft_driver_observer *o = container_of(l, struct raft_driver_observer, link);
        o->changed(o, &st);
    }
}

static void arm(struct raft_driver *d)
{
    uint64_t now = world_now_ms(d->world), due = d->wake_ms;
    if (!link_empty(&d->queue) && due > now + 1000) due = now + 1000;
    if (d->hold_until_ms > now && due > d->hold_until_ms) due = d->hold_until_ms;
    timer_stop(&d->wake);
    if (due != RAFT_NEVER) timer_start(&d->wake, due > now ? due - now : 0);
}

static void end_of_stop(struct raft_driver *d)
{
    bool working = d->snapshot.running || d->archive.running ||
                   d->install.phase == INSTALL_VERIFY || d->install.phase == INSTALL_STORE;
    if (raft_log_busy(d->log) || working || d->stopped) return;
    d->stopped = true;
    d->on_stopped(d->stopped_ctx);
}

void driver_turn(struct tick *t)
{
    struct raft_driver *d = container_of(t, struct raft_driver, tick);
    if (d->stopping) {
        driver_answer(d);
        end_of_stop(d);
        return;
    }
    if (!d->started) return;
    bool more = true;
    for (int round = 0; more && round < ROUNDS_MAX; round++) {
        more = step_time(d);
        if (driver_requests_step(d)) more = true;
        flush(d);
        if (report_persisted(d)) more = true;
        if (driver_apply(d)) more = true;
        driver_reads_answer(d);
        driver_answer(d);
    }
    d->retry_now = false;
    if (more) tick_mark(&d->tick);
    tell_observers(d);
    driver_answer(d);
    arm(d);
}

void raft_driver_receive(struct raft_driver *d, const struct raft_message *m)
{
    if (d->stopping || !d->started) return;
    struct raft_event ev = { .type = RAFT_RECEIVE, .message = m };
    driver_step(d, &ev);
    tick_mark(&d->tick);
}

void raft_driver_rpc_failed(struct raft_driver *d, const char *peer_id, uint64_t rpc, bool missing)
{
    if (d->stopping || !d->started) return;
    struct raft_event ev = { .type = RAFT_RPC_FAILED,
        .rpc_failed = { .peer_id = peer_id, .rpc = rpc, .missing = missing } };
    driver_step(d, &ev);
    tick_mark(&d->tick);
}

void raft_driver_leader_gone(struct raft_driver *d, struct str address)
{
    if (d->stopping || !d->started) return;
    struct raft_event ev = { .type = RAFT_LEADER_GONE, .leader_gone = address };
    driver_step(d, &ev);
    tick_mark(&d->tick);
}
