/* SPDX-License-Identifier: Apache-2.0 */
/* Docker checks: a command is run in a container through the engine's API, in three requests:
 * create, start (whose answer is the output), inspect (agent.md 5.4). */
#include <stdlib.h>
#include <string.h>

#include "check_probe.h"
#include "consuld/base/outside.h"
#include "consuld/mux/http_client.h"
#include "consuld/wire/json.h"

#define HOST_DEFAULT "unix:///var/run/docker.sock"
#define TIMEOUT_MS 600000 /* of the whole run, unless the check has one */
#define REQUEST_MAX ((size_t)1 << 20)
#define ANSWER_MAX ((size_t)64 << 10)

enum step { CREATE, START, INSPECT };

static const char *const step_words[] = { "create", "start", "inspect" };

struct check_runner {
    struct exchange x;
    struct http_client client;
    bool open; /* client is initialised */
    enum step step;
    struct str exec_id;
    struct str output; /* of the command */
    struct str url;    /* of the request */
};

static bool fits(const struct check_type *t)
{
    return t->docker_container_id.n && t->script_args.n && t->interval > 0;
}

static struct str container(const struct check_runner *r)
{
    return r->x.probe.check->type.docker_container_id;
}

static void request_end(struct check_runner *r)
{
    exchange_hang_up(&r->x);
    if (r->open) http_client_deinit(&r->client);
    r->open = false;
}

static void finish(struct check_runner *r, const char *status, struct str output)
{
    timer_stop(&r->x.timeout);
    request_end(r);
    probe_result(&r->x.probe, status, output, false);
    arena_reset(&r->x.arena);
}

/* "create exec failed " and more */
static void failed(struct check_runner *r, struct str why)
{
    finish(r, "critical",
        str_printf(&r->x.arena, "%s exec failed %.*s", step_words[r->step], STR_ARG(why)));
}

static void broken(struct check_runner *r, const char *why)
{
    failed(r, str_printf(&r->x.arena, "for container %.*s: %s \"%.*s\": %s", STR_ARG(container(r)),
                  r->step == INSPECT ? "Get" : "Post", STR_ARG(r->url), why));
}

/* --- answers -----------------------------------------------------------------------------------
 */

static void next(struct check_runner *r);

static struct str captured(struct check_runner *r)
{
    struct str body = http_client_body(&r->client);
    uint64_t total = r->client.body_total;
    if (total <= body.n) return str_dup(&r->x.arena, body);
    struct str head = str_printf(
        &r->x.arena, "Captured %zu of %llu bytes\n...\n", body.n, (unsigned long long)total);
    return probe_text(&r->x.arena, head, body);
}

static const struct value *answer_field(struct check_runner *r, const char *name, struct value *v)
{
    struct error err;
    struct str body = str_dup(&r->x.arena, http_client_body(&r->client));
    if (json_parse(body, &r->x.arena, v, &err) == 0) {
        const struct value *field = value_get(v, str_of(name));
        if (field) return field;
        error_set(&err, ERR_DECODE, "no %s", name);
    }
    finish(r, "critical",
        str_printf(&r->x.arena, "%s exec response for container %.*s cannot be parsed: %s",
            step_words[r->step], STR_ARG(container(r)), err.text));
    return NULL;
}

static void created(struct check_runner *r)
{
    struct value v;
    const struct value *id = answer_field(r, "Id", &v);
    if (!id) return;
    r->exec_id = id->kind == V_STR ? id->s : STR("");
    r->step = START;
    next(r);
}

static void inspected(struct check_runner *r)
{
    struct value v;
    const struct value *code = answer_field(r, "ExitCode", &v);
    if (!code) return;
    bool zero = code->kind == V_NIL || (code->kind == V_NUMBER && str_is(code->s, "0"));
    bool one = code->kind == V_NUMBER && str_is(code->s, "1");
    finish(r, zero ? "passing" : one ? "warning" : "critical", r->output);
}

