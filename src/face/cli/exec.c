/* SPDX-License-Identifier: Apache-2.0 */
/* `exec`: a job below PREFIX/SESSION/, an event that names it, and what the agents write next to
 * it: NODE/ack, NODE/out/NNNNN, NODE/exit. The session's end takes it all away. */
#include <ctype.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "consuld/lang/regex.h"
#include "consuld/model.h"
#include "lock.h"

#define SESSION_TTL_S 15
#define RENEW_NS INT64_C(5000000000)
#define USAGE_STATUS 2 /* some node failed */

struct remote_job {
    struct cli *c;
    struct str command; /* with a shell */
    struct list words;  /* without: struct str */
    struct str script;  /* standard input instead of both */
    struct str session;
    struct str folder; /* PREFIX/SESSION/ */
    struct list seen;  /* struct str: keys */
    uint64_t index;
    int64_t renewed, heard;
    size_t acks, exits, faults;
};

static void told(struct remote_job *j, const char *line)
{
    if (cli_bool(j->c, "verbose")) cli_say(j->c, "%s", line);
}

/* --- arguments -------------------------------------------------------------------------------- */

static int check_filters(struct cli *c)
{
    static const char *const filters[] = { "node", "service", "tag" };
    struct error err;
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        struct str text = cli_text(c, filters[i]);
        if (text.n && !regex_compile(text, &c->arena, &err))
            return cli_fail(c, "Failed to compile %s filter regexp: %s", filters[i], err.text);
    }
    if (cli_text(c, "tag").n && !cli_text(c, "service").n)
        return cli_fail(c, "Cannot provide tag filter without service filter.");
    return 0;
}

static int read_arguments(struct remote_job *j)
{
    struct cli *c = j->c;
    struct error err;
    j->command = texts_join(c, &c->args, " ");
    if (str_is(j->command, "-")) {
        if (!cli_bool(c, "shell"))
            return cli_fail(c, "Cannot configure -shell=false when reading from stdin");
        j->command = STR("");
        if (cli_read_stdin(c, &j->script, &err) != 0)
            return cli_fail_help(c, "Failed to read stdin: %s", err.text);
    } else if (!cli_bool(c, "shell")) {
        j->command = STR("");
        j->words = c->args;
    }
    if (!j->command.n && !j->script.n && !j->words.n)
        return cli_fail_help(c, "Must specify a command to execute");
    return check_filters(c);
}

/* --- the session ------------------------------------------------------------------------------ */

/* A server of another datacenter that can hold the session there. */
static int foreign_node(struct cli *c, struct str *out, struct error *err)
{
    struct value found;
    struct client_request r = { .method = "GET", .path = STR("/v1/health/service/consul") };
    client_query(c, &r, "passing", STR("1"));
    if (client_json(c, &r, &found, err) != 0)
        return error_prefix(err, "Failed to find Consul server in remote datacenter: ");
    if (found.kind != V_LIST || found.list.n == 0)
        return error_set(err, ERR_NOT_FOUND, "Failed to find Consul server in remote datacenter");
    *out = value_text(value_at(&found.list.v[0], "Node"), "Node");
    return 0;
}

static int session_create(struct remote_job *j, bool foreign, struct error *err)
{
    struct cli *c = j->c;
    struct buf body = BUF_INIT(CLIENT_HEAD_MAX);
    struct json_writer w;
    struct value made;
    struct str node = STR("");
    if (foreign && foreign_node(c, &node, err) != 0) return err->code;
    json_begin(&w, &body, false);
    json_object(&w);
    json_key(&w, "Name");
    json_str(&w, STR("Remote Exec"));
    json_key(&w, "Behavior");
    json_str(&w, STR("delete"));
    json_key(&w, "TTL");
    json_str(&w, str_printf(&c->arena, "%ds", SESSION_TTL_S));
    if (foreign) {
        json_key(&w, "Node");
        json_str(&w, node);
        json_key(&w, "NodeChecks");
        json_array(&w);
        json_array_end(&w);
    }
    json_object_end(&w);
    struct client_request r = { .method = "PUT",
        .path = STR("/v1/session/create"),
        .body = str_dup(&c->arena, buf_str(&body)) };
    buf_deinit(&body);
    if (client_json(c, &r, &made, err) != 0) return err->code;
    j->session = str_dup(&c->arena, value_text(&made, "ID"));
    j->folder =
        str_printf(&c->arena, "%.*s/%.*s/", STR_ARG(cli_text(c, "prefix")), STR_ARG(j->session));
    j->renewed = lock_now_ns();
    return 0;
}

