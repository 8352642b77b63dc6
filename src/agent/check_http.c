/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP checks: 2xx passes, 429 warns, anything else is critical (agent.md 5.4). */
#include <stdlib.h>

#include "check_probe.h"
#include "http_request.h"

#define TIMEOUT_MS 10000
#define OUTPUT_TEXT_MAX ((size_t)1 << 20)

struct check_runner {
    struct probe probe;
    struct http_ask ask;
    struct arena arena; /* of the run */
};

static bool fits(const struct check_type *t)
{
    return t->http.n && t->interval > 0;
}

/* Bytes of the peer may be any. */
static struct str output_text(struct check_runner *r)
{
    const struct http_ask *k = &r->ask;
    struct buf out = BUF_INIT(OUTPUT_TEXT_MAX);
    struct str reason = buf_str(&k->client.reason), method = k->request.method;
    buf_printf(&out, "HTTP %.*s %.*s: %d", STR_ARG(method.n ? method : STR("GET")),
        STR_ARG(k->request.url), k->client.status);
    if (reason.n) buf_put_char(&out, ' ');
    buf_put_str(&out, reason);
    buf_put_c(&out, " Output: ");
    buf_put_str(&out, http_client_body(&k->client));
    struct str text = str_dup(&r->arena, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static void done(struct http_ask *k)
{
    struct check_runner *r = container_of(k, struct check_runner, ask);
    int s = k->error.n ? 0 : k->client.status;
    struct str output = k->error.n ? k->error : output_text(r);
    http_ask_end(k);
    probe_result(&r->probe,
        s >= 200 && s < 300 ? "passing"
        : s == 429          ? "warning"
                            : "critical",
        output, false);
    arena_reset(&r->arena);
}

static void run(struct probe *p)
{
    struct check_runner *r = container_of(p, struct check_runner, probe);
    const struct local_check *c = p->check;
    struct str target = expose_target(p->check, &r->arena, c->type.http);
    r->ask = (struct http_ask){ .world = c->local->opts.world,
        .tls = c->local->opts.tls,
        .request = http_check_request(&c->type, target),
        .unverified = c->type.tls_skip_verify,
        .body_max = probe_output_max(p),
        .timeout_ms = probe_timeout_ms(p, TIMEOUT_MS),
        .arena = &r->arena,
        .done = done };
    http_ask_start(&r->ask);
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
    http_ask_end(&r->ask);
    arena_free(&r->arena);
    free(r);
}

const struct check_kind check_kind_http = { "http", fits, start, stop };
