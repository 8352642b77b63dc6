/* SPDX-License-Identifier: Apache-2.0 */
/* `debug`: what an agent tells of itself, over a while, as one archive. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "debug_archive.h"
#include "lock.h"

#define SECOND_NS INT64_C(1000000000)
#define DURATION_MIN (10 * SECOND_NS)
#define INTERVAL_MIN (5 * SECOND_NS)
#define GRACE (2 * SECOND_NS) /* so that a last capture of a full interval ends */

static const char *const targets[] = { "metrics", "logs", "pprof", "host", "agent", "cluster" };
enum { TARGETS = sizeof targets / sizeof targets[0] };

struct capture {
    struct cli *c;
    bool wanted[TARGETS];
    const char *folder;
    int64_t interval, duration;
};

static bool wants(const struct capture *d, const char *target)
{
    for (size_t i = 0; i < TARGETS; i++)
        if (strcmp(targets[i], target) == 0) return d->wanted[i];
    return false;
}

static struct str duration_text(struct cli *c, int64_t ns)
{
    struct buf b = BUF_INIT(64);
    duration_format(ns, &b);
    struct str out = str_dup(&c->arena, buf_str(&b));
    buf_deinit(&b);
    return out;
}

/* --- what is asked for ------------------------------------------------------------------------ */

static int refuse(struct cli *c, const char *why)
{
    return cli_fail(c, "==> Capture validation failed: %s", why);
}

static int check_times(struct capture *d)
{
    struct cli *c = d->c;
    d->duration = cli_duration(c, "duration");
    d->interval = cli_duration(c, "interval");
    if (d->duration < DURATION_MIN) return refuse(c, "duration must be longer than 10s");
    /* the bound is five seconds, the text is known */
    if (d->interval < INTERVAL_MIN) return refuse(c, "interval must be longer than 10s");
    if (d->duration >= d->interval) return 0;
    return refuse(
        c, str_printf(&c->arena, "duration (%.*s) must be longer than interval (%.*s)",
               STR_ARG(duration_text(c, d->duration)), STR_ARG(duration_text(c, d->interval)))
               .p);
}

static int choose(struct capture *d, const struct value *self)
{
    struct cli *c = d->c;
    struct list given = cli_list(c, "capture");
    for (size_t k = 0; k < TARGETS; k++)
        d->wanted[k] = given.n == 0;
    for (size_t i = 0; i < given.n; i++) {
        size_t k = 0;
        while (k < TARGETS && !str_is(LIST_AT(&given, struct str, i), targets[k]))
            k++;
        if (k == TARGETS)
            return refuse(c, str_printf(&c->arena, "target not found: %.*s",
                                 STR_ARG(LIST_AT(&given, struct str, i)))
                                 .p);
        d->wanted[k] = true;
    }
    if (wants(d, "pprof") && !value_bool(value_at(self, "DebugConfig"), "EnableDebug")) {
        d->wanted[2] = false;
        cli_fail(c, "==> [WARN] Unable to capture pprof. Set enable_debug to true on target agent "
                    "to enable profiling.");
    }
    return 0;
}

static int make_folder(struct capture *d)
{
    struct cli *c = d->c;
    struct str output = cli_text(c, "output");
    struct stat st;
    char why[128];
    if (!output.n) output = str_printf(&c->arena, "consul-debug-%lld", (long long)time(NULL));
    d->folder = str_c(&c->arena, output);
    if (stat(d->folder, &st) == 0)
        return refuse(c, str_printf(&c->arena, "output directory already exists: %s", d->folder).p);
    if (mkdir(d->folder, 0755) == 0) return 0;
    return refuse(c, str_printf(&c->arena, "could not create output directory: mkdir %s: %s",
                         d->folder, cli_reason(errno, why, sizeof why))
                         .p);
}

/* --- capturing -------------------------------------------------------------------------------- */

/* The answer to a GET, indented, in a file. */
static void save(struct cli *c, struct str path, const char *folder, const char *name)
{
    struct error err;
    struct client_response response;
    struct client_request r = { .method = "GET", .path = path };
    if (str_is(path, "/v1/agent/members")) client_query(c, &r, "wan", STR("1"));
    if (client_call(c, &r, &response, &err) != 0) {
        cli_fail(c, "==> Capture failure %s", err.text);
        return;
    }
    struct cli file = *c;
    file.io.out = fopen(str_printf(&c->arena, "%s/%s", folder, name).p, "w");
    if (!file.io.out) {
        cli_fail(c, "==> Capture failure %s: %s", name, strerror(errno));
        return;
    }
    cli_print_json(&file, response.body, "\t");
    fclose(file.io.out);
}

static int put_log(void *ctx, struct str bytes)
{
    FILE *f = ctx;
    return fwrite(bytes.p, 1, bytes.n, f) == bytes.n ? fflush(f) : -1;
}

/* A process that writes the agent's log until it is ended. */
static pid_t follow_log(struct cli *c, const char *folder)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct error err;
    struct client_response response;
    FILE *f = fopen(str_printf(&c->arena, "%s/consul.log", folder).p, "w");
    struct client_request r = {
        .method = "GET", .path = STR("/v1/agent/monitor"), .chunk = put_log, .ctx = f
    };
    client_query(c, &r, "loglevel", STR("DEBUG"));
    if (getppid() == parent && f && client_call(c, &r, &response, &err) != 0) _exit(1);
    _exit(0);
}