static void session_call(struct remote_job *j, const char *what)
{
    struct client_response ignored;
    struct error err;
    struct client_request r = { .method = "PUT",
        .path = str_printf(&j->c->arena, "/v1/session/%s/%.*s", what, STR_ARG(j->session)) };
    if (client_call(j->c, &r, &ignored, &err) != 0 && strcmp(what, "renew") == 0)
        cli_fail(j->c, "Session renew failed: %s", err.text);
    j->renewed = lock_now_ns();
}

/* --- the job ---------------------------------------------------------------------------------- */

static struct str job_text(struct remote_job *j)
{
    struct cli *c = j->c;
    struct buf b = BUF_INIT(CLI_INPUT_MAX);
    struct json_writer w;
    json_begin(&w, &b, false);
    json_object(&w);
    json_key(&w, "Command");
    json_str(&w, j->command);
    json_key(&w, "Args");
    if (j->words.n) {
        json_array(&w);
        for (size_t i = 0; i < j->words.n; i++)
            json_str(&w, LIST_AT(&j->words, struct str, i));
        json_array_end(&w);
    } else {
        json_null(&w);
    }
    json_key(&w, "Script");
    if (j->script.n)
        json_base64(&w, j->script);
    else
        json_null(&w);
    json_key(&w, "Wait");
    json_u64(&w, (uint64_t)cli_duration(c, "wait"));
    json_object_end(&w);
    struct str out = str_dup(&c->arena, buf_str(&b));
    buf_deinit(&b);
    return out;
}

static int upload(struct remote_job *j, struct error *err)
{
    struct cli *c = j->c;
    struct client_response response;
    struct str key = str_printf(&c->arena, "%.*sjob", STR_ARG(j->folder));
    struct client_request r = {
        .method = "PUT", .path = client_path(c, "/v1/kv/", key), .body = job_text(j)
    };
    client_query(c, &r, "acquire", j->session);
    int rc = client_call(c, &r, &response, err);
    if (rc || str_is(str_trim(response.body), "true")) return rc;
    return error_set(err, ERR_CONFLICT, "failed to acquire key %.*s", STR_ARG(key));
}

static int fire(struct remote_job *j, struct str *id, struct error *err)
{
    static const char *const filters[] = { "node", "service", "tag" };
    struct cli *c = j->c;
    struct value fired;
    struct client_request r = { .method = "PUT",
        .path = STR("/v1/event/fire/_rexec"),
        .body = str_printf(&c->arena, "{\"Prefix\":\"%.*s\",\"Session\":\"%.*s\"}",
            STR_ARG(cli_text(c, "prefix")), STR_ARG(j->session)) };
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        if (cli_text(c, filters[i]).n) client_query(c, &r, filters[i], cli_text(c, filters[i]));
    int rc = client_json(c, &r, &fired, err);
    if (rc == 0) *id = value_text(&fired, "ID");
    return rc;
}

/* --- results ---------------------------------------------------------------------------------- */

static bool seen_before(struct remote_job *j, struct str key)
{
    for (size_t i = 0; i < j->seen.n; i++)
        if (str_eq(LIST_AT(&j->seen, struct str, i), key)) return true;
    *LIST_PUSH(&j->c->arena, &j->seen, struct str) = str_dup(&j->c->arena, key);
    return false;
}

