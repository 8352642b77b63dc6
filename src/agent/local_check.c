/* SPDX-License-Identifier: Apache-2.0 */
/* Checks: registered, replaced, run, their results. */
#include <stdlib.h>

#include "local_state.h"

#define OUTPUT_BUFFER_MAX ((size_t)1 << 20)

struct local_check *local__check(struct local *l, struct str id)
{
    struct local_check *c = map_get(&l->checks, id);
    return c && !c->deleted && !c->stale ? c : NULL;
}

const struct health_check *local_check_get(struct local *l, struct str id)
{
    struct local_check *c = local__check(l, id);
    return c ? &c->check : NULL;
}

static void check_stop(struct local_check *c)
{
    if (c->runner) c->kind->stop(c->runner);
    c->runner = NULL;
}

void local__check_forget(struct local *l, struct local_check *c)
{
    check_stop(c);
    timer_stop(&c->defer);
    link_remove(&c->unsynced);
    link_remove(&c->of_group);
    local__group_leave(l, c->group);
    map_remove(&l->checks, c->check.check_id);
    buf_deinit(&c->output);
    arena_free(&c->arena);
    free(c);
}

/* What the aliases of its service see has changed. An alias of the node counts itself among what it
 * looks at: it wakes nobody, or it would wake itself for ever. */
static void touch(const struct local_check *c)
{
    if (c->check.service_id.n || c->kind != &check_kind_alias)
        alias_touch(c->local, c->check.service_id);
}

static void set_output(struct local_check *c, struct str output)
{
    buf_clear(&c->output);
    if (!c->local->opts.discard_check_output) buf_put_str(&c->output, output);
    c->check.output = buf_str(&c->output);
}

static struct str status_text(struct str status)
{
    static const char *const known[] = { "passing", "warning", "critical" };
    for (size_t i = 0; i < 3; i++) {
        if (str_is(status, known[i])) return str_of(known[i]);
    }
    return STR("critical");
}

static void set_status(struct local_check *c, struct str status)
{
    bool was_critical = str_is(c->check.status, "critical");
    c->check.status = status_text(status);
    bool is_critical = str_is(c->check.status, "critical");
    if (!is_critical) {
        c->critical_since_ms = 0;
    } else if (!was_critical || c->critical_since_ms == 0) {
        c->critical_since_ms = world_now_ms(c->local->opts.world) | 1;
    }
}

static void on_defer(struct timer *t)
{
    struct local_check *c = container_of(t, struct local_check, defer);
    c->version++;
    local__check_mark(c, false);
    local_changed(c->local);
}

static void defer(struct local_check *c)
{
    struct local *l = c->local;
    uint64_t base = (uint64_t)l->opts.check_update_interval_ms;
    if (!timer_active(&c->defer)) timer_start(&c->defer, base / 2 + prng_below(&l->prng, base));
}

static bool same_definition(const struct local_check *old, const struct health_check *check,
    const struct check_type *type, struct str token, enum local_source source)
{
    struct health_check plain = *check;
    plain.status = old->check.status;
    plain.output = old->check.output;
    return old->has_type == (type != NULL) && old->source == source && str_eq(old->token, token) &&
           record_equal(&type_health_check, &old->check, &plain) &&
           (!type || record_equal(&type_check_type, &old->type, type));
}

/* Entries live long: no more room than they need. */
static void room_make(struct local_check *c, const struct health_check *check,
    const struct check_type *type, struct str token)
{
    struct arena a = ARENA_INIT;
    struct health_check check_copy;
    struct check_type type_copy;
    record_copy(&a, &type_health_check, &check_copy, check);
    if (type) record_copy(&a, &type_check_type, &type_copy, type);
    str_dup(&a, token);
    arena_reserve(&c->arena, a.used);
    arena_free(&a);
}

static struct local_check *check_new(struct local *l, const struct health_check *check,
    const struct check_type *type, struct str token, enum local_source source)
{
    struct local_check *c = xcalloc(1, sizeof *c);
    c->local = l;
    c->output = (struct buf)BUF_INIT(OUTPUT_BUFFER_MAX);
    link_init(&c->of_group);
    link_init(&c->unsynced);
    timer_init(&c->defer, l->opts.world, on_defer);
    room_make(c, check, type, token);
    record_copy(&c->arena, &type_health_check, &c->check, check);
    c->has_type = type != NULL;
    if (type) record_copy(&c->arena, &type_check_type, &c->type, type);
    c->token = str_dup(&c->arena, token);
    c->source = source;
    int64_t successes = c->type.success_before_passing, failures = c->type.failures_before_critical;
    c->successes = successes > 0 ? (uint64_t)successes : 0;
    c->failures = failures > 0 ? (uint64_t)failures : 0;
    return c;
}

