/* SPDX-License-Identifier: Apache-2.0 */
/* `lock`: a session, the lock, the child, and back. Three processes: this one waits for signals and
 * ends of the others; the keeper renews the session; the monitor ends when the lock is lost. */
#include "lock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"

#define KILL_AFTER_S 5 /* a child that does not end when asked to */

struct run {
    struct cli *c;
    struct lock lock;
    const struct lock_kind *kind;
    pid_t keeper, monitor, child;
};

static void progress(struct run *r, const char *line)
{
    if (!cli_bool(r->c, "verbose")) return;
    cli_say(r->c, "%s", line);
    fflush(r->c->io.out);
}

/* --- the session ----------------------------------------------------------------------------- */

static int session_create(struct run *r, struct error *err)
{
    struct cli *c = r->c;
    struct buf body = BUF_INIT(CLIENT_HEAD_MAX);
    struct json_writer w;
    struct value made;
    struct str name = cli_text(c, "name");
    if (!name.n)
        name = str_printf(&c->arena, "Consul lock for '%.*s' at '%.*s'", STR_ARG(cli_arg(c, 1)),
            STR_ARG(cli_arg(c, 0)));
    json_begin(&w, &body, false);
    json_object(&w);
    json_key(&w, "Name");
    json_str(&w, name);
    json_key(&w, "TTL");
    json_str(&w, str_printf(&c->arena, "%ds", LOCK_SESSION_TTL_S));
    json_object_end(&w);
    struct client_request request = { .method = "PUT",
        .path = STR("/v1/session/create"),
        .body = str_dup(&c->arena, buf_str(&body)) };
    buf_deinit(&body);
    int rc = client_json(c, &request, &made, err);
    if (rc) return error_prefix(err, "failed to create session: ");
    r->lock.session = str_dup(&c->arena, value_text(&made, "ID"));
    return 0;
}

static int session_call(struct cli *c, const char *what, struct str session, struct error *err)
{
    struct client_response response;
    struct client_request request = { .method = "PUT",
        .path = str_printf(&c->arena, "/v1/session/%s/%.*s", what, STR_ARG(session)) };
    return client_call(c, &request, &response, err);
}

/* --- the two helpers ------------------------------------------------------------------------- */

static pid_t fork_helper(void)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
    signal(SIGINT, SIG_IGN); /* the terminal's goes to the whole group; ours to decide */
    signal(SIGTERM, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    return 0;
}

static void keeper_start(struct run *r)
{
    struct timespec pause = { .tv_sec = LOCK_SESSION_TTL_S / 2 };
    r->keeper = fork_helper();
    if (r->keeper != 0) return;
    for (;;) {
        struct error err;
        struct cli scratch = *r->c;
        scratch.arena = (struct arena)ARENA_INIT;
        nanosleep(&pause, NULL);
        if (session_call(&scratch, "renew", r->lock.session, &err) != 0)
            pause.tv_sec = 1;
        else
            pause.tv_sec = LOCK_SESSION_TTL_S / 2;
        arena_free(&scratch.arena);
    }
}

static void monitor_start(struct run *r)
{
    uint64_t index = 0, faults = 0;
    bool held = true;
    r->monitor = fork_helper();
    if (r->monitor != 0) return;
    while (held && faults <= r->lock.monitor_retries) {
        struct error err;
        struct cli scratch = *r->c;
        scratch.arena = (struct arena)ARENA_INIT;
        int rc = r->kind->watch(&scratch, &r->lock, &index, &held, &err);
        arena_free(&scratch.arena);
        if (rc == 0) {
            faults = 0;
            continue;
        }
        struct timespec pause = { .tv_sec = 1 };
        held = true;
        index = 0;
        faults++;
        nanosleep(&pause, NULL);
    }
    _exit(0);
}

static void helper_stop(pid_t *pid)
{
    if (*pid <= 0) return;
    kill(*pid, SIGKILL);
    waitpid(*pid, NULL, 0);
    *pid = 0;
}

/* --- the child ------------------------------------------------------------------------------- */

/* Waits for the child. Loss of the lock and signals to us end it: SIGTERM, then SIGKILL. */
static int guard(struct run *r, struct error *err)
{
    struct timespec patience = { .tv_sec = KILL_AFTER_S };
    bool ending = false;
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    for (;;) {
        int status, got;
        if (waitpid(r->child, &status, WNOHANG) == r->child) return child_status(status, err);
        bool lost = r->monitor > 0 && waitpid(r->monitor, NULL, WNOHANG) == r->monitor;
        if (lost) {
            r->monitor = 0;
            progress(r, "Lock lost, killing child");
        }
        if (lost && !ending) {
            kill(r->child, SIGTERM);
            ending = true;
        }
        got = ending ? sigtimedwait(&wanted, NULL, &patience) : sigwaitinfo(&wanted, NULL);
        if (got < 0 && errno == EAGAIN) kill(r->child, SIGKILL);
        if (got == SIGINT || got == SIGTERM) {
            progress(r, "Shutdown triggered, killing child");
            kill(r->child, got);
            ending = true;
        }
    }
}