static bool read_key(struct remote_job *j, struct str key, struct str *out)
{
    struct client_response response;
    struct error err = { 0 };
    struct client_request r = { .method = "GET", .path = client_path(j->c, "/v1/kv/", key) };
    client_query(j->c, &r, "raw", STR(""));
    if (client_call(j->c, &r, &response, &err) != 0) {
        cli_fail(j->c, "Failed to read key '%.*s': %s", STR_ARG(key), err.text);
        return false;
    }
    *out = response.body;
    return true;
}

static void put_output(struct remote_job *j, struct str node, struct str output)
{
    struct str line, rest = output;
    if (!output.n) {
        if (cli_bool(j->c, "verbose")) cli_say(j->c, "==> %.*s: heartbeat received", STR_ARG(node));
        return;
    }
    struct buf text = BUF_INIT(CLI_INPUT_MAX);
    for (bool more = true; more;) {
        more = str_cut(rest, '\n', &line, &rest);
        buf_printf(&text, "    %.*s: %.*s\n", STR_ARG(node), STR_ARG(line));
    }
    struct str shown = buf_str(&text);
    while (shown.n && isspace((unsigned char)shown.p[shown.n - 1]))
        shown.n--;
    cli_say(j->c, "%.*s", STR_ARG(shown));
    buf_deinit(&text);
}

static void take(struct remote_job *j, struct str key)
{
    struct cli *c = j->c;
    struct str name = str_slice(key, j->folder.n, key.n), value;
    ptrdiff_t output = str_find(name, STR("/out/"));
    int64_t code;
    if (str_is(name, "job")) return;
    if (str_has_suffix(name, STR("/ack"))) {
        j->acks++;
        if (cli_bool(c, "verbose"))
            cli_say(c, "==> %.*s: acknowledged", (int)(name.n - strlen("/ack")), name.p);
    } else if (str_has_suffix(name, STR("/exit"))) {
        if (!read_key(j, key, &value)) return;
        if (!str_to_i64(value, &code)) {
            cli_fail(c, "Failed to parse exit code '%.*s'", STR_ARG(value));
            return;
        }
        j->exits++;
        j->faults += code != 0;
        cli_say(c, "==> %.*s: finished with exit code %lld", (int)(name.n - strlen("/exit")),
            name.p, (long long)code);
    } else if (output >= 0) {
        if (read_key(j, key, &value)) put_output(j, str_slice(name, 0, (size_t)output), value);
    } else {
        cli_fail(c, "Unknown key '%.*s', ignoring.", STR_ARG(name));
    }
    j->heard = lock_now_ns();
}

/* One look at the keys, waiting at most `wait_ns` for a change. */
static int poll(struct remote_job *j, int64_t wait_ns)
{
    struct cli *c = j->c;
    struct error err;
    struct client_response response;
    struct value keys = { 0 };
    struct client_request r = { .method = "GET", .path = client_path(c, "/v1/kv/", j->folder) };
    client_query(c, &r, "keys", STR(""));
    client_query(
        c, &r, "wait", str_printf(&c->arena, "%lldms", (long long)(wait_ns / 1000000 + 1)));
    if (j->index) client_query(c, &r, "index", lock_number(c, j->index));
    if (client_send(c, &r, &response, &err) != 0 ||
        (response.status == 200 && json_parse(response.body, &c->arena, &keys, &err) != 0))
        return cli_fail(c, "Failed to read results: %s", err.text);
    j->index = response.index;
    for (int ends = 0; ends < 2; ends++) /* a status after the output */
        for (size_t i = 0; keys.kind == V_LIST && i < keys.list.n; i++) {
            struct str key = keys.list.v[i].kind == V_STR ? keys.list.v[i].s : STR("");
            if (str_has_suffix(key, STR("/exit")) != ends || !str_has_prefix(key, j->folder))
                continue;
            if (!seen_before(j, key)) take(j, key);
        }
    fflush(c->io.out);
    return 0;
}

