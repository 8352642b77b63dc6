/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/remote_exec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consuld/base/outside.h"
#include "consuld/cluster/rpc.h"
#include "consuld/model.h"

#define STATUS_NOT_RUN 255

struct remote_exec {
    struct remote_exec_options opts;
    struct arena arena;
    struct link jobs;
    size_t n;
};

struct remote_run {
    struct link link;
    struct remote_exec *x;
    struct arena arena;
    struct remote_exec_event event;
    struct remote_exec_spec spec;
    char *script; /* path of the file, NULL: none */
    struct process *process;
    struct buf unsent;  /* output */
    struct timer quiet; /* less than a chunk is there, or nothing came for long */
    bool due;           /* `quiet` has fired */
    bool held_back;     /* the output is not read */
    bool lost;          /* nothing can be written any more */
    bool ended, told;   /* the command; its status was written */
    int status;
    unsigned chunks;
    /* the call in flight */
    struct rpc_call call;
    struct error err;
    struct arena call_arena;
    bool calling;
    const char *doing;
    void (*next)(struct remote_run *j);
};

struct remote_exec *remote_exec_create(const struct remote_exec_options *opts)
{
    struct remote_exec *x = xcalloc(1, sizeof *x);
    x->opts = *opts;
    x->opts.datacenter = str_dup(&x->arena, opts->datacenter);
    x->opts.node_name = str_dup(&x->arena, opts->node_name);
    x->opts.token = str_dup(&x->arena, opts->token);
    link_init(&x->jobs);
    return x;
}

static void job_free(struct remote_run *j)
{
    if (j->calling) rpc_cancel(j->x->opts.rpc, &j->call);
    if (j->process) process_forget(j->process);
    if (j->script) unlink(j->script);
    timer_stop(&j->quiet);
    link_remove(&j->link);
    j->x->n--;
    buf_deinit(&j->unsent);
    arena_free(&j->call_arena);
    arena_free(&j->arena);
    free(j);
}