static void refused(struct check_runner *r, int status)
{
    struct arena *a = &r->x.arena;
    struct str id = container(r), body = http_client_body(&r->client);
    if (status == 404 && r->step == CREATE) {
        failed(r, str_printf(a, "for unknown container %.*s", STR_ARG(id)));
    } else if (status == 404) {
        failed(r, str_printf(a, "for container %.*s: invalid exec id %.*s", STR_ARG(id),
                      STR_ARG(r->exec_id)));
    } else if (status == 409 && r->step != INSPECT) {
        failed(r, str_printf(a, "since container %.*s is paused or stopped", STR_ARG(id)));
    } else if (r->step == START) {
        failed(r, str_printf(a, "for container %.*s with status %d: body: %.*s err: <nil>",
                      STR_ARG(id), status, STR_ARG(body)));
    } else {
        failed(r, str_printf(a, "for container %.*s with status %d: %.*s", STR_ARG(id), status,
                      STR_ARG(body)));
    }
}

static void answered(struct check_runner *r)
{
    int status = r->client.status;
    if (r->step == CREATE && status == 201) {
        created(r);
    } else if (r->step == START && status == 200) {
        r->output = captured(r);
        r->step = INSPECT;
        next(r);
    } else if (r->step == INSPECT && status == 200) {
        inspected(r);
    } else {
        refused(r, status);
    }
}

static void on_data(struct stream *s, struct str bytes)
{
    struct check_runner *r = s->owner;
    if (!r) return;
    if (http_client_recv(&r->client, bytes) != 0) {
        broken(r, "net/http: HTTP/1.x transport connection broken: malformed HTTP response");
    } else if (r->client.done) {
        answered(r);
    }
}

/* The engine may break the connection off after the output of a command. */
static void ended(struct check_runner *r, bool whole)
{
    if (whole || (r->step == START && r->client.status)) {
        answered(r);
    } else {
        broken(r, "EOF");
    }
}

static void on_eof(struct stream *s)
{
    struct check_runner *r = s->owner;
    if (r) ended(r, http_client_eof(&r->client) == 0);
}

static void on_closed(struct stream *s, int code)
{
    struct check_runner *r = s->owner;
    (void)code;
    if (!r) return;
    r->x.stream = NULL;
    ended(r, false);
}

static const struct stream_events events = { .data = on_data, .eof = on_eof, .closed = on_closed };

/* --- requests ----------------------------------------------------------------------------------
 */

static void put_flag(struct arena *a, struct value *v, const char *name, bool on)
{
    *value_map_add(a, v, str_of(name)) = (struct value){ .kind = V_BOOL, .b = on };
}

static void request_body(struct check_runner *r, struct buf *out)
{
    const struct list *args = &r->x.probe.check->type.script_args;
    struct value v = { .kind = V_MAP };
    struct arena *a = &r->x.arena;
    if (r->step == INSPECT) return;
    if (r->step == START) {
        put_flag(a, &v, "Detach", false);
        put_flag(a, &v, "Tty", true);
    } else {
        put_flag(a, &v, "AttachStdin", false);
        put_flag(a, &v, "AttachStdout", true);
        put_flag(a, &v, "AttachStderr", true);
        put_flag(a, &v, "Tty", false);
        struct value *cmd = value_map_add(a, &v, STR("Cmd"));
        *cmd = (struct value){ .kind = V_LIST };
        for (size_t i = 0; i < args->n; i++)
            *value_list_add(a, cmd) = value_of_str(LIST_AT(args, struct str, i));
    }
    json_encode_value(&v, false, out);
    buf_put_char(out, '\n');
}

/* As Go's url.QueryEscape. */
static struct str escaped(struct arena *a, struct str text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = arena_alloc(a, 3 * text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c && strchr("-_.~", c));
        if (plain || c == ' ') {
            out[n++] = plain ? (char)c : '+';
        } else {
            out[n++] = '%';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
    }
    return (struct str){ out, n };
}

