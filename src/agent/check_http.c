/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP checks: 2xx passes, 429 warns, anything else is critical (agent.md 5.4). */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "check_probe.h"
#include "check_request.h"
#include "consuld/base/outside.h"
#include "consuld/base/tls.h"
#include "consuld/mux/http_client.h"
#include "consuld/wire/quote.h"

#define TIMEOUT_MS 10000
#define REDIRECTS_MAX 10
#define REQUEST_MAX ((size_t)4 << 20)
#define OUTPUT_TEXT_MAX ((size_t)1 << 20)
#define UNPACKED_MAX ((uint64_t)64 << 20)

struct check_runner {
    struct exchange x;
    struct tls *tls; /* of x.stream; NULL: clear text */
    struct http_client client;
    bool open; /* client is initialised */
    z_stream unpacker;
    bool unpacking;
    unsigned redirects;
    struct str target; /* as told in the output */
    struct check_hop hop;
};

static bool fits(const struct check_type *t)
{
    return t->http.n && t->interval > 0;
}

static void run_end(struct check_runner *r)
{
    timer_stop(&r->x.timeout);
    exchange_hang_up(&r->x);
    if (r->open) http_client_deinit(&r->client);
    r->open = false;
    if (r->unpacking) inflateEnd(&r->unpacker);
    r->unpacking = false;
}

static void finish(struct check_runner *r, const char *status, struct str output)
{
    run_end(r);
    probe_result(&r->x.probe, status, output, false);
    arena_reset(&r->x.arena);
}

/* Get "http://a/": why */
static void failed_at(struct check_runner *r, struct str url, const char *why)
{
    struct str word = str_lower(&r->x.arena, r->hop.method);
    char *first = (char *)(uintptr_t)word.p;
    if (word.n) first[0] = r->hop.method.p[0];
    finish(r, "critical",
        str_printf(&r->x.arena, "%.*s \"%.*s\": %s", STR_ARG(word), STR_ARG(url), why));
}

static void failed(struct check_runner *r, const char *why)
{
    failed_at(r, check_url_shown(r->hop.url, &r->x.arena), why);
}

static void attempt(struct check_runner *r);

static bool redirected(struct check_runner *r)
{
    struct str to = str_dup(&r->x.arena, buf_str(&r->client.location));
    if (!check_hop_next(&r->hop, r->target, r->client.status, to, &r->x.arena)) return false;
    if (++r->redirects > REDIRECTS_MAX) {
        failed_at(r, to, "stopped after 10 redirects");
        return true;
    }
    run_end(r);
    attempt(r);
    return true;
}