/* Runs on as it did; only the clock of a TTL begins again, unless it was not asked for. */
static struct local_check *check_stays(struct local_check *c)
{
    if (c->kind == &check_kind_ttl && !c->stale) {
        check_stop(c);
        c->runner = c->kind->start(c);
    }
    c->stale = false;
    return c;
}

static void check_replace(struct local *l, struct local_check *old, struct local_check *c)
{
    bool same = !old->deleted && record_equal(&type_health_check, &old->check, &c->check) &&
                str_eq(old->check.type, c->check.type);
    bool in_sync = same && old->in_sync;
    bool deferred = same && timer_active(&old->defer);
    c->version = same ? old->version : old->version + 1;
    c->exposed_port = old->exposed_port;
    local__check_forget(l, old);
    local__check_mark(c, in_sync);
    if (deferred) defer(c);
}

struct local_check *local__check_put(struct local *l, const struct health_check *check,
    const struct check_type *type, struct str token, enum local_source source)
{
    struct local_check *old = map_get(&l->checks, check->check_id);
    bool shown = old && !old->deleted;
    if (shown && same_definition(old, check, type, token, source)) return check_stays(old);
    struct local_check *c = check_new(l, check, type, token, source);
    c->group = local__group_join(l, c->check.service_id);
    link_push(&c->group->checks, &c->of_group);
    set_output(c, shown ? old->check.output : check->output);
    c->check.status = status_text(shown ? old->check.status : check->status);
    if (shown) c->critical_since_ms = old->critical_since_ms;
    if (old) {
        check_replace(l, old, c);
    } else {
        c->version = 1;
        local__check_mark(c, false);
    }
    map_put(&l->checks, c->check.check_id, c);
    c->kind = type ? check_kind_of(type) : NULL;
    if (c->kind) c->runner = c->kind->start(c);
    touch(c);
    local__touched(l, c->check.service_id);
    local_changed(l);
    return c;
}

void local__check_drop(struct local *l, struct local_check *c)
{
    check_stop(c);
    timer_stop(&c->defer);
    c->deleted = true;
    c->stale = false;
    c->version++;
    local__check_mark(c, false);
    touch(c);
    local__touched(l, c->check.service_id);
    local_changed(l);
}

/* True once the counters let the status through. */
static bool past_thresholds(struct local_check *c, struct str status)
{
    bool success = !str_is(status, "critical");
    int64_t need = success ? c->type.success_before_passing : c->type.failures_before_critical;
    uint64_t *count = success ? &c->successes : &c->failures;
    *(success ? &c->failures : &c->successes) = 0;
    ++*count;
    return need <= 0 || *count >= (uint64_t)need;
}

void local__check_result(struct local_check *c, struct str status, struct str output, bool direct)
{
    struct local *l = c->local;
    if (!direct && !past_thresholds(c, status)) return;
    status = status_text(status);
    bool first = c->critical_since_ms == 0 && str_is(status, "critical");
    bool same_status = str_eq(c->check.status, status);
    struct str kept = l->opts.discard_check_output ? STR("") : output;
    bool same_output = str_eq(c->check.output, kept);
    if (same_status && same_output && !first) return;
    bool unsent = c->check.output.n == 0;
    set_output(c, output);
    set_status(c, status);
    if (same_status && same_output) return;
    /* The output of aliases of each other would grow with every turn; that of the node's checks
     * would wake all aliases there are. */
    if (!same_status || (c->check.service_id.n && c->kind != &check_kind_alias)) touch(c);
    local_changed(l);
    /* a changed output alone may wait, but the first one is told at once */
    if (same_status && !unsent && l->opts.check_update_interval_ms > 0 && c->in_sync) {
        defer(c);
        return;
    }
    timer_stop(&c->defer);
    c->version++;
    local__check_mark(c, false);
}
