/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC checks: the standard health service says SERVING (agent.md 5.4). */
#include <stdlib.h>
#include <string.h>

#include "check_probe.h"
#include "consuld/agent/http_dial.h"
#include "grpc_call.h"

#define TIMEOUT_MS 10000
#define HEALTH_PATH "/grpc.health.v1.Health/Check"
#define SERVING 1
#define UNREACHED "all SubConns are in TransientFailure, latest connection error: "

enum status {
    STATUS_UNKNOWN = 2,
    DEADLINE = 4,
    UNIMPLEMENTED = 12,
    INTERNAL = 13,
    UNAVAILABLE = 14
};

struct check_runner {
    struct exchange x;
    struct http_dial dial;
    struct http_url url;
    struct grpc_call call;
    struct str target;  /* as told in the output */
    struct str address; /* host:port */
    struct str service;
};

static bool fits(const struct check_type *t)
{
    return t->grpc.n && t->interval > 0;
}

static void run_end(struct check_runner *r)
{
    timer_stop(&r->x.timeout);
    http_dial_cancel(&r->dial);
    exchange_hang_up(&r->x);
    if (r->call.session) grpc_call_deinit(&r->call);
}

static void finish(struct check_runner *r, const char *status, struct str output)
{
    timer_stop(&r->x.timeout);
    probe_result(&r->x.probe, status, output, false);
    run_end(r);
    arena_reset(&r->x.arena);
}

static void failed(struct check_runner *r, int code, const char *why, const char *more)
{
    finish(r, "critical",
        str_printf(&r->x.arena, "rpc error: code = %s desc = %s%s",
            grpc_status_name(&r->x.arena, code).p, why, more));
}

/* --- the answer --------------------------------------------------------------------------------
 */

/* Field 1 of HealthCheckResponse; the last one counts. */
static bool serving(struct str message)
{
    uint64_t status = 0;
    for (size_t at = 0; at < message.n;) {
        uint64_t parts[2] = { 0, 0 }; /* key and value */
        for (size_t k = 0; k < 2; k++) {
            unsigned shift = 0;
            bool more = true;
            for (; more && at < message.n && shift < 64; shift += 7) {
                uint8_t byte = (uint8_t)message.p[at++];
                parts[k] |= (uint64_t)(byte & 0x7f) << shift;
                more = byte & 0x80;
            }
            if (more || (k == 0 && (parts[0] & 7) != 0)) return false; /* no other kind is known */
        }
        if (parts[0] == (1 << 3)) status = parts[1];
    }
    return status == SERVING;
}

static int code_of_http(int status)
{
    switch (status) {
    case 400:
        return INTERNAL;
    case 401:
        return 16;
    case 403:
        return 7;
    case 404:
        return UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return UNAVAILABLE;
    }
    return STATUS_UNKNOWN;
}

static const char *http_phrase(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    }
    return "";
}

static void not_grpc(struct check_runner *r)
{
    const struct grpc_call *c = &r->call;
    struct str type = buf_str(&c->content_type);
    struct str why = type.n ? str_printf(&r->x.arena,
                                  "received the unexpected content-type \"%.*s\"", STR_ARG(type))
                            : STR("missing content-type field");
    struct str text = str_printf(&r->x.arena, "%s: HTTP status code %d; transport: %.*s",
        http_phrase(c->http_status), c->http_status, STR_ARG(why));
    failed(r, code_of_http(c->http_status), text.p, "");
}

static void answered(struct check_runner *r)
{
    const struct grpc_call *c = &r->call;
    struct str message;
    bool grpc = str_has_prefix(buf_str(&c->content_type), STR("application/grpc"));
    if (c->http_status && !grpc) {
        not_grpc(r);
    } else if (c->grpc_status > 0) {
        failed(r, c->grpc_status, str_c(&r->x.arena, buf_str(&c->message)), "");
    } else if (c->grpc_status < 0) {
        failed(r, INTERNAL, "server closed the stream without sending trailers", "");
    } else if (!grpc_call_reply(c, &message) || !serving(message)) {
        finish(r, "critical", STR("gRPC application didn't report service healthy"));
    } else {
        finish(
            r, "passing", str_printf(&r->x.arena, "gRPC check %.*s: success", STR_ARG(r->target)));
    }
}

/* --- the connection ----------------------------------------------------------------------------
 */

static bool flush(struct check_runner *r)
{
    for (struct str out; (out = grpc_call_output(&r->call)).n;) {
        struct stream_part part = { .p = out.p, .n = out.n };
        if (stream_write(r->x.stream, &part, 1) != 0) return false;
    }
    return true;
}