/* Bytes of the peer may be any. */
static struct str output_text(struct check_runner *r)
{
    struct buf out = BUF_INIT(OUTPUT_TEXT_MAX);
    struct str reason = buf_str(&r->client.reason);
    buf_printf(&out, "HTTP %.*s %.*s: %d",
        STR_ARG(check_hop_first(&r->x.probe.check->type, r->target).method), STR_ARG(r->target),
        r->client.status);
    if (reason.n) buf_put_char(&out, ' ');
    buf_put_str(&out, reason);
    buf_put_c(&out, " Output: ");
    buf_put_str(&out, http_client_body(&r->client));
    struct str text = str_dup(&r->x.arena, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static void answered(struct check_runner *r)
{
    int s = r->client.status;
    if (redirected(r)) return;
    const char *status = s >= 200 && s < 300 ? "passing" : s == 429 ? "warning" : "critical";
    finish(r, status, output_text(r));
}

/* A head is an answer, whatever becomes of its body. */
static void broken(struct check_runner *r, const char *why)
{
    if (r->open && r->client.status)
        answered(r);
    else
        failed(r, why);
}

static void on_data(struct stream *s, struct str bytes)
{
    struct check_runner *r = s->owner;
    if (!r) return;
    if (http_client_recv(&r->client, bytes) != 0) {
        broken(r, http_client_fault(&r->client, bytes, &r->x.arena));
    } else if (r->client.done) {
        answered(r);
    }
}

static void on_eof(struct stream *s)
{
    struct check_runner *r = s->owner;
    if (!r) return;
    if (http_client_eof(&r->client) == 0) {
        answered(r);
    } else {
        broken(r, "EOF");
    }
}

static void on_closed(struct stream *s, int code)
{
    struct check_runner *r = s->owner;
    struct tls_state tls = { 0 };
    (void)code;
    if (!r) return;
    if (r->tls) tls_state(r->tls, s, &tls);
    r->x.stream = NULL;
    broken(r, tls.why ? str_c(&r->x.arena, str_of(tls.why)) : "read: connection reset by peer");
}

static const struct stream_events events = { .data = on_data, .eof = on_eof, .closed = on_closed };

static void unpack(struct http_client *c, struct str bytes)
{
    struct check_runner *r = container_of(c, struct check_runner, client);
    uint8_t out[4096];
    z_stream *z = &r->unpacker;
    if (!r->unpacking) {
        *z = (z_stream){ 0 };
        ensure(inflateInit2(z, 16 + MAX_WBITS) == Z_OK);
        r->unpacking = true;
    }
    z->next_in = (Bytef *)(uintptr_t)bytes.p;
    z->avail_in = (uInt)bytes.n;
    do {
        z->next_out = out;
        z->avail_out = sizeof out;
        int rc = inflate(z, Z_NO_FLUSH);
        http_client_keep(c, (struct str){ (const char *)out, sizeof out - z->avail_out });
        if (rc != Z_OK) return;
    } while (z->avail_out == 0 && c->body_total < UNPACKED_MAX);
}

static struct stream *begin_tls(struct check_runner *r, struct str host, struct stream *s)
{
    const struct local_check *c = r->x.probe.check;
    struct tls_options o = {
        .use = c->type.tls_skip_verify ? TLS_DIAL_CHECK_UNVERIFIED : TLS_DIAL_CHECK,
        .server_name = host,
        .events = &events,
        .owner = r,
    };
    r->tls = c->local->opts.tls;
    return tls_start(r->tls, s, &o);
}

static void connected(struct dial *d, struct stream *s)
{
    struct check_runner *r = container_of(d, struct check_runner, x.dial);
    if (!s) {
        failed(r, str_c(&r->x.arena, str_of(d->err.text)));
        return;
    }
    struct http_url url;
    struct buf out = BUF_INIT(REQUEST_MAX);
    ensure(http_url_parse(r->hop.url, &url));
    r->x.stream = url.tls ? begin_tls(r, url.host, s) : s;
    http_client_init(&r->client, probe_output_max(&r->x.probe));
    r->open = true;
    r->client.no_body = str_is(r->hop.method, "HEAD");
    if (check_hop_write(&r->hop, &r->x.probe.check->type, &r->x.arena, &out))
        r->client.unpack = unpack;
    struct stream_part part = { .p = out.p, .n = out.n };
    if (out.overflow || stream_write(r->x.stream, &part, 1) == ERR_FULL)
        failed(r, "request too large");
    buf_deinit(&out);
}

static void on_timeout(struct timer *t)
{
    struct check_runner *r = container_of(t, struct check_runner, x.timeout);
    broken(r, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
}

static void attempt(struct check_runner *r)
{
    struct http_url url;
    if (!http_url_parse(r->hop.url, &url)) {
        failed(r, str_c(&r->x.arena, check_url_fault(r->hop.url, &r->x.arena)));
        return;
    }
    r->tls = NULL;
    if (url.tls && !r->x.probe.check->local->opts.tls) {
        failed(r, "TLS is not set up");
        return;
    }
    r->x.dial = (struct dial){ .world = r->x.probe.check->local->opts.world,
        .host = url.host,
        .port = url.port,
        .events = &events,
        .owner = r,
        .done = connected };
    dial_start(&r->x.dial);
    timer_start(&r->x.timeout, probe_timeout_ms(&r->x.probe, TIMEOUT_MS));
}

static void run(struct probe *p)
{
    struct check_runner *r = container_of(p, struct check_runner, x.probe);
    r->redirects = 0;
    r->target = expose_target(p->check, &r->x.arena, p->check->type.http);
    r->hop = check_hop_first(&p->check->type, r->target);
    if (!check_token_valid(r->hop.method)) {
        struct buf text = BUF_INIT(4096);
        buf_put_c(&text, "net/http: invalid method ");
        quote_go(&text, r->hop.method);
        finish(r, "critical", buf_str(&text));
        buf_deinit(&text);
        return;
    }
    struct str fault = check_header_fault(&p->check->type, &r->x.arena);
    if (fault.n)
        failed(r, str_c(&r->x.arena, fault));
    else
        attempt(r);
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

const struct check_kind check_kind_http = { "http", fits, start, stop };
