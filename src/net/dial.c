/* SPDX-License-Identifier: Apache-2.0 */
/* Resolving on a worker unless it is an address, then connecting. libuv lets lookups have half of
 * the workers at most: name servers that do not answer must not keep the log from the disk. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netdb.h>
#include <sys/socket.h>

#include "consuld/base/outside.h"
#include "stream.h"
#include "world.h"

#define SOURCE_TEXT_MAX (INET6_ADDRSTRLEN + 8)

/* The attempt's own state: a worker or a socket may hold it longer than the dial lives. */
struct dial_impl {
    struct dial *dial; /* NULL: forgotten or done */
    struct world *world;
    uv_getaddrinfo_t lookup;
    struct timer timer;
    char *host;
    uint16_t port;
    char ip[INET6_ADDRSTRLEN];
    char source[INET6_ADDRSTRLEN]; /* empty: any */
    bool resolving;
    bool starting; /* done must not be called yet */
    bool failed;
    struct stream *stream; /* while connecting */
};

static void impl_free(struct dial_impl *i)
{
    free(i->host);
    free(i);
}

/* The dial is over; what still runs frees the rest. */
static struct dial *let_go(struct dial_impl *i)
{
    struct dial *d = i->dial;
    timer_stop(&i->timer);
    d->impl = NULL;
    i->dial = NULL;
    if (i->stream) {
        stream_close(i->stream); /* its closed event frees */
    } else if (!i->resolving) {
        impl_free(i);
    } else {
        (void)uv_cancel((uv_req_t *)&i->lookup); /* works while it has no worker yet */
    }
    return d;
}

/* dial->err is filled. */
static void end(struct dial_impl *i)
{
    if (i->starting) {
        i->failed = true;
        timer_start(&i->timer, 0);
        return;
    }
    struct dial *d = let_go(i);
    d->done(d, NULL);
}

static bool is_socket(const struct dial_impl *i)
{
    return i->host[0] == '/';
}

/* "10.0.0.1:0->", or nothing. */
static const char *from_text(const struct dial_impl *i, char out[SOURCE_TEXT_MAX])
{
    bool v6 = strchr(i->source, ':') != NULL;
    if (!i->source[0]) return "";
    snprintf(out, SOURCE_TEXT_MAX, v6 ? "[%s]:0->" : "%s:0->", i->source);
    return out;
}

static void fail(struct dial_impl *i, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct dial_impl *i, const char *fmt, ...)
{
    const char *host = i->ip[0] ? i->ip : i->host;
    struct error *err = &i->dial->err;
    char why[512], from[SOURCE_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    if (is_socket(i))
        error_set(err, ERR_IO, "dial unix %s: %s", host, why);
    else
        error_set(err, ERR_IO,
            strchr(host, ':') ? "dial tcp %s[%s]:%u: %s" : "dial tcp %s%s:%u: %s",
            from_text(i, from), host, i->port, why);
    end(i);
}

static void on_closed(struct stream *s, int code)
{
    struct dial_impl *i = s->owner;
    int uv_code = container_of(s, struct net_stream, base)->uv_code;
    (void)code;
    i->stream = NULL;
    if (i->dial) {
        fail(i, "connect: %s", uv_strerror(uv_code));
    } else {
        impl_free(i);
    }
}

static void unexpected_data(struct stream *s, struct str bytes)
{
    (void)bytes;
    stream_close(s);
}

static const struct stream_events connecting = {
    .data = unexpected_data, .eof = stream_close, .closed = on_closed
};

static void on_connected(struct stream *s)
{
    struct dial_impl *i = s->owner;
    if (!i->dial) {
        stream_close(s);
        return;
    }
    if (i->dial->unacked_ms) net__stream_unacked(s, i->dial->unacked_ms);
    s->events = i->dial->events;
    s->owner = i->dial->owner;
    i->stream = NULL;
    struct dial *d = let_go(i);
    d->done(d, s);
}

static void note_leaving(struct dial_impl *i)
{
    char bytes[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, i->ip, bytes) == 1)
        net__leaves_for(i->world, "tcp", (struct str){ bytes, 4 }, i->port);
    else if (inet_pton(AF_INET6, i->ip, bytes) == 1)
        net__leaves_for(i->world, "tcp", (struct str){ bytes, 16 }, i->port);
}

static void start_connecting(struct dial_impl *i)
{
    struct net_connect_options o = {
        .ip = i->ip, .port = i->port, .events = &connecting, .owner = i, .connected = on_connected
    };
    if (is_socket(i)) o.unix_path = i->host;
    if (i->source[0]) o.source = i->source;
    struct error err;
    note_leaving(i);
    i->stream = net_connect(i->world, &o, &err);
    if (!i->stream) fail(i, "%s", err.text);
}

static bool is_address(const char *host)
{
    struct in6_addr bytes;
    return inet_pton(AF_INET, host, &bytes) == 1 || inet_pton(AF_INET6, host, &bytes) == 1;
}

static void lookup_failed(struct dial_impl *i, int uv_code)
{
    bool unknown = uv_code == UV_EAI_NONAME || uv_code == UV_EINVAL || uv_code == UV_ENAMETOOLONG;
    error_set(&i->dial->err, ERR_IO, "dial tcp: lookup %s: %s", i->host,
        unknown ? "no such host" : uv_strerror(uv_code));
    end(i);
}

static void resolved(uv_getaddrinfo_t *lookup, int uv_code, struct addrinfo *found)
{
    struct dial_impl *i = container_of(lookup, struct dial_impl, lookup);
    i->resolving = false;
    i->world->jobs--;
    if (uv_code == 0) {
        int rc = getnameinfo(
            found->ai_addr, found->ai_addrlen, i->ip, sizeof i->ip, NULL, 0, NI_NUMERICHOST);
        if (rc) uv_code = UV_EAI_NONAME;
    }
    uv_freeaddrinfo(found);
    if (!i->dial) {
        impl_free(i);
    } else if (uv_code) {
        lookup_failed(i, uv_code);
    } else {
        start_connecting(i);
    }
}

static void start_resolving(struct dial_impl *i)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    int rc = uv_getaddrinfo(&i->world->loop, &i->lookup, resolved, i->host, NULL, &hints);
    if (rc) {
        lookup_failed(i, rc);
        return;
    }
    i->resolving = true;
    i->world->jobs++;
}

static void on_timeout(struct timer *t)
{
    struct dial_impl *i = container_of(t, struct dial_impl, timer);
    if (i->failed)
        end(i);
    else
        fail(i, "i/o timeout");
}

void dial_start(struct dial *d)
{
    struct dial_impl *i = xcalloc(1, sizeof *i);
    i->dial = d;
    i->world = d->world;
    i->port = d->port;
    i->host = xmalloc(d->host.n + 1);
    if (d->host.n) memcpy(i->host, d->host.p, d->host.n);
    i->host[d->host.n] = '\0';
    if (d->source.n < sizeof i->source)
        snprintf(i->source, sizeof i->source, "%.*s", STR_ARG(d->source));
    d->impl = i;
    timer_init(&i->timer, d->world, on_timeout);
    if (d->timeout_ms) timer_start(&i->timer, d->timeout_ms);
    i->starting = true;
    if (is_socket(i)) {
        start_connecting(i);
    } else if (is_address(i->host)) {
        memcpy(i->ip, i->host, strlen(i->host) + 1);
        start_connecting(i);
    } else {
        start_resolving(i);
    }
    i->starting = false;
}

void dial_cancel(struct dial *d)
{
    if (d->impl) let_go(d->impl);
}