static void on_data(struct stream *s, struct str bytes)
{
    struct check_runner *r = s->owner;
    if (!r) return;
    if (grpc_call_recv(&r->call, bytes) != 0) {
        failed(r, UNAVAILABLE, UNREACHED, "connection closed");
    } else if (r->call.done) {
        answered(r);
    } else if (!flush(r)) {
        failed(r, UNAVAILABLE, "transport is closing", "");
    }
}

static void on_eof(struct stream *s)
{
    struct check_runner *r = s->owner;
    if (r) failed(r, UNAVAILABLE, UNREACHED, "connection closed");
}

static void on_closed(struct stream *s, int code)
{
    struct check_runner *r = s->owner;
    struct tls_state tls = { 0 };
    (void)code;
    if (!r) return;
    if (r->dial.secure) tls_state(r->dial.tls, s, &tls);
    r->x.stream = NULL;
    if (tls.why && !tls.ready) {
        struct str why = str_printf(&r->x.arena,
            "connection error: desc = \"transport: authentication handshake failed: %s\"", tls.why);
        failed(r, UNAVAILABLE, UNREACHED, why.p);
    } else {
        failed(r, UNAVAILABLE, UNREACHED, "connection closed");
    }
}

static const struct stream_events events = { .data = on_data, .eof = on_eof, .closed = on_closed };

static struct str health_request(struct arena *a, struct str service)
{
    struct buf out = BUF_INIT(service.n + 16);
    if (service.n) {
        buf_put_char(&out, 1 << 3 | 2);
        size_t n = service.n;
        for (; n > 0x7f; n >>= 7)
            buf_put_char(&out, (char)(n | 0x80));
        buf_put_char(&out, (char)n);
        buf_put_str(&out, service);
    }
    struct str text = str_dup(a, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static void unreached(struct check_runner *r, const char *why)
{
    struct str text = str_printf(
        &r->x.arena, "connection error: desc = \"transport: Error while dialing %s\"", why);
    failed(r, UNAVAILABLE, UNREACHED, text.p);
}

static void connected(struct http_dial *d, struct stream *s)
{
    struct check_runner *r = container_of(d, struct check_runner, dial);
    if (!s) {
        unreached(r, str_c(&r->x.arena, str_of(d->err.text)));
        return;
    }
    r->x.stream = s;
    struct grpc_target target = { .authority = r->address,
        .path = STR(HEALTH_PATH),
        .tls = r->url.tls,
        .timeout_ms = probe_timeout_ms(&r->x.probe, TIMEOUT_MS) };
    grpc_call_init(&r->call, &target, health_request(&r->x.arena, r->service));
    if (!flush(r)) failed(r, UNAVAILABLE, "transport is closing", "");
}

static void on_timeout(struct timer *t)
{
    struct check_runner *r = container_of(t, struct check_runner, x.timeout);
    failed(r, DEADLINE, "context deadline exceeded", "");
}

static void run(struct probe *p)
{
    struct check_runner *r = container_of(p, struct check_runner, x.probe);
    static const char *const alpn[] = { "h2" };
    const struct check_type *t = &p->check->type;
    struct error err;
    r->target = expose_target(p->check, &r->x.arena, t->grpc);
    if (!str_cut(r->target, '/', &r->address, &r->service)) {
        r->address = r->target;
        r->service = STR("");
    }
    r->url = (struct http_url){ .tls = t->grpc_use_tls };
    const char *fault = probe_address(r->address, &r->url.host, &r->url.port, &r->x.arena);
    if (fault) {
        unreached(r, str_printf(&r->x.arena, "dial tcp: %s", fault).p);
        return;
    }
    r->dial = (struct http_dial){ .world = p->check->local->opts.world,
        .tls = p->check->local->opts.tls,
        .url = &r->url,
        .arena = &r->x.arena,
        .unverified = t->tls_skip_verify,
        .alpn = alpn,
        .n_alpn = 1,
        .grpc_agent = "grpc-go/1.25.1",
        .events = &events,
        .owner = r,
        .done = connected };
    if (http_dial_start(&r->dial, &err) != 0)
        unreached(r, err.text);
    else
        timer_start(&r->x.timeout, probe_timeout_ms(p, TIMEOUT_MS));
}

static struct check_runner *start(struct local_check *c)
{
    return exchange_start(c, sizeof(struct check_runner), run, on_timeout);
}

static void stop(struct check_runner *r)
{
    run_end(r);
    exchange_stop(&r->x);
}

const struct check_kind check_kind_grpc = { "grpc", fits, start, stop };
