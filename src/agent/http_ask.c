/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/http_ask.h"

#include "http_request.h"

#define REDIRECTS_MAX 10
#define REQUEST_MAX ((size_t)4 << 20)
#define UNPACKED_MAX ((uint64_t)64 << 20)

/* What was read so far stays. */
static void hop_cut(struct http_ask *k)
{
    timer_stop(&k->timer);
    http_dial_cancel(&k->dial);
    if (k->stream) {
        k->stream->owner = NULL; /* its closed event has nothing to tell */
        stream_close(k->stream);
        k->stream = NULL;
    }
    if (k->unpacking) inflateEnd(&k->unpacker);
    k->unpacking = false;
}

static void hop_end(struct http_ask *k)
{
    hop_cut(k);
    if (k->open) http_client_deinit(&k->client);
    k->open = false;
}

void http_ask_end(struct http_ask *k)
{
    if (k->hop) hop_end(k);
    k->hop = NULL;
}

static void finish(struct http_ask *k)
{
    hop_cut(k);
    k->done(k);
}

/* Get "http://a/": why */
static struct str told(struct http_ask *k, struct str url, const char *why)
{
    struct str method = k->hop->method, rest = str_slice(method, 1, method.n);
    return str_printf(k->arena, "%.1s%.*s \"%.*s\": %s", method.p,
        STR_ARG(str_lower(k->arena, rest)), STR_ARG(url), why);
}

static void failed_at(struct http_ask *k, struct str url, const char *why)
{
    k->error = told(k, url, why);
    finish(k);
}

static void failed(struct http_ask *k, const char *why)
{
    failed_at(k, http_url_shown(k->hop->url, k->arena), why);
}

static void attempt(struct http_ask *k);

static bool redirected(struct http_ask *k)
{
    struct str to = str_dup(k->arena, buf_str(&k->client.location));
    if (!http_hop_next(k->hop, &k->request, k->client.status, to, k->arena)) return false;
    if (++k->redirects > REDIRECTS_MAX) {
        failed_at(k, to, "stopped after 10 redirects");
        return true;
    }
    hop_end(k);
    attempt(k);
    return true;
}

static void answered(struct http_ask *k)
{
    if (!redirected(k)) finish(k);
}

/* A head is an answer, whatever becomes of its body. */
static void broken(struct http_ask *k, const char *why)
{
    if (k->open && k->client.status)
        answered(k);
    else
        failed(k, why);
}

static void on_data(struct stream *s, struct str bytes)
{
    struct http_ask *k = s->owner;
    if (!k) return;
    if (http_client_recv(&k->client, bytes) != 0) {
        broken(k, http_client_fault(&k->client, bytes, k->arena));
    } else if (k->client.done) {
        answered(k);
    }
}

static void on_eof(struct stream *s)
{
    struct http_ask *k = s->owner;
    if (!k) return;
    if (http_client_eof(&k->client) == 0) {
        answered(k);
    } else {
        broken(k, "EOF");
    }
}

static void on_closed(struct stream *s, int code)
{
    struct http_ask *k = s->owner;
    struct tls_state tls = { 0 };
    (void)code;
    if (!k) return;
    if (k->dial.secure) tls_state(k->tls, s, &tls);
    k->stream = NULL;
    broken(k, tls.why ? str_c(k->arena, str_of(tls.why)) : "read: connection reset by peer");
}

static const struct stream_events events = { .data = on_data, .eof = on_eof, .closed = on_closed };

static void unpack(struct http_client *c, struct str bytes)
{
    struct http_ask *k = container_of(c, struct http_ask, client);
    uint8_t out[4096];
    z_stream *z = &k->unpacker;
    if (!k->unpacking) {
        *z = (z_stream){ 0 };
        ensure(inflateInit2(z, 16 + MAX_WBITS) == Z_OK);
        k->unpacking = true;
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

static void connected(struct http_dial *d, struct stream *s)
{
    struct http_ask *k = container_of(d, struct http_ask, dial);
    if (!s) {
        failed(k, str_c(k->arena, str_of(d->err.text)));
        return;
    }
    struct buf out = BUF_INIT(REQUEST_MAX + k->request.body.n);
    k->stream = s;
    k->hop->proxied = d->whole;
    k->hop->proxy_authorization = d->proxy.authorization;
    http_client_init(&k->client, k->body_max);
    k->open = true;
    k->client.no_body = str_is(k->hop->method, "HEAD");
    if (http_hop_write(k->hop, &k->request, k->arena, &out)) k->client.unpack = unpack;
    struct stream_part part = { .p = out.p, .n = out.n };
    bool full = out.overflow || stream_write(s, &part, 1) == ERR_FULL;
    buf_deinit(&out);
    if (full) failed(k, "request too large");
}

static void on_timer(struct timer *t)
{
    struct http_ask *k = container_of(t, struct http_ask, timer);
    if (k->error.n)
        finish(k);
    else
        broken(k, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
}

/* What cannot even be tried; nil if it is under way. */
static struct str begin(struct http_ask *k)
{
    struct error err;
    if (!http_url_parse(k->hop->url, &k->url)) return http_url_fault(k->hop->url, k->arena);
    k->dial = (struct http_dial){ .world = k->world,
        .tls = k->tls,
        .url = &k->url,
        .arena = k->arena,
        .unverified = k->unverified,
        .events = &events,
        .owner = k,
        .done = connected };
    return http_dial_start(&k->dial, &err) == 0 ? STR_NIL : str_dup(k->arena, str_of(err.text));
}

static void attempt(struct http_ask *k)
{
    struct str fault = begin(k);
    if (fault.n)
        failed(k, str_c(k->arena, fault));
    else
        timer_start(&k->timer, k->timeout_ms);
}

void http_ask_start(struct http_ask *k)
{
    k->hop = arena_new(k->arena, struct http_hop);
    *k->hop = http_hop_first(&k->request);
    k->redirects = 0;
    k->dial = (struct http_dial){ 0 };
    timer_init(&k->timer, k->world, on_timer);
    k->error = http_method_fault(&k->request, k->arena);
    if (k->error.n == 0) {
        struct str fault = http_header_fault(&k->request, k->arena);
        if (fault.n == 0) fault = begin(k);
        if (fault.n)
            k->error = told(k, http_url_shown(k->request.url, k->arena), str_c(k->arena, fault));
    }
    timer_start(&k->timer, k->error.n ? 0 : k->timeout_ms);
}
