/* SPDX-License-Identifier: Apache-2.0 */
/* TCP checks: passing if a connection comes to stand. */
#include <stdlib.h>

#include "check_probe.h"
#include "consuld/base/outside.h"

#define TIMEOUT_MS 10000

struct check_runner {
    struct probe probe;
    struct dial dial;
};

static bool fits(const struct check_type *t)
{
    return t->tcp.n && t->interval > 0;
}

static void ignore_data(struct stream *s, struct str bytes)
{
    (void)s;
    (void)bytes;
}

static void ignore_closed(struct stream *s, int code)
{
    (void)s;
    (void)code;
}

static const struct stream_events events = {
    .data = ignore_data, .eof = stream_close, .closed = ignore_closed
};

static void done(struct dial *d, struct stream *s)
{
    struct check_runner *r = container_of(d, struct check_runner, dial);
    struct arena a = ARENA_INIT;
    struct str tcp = r->probe.check->type.tcp;
    struct str error = str_of(d->err.text), loopback = STR("dial tcp 127.0.0.1:");
    if (tcp.p[0] == ':' && str_has_prefix(error, loopback))
        error = str_printf(&a, "dial tcp :%.*s", STR_ARG(str_slice(error, loopback.n, error.n)));
    if (s) {
        stream_close(s);
        probe_result(
            &r->probe, "passing", str_printf(&a, "TCP connect %.*s: Success", STR_ARG(tcp)), false);
    } else {
        log_warn("agent", "Check socket connection failed", "check",
            str_c(&a, r->probe.check->check.check_id), "error", str_c(&a, error));
        probe_result(&r->probe, "critical", error, false);
    }
    arena_free(&a);
}

static void run(struct probe *p)
{
    struct check_runner *r = container_of(p, struct check_runner, probe);
    struct str tcp = p->check->type.tcp, host, port = STR_NIL;
    struct arena a = ARENA_INIT;
    r->dial = (struct dial){ .world = p->check->local->opts.world,
        .timeout_ms = probe_timeout_ms(p, TIMEOUT_MS),
        .events = &events,
        .done = done };
    const char *fault = probe_address(tcp, &r->dial.host, &r->dial.port, &a);
    if (tcp.p[0] != '[' && str_cut(tcp, ':', &host, &port) && str_find_char(port, ':') >= 0)
        fault = str_printf(&a, "address %.*s: too many colons in address", STR_ARG(tcp)).p;
    if (fault) {
        probe_result(p, "critical", str_printf(&a, "dial tcp: %s", fault), false);
    } else {
        if (r->dial.host.n == 0) r->dial.host = STR("127.0.0.1");
        dial_start(&r->dial);
    }
    arena_free(&a);
}

static struct check_runner *start(struct local_check *c)
{
    struct check_runner *r = xcalloc(1, sizeof *r);
    probe_start(&r->probe, c, run);
    return r;
}

static void stop(struct check_runner *r)
{
    probe_stop(&r->probe);
    dial_cancel(&r->dial);
    free(r);
}

const struct check_kind check_kind_tcp = { "tcp", fits, start, stop };
