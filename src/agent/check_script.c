/* SPDX-License-Identifier: Apache-2.0 */
/* Script checks: exit 0 passes, 1 warns, anything else is critical (agent.md 5.4). Of the output
 * the last bytes are kept. */
#include <stdlib.h>
#include <string.h>

#include "check_probe.h"
#include "consuld/base/outside.h"
#include "consuld/wire/gotime.h"

#define TIMEOUT_MS 30000

struct check_runner {
    struct probe probe;
    struct link waiting; /* for its turn */
    struct timer timeout;
    struct process *process;
    struct buf output; /* twice the bound at most */
    size_t max;
    uint64_t total;
    bool timed_out;
};

static bool fits(const struct check_type *t)
{
    return t->script_args.n && t->docker_container_id.n == 0 && t->interval > 0;
}

static void on_output(void *ctx, struct str bytes)
{
    struct check_runner *r = ctx;
    r->total += bytes.n;
    if (bytes.n > r->max) bytes = str_slice(bytes, bytes.n - r->max, bytes.n);
    if (r->output.n + bytes.n > r->output.max)
        buf_consume(&r->output, r->output.n - (r->max - bytes.n));
    buf_put_str(&r->output, bytes);
}

static struct str captured(const struct check_runner *r, struct arena *a)
{
    struct str all = buf_str(&r->output);
    if (all.n > r->max) all = str_slice(all, all.n - r->max, all.n);
    if (r->total <= r->max) return all;
    struct str head =
        str_printf(a, "Captured %zu of %llu bytes\n...\n", r->max, (unsigned long long)r->total);
    return probe_text(a, head, all);
}

static struct str timeout_text(const struct check_runner *r, struct arena *a)
{
    struct buf text = BUF_INIT(256);
    struct str out = captured(r, a);
    duration_format((int64_t)probe_timeout_ms(&r->probe, TIMEOUT_MS) * 1000000, &text);
    struct str head = str_printf(
        a, "Timed out (%.*s) running check%s", STR_ARG(buf_str(&text)), out.n ? "\n\n" : "");
    struct str full = probe_text(a, head, out);
    buf_deinit(&text);
    return full;
}

static void run_now(struct check_runner *r);

/* The next one's turn. */
static void process_gone(struct check_runner *r)
{
    struct local *l = r->probe.check->local;
    r->process = NULL;
    l->scripts_running--;
    while (l->scripts_running < CHECK_SCRIPTS_MAX) {
        struct link *next = link_pop(&l->scripts_waiting);
        if (!next) return;
        run_now(container_of(next, struct check_runner, waiting));
    }
}

static void exited(void *ctx, int status)
{
    struct check_runner *r = ctx;
    struct arena a = ARENA_INIT;
    timer_stop(&r->timeout);
    process_gone(r);
    if (r->timed_out) {
        probe_result(&r->probe, "critical", timeout_text(r, &a), true);
    } else {
        const char *word = status == 0 ? "passing" : status == 1 ? "warning" : "critical";
        probe_result(&r->probe, word, captured(r, &a), false);
    }
    arena_free(&a);
}

static void on_timeout(struct timer *t)
{
    struct check_runner *r = container_of(t, struct check_runner, timeout);
    r->timed_out = true;
    process_kill(r->process);
}

static void run_now(struct check_runner *r)
{
    struct probe *p = &r->probe;
    const struct list *args = &p->check->type.script_args;
    struct arena a = ARENA_INIT;
    struct error err;
    const char **argv = arena_array(&a, args->n + 1, sizeof *argv);
    for (size_t i = 0; i < args->n; i++)
        argv[i] = str_c(&a, LIST_AT(args, struct str, i));
    buf_clear(&r->output);
    r->max = probe_output_max(p);
    r->output.max = 2 * r->max;
    r->total = 0;
    r->timed_out = false;
    struct process_options o = { .argv = argv, .ctx = r, .output = on_output, .exited = exited };
    r->process = process_start(p->check->local->opts.world, &o, &err);
    if (r->process) {
        p->check->local->scripts_running++;
        timer_start(&r->timeout, probe_timeout_ms(p, TIMEOUT_MS));
    } else {
        probe_result(p, "critical", str_of(err.text), false);
    }
    arena_free(&a);
}

static void run(struct probe *p)
{
    struct check_runner *r = container_of(p, struct check_runner, probe);
    struct local *l = p->check->local;
    if (l->scripts_running < CHECK_SCRIPTS_MAX)
        run_now(r);
    else
        link_push(&l->scripts_waiting, &r->waiting);
}

static struct check_runner *start(struct local_check *c)
{
    struct check_runner *r = xcalloc(1, sizeof *r);
    timer_init(&r->timeout, c->local->opts.world, on_timeout);
    link_init(&r->waiting);
    probe_start(&r->probe, c, run);
    return r;
}

static void stop(struct check_runner *r)
{
    probe_stop(&r->probe);
    timer_stop(&r->timeout);
    link_remove(&r->waiting);
    if (r->process) {
        process_forget(r->process);
        process_gone(r);
    }
    buf_deinit(&r->output);
    free(r);
}

const struct check_kind check_kind_script = { "script", fits, start, stop };
