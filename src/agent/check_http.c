/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP checks: 2xx passes, 429 warns, anything else is critical (agent.md 5.4). */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "check_probe.h"
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
    struct str url;    /* after redirections */
    struct str method; /* after redirections */
};

static bool fits(const struct check_type *t)
{
    return t->http.n && t->interval > 0;
}

static struct str check_method(const struct check_runner *r)
{
    struct str m = r->x.probe.check->type.method;
    return m.n ? m : STR("GET");
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
    struct str word = str_lower(&r->x.arena, r->method);
    char *first = (char *)(uintptr_t)word.p;
    if (word.n) first[0] = r->method.p[0];
    finish(r, "critical",
        str_printf(&r->x.arena, "%.*s \"%.*s\": %s", STR_ARG(word), STR_ARG(url), why));
}

static void failed(struct check_runner *r, const char *why)
{
    failed_at(r, r->url, why);
}

static void attempt(struct check_runner *r);

/* Where a Location leads. */
static struct str resolve(struct check_runner *r, struct str to)
{
    struct http_url url;
    if (str_find(to, STR("://")) > 0 || !http_url_parse(r->url, &url)) return to;
    const char *scheme = url.tls ? "https" : "http";
    if (str_has_prefix(to, STR("//")))
        return str_printf(&r->x.arena, "%s:%.*s", scheme, STR_ARG(to));
    size_t end = 0; /* of the folder */
    for (size_t i = 0; to.p[0] != '/' && i < url.path.n && url.path.p[i] != '?'; i++) {
        if (url.path.p[i] == '/') end = i + 1;
    }
    return str_printf(&r->x.arena, "%s://%.*s%s%.*s%.*s", scheme, STR_ARG(url.authority),
        end || to.p[0] == '/' ? "" : "/", STR_ARG(str_slice(url.path, 0, end)), STR_ARG(to));
}

static bool redirected(struct check_runner *r)
{
    int s = r->client.status;
    if (s != 301 && s != 302 && s != 303 && s != 307 && s != 308) return false;
    struct str to = str_dup(&r->x.arena, buf_str(&r->client.location));
    if (to.n == 0) return false;
    if (++r->redirects > REDIRECTS_MAX) {
        failed_at(r, to, "stopped after 10 redirects");
        return true;
    }
    if (s < 307 && !str_is(r->method, "HEAD")) r->method = STR("GET");
    r->url = resolve(r, to);
    run_end(r);
    attempt(r);
    return true;
}

/* Bytes of the peer may be any. */
static struct str output_text(struct check_runner *r)
{
    struct buf out = BUF_INIT(OUTPUT_TEXT_MAX);
    struct str reason = buf_str(&r->client.reason);
    buf_printf(
        &out, "HTTP %.*s %.*s: %d", STR_ARG(check_method(r)), STR_ARG(r->target), r->client.status);
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
        broken(r, "net/http: HTTP/1.x transport connection broken: malformed HTTP response");
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

static void put_path(struct buf *out, struct str path)
{
    if (path.n == 0 || path.p[0] != '/') buf_put_char(out, '/');
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] == ' ')
            buf_put_c(out, "%20");
        else
            buf_put_char(out, path.p[i]);
    }
}

/* True if a packed answer was offered to be unpacked. */
static bool request(const struct check_runner *r, const struct http_url *url, struct buf *out)
{
    const struct check_type *t = &r->x.probe.check->type;
    bool packed = !has_header(&t->header, "Accept-Encoding") && !str_is(r->method, "HEAD");
    bool bare = r->redirects && str_is(r->method, "GET");
    struct str body = bare ? STR("") : t->body;
    buf_printf(out, "%.*s ", STR_ARG(r->method));
    put_path(out, url->path);
    buf_printf(out, " HTTP/1.1\r\nHost: %.*s\r\n",
        STR_ARG(r->redirects ? url->authority : host_header(t, url->authority)));
    if (!has_header(&t->header, "User-Agent"))
        buf_put_c(out, "User-Agent: Consul Health Check\r\n");
    if (body.n) buf_printf(out, "Content-Length: %zu\r\n", body.n);
    if (!has_header(&t->header, "Accept")) buf_put_c(out, "Accept: text/plain, text/*, */*\r\n");
    put_headers(out, &t->header);
    if (packed) buf_put_c(out, "Accept-Encoding: gzip\r\n");
    buf_put_c(out, "Connection: close\r\n\r\n");
    buf_put_str(out, body);
    return packed;
}

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

/* --- what may be sent --------------------------------------------------------------------------
 */

static bool token_valid(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !(c && strchr("!#$%&'*+-.^_`|~", c))) return false;
    }
    return text.n > 0;
}

static bool value_valid(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

/* What is wrong with the headers, in Go's words; empty if nothing is. */
static struct str header_fault(struct check_runner *r)
{
    const struct dict *headers = &r->x.probe.check->type.header;
    struct buf text = BUF_INIT(4096);
    for (size_t i = 0; i < headers->n && !text.n; i++) {
        struct str name = dict_key(headers, type_map_list_str.elem, i);
        const struct list *values = dict_at(headers, type_map_list_str.elem, i);
        if (!token_valid(name)) {
            buf_put_c(&text, "net/http: invalid header field name ");
            quote_go(&text, name);
        }
        for (size_t k = 0; k < values->n && !text.n; k++) {
            if (value_valid(LIST_AT(values, struct str, k))) continue;
            buf_put_c(&text, "net/http: invalid header field value ");
            quote_go(&text, LIST_AT(values, struct str, k));
            buf_put_c(&text, " for key ");
            quote_go(&text, name);
        }
    }
    struct str fault = str_dup(&r->x.arena, buf_str(&text));
    buf_deinit(&text);
    return fault;
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
    ensure(http_url_parse(r->url, &url));
    r->x.stream = url.tls ? begin_tls(r, url.host, s) : s;
    http_client_init(&r->client, probe_output_max(&r->x.probe));
    r->open = true;
    r->client.no_body = str_is(r->method, "HEAD");
    if (request(r, &url, &out)) r->client.unpack = unpack;
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
    if (!http_url_parse(r->url, &url)) {
        ptrdiff_t colon = str_find_char(r->url, ':');
        struct str scheme = str_slice(r->url, 0, colon > 0 ? (size_t)colon : 0);
        bool known = str_is(scheme, "http") || str_is(scheme, "https");
        struct str why =
            str_printf(&r->x.arena, "unsupported protocol scheme \"%.*s\"", STR_ARG(scheme));
        failed(r, known ? "invalid URL" : why.p);
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
    r->method = check_method(r);
    r->target = r->url = expose_target(p->check, &r->x.arena, p->check->type.http);
    if (!token_valid(r->method)) {
        struct buf text = BUF_INIT(4096);
        buf_put_c(&text, "net/http: invalid method ");
        quote_go(&text, r->method);
        finish(r, "critical", buf_str(&text));
        buf_deinit(&text);
        return;
    }
    struct str fault = header_fault(r);
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