static void pause_for(int64_t ns)
{
    struct timespec left = { .tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static void tell(struct cli *c, const char *what, unsigned count)
{
    char text[64];
    time_t now = time(NULL);
    struct tm tm;
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %z %Z", localtime_r(&now, &tm));
    cli_say(c, "==> %s %s (%u)", what, text, count);
    fflush(c->io.out);
}

static void capture_interval(struct capture *d, int64_t ns)
{
    struct cli *c = d->c;
    const char *folder = str_printf(&c->arena, "%s/%lld", d->folder, (long long)time(NULL)).p;
    if (mkdir(folder, 0755) != 0 && errno != EEXIST) {
        cli_fail(c, "==> Capture failure %s: %s", folder, strerror(errno));
        return;
    }
    pid_t log = wants(d, "logs") ? follow_log(c, folder) : -1;
    if (wants(d, "metrics")) save(c, STR("/v1/agent/metrics"), folder, "metrics.json");
    if (wants(d, "pprof")) save(c, STR("/debug/state"), folder, "state.json");
    pause_for(ns);
    if (log > 0) {
        kill(log, SIGKILL);
        waitpid(log, NULL, 0);
    }
}

static void capture_all(struct capture *d)
{
    struct cli *c = d->c;
    int64_t end = lock_now_ns() + d->duration + GRACE;
    unsigned count = 0;
    if (wants(d, "host")) save(c, STR("/v1/agent/host"), d->folder, "host.json");
    if (wants(d, "agent")) save(c, STR("/v1/agent/self"), d->folder, "agent.json");
    if (wants(d, "cluster")) save(c, STR("/v1/agent/members"), d->folder, "cluster.json");
    if (!wants(d, "metrics") && !wants(d, "logs") && !wants(d, "pprof")) return;
    tell(c, "Beginning capture interval", 0);
    for (int64_t now; (now = lock_now_ns()) < end;) {
        bool whole = end - now >= d->interval;
        capture_interval(d, whole ? d->interval : end - now);
        if (whole) tell(c, "Capture successful", ++count);
    }
}

static bool save_index(struct capture *d, struct str version)
{
    struct cli *c = d->c;
    struct buf b = BUF_INIT(4096);
    struct json_writer w;
    json_begin(&w, &b, false);
    json_object(&w);
    json_key(&w, "Version");
    json_u64(&w, 1);
    json_key(&w, "AgentVersion");
    json_str(&w, version);
    json_key(&w, "Interval");
    json_str(&w, duration_text(c, d->interval));
    json_key(&w, "Duration");
    json_str(&w, duration_text(c, d->duration));
    json_key(&w, "Targets");
    json_array(&w);
    for (size_t i = 0; i < TARGETS; i++)
        if (d->wanted[i]) json_str(&w, str_of(targets[i]));
    json_array_end(&w);
    json_object_end(&w);
    struct cli file = *c;
    file.io.out = fopen(str_printf(&c->arena, "%s/index.json", d->folder).p, "w");
    if (file.io.out) cli_print_json(&file, buf_str(&b), "\t");
    buf_deinit(&b);
    return file.io.out && fclose(file.io.out) == 0;
}

/* --- the command ------------------------------------------------------------------------------ */

static void introduce(struct capture *d, struct str version, const char *archive)
{
    struct cli *c = d->c;
    struct list names = { 0 };
    for (size_t i = 0; i < TARGETS; i++)
        if (d->wanted[i]) *LIST_PUSH(&c->arena, &names, struct str) = str_of(targets[i]);
    cli_say(c, "==> Starting debugger and capturing static information...");
    cli_say(c, "     Agent Version: '%.*s'", STR_ARG(version));
    cli_say(c, "          Interval: '%.*s'", STR_ARG(duration_text(c, d->interval)));
    cli_say(c, "          Duration: '%.*s'", STR_ARG(duration_text(c, d->duration)));
    cli_say(c, "            Output: '%s'", archive);
    cli_say(c, "           Capture: '%.*s'", STR_ARG(texts_join(c, &names, ", ")));
}

static int debug(struct cli *c)
{
    struct capture d = { .c = c };
    struct error err;
    struct value self;
    if (c->args.n) return cli_fail(c, "==> debug: Too many arguments provided, expected 0");
    if (check_times(&d) != 0) return 1;
    if (client_get(c, STR("/v1/agent/self"), &self, &err) != 0)
        return refuse(c,
            str_printf(&c->arena,
                "error querying target agent: %s. verify connectivity and agent address", err.text)
                .p);
    if (choose(&d, &self) != 0 || make_folder(&d) != 0) return 1;
    bool pack = cli_bool(c, "archive");
    struct str version = value_text(value_at(&self, "Config"), "Version");
    const char *archive = str_printf(&c->arena, "%s%s", d.folder, pack ? ".tar.gz" : "").p;
    introduce(&d, version, archive);
    capture_all(&d);
    if (!save_index(&d, version)) return cli_fail(c, "==> Error creating index document");
    if (pack) {
        if (debug_archive(&c->arena, d.folder, archive, &err) != 0)
            return cli_fail(c, "==> Archive creation failed: %s", err.text);
        debug_remove(&c->arena, d.folder);
    }
    cli_say(c, "    Saved debug archive: %s", archive);
    return 0;
}

static const struct cli_flag debug_flags[] = {
    { CLI_BOOL, "archive", .value = "true", .usage = "Packs the folder into a .tar.gz." },
    { CLI_LIST, "capture",
        .usage = "What to capture: metrics, logs, pprof, host, agent or cluster; all "
                 "by default. May be given again. For pprof the state of the agent's parts is "
                 "captured." },
    { CLI_DURATION, "duration", .value = "2m", .usage = "How long to capture; 10s at least." },
    { CLI_DURATION, "interval", .value = "30s", .usage = "Time between captures; 5s at least." },
    { CLI_STRING, "output", .usage = "Folder, and name of the archive." },
    { 0 },
};

const struct cli_command cli_debug_commands[] = {
    { "debug", "Records a debugging archive for operators", "[options]", CLI_CLIENT, debug_flags,
        .run = debug },
    { 0 },
};