static struct str request_path(struct check_runner *r)
{
    struct arena *a = &r->x.arena;
    if (r->step == CREATE)
        return str_printf(a, "/containers/%.*s/exec", STR_ARG(escaped(a, container(r))));
    return str_printf(
        a, "/exec/%.*s/%s", STR_ARG(escaped(a, r->exec_id)), r->step == START ? "start" : "json");
}

static void connected(struct dial *d, struct stream *s)
{
    struct check_runner *r = container_of(d, struct check_runner, x.dial);
    if (!s) {
        broken(r, str_c(&r->x.arena, str_of(d->err.text)));
        return;
    }
    struct buf body = BUF_INIT(REQUEST_MAX), out = BUF_INIT(2 * REQUEST_MAX);
    struct str host = d->host.p[0] == '/'
                          ? STR("docker")
                          : str_printf(&r->x.arena, "%.*s:%u", STR_ARG(d->host), d->port);
    r->x.stream = s;
    http_client_init(&r->client, r->step == START ? probe_output_max(&r->x.probe) : ANSWER_MAX);
    r->open = true;
    request_body(r, &body);
    buf_printf(&out, "%s %.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: Go-http-client/1.1\r\n",
        r->step == INSPECT ? "GET" : "POST", STR_ARG(request_path(r)), STR_ARG(host));
    if (body.n)
        buf_printf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.n);
    buf_put_c(&out, "Connection: close\r\n\r\n");
    buf_put_str(&out, buf_str(&body));
    struct stream_part part = { .p = out.p, .n = out.n };
    if (out.overflow || body.overflow || stream_write(s, &part, 1) == ERR_FULL)
        broken(r, "request too large");
    buf_deinit(&body);
    buf_deinit(&out);
}

/* Where the engine is; false if the environment does not say it well. */
static bool engine(struct check_runner *r, struct dial *d)
{
    const char *given = getenv("DOCKER_HOST");
    struct str host = str_of(given && *given ? given : HOST_DEFAULT), rest;
    struct str address;
    if (str_has_prefix(host, STR("unix://"))) {
        d->host = str_dup(&r->x.arena, str_slice(host, strlen("unix://"), host.n));
        return d->host.n && d->host.p[0] == '/';
    }
    if (!str_has_prefix(host, STR("tcp://"))) return false;
    host = str_slice(host, strlen("tcp://"), host.n);
    if (!str_cut(host, '/', &address, &rest)) address = host;
    return !probe_address(str_dup(&r->x.arena, address), &d->host, &d->port, &r->x.arena);
}

static void next(struct check_runner *r)
{
    request_end(r);
    r->x.dial = (struct dial){ .world = r->x.probe.check->local->opts.world,
        .events = &events,
        .owner = r,
        .done = connected };
    if (!engine(r, &r->x.dial)) {
        finish(r, "critical",
            str_printf(&r->x.arena, "unable to parse docker host `%s`", getenv("DOCKER_HOST")));
        return;
    }
    struct str host =
        r->x.dial.host.p[0] == '/' ? escaped(&r->x.arena, r->x.dial.host) : r->x.dial.host;
    r->url = str_printf(&r->x.arena, "http://%.*s%.*s", STR_ARG(host), STR_ARG(request_path(r)));
    dial_start(&r->x.dial);
}

static void on_timeout(struct timer *t)
{
    struct check_runner *r = container_of(t, struct check_runner, x.timeout);
    broken(r, "context deadline exceeded");
}

static void run(struct probe *p)
{
    struct check_runner *r = container_of(p, struct check_runner, x.probe);
    r->step = CREATE;
    r->exec_id = r->output = STR("");
    timer_start(&r->x.timeout, probe_timeout_ms(p, TIMEOUT_MS));
    next(r);
}

static struct check_runner *start(struct local_check *c)
{
    return exchange_start(c, sizeof(struct check_runner), run, on_timeout);
}

static void stop(struct check_runner *r)
{
    request_end(r);
    exchange_stop(&r->x);
}

const struct check_kind check_kind_docker = { "docker", fits, start, stop };
