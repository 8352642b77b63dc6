/* SPDX-License-Identifier: Apache-2.0 */
#include "raft_driver.h"

#include <stdio.h>

uint64_t driver_applied(const struct raft_driver *d)
{
    return store_applied_index(d->store);
}

int raft_driver_entry(struct raft_driver *d, uint64_t index, struct arena *a,
    struct raft_entry *out, struct error *err)
{
    const struct raft_entry *e = raft_entry_at(d->raft, index);
    struct log_entry stored;
    if (e) {
        *out = *e;
        return 0;
    }
    int code = raft_log_entry(d->log, index, a, &stored, err);
    if (code) return code;
    *out = (struct raft_entry){ .index = index,
        .term = stored.term,
        .data = stored.data,
        .extensions = stored.extensions,
        .type = stored.type };
    return 0;
}

/* The state machine met what it cannot apply: it stops rather than diverge. */
static void stop_applying(struct raft_driver *d, uint64_t index, const struct error *err)
{
    d->broken = true;
    snprintf(d->broken_text, sizeof d->broken_text, "cannot apply log entry %llu: %.400s",
        (unsigned long long)index, err->text);
    log_error(SUBSYSTEM, "the state machine stopped", "error", d->broken_text);
}

static int apply_one(struct raft_driver *d, struct store_batch *b, const struct raft_entry *e,
    struct link *applied, struct error *err)
{
    struct command_result res = { 0 };
    struct store_entry se = { .index = e->index, .term = e->term };
    if (e->type == RAFT_COMMAND) {
        se.data = e->data;
        se.extensions = e->extensions;
    }
    if (e->type > RAFT_CONFIGURATION)
        return error_set(err, ERR_NOT_FOUND, "unknown log entry type %u", e->type);
    uint64_t began_us = raft_metrics_from(&d->metrics);
    int code = store_apply(b, &se, &d->arena, &res, err);
    if (!code) driver_measure_command(d, &res, began_us);
    if (code || !e->handle) return code;
    struct raft_driver_work *w = driver_work_take(d, e->handle);
    if (!w) return 0;
    w->index = e->index;
    w->result = res;
    w->has_result = e->type == RAFT_COMMAND;
    link_push(applied, &w->link);
    return 0;
}

static void finish_applied(struct raft_driver *d, struct link *applied, int code, const char *text)
{
    struct link *l;
    while ((l = link_pop(applied))) {
        struct raft_driver_work *w = container_of(l, struct raft_driver_work, link);
        if (code) w->has_result = false;
        driver_finish(d, w, code, text);
    }
}

static void retry_later(struct raft_driver *d, struct link *applied, const struct error *err)
{
    finish_applied(d, applied, ERR_IO, err->text);
    d->apply_failed = true;
    d->retry_now = false;
    driver_refuse(d, err);
}

bool driver_apply(struct raft_driver *d)
{
    uint64_t from = driver_applied(d) + 1, index = from;
    struct error err = { 0 };
    struct raft_entry e;
    struct link applied;
    int code = 0;
    if (driver_installing(d)) return false;
    if (from > d->apply_to || d->broken || (d->apply_failed && !d->retry_now)) return false;
    link_init(&applied);
    raft_metrics_since(&d->metrics, RAFT_METRIC_ENQUEUE, d->commit_us);
    if (!driver_leads(d)) raft_metrics_since(&d->metrics, RAFT_METRIC_PROCESS, d->commit_us);
    d->commit_us = 0;
    uint64_t began_us = world_now_us(d->world);
    struct store_batch *b = store_apply_begin(d->store, world_now_ms(d->world));
    size_t bytes = 0;
    for (; !code && index <= d->apply_to && index - from < DRIVER_APPLY_ENTRIES_MAX &&
           bytes < DRIVER_APPLY_BYTES_MAX;) {
        code = raft_driver_entry(d, index, &d->arena, &e, &err);
        if (code) break;
        bytes += e.data.n;
        code = apply_one(d, b, &e, &applied, &err);
        if (!code) index++;
    }
    if (code == ERR_IO) {
        store_apply_abort(b);
        retry_later(d, &applied, &err);
        return true;
    }
    if (code) stop_applying(d, index, &err);
    if (store_apply_commit(b, &err)) {
        retry_later(d, &applied, &err);
        return true;
    }
    d->counters.apply_batches++;
    d->counters.applied += index - from;
    d->counters.applied_us += world_now_us(d->world) - began_us;
    if (driver_leads(d) && index > from)
        metric_set(d->metrics.at[RAFT_METRIC_COMMIT_N], (double)(index - from));
    d->core_full = false;
    if (d->apply_failed) driver_accept(d);
    d->apply_failed = false;
    finish_applied(d, &applied, 0, NULL);
    driver_reads_answer(d);
    driver_answer(d);
    if (index > from) {
        struct raft_event ev = { .type = RAFT_APPLIED, .index = index - 1 };
        driver_step(d, &ev);
    }
    arena_reset(&d->arena);
    if (d->broken) driver_fail_all(d, false, ERR_INTERNAL, d->broken_text);
    return true;
}