void remote_exec_destroy(struct remote_exec *x)
{
    if (!x) return;
    link_each (l, &x->jobs)
        job_free(container_of(l, struct remote_run, link));
    arena_free(&x->arena);
    free(x);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void call_done(struct rpc_call *c)
{
    struct remote_run *j = c->ctx;
    struct rpc_reply *reply = c->reply;
    j->calling = false;
    if (c->code) {
        log_error("agent", j->doing, "error", j->err.text);
        j->lost = true;
    }
    j->next(j); /* maybe the job's end, or another call */
    rpc_reply_unref(reply);
}

static void submit(struct remote_run *j, const char *method, const void *args, const char *doing,
    void (*next)(struct remote_run *j))
{
    j->call = (struct rpc_call){ .method = method,
        .args = args,
        .arena = &j->call_arena,
        .done = call_done,
        .ctx = j,
        .err = &j->err };
    j->calling = true;
    j->doing = doing;
    j->next = next;
    rpc_submit(j->x->opts.rpc, &j->call);
}

static void key_written(struct remote_run *j);

static void write_key(struct remote_run *j, const char *name, struct str value, const char *doing)
{
    const struct remote_exec_options *o = &j->x->opts;
    arena_reset(&j->call_arena);
    struct kvs_request *args = arena_new(&j->call_arena, struct kvs_request);
    args->datacenter = o->datacenter;
    args->op = STR("lock");
    args->token = o->token;
    args->dir_ent.session = j->event.session;
    args->dir_ent.value = value.n ? str_dup(&j->call_arena, value) : STR_NIL;
    args->dir_ent.key = str_printf(&j->call_arena, "%.*s/%.*s/%.*s/%s", STR_ARG(j->event.prefix),
        STR_ARG(j->event.session), STR_ARG(o->node_name), name);
    submit(j, "KVS.Apply", args, doing, key_written);
}

/* --- the output ------------------------------------------------------------------------------- */

static void hold_back(struct remote_run *j, bool on)
{
    if (j->held_back == on || !j->process) return;
    j->held_back = on;
    process_read(j->process, !on);
}

static void wait_quietly(struct remote_run *j)
{
    int64_t beat_ms = j->spec.wait / 1000000;
    if (j->unsent.n)
        timer_start(&j->quiet, REMOTE_EXEC_IDLE_MS);
    else if (beat_ms > 0)
        timer_start(&j->quiet, (uint64_t)beat_ms);
}

/* Writes what is to be written next; frees the job after the last. */
static void go_on(struct remote_run *j)
{
    char name[32];
    if (j->calling) return;
    if (j->ended && (j->lost || j->told)) {
        job_free(j);
        return;
    }
    if (j->lost) {
        buf_clear(&j->unsent);
        hold_back(j, false);
        return;
    }
    if (j->unsent.n >= REMOTE_EXEC_CHUNK || (j->ended && j->unsent.n) || j->due) {
        size_t n = j->unsent.n < REMOTE_EXEC_CHUNK ? j->unsent.n : REMOTE_EXEC_CHUNK;
        snprintf(name, sizeof name, "out/%05x", j->chunks++);
        timer_stop(&j->quiet);
        j->due = false;
        write_key(j, name, str_slice(buf_str(&j->unsent), 0, n),
            "failed to write output for remote exec job");
        buf_consume(&j->unsent, n);
        if (j->unsent.n < REMOTE_EXEC_UNSENT_MAX / 2) hold_back(j, false);
    } else if (j->ended) {
        snprintf(name, sizeof name, "%d", j->status);
        j->told = true;
        timer_stop(&j->quiet);
        write_key(j, "exit", str_of(name), "failed to write exit code for remote exec job");
    } else {
        wait_quietly(j);
    }
}

static void on_quiet(struct timer *t)
{
    struct remote_run *j = container_of(t, struct remote_run, quiet);
    j->due = true;
    go_on(j);
}

static void on_output(void *ctx, struct str bytes)
{
    struct remote_run *j = ctx;
    if (j->lost) return;
    bool first = j->unsent.n == 0;
    buf_put_str(&j->unsent, bytes);
    if (j->unsent.n >= REMOTE_EXEC_UNSENT_MAX) hold_back(j, true);
    if (first || j->unsent.n >= REMOTE_EXEC_CHUNK) go_on(j);
}

static void on_exited(void *ctx, int status)
{
    struct remote_run *j = ctx;
    j->process = NULL;
    j->ended = true;
    j->status = status < 0 ? -1 : status;
    go_on(j);
}

/* --- the command ------------------------------------------------------------------------------ */

static int script_write(struct remote_run *j)
{
    const char *folder = getenv("TMPDIR");
    struct str path = str_printf(&j->arena, "%s/rexecXXXXXX", folder && *folder ? folder : "/tmp");
    char *name = arena_copy(&j->arena, path.p, path.n + 1);
    int fd = mkstemp(name);
    if (fd < 0) return ERR_IO;
    j->script = name;
    bool bad = fchmod(fd, 0750) != 0;
    for (size_t at = 0; at < j->spec.script.n && !bad;) {
        ssize_t n = write(fd, j->spec.script.p + at, j->spec.script.n - at);
        bad = n <= 0;
        at += bad ? 0 : (size_t)n;
    }
    close(fd);
    return bad ? ERR_IO : 0;
}

static void run(struct remote_run *j)
{
    struct error err;
    const char *shell = getenv("SHELL");
    const char **argv = arena_array(&j->arena, j->spec.args.n + 4, sizeof *argv);
    for (size_t i = 0; i < j->spec.args.n; i++)
        argv[i] = str_c(&j->arena, LIST_AT(&j->spec.args, struct str, i));
    if (j->spec.script.n && script_write(j)) error_set(&err, ERR_IO, "no file for the script");
    bool refused = j->spec.script.n && !j->script;
    if (j->spec.args.n == 0) {
        argv[0] = shell && *shell ? shell : "/bin/sh";
        argv[1] = "-c";
        argv[2] = j->script ? j->script : str_c(&j->arena, j->spec.command);
    }
    log_info("agent", "remote exec script", "script", argv[j->spec.args.n ? 0 : 2]);
    struct process_options o = { .argv = argv, .ctx = j, .output = on_output, .exited = on_exited };
    if (!refused) j->process = process_start(j->x->opts.world, &o, &err);
    if (!j->process) {
        log_error("agent", "failed to start remote exec", "error", err.text);
        on_exited(j, STATUS_NOT_RUN);
        return;
    }
    wait_quietly(j);
}

static void key_written(struct remote_run *j)
{
    const bool *taken = j->call.reply ? j->call.reply->record : NULL;
    if (taken && !*taken) {
        log_error("agent", j->doing, "error", "write failed");
        j->lost = true;
    }
    if (j->process || j->ended)
        go_on(j);
    else if (j->lost)
        job_free(j);
    else
        run(j); /* acknowledged */
}

/* --- the job ---------------------------------------------------------------------------------- */

static void ask(struct remote_run *j, bool stale);

static void on_job(struct remote_run *j)
{
    const struct key_request *asked = j->call.args;
    const struct indexed_dir_entries *found = j->call.reply ? j->call.reply->record : NULL;
    struct error err;
    if (found && found->entries.n == 0 && asked->allow_stale) {
        ask(j, false); /* a follower may not have it yet */
        return;
    }
    if (!found || found->entries.n == 0) {
        if (found) log_debug("agent", "remote exec aborted, job spec missing");
        job_free(j);
        return;
    }
    struct str text = str_dup(&j->arena, LIST_AT(&found->entries, struct dir_entry, 0).value);
    if (json_decode(
            text, &j->arena, &type_remote_exec_spec, &j->spec, JSON_UNKNOWN_IGNORED, &err)) {
        log_error("agent", "failed to decode remote exec spec", "error", err.text);
        job_free(j);
        return;
    }
    write_key(j, "ack", STR_NIL, "failed to ack remote exec job");
}

static void ask(struct remote_run *j, bool stale)
{
    arena_reset(&j->call_arena);
    struct key_request *args = arena_new(&j->call_arena, struct key_request);
    args->datacenter = j->x->opts.datacenter;
    args->token = j->x->opts.token;
    args->allow_stale = stale;
    args->key = str_printf(
        &j->call_arena, "%.*s/%.*s/job", STR_ARG(j->event.prefix), STR_ARG(j->event.session));
    submit(j, "KVS.Get", args, "failed to get remote exec job", on_job);
}

void remote_exec_take(struct remote_exec *x, struct str payload)
{
    struct error err;
    if (x->n == REMOTE_EXEC_MAX) {
        log_warn("agent", "remote exec event dropped, too many jobs are running");
        return;
    }
    struct remote_run *j = xcalloc(1, sizeof *j);
    j->x = x;
    x->n++;
    link_push(&x->jobs, &j->link);
    j->unsent = (struct buf)BUF_INIT(2 * REMOTE_EXEC_UNSENT_MAX);
    timer_init(&j->quiet, x->opts.world, on_quiet);
    payload = str_dup(&j->arena, payload);
    if (json_decode(
            payload, &j->arena, &type_remote_exec_event, &j->event, JSON_UNKNOWN_IGNORED, &err)) {
        log_error("agent", "failed to decode remote exec event", "error", err.text);
        job_free(j);
        return;
    }
    ask(j, true);
}