static int wait_for_job(struct remote_job *j)
{
    struct cli *c = j->c;
    int64_t started = lock_now_ns();
    j->heard = started;
    for (;;) {
        int64_t quiet = cli_duration(c, "wait") * (j->acks > j->exits ? 2 : 1);
        int64_t left = j->heard + quiet - lock_now_ns();
        if (left <= 0) break;
        if (poll(j, left) != 0) return 1;
        if (lock_now_ns() - j->renewed > RENEW_NS) session_call(j, "renew");
    }
    cli_say(c, "%zu / %zu node(s) completed / acknowledged", j->exits, j->acks);
    if (cli_bool(c, "verbose"))
        cli_say(c, "Completed in %0.2f seconds", (double)(lock_now_ns() - started) / 1e9);
    return j->faults || j->exits < j->acks ? USAGE_STATUS : 0;
}

/* --- the command ------------------------------------------------------------------------------ */

static int run_job(struct remote_job *j)
{
    struct cli *c = j->c;
    struct error err;
    struct str id;
    int64_t pause = cli_duration(c, "wait-repl");
    struct timespec replication = { .tv_sec = pause / 1000000000, .tv_nsec = pause % 1000000000 };
    told(j, str_printf(&c->arena, "Created remote execution session: %.*s", STR_ARG(j->session)).p);
    if (upload(j, &err) != 0) return cli_fail(c, "Failed to create job file: %s", err.text);
    told(j, "Uploaded remote execution spec");
    /* so that agents find the job in the state of any server */
    nanosleep(&replication, NULL);
    if (fire(j, &id, &err) != 0) return cli_fail(c, "Failed to fire event: %s", err.text);
    told(j, str_printf(&c->arena, "Fired remote execution event: %.*s", STR_ARG(id)).p);
    return wait_for_job(j);
}

static void clean(struct remote_job *j)
{
    struct client_response ignored;
    struct error err;
    struct client_request r = { .method = "DELETE",
        .path = client_path(j->c, "/v1/kv/", j->folder) };
    session_call(j, "destroy"); /* first, so that no agent writes any more */
    client_query(j->c, &r, "recurse", STR(""));
    if (client_call(j->c, &r, &ignored, &err) != 0) told(j, err.text);
}

static int exec(struct cli *c)
{
    struct remote_job j = { .c = c };
    struct error err;
    struct value self;
    if (read_arguments(&j) != 0) return 1;
    if (client_get(c, STR("/v1/agent/self"), &self, &err) != 0)
        return cli_fail(c, "Error querying Consul agent: %s", err.text);
    struct str datacenter = cli_text(c, "datacenter");
    bool foreign =
        datacenter.n && !str_eq(datacenter, value_text(value_at(&self, "Config"), "Datacenter"));
    if (foreign) told(&j, "Remote exec in foreign datacenter, using Session TTL");
    if (session_create(&j, foreign, &err) != 0)
        return cli_fail(c, "Failed to create session: %s", err.text);
    int status = run_job(&j);
    clean(&j);
    return status;
}

static const struct cli_flag exec_flags[] = {
    { CLI_STRING, "node", .usage = "Regular expression on the names of the nodes that run it." },
    { CLI_STRING, "prefix", .value = "_rexec", .usage = "Where the job stands among the keys." },
    { CLI_STRING, "service", .usage = "Regular expression on services: only nodes with one." },
    { CLI_BOOL, "shell", .value = "true", .usage = "Runs the command with a shell." },
    { CLI_STRING, "tag", .usage = "Regular expression on the service's tags; with -service." },
    { CLI_BOOL, "verbose", .usage = "Tells what is being done." },
    { CLI_DURATION, "wait", .value = "2s",
        .usage = "How long nothing may be heard before the end." },
    { CLI_DURATION, "wait-repl", .value = "200ms",
        .usage = "Pause between writing the job and telling of it." },
    { 0 },
};

const struct cli_command cli_exec_commands[] = {
    { "exec", "Executes a command on Consul nodes", "[options] [-|command...]",
        CLI_CLIENT | CLI_SERVER, exec_flags, .run = exec,
        .about = "Runs the command, or the script on standard input for -, on the nodes whose "
                 "agents allow it (disable_remote_exec = false)." },
    { 0 },
};
