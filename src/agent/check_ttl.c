/* SPDX-License-Identifier: Apache-2.0 */
/* TTL checks: someone else reports, we only watch the clock (agent.md 5.4). */
#include <stdio.h>
#include <stdlib.h>

#include "local_state.h"

struct check_runner {
    struct local_check *check;
    struct timer timer;
};

static bool fits(const struct check_type *t)
{
    return t->ttl > 0;
}

static uint64_t ttl_ms(const struct local_check *c)
{
    return (uint64_t)((c->type.ttl + 999999) / 1000000);
}

static void expired(struct timer *t)
{
    struct check_runner *r = container_of(t, struct check_runner, timer);
    struct local_check *c = r->check;
    struct arena a = ARENA_INIT;
    log_warn("agent", "Check missed TTL, is now critical", "check", str_c(&a, c->check.check_id));
    struct str text = STR("TTL expired");
    if (c->check.output.n) {
        text = str_printf(
            &a, "TTL expired (last output before timeout follows): %.*s", STR_ARG(c->check.output));
    }
    local__check_result(c, STR("critical"), text, true);
    arena_free(&a);
}

static struct check_runner *start(struct local_check *c)
{
    struct check_runner *r = xcalloc(1, sizeof *r);
    r->check = c;
    timer_init(&r->timer, c->local->opts.world, expired);
    timer_start(&r->timer, ttl_ms(c));
    return r;
}

static void stop(struct check_runner *r)
{
    timer_stop(&r->timer);
    free(r);
}

const struct check_kind check_kind_ttl = { "ttl", fits, start, stop };

static struct str cut_output(const struct local_check *c, struct arena *a, struct str output)
{
    int64_t max = c->local->opts.check_output_max;
    if (c->type.output_max_size > 0 && c->type.output_max_size < max) max = c->type.output_max_size;
    if (output.n <= (size_t)max) return output;
    return str_printf(
        a, "%.*s ... (captured %lld of %zu bytes)", (int)max, output.p, (long long)max, output.n);
}

int local_check_update(
    struct local *l, struct str id, struct str status, struct str output, struct error *err)
{
    struct local_check *c = local__check(l, id);
    if (!c || c->kind != &check_kind_ttl) {
        return error_set(
            err, ERR_INTERNAL, "CheckID \"%.*s\" does not have associated TTL", STR_ARG(id));
    }
    struct arena a = ARENA_INIT;
    struct check_runner *r = c->runner;
    local__check_result(c, status, cut_output(c, &a, output), true);
    timer_start(&r->timer, ttl_ms(c));
    int64_t expires = world_wall_ns(l->opts.world) + c->type.ttl;
    persist_ttl(l, c, expires / 1000000000);
    arena_free(&a);
    return 0;
}