static int child_run(struct run *r)
{
    struct cli *c = r->c;
    struct error err = { 0 };
    struct list words = { .v = (struct str *)c->args.v + 1, .n = c->args.n - 1 };
    static const char *const environment[] = { "CONSUL_LOCK_HELD", "true", NULL };
    const struct child_options options = { .words = &words,
        .shell = cli_bool(c, "shell"),
        .environment = environment,
        .pass_input = cli_bool(c, "pass-stdin") };
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    monitor_start(r);
    progress(r, "Starting handler");
    int rc = child_start(c, &options, &r->child, &err);
    const char *doing = rc ? "starting" : "running";
    if (rc == 0) rc = guard(r, &err);
    helper_stop(&r->monitor);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (rc) cli_fail(c, "Error %s handler: %s", doing, err.text);
    return rc && cli_bool(c, "child-exit-code") ? 2 : 0;
}

/* --- the command ----------------------------------------------------------------------------- */

static int release(struct run *r)
{
    struct error err;
    bool in_use;
    progress(r, "Child terminated, releasing lock");
    if (r->kind->release(r->c, &r->lock, &err) != 0)
        return cli_fail(r->c, "Lock release failed: %s", err.text);
    if (r->kind->clean(r->c, &r->lock, &in_use, &err) != 0)
        return cli_fail(r->c, "Lock cleanup failed: %s", err.text);
    progress(r, in_use ? "Cleanup aborted, lock in use" : "Cleanup succeeded");
    return 0;
}

static int hold(struct run *r)
{
    struct error err;
    progress(r, "Attempting lock acquisition");
    int rc = r->kind->acquire(r->c, &r->lock, &err);
    if (rc == ERR_CANCELLED)
        return cli_fail(r->c, "Shutdown triggered or timeout during lock acquisition");
    if (rc) return cli_fail(r->c, "Lock acquisition failed: %s", err.text);
    int status = child_run(r);
    int released = release(r);
    return status ? status : released;
}

static int check(struct cli *c)
{
    if (cli_int(c, "monitor-retry") < 0)
        return cli_fail(c, "Number for 'monitor-retry' must be >= 0");
    if (cli_int(c, "n") <= 0) return cli_fail(c, "Lock holder limit must be positive");
    if (c->args.n < 2) return cli_fail(c, "Key prefix and child command must be specified");
    if (cli_duration(c, "try") < 0) return cli_fail(c, "Timeout must be positive");
    return 0;
}

static int lock(struct cli *c)
{
    struct error err;
    struct run r = { .c = c };
    if (check(c) != 0 || client_greet(c) != 0) return 1;
    struct str prefix = cli_arg(c, 0);
    if (prefix.n && prefix.p[0] == '/') prefix = str_slice(prefix, 1, prefix.n);
    while (prefix.n && prefix.p[prefix.n - 1] == '/')
        prefix.n--;
    r.lock = (struct lock){ .prefix = prefix,
        .limit = cli_uint(c, "n"),
        .try_ns = cli_is_given(c, "try") ? cli_duration(c, "try") : cli_duration(c, "timeout"),
        .monitor_retries = cli_uint(c, "monitor-retry") };
    r.kind = r.lock.limit == 1 ? &lock_mutex : &lock_semaphore;
    struct str key = lock_key(c, &r.lock);
    struct str what = r.lock.limit == 1
                          ? str_printf(&c->arena, "lock at path: %.*s", STR_ARG(key))
                          : str_printf(&c->arena, "semaphore (limit %llu) at prefix: %.*s",
                                (unsigned long long)r.lock.limit, STR_ARG(prefix));
    progress(&r, str_printf(&c->arena, "Setting up %.*s", STR_ARG(what)).p);
    if (r.lock.limit > 1 && prefix.n == 0) return cli_fail(c, "Lock setup failed: missing prefix");
    if (session_create(&r, &err) != 0) return cli_fail(c, "Lock setup failed: %s", err.text);
    keeper_start(&r);
    int status = hold(&r);
    helper_stop(&r.keeper);
    if (session_call(c, "destroy", r.lock.session, &err) != 0 && status == 0)
        return cli_fail(c, "Error destroying session: %s", err.text);
    return status;
}

static const struct cli_flag lock_flags[] = {
    { CLI_BOOL, "child-exit-code", .usage = "Exits with 2 if the child failed." },
    { CLI_INT, "monitor-retry", .value = "3",
        .usage = "How often reading the lock may fail in a row before it counts as lost." },
    { CLI_INT, "n", .value = "1", .usage = "Holders at most; above 1 a semaphore is used." },
    { CLI_STRING, "name", .usage = "Name of the session." },
    { CLI_BOOL, "pass-stdin", .usage = "The child reads our standard input." },
    { CLI_BOOL, "shell", .value = "true", .usage = "Runs the child with a shell." },
    { CLI_DURATION, "timeout", .usage = "Gives up acquiring after this time. Prefer -try." },
    { CLI_DURATION, "try", .usage = "Gives up acquiring after this time." },
    { CLI_BOOL, "verbose", .usage = "Tells what is being done." },
    { 0 },
};

const struct cli_command cli_lock_commands[] = {
    { "lock", "Execute a command holding a lock", "[options] prefix child...",
        CLI_CLIENT | CLI_SERVER, lock_flags, .run = lock,
        .about = "Runs the child while the lock PREFIX/.lock is held, and ends it when the lock "
                 "is lost." },
    { 0 },
};
