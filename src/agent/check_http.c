/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP checks: 2xx passes, 429 warns, anything else is critical (agent.md 5.4). */
#include <stdlib.h>
#include <string.h>

#include "check_probe.h"
#include "consuld/base/outside.h"
#include "consuld/base/tls.h"
#include "consuld/mux/http_client.h"

#define TIMEOUT_MS 10000
#define REDIRECTS_MAX 10
#define REQUEST_MAX ((size_t)4 << 20)

struct check_runner {
    struct probe probe;
    struct dial dial;
    struct timer timeout;
    struct stream *stream;
    struct tls *tls; /* of stream; NULL: clear text */
    struct http_client client;
    bool open; /* client is initialised */
    unsigned redirects;
    struct arena arena; /* of the run */
    struct str target;  /* as told in the output */
    struct str url;     /* after redirections */
};

static bool fits(const struct check_type *t)
{
    return t->http.n && t->interval > 0;
}

static struct str method(const struct check_runner *r)
{
    struct str m = r->probe.check->type.method;
    return m.n ? m : STR("GET");
}

static void run_end(struct check_runner *r)
{
    timer_stop(&r->timeout);
    dial_cancel(&r->dial);
    if (r->stream) {
        r->stream->owner = NULL; /* its closed event has nothing to tell */
        stream_close(r->stream);
        r->stream = NULL;
    }
    if (r->open) http_client_deinit(&r->client);
    r->open = false;
}

static void finish(struct check_runner *r, const char *status, struct str output)
{
    run_end(r);
    probe_result(&r->probe, status, output, false);
    arena_reset(&r->arena);
}

/* Get "http://a/": why */
static void failed(struct check_runner *r, const char *why)
{
    struct str m = method(r);
    struct str word = str_lower(&r->arena, m);
    char *first = (char *)(uintptr_t)word.p;
    if (word.n) first[0] = m.p[0];
    finish(r, "critical",
        str_printf(&r->arena, "%.*s \"%.*s\": %s", STR_ARG(word), STR_ARG(r->url), why));
}

static void attempt(struct check_runner *r);

static bool redirected(struct check_runner *r)
{
    int s = r->client.status;
    if (s != 301 && s != 302 && s != 303 && s != 307 && s != 308) return false;
    struct str to = str_dup(&r->arena, buf_str(&r->client.location));
    struct http_url url;
    if (to.n == 0 || !http_url_parse(r->url, &url)) return false;
    if (to.p[0] == '/') {
        to = str_printf(&r->arena, "http%s://%.*s%.*s", url.tls ? "s" : "", STR_ARG(url.authority),
            STR_ARG(to));
    }
    if (++r->redirects > REDIRECTS_MAX) {
        failed(r, "stopped after 10 redirects");
        return true;
    }
    r->url = to;
    run_end(r);
    attempt(r);
    return true;
}

static void answered(struct check_runner *r)
{
    int s = r->client.status;
    if (redirected(r)) return;
    const char *status = s >= 200 && s < 300 ? "passing" : s == 429 ? "warning" : "critical";
    finish(r, status,
        str_printf(&r->arena, "HTTP %.*s %.*s: %d %.*s Output: %.*s", STR_ARG(method(r)),
            STR_ARG(r->target), s, STR_ARG(buf_str(&r->client.reason)),
            STR_ARG(http_client_body(&r->client))));
}

static void on_data(struct stream *s, struct str bytes)
{
    struct check_runner *r = s->owner;
    if (!r) return;
    if (http_client_recv(&r->client, bytes) != 0) {
        failed(r, "net/http: HTTP/1.x transport connection broken: malformed HTTP response");
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
        failed(r, "EOF");
    }
}

static void on_closed(struct stream *s, int code)
{
    struct check_runner *r = s->owner;
    struct tls_state tls = { 0 };
    (void)code;
    if (!r) return;
    if (r->tls) tls_state(r->tls, s, &tls);
    r->stream = NULL;
    failed(r, tls.why ? str_c(&r->arena, str_of(tls.why)) : "read: connection reset by peer");
}

static const struct stream_events events = { .data = on_data, .eof = on_eof, .closed = on_closed };

static bool has_header(const struct dict *headers, const char *name)
{
    for (size_t i = 0; i < headers->n; i++) {
        if (str_eq_nocase(dict_key(headers, type_map_list_str.elem, i), str_of(name))) return true;
    }
    return false;
}

