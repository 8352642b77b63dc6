/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/http_dial.h"

#include <string.h>

#define CONNECT_MAX ((size_t)1 << 20)
#define BROKEN "net/http: HTTP/1.x transport connection broken: "

static void fail(struct http_dial *d, const char *why)
{
    http_dial_cancel(d);
    error_set(&d->err, ERR_IO, "%s", why);
    d->done(d, NULL);
}

static struct stream *begin_tls(struct http_dial *d, struct stream *below, struct str name,
    const struct stream_events *events, void *owner)
{
    bool target = owner == d->owner;
    struct tls_options o = { .use = d->unverified ? TLS_DIAL_CHECK_UNVERIFIED : TLS_DIAL_CHECK,
        .server_name = name,
        .alpn = target ? d->alpn : NULL,
        .n_alpn = target ? d->n_alpn : 0,
        .events = events,
        .owner = owner };
    return tls_start(d->tls, below, &o);
}

/* The way to the target is open: its owner takes over. */
static void hand_over(struct http_dial *d, struct stream *s)
{
    d->stream = NULL;
    if (d->open) http_client_deinit(&d->client);
    d->open = false;
    if (d->url->tls) {
        d->secure = true;
        s = begin_tls(d, s, d->url->host, d->events, d->owner);
    } else {
        s->events = d->events;
        s->owner = d->owner;
    }
    d->done(d, s);
}

/* --- through a proxy -------------------------------------------------------------------------- */

static void answered(struct http_dial *d)
{
    struct str reason = buf_str(&d->client.reason);
    if (d->client.status == 200)
        hand_over(d, d->stream);
    else
        fail(d, reason.n ? str_c(d->arena, reason) : "unknown status code");
}

static void on_data(struct stream *s, struct str bytes)
{
    struct http_dial *d = s->owner;
    if (!d) return;
    if (http_client_recv(&d->client, bytes) != 0)
        fail(d, http_client_fault(&d->client, bytes, d->arena) + strlen(BROKEN));
    else if (d->client.done)
        answered(d);
}

static void on_eof(struct stream *s)
{
    if (s->owner) fail(s->owner, "EOF");
}

static void on_closed(struct stream *s, int code)
{
    struct http_dial *d = s->owner;
    struct tls_state tls = { 0 };
    (void)code;
    if (!d) return;
    if (d->proxy.url.tls) tls_state(d->tls, s, &tls);
    d->stream = NULL;
    fail(d, tls.why ? str_c(d->arena, str_of(tls.why)) : "read: connection reset by peer");
}

static const struct stream_events events = { .data = on_data, .eof = on_eof, .closed = on_closed };

static void ask_for_tunnel(struct http_dial *d, struct stream *s)
{
    const struct http_url *u = d->url;
    bool v6 = str_find_char(u->host, ':') >= 0;
    struct buf out = BUF_INIT(CONNECT_MAX);
    struct str to = str_printf(
        d->arena, "%s%.*s%s:%u", v6 ? "[" : "", STR_ARG(u->host), v6 ? "]" : "", u->port);
    buf_printf(&out, "CONNECT %.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: %s\r\n", STR_ARG(to),
        STR_ARG(to), d->grpc_agent ? d->grpc_agent : "Go-http-client/1.1");
    if (d->proxy.authorization.n)
        buf_printf(&out, "Proxy-Authorization: %.*s\r\n", STR_ARG(d->proxy.authorization));
    buf_put_c(&out, "\r\n");
    http_client_init(&d->client, 0);
    d->open = d->client.no_body = true;
    d->stream = s;
    struct stream_part part = { .p = out.p, .n = out.n };
    bool full = out.overflow || stream_write(s, &part, 1) == ERR_FULL;
    buf_deinit(&out);
    if (full) fail(d, "request too large");
}

static void proxy_reached(struct http_dial *d, struct stream *s)
{
    bool tunnel = d->url->tls || d->grpc_agent;
    d->whole = !tunnel;
    if (d->proxy.url.tls) {
        d->secure = !tunnel;
        s = begin_tls(
            d, s, d->proxy.url.host, tunnel ? &events : d->events, tunnel ? (void *)d : d->owner);
    } else if (!tunnel) {
        s->events = d->events;
        s->owner = d->owner;
    }
    if (tunnel)
        ask_for_tunnel(d, s);
    else
        d->done(d, s);
}

/* --- both ------------------------------------------------------------------------------------- */

static void connected(struct dial *dial, struct stream *s)
{
    struct http_dial *d = container_of(dial, struct http_dial, dial);
    bool proxied = d->proxy.url.host.n > 0;
    if (!s)
        fail(
            d, str_printf(d->arena, "%s%s", proxied ? "proxyconnect tcp: " : "", dial->err.text).p);
    else if (proxied)
        proxy_reached(d, s);
    else
        hand_over(d, s);
}

int http_dial_start(struct http_dial *d, struct error *err)
{
    struct http_proxy_rules rules = http_proxy_environment();
    struct http_url target = *d->url;
    target.tls |= d->grpc_agent != NULL;
    int rc = http_proxy_find(&rules, &target, d->arena, &d->proxy, err);
    if (rc) return rc;
    bool proxied = d->proxy.url.host.n > 0;
    if ((d->url->tls || d->proxy.url.tls) && !d->tls)
        return error_set(err, ERR_IO, "TLS is not set up");
    d->dial = (struct dial){ .world = d->world,
        .host = proxied ? d->proxy.url.host : d->url->host,
        .port = proxied ? d->proxy.url.port : d->url->port,
        .events = &events,
        .owner = d,
        .done = connected };
    dial_start(&d->dial);
    return 0;
}

void http_dial_cancel(struct http_dial *d)
{
    dial_cancel(&d->dial);
    if (d->stream) {
        d->stream->owner = NULL; /* its closed event has nothing to tell */
        stream_close(d->stream);
        d->stream = NULL;
    }
    if (d->open) http_client_deinit(&d->client);
    d->open = false;
}