static void put_headers(struct buf *out, const struct dict *headers)
{
    for (size_t i = 0; i < headers->n; i++) {
        struct str name = dict_key(headers, type_map_list_str.elem, i);
        const struct list *values = dict_at(headers, type_map_list_str.elem, i);
        if (str_eq_nocase(name, STR("Host"))) continue;
        for (size_t k = 0; k < values->n; k++) {
            buf_printf(
                out, "%.*s: %.*s\r\n", STR_ARG(name), STR_ARG(LIST_AT(values, struct str, k)));
        }
    }
}

static struct str host_header(const struct check_type *t, struct str authority)
{
    for (size_t i = 0; i < t->header.n; i++) {
        const struct list *values = dict_at(&t->header, type_map_list_str.elem, i);
        if (values->n &&
            str_eq_nocase(dict_key(&t->header, type_map_list_str.elem, i), STR("Host")))
            return LIST_AT(values, struct str, 0);
    }
    return authority;
}

static void request(const struct check_runner *r, const struct http_url *url, struct buf *out)
{
    const struct check_type *t = &r->probe.check->type;
    bool root = url->path.n == 0 || url->path.p[0] != '/';
    buf_printf(out, "%.*s %s%.*s HTTP/1.1\r\nHost: %.*s\r\n", STR_ARG(method(r)), root ? "/" : "",
        STR_ARG(url->path), STR_ARG(host_header(t, url->authority)));
    if (!has_header(&t->header, "User-Agent"))
        buf_put_c(out, "User-Agent: Consul Health Check\r\n");
    if (t->body.n) buf_printf(out, "Content-Length: %zu\r\n", t->body.n);
    if (!has_header(&t->header, "Accept")) buf_put_c(out, "Accept: text/plain, text/*, */*\r\n");
    put_headers(out, &t->header);
    buf_put_c(out, "Connection: close\r\n\r\n");
    buf_put_str(out, t->body);
}

static struct stream *begin_tls(struct check_runner *r, struct str host, struct stream *s)
{
    const struct local_check *c = r->probe.check;
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
    struct check_runner *r = container_of(d, struct check_runner, dial);
    if (!s) {
        failed(r, str_c(&r->arena, str_of(d->err.text)));
        return;
    }
    struct http_url url;
    struct buf out = BUF_INIT(REQUEST_MAX);
    ensure(http_url_parse(r->url, &url));
    r->stream = url.tls ? begin_tls(r, url.host, s) : s;
    http_client_init(&r->client, probe_output_max(&r->probe));
    r->open = true;
    request(r, &url, &out);
    struct stream_part part = { .p = out.p, .n = out.n };
    if (out.overflow || stream_write(r->stream, &part, 1) == ERR_FULL)
        failed(r, "request too large");
    buf_deinit(&out);
}

static void on_timeout(struct timer *t)
{
    struct check_runner *r = container_of(t, struct check_runner, timeout);
    failed(r, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
}

static void attempt(struct check_runner *r)
{
    struct http_url url;
    if (!http_url_parse(r->url, &url)) {
        failed(r, "unsupported protocol scheme");
        return;
    }
    r->tls = NULL;
    if (url.tls && !r->probe.check->local->opts.tls) {
        failed(r, "TLS is not set up");
        return;
    }
    r->dial = (struct dial){ .world = r->probe.check->local->opts.world,
        .host = url.host,
        .port = url.port,
        .events = &events,
        .owner = r,
        .done = connected };
    dial_start(&r->dial);
    timer_start(&r->timeout, probe_timeout_ms(&r->probe, TIMEOUT_MS));
}

static void run(struct probe *p)
{
    struct check_runner *r = container_of(p, struct check_runner, probe);
    r->redirects = 0;
    r->target = r->url = expose_target(p->check, &r->arena, p->check->type.http);
    attempt(r);
}

static struct check_runner *start(struct local *l, struct local_check *c)
{
    struct check_runner *r = xcalloc(1, sizeof *r);
    timer_init(&r->timeout, l->opts.world, on_timeout);
    probe_start(&r->probe, c, run);
    return r;
}

static void stop(struct check_runner *r)
{
    probe_stop(&r->probe);
    run_end(r);
    arena_free(&r->arena);
    free(r);
}

const struct check_kind check_kind_http = { "http", fits, start, stop };
